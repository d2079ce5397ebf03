"""Log-probabilities in chunks: equal to the dense ones and to the sampler's, and in little memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_decoder import small_decoder, small_tokenizer

from thinkling.lm.engine import GenerationEngine
from thinkling.lm.model import Decoder
from thinkling.lm.request import Request
from thinkling.lm.rl import token_logprobs as module
from thinkling.lm.rl.token_logprobs import token_logprobs
from thinkling.lm.sampling import SamplingConfig

VOCABULARY = 50


@pytest.fixture
def model() -> Decoder:
    return small_decoder(VOCABULARY)


@pytest.fixture(params=[False, True], ids=["whole", "in-chunks"])
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Once as it is, with everything in one chunk, and once in many, the last ones not full."""
    if request.param:
        monkeypatch.setattr(module, "_LEAST_TOKENS", 7)
        monkeypatch.setattr(module, "_SCORES_ON_CPU", 7 * VOCABULARY)
        monkeypatch.setattr(module, "_READ_ON_CPU", 40)
    return request.param


def example(rows: int = 9, length: int = 24) -> tuple[Tensor, Tensor]:
    """Rows with prompts and completions of different lengths, and one that is asked nothing."""
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(VOCABULARY, (rows, length), generator=generator)
    prompts = torch.randint(1, 8, (rows, 1), generator=generator)
    ends = torch.randint(8, length + 1, (rows, 1), generator=generator)
    ends[2], ends[5] = length, 0
    places = torch.arange(1, length)
    return tokens, (places >= prompts) & (places < ends)


def dense(model: Decoder, tokens: Tensor, asked: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    every = torch.log_softmax(model.logits(model(tokens[:, :-1])).float() / temperature, -1)
    picked = every.gather(-1, tokens[:, 1:, None]).squeeze(-1)
    return torch.where(asked, picked, 0), torch.where(asked, -(every.exp() * every).sum(-1), 0).detach()


def gradients(model: Decoder, logprobs: Tensor) -> dict[str, Tensor]:
    """Of a sum in which each token has a weight of its own."""
    weights = torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(1))
    model.zero_grad()
    (weights * logprobs).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.5])
def test_equal_to_the_dense_ones(model, chunked, temperature):
    tokens, asked = example()
    logprobs, entropies = token_logprobs(model, model, tokens, asked, temperature=temperature)
    wanted, wanted_entropies = dense(model, tokens, asked, temperature)
    torch.testing.assert_close(logprobs, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropies, wanted_entropies, rtol=1e-5, atol=1e-5)
    assert not entropies.requires_grad
    ours, theirs = gradients(model, logprobs), gradients(model, wanted)
    for name, gradient in theirs.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(ours[name], gradient, rtol=1e-5, atol=1e-5 * scale)


def test_without_gradient(model, chunked):
    tokens, asked = example()
    with torch.no_grad():
        logprobs, _ = token_logprobs(model, model, tokens, asked)
    assert not logprobs.requires_grad
    torch.testing.assert_close(logprobs, token_logprobs(model, model, tokens, asked)[0].detach())


def test_what_is_not_asked_for_takes_no_part(model, chunked):
    """Padding may be any token, and may be longer."""
    tokens, asked = example()
    logprobs, _ = token_logprobs(model, model, tokens, asked)
    before = gradients(model, logprobs)
    lengths = (asked * torch.arange(2, tokens.shape[1] + 1)).amax(-1)
    padded = torch.where(torch.arange(tokens.shape[1]) < lengths[:, None], tokens, VOCABULARY - 1)
    padded = torch.cat([padded, torch.zeros(len(tokens), 10, dtype=torch.int64)], 1)
    wide = torch.cat([asked, torch.zeros(len(tokens), 10, dtype=torch.bool)], 1)
    others, entropies = token_logprobs(model, model, padded, wide)
    assert torch.equal(others[:, :-10], logprobs)
    assert (others[~wide] == 0).all()
    assert (entropies[~wide] == 0).all()
    model.zero_grad()
    weights = torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(1))
    (weights * others[:, :-10]).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, before[name])


def test_order_of_rows_does_not_matter(model, chunked):
    tokens, asked = example()
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(8))
    logprobs, _ = token_logprobs(model, model, tokens, asked)
    moved, _ = token_logprobs(model, model, tokens[order], asked[order])
    torch.testing.assert_close(moved, logprobs[order], rtol=1e-5, atol=1e-5)
    before = gradients(model, logprobs)
    model.zero_grad()
    weights = torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(1))
    (weights[order] * moved).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, before[name], rtol=1e-4, atol=1e-5)


def test_nothing_asked(model):
    """A rank whose groups were all dropped still has a gradient, of zeros, to share with the others."""
    tokens, asked = example()
    logprobs, entropies = token_logprobs(model, model, tokens, torch.zeros_like(asked))
    assert (logprobs == 0).all()
    assert (entropies == 0).all()
    assert all((gradient == 0).all() for gradient in gradients(model, logprobs).values())


