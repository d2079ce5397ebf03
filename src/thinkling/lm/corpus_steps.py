"""The steps of the corpus pipeline, each a value that datatrove can send to another process or machine.

A step is called with the documents of the step before it, the number of its task (`rank`) and of all tasks
(`world_size`), and gives documents on. datatrove is imported when a step runs: it is an extra, and imported by nothing
else. What datatrove has is taken from there: normalisation, n-grams, Gopher's and FineWeb's filters, MinHash.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from thinkling.data.corpus import documents
from thinkling.errors import InputError

Quality: TypeAlias = Literal["gopher", "repetition", "fineweb"]
QUALITY: tuple[Quality, ...] = ("gopher", "repetition", "fineweb")
"""Gopher's rules for words and lines and for repetition (Rae et al. 2021, arXiv 2112.11446, appendix A), and FineWeb's
for punctuation and short lines (Penedo et al. 2024, arXiv 2406.17557, section 3.6)."""

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?\n]*")


class BadShardError(RuntimeError):
    """An `InputError` that survives the way back from another process; its arguments are the three parts."""


@cache
def words() -> Any:
    """How datatrove's blocks tell words apart: runs of letters and digits, and each mark by itself.

    datatrove's own choice for English is spaCy, for the same result on most text.
    """
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):  # type: ignore[misc]  # datatrove has no types
        def word_tokenize(self, text: str) -> list[str]:
            return _WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text[start:end] for start, end in self.span_tokenize(text)]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [found.span() for found in _SENTENCE.finditer(text)]

    return Words()


@dataclass(frozen=True)
class Folders:
    """Where a pipeline keeps what."""

    out: Path
    """The folder of the command."""

    @property
    def documents(self) -> Path:
        """What is left: one compressed file for each task."""
        return self.out / "documents"

    @property
    def removed(self) -> Path:
        """What was left out, with the reason."""
        return self.out / "removed"

    @property
    def work(self) -> Path:
        """What stages hand to each other."""
        return self.out / "work"

    @property
    def filtered(self) -> Path:
        """Documents that passed the filters."""
        return self.work / "filtered"

    def counts(self, stage: str) -> Path:
        """Counts of a stage, one file for each task."""
        return self.work / "counts" / stage


class Removed:
    """Writes the documents of one task that are left out, and counts them; a context."""

    def __init__(self, folders: Folders, stage: str, rank: int) -> None:
        self.path = folders.removed / f"{stage}-{rank:05d}.jsonl.gz"
        self.counts: Counter[str] = Counter()
        self._file: Any = None

    def __enter__(self) -> Removed:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _writer(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.counts:
            self.path.unlink()

    def write(self, document: Any, rank: int, reason: str = "near-duplicate") -> None:
        """Leave a document out."""
        self.counts[reason] += 1
        self._file.write(line_of({**row_of(document), "reason": reason}))


@dataclass(frozen=True)
class Read:
    """The documents of the user's files; each file is read by one task."""

    files: tuple[str, ...]

    def __call__(self, _: Any, rank: int, world_size: int) -> Iterator[Any]:
        """The documents of this task's files."""
        from datatrove.data import Document

        for name in self.files[rank::world_size]:
            try:
                for number, text in enumerate(documents(Path(name)), 1):
                    yield Document(text=text, id=f"{name} document {number}")
            except InputError as error:
                raise BadShardError(error.given, error.allowed, error.next_step) from None


