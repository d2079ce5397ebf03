"""Rewards of completions: whether an answer is right, and whether it is well-formed. The only file that computes them.

A reward is a plain function. Those here look at the answer alone and never at the reasoning, so that nothing can be
earned by thinking aloud. What a reward raises, or a value that is no finite number, is an error before training begins
(`check_reward`) and 0 while it lasts (`CheckedReward`): a reward never ends a run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from thinkling.errors import InputError, nearest

THINK_MARKERS = ("<think>", "</think>")
"""What stands around the reasoning; neither belongs into an answer."""
_CHAT_MARKERS = ("<|im_start|>", "<|im_end|>", *THINK_MARKERS)
_GYM = "gym:"
_LONGEST = 20_000
"""Characters of a program in an answer at most."""
_LONGEST_TEXT = 1000
"""Characters of any other answer; the judges of tasks were made for short ones."""


@dataclass(frozen=True, kw_only=True)
class RewardProblem:
    """A problem as a reward needs it."""

    text: str
    """The question."""
    answer: str = ""
    """A right answer; empty where tests decide."""
    task: str = ""
    """The task that judges, or the data set of reasoning-gym; empty: answers are compared as text."""
    tests: str = ""
    """Python that raises where the program before it is wrong."""
    entry: Mapping[str, Any] = field(default_factory=dict)
    """What a data set of reasoning-gym needs besides to judge: the entry that the question was made with."""


class Reward(Protocol):
    """What a completion earns."""

    def __call__(
        self, problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool
    ) -> float:
        """The reward, a finite number; the rewards of this module are 1 for right and 0 for wrong.

        Args:
            problem: what was asked.
            completion_text: the answer, without the reasoning.
            reasoning: what was thought before it.
            well_formed: whether the completion is one `<think>…</think>` with an answer after it.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A completion to reward."""

    problem: RewardProblem
    """What was asked."""
    text: str
    """The answer, without the reasoning."""
    reasoning: str = ""
    """What was thought before it."""
    well_formed: bool = True
    """Whether the completion is one `<think>…</think>` with an answer after it."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a completion earns, part by part."""

    answer: float
    """Reward of the answer."""
    format: float
    """Reward of the form."""

    def total(self, format_weight: float) -> float:
        """Both together."""
        return self.answer + format_weight * self.format


def format_reward(completion_text: str, reasoning: str, well_formed: bool) -> float:
    """1 for one `<think>…</think>` with reasoning in it and an answer after it, else 0.

    DeepSeek-R1 (arXiv 2501.12948) section 2.2.2, made strict: markers spelled out in words a second time, empty
    reasoning and an empty answer earn nothing.
    """
    whole = bool(completion_text.strip()) and bool(reasoning.strip())
    marked = any(marker in part for marker in _CHAT_MARKERS for part in (completion_text, reasoning))
    return float(bool(well_formed) and whole and not marked)


class AnswerReward:
    """1 where a judge finds the answer right, else 0."""

    def __init__(
        self,
        name: str,
        judge: Callable[[RewardProblem, str], bool],
        *,
        needs: Sequence[str] = ("answer",),
        waits: bool = False,
        longest: int = _LONGEST,
    ) -> None:
        """From a judge.

        Args:
            name: what it is called on the command line.
            judge: whether a text answers a problem.
            needs: fields of a problem that must not be empty.
            waits: whether judging waits for other processes, so that several threads judge faster than one.
            longest: characters of an answer at most; a longer one is wrong.
        """
        self.name, self.judge, self.needs, self.waits = name, judge, tuple(needs), waits
        self.longest = longest

    def __call__(
        self, problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool
    ) -> float:
        """The reward of an answer; one with markers in it has no single end of its reasoning and is wrong."""
        if len(completion_text) > self.longest or any(m in completion_text for m in _CHAT_MARKERS):
            return 0.0
        return float(self.judge(problem, completion_text))

    def check(self, problem: RewardProblem) -> None:
        """Refuse a problem that cannot be judged.

        Raises:
            InputError: it lacks what this reward compares with.
        """
        for name in self.needs:
            if not getattr(problem, name):
                raise InputError(
                    f"the problem {problem.text[:60]!r} without {name!r}",
                    f"problems with {' and '.join(map(repr, self.needs))} for the reward {self.name!r}",
                    "complete the data set or choose another reward",
                )


def reward_names() -> tuple[str, ...]:
    """The names that `get_reward` knows; `gym:` is followed by the name of a data set."""
    return ("task", "exact", "math", "code", f"{_GYM}NAME")