def test_rows_are_cut_and_read_a_few_at_a_time(model, monkeypatch):
    monkeypatch.setattr(module, "_READ_ON_CPU", 40)
    read: list[tuple[int, ...]] = []

    def forward(inputs: Tensor) -> Tensor:
        read.append(tuple(inputs.shape))
        return model(inputs)

    tokens, asked = example()
    token_logprobs(model, forward, tokens, asked)
    lengths = sorted((asked * torch.arange(1, tokens.shape[1])).amax(-1).tolist())
    assert sum(rows for rows, _ in read) == sum(length > 0 for length in lengths)
    assert all(rows == 1 or rows * length <= 40 for rows, length in read)
    assert sum(rows * length for rows, length in read) <= sum(lengths) + 40
    assert max(length for _, length in read) == lengths[-1]


def test_scores_so_high_that_their_exponentials_are_infinite():
    hidden, weight = torch.tensor([[1.0], [1.0]]), torch.tensor([[500.0], [0.0], [-500.0]])
    hidden.requires_grad_()
    logprobs, entropies = module._LinearLogProbs.apply(hidden, weight, torch.tensor([0, 2]), 0.5)
    assert logprobs.tolist() == [0.0, -2000.0]
    assert entropies.tolist() == [0.0, 0.0]
    logprobs.sum().backward()
    assert hidden.grad.tolist() == [[0.0], [-2000.0]]


def test_uniform_scores():
    """Nothing known: every token has the logarithm of 1 / V, and the entropy is that of V equal chances."""
    logprobs, entropies = module._LinearLogProbs.apply(
        torch.ones(1, 2), torch.zeros(VOCABULARY, 2), torch.tensor([3]), 1.0
    )
    expected = torch.tensor([float(VOCABULARY)]).log()
    torch.testing.assert_close(-logprobs, expected)
    torch.testing.assert_close(entropies, expected)


def test_bfloat16_sums_the_weight_gradient_in_fp32(chunked):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(600, 16, generator=generator)
    weight = torch.randn(VOCABULARY, 16, generator=generator).requires_grad_()
    targets = torch.randint(VOCABULARY, (600,), generator=generator)
    slopes = torch.randn(600, generator=generator)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        weight.grad = None
        logprobs, _ = module._LinearLogProbs.apply(hidden.to(dtype), weight, targets, 1.0)
        (logprobs * slopes).sum().backward()
        found.append(weight.grad)
        assert logprobs.dtype == weight.grad.dtype == torch.float32
    assert float((found[1] - found[0]).norm() / found[0].norm()) < 0.02


@pytest.mark.parametrize(
    "compiled",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
        ),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_equal_to_the_samplers(temperature, compiled):
    """What the trainer computes for a completion is what the engine drew it with."""
    tokenizer = small_tokenizer()
    model = small_decoder(tokenizer.vocab_size)
    sampling = SamplingConfig(temperature=temperature, seed=4)
    prompts = [tokenizer.encode(text) for text in ("What is 12 plus 7?", "It is", "The sum of")]
    requests = [
        Request(prompt=prompt, max_tokens=12 + 3 * sample, sampling=sampling, sample=sample)
        for prompt in prompts
        for sample in range(4)
    ]
    done = GenerationEngine(model, tokenizer, compile=compiled).run(requests)
    longest = max(len(request.prompt) + len(one.tokens) for request, one in zip(requests, done, strict=True))
    tokens = torch.zeros(len(done), longest, dtype=torch.int64)
    asked = torch.zeros(len(done), longest - 1, dtype=torch.bool)
    drawn = torch.zeros(len(done), longest - 1)
    for row, (request, one) in enumerate(zip(requests, done, strict=True)):
        start, end = len(request.prompt), len(request.prompt) + len(one.tokens)
        tokens[row, :end] = torch.tensor(request.prompt + one.tokens)
        asked[row, start - 1 : end - 1] = True
        drawn[row, start - 1 : end - 1] = torch.tensor(one.logprobs)
    logprobs, _ = token_logprobs(model, model, tokens, asked, temperature=temperature)
    assert int(asked.sum()) > 100
    torch.testing.assert_close(logprobs.detach(), drawn, rtol=0, atol=1e-4)


_PEAK = r"""
import re, sys, torch
from thinkling.lm.config import DecoderConfig
from thinkling.lm.model import Decoder
from thinkling.lm.rl.token_logprobs import token_logprobs
torch.set_num_threads(1)
def peak():  # of this process alone; getrusage would begin with that of its parent
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
rows, length, vocab = 64, 65, 8192
model = Decoder(DecoderConfig(vocab_size=vocab, max_length=128, hidden_size=16, num_layers=1, num_heads=1,
                              num_kv_heads=1, head_dim=16, inner_size=16))
tokens = torch.randint(vocab, (rows, length))
asked = torch.ones(rows, length - 1, dtype=torch.bool)
token_logprobs(model, model, tokens[:4], asked[:4])[0].sum().backward()  # what torch itself needs
before = peak()
if sys.argv[1] == "chunked":
    token_logprobs(model, model, tokens, asked)[0].sum().backward()
else:
    scores = model.logits(model(tokens[:, :-1]))
    torch.log_softmax(scores, -1).gather(-1, tokens[:, 1:, None]).sum().backward()
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_hold_the_scores():
    """4096 tokens times 8192 scores are 128 MB, of which the dense way holds several copies; a chunk's are 8 MB."""
    used = {}
    for way in ("chunked", "dense"):
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, way],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            # What is freed goes back at once: what glibc would keep for later differs from run to run, up to 40 MB.
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        )
        used[way] = int(done.stdout) / 1024
    assert used["dense"] > 200
    assert used["chunked"] < 32
