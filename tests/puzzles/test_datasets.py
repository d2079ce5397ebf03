"""Making, importing and checking data sets."""

from pathlib import Path

import numpy as np
import pytest

from thinkling.data.array_store import PuzzleSet, read_dataset, write_dataset
from thinkling.data.csv_tables import PuzzleRow, write_rows
from thinkling.errors import InputError
from thinkling.puzzles.datasets import sudoku as datasets
from thinkling.puzzles.datasets.check import check_dataset, task_of
from thinkling.puzzles.datasets.csv_puzzles import read_puzzle_csv
from thinkling.puzzles.datasets.sudoku import import_sudoku, make_sudoku
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates

GOLDEN = Path(__file__).parents[1] / "golden/mini_sudoku"
BLANKS = {4: (6, 10), 6: (14, 22), 9: (30, 50)}


def texts(size, count, seed=0):
    made, task = make_candidates(size, BLANKS[size], seed, 0, count), Sudoku(size)
    return [
        (task.format(question + np.uint8(1)), task.format(answer + np.uint8(1)))
        for question, answer in zip(made.questions, made.answers, strict=True)
    ]


def copies(size, rows, seed=0):
    task = Sudoku(size)
    inputs = np.stack([task.parse(question) for question, _ in rows])
    labels = np.stack([task.encode_answer(answer) for _, answer in rows])
    draws = np.random.default_rng(seed).random((len(rows), task.augment_numbers))
    *moved, _ = task.augment(inputs, labels, np.zeros(len(rows)), draws)
    return [(task.format(question), task.format(answer)) for question, answer in zip(*moved, strict=True)]


def table(path, rows, rating=0):
    write_rows(path, [PuzzleRow(line=0, question=q, answer=a, source="made", rating=rating) for q, a in rows])
    return path


