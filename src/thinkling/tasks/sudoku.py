"""Sudoku, 4x4 (boxes 2x2), 6x6 (boxes of 2 rows and 3 columns) and 9x9.

Tokens: 0 is padding and never used, 1 a blank, d + 1 the digit d (the encoding of HRM's and TRM's data sets).
The rating of a puzzle is the number of guesses of a deterministic solver: 0 means "solved by singles alone".

Shapes: N examples, n size, L = n * n cells in row-major order, K uniform numbers, U = 3 n units.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.sudoku_geometry import SIZES, Geometry, geometry
from thinkling.tasks.sudoku_proof import prove
from thinkling.tasks.sudoku_solver import search
from thinkling.tasks.sudoku_symmetry import draw_copies, numbers_per_copy
from thinkling.tasks.task import only_blank_id
from thinkling.tasks.views import Views, moved

BLANK_TOKEN = 1
"""The token of a blank cell."""

MOST_GUESSES = 10_000
"""After so many a question is not looked into any further: published collections of the hardest puzzles stay below
2,000, while some boards without a single solution keep a solver busy for hours."""


class UnprovenError(InputError):
    """A board whose solutions could not be counted within the guesses that were allowed."""


def tokens_to_digits(tokens: NDArray[Any]) -> list[int]:
    """Digits [L] of question tokens [L]; 0 for a blank."""
    digits: list[int] = np.maximum(np.asarray(tokens).astype(np.int64) - 1, 0).tolist()
    return digits


@functools.lru_cache(maxsize=2 * len(SIZES))
def _character_tokens(size: int, blanks: str) -> bytes:
    """The token of each of 256 characters; 0 where it is not allowed."""
    tokens = bytearray(256)
    for digit in range(1, size + 1):
        tokens[ord(str(digit))] = digit + 1
    for character in blanks:
        tokens[ord(character)] = BLANK_TOKEN
    return bytes(tokens)


@functools.lru_cache(maxsize=len(SIZES))
def _symbols(size: int) -> NDArray[np.uint8]:
    """The character of each token, the last for whatever is none."""
    return np.frombuffer(f"?.{'123456789'[:size]}?".encode("ascii"), dtype=np.uint8)


@functools.lru_cache(maxsize=len(SIZES))
def _judge(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weight of each token (0 where it is no digit) and which cells [L] are in which units [U]."""
    board = geometry(size)
    weights = np.zeros(size + 3, dtype=np.float32)
    weights[2 : size + 2] = 2.0 ** np.arange(size)
    membership = np.zeros((board.cells, len(board.units)), dtype=np.float32)
    for number, unit in enumerate(board.units):
        membership[list(unit), number] = 1
    return weights, membership


