"""The search on one question: complete whatever the model says, within its budget, and quick with a good model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.puzzles.search_tree import SearchTree, branching_cell, candidate_shares
from thinkling.tasks.maze import BLANK, PATH, Maze
from thinkling.tasks.search_rules import rules_needed
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.task import Task

SUDOKU = Sudoku(9)
HARD = SUDOKU.parse("8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..")
"""A puzzle of which the rules alone settle no cell."""
SOLUTION = SUDOKU.solve(HARD)[0].astype(np.int64)

Model = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Question [L] to logits [L, V]."""


def run(tree: SearchTree, model: Model, *, width: int = 1) -> list[int]:
    """Put every node to a model that uses all its segments; the segments spent after each round."""
    spent = []
    while not tree.ended:
        nodes = tree.ask(width)
        assert nodes, "a search that goes on must ask"
        assert len(nodes) <= width
        for node in nodes:
            logits = model(node.inputs)
            tree.tell(node.number, logits.argmax(1), logits, node.steps)
        spent.append(tree.segments)
    return spent


def tree_of(question: NDArray[np.integer], task: Task = SUDOKU, **settings: float) -> SearchTree:
    return SearchTree(rules_needed(task), question, task.check_batch, **settings)  # type: ignore[arg-type]  # by name


def silent(inputs: NDArray[np.int64]) -> NDArray[np.float64]:
    """A model that knows nothing."""
    return np.zeros((len(inputs), 11))


def saying(answer: NDArray[np.int64], strength: float) -> Model:
    """A model that says the same to every question, with more or less certainty."""
    return lambda inputs: strength * np.eye(11)[answer]


def noise(seed: int, strength: float) -> Model:
    """A model that says something else, with certainty, to every question."""
    rng = np.random.default_rng(seed)
    return lambda inputs: strength * rng.normal(size=(len(inputs), 11))


WRONG = np.where(SOLUTION == 10, 2, SOLUTION + 1)
"""Every cell one digit too high."""


def test_a_right_answer_ends_the_search_at_once() -> None:
    tree = tree_of(HARD, first_steps=5)
    assert run(tree, saying(SOLUTION, 1.0)) == [5]
    assert (tree.outcome, tree.by_model, tree.nodes) == ("answered", True, 1)
    assert tree.answer is not None
    assert (tree.answer == SOLUTION).all()


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(
    "model",
    [
        silent,
        saying(WRONG, 50.0),
        saying(WRONG, 0.5),
        noise(1, 0.1),
        noise(2, 20.0),
        saying(SOLUTION * 0, 9.0),
    ],
    ids=["silent", "surely wrong", "unsurely wrong", "noise", "sure noise", "padding"],
)
def test_whatever_the_model_says_the_answer_is_found(model: Model, width: int) -> None:
    tree = tree_of(HARD)
    run(tree, model, width=width)
    assert (tree.outcome, tree.by_model) == ("answered", False)
    assert tree.answer is not None
    assert (tree.answer == SOLUTION).all()
    assert tree.nodes > 1


def test_a_model_that_knows_half_of_it_needs_fewer_nodes() -> None:
    half = np.where(np.arange(81) % 2 == 0, SOLUTION, WRONG)
    knowing, ignorant = tree_of(HARD), tree_of(HARD)
    run(knowing, saying(half, 1.0))
    run(ignorant, silent)
    assert knowing.nodes < ignorant.nodes


def test_cells_that_are_sure_are_kept_before_any_branching() -> None:
    """All but three cells are right: with those that contradict no rule the rest follows from the rules."""
    nearly = SOLUTION.copy()
    nearly[[1, 11, 21]] = WRONG[[1, 11, 21]]
    logits = 6.0 * np.eye(11)[nearly]
    logits[[1, 11, 21]] /= 6
    tree = tree_of(HARD, first_steps=3)
    run(tree, lambda inputs: logits)
    assert (tree.outcome, tree.nodes, tree.by_model) == ("answered", 1, False)


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("budget", [1, 7, 16, 23])
def test_the_budget_is_never_passed(budget: int, width: int) -> None:
    tree = tree_of(HARD, budget=budget, first_steps=10, node_steps=4)
    spent = run(tree, silent, width=width)
    assert max(spent) == budget
    assert tree.outcome == "budget"
    assert tree.answer is not None
    assert not SUDOKU.check_batch(HARD[None], tree.answer[None])[0]


