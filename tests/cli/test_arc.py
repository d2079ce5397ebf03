"""`thinkling data import arc`, and `eval` and `solve` on ARC."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "puzzles"))

from arc_tasks import made_tasks, write_competition

from thinkling.cli.main import main
from thinkling.data.array_store import read_dataset
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.tasks.registry import get_task
from thinkling.thinking.halting import HaltingConfig


def thinkling(capsys, *words, code=0):
    assert main([*map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    evaluation = made_tasks("e f", seed=2, tests=2)
    write_competition(folder, "training", made_tasks("a b", seed=1) | {"copy_of_f": evaluation["f"]})
    write_competition(folder, "evaluation", evaluation)
    return folder


@pytest.fixture(scope="module")
def data(files):
    out = files / "data"
    assert (
        main(
            ["data", "import", "arc", str(files), "--out", str(out), "--augmentations", "40", "--canvas", "0"]
        )
        == 0
    )
    return out


@pytest.fixture(scope="module")
def run_folder(data):
    """An untrained model that knows the data set's ids."""
    dataset = read_dataset(data)
    task = get_task(dataset.task_settings, dataset.identifiers)
    config = HRMConfig(
        vocab_size=task.vocab_size,
        seq_len=task.seq_len,
        num_puzzle_ids=len(dataset.identifiers),
        puzzle_emb_dim=16,
        hidden_size=16,
        num_heads=2,
        inner_multiple=8,
    )
    halting = HaltingConfig(max_steps=3)
    settings = {
        "product": "puzzles",
        "architecture": "hrm",
        "model": asdict(config),
        "task": task.settings(),
        "halting": asdict(halting),
    }
    PuzzleModel(HRM(config, seed=0), task, halting, settings, dataset.identifiers).save_pretrained(
        data.parent / "run"
    )
    return data.parent / "run"


def test_importing_warns_of_leaks_by_name_and_count(files, tmp_path, capsys):
    words = ("data", "import", "arc", files, "--out", tmp_path / "out", "--augmentations", 2)
    values, said = thinkling(capsys, *words)
    assert values["leaked"] == ["f"]
    assert "WARNING: 1 of the 2 test tasks" in said
    assert ": f." in said
    values, said = thinkling(capsys, *words, "--drop-leaks")
    assert values["left_out"]["leaks"] == 1
    assert "1 training tasks left out" in said
    thinkling(capsys, "data", "check", tmp_path / "out")


def test_sets_are_named_by_flags(files, tmp_path, capsys):
    values, said = thinkling(
        capsys,
        *("data", "import", "arc", files, "--out", tmp_path / "out", "--augmentations", 0, "--canvas", 8),
        *("--train-sets", "--test-set", "training", "--tasks", "a,b"),
    )
    assert (values["tasks"], values["identifiers"], values["canvas"]) == ({"train": 2, "test": 2}, 3, 8)
    assert said == ""


def test_bad_input_is_refused(files, tmp_path, capsys):
    (tmp_path / "x_challenges.json").write_text(
        '{"t": {"train": [{"input": [[1],[2,3]]}]}}', encoding="utf-8"
    )
    assert main(["data", "import", "arc", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "x_challenges.json: task t, train pair 1, input: a ragged grid: row 2" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_scores_votes_and_submission(run_folder, data, tmp_path, capsys):
    words = ("eval", run_folder, "--data", data, "--augmentations", 3)
    values, _ = thinkling(capsys, *words)
    assert values["n"] == values["predictions"] == 4 * 4
    assert values["valid_rate"] is None
    assert values["submission"] == str(run_folder / "submission.json")
    assert {"pass@1", "pass@1000", "exact_accuracy", "p95_steps", "examples_per_second"} <= set(values)
    written = json.loads((run_folder / "submission.json").read_text(encoding="utf-8"))
    assert {task: len(entries) for task, entries in written.items()} == {"e": 2, "f": 2}
    values, _ = thinkling(capsys, *words, "--submission", tmp_path / "new/s.json", "--task-id", "blank")
    assert (tmp_path / "new/s.json").exists()
    values, _ = thinkling(capsys, "eval", run_folder, "--data", data, "--split", "train", "--limit", 5)
    assert values["n"] == 5


def test_flags_that_do_not_fit_are_refused(run_folder, data, capsys):
    for words, named in [
        (("--time-limit", "0"), "--time-limit"),
        (("--augmentations", "-1"), "--augmentations"),
        (("--split", "train", "--task-id", "blank"), "test split of an ARC"),
        (("--halt", "valid"), "no checker"),
    ]:
        assert main(["eval", str(run_folder), "--data", str(data), *words]) == 2
        assert named in capsys.readouterr().err
    assert (
        main(
            [
                "eval",
                str(data.parent / "no_run"),
                "--data",
                str(data),
                "--submission",
                str(data.parent / "s.json"),
            ]
        )
        == 2
    )
    assert not (data.parent / "s.json").exists()
    assert not (data.parent / "no_run").exists()


def test_solving_a_grid_of_a_named_task(run_folder, capsys):
    values, _ = thinkling(capsys, "solve", run_folder, "[[0,1],[2,3]]", "--puzzle-id", "e")
    assert values["status"] == "unverified"
    assert isinstance(json.loads(values["answer"]), list)
    assert main(["solve", str(run_folder), "[[0,1]]", "--puzzle-id", "ee"]) == 2
    assert "'e'" in capsys.readouterr().err


def start(run_folder, data, out, *words):
    """The command with a limit of steps that it can never reach in the time of a test."""
    command = ["eval", run_folder, "--data", data, "--submission", out, "--json", "--device", "cpu", *words]
    return subprocess.Popen(
        [sys.executable, "-m", "thinkling", *map(str, command), "--halt", "never", "--steps", "5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_time_limit_counts_from_the_start_of_the_command(run_folder, data, tmp_path):
    began = time.monotonic()
    process = start(run_folder, data, tmp_path / "s.json", "--time-limit", 12)
    out, said = process.communicate(timeout=60)
    assert time.monotonic() - began < 13
    assert (process.returncode, json.loads(out)["ended"]) == (0, "time"), said
    assert {
        task: len(entries) for task, entries in json.loads((tmp_path / "s.json").read_text()).items()
    } == {
        "e": 2,
        "f": 2,
    }


def test_termination_leaves_a_valid_submission(run_folder, data, tmp_path):
    process = start(run_folder, data, tmp_path / "s.json")
    while not (tmp_path / "s.json").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["ended"]) == (143, "terminated")
    assert len(json.loads((tmp_path / "s.json").read_text())) == 2
