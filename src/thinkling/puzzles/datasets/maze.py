"""Maze data sets, made with a seed or imported from CSV.

Each public function returns what its command prints; `check` checks what came out. No two mazes of a set are equal up
to the symmetries of the square (for oblong mazes, those that keep rows and columns), also across training and test.

Shapes: N examples, L cells.
"""

from __future__ import annotations

import hashlib
import math
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
from thinkling.tasks.maze import Maze
from thinkling.tasks.maze_generator import MazeKind, Mazes, default_min_length, stream_candidates

_PATIENCE = 1_000_000
_PATIENCE_IN_CELLS = 1_000_000_000
_CANONICAL_AT_ONCE = 4096


class MazeIndex:
    """Mazes seen so far, told apart up to symmetry."""

    def __init__(self, task: Maze) -> None:
        """An empty index of mazes of one size."""
        self.task = task
        self._numbers: dict[bytes, int] = {}
        self._count = 0

    def add(self, inputs: NDArray[Any]) -> NDArray[np.int64]:
        """Adds mazes [N, L] and tells, for each, the number of the first equal one: its own where it is new. [N]

        Mazes are numbered from 0 in the order added.
        """
        firsts = np.empty(len(inputs), dtype=np.int64)
        for low in range(0, len(inputs), _CANONICAL_AT_ONCE):
            part = self.task.canonical(inputs[low : low + _CANONICAL_AT_ONCE])
            for place, cells in enumerate(part, low):
                key = hashlib.blake2b(cells.tobytes(), digest_size=16).digest()
                firsts[place] = self._numbers.setdefault(key, self._count + place)
        self._count += len(inputs)
        return firsts


