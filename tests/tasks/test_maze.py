"""The maze task: the official encoding, the symmetries, and a judge that knows a path from a shortest path."""

import json
from pathlib import Path

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.dihedral import dihedral_cells
from thinkling.tasks.maze import BLANK, GOAL, PATH, START, WALL, Maze
from thinkling.tasks.maze_walk import can_be_walked
from thinkling.tasks.registry import get_task

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/maze.json").read_text(encoding="utf-8"))

OPEN = Maze(3, 5)
QUESTION = "S    " + "     " + "    G"
SHORTEST = "Sooo " + "   o " + "   oG"


def grid(text: str) -> np.ndarray:
    return np.array([list(line) for line in text.split("/")]) == "o"


def test_the_encoding_equals_the_official_one():
    task = Maze(6, 6)
    assert task.vocab_size == GOLDEN["metadata"]["train"]["vocab_size"] == len(GOLDEN["charset"]) + 1
    assert task.seq_len == GOLDEN["metadata"]["train"]["seq_len"]
    for number, maze in enumerate(GOLDEN["mazes"]):
        inputs, labels = task.parse(maze["question"]), task.encode_answer(maze["answer"])
        assert inputs.dtype == np.dtype(GOLDEN["dtypes"]["test_inputs"])
        assert inputs.tolist() == GOLDEN["arrays"]["test_inputs"][number]
        assert labels.tolist() == GOLDEN["arrays"]["test_labels"][number]
        assert task.format(inputs) == maze["question"]
        assert task.format(labels) == maze["answer"]
        for t in range(8):
            cells = dihedral_cells(6, 6, t)
            assert inputs[cells].tolist() == GOLDEN["arrays"]["train_inputs"][8 * number + t]
            assert labels[cells].tolist() == GOLDEN["arrays"]["train_labels"][8 * number + t]


def test_every_symmetric_copy_comes_up_and_stays_right():
    task = Maze(6, 6)
    inputs = np.array([GOLDEN["arrays"]["test_inputs"][0]] * 8, dtype=np.uint8)
    labels = np.array([GOLDEN["arrays"]["test_labels"][0]] * 8, dtype=np.int32)
    labels[:, 5] = -100
    ids = np.arange(8)
    uniforms = (np.arange(8)[:, None] + 0.5) / 8
    moved, answers, same = task.augment(inputs, labels, ids, uniforms)
    assert same is ids
    assert (moved.dtype, answers.dtype) == (np.uint8, np.int32)
    assert moved.tolist() == GOLDEN["arrays"]["train_inputs"][:8]
    assert ((answers == -100).sum(1) == 1).all()
    assert [row[cell] for row, cell in zip(answers, (answers == -100).argmax(1), strict=True)] == [-100] * 8
    assert len(np.unique(task.canonical(moved), axis=0)) == 1


def test_an_oblong_maze_keeps_its_rows_and_columns():
    task = Maze(2, 3)
    inputs = np.array([[START, BLANK, WALL, WALL, BLANK, GOAL]] * 4, dtype=np.uint8)
    moved, _, _ = task.augment(inputs, inputs, np.zeros(4), (np.arange(4)[:, None] + 0.5) / 4)
    assert [task.format(row) for row in moved] == ["S ## G", "G ## S", "# SG #", "# GS #"]
    assert len(np.unique(task.canonical(moved), axis=0)) == 1
    other = task.parse("S# # G")[None]
    assert not np.array_equal(task.canonical(other), task.canonical(moved[:1]))


def test_blanks_at_the_ends_are_cells():
    task = Maze(2, 3)
    expected = [BLANK, START, WALL, WALL, GOAL, BLANK]
    for text in (" S##G ", " S##G \n", " S##G \r\n", " S#\n#G ", " S#\r\n#G \r\n"):
        assert task.parse(text).tolist() == expected
    assert task.format(task.parse(" S##G ")) == " S##G "


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("S##G", ["maze of 4 characters", "6 characters, 2 rows of 3", "blanks"]),
        ("S##G   ", ["maze of 7 characters"]),
        ("S##G  \n\n", ["6 characters in row 1"]),
        ("S #\n#G", ["2 characters in row 2"]),
        ("S x##G", ["'x' at row 1, column 3"]),
        ("S \u00e9##G", ["'\u00e9' at row 1, column 3"]),
        ("S \u2588##G", ["'\u2588' at row 1, column 3"]),
        ("S#?#  ", ["'?' at row 1, column 3"]),
        ("So## G", ["'o' at row 1, column 2"]),
        ("S  ## ", ["without G"]),
        ("S  S#G", ["second S at row 2, column 1"]),
    ],
)
def test_a_malformed_maze_is_refused(text, parts):
    with pytest.raises(InputError) as error:
        Maze(2, 3).parse(text)
    for part in parts:
        assert part in str(error.value)


def test_a_question_must_have_a_way():
    task = Maze(2, 3)
    task.validate(task.parse("S  # G"))
    with pytest.raises(InputError, match="S at row 1, column 1 to G at row 2, column 3"):
        task.validate(task.parse("S#  #G"))
    with pytest.raises(InputError, match="row 1, column 2"):
        task.validate(np.array([START, PATH, GOAL, WALL, WALL, WALL]))
    with pytest.raises(InputError, match="without S"):
        task.validate(np.array([BLANK, BLANK, GOAL, WALL, WALL, WALL]))
    with pytest.raises(InputError, match="without a way"):
        task.rate(task.parse("S#  #G"))
    assert task.rate(task.parse("S##G##")) == 1
    assert task.rate_batch(np.stack([task.parse("S#  #G"), task.parse("S  # G")])).tolist() == [-1, 3]


