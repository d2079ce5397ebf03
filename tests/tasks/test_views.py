"""Views of a question: number 0 is itself, the others are as valid, and every answer finds its way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.arc import Arc
from thinkling.tasks.arc_grid import crop, encode
from thinkling.tasks.maze import Maze
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.table import Table
from thinkling.tasks.table_plugin import load_plugin
from thinkling.tasks.task import Task
from thinkling.tasks.views import Views

SUDOKU_4 = ("1.3..4.22..1.32.", "1234341223414123")
MAZES = [
    ((4, 4), "S  ##  #   # # G", "So ##o # oo# #oG"),
    ((2, 5), "S   #  # G", "Sooo#  #oG"),
]


def views_of(task: Task, question: np.ndarray, count: int, puzzle_id: int = 0) -> Views:
    uniforms = np.random.default_rng(5).random((count, task.view_numbers))
    return task.views(np.stack([question] * count), np.full(count, puzzle_id), uniforms)


def check_round_trip(task: Task, question: np.ndarray, answer: np.ndarray, views: Views) -> None:
    """The answer as each view would have it is valid there, and comes back to what it was."""
    for number in range(len(views)):
        there = next(
            candidate
            for candidate in candidates(task, views.inputs[number])
            if task.check_batch(views.inputs[number][None], candidate[None])[0]
        )
        assert views.undo(number, there).tolist() == answer.tolist()
    assert views.inputs[0].tolist() == question.tolist()


def candidates(task: Task, question: np.ndarray) -> list[np.ndarray]:
    return task.solve(question)  # type: ignore[attr-defined]  # Sudoku and its solver


@pytest.mark.parametrize("size", [4, 6, 9])
def test_sudoku_views_are_puzzles_whose_solution_comes_back(size: int) -> None:
    task = Sudoku(size)
    solved = task.solve(np.ones(size * size, dtype=np.uint8), limit=1)[0]
    question = solved.copy()
    question[[0, 5, 9]] = 1
    views = views_of(task, question, 6)
    assert len({row.tobytes() for row in views.inputs}) == 6
    assert views.inputs.dtype == question.dtype
    for number in range(6):
        task.validate(views.inputs[number])
    check_round_trip(task, question, solved, views)
    back = views.back(views.inputs)
    assert (back == question).all(), "a question is an answer with blanks"


def test_values_go_back_with_their_cells() -> None:
    task = Sudoku(4)
    question = task.parse(SUDOKU_4[0])
    views = views_of(task, question, 5)
    for number in range(5):
        asked = views.inputs[number]
        given = (asked > 1).astype(np.float32)
        assert (views.undo_places(number, asked, given) == (question > 1)).all()


@pytest.mark.parametrize(("shape", "asked", "answered"), MAZES)
def test_maze_views_are_all_symmetries_before_one_comes_again(
    shape: tuple[int, int], asked: str, answered: str
) -> None:
    task = Maze(*shape)
    question, answer = task.parse(asked), task.encode_answer(answered)
    others = 7 if shape[0] == shape[1] else 3
    views = views_of(task, question, 1 + others)
    assert len({row.tobytes() for row in views.inputs}) == 1 + others
    assert (views.back(views.inputs) == question).all()
    seen = views_of(task, answer, 1 + others)
    assert (views.back(seen.inputs) == answer).all()
    assert task.check_batch(views.inputs, seen.inputs).all()
    again = views_of(task, question, 1 + 2 * others)
    assert (again.inputs[1 + others :] == again.inputs[1 : 1 + others]).all()
    assert (views_of(task, question, 3).inputs == views.inputs[:3]).all(), (
        "a view does not depend on how many"
    )


ARC_NAMES = ("<blank>", "one|||t0|||0123456789", "one|||t3|||0213456789", "one|||t6|||0987654321", "two")


def test_arc_views_are_the_tasks_own_augmentations_under_their_ids() -> None:
    task = Arc(canvas=5, identifiers=ARC_NAMES)
    grid = np.array([[1, 2, 3], [4, 0, 0]], dtype=np.uint8)
    answer = np.array([[1, 1], [2, 0], [5, 9]], dtype=np.uint8)
    for own in (1, 2, 3):
        here = task.names.augmentation(own)
        question, right = (encode(here.apply(one), 5) for one in (grid, answer))
        views = views_of(task, question, 3, own)
        assert views.puzzle_ids[0] == own
        assert set(views.puzzle_ids.tolist()) == {1, 2, 3}
        for number, puzzle_id in enumerate(views.puzzle_ids.tolist()):
            there = task.names.augmentation(puzzle_id)
            assert (crop(views.inputs[number]) == there.apply(grid)).all()
            said = encode(there.apply(answer), 5)
            assert (views.undo(number, said) == right).all()
            moved = views.undo_places(number, said, said.astype(np.float32))
            where = right > 1
            # Where the colours of the answer stand, whatever they are called there.
            assert [int(there.colour_map.argsort()[int(value) - 2]) for value in moved[where]] == [
                int(here.colour_map.argsort()[int(token) - 2]) for token in right[where]
            ]


def test_arc_views_of_the_blank_id_and_of_a_task_without_augmentations() -> None:
    task = Arc(canvas=4, identifiers=ARC_NAMES)
    question = encode(np.array([[1, 2], [3, 4], [0, 0]], dtype=np.uint8), 4)
    free = views_of(task, question, 6)
    assert set(free.puzzle_ids.tolist()) == {0}
    assert len({row.tobytes() for row in free.inputs}) == 6
    assert (free.back(free.inputs) == question).all()
    alone = views_of(task, question, 3, puzzle_id=4)
    assert (alone.inputs == question).all()
    assert set(alone.puzzle_ids.tolist()) == {4}


def test_an_arc_answer_without_a_grid_comes_back_as_none() -> None:
    task = Arc(canvas=4)
    question = encode(np.array([[1, 2]], dtype=np.uint8), 4)
    views = views_of(task, question, 2)
    said = np.full(16, 1)
    assert views.undo(1, said).tolist() == [0] * 16
    assert views.undo(0, said) is said
    assert (views.undo_places(1, said, np.full(16, 0.5)) == 0.5).all()


PLUGIN = """
def view(question, random):
    if question == "bad":
        return "??", str
    if question == "crash":
        def back(answer):
            raise KeyError(answer)
        return "dcba", back
    if question == "wrong":
        return "dcba"
    return question[::-1], lambda answer: answer[::-1]
