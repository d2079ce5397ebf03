"""A model answers the questions of a benchmark, each once or several times, and is scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thinkling.errors import InputError
from thinkling.lm.benchmarks.estimates import Estimate, pass_at_k, sizes_up_to, vote, wilson
from thinkling.lm.benchmarks.item import Answer, Benchmark, BenchmarkItem, Found
from thinkling.lm.language_model import AnswerSettings, Generated, LanguageModel
from thinkling.lm.request import Request
from thinkling.lm.run_files import CHAT

_REQUESTS_AT_ONCE = 1024
"""After so many answers progress is reported; few enough to be seen, many enough to keep all slots busy."""
_SAMPLES = 20
"""Bits of a sample's number, so that no two questions share their draws."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer to one question."""

    given: Generated
    """What the model wrote."""
    found: Found
    """The answer in it."""
    strict: bool
    """Whether the text is well-formed and its strictly found answer is right."""
    right: bool
    """Whether an answer, however it was found, is right."""
    parsed: bool
    """Whether the text is well-formed, with reasoning where there may be some, and an answer was found."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkScore:
    """How well a model answers the questions of a benchmark. Intervals are 95 % (Wilson), over questions."""

    benchmark: str
    """Its name."""
    n: int
    """Questions."""
    samples: int
    """Answers to each."""
    temperature: float
    """They were drawn at; 0: greedy."""
    pass_at_k: dict[int, Estimate]
    """Share of questions of which one of k answers is right, without bias; by k."""
    majority_at_k: dict[int, Estimate] | None
    """Share of questions of which the most frequent of the first k answers is right, by k; None for programs."""
    strict: Estimate
    """pass@1 where only well-formed answers in the asked form count."""
    parse_rate: Estimate
    """Share of answers that are well-formed, reasoning opened and closed once before them, and hold an answer."""
    mean_thinking_tokens: float
    """Mean number of tokens of reasoning."""
    p95_thinking_tokens: float
    """95th percentile of them."""
    cut: float
    """Share of answers that did not end by themselves."""
    too_long: int
    """Questions that do not fit into the context; they count as wrong."""
    tokens: int
    """Tokens generated."""
    seconds: float
    """Wall-clock time of generating."""
    judge_seconds: float
    """Wall-clock time of judging."""
    answers: tuple[tuple[BenchmarkItem, tuple[Sample, ...]], ...]
    """Every question with its answers; without any where the question does not fit."""

    @property
    def pass_at_1(self) -> Estimate:
        """Share of right answers, however they were found: the flexible score."""
        return self.pass_at_k[1]

    def as_json(self) -> dict[str, Any]:
        """The figures; each share is followed by its interval."""
        values: dict[str, Any] = {
            "benchmark": self.benchmark,
            "n": self.n,
            "samples": self.samples,
            "temperature": self.temperature,
        }
        for name, estimate in (
            ("pass_at_1", self.pass_at_1),
            ("strict_score", self.strict),
            ("flexible_score", self.pass_at_1),
            ("parse_rate", self.parse_rate),
        ):
            values |= {name: estimate.value, f"{name}_interval": [estimate.low, estimate.high]}
        for name, by_size in (("pass_at_k", self.pass_at_k), ("majority_at_k", self.majority_at_k)):
            values[name] = None if by_size is None else {str(k): each.value for k, each in by_size.items()}
            values[f"{name}_interval"] = (
                None if by_size is None else {str(k): [each.low, each.high] for k, each in by_size.items()}
            )
        return values | {
            "mean_thinking_tokens": self.mean_thinking_tokens,
            "p95_thinking_tokens": self.p95_thinking_tokens,
            "cut": self.cut,
            "too_long": self.too_long,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "judge_seconds": self.judge_seconds,
            "tokens_per_second": self.tokens / max(self.seconds, 1e-9),
        }


def evaluate_benchmark(
    model: LanguageModel,
    benchmark: Benchmark,
    items: Sequence[BenchmarkItem],
    settings: AnswerSettings | None = None,
    *,
    samples: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> BenchmarkScore:
    """Ask every question `samples` times and judge the answers.

    A draw depends on the seed, the question's number, the sample's number and the place of the token only.

    Args:
        model: the model; one that was trained on plain text can be asked where items have a beginning.
        benchmark: who finds and judges answers.
        items: the questions.
        settings: how to answer; a temperature of 0 is taken as 1 where several samples are asked for, because all
            would be the same.
        samples: answers to each question.
        progress: told after some answers how many there are, and of how many.

    Raises:
        InputError: no question, none that fits into the context, fewer than one sample, or a model that cannot be
            asked; nothing has been answered then.
    """
    settings = settings or AnswerSettings()
    if not 1 <= samples < 2**_SAMPLES:
        raise InputError(f"{samples} samples", f"1 to {2**_SAMPLES - 1}", "ask for another number")
    if not items:
        raise InputError("no question", "at least one", "give another file")
    if samples > 1 and settings.sampling.temperature == 0:
        settings = replace(settings, sampling=replace(settings.sampling, temperature=1.0))
    if model.stage != CHAT:
        settings = replace(settings, thinking=False, stop=(*settings.stop, *benchmark.stop))
    requests = _requests(model, benchmark, items, settings, samples)
    start = time.perf_counter()
    given: list[Generated] = []
    for first in range(0, len(requests), _REQUESTS_AT_ONCE):
        given += model.answer(requests[first : first + _REQUESTS_AT_ONCE])
        if progress is not None:
            progress(len(given), len(requests))
    answered = time.perf_counter()
    answers = _judged(benchmark, _by_item(items, requests, given), thinking=settings.thinking)
    return _score(
        benchmark, answers, settings, samples, answered - start, judge_seconds=time.perf_counter() - answered
    )


def _requests(
    model: LanguageModel,
    benchmark: Benchmark,
    items: Sequence[BenchmarkItem],
    settings: AnswerSettings,
    samples: int,
) -> list[Request]:
    """What the engine is asked, the samples of a question one after the other, so that its prompt is read once."""
    chat = model.stage == CHAT
    if not chat and not all(item.beginning for item in items):
        raise InputError(
            f"{benchmark.name} for a model of the stage {model.stage!r}",
            "a model that was trained on conversations",
            "train it on conversations first: thinkling train lm-sft",
        )
    context, shortest, requests = model.network.config.max_length, None, []
    for item in items:
        try:
            first = model.request(item.prompt if chat else item.beginning, settings)
        except InputError as error:
            raise error.at(item.name) from None
        shortest = min(len(first.prompt), shortest or len(first.prompt))
        if len(first.prompt) < context:
            requests += [replace(first, sample=item.number << _SAMPLES | sample) for sample in range(samples)]
    if not requests:
        raise InputError(
            f"{benchmark.name}: {len(items)} questions of {shortest} tokens or more",
            f"at most {context - 1}, so that an answer fits into the context of {context}",
            "use a model with a longer context",
        )
    return requests


def _by_item(
    items: Sequence[BenchmarkItem], requests: Sequence[Request], given: Sequence[Generated]
) -> list[tuple[BenchmarkItem, list[Generated]]]:
    found: dict[int, list[Generated]] = {item.number: [] for item in items}
    for request, each in zip(requests, given, strict=True):
        found[request.sample >> _SAMPLES].append(each)
    return [(item, found[item.number]) for item in items]


def _judged(
    benchmark: Benchmark, answers: Sequence[tuple[BenchmarkItem, Sequence[Generated]]], *, thinking: bool
) -> list[tuple[BenchmarkItem, tuple[Sample, ...]]]:
    """Every answer with its verdicts; equal answers to one question are judged once."""
    found = [[benchmark.found(item, each.text) for each in given] for item, given in answers]
    waiting: dict[tuple[int, str, bool], Answer] = {}
    for (item, _), of_item in zip(answers, found, strict=True):
        for each in of_item:
            for text, strict in ((each.strict, True), (each.flexible, False)):
                if text is not None:
                    waiting[item.number, text, strict] = Answer(item=item, text=text, strict=strict)
    verdicts = dict(zip(waiting, benchmark.judge(list(waiting.values())), strict=True))

    def sample(item: BenchmarkItem, given: Generated, each: Found) -> Sample:
        strict = each.strict is not None and verdicts[item.number, each.strict, True]
        flexible = each.flexible is not None and verdicts[item.number, each.flexible, False]
        # What is right by the strict rule is right.
        return Sample(
            given=given,
            found=each,
            strict=strict and given.well_formed,
            right=strict or flexible,
            parsed=given.well_formed
            and (given.thinking_tokens > 0 or not thinking)
            and each.flexible is not None,
        )

    return [
        (item, tuple(sample(item, *each) for each in zip(given, of_item, strict=True)))
        for (item, given), of_item in zip(answers, found, strict=True)
    ]


def _score(
    benchmark: Benchmark,
    answers: Sequence[tuple[BenchmarkItem, tuple[Sample, ...]]],
    settings: AnswerSettings,
    samples: int,
    seconds: float,
    judge_seconds: float,
) -> BenchmarkScore:
    n = len(answers)
    every = [sample for _, of_item in answers for sample in of_item]
    thinking = [sample.given.thinking_tokens for sample in every]

    def share(kept: Callable[[Sample], bool]) -> Estimate:
        return wilson(sum(kept(sample) for sample in every) / (n * samples), n)

    sizes = sizes_up_to(samples)
    right = [sum(sample.right for sample in of_item) for _, of_item in answers]
    passed = {k: wilson(sum(pass_at_k(samples, each, k) for each in right) / n, n) for k in sizes}
    majority = {
        k: wilson(sum(_majority_right(benchmark, of_item[:k]) for _, of_item in answers) / n, n)
        for k in sizes
    }
    return BenchmarkScore(
        benchmark=benchmark.name,
        n=n,
        samples=samples,
        temperature=settings.sampling.temperature,
        pass_at_k=passed,
        majority_at_k=majority if benchmark.votes else None,
        strict=share(lambda sample: sample.strict),
        parse_rate=share(lambda sample: sample.parsed),
        mean_thinking_tokens=float(np.mean(thinking)),
        p95_thinking_tokens=float(np.percentile(thinking, 95)),
        cut=sum(sample.given.finish == "length" for sample in every) / len(every),
        too_long=sum(not of_item for _, of_item in answers),
        tokens=sum(sample.given.tokens for sample in every),
        seconds=seconds,
        judge_seconds=judge_seconds,
        answers=tuple(answers),
    )


def _majority_right(benchmark: Benchmark, samples: Sequence[Sample]) -> bool:
    """Whether the most frequent answer is right."""
    chosen = vote(
        [
            None if sample.found.flexible is None else benchmark.ballot(sample.found.flexible)
            for sample in samples
        ]
    )
    return chosen is not None and samples[chosen].right
