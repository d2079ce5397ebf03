"""Mixtures of corpora: the shares that were asked for, by stage, whole epochs, the same from any process."""

from __future__ import annotations

import numpy as np
import pytest

from thinkling.data.mixture import MixtureRows, Phase, check_phases
from thinkling.data.text_store import TokenDocuments
from thinkling.errors import InputError

LENGTH = 8


def corpus(rows: int, token: int) -> TokenDocuments:
    """So many documents that fill a row each; the tokens say which corpus and which document."""
    size = LENGTH - 1
    tokens = np.repeat(token + np.arange(rows), size).astype(np.uint32)
    return TokenDocuments(tokens=tokens, starts=np.arange(rows + 1, dtype=np.int64) * size)


def mixture(phases, steps=100, seed=0, rows=(50, 30)) -> MixtureRows:
    sources = [corpus(count, 1000 * number + 10) for number, count in enumerate(rows)]
    return MixtureRows(sources, length=LENGTH, bos_id=1, eos_id=2, phases=phases, steps=steps, seed=seed)


def tokens(source: MixtureRows, steps, of: int) -> np.ndarray:
    """Which document each row of these steps shows."""
    return np.concatenate([source.rows(step, slice(0, of), of).inputs[:, 1] for step in steps])


def test_the_weights_of_every_phase():
    phases = (
        Phase(share=0.3, weights=(0.9, 0.1)),
        Phase(share=0.6, weights=(1, 1)),
        Phase(share=0.1, weights=(0, 5)),
    )
    source = mixture(phases)
    for steps, expected in ((range(1, 31), 0.9), (range(31, 91), 0.5), (range(91, 101), 0.0)):
        share = float((tokens(source, steps, 10) < 1000).mean())
        assert share == pytest.approx(expected, abs=0.01)


def test_without_weights_by_size():
    share = float((tokens(mixture((Phase(share=1.0),)), range(1, 81), 10) < 1000).mean())
    assert share == pytest.approx(50 / 80, abs=0.01)


def test_every_epoch_shows_every_row_once_in_another_order():
    """Across the border of two phases too."""
    source = mixture((Phase(share=0.25, weights=(1, 3)), Phase(share=0.75, weights=(2, 1))))
    shown = tokens(source, range(1, 101), 4)
    for first, size in ((10, 50), (1010, 30)):
        own = shown[(shown >= first) & (shown < first + size)]
        epochs = [own[at : at + size] for at in range(0, len(own) - size, size)]
        assert len(epochs) >= 2
        for epoch in epochs:
            assert np.array_equal(np.sort(epoch), first + np.arange(size))
        assert not np.array_equal(epochs[0], epochs[1])


def test_a_row_depends_on_seed_and_step_only():
    """Two ranks see together what one sees, whatever was asked before; another seed has another order."""
    source, fresh = mixture((Phase(share=1.0),)), mixture((Phase(share=1.0),))
    whole = source.rows(37, slice(0, 8), 8)
    source.rows(2, slice(0, 8), 8)
    parts = [fresh.rows(37, part, 8) for part in (slice(4, 8), slice(0, 4))]
    assert np.array_equal(whole.inputs, np.concatenate([parts[1].inputs, parts[0].inputs]))
    assert np.array_equal(whole.labels, np.concatenate([parts[1].labels, parts[0].labels]))
    other = mixture((Phase(share=1.0),), seed=1)
    assert not np.array_equal(whole.inputs, other.rows(37, slice(0, 8), 8).inputs)


def test_epochs_are_counted():
    phases = (Phase(share=0.5, weights=(1, 0)), Phase(share=0.5, weights=(1, 1)))
    source = mixture(phases, steps=40)
    shown = tokens(source, range(1, 41), 5)
    assert source.epochs(5) == [(shown < 1000).sum() / 50, (shown >= 1000).sum() / 30]


def test_a_small_weight_is_kept():
    shown = tokens(mixture((Phase(share=1.0, weights=(1.0, 1e-6)),), steps=1000), range(1, 1001), 10)
    assert (shown >= 1000).sum() == 1


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((), "without phases"),
        ((Phase(share=0.5), Phase(share=0.4)), "add up to 1"),
        ((Phase(share=1.5), Phase(share=-0.5)), "above 0"),
        ((Phase(share=1.0, weights=(1, -1)),), "0 or more"),
        ((Phase(share=1.0, weights=(0, 0)),), "not all 0"),
    ],
)
def test_impossible_phases(phases, words):
    with pytest.raises(InputError, match=words):
        check_phases(phases)


def test_weights_and_corpora_must_agree():
    with pytest.raises(InputError, match="3 weights for 2 corpora"):
        mixture((Phase(share=1.0, weights=(1, 1, 1)),))
    with pytest.raises(InputError, match="corpus 2 without a token"):
        mixture((Phase(share=1.0),), rows=(4, 0))
