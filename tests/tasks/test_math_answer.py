r"""Mathematical answers: what is equal, what only looks so, and what must not hang. math-verify is an extra."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from thinkling.errors import InputError
from thinkling.tasks import checkers
from thinkling.tasks.math_answer import boxes, equivalent, final_answer, normalised, same_text

needs_math_verify = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="math-verify is an extra"
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12", "12"),
        (" The answer is 12. ", "12."),
        ("Answer: 12", "12"),
        ("We add.\nThen \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{12} so it is \\boxed{ 12 }", "12"),
        ("Some steps\n#### 1,234", "1,234"),
        ("\\boxed{11} or \\boxed{12}", None),
        ("\\boxed{12", None),
        ("#### 11\n#### 12", None),
        ("11\n12", None),
        ("1" * 201, None),
        ("", None),
    ],
)
def test_a_text_has_one_answer_or_none(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_boxes_may_hold_brackets() -> None:
    assert boxes("\\boxed{a{b}c} \\fbox{x} \\fboxed{d} \\boxed{") == ["a{b}c", "d", ""]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,234", "1234"),
        ("12.50", "12.5"),
        ("$12$", "12"),
        ("\\$12", "12"),
        ("50\\%", "50"),
        ("-3", "−3"),
        ("5 \\text{ cm}", "5"),
        ("\\text{Evelyn}", "evelyn"),
        ("\\dfrac12", "\\frac{1}{2}"),
        ("\\left(1, 2\\right)", "(1,2)"),
        ("x = 5", "5"),
        ("90^\\circ", "90"),
        ("\\sqrt3", "\\sqrt{3}"),
        ("5.", "5"),
    ],
)
def test_what_is_the_same_text(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert same_text(one, other)
    assert same_text(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("12", "-12"), ("1,2", "12"), ("0.5", "5"), ("1/2", "12"), ("a", "b"), ("12", "1 2")]
)
def test_what_is_not(one: str, other: str) -> None:
    assert not same_text(one, other)
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("expected", "given", "right"),
    [
        ("12", "\\boxed{12.0}", True),
        ("\\frac{1}{2}", "0.5", True),
        ("0.25", "1/4", True),
        ("1/2", "2/4", False),
        ("12", "24/2", False),
        ("12", "5+7", False),
        ("12", "12.000001", False),
        ("1/3", "0.3333", False),
        ("12", "1/0", False),
        ("12", "\\boxed{11}\\boxed{12}", False),
        ("12", "11 = 12", False),
        ("12", "11, 12, 13", False),
        ("12", "12 or 13", False),
        ("12", "\\pm 12", False),
        ("12", "\\{1, 2, 12\\}", False),
        ("Evelyn", "Evelyn or Tom", False),
        ("Evelyn", "evelyn", True),
    ],
)
def test_numbers_and_names_need_no_package(
    expected: str, given: str, right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an answer in many forms, or a calculation that is left to the judge, is none."""
    monkeypatch.setattr(checkers, "math_right", None)
    assert equivalent(expected, given) is right


@needs_math_verify
@pytest.mark.parametrize(
    ("expected", "given", "question", "right"),
    [
        ("\\sqrt{12}", "2\\sqrt{3}", "", True),
        ("x^2 + 2x + 1", "(x+1)^2", "", True),
        ("(x+1)^2", "x^2 + 2x + 1", "Factor $x^2+2x+1$.", False),
        ("p - q", "-q + p", "", True),
        ("p - q", "q - p", "", False),
        ("\\frac{\\pi}{2}", "\\pi/2", "", True),
        ("(1, \\sqrt{4})", "(1, 2)", "", True),
        ("(1, 2)", "(2, 1)", "", False),
        ("x^2 - 1", "x^2 - 1 = x^2 - 1", "", False),
        ("2\\sqrt{3}", "__import__('os').system('id')", "", False),
    ],
)
def test_expressions_are_compared_by_math_verify(
    expected: str, given: str, question: str, right: bool
) -> None:
    assert equivalent(expected, given, question=question) is right


