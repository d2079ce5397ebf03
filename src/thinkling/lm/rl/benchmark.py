"""How fast reinforcement learning is, beside TRL's `GRPOTrainer` with the same model, group and lengths.

Both answer the same prompts with the same weights, judge with the same function, measure the divergence from a
reference and make one update with AdamW; a random model never ends by itself, so that all completions are equally long.
It measures wall-clock time: run it on a machine that does nothing else.

Shapes: P prompts, G completions of a prompt.
"""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from thinkling.artifacts.provenance import hardware
from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.errors import InputError
from thinkling.lm.model import Decoder
from thinkling.lm.presets import preset
from thinkling.lm.rl.config import GrpoConfig
from thinkling.lm.rl.objective import GrpoObjective
from thinkling.lm.rl.policy_engine import PolicyEngine
from thinkling.lm.rl.prompts import Prompt, SeededPrompts
from thinkling.lm.rl.recipe import GrpoRecipe
from thinkling.lm.training_benchmark import transformers_model
from thinkling.nn.cpu_memory import keep_freed_memory
from thinkling.nn.precision import ComputeDtype, pick_device, resolve_dtype
from thinkling.tasks.reward import RewardProblem
from thinkling.training.update import Update

_FIRST_ORDINARY = 8
"""Ids below are special tokens."""
_STEPS, _WARM_UP = 3, 1