def test_segments_that_were_not_needed_are_spent_later() -> None:
    tree = tree_of(HARD, budget=11, first_steps=10, node_steps=4)
    (first,) = tree.ask(9)
    tree.tell(first.number, silent(HARD).argmax(1), silent(HARD), 1)
    assert tree.segments == 1
    assert [node.steps for node in tree.ask(3)] == [4, 4, 2]


def test_what_is_told_after_the_end_changes_nothing() -> None:
    tree = tree_of(HARD)
    (first,) = tree.ask(1)
    tree.tell(first.number, silent(HARD).argmax(1), silent(HARD), 1)
    one, other = tree.ask(2)
    tree.tell(one.number, SOLUTION, saying(SOLUTION, 1.0)(HARD), 1)
    assert tree.outcome == "answered"
    tree.tell(other.number, WRONG, silent(HARD), 1)
    assert (tree.outcome, tree.segments) == ("answered", 3)
    assert tree.ask(4) == []


@pytest.mark.parametrize("puzzle", ["11" + "." * 14, "123." + "...4" + "." * 8])
def test_a_contradiction_that_the_rules_see_is_told_after_the_first_answer(puzzle: str) -> None:
    task = Sudoku(4)
    tree = tree_of(task.parse(puzzle), task)
    assert run(tree, lambda inputs: np.zeros((16, 6))) == [16]
    assert tree.outcome == "no_answer"
    assert tree.answer is not None


@pytest.mark.parametrize(
    "model", [silent, saying(SOLUTION, 3.0), noise(4, 20.0)], ids=["silent", "sure", "noise"]
)
def test_the_end_of_all_nodes_proves_that_there_is_no_answer(model: Model) -> None:
    """One more given makes the puzzle unsolvable, in a way that only branching shows."""
    rules = rules_needed(SUDOKU)
    state = rules.start(HARD)
    cell = 1
    (token, *_) = [
        token
        for token in np.flatnonzero(rules.candidates(state)[cell]).tolist()
        if token != SOLUTION[cell] and rules.fix(state, cell, token) is not None
    ]
    question = HARD.copy()
    question[cell] = token
    tree = tree_of(question)
    run(tree, model)
    assert tree.outcome == "no_answer"
    assert tree.nodes > 2


@pytest.mark.parametrize("size", [4, 6, 9])
def test_one_blank_needs_no_search_worth_the_name(size: int) -> None:
    task = Sudoku(size)
    for answer in (make_candidates(size, (1, 1), 11, 0, 20).answers + 1).astype(np.int64):
        for cell in range(0, task.seq_len, 7):
            question = answer.copy()
            question[cell] = BLANK_TOKEN
            tree = tree_of(question, task, budget=1)
            run(tree, lambda inputs: np.zeros((len(inputs), size + 2)))
            assert tree.outcome == "answered"
            assert tree.answer is not None
            assert (tree.answer == answer).all()


def test_a_maze_with_several_ways() -> None:
    task = Maze(6, 6)
    question = task.parse("S" + " " * 34 + "G")

    def crossed(inputs: NDArray[np.int64]) -> NDArray[np.float64]:
        """Says that no cell is on the path."""
        return 9.0 * np.eye(6)[np.where(inputs == PATH, BLANK, inputs)]

    tree = tree_of(question, task)
    run(tree, crossed)
    assert tree.outcome == "answered"
    assert tree.answer is not None
    assert task.judge_batch(question[None], tree.answer[None])["optimal"][0]


def test_the_tightest_cells_come_first_and_of_them_the_least_certain() -> None:
    candidates = np.array([[0, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]], dtype=np.bool_)
    logits = np.array([[0, 0, 0, 0], [9, 3, 1, 9], [9, 9, 1, 2], [0, 0, 0, 0]], dtype=np.float32)
    shares = candidate_shares(logits, candidates)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert (shares[~candidates] == 0).all()
    assert shares[1, 1] == pytest.approx(1 / (1 + np.exp(-2)))
    assert branching_cell(shares, candidates.sum(1)) == 2


def test_no_probability_is_so_small_that_a_candidate_is_lost() -> None:
    shares = candidate_shares(np.array([[0.0, 900.0, -900.0]]), np.array([[False, True, True]]))
    assert shares[0, 2] > 0
    assert np.isfinite(np.log(shares[0, 1] / shares[0, 2]))


@pytest.mark.parametrize("name", ["budget", "first_steps", "node_steps"])
@pytest.mark.parametrize("value", [0, -3])
def test_limits_below_one_are_refused(name: str, value: int) -> None:
    with pytest.raises(InputError, match=f"{name} {value}"):
        tree_of(HARD, **{name: value})