@pytest.mark.parametrize("size", [4, 6, 9])
def test_made_sets_pass_their_check(tmp_path, size):
    seen = []
    made = make_sudoku(
        tmp_path / "set",
        size=size,
        train=60,
        test=20,
        seed=3,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert made["train"] == 60
    assert made["test"] == 20
    assert made["dir"] == str(tmp_path / "set")
    assert seen[-1] == (80, 80)
    data = read_dataset(tmp_path / "set")
    assert made["sha256"] == data.sha256
    assert task_of(data, tmp_path) == Sudoku(size)
    blanks = (np.asarray(data.train.inputs) == 1).sum(1)
    assert (made["blanks"]["asked"], made["blanks"]["below_range"]) == (list(BLANKS[size]), 0)
    assert BLANKS[size][0] <= made["blanks"]["fewest"] <= blanks.min()
    assert blanks.max() <= made["blanks"]["most"] <= BLANKS[size][1]
    sound = {"train": 60, "test": 20, "duplicates": 0, "overlap": 0, "faults": []}
    assert check_dataset(tmp_path / "set") == sound


def test_the_same_seed_makes_the_same_set(tmp_path):
    first = make_sudoku(tmp_path / "a", size=6, train=20, test=10, seed=1)
    assert make_sudoku(tmp_path / "b", size=6, train=20, test=10, seed=1)["sha256"] == first["sha256"]
    assert make_sudoku(tmp_path / "b", size=6, train=20, test=10, seed=2)["sha256"] != first["sha256"]
    more = make_sudoku(tmp_path / "c", size=6, train=30, test=10, seed=1)
    assert more["train"] == 30
    tests = [np.asarray(read_dataset(tmp_path / name).test.inputs) for name in "ac"]
    assert np.array_equal(*tests)


def test_making_says_when_no_more_puzzles_exist(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_PATIENCE", 500)
    with pytest.raises(InputError, match=r"allowed: up to about \d+"):
        make_sudoku(tmp_path / "set", size=4, blanks=(1, 2), train=500, test=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 5}, "4, 6 or 9"),
        ({"blanks": (10, 81)}, "10-81 blanks"),
        ({"train": 0}, "--train 0"),
        ({"test": -1}, "--test -1"),
        ({"seed": -1}, "--seed -1"),
        ({"processes": 0}, "--processes 0"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, words):
    with pytest.raises(InputError, match=words):
        make_sudoku(tmp_path / "set", **settings)


def test_a_foreign_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    for start in (
        lambda: make_sudoku(tmp_path, train=10**9),
        lambda: import_sudoku(tmp_path / "none.csv", tmp_path),
    ):
        with pytest.raises(InputError, match="no data set of this program"):
            start()


def test_the_official_test_split_is_rebuilt_from_its_table(tmp_path):
    examples = read_puzzle_csv(GOLDEN / "source_test.csv", Sudoku(9))
    write_dataset(tmp_path / "set", examples, examples)
    for path in (GOLDEN / "test").iterdir():
        assert (tmp_path / "set/test" / path.name).read_bytes() == path.read_bytes()
    assert examples.ratings is not None
    assert len(examples) == 7


@pytest.mark.parametrize("size", [4, 6, 9])
def test_import_of_two_tables(tmp_path, size):
    rows = texts(size, 30)
    source = table(tmp_path / "a.csv", rows[10:], rating=5)
    test = table(tmp_path / "b.csv", rows[:10], rating=None)
    made = import_sudoku(source, tmp_path / "set", test=test)
    checked = check_dataset(tmp_path / "set")
    assert checked["faults"] == []
    assert checked["train"] == made["train"] > 5
    data = read_dataset(tmp_path / "set")
    assert made["sha256"] == data.sha256
    assert set(data.train.ratings.tolist()) == {5}  # as the table says
    first = data.test.inputs[0]
    assert data.test.ratings[0] == Sudoku(size).rate(first)  # computed


def test_import_leaves_out_what_would_leak(tmp_path):
    rows = texts(9, 12)
    same_grid = [("." * 1 + answer[1:], answer) for _, answer in copies(9, rows[:2], 1)]
    source = table(
        tmp_path / "a.csv", [*rows[4:], *copies(9, rows[4:7], 2), *copies(9, rows[:1], 3), *same_grid]
    )
    test = table(tmp_path / "b.csv", [*rows[:4], *copies(9, rows[:1], 4)])
    made = import_sudoku(source, tmp_path / "set", test=test)
    assert made["left_out"] == {"duplicates": 4, "overlap": 3}
    assert (made["train"], made["test"]) == (8, 4)
    assert check_dataset(tmp_path / "set")["faults"] == []


def test_import_splits_one_table_by_solution_grid(tmp_path):
    rows = texts(9, 20)
    fewer = [("." + question[1:], answer) for question, answer in copies(9, [(a, a) for _, a in rows], 1)]
    made = import_sudoku(table(tmp_path / "a.csv", rows + fewer), tmp_path / "set", test_fraction=0.25)
    assert made["left_out"] == {"duplicates": 0, "overlap": 0}
    assert (made["train"], made["test"]) == (30, 10)
    assert check_dataset(tmp_path / "set")["faults"] == []
    again = import_sudoku(tmp_path / "a.csv", tmp_path / "again", test_fraction=0.25, seed=1)
    assert again["sha256"] != made["sha256"]
    assert import_sudoku(tmp_path / "a.csv", tmp_path / "none", test_fraction=0)["test"] == 0


Q, A = (
    "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79",
    ("534678912672195348198342567859761423426853791713924856961537284287419635345286179"),
)


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        (Q[:-1], A, "line 3: puzzle of 80 characters"),
        (Q[:10] + "x" + Q[11:], A, "line 3: puzzle with 'x' at row 2, column 2"),
        (Q, A[:-1], "line 3: answer of 80 characters"),
        (Q, A[:3] + "." + A[4:], "line 3: answer with '.' at row 1, column 4"),
        (Q, A[:2] + "6" + A[3:], "line 3: the answer has the digit 6 twice in row 1"),
        (Q, "6" + A[1:], "line 3: the answer says 6 where 5 is given, at row 1, column 1"),
        ("55" + Q[2:], A, "line 3: the question has the digit 5 twice in row 1"),
        (Q[:2] + "1" + Q[3:], A, "line 3: the question has no solution"),
        ("." * 30 + A[30:], A, "line 3: puzzle with several solutions"),
    ],
)
def test_import_names_the_bad_line_and_writes_nothing(tmp_path, question, answer, words):
    source = table(tmp_path / "a.csv", [(Q, A), (question, answer)])
    with pytest.raises(InputError, match=words.replace(".", r"\.")) as caught:
        import_sudoku(source, tmp_path / "set")
    assert str(source) in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
    if "several" not in words:
        with pytest.raises(InputError, match="line 3"):
            read_puzzle_csv(source, Sudoku(9))


def test_import_can_skip_the_proof_of_uniqueness(tmp_path):
    source = table(tmp_path / "a.csv", [(Q, A), ("." * 30 + A[30:], A)])
    import_sudoku(source, tmp_path / "set", check_uniqueness=False, test_fraction=0)
    assert check_dataset(tmp_path / "set")["faults"] == ["train/all__inputs.npy row 1: several solutions"]


def test_import_refuses_tables_without_puzzles(tmp_path):
    (tmp_path / "a.csv").write_text("source,question,answer,rating\n")
    with pytest.raises(InputError, match="no row below the header"):
        import_sudoku(tmp_path / "a.csv", tmp_path / "set")
    source = table(tmp_path / "b.csv", [(Q, A)])
    with pytest.raises(InputError, match="no puzzle left to train on"):
        import_sudoku(source, tmp_path / "set", test=source)
    with pytest.raises(InputError, match="--test-fraction 1"):
        import_sudoku(source, tmp_path / "set", test_fraction=1)
    with pytest.raises(InputError, match="line 2: puzzle of 81 characters"):
        import_sudoku(source, tmp_path / "set", size=6)


