"""A puzzle run becomes an ONNX file, which is read back and compared with the run.

Shapes: B batch, L positions, V vocabulary.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thinkling.artifacts.onnx_int8 import write_int8
from thinkling.data.batch import IGNORE_LABEL, PuzzleBatch
from thinkling.data.puzzle_set import PuzzleSet
from thinkling.errors import InputError
from thinkling.nn.casting import weights_cast_once
from thinkling.puzzles.load import load
from thinkling.puzzles.onnx_graph import write_onnx
from thinkling.puzzles.onnx_solver import METADATA, OnnxSolver, Segment
from thinkling.puzzles.puzzle_model import PuzzleModel
from thinkling.puzzles.reasoner import Reasoner
from thinkling.thinking.carry import Carry

TOLERANCE = 1e-4
"""Largest difference of a logit, a Q value or a state that still counts as equal, for values up to 5; beyond, a
fifty-thousandth of the largest."""
_LARGE = 5.0
ROUNDINGS = 4
"""What the network itself changes by where each of its weights changes in its last bit is allowed so many times: a
trained network can double a rounding at each of its blocks, in PyTorch as in any other engine."""
SEGMENTS = 3
"""Segments that the comparison goes on for; each begins from the state that PyTorch has reached."""
MOST_LOST = 0.01
"""Share of exact answers that a file with weights in 8 bits may lose."""
_KEPT = ("product", "architecture", "model", "task", "halting", "provenance")
_ROWS = 6


@dataclass(frozen=True, kw_only=True)
class PuzzleOnnxExport:
    """What came out: the contract's keys of `thinkling export`, and for weights in 8 bits how many answers stay."""

    path: Path
    """The file."""
    bytes: int
    """Its size."""
    max_abs_diff: float
    """Largest difference between the file in onnxruntime and the run in PyTorch, in one segment."""
    checked: bool
    """Whether the file may be used: it computes what the run does or, in 8 bits, loses few exact answers."""
    tolerance: float
    """Largest difference that counts as equal, for the output with the largest values."""
    int8: bool = False
    """Whether its matrices are in 8 bits."""
    exact_accuracy: float | None = None
    """Share of exact answers of the file, where there was data to score it on."""
    exact_accuracy_run: float | None = None
    """The same of the run, in fp32."""
    n: int = 0
    """Questions that both were scored on."""


def export_puzzles(
    run: str | Path, path: Path, *, int8: bool = False, puzzles: PuzzleSet | None = None
) -> PuzzleOnnxExport:
    """Write the model of a run as ONNX, load the file with onnxruntime and compare.

    Args:
        run: a run folder, a checkpoint inside one, or an `hf://` address.
        path: the file; an existing one is replaced.
        int8: store matrices in 8 bits. Such a file is judged by the exact answers that it loses.
        puzzles: questions with answers of the run's own kind, to compare on; random tokens where not given.

    Raises:
        InputError: no such run, one of another kind, a missing package, a folder in place of the file, or 8 bits
            without puzzles to judge them by.
        ThinklingError: the disk refuses.
    """
    if path.is_dir():
        raise InputError(f"--out {path}, which is a folder", "a file", f"write {path / 'model.onnx'}")
    if int8 and puzzles is None:
        raise InputError(
            "--int8 without --data",
            "puzzles with answers: weights in 8 bits are judged by the exact answers that they lose",
            "add --data DIR_OR_CSV",
        )
    model = load(run, device="cpu", compute_dtype="float32")
    kept = {METADATA: json.dumps(settings_of_file(model), ensure_ascii=False)}
    if int8:
        exact = path.with_name(f".{path.name}.fp32")
        try:
            write_onnx(model.network, exact, kept)
            write_int8(exact, path)
        finally:
            exact.unlink(missing_ok=True)
    else:
        write_onnx(model.network, path, kept)
    exported = OnnxSolver.from_file(path, threads=torch.get_num_threads())
    found = list(differences(model.network, exported, puzzles))
    close = all(difference <= allowed for difference, allowed in found)
    ours = theirs = None
    if puzzles is not None:
        ours, theirs = exact_answers(model, puzzles), exact_answers(exported, puzzles)
    return PuzzleOnnxExport(
        path=path,
        bytes=path.stat().st_size,
        max_abs_diff=max(difference for difference, _ in found),
        checked=few_lost(ours, theirs) if int8 else close,
        tolerance=max(allowed for _, allowed in found),
        int8=int8,
        exact_accuracy=theirs,
        exact_accuracy_run=ours,
        n=0 if puzzles is None else len(puzzles.inputs),
    )


