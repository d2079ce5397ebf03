"""How many questions a language model answers right, judged by the tasks they come from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkling.data.chat_template import Message
from thinkling.data.conversations import Conversation
from thinkling.errors import InputError
from thinkling.lm.language_model import AnswerSettings, Generated, LanguageModel
from thinkling.tasks.problem import Problem, judged

NO_TASK = "text"
"""What answers that no task judges are listed under; they are compared as text."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something to ask, and what would be right."""

    messages: tuple[Message, ...]
    """The conversation; the last message is the user's."""
    answer: str
    """A right answer."""
    task: str = ""
    """The task that judges; empty: answers are compared as text."""

    @classmethod
    def of(cls, source: Problem | Conversation) -> Question:
        """From a problem, or from a conversation whose last message is the right answer.

        Raises:
            InputError: the conversation does not end with a user's message and an answer.
        """
        if isinstance(source, Problem):
            asked = (Message(role="user", content=source.text),)
            return cls(messages=asked, answer=source.answer, task=source.task)
        *before, last = source.messages
        if last.role != "assistant" or not before or before[-1].role != "user":
            raise InputError(
                f"{source.place}: a conversation that does not end with a question and its answer",
                "a user's message followed by an assistant's",
                "correct or remove this line",
            )
        return cls(messages=tuple(before), answer=last.content, task=source.task)


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """How many questions of one task were answered right."""

    n: int
    """Questions."""
    exact_accuracy: float
    """Share of right answers."""


@dataclass(frozen=True, kw_only=True)
class AnswerScore:
    """How well questions are answered."""

    n: int
    """Questions."""
    exact_accuracy: float
    """Share of right answers; a question that does not fit into the context counts as wrong."""
    by_task: dict[str, TaskScore]
    """The same for each task."""
    parse_rate: float
    """Share of well-formed outputs: reasoning opened and closed once, and an answer after it."""
    mean_thinking_tokens: float
    """Mean number of tokens of reasoning."""
    p95_thinking_tokens: float
    """95th percentile of them."""
    cut: int
    """Answers that did not end by themselves."""
    too_long: int
    """Questions that do not fit into the context."""
    tokens: int
    """Tokens generated."""
    seconds: float
    """Wall-clock time."""
    wrong: tuple[dict[str, Any], ...] = ()
    """The first wrong answers: question, right answer, given answer, reasoning."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated in a second."""
        return self.tokens / max(self.seconds, 1e-9)


def evaluate_answers(
    model: LanguageModel,
    source: Iterable[Problem | Conversation],
    settings: AnswerSettings | None = None,
    *,
    show_wrong: int = 0,
) -> AnswerScore:
    """Ask all questions at once and judge the answers.

    Args:
        model: the model, trained on conversations.
        source: problems, or conversations that end with the right answer.
        settings: how to answer; greedy by default.
        show_wrong: how many wrong answers to keep.

    Raises:
        InputError: no question, a conversation without one, or an unknown task.
    """
    settings = settings or AnswerSettings()
    questions = [Question.of(each) for each in source]
    if not questions:
        raise InputError("no question", "at least one", "give a file with problems")
    context = model.network.config.max_length
    sizes = [len(model.request(question.messages, settings).prompt) for question in questions]
    fitting = [question for question, size in zip(questions, sizes, strict=True) if size < context]
    start = time.perf_counter()
    answers = model.generate_many([question.messages for question in fitting], settings)
    seconds = time.perf_counter() - start
    # A judge takes microseconds; what it says of an answer is not part of the model's time.
    right = [
        judged(question.task, question.messages[-1].content, question.answer, given.text)
        for question, given in zip(fitting, answers, strict=True)
    ]
    thinking = [given.thinking_tokens for given in answers] or [0]
    return AnswerScore(
        n=len(questions),
        exact_accuracy=sum(right) / len(questions),
        by_task=_by_task(questions, fitting, right),
        parse_rate=sum(_parsed(given, settings) for given in answers) / len(questions),
        mean_thinking_tokens=float(np.mean(thinking)),
        p95_thinking_tokens=float(np.percentile(thinking, 95)),
        cut=sum(given.finish == "length" for given in answers),
        too_long=len(questions) - len(fitting),
        tokens=sum(given.tokens for given in answers),
        seconds=seconds,
        wrong=tuple(
            {
                "question": question.messages[-1].content,
                "answer": question.answer,
                "given": given.text,
                "reasoning": given.reasoning,
            }
            for question, given, is_right in zip(fitting, answers, right, strict=True)
            if not is_right
        )[:show_wrong],
    )


def _parsed(given: Generated, settings: AnswerSettings) -> bool:
    return given.well_formed and (given.thinking_tokens > 0 or not settings.thinking)


def _by_task(
    questions: Sequence[Question], fitting: Sequence[Question], right: Sequence[bool]
) -> dict[str, TaskScore]:
    found: dict[str, list[bool]] = {}
    for question in questions:
        found.setdefault(question.task or NO_TASK, [])
    totals = {name: sum((q.task or NO_TASK) == name for q in questions) for name in found}
    for question, is_right in zip(fitting, right, strict=True):
        found[question.task or NO_TASK].append(is_right)
    return {
        name: TaskScore(n=totals[name], exact_accuracy=sum(found[name]) / totals[name])
        for name in sorted(found)
    }
