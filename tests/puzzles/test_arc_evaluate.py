"""ARC's evaluation: the right vote, balanced rounds, the three id modes, and an end in time."""

import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from arc_tasks import copier, made_tasks, write_competition
from torch import nn

from thinkling.data.array_store import read_dataset
from thinkling.errors import InputError
from thinkling.puzzles import arc_evaluate
from thinkling.puzzles.arc_evaluate import ArcEvaluation, evaluate_arc
from thinkling.puzzles.arc_questions import ArcQuestions, is_arc
from thinkling.puzzles.datasets.arc import import_arc
from thinkling.puzzles.deadline import Deadline, OutOfTimeError
from thinkling.tasks.arc_augmentation import read_name

NO_ANSWER = {"attempt_1": [[0]], "attempt_2": [[0]]}


@pytest.fixture(scope="module", params=["lazy", "official"])
def data(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arc")
    write_competition(folder / "files", "training", made_tasks("a b", seed=1))
    write_competition(folder / "files", "evaluation", made_tasks("e f g", seed=2, tests=2))
    out = folder / request.param
    import_arc([folder / "files"], out, augmentations=6, canvas=0, materialise=request.param == "official")
    if request.param == "official":
        (out / "thinkling.json").unlink()
    return out


@pytest.fixture
def model(data):
    return model_for(data)


def model_for(data, slow=0.0):
    questions = ArcQuestions.read(data)
    return copier(questions.task.canvas, questions.identifiers, slow)


def run(model, data, tmp_path, deadline=None, **settings):
    with deadline or Deadline() as entered:
        report = evaluate_arc(
            lambda: model, data, ArcEvaluation(submission=tmp_path / "submission.json", **settings), entered
        )
    return report, json.loads((tmp_path / "submission.json").read_text(encoding="utf-8"))


def test_every_augmentation_is_answered_mapped_back_and_voted(model, data, tmp_path):
    report, submission = run(model, data, tmp_path)
    tasks = made_tasks("e f g", seed=2, tests=2)
    assert {task: [entry["attempt_1"] for entry in entries] for task, entries in submission.items()} == {
        name: [pair["output"] for pair in task["test"]] for name, task in tasks.items()
    }
    assert all(
        entry["attempt_2"] == entry["attempt_1"] for entries in submission.values() for entry in entries
    )
    assert [report[f"pass@{k}"] for k in (1, 2, 1000)] == [1.0, 1.0, 1.0]
    assert (report["n"], report["predictions"]) == (3 * 2 * 7, 3 * 2 * 7)
    assert (report["exact_accuracy"], report["cell_accuracy"], report["valid_rate"]) == (1.0, 1.0, None)
    assert (report["mean_steps"], report["p95_steps"], report["wrong_but_confident"]) == (1.0, 1.0, 0.0)
    assert (report["ended"], report["solved"], report["test_grids"]) == ("all", 6, 6)
    assert sorted(set(model.network.told)) == sorted(
        number for number, name in enumerate(model.identifiers) if read_name(name)[0] in tasks
    )


def test_rounds_are_balanced_and_begin_with_the_tasks_themselves(data):
    questions = ArcQuestions.read(data)
    order = [questions.identifiers[number] for number, _, _ in questions.stream(np.arange(99) > 0)]
    assert set(order[:6]) == {"e", "f", "g"}
    for low in range(0, len(order), 6):
        of_round = [read_name(name)[0] for name in order[low : low + 6]]
        assert [of_round.count(task) for task in "efg"] == [2, 2, 2]


def test_fewer_augmentations_and_tasks(model, data, tmp_path):
    report, submission = run(model, data, tmp_path, augmentations=2, limit=2)
    assert (report["n"], len(submission), report["tasks"]) == (2 * 2 * 3, 2, 2)
    report, _ = run(model, data, tmp_path, augmentations=0)
    assert report["n"] == 6


def test_the_blank_id_and_another_tasks_id(model, data, tmp_path):
    report, _ = run(model, data, tmp_path, task_id="blank")
    assert set(model.network.told) == {0}
    assert (report["pass@1"], report["task_id"]) == (1.0, "blank")
    model.network.told.clear()
    run(model, data, tmp_path, task_id="random", slots=1)
    told = list(model.network.told)
    questions = ArcQuestions.read(data)
    for number, (own, _, _) in zip(told, questions.stream(np.arange(99) > 0), strict=True):
        assert number > 0
        assert read_name(questions.identifiers[number])[0] != read_name(questions.identifiers[own])[0]
    assert len(set(told)) > 10
    model.network.told.clear()
    run(model, data, tmp_path, task_id="random", slots=1)
    assert model.network.told == told


def test_a_model_with_other_ids_is_told_its_own_by_name(data, tmp_path):
    names = ArcQuestions.read(data).identifiers
    backwards = [
        "<blank>",
        *[name for name in reversed(names[1:]) if read_name(name)[0] != "g" or name == "g"],
    ]
    model = copier(ArcQuestions.read(data).task.canvas, backwards)
    report, _ = run(model, data, tmp_path)
    assert report["n"] == 2 * 2 * 7 + 2
    assert report["unknown_tasks"] == []
    assert {read_name(backwards[number])[0] for number in model.network.told} == {"e", "f", "g"}
    without = copier(model.task.canvas, [name for name in backwards if name != "g"])
    report, _ = run(without, data, tmp_path)
    assert (report["unknown_tasks"], report["n"], report["pass@1"]) == (["g"], 3 * 2 * 7, 1.0)
    assert without.network.told.count(0) == 2 * 7
    with pytest.raises(InputError, match="knows none"):
        run(copier(model.task.canvas, ["<blank>", "z"]), data, tmp_path)


@pytest.mark.parametrize("data", ["official"], indirect=True)  # HRM's builder writes all augmentations
def test_a_folder_of_hrms_builder_has_no_file_of_test_tasks_and_other_names(data, tmp_path):
    questions = ArcQuestions.read(data)
    folder = shutil.copytree(data, tmp_path / "hrm")
    (folder / "test_puzzles.json").unlink()
    names = [name.replace("|||", "_") for name in questions.identifiers]
    (folder / "identifiers.json").write_text(json.dumps(names), encoding="utf-8")
    assert is_arc(folder)
    report, submission = run(copier(questions.task.canvas, questions.identifiers), folder, tmp_path)
    assert (report["n"], report["pass@1"], report["unknown_tasks"]) == (42, 1.0, [])
    assert {task: len(entries) for task, entries in submission.items()} == {"e": 2, "f": 2, "g": 2}


def test_data_of_another_canvas_or_task_is_refused(model, data, tmp_path):
    with pytest.raises(InputError, match="canvas"):
        run(copier(9, model.identifiers), data, tmp_path)
    assert not (tmp_path / "submission.json").exists()
    (tmp_path / "submission.json").write_text("an earlier one", encoding="utf-8")
    with pytest.raises(InputError, match="canvas"):
        run(copier(9, model.identifiers), data, tmp_path)
    assert (tmp_path / "submission.json").read_text(encoding="utf-8") == "an earlier one"
    assert is_arc(data)
    assert not is_arc(tmp_path)


@pytest.mark.parametrize("slow", [0.02, 0.4])
def test_a_time_limit_ends_in_time_with_a_valid_submission(data, tmp_path, slow):
    began = time.monotonic()
    report, submission = run(model_for(data, slow), data, tmp_path, Deadline(1.8))
    assert time.monotonic() - began < 1.8
    assert report["ended"] == "time"
    assert report["n"] < 42
    assert report["n"] <= report["predictions"] <= 42
    assert [len(entries) for entries in submission.values()] == [2, 2, 2]
    for entries in submission.values():
        assert all(set(entry) == {"attempt_1", "attempt_2"} for entry in entries)
    if slow == 0.02:
        assert report["n"] >= 6
        assert report["exact_accuracy"] == 1


def test_unfinished_questions_vote_with_their_last_answer(data, tmp_path):
    """A slow model on a CPU needs a minute for one question; what it would say so far is better than nothing."""
    report, submission = run(
        model_for(data, 0.1), data, tmp_path, Deadline(2), halt="never", max_steps=1000, limit=2
    )
    assert report["n"] == 0
    assert report["predictions"] > 0
    tasks = made_tasks("e f g", seed=2, tests=2)
    answered = [
        (entry["attempt_1"], pair["output"])
        for task, entries in submission.items()
        for entry, pair in zip(entries, tasks[task]["test"], strict=True)
        if entry != NO_ANSWER
    ]
    assert answered
    assert all(said == right for said, right in answered)


def test_a_limit_that_is_over_leaves_the_first_submission(model, data, tmp_path):
    report, submission = run(model, data, tmp_path, Deadline(5, used=4.9))
    assert (report["ended"], report["n"], report["pass@1"]) == ("time", 0, 0.0)
    assert all(entries == [NO_ANSWER] * 2 for entries in submission.values())


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, "terminated"), (signal.SIGINT, "interrupted")]
)
def test_a_signal_ends_inside_a_segment_with_what_there_is(data, tmp_path, number, ending):
    model = model_for(data, slow=0.05)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), number))
    timer.start()
    before = signal.getsignal(number)
    report, submission = run(model, data, tmp_path, slots=2)
    timer.join()
    assert report["ended"] == ending
    assert 0 < report["n"] < 42
    answered = [entry for entries in submission.values() for entry in entries if entry != NO_ANSWER]
    assert answered
    assert signal.getsignal(number) == before


