"""Generated problems as JSON lines, one file a split: what supervised fine-tuning and evaluation read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from thinkling.data.array_store import MANIFEST, check_output
from thinkling.data.whole_folder import whole_folder, write_manifest
from thinkling.errors import InputError
from thinkling.tasks.problem import Problem, ProblemSplit, problem_task, problems

KIND = "problems"
"""What the manifest says such a folder holds."""

SPLITS: tuple[ProblemSplit, ...] = ("train", "validation", "test")


def write_problems(
    out: Path, names: Sequence[str], *, counts: Sequence[int], seed: int = 0, reasoning: bool = True
) -> str:
    """Generate problems into OUT/train.jsonl, validation.jsonl and test.jsonl: all of them or, after an error, nothing.

    No question is in two splits. Inside a split a question may come twice where a task has few of them.

    Args:
        out: the folder.
        names: the tasks, each equally likely.
        counts: problems for training, validation and testing.
        seed: the same seed gives the same files.
        reasoning: whether worked reasoning is written for training and validation.

    Returns:
        SHA-256 of the content.

    Raises:
        InputError: an unknown task, an impossible count, or something else at `out`.
        ThinklingError: the disk refuses.
    """
    for split, count in zip(SPLITS, counts, strict=True):
        if count < 0:
            raise InputError(f"{count} problems for {split}", "0 or more", "give another number")
    for name in names:
        problem_task(name)
    out = Path(out)
    check_output(out)
    with whole_folder(out) as folder:
        for split, count in zip(SPLITS, counts, strict=True):
            made = problems(names, seed, 0, count, split)
            with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json_lines(made, reasoning=reasoning))
        made_of = {"kind": KIND, "tasks": list(names), "seed": seed, "counts": list(counts)}
        return write_manifest(folder / MANIFEST, made_of)


def json_lines(made: Iterable[Problem], *, reasoning: bool = True) -> Iterator[str]:
    """Problems as lines of JSON."""
    for problem in made:
        row = {"task": problem.task, "problem": problem.text}
        if reasoning and problem.reasoning:
            row["reasoning"] = problem.reasoning
        yield json.dumps({**row, "answer": problem.answer}, ensure_ascii=False) + "\n"
