"""Data sets from the user's own table of questions and answers, or from a generator of them.

Rows go through a file on disk, so that memory does not grow with them but for some 40 bytes each.

Shapes: R rows, N examples, L positions.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkling.data.array_store import check_output, write_dataset
from thinkling.data.csv_tables import read_table
from thinkling.data.json_tables import read_json_lines
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.data.sampling import uniforms
from thinkling.errors import InputError, ThinklingError
from thinkling.puzzles.datasets.table_rows import Rows, fingerprint, same_rows
from thinkling.tasks.gym import gym_rows, gym_version
from thinkling.tasks.table import MOST_POSITIONS, Align, Table, kind_of
from thinkling.tasks.table_alphabet import Kind
from thinkling.tasks.table_plugin import Plugin

JSON_ENDINGS = (".jsonl", ".ndjson")
"""Files that hold one JSON object a line; every other file is CSV."""

_TRIED = 64
"""Rows with which a plug-in is tried before anything is written."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where rows come from."""

    name: str
    unit: str
    rows: Generator[tuple[int, str, str], None, None]
    """(line or item, question, answer)."""
    for_test: bool = False

    def place(self, number: int) -> str:
        """A row's place for error messages."""
        return f"{self.name} {self.unit} {number}"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """How the table is to be laid out and split."""

    tokens: Kind = "characters"
    align: Align
    length: int
    shape: tuple[int, int] | None
    test_fraction: float
    seed: int
    plugin: Plugin | None = None
    generated: bool = False
    """By a program: instructions around all questions are cut off, and one question may have several answers."""

    def __post_init__(self) -> None:
        """InputError for settings that no data set has."""
        if not 0 <= self.test_fraction < 1:
            raise InputError(
                f"--test-fraction {self.test_fraction}", "0 or more and less than 1", "give such a share"
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed {self.seed}", "0 to 4294967295", "give another seed")
        if not 0 <= self.length <= MOST_POSITIONS:
            raise InputError(
                f"--length {self.length}",
                f"1 to {MOST_POSITIONS}, or 0 for the longest row's",
                "give another --length",
            )
        if self.shape is not None:
            rows, columns = self.shape
            if rows * columns > MOST_POSITIONS or self.length not in (0, rows * columns):
                raise InputError(
                    f"--shape {rows}x{columns}" + (f" with --length {self.length}" if self.length else ""),
                    f"up to {MOST_POSITIONS} cells, and no --length beside it",
                    "change one of them",
                )

    @property
    def limit(self) -> int:
        """The most symbols a row may have; 0 where nothing was said."""
        return self.length if self.shape is None else self.shape[0] * self.shape[1]


def import_table(
    source: Path,
    out: Path,
    *,
    question: str = "question",
    answer: str = "answer",
    tokens: str = "characters",
    align: Align = "left",
    length: int = 0,
    shape: tuple[int, int] | None = None,
    test: Path | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
    plugin: Plugin | None = None,
) -> dict[str, Any]:
    """Imports questions and answers from CSV, or from JSON lines where the file ends in .jsonl or .ndjson.

    A row that occurs twice is left out the second time, and so is a training row whose question is in the test
    file; the result says how many. No question is in both training and test.

    Args:
        source: the file.
        out: the folder to write.
        question: the column with the questions.
        answer: the column with the answers.
        tokens: what one position holds, `characters` or `integers`.
        align: at which end of its row a text stands; `right` suits numbers.
        length: L, the most symbols of a question or an answer; 0: those of the longest.
        shape: rows and columns that a sequence shows; L is their product.
        test: a file of test rows; None takes them from `source`.
        test_fraction: the share of the questions of `source` to test on where `test` is None.
        seed: chooses which.
        plugin: the user's checker and symmetries; rows that its checker refuses are errors.

    Returns:
        `dir`, `train`, `test`, `sha256`, `left_out` (`duplicates`, `overlap`), `length`, `vocab_size`.

    Raises:
        InputError: a bad row or two rows that contradict each other (names file and line), impossible settings,
            or something else at `out`. Nothing is written then.
    """
    check_output(out)
    wanted = _Wanted(
        tokens=kind_of(tokens),
        align=align,
        length=length,
        shape=shape,
        test_fraction=test_fraction,
        seed=seed,
        plugin=plugin,
    )
    sources = [_file(Path(source), question, answer)]
    if test is not None:
        sources.insert(0, _file(Path(test), question, answer, for_test=True))
    return _import(
        sources,
        out,
        wanted,
        info={"generator": "thinkling data import table", "file": Path(source).name},
    )


def import_gym(
    dataset: str,
    out: Path,
    *,
    count: int = 5000,
    align: Align = "left",
    length: int = 0,
    shape: tuple[int, int] | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Generates questions and answers with a reasoning-gym data set.

    What all its questions begin and end with (the instructions) is not encoded. A question that comes twice is
    left out the second time, also when its answer differs: many have several.

    Args:
        dataset: the name that reasoning-gym knows it by.
        out: the folder to write.
        count: how many questions to draw; equal ones are left out.
        align: as for `import_table`, like all that follow but the last.
        length: L.
        shape: rows and columns.
        test_fraction: the share of the questions to test on.
        seed: of the questions and of the split.
        progress: called with (questions drawn, questions wanted).

    Returns:
        As `import_table`.

    Raises:
        InputError: reasoning-gym is not installed, it does not know the data set (says the nearest), an answer is
            no text, or impossible settings. Nothing is written then.
    """
    check_output(out)
    if count < 1:
        raise InputError(f"--count {count}", "1 or more", "give another --count")
    wanted = _Wanted(
        align=align, length=length, shape=shape, test_fraction=test_fraction, seed=seed, generated=True
    )

    def rows() -> Generator[tuple[int, str, str], None, None]:
        for index, (question, answer) in enumerate(gym_rows(dataset, seed=seed, count=count)):
            if progress is not None:
                progress(index, count)
            yield index, question, answer

    return _import(
        [_Source(name=f"reasoning-gym {dataset} seed {seed}", unit="item", rows=rows())],
        out,
        wanted,
        info={"generator": f"reasoning-gym {dataset}", "reasoning_gym": gym_version(), "count": count},
    )


def _file(path: Path, question: str, answer: str, *, for_test: bool = False) -> _Source:
    read = read_json_lines if path.suffix.lower() in JSON_ENDINGS else read_table

    def rows() -> Generator[tuple[int, str, str], None, None]:
        with closing(read(path, (question, answer))) as found:
            for line, row in found:
                yield line, row[question] or "", row[answer] or ""

    return _Source(name=str(path), unit="line", rows=rows(), for_test=for_test)


def _import(sources: list[_Source], out: Path, wanted: _Wanted, info: dict[str, Any]) -> dict[str, Any]:
    """Both splits of all rows, by way of files beside `out`."""
    try:
        above = next(folder for folder in Path(out).absolute().parents if folder.is_dir())
        with tempfile.TemporaryDirectory(prefix=f".{Path(out).name}.", dir=above) as scratch:
            limit = 0 if wanted.generated else wanted.limit
            with closing(Rows(Path(scratch), wanted.tokens, limit)) as rows:
                return _import_rows(sources, out, wanted, info, rows, Path(scratch))
    except OSError as error:
        raise ThinklingError(
            f"cannot write {out}: {error}; nothing was changed; free some space or choose another --out"
        ) from error


def _import_rows(
    sources: list[_Source], out: Path, wanted: _Wanted, info: dict[str, Any], rows: Rows, scratch: Path
) -> dict[str, Any]:
    place_of, keys, ends = _collect(sources, rows, wanted.plugin)
    first, contradiction = same_rows(rows)
    if contradiction is not None and not wanted.generated:
        raise InputError(
            f"{place_of(contradiction[0])}: the question of {place_of(contradiction[1])} with another answer",
            "one answer for a question",
            "correct or remove one of the two rows",
        )
    train, test, left_out = _split(first, keys, ends, wanted)
    if not len(train):
        raise InputError(
            f"{sources[-1].name}: no row left to train on", "rows that are not in the test set", "add some"
        )
    frame = rows.frame() if wanted.generated else ("", "")
    task = _task(rows, frame, wanted)
    splits = [
        _written(scratch / name, rows, task, chosen) for name, chosen in (("train", train), ("test", test))
    ]
    more = {**info, "seed": wanted.seed, "left_out": left_out}
    sha256 = write_dataset(out, splits[0], splits[1], task_settings=task.settings(), info=more)
    return {
        "dir": str(out),
        "train": len(train),
        "test": len(test),
        "sha256": sha256,
        "left_out": left_out,
        "length": task.seq_len,
        "vocab_size": task.vocab_size,
    }


def _collect(
    sources: list[_Source], rows: Rows, plugin: Plugin | None
) -> tuple[Callable[[int], str], NDArray[np.uint64], int]:
    """All rows: where each comes from, what [R] they must not share across splits, and how many are test rows."""
    numbers, keys = array("q"), bytearray()
    starts: list[tuple[int, _Source]] = []
    ends = 0
    for source in sources:
        starts.append((len(rows), source))
        with closing(source.rows) as found:
            for number, question, answer in found:
                try:
                    rows.add(question, answer)
                    _accept(plugin, question, answer)
                except InputError as error:
                    raise error.at(source.place(number)) from None
                if plugin is not None and plugin.canonical is not None:
                    keys += fingerprint(plugin.run_canonical(question))
                numbers.append(number)
        if len(rows) == starts[-1][0]:
            raise InputError(
                f"{source.name}: no row below the header", "a question and an answer a row", "add rows"
            )
        ends = len(rows) if source.for_test else ends
    rows.finish()

    def place_of(row: int) -> str:
        source = next(source for start, source in reversed(starts) if start <= row)
        return source.place(numbers[row])

    own = np.frombuffer(bytes(keys), dtype="<u8").astype(np.uint64) if keys else rows.questions
    return place_of, own, ends


def _accept(plugin: Plugin | None, question: str, answer: str) -> None:
    """InputError where the plug-in has something against a row."""
    if plugin is None:
        return
    complaint = plugin.run_validate(question) if plugin.validate is not None else None
    if complaint:
        raise InputError(f"question: {complaint}", "what the plug-in accepts", "correct or remove this row")
    if plugin.check is not None and not plugin.run_check(question, answer):
        raise InputError(
            f"the plug-in's checker refuses the answer {answer[:60]!r} to {question[:60]!r}",
            "a right answer",
            "correct the row, or the plug-in",
        )


def _split(
    first: NDArray[np.int64], keys: NDArray[np.uint64], ends: int, wanted: _Wanted
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[str, int]]:
    """The rows to train and to test on; the first `ends` ones are for testing where there are any."""
    number = np.arange(len(first))
    kept = first == number
    leaking = np.zeros(len(first), dtype=np.bool_)
    if ends:
        for_test = number < ends
        leaking = ~for_test & np.isin(keys, keys[:ends])
    else:
        for_test = _chosen(keys, kept, wanted.test_fraction, wanted.seed)
    left_out = {"duplicates": int((~kept & ~leaking).sum()), "overlap": int(leaking.sum())}
    kept &= ~leaking
    return np.flatnonzero(kept & ~for_test), np.flatnonzero(kept & for_test), left_out


def _chosen(keys: NDArray[np.uint64], kept: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """Marks rows for testing: all rows of a key or none, keys in an order that depends on (seed, key) only. [R]"""
    names, counts = np.unique(keys[kept], return_counts=True)
    order = uniforms(seed, names.view(np.int64), 1)[:, 0].argsort(kind="stable")
    before = counts[order].cumsum() - counts[order]
    wanted = max(1, round(share * int(counts.sum()))) if share > 0 and len(names) > 1 else 0
    return np.isin(keys, names[order][before < wanted])


def _task(rows: Rows, frame: tuple[str, str], wanted: _Wanted) -> Table:
    """The task of all rows."""
    symbols = rows.used_symbols(frame)
    longest = max(int(rows.question_counts.max()) - len("".join(frame)), int(rows.answer_counts.max()))
    if wanted.limit and longest > wanted.limit:
        raise InputError(
            f"questions or answers of up to {longest} {wanted.tokens}",
            f"{wanted.limit}",
            "give a larger --length",
        )
    length = wanted.limit or longest
    task = Table(
        tokens=wanted.tokens,
        alphabet="".join(symbols) if wanted.tokens == "characters" else symbols,
        length=length,
        align=wanted.align,
        separator=rows.separator or " ",
        shape=wanted.shape or (1, length),
        frame=frame,
    )
    return task if wanted.plugin is None else task.with_plugin(wanted.plugin)


def _written(folder: Path, rows: Rows, task: Table, chosen: NDArray[np.int64]) -> PuzzleSet:
    """The examples of one split, encoded into files in a new folder."""
    folder.mkdir()
    shape, dtype = (len(chosen), task.seq_len), task.symbols.dtype
    arrays: list[NDArray[Any]] = [
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
        if len(chosen)
        else np.empty(shape, dtype=dtype)
        for name in ("inputs", "labels")
    ]
    for where, inputs, labels in rows.encoded(task, chosen):
        arrays[0][where], arrays[1][where] = inputs, labels
    if task.augment_numbers and len(chosen):
        inputs, labels = np.asarray(arrays[0][:_TRIED]), np.asarray(arrays[1][:_TRIED])
        numbers = np.arange(len(inputs), dtype=np.int64)
        task.augment(inputs, labels, numbers, uniforms(0, numbers, task.augment_numbers))
    return PuzzleSet.of_puzzles(arrays[0], arrays[1], vocab_size=task.vocab_size)
