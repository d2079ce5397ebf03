"""A trained model as a user holds it: load, solve, score, save, import."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import thinkling
from thinkling.data.array_store import read_split
from thinkling.data.batch import PuzzleBatch
from thinkling.errors import InputError
from thinkling.puzzles.benchmarks import bench_adaptive, bench_training
from thinkling.puzzles.cost import cost
from thinkling.puzzles.evaluate import evaluate
from thinkling.puzzles.examples import Examples
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.official_checkpoint import import_checkpoint
from thinkling.puzzles.puzzle_model import PuzzleModel, build, count_params, halt_rule
from thinkling.puzzles.trm import TRM, TRMConfig
from thinkling.tasks.maze import Maze
from thinkling.thinking.halting import HaltingConfig

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def model(trained: Path) -> PuzzleModel:
    return thinkling.load(trained, compute_dtype="float32")


def test_solution_of_one_puzzle(model: PuzzleModel, data: Path) -> None:
    question = read_split(data, "test").inputs[0]
    solution = model.solve(model.task.format(question))
    assert len(solution.answer) == 16
    assert len(solution.trace) == solution.steps <= model.halting.max_steps
    assert solution.status == (
        "verified" if model.task.check(solution.question, solution.answer) else "unsolved"
    )
    assert 0 <= solution.q_halt <= 1
    assert model.solve(model.task.format(question), halt="never").steps == model.halting.max_steps
    assert model.solve(model.task.format(question), halt="never", steps=3).steps == 3


def test_bad_puzzles_are_refused(model: PuzzleModel) -> None:
    for puzzle, named in [
        ("1" * 15, "15 characters"),
        ("x" + "." * 15, "row 1, column 1"),
        ("11" + "." * 14, "row 1"),
        ("." * 16, "several solutions"),
    ]:
        with pytest.raises(InputError, match=named):
            model.solve(puzzle)


def test_save_and_load_are_bit_equal(model: PuzzleModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "copy")
    again = thinkling.load(tmp_path / "copy", compute_dtype="float32")
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)
    assert again.halting == model.halting
    assert again.task.settings() == model.task.settings()


def test_a_run_folder_alone_is_enough(trained: Path, model: PuzzleModel, tmp_path: Path) -> None:
    for part in ("", "checkpoints/best", "checkpoints/last"):
        moved = tmp_path / f"moved-{part.replace('/', '-')}"
        shutil.copytree(trained / part, moved)
        assert thinkling.load(moved).params == model.params


def test_damaged_weights_are_named_and_the_checkpoint_still_loads(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    weights = run / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"ema\.safetensors.*checkpoints.best") as refused:
        thinkling.load(run)
    assert refused.value.exit_code == 2
    thinkling.load(run / "checkpoints" / "best")


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("product", "soup", "product"),
        ("architecture", "hrn", "hrm"),
        ("model", {"hiden_size": 3}, "hidden_size"),
    ],
)
def test_nonsense_in_config(trained: Path, tmp_path: Path, key: str, value: object, named: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(InputError, match=named):
        thinkling.load(run)


def test_score_agrees_with_solving_one_by_one(model: PuzzleModel, data: Path) -> None:
    examples = Examples(read_split(data, "test"), model.task, augment=False)
    score = evaluate(
        model.network, examples, halt_rule("valid", model.halting, model.task), max_steps=8, slots=7
    )
    questions = (examples.puzzles.inputs[row] for row in range(len(examples)))
    solutions = list(model.solve_tokens(questions, halt="valid", slots=3))
    labels = [model.task.format(examples.puzzles.labels[row]) for row in range(len(examples))]
    exact = [solution.answer == label for solution, label in zip(solutions, labels, strict=True)]
    assert score.n == len(examples) == len(solutions)
    assert score.exact_accuracy == pytest.approx(np.mean(exact))
    assert score.valid_rate == pytest.approx(
        np.mean([solution.status == "verified" for solution in solutions])
    )
    steps = [solution.steps for solution in solutions]
    assert score.mean_steps == pytest.approx(np.mean(steps))
    assert score.p95_steps == np.percentile(steps, 95, method="inverted_cdf")
    confident = [not right and each.q_halt >= 0.5 for right, each in zip(exact, solutions, strict=True)]
    assert score.wrong_but_confident == pytest.approx(np.mean(confident))
    assert 0 <= score.cell_accuracy <= 1
    assert score.examples_per_second == pytest.approx(score.n / score.seconds)


def test_adaptive_benchmark(model: PuzzleModel, data: Path) -> None:
    examples = Examples(read_split(data, "test"), model.task, augment=False).first(10)
    found = bench_adaptive(model, examples, repeats=1)
    assert found["fixed"]["mean_steps"] == model.halting.max_steps
    assert found["accuracy_lost"]["valid"] <= 0
    assert set(found["speedup"]) == {"q", "valid"}


@pytest.mark.slow
def test_training_benchmark() -> None:
    found = bench_training(("trm-mlp",), batch_size=2, steps=1)
    assert found["models"]["trm-mlp"]["params"] == 5_028_866 + 512
    assert found["models"]["trm-mlp"]["share_of_matmul_rate"] > 0
    assert found["models"]["trm-mlp"]["plain"]["share_of_matmul_rate"] > 0
    assert "compiled" not in found["models"]["trm-mlp"], "it takes minutes, and is measured where asked for"


def test_operations_are_those_that_the_algorithm_needs() -> None:
    """Counted by hand for one block: q, k, v and out, two attention products, three feed-forward matrices."""
    config = HRMConfig(
        vocab_size=5, seq_len=6, hidden_size=8, num_heads=2, inner_multiple=4, H_layers=1, L_layers=1
    )
    block = 2 * 6 * (8 * 24 + 8 * 8 + 3 * 8 * 24) + 2 * 2 * 6 * 6 * 8
    heads = 2 * (5 * 8 * 6 + 2 * 8)
    counted = cost(HRM(config), "halt_only", 1)
    assert counted.forward_flops == 6 * block + heads
    assert counted.training_flops == 6 * block + heads + 2 * (2 * block + heads)
    assert cost(HRM(config), "q_learning", 1).training_flops == counted.training_flops + counted.forward_flops
    tiny = TRMConfig(
        vocab_size=5, seq_len=6, hidden_size=8, num_heads=2, inner_multiple=4, L_layers=1, mixing="mlp"
    )
    mixing = 2 * 8 * (3 * 6 * 16) + 2 * 6 * (3 * 8 * 24)
    counted = cost(TRM(tiny), "halt_only", 1)
    assert counted.training_flops == (3 * 7 + 2 * 7) * mixing + 3 * heads
    assert cost(TRM(tiny), "halt_only", 9).training_bytes > counted.training_bytes > 0


def official_folder(folder: Path, case: str) -> Path:
    """A checkpoint as the official code writes it, `_orig_mod.` and all."""
    folder.mkdir()
    config = json.loads((GOLDEN / case / "config.json").read_text())["config"]
    state = {
        f"_orig_mod.{key}": value for key, value in load_file(GOLDEN / case / "weights.safetensors").items()
    }
    torch.save({name: tensor * 0 for name, tensor in state.items()}, folder / "step_20")
    torch.save(state, folder / "step_100")
    (folder / "all_config.yaml").write_text(yaml.safe_dump({"arch": config, "data_path": "data/x"}))
    return folder


@pytest.mark.parametrize(("kind", "case"), [("hrm", "hrm_a"), ("trm", "trm_att")])
def test_import_of_an_official_checkpoint(kind: str, case: str, tmp_path: Path) -> None:
    """The golden models have 11 tokens as 9x9 Sudoku has; rotary positions let them read 81 cells."""
    folder = official_folder(tmp_path / "official", case)
    told = import_checkpoint(kind, folder, tmp_path / "run", None)  # type: ignore[arg-type]  # parametrised
    assert told["unmatched"] == []
    model = thinkling.load(tmp_path / "run")
    assert model.params == told["params"] == count_params(model.network)
    golden = load_file(GOLDEN / case / "weights.safetensors")
    assert torch.equal(model.network.lm_head.weight, golden["model.inner.lm_head.weight"])
    assert model.halting.learning == ("q_learning" if kind == "hrm" else "halt_only")
    assert (
        len(
            model.solve(
                "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
            ).answer
        )
        == 81
    )
    with pytest.raises(InputError, match="exists"):
        import_checkpoint(kind, folder, tmp_path / "run", None)  # type: ignore[arg-type]  # parametrised


def test_checkpoints_that_cannot_be_imported(tmp_path: Path, data: Path) -> None:
    folder = official_folder(tmp_path / "official", "hrm_a")
    with pytest.raises(InputError, match="TRM"):
        import_checkpoint("trm", folder, tmp_path / "run", None)
    with pytest.raises(InputError, match="data set"):
        import_checkpoint("hrm", folder, tmp_path / "run", data)
    (folder / "step_100").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="step_100"):
        import_checkpoint("hrm", folder, tmp_path / "run", None)
    (folder / "all_config.yaml").unlink()
    with pytest.raises(InputError, match=r"all_config\.yaml"):
        import_checkpoint("hrm", folder, tmp_path / "run", None)
    with pytest.raises(InputError, match="step_N"):
        import_checkpoint("hrm", tmp_path, tmp_path / "run", None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_heads": 3}, "num_heads"),
        ({"H_cycles": 0}, "H_cycles"),
        ({"puzzle_emb_len": 2}, "puzzle_emb_dim"),
        ({"puzzle_emb_len": 1, "puzzle_emb_dim": 2000}, "prefix positions"),
    ],
)
def test_impossible_architectures(change: dict[str, int], named: str) -> None:
    with pytest.raises(InputError, match=named):
        HRMConfig(**({"vocab_size": 11, "seq_len": 81} | change))  # type: ignore[arg-type]  # settings by name


def test_learned_positions_and_wide_embeddings() -> None:
    config = TRMConfig(
        vocab_size=5,
        seq_len=6,
        hidden_size=8,
        num_heads=2,
        positions="learned",
        puzzle_emb_dim=12,
        num_puzzle_ids=3,
    )
    network = TRM(config)
    assert config.prefix_len == 2
    batch = {"inputs": torch.ones(2, 6, dtype=torch.int64), "puzzle_ids": torch.tensor([0, 2])}
    carry, output = network.segment(network.fresh_carry(2), batch)  # type: ignore[arg-type]  # a mapping will do
    assert carry.z_H.shape == (2, 8, 8)
    assert output.logits.shape == (2, 6, 5)
    assert asdict(config)["positions"] == "learned"


def test_local_mixing_has_no_weight_that_depends_on_the_size() -> None:
    task = Maze(4, 4)
    settings = {"vocab_size": 6, "seq_len": 16, "rows": 4, "columns": 4, "hidden_size": 16, "num_heads": 2}
    settings |= {"mixing": "local", "positions": "none", "H_layers": 1, "L_layers": 1}
    config = {"architecture": "hrm", "model": settings, "task": task.settings()}
    model = PuzzleModel(build("hrm", settings), task, HaltingConfig(), config)
    larger = model.on_grid(6, 5)
    assert larger.task.shape == (6, 5)
    assert [*larger.network.state_dict()] == [*model.network.state_dict()]
    # Far from every edge a cell cannot know how large the grid is.
    wide, wider = model.on_grid(30, 30), model.on_grid(31, 33)
    batch = {
        size: PuzzleBatch(inputs=torch.full((1, size), 2), puzzle_ids=torch.zeros(1).long())
        for size in (900, 1023)
    }
    with torch.no_grad():
        _, near = wide.network.segment(wide.network.fresh_carry(1), batch[900])
        _, far = wider.network.segment(wider.network.fresh_carry(1), batch[1023])
    torch.testing.assert_close(near.logits.view(30, 30, 6)[15, 15], far.logits.view(31, 33, 6)[15, 15])


def test_other_mixings_know_one_size_only(model: PuzzleModel) -> None:
    with pytest.raises(InputError, match="local mixing"):
        model.on_grid(6, 6)
