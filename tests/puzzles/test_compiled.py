"""A compiled segment: one whole graph, the plain path's numbers, weights cast once, and nothing read on the host."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_run import short_recipe
from torch import Tensor, nn

from thinkling.artifacts.run_folder import RunFolder
from thinkling.data.array_store import read_dataset
from thinkling.data.batch import PuzzleBatch
from thinkling.errors import InputError
from thinkling.nn.casting import CastModule
from thinkling.puzzles import benchmarks
from thinkling.puzzles.hrm import HRM, HRMConfig
from thinkling.puzzles.objective import PuzzleObjective
from thinkling.puzzles.reasoner import Reasoner
from thinkling.puzzles.recipe import HRMRecipe, PuzzleRecipe, TRMRecipe
from thinkling.puzzles.train import fitted, objective_of, train_recipe
from thinkling.puzzles.trm import TRM, TRMConfig
from thinkling.thinking import perturbation, reserve
from thinkling.thinking.cycles import Cycles
from thinkling.thinking.halting import HaltingConfig
from thinkling.thinking.perturbation import CarryNoise
from thinkling.training import compilation
from thinkling.training.compilation import check_compiler, compile_for_training
from thinkling.training.config import TrainConfig
from thinkling.training.guards import StopRequest
from thinkling.training.objective import Shard
from thinkling.training.trainer import Trainer
from thinkling.training.update import Update

STEPS = 20
SIZES: dict[str, Any] = {
    "vocab_size": 5,
    "seq_len": 16,
    "hidden_size": 32,
    "num_heads": 2,
    "inner_multiple": 16,
    "L_layers": 1,
    "H_cycles": 2,
    "L_cycles": 2,
}
TRAIN = TrainConfig(optimizer="adamw", learning_rate=1e-4, puzzle_emb_lr=1e-4, warmup_steps=0, seed=3)
RECIPES: dict[str, PuzzleRecipe] = {
    "hrm": HRMRecipe(
        model=HRMConfig(**SIZES, H_layers=1, puzzle_emb_dim=32), train=TRAIN, batch_size=8, validation_size=20
    ),
    "trm": TRMRecipe(
        model=TRMConfig(**SIZES, mixing="mlp", positions="none"),
        halting=HaltingConfig(learning="halt_only", max_steps=3),
        train=TRAIN,
        batch_size=8,
        validation_size=20,
    ),
}


def objective(name: str, data: Path, dtype: str) -> PuzzleObjective:
    dataset = read_dataset(data)
    recipe = RECIPES[name]
    recipe = replace(recipe, train=replace(recipe.train, compute_dtype=dtype))  # type: ignore[arg-type]  # a test's
    return objective_of(fitted(recipe, dataset), dataset, Shard(), "cpu")


def steps_of(objective: PuzzleObjective) -> tuple[list[float], Tensor]:
    """The losses of 20 steps, and all weights afterwards."""
    update, state, losses = Update(objective.model, TRAIN), objective.fresh_state(), []
    for step in range(1, STEPS + 1):
        update.clear()
        state, loss = objective.loss(objective.model, state, step)
        (loss.total / loss.count).backward()
        update.apply(step, 0.0)
        losses.append(loss.total.item())
    return losses, nn.utils.parameters_to_vector(objective.model.parameters()).detach()


@pytest.mark.parametrize("name", RECIPES)
def test_a_segment_is_one_graph_that_gets_its_weights_cast(name: str, data: Path) -> None:
    """Recorded and played back, 20 steps are the same bit for bit; no fp32 matrix enters the graph, so none is cast
    there once a use."""
    plain, recorded = objective(name, data, "bfloat16"), objective(name, data, "bfloat16")
    graphs: list[list[Tensor]] = []

    def recording(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(inputs)
        return graph

    recorded.model.compile_segment(recording)
    losses, weights = steps_of(plain)
    again, same_weights = steps_of(recorded)
    assert again == losses
    assert torch.equal(weights, same_weights)
    assert len(graphs) == {"hrm": 2, "trm": 1}[name], "one with gradient; for the target one without"
    masters = {m.weight.shape for m in recorded.model.modules() if isinstance(m, CastModule)}
    dtypes = {tensor.dtype for inputs in graphs for tensor in inputs if tensor.shape in masters}
    assert dtypes == {torch.bfloat16}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # PyTorch's compiler, of PyTorch
@pytest.mark.parametrize("name", RECIPES)
def test_compiled_and_plain_agree_within_rounding(name: str, data: Path) -> None:
    """After 20 steps in bf16 the compiled path is no further from fp32 than the plain one, and no further from that
    than rounding takes it; in fp32 both are nearly the same."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        for compiled in (False, True):
            made = objective(name, data, dtype)
            if compiled:
                compile_for_training(made.model)
            found[dtype, compiled] = steps_of(made)
    exact, start = found["float32", False], objective(name, data, "float32").model.parameters()
    moved = float((exact[1] - nn.utils.parameters_to_vector(start).detach()).norm())
    assert found["float32", True][0] == pytest.approx(exact[0], rel=1e-5)
    assert far(found["float32", True], exact) < 1e-4 * moved
    plain, compiled = found["bfloat16", False], found["bfloat16", True]
    assert compiled[0] == pytest.approx(plain[0], rel=2**-6)
    assert far(plain, exact) < 0.1 * moved, "or this would prove nothing"
    assert far(compiled, exact) < 1.5 * far(plain, exact)
    assert far(compiled, plain) < 1.5 * far(plain, exact)


