"""Sudoku data sets, made with a seed or imported from CSV.

Each public function returns what its command prints; `check` checks what came out.

Training and test must not know of each other: no test puzzle equals a training puzzle up to symmetry, and for
9x9 no test puzzle shares even its solution grid with training (of 4x4 and 6x6 grids only 2 and 49 classes
exist).

Shapes: N examples, L cells.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import check_output, write_dataset
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.puzzles.datasets.csv_puzzles import read_table
from thinkling.puzzles.datasets.splits import check_counts, first_classes, without_leaks
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_generator import Candidates, check_blanks, stream_candidates
from thinkling.tasks.sudoku_solver import count_solutions
from thinkling.tasks.sudoku_symmetry import SymmetryIndex

DEFAULT_BLANKS = {4: (6, 10), 6: (14, 22), 9: (30, 50)}
"""Blanks of a puzzle where none are asked for: newspaper level."""

_PATIENCE = 5000


def make_sudoku(
    out: Path,
    *,
    size: int = 9,
    blanks: tuple[int, int] | None = None,
    train: int = 10_000,
    test: int = 1_000,
    seed: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Generates puzzles with a unique solution and a rating, no two of them equal up to symmetry.

    Args:
        out: the folder to write.
        size: 4, 6 or 9.
        blanks: fewest and most blanks of a puzzle; None is newspaper level.
        train: number of training puzzles.
        test: number of test puzzles; the same ones whatever `train` is.
        seed: the same seed gives the same files.
        processes: how many processes make candidates; the result does not depend on it.
        progress: called with (puzzles made, puzzles wanted).

    Returns:
        `dir`, `train`, `test`, `sha256`, and `blanks`: the range asked for, the fewest and the most that
        puzzles really have, and how many puzzles stayed below the range because no further given could be
        taken away.

    Raises:
        InputError: impossible settings, fewer different puzzles than asked for, or something else at `out`.
    """
    task = Sudoku(size)
    asked = DEFAULT_BLANKS[size] if blanks is None else blanks
    check_counts(train, test, seed, processes)
    check_blanks(size, asked)
    check_output(out)
    wanted = train + test
    index = SymmetryIndex(size, with_masks=size != 9)
    parts: list[Candidates] = []
    made = seen = unlucky = 0
    stream = stream_candidates(size, asked, seed, processes)
    try:
        for chunk in stream:
            masks = chunk.questions > 0 if index.with_masks else None
            new = index.add(chunk.answers, masks) == np.arange(seen, seen + len(chunk.answers))
            parts.append(chunk.select(new))
            seen += len(new)
            made += int(new.sum())
            unlucky = 0 if new.mean() > 0.01 else unlucky + len(new)
            if progress is not None:
                progress(min(made, wanted), wanted)
            if made >= wanted:
                break
            if unlucky >= _PATIENCE:
                raise InputError(
                    f"{wanted} puzzles of {size}x{size} with {asked[0]}-{asked[1]} blanks",
                    f"up to about {made}, as more are equal up to symmetry",
                    "ask for fewer, or for a wider range of blanks",
                )
    finally:
        stream.close()
    puzzles = Candidates.joined(parts).select(slice(0, wanted))
    reached = (puzzles.questions == 0).sum(1)
    report = {
        "asked": list(asked),
        "fewest": int(reached.min()),
        "most": int(reached.max()),
        "below_range": int((reached < asked[0]).sum()),
    }
    splits = [puzzle_set(task, puzzles.select(rows)) for rows in (slice(test, None), slice(0, test))]
    info = {"generator": "thinkling data make sudoku", "seed": seed, "blanks": report}
    sha256 = write_dataset(out, splits[0], splits[1], task_settings=task.settings(), info=info)
    return {"dir": str(out), "train": train, "test": test, "sha256": sha256, "blanks": report}


def puzzle_set(task: Sudoku, puzzles: Candidates) -> PuzzleSet:
    """Puzzles as the examples of a split."""
    shift = np.uint8(BLANK_TOKEN)
    return PuzzleSet.of_puzzles(
        puzzles.questions + shift,
        puzzles.answers + shift,
        vocab_size=task.vocab_size,
        ratings=puzzles.ratings,
    )


