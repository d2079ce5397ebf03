"""Generation speed against Transformers' `generate` with the same weights, prompts and number of new tokens.

It measures wall-clock time: run it on a machine that does nothing else.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import torch

from thinkling.artifacts.provenance import hardware
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.engine import GenerationEngine
from thinkling.lm.hf_files import hf_config
from thinkling.lm.model import Decoder
from thinkling.lm.presets import preset
from thinkling.lm.request import Request
from thinkling.nn.cpu_kernels import cpu_kernels
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype

_FIRST_ORDINARY = 8
"""Ids below are special tokens."""


def bench_generation(
    preset_name: str = "5m",
    *,
    sequences: int = 64,
    prompt_tokens: int = 32,
    new_tokens: int = 64,
    repeats: int = 3,
    device: str = "auto",
    compute_dtype: ComputeDtype = "auto",
    transformers_dtype: ComputeDtype = "float32",
    kernels: Literal["auto", "on", "off"] = "auto",
) -> dict[str, Any]:
    """New tokens a second of the engine and of Transformers, alternating in one process, greedy, random weights.

    Args:
        preset_name: size of the model.
        sequences: how many at once.
        prompt_tokens: length of each prompt.
        new_tokens: tokens that each sequence gets.
        repeats: rounds; the best time of each side counts.
        device: auto, cpu, cuda or mps.
        compute_dtype: of the engine.
        transformers_dtype: of Transformers; as stored, which is float32, unless it is told otherwise.
        kernels: whether the engine uses those of `--compile`, compiled before the clock starts; auto: where it can.

    Raises:
        InputError: an unknown preset, Transformers is not installed, a count below 1, or no kernels to be compiled.
    """
    for name, count in (
        ("sequences", sequences),
        ("prompt_tokens", prompt_tokens),
        ("new_tokens", new_tokens),
    ):
        if count < 1:
            raise InputError(f"{name} {count}", "1 or more", "give a larger number")
    started = time.perf_counter()
    place = pick_device(device)
    dtype = resolve_dtype(compute_dtype, place)
    config = preset(preset_name)
    generator = torch.Generator().manual_seed(0)
    model = Decoder(config, generator).to(place).eval()
    model.compute_dtype = dtype
    other = _transformers_model(model, resolve_dtype(transformers_dtype, place))
    prompts = torch.randint(
        _FIRST_ORDINARY, config.vocab_size, (sequences, prompt_tokens), generator=generator
    )
    tokenizer = ChatTokenizer.train([], _FIRST_ORDINARY + 256)
    compiled = kernels == "on" or (kernels == "auto" and _can_compile(place, dtype))
    engine = GenerationEngine(model, tokenizer, slots=sequences, compile=compiled)
    requests = [Request(prompt=row, max_tokens=new_tokens, ignore_eos=True) for row in prompts.tolist()]

    def ours() -> list[list[int]]:
        return [completion.tokens for completion in engine.run(requests)]

    def theirs() -> list[list[int]]:
        with torch.inference_mode():
            out = other.generate(
                prompts.to(place),
                attention_mask=torch.ones_like(prompts).to(place),
                do_sample=False,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
            )
        rows: list[list[int]] = out[:, prompt_tokens:].tolist()
        return rows

    best: dict[str, float] = {}
    said: dict[str, list[list[int]]] = {}
    for _ in range(repeats + 1):  # the first round warms up, and counts only if it was the fastest
        for name, run in (("ours", ours), ("theirs", theirs)):
            begun = time.perf_counter()
            said[name] = run()
            taken = time.perf_counter() - begun
            best[name] = min(taken, best.get(name, taken))
    pairs = [
        mine == other_one
        for left, right in zip(said["ours"], said["theirs"], strict=True)
        for mine, other_one in zip(left, right, strict=True)
    ]
    tokens = sequences * new_tokens
    return {
        "preset": preset_name,
        "params": model.params,
        "sequences": sequences,
        "prompt_tokens": prompt_tokens,
        "new_tokens": new_tokens,
        "dtype": str(dtype).removeprefix("torch."),
        "compiled": compiled,
        "transformers_dtype": str(other.dtype).removeprefix("torch."),
        "tokens_per_second": round(tokens / best["ours"], 1),
        "transformers_tokens_per_second": round(tokens / best["theirs"], 1),
        "speedup": round(best["theirs"] / best["ours"], 3),
        "same_tokens": round(sum(pairs) / len(pairs), 4),
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _can_compile(device: torch.device, dtype: torch.dtype) -> bool:
    try:
        cpu_kernels(device, dtype)
    except InputError:
        return False
    return True


def _transformers_model(model: Decoder, dtype: torch.dtype) -> Any:
    """The same network in Transformers."""
    try:
        from transformers import Qwen3Config, Qwen3ForCausalLM
    except ImportError:
        raise InputError(
            "no package 'transformers'", "transformers 5 or later", "pip install transformers"
        ) from None
    settings = {
        key: value
        for key, value in hf_config(model.config).items()
        if key not in ("architectures", "model_type")
    }
    other: Any = Qwen3ForCausalLM(Qwen3Config(**settings))
    weights = model.state_dict()
    other.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    return other.to(device=model.device, dtype=dtype).eval()
