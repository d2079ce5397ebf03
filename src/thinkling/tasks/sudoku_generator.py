"""Random Sudoku puzzles with exactly one solution and a chosen number of blanks.

Candidate `i` depends on `(seed, i)` only, so candidates are made on any number of processes with the same
result. Givens are taken away one by one in random order. A cell whose digit is still a naked or hidden single
without its given is forced, so the puzzle stays unique; only for the others a search has to show that no
other digit fits.

Shapes: N candidates, n size, L = n * n cells, K uniform numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.tasks.candidate_stream import stream_chunks
from thinkling.tasks.sudoku_geometry import Geometry, geometry
from thinkling.tasks.sudoku_solver import propagate, search, search_masks, tightest_cell

FEWEST_GIVENS = {4: 4, 6: 8, 9: 17}
"""The fewest givens with which a puzzle of each size can have one solution (9: McGuire et al. 2012)."""

_TRIES = 12
"""How many boards and orders are tried before a candidate settles for fewer blanks than asked."""
_CHUNK = 100


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Puzzles with their solutions, as digits."""

    questions: NDArray[np.uint8]
    """[N, L] digits, 0 for a blank."""
    answers: NDArray[np.uint8]
    """[N, L] digits of the only solution."""
    ratings: NDArray[np.int32]
    """[N] guesses of the deterministic solver."""

    def select(self, rows: Any) -> Candidates:
        """The rows an index array or mask names."""
        return Candidates(
            questions=self.questions[rows], answers=self.answers[rows], ratings=self.ratings[rows]
        )

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """All parts, one after the other."""
        return cls(
            questions=np.concatenate([part.questions for part in parts]),
            answers=np.concatenate([part.answers for part in parts]),
            ratings=np.concatenate([part.ratings for part in parts]),
        )


def check_blanks(size: int, blanks: tuple[int, int]) -> None:
    """InputError unless `blanks` is a range of blanks that puzzles of this size can have."""
    most = size * size - FEWEST_GIVENS[size]
    low, high = blanks
    if not 1 <= low <= high <= most:
        raise InputError(
            f"{low}-{high} blanks",
            f"LOW-HIGH with 1 <= LOW <= HIGH <= {most} for {size}x{size}",
            "fewer givens than that never leave a single solution"
            if high > most
            else "give a range, for example 30-50",
        )


def random_board(size: int, preference: NDArray[np.float64]) -> list[int]:
    """A random solved board: digits [L]. `preference` [L, n] orders the digits tried at each cell."""
    board = geometry(size)
    orders = (1 << preference.argsort(1)).tolist()

    def visit(masks: list[int], fresh: list[int]) -> list[int] | None:
        if not propagate(board, masks, fresh):
            return None
        cell = tightest_cell(masks)
        if cell < 0:
            return masks
        for bit in orders[cell]:
            if masks[cell] & bit:
                child = masks.copy()
                child[cell] = bit
                solved = visit(child, [cell])
                if solved is not None:
                    return solved
        return None

    solved = visit([board.full] * board.cells, [])
    assert solved is not None, "an empty board has solutions"
    return [mask.bit_length() for mask in solved]


def remove_givens(board: Geometry, answer: Sequence[int], order: Sequence[int], blanks: int) -> list[int]:
    """Takes givens away in the given order of cells, keeping the solution unique, until `blanks` are blank.

    Args:
        board: the geometry.
        answer: [L] digits of the solved board.
        order: [L] cells in the order to try them.
        blanks: how many to take; fewer come out where every given left is needed.

    Returns:
        [L] digits of the puzzle, 0 for a blank.
    """
    question = list(answer)
    units_of_cell, units, peers = board.units_of_cell, board.units, board.peers
    reach = [sum(1 << unit for unit in units_of_cell[cell]) for cell in range(board.cells)]
    # holds[d]: bit set of the units in which digit d is given.
    holds = [0] + [(1 << len(units)) - 1] * board.size
    left = blanks
    for cell in order:
        if not left:
            break
        digit = answer[cell]
        question[cell] = 0
        without = holds[digit] & ~reach[cell]
        forced = len({question[peer] for peer in peers[cell]} - {0}) == board.size - 1 or any(
            all(question[other] or without & reach[other] for other in units[unit] if other != cell)
            for unit in units_of_cell[cell]
        )
        if forced or not _another_solution(board, question, cell, digit):
            holds[digit] = without
            left -= 1
        else:
            question[cell] = digit
    return question


def _another_solution(board: Geometry, question: list[int], cell: int, digit: int) -> bool:
    masks = [1 << (given - 1) if given else board.full for given in question]
    masks[cell] ^= 1 << (digit - 1)
    fresh = [place for place, given in enumerate(question) if given]
    return bool(search_masks(board, masks, fresh, 1).solutions)


def make_candidates(size: int, blanks: tuple[int, int], seed: int, first: int, count: int) -> Candidates:
    """Candidates `first` to `first + count` of a seed, each with a number of blanks uniform in the range.

    Where a number cannot be reached after several boards and orders, the candidate is the one that came
    nearest: count the zeros of `questions` to know what was reached.
    """
    board = geometry(size)
    cells = board.cells
    low, high = blanks
    items = np.arange(first, first + count, dtype=np.int64)
    targets = low + (uniforms(seed, items, 1)[:, 0] * (high - low + 1)).astype(np.int64)
    questions, answers, ratings = [], [], []
    for item, target in zip(items.tolist(), targets.tolist(), strict=True):
        # The first number of an item chose its target; each try reads its own stretch after that.
        best: tuple[int, list[int], list[int]] | None = None
        for attempt in range(_TRIES):
            numbers = uniforms(seed + (attempt << 40), np.array([item]), 1 + cells * (1 + size))[0, 1:]
            answer = random_board(size, numbers[cells:].reshape(cells, size))
            question = remove_givens(board, answer, numbers[:cells].argsort().tolist(), target)
            reached = question.count(0)
            if best is None or reached > best[0]:
                best = (reached, question, answer)
            if reached == target:
                break
        assert best is not None
        questions.append(best[1])
        answers.append(best[2])
        ratings.append(search(size, best[1], 1).guesses)
    return Candidates(
        questions=np.array(questions, dtype=np.uint8).reshape(-1, cells),
        answers=np.array(answers, dtype=np.uint8).reshape(-1, cells),
        ratings=np.array(ratings, dtype=np.int32),
    )


def stream_candidates(
    size: int, blanks: tuple[int, int], seed: int, processes: int
) -> Generator[Candidates, None, None]:
    """All candidates of a seed in order, in chunks; see `stream_chunks`."""
    check_blanks(size, blanks)
    return stream_chunks(functools.partial(make_candidates, size, blanks, seed), _CHUNK, processes)
