"""ARC's vote, equal to the official evaluator's."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from thinkling.errors import InputError
from thinkling.tasks.arc import ArcBallot
from thinkling.tasks.arc_augmentation import read_name
from thinkling.tasks.arc_grid import crop, encode, grid_hash, read_grid

FOLDER = Path(__file__).parents[1] / "golden/data/arc_voting"
TEST_PUZZLES, IDENTIFIERS, EXPECTED = (
    json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("test_puzzles", "identifiers", "expected")
)
PREDICTIONS = np.load(FOLDER / "predictions.npz")
COLUMNS = ("puzzle_identifiers", "inputs", "preds", "q_halt_logits")


def filled(chunks=1, rows=slice(None)):
    ballot = ArcBallot(TEST_PUZZLES, IDENTIFIERS)
    for part in np.array_split(np.arange(len(PREDICTIONS["preds"]))[rows], chunks):
        ballot.add(*(PREDICTIONS[column][part] for column in COLUMNS))
    return ballot


@pytest.mark.parametrize("chunks", [1, 2, 9, 27])
def test_metrics_and_submission_equal_the_official_ones(chunks):
    ballot = filled(chunks)
    metrics = {f"ARC/pass@{k}": share for k, share in ballot.pass_at([1, 2, 3, 4, 5]).items()}
    assert metrics == EXPECTED["metrics"]
    for missing in ("fill", "omit"):
        assert ballot.submission(attempts=5, missing=missing) == EXPECTED["submission_top5"]


def test_votes_equal_the_official_ones_in_order():
    ballot = filled()
    checked = 0
    cases = [
        (task, input_hash, votes)
        for task, of_task in EXPECTED["votes_in_order"].items()
        for input_hash, votes in of_task.items()
    ]
    for task, input_hash, votes in cases:
        hashes = [grid_hash(read_grid(pair["input"])) for pair in TEST_PUZZLES[task]["test"]]
        tally = {}
        for prediction, q in votes:
            entry = tally.setdefault(prediction, [0, 0.0])
            entry[0] += 1
            entry[1] += q
        expected = sorted(tally.items(), key=lambda item: (-item[1][0], -item[1][1] / item[1][0]))
        ranked = ballot.ranked(task, hashes.index(input_hash))
        assert [hashlib.sha256(one.key).hexdigest() for one in ranked] == [key for key, _ in expected]
        assert [one.votes for one in ranked] == [count for _, (count, _) in expected]
        assert [one.q for one in ranked] == pytest.approx([q / n for _, (n, q) in expected], rel=1e-14)
        checked += len(votes)
    assert checked == ballot.predictions == 24


def test_blank_rows_take_their_halt_value_with_them():
    """The official evaluator shifts the halt values where padding rows are not last; ours must not."""
    order = np.r_[24:27, 0:24]
    shuffled = ArcBallot(TEST_PUZZLES, IDENTIFIERS)
    shuffled.add(*(PREDICTIONS[column][order] for column in COLUMNS))
    for task in TEST_PUZZLES:
        assert shuffled.ranked(task, 0) == filled().ranked(task, 0)


def test_missing_predictions_count_as_wrong_and_keep_the_order_of_a_submission():
    """The official list leaves a test grid without predictions out, so the next answer would stand in its place."""
    task = "25ff71a9"
    first = grid_hash(read_grid(TEST_PUZZLES[task]["test"][0]["input"]))
    rows = []
    for row, name in enumerate(IDENTIFIERS[i] for i in PREDICTIONS["puzzle_identifiers"]):
        original, augmentation = read_name(name)
        if original == task and grid_hash(augmentation.undo(crop(PREDICTIONS["inputs"][row]))) != first:
            rows.append(row)
    ballot = filled(rows=rows)
    assert ballot.pass_at([1, 1000])[1000] < 1
    official = ballot.submission(attempts=2, missing="omit")
    kaggle = ballot.submission(attempts=2)
    assert len(official[task]) == 1
    assert kaggle[task] == [{"attempt_1": [[0]], "attempt_2": [[0]]}, official[task][0]]
    assert official["6150a2bd"] == []
    assert kaggle["6150a2bd"] == [{"attempt_1": [[0]], "attempt_2": [[0]]}]
    assert ballot.pass_at([5])[5] == pytest.approx(0.5 / 3)


def test_an_empty_prediction_is_a_vote_but_no_answer_for_kaggle():
    ballot = ArcBallot(
        {"a": {"test": [{"input": [[1]]}, {"input": [[2]], "output": [[3]]}]}}, ["<blank>", "a"]
    )
    one, two = encode(read_grid([[1]]), 4), encode(read_grid([[2]]), 4)
    ballot.add(
        [1, 1, 1], [one, two, two], [np.zeros(16), np.zeros(16), encode(read_grid([[3]]), 4)], [5, 0, 1]
    )
    entries = ballot.submission()["a"]
    assert entries[0] == {"attempt_1": [[0]], "attempt_2": [[0]]}
    assert entries[1] == {"attempt_1": [[3]], "attempt_2": [[0]]}
    assert ballot.submission(missing="omit")["a"][0] == {"attempt_1": [], "attempt_2": []}
    assert ballot.solved(1) == (1, 2)


def test_arrays_that_do_not_fit_are_refused():
    ballot = ArcBallot(TEST_PUZZLES, IDENTIFIERS)
    with pytest.raises(InputError, match="shapes"):
        ballot.add(np.zeros(2), np.zeros((2, 900)), np.zeros((3, 900)), np.zeros(2))
    with pytest.raises(InputError, match="puzzle ids"):
        ballot.add(np.array([99]), np.zeros((1, 900)), np.zeros((1, 900)), np.zeros(1))
    with pytest.raises(InputError, match="pass@0"):
        ballot.pass_at([0])
    ballot.add(np.zeros(2, int), np.zeros((2, 900)), np.zeros((2, 900)), np.zeros(2))
    assert ballot.predictions == 0
