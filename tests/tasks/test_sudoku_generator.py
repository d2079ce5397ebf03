"""The generator: unique solutions, the blanks asked for, and puzzles that depend on (seed, number) only."""

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import check_blanks, make_candidates, stream_candidates
from thinkling.tasks.sudoku_solver import search


@pytest.mark.parametrize(
    ("size", "blanks", "count"), [(4, (6, 10), 60), (6, (14, 22), 60), (9, (30, 50), 60)]
)
def test_puzzles_have_one_solution_and_the_blanks_asked_for(size, blanks, count):
    made = make_candidates(size, blanks, 7, 0, count)
    reached = (made.questions == 0).sum(1)
    assert reached.min() >= blanks[0]
    assert reached.max() <= blanks[1]
    assert len(set(reached.tolist())) == blanks[1] - blanks[0] + 1 or count < 100
    assert Sudoku(size).check_batch(made.questions + 1, made.answers + 1).all()
    for question, answer in zip(made.questions.tolist(), made.answers.tolist(), strict=True):
        assert search(size, question).solutions == [answer]


def test_a_puzzle_depends_on_seed_and_number_only():
    all_at_once = make_candidates(9, (30, 50), 1, 0, 12)
    later = make_candidates(9, (30, 50), 1, 8, 4)
    assert (all_at_once.questions[8:] == later.questions).all()
    assert (all_at_once.ratings[8:] == later.ratings).all()
    other = make_candidates(9, (30, 50), 2, 8, 4)
    assert (other.answers != later.answers).any(1).all()


def test_processes_do_not_change_the_result():
    one, two = stream_candidates(4, (6, 10), 3, 1), stream_candidates(4, (6, 10), 3, 2)
    for _ in range(3):
        first, second = next(one), next(two)
        assert (first.questions == second.questions).all()
        assert (first.answers == second.answers).all()
    one.close()
    two.close()


def test_blanks_out_of_reach_are_not_claimed():
    """17 givens cannot be reached by taking digits away at random: the puzzle keeps the givens it needs."""
    made = make_candidates(9, (64, 64), 0, 0, 1)
    assert (made.questions == 0).sum() < 64
    assert search(9, made.questions[0].tolist()).solutions == [made.answers[0].tolist()]
    for cell in np.flatnonzero(made.questions[0]):
        fewer = made.questions[0].copy()
        fewer[cell] = 0
        assert len(search(9, fewer.tolist()).solutions) == 2


@pytest.mark.parametrize(
    ("size", "blanks"), [(9, (0, 5)), (9, (50, 30)), (9, (60, 65)), (4, (6, 13)), (6, (3, 29))]
)
def test_impossible_blanks_are_refused(size, blanks):
    with pytest.raises(InputError, match="LOW-HIGH"):
        check_blanks(size, blanks)
