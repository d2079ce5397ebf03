"""A table: the user's own questions and answers, as sequences of characters or of integers.

A question fills a row of L positions from the left and padding the rest; so does an answer, with an end token behind
its last symbol. Padding of an answer is not scored, the end token is: a model must also know where its answer ends.
With `align="right"` the text stands at the end of the row and the end token before its first symbol: for numbers, whose
last digits belong together.

Tokens: 0 is padding, 1 the end of an answer, s + 2 the alphabet's symbol s.
What a table's questions mean only its user knows: a plug-in (`table_plugin`) brings symmetries and a checker.

Shapes: N examples, L positions, K uniform numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinkling.errors import InputError, nearest
from thinkling.tasks.table_alphabet import END_TOKEN, KINDS, MOST_SYMBOLS, Alphabet, Kind, words_of
from thinkling.tasks.table_plugin import Plugin
from thinkling.tasks.task import only_blank_id
from thinkling.tasks.views import Views, unchanged

Align = Literal["left", "right"]
"""At which end of its row a text stands."""

MOST_POSITIONS = 16_384
"""Longer sequences do not train."""

_SEEDS = 2**53
"""A uniform number in [0, 1) has so many values."""


@dataclass(frozen=True)
class Table:
    """The task of one table; its settings come from the import."""

    alphabet: str | Sequence[int] = ""
    """The characters, as one text, or the integers: each once."""
    length: int = 0
    """L: the longest question or answer."""
    tokens: Kind = "characters"
    """What one position holds."""
    align: Align = "left"
    """At which end of its row a text stands."""
    separator: str = " "
    """What stands between two integers of an answer."""
    shape: tuple[int, int] = (0, 0)
    """Rows and columns of the grid that a sequence shows; (0, 0) is one row."""
    frame: tuple[str, str] = ("", "")
    """What every question of the source begins and ends with. It is not encoded; a question may come with it."""
    plugin: Mapping[str, str] | None = None
    """File name and SHA-256 of the plug-in that the table was imported or trained with."""
    code: Plugin | None = dataclasses.field(default=None, compare=False, repr=False)
    """The plug-in itself; only there when the user has named its file."""

    def __post_init__(self) -> None:
        """InputError for settings that no table has (they come from files)."""
        self._require("tokens", self.tokens in KINDS, " or ".join(KINDS))
        self._require("align", self.align in ("left", "right"), "left or right")
        self._require("separator", isinstance(self.separator, str), "a text")
        whole = type(self.length) is int and 1 <= self.length <= MOST_POSITIONS
        self._require("length", whole, f"1 to {MOST_POSITIONS}")
        if self.tokens == "characters":
            right = isinstance(self.alphabet, str) and "\0" not in self.alphabet
        else:
            right = isinstance(self.alphabet, (list, tuple)) and all(type(i) is int for i in self.alphabet)
        right = right and len(set(self.alphabet)) == len(self.alphabet) and len(self.alphabet) <= MOST_SYMBOLS
        self._require("alphabet", right, f"up to {MOST_SYMBOLS} {self.tokens}, each once")
        if not isinstance(self.alphabet, str):
            object.__setattr__(self, "alphabet", tuple(self.alphabet))
        shape: Any = self.shape
        pair = (
            isinstance(shape, (list, tuple)) and len(shape) == 2 and all(type(side) is int for side in shape)
        )
        self._require("shape", pair, "two whole numbers")
        rows, columns = (1, self.length) if tuple(shape) == (0, 0) else shape
        self._require("shape", rows > 0 and rows * columns == self.length, f"{self.length} cells, its length")
        object.__setattr__(self, "shape", (rows, columns))
        frame: Any = self.frame
        framed = isinstance(frame, (list, tuple)) and [type(side) for side in frame] == [str, str]
        self._require("frame", framed, "two texts")
        object.__setattr__(self, "frame", tuple(frame))
        record: Any = self.plugin
        named = isinstance(record, Mapping) and set(record) == {"file", "sha256"}
        self._require("plugin", record is None or named, "its file and sha256")

    def _require(self, name: str, right: bool, allowed: str) -> None:
        if not right:
            given = repr(getattr(self, name))
            raise InputError(
                f"{name} {given[:80]} of a table", allowed, "import the table again, or correct its settings"
            )

    # --- what it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The task's name in the registry."""
        return "table"

    @functools.cached_property
    def symbols(self) -> Alphabet:
        """The alphabet with its tokens."""
        if isinstance(self.alphabet, str):
            return Alphabet(self.tokens, tuple(self.alphabet))
        return Alphabet(self.tokens, tuple(self.alphabet), self.separator)

    @property
    def vocab_size(self) -> int:
        """Padding, end and the symbols."""
        return self.symbols.vocab_size

    @property
    def seq_len(self) -> int:
        """L."""
        return self.length

    @property
    def block(self) -> tuple[int, int]:
        """The whole grid."""
        return self.shape

    @property
    def augment_numbers(self) -> int:
        """1 where the plug-in knows a symmetry."""
        return int(self.code is not None and self.code.symmetry is not None)

    @property
    def view_numbers(self) -> int:
        """1 where the plug-in knows other ways to ask, with the way back for the answer."""
        return int(self.code is not None and self.code.view is not None)

    @property
    def has_checker(self) -> bool:
        """Whether a plug-in with a checker was named."""
        return self.code is not None and self.code.check is not None

    @property
    def _right(self) -> bool:
        return self.align == "right"

    def settings(self) -> dict[str, Any]:
        """What builds this task again, without the code of its plug-in."""
        optional: dict[str, Any] = {}
        if self.tokens == "integers":
            optional["separator"] = self.separator
        if self.frame != ("", ""):
            optional["frame"] = list(self.frame)
        if self.plugin is not None:
            optional["plugin"] = dict(self.plugin)
        return {
            "name": self.name,
            "tokens": self.tokens,
            "alphabet": self.alphabet if isinstance(self.alphabet, str) else list(self.alphabet),
            "length": self.length,
            "align": self.align,
            "shape": list(self.shape),
            **optional,
        }

    def with_plugin(self, code: Plugin) -> Table:
        """The same table with the code of a plug-in, of which the settings tell from now on."""
        return dataclasses.replace(self, code=code, plugin=code.record)

    # --- text and tokens ----------------------------------------------------------------------------------------------

    def parse(self, text: str) -> NDArray[Any]:
        """The tokens [L] of a question.

        Raises:
            InputError: nothing, too much, or a symbol that is not of the alphabet (names its place).
        """
        before, after = self.frame
        if any(self.frame) and text.startswith(before) and text.endswith(after):
            text = text[len(before) : len(text) - len(after)]
        return self._encode(text, "question")

    def encode_answer(self, text: str) -> NDArray[Any]:
        """The tokens [L] of an answer with its end token; InputError as for `parse`."""
        return np.asarray(self.with_ends(self._encode(text, "answer")[None])[0])

    def _encode(self, text: str, what: str) -> NDArray[Any]:
        unit = "characters" if self.tokens == "characters" else "integers"
        count = len(text) if self.tokens == "characters" else len(words_of(text))
        if not 1 <= count <= self.length:
            raise InputError(
                f"{what} of {count} {unit}",
                f"1 to {self.length}, the length of this table's model",
                "shorten it, or import and train with a larger --length" if count else "write one",
            )
        try:
            tokens = self.symbols.encode(text)
        except InputError as error:
            raise InputError(f"{what} with {error.given}", error.allowed, error.next_step) from None
        row = np.zeros((1, self.length), dtype=self.symbols.dtype)
        row[0, :count] = tokens
        return np.asarray(self.aligned(row)[0])

    def aligned(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows of tokens [N, L] that stand at the left, moved to where this table's texts stand."""
        if not self._right:
            return rows
        shift = self.length - (rows > 0).sum(1)
        places = np.arange(self.length) - shift[:, None]
        return np.where(places < 0, 0, np.take_along_axis(rows, np.maximum(places, 0), axis=1)).astype(
            rows.dtype
        )

    def with_ends(self, answers: NDArray[Any]) -> NDArray[Any]:
        """Answers [N, L] with an end token beside each that does not fill its row; the array is changed."""
        counts = (answers > 0).sum(1)
        rows = np.flatnonzero(counts < self.length)
        answers[rows, (self.length - 1 - counts if self._right else counts)[rows]] = END_TOKEN
        return answers

    def format(self, tokens: NDArray[Any]) -> str:
        """The text of tokens [L], up to the end token or padding; `?` for anything no symbol stands for."""
        return self.symbols.decode_rows(np.asarray(tokens)[None], right=self._right)[0]

    def format_rows(self, tokens: NDArray[Any]) -> list[str]:
        """The texts of rows of tokens [N, L]."""
        return self.symbols.decode_rows(tokens, right=self._right)

    def encode_rows(
        self, questions: Sequence[str], answers: Sequence[str]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The tokens [N, L] of questions and of their answers.

        Raises:
            InputError: as `parse` and `encode_answer`.
        """
        return self._encode_rows(questions, "question"), self.with_ends(self._encode_rows(answers, "answer"))

    def _encode_rows(self, texts: Sequence[str], what: str) -> NDArray[Any]:
        rows = self.symbols.encode_rows(texts, self.length, right=self._right)
        # One by one is slow, but knows what is wrong with which text.
        return np.stack([self._encode(text, what) for text in texts]) if rows is None else rows

    # --- what a plug-in knows -----------------------------------------------------------------------------------------

    def validate(self, tokens: NDArray[Any]) -> None:
        """InputError where the plug-in has something against a question [L]."""
        if self.code is not None and self.code.validate is not None:
            complaint = self.code.run_validate(self.format(tokens))
            if complaint:
                raise InputError(f"question: {complaint}", "what the plug-in accepts", "correct the question")

    def rate(self, tokens: NDArray[Any]) -> int:
        """The number of symbols of a question [L]."""
        return int((np.asarray(tokens) >= END_TOKEN).sum())

    def puzzle_id(self, name: str) -> int:
        """0: the rows of a table have no names."""
        return only_blank_id(self.name, name)

    def augment(
        self,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        puzzle_ids: NDArray[Any],
        uniforms: NDArray[np.float64],
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A symmetric copy of each example, by the plug-in's `symmetry`; unchanged where it has none.

        Args:
            inputs: [N, L] question tokens.
            labels: [N, L] answer tokens; below 0 where not scored.
            puzzle_ids: [N], returned as they are.
            uniforms: [N, K] numbers in [0, 1): the seed of the plug-in's random numbers for each example.

        Raises:
            InputError: the plug-in fails, or returns what is no row of this table; names file and line.
        """
        if self.code is None or self.code.symmetry is None:
            return inputs, labels, puzzle_ids
        generator = random.Random(0)
        questions, answers = self.format_rows(inputs), self.format_rows(np.maximum(labels, 0))
        for row, seed in enumerate((uniforms[:, 0] * _SEEDS).astype(np.int64).tolist()):
            generator.seed(seed)
            questions[row], answers[row] = self.code.run_symmetry(questions[row], answers[row], generator)
        try:
            new_inputs, new_labels = self.encode_rows(questions, answers)
        except InputError as error:
            raise self.code.fault("symmetry", f"returned this {error.given}", error.allowed) from None
        new_labels = new_labels.astype(labels.dtype)
        if np.issubdtype(labels.dtype, np.signedinteger) and labels.size and labels.min() < 0:
            new_labels[new_labels == 0] = labels.min()
        return new_inputs.astype(inputs.dtype), new_labels, puzzle_ids

    def views(self, inputs: NDArray[Any], puzzle_ids: NDArray[Any], uniforms: NDArray[np.float64]) -> Views:
        """What the plug-in's `view` makes of a question; the question itself, N times, where it has none.

        Raises:
            InputError: the plug-in fails, or returns what is no row of this table; names file and line.
        """
        if self.code is None or self.code.view is None:
            return unchanged(inputs, puzzle_ids)
        question = self.format(inputs[0])
        ways_back: list[Callable[[str], str]] = [str]
        rows = [inputs[0]]
        for seed in (uniforms[1:, 0] * _SEEDS).astype(np.int64).tolist():
            text, back = self.code.run_view(question, random.Random(seed))
            try:
                rows.append(self._encode(text, "question").astype(inputs.dtype))
            except InputError as error:
                raise self.code.fault("view", f"returned this {error.given}", error.allowed) from None
            ways_back.append(back)

        def undo(number: int, answer: NDArray[Any]) -> NDArray[Any]:
            if number == 0:
                return answer
            text = ways_back[number](self.format(answer))
            try:
                return self.encode_answer(text).astype(answer.dtype)
            except InputError:
                return np.zeros_like(answer)  # what the model said is no answer, and so this is none

        def undo_places(number: int, answer: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
            # Where a symbol went only the plug-in knows: every place is as sure as the least sure one.
            return values if number == 0 else np.full_like(values, values.min())

        return Views(inputs=np.stack(rows), puzzle_ids=puzzle_ids, undo=undo, undo_places=undo_places)

    def check(self, question: str, answer: str) -> bool:
        """Whether the plug-in's checker accepts an answer; False without one.

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
        """Whether the plug-in's checker accepts each answer: [N, L], [N, L] -> [N]; all False without one.

        Raises:
            InputError: the plug-in fails; names file and line.
        """
        if self.code is None or self.code.check is None:
            return np.zeros(len(inputs), dtype=np.bool_)
        texts = zip(self.format_rows(inputs), self.format_rows(answers), strict=True)
        return np.array([self.code.run_check(question, answer) for question, answer in texts], dtype=np.bool_)

    def why_wrong(self, question: NDArray[Any], answer: NDArray[Any]) -> str:
        """What `check_batch` refused."""
        return (
            f"the plug-in's checker refuses the answer {self.format(answer)!r} to {self.format(question)!r}"
        )

    def judge_batch(self, inputs: NDArray[Any], answers: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
        """One verdict, "valid", where there is a checker. [N]"""
        return {"valid": self.check_batch(inputs, answers)} if self.has_checker else {}


def kind_of(name: str) -> Kind:
    """A kind of tokens by its name; InputError with the nearest where there is none."""
    for kind in KINDS:
        if kind == name:
            return kind
    raise InputError(f"--tokens {name!r}", " or ".join(KINDS), nearest(name, KINDS))