def read_puzzles(
    path: Path, task: Sudoku | None, check_uniqueness: bool, processes: int
) -> tuple[Sudoku, Candidates]:
    """The puzzles of a CSV file, and of which size they are; a rating that is not there is computed.

    Raises:
        InputError: a malformed row, a wrong answer, or a second solution where that is checked; names the line.
    """
    read_task, examples, lines = read_table(path, lambda question: task or _sized_for(question))
    assert isinstance(read_task, Sudoku)
    if check_uniqueness:
        counts = count_solutions(read_task.size, examples.inputs - np.uint8(BLANK_TOKEN), processes=processes)
        if (counts != 1).any():
            bad = int((counts != 1).argmax())
            try:
                read_task.validate(examples.inputs[bad])
            except InputError as error:
                raise InputError(
                    f"{path} line {lines[bad]}: {error.given}", error.allowed, error.next_step
                ) from None
    ratings = np.array(examples.ratings)
    for row in np.flatnonzero(ratings < 0).tolist():
        ratings[row] = read_task.rate(examples.inputs[row])
    shift = np.uint8(BLANK_TOKEN)
    return read_task, Candidates(
        questions=examples.inputs - shift, answers=examples.labels - shift, ratings=ratings
    )


def _sized_for(question: str) -> Sudoku:
    return Sudoku({16: 4, 36: 6, 81: 9}.get(len(question.strip()), 9))


def classes(size: int, puzzles: Candidates) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row equal to each row up to symmetry, as a puzzle and as what splits must not share."""
    same = SymmetryIndex(size, with_masks=True).add(puzzles.answers, puzzles.questions > 0)
    return same, SymmetryIndex(size, with_masks=False).add(puzzles.answers) if size == 9 else same


def import_sudoku(
    source: Path,
    out: Path,
    *,
    test: Path | None = None,
    test_fraction: float = 0.1,
    size: int | None = None,
    seed: int = 0,
    check_uniqueness: bool = True,
    processes: int = 1,
) -> dict[str, Any]:
    """Imports puzzles from CSV in the Sudoku-Extreme schema (`source,question,answer,rating`).

    Puzzles equal up to symmetry to an earlier one are left out, and so are training puzzles that would give
    away test puzzles; the result says how many. A rating that the file does not give is computed.

    Args:
        source: the CSV file.
        out: the folder to write.
        test: a CSV file of test puzzles; None takes them from `source`.
        test_fraction: the share of `source` to test on where `test` is None. Puzzles with one solution grid
            stay together (9x9).
        size: 4, 6 or 9; None tells it from the first row.
        seed: chooses which puzzles are for testing.
        check_uniqueness: whether to prove that each puzzle has only one solution.
        processes: how many processes do that.

    Returns:
        `dir`, `train`, `test`, `sha256`, `left_out` (`duplicates`, `overlap`).

    Raises:
        InputError: a bad row (names file and line), too few rows, or something else at `out`. Nothing is
            written then.
    """
    check_counts(1, 0, seed, processes)
    if not 0 <= test_fraction < 1:
        raise InputError(f"--test-fraction {test_fraction}", "0 or more and less than 1", "give such a share")
    check_output(out)
    task, puzzles = read_puzzles(source, None if size is None else Sudoku(size), check_uniqueness, processes)
    for_test = np.zeros(len(puzzles.answers), dtype=np.bool_)
    if test is not None:
        _, more = read_puzzles(test, task, check_uniqueness, processes)
        puzzles = Candidates.joined([more, puzzles])
        for_test = np.arange(len(puzzles.answers)) < len(more.answers)
    same, shared = classes(task.size, puzzles)
    if test is None:
        chance = uniforms(seed, np.arange(len(shared), dtype=np.int64), 1)[:, 0]
        for_test = first_classes(shared, chance, test_fraction)
    kept, left_out = without_leaks(same, shared, for_test)
    splits = [puzzle_set(task, puzzles.select(kept & chosen)) for chosen in (~for_test, for_test)]
    if not len(splits[0]):
        raise InputError(
            f"{source}: no puzzle left to train on",
            "puzzles that are not in the test set",
            "give more puzzles",
        )
    info = {"generator": "thinkling data import sudoku", "seed": seed, "left_out": left_out}
    sha256 = write_dataset(out, splits[0], splits[1], task_settings=task.settings(), info=info)
    counts = {"train": len(splits[0]), "test": len(splits[1])}
    return {"dir": str(out), **counts, "sha256": sha256, "left_out": left_out}
