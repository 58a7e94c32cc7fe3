"""Intervals and comparisons; pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["better", "not shown", "worse"]


def _is_binary(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def mean_interval(scores: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """A confidence interval for the mean of independent scores.

    Shares of right answers get Wilson's score interval (Wilson 1927; recommended by Brown, Cai and DasGupta
    2001 also for small n), other scores Student's t interval. NaN scores are left out; fewer than one (two for
    other scores) gives (nan, nan).

    >>> tuple(round(bound, 3) for bound in mean_interval([1] * 8 + [0] * 2))
    (0.49, 0.943)
    """
    from scipy import stats

    values = np.asarray(scores, dtype=float)
    values = values[~np.isnan(values)]
    count = len(values)
    if count == 0:
        return math.nan, math.nan
    if _is_binary(values):
        interval = stats.binomtest(int(values.sum()), count).proportion_ci(level, method="wilson")
        return float(interval.low), float(interval.high)
    if count < 2:
        return math.nan, math.nan
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return float(values.mean()) - half, float(values.mean()) + half


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How two prompts compare on the same rows: second minus first.

    ``won`` and ``lost`` count the rows on which the second scored higher and lower. ``verdict`` is ``better``
    or ``worse`` when ``p`` is below 1 - level, else ``not shown``.
    """

    difference: float
    low: float
    high: float
    p: float
    rows: int
    won: int
    lost: int
    verdict: Verdict


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Difference:
    """Compare two prompts on the same rows; rows where either score is NaN are left out.

    Right/wrong scores: exact McNemar test (the binomial test on rows that differ) with the adjusted interval of
    Agresti and Min (2005). Other scores: a sign-flip permutation test with Student's t interval.

    >>> paired_difference([0] * 10, [1] * 8 + [0] * 2).verdict
    'better'
    """
    from scipy import stats

    pairs = np.column_stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    change = pairs[:, 1] - pairs[:, 0]
    rows, won, lost = len(change), int((change > 0).sum()), int((change < 0).sum())
    if rows < 2:
        mean = float(change.mean()) if rows else math.nan
        return Difference(
            difference=mean,
            low=math.nan,
            high=math.nan,
            p=1.0,
            rows=rows,
            won=won,
            lost=lost,
            verdict="not shown",
        )
    mean = float(change.mean())
    if _is_binary(pairs):
        p = float(stats.binomtest(won, won + lost).pvalue) if won + lost else 1.0
        z = float(stats.norm.ppf((1 + level) / 2))
        centre = (won - lost) / (rows + 2)
        spread = math.sqrt((won + lost + 1) - (won - lost) ** 2 / (rows + 2)) / (rows + 2)
        low, high = max(-1.0, centre - z * spread), min(1.0, centre + z * spread)
    else:
        p = (
            float(
                stats.permutation_test(
                    (change,),
                    np.mean,
                    permutation_type="samples",
                    n_resamples=9_999,
                    rng=np.random.default_rng(0),
                ).pvalue
            )
            if change.any()
            else 1.0
        )
        half = float(stats.t.ppf((1 + level) / 2, rows - 1) * change.std(ddof=1) / math.sqrt(rows))
        low, high = mean - half, mean + half
    verdict: Verdict = "not shown" if p >= 1 - level or mean == 0 else "better" if mean > 0 else "worse"
    return Difference(difference=mean, low=low, high=high, p=p, rows=rows, won=won, lost=lost, verdict=verdict)
