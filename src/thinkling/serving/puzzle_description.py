"""What a client must know of a puzzle model before it asks: its task, its grid, its symbols, what it can do.

`/v1/models` says it, `/manifest.json` repeats it, and an exported folder carries it along.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.serving.settings import ServerSettings
from thinkling.tasks.arc import Arc
from thinkling.tasks.arc_grid import COLOURS, FIRST_COLOUR
from thinkling.tasks.search_rules import rules_of
from thinkling.tasks.table import Table
from thinkling.tasks.table_alphabet import FIRST_SYMBOL
from thinkling.tasks.task import Task


def describe(model: PuzzleModel, settings: ServerSettings) -> dict[str, Any]:
    """A puzzle model as JSON values.

    Args:
        model: as loaded.
        settings: what a request may ask for.

    Returns:
        `product`, `architecture`, `params`, `limit` (segments after which a question stops unless told otherwise),
        `max_steps`, `max_samples` and `max_budget` (the most that a request may ask for), `halt` (the rule where a
        request names none), `halting` (threshold and confirmations of the rule q), `task` (its settings), `grid` (rows,
        columns, block), `symbols` (how each token is shown, by its number), `puzzle_names`, `has_checker`,
        `has_symmetries` and `can_search`.
    """
    task = model.task
    rows, columns = task.shape
    return {
        "product": "puzzles",
        "architecture": model.config["architecture"],
        "params": model.params,
        "limit": model.halting.max_steps,
        "max_steps": settings.max_steps,
        "max_samples": settings.most_chains,
        "max_budget": settings.max_budget,
        "halt": "valid" if task.has_checker else "q",
        "halting": {
            "learning": model.halting.learning,
            "threshold": model.halting.threshold,
            "confirmations": model.halting.confirmations,
        },
        "task": task.settings(),
        "grid": {"rows": rows, "columns": columns, "block": list(task.block)},
        "symbols": symbols_of(task),
        "puzzle_names": list(task.names.tasks) if isinstance(task, Arc) else [],
        "has_checker": task.has_checker,
        "has_symmetries": task.view_numbers > 0,
        "can_search": rules_of(task) is not None,
    }


def symbols_of(task: Task) -> list[str]:
    """How a task writes each of its tokens, by the token's number; empty for a token that is no symbol."""
    if isinstance(task, Arc):
        return [""] * FIRST_COLOUR + [str(colour) for colour in range(COLOURS)]
    if isinstance(task, Table):
        return [""] * FIRST_SYMBOL + [str(symbol) for symbol in task.symbols.symbols]
    # Sudoku and maze write one character a token.
    return list(task.format(np.arange(task.vocab_size)))
