"""Documents that hold a piece of a benchmark: an index of the benchmarks' n-grams, and the step that looks for them.

Thirteen words in a row that also stand in a benchmark are taken for a copy, as in GPT-3 (Brown et al. 2020,
arXiv 2005.14165, appendix C). Case, punctuation, accents and blanks do not count; numbers do, because two problems that
differ in their numbers only are two problems. datatrove's own block numbers them all alike and needs lighteval.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinkling.data.corpus import numbered_lines
from thinkling.errors import InputError
from thinkling.lm.corpus_steps import Folders, Removed, line_of, row_of, words, write_counts

QUESTION_FIELDS = ("question", "problem", "prompt", "input", "query", "instruction", "text")
ANSWER_FIELDS = ("reasoning", "solution", "answer", "output", "completion")
_INDEX = "contamination"


@dataclass(frozen=True)
class Benchmark:
    """A file of questions that must not be trained on."""

    name: str
    """What hits are reported under."""
    path: str
    """One JSON object a line, also .gz."""


def benchmarks(given: Iterable[str]) -> tuple[Benchmark, ...]:
    """`NAME=FILE` or `FILE`, whose name without its ending is then the benchmark's.

    Raises:
        InputError: no such file, or two benchmarks of one name.
    """
    found: dict[str, Benchmark] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or Path(text).exists():
            name, path = Path(text).name.split(".")[0], text
        if not Path(path).is_file():
            raise InputError(
                f"--benchmark {text}: no such file", "NAME=FILE.jsonl or FILE.jsonl", "check the path"
            )
        if not name or name in found:
            raise InputError(
                f"--benchmark {text}: {'no name' if not name else 'a second benchmark named ' + name}",
                "a name for each benchmark",
                "name it: NAME=FILE.jsonl",
            )
        found[name] = Benchmark(name=name, path=path)
    return tuple(found.values())


def benchmark_rows(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text (question, then answer) of each row of a benchmark.

    Raises:
        InputError: a damaged file, or a row without a question; names file and line.
    """
    with closing(numbered_lines(path)) as lines:
        for number, line in lines:
            if line.strip():
                yield number, _row_text(f"{path} line {number}", line)


def _row_text(place: str, line: str) -> str:
    allowed = f"one JSON object a line with messages or one of {', '.join(QUESTION_FIELDS)}"
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: no JSON ({error})", allowed, "correct this line") from None
    if isinstance(row, dict):
        messages = row.get("messages")
        if isinstance(messages, list):
            parts = [message.get("content") for message in messages if isinstance(message, dict)]
        else:
            parts = [row.get(name) for name in (*QUESTION_FIELDS, *ANSWER_FIELDS)]
        asked = isinstance(messages, list) or any(isinstance(row.get(name), str) for name in QUESTION_FIELDS)
        text = " ".join(part for part in parts if isinstance(part, str))
        if asked and text.strip():
            return text
    fields = ", ".join(map(repr, row)) if isinstance(row, dict) else line.strip()[:40]
    raise InputError(f"{place}: no question (fields: {fields[:80] or 'none'})", allowed, "correct this line")


def ngrams_of(text: str, count: int) -> list[str]:
    """Every `count` words in a row, in datatrove's plain form, numbers kept."""
    from datatrove.utils.text import TextNormConfig, ngrams, simplify_text

    tokens = words().word_tokenize(simplify_text(text, TextNormConfig(norm_numbers=False)))
    return [" ".join(part) for part in ngrams(tokens, count)]


def _hash(ngram: str) -> int:
    from datatrove.utils.hashes.sha1 import sha1_hash64

    return int(sha1_hash64(ngram))


@dataclass(frozen=True)
class IndexBenchmarks:
    """One task: the n-grams of all benchmarks, each with the benchmark and line that it is from."""

    folders: Folders
    benchmarks: tuple[Benchmark, ...]
    ngram: int

    def __call__(self, _: Any, rank: int, world_size: int) -> None:
        """Write the index."""
        places: dict[int, tuple[int, int]] = {}
        summary = []
        for number, benchmark in enumerate(self.benchmarks):
            rows = short = 0
            for line, text in benchmark_rows(Path(benchmark.path)):
                rows += 1
                grams = ngrams_of(text, self.ngram)
                short += not grams
                for gram in grams:
                    places.setdefault(_hash(gram), (number, line))
            summary.append({"name": benchmark.name, "rows": rows, "too_short_to_find": short})
        folder = self.folders.work / _INDEX
        folder.mkdir(parents=True, exist_ok=True)
        hashes = np.array(sorted(places), dtype=np.uint64)
        found = np.array([places[int(key)] for key in hashes], dtype=np.int64).reshape(-1, 2)
        np.save(folder / "hashes.npy", hashes)
        np.save(folder / "places.npy", found)
        (folder / "benchmarks.json").write_text(json.dumps(summary, ensure_ascii=False), encoding="utf-8")


@dataclass(frozen=True)
class Decontaminate:
    """Leaves out documents with an n-gram of a benchmark, and lists every benchmark row that they touch."""

    folders: Folders
    ngram: int

    def __call__(self, data: Iterable[Any], rank: int, world_size: int) -> Iterator[Any]:
        """The documents that hold no piece of a benchmark."""
        folder = self.folders.work / _INDEX
        hashes = np.load(folder / "hashes.npy", allow_pickle=False)
        places = np.load(folder / "places.npy", allow_pickle=False)
        names = [item["name"] for item in index_summary(self.folders)]
        listing = folder / "hits" / f"{rank:05d}.jsonl"
        listing.parent.mkdir(parents=True, exist_ok=True)
        with (
            Removed(self.folders, "contaminated", rank) as removed,
            listing.open("w", encoding="utf-8") as hits,
        ):
            for document in data:
                found: dict[tuple[int, int], str] = {}
                grams = ngrams_of(document.text, self.ngram)
                keys = np.fromiter(map(_hash, grams), dtype=np.uint64, count=len(grams))
                for gram, key, place in zip(grams, keys, np.searchsorted(hashes, keys), strict=True):
                    if place < len(hashes) and hashes[place] == key:
                        number, line = places[place].tolist()
                        found.setdefault((number, line), gram)
                if not found:
                    yield document
                    continue
                removed.write(document, rank, "contaminated")
                for (number, line), gram in found.items():
                    source = row_of(document)["source"]
                    hits.write(
                        line_of({"source": source, "benchmark": names[number], "line": line, "words": gram})
                    )
        write_counts(self.folders, "contaminated", rank, removed.counts)


def index_summary(folders: Folders) -> list[dict[str, Any]]:
    """Name, rows, and rows shorter than an n-gram of each benchmark; empty where there are none."""
    path = folders.work / _INDEX / "benchmarks.json"
    if not path.is_file():
        return []
    summary: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return summary


def gather_hits(folders: Folders) -> int:
    """Put the hits of all tasks into one file, contamination.jsonl, and count them."""
    count = 0
    fresh = folders.out / ".contamination.jsonl.new"
    with fresh.open("w", encoding="utf-8") as out:
        for path in sorted((folders.work / _INDEX / "hits").glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                count += 1
                out.write(line)
    fresh.rename(folders.out / "contamination.jsonl")
    return count
