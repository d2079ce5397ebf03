"""Generated problems as JSON lines, one file a split: what supervised fine-tuning and evaluation read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from thinkling.data.array_store import MANIFEST, check_output
from thinkling.data.conversations import conversations
from thinkling.data.whole_folder import whole_folder, write_manifest
from thinkling.errors import InputError
from thinkling.tasks.problem import Problem, ProblemSplit, problem_task, problems
from thinkling.tasks.problem_check import check_answer

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


def is_problem_folder(folder: Path) -> bool:
    """Whether a folder holds generated problems; nothing but its manifest is looked at."""
    try:
        manifest = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == KIND


def check_problems(folder: Path) -> dict[str, Any]:
    """Checks generated problems: every answer is worked out anew from its question.

    Args:
        folder: what `write_problems` wrote.

    Returns:
        `train`, `validation` and `test` (problems), `duplicates` (questions that come again in the same part, which is
        no fault: some tasks have few of them), `overlap` (questions that an earlier part has too), `faults` (overlaps
        and wrong answers, each by its file and line).

    Raises:
        InputError: a file is missing or damaged; names the line.
    """
    seen: dict[str, str] = {}
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    faults: list[str] = []
    duplicates = overlap = 0
    for split in SPLITS:
        for row in conversations(Path(folder) / f"{split}.jsonl"):
            counts[split] += 1
            question, answer = row.messages[-2].content, row.messages[-1].content
            try:
                check_answer(row.task, question, answer)
            except InputError as error:
                faults.append(f"{row.place}: {error.given}")
            earlier = seen.get(question)
            seen.setdefault(question, split)
            duplicates += earlier == split
            if earlier not in (None, split):
                overlap += 1
                faults.append(f"{row.place}: a question that {earlier}.jsonl has too")
    return {**counts, "duplicates": duplicates, "overlap": overlap, "faults": faults}