"""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    path = tmp_path / "turn.py"
    path.write_text(PLUGIN)
    return Table(alphabet="abcdehnorswg", length=6).with_plugin(load_plugin(path))


def test_a_plug_in_knows_the_views_of_a_table(table: Table) -> None:
    assert table.view_numbers == 1
    views = views_of(table, table.parse("abc"), 3)
    assert [table.format(row) for row in views.inputs] == ["abc", "cba", "cba"]
    answers = np.stack([table.encode_answer(text) for text in ("ab", "ba", "a")])
    assert [table.format(row) for row in views.back(answers)] == ["ab", "ab", "a"]
    assert views.undo(1, np.zeros(6, dtype=np.int64)).tolist() == [0] * 6
    assert views.undo_places(1, answers[1], np.array([0.5, 0.25, 1, 1, 1, 1])).tolist() == [0.25] * 6
    bare = Table(alphabet="abc", length=3)
    assert bare.view_numbers == 0
    same = bare.views(np.array([[2, 3, 4]] * 2), np.zeros(2), np.zeros((2, 0)))
    assert same.back(same.inputs).tolist() == [[2, 3, 4]] * 2


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ("bad", r"view returned this question with the character '\?'"),
        ("wrong", "view returned 'dcba'"),
    ],
)
def test_a_view_that_is_none_is_refused(table: Table, question: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        views_of(table, table.parse(question), 2)


def test_a_way_back_that_fails_names_the_plug_in(table: Table) -> None:
    views = views_of(table, table.parse("crash"), 2)
    with pytest.raises(InputError, match=r"turn.py line 2: view gave a function that raised KeyError"):
        views.back(views.inputs)


@pytest.mark.parametrize("task", [Sudoku(4), Maze(3, 3), Arc(canvas=3), Table(alphabet="ab", length=4)])
def test_every_task_has_views(task: Task) -> None:
    undo: Callable[..., object] = views_of(task, np.ones(task.seq_len, dtype=np.uint8), 2).undo
    assert callable(undo)
