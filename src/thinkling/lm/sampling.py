"""Which token follows: greedy, or drawn after temperature, top-k, top-p and min-p, for many sequences at once.

A draw depends on (seed, number of the sample, number of the token) only, so which sequences are worked on together
changes nothing.

Shapes: R rows (sequences), V vocabulary, C candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinkling.errors import InputError

_FIRST_CANDIDATES = 128
"""The likeliest tokens that are looked at before all of them are sorted."""
_DRAW_BITS = 48


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How the next token is chosen. The filters are applied in the order of the fields, as Transformers does it."""

    temperature: float = 0.0
    """Scores are divided by it; 0: always the likeliest token."""
    top_k: int = 0
    """Only so many likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Only the likeliest tokens that together reach this probability (Holtzman et al. 2020, arXiv 1904.09751)."""
    min_p: float = 0.0
    """Only tokens at least this share as likely as the likeliest one (Nguyen et al. 2024, arXiv 2407.01082)."""
    repetition_penalty: float = 1.0
    """Scores of tokens that occurred are divided by it where positive and multiplied where negative (Keskar et al.
    2019, arXiv 1909.05858); 1: no penalty."""
    seed: int = 0
    """Of the draws."""

    def __post_init__(self) -> None:
        """Refuses settings out of their range.

        Raises:
            InputError: naming the first one.
        """
        for name, allowed, fits in (
            ("temperature", "0 (greedy) or more", 0 <= self.temperature < math.inf),
            ("top_k", "0 (all tokens) or more", self.top_k >= 0),
            ("top_p", "above 0, up to 1", 0 < self.top_p <= 1),
            ("min_p", "0 up to 1", 0 <= self.min_p <= 1),
            ("repetition_penalty", "above 0 (1: no penalty)", 0 < self.repetition_penalty < math.inf),
        ):
            if not fits:
                raise InputError(f"{name} {getattr(self, name)}", allowed, f"give another {name}")

    @property
    def filtered(self) -> bool:
        """Whether some tokens are never drawn."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class Sampler:
    """Chooses the next token of each of R sequences by its own settings."""

    def __init__(
        self, configs: Sequence[SamplingConfig], samples: Sequence[int], device: torch.device | str = "cpu"
    ) -> None:
        """For a fixed set of rows.

        Args:
            configs: [R] settings.
            samples: [R] number of each row's sample, so that several answers to one prompt differ.
            device: where the scores will be.
        """

        def column(values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)[:, None]

        def rows(wanted: Sequence[bool]) -> Tensor:
            return torch.tensor([row for row, keep in enumerate(wanted) if keep], device=device)

        drawn = [config.temperature > 0 for config in configs]
        self._free = rows([draw and not c.filtered for c, draw in zip(configs, drawn, strict=True)])
        self._filtered = rows([draw and c.filtered for c, draw in zip(configs, drawn, strict=True)])
        self._penalised = [
            (row, config.repetition_penalty)
            for row, config in enumerate(configs)
            if config.repetition_penalty != 1
        ]
        # A greedy row's log-probability is that of the model itself.
        self._temperature = column([c.temperature or 1.0 for c in configs])
        self._tempered = any(c.temperature not in (0, 1) for c in configs)
        self._top_k = column([c.top_k or 2**31 for c in configs], torch.int64)
        self._top_p = column([c.top_p for c in configs])
        self._min_p = column([c.min_p for c in configs])
        self._seeds = np.array([c.seed & (2**64 - 1) for c in configs], dtype=np.uint64)
        self._samples = np.array(samples, dtype=np.uint64)

    def choose(
        self,
        logits: Tensor,
        steps: Sequence[int],
        seen: Sequence[Tensor | None],
        forced: Mapping[int, int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The next token of each row, and its log-probability.

        Args:
            logits: [R, V] scores in fp32.
            steps: [R] how many tokens each row has chosen before.
            seen: for a row with a repetition penalty the tokens that occurred, [V] bool.
            forced: the tokens of rows that have no choice.

        Returns:
            tokens [R] and log-probabilities [R] under the model at the row's temperature (1 where greedy), before
            penalty and filters.
        """
        scaled = scores = self._with_temperature(logits)
        logprobs = torch.log_softmax(scaled, -1)
        if self._penalised:
            scores = logits.clone()
            for row, penalty in self._penalised:
                before = seen[row]
                assert before is not None, "a row with a penalty comes with what occurred"
                scores[row] = torch.where(before, penalised(scores[row], penalty), scores[row])
            scores = self._with_temperature(scores)
        tokens = _likeliest(scores)
        if len(self._free) or len(self._filtered):
            draws = torch.from_numpy(uniforms(self._seeds, self._samples, np.array(steps, dtype=np.uint64)))
            draws = draws.to(logits.device)[:, None]
            if len(self._free):
                chances = torch.softmax(scores[self._free], -1)
                tokens[self._free] = _drawn(chances, draws[self._free])
            if len(self._filtered):
                tokens[self._filtered] = self._draw_filtered(scores[self._filtered], draws[self._filtered])
        for row, token in (forced or {}).items():
            tokens[row] = token
        return tokens, logprobs.gather(1, tokens[:, None])[:, 0]

    def _with_temperature(self, logits: Tensor) -> Tensor:
        if not self._tempered:
            return logits
        # The highest first becomes 0, so that a tiny temperature leads to minus infinity and never to infinity.
        return (logits - logits.amax(-1, keepdim=True)) / self._temperature

    def _draw_filtered(self, scores: Tensor, draws: Tensor) -> Tensor:
        rows = self._filtered
        top_k, top_p, min_p = self._top_k[rows], self._top_p[rows], self._min_p[rows]
        chances = torch.softmax(scores, -1)
        # Sorting a whole vocabulary takes longer than a small model's step, and the tail is hardly ever needed.
        for count in (min(_FIRST_CANDIDATES, scores.shape[1]), scores.shape[1]):
            best, ids = chances.topk(count, dim=-1)
            kept, enough = kept_candidates(best, top_k, top_p, min_p, whole=count == scores.shape[1])
            if enough:
                break
        place = _drawn(best * kept, draws)
        return ids.gather(1, place[:, None])[:, 0]


