"""Whether llama.cpp computes from a GGUF file what our decoder computes from the same numbers.

Shapes: S positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from thinkling.data.chat_tokenizer import ChatTokenizer
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf.fields import StoredType
from thinkling.lm.gguf.llama_runtime import LlamaCpp
from thinkling.lm.gguf.reference import AsStored
from thinkling.lm.gguf.samples import conversations, strings

TOLERANCES: Mapping[StoredType, float] = {
    "f32": 1e-3,
    "bf16": 1e-2,
    "f16": 1e-2,
    "q8_0": 5e-2,
    "q4_k_m": 5e-2,
    "q4_0": 5e-2,
}
"""Root mean square of the differences of logits that still counts as equal.

With unrounded weights what differs is the order of additions alone. With others it now and then rounds an activation to
the neighbour of what ours is rounded to, and llama.cpp is as far from itself when it reads a text token by token."""
LARGEST = 4.0
"""How many times as far a single logit may be off."""
LARGE = 5.0
"""Logits beyond this size may differ by their share more: rounding is relative."""
GREEDY = 64
"""Tokens that must be the same when each is the likeliest one."""
CONTEXT = 512
"""Longest sequence that is compared."""
_POSITIONS = 256
_SHOWN_STRINGS = 3
_WIDE = 1024

Logits = Callable[[list[int]], Tensor]
"""Token ids of a sequence to scores of the next token at each position, [S, V] in fp32."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was compared, and how it came out."""

    kind: StoredType
    """The type of the file."""
    max_abs_diff: float
    """Largest difference of a logit between llama.cpp and our decoder with the numbers of the file."""
    tolerance: float
    """What is allowed for it."""
    rms_diff: float
    """Root mean square of the differences, of which a `LARGEST`-th of the tolerance is allowed."""
    strings: int
    """Strings whose tokens were compared."""
    greedy_tokens: int
    """Tokens compared where llama.cpp went on with the likeliest one."""
    greedy_ties: int
    """Those of them where ours is another one, whose logit is no further away than two such differences."""
    faults: tuple[str, ...]
    """What differs, in words; empty where nothing does."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """How well texts were predicted."""

    perplexity: float
    """Exponential of the mean loss of a token."""
    likeliest: Tensor
    """The likeliest token at each position of all texts."""


def compare(
    path: Path,
    kind: StoredType,
    config: DecoderConfig,
    weights: Mapping[str, Tensor],
    tokenizer: ChatTokenizer,
    *,
    prompts: Sequence[list[int]],
    texts: Sequence[list[int]],
    cut: bool = True,
) -> Comparison:
    """Load a file in llama.cpp and compare weights, tokens, logits and greedy continuations.

    Args:
        path: the file.
        kind: its type.
        config: the sizes of our decoder.
        weights: the run's own, by our names.
        tokenizer: the run's own.
        prompts: tokens to go on from; taken one after another until `GREEDY` tokens were compared.
        texts: tokens of texts.
        cut: whether to compare how strings are cut into tokens too.

    Raises:
        InputError: a package is missing.
        ThinklingError: llama.cpp cannot read the file, or its tensors are not those of the model.
    """
    ours = AsStored(path, config)
    context = context_of(config)
    faults = ours.far_from(weights)
    with LlamaCpp(path, context, threads(config)) as llama:
        others, count = _cut_differently(llama, tokenizer) if cut else ([], 0)
        faults += others
        largest, differences = 0.0, []
        for ids in _sequences(texts, config, context):
            mine = ours.logits(ids)
            largest = max(largest, float(mine.abs().max()))
            differences.append((mine - torch.from_numpy(llama.logits(ids))).abs().flatten())
        difference, mean = _largest_and_mean(torch.cat(differences))
        usual = TOLERANCES[kind] * max(1.0, largest / LARGE)
        if not (difference <= LARGEST * usual and mean <= usual):
            faults.append(
                f"logits of the {kind} file differ by {difference:.3g}, or {mean:.3g} in root mean square; "
                f"allowed: {LARGEST * usual:.3g} and {usual:.3g}"
            )
        tokens, ties, others = _greedy(llama, ours.logits, prompts, context, 2 * difference)
        faults += others
        if llama.end_of_answer != tokenizer.im_end_id:
            faults.append(f"an answer ends at token {llama.end_of_answer}, not at {tokenizer.im_end_id}")
        faults += [
            f"llama.cpp does not end an answer at {tokenizer.decode([stop], special=True)}"
            for stop in tokenizer.stop_ids
            if not llama.ends(stop)
        ]
    return Comparison(
        kind=kind,
        max_abs_diff=difference,
        tolerance=LARGEST * usual,
        rms_diff=mean,
        strings=count,
        greedy_tokens=tokens,
        greedy_ties=ties,
        faults=tuple(faults),
    )


def predicted_by(path: Path, config: DecoderConfig, texts: Sequence[list[int]]) -> Prediction:
    """How well llama.cpp predicts texts with a file."""
    with LlamaCpp(path, context_of(config), threads(config)) as llama:
        return predicted(lambda ids: torch.from_numpy(llama.logits(ids)), config, texts)


def predicted(logits: Logits, config: DecoderConfig, texts: Sequence[list[int]]) -> Prediction:
    """How well texts are predicted, each on its own and as far as `CONTEXT` reaches.

    Args:
        logits: what predicts.
        config: the sizes of the model.
        texts: their tokens, from the first one on; two or more in one of them at least.
    """
    losses, likeliest = [], []
    for text in texts:
        ids = text[: context_of(config)]
        if len(ids) > 1:
            scores = logits(ids)[:-1]
            losses.append(F.cross_entropy(scores, torch.tensor(ids[1:]), reduction="none"))
            likeliest.append(scores.argmax(-1))
    mean = torch.cat(losses).double().mean()
    return Prediction(perplexity=float(mean.exp()), likeliest=torch.cat(likeliest))


def context_of(config: DecoderConfig) -> int:
    """Positions that are compared at once."""
    return min(CONTEXT, config.max_length)


def threads(config: DecoderConfig) -> int:
    """For a small model one: its threads would wait for each other most of the time, and for ever on a busy machine."""
    return 1 if config.hidden_size < _WIDE else torch.get_num_threads()


def _cut_differently(llama: LlamaCpp, tokenizer: ChatTokenizer) -> tuple[list[str], int]:
    """Faults, and the number of strings."""
    plain, marked = list(strings()), list(conversations())
    pairs = list(zip(plain, tokenizer.encode_batch(plain), [False] * len(plain), strict=True))
    pairs += [(text, tokenizer.encode(text, special=True), True) for text in marked]
    wrong = [text for text, ids, special in pairs if llama.tokens(text, special=special) != ids]
    shown = ", ".join(ascii(text[:40]) for text in wrong[:_SHOWN_STRINGS])
    fault = f"{len(wrong)} of {len(pairs)} strings are cut into other tokens, such as {shown}"
    return [fault] if wrong else [], len(pairs)


def _sequences(texts: Sequence[list[int]], config: DecoderConfig, context: int) -> list[list[int]]:
    """Random tokens, and texts of so many positions together as are enough."""
    generator = torch.Generator().manual_seed(0)
    length = min(context, _POSITIONS // 2)
    chosen = [torch.randint(0, config.vocab_size, (length,), generator=generator).tolist()]
    positions = 0
    for text in texts:
        if positions >= _POSITIONS:
            break
        chosen.append(text[: min(context, _POSITIONS)])
        positions += len(chosen[-1])
    return chosen


def _greedy(
    llama: LlamaCpp, ours: Logits, prompts: Sequence[list[int]], context: int, tie: float
) -> tuple[int, int, list[str]]:
    """Tokens compared, ties among them, and faults."""
    compared, ties, faults = 0, 0, list[str]()
    for prompt in prompts:
        if compared >= GREEDY:
            break
        start = prompt[: max(1, context - GREEDY)]
        going_on = _continuation(llama, start, min(GREEDY - compared, context - len(start)))
        compared += len(going_on)
        scores = ours(start + going_on)[len(start) - 1 : -1]
        for place, token in enumerate(going_on):
            best = int(scores[place].argmax())
            if token == best:
                continue
            behind = float(scores[place, best] - scores[place, token])
            if behind <= tie:
                ties += 1
            else:
                faults.append(f"greedy token {place + 1} is {token} in llama.cpp and {best} here")
                break
    if compared < GREEDY:
        faults.append(f"only {compared} of {GREEDY} greedy tokens could be compared")
    return compared, ties, faults


def _continuation(llama: LlamaCpp, prompt: list[int], most: int) -> list[int]:
    """The likeliest tokens one after another, up to one that ends the answer."""
    found: list[int] = []
    scores = llama.logits(prompt)
    while len(found) < most:
        found.append(int(scores[-1].argmax()))
        if llama.ends(found[-1]):
            break
        if len(found) < most:
            scores = llama.more_logits(found[-1:])
    return found


def _largest_and_mean(differences: Tensor) -> tuple[float, float]:
    """The largest one and the root mean square; infinite where one is no number, which would compare as no larger."""
    found = float(differences.max()), float(differences.double().square().mean().sqrt())
    return found if found[0] == found[0] else (float("inf"), float("inf"))


def first(texts: Sequence[list[int]], tokens: int) -> list[list[int]]:
    """So many texts from the beginning that they have this many tokens together, or all."""
    chosen: list[list[int]] = []
    for text in texts:
        chosen.append(text)
        tokens -= min(len(text), CONTEXT)
        if tokens <= 0:
            break
    return chosen
