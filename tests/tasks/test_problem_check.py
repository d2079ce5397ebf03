"""Answers of generated problems are worked out anew: every generated one is right, and every changed one is found."""

from __future__ import annotations

import pytest

from thinkling.errors import InputError
from thinkling.tasks.problem import problem_tasks, problems
from thinkling.tasks.problem_check import SOLVERS, check_answer


def test_every_task_is_verified() -> None:
    """A task without a solver would be learned on trust."""
    assert set(SOLVERS) == set(problem_tasks())


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_generated_answers_are_right_and_changed_ones_are_found(name: str) -> None:
    for problem in problems([name], seed=3, start=0, count=300):
        check_answer(name, problem.text, problem.answer)
        # One more than the last number of the answer.
        last = problem.answer.rstrip(")").split()[-1].split("+")[-1].split("*")[-1].split("-")[-1].strip("()")
        place = problem.answer.rindex(last)
        changed = problem.answer[:place] + str(int(last) + 1) + problem.answer[place + len(last) :]
        with pytest.raises(InputError, match="wrong"):
            check_answer(name, problem.text, changed)


def test_numbers_in_words() -> None:
    check_answer("sum", "Add three hundred and five.", "305")
    check_answer("sum", "Add three hundred and five hundred and one.", "801")
    check_answer("sum", "Find the sum of seven and one hundred and twenty-one.", "128")
    check_answer("difference", "Subtract forty-two from 50.", "8")
    check_answer("product", "Eleven times 3?", "33")
    with pytest.raises(InputError, match="wrong"):
        check_answer("sum", "Add three hundred and five.", "800")


def test_any_way_to_the_target_of_a_countdown() -> None:
    check_answer("countdown", "Make 7 from 1, 2 and 3.", "1+2*3")
    for wrong in ("1+2+3", "7", "1*7", "2*3+1+0", "3*3-2"):
        with pytest.raises(InputError, match="wrong"):
            check_answer("countdown", "Make 7 from 1, 2 and 3.", wrong)


@pytest.mark.parametrize(
    ("task", "question", "answer", "what"),
    [
        ("summ", "What is 1 + 2?", "3", "task 'summ'"),
        ("sum", "What is 1 + 2?", "three", "task 'sum'"),
        ("sum", "What is it?", "3", "cannot be read"),
        ("sum", "What is 1 + 2 + 3?", "6", "cannot be read"),
        ("count", "How many?", "3", "cannot be read"),
        ("countdown", "Take 1, 2 and 3.", "1+2+3", "cannot be read"),
    ],
)
def test_what_cannot_be_verified_is_refused(task: str, question: str, answer: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        check_answer(task, question, answer)