@needs_math_verify
def test_an_expression_that_takes_forever_does_not_stop_the_run() -> None:
    begun = time.monotonic()
    assert not equivalent("\\frac{9^{9^{9^9}}}{x}", "\\frac{x^{9^{9^9}}}{9^{9^9}}", seconds=0.5)
    assert time.monotonic() - begun < 15


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[checkers.CheckerPool]:
    """A math-verify that sleeps, crashes or compares, by what it is given."""
    package = tmp_path / "packages" / "math_verify"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").write_text(
        textwrap.dedent(
            """
            import os, time
            def parse(text, settings, fallback_mode, parsing_timeout):
                assert parsing_timeout is None
                return [text]
            def verify(gold, answer, strict, timeout_seconds):
                assert timeout_seconds is None
                text = answer[0].strip("$")
                if text == "sleep": time.sleep(60)
                if text == "crash": os._exit(0)
                if text == "raise": raise ValueError
                if text == "read": open("/etc/passwd")
                if text == "print": print("x" * 10**6)
                return gold[0].strip("$") == text or text == "read"
            LatexExtractionConfig = ExprExtractionConfig = object
            """
        ),
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "path", [str(package.parent)])
    pool = checkers.CheckerPool("math")
    yield pool
    pool.close()


def asked(pool: checkers.CheckerPool, given: str, seconds: float = 5.0) -> bool:
    return pool.right({"expected": "a", "given": given}, seconds)


def test_a_checker_answers_and_outlives_what_goes_wrong(stand_in: checkers.CheckerPool) -> None:
    assert asked(stand_in, "a")
    (first,) = stand_in._waiting
    assert not asked(stand_in, "b")
    assert not asked(stand_in, "raise")
    assert not asked(stand_in, "print")
    assert stand_in._waiting == [first]
    begun = time.monotonic()
    assert not asked(stand_in, "sleep", 0.3)
    assert time.monotonic() - begun < 3
    assert first.process.returncode is not None
    assert not asked(stand_in, "crash")
    assert stand_in._waiting == []
    assert asked(stand_in, "a")


@pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")
def test_a_checker_is_confined(stand_in: checkers.CheckerPool) -> None:
    """Packages hand parts of an answer to Python's own evaluation."""
    assert not asked(stand_in, "read")


def test_threads_have_checkers_of_their_own(stand_in: checkers.CheckerPool) -> None:
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(asked(stand_in, "a"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3
    assert 1 <= len(stand_in._waiting) <= 3


def test_a_package_that_is_broken_is_named(stand_in: checkers.CheckerPool, tmp_path: Path) -> None:
    (tmp_path / "packages" / "math_verify" / "__init__.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(InputError, match="the package math-verify, which does not start"):
        asked(stand_in, "a")


def test_long_answers_are_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkers, "_require", lambda kind: None)
    assert not checkers.math_right("1", "1" * 5000)
    assert not checkers.gym_right("x", {"index": 0, "seed": 0}, "1" * 5000)


def test_the_scorers_of_reasoning_gym() -> None:
    gym = pytest.importorskip("reasoning_gym", reason="an extra")
    from thinkling.tasks.reward import RewardProblem, get_reward

    entry = gym.create_dataset("leg_counting", size=3, seed=5)[2]
    reward = get_reward("gym:leg_counting")
    for known in (entry, {"seed": 5, "index": 2}):
        problem = RewardProblem(text=entry["question"], task="leg_counting", entry=known)
        assert reward(problem, entry["answer"], "", True) == 1.0
        for wrong in ("", "x", f"{entry['answer']} {entry['answer']}", f"1 2 3 {entry['answer']}"):
            assert reward(problem, wrong, "", True) == 0.0
    with pytest.raises(InputError, match=r"gym:leg_countin; .*did you mean 'leg_counting'"):
        get_reward("gym:leg_countin")