def make_maze(
    out: Path,
    *,
    rows: int = 30,
    columns: int = 30,
    min_length: int | None = None,
    max_length: int | None = None,
    train: int = 1_000,
    test: int = 1_000,
    seed: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Generates mazes with exactly one shortest path, no two of them equal up to symmetry.

    Args:
        out: the folder to write.
        rows: rows of a maze.
        columns: columns of a maze.
        min_length: fewest steps from S to G; None is hard for the size (110 for 30x30, as in Maze-Hard).
        max_length: most steps; None for no limit.
        train: number of training mazes.
        test: number of test mazes; the same ones whatever `train` is.
        seed: the same seed gives the same files.
        processes: how many processes make candidates; the result does not depend on it.
        progress: called with (mazes made, mazes wanted).

    Returns:
        `dir`, `train`, `test`, `sha256`, and `length`: the fewest, mean and most steps of the shortest paths.

    Raises:
        InputError: impossible settings, mazes too rare to be found, or something else at `out`.
    """
    task = Maze(rows, columns)
    fewest = default_min_length(rows, columns) if min_length is None else min_length
    kind = MazeKind(rows=rows, columns=columns, min_length=fewest, max_length=max_length)
    check_counts(train, test, seed, processes)
    check_output(out)
    mazes = _different_mazes(task, kind, train + test, seed, processes, progress)
    length = {
        "fewest": int(mazes.ratings.min()),
        "mean": round(float(mazes.ratings.mean()), 2),
        "most": int(mazes.ratings.max()),
    }
    splits = [_puzzle_set(task, mazes.select(chosen)) for chosen in (slice(test, None), slice(0, test))]
    asked = {"min_length": fewest, "max_length": max_length}
    info = {"generator": "thinkling data make maze", "seed": seed, **asked, "length": length}
    sha256 = write_dataset(out, splits[0], splits[1], task_settings=task.settings(), info=info)
    return {"dir": str(out), "train": train, "test": test, "sha256": sha256, "length": length}


def _different_mazes(
    task: Maze,
    kind: MazeKind,
    wanted: int,
    seed: int,
    processes: int,
    progress: Callable[[int, int], None] | None,
) -> Mazes:
    """The first mazes of a seed, without those equal to an earlier one."""
    index = MazeIndex(task)
    parts: list[Mazes] = []
    made = seen = barren = longest = 0
    patience = min(_PATIENCE, _PATIENCE_IN_CELLS // task.seq_len)
    stream = stream_candidates(kind, seed, processes)
    try:
        for chunk in stream:
            new = index.add(chunk.questions) == np.arange(seen, seen + len(chunk.questions))
            parts.append(chunk.select(new))
            seen += len(new)
            made += int(new.sum())
            longest = max(longest, chunk.longest)
            barren = 0 if new.sum() > len(new) // 100 else barren + chunk.candidates
            if progress is not None:
                progress(min(made, wanted), wanted)
            if made >= wanted:
                return Mazes.joined(parts).select(slice(0, wanted))
            if barren >= patience:
                why = "more are equal up to symmetry, or too rare to be found at random"
                if longest < kind.min_length:
                    why = f"the longest way in {sum(part.candidates for part in parts):,} tries had {longest} steps"
                raise InputError(
                    f"{wanted} mazes of {kind.rows}x{kind.columns} with shortest paths of {kind.min_length}"
                    f"{' or more' if kind.max_length is None else f' to {kind.max_length}'} steps",
                    f"up to about {made}; {why}",
                    "ask for fewer mazes, shorter paths or a larger size",
                )
    finally:
        stream.close()
    raise AssertionError("candidates never end")


def _puzzle_set(task: Maze, mazes: Mazes) -> PuzzleSet:
    return PuzzleSet.of_puzzles(
        mazes.questions, mazes.answers, vocab_size=task.vocab_size, ratings=mazes.ratings
    )


def _sized_for(path: Path, question: str) -> Maze:
    """The size that the first question tells: its lines, or else a square."""
    lines = question.removesuffix("\n").splitlines()
    side = math.isqrt(len(question))
    if len(lines) > 1:
        return Maze(len(lines), len(lines[0]))
    if side * side != len(question):
        raise InputError(
            f"{path}: a first maze of {len(question)} characters",
            "a square, or a size that is given",
            "give --rows and --columns, and keep the blanks at both ends, they are cells",
        )
    return Maze(side, side)


def _read_mazes(path: Path, task: Maze | None) -> tuple[Maze, Mazes]:
    """All mazes of a CSV file, their answers checked; a rating the file does not give is the path's length."""
    found, examples, _ = read_table(path, lambda question: task or _sized_for(path, question))
    assert isinstance(found, Maze)
    questions, answers = np.asarray(examples.inputs), np.asarray(examples.labels)
    ratings = np.array(examples.ratings, dtype=np.int32)
    unrated = ratings < 0
    ratings[unrated] = found.rate_batch(questions[unrated])
    mazes = Mazes(questions=questions, answers=answers, ratings=ratings, candidates=len(questions), longest=0)
    return found, mazes


def import_maze(
    source: Path,
    out: Path,
    *,
    test: Path | None = None,
    test_fraction: float = 0.1,
    rows: int | None = None,
    columns: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Imports mazes from CSV in the schema of HRM's maze set (`source,question,answer,rating`).

    Mazes equal up to symmetry to an earlier one are left out, and so are training mazes equal to a test maze; the
    result says how many. Each answer must be a shortest path; a maze may have several.

    Args:
        source: the CSV file.
        out: the folder to write.
        test: a CSV file of test mazes; None takes them from `source`.
        test_fraction: the share of `source` to test on where `test` is None.
        rows: rows of a maze; None takes the first maze for a square (or its lines for rows).
        columns: columns of a maze, given together with `rows`.
        seed: chooses which mazes are for testing.

    Returns:
        `dir`, `train`, `test`, `sha256`, `left_out` (`duplicates`, `overlap`), and `several_shortest_paths`: how
        many of the mazes have more than one.

    Raises:
        InputError: a bad row (names file and line), too few rows, or something else at `out`. Nothing is written
            then.
    """
    check_counts(1, 0, seed, 1)
    if not 0 <= test_fraction < 1:
        raise InputError(f"--test-fraction {test_fraction}", "0 or more and less than 1", "give such a share")
    if (rows is None) != (columns is None):
        raise InputError("one of --rows and --columns", "both or none", "give both")
    check_output(out)
    task, mazes = _read_mazes(Path(source), None if rows is None or columns is None else Maze(rows, columns))
    for_test = np.zeros(len(mazes.questions), dtype=np.bool_)
    if test is not None:
        _, more = _read_mazes(Path(test), task)
        mazes = Mazes.joined([more, mazes])
        for_test = np.arange(len(mazes.questions)) < len(more.questions)
    same = MazeIndex(task).add(mazes.questions)
    if test is None:
        chance = uniforms(seed, np.arange(len(same), dtype=np.int64), 1)[:, 0]
        for_test = first_classes(same, chance, test_fraction)
    kept, left_out = without_leaks(same, same, for_test)
    splits = [_puzzle_set(task, mazes.select(kept & chosen)) for chosen in (~for_test, for_test)]
    if not len(splits[0]):
        raise InputError(
            f"{source}: no maze left to train on", "mazes that are not in the test set", "give more mazes"
        )
    several = int((~task.has_one_path(mazes.questions[kept])).sum())
    found = {"left_out": left_out, "several_shortest_paths": several}
    info = {"generator": "thinkling data import maze", "seed": seed, **found}
    sha256 = write_dataset(out, splits[0], splits[1], task_settings=task.settings(), info=info)
    return {"dir": str(out), "train": len(splits[0]), "test": len(splits[1]), "sha256": sha256, **found}
