"""Making, importing and checking maze data sets."""

import numpy as np
import pytest

from thinkling.data.array_store import PuzzleSet, read_dataset, write_dataset
from thinkling.data.csv_tables import PuzzleRow, write_rows
from thinkling.errors import InputError
from thinkling.puzzles.datasets import maze
from thinkling.puzzles.datasets.check import check_dataset, task_of
from thinkling.puzzles.datasets.maze import MazeIndex, import_maze, make_maze
from thinkling.tasks.dihedral import dihedral_cells
from thinkling.tasks.maze import Maze
from thinkling.tasks.maze_generator import MazeKind, make_candidates


def texts(rows, columns, count, seed=0):
    """Questions and answers of different mazes."""
    made = make_candidates(
        MazeKind(rows=rows, columns=columns, min_length=rows + columns - 4), seed, 0, 60 * count
    )
    task = Maze(rows, columns)
    pairs = [
        (task.format(question), task.format(answer))
        for question, answer in zip(made.questions, made.answers, strict=True)
    ]
    different = list(dict.fromkeys(pairs))[:count]
    assert len(different) == count
    return different


def turned(task, pair, t):
    cells = dihedral_cells(task.rows, task.columns, t)
    return tuple("".join(text[cell] for cell in cells.tolist()) for text in pair)


def table(path, pairs, rating=None):
    rows = [PuzzleRow(line=0, question=q, answer=a, source="made", rating=rating) for q, a in pairs]
    write_rows(path, rows)
    return path


