"""Proof of the answers of generated problems: they are worked out anew from the question's words.

A judge trusts the known right answer. What models learn from must not be trusted: a file may have been edited, made by
another version, or by another program.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from thinkling.errors import InputError
from thinkling.tasks.arithmetic import same_number
from thinkling.tasks.countdown import evaluated
from thinkling.tasks.number_words import in_words
from thinkling.tasks.problem import problem_task

_LONGEST_IN_WORDS = 6
"""Words of "three hundred and twenty-one", hyphens not counted, and some to spare."""


def check_answer(task: str, question: str, answer: str) -> None:
    """Refuse a wrong answer.

    Args:
        task: name of a task.
        question: the problem.
        answer: what is said to be right.

    Raises:
        InputError: an unknown task, an answer that is wrong or not of the task's form, or a question that cannot be
            read, so that no answer to it can be verified.
    """
    if not problem_task(task).judge(question, answer, answer):
        raise InputError(
            f"the answer {answer[:40]!r} to a problem of the task {task!r}",
            "an answer in the task's form",
            "correct or remove this line",
        )
    solver = SOLVERS.get(task)
    if solver is None:
        return
    verdicts = list(solver(question, answer))
    if not verdicts:
        raise InputError(
            f"the problem {question[:60]!r} of the task {task!r}, which cannot be read",
            "a problem as `thinkling data make problems` writes it",
            "remove this line, or its field 'task' to learn it unverified",
        )
    if not any(verdicts):
        raise InputError(
            f"the answer {answer[:40]!r} to {question[:60]!r}, which is wrong",
            "right answers",
            "correct or remove this line",
        )


def _sum(question: str, answer: str) -> Iterator[bool]:
    for a, b in _pairs(question):
        yield same_number(str(a + b), answer)


def _difference(question: str, answer: str) -> Iterator[bool]:
    for a, b in _pairs(question):
        first, second = (b, a) if question.lower().startswith("subtract") else (a, b)
        yield same_number(str(first - second), answer)


def _product(question: str, answer: str) -> Iterator[bool]:
    for a, b in _pairs(question):
        yield same_number(str(a * b), answer)


def _compare(question: str, answer: str) -> Iterator[bool]:
    for a, b in _pairs(question):
        yield same_number(str(max(a, b) if "larger" in question.lower() else min(a, b)), answer)


def _sort(question: str, answer: str) -> Iterator[bool]:
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    if len(numbers) > 1:
        numbers.sort(reverse="descending" in question.lower())
        yield [int(number) for number in re.findall(r"\d+", answer)] == numbers


def _count(question: str, answer: str) -> Iterator[bool]:
    condition = re.search(r"\b(even|odd|above (\d+)|below (\d+))", question.lower())
    if condition is None:
        return
    # The limit stands before the list or after it, and is no part of it.
    rest = question[: condition.start()] + question[condition.end() :]
    numbers = [int(number) for number in re.findall(r"\d+", rest)]
    if not numbers:
        return
    word, limit = condition[1].split(" ")[0], int(condition[2] or condition[3] or 0)
    holds = {
        "even": lambda number: number % 2 == 0,
        "odd": lambda number: number % 2 == 1,
        "above": lambda number: number > limit,
        "below": lambda number: number < limit,
    }[word]
    yield same_number(str(sum(map(holds, numbers))), answer)


def _countdown(question: str, answer: str) -> Iterator[bool]:
    found = [int(number) for number in re.findall(r"\d+", question)]
    target = re.search(r"(?:make|reach|get) (\d+)", question.lower())
    if target is None or len(found) < 3:
        return
    found.remove(int(target[1]))
    used = sorted(int(number) for number in re.findall(r"\d+", answer))
    yield evaluated(answer) == int(target[1]) and used == sorted(found)


SOLVERS: dict[str, Callable[[str, str], Iterator[bool]]] = {
    "sum": _sum,
    "difference": _difference,
    "product": _product,
    "compare": _compare,
    "sort": _sort,
    "count": _count,
    "countdown": _countdown,
}
"""For each task, whether an answer is right under each way to read the question; none where it cannot be read."""


def _pairs(question: str) -> Iterator[tuple[int, int]]:
    """Each way to read two numbers in a question.

    "Add three hundred and five" asks for 300 + 5, although 305 is a number too.
    """
    words = re.findall(r"\d+|[a-z]+(?:-[a-z]+)*", question.lower())
    for numbers in _readings(tuple(words)):
        if len(numbers) == 2:
            yield numbers[0], numbers[1]


def _readings(words: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
    """Every way to read words as numbers that leaves out no word that is one."""
    if not words:
        yield ()
        return
    number_begins = False
    for size in range(1, min(_LONGEST_IN_WORDS, len(words)) + 1):
        number = _number(" ".join(words[:size]))
        if number is not None:
            number_begins = True
            for others in _readings(words[size:]):
                yield (number, *others)
    if not number_begins and words[0] not in _PARTS:
        yield from _readings(words[1:])


_PARTS = frozenset({"hundred", "thousand"})
"""Words that stand in numbers only."""


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else _by_words().get(text)


@functools.cache
def _by_words() -> dict[str, int]:
    return {in_words(number): number for number in range(1000)}
