"""Mazes of any size: a shortest way from S to G through open cells, by the four moves.

A maze is written row by row, without borders: `#` a wall, a blank an open cell, `S` and `G`. An answer is the same
grid with `o` on the open cells of the path. Tokens: 0 is padding and never used, then "# SGo" from 1 (the encoding
of HRM's data sets). The rating of a maze is the length of its shortest path in steps.

Shapes: N examples, R rows, C columns, L = R * C cells in row-major order, K uniform numbers, T symmetries.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError
from thinkling.tasks.dihedral import INVERSE, SHAPE_KEEPING, dihedral_cells
from thinkling.tasks.maze_paths import on_shortest_paths, path_lengths
from thinkling.tasks.maze_walk import can_be_walked
from thinkling.tasks.task import only_blank_id
from thinkling.tasks.views import Views, moved

CHARACTERS = "# SGo"
WALL, BLANK, START, GOAL, PATH = range(1, 6)

_MOST_CELLS = 2**20
_AT_ONCE = 4096
_SYMBOLS = "?" + CHARACTERS
_TOKEN_OF = bytes(max(_SYMBOLS.find(chr(code)), 0) if chr(code) != "?" else 0 for code in range(256))


@functools.lru_cache(maxsize=64)
def _symmetries(rows: int, columns: int) -> NDArray[np.intp]:
    """Where each cell of each symmetric copy comes from: [T, L]."""
    transforms = range(len(INVERSE)) if rows == columns else SHAPE_KEEPING
    return np.stack([dihedral_cells(rows, columns, t) for t in transforms])


@dataclass(frozen=True)
class Maze:
    """The maze task of one size."""

    rows: int = 30
    """R."""
    columns: int = 30
    """C."""

    def __post_init__(self) -> None:
        """InputError for a size no maze can have."""
        for name, value in (("rows", self.rows), ("columns", self.columns)):
            given: object = value  # settings come from files
            if type(given) is not int or given < 1:
                raise InputError(f"maze with {name} {value!r}", "a whole number from 1", f"correct {name}")
        if not 2 <= self.rows * self.columns <= _MOST_CELLS:
            raise InputError(
                f"maze of {self.rows}x{self.columns}", f"2 to {_MOST_CELLS:,} cells", "choose another size"
            )

    @property
    def name(self) -> str:
        """The task's name in the registry."""
        return "maze"

    @property
    def vocab_size(self) -> int:
        """Padding and five kinds of cells."""
        return len(CHARACTERS) + 1

    @property
    def seq_len(self) -> int:
        """L."""
        return self.rows * self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.rows, self.columns)

    @property
    def block(self) -> tuple[int, int]:
        """The whole grid: nothing in it is set apart."""
        return self.shape

    @property
    def augment_numbers(self) -> int:
        """K: one number chooses the symmetry."""
        return 1

    @property
    def has_checker(self) -> bool:
        """A search tells a shortest path from anything else."""
        return True

    @property
    def view_numbers(self) -> int:
        """One number says with which symmetry the views begin."""
        return 1

    def settings(self) -> dict[str, Any]:
        """What builds this task again."""
        return {"name": self.name, "rows": self.rows, "columns": self.columns}

    def cell_name(self, cell: int) -> str:
        """The name of a cell as users count: "row r, column c" from 1."""
        return f"row {cell // self.columns + 1}, column {cell % self.columns + 1}"

    def parse(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a maze: row by row in one line, or a line a row. Blanks are cells, also at the ends.

        Raises:
            InputError: wrong length, a wrong character, or not exactly one S and one G; names row and column.
        """
        return self._encode(text, "maze", CHARACTERS[: PATH - 1])

    def encode_answer(self, text: str) -> NDArray[np.uint8]:
        """The tokens [L] of a maze with a path of `o`; InputError as for `parse`."""
        return self._encode(text, "answer", CHARACTERS)

    def _encode(self, text: str, what: str, alphabet: str) -> NDArray[np.uint8]:
        allowed = f"{self.seq_len} characters, {self.rows} rows of {self.columns}, each of {alphabet!r}"
        text = self._one_line(text.replace("\r\n", "\n"), what, allowed)
        if len(text) != self.seq_len:
            raise InputError(
                f"{what} of {len(text)} characters",
                allowed,
                "write the rows one after the other and keep the blanks at both ends, they are cells",
            )
        raw = text.encode("latin-1", errors="replace").translate(_TOKEN_OF)
        tokens = np.frombuffer(raw, dtype=np.uint8).copy()
        wrong = (tokens == 0) | (tokens > len(alphabet))
        if wrong.any():
            cell = int(wrong.argmax())
            raise InputError(
                f"{what} with {text[cell]!r} at {self.cell_name(cell)}", allowed, "correct this character"
            )
        self._check_ends(tokens, what)
        return tokens

    def _one_line(self, text: str, what: str, allowed: str) -> str:
        """The text without the line breaks after the whole or, where it has several, after each row."""
        lines = text.removesuffix("\n").split("\n")
        if len(lines) == self.rows > 1:
            for row, line in enumerate(lines, 1):
                if len(line) != self.columns:
                    raise InputError(
                        f"{what} with {len(line)} characters in row {row}",
                        allowed,
                        "keep the blanks at both ends of a row, they are cells",
                    )
            return "".join(lines)
        return text.removesuffix("\n")

    def _check_ends(self, tokens: NDArray[Any], what: str) -> None:
        for token in (START, GOAL):
            cells = np.flatnonzero(tokens == token)
            symbol = _SYMBOLS[token]
            if len(cells) > 1:
                raise InputError(
                    f"{what} with a second {symbol} at {self.cell_name(int(cells[1]))}",
                    f"one {symbol}",
                    f"remove one of its {len(cells)} {symbol}",
                )
            if not len(cells):
                raise InputError(f"{what} without {symbol}", f"one {symbol}", "add it")

    def format(self, tokens: NDArray[Any]) -> str:
        """The text of tokens [L], `?` for anything else a model may have said."""
        return "".join(
            _SYMBOLS[token] if 0 <= token < len(_SYMBOLS) else "?" for token in np.asarray(tokens).tolist()
        )

    def validate(self, tokens: NDArray[Any]) -> None:
        """Whether tokens [L] are a maze whose G can be reached. Several shortest paths are allowed.

        Raises:
            InputError: not exactly one S and one G, a cell that no maze has, or a G out of reach.
        """
        cells = np.asarray(tokens)
        wrong = (cells < WALL) | (cells >= PATH)
        if wrong.any():
            place = self.cell_name(int(wrong.argmax()))
            raise InputError(f"maze with a wrong token at {place}", "# and blank, S, G", "correct this cell")
        self._check_ends(cells, "maze")
        if self._shortest(cells[None])[0] < 0:
            raise InputError(
                f"maze without a way from S at {self.cell_name(int((cells == START).argmax()))} "
                f"to G at {self.cell_name(int((cells == GOAL).argmax()))}",
                "a G that can be reached by steps up, down, left and right",
                "open a wall",
            )

    def rate(self, tokens: NDArray[Any]) -> int:
        """The length in steps of the shortest path of a maze [L].

        Raises:
            InputError: there is none.
        """
        self.validate(tokens)
        return int(self._shortest(np.asarray(tokens)[None])[0])

    def rate_batch(self, inputs: NDArray[Any]) -> NDArray[np.int32]:
        """The length of the shortest path of each maze [N, L]: [N]; -1 where there is none."""
        parts = [self._shortest(inputs[low : low + _AT_ONCE]) for low in range(0, len(inputs), _AT_ONCE)]
        return np.concatenate([np.zeros(0, dtype=np.int32), *parts])

    def has_one_path(self, inputs: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each maze [N, L] has one shortest path only: [N]; False where it has none."""
        alone = np.zeros(len(inputs), dtype=np.bool_)
        for low in range(0, len(inputs), _AT_ONCE):
            part = np.asarray(inputs[low : low + _AT_ONCE])
            on_some = on_shortest_paths(*self._search(part)).sum((1, 2))
            alone[low : low + _AT_ONCE] = (on_some > 0) & (on_some == self._shortest(part) + 1)
        return alone

    def _shortest(self, inputs: NDArray[Any]) -> NDArray[np.int32]:
        return path_lengths(*self._search(inputs))

    def _search(self, inputs: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.intp], NDArray[np.intp]]:
        """Open cells [N, R, C], S [N] and G [N]."""
        free = (inputs != WALL).reshape(-1, *self.shape)
        return free, (inputs == START).argmax(1), (inputs == GOAL).argmax(1)

    def puzzle_id(self, name: str) -> int:
        """0: mazes have no names."""
        return only_blank_id(self.name, name)

    def augment(
        self,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        puzzle_ids: NDArray[Any],
        uniforms: NDArray[np.float64],
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A turned or mirrored copy of each example; an oblong maze keeps its rows and columns.

        Args:
            inputs: [N, L] question tokens.
            labels: [N, L] answer tokens; those below 0 (not scored) move like the others.
            puzzle_ids: [N], returned as they are.
            uniforms: [N, 1] numbers in [0, 1) that choose the copy.
        """
        table = _symmetries(*self.shape)
        cells = table[(uniforms[:, 0] * len(table)).astype(np.intp)]
        moved = (np.take_along_axis(tokens, cells, axis=1) for tokens in (inputs, labels))
        return next(moved), next(moved), puzzle_ids

    def views(self, inputs: NDArray[Any], puzzle_ids: NDArray[Any], uniforms: NDArray[np.float64]) -> Views:
        """Turned and mirrored copies, all others once before one comes again; number 0 is the question itself."""
        table = _symmetries(*self.shape)
        others = len(table) - 1
        first = int(uniforms[0, 0] * others)
        numbers = 1 + (first + np.arange(len(inputs)) - 1) % others
        return moved(inputs, puzzle_ids, table[numbers])

    def canonical(self, inputs: NDArray[Any]) -> NDArray[np.uint8]:
        """Of all symmetric copies of each maze [N, L] the first in dictionary order: equal for equal mazes. [N, L]"""
        table = _symmetries(*self.shape)
        smallest = np.empty(inputs.shape, dtype=np.uint8)
        for low in range(0, len(inputs), _AT_ONCE):
            tokens = np.asarray(inputs[low : low + _AT_ONCE]).astype(np.uint8)
            copies = np.ascontiguousarray(tokens[:, table]).view(f"S{self.seq_len}")[:, :, 0]
            copies.sort(axis=1)
            first = np.ascontiguousarray(copies[:, 0])
            smallest[low : low + _AT_ONCE] = first.view(np.uint8).reshape(-1, self.seq_len)
        return smallest

    def check(self, question: str, answer: str) -> bool:
        """Whether `answer` is `question` with `o` along a shortest path.

        Raises:
            InputError: the question is malformed. A malformed answer is just wrong.
        """
        return self.judge(question, answer) == "optimal"

    def judge(self, question: str, answer: str) -> Literal["wrong", "valid", "optimal"]:
        """Whether `answer` is a path through `question`, and whether none is shorter.

        Raises:
            InputError: the question is malformed. A malformed answer is just wrong.
        """
        tokens = self.parse(question)
        try:
            answered = self.encode_answer(answer)
        except InputError:
            return "wrong"
        verdicts = self.judge_batch(tokens[None], answered[None])
        if verdicts["optimal"][0]:
            return "optimal"
        return "valid" if verdicts["valid"][0] else "wrong"

    def check_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each answer keeps its maze and its `o` cells are one shortest path: [N, L], [N, L] -> [N]."""
        return self._verdicts(inputs, answers, touching=False)["optimal"]

    def judge_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
        """Two verdicts on each answer [N, L], [N] each.

        "valid": it keeps the walls, S, G and other open cells of its maze [N, L], and its `o` cells can be walked
        from S to G, all of them and each once. "optimal": valid, and no path is shorter.
        """
        return self._verdicts(inputs, answers, touching=True)

    def _verdicts(
        self, inputs: NDArray[Any], answers: NDArray[Any], *, touching: bool
    ) -> dict[str, NDArray[np.bool_]]:
        inputs, answers = np.asarray(inputs), np.asarray(answers)
        valid, optimal = (np.zeros(len(inputs), dtype=np.bool_) for _ in range(2))
        drawn = answers == PATH
        sound = ((inputs == answers) | (drawn & (inputs == BLANK))).all(1)
        sound &= ((inputs == START).sum(1) == 1) & ((inputs == GOAL).sum(1) == 1)
        for low in range(0, len(inputs), _AT_ONCE):
            rows = low + np.flatnonzero(sound[low : low + _AT_ONCE])
            if not len(rows):
                continue
            starts, goals = ((inputs[rows] == token).argmax(1) for token in (START, GOAL))
            marked = drawn[rows] | (inputs[rows] >= START)
            steps = marked.sum(1) - 1
            # Inside the drawn cells the nearest way takes them all exactly where they are one path that does not
            # touch itself; a shortest path never touches itself.
            inside = path_lengths(marked.reshape(-1, *self.shape), starts, goals)
            single = inside == steps
            valid[rows] = single
            if touching:
                for place in np.flatnonzero((inside >= 0) & ~single).tolist():
                    grid = marked[place].reshape(self.shape)
                    valid[rows[place]] = can_be_walked(grid, int(starts[place]), int(goals[place]))
            paths = rows[single]
            if len(paths):
                optimal[paths] = self._shortest(inputs[paths]) == steps[single]
        return {"valid": valid, "optimal": optimal}

    def why_wrong(self, question: NDArray[Any], answer: NDArray[Any]) -> str:
        """What is wrong with an answer [L] that is no shortest path through its maze [L], with the cell."""
        question, answer = np.asarray(question), np.asarray(answer)
        changed = (question != answer) & ~((question == BLANK) & (answer == PATH))
        if changed.any():
            cell = int(changed.argmax())
            said, given = self.format(answer[[cell]]), self.format(question[[cell]])
            return f"the answer says {said!r} where {given!r} is given, at {self.cell_name(cell)}"
        shortest = int(self._shortest(question[None])[0])
        if shortest < 0:
            return "the maze has no way from S to G"
        if self.judge_batch(question[None], answer[None])["valid"][0]:
            drawn = int((answer == PATH).sum()) + 1
            return f"the answer's path has {drawn} steps, the shortest has {shortest}"
        return "the answer's o cells are not one path from S to G"
