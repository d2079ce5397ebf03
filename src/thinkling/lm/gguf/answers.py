"""Whether llama.cpp answers questions as our engine does, token for token."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thinkling.lm.engine import GenerationEngine
from thinkling.lm.gguf.llama_runtime import LlamaCpp
from thinkling.lm.gguf.verify import threads
from thinkling.lm.language_model import LanguageModel
from thinkling.lm.request import Request


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Answers of our engine and of llama.cpp to the same prompts, always taking the likeliest token."""

    n: int
    """Prompts."""
    same_answers: float
    """Share of them with the same answer."""
    same_tokens: float
    """Share of them with the same tokens from the first to the last, reasoning included."""
    answers: tuple[str, ...]
    """What llama.cpp answers, without its reasoning."""
    tokens_per_second: float
    """New tokens a second in llama.cpp, one sequence at a time."""


def answers_agree(
    path: Path, model: LanguageModel, prompts: Sequence[list[int]], max_tokens: int
) -> Agreement:
    """Answer prompts in both, our engine with the weights rounded as they are in a bf16 file.

    Args:
        path: the bf16 GGUF file of the model.
        model: the model, in fp32.
        prompts: tokens of each prompt; not longer than the context less `max_tokens`.
        max_tokens: most new tokens.

    Raises:
        InputError: llama-cpp-python is missing.
        ThinklingError: llama.cpp cannot read the file.
    """
    ours = [done.tokens for done in _rounded(model).run([_request(each, max_tokens) for each in prompts])]
    context = max(map(len, prompts)) + max_tokens
    start = time.perf_counter()
    with LlamaCpp(path, context, threads(model.architecture)) as llama:
        theirs = [llama.greedy(prompt, max_tokens) for prompt in prompts]
    seconds = time.perf_counter() - start
    answers = tuple(_answer(model, tokens) for tokens in theirs)
    same = [answer == _answer(model, tokens) for answer, tokens in zip(answers, ours, strict=True)]
    return Agreement(
        n=len(prompts),
        same_answers=sum(same) / len(same),
        same_tokens=sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(same),
        answers=answers,
        tokens_per_second=sum(map(len, theirs)) / seconds,
    )


def _request(prompt: list[int], max_tokens: int) -> Request:
    return Request(prompt=prompt, max_tokens=max_tokens)


def _rounded(model: LanguageModel) -> GenerationEngine:
    """An engine with weights rounded to bf16 that computes in fp32."""
    network = type(model.network)(model.architecture)
    network.load_state_dict(
        {
            name: weight.bfloat16().float() if weight.ndim > 1 else weight
            for name, weight in model.network.state_dict().items()
        }
    )
    network.eval()
    return GenerationEngine(network, model.tokenizer)


def _answer(model: LanguageModel, tokens: list[int]) -> str:
    """What stands behind the reasoning."""
    end = model.tokenizer.end_think_id
    return model.tokenizer.decode(tokens[tokens.index(end) + 1 :] if end in tokens else tokens).strip()