@dataclass(frozen=True)
class Sudoku:
    """The Sudoku task of one size."""

    size: int = 9
    """n: rows, columns and digits."""

    def __post_init__(self) -> None:
        """InputError for a size there is no board of."""
        size: object = self.size  # settings come from files
        if type(size) is not int or size not in SIZES:
            raise InputError(f"Sudoku size {self.size!r}", "4, 6 or 9", "choose one of these sizes")

    @property
    def name(self) -> str:
        """The task's name in the registry."""
        return "sudoku"

    @property
    def geometry(self) -> Geometry:
        """The board: its units and their names."""
        return geometry(self.size)

    @property
    def vocab_size(self) -> int:
        """Padding, blank and n digits."""
        return self.size + 2

    @property
    def seq_len(self) -> int:
        """L."""
        return self.size * self.size

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.size, self.size)

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of a box."""
        return (self.geometry.box_rows, self.geometry.box_columns)

    @property
    def has_checker(self) -> bool:
        """The rules tell a right answer from a wrong one."""
        return True

    @property
    def augment_numbers(self) -> int:
        """K: how many uniform numbers choose one symmetric copy."""
        return numbers_per_copy(self.size)

    @property
    def view_numbers(self) -> int:
        """A view is a symmetric copy."""
        return self.augment_numbers

    def settings(self) -> dict[str, Any]:
        """What builds this task again."""
        return {"name": self.name, "size": self.size}

    def parse(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a puzzle: row by row, `.` or `0` for a blank; white space around it is dropped.

        Raises:
            InputError: wrong length, or a wrong character (naming the cell).
        """
        return self._encode(text, "puzzle", blanks=".0")

    def encode_answer(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a completed board; InputError as for `parse`, also for a blank."""
        return self._encode(text, "answer", blanks="")

    def _encode(self, text: str, what: str, blanks: str) -> NDArray[np.uint8]:
        text = text.strip()
        allowed = f"{self.seq_len} characters, each 1-{self.size}" + (
            " or . or 0 for a blank" if blanks else ""
        )
        if len(text) != self.seq_len:
            raise InputError(
                f"{what} of {len(text)} characters",
                allowed,
                f"write the {self.size} rows of the board one after the other, without spaces",
            )
        # A character outside this table's alphabet becomes "?", which no table allows.
        raw = text.encode("latin-1", errors="replace").translate(_character_tokens(self.size, blanks))
        tokens = np.frombuffer(raw, dtype=np.uint8).copy()
        if not tokens.all():
            cell = int((tokens == 0).argmax())
            place = self.geometry.cell_name(cell)
            raise InputError(f"{what} with {text[cell]!r} at {place}", allowed, "correct this character")
        return tokens

    def format(self, tokens: NDArray[Any]) -> str:
        """The text of tokens [L]: digits, `.` for a blank, `?` for anything else a model may have said."""
        # "clip": what lies below the table gets its first character, what lies above its last.
        return _symbols(self.size).take(tokens, mode="clip").tobytes().decode("ascii")

    def find_conflict(self, tokens: NDArray[Any]) -> tuple[int, int, int] | None:
        """The first two equal givens of a unit: (cell, cell, unit), or None."""
        values = np.asarray(tokens).tolist()
        for unit, cells in enumerate(self.geometry.units):
            seen: dict[int, int] = {}
            for cell in cells:
                if values[cell] > BLANK_TOKEN and seen.setdefault(values[cell], cell) != cell:
                    return seen[values[cell]], cell, unit
        return None

    def validate(self, tokens: NDArray[Any], most_guesses: int = MOST_GUESSES) -> None:
        """Whether tokens [L] are a puzzle with exactly one solution.

        Raises:
            UnprovenError: nobody can tell within so many guesses; 0: singles alone must tell.
            InputError: two equal givens in a unit (names both cells and the unit), no solution, or several solutions
                (names a cell that may hold either of two digits).
        """
        board = self.geometry
        proof = prove(self.size, tokens_to_digits(tokens), most_guesses)
        if len(proof.solutions) < 2 and not proof.complete:
            raise UnprovenError(
                f"puzzle whose solutions cannot be counted within {most_guesses:,} guesses",
                "exactly one solution",
                "compare its givens with where it comes from, or add some",
            )
        if not proof.solutions:
            conflict = self.find_conflict(tokens)
            if conflict is not None:
                raise InputError(
                    self._said(tokens, conflict),
                    "each digit at most once in a row, column and box",
                    "correct one of the two cells",
                )
            raise InputError(
                "puzzle without a solution",
                "exactly one solution",
                "compare its givens with where it comes from",
            )
        if len(proof.solutions) > 1:
            cell = int((np.array(proof.solutions[0]) != np.array(proof.solutions[1])).argmax())
            low, high = sorted(solution[cell] for solution in proof.solutions)
            raise InputError(
                f"puzzle with several solutions ({board.cell_name(cell)} may be {low} or {high})",
                "exactly one solution",
                "add the givens that are missing",
            )

    def solve(self, tokens: NDArray[Any], limit: int = 2) -> list[NDArray[np.uint8]]:
        """Up to `limit` solutions of a puzzle [L], as answer tokens [L]."""
        if self.find_conflict(tokens) is not None:
            return []
        found = search(self.size, tokens_to_digits(tokens), limit).solutions
        return [np.array(solution, dtype=np.uint8) + np.uint8(1) for solution in found]

    def rate(self, tokens: NDArray[Any]) -> int:
        """The number of guesses of the deterministic solver on a puzzle [L] (0: solved by singles alone).

        The solver propagates naked and hidden singles; when stuck it takes the blank cell with the fewest
        candidates (the first in index order on ties) and tries them in ascending order. Every candidate
        tried, right or wrong, adds 1 until the solution is reached.
        """
        result = search(self.size, tokens_to_digits(tokens), 1)
        if not result.solutions:
            raise InputError("puzzle without a solution", "a puzzle that can be solved", "correct the puzzle")
        return result.guesses

    def puzzle_id(self, name: str) -> int:
        """0: Sudoku puzzles have no names."""
        return only_blank_id(self.name, name)

    def augment(
        self,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        puzzle_ids: NDArray[Any],
        uniforms: NDArray[np.float64],
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A symmetric copy of each example, types kept; labels below 0 (not scored) only move.

        Args:
            inputs: [N, L] question tokens.
            labels: [N, L] answer tokens.
            puzzle_ids: [N], returned as they are.
            uniforms: [N, K] numbers in [0, 1) that choose the copy.
        """
        cells, table = self._copies(uniforms)
        new_inputs = np.take_along_axis(
            table, np.take_along_axis(inputs, cells, axis=1).astype(np.intp), axis=1
        )
        moved = np.take_along_axis(labels, cells, axis=1).astype(np.intp)
        new_labels = np.take_along_axis(table, np.maximum(moved, 0), axis=1)
        if moved.size and moved.min() < 0:
            new_labels = np.where(moved < 0, moved, new_labels)
        return new_inputs.astype(inputs.dtype), new_labels.astype(labels.dtype), puzzle_ids

    def _copies(self, uniforms: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Random symmetries: where each cell comes from [N, L], and what each token becomes [N, n + 2]."""
        cells, relabel = draw_copies(self.size, uniforms)
        table = np.zeros((len(relabel), self.vocab_size), dtype=np.intp)
        table[:, 1:] = relabel + 1
        return cells, table

    def views(self, inputs: NDArray[Any], puzzle_ids: NDArray[Any], uniforms: NDArray[np.float64]) -> Views:
        """Boards with cells moved and digits renamed by random symmetries; number 0 is the question itself."""
        return moved(inputs, puzzle_ids, *self._copies(uniforms))

    def check(self, question: str, answer: str) -> bool:
        """Whether `answer` keeps the givens of `question` and completes every row, column and box.

        Raises:
            InputError: the question is malformed. A malformed answer is just wrong.
        """
        tokens = self.parse(question)
        try:
            answered = self.encode_answer(answer)
        except InputError:
            return False
        return bool(self.check_batch(tokens[None], answered[None])[0])

    def check_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each answer keeps its givens and completes all units: [N, L], [N, L] -> [N]."""
        weights, membership = _judge(self.size)
        # n powers of two add up to 2^n - 1 only where each occurs once: one matrix product judges all units.
        sums = weights.take(answers, mode="clip") @ membership
        complete = (sums == np.float32(2**self.size - 1)).all(1)
        kept = ((inputs == BLANK_TOKEN) | (inputs == answers)).all(1)
        return np.asarray(complete & kept)

    def why_wrong(self, question: NDArray[Any], answer: NDArray[Any]) -> str:
        """What is wrong with an answer [L] that does not solve its question [L], with the cells."""
        board = self.geometry
        changed = np.flatnonzero((question != BLANK_TOKEN) & (question != answer))
        conflict, given_conflict = self.find_conflict(answer), self.find_conflict(question)
        if given_conflict is not None:
            return f"the question has {self._said(question, given_conflict)}"
        if not self.solve(question, limit=1):
            return "the question has no solution"
        if len(changed):
            cell = int(changed[0])
            said, given = int(answer[cell]) - 1, int(question[cell]) - 1
            return f"the answer says {said} where {given} is given, at {board.cell_name(cell)}"
        if conflict is not None:
            return f"the answer has {self._said(answer, conflict)}"
        return "the answer does not solve the question"

    def _said(self, tokens: NDArray[Any], conflict: tuple[int, int, int]) -> str:
        first, second, unit = conflict
        board = self.geometry
        return (
            f"the digit {int(tokens[first]) - 1} twice in {board.unit_name(unit)}, "
            f"at {board.cell_name(first)} and {board.cell_name(second)}"
        )

    def judge_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
        """One verdict, "valid": what `check_batch` says. [N]"""
        return {"valid": self.check_batch(inputs, answers)}