def get_reward(name: str) -> AnswerReward:
    """A reward by its name.

    task: the judge of the problem's task, or without a task text up to white space and case.
    exact: equality after normalisation (`math_answer.normalised`).
    math: mathematical equivalence through math-verify (an extra).
    code: the program passes the problem's tests in the sandbox.
    gym:NAME: the judge of a data set of reasoning-gym (an extra).

    Raises:
        InputError: an unknown name, or what it needs is not installed.
    """
    from thinkling.tasks import checkers, math_answer
    from thinkling.tasks.problem import judged
    from thinkling.tasks.program_answer import passes_tests

    if name == "task":
        return AnswerReward(
            name,
            lambda problem, given: judged(problem.task, problem.text, problem.answer, given),
            longest=_LONGEST_TEXT,
        )
    if name == "exact":
        return AnswerReward(name, lambda problem, given: math_answer.same_text(problem.answer, given))
    if name == "math":
        checkers.require_math_verify()
        return AnswerReward(
            name,
            lambda problem, given: math_answer.equivalent(problem.answer, given, question=problem.text),
            waits=True,
        )
    if name == "code":
        return AnswerReward(
            name, lambda problem, given: passes_tests(given, problem.tests), needs=("tests",), waits=True
        )
    if name.startswith(_GYM):
        dataset = name.removeprefix(_GYM)
        checkers.require_gym(dataset)
        return AnswerReward(
            name,
            lambda problem, given: checkers.gym_right(dataset, problem.entry, given),
            needs=("entry",),
            waits=True,
        )
    known = reward_names()
    raise InputError(f"reward {name!r}", ", ".join(known), nearest(name, known))


class CheckedReward:
    """A reward that cannot end a run: what it raises, and what is no finite number, is 0 and is counted."""

    def __init__(self, reward: Reward) -> None:
        self.reward = reward
        self.failures = 0
        """Completions that could not be rewarded."""
        self.last_failure = ""
        """What went wrong last."""

    def __call__(
        self, problem: RewardProblem, completion_text: str, reasoning: str, well_formed: bool
    ) -> float:
        """The reward, or 0."""
        try:
            value = float(self.reward(problem, completion_text, reasoning, well_formed))
        except Exception as error:  # whatever a user's function raises
            self.failures += 1
            self.last_failure = f"{type(error).__name__}: {error}"
            return 0.0
        if not math.isfinite(value):
            self.failures += 1
            self.last_failure = f"the reward {value}"
            return 0.0
        return value


def check_reward(reward: Reward, problems: Sequence[RewardProblem], *, tries: int = 4) -> None:
    """Find out before any compute is spent whether a reward can judge these problems.

    Every problem is looked at; the reward is tried on the first ones with the known answer, with none and with noise.

    Args:
        reward: a reward.
        problems: what it will be asked about.
        tries: problems that it is tried on.

    Raises:
        InputError: there is no problem, a problem lacks its answer, or the reward raises or returns no finite number.
    """
    if not problems:
        raise InputError("no problem", "at least one", "give a data set with problems and answers")
    check = getattr(reward, "check", None)
    for problem in problems:
        if check is not None:
            check(problem)
        elif not (problem.answer or problem.tests or problem.entry):
            raise InputError(
                f"the problem {problem.text[:60]!r} without an answer",
                "problems with an answer, tests or an entry",
                "complete the data set",
            )
    name = str(getattr(reward, "name", getattr(reward, "__name__", type(reward).__name__)))
    for problem in problems[:tries]:
        for text in (problem.answer, "", "?"):
            try:
                value = float(reward(problem, text, "a thought", True))
            except InputError:
                raise
            except Exception as error:  # whatever a user's function raises
                raise _unusable(name, f"raises {type(error).__name__}: {error}", text) from error
            if not math.isfinite(value):
                raise _unusable(name, f"returns {value}", text)


def score_all(reward: Reward, completions: Sequence[Completed], *, workers: int | None = None) -> list[Score]:
    """Both rewards of many completions, in their order.

    Args:
        reward: of answers; wrap it in `CheckedReward` where it may fail.
        completions: what was written.
        workers: threads where judging waits for other processes; as many as there are cores by default.
    """

    def score(each: Completed) -> Score:
        return Score(
            answer=reward(each.problem, each.text, each.reasoning, each.well_formed),
            format=format_reward(each.text, each.reasoning, each.well_formed),
        )

    inner = reward.reward if isinstance(reward, CheckedReward) else reward
    count = min(workers or os.cpu_count() or 1, len(completions))
    if count < 2 or not getattr(inner, "waits", False):
        return [score(each) for each in completions]
    with ThreadPoolExecutor(count, thread_name_prefix="reward") as pool:
        return list(pool.map(score, completions))


def _unusable(name: str, what: str, text: str) -> InputError:
    return InputError(
        f"the reward {name!r}, which {what} for the answer {text[:40]!r}",
        "a finite number for every answer, wrong and empty ones too",
        "correct the reward",
    )