def kept_candidates(
    best: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor, *, whole: bool
) -> tuple[Tensor, bool]:
    """Which of the likeliest candidates may be drawn.

    Args:
        best: [R, C] probabilities, the highest first.
        top_k, top_p, min_p: [R, 1] settings.
        whole: whether the candidates are all tokens.

    Returns:
        [R, C] bool, and whether no token beyond the candidates could be kept.
    """
    ranked = torch.arange(best.shape[1], device=best.device) < top_k
    # After top-k the rest is seen as 1, as Transformers renormalises between its filters.
    rest = torch.where(top_k < best.shape[1], (best * ranked).sum(-1, keepdim=True), torch.ones_like(top_p))
    before = best.cumsum(-1) - best
    kept = ranked & (before < top_p * rest) & (best >= min_p * best[:, :1])
    kept[:, 0] = True
    return kept, whole or not bool(kept[:, -1].any())


def penalised(scores: Tensor, penalty: float) -> Tensor:
    """Scores made less likely by a repetition penalty."""
    return torch.where(scores > 0, scores / penalty, scores * penalty)


def uniforms(
    seeds: NDArray[np.uint64], samples: NDArray[np.uint64], steps: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """A number in [0, 1) for each (seed, sample, step), the same on every machine and in every batch.

    SplitMix64's finaliser (Steele et al. 2014) over the three, one after the other.
    """
    mixed = np.zeros(len(seeds), dtype=np.uint64)
    for part in (seeds, samples, steps):
        mixed = mixed + part + np.uint64(0x9E3779B97F4A7C15)  # arrays of integers wrap around, as is meant
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(64 - _DRAW_BITS)) / 2.0**_DRAW_BITS


def _likeliest(scores: Tensor) -> Tensor:
    """The place of the highest score of each row, the first of equal ones. [R, V] -> [R]."""
    if (
        scores.device.type == "cpu"
    ):  # numpy's search uses vector instructions, PyTorch's takes four times as long
        return torch.from_numpy(scores.detach().numpy().argmax(-1))
    return scores.argmax(-1)


def _drawn(chances: Tensor, draws: Tensor) -> Tensor:
    """The place where the summed chances [R, C] pass the drawn share [R, 1] of their total. [R]."""
    summed = chances.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(summed, draws * summed[:, -1:], right=True)[:, 0]
