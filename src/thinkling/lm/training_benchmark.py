"""How fast pre-training is, beside a plain loop over Transformers' model of the same size, in the same process.

Both take the same rows, the same compute dtype and AdamW with clipping, and take turns step by step, since machines
change their speed within seconds. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from thinkling.artifacts.provenance import hardware
from thinkling.data.mixture import MixtureRows
from thinkling.data.text_store import TokenDocuments
from thinkling.data.token_rows import TokenRows
from thinkling.errors import InputError
from thinkling.lm.hf_files import hf_config
from thinkling.lm.model import Decoder
from thinkling.lm.objective import next_token_loss
from thinkling.lm.plan import training_flops
from thinkling.lm.presets import preset
from thinkling.nn.cpu_memory import keep_freed_memory
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype
from thinkling.training.config import TrainConfig
from thinkling.training.update import Update

_CONFIG = TrainConfig(
    optimizer="adamw", learning_rate=3e-4, warmup_steps=0, decay_biases=False, grad_clip=1.0
)
_WARM_UP = 2
_MEAN_DOCUMENT = 180  # tokens
_DOCUMENTS = 400


def bench_training(
    size: str = "5m",
    *,
    batch_size: int = 16,
    length: int = 256,
    steps: int = 8,
    device: str = "auto",
    compute_dtype: ComputeDtype = "auto",
) -> dict[str, Any]:
    """Tokens a second of a training step, ours and the plain loop's, and their ratio.

    Args:
        size: a preset of the language model.
        batch_size: rows.
        length: tokens of a row; documents of about 180 made-up tokens are packed into it.
        steps: measured steps of each, after two of warm-up; the fastest one counts.
        device: auto, cpu, cuda or mps.
        compute_dtype: of the matrix products.

    Raises:
        InputError: a size, batch size, length or number of steps that cannot be, or Transformers is not installed.
    """
    config = preset(size)
    if min(batch_size, steps) < 1 or not 2 <= length <= config.max_length:
        raise InputError(
            f"batch size {batch_size}, length {length}, {steps} steps",
            f"1 or more each, and a length of 2 to {config.max_length}",
            "give other numbers",
        )
    started = time.perf_counter()
    keep_freed_memory()
    place = pick_device(device)
    dtype = resolve_dtype(compute_dtype, place)
    ours = Decoder(config, torch.Generator().manual_seed(0)).to(place)
    ours.compute_dtype = dtype
    theirs = transformers_model(ours)
    source = MixtureRows(
        [_made_up(config.vocab_size)], length=length, bos_id=1, eos_id=2, steps=steps + _WARM_UP, seed=0
    )
    loops = {"thinkling": _our_step(ours), "transformers": _their_step(theirs, dtype)}
    taken: dict[str, list[float]] = {name: [] for name in loops}
    losses: dict[str, float] = {}
    for step in range(1, steps + _WARM_UP + 1):
        rows = source.rows(step, slice(0, batch_size), batch_size)
        for name, loop in loops.items():
            begun = time.perf_counter()
            losses[name] = loop(rows, step)
            taken[name].append(time.perf_counter() - begun)
    # The best of each: whatever else the machine does only adds to a step.
    seconds = {name: min(times[_WARM_UP:]) for name, times in taken.items()}
    tokens = batch_size * length
    return {
        "size": size,
        "params": ours.params,
        "batch_size": batch_size,
        "length": length,
        "dtype": str(dtype).removeprefix("torch."),
        "tokens_per_second": round(tokens / seconds["thinkling"]),
        "transformers_tokens_per_second": round(tokens / seconds["transformers"]),
        "ratio": round(seconds["transformers"] / seconds["thinkling"], 2),
        "gflops": round(training_flops(config, length) * tokens / seconds["thinkling"] / 1e9, 1),
        "last_losses": {name: round(loss, 4) for name, loss in losses.items()},
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def transformers_model(model: Decoder) -> Any:
    """Transformers' Qwen3 with the same sizes and weights.

    Raises:
        InputError: Transformers is not installed.
    """
    try:
        from transformers import Qwen3Config, Qwen3ForCausalLM
    except ImportError as error:
        raise InputError(
            f"no module {error.name}", "the package transformers", "pip install transformers"
        ) from None
    keys = {key: value for key, value in hf_config(model.config).items() if key != "architectures"}
    theirs: Any = Qwen3ForCausalLM(Qwen3Config(**keys))
    theirs.load_state_dict(model.state_dict() | {"lm_head.weight": model.model.embed_tokens.weight})
    theirs.tie_weights()
    return theirs.to(model.device)


def _our_step(model: Decoder) -> Callable[[TokenRows, int], float]:
    update = Update(model, dataclasses.replace(_CONFIG))
    model.train()

    def step(rows: TokenRows, number: int) -> float:
        update.clear()
        loss = next_token_loss(model, model, rows)
        (loss.total / loss.count).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        update.gradient_norm()
        update.apply(number, 0.0)
        return float(loss.total.detach() / loss.count)

    return step


def _their_step(model: Any, dtype: torch.dtype) -> Callable[[TokenRows, int], float]:
    """The loop that everybody writes: autocast, the model's own loss, clipping, AdamW."""
    model.train()
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=_CONFIG.learning_rate, betas=_CONFIG.betas, weight_decay=0.1, fused=True
    )

    def step(rows: TokenRows, number: int) -> float:
        inputs = torch.from_numpy(rows.inputs).to(device)
        asked = torch.from_numpy(rows.documents).to(device) > 0
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            loss = model(input_ids=inputs, labels=torch.where(asked, inputs, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def _made_up(vocab_size: int) -> TokenDocuments:
    generator = np.random.default_rng(0)
    sizes = generator.geometric(1 / _MEAN_DOCUMENT, _DOCUMENTS)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    tokens = generator.integers(8, vocab_size, int(starts[-1])).astype(np.uint32)
    return TokenDocuments(tokens=tokens, starts=starts)
