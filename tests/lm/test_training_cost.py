"""Peak memory and speed of a training step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thinkling.errors import InputError
from thinkling.lm.training_benchmark import bench_training

ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}

_PEAK = r"""
import re, sys, torch
from thinkling.data.token_rows import TokenRows
from thinkling.lm.config import DecoderConfig
from thinkling.lm.model import Decoder
from thinkling.lm.objective import next_token_loss
from thinkling.training.config import TrainConfig
from thinkling.training.update import Update
torch.set_num_threads(1)
def peak():  # of this process alone; getrusage would begin with that of its parent
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
config = DecoderConfig(vocab_size=8192, max_length=256, hidden_size=256, num_layers=3, num_heads=4,
                       num_kv_heads=2, head_dim=64, inner_size=768)
model = Decoder(config, torch.Generator().manual_seed(0))
update = Update(model, TrainConfig(optimizer="adamw"))
before = peak()
for step in (1, 2):
    tokens = torch.randint(8192, (16, 257)).numpy()
    rows = TokenRows(inputs=tokens[:, :-1], labels=tokens[:, 1:], documents=tokens[:, 1:] * 0 + 1)
    update.clear()
    if sys.argv[1] == "loss":
        next_token_loss(model, model, rows).total.backward()
    else:
        model(torch.from_numpy(rows.inputs)).square().sum().backward()
    update.gradient_norm()
    update.apply(step, 0.0)
print((peak() - before) * 1024)
"""


def test_peak_memory_of_a_training_step() -> None:
    """At most 1.3 times what gradients, optimiser and activations take without an output layer.

    The scores of all tokens alone would be 134 MB.
    """
    grown = {}
    for kind in ("loss", "without"):
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, kind], capture_output=True, text=True, check=True, env=ONE_THREAD
        )
        grown[kind] = int(done.stdout)
    assert grown["loss"] < 1.3 * grown["without"]


def test_benchmark_beside_transformers() -> None:
    """Both loops learn from the same rows and start from the same weights, so their losses stay close."""
    pytest.importorskip("transformers")
    found = bench_training("1m", batch_size=2, length=64, steps=2, device="cpu", compute_dtype="float32")
    ours, theirs = found["last_losses"].values()
    assert ours == pytest.approx(theirs, rel=0.01)
    assert found["ratio"] == pytest.approx(
        found["tokens_per_second"] / found["transformers_tokens_per_second"], rel=0.01
    )
    assert found["params"] == 1_049_984
    with pytest.raises(InputError, match="length 5000"):
        bench_training("1m", length=5000)
    with pytest.raises(InputError, match="preset"):
        bench_training("2m")
