"""Near-duplicates by MinHash (Broder 1997): the stages of the corpus pipeline that find them and drop all but one.

Two texts become a candidate where a whole band of their hashes is equal (datatrove's blocks); the candidate counts
where the share of all hashes that are equal, an unbiased estimate of the Jaccard similarity, reaches the threshold.
The bands alone would decide less sharply: of the pairs at 0.7, every fifth would go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from thinkling.lm.corpus_steps import Folders, Removed, words, write_counts

HASHES = 256
"""Of a text; the estimate of a similarity of 0.8 is off by 0.025 (one standard deviation)."""
_CANDIDATES = 0.99
"""Least probability that a pair at the threshold becomes a candidate."""


@dataclass(frozen=True)
class MinHash:
    """The hashes of a text and how they are compared."""

    ngram: int
    """Words of a shingle."""
    jaccard: float
    """Similarity from which two texts are near-duplicates."""
    bands: int
    """How many bands there are."""
    hashes: int
    """Hashes of a band."""
    seed: int
    """Of the hash functions."""

    def candidate(self, similarity: float) -> float:
        """Probability that two texts of this similarity have an equal band."""
        return 1 - (1 - similarity**self.hashes) ** self.bands

    def found(self, similarity: float) -> float:
        """About the probability that two texts of this similarity are taken for near-duplicates."""
        count = self.bands * self.hashes
        enough = range(math.ceil(self.jaccard * count), count + 1)
        passes = sum(
            math.comb(count, equal) * similarity**equal * (1 - similarity) ** (count - equal)
            for equal in enough
        )
        return self.candidate(similarity) * passes

    def config(self) -> Any:
        """For datatrove's blocks."""
        from datatrove.pipeline.dedup.minhash import MinhashConfig
        from datatrove.utils.hashing import HashConfig

        return MinhashConfig(
            n_grams=self.ngram,
            num_buckets=self.bands,
            hashes_per_bucket=self.hashes,
            seed=self.seed,
            hash_config=HashConfig(precision=64, hash_fc="sha1"),
        )


def minhash(*, ngram: int, jaccard: float, seed: int) -> MinHash:
    """The longest bands, so the fewest candidates, among which a pair at the threshold is missed once in a hundred."""
    for size in range(HASHES, 0, -1):
        chosen = MinHash(ngram=ngram, jaccard=jaccard, bands=HASHES // size, hashes=size, seed=seed)
        if chosen.candidate(jaccard) >= _CANDIDATES:
            break
    return chosen


@dataclass(frozen=True)
class Deduplicate:
    """One of the stages, each with its own number of tasks."""

    part: Literal["signatures", "pairs", "clusters", "drop"]
    """signatures: hash the documents of a task. pairs: compare the texts of a band. clusters: join pairs. drop: leave
    out all but one text of a cluster."""
    folders: Folders
    minhash: MinHash

    def __call__(self, data: Any, rank: int, world_size: int) -> Any:
        """Run the part on this task's share."""
        from datatrove.pipeline.dedup import minhash as blocks

        config = self.minhash.config()
        if self.part == "signatures":
            return self._sign(data, rank, world_size)
        if self.part == "pairs":
            block = blocks.MinhashDedupBuckets(
                input_folder=self._folder("signatures"),
                output_folder=self._folder("candidates"),
                config=config,
                lines_to_buffer=1000,
            )
            block.run(None, rank, world_size)
            return self._confirm(f"{rank:05d}_00.dups")
        if self.part == "clusters":
            block = blocks.MinhashDedupCluster(
                input_folder=self._folder("pairs"),
                output_folder=self._folder("doomed"),
                config=config,
                lines_to_buffer=1000,
            )
            return block.run(None, rank, world_size)
        return self._drop(data, rank, world_size)

    def _sign(self, data: Iterable[Any], rank: int, world_size: int) -> None:
        """The sorted bands that datatrove wants, and all hashes of each document in the order of the documents."""
        from datatrove.pipeline.dedup.minhash import MinhashDedupSignature

        block = MinhashDedupSignature(
            output_folder=self._folder("signatures"), config=self.minhash.config(), language=words()
        )
        path = self._hashes(rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        nothing = np.zeros(self.minhash.bands * self.minhash.hashes, dtype=np.uint64)
        signature = block.get_signature
        with path.open("wb") as file:
            row = nothing

            def remembered(shingles: Any) -> Any:
                nonlocal row
                bands = signature(shingles)
                row = np.array(bands, dtype=np.uint64).ravel()
                return bands

            def documents() -> Iterator[Any]:
                nonlocal row
                for document in data:
                    row = nothing  # stays where a text is shorter than a shingle
                    yield document
                    file.write(row.tobytes())

            block.get_signature = remembered
            block.run(documents(), rank, world_size)

    def _confirm(self, name: str) -> None:
        """The candidates of a band whose hashes are alike enough."""
        candidates = Path(self._folder("candidates")) / name
        rows = np.fromfile(candidates, dtype="<u4").reshape(-1, 4)
        alike = np.zeros(len(rows), dtype=bool)
        for number, (first, text, second, other) in enumerate(rows.tolist()):
            equal = (self._signature(first, text) == self._signature(second, other)).mean()
            alike[number] = equal >= self.minhash.jaccard
        pairs = Path(self._folder("pairs"))
        pairs.mkdir(parents=True, exist_ok=True)
        rows[alike].tofile(pairs / name)

    def _signature(self, rank: int, document: int) -> Any:
        size = self.minhash.bands * self.minhash.hashes
        return np.fromfile(self._hashes(rank), dtype=np.uint64, count=size, offset=document * size * 8)

    def _drop(self, data: Iterable[Any], rank: int, world_size: int) -> Iterator[Any]:
        from datatrove.pipeline.dedup.minhash import MinhashDedupFilter

        removed = Removed(self.folders, "duplicates", rank)
        block = MinhashDedupFilter(input_folder=self._folder("doomed"), exclusion_writer=removed)
        yield from block.run(data, rank, world_size)
        write_counts(self.folders, "duplicates", rank, removed.counts)

    def _hashes(self, rank: int) -> Path:
        return self.folders.work / "hashes" / f"{rank:05d}.bin"

    def _folder(self, name: str) -> str:
        return str(self.folders.work / name)
