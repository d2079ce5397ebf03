"""Problems with answers as prompts: what is asked, and what a reward needs to judge the answer.

Shapes: V problems to validate with, T to train on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinkling.data.chat_template import prompt_ids
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.data.conversations import conversations, part_of
from thinkling.data.corpus import corpus_files, numbered_lines
from thinkling.data.sampling import example_of_item, random_words
from thinkling.data.whole_folder import file_sha256
from thinkling.errors import InputError
from thinkling.lm.answers_evaluate import Question
from thinkling.tasks.problem_check import check_answer
from thinkling.tasks.reward import Reward, RewardProblem, check_reward

_EXTRA = ("tests", "entry")
"""Fields that a conversation does not have and some rewards need."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Something to ask, again and again."""

    number: int
    """Its place in the data; the draws of its completions depend on it."""
    tokens: tuple[int, ...]
    """What the model reads: the conversation up to where it shall answer."""
    problem: RewardProblem
    """What a reward needs."""
    place: str = ""
    """File and line."""


@dataclass(frozen=True, kw_only=True)
class PromptData:
    """What a model is trained and chosen on; no question is in both parts."""

    train: tuple[Prompt, ...]
    """T problems to learn from."""
    validation: tuple[Prompt, ...]
    """V problems to choose the best weights by."""
    overlap: int
    """Problems that were left out of training since they are among those of validation."""
    sha256: str
    """Of the files."""

    def counts(self) -> dict[str, int]:
        """How many there are, and what was left out."""
        return {
            "train_problems": len(self.train),
            "validation_problems": len(self.validation),
            "overlap": self.overlap,
        }


class SeededPrompts:
    """Which prompt has which place in which rollout: a function of the seed.

    First attempts go through all prompts, each time in another order; what replaces a group is drawn at random.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        """Around one prompt or more."""
        self._prompts, self._seed = prompts, seed

    def prompt(self, step: int, place: int, attempt: int, *, of: int) -> Prompt:
        """The prompt for a place of a rollout.

        Args:
            step: number of the rollout, from 1.
            place: which of its groups.
            attempt: 0, or how often the place has been filled before.
            of: groups of a rollout.
        """
        item, count = np.array([(step - 1) * of + place], dtype=np.int64), len(self._prompts)
        if attempt == 0:
            return self._prompts[int(example_of_item(self._seed, item, count)[0])]
        return self._prompts[int(random_words(self._seed, item, attempt)[0, -1] % np.uint64(count))]


def read_prompts(
    data: Path,
    tokenizer: ChatTokenizer,
    reward: Reward,
    *,
    context: int,
    validation_share: float,
    validation_problems: int,
    seed: int,
) -> PromptData:
    """Problems for training and validation.

    Args:
        data: a file of problems with answers, in any of the layouts of `data.conversations`, with the fields "tests"
            or "entry" besides where the reward asks for them; or a folder with `train.jsonl` and perhaps
            `validation.jsonl` (a `test.jsonl` is not read); or a folder of other such files.
        tokenizer: of the model.
        reward: who will judge; it is tried before anything is trained.
        context: longest sequence of the model, in tokens.
        validation_share: share of the questions that is cut off for validation where there is no file of its own.
        validation_problems: most problems to validate with.
        seed: which questions are cut off depends on it and on the questions.

    Raises:
        InputError: a file is missing, damaged or malformed, a problem has no answer or a wrong one, a prompt leaves no
            room for an answer (each naming the line), the reward cannot judge them, or there are too few.
    """
    data = Path(data)
    train_file = part_of(data, "train") if data.is_dir() else None
    validation_file = part_of(data, "validation") if train_file else None
    files = [train_file or data, *([validation_file] if validation_file else [])]
    judges_tasks = getattr(reward, "name", "") == "task"
    parts = [list(_prompts(file, tokenizer, context, judges_tasks)) for file in files]
    train, held = parts[0], parts[1] if validation_file else []
    known = {prompt.tokens for prompt in held} if held else _cut_off(train, validation_share, seed)
    if not held:
        held = [prompt for prompt in train if prompt.tokens in known]
    kept = [prompt for prompt in train if prompt.tokens not in known]
    if not (kept and held):
        raise InputError(
            f"{data}: {len(kept)} problems for training and {len(held)} for validation",
            "at least one different question for each",
            "use more problems, or another validation_share",
        )
    check_reward(reward, [prompt.problem for prompt in (*kept, *held)])
    return PromptData(
        train=tuple(kept),
        validation=tuple(held[:validation_problems]),
        overlap=len(train) - len(kept) if validation_file else 0,
        sha256=_sha256(files),
    )


def _prompts(source: Path, tokenizer: ChatTokenizer, context: int, judges_tasks: bool) -> Iterator[Prompt]:
    extra = _extra_fields(source)
    for number, row in enumerate(conversations(source)):
        try:
            question = Question.of(row)
            text = question.messages[-1].content
            if judges_tasks and row.task:  # a wrong answer would be learned
                check_answer(row.task, text, question.answer)
            tokens = tuple(prompt_ids(tokenizer, question.messages))
            if len(tokens) >= context:
                raise InputError(
                    f"a prompt of {len(tokens)} tokens",
                    f"at most {context - 1}, so that an answer fits into the context of {context}",
                    "shorten or remove it",
                )
        except InputError as error:
            raise (error if error.given.startswith(row.place) else error.at(row.place)) from None
        problem = RewardProblem(text=text, answer=question.answer, task=row.task, **extra.get(row.place, {}))
        yield Prompt(number=number, tokens=tokens, problem=problem, place=row.place)


def _extra_fields(source: Path) -> dict[str, dict[str, Any]]:
    """What rows have for rewards besides a conversation, by their places."""
    found: dict[str, dict[str, Any]] = {}
    for path in corpus_files(source):
        with closing(numbered_lines(path)) as lines:
            for number, line in lines:
                if not any(f'"{name}"' in line for name in _EXTRA):
                    continue
                try:
                    row = json.loads(line)
                except ValueError:
                    continue  # reading the conversations names this line
                if not isinstance(row, dict):
                    continue
                place = f"{path} line {number}"
                for name, kind in zip(_EXTRA, (str, dict), strict=True):
                    if name in row and not isinstance(row[name], kind):
                        raise InputError(
                            f"{place}: {name} is {json.dumps(row[name])[:40]}",
                            "Python as text for tests, an object for an entry",
                            "correct this line",
                        )
                found[place] = {name: row[name] for name in _EXTRA if name in row}
    return found


def _cut_off(prompts: Sequence[Prompt], share: float, seed: int) -> set[tuple[int, ...]]:
    """The questions that are for validation: a share of the different ones, whatever their order in the file."""
    different = {prompt.tokens for prompt in prompts}
    count = min(len(different) - 1, max(1, round(share * len(different))))

    def place(tokens: tuple[int, ...]) -> bytes:
        return hashlib.blake2b(f"{seed}:{tokens}".encode(), digest_size=16).digest()

    return set(sorted(different, key=place)[: max(0, count)])


def _sha256(sources: Sequence[Path]) -> str:
    """Of the contents of files and folders."""
    digest = hashlib.sha256()
    for source in sources:
        for path in corpus_files(source):
            digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()
