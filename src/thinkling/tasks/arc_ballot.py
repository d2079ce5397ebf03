"""ARC's vote: what a model answered under many augmentations becomes a few ranked answers for each test grid.

Predictions are mapped back to the task as it was, equal ones are counted, and those of one test input are ranked by
votes and then by mean halt probability; a full tie keeps the order in which they were met. Source: TRM's
`evaluators/arc.py`.

Shapes: N predictions, S canvas, L = S * S cells in row-major order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.arc_augmentation import NamedAugmentations
from thinkling.tasks.arc_grid import (
    FIRST_COLOUR,
    SWAPS_SIDES,
    VOCABULARY,
    Placement,
    canvas_of,
    crop_sizes,
    grid_key,
    place,
    read_grid,
)

ATTEMPTS = 2
"""Answers that Kaggle's competition takes for each test grid."""

NO_ANSWER: list[list[int]] = [[0]]
"""Stands in a submission where there is no prediction, or an empty one."""


class Candidate(NamedTuple):
    """One answer to a test input."""

    key: bytes
    """The grid, see `grid_key`."""
    votes: int
    """How many predictions were this grid."""
    q: float
    """Their mean halt probability."""

    @property
    def grid(self) -> list[list[int]]:
        """The rows."""
        cells = np.frombuffer(self.key, dtype=np.uint8)
        rows: list[list[int]] = cells[2:].reshape(cells[0], cells[1]).tolist()
        return rows


