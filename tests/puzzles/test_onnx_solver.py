"""An exported model answers, halts and shows its thinking as the run that it was exported from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from random_network import write_random_run

from thinkling.data.array_store import read_split
from thinkling.errors import InputError
from thinkling.models import load
from thinkling.puzzles import onnx_export
from thinkling.puzzles.onnx_export import TOLERANCE, export_puzzles
from thinkling.puzzles.onnx_solver import OnnxSolver
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.thinking.halting import HaltRuleName


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model.onnx` of a short training run, and `random.onnx` of one that knows nothing."""
    folder = tmp_path_factory.mktemp("onnx")
    found = export_puzzles(trained, folder / "model.onnx")
    assert found.checked
    assert found.max_abs_diff <= TOLERANCE
    write_random_run(folder / "random", threshold=0.7, confirmations=1)
    assert export_puzzles(folder / "random", folder / "random.onnx").checked
    return folder


@pytest.fixture(scope="module")
def exported(folder: Path) -> OnnxSolver:
    return OnnxSolver.from_file(folder / "model.onnx", threads=1)


@pytest.fixture(scope="module")
def model(trained: Path) -> PuzzleModel:
    return PuzzleModel.from_folder(trained, device="cpu", compute_dtype="float32")


@pytest.mark.parametrize("halt", ["valid", "q", "never", None])
def test_a_stream_is_answered_as_by_the_run(halt: HaltRuleName | None, folder: Path, data: Path) -> None:
    """Questions that halt at different segments leave their slots at different times, and others take them."""
    questions = list(read_split(data, "test").inputs)
    run = PuzzleModel.from_folder(folder / "random", device="cpu", compute_dtype="float32")
    file = OnnxSolver.from_file(folder / "random.onnx", threads=1)
    ours = list(run.solve_tokens(questions, halt=halt, slots=7))
    theirs = list(file.solve_tokens(iter(questions), halt=halt, slots=5))
    if halt == "q":
        assert len({answer.steps for answer in ours}) > 2, "all halt at the same segment, which shows nothing"
    assert [answer.steps for answer in theirs] == [answer.steps for answer in ours]
    for its, mine in zip(theirs, ours, strict=True):
        assert its.question == mine.question
        assert its.answer == mine.answer
        assert its.status == mine.status
        assert its.q_halt == pytest.approx(mine.q_halt, abs=1e-3)  # six segments, each from its own state


def test_one_puzzle_with_its_trace(model: PuzzleModel, exported: OnnxSolver, data: Path) -> None:
    puzzle = model.task.format(read_split(data, "test").inputs[0])
    ours, theirs = (each.solve(puzzle, halt="never", steps=5) for each in (model, exported))
    assert theirs.as_json() == pytest.approx(ours.as_json(), abs=1e-4)
    assert len(theirs.trace) == len(ours.trace) == 5
    for its, mine in zip(theirs.trace, ours.trace, strict=True):
        np.testing.assert_array_equal(its.tokens, mine.tokens)
        np.testing.assert_allclose(its.confidence, mine.confidence, atol=1e-4)
        assert its.as_json()["residual"] == pytest.approx(mine.residual, abs=1e-4)
        assert (its.q_halt, its.q_continue) == pytest.approx((mine.q_halt, mine.q_continue), abs=1e-4)


def test_the_file_is_enough(folder: Path, model: PuzzleModel, tmp_path: Path) -> None:
    """Task, halting and sizes are in it."""
    copy = tmp_path / "elsewhere.onnx"
    copy.write_bytes((folder / "model.onnx").read_bytes())
    alone = load(copy)
    assert isinstance(alone, OnnxSolver)
    assert alone.task.settings() == model.task.settings()
    assert alone.halting == model.halting
    assert alone.params == model.params
    assert alone.config["provenance"] == model.config["provenance"]
    with pytest.raises(InputError, match="copy the ONNX file"):
        alone.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_errors_of_the_run_are_errors_of_the_file(exported: OnnxSolver) -> None:
    with pytest.raises(InputError, match="row 1"):
        exported.solve("11" + "." * 14)
    with pytest.raises(InputError, match="2 characters"):
        exported.solve("12")
    with pytest.raises(InputError, match="no name"):
        exported.solve("." * 16, validate=False, puzzle_name="e")
    for limit in ("slots", "steps"):
        with pytest.raises(InputError, match=f"0 {limit}; allowed: 1 or more"):
            next(exported.solve_tokens([exported.task.parse("." * 16)], **{limit: 0}))
    assert list(exported.solve_tokens([])) == []


def test_files_of_another_origin(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "nowhere.onnx")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes((folder / "model.onnx").read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        OnnxSolver.from_file(cut)
    graph = onnx.load(folder / "model.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "bare.onnx")
    with pytest.raises(InputError, match="without the settings of a puzzle model"):
        OnnxSolver.from_file(tmp_path / "bare.onnx")


def test_eight_bits_are_judged_by_exact_answers(
    folder: Path, trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puzzles = read_split(data, "test")
    found = export_puzzles(trained, tmp_path / "small.onnx", int8=True, puzzles=puzzles)
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]
    assert found.int8
    assert found.n == 40
    assert found.bytes < 0.5 * (folder / "model.onnx").stat().st_size
    assert found.max_abs_diff > TOLERANCE  # it is not the same model
    assert found.exact_accuracy is not None
    assert found.exact_accuracy_run is not None
    assert found.checked == (found.exact_accuracy >= found.exact_accuracy_run - 0.01)
    monkeypatch.setattr(onnx_export, "exact_answers", lambda model, _: float(isinstance(model, PuzzleModel)))
    assert not export_puzzles(trained, tmp_path / "small.onnx", int8=True, puzzles=puzzles).checked
    with pytest.raises(InputError, match="--int8 without --data"):
        export_puzzles(trained, tmp_path / "small.onnx", int8=True)
