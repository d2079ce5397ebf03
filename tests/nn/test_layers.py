"""Layers against plain formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from thinkling.errors import InputError
from thinkling.nn.attention import Attention, attend
from thinkling.nn.casting import Embedding, Linear, weights_cast_once
from thinkling.nn.feed_forward import PositionSwiGLU, SwiGLU, inner_width
from thinkling.nn.init import truncated_normal_
from thinkling.nn.local_mixing import LocalMixing
from thinkling.nn.norm import rms_norm
from thinkling.nn.precision import choose_dtype, measure_matmul, pick_device, resolve_dtype
from thinkling.nn.rope import rope_tables, rope_tables_2d, rotate
from thinkling.nn.sparse_embedding import SparseEmbedding

GENERATOR = torch.Generator().manual_seed(7)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def filled(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        truncated_normal_(parameter.data, 0.3, GENERATOR)
    return module


def test_batched_products_equal_the_fused_kernel() -> None:
    query, key, value = random(3, 2, 9, 4), random(3, 2, 9, 4), random(3, 2, 9, 4)
    torch.testing.assert_close(attend(query, key, value), F.scaled_dot_product_attention(query, key, value))
    long = random(1, 1, 600, 4)
    torch.testing.assert_close(attend(long, long, long), F.scaled_dot_product_attention(long, long, long))


def test_attention_without_positions_ignores_order() -> None:
    layer = filled(Attention(8, 2))
    x, order = random(2, 5, 8), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(layer(x, None)[:, order], layer(x[:, order], None))


def test_rotary_depends_on_distance_only() -> None:
    cos, sin = rope_tables(torch.arange(12), 6, 10000.0)
    query, key = random(1, 1, 1, 6).expand(1, 12, 1, 6), random(1, 1, 1, 6).expand(1, 12, 1, 6)
    scores = rotate(query, cos, sin)[0, :, 0] @ rotate(key, cos, sin)[0, :, 0].T
    for distance in range(-11, 12):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)


def test_rotary_pairs_are_half_a_head_apart() -> None:
    cos, sin = rope_tables(torch.arange(2), 4, 100.0)
    turned = rotate(torch.tensor([1.0, 0, 0, 0]).expand(1, 2, 1, 4), cos, sin)[0, 1, 0]
    torch.testing.assert_close(turned, torch.tensor([math.cos(1), 0, math.sin(1), 0]))


def test_position_network_equals_transposing() -> None:
    layer = filled(PositionSwiGLU(5, 16))
    over_channels = SwiGLU(5, 16)
    over_channels.load_state_dict(layer.state_dict())
    x = random(2, 5, 8)
    torch.testing.assert_close(layer(x), over_channels(x.transpose(1, 2)).transpose(1, 2))


@pytest.mark.parametrize("dim", [1, -1])
def test_norm(dim: int) -> None:
    x = random(2, 5, 8)
    expected = x / (x.square().mean(dim, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(rms_norm(x, 1e-5, dim=dim), expected)
    assert rms_norm(x.bfloat16(), 1e-5, dim=dim).dtype == torch.bfloat16


def test_inner_width_of_the_published_sizes() -> None:
    assert inner_width(512, 4) == 1536
    assert inner_width(97, 4) == 512
    assert inner_width(64, 4) == 256


def test_truncated_normal_keeps_its_deviation() -> None:
    drawn = truncated_normal_(torch.empty(400_000), 0.125, torch.Generator().manual_seed(0))
    assert float(drawn.std()) == pytest.approx(0.125, rel=5e-3)
    assert float(drawn.abs().max()) <= 0.2842118085846391 + 1e-6
    assert float(truncated_normal_(torch.ones(3), 0.0).abs().sum()) == 0


def test_one_cast_is_shared_inside_the_block_only() -> None:
    layer = filled(torch.nn.ModuleDict({"a": Linear(4, 4), "b": Embedding(3, 4)}))
    linear = layer["a"]
    assert isinstance(linear, Linear)
    with weights_cast_once(layer, torch.bfloat16):
        first = linear.cast_weight(torch.bfloat16)
        with weights_cast_once(layer, torch.bfloat16):
            assert linear.cast_weight(torch.bfloat16) is first
        assert linear.cast_weight(torch.bfloat16) is first
        assert linear.cast_weight(torch.float32) is linear.weight
    assert linear.cast_weight(torch.bfloat16) is not first


def test_sparse_embedding_hands_out_rows_with_gradient() -> None:
    table = SparseEmbedding(4, 3)
    rows = table(torch.tensor([1, 1, 2]))
    rows.sum().backward()
    [(ids, looked_up)] = table.lookups
    assert ids.tolist() == [1, 1, 2]
    assert torch.equal(looked_up.grad, torch.ones(3, 3))
    table.clear()
    assert table.lookups == []
    assert not table.eval()(torch.tensor([0])).requires_grad
    assert "weights" not in dict(table.named_parameters())


def test_precision_is_measured() -> None:
    cpu = pick_device("cpu")
    assert measure_matmul(cpu, torch.float32, size=64, seconds=0.0) > 0
    assert choose_dtype(cpu) in (torch.float32, torch.bfloat16)
    assert resolve_dtype("bfloat16", cpu) is torch.bfloat16
    with pytest.raises(InputError, match="tpu"):
        pick_device("tpu")


def test_rotary_over_a_grid_depends_on_both_distances_only() -> None:
    rows, columns = 3, 4
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    cos, sin = rope_tables_2d(row, column, 8, 100.0)
    query, key = random(8).expand(1, 12, 1, 8), random(8).expand(1, 12, 1, 8)
    scores = rotate(query, cos, sin)[0, :, 0] @ rotate(key, cos, sin)[0, :, 0].T
    by_distance: dict[tuple[int, int], float] = {}
    for a in range(12):
        for b in range(12):
            distance = (int(row[a] - row[b]), int(column[a] - column[b]))
            assert by_distance.setdefault(distance, float(scores[a, b])) == pytest.approx(
                float(scores[a, b]), abs=1e-4
            )
    assert len({round(score, 3) for score in by_distance.values()}) > 30  # both axes count


def test_local_mixing_sees_the_eight_neighbours_and_no_further() -> None:
    layer = filled(LocalMixing(6, 4, 5))
    x = random(1, 20, 6)
    changed = x.clone()
    changed[0, 2 * 5 + 1] += 1  # row 2, column 1
    seen = (layer(x) != layer(changed)).any(-1).view(4, 5)
    expected = torch.zeros(4, 5, dtype=torch.bool)
    expected[1:4, 0:3] = True
    assert torch.equal(seen, expected)


def test_local_mixing_equals_its_formula() -> None:
    layer = filled(LocalMixing(3, 2, 2))
    x = random(1, 4, 3)
    inner = layer.in_proj(x)[0].view(2, 2, 3)
    out = torch.zeros(2, 2, 3)
    for row in range(2):
        for column in range(2):
            for i in range(2):
                for j in range(2):
                    weight = layer.depthwise.weight[:, 0, 1 + i - row, 1 + j - column]
                    out[row, column] += weight * inner[i, j]
    expected = layer.out_proj(F.silu(out)).view(1, 4, 3)
    torch.testing.assert_close(layer(x), expected)
