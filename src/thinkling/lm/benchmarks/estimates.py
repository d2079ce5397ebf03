"""What some samples of each of N questions say about a model: pass@k, the vote of k, and how sure that is.

Letters: N questions, n samples of a question, c right ones among them, k samples that are asked about.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_Z_95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A share with its 95 % interval."""

    value: float
    """The share, 0 to 1."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end."""


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that at least one of k samples is right, without bias: 1 - C(n - c, k) / C(n, k).

    Chen et al. 2021 (arXiv 2107.03374), equation 1; exact in whole numbers.

    Args:
        samples: n, how many were drawn.
        right: c, how many of them are right.
        k: of how many the best counts; at most n.
    """
    assert 1 <= k <= samples, "k of n samples"
    assert 0 <= right <= samples, "c of n samples are right"
    return 1 - math.comb(samples - right, k) / math.comb(samples, k)


def wilson(share: float, n: int) -> Estimate:
    """A share of N questions with its 95 % score interval (Wilson 1927, J. Am. Stat. Assoc. 22, p. 209).

    Where every question has several samples, the share is the mean of the questions' own shares, and N still counts
    questions: such a mean varies less than one of N single answers, so the interval is rather too wide than too narrow.

    Args:
        share: the share, 0 to 1.
        n: N.
    """
    assert n >= 1, "a share of something"
    spread = _Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = _Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # At the ends, 0 and 1 belong to the interval, whatever the rounding says.
    return Estimate(
        value=share, low=min(share, max(0.0, centre - half)), high=max(share, min(1.0, centre + half))
    )


def vote(answers: Sequence[str | None]) -> int | None:
    """The place of the first answer that is as frequent as any (self-consistency, Wang et al. 2022, arXiv 2203.11171).

    Args:
        answers: what each sample answered, in one form for equal answers; None where a sample has no answer.

    Returns:
        None where no sample has an answer; of equally frequent ones the first to appear wins.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    return answers.index(counts.most_common(1)[0][0]) if counts else None


def sizes_up_to(samples: int) -> tuple[int, ...]:
    """The k that are reported for n samples: the powers of two below n, and n itself."""
    powers = (2**power for power in range(samples.bit_length()) if 2**power < samples)
    return (*powers, samples)