def test_shortest_paths_are_optimal_whichever_is_drawn():
    """Several shortest paths are allowed: the answer must be one of them, not a certain one."""
    assert OPEN.judge(QUESTION, SHORTEST) == "optimal"
    assert OPEN.judge(QUESTION, "S    " + "o    " + "ooooG") == "optimal"
    assert OPEN.check(QUESTION, SHORTEST)
    assert OPEN.judge("SG   " + "     " + "     ", "SG   " + "     " + "     ") == "optimal"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (QUESTION, "S ooo" + "o o o" + "ooo G"),
        ("SG   " + "     " + "     ", "SG   " + "oo   " + "     "),
        ("S   G" + "     " + "     ", "SoooG" + " oo  " + "     "),
        ("S   G" + "     " + "     ", "So oG" + " ooo " + "     "),
    ],
    ids=["down and up", "around a neighbour", "a bump that touches itself", "a bump"],
)
def test_a_longer_path_is_valid_and_may_touch_itself(question, answer):
    """Every `o` is walked once, on one way from S to G, but there is a shorter one."""
    assert OPEN.judge(question, answer) == "valid"
    assert not OPEN.check(question, answer)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (QUESTION, "Soo  " + " ooo " + "   oG"),
        ("S   G" + "     " + "     ", "SoooG" + " ooo " + "     "),
        ("S   G" + "     " + "     ", "SoooG" + "o   o" + "ooooo"),
        ("S   G" + "     " + "     ", "SoooG" + "   o " + "     "),
        ("S   G" + "     " + "     ", "SoooG" + "     " + "oo   "),
    ],
    ids=["a stray cell in a corner", "one cell too many", "two ways", "a dead end", "cells apart"],
)
def test_cells_beside_the_path_make_it_wrong(question, answer):
    assert OPEN.judge(question, answer) == "wrong"
    assert not OPEN.check(question, answer)


@pytest.mark.parametrize(
    "answer",
    [
        QUESTION,
        "Soo  " + "   o " + "   oG",
        "Sooo " + "   o " + "o  oG",
        "Soooo" + "   o " + "   oG",
        "Sooo " + "o  o " + "oooo ",
        "Sooo " + "   o " + "   o#",
        "Sooo " + "   oG" + "   oG",
        "Sooo#" + "   o " + "   oG",
        "ooooo" + "ooooo" + "ooooG",
        "short",
    ],
)
def test_anything_else_is_wrong(answer):
    assert OPEN.judge(QUESTION, answer) == "wrong"
    assert not OPEN.check(QUESTION, answer)


def test_a_path_through_a_wall_is_wrong():
    task = Maze(1, 4)
    assert task.judge("S  G", "SooG") == "optimal"
    assert task.judge("S #G", "SooG") == "wrong"


def test_a_batch_is_judged_row_by_row_and_what_is_no_maze_is_wrong():
    question, right = OPEN.parse(QUESTION), OPEN.encode_answer(SHORTEST)
    longer = OPEN.encode_answer("S ooo" + "o o o" + "ooo G")
    nothing = np.zeros_like(question)
    inputs = np.stack([question, question, nothing, question, question]).astype(np.int64)
    answers = np.stack([longer, right, nothing, nothing, question]).astype(np.int64)
    verdicts = OPEN.judge_batch(inputs, answers)
    assert verdicts["valid"].tolist() == [True, True, False, False, False]
    assert verdicts["optimal"].tolist() == [False, True, False, False, False]
    assert OPEN.check_batch(inputs, answers).tolist() == [False, True, False, False, False]
    assert OPEN.check_batch(inputs[:0], answers[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        ("Sooo " + "   o " + "   o ", "says ' ' where 'G' is given, at row 3, column 5"),
        ("S ooo" + "o o o" + "ooo G", "has 10 steps, the shortest has 6"),
        ("Soo  " + "   o " + "   oG", "not one path"),
    ],
)
def test_why_an_answer_is_wrong(answer, part):
    tokens = np.array(["?# SGo".index(character) for character in answer], dtype=np.uint8)
    assert part in OPEN.why_wrong(OPEN.parse(QUESTION), tokens)


def test_why_an_answer_without_a_way_is_wrong():
    task = Maze(1, 3)
    assert "no way" in task.why_wrong(task.parse("S#G"), task.parse("S#G"))


@pytest.mark.parametrize(
    ("marks", "start", "goal", "walkable"),
    [
        ("oo/oo", 0, 1, True),
        ("oo/oo", 0, 3, False),
        ("ooo/ooo/ooo", 0, 8, True),
        ("ooo/ooo/ooo", 1, 8, False),
        ("oooo/oooo/oooo/oooo", 0, 3, True),
        ("oooo/oooo/oooo/oooo", 0, 15, False),
        ("ooooo/o-o-o/ooooo", 0, 2, False),
        ("ooo/o-o/ooo", 0, 1, True),
    ],
)
def test_walking_every_cell_once(marks, start, goal, walkable):
    assert can_be_walked(grid(marks), start, goal) == walkable


def test_a_hopeless_tangle_is_given_up():
    assert not can_be_walked(np.ones((29, 29), dtype=bool), 1 * 29 + 1, 27 * 29 + 28)


def test_a_task_is_built_again_from_its_settings():
    task = get_task({"name": "maze", "rows": 4, "columns": 7})
    assert task == Maze(4, 7) == get_task(task.settings())
    assert task.shape == task.block == (4, 7)
    assert task.has_checker
    assert task.puzzle_id("") == 0
    with pytest.raises(InputError, match="no name"):
        task.puzzle_id("one")
    for rows, columns in ((0, 5), ("4", 5), (True, 5), (1, 1), (2**11, 2**11)):
        with pytest.raises(InputError, match="maze"):
            Maze(rows, columns)
