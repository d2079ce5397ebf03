"""How likely a model finds given tokens, with gradient, without ever holding the scores of all tokens at once.

Shapes: N rows, S tokens of a row, A tokens that are asked for, D width, V vocabulary, C asked tokens of one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from thinkling.lm.model import Decoder
from thinkling.nn.casting import weights_cast_once

_LEAST_TOKENS = 256
"""A product with fewer rows would wait for the weight."""
_SCORES_ON_CPU, _SCORES_ELSEWHERE = 1 << 20, 1 << 26
"""Scores of one chunk: on a CPU what its caches hold, on a GPU what keeps it busy."""
_READ_ON_CPU, _READ_ELSEWHERE = 2048, 1 << 16
"""Positions, padding included, that the model reads at once."""


def token_logprobs(
    model: Decoder,
    forward: Callable[..., Any],
    tokens: Tensor,
    asked: Tensor,
    *,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The log-probability of tokens given those before them in their row.

    Rows of about the same length are read together and cut where nothing more is asked for. The output layer sees
    only what is asked for, in chunks, and computes their scores again in the backward pass.

    Args:
        model: whose output layer is used.
        forward: the model, or its wrapper that shares gradients between ranks.
        tokens: [N, S] each row a prompt, a completion and padding, which may be any token.
        asked: [N, S - 1] bool; place t stands for token t + 1.
        temperature: above 0; scores are divided by it, as in sampling.

    Returns:
        [N, S - 1] log-probabilities with gradient and [N, S - 1] entropies in nats of the distributions, without;
        both in fp32, and 0 where nothing is asked for.
    """
    assert asked.shape == (tokens.shape[0], tokens.shape[1] - 1), "one answer for each token but the first"
    with weights_cast_once(model, model.compute_dtype):
        places, read = [], []
        for rows, length in _groups(asked):
            hidden = forward(tokens[rows, :length])
            row, place = torch.nonzero(asked[rows, :length], as_tuple=True)
            read.append(hidden[row, place])
            places.append((rows[row], place))
        if not read:
            # Still part of the graph, so that every rank has a gradient to share.
            nothing = forward(tokens[:1, :1]).float().sum() * 0
            return nothing.expand(asked.shape), torch.zeros(asked.shape, device=tokens.device)
        row, place = (torch.cat(part) for part in zip(*places, strict=True))
        logprobs, entropies = _LinearLogProbs.apply(  # type: ignore[no-untyped-call]  # torch
            torch.cat(read), model.model.embed_tokens.weight, tokens[row, place + 1], temperature
        )
    spread = torch.zeros(asked.shape, device=tokens.device)
    return spread.index_put((row, place), logprobs), spread.index_put((row, place), entropies)


def _groups(asked: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Rows to read together, and up to which length: as few positions as possible, and not too many at once.

    Args:
        asked: [N, S - 1] bool.

    Yields:
        Numbers of some rows, and the place of the last thing that any of them is asked, plus 1.
    """
    places = torch.arange(1, asked.shape[1] + 1, device=asked.device)
    lengths, order = (asked * places).amax(-1).sort(stable=True)
    at_once = _READ_ON_CPU if asked.device.type == "cpu" else _READ_ELSEWHERE
    group: list[int] = []
    for number, length in enumerate(lengths.tolist()):
        if not length:
            continue
        if group and length * (len(group) + 1) > at_once:
            yield order[group], int(lengths[group[-1]])
            group = []
        group.append(number)
    if group:
        yield order[group], int(lengths[group[-1]])


class _LinearLogProbs(torch.autograd.Function):
    """Logarithm of the softmax of `hidden @ weight.T / temperature` at given tokens, and its entropy.

    [A, D], [V, D], [A], temperature -> [A], [A].
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, denominators = (
            torch.empty(len(hidden), dtype=torch.float32, device=hidden.device) for _ in range(3)
        )
        cast = weight.to(hidden.dtype)
        for chunk in _chunks(len(hidden), weight):
            scores = (hidden[chunk] @ cast.t()).float()
            # The highest first becomes 0, as in sampling.
            largest = scores.amax(-1, keepdim=True)
            scores.sub_(largest).div_(temperature)
            picked = scores.gather(-1, targets[chunk].unsqueeze(-1))
            chances = scores.exp()
            sums = chances.sum(-1, keepdim=True)
            log_sums = sums.log()
            logprobs[chunk] = (picked - log_sums).squeeze(-1)
            # - sum p log p = log Z - sum p s
            entropies[chunk] = (log_sums - chances.mul_(scores).sum(-1, keepdim=True) / sums).squeeze(-1)
            denominators[chunk] = (largest / temperature + log_sums).squeeze(-1)
        ctx.save_for_backward(hidden, weight, targets, denominators)
        ctx.temperature = temperature
        ctx.mark_non_differentiable(entropies)
        return logprobs, entropies

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """d logprob / d score = (one-hot of the token - softmax) / temperature."""
        hidden, weight, targets, denominators = ctx.saved_tensors
        to_hidden = torch.empty_like(hidden)
        to_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        cast = weight.to(hidden.dtype)
        for chunk in _chunks(len(hidden), weight):
            rows, factor = hidden[chunk], slope[chunk].unsqueeze(-1) / ctx.temperature
            slopes = (rows @ cast.t()).float().div_(ctx.temperature)
            slopes.sub_(denominators[chunk].unsqueeze(-1)).exp_().mul_(-factor)
            slopes.scatter_add_(-1, targets[chunk].unsqueeze(-1), factor)
            slopes = slopes.to(hidden.dtype)
            to_hidden[chunk] = slopes @ cast
            if hidden.dtype == torch.float32:
                to_weight.addmm_(slopes.t(), rows)
            else:
                to_weight += slopes.t() @ rows
        return to_hidden, to_weight.to(weight.dtype), None, None


def _chunks(asked: int, weight: Tensor) -> Iterator[slice]:
    """Which tokens to work on at a time."""
    scores = _SCORES_ON_CPU if weight.device.type == "cpu" else _SCORES_ELSEWHERE
    size = max(_LEAST_TOKENS, scores // len(weight))
    for start in range(0, asked, size):
        yield slice(start, min(start + size, asked))
