"""The Sudoku task: encoding, errors, judge, symmetric copies; the golden file is the official builder's."""

import json
from pathlib import Path

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.sudoku import Sudoku
from thinkling.tasks.sudoku_generator import make_candidates
from thinkling.tasks.sudoku_symmetry import transform

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/data/sudoku.json").read_text())
EASY = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
EASY_ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
BLANKS = {4: (6, 10), 6: (14, 22), 9: (30, 50)}


def examples(size, count=32, seed=5):
    made = make_candidates(size, BLANKS[size], seed, 0, count)
    return made.questions + np.uint8(1), made.answers + np.uint8(1)


@pytest.mark.parametrize("case", GOLDEN["encoding"])
def test_encoding_is_the_official_one(case):
    task = Sudoku(9)
    assert task.parse(case["puzzle"]).tolist() == case["inputs"]
    assert task.encode_answer(case["solution"]).tolist() == case["labels"]
    assert task.format(np.array(case["inputs"])) == case["puzzle"]
    assert task.format(np.array(case["labels"])) == case["solution"]


@pytest.mark.parametrize("case", GOLDEN["shuffle"])
def test_transform_is_the_official_shuffle(case):
    for old, new in (("board", "new_board"), ("solution", "new_solution")):
        moved = transform(
            np.array(case[old]),
            transposed=case["transposed"],
            row_perm=np.array(case["row_perm"]),
            col_perm=np.array(case["col_perm"]),
            digit_map=np.array(case["digit_map"]),
        )
        assert moved.tolist() == case[new]


def test_parse_takes_zeros_and_white_space_around():
    task = Sudoku(9)
    assert (task.parse(f"  {EASY.replace('.', '0')}\n") == task.parse(EASY)).all()
    assert task.format(task.parse(EASY)) == EASY
    assert Sudoku(4).format(np.array([0, 1, 2, 5, 6, 99, -3])) == "?.14???"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (EASY[:-1], ["80 characters", "81 characters", "9 rows"]),
        ("", ["0 characters"]),
        (EASY[:12] + "x" + EASY[13:], ["'x'", "row 2, column 4", "1-9"]),
        (EASY[:80] + "é", ["'é'", "row 9, column 9"]),
        (EASY[:80] + "数", ["'数'", "row 9, column 9"]),
    ],
)
def test_malformed_text_names_the_cell(text, words):
    with pytest.raises(InputError) as caught:
        Sudoku(9).parse(text)
    assert caught.value.exit_code == 2
    assert all(word in str(caught.value) for word in words)


def test_digits_beyond_the_size_and_blanks_in_answers_are_refused():
    with pytest.raises(InputError, match="'5' at row 1, column 2"):
        Sudoku(4).parse("15" + "." * 14)
    with pytest.raises(InputError, match=r"answer with '\.' at row 1, column 3"):
        Sudoku(9).encode_answer(EASY)


def test_two_equal_givens_are_named_with_their_unit():
    task = Sudoku(9)
    for text, words in (
        ("5" + "." * 7 + "5" + "." * 72, ["digit 5 twice in row 1", "row 1, column 1 and row 1, column 9"]),
        ("5" + "." * 71 + "5" + "." * 8, ["column 1", "row 1, column 1 and row 9, column 1"]),
        ("5" + "." * 9 + "5" + "." * 70, ["box 1", "row 1, column 1 and row 2, column 2"]),
    ):
        with pytest.raises(InputError) as caught:
            task.validate(task.parse(text))
        assert all(word in str(caught.value) for word in words)
        assert task.solve(task.parse(text)) == []


def test_boxes_of_six_are_two_rows_by_three_columns():
    task = Sudoku(6)
    with pytest.raises(InputError, match="twice in box 1, at row 1, column 1 and row 2, column 3"):
        task.validate(task.parse("1" + "." * 7 + "1" + "." * 27))
    assert task.find_conflict(task.parse("1" + "." * 12 + "1" + "." * 22)) is None


