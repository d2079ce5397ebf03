"""The rules of mazes for a search: a path has one cell at each distance from S, and may use only cells from which
the rest of the way can still be walked in the shortest length.

Shapes: R rows, C columns, L = R * C cells, V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.tasks.maze import BLANK, GOAL, PATH, START, WALL, Maze
from thinkling.tasks.maze_paths import flood, on_shortest_paths, one_cell, pack, path_lengths, unpack


@dataclass(frozen=True, kw_only=True, eq=False)
class Ways:
    """The shortest paths that are still possible."""

    question: NDArray[np.int64]
    """[L] the maze."""
    distance: NDArray[np.int32]
    """[L] steps from S in the maze; -1 out of reach."""
    open: NDArray[np.bool_]
    """[L] the cells of these paths, both ends included."""


class MazeRules:
    """`SearchRules` of mazes of one size. A cell is on the path (token PATH) or not (BLANK).

    Where a maze has one shortest path only, the rules alone leave no choice.

    Args:
        task: the mazes.
    """

    def __init__(self, task: Maze) -> None:
        self._task = task

    def start(self, question: NDArray[Any]) -> Ways | None:
        """All shortest paths of a maze [L]; None where G is out of reach."""
        maze = np.asarray(question, dtype=np.int64)
        free = (maze != WALL).reshape(1, *self._task.shape)
        words = pack(free)
        distance = np.full(maze.shape, -1, dtype=np.int32)
        frontiers = flood(words, one_cell(words, np.flatnonzero(maze == START)[:1], self._task.columns))
        for steps, frontier in enumerate(frontiers):
            distance[unpack(frontier, self._task.columns).reshape(-1)] = steps
        return self._pruned(maze, distance, free.reshape(-1))

    def fix(self, state: Ways, cell: int, token: int) -> Ways | None:
        """The paths through a cell (PATH), or past it."""
        if token != PATH:
            if state.question[cell] != BLANK:
                return state if state.question[cell] == token else None
            return self.forbid(state, cell, PATH) if token == BLANK else None
        if state.question[cell] != BLANK or not state.open[cell]:
            return None
        others = state.distance == state.distance[cell]
        others[cell] = False
        return self._pruned(state.question, state.distance, state.open & ~others)

    def forbid(self, state: Ways, cell: int, token: int) -> Ways | None:
        """The paths past a cell (for PATH), or through it."""
        if state.question[cell] != BLANK:
            return None if state.question[cell] == token else state
        if token == BLANK:
            return self.fix(state, cell, PATH)
        if token != PATH or not state.open[cell]:
            return state
        without = state.open.copy()
        without[cell] = False
        return self._pruned(state.question, state.distance, without)

    def candidates(self, state: Ways) -> NDArray[np.bool_]:
        """What each cell may be: [L, V]."""
        possible = np.zeros((len(state.question), self._task.vocab_size), dtype=np.bool_)
        possible[np.arange(len(state.question)), state.question] = True
        on_path = state.open & (state.question == BLANK)
        at_distance = np.bincount(state.distance[state.open])
        forced = on_path & (at_distance[np.maximum(state.distance, 0).clip(max=len(at_distance) - 1)] == 1)
        possible[on_path, PATH] = True
        possible[forced, BLANK] = False
        return possible

    def shown(self, question: NDArray[Any], state: Ways) -> NDArray[np.int64]:
        """The maze [L] with walls on the open cells that no path uses: a maze again, as a model knows them."""
        return np.where((state.question == BLANK) & ~state.open, WALL, state.question)

    def read(self, question: NDArray[Any], state: Ways, answer: NDArray[Any]) -> NDArray[np.int64]:
        """The answer [L] with blanks where walls had been added."""
        added = (np.asarray(question) == BLANK) & ~state.open & (np.asarray(answer) == WALL)
        return np.where(added, BLANK, answer).astype(np.int64)

    def _pruned(
        self, maze: NDArray[np.int64], distance: NDArray[np.int32], free: NDArray[np.bool_]
    ) -> Ways | None:
        """The paths inside the free cells that are shortest ones of the maze."""
        starts, goals = (np.flatnonzero(maze == token)[:1] for token in (START, GOAL))
        if not (free[starts].all() and free[goals].all()):
            return None
        grid = free.reshape(1, *self._task.shape)
        # Between cells of shortest paths a longer way round is possible, too.
        if distance[goals[0]] < 0 or path_lengths(grid, starts, goals)[0] != distance[goals[0]]:
            return None
        used = on_shortest_paths(grid, starts, goals).reshape(-1)
        return Ways(question=maze, distance=distance, open=used)
