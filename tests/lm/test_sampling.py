"""Choosing tokens: every filter against Transformers' own, draws against the probabilities they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thinkling.errors import InputError
from thinkling.lm.sampling import Sampler, SamplingConfig, uniforms


def choose(logits: torch.Tensor, *configs: SamplingConfig, step: int = 0, samples: list[int] | None = None):
    sampler = Sampler(configs, samples or list(range(len(configs))))
    return sampler.choose(logits, [step] * len(configs), [None] * len(configs))


def reached(logits: torch.Tensor, config: SamplingConfig, draws: int = 3000) -> torch.Tensor:
    """How often each token is drawn."""
    rows = logits.expand(draws, -1)
    tokens, _ = choose(rows, *[config] * draws)
    return torch.bincount(tokens, minlength=logits.shape[-1]) / draws


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return torch.randn(1, 300, generator=torch.Generator().manual_seed(0)) * 3


def test_greedy_takes_the_likeliest_and_tells_its_probability(logits: torch.Tensor) -> None:
    tokens, logprobs = choose(logits, SamplingConfig())
    assert tokens.tolist() == [int(logits.argmax())]
    assert logprobs[0] == pytest.approx(float(torch.log_softmax(logits, -1).max()), abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.1},
        {"top_k": 20, "top_p": 0.8},
        {"top_k": 40, "top_p": 0.9, "min_p": 0.05},
        {"top_p": 0.9999},
    ],
)
@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.6])
def test_draws_follow_what_transformers_leaves_over(
    logits: torch.Tensor, settings: dict[str, float], temperature: float
) -> None:
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    expected = TemperatureLogitsWarper(temperature)(None, logits.clone())
    if "top_k" in settings:
        expected = TopKLogitsWarper(settings["top_k"])(None, expected)
    if "top_p" in settings:
        expected = TopPLogitsWarper(settings["top_p"])(None, expected)
    if "min_p" in settings:
        expected = MinPLogitsWarper(settings["min_p"])(None, expected)
    chances = torch.softmax(expected, -1)[0]
    shares = reached(logits, SamplingConfig(temperature=temperature, **settings))
    assert not shares[chances == 0].any(), "a token that the filters take away is never drawn"
    assert (shares - chances).abs().max() < 0.04


def test_repetition_penalty_is_that_of_transformers(logits: torch.Tensor) -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    seen = torch.zeros(300, dtype=torch.bool)
    seen[[3, 7, int(logits.argmax())]] = True
    expected = RepetitionPenaltyLogitsProcessor(1.8)(seen.nonzero().T, logits.clone())
    sampler = Sampler([SamplingConfig(repetition_penalty=1.8), SamplingConfig()], [0, 0])
    tokens, logprobs = sampler.choose(logits.expand(2, -1), [0, 0], [seen, None])
    assert tokens.tolist() == [int(expected.argmax()), int(logits.argmax())]
    assert logprobs[0] == pytest.approx(float(torch.log_softmax(logits, -1)[0, tokens[0]]), abs=1e-5)


def test_rows_are_independent(logits: torch.Tensor) -> None:
    configs = [
        SamplingConfig(),
        SamplingConfig(temperature=1.0, seed=5),
        SamplingConfig(temperature=0.8, top_p=0.9, seed=5),
        SamplingConfig(temperature=1.5, top_k=3, seed=9),
    ]
    rows = logits.expand(4, -1) + torch.arange(4)[:, None]
    together, _ = choose(rows, *configs, samples=[4, 5, 6, 7], step=3)
    alone = [choose(rows[n : n + 1], configs[n], samples=[4 + n], step=3)[0].item() for n in range(4)]
    assert together.tolist() == alone


def test_log_probabilities_are_those_at_the_temperature(logits: torch.Tensor) -> None:
    tokens, logprobs = choose(logits, SamplingConfig(temperature=0.5, top_k=4))
    assert logprobs[0] == pytest.approx(float(torch.log_softmax(logits / 0.5, -1)[0, tokens[0]]), abs=1e-5)


def test_a_forced_token_takes_the_place_of_the_chosen(logits: torch.Tensor) -> None:
    tokens, logprobs = Sampler([SamplingConfig()], [0]).choose(logits, [0], [None], {0: 11})
    assert tokens.tolist() == [11]
    assert logprobs[0] == pytest.approx(float(torch.log_softmax(logits, -1)[0, 11]), abs=1e-5)


def test_a_tiny_temperature_is_greedy_and_finite(logits: torch.Tensor) -> None:
    tokens, logprobs = choose(logits, SamplingConfig(temperature=1e-30))
    assert tokens.tolist() == [int(logits.argmax())]
    assert torch.isfinite(logprobs).all()


def test_uniforms_are_uniform_and_differ() -> None:
    count = 20_000
    each = np.arange(count, dtype=np.uint64)
    nothing = np.zeros(count, dtype=np.uint64)
    for drawn in (
        uniforms(each, nothing, nothing),
        uniforms(nothing, each, nothing),
        uniforms(nothing, nothing, each),
    ):
        assert drawn.min() >= 0
        assert drawn.max() < 1
        assert len(np.unique(drawn)) == count
        assert np.abs(np.histogram(drawn, 10, (0, 1))[0] / count - 0.1).max() < 0.01
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03
    assert Sampler([SamplingConfig(temperature=1.0, seed=-1)], [0]), "any whole number is a seed"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": -0.5}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=named):
        SamplingConfig(**settings)
