"""HRM and TRM equal the official code number by number (tests/golden, recorded with the official implementations)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from thinkling.data.batch import PuzzleBatch
from thinkling.errors import InputError
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.official_weights import from_official, ours_of
from thinkling.puzzles.trm import TRM, TRMConfig
from thinkling.thinking.carry import Carry
from thinkling.thinking.halting import HaltLearning
from thinkling.thinking.slots import Slots, training_segment
from thinkling.thinking.supervision import SegmentLoss, segment_loss

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = ("hrm_a", "trm_att")


def relative(ours: Tensor, golden: Tensor) -> float:
    return float(
        (ours.detach().double() - golden.double()).abs().max() / golden.double().abs().max().clamp(min=1e-30)
    )


class Case:
    """One golden model with its batch."""

    def __init__(self, name: str) -> None:
        self.folder = GOLDEN / name
        self.config: dict[str, Any] = self.json("config")["config"]
        self.weights = self.tensors("weights")
        self.model = from_official(self.config, self.weights)
        batch = self.tensors("batch")
        self.batch = PuzzleBatch(
            inputs=batch["inputs"], puzzle_ids=batch["puzzle_identifiers"], labels=batch["labels"].long()
        )
        self.learning: HaltLearning = "q_learning" if name.startswith("hrm") else "halt_only"
        self.limit = self.config["halt_max_steps"]

    def json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_file(self.folder / f"{name}.safetensors")

    def no_least_steps(self) -> Tensor:
        return torch.zeros(len(self.batch.inputs), dtype=torch.int64)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def check_metrics(ours: SegmentLoss, golden: dict[str, float], total: float, tolerance: float) -> None:
    assert float(ours.total.detach()) == pytest.approx(total, rel=tolerance)
    assert ("q_continue_loss" in golden) == (ours.q_continue_loss is not None)
    for name, value in golden.items():
        assert float(getattr(ours, name)) == pytest.approx(value, rel=tolerance, abs=1e-6), name


def test_evaluation_segments(case: Case) -> None:
    golden, told = case.tensors("eval"), case.json("eval")
    with torch.no_grad():
        carry = case.model.fresh_carry(6)
        for number in range(1, 5):
            carry, output = case.model.segment(carry, case.batch)
            tolerance = 1e-5 if number == 1 else 5e-5
            assert not carry.halted.any()
            for name, tensor in {
                "logits": output.logits,
                "q_halt_logits": output.q_halt,
                "q_continue_logits": output.q_continue,
                "z_H": carry.z_H,
                "z_L": carry.z_L,
            }.items():
                assert relative(tensor, golden[f"segment{number}.{name}"]) < tolerance, (number, name)
            assert carry.steps.tolist() == told[number - 1]["steps"]
            loss = segment_loss(
                output, case.batch.labels, halted=carry.steps >= 4, steps=carry.steps, loss="stablemax"
            )
            check_metrics(loss, told[number - 1]["metrics"], told[number - 1]["loss"], tolerance)


def test_training_segment_and_gradients(case: Case) -> None:
    golden, told = case.tensors("train"), case.json("train")
    gradients = case.tensors("train_grads")
    case.model.train()
    segment = training_segment(
        case.model,
        case.model.fresh_carry(6),
        case.batch,
        learning=case.learning,
        limit=case.limit,
        least_steps=case.no_least_steps(),
    )
    assert relative(segment.output.logits, golden["logits"]) < 1e-5
    assert relative(segment.output.q_halt, golden["q_halt_logits"]) < 1e-5
    if "target_q_continue" in golden:
        assert segment.target_q_continue is not None
        assert relative(segment.target_q_continue, golden["target_q_continue"]) < 1e-5
    loss = segment_loss(
        segment.output,
        case.batch.labels,
        halted=segment.carry.halted,
        steps=segment.carry.steps,
        loss="stablemax",
        target_q_continue=segment.target_q_continue,
    )
    check_metrics(loss, told["metrics"], told["loss"], 1e-5)
    (loss.total / 6).backward()
    ours = {name: parameter.grad for name, parameter in case.model.named_parameters()}
    assert case.model.puzzle_emb is not None
    [(_, rows)] = case.model.puzzle_emb.lookups
    ours["puzzle_emb.local_weights"] = rows.grad
    assert {ours_of(name) for name in gradients} == set(ours)
    for name, tensor in gradients.items():
        mine = ours[ours_of(name)]
        assert mine is not None
        assert relative(mine, tensor) < 2e-5, name


def test_eight_training_steps(case: Case) -> None:
    """Refilling, halting, targets and metrics over eight steps in which some slots halt early."""
    golden, told = case.tensors("act"), case.json("act")
    case.model.train()
    slots = Slots(
        carry=case.model.fresh_carry(6), batch=case.batch, refills=torch.zeros(6, dtype=torch.int64)
    )
    for step in range(8):
        offered = PuzzleBatch(
            inputs=golden["in.inputs"][step],
            labels=golden["in.labels"][step].long(),
            puzzle_ids=golden["in.puzzle_identifiers"][step],
        )
        slots = slots.refill(lambda empty, _, offered=offered: offered.select(empty))
        with torch.no_grad():
            segment = training_segment(
                case.model,
                slots.carry,
                slots.batch,
                learning=case.learning,
                limit=case.limit,
                least_steps=case.no_least_steps(),
            )
        slots = Slots(carry=segment.carry, batch=slots.batch, refills=slots.refills)
        assert torch.equal(slots.batch.inputs, golden["out.current_inputs"][step])
        assert torch.equal(slots.batch.labels, golden["out.current_labels"][step].long())
        assert torch.equal(slots.carry.halted, golden["out.halted"][step].bool())
        assert torch.equal(slots.carry.steps, golden["out.steps"][step].long())
        assert relative(segment.output.logits, golden["out.logits"][step]) < 5e-5
        assert relative(segment.output.q_halt, golden["out.q_halt_logits"][step]) < 5e-5
        if segment.target_q_continue is not None:
            assert relative(segment.target_q_continue, golden["out.target_q_continue"][step]) < 5e-5
        loss = segment_loss(
            segment.output,
            slots.batch.labels,
            halted=segment.carry.halted,
            steps=segment.carry.steps,
            loss="stablemax",
            target_q_continue=segment.target_q_continue,
        )
        check_metrics(loss, told[step]["metrics"], told[step]["loss"], 5e-5)


def test_gradient_survives_a_cast_made_without_gradient(case: Case) -> None:
    """Under autocast the cast made in the no-gradient cycles is reused and the weights silently get no gradient."""
    case.model.train()
    case.model.compute_dtype = torch.bfloat16
    with torch.no_grad(), weights_cast_once(case.model, torch.bfloat16):
        case.model.segment(case.model.fresh_carry(6), case.batch)
        with torch.enable_grad():
            _, output = case.model.segment(case.model.fresh_carry(6), case.batch)
    output.logits.float().square().mean().backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        for name, parameter in case.model.named_parameters()
        if not name.startswith("q_head")
    )


def test_names_of_a_compiled_checkpoint(case: Case) -> None:
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in case.weights.items()}
    model = from_official(case.config, compiled)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, case.model.state_dict()[name])


def test_loading_is_strict(case: Case) -> None:
    name = next(iter(case.weights))
    without = {key: tensor for key, tensor in case.weights.items() if key != name}
    with pytest.raises(InputError, match=f"{ours_of(name)} is missing"):
        from_official(case.config, without)
    with pytest.raises(InputError, match="surplus is not in the model"):
        from_official(case.config, {**case.weights, "model.inner.surplus": torch.zeros(1)})
    with pytest.raises(InputError, match=r"puzzle_emb\.weights"):
        from_official({**case.config, "num_puzzle_identifiers": 9}, case.weights)


@pytest.mark.parametrize("architecture", ["hrm_sudoku", "trm_att_sudoku", "trm_mlp_sudoku"])
def test_published_sizes(architecture: str) -> None:
    golden = json.loads((GOLDEN / "param_counts.json").read_text())[architecture]
    sizes: dict[str, Any] = {"vocab_size": 11, "seq_len": 81, "puzzle_emb_dim": 512}
    model: HRM | TRM
    with torch.device("meta"):
        if architecture.startswith("hrm"):
            model = HRM(HRMConfig(**sizes))
        elif architecture == "trm_att_sudoku":
            model = TRM(TRMConfig(**sizes, puzzle_emb_len=16))
        else:
            model = TRM(TRMConfig(**sizes, puzzle_emb_len=16, mixing="mlp", positions="none"))
    assert sum(parameter.numel() for parameter in model.parameters()) == golden["parameters"]
    shapes = {ours_of(name): tuple(shape) for name, shape in golden["shapes"].items()}
    assert {name: tuple(parameter.shape) for name, parameter in model.named_parameters()} == shapes


def test_segment_leaves_the_carry_it_was_given(case: Case) -> None:
    carry = case.model.fresh_carry(6)
    kept = Carry(
        z_H=carry.z_H.clone(), z_L=carry.z_L.clone(), steps=carry.steps.clone(), halted=carry.halted.clone()
    )
    case.model.segment(carry, case.batch)
    for name in ("z_H", "z_L", "steps", "halted"):
        assert torch.equal(getattr(carry, name), getattr(kept, name))