def test_none_and_several_solutions_are_told_apart():
    task = Sudoku(9)
    task.validate(task.parse(EASY))
    with pytest.raises(InputError, match="without a solution"):
        task.validate(task.parse("12345678." + "." * 8 + "9" + "." * 63))
    with pytest.raises(InputError, match="several solutions") as caught:
        task.validate(task.parse("." * 81))
    assert "may be" in caught.value.given


def test_check_needs_no_label():
    task = Sudoku(9)
    assert task.check(EASY, EASY_ANSWER)
    assert not task.check(EASY, EASY)
    assert not task.check(EASY, "short")
    other = "".join(str(int(digit) % 9 + 1) for digit in EASY_ANSWER)
    assert not task.check(EASY, other)  # complete, but not the givens
    assert task.check("." * 81, other)
    with pytest.raises(InputError):
        task.check("short", EASY_ANSWER)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_check_batch_judges_as_the_definition_does(size):
    task = Sudoku(size)
    inputs, labels = examples(size)
    assert task.check_batch(inputs, labels).all()
    random = np.random.default_rng(0)
    answers = np.repeat(labels, 4, axis=0).astype(np.int64)
    questions = np.repeat(inputs, 4, axis=0)
    for row, answer in enumerate(answers):
        for cell in random.choice(task.seq_len, row % 4, replace=False):
            answer[cell] = random.integers(-3, task.vocab_size + 3)
    full = set(range(2, size + 2))
    expected = [
        all({answer[cell] for cell in unit} == full for unit in task.geometry.units)
        and all(given in (1, said) for given, said in zip(question, answer, strict=True))
        for question, answer in zip(questions.tolist(), answers.tolist(), strict=True)
    ]
    assert task.check_batch(questions, answers).tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert task.check_batch(questions[:0], answers[:0]).shape == (0,)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_copies_stay_puzzles_with_their_answers(size):
    task = Sudoku(size)
    inputs, labels = examples(size)
    draws = np.random.default_rng(1).random((len(inputs), task.augment_numbers))
    ids = np.arange(len(inputs))
    new_inputs, new_labels, new_ids = task.augment(inputs, labels, ids, draws)
    assert (new_ids == ids).all()
    assert new_inputs.dtype == inputs.dtype
    assert new_labels.dtype == labels.dtype
    assert task.check_batch(new_inputs, new_labels).all()
    assert ((new_inputs == 1).sum(1) == (inputs == 1).sum(1)).all()
    assert (new_labels != labels).any(1).all()
    again = task.augment(inputs[3:4], labels[3:4], ids[3:4], draws[3:4])
    assert (again[0] == new_inputs[3]).all()  # a copy depends on its own numbers only


def test_copies_move_labels_that_are_not_scored():
    task = Sudoku(9)
    inputs, labels = (part.astype(np.int32) for part in examples(9, 8))
    hidden = np.where(inputs == 1, labels, -100)
    draws = np.random.default_rng(2).random((8, task.augment_numbers))
    new_inputs, new_labels, _ = task.augment(inputs, hidden, np.zeros(8), draws)
    assert ((new_labels == -100) == (new_inputs != 1)).all()
    assert task.check_batch(new_inputs, np.where(new_labels == -100, new_inputs, new_labels)).all()


def test_equal_draws_never_tear_bands_apart():
    """Ties among the uniform numbers once could have mixed rows of two bands; ranks cannot."""
    for size in (4, 6, 9):
        task = Sudoku(size)
        inputs, labels = examples(size, 4)
        for value in (0.0, 0.5, 1 - 2**-53):
            draws = np.full((4, task.augment_numbers), value)
            new_inputs, new_labels, _ = task.augment(inputs, labels, np.zeros(4), draws)
            assert task.check_batch(new_inputs, new_labels).all()


def test_rate_refuses_what_has_no_solution():
    task = Sudoku(9)
    assert task.rate(task.parse(EASY)) == 0
    with pytest.raises(InputError, match="without a solution"):
        task.rate(task.parse("12345678." + "." * 8 + "9" + "." * 63))