def bench_grpo(
    size: str = "1m",
    *,
    prompts: int = 16,
    group_size: int = 8,
    prompt_tokens: int = 16,
    new_tokens: int = 64,
    rounds: int = 3,
    kl_beta: float = 0.01,
    compute_dtype: ComputeDtype = "auto",
    device: str = "auto",
    compile: bool = False,
    ours_only: bool = False,
) -> dict[str, Any]:
    """Steps a minute, each a rollout and an update: ours, TRL's, and their ratio.

    Args:
        size: a preset of the language model; its weights are random.
        prompts: P.
        group_size: G.
        prompt_tokens: length of each prompt.
        new_tokens: length of each completion.
        rounds: how often they take turns, since machines change their speed; of two steps and one of warm-up in each
            round the fastest one of all counts.
        kl_beta: weight of the divergence; above 0 both read everything with a reference too.
        compute_dtype: of the matrix products of both; auto: what training takes on this machine. In bfloat16, its own
            default, TRL's trainer runs under autocast.
        device: auto, cpu, cuda or mps.
        compile: let kernels compiled on this machine write our completions.
        ours_only: leave TRL out.

    Raises:
        InputError: an unknown preset, a count below 1 or beyond the context, or TRL is not installed.
    """
    config = preset(size)
    counts = (prompts, prompt_tokens, new_tokens, rounds)
    if min(counts) < 1 or prompt_tokens + new_tokens > config.max_length:
        raise InputError(
            f"{prompts} prompts, {prompt_tokens} and {new_tokens} tokens, {rounds} rounds",
            f"1 or more each, and {config.max_length} tokens together",
            "give other numbers",
        )
    grpo = GrpoConfig(
        group_size=group_size,
        prompts_per_step=prompts,
        max_tokens=new_tokens,
        dynamic_sampling=False,
        kl_beta=kl_beta,
    )
    if not ours_only:
        _trl()
    started = time.perf_counter()
    keep_freed_memory()
    place = pick_device(device)
    dtype: ComputeDtype = "bfloat16" if resolve_dtype(compute_dtype, place) == torch.bfloat16 else "float32"
    network = Decoder(config, torch.Generator().manual_seed(0)).to(place)
    # A byte a token, so that a text of so many letters is a prompt of so many tokens on either side.
    tokenizer = ChatTokenizer.train([], _FIRST_ORDINARY + 256)
    texts = [chr(97 + number % 26) * prompt_tokens for number in range(prompts)]
    loops: dict[str, Callable[[int], list[float]]] = {}
    if not ours_only:
        theirs = transformers_model(network)
        loops["trl"] = lambda count: _their_seconds(theirs, tokenizer, texts, grpo, dtype, count)
    recipe = GrpoRecipe(grpo=grpo, compile=compile)
    loops["thinkling"] = lambda count: _our_seconds(network, tokenizer, texts, recipe, dtype, count)
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, loop in loops.items():
            taken[name] += loop(_STEPS)[_WARM_UP:]
    # The best of each: whatever else the machine does only adds to a step.
    best = {name: min(seconds) for name, seconds in taken.items()}
    told = {
        "size": size,
        "params": network.params,
        "prompts": prompts,
        "group_size": group_size,
        "prompt_tokens": prompt_tokens,
        "new_tokens": new_tokens,
        "kl_beta": kl_beta,
        "dtype": dtype,
        "compiled": compile,
        "steps_per_minute": round(60 / best["thinkling"], 2),
        "trl_steps_per_minute": None if ours_only else round(60 / best["trl"], 2),
        "ratio": None if ours_only else round(best["trl"] / best["thinkling"], 2),
        "hardware": hardware(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    return told


def _reward(text: str) -> float:
    """Something that differs inside a group."""
    return float(len(text) % 2)


def _our_seconds(
    network: Decoder,
    tokenizer: ChatTokenizer,
    texts: list[str],
    recipe: GrpoRecipe,
    dtype: ComputeDtype,
    steps: int,
) -> list[float]:
    """What each step takes."""
    grpo = recipe.grpo
    reference = Decoder(network.config).to(network.device)
    reference.load_state_dict(network.state_dict())
    made = [
        Prompt(number=number, tokens=tuple(tokenizer.encode(text)), problem=RewardProblem(text=text))
        for number, text in enumerate(texts)
    ]
    objective = GrpoObjective(
        network,
        reference if grpo.kl_beta else None,
        tokenizer,
        SeededPrompts(made, 0),
        lambda problem, completion_text, reasoning, well_formed: _reward(completion_text),
        grpo,
        engine=PolicyEngine(network, tokenizer, slots=recipe.slots, compile=recipe.compile, ignore_eos=True),
        validate=dict,
        validation_metric="",
        longest=network.config.max_length,
        run=Path(),
        compute_dtype=dtype,
        guard_action="off",
    )
    update = Update(network, dataclasses.replace(recipe.train, warmup_steps=0, learning_rate=1e-6))
    network.train()
    state, taken = objective.fresh_state(), []
    for step in range(1, steps + 1):
        begun = time.perf_counter()
        update.clear()
        state, loss = objective.loss(network, state, step)
        (loss.total / loss.count).backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        update.gradient_norm()
        update.apply(step, 0.0)
        taken.append(time.perf_counter() - begun)
        assert int(loss.count) == len(state.rollout.lengths) * grpo.max_tokens, "all are equally long"
    return taken


def _their_seconds(
    model: Any, tokenizer: ChatTokenizer, texts: list[str], grpo: GrpoConfig, dtype: ComputeDtype, steps: int
) -> list[float]:
    """What each step takes in TRL's trainer."""
    trl, datasets = _trl()
    from transformers import PreTrainedTokenizerFast, TrainerCallback

    taken: list[float] = []

    class Clock(TrainerCallback):
        """Notes when steps begin and end."""

        def on_step_begin(self, *args: Any, **named: Any) -> None:
            """A step begins."""
            self.begun = time.perf_counter()

        def on_step_end(self, *args: Any, **named: Any) -> None:
            """A step ends."""
            taken.append(time.perf_counter() - self.begun)

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)  # its reference is read from there
        path = Path(folder) / "tokenizer.json"
        tokenizer.save(path)
        cutter: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # Transformers'
            tokenizer_file=str(path), eos_token="<|im_end|>", pad_token="<pad>", padding_side="left"
        )
        settings = trl.GRPOConfig(
            output_dir=folder,
            model_init_kwargs={"dtype": "float32"},
            per_device_train_batch_size=grpo.prompts_per_step * grpo.group_size,
            num_generations=grpo.group_size,
            max_completion_length=grpo.max_tokens,
            temperature=grpo.temperature,
            # No end before the limit, as on our side.
            generation_kwargs={"min_new_tokens": grpo.max_tokens},
            beta=grpo.kl_beta,
            epsilon=grpo.clip_low,
            epsilon_high=grpo.clip_high,
            loss_type="dapo",
            scale_rewards="none",
            learning_rate=1e-6,
            max_steps=steps,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=steps + 1,
            gradient_checkpointing=False,
            bf16=dtype == "bfloat16",
            use_cpu=model.device.type == "cpu",
        )
        trl.GRPOTrainer(
            model=folder,
            reward_funcs=lambda completions, **_: [_reward(text) for text in completions],
            args=settings,
            train_dataset=datasets.Dataset.from_list([{"prompt": text} for text in texts]),
            processing_class=cutter,
            callbacks=[Clock()],
        ).train()
    return taken


def _trl() -> tuple[ModuleType, ModuleType]:
    """TRL, and the package its data comes in.

    Raises:
        InputError: one of them, or what they need, is not installed.
    """
    try:
        return importlib.import_module("trl"), importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(
            f"no module {error.name}", "the packages trl and datasets", "pip install trl"
        ) from None
