"""20 steps of training in plain operations and with fused kernels in Triton's interpreter; prints both as JSON.

python fused_training.py DATA MODEL
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"

import torch
from test_compiled import RECIPES, far, objective, steps_of
from torch import nn

from thinkling.nn.fused import fused_kernels

if __name__ == "__main__":
    data, name = sys.argv[1:]
    torch.set_num_threads(1)
    recipe = RECIPES[name]
    # As few numbers as can be: the interpreter takes a millisecond for each norm.
    model = replace(recipe.model, H_cycles=1, L_cycles=1)
    RECIPES[name] = replace(recipe, model=model, batch_size=2)  # type: ignore[arg-type]  # the model is of its kind
    found, start = [], objective(name, Path(data), "float32").model.parameters()
    for choice in ("off", "on"):
        with fused_kernels(choice, torch.device("cpu")):
            found.append(steps_of(objective(name, Path(data), "float32")))
    plain, kernels = found
    print(
        json.dumps(
            {
                "plain_losses": plain[0],
                "losses": kernels[0],
                "moved": float((plain[1] - nn.utils.parameters_to_vector(start).detach()).norm()),
                "apart": far(plain, kernels),
            }
        )
    )
