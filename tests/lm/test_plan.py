"""The plan of a size against the network itself: parameters, operations, cache, activations."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from thinkling.errors import InputError
from thinkling.lm.config import DecoderConfig
from thinkling.lm.gguf_sizes import GGUF_TYPES, falls_back, gguf_bytes
from thinkling.lm.hardware import HARDWARE, chosen, machine
from thinkling.lm.model import Decoder
from thinkling.lm.plan import (
    TOKEN_BUDGETS,
    _saved_values,
    budget,
    cache_lengths,
    checkpoint_bytes,
    chip_memory,
    forward_flops,
    kv_cache_bytes,
    parameters,
    training_flops,
    training_memory,
)
from thinkling.lm.plan_stages import ROLLOUTS, on_machine, stages
from thinkling.lm.presets import PRESETS

SMALL = DecoderConfig(
    vocab_size=96,
    max_length=1024,
    hidden_size=48,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    inner_size=80,
)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_those_of_the_network(name: str) -> None:
    with torch.device("meta"):
        network = Decoder(PRESETS[name])
    parts = {"embedding": 0, "attention": 0, "feed_forward": 0, "norms": 0}
    for key, parameter in network.named_parameters():
        if "norm" in key:
            parts["norms"] += parameter.numel()
        elif "embed" in key:
            parts["embedding"] += parameter.numel()
        else:
            parts["attention" if "self_attn" in key else "feed_forward"] += parameter.numel()
    count = parameters(PRESETS[name])
    assert {part: getattr(count, part) for part in parts} == parts
    assert count.total == network.params


@pytest.mark.parametrize(("name", "millions"), [("500m", 489), ("1b", 953), ("3b", 2875)])
def test_the_published_sizes(name: str, millions: int) -> None:
    assert round(parameters(PRESETS[name]).total / 1e6) == millions


@pytest.mark.parametrize(("name", "millions"), [("1m", 1), ("5m", 5), ("15m", 15), ("50m", 50)])
def test_the_laptop_sizes_are_what_they_are_called(name: str, millions: int) -> None:
    assert parameters(PRESETS[name]).total == pytest.approx(millions * 1e6, rel=0.06)


def test_operations_are_those_that_torch_counts() -> None:
    """torch counts the whole square of scores; a plan counts the half that is seen."""
    length = 64
    network = Decoder(SMALL, torch.Generator().manual_seed(0))
    inputs = torch.arange(length)[None] % SMALL.vocab_size
    square = SMALL.num_layers * 4 * SMALL.num_heads * SMALL.head_dim * (length - (length + 1) / 2)
    with FlopCounterMode(display=False) as counter:
        scores = network.logits(network(inputs))
    assert counter.get_total_flops() == length * (forward_flops(SMALL, length) + square)
    with FlopCounterMode(display=False) as backward:
        F.cross_entropy(scores[0], inputs[0]).backward()  # type: ignore[no-untyped-call]  # torch
    both = counter.get_total_flops() + backward.get_total_flops()
    assert both == length * (training_flops(SMALL, length) + 3 * square)


def test_recomputing_layers_costs_one_forward_pass_of_the_layers() -> None:
    more = training_flops(SMALL, 128, checkpointing=True) - training_flops(SMALL, 128)
    assert more == forward_flops(SMALL, 128) - 2 * SMALL.vocab_size * SMALL.hidden_size


def test_the_cache_is_as_large_as_the_real_one() -> None:
    assert Decoder(SMALL).cache(2, 100).bytes == 2 * kv_cache_bytes(SMALL, 100, value_bytes=4)


@pytest.mark.parametrize("config", [SMALL, PRESETS["1m"]])
def test_activations_are_about_what_autograd_keeps(config: DecoderConfig) -> None:
    """Above 512 positions attention is the fused kernel, which keeps no scores."""
    length = 600
    network = Decoder(config, torch.Generator().manual_seed(0))
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = torch.zeros(1, length, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(inputs)
    assert out.requires_grad
    planned = config.num_layers * length * _saved_values(config) * 4
    assert sum(kept.values()) == pytest.approx(planned, rel=0.2)


def test_memory_of_a_training_step() -> None:
    total = parameters(SMALL).total
    whole = training_memory(SMALL, length=128, rows=2, precision="fp32", checkpointing=False)
    assert (whole.weights, whole.gradients, whole.moments) == (4 * total, 4 * total, 8 * total)
    assert whole.total == 16 * total + whole.activations + whole.loss
    half = training_memory(SMALL, length=128, rows=2, precision="bf16", checkpointing=False)
    assert half.weights == 6 * total
    assert half.activations * 2 == whole.activations
    less = training_memory(SMALL, length=128, rows=2, precision="fp32", checkpointing=True)
    assert less.activations < whole.activations
    published = training_memory(PRESETS["500m"], length=512, rows=1, precision="fp32", checkpointing=False)
    assert published.total < 24e9


def test_reinforcement_learning_needs_a_cache_and_a_forward_pass_more() -> None:
    plans = {(item.stage, item.precision): item for item in stages(SMALL, length=256, rows=1)}
    assert len(plans) == 6
    learns, generates = plans["fine-tuning", "bf16"], plans["reinforcement learning", "bf16"]
    assert generates.flops_per_token == learns.flops_per_token + forward_flops(SMALL, 256)
    assert generates.memory_bytes == learns.memory_bytes + ROLLOUTS * kv_cache_bytes(SMALL, 256)


def test_lengths_sizes_and_budgets() -> None:
    assert cache_lengths(PRESETS["500m"]) == [1024, 2048, 4096, 8192]
    assert cache_lengths(PRESETS["1m"]) == [1024]
    assert checkpoint_bytes(PRESETS["1m"])["model.safetensors in fp32"] == 4 * parameters(PRESETS["1m"]).total
    ten = budget(PRESETS["500m"], TOKEN_BUDGETS[0], length=4096, checkpointing=False)
    assert ten.flops == TOKEN_BUDGETS[0] * training_flops(PRESETS["500m"], 4096)
    assert ten.tokens_per_parameter == pytest.approx(20.4, abs=0.1)
    with pytest.raises(InputError, match="--tokens 0"):
        budget(SMALL, 0, length=4096, checkpointing=False)


def test_gguf_blocks_are_those_of_the_gguf_package() -> None:
    gguf = pytest.importorskip("gguf")
    from thinkling.lm.gguf_sizes import _BLOCKS

    for name, size in _BLOCKS.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]] == size


def test_gguf_sizes_of_a_matrix_by_hand() -> None:
    count = parameters(PRESETS["5m"])
    matrices, norms = count.total - count.norms, 4 * count.norms
    assert gguf_bytes(PRESETS["5m"], "bf16") == 2 * matrices + norms
    assert gguf_bytes(PRESETS["5m"], "q8_0") == matrices * 34 // 32 + norms
    tied = count.embedding * 34 // 32
    assert gguf_bytes(PRESETS["5m"], "q4_0") == (matrices - count.embedding) * 18 // 32 + tied + norms
    # Of five layers the last one (from 7 * 5 // 8 = 4) and the third (2 % 3 == 2) keep more bits of two matrices.
    better = 2 * (128 * 256 + 256 * 768)
    rest = matrices - count.embedding - better
    expected = rest * 144 // 256 + better * 210 // 256 + count.embedding * 210 // 256 + norms
    assert gguf_bytes(PRESETS["5m"], "q4_k_m") == expected


def test_a_block_that_does_not_divide_the_rows() -> None:
    assert gguf_bytes(SMALL, "q8_0") is None
    assert [gguf_bytes(PRESETS["500m"], kind) is not None for kind in GGUF_TYPES] == [True] * 5
    assert [name for name in PRESETS if not falls_back(PRESETS[name])] == ["5m", "50m", "3b"]


def test_time_and_cost_by_hand() -> None:
    config = PRESETS["500m"]
    planned = on_machine(config, machine("h100"), tokens=(10**10,), length=4096, rows=1)
    seconds = 10**10 * training_flops(config, 4096) / (989.4e12 * 0.40)
    assert planned.fits
    assert not planned.checkpointing
    assert planned.runs[0].seconds == pytest.approx(seconds)
    assert planned.runs[0].dollars == pytest.approx(seconds / 3600 * 2.95)
    eight = on_machine(config, machine("h100"), tokens=(10**10,), length=4096, rows=1, machines=8)
    assert eight.runs[0].seconds == pytest.approx(seconds / 8)
    assert eight.runs[0].dollars == pytest.approx(planned.runs[0].dollars)
    assert eight.memory_bytes < planned.memory_bytes


def test_memory_of_a_chip_among_several() -> None:
    """One chip holds everything; more of them come down to what each one has to gather, by hand in fp32."""
    sizes = {"length": 128, "rows": 2, "precision": "fp32", "checkpointing": False}
    whole = training_memory(SMALL, **sizes)
    assert chip_memory(SMALL, chips=1, **sizes) == whole.total
    count = parameters(SMALL)
    layer = (count.attention + count.feed_forward) // SMALL.num_layers
    gathered = 8 * count.embedding + 12 * layer
    assert chip_memory(SMALL, chips=4, **sizes) == (
        4 * count.total + gathered + whole.activations + whole.loss
    )
    validating = chip_memory(
        PRESETS["3b"], chips=1 << 40, length=16, rows=1, precision="bf16", checkpointing=True
    )
    assert validating == pytest.approx(6 * parameters(PRESETS["3b"]).total, abs=1)


def test_what_does_not_fit_is_recomputed_or_refused() -> None:
    card = machine("RTX 5090")
    assert on_machine(PRESETS["500m"], card, tokens=(10**10,), length=8192, rows=2).checkpointing
    large = on_machine(PRESETS["3b"], card, tokens=(10**10,), length=4096, rows=1)
    assert (large.fits, large.runs) == (False, [])
    assert on_machine(PRESETS["3b"], machine("trainium2"), tokens=(1,), length=4096, rows=1).fits
    assert on_machine(PRESETS["5m"], machine("pi5"), tokens=(1,), length=512, rows=1).precision == "fp32"


def test_every_machine_states_where_its_numbers_are_from() -> None:
    assert set(HARDWARE) == {"rtx5090", "h100", "h200", "trn2.48xlarge", "graviton4", "pi5"}
    for item in HARDWARE.values():
        assert len(item.source) > 20
        assert len(item.price_source) > 10
        assert 0 < item.utilisation < 1


def test_own_prices_and_utilisation() -> None:
    found = chosen(("h100", "pi5"), ("h100=2.5",), 0.5)
    assert [(item.name, item.price, item.utilisation) for item in found] == [
        ("h100", 2.5, 0.5),
        ("pi5", 0.004, 0.5),
    ]
    assert "--price" in found[0].price_source


@pytest.mark.parametrize(
    ("names", "prices", "utilisation", "part"),
    [
        (("h10",), (), None, "did you mean 'h100'"),
        (("h100",), ("h100",), None, "NAME=DOLLARS"),
        (("h100",), ("h100=nan",), None, "NAME=DOLLARS"),
        (("h100",), ("h100=-1",), None, "NAME=DOLLARS"),
        (("h100",), ("what=1",), None, "hardware 'what'"),
        ((), (), 1.5, "--utilisation 1.5"),
        ((), (), float("nan"), "--utilisation nan"),
    ],
)
def test_bad_assumptions_are_refused(
    names: tuple[str, ...], prices: tuple[str, ...], utilisation: float | None, part: str
) -> None:
    with pytest.raises(InputError, match=part):
        chosen(names, prices, utilisation)


@pytest.mark.parametrize(
    ("length", "rows", "machines", "part"),
    [
        (0, 1, 1, "--length 0"),
        (9000, 1, 1, "--length 9000"),
        (64, 0, 1, "--rows 0"),
        (64, 1, 0, "--machines 0"),
    ],
)
def test_bad_rows_are_refused(length: int, rows: int, machines: int, part: str) -> None:
    with pytest.raises(InputError, match=part):
        on_machine(PRESETS["500m"], machine("h100"), tokens=(1,), length=length, rows=rows, machines=machines)
