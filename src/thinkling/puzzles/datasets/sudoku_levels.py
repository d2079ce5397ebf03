"""A 9x9 Sudoku data set of many levels: puzzles of files, easier copies of them, and generated ones.

A curriculum needs what lies between newspaper level and the hardest puzzles known. Files of hard puzzles do not hold
it: their puzzles with some of the blanks filled in do.

Shapes: N puzzles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thinkling.data.array_store import check_output, write_dataset
from thinkling.data.sampling import uniforms
from thinkling.errors import InputError
from thinkling.puzzles.datasets.splits import check_counts, without_leaks
from thinkling.puzzles.datasets.sudoku import classes, puzzle_set, read_puzzles
from thinkling.tasks.sudoku import BLANK_TOKEN, Sudoku
from thinkling.tasks.sudoku_generator import Candidates, stream_candidates

_SIZE = 9
GENERATED_BLANKS = (30, 54)
"""Fewest and most blanks of a generated puzzle: newspaper level and somewhat above."""
MOST_FILLED = 20
"""Most blanks filled in to make an easier copy of a puzzle."""

_HOLD_OUT_STREAM = 0x4E1D
_EASE_STREAM = 0xEA5E
"""Keep the draws of what is held out and of what is filled in apart from the generator's."""


def make_levels(
    sources: Sequence[Path],
    test: Path,
    out: Path,
    *,
    generated: int = 10_000,
    eased: int = 15_000,
    held_out: int = 500,
    seed: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Mixes puzzles of CSV files with easier copies of them and with generated ones.

    The last training puzzles are drawn at random from the files and have no easier copy, so that a recipe that holds
    them out validates on puzzles as they are in the files: good to choose a checkpoint by, though some may share their
    solution grid with another puzzle of the files. Puzzles that give away a test puzzle are left out.

    Args:
        sources: CSV files in the Sudoku-Extreme schema, 9x9; every puzzle must have one solution, which is not
            proved again.
        test: such a file of test puzzles.
        out: the folder to write.
        generated: how many puzzles to generate.
        eased: how many easier copies to make.
        held_out: how many training puzzles come last.
        seed: the same seed gives the same files.
        processes: how many processes generate; the result does not depend on it.
        progress: called with (puzzles generated, puzzles wanted).

    Returns:
        `dir`, `train`, `test`, `sha256`, `left_out` (`duplicates`, `overlap`).

    Raises:
        InputError: impossible settings, a bad row, too few puzzles, or something else at `out`. Nothing is written
            then.
    """
    check_counts(1, 0, seed, processes)
    for flag, count in (("generated", generated), ("eased", eased), ("held-out", held_out)):
        if count < 0:
            raise InputError(f"--{flag} {count}", "0 or more", "give a larger number")
    check_output(out)
    task = Sudoku(_SIZE)
    tests = read_puzzles(test, task, False, processes)[1]
    given = [read_puzzles(path, task, False, processes)[1] for path in sources]
    puzzles = Candidates.joined([tests, *given])
    for_test = np.arange(len(puzzles.answers)) < len(tests.answers)
    kept, left_out = without_leaks(*classes(_SIZE, puzzles), for_test)
    puzzles = _shuffled(puzzles.select(kept & ~for_test), seed)
    cut = len(puzzles.answers) - held_out
    if cut < 1:
        raise InputError(
            f"--held-out {held_out} of {len(puzzles.answers)} puzzles", "fewer than there are", "lower it"
        )
    learned = puzzles.select(slice(0, cut))
    train = Candidates.joined(
        [
            *_generated(generated, seed, processes, progress),
            _eased(task, learned, eased, seed),
            learned,
            puzzles.select(slice(cut, None)),
        ]
    )
    info = {"generator": "thinkling data make sudoku-levels", "seed": seed, "left_out": left_out}
    sha256 = write_dataset(
        out, puzzle_set(task, train), puzzle_set(task, tests), task_settings=task.settings(), info=info
    )
    counts = {"train": len(train.answers), "test": len(tests.answers)}
    return {"dir": str(out), **counts, "sha256": sha256, "left_out": left_out}


def _shuffled(puzzles: Candidates, seed: int) -> Candidates:
    draws = uniforms(seed ^ _HOLD_OUT_STREAM, np.arange(len(puzzles.answers), dtype=np.int64), 1)[:, 0]
    return puzzles.select(np.argsort(draws))


def _generated(
    count: int, seed: int, processes: int, progress: Callable[[int, int], None] | None
) -> list[Candidates]:
    parts: list[Candidates] = []
    made = 0
    stream = stream_candidates(_SIZE, GENERATED_BLANKS, seed, processes)
    try:
        while made < count:
            parts.append(next(stream).select(slice(0, count - made)))
            made += len(parts[-1].answers)
            if progress is not None:
                progress(made, count)
    finally:
        stream.close()
    return parts


def _eased(task: Sudoku, puzzles: Candidates, count: int, seed: int) -> Candidates:
    """Copies of puzzles drawn at random; of each, 1 to `MOST_FILLED` blanks at random are filled in."""
    draws = uniforms(seed ^ _EASE_STREAM, np.arange(count, dtype=np.int64), 2 + task.seq_len)
    rows = np.floor(draws[:, 0] * len(puzzles.answers)).astype(np.int64)
    questions, answers = puzzles.questions[rows], puzzles.answers[rows]
    filled = 1 + np.floor(draws[:, 1] * MOST_FILLED).astype(np.int64)
    filled = np.minimum(filled, (questions == 0).sum(1) - 1)
    # The place of each cell when the blanks come first in random order: givens sort behind all of them.
    place = np.where(questions == 0, draws[:, 2:], 2.0).argsort(1).argsort(1)
    questions = np.where((questions == 0) & (place < filled[:, None]), answers, questions)
    ratings = [task.rate(question + np.uint8(BLANK_TOKEN)) for question in questions]
    return Candidates(questions=questions, answers=answers, ratings=np.array(ratings, dtype=np.int32))
