"""The corpus pipeline with one worker, with several, and through Slurm's commands: the same bytes."""

import contextlib
import io
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import dill
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from made_up_corpus import write_corpus

from thinkling.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> Any:
    """The JSON object of the command, or its last line on standard error."""
    capsys.readouterr()
    assert main(["lm", "corpus", *map(str, words), "--json"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if captured.out else captured.err.strip().splitlines()[-1]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def texts(tmp_path: Path) -> dict[str, list[str]]:
    return write_corpus(tmp_path / "source")


def test_more_workers_and_a_second_time_change_nothing(
    texts: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (tmp_path / "source", "--benchmark", tmp_path / "benchmark.jsonl")
    one = run(capsys, *words, "--out", tmp_path / "one", "--workers", 1)
    two = run(capsys, *words, "--out", tmp_path / "two", "--workers", 2)
    assert files(tmp_path / "one/documents") == files(tmp_path / "two/documents")
    before = files(tmp_path / "one/documents")
    again = run(capsys, *words, "--out", tmp_path / "one", "--workers", 1)
    assert files(tmp_path / "one/documents") == before
    assert {**two, "dir": 0, "documents_dir": 0} == {**again, "dir": 0, "documents_dir": 0}
    assert one == again
    refused = run(capsys, *words, "--out", tmp_path / "one", "--jaccard", 0.7, code=2)
    assert "begun with another source or other settings" in refused


def test_slurm_gets_the_same_stages(
    texts: dict[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slurm's commands are played by scripts that note what they are asked; the jobs then run one by one."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, line in (
        (
            "sbatch",
            'n=$(($(cat "$0.n" 2>/dev/null || echo 0) + 1)); echo $n > "$0.n"; echo "$n $*" >> "$0.log"; '
            'echo "Submitted batch job $n"',
        ),
        ("scontrol", "echo here"),
    ):
        (bin_folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_NODELIST", "here")
    words = (tmp_path / "source", "--benchmark", tmp_path / "benchmark.jsonl")
    run(capsys, *words, "--out", tmp_path / "one", "--workers", 1)
    far = run(capsys, *words, "--out", tmp_path / "far", "--slurm", "cpu")
    assert list(far["submitted"]) == [
        "filter",
        "signatures",
        "pairs",
        "clusters",
        "benchmarks",
        "final",
        "report",
    ]
    # Each job waits for the one before; the other calls gather statistics after a job.
    asked = dict(line.split(" ", 1) for line in (bin_folder / "sbatch.log").read_text().splitlines())
    jobs = list(far["submitted"].values())
    assert "dependency" not in asked[jobs[0]]
    for earlier, later in itertools.pairwise(jobs):
        assert f"--dependency=afterok:{earlier}" in asked[later]
    script = (tmp_path / "far/work/stages/pairs/launch_script.slurm").read_text()
    assert "#SBATCH --partition=cpu" in script
    assert "#SBATCH --array=0-31" in script
    for stage in far["submitted"]:
        folder = tmp_path / "far/work/stages" / stage
        tasks = json.loads((folder / "ranks_to_run.json").read_text())
        for rank in tasks:
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(rank))
            with contextlib.redirect_stderr(io.StringIO()), (folder / "executor.pik").open("rb") as file:
                executor = dill.load(file)
                executor.requeue_signals = None
                executor.run()
    assert files(tmp_path / "far/documents") == files(tmp_path / "one/documents")
    reports = [json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "far")]
    assert reports[0] == reports[1]