@pytest.mark.parametrize(("rows", "columns", "least"), [(8, 8, 8), (6, 9, 9), (12, 12, None)])
def test_made_sets_pass_their_check(tmp_path, rows, columns, least):
    seen = []
    made = make_maze(
        tmp_path / "set",
        rows=rows,
        columns=columns,
        min_length=least,
        train=90,
        test=30,
        seed=3,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen[-1] == (120, 120)
    data = read_dataset(tmp_path / "set")
    assert (made["dir"], made["train"], made["test"]) == (str(tmp_path / "set"), 90, 30)
    assert made["sha256"] == data.sha256
    assert task_of(data, tmp_path) == Maze(rows, columns)
    lengths = np.concatenate([data.train.ratings, data.test.ratings])
    assert made["length"]["fewest"] == lengths.min() >= (least or 18)
    assert made["length"]["most"] == lengths.max()
    assert check_dataset(tmp_path / "set") == {
        **{"train": 90, "test": 30, "duplicates": 0, "overlap": 0},
        **{"several_shortest_paths": 0, "faults": []},
    }


def test_the_same_seed_makes_the_same_set(tmp_path):
    kind = {"rows": 8, "columns": 8, "test": 10}
    first = make_maze(tmp_path / "a", **kind, train=20, seed=1)
    assert make_maze(tmp_path / "b", **kind, train=20, seed=1)["sha256"] == first["sha256"]
    assert make_maze(tmp_path / "b", **kind, train=20, seed=2)["sha256"] != first["sha256"]
    make_maze(tmp_path / "c", **kind, train=30, seed=1)
    tests = [np.asarray(read_dataset(tmp_path / name).test.inputs) for name in "ac"]
    assert np.array_equal(*tests)


def test_making_says_when_there_are_no_more_mazes(tmp_path, monkeypatch):
    monkeypatch.setattr(maze, "_PATIENCE", 20_000)
    with pytest.raises(InputError, match=r"100 mazes of 2x3.*up to about \d+; more are equal up to symmetry"):
        make_maze(tmp_path / "x", rows=2, columns=3, min_length=1, train=90, test=10)
    with pytest.raises(
        InputError, match=r"40 or more steps.*up to about 0; the longest way in .* had \d+ steps"
    ):
        make_maze(tmp_path / "x", rows=8, columns=8, min_length=40, train=5, test=0)
    with pytest.raises(InputError, match="--train 0"):
        make_maze(tmp_path / "x", train=0)
    assert not list(tmp_path.iterdir())


def test_mazes_are_told_apart_up_to_symmetry():
    task = Maze(5, 5)
    pairs = texts(5, 5, 6)
    inputs = np.stack([task.parse(question) for question, _ in pairs])
    index = MazeIndex(task)
    assert index.add(inputs).tolist() == list(range(6))
    for t in range(8):
        assert (index.add(inputs[:, dihedral_cells(5, 5, t)]) == np.arange(6)).all()


def test_import_leaves_out_what_is_equal_and_keeps_the_splits_apart(tmp_path):
    task = Maze(6, 6)
    pairs = texts(6, 6, 40)
    copies = [turned(task, pair, 1 + place % 7) for place, pair in enumerate(pairs[:10])]
    found = import_maze(
        table(tmp_path / "a.csv", [*pairs, *copies]), tmp_path / "set", test_fraction=0.25, seed=4
    )
    assert found["train"] + found["test"] == 40
    assert 8 <= found["test"] <= 13
    assert sum(found["left_out"].values()) == 10
    assert found["several_shortest_paths"] == 0
    checked = check_dataset(tmp_path / "set")
    assert (checked["duplicates"], checked["overlap"], checked["faults"]) == (0, 0, [])
    data = read_dataset(tmp_path / "set")
    assert (np.asarray(data.train.ratings) == task.rate_batch(np.asarray(data.train.inputs))).all()


def test_import_with_a_test_file(tmp_path):
    task = Maze(6, 6)
    pairs = texts(6, 6, 12)
    train = table(tmp_path / "train.csv", [*pairs[2:], turned(task, pairs[0], 3)], rating=7)
    test = table(tmp_path / "test.csv", pairs[:2])
    found = import_maze(train, tmp_path / "set", test=test)
    assert (found["train"], found["test"]) == (10, 2)
    assert found["left_out"] == {"duplicates": 0, "overlap": 1}
    data = read_dataset(tmp_path / "set")
    assert set(np.asarray(data.train.ratings).tolist()) == {7}
    assert [task.format(row) for row in np.asarray(data.test.inputs)] == [
        question for question, _ in pairs[:2]
    ]


def test_several_shortest_paths_are_counted_and_no_fault_of_an_imported_set(tmp_path):
    pairs = [("S  ## ##G", "Soo##o##G"), ("S    G## ", "Soo  G## ")]
    source = table(tmp_path / "a.csv", pairs)
    found = import_maze(source, tmp_path / "set", test_fraction=0)
    assert found["several_shortest_paths"] == 1
    checked = check_dataset(tmp_path / "set")
    assert (checked["several_shortest_paths"], checked["faults"]) == (1, [])


def test_blanks_at_the_ends_of_a_row_are_cells(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("source,question,answer,rating\nme, SG      ,SG      ,\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2: answer of 8 characters.*blanks at both ends"):
        import_maze(source, tmp_path / "set")
    source.write_text("source,question,answer,rating\nme, SG      , SG      ,\n", encoding="utf-8")
    import_maze(source, tmp_path / "set", test_fraction=0)
    assert Maze(3, 3).format(np.asarray(read_dataset(tmp_path / "set").train.inputs)[0]) == " SG      "


@pytest.mark.parametrize(
    ("question", "answer", "settings", "parts"),
    [
        ("S  ## ##G", "S  ## ##G", {}, ["line 3", "not one path"]),
        ("S    ## G", "Sooo ##oG", {}, ["line 3", "not one path"]),
        ("S  #   G ", "Soo# o oG", {}, ["line 3", "says 'o' where 'G' is given, at row 3, column 2"]),
        ("S   x   G", "So  o  oG", {}, ["line 3", "'x' at row 2, column 2"]),
        ("S   G", "SoooG", {}, ["line 3", "maze of 5 characters"]),
        ("S#G######", "S#G######", {}, ["line 3", "no way from S to G"]),
        ("S       G", "Soo  o  G", {"rows": 3}, ["--rows", "give both"]),
        ("S       G", "Soo  o  G", {"test_fraction": 1}, ["--test-fraction 1"]),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(tmp_path, question, answer, settings, parts):
    pairs = [("SG#######", "SG#######"), (question, answer)]
    with pytest.raises(InputError) as error:
        import_maze(table(tmp_path / "a.csv", pairs), tmp_path / "set", **settings)
    for part in parts:
        assert part in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_longer_path_is_no_answer(tmp_path):
    source = table(tmp_path / "a.csv", [("S  G" + "    " * 3, "So G" + " o o" + " ooo" + "    ")])
    with pytest.raises(InputError, match="line 2: the answer's path has 7 steps, the shortest has 3"):
        import_maze(source, tmp_path / "set")


def test_the_size_of_an_oblong_maze_is_given_or_drawn_in_lines(tmp_path):
    pairs = [("S #" + "# G", "So#" + "#oG")]
    with pytest.raises(InputError, match=r"6 characters.*--rows and --columns"):
        import_maze(table(tmp_path / "a.csv", pairs), tmp_path / "set")
    import_maze(table(tmp_path / "a.csv", pairs), tmp_path / "set", rows=2, columns=3, test_fraction=0)
    assert read_dataset(tmp_path / "set").task_settings == Maze(2, 3).settings()
    import_maze(
        table(tmp_path / "b.csv", [("S #\n# G\n", "So#\n#oG\n")]), tmp_path / "other", test_fraction=0
    )
    assert read_dataset(tmp_path / "other").task_settings == Maze(2, 3).settings()


def test_faults_are_found(tmp_path):
    task = Maze(6, 6)
    pairs = texts(6, 6, 8)
    inputs = np.stack([task.parse(question) for question, _ in pairs])
    labels = np.stack([task.encode_answer(answer) for _, answer in pairs])

    def part(rows, edit=None):
        new = [inputs[rows].copy(), labels[rows].copy()]
        if edit is not None:
            edit(*new)
        return PuzzleSet.of_puzzles(*new, vocab_size=6)

    def spoil(questions, answers):
        questions[0, 0] = 5
        answers[1] = questions[1]
        questions[3] = questions[2][dihedral_cells(6, 6, 5)]
        answers[3] = answers[2][dihedral_cells(6, 6, 5)]

    write_dataset(tmp_path / "set", part([0, 1, 2, 3, 4], spoil), part([2, 5]), task_settings=task.settings())
    found = check_dataset(tmp_path / "set")
    assert (found["train"], found["test"], found["duplicates"], found["overlap"]) == (5, 2, 1, 1)
    assert [fault.split(": ")[0] for fault in found["faults"]] == [
        "train/all__inputs.npy row 0",
        "train/all__labels.npy row 1",
        "train/all__inputs.npy row 3",
        "test/all__inputs.npy row 0",
    ]
    assert "equal up to symmetry to train row 2" in found["faults"][3]


def test_our_generator_promises_one_shortest_path(tmp_path):
    task = Maze(3, 3)
    questions = task.parse("S  ## ##G")[None], task.parse("S    G## ")[None]
    answers = task.encode_answer("Soo##o##G")[None], task.encode_answer("Soo  G## ")[None]
    splits = [PuzzleSet.of_puzzles(q, a, vocab_size=6) for q, a in zip(questions, answers, strict=True)]
    info = {"generator": "thinkling data make maze"}
    write_dataset(tmp_path / "set", *splits, task_settings=task.settings(), info=info)
    found = check_dataset(tmp_path / "set")
    assert found["faults"] == ["test/all__inputs.npy row 0: several shortest paths"]


def test_a_group_of_symmetric_copies_is_one_maze(tmp_path):
    task = Maze(6, 6)
    (pair, stranger) = texts(6, 6, 2)
    cells = [dihedral_cells(6, 6, t) for t in range(8)]
    inputs = np.stack([task.parse(pair[0])[order] for order in cells])
    labels = np.stack([task.encode_answer(pair[1])[order] for order in cells])

    def grouped(inputs, labels):
        plain = PuzzleSet.of_puzzles(inputs, labels, vocab_size=6)
        fields = vars(plain) | {"group_indices": np.array([0, len(inputs)], dtype=np.int32)}
        return PuzzleSet(**fields)

    other = PuzzleSet.of_puzzles(
        task.parse(stranger[0])[None], task.encode_answer(stranger[1])[None], vocab_size=6
    )
    write_dataset(tmp_path / "set", grouped(inputs, labels), other, task_settings=task.settings())
    found = check_dataset(tmp_path / "set")
    assert (found["train"], found["duplicates"], found["faults"]) == (8, 0, [])
    inputs[5], labels[5] = task.parse(stranger[0]), task.encode_answer(stranger[1])
    write_dataset(tmp_path / "set", grouped(inputs, labels), other, task_settings=task.settings())
    assert [
        "row 5: no symmetric copy of row 0" in fault for fault in check_dataset(tmp_path / "set")["faults"]
    ] == [True]