class ArcBallot:
    """Collects predictions and ranks them.

    Args:
        test_puzzles: the content of the official `test_puzzles.json`: task -> {"test": [{"input", "output"}]}.
        identifiers: the content of the official `identifiers.json`: the name of each puzzle id. Entry 0 stands for
            no puzzle; its predictions are left out, and their halt values with them.
    """

    def __init__(self, test_puzzles: Mapping[str, Any], identifiers: Sequence[str]) -> None:
        names = NamedAugmentations(identifiers)
        self._tasks, self._task_of = names.tasks, names.task_of
        self._transforms = names.inverse_transforms
        self._tables = np.zeros((len(identifiers), VOCABULARY), dtype=np.uint8)
        self._tables[:, FIRST_COLOUR:] = names.inverse_colour_maps
        self._test: dict[str, list[tuple[bytes, bytes]]] = {
            task: [(_key(pair["input"]), _key(pair.get("output", NO_ANSWER))) for pair in puzzle["test"]]
            for task, puzzle in test_puzzles.items()
        }
        # (task, input) -> answer -> [votes, sum of halt probabilities], answers in the order they were met.
        self._votes: dict[tuple[str, bytes], dict[bytes, list[float]]] = {}
        self.predictions = 0

    def add(
        self,
        puzzle_ids: NDArray[Any],
        inputs: NDArray[Any],
        predictions: NDArray[Any],
        q_halt: NDArray[Any],
    ) -> None:
        """Votes of N predictions; may be called many times.

        Args:
            puzzle_ids: [N] the id whose augmentation was applied.
            inputs: [N, L] the questions as the model saw them, at the top left corner.
            predictions: [N, L] its answers.
            q_halt: [N] its halt values before the sigmoid.

        Raises:
            InputError: shapes that do not fit each other, or an unknown id.
        """
        ids, seen, said = np.asarray(puzzle_ids), np.asarray(inputs), np.asarray(predictions)
        halt = np.asarray(q_halt, dtype=np.float64)
        shapes = [list(array.shape) for array in (ids, seen, said, halt)]
        if seen.ndim != 2 or shapes != [[len(seen)], list(seen.shape), list(seen.shape), [len(seen)]]:
            raise InputError(
                f"arrays of shapes {shapes}", "[N], [N, L], [N, L], [N]", "give one row a prediction"
            )
        if len(ids) and not 0 <= ids.min() <= ids.max() < len(self._task_of):
            raise InputError(
                f"puzzle ids {ids.min()}..{ids.max()}",
                f"0..{len(self._task_of) - 1}, as in identifiers.json",
                "use the identifiers of the data set that the predictions are for",
            )
        real = self._task_of[ids] >= 0
        ids, seen, said = ids[real], seen[real], said[real]
        with np.errstate(over="ignore"):
            probabilities = (1 / (1 + np.exp(-halt[real]))).tolist()
        asked, answered = self._undone(ids, seen), self._undone(ids, said)
        for row, task in enumerate(self._task_of[ids].tolist()):
            votes = self._votes.setdefault((self._tasks[task], asked[row]), {})
            entry = votes.setdefault(answered[row], [0, 0.0])
            entry[0] += 1
            entry[1] += probabilities[row]
        self.predictions += len(ids)

    def _undone(self, ids: NDArray[Any], tokens: NDArray[Any]) -> list[bytes]:
        """The key of each grid without its augmentation. [N], [N, L] -> N keys"""
        if not len(ids):
            return []
        side = canvas_of(tokens.shape[1])
        rows, columns = crop_sizes(tokens)
        transforms, still = self._transforms[ids], np.zeros(len(ids), dtype=np.intp)
        placement = Placement(transforms=transforms, row_offsets=still, column_offsets=still)
        tokens = np.clip(tokens, 0, VOCABULARY - 1).astype(np.uint8)
        grids = place(tokens, (rows, columns), placement, self._tables[ids]).reshape(-1, side, side)
        swapped = SWAPS_SIDES[transforms]
        new_rows, new_columns = (
            np.where(swapped, columns, rows).tolist(),
            np.where(swapped, rows, columns).tolist(),
        )
        return [
            grid_key(r, c, grid[:r, :c].tobytes())
            for grid, r, c in zip(grids, new_rows, new_columns, strict=True)
        ]

    def ranked(self, task: str, number: int) -> list[Candidate]:
        """The answers to a task's test input, best first; empty where there is no prediction."""
        votes = self._votes.get((task, self._test[task][number][0]), {})
        candidates = [Candidate(key, int(count), total / count) for key, (count, total) in votes.items()]
        return sorted(candidates, key=lambda one: (-one.votes, -one.q))

    def pass_at(self, ks: Sequence[int]) -> dict[int, float]:
        """For each k the share of test grids with the right answer among the first k, averaged over tasks.

        A test grid without a prediction counts as wrong.
        """
        for k in ks:
            if k < 1:
                raise InputError(f"pass@{k}", "1 or more", "give another k")
        solved = dict.fromkeys(ks, 0.0)
        for task, pairs in self._test.items():
            right = dict.fromkeys(ks, 0)
            for number, (_, answer) in enumerate(pairs):
                order = [candidate.key for candidate in self.ranked(task, number)]
                place_of_answer = order.index(answer) if answer in order else None
                for k in ks:
                    right[k] += place_of_answer is not None and place_of_answer < k
            for k in ks:
                solved[k] += right[k] / len(pairs)
        return {k: total / max(len(self._test), 1) for k, total in solved.items()}

    def solved(self, k: int) -> tuple[int, int]:
        """How many test grids have the right answer among the first k, and how many there are."""
        found = sum(
            answer in [candidate.key for candidate in self.ranked(task, number)[:k]]
            for task, pairs in self._test.items()
            for number, (_, answer) in enumerate(pairs)
        )
        return found, sum(map(len, self._test.values()))

    def submission(
        self, attempts: int = ATTEMPTS, missing: Literal["fill", "omit"] = "fill"
    ) -> dict[str, list[dict[str, list[list[int]]]]]:
        """Kaggle's form: task -> for each test grid, in order, {"attempt_1": grid, "attempt_2": grid, ...}.

        Where there are fewer answers than attempts, the best one fills up.

        Args:
            attempts: answers for each test grid.
            missing: what to do with a test grid without a prediction. "fill" answers `[[0]]`, so that the entries
                of a task stay those of its test grids; it also puts `[[0]]` for a prediction without any cell.
                "omit" does what the official evaluator does: it leaves the test grid out, which moves later ones
                of the task forward and is no valid submission.
        """
        if attempts < 1:
            raise InputError(f"{attempts} attempts", "1 or more", "ask for more")
        result: dict[str, list[dict[str, list[list[int]]]]] = {}
        for task, pairs in self._test.items():
            entries = result.setdefault(task, [])
            for number in range(len(pairs)):
                grids = [candidate.grid for candidate in self.ranked(task, number)[:attempts]]
                if missing == "fill":
                    grids = [grid if grid and grid[0] else NO_ANSWER for grid in grids] or [NO_ANSWER]
                elif not grids:
                    continue
                grids += [grids[0]] * (attempts - len(grids))
                entries.append({f"attempt_{place + 1}": grid for place, grid in enumerate(grids)})
        return result


def _key(rows: Any) -> bytes:
    grid = read_grid(rows)
    return grid_key(grid.shape[0], grid.shape[1], grid.tobytes())