def test_the_submission_is_renewed_while_votes_come_in(data, tmp_path, monkeypatch):
    monkeypatch.setattr(arc_evaluate, "_RENEW_SECONDS", 0.0)
    monkeypatch.setattr(arc_evaluate, "_RENEW_SHARE", 1e9)
    seen = []
    whole = arc_evaluate.write_text

    def watched(path, text):
        seen.append(sum(entry != NO_ANSWER for entries in json.loads(text).values() for entry in entries))
        whole(path, text)

    monkeypatch.setattr(arc_evaluate, "write_text", watched)
    run(model_for(data), data, tmp_path, slots=1)
    assert seen[0] == 0
    assert seen[-1] == 6
    assert sorted(seen) == seen
    assert len(set(seen)) == 7


def test_a_guarded_model_looks_at_the_clock_before_each_block():
    model = nn.Sequential(nn.Sequential(nn.Identity()), nn.Sequential(nn.Identity()))
    with Deadline(0.05) as deadline:
        deadline.guard(model)
        model[0](torch.ones(1))
        time.sleep(0.1)
        with pytest.raises(OutOfTimeError):
            model[1](torch.ones(1))
        assert (deadline.over, deadline.ending) == (True, "time")
    assert torch.equal(model(torch.ones(1)), torch.ones(1)), "afterwards it is anybody's again"


def test_a_signal_breaks_nothing_off_until_a_second_one_comes():
    """An exception from the handler once left a lock of the coverage tracer taken, and the command hung for ever."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has none
    try:
        with Deadline() as deadline:
            signal.raise_signal(signal.SIGINT)
            assert (deadline.over, deadline.ending) == (True, "interrupted")
            with pytest.raises(OutOfTimeError):
                deadline.check()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_unknown_answers_give_no_scores(tmp_path):
    write_competition(tmp_path / "files", "training", made_tasks("a", seed=1))
    path = write_competition(tmp_path / "files", "evaluation", made_tasks("e f", seed=2))
    path.with_name("arc-agi_evaluation_solutions.json").unlink()
    import_arc([tmp_path / "files"], tmp_path / "out", augmentations=2, canvas=6)
    model = copier(6, read_dataset(tmp_path / "out").identifiers)
    report, submission = run(model, tmp_path / "out", tmp_path)
    assert (report["exact_accuracy"], report["pass@1"], report["n"]) == (None, None, 6)
    assert submission["e"][0]["attempt_1"] == made_tasks("e f", seed=2)["e"]["test"][0]["input"]