def far(one: tuple[list[float], Tensor], other: tuple[list[float], Tensor]) -> float:
    """Distance of the weights."""
    return float((one[1] - other[1]).norm())


def test_compiling_takes_no_part_in_the_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first use is before the first step and leaves no trace, at the start and on resuming."""
    monkeypatch.setattr(
        HRM, "compile_segment", functools.partialmethod(Reasoner.compile_segment, backend="eager")
    )
    monkeypatch.setattr(compilation, "check_compiler", lambda device: None)
    train_recipe(short_recipe(5, compile=True), data, tmp_path / "compiled", quiet=True)
    train_recipe(
        short_recipe(8, compile=True, min_lr_ratio=1.0), data, tmp_path / "compiled", resume=True, quiet=True
    )
    train_recipe(short_recipe(5), data, tmp_path / "broken", quiet=True)
    train_recipe(short_recipe(8, min_lr_ratio=1.0), data, tmp_path / "broken", resume=True, quiet=True)
    for name in ("model", "slots", "optimizer"):
        last = f"checkpoints/last/{name}.safetensors"
        one, other = load_file(tmp_path / "broken" / last), load_file(tmp_path / "compiled" / last)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_evaluation_is_not_compiled(data: Path) -> None:
    """Its batch shrinks: every size would be compiled anew."""
    made = objective("trm", data, "float32")

    def never(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        raise AssertionError("compiled")

    made.model.compile_segment(never)
    assert "exact_accuracy" in made.validate()


def test_every_stage_of_a_curriculum_is_compiled() -> None:
    """PyTorch gives up after 8 programs of one function, in the middle of a training."""
    model = TRM(TRMConfig(**SIZES)).train()
    model.compile_segment("eager")
    tokens = torch.zeros(2, 16, dtype=torch.int64)
    batch = PuzzleBatch(inputs=tokens, puzzle_ids=tokens[:, 0])
    for cycles in range(1, 12):
        carry, output = model(model.fresh_carry(2), batch, cycles=Cycles(H=1, L=cycles))
        assert output.logits.requires_grad
        assert not carry.z_H.requires_grad


def test_what_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"Linear.*a puzzle model.*train\.compile"):
        compile_for_training(nn.Linear(1, 1))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no g++\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(InputError, match=r"\(no g\+\+\).*C\+\+ compiler.*apt-get"):
        check_compiler(torch.device("cpu"))


@pytest.mark.slow
def test_no_compiler_is_a_clear_error(tmp_path: Path) -> None:
    script = (
        "import torch; from thinkling.training.compilation import check_compiler\n"
        "try: check_compiler(torch.device('cpu'))\n"
        "except Exception as error: print(type(error).__name__)"
    )
    nowhere = {"PATH": str(tmp_path), "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | nowhere, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "InputError"


@pytest.mark.parametrize(
    ("name", "carries", "parts"), [("hrm", 1, 1), ("hrm", 2, 1), ("trm", 1, 1), ("trm", 2, 1), ("hrm", 1, 2)]
)
def test_a_step_reads_two_things_on_the_host(
    name: str, carries: int, parts: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors of the meta device have no values: whatever would wait for one (`.item()`, `nonzero`, `if tensor`)
    fails. In a whole step of training, from the refill to the average, two places do and are replaced here: the
    slots' counters, which arrive while the device runs the segment, and the verdict before the update."""
    made = objective(name, data, "float32")
    made.carries, made.noise = carries, CarryNoise(initial=0.5, path=0.1)
    made.model.to("meta")
    # That device has no generators.
    monkeypatch.setattr(perturbation, "_normal_batch", lambda shape, **_: torch.empty(shape, device="meta"))
    counters = torch.zeros(8 * carries, dtype=torch.int64)
    monkeypatch.setattr(reserve, "arriving", lambda refills: counters.clone)
    monkeypatch.setattr(Trainer, "_agree", lambda self, loss, finite, stop: finite.is_meta)
    # PyTorch's fused AdamW refuses the meta device.
    config = replace(TRAIN, optimizer="adam_atan2", ema_decay=0.9, grad_clip=1.0, accumulation=parts)
    trainer = Trainer(made, config, RunFolder(tmp_path), None, quiet=True)
    trainer.slots = made.fresh_state()
    for _ in range(3):
        counters += torch.arange(len(counters)) % 2
        trainer._step(StopRequest())
    halted = trainer.slots.carry.halted
    assert halted.shape == counters.shape
    with pytest.raises((RuntimeError, NotImplementedError)):
        halted.nonzero()


