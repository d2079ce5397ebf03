"""Generated problems: the worked reasoning is right, the judges accept and refuse what they should."""

from __future__ import annotations

import random
import re

import pytest

from thinkling.errors import InputError
from thinkling.tasks.arithmetic import Difference, Product, Sum, same_number
from thinkling.tasks.comparison import Compare, Count, Sort
from thinkling.tasks.countdown import Countdown, evaluated
from thinkling.tasks.number_words import in_words
from thinkling.tasks.problem import Problem, judged, problem_task, problem_tasks, problems, split_of

NAMES = tuple(problem_tasks())


def drawn(name: str, count: int = 300) -> list[Problem]:
    return list(problems([name], 3, 0, count))


@pytest.mark.parametrize("name", NAMES)
def test_the_known_answer_is_judged_right_and_any_other_wrong(name: str) -> None:
    for problem in drawn(name):
        assert judged(name, problem.text, problem.answer, problem.answer)
        assert judged(name, problem.text, problem.answer, f" {problem.answer}. ")
        for wrong in ("", "0 1", "twelve", problem.answer + "1", "99999999", f"{problem.answer} or 7"):
            assert not judged(name, problem.text, problem.answer, wrong), (problem, wrong)


@pytest.mark.parametrize("name", NAMES)
def test_problem_i_is_a_function_of_seed_and_i(name: str) -> None:
    assert list(problems([name], 3, 5, 4)) == drawn(name, 9)[5:]
    assert list(problems([name], 4, 0, 9)) != drawn(name, 9)


def test_no_question_is_in_two_splits() -> None:
    texts = {
        split: {problem.text for problem in problems(NAMES, seed, 0, 400, split)}
        for seed, split in ((1, "train"), (2, "validation"), (3, "test"))
    }
    assert not texts["train"] & texts["validation"]
    assert not texts["train"] & texts["test"]
    assert not texts["validation"] & texts["test"]
    assert all(split_of(text) == split for split, group in texts.items() for text in group)


def test_every_task_is_drawn_about_equally_often() -> None:
    found = [problem.task for problem in problems(NAMES, 0, 0, 1400)]
    assert all(150 < found.count(name) < 250 for name in NAMES)


@pytest.mark.parametrize("task", [Sum(), Difference(), Product()])
def test_the_worked_places_give_the_answer(task: Sum | Difference | Product) -> None:
    """Reading the last digit of every line, from the bottom up, gives the digits of the answer."""
    for seed in range(300):
        problem = task.problem(random.Random(seed))
        lines = problem.reasoning.splitlines()
        _, first, sign, second, _ = re.split(r"^(\d+)([-+*])(\d+)$", lines[0])
        value = {"+": int(first) + int(second), "-": int(first) - int(second), "*": int(first) * int(second)}
        assert int(problem.answer) == value[sign]
        worked = [line for line in lines if ": " in line and "=" in line]
        assert len(worked) == max(len(first), len(second) if sign != "*" else 1)
        totals = [int(line.split("=")[1].split(",")[0]) for line in worked]
        if sign == "-":
            digits = "".join(str(total % 10) for total in reversed(totals))
            assert lines[-1] == f"result {digits}"
            assert int(digits) == abs(int(problem.answer))
        else:
            digits = str(totals[-1]) + "".join(str(total % 10) for total in reversed(totals[:-1]))
            assert digits == problem.answer


def test_a_difference_may_be_below_zero() -> None:
    answers = [int(problem.answer) for problem in drawn("difference")]
    assert 10 < sum(answer < 0 for answer in answers) < 60


def test_numbers_are_sometimes_written_in_words() -> None:
    texts = [problem.text for problem in drawn("sum")]
    assert any("hundred" in text.lower() for text in texts)
    assert sum(bool(re.search(r"\d", text)) for text in texts) > 200


def test_comparing_stops_at_the_first_different_digit() -> None:
    problem = next(p for p in drawn("compare") if p.reasoning.count("=") >= 2 and p.text.count("larger"))
    first, second = problem.reasoning.splitlines()[0].split(" and ")
    same = next(n for n, (x, y) in enumerate(zip(first, second, strict=True)) if x != y)
    assert len(problem.reasoning.splitlines()) == same + 4
    assert problem.answer == str(max(int(first), int(second)))


def test_sorting_is_judged_by_order_whatever_is_between() -> None:
    task = Sort()
    assert task.judge("", "3, 20, 100", "3 < 20 < 100")
    assert task.judge("", "3, 20, 100", "3 20 100.")
    assert not task.judge("", "3, 20, 100", "20, 3, 100")
    assert not task.judge("", "3, 20, 100", "3, 20, 100, 3, 20, 100")


def test_counting_agrees_with_its_own_list() -> None:
    task = Count()
    for seed in range(200):
        problem = task.problem(random.Random(seed))
        assert problem.reasoning.count(" yes, ") == int(problem.answer)


def test_countdown_accepts_every_way_and_nothing_else() -> None:
    task = Countdown()
    assert task.judge("", "(3+2)+7", "7 + 2 + 3")
    assert task.judge("", "(3+2)+7", "2+(7+3)")
    for given in (
        "12",
        "6+6",
        "3+2+7+0",
        "(3+2)+8",
        "3+3+2+7-3",
        "__import__('os')",
        "(3+2)+7 = 12",
        "3**2+7",
    ):
        assert not task.judge("", "(3+2)+7", given), given
    for seed in range(300):
        problem = task.problem(random.Random(seed))
        target = re.search(r"make (\d+)", problem.reasoning.splitlines()[0])
        assert target is not None
        assert evaluated(problem.answer) == int(target[1])


@pytest.mark.parametrize(
    "expression",
    ["9" * 101, "(" * 90, "2**9", "1/2", "1.5+1", "a+1", "", "1 2", "1;2", "007", "+" * 50 + "1"],
)
def test_anything_but_a_small_expression_has_no_value(expression: str) -> None:
    assert evaluated(expression) is None


def test_one_number_with_groups_of_three_is_a_number() -> None:
    assert same_number("1234567", "1,234,567")
    assert same_number("-12", "−12")
    assert same_number("12", "012")
    assert same_number("1,235", "1235")
    assert not same_number("many", "many")
    assert not same_number("1", "0" * 5000 + "1")
    assert not same_number("12", "1 2")
    assert not same_number("12", "12.5")
    assert not same_number("12", "12, 12")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (305, "three hundred and five"),
        (3421, "three thousand four hundred and twenty-one"),
        (20_007, "twenty thousand and seven"),
        (999_999, "nine hundred and ninety-nine thousand nine hundred and ninety-nine"),
    ],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert in_words(number) == words


def test_an_answer_without_a_task_is_compared_as_text() -> None:
    assert judged("", "Who?", "Ada  Lovelace", "ada lovelace")
    assert not judged("", "Who?", "Ada", "Bob")


def test_an_unknown_task_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'countdown'"):
        problem_task("contdown")
    with pytest.raises(InputError, match="no task"):
        next(problems([], 0, 0, 1))


def test_compare_is_never_a_tie() -> None:
    for seed in range(300):
        first, second = Compare().problem(random.Random(seed)).reasoning.splitlines()[0].split(" and ")
        assert first != second
