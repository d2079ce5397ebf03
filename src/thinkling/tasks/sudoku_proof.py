"""How many solutions one Sudoku has: none, one, or more; as quickly as plain Python can tell.

`sudoku_solver.search` tells it too, but its order of guesses is fixed, because their number is a puzzle's rating. Here
only the solutions count, so that this file is free to look at all of a board at once and to guess where that is cheap.

A solution chooses candidates (a cell with a digit) so that each of 4 n² demands is met once: a digit in a row, in a
column, in a box, and a digit for a cell (Sudoku as an exact cover). The whole board is one integer with a field for
each demand: a bit for each of the n candidates that meet it, and above those a guard bit that stays 0. A candidate has
four bits, one for each demand that it meets. Adding and subtracting such integers asks a question of all demands at
once: with the guards set, subtracting 1 from every field clears the lowest bit of each that has one, and the guard of
each that has none.

`sudoku_proof.cpp` does the same, guess for guess, for those who have many boards to prove and a C++ compiler.

Shapes: L cells, n size, C = n³ candidates, numbered n · cell + digit - 1.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkling.native import library
from thinkling.tasks.sudoku_geometry import SIZES, geometry

_SOURCE = Path(__file__).with_suffix(".cpp")
_compiled = False
"""Whether proofs are those of the C++ from now on."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is known of a board."""

    solutions: list[list[int]]
    """Up to two boards [L] of digits 1..n."""
    complete: bool
    """False where it was given up before two were found or it was certain that there are no more."""
    guesses: int
    """Candidates tried; 0: singles alone have told. Not the rating, which is another solver's number."""


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """The integers of one size."""

    size: int
    """n."""
    all: int
    """Every candidate."""
    guards: int
    """The guard bit of each field."""
    ones: int
    """The lowest bit of each field."""
    cell_guards: int
    """The guard bits of the fields that ask for a cell's digit."""
    candidate: tuple[int, ...]
    """The candidate of a bit's place; 0 for guards."""
    bits: tuple[int, ...]
    """[C] the four bits of a candidate."""
    rivals: tuple[int, ...]
    """[C] the bits of those that meet a demand of it, too."""
    without_bits: tuple[int, ...]
    """[C] all but the candidate itself."""
    without_rivals: tuple[int, ...]
    """[C] all but its rivals."""


@functools.lru_cache(maxsize=len(SIZES))
def _tables(size: int) -> _Tables:
    board, width, count = geometry(size), size + 1, size**3
    # Digits of units, which are numbered first; then of cells.
    fields: list[list[int]] = [[] for _ in range(4 * board.cells)]
    for cell, units in enumerate(board.units_of_cell):
        for digit in range(size):
            for unit in units:
                fields[unit * size + digit].append(cell * size + digit)
            fields[3 * board.cells + cell].append(cell * size + digit)
    bits, candidate = [0] * count, [0] * (width * len(fields))
    for number, candidates in enumerate(fields):
        for place, each in enumerate(candidates):
            bits[each] |= 1 << (number * width + place)
            candidate[number * width + place] = each
    rivals = [0] * count
    for candidates in fields:
        together = functools.reduce(int.__or__, (bits[each] for each in candidates))
        for each in candidates:
            rivals[each] |= together & ~bits[each]
    every = sum(bits)
    ones = sum(1 << (number * width) for number in range(len(fields)))
    guards = ones << size
    return _Tables(
        size=size,
        all=every,
        guards=guards,
        ones=ones,
        cell_guards=guards >> (3 * board.cells * width) << (3 * board.cells * width),
        candidate=tuple(candidate),
        bits=tuple(bits),
        rivals=tuple(rivals),
        without_bits=tuple(every & ~each for each in bits),
        without_rivals=tuple(every & ~each for each in rivals),
    )


def prove(size: int, digits: Sequence[int], most_guesses: int | None = None) -> Proof:
    """Whether a board has no solution, one, or more.

    Args:
        size: n.
        digits: [L] of the board, 0 for a blank.
        most_guesses: when to give up: some boards with few givens keep any solver busy for long. None: never.
    """
    return (_prove_compiled if _compiled else _prove)(size, digits, most_guesses)


def compile_proofs() -> None:
    """From now on let this process prove by C++: some twenty times faster, and other threads go on meanwhile.

    Raises:
        NotCompiledError: there is no compiler here; proofs are Python's, as before.
    """
    library(_SOURCE)
    global _compiled
    _compiled = True


def quick_guesses() -> int:
    """Guesses that take one or two tenths of a millisecond."""
    return 400 if _compiled else 16


