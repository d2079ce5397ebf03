"""The proof that a Sudoku has one solution: the same verdicts as the solver that rates."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from thinkling.tasks import sudoku_proof
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.sudoku_geometry import geometry
from thinkling.tasks.sudoku_proof import prove
from thinkling.tasks.sudoku_solver import search

HARDEST = [
    "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..",
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
    ".......1.4.........2...........5.4.7..8...3....1.9....3..4..2...5.1........8.6...",
]
"""By Arto Inkala (two), and one with 17 givens."""


@pytest.fixture(params=["python", "compiled"], autouse=True)
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for both."""
    monkeypatch.setattr(sudoku_proof, "_compiled", False)
    if request.param == "compiled":
        if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
            pytest.skip("no C++ compiler here")
        sudoku_proof.compile_proofs()


def digits(text: str) -> list[int]:
    return [0 if character == "." else int(character) for character in text]


def is_solution(size: int, question: list[int], answer: list[int]) -> bool:
    board = geometry(size)
    kept = all(given in (0, said) for given, said in zip(question, answer, strict=True))
    return kept and all({answer[cell] for cell in unit} == set(range(1, size + 1)) for unit in board.units)


@pytest.mark.parametrize(("size", "blanks"), [(4, (6, 12)), (6, (16, 26)), (9, (44, 57))])
def test_verdicts_are_those_of_the_other_solver(size: int, blanks: tuple[int, int]) -> None:
    """Of puzzles, of such with a given too few (often several solutions) and with a wrong one (often none)."""
    random = np.random.default_rng(size)
    boards = make_candidates(size, blanks, 5, 0, 40).questions.tolist()
    boards += [digits(text) for text in HARDEST] if size == 9 else []
    counts = set()
    for board, change in itertools.product(boards, (None, "fewer", "wrong")):
        board = list(board)
        given = int(random.choice(np.flatnonzero(board)))
        if change == "fewer":
            board[given] = 0
        elif change == "wrong":
            board[given] = board[given] % size + 1
        expected = search(size, board).solutions
        proof = prove(size, board)
        assert proof.complete
        assert proof == sudoku_proof._prove(size, board, None)  # guess for guess, whatever the language
        assert len(proof.solutions) == len(expected)
        assert all(is_solution(size, board, solution) for solution in proof.solutions)
        assert len({tuple(solution) for solution in proof.solutions}) == len(proof.solutions)
        counts.add(len(proof.solutions))
    assert counts == {0, 1, 2}


@pytest.mark.parametrize("size", [4, 6, 9])
def test_open_boards_have_several_solutions(size: int) -> None:
    proof = prove(size, [0] * size * size)
    assert len(proof.solutions) == 2
    assert all(is_solution(size, [0] * size * size, solution) for solution in proof.solutions)


def test_givens_that_contradict_each_other_have_none() -> None:
    assert prove(9, [5, 5] + [0] * 79).solutions == []
    assert prove(4, [1, 2, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0]).solutions == []  # no place for 3 and 4


def test_it_gives_up_when_it_is_told_to() -> None:
    hardest = digits(HARDEST[1])
    needed = prove(9, hardest).guesses
    assert needed > 10
    assert prove(9, hardest, needed).complete
    assert needed == sudoku_proof._prove(9, hardest, None).guesses
    short = prove(9, hardest, needed - 1)
    assert short == sudoku_proof._prove(9, hardest, needed - 1)
    assert not short.complete
    assert short.guesses < needed
    easy = make_candidates(9, (30, 30), 1, 0, 1).questions[0].tolist()
    assert (prove(9, easy, 0).complete, prove(9, easy, 0).guesses) == (True, 0)
