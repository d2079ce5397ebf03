"""The problems of a pre-flight check: generated ones, or those of the file that a model would be trained on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from thinkling.data.chat_template import Message, prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.conversations import part_of
from thinkling.errors import InputError, nearest
from thinkling.lm.rl.prompts import Prompt, read_prompts
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.tasks.problem import problem_tasks, problems
from thinkling.tasks.reward import Reward, RewardProblem

GYM = "gym:"
"""What the name of a data set of reasoning-gym begins with."""


def check_tasks(names: Sequence[str]) -> None:
    """InputError unless every name is that of a generated task, or there is one data set of reasoning-gym alone."""
    if any(name.startswith(GYM) for name in names):
        if len(names) > 1:
            raise InputError(
                f"the tasks {', '.join(names)}",
                f"tasks of this program, or one {GYM}NAME, whose reward judges nothing else",
                "check one after the other",
            )
        return
    known = [*problem_tasks(), f"{GYM}NAME"]
    for name in names or [""]:
        if name not in known[:-1]:
            raise InputError(f"task {name!r}", ", ".join(known), nearest(name, known))


def generated_prompts(
    names: Sequence[str], tokenizer: ChatTokenizer, *, context: int, count: int, seed: int
) -> list[Prompt]:
    """Generated problems that no training data has: those of the validation part, or of reasoning-gym.

    Args:
        names: tasks of this program, each equally likely; or `gym:` and a data set of reasoning-gym.
        tokenizer: of the model.
        context: longest sequence of the model, in tokens.
        count: how many.
        seed: the same seed gives the same problems.

    Raises:
        InputError: an unknown task, no problem, or one that fills the context.
    """
    check_tasks(names)
    if count < 1:
        raise InputError(f"{count} problems", "1 or more", "ask for more")
    made = _of_gym(names[0].removeprefix(GYM), seed, count) if names[0].startswith(GYM) else None
    return list(_prompts(made or _of_tasks(names, seed, count), tokenizer, context))


def file_prompts(
    data: Path, tokenizer: ChatTokenizer, reward: Reward, recipe: GrpoRecipe, *, context: int, count: int
) -> list[Prompt]:
    """Problems of the data that a model would be trained on.

    Args:
        data: as for `read_prompts`.
        tokenizer: of the model.
        reward: who would judge.
        recipe: how it would be trained.
        context: longest sequence of the model, in tokens.
        count: how many, drawn by the recipe's seed and in the order of the file; 0: all.

    Raises:
        InputError: as for `read_prompts`.
    """
    found = read_prompts(
        data,
        tokenizer,
        reward,
        context=context,
        validation_share=recipe.validation_share,
        validation_problems=sys.maxsize,
        seed=recipe.train.seed,
    )
    separate = data.is_dir() and part_of(data, "train") and part_of(data, "validation")
    # Where problems are cut off for validation, which ones depends on the data: a filtered file has others.
    prompts = [*found.train] if separate else sorted((*found.train, *found.validation), key=_number)
    if not count or count >= len(prompts):
        return prompts
    generator = np.random.Generator(np.random.Philox(key=[recipe.train.seed, len(prompts)]))
    return [prompts[place] for place in sorted(generator.permutation(len(prompts))[:count].tolist())]


def _number(prompt: Prompt) -> int:
    return prompt.number


def _of_tasks(names: Sequence[str], seed: int, count: int) -> Iterator[RewardProblem]:
    for each in problems(names, seed, 0, count, split="validation"):
        yield RewardProblem(text=each.text, answer=each.answer, task=each.task)


def _of_gym(dataset: str, seed: int, count: int) -> Iterator[RewardProblem]:
    from thinkling.tasks.gym import gym_entries  # an extra

    for entry in gym_entries(dataset, seed=seed, count=count):
        yield RewardProblem(text=entry["question"], answer=entry["answer"], task=dataset, entry=entry)


def _prompts(made: Iterable[RewardProblem], tokenizer: ChatTokenizer, context: int) -> Iterator[Prompt]:
    for number, problem in enumerate(made):
        tokens = tuple(prompt_ids(tokenizer, [Message(role="user", content=problem.text)]))
        if len(tokens) >= context:
            raise InputError(
                f"problem {number} of {problem.task}: a prompt of {len(tokens)} tokens",
                f"at most {context - 1}, so that an answer fits into the context of {context}",
                "use a model with a longer context, or another task",
            )
        yield Prompt(number=number, tokens=tokens, problem=problem, place=f"{problem.task} problem {number}")
