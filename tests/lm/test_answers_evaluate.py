"""Scoring answers: who judges, what counts, and what does not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_decoder import write_random_run

from thinkling.data.chat_template import Message
from thinkling.data.conversations import Conversation
from thinkling.errors import InputError
from thinkling.lm.answers_evaluate import evaluate_answers
from thinkling.lm.language_model import AnswerSettings, Generated, LanguageModel
from thinkling.tasks.problem import Problem


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return write_random_run(tmp_path_factory.mktemp("lm") / "run")


def answering(model: LanguageModel, monkeypatch: pytest.MonkeyPatch, told: dict[str, Generated]) -> None:
    """Let the model give known answers to known questions."""
    monkeypatch.setattr(
        model, "generate_many", lambda asked, settings: [told[messages[-1].content] for messages in asked]
    )


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


def test_answers_are_judged_by_their_task(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        model,
        monkeypatch,
        {
            "What is 1234 + 1?": generated("1,235", 10),
            "What is 5 + 5?": generated("11", 2),
            "Capital of France?": generated(" paris\n", 0),
            "Colour of the sky?": generated("", 6, well_formed=False, finish="length"),
        },
    )
    source = [
        Problem(task="sum", text="What is 1234 + 1?", answer="1235"),
        Problem(task="sum", text="What is 5 + 5?", answer="10"),
        Conversation(
            messages=(
                Message(role="system", content="Be brief."),
                Message(role="user", content="Capital of France?"),
                Message(role="assistant", content="Paris"),
            ),
            place="line 1",
        ),
        Problem(task="", text="Colour of the sky?", answer="blue"),
    ]
    score = evaluate_answers(model, source, show_wrong=1)
    assert (score.n, score.exact_accuracy) == (4, 0.5)
    assert {name: (task.n, task.exact_accuracy) for name, task in score.by_task.items()} == {
        "sum": (2, 0.5),
        "text": (2, 0.5),
    }
    assert score.parse_rate == 0.5, "no thinking and a cut answer are not well-formed"
    assert score.mean_thinking_tokens == 4.5
    assert (score.cut, score.too_long, score.tokens) == (1, 0, 30)
    assert [wrong["question"] for wrong in score.wrong] == ["What is 5 + 5?"]
    assert evaluate_answers(model, source, AnswerSettings(thinking=False)).parse_rate == 0.75


def test_a_question_that_does_not_fit_is_counted_as_wrong(model: LanguageModel) -> None:
    source = [Problem(task="", text="7" * 200, answer="1"), Problem(task="", text="7?", answer="1")]
    score = evaluate_answers(model, source, AnswerSettings(max_tokens=4))
    assert (score.n, score.too_long) == (2, 1)
    assert score.exact_accuracy <= 0.5
    assert score.by_task["text"].n == 2


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ([], "no question"),
        ([Problem(task="alchemy", text="7?", answer="1")], "alchemy"),
        ([Conversation(messages=(Message(role="assistant", content="7"),), place="f line 3")], "f line 3"),
        (
            [
                Conversation(
                    messages=(Message(role="assistant", content="7"), Message(role="user", content="7")),
                    place="f line 4",
                )
            ],
            "f line 4",
        ),
    ],
)
def test_what_is_refused(model: LanguageModel, source: list[Problem | Conversation], named: str) -> None:
    with pytest.raises(InputError, match=named):
        evaluate_answers(model, source, AnswerSettings(max_tokens=2))