def puzzle_set(size, rows):
    task = Sudoku(size)
    inputs = np.stack([task.parse(question) for question, _ in rows])
    labels = np.stack([task.encode_answer(answer) for _, answer in rows])
    return PuzzleSet.of_puzzles(inputs, labels, vocab_size=task.vocab_size)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_check_finds_duplicates_and_overlap(tmp_path, size):
    made = make_sudoku(tmp_path / "clean", size=size, train=8, test=6)
    data, task = read_dataset(Path(made["dir"])), Sudoku(size)
    train, test = (
        [(task.format(q), task.format(a)) for q, a in zip(part.inputs, part.labels, strict=True)]
        for part in (data.train, data.test)
    )
    train, test = (
        [*train, *copies(size, train[2:4])],
        [*test, *copies(size, test[:1]), *copies(size, train[5:7], 1)],
    )
    write_dataset(
        tmp_path / "set",
        puzzle_set(size, train),
        puzzle_set(size, test),
        task_settings={"name": "sudoku", "size": size},
    )
    found = check_dataset(tmp_path / "set")
    assert (found["train"], found["test"], found["duplicates"], found["overlap"]) == (10, 9, 3, 2)
    assert found["faults"] == [
        "train/all__inputs.npy row 8: equal up to symmetry to train row 2",
        "train/all__inputs.npy row 9: equal up to symmetry to train row 3",
        "test/all__inputs.npy row 6: equal up to symmetry to test row 0",
        "test/all__inputs.npy row 7: equal up to symmetry to train row 5",
        "test/all__inputs.npy row 8: equal up to symmetry to train row 6",
    ]


def test_check_finds_shared_grids_of_nine(tmp_path):
    rows = texts(9, 4)
    fewer = [("." + question[1:], answer) for question, answer in copies(9, [(a, a) for _, a in rows[:1]], 1)]
    write_dataset(
        tmp_path / "set",
        puzzle_set(9, rows[:3]),
        puzzle_set(9, [rows[3], *fewer]),
        task_settings={"name": "sudoku", "size": 9},
    )
    found = check_dataset(tmp_path / "set")
    assert (found["duplicates"], found["overlap"]) == (0, 1)
    assert found["faults"] == [
        "test/all__inputs.npy row 1: has the solution grid, up to symmetry, of train row 0"
    ]


def test_check_finds_bad_rows(tmp_path):
    good = puzzle_set(9, texts(9, 5))
    bad = puzzle_set(9, texts(9, 5, seed=1))
    bad.inputs[0, 7] = 0
    bad.labels[1, 0] = 1
    bad.labels[2] = np.roll(bad.labels[2], 1)
    bad.inputs[3, :40] = 1
    write_dataset(tmp_path / "set", good, bad, task_settings={"name": "sudoku", "size": 9})
    assert check_dataset(tmp_path / "set")["faults"] == [
        "test/all__inputs.npy row 0: a token that is neither a blank nor a digit",
        "test/all__labels.npy row 1: a token that is no digit",
        "test/all__labels.npy row 2: the answer does not solve the question",
        "test/all__inputs.npy row 3: several solutions",
    ]


def test_check_of_an_official_folder_counts_groups(tmp_path):
    """The golden folder was made from one grid: its test puzzles all overlap, and many are not unique.

    Its symmetric copies are no duplicates."""
    found = check_dataset(GOLDEN)
    assert (found["train"], found["test"], found["duplicates"], found["overlap"]) == (80, 7, 0, 7)
    data = read_dataset(GOLDEN)
    inputs = np.array(data.train.inputs)
    labels = np.array(data.train.labels)
    inputs[5], labels[5] = inputs[0], labels[0]
    stranger = PuzzleSet(**{**vars(data.train), "inputs": inputs, "labels": labels})
    write_dataset(tmp_path / "set", stranger, data.test, task_settings=data.task_settings)
    faults = check_dataset(tmp_path / "set")["faults"]
    assert "train/all__inputs.npy row 5: no symmetric copy of row 4, the first of its group" in faults


def test_check_refuses_what_it_does_not_know(tmp_path):
    good = puzzle_set(4, texts(4, 3))
    write_dataset(tmp_path / "a", good, good)
    with pytest.raises(InputError, match="unknown task"):
        check_dataset(tmp_path / "a")
    write_dataset(tmp_path / "b", good, good, task_settings={"name": "sudoku", "size": 9})
    with pytest.raises(InputError, match="6 tokens and length 16; allowed: 11 and 81"):
        check_dataset(tmp_path / "b")