def _prove(size: int, digits: Sequence[int], most_guesses: int | None) -> Proof:
    tables = _tables(size)
    left, chosen = tables.all, 0
    for cell, digit in enumerate(digits):
        if digit:
            given = cell * size + digit - 1
            left &= tables.without_rivals[given]
            chosen |= tables.bits[given]
    found: list[list[int]] = []
    guesses = 0
    # Last in, first out: the candidates that are left, those that are chosen, and what is to be chosen now.
    waiting = [(left, chosen, 0)]
    while waiting and len(found) < 2:
        left, chosen = _settle(tables, *waiting.pop())
        if not left:
            continue
        if left == chosen:
            found.append(_board(size, left))
            continue
        branches = _branches(tables, left)
        if most_guesses is not None and guesses + len(branches) > most_guesses:
            return Proof(solutions=found, complete=False, guesses=guesses)
        guesses += len(branches)
        waiting += [(left, chosen, branch) for branch in branches]
    return Proof(solutions=found, complete=True, guesses=guesses)


def _settle(tables: _Tables, left: int, chosen: int, fresh: int) -> tuple[int, int]:
    """Choose whatever is the only candidate for a demand (naked and hidden singles), until nothing changes.

    Args:
        tables: of the size.
        left: candidates that are left.
        chosen: those among them whose rivals are gone.
        fresh: candidates to be chosen first; any of a candidate's bits names it.

    Returns:
        What is left and what is chosen then; (0, 0) on a contradiction.
    """
    size, guards, ones, candidate = tables.size, tables.guards, tables.ones, tables.candidate
    bits, without_bits, without_rivals = tables.bits, tables.without_bits, tables.without_rivals
    while True:
        while fresh:
            each = candidate[fresh.bit_length() - 1]
            fresh &= without_bits[each]
            left &= without_rivals[each]
            chosen |= bits[each]
        first = (left | guards) - ones
        if first & guards != guards:
            return 0, 0  # nothing meets one of the demands
        # Of each field what is left without its lowest bit; the guards of those with nothing left are cleared.
        alone = guards & ~(((left & first) | guards) - ones)
        fresh = left & (alone - (alone >> size)) & ~chosen
        if not fresh:
            return left, chosen


def _branches(tables: _Tables, left: int) -> list[int]:
    """What to try where singles lead no further: the digits of a cell, or else the places of a digit."""
    size, guards, ones = tables.size, tables.guards, tables.ones
    second = left & ((left | guards) - ones)
    more = (second | guards) - ones
    # Fields in which something is left without the lowest bit, and nothing without the lowest two.
    two = guards & more & ~(((second & more) | guards) - ones)
    pairs = left & (two - (two >> size))
    cells = two & tables.cell_guards
    best, most = 0, -1
    while cells:
        guard = cells & -cells
        cells ^= guard
        field = left & (guard - (guard >> size))
        # The cell that sees most of the other pairs: wherever it leads, much follows. A third fewer guesses.
        seen = (pairs & tables.rivals[tables.candidate[field.bit_length() - 1]]).bit_count()
        if seen > most:
            best, most = field, seen
    if not best and two:
        guard = two & -two
        best = left & (guard - (guard >> size))
    if not best:  # three candidates or more everywhere, which is rare: the cell with the fewest
        whole = (1 << size) - 1
        fields = (left & (whole << (number * (size + 1))) for number in range(3 * size**2, 4 * size**2))
        best = min((field for field in fields if field.bit_count() > 1), key=int.bit_count)
    branches = []
    while best:
        branches.append(best & -best)
        best &= best - 1
    return branches


def _board(size: int, chosen: int) -> list[int]:
    """The digits [L] of a board on which every cell has one."""
    cells = chosen >> (3 * size**2 * (size + 1))
    return [(cells >> (number * (size + 1)) & ((1 << size) - 1)).bit_length() for number in range(size**2)]


def _prove_compiled(size: int, digits: Sequence[int], most_guesses: int | None) -> Proof:
    cells = size * size
    assert len(digits) == cells, "the C++ looks at no bounds"
    assert max(digits) <= size, "the C++ looks at no bounds"
    boards, guesses = (ctypes.c_uint8 * (2 * cells))(), ctypes.c_int32()
    most = -1 if most_guesses is None else most_guesses
    found = _function("sudoku_proof")(_rules(size), bytes(digits), most, boards, ctypes.byref(guesses))
    count = found if found >= 0 else -1 - found
    return Proof(
        solutions=[boards[number * cells : (number + 1) * cells] for number in range(count)],
        complete=found >= 0,
        guesses=guesses.value,
    )


@functools.lru_cache(maxsize=len(SIZES))
def _rules(size: int) -> int:
    """Where the compiled code keeps the tables of a size."""
    tables = _tables(size)
    bits = []
    for each in tables.bits:
        for _ in range(4):
            place = (each & -each).bit_length() - 1
            each &= each - 1
            number, bit = divmod(place, size + 1)  # without the guards
            bits.append(number * size + bit)
    at: int = _function("sudoku_rules")(size, (ctypes.c_int32 * len(bits))(*bits))
    return at


@functools.cache
def _function(name: str) -> Any:
    function = getattr(library(_SOURCE), name)
    number, pointer = ctypes.c_int32, ctypes.c_void_p
    function.restype, function.argtypes = {
        "sudoku_rules": (pointer, [number, pointer]),
        "sudoku_proof": (number, [pointer, ctypes.c_char_p, number, pointer, pointer]),
    }[name]
    return function
