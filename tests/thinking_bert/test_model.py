"""The network: padding, packing, groups, gradient, and what each part is for."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from thinkling.data.batch import TextBatch
from thinkling.errors import InputError
from thinkling.thinking_bert.config import ThinkingBertConfig
from thinkling.thinking_bert.model import ThinkingBert, groups_of, masked_mean

SMALL = ThinkingBertConfig(
    vocab_size=50,
    max_length=48,
    hidden_size=32,
    num_heads=2,
    inner_size=48,
    low_layers=4,
    high_layers=2,
    pooling_window=4,
    local_attention=6,
)
LEVELS = ("none", "vector", "pooled-windows")


def network(**changes) -> ThinkingBert:
    return ThinkingBert(dataclasses.replace(SMALL, **changes), torch.Generator().manual_seed(0)).eval()


def batch_of(*documents: list[int], length: int, positions: list[int]) -> TextBatch:
    """One row that holds the documents one behind the other."""
    tokens = [token for document in documents for token in document]
    numbers = [number for number, document in enumerate(documents, 1) for _ in document]
    padding = [0] * (length - len(tokens))
    return TextBatch(
        inputs=torch.tensor([tokens + padding]),
        documents=torch.tensor([numbers + padding]),
        positions=torch.tensor([positions]),
        labels=torch.full((1, len(positions)), -100),
    )


def thought(model: ThinkingBert, batch: TextBatch, rounds: int):
    carry = model.fresh_carry(*batch.inputs.shape)
    for _ in range(rounds):
        carry, output = model.segment(carry, batch)
    return output


FIRST = [2, *range(5, 22), 3]
SECOND = [2, *range(30, 41), 3]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", [20, 33, 48])
def test_padding_never_changes_an_answer(level, length):
    """The published code's pooled state counted padding, so that an answer depended on how far a text was padded."""
    model = network(high_level=level)
    alone = thought(model, batch_of(FIRST, length=len(FIRST), positions=[3, 17]), rounds=3)
    padded = thought(model, batch_of(FIRST, length=length, positions=[3, 17]), rounds=3)
    torch.testing.assert_close(padded.logits, alone.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(padded.q_halt, alone.q_halt, rtol=0, atol=1e-5)
    torch.testing.assert_close(padded.q_continue, alone.q_continue, rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_documents_of_a_row_do_not_see_each_other(level):
    model = network(high_level=level)
    together = thought(model, batch_of(FIRST, SECOND, length=40, positions=[4, 25]), rounds=3)
    first = thought(model, batch_of(FIRST, length=40, positions=[4]), rounds=3)
    second = thought(model, batch_of(SECOND, length=40, positions=[25 - len(FIRST)]), rounds=3)
    expected = torch.cat([first.logits, second.logits], dim=1)
    torch.testing.assert_close(together.logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_rows_do_not_see_each_other(level):
    model = network(high_level=level)
    one = batch_of(FIRST, length=24, positions=[4])
    other = batch_of(SECOND, length=24, positions=[4])
    both = thought(model, one.join(other), rounds=2)
    torch.testing.assert_close(both.logits[1:], thought(model, other, rounds=2).logits, rtol=0, atol=1e-5)


def test_local_layers_see_their_window_only():
    """With one local layer a token 3 away counts and a token 4 away does not (6 neighbours, half on each side)."""
    model = network(high_level="none", L_cycles=1)
    model.low.layers = model.low.layers[1:2]
    model.low.global_every = 2
    model.low.layers.insert(0, torch.nn.Module())
    model.low.layers[0].forward = lambda x, rotary, bias: x
    base = batch_of(FIRST, length=20, positions=[10])
    answer = thought(model, base, rounds=1).logits
    for distance, changes in [(3, True), (4, False)]:
        inputs = base.inputs.clone()
        inputs[0, 10 + distance] = 45
        moved = thought(model, dataclasses.replace(base, inputs=inputs), rounds=1).logits
        assert torch.equal(moved, answer) is not changes, distance


def test_global_layers_see_everything():
    model = network(high_level="none", L_cycles=1, local_attention=2)
    base = batch_of(list(range(5, 45)), length=40, positions=[0])
    inputs = base.inputs.clone()
    inputs[0, 39] = 49
    moved = thought(model, dataclasses.replace(base, inputs=inputs), rounds=1).logits
    assert not torch.equal(moved, thought(model, base, rounds=1).logits)


def test_groups_restart_with_every_document():
    documents = torch.tensor([[1, 1, 1, 1, 1, 2, 2, 2, 0, 0]])
    assert groups_of(documents, 0).tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, -1, -1]]
    assert groups_of(documents, 2).tolist() == [[0, 0, 1, 1, 2, 3, 3, 4, -1, -1]]


def test_means_count_only_what_counts():
    state = torch.arange(12.0).view(1, 6, 2)
    counted = torch.tensor([[True, False, True, False, False, False]])
    assert masked_mean(state, counted).tolist() == [[2.0, 3.0]]
    assert masked_mean(state, torch.zeros(1, 6, dtype=torch.bool)).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("level", ["vector", "pooled-windows"])
def test_the_high_level_hears_from_far_away(level):
    """Low-level layers with a window of two cannot carry a change over the row in one round; the high level can."""
    model = network(high_level=level, L_cycles=1, local_attention=2, global_every=48)
    model.low.layers[0].forward = lambda x, rotary, bias: x
    base = batch_of(list(range(5, 45)), length=40, positions=[0])
    inputs = base.inputs.clone()
    inputs[0, 39] = 49
    moved = thought(model, dataclasses.replace(base, inputs=inputs), rounds=1).logits
    assert not torch.equal(moved, thought(model, base, rounds=1).logits)


@pytest.mark.parametrize("level", LEVELS)
def test_every_weight_gets_a_gradient(level):
    """But for the Q head, whose inputs are cut off on purpose, every weight learns from the masked tokens."""
    model = network(high_level=level).train()
    batch = batch_of(FIRST, SECOND, length=40, positions=[4, 25])
    carry, _ = model.segment(model.fresh_carry(1, 40), batch)
    _, output = model.segment(carry, batch)
    output.logits.square().sum().backward()
    silent = {name for name, weight in model.named_parameters() if weight.grad is None}
    assert silent == {"q_head.weight", "q_head.bias"}


def test_the_q_head_does_not_disturb_the_encoder():
    model = network().train()
    _, output = model.segment(model.fresh_carry(1, 40), batch_of(FIRST, length=40, positions=[4]))
    (output.q_halt + output.q_continue).sum().backward()
    assert {name for name, weight in model.named_parameters() if weight.grad is not None} == {
        "q_head.weight",
        "q_head.bias",
    }


def test_a_halted_slot_starts_anew():
    model = network()
    batch = batch_of(FIRST, length=24, positions=[4])
    carry, first = model.segment(model.fresh_carry(1, 24), batch)
    again, second = model.segment(carry.with_halted(torch.ones(1, dtype=torch.bool)), batch)
    assert torch.equal(first.logits, second.logits)
    assert again.steps.tolist() == [1]
    on, third = model.segment(carry, batch)
    assert not torch.equal(first.logits, third.logits)
    assert on.steps.tolist() == [2]


def test_compute_dtype_is_used():
    model = network()
    model.compute_dtype = torch.bfloat16
    carry, output = model.segment(model.fresh_carry(1, 24), batch_of(FIRST, length=24, positions=[4]))
    assert (carry.z_L.dtype, output.logits.dtype, output.q_halt.dtype) == (
        torch.bfloat16,
        torch.bfloat16,
        torch.float32,
    )


def test_a_row_longer_than_the_model():
    with pytest.raises(InputError, match="49 tokens"):
        thought(network(), batch_of(FIRST, length=49, positions=[4]), rounds=1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_size": 30, "num_heads": 4}, "num_heads"),
        ({"L_cycles": 0}, "L_cycles"),
        ({"vocab_size": 5}, "vocab_size"),
        ({"high_layers": 0}, "high_layers"),
        ({"local_attention": 7}, "local_attention"),
        ({"global_every": 0}, "global_every"),
    ],
)
def test_settings_that_cannot_work(changes, named):
    with pytest.raises(InputError, match=named):
        dataclasses.replace(SMALL, **changes)
