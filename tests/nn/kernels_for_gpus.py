"""Programs for two generations of GPUs, made on a machine without one; prints what is in each as a line of JSON."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from thinkling.nn import triton_kernels as kernels

ASSEMBLER = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
GENERATIONS = (80, 90)
"""Compute capability times ten: A100, H100."""
NORMS = ((512, 1), (97, 512), (916, 512), (8192, 1))
"""N and K: the published width, TRM's positions on Sudoku and ARC, and the longest that a kernel takes."""


def described(kernel: Any, constants: dict[str, int], numbers: int, generation: int) -> dict[str, Any]:
    types = {"eps": "fp32", "size": "i32"} | dict.fromkeys(constants, "constexpr")
    signature = {name: types.get(name, "*bf16") for name in kernel.arg_names}
    # Memory that PyTorch gives, and sizes that are multiples of 16: what Triton finds out when it launches.
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(signature.values())
        if kind in ("*bf16", "i32")
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    target = GPUTarget("cuda", generation, 32)
    text = triton.compile(source, target=target, options={"num_warps": kernels._warps(numbers)}).asm["ptx"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(text)
        chip = f"sm_{generation}" + ("a" if generation == 90 else "")
        said = subprocess.run(
            [str(ASSEMBLER), "-v", f"-arch={chip}", str(path), "-o", "/dev/null"],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    return {
        "kernel": kernel.__name__,
        "constants": constants,
        "generation": generation,
        "registers": int(re.findall(r"Used (\d+) registers", said)[0]),
        "spilled": sum(map(int, re.findall(r"(\d+) bytes spill", said))),
        "widest_load": widest("ld", text),
        "widest_store": widest("st", text),
    }


def widest(what: str, text: str) -> int:
    """Bytes of the widest load or store of global memory."""
    found = re.findall(rf"{what}\.global(?:\.v(\d))?\.b(\d+)", text)
    return max(int(several or 1) * int(bits) // 8 for several, bits in found)


for generation in GENERATIONS:
    for n, inner in NORMS:
        along, across = kernels._along(n), kernels._across(n, inner)
        constants = {"N": n, "K": inner, "ALONG": along, "ACROSS": across}
        for kernel in (kernels._norm_forward, kernels._norm_backward):
            print(json.dumps(described(kernel, constants, along * across, generation)))
    for kernel in (kernels._gated_forward, kernels._gated_backward):
        block = kernels._ELEMENTWISE
        print(json.dumps(described(kernel, {"BLOCK": block}, block, generation)))
