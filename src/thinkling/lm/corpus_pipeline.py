"""From raw documents to documents worth training on: a pipeline on datatrove, on this machine, Slurm or Ray.

    filter        read the files; leave out other languages and low quality
    signatures, pairs, clusters   near-duplicates by MinHash
    benchmarks    index the benchmarks' n-grams
    final         leave out near-duplicates and what holds a piece of a benchmark; write
    report        add the counts up

Which executor runs a stage changes nothing else: a document's fate depends on the files, their order and the settings.
What a task has finished is marked, and a repeated command goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from thinkling.data.corpus import corpus_files
from thinkling.errors import InputError, ThinklingError
from thinkling.lm.contamination import Benchmark, Decontaminate, IndexBenchmarks, benchmark_rows
from thinkling.lm.corpus_steps import (
    QUALITY,
    BadShardError,
    Filter,
    Folders,
    Quality,
    Read,
    ReadFiltered,
    Total,
    Write,
)
from thinkling.lm.near_duplicates import Deduplicate, minhash

_MOST_TASKS = 1000
_SETTINGS = "settings.json"
_PRELOADED = [
    "datatrove.executor.local",
    "datatrove.pipeline.dedup.minhash",
    "datatrove.pipeline.filters",
    "thinkling.lm.corpus_pipeline",
]


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """What decides which documents stay; the executor is no part of it."""

    quality: tuple[Quality, ...] = QUALITY
    """Rules of quality."""
    min_words: int = 50
    """Words of the shortest document that Gopher's rules let pass."""
    language_model: Path | None = None
    """A fastText model that tells languages apart; None: no document is left out for its language."""
    languages: tuple[str, ...] = ("en",)
    """Labels of that model that stay."""
    language_threshold: float = 0.65
    """Least probability of the label (FineWeb's)."""
    ngram: int = 3
    """Words of a shingle for near-duplicates."""
    jaccard: float = 0.8
    """Similarity from which two documents count as near-duplicates."""
    benchmarks: tuple[Benchmark, ...] = ()
    """Files whose questions must not be trained on."""
    benchmark_ngram: int = 13
    """Words in a row that count as a copy."""
    tasks: int = 0
    """Parts that the files are divided into; 0: one for each file, up to 1,000."""
    seed: int = 1
    """Of MinHash's functions."""

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            InputError: naming the first setting out of its range.
        """
        for name, allowed in (("min_words", 0), ("ngram", 1), ("benchmark_ngram", 2), ("tasks", 0)):
            if getattr(self, name) < allowed:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {getattr(self, name)}", f"{allowed} or more", f"change --{flag}")
        for name in ("jaccard", "language_threshold"):
            if not 0 < getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {getattr(self, name)}", "between 0 and 1", f"change --{flag}")
        if self.language_model is not None and not self.language_model.is_file():
            raise InputError(
                f"--language-model {self.language_model}: no such file",
                "a fastText model, such as lid.176.bin",
                "fetch it, or leave the flag out: no document is then left out for its language",
            )


@dataclass(frozen=True, kw_only=True)
class ExecutorSettings:
    """Where the stages run."""

    kind: Literal["local", "slurm", "ray"] = "local"
    """datatrove's executor."""
    workers: int = 1
    """Tasks at the same time."""
    partition: str = ""
    """Slurm's partition."""
    time: str = "20:00:00"
    """Slurm's limit for one task."""
    memory_gb: int = 4
    """Memory of one task on Slurm or Ray."""


@dataclass(frozen=True)
class Stage:
    """Steps that run in one go, and over how many tasks."""

    name: str
    steps: tuple[Callable[..., Any], ...]
    tasks: int


def stages(source: Path, out: Path, settings: CorpusSettings) -> list[Stage]:
    """The stages of a pipeline, in their order.

    Raises:
        InputError: no such source, or more tasks than files.
    """
    files = tuple(str(path.resolve()) for path in corpus_files(source))
    tasks = settings.tasks or min(len(files), _MOST_TASKS)
    if tasks > len(files):
        raise InputError(
            f"--tasks {tasks} for {len(files)} file{'s' if len(files) > 1 else ''}",
            f"up to {len(files)}, because a file is read by one task",
            "ask for fewer, or divide the files",
        )
    folders = Folders(out.resolve())
    alike = minhash(ngram=settings.ngram, jaccard=settings.jaccard, seed=settings.seed)
    model = settings.language_model
    keep = Filter(
        folders=folders,
        quality=settings.quality,
        min_words=settings.min_words,
        language_model=None if model is None else str(model.resolve()),
        languages=settings.languages,
        language_threshold=settings.language_threshold,
    )
    read_again = ReadFiltered(folders)
    decontaminate: tuple[Callable[..., Any], ...] = ()
    indexing = []
    if settings.benchmarks:
        placed = tuple(Benchmark(item.name, str(Path(item.path).resolve())) for item in settings.benchmarks)
        indexing = [
            Stage("benchmarks", (IndexBenchmarks(folders, placed, settings.benchmark_ngram),), 1),
        ]
        decontaminate = (Decontaminate(folders, settings.benchmark_ngram),)
    found = {f"{share:.2f}": round(alike.found(share), 4) for share in (0.6, 0.7, settings.jaccard, 0.9)}
    said = {**_as_json(settings), "bands": alike.bands, "hashes_of_a_band": alike.hashes, "pair_found": found}
    return [
        Stage("filter", (Read(files), keep, Write(folders.filtered, folders, "filter")), tasks),
        Stage("signatures", (read_again, Deduplicate("signatures", folders, alike)), tasks),
        Stage("pairs", (Deduplicate("pairs", folders, alike),), alike.bands),
        Stage("clusters", (Deduplicate("clusters", folders, alike),), 1),
        *indexing,
        Stage(
            "final",
            (
                read_again,
                Deduplicate("drop", folders, alike),
                *decontaminate,
                Write(folders.documents, folders, "final"),
            ),
            tasks,
        ),
        Stage("report", (Total(folders, said),), 1),
    ]


