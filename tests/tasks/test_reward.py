"""Rewards: what earns them, what does not, and that none can end a run."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from thinkling.errors import InputError
from thinkling.tasks.problem import problem_tasks, problems
from thinkling.tasks.program_answer import passes_tests, program_of
from thinkling.tasks.reward import (
    AnswerReward,
    CheckedReward,
    Completed,
    RewardProblem,
    Score,
    check_reward,
    format_reward,
    get_reward,
    score_all,
)

TWELVE = RewardProblem(text="What is 5 + 7?", answer="12", task="sum")


def earned(name: str, problem: RewardProblem, text: str, reasoning: str = "thought") -> float:
    return get_reward(name)(problem, text, reasoning, True)


@pytest.mark.parametrize(
    ("text", "reasoning", "well_formed", "reward"),
    [
        ("12", "5+7=12", True, 1.0),
        ("12", "5+7=12", False, 0.0),
        ("12", "", True, 0.0),
        ("12", " \n", True, 0.0),
        ("  ", "5+7=12", True, 0.0),
        ("12<think>again</think>", "5+7=12", True, 0.0),
        ("</think>12", "5+7=12", True, 0.0),
        ("12", "<think>5+7=12", True, 0.0),
        ("12<|im_end|>", "5+7=12", True, 0.0),
    ],
)
def test_the_form_is_one_pair_of_markers_with_something_in_it_and_after_it(
    text: str, reasoning: str, well_formed: bool, reward: float
) -> None:
    assert format_reward(text, reasoning, well_formed) == reward


@pytest.mark.parametrize("name", ["task", "exact"])
def test_an_answer_is_right_or_wrong(name: str) -> None:
    assert earned(name, TWELVE, "12") == earned(name, TWELVE, " 12.\n") == 1.0
    for wrong in (
        "", "13", "1 2", "12 or 13", "12 12", "11 12 13", "12\n13", "12 " * 50, "the answer may be 12", "1" * 5000,
        "<think>12</think>12", "12 <|im_end|>", "12, 12.0, twelve", "0012x", "12" + " " * 5000 + "x",
    ):  # fmt: skip
        assert earned(name, TWELVE, wrong) == 0.0, wrong


def test_reasoning_earns_nothing() -> None:
    for name in ("task", "exact"):
        assert earned(name, TWELVE, "13", "the answer is 12. 12. 12.") == 0.0


@pytest.mark.parametrize("name", list(problem_tasks()))
def test_every_task_s_judge_gives_a_reward(name: str) -> None:
    reward = get_reward("task")
    for problem in problems([name], 1, 0, 20):
        asked = RewardProblem(text=problem.text, answer=problem.answer, task=problem.task)
        assert reward(asked, problem.answer, "", True) == 1.0
        for cheat in (
            f"{problem.answer} {problem.answer}x",
            problem.text,
            problem.reasoning,
        ):
            assert reward(asked, cheat, "", True) == 0.0, (problem, cheat)


def test_a_problem_without_a_task_is_compared_as_text() -> None:
    assert earned("task", RewardProblem(text="?", answer="Blue sky"), " blue  SKY") == 1.0


def test_code_is_rewarded_by_its_tests() -> None:
    problem = RewardProblem(text="Square.", tests="assert f(3) == 9")
    good = "def f(x):\n    return x * x"
    assert (
        earned("code", problem, good)
        == earned("code", problem, f"Here:\n```python\n{good}\n```\nDone.")
        == 1.0
    )
    for wrong in (
        "def f(x): return 8", "", "print('assert f(3) == 9')", "import os\nos._exit(0)", f"```python\n{good}",
        f"```python\n{good}\n```\n```python\n{good}\n```", "class E:\n __eq__ = lambda *a: True\ndef f(x): return E()",
    ):  # fmt: skip
        assert earned("code", problem, wrong) == 0.0, wrong


def test_the_program_of_an_answer() -> None:
    assert program_of("x = 1") == "x = 1"
    assert program_of("```\nx = 1\n```") == "x = 1\n"
    assert program_of("```py\nx = 1\n```") == "x = 1\n"
    assert program_of("```json\n{}\n```") is None
    assert program_of(" \n") is None
    assert not passes_tests("x = 1\n" * 10_000, "")


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 3000,
        "\n" * 19_000 + "x",
        "####" + " " * 19_000 + "x",
        "1" * 19_000,
        "```" + " " * 19_000 + "\n```",
    ],
    ids=["boxes", "lines", "blanks", "figures", "fence"],
)
def test_no_text_takes_long_to_read(text: str) -> None:
    begun = time.monotonic()
    problem = RewardProblem(text="What is 5 + 7?", answer="12", task="sum", tests="assert x == 1")
    assert [get_reward(name)(problem, text, "", True) for name in ("task", "exact", "code")] == [0.0] * 3
    assert time.monotonic() - begun < 2


def test_names() -> None:
    for name in ("task", "exact", "code"):
        assert get_reward(name).name == name
    with pytest.raises(
        InputError, match="reward 'tsk'; allowed: task, exact, math, code, gym:NAME; did you mean"
    ):
        get_reward("tsk")


def test_without_the_packages_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(__import__("sys").modules, "math_verify", raising=False)
    with pytest.raises(InputError, match=r"package math-verify; .*pip install 'thinkling\[math\]'"):
        get_reward("math")
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(InputError, match=r"package reasoning-gym.*pip install 'thinkling\[gym\]'"):
        get_reward("gym:countdown")


def broken(value: Any) -> Any:
    def reward(problem: RewardProblem, text: str, reasoning: str, well_formed: bool) -> float:
        if isinstance(value, Exception):
            raise value
        return value  # type: ignore[no-any-return]  # a user's function returns anything

    return reward


BROKEN = {
    "raises": (broken(ZeroDivisionError("by 0")), "raises ZeroDivisionError: by 0"),
    "NaN": (broken(math.nan), "returns nan"),
    "infinite": (broken(math.inf), "returns inf"),
    "None": (broken(None), "raises TypeError"),
    "text": (broken("right"), "raises ValueError"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_reward_is_refused_before_any_compute(kind: str) -> None:
    reward, words = BROKEN[kind]
    with pytest.raises(
        InputError, match=f"the reward 'reward', which {words}.*a finite number.*correct the reward"
    ):
        check_reward(reward, [TWELVE])


@pytest.mark.parametrize("kind", BROKEN)
def test_a_reward_that_breaks_later_earns_nothing_and_is_counted(kind: str) -> None:
    reward = CheckedReward(BROKEN[kind][0])
    assert [reward(TWELVE, "12", "", True) for _ in range(3)] == [0.0] * 3
    assert reward.failures == 3
    assert reward.last_failure
    fine = CheckedReward(broken(0.5))
    assert (fine(TWELVE, "12", "", True), fine.failures) == (0.5, 0)


def test_problems_that_cannot_be_judged_are_refused() -> None:
    check_reward(get_reward("task"), [TWELVE])
    check_reward(broken(1.0), [TWELVE])
    for reward, problems_, words in (
        (get_reward("task"), [], "no problem; allowed: at least one"),
        (get_reward("task"), [TWELVE, RewardProblem(text="And?")], "the problem 'And.' without 'answer'"),
        (get_reward("code"), [TWELVE], "the problem 'What is 5 . 7.' without 'tests'"),
        (broken(1.0), [RewardProblem(text="And?")], "the problem 'And.' without an answer"),
        (get_reward("task"), [RewardProblem(text="?", answer="1", task="sun")], "task 'sun'"),
    ):
        with pytest.raises(InputError, match=words):
            check_reward(reward, problems_)


def test_many_completions_are_scored_in_their_order_and_side_by_side() -> None:
    def judge(problem: RewardProblem, given: str) -> bool:
        time.sleep(0.05)
        return int(given) % 2 == 0

    completions = [Completed(problem=TWELVE, text=str(n), reasoning="r" * (n % 3)) for n in range(16)]
    begun = time.monotonic()
    found = score_all(CheckedReward(AnswerReward("slow", judge, waits=True)), completions, workers=8)
    assert time.monotonic() - begun < 0.7
    assert found == [Score(answer=float(n % 2 == 0), format=float(n % 3 > 0)) for n in range(16)]
    assert score_all(get_reward("task"), completions)[12] == Score(answer=1.0, format=0.0)
    assert score_all(get_reward("task"), []) == []
    assert found[4].total(0.1) == pytest.approx(1.1)