def settings_of_file(model: PuzzleModel) -> dict[str, object]:
    """What a file says of its model, beside the graph."""
    config = model.network.config
    return {key: model.config[key] for key in _KEPT if key in model.config} | {
        "positions": config.total_len,
        "width": config.hidden_size,
        "params": model.params,
        "identifiers": list(model.identifiers),
    }


def few_lost(run: float | None, file: float | None) -> bool:
    """Whether a file keeps nearly all of a run's exact answers, both given as shares."""
    return run is not None and file is not None and file >= run - MOST_LOST


def exact_answers(model: PuzzleModel | OnnxSolver, puzzles: PuzzleSet) -> float:
    """Share of the questions whose scored cells are all right; a chain halts by its Q value."""
    right = 0
    # Questions of one puzzle id are asked together, as a stream takes one id.
    for puzzle_id in np.unique(puzzles.puzzle_ids):
        rows = np.flatnonzero(puzzles.puzzle_ids == puzzle_id)
        questions, labels, _ = puzzles.examples(rows)
        answers = model.solve_tokens(questions, halt="q", puzzle_id=int(puzzle_id))
        for answer, label in zip(answers, labels, strict=True):
            right += bool((answer.tokens == label)[label != IGNORE_LABEL].all())
    return right / max(len(puzzles.inputs), 1)


@torch.inference_mode()
def differences(
    network: Reasoner, exported: OnnxSolver, puzzles: PuzzleSet | None = None
) -> Iterator[tuple[float, float]]:
    """Largest difference of each output of each segment, in batches of several sizes, with what is allowed.

    The difference is infinite where a value is not finite.
    """
    disturbed = _disturbed(network)
    for inputs, puzzle_ids in _comparison_batches(network, puzzles):
        batch = PuzzleBatch(inputs=torch.from_numpy(inputs), puzzle_ids=torch.from_numpy(puzzle_ids))
        carry = network.fresh_carry(len(inputs))
        for number in range(SEGMENTS):
            if number == 1:  # some go on, and some start anew in the middle of the others
                carry = carry.with_halted(torch.arange(len(inputs)) % 2 == 1)
            fresh = carry.halted.numpy()
            theirs = exported.segment(inputs, puzzle_ids, carry.z_H.numpy(), carry.z_L.numpy(), fresh)
            _, moved = _segment(disturbed, carry, batch)
            carry, ours = _segment(network, carry, batch)
            for mine, its, other in zip(_arrays(ours), _arrays(theirs), _arrays(moved), strict=True):
                scaled = TOLERANCE * max(1.0, float(np.abs(mine).max()) / _LARGE)
                yield _difference(mine, its), max(scaled, ROUNDINGS * _difference(mine, other))


def _segment(network: Reasoner, carry: Carry, batch: PuzzleBatch) -> tuple[Carry, Segment]:
    """One segment in PyTorch: the new carry, and all of it as arrays."""
    with weights_cast_once(network, network.compute_dtype):
        carry, output = network.segment(carry, batch)
    return carry, Segment(
        z_H=carry.z_H.numpy(),
        z_L=carry.z_L.numpy(),
        logits=output.logits.numpy(),
        q_halt=output.q_halt.numpy(),
        q_continue=output.q_continue.numpy(),
    )


def _arrays(said: Segment) -> tuple[NDArray[np.float32], ...]:
    return said.z_H, said.z_L, said.logits, said.q_halt, said.q_continue


def _disturbed(network: Reasoner) -> Reasoner:
    """A copy with a random one of each two weights changed in its last bit."""
    generator = torch.Generator().manual_seed(0)
    other = copy.deepcopy(network)
    for weight in other.parameters():
        up = torch.randint(0, 2, weight.shape, generator=generator) * torch.finfo(torch.float32).eps
        weight.mul_(1 + up)
    return other


def _comparison_batches(
    network: Reasoner, puzzles: PuzzleSet | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Tokens [B, L] and puzzle ids [B], alone and together: of the puzzles, or random ones."""
    generator = np.random.default_rng(0)
    config = network.config
    if puzzles is None:
        inputs = generator.integers(0, config.vocab_size, (_ROWS, config.seq_len))
        puzzle_ids = generator.integers(0, config.num_puzzle_ids, _ROWS)
    else:
        questions, _, ids = puzzles.examples(slice(0, _ROWS))
        inputs, puzzle_ids = questions.astype(np.int64), ids.astype(np.int64)
    yield inputs[:1], puzzle_ids[:1]
    yield inputs, puzzle_ids


def _difference(mine: NDArray[np.float32], its: NDArray[np.float32]) -> float:
    found = float(np.abs(mine - its).max())
    return found if np.isfinite(found) else float("inf")  # a NaN would compare as no larger than anything