def run_pipeline(
    source: Path,
    out: Path,
    settings: CorpusSettings,
    executor: ExecutorSettings,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run a pipeline, or hand it to a cluster.

    Args:
        source: a file or a folder, as `data.corpus.documents` reads them.
        out: a new or empty folder, or one of this command with the same source and settings, which is gone on with.
        settings: what decides which documents stay.
        executor: where.
        progress: called with the name of each stage before it starts.

    Returns:
        The report; on Slurm, where the jobs are only handed in, `{"submitted": {stage: job id}}`.

    Raises:
        InputError: a missing package, a bad row or file, or something else at `out`.
        ThinklingError: a task failed for another reason; names the log.
    """
    _check_packages(settings, executor)
    for item in settings.benchmarks:
        for _ in benchmark_rows(Path(item.path)):
            pass  # reading finds a bad row before hours of filtering
    plan = stages(source, out, settings)
    _claim(source, out, settings)
    executors: list[Any] = []
    for stage in plan:
        executors.append(_executor(stage, out, executor, executors[-1] if executors else None))
    log = out / "work" / "log.txt"
    for stage, waiting in zip(plan, executors, strict=True):
        if progress is not None:
            progress(stage.name)
        try:
            with _output_to(log):
                waiting.run()
        except BadShardError as error:
            raise InputError(*error.args) from None
        except InputError:
            raise
        except Exception as error:
            raise ThinklingError(
                f"stage {stage.name} failed: {type(error).__name__}: {error}; the log is {log}; "
                "the same command goes on from the tasks that are done"
            ) from error
    if executor.kind == "slurm":
        ids = zip(plan, executors, strict=True)
        return {"submitted": {stage.name: str(waiting.job_id) for stage, waiting in ids}}
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return report


def _check_packages(settings: CorpusSettings, executor: ExecutorSettings) -> None:
    needed = {"datatrove": "'thinkling[corpus]'", "regex": "'thinkling[corpus]'"}
    if settings.language_model is not None:
        needed["fasttext"] = "fasttext-numpy2-wheel"
    if executor.kind == "ray":
        needed["ray"] = "'ray[default]'"
    for name, package in needed.items():
        try:
            __import__(name)
        except ImportError:
            raise InputError(
                f"the package {name} is missing", "the corpus pipeline needs it", f"pip install {package}"
            ) from None


def _claim(source: Path, out: Path, settings: CorpusSettings) -> None:
    """Make the folder this pipeline's, or see that it is."""
    stated = {
        "source": [
            [str(path.relative_to(source)) if path != source else path.name, path.stat().st_size]
            for path in corpus_files(source)
        ],
        **_as_json(settings),
    }
    path = out / "work" / _SETTINGS
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != stated:
            raise InputError(
                f"--out {out}: begun with another source or other settings",
                "the same command, to go on with it, or a new folder",
                "choose another folder, or delete this one",
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"--out {out}: holds something that is not of this command",
            "a new or empty folder, or one of this command to go on with",
            "choose another folder",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(stated, indent=1), encoding="utf-8")


def _as_json(settings: CorpusSettings) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return stated


def _executor(stage: Stage, out: Path, settings: ExecutorSettings, before: Any) -> Any:
    """datatrove's executor for a stage."""
    logs = str((out / "work" / "stages" / stage.name).resolve())
    workers = min(settings.workers, stage.tasks)
    if settings.kind == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor

        return SlurmPipelineExecutor(
            pipeline=list(stage.steps),
            tasks=stage.tasks,
            workers=workers,
            time=settings.time,
            partition=settings.partition,
            mem_per_cpu_gb=settings.memory_gb,
            job_name=f"corpus-{stage.name}",
            qos="",
            logging_dir=logs,
            depends=before,
            # datatrove's commands are beside this Python, whose folder a batch job may not have on its path.
            env_command=f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
        )
    if settings.kind == "ray":
        from datatrove.executor.ray import RayPipelineExecutor

        return RayPipelineExecutor(
            pipeline=list(stage.steps),
            tasks=stage.tasks,
            workers=workers,
            mem_per_cpu_gb=settings.memory_gb,
            logging_dir=logs,
            depends=before,
        )
    from datatrove.executor.local import LocalPipelineExecutor

    if workers > 1:
        import multiprocess

        # Otherwise every worker of every stage imports these for itself, for a second or two.
        multiprocess.get_context("forkserver").set_forkserver_preload(_PRELOADED)
    return LocalPipelineExecutor(
        pipeline=list(stage.steps), tasks=stage.tasks, workers=workers, logging_dir=logs, depends=before
    )


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and those it starts write to standard error into a file: datatrove logs there."""
    from loguru import logger

    sys.stderr.flush()
    logger.remove()  # its way out was chosen when datatrove was imported
    saved = os.dup(2)
    try:
        with path.open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
            os.dup2(log.fileno(), 2)
            try:
                yield
            finally:
                logger.remove()
                os.dup2(saved, 2)
    finally:
        os.close(saved)
