"""How far a model's own probability of being right can be trusted.

Shapes: N answers, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Of equal width from 0 to 1."""

_SIZE, _LEFT, _TOP, _RIGHT, _BOTTOM = 300, 52, 34, 16, 44
# Middle tones on no background: readable on white and on black; the text follows the viewer's colour scheme.
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#555}.axis{stroke:#888;fill:none}"
    ".even{stroke:#888;stroke-dasharray:4 4}.bar{fill:#3b82f6;fill-opacity:.75}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}}"
)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The halt probability against what came true."""

    n: int
    """Answers."""
    expected_error: float
    """Expected calibration error: the mean distance of a bin's share of right answers from its mean probability, bins
    weighted by their answers (Guo et al., arXiv 1706.04599, equation 3)."""
    counts: tuple[int, ...]
    """[B] answers in each bin."""
    probability: tuple[float | None, ...]
    """[B] mean halt probability; None for an empty bin."""
    right: tuple[float | None, ...]
    """[B] share of right answers; None for an empty bin."""
    rating_and_halt: float | None
    """Spearman's rank correlation of the puzzle's rating with the halt probability; None without ratings."""
    rating_and_steps: float | None
    """The same with the segments spent."""

    def as_json(self) -> dict[str, Any]:
        """All of it, a row a bin."""
        rows = zip(self.counts, self.probability, self.right, strict=True)
        return {
            "expected_error": self.expected_error,
            "rating_and_halt": self.rating_and_halt,
            "rating_and_steps": self.rating_and_steps,
            "bins": [
                {"from": number / BINS, "to": (number + 1) / BINS, "n": n, "probability": p, "right": r}
                for number, (n, p, r) in enumerate(rows)
            ],
        }


def calibrate(
    q_halt: Sequence[float],
    right: Sequence[bool],
    steps: Sequence[int],
    ratings: Sequence[int] | None = None,
) -> Calibration:
    """Compare probabilities with outcomes.

    Args:
        q_halt: [N] probabilities of being right.
        right: [N] whether the answer was.
        steps: [N] segments spent.
        ratings: [N] how hard each puzzle is, where that is known.
    """
    values = np.asarray(q_halt, dtype=np.float64)
    truth = np.asarray(right, dtype=np.float64)
    bins = np.minimum((values * BINS).astype(np.intp), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    size = np.maximum(counts, 1)
    said = np.bincount(bins, weights=values, minlength=BINS) / size
    came = np.bincount(bins, weights=truth, minlength=BINS) / size
    error = float((np.abs(said - came) * counts).sum() / max(len(values), 1))

    def shown(means: NDArray[np.float64]) -> tuple[float | None, ...]:
        return tuple(
            float(mean) if count else None for mean, count in zip(means, counts.tolist(), strict=True)
        )

    return Calibration(
        n=len(values),
        expected_error=error,
        counts=tuple(counts.tolist()),
        probability=shown(said),
        right=shown(came),
        rating_and_halt=None if ratings is None else rank_correlation(ratings, values),
        rating_and_steps=None if ratings is None else rank_correlation(ratings, steps),
    )


def rank_correlation(
    first: Sequence[float] | NDArray[Any], second: Sequence[float] | NDArray[Any]
) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None where one side never changes. [N], [N]"""
    ranks = [mean_ranks(np.asarray(values, dtype=np.float64)) for values in (first, second)]
    centred = [rank - rank.mean() if len(rank) else rank for rank in ranks]
    spread = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum()) / spread if spread > 0 else None


def mean_ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """The place of each value in ascending order; equal values share the middle of theirs. [N]"""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2


def reliability_picture(calibration: Calibration, title: str = "reliability") -> str:
    """An SVG with a bar a bin: how often answers of this halt probability were right. The even line is perfect."""
    side, height = _SIZE, _TOP + _SIZE + _BOTTOM
    width, bottom = _LEFT + side + _RIGHT, _TOP + side
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{title}"><style>{_STYLE}</style>',
        f'<text x="{_LEFT}" y="{_TOP - 12}">{title}: {calibration.n} answers, expected calibration error '
        f"{calibration.expected_error:.3f}</text>",
    ]
    bar = side / BINS
    most = max(1, *calibration.counts)
    for number, (share, count) in enumerate(zip(calibration.right, calibration.counts, strict=True)):
        if share is None:
            continue
        # The thinner a bar the fewer answers it stands for.
        thick = bar * (0.25 + 0.65 * count / most)
        x = _LEFT + (number + 0.5) * bar - thick / 2
        parts.append(
            f'<rect class="bar" x="{x:.1f}" y="{bottom - share * side:.1f}" width="{thick:.1f}"'
            f' height="{share * side:.1f}"><title>{count} answers, {share:.3f} right</title></rect>'
        )
    parts.append(f'<line class="even" x1="{_LEFT}" y1="{bottom}" x2="{_LEFT + side}" y2="{_TOP}"/>')
    parts.append(f'<path class="axis" d="M{_LEFT},{_TOP} V{bottom} H{_LEFT + side}"/>')
    for tick in (0, 0.5, 1):
        x, y = _LEFT + tick * side, bottom - tick * side
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    parts.append(
        f'<text x="{_LEFT + side / 2}" y="{height - 8}" text-anchor="middle">halt probability</text>'
        f'<text x="14" y="{_TOP + side / 2}" text-anchor="middle"'
        f' transform="rotate(-90 14 {_TOP + side / 2})">share right</text></svg>'
    )
    return "\n".join(parts) + "\n"
