"""`thinkling lm corpus`: clean, de-duplicate and decontaminate documents before pre-training."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.output import Report, in_words
from thinkling.cli.work import cores
from thinkling.errors import InputError
from thinkling.lm.contamination import benchmarks
from thinkling.lm.corpus_pipeline import CorpusSettings, ExecutorSettings, run_pipeline
from thinkling.lm.corpus_steps import QUALITY, Quality


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Leave out low quality, other languages, near-duplicates and pieces of benchmarks, on datatrove.

    The same command goes on with what an earlier one has begun."""

    source: Positional[Path]
    """A .jsonl, .json or .txt file, also with .gz, or a folder of them; hf://datasets/OWNER/NAME fetches it."""
    out: Path
    """The folder to write: documents/, removed/, contamination.jsonl and report.json."""
    quality: tuple[Quality, ...] = QUALITY
    """Rules of quality: gopher, repetition, fineweb. They are for English prose. Without a value: none."""
    min_words: int = 50
    """Words of the shortest document that the rule gopher lets pass."""
    language_model: Path | None = None
    """A fastText model such as lid.176.bin; where not given, no document is left out for its language."""
    languages: tuple[str, ...] = ("en",)
    """With --language-model: its labels to keep."""
    language_threshold: float = 0.65
    """With --language-model: least probability of the label."""
    ngram: int = 3
    """Words of a shingle for near-duplicates."""
    jaccard: float = 0.8
    """Similarity from which documents count as near-duplicates."""
    benchmark: tuple[str, ...] = ()
    """Benchmarks whose questions must not be trained on: NAME=FILE.jsonl or FILE.jsonl, several after one flag."""
    benchmark_ngram: int = 13
    """Words in a row of a benchmark that count as a copy."""
    tasks: int = 0
    """Parts that the files are divided into; 0: one for each file, up to 1,000."""
    seed: int = 1
    """Of the hash functions for near-duplicates."""
    workers: int = 0
    """Tasks at the same time; 0: one for each core, on Slurm one for each file."""
    slurm: str | None = None
    """Hand the stages to Slurm, in this partition; the folders must be seen by its machines."""
    ray: bool = False
    """Run the stages on the Ray cluster that this process belongs to."""
    time: str = "20:00:00"
    """Limit of one task on Slurm."""
    memory_gb: int = 4
    """Memory of one task on Slurm or Ray."""


def run(arguments: Arguments) -> Report:
    """Run the pipeline.

    Raises:
        InputError: a missing package, a bad file or row, a setting that cannot work, or something else at `out`.
    """
    if arguments.slurm is not None and arguments.ray:
        raise InputError("--slurm with --ray", "one of the two", "leave one out")
    if arguments.slurm == "":
        raise InputError("--slurm ''", "the name of a partition", "see 'sinfo'")
    if arguments.workers < 0:
        raise InputError(
            f"--workers {arguments.workers}", "0 or more", "give how many tasks run at the same time"
        )
    settings = CorpusSettings(
        quality=arguments.quality,
        min_words=arguments.min_words,
        language_model=arguments.language_model,
        languages=arguments.languages,
        language_threshold=arguments.language_threshold,
        ngram=arguments.ngram,
        jaccard=arguments.jaccard,
        benchmarks=benchmarks(arguments.benchmark),
        benchmark_ngram=arguments.benchmark_ngram,
        tasks=arguments.tasks,
        seed=arguments.seed,
    )
    if arguments.language_model is None:
        print("no --language-model: no document is left out for its language", file=sys.stderr)
    far = arguments.slurm is not None or arguments.ray
    executor = ExecutorSettings(
        kind="slurm" if arguments.slurm is not None else "ray" if arguments.ray else "local",
        workers=(arguments.workers or sys.maxsize) if far else cores(arguments.workers),
        partition=arguments.slurm or "",
        time=arguments.time,
        memory_gb=arguments.memory_gb,
    )
    found = run_pipeline(
        fetched(arguments.source),
        arguments.out,
        settings,
        executor,
        progress=lambda stage: print(f"stage {stage}", file=sys.stderr),
    )
    values = {"dir": str(arguments.out), **found}
    if "submitted" in found:
        return Report(values=values)
    documents = arguments.out / "documents"
    names = (
        "documents_read",
        "filtered",
        "near_duplicates",
        "contaminated",
        "hits",
        "documents",
        "characters",
    )
    lines = [f"{name.replace('_', ' '):<18}{in_words(found[name])}" for name in names]
    lines += [
        f"{'benchmark':<18}{item['name']}: {item['rows']:,} rows, {item['too_short_to_find']:,} too short to be found"
        for item in found["benchmarks"]
    ]
    lines.append(f"next: thinkling data import text {documents} --for lm --out DIR")
    return Report(values={**values, "documents_dir": str(documents)}, text="\n".join(lines))
