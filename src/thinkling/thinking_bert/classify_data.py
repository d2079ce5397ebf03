"""Texts with labels: read from TSV or CSV, a development part cut off where none is given.

Shapes: N texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinkling.data.csv_tables import decoded_lines, read_table
from thinkling.errors import InputError

SUFFIXES = (".tsv", ".csv")
_TSV_LINE = "label<TAB>text"


@dataclass(frozen=True, kw_only=True)
class LabelledTexts:
    """Some texts with their classes."""

    texts: tuple[str, ...]
    """N texts."""
    labels: NDArray[np.int64]
    """[N] class of each, a place among the label names."""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, kw_only=True)
class ClassifyData:
    """What a classifier is trained and chosen on; no text is in both parts."""

    train: LabelledTexts
    """Texts to learn from."""
    dev: LabelledTexts
    """Texts to choose the best weights by."""
    label_names: tuple[str, ...]
    """The labels as in the files: whole numbers by size, words by alphabet."""
    sha256: str
    """Of the files."""


def read_classify_data(
    data: Path, dev: Path | None = None, *, dev_share: float = 0.1, seed: int = 0
) -> ClassifyData:
    """Texts with labels for training and development.

    Args:
        data: a .tsv file with `label<TAB>text` in each line, or a .csv file with the columns label and text; or a
            folder with `train` and perhaps `dev` as such files.
        dev: the texts to choose the best weights by. Training texts that are among them are left out.
        dev_share: share of each label's texts that is cut off for that, where no other file is given.
        seed: which texts are cut off depends on it and on the texts.

    Raises:
        InputError: a file is missing or malformed (naming the line), there are fewer than two labels, or a label of
            the development texts does not occur in training.
    """
    train_file, dev_file = _files(Path(data), dev)
    rows = list(read_labelled(train_file))
    names = _ordered({label for label, _ in rows})
    if len(names) < 2:
        raise InputError(
            f"{train_file}: {len(names)} label{'s' * (len(names) != 1)} in {len(rows)} texts",
            "two or more different labels",
            "use texts of several classes",
        )
    if dev_file is None:
        chosen = _cut_off([label for label, _ in rows], [text for _, text in rows], dev_share, seed)
        parts = [
            [row for row, out in zip(rows, chosen, strict=True) if out is held] for held in (False, True)
        ]
        train_rows, dev_rows = parts
        if not dev_rows:
            raise InputError(
                f"{train_file}: {len(rows)} texts, of which {dev_share:g} for development are none",
                "at least one",
                "give a larger dev_share or a file of development texts",
            )
    else:
        dev_rows = list(read_labelled(dev_file))
        unknown = next((label for label, _ in dev_rows if label not in names), None)
        if unknown is not None or not dev_rows:
            raise InputError(
                f"{dev_file}: label {unknown!r}" if dev_rows else f"{dev_file}: no text",
                f"the labels of {train_file}: {', '.join(names)}",
                "correct the file",
            )
        known = {text for _, text in dev_rows}
        train_rows = [row for row in rows if row[1] not in known]
    return ClassifyData(
        train=_labelled(train_rows, names),
        dev=_labelled(dev_rows, names),
        label_names=names,
        sha256=_sha256([train_file] if dev_file is None else [train_file, dev_file]),
    )


def read_labelled(path: Path) -> Iterator[tuple[str, str]]:
    """(label, text) of each row of a TSV or CSV file.

    Raises:
        InputError: no such file, another suffix, or a malformed row; names the line.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}", "a .tsv file (label<TAB>text) or a .csv file (label,text)", "give such a file"
        )
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _tsv_rows(path)
    for line, label, text in rows:
        for value, name in ((label.strip(), "label"), (text.strip(), "text")):
            if not value:
                raise InputError(f"{path} line {line}: no {name}", "a label and a text", "correct this line")
        yield label.strip(), text.strip()


def scored_file(data: Path) -> Path:
    """The file to score on: the one given, or of a folder `test`, else `dev`.

    Raises:
        InputError: the folder has neither.
    """
    if not data.is_dir():
        return data
    found = _in_folder(data, "test") or _in_folder(data, "dev")
    if found is None:
        raise InputError(
            f"{data}: neither test nor dev as .tsv or .csv",
            "a folder with one of them",
            "give the file itself",
        )
    return found


def _tsv_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    with closing(decoded_lines(path)) as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\r\n")
            if not line or (number == 1 and line.lower() == "label\ttext"):
                continue
            label, tab, text = line.partition("\t")
            if not tab:
                raise InputError(f"{path} line {number}: no tab", _TSV_LINE, "correct this line")
            yield number, label, text


def _csv_rows(path: Path) -> Iterator[tuple[int, str, str]]:
    with closing(read_table(path, ["label", "text"])) as rows:
        for line, values in rows:
            yield line, values["label"] or "", values["text"] or ""


def _files(data: Path, dev: Path | None) -> tuple[Path, Path | None]:
    """The training and the development file; None where the latter is to be cut off."""
    if not data.is_dir():
        return data, dev
    found = {name: _in_folder(data, name) for name in ("train", "dev")}
    if found["train"] is None:
        raise InputError(
            f"{data}: no train.tsv or train.csv", "a folder with one of them", "give the file itself"
        )
    return found["train"], dev or found["dev"]


def _in_folder(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{s}" for s in SUFFIXES if (folder / f"{name}{s}").exists()), None)


def _ordered(labels: set[str]) -> tuple[str, ...]:
    if all(label.isascii() and label.isdigit() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _cut_off(labels: Sequence[str], texts: Sequence[str], share: float, seed: int) -> list[bool]:
    """Which rows are for development: the same share of each label's different texts, copies of a text together."""
    if not 0 < share < 1:
        raise InputError(f"dev_share {share}", "between 0 and 1, both excluded", "give another share")
    label_of: dict[str, str] = {}
    for label, text in zip(labels, texts, strict=True):
        label_of.setdefault(text, label)
    of_label: dict[str, list[str]] = {}
    for text, label in label_of.items():
        of_label.setdefault(label, []).append(text)
    generator = np.random.Generator(np.random.Philox(key=[seed, len(label_of)]))
    chosen: set[str] = set()
    for label in _ordered(set(of_label)):
        here = of_label[label]
        chosen.update(here[place] for place in generator.permutation(len(here))[: round(share * len(here))])
    return [text in chosen for text in texts]


def _labelled(rows: Sequence[tuple[str, str]], names: Sequence[str]) -> LabelledTexts:
    place = {name: number for number, name in enumerate(names)}
    return LabelledTexts(
        texts=tuple(text for _, text in rows),
        labels=np.array([place[label] for label, _ in rows], dtype=np.int64),
    )


def _sha256(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