def test_the_benchmark_measures_three_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = replace(RECIPES["trm"], model=TRMConfig(**SIZES | {"vocab_size": 11, "seq_len": 81}))
    monkeypatch.setattr(benchmarks, "recipe_named", lambda name: tiny)
    monkeypatch.setattr(benchmarks, "check_compiler", lambda device: None)
    monkeypatch.setattr(
        TRM, "compile_segment", functools.partialmethod(Reasoner.compile_segment, backend="eager")
    )
    found = benchmarks.bench_training(("trm-mlp",), batch_size=4, steps=1, device="cpu", compile=True)
    ours = found["models"]["trm-mlp"]
    for speed in (ours, ours["plain"], ours["compiled"]):
        assert speed["examples_per_second"] == pytest.approx(4 / speed["step_seconds"], rel=0.05)
        assert speed["share_of_matmul_rate"] > 0
    assert ours["compiled"]["first_step_seconds"] > ours["compiled"]["step_seconds"], (
        "compiled at its first use"
    )
    assert ours["plain"]["times_plain"] == 1
    assert ours["times_plain"] == pytest.approx(
        ours["plain"]["step_seconds"] / ours["step_seconds"], abs=0.02
    ), "one step of each"


def test_the_plain_loop_casts_at_every_use(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would not be what it is compared with."""
    made = objective("trm", data, "bfloat16")
    casts: list[Tensor] = []
    ordinary = CastModule.cast_weight

    def counted(self: CastModule, dtype: torch.dtype) -> Tensor:
        casts.append(ordinary(self, dtype))
        return casts[-1]

    monkeypatch.setattr(CastModule, "cast_weight", counted)
    benchmarks._plain_loop(made, TRAIN)(1)
    assert len({id(cast) for cast in casts}) == len(casts) > 20