@dataclass(frozen=True)
class ReadFiltered:
    """What the filters of the same task left."""

    folders: Folders

    def __call__(self, _: Any, rank: int, world_size: int) -> Iterator[Any]:
        """The documents, in their order."""
        from datatrove.data import Document

        with gzip.open(self.folders.filtered / f"{rank:05d}.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                yield Document(text=row["text"], id=row["source"])


@dataclass(frozen=True)
class Filter:
    """Leaves out documents in another language or of low quality."""

    folders: Folders
    quality: tuple[Quality, ...]
    min_words: int
    language_model: str | None
    languages: tuple[str, ...]
    language_threshold: float

    def __call__(self, data: Iterable[Any], rank: int, world_size: int) -> Iterator[Any]:
        """The documents that pass."""
        judges = [*self._language(), *self._quality()]
        read = 0
        with Removed(self.folders, "filter", rank) as removed:
            for document in data:
                read += 1
                reason = next((reason for judge in judges if (reason := judge(document))), None)
                if reason is None:
                    yield document
                else:
                    removed.write(document, rank, reason)
        write_counts(self.folders, "filter", rank, {"read": read}, removed.counts)

    def _quality(self) -> Iterator[Any]:
        from datatrove.pipeline.filters import (
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )

        for name in self.quality:
            if name == "gopher":
                block = GopherQualityFilter(min_doc_words=self.min_words, language=words())
            elif name == "repetition":
                block = GopherRepetitionFilter(language=words())
            else:
                block = FineWebQualityFilter(language=words())
            yield _Judge(name, block)

    def _language(self) -> Iterator[Any]:
        if self.language_model is None:
            return
        import fasttext

        model = fasttext.load_model(self.language_model)

        def judge(document: Any) -> str | None:
            labels, shares = model.predict(document.text.replace("\n", " "), k=1)
            found = labels[0].removeprefix("__label__") if labels else "unknown"
            if found in self.languages and float(shares[0]) >= self.language_threshold:
                return None
            return f"language: {found}" if found not in self.languages else "language: unsure"

        yield judge


@dataclass(frozen=True)
class _Judge:
    """A filter of datatrove as a function: why a document is left out, or None."""

    name: str
    block: Any

    def __call__(self, document: Any) -> str | None:
        verdict = self.block.filter(document)
        keep, reason = verdict if isinstance(verdict, tuple) else (verdict, None)
        return None if keep else f"{self.name}: {reason}"


@dataclass(frozen=True)
class Write:
    """The documents of a task, in one compressed file that appears when it is whole."""

    folder: Path
    folders: Folders
    stage: str

    def __call__(self, data: Iterable[Any], rank: int, world_size: int) -> None:
        """Write them, and count them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{rank:05d}.jsonl.gz"
        fresh = path.with_name(f".{path.name}.new")
        kept = characters = 0
        with _writer(fresh) as file:
            for document in data:
                kept += 1
                characters += len(document.text)
                file.write(line_of(row_of(document)))
        fresh.rename(path)
        write_counts(self.folders, f"{self.stage}-kept", rank, {"kept": kept, "characters": characters})


@dataclass(frozen=True)
class Total:
    """Adds the counts of all tasks and writes the report, as the last file."""

    folders: Folders
    settings: dict[str, Any] = field(hash=False)

    def __call__(self, _: Any, rank: int, world_size: int) -> None:
        """Write report.json and contamination.jsonl."""
        from thinkling.lm.contamination import gather_hits, index_summary

        sums: dict[str, Counter[str]] = {}
        for path in sorted((self.folders.work / "counts").rglob("*.json")):
            counted = json.loads(path.read_text(encoding="utf-8"))
            sums.setdefault(path.parent.name, Counter()).update(counted)
        reasons = Counter(sums.get("filter", Counter()))
        read = reasons.pop("read", 0)
        kept = sums.get("final-kept", Counter())
        report = {
            "documents_read": read,
            "documents": kept["kept"],
            "characters": kept["characters"],
            "filtered": dict(sorted(reasons.items())),
            "near_duplicates": sums.get("duplicates", Counter())["near-duplicate"],
            "contaminated": sums.get("contaminated", Counter())["contaminated"],
            "hits": gather_hits(self.folders),
            "benchmarks": index_summary(self.folders),
            "settings": self.settings,
        }
        fresh = self.folders.out / ".report.json.new"
        fresh.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        fresh.rename(self.folders.out / "report.json")


def row_of(document: Any) -> dict[str, Any]:
    """What is written of a document."""
    return {"text": document.text, "source": document.id}


def line_of(row: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def _writer(path: Path) -> Any:
    """A compressed text file; without the time of writing its bytes depend on its name and its text only."""
    return io.TextIOWrapper(gzip.GzipFile(path, "wb", compresslevel=6, mtime=0), "utf-8", newline="\n")


def write_counts(folders: Folders, stage: str, rank: int, *counts: Any) -> None:
    """The counts of one task; a task that is repeated replaces its own."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    path = folders.counts(stage) / f"{rank:05d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(total)), encoding="utf-8")
