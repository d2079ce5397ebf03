"""Asking and counting: every figure by hand, draws, prompts that do not fit, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from small_decoder import write_random_run

from thinkling.errors import InputError
from thinkling.lm.benchmarks.evaluate import BenchmarkScore, evaluate_benchmark
from thinkling.lm.benchmarks.item import BenchmarkItem
from thinkling.lm.benchmarks.word_problems import WordProblems, gsm8k
from thinkling.lm.language_model import AnswerSettings, Generated, LanguageModel
from thinkling.lm.request import Request
from thinkling.lm.run_files import PRETRAINING
from thinkling.lm.sampling import SamplingConfig


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return write_random_run(tmp_path_factory.mktemp("lm") / "run")


def item(number: int, prompt: str = "7?", answer: str = "7") -> BenchmarkItem:
    return BenchmarkItem(number=number, name=f"line {number}", prompt=prompt, answer=answer)


def generated(text: str, thinking: int = 4, *, well_formed: bool = True, finish: str = "stop") -> Generated:
    return Generated(
        text=text,
        reasoning="r" * thinking,
        tokens=thinking + 3,
        thinking_tokens=thinking,
        prompt_tokens=5,
        tokens_per_second=1.0,
        finish=finish,  # type: ignore[arg-type]  # a test's
        well_formed=well_formed,
    )


def answering(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch, told: Callable[[Request], Generated]
) -> list[Request]:
    """Let the model give known answers; what it was asked is kept."""
    asked: list[Request] = []

    def answer(requests: Sequence[Request]) -> list[Generated]:
        asked.extend(requests)
        return [told(request) for request in requests]

    monkeypatch.setattr(model, "answer", answer)
    return asked


def test_the_figures_by_hand(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [  # of two questions, both with the answer 7, four samples each
        generated("7", 10),
        generated("It is 8.", 10),
        generated("so 8", 10),
        generated("The answer is 7", 10, finish="length"),
        generated("9", 2),
        generated("7", 2, well_formed=False),
        generated("", 0, well_formed=False, finish="length"),
        generated("9 or 7", 0),
    ]
    waiting = iter(texts)
    asked = answering(model, monkeypatch, lambda request: next(waiting))
    settings = AnswerSettings(max_tokens=4)
    score = evaluate_benchmark(model, gsm8k(), [item(0), item(1)], settings, samples=4)
    assert len(asked) == 8
    assert {request.sampling.temperature for request in asked} == {1.0}, (
        "greedy samples would all be the same"
    )
    assert (score.n, score.samples, score.temperature, score.too_long) == (2, 4, 1.0, 0)
    assert score.pass_at_1.value == 0.5, "two of four each"
    # C(2, 2) / C(4, 2): one pair in six is wrong altogether.
    assert score.pass_at_k[2].value == pytest.approx(5 / 6)
    assert score.pass_at_k[4].value == 1.0
    assert score.majority_at_k is not None
    # Of the first question 7, 8, 8, 7: the first answer wins a tie; of the second one 9, 7, none, 7.
    assert {k: each.value for k, each in score.majority_at_k.items()} == {1: 0.5, 2: 0.5, 4: 1.0}
    assert score.strict.value == 1 / 8, "well-formed, and nothing but the number"
    assert score.parse_rate.value == 5 / 8, "not without an answer, well-formed text or reasoning"
    assert score.mean_thinking_tokens == 44 / 8
    assert score.cut == 2 / 8
    assert score.tokens == sum(text.tokens for text in texts)
    assert (score.pass_at_1.low, score.pass_at_1.high) == pytest.approx((0.0945, 0.9055), abs=1e-4)
    values = score.as_json()
    assert values["pass_at_k"] == {"1": 0.5, "2": pytest.approx(5 / 6), "4": 1.0}
    assert values["flexible_score"] == values["pass_at_1"] == 0.5
    assert set(values["majority_at_k_interval"]) == {"1", "2", "4"}


def test_what_is_right_by_the_strict_rule_is_right(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(model, monkeypatch, lambda request: generated("#### 7\nor perhaps 8"))
    score = evaluate_benchmark(model, gsm8k(), [item(0)])
    assert (score.strict.value, score.pass_at_1.value) == (1.0, 1.0)


def test_equal_answers_are_judged_once(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    judge = WordProblems.judge
    monkeypatch.setattr(
        WordProblems, "judge", lambda self, answers: judged.append(len(answers)) or judge(self, answers)
    )
    answering(model, monkeypatch, lambda request: generated("7"))
    evaluate_benchmark(model, gsm8k(), [item(0), item(1, answer="8")], samples=5)
    assert judged == [4], "two questions, the strict and the flexible rule"


def test_a_question_that_does_not_fit_counts_as_wrong(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(model, monkeypatch, lambda request: generated("7"))
    score = evaluate_benchmark(model, gsm8k(), [item(0, "7" * 200), item(1)], samples=2)
    assert (score.n, score.too_long, score.pass_at_1.value, score.pass_at_k[2].value) == (2, 1, 0.5, 0.5)
    assert score.parse_rate.value == 0.5
    with pytest.raises(InputError, match=r"2 questions of 2\d\d tokens or more.*context of 96"):
        evaluate_benchmark(model, gsm8k(), [item(0, "7" * 200), item(1, "8" * 201)])


def sampled(
    model: LanguageModel, items: Sequence[BenchmarkItem], samples: int, seed: int = 0
) -> BenchmarkScore:
    settings = AnswerSettings(max_tokens=8, sampling=SamplingConfig(temperature=1.0, seed=seed))
    return evaluate_benchmark(model, gsm8k(), items, settings, samples=samples)


def texts_of(score: BenchmarkScore, number: int) -> list[str]:
    return [sample.given.text for sample in score.answers[number][1]]


def test_draws_depend_on_seed_question_and_sample_only(model: LanguageModel) -> None:
    items = [item(number) for number in range(3)]
    whole = sampled(model, items, 4)
    assert texts_of(sampled(model, items[1:2], 2), 0) == texts_of(whole, 1)[:2]
    assert texts_of(whole, 0) != texts_of(whole, 1), "the same prompt as another question has other draws"
    assert len(set(texts_of(whole, 0))) > 1
    assert texts_of(sampled(model, items, 4, seed=1), 0) != texts_of(whole, 0)


def test_progress_is_told(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(model, monkeypatch, lambda request: generated("7"))
    seen: list[tuple[int, int]] = []
    evaluate_benchmark(
        model, gsm8k(), [item(n) for n in range(600)], samples=2, progress=lambda *state: seen.append(state)
    )
    assert seen == [(1024, 1200), (1200, 1200)]


def test_a_model_trained_on_plain_text_goes_on_with_a_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_random_run(tmp_path / "run", stage=PRETRAINING)
    with pytest.raises(InputError, match=r"gsm8k for a model of the stage 'pretraining'.*lm-sft"):
        evaluate_benchmark(model, gsm8k(), [item(0)])
    asked = answering(model, monkeypatch, lambda request: generated("7", 0))
    benchmark = replace(gsm8k(), stop=("\ndef",))
    score = evaluate_benchmark(model, benchmark, [replace(item(0), beginning="1+6=")])
    assert score.parse_rate.value == 1.0, "it has not learned to think first"
    assert asked[0].prompt == [model.tokenizer.bos_id, *model.tokenizer.encode("1+6=")]
    assert asked[0].stop == ("\ndef",)


@pytest.mark.parametrize("samples", [0, -1, 2**20])
def test_impossible_numbers_of_samples(model: LanguageModel, samples: int) -> None:
    with pytest.raises(InputError, match=f"{samples} samples"):
        evaluate_benchmark(model, gsm8k(), [item(0)], samples=samples)


def test_no_question(model: LanguageModel) -> None:
    with pytest.raises(InputError, match="no question"):
        evaluate_benchmark(model, gsm8k(), [])


def test_a_question_with_a_special_token_is_named(model: LanguageModel) -> None:
    with pytest.raises(InputError, match="line 1: <think>"):
        evaluate_benchmark(model, gsm8k(), [item(0), item(1, "<think>7?")])
