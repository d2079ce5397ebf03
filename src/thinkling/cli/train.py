"""`thinkling train RECIPE --data DATA --out RUN`: train, or go on with a run.

What the recipe trains decides which settings there are: each kind of recipe has its own module `train_<kind>`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from thinkling.cli import train_grpo, train_lm, train_puzzles, train_sft, train_text
from thinkling.cli.arguments import CommandArguments
from thinkling.cli.train_arguments import TrainArguments
from thinkling.errors import InputError, nearest

KINDS: dict[str, Callable[[str], TrainArguments]] = {
    **dict.fromkeys(train_puzzles.RECIPES, train_puzzles.defaults),
    **dict.fromkeys(train_text.RECIPES, train_text.defaults),
    **dict.fromkeys(train_lm.RECIPES, train_lm.defaults),
    **dict.fromkeys(train_sft.RECIPES, train_sft.defaults),
    **dict.fromkeys(train_grpo.RECIPES, train_grpo.defaults),
}
"""What makes the arguments of each recipe, by the recipe's name."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CommandArguments):
    """Train a recipe. Every setting of the recipe is a flag; `thinkling train RECIPE --help` lists them."""

    recipe_name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """The recipe to start from."""


def defaults(words: Sequence[str]) -> TrainArguments | None:
    """The arguments of the recipe that the first word names, None where there is none yet."""
    if not words or words[0] in ("-h", "--help"):
        return None
    if words[0].startswith("-"):
        raise InputError(
            f"{words[0]!r} before the recipe", "the recipe first", f"choose one of {', '.join(KINDS)}"
        )
    if words[0] not in KINDS:
        raise InputError(f"recipe {words[0]!r}", ", ".join(KINDS), nearest(words[0], KINDS))
    return KINDS[words[0]](words[0])


def run(arguments: TrainArguments) -> dict[str, Any] | int:
    """Train, and say where the run is and how good it is."""
    if arguments.dry_run:
        return arguments.preview()
    result = arguments.train()
    if os.environ.get("RANK", "0") != "0":
        return 0  # under torchrun the first process speaks for all
    if result.stopped == "signal":
        print(f"stopped at step {result.step}; add --resume to go on", file=sys.stderr)
    return {
        "run": str(result.run),
        "step": result.step,
        "metrics": result.metrics,
        "train_seconds": result.train_seconds,
        "stopped": result.stopped,
    }
