"""Confidence intervals, paired tests and their power; pure functions on arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from statistics import NormalDist
from typing import Literal

import numpy as np

from prompt_search._binomial import cumulated, largest_losses, probabilities, two_sided_p
from prompt_search.metrics.ranges import SHARE, UNBOUNDED, Range

VerdictWord = Literal["better", "not shown", "worse"]

POWER = 0.8
"""The power with which a difference must be detected to be called detectable (Cohen 1988)."""

NON_INFERIORITY_MARGIN = 0.02
"""The difference to the winner's score that a shorter prompt may have by default."""

EQUAL = 1e-6
"""Standard deviation, as a part of the scores' range or mean, up to which scores count as equal: rounding alone."""

EXACT_FLIPS = 16
"""Number of rows that differ up to which all signs are tried."""

DRAWN_FLIPS = 20_000
"""Number of random signs for more rows: at p = 0.05 their standard error is 0.0015."""


def _is_binary(values: np.ndarray, bounds: Range) -> bool:
    """Whether scores are those of right and wrong answers: 0 and 1 alone, in no other stated range than that."""
    return bounds in (UNBOUNDED, SHARE) and bool(np.isin(values, (0.0, 1.0)).all())


def independent(scores: np.ndarray, requests: Sequence[Hashable]) -> np.ndarray:
    """One score for each different request, whose mean is that of all rows.

    Rows with the same request get one answer: their scores are no independent sample. Their sum counts, divided by the
    mean number of rows of a request.

    Args:
        scores: of shape (rows,) or (rows, prompts).
        requests: what was sent for each row; empty where all rows differ.

    >>> independent(np.array([1.0, 1, 0, 0]), ["a", "a", "b", "b"])
    array([1., 0.])
    """
    numbers = {request: number for number, request in enumerate(dict.fromkeys(requests))}
    if len(numbers) in (0, len(scores)):
        return scores
    sums = np.zeros((len(numbers), *scores.shape[1:]))
    np.add.at(sums, [numbers[request] for request in requests], scores)
    return sums * len(numbers) / len(scores)


def mean_interval(scores: Sequence[float], level: float = 0.95, bounds: Range = UNBOUNDED) -> tuple[float, float]:
    """A confidence interval for the mean of independent scores.

    Binary scores get Wilson's score interval (Wilson 1927; recommended by Brown, Cai and DasGupta 2001 also for small
    n), other scores Student's t interval, which for a metric with a range is bent like Wilson's, see `mean_intervals`.
    NaN scores are left out. Without scores, with a single one that is not binary, and with equal ones whose range is
    not known, the interval is (nan, nan).

    Args:
        scores: the scores.
        level: confidence level.
        bounds: the range of the metric, which the interval keeps to.

    >>> tuple(round(bound, 3) for bound in mean_interval([1] * 8 + [0] * 2))
    (0.49, 0.943)
    >>> tuple(round(bound, 3) for bound in mean_interval([1] * 8 + [0.4] * 2, bounds=Range(0, 1)))
    (0.608, 0.972)
    """
    values = np.asarray(scores, dtype=float)
    values = values[~np.isnan(values)]
    return _interval(values, _is_binary(values, bounds), level, bounds)


def _interval(values: np.ndarray, binary: bool, level: float, bounds: Range) -> tuple[float, float]:
    """The interval of `mean_interval`, of scores without NaN that are those of right and wrong answers or others."""
    if not len(values):
        return math.nan, math.nan
    deviation = _deviation(values) if len(values) > 1 else math.nan
    count, mean, spread, which = (np.array([each]) for each in (len(values), values.mean(), deviation, binary))
    low, high = mean_intervals(count, mean, spread, which, level, bounds)
    return float(low[0]), float(high[0])


def _deviation(values: np.ndarray) -> float:
    """The standard deviation of two scores or more; infinite where scores are too large to be squared."""
    with np.errstate(over="ignore"):
        return float(values.std(ddof=1))


def mean_intervals(
    counts: np.ndarray,
    means: np.ndarray,
    deviations: np.ndarray,
    binary: np.ndarray,
    level: float = 0.95,
    bounds: Range = UNBOUNDED,
) -> tuple[np.ndarray, np.ndarray]:
    """The intervals of `mean_interval` for many groups at once.

    The interval of n bounded scores is Wilson's for as many right and wrong answers as would have a mean of this
    variance, with the quantile of Student's t: their variance falls towards the ends of the range, so that the interval
    is short on the side of the near end, and never leaves the range. Scores that are all equal have no spread to go by:
    the ends are the means that remain where as many scores as can have been missed (Wilson's bound for none of n) lie
    at an end of the range. Where the range is not known, such scores have no interval.

    Args:
        counts: number of scores of each group.
        means: mean of each group; NaN for an empty one.
        deviations: standard deviation (n - 1) of each group; not used for binary scores.
        binary: whether the scores of a group are all 0 or 1.
        level: confidence level.
        bounds: the range of the metric, which the intervals keep to.
    """
    counts = np.asarray(counts, dtype=float)
    z = NormalDist().inv_cdf((1 + level) / 2)
    quantiles = np.full(int(counts.max(initial=0)) + 1, math.nan)  # of Student's t, by number of scores
    if not np.all(binary):
        from scipy import special

        present = np.unique(counts[counts > 1]).astype(int)
        quantiles[present] = special.stdtrit(present - 1, (1 + level) / 2)
    quantile = quantiles[counts.astype(int)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low, high = _bounded(counts, means, deviations, quantile, bounds)
        share_low, share_high = _wilson(counts, means, z)
    return np.where(binary, share_low, low), np.where(binary, share_high, high)


def _wilson(counts: np.ndarray, shares: np.ndarray, quantile: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of shares; the counts need not be whole."""
    square = np.asarray(quantile) ** 2
    centre = (shares + square / (2 * counts)) / (1 + square / counts)
    spread = np.sqrt(shares * (1 - shares) / counts + square / (4 * counts**2))
    half = quantile * spread / (1 + square / counts)
    # Rounding must not push a share's bound over 0, 1 or the share itself.
    return np.clip(centre - half, 0.0, shares), np.clip(centre + half, shares, 1.0)


def _bounded(
    counts: np.ndarray, means: np.ndarray, deviations: np.ndarray, quantile: np.ndarray, bounds: Range
) -> tuple[np.ndarray, np.ndarray]:
    """The intervals of means of scores that are not binary."""
    equal = deviations <= EQUAL * (bounds.width if bounds.bounded else np.abs(means))
    if not bounds.bounded:
        half = np.where(equal, math.nan, quantile * deviations / np.sqrt(counts))
        return np.maximum(means - half, bounds.low), np.minimum(means + half, bounds.high)
    shares = np.clip((means - bounds.low) / bounds.width, 0.0, 1.0)
    most = shares * (1 - shares) * bounds.width**2
    # The variance of a score as a part of that of right and wrong answers; at an end of the range nothing is known.
    part = np.where(most > 1e-12 * bounds.width**2, deviations**2 / most, 1.0)
    low, high = _wilson(counts / np.maximum(part, 1e-18), shares, quantile)
    missed = quantile**2 / (counts + quantile**2)
    low, high = np.where(equal, shares * (1 - missed), low), np.where(equal, shares + missed * (1 - shares), high)
    return bounds.low + low * bounds.width, bounds.low + high * bounds.width


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The comparison of two prompts on the same rows, second minus first.

    ``won`` and ``lost`` count the rows on which the second scored higher and lower. ``verdict`` is ``better`` or
    ``worse`` when ``p`` is below 1 - level, else ``not shown``. ``detectable`` is the true difference that would be
    detected with 80% power (`POWER`) on this many rows, given scores that differ as much as these; NaN where no
    difference would be. ``missing`` rows have no score with at least one of the prompts and are left out. ``guarded``
    says that these rows alone keep the verdict from being ``better`` or ``worse``. ``distinct`` counts the different
    rows, on which p, the interval and ``detectable`` rest.
    """

    difference: float
    low: float
    high: float
    p: float
    rows: int
    won: int
    lost: int
    verdict: VerdictWord
    detectable: float
    distinct: int
    missing: int = 0
    guarded: bool = False


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    level: float = 0.95,
    bounds: Range = UNBOUNDED,
    requests: Sequence[Hashable] = (),
) -> Difference:
    """Compare two prompts on the same rows; rows where either score is NaN are left out of all numbers.

    Such rows must not decide the verdict, as a prompt may be missing just those that are hard for it. It is ``better``
    or ``worse`` only if it is that also when each row that one prompt alone is missing counts as wrong for that prompt.

    Binary scores get the exact McNemar test (the binomial test on rows that differ) with the adjusted interval of
    Agresti and Min (2005), other scores a sign-flip permutation test with the interval of `mean_interval`.

    Args:
        first: the scores of the first prompt.
        second: the scores of the second on the same rows.
        level: 1 minus the significance level.
        bounds: the range of the metric, which the difference and its interval keep to.
        requests: what both prompts sent for each row; rows with the same ones are one pair, see `independent`.

    >>> paired_difference([0] * 10, [1] * 8 + [0] * 2).verdict
    'better'
    """
    given = np.column_stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    missing = np.isnan(given)

    def compared(scores: np.ndarray, kept: np.ndarray) -> Difference:
        return _compared(scores[kept], list(compress(requests, kept)), level, bounds)

    found = compared(given, ~missing.any(axis=1))
    if found.verdict != "not shown" and (missing[:, 0] != missing[:, 1]).any():
        wrong = np.minimum(np.nanmin(given, axis=0), bounds.wrong)
        worst = compared(np.where(missing, wrong, given), ~missing.all(axis=1))
        if worst.verdict != found.verdict:
            found = replace(found, verdict="not shown", guarded=True)
    return replace(found, missing=int(missing.any(axis=1).sum()))


def _compared(scores: np.ndarray, requests: Sequence[Hashable], level: float, bounds: Range) -> Difference:
    """The comparison of two prompts by their scores on the same rows, of shape (rows, 2)."""
    by_row = scores[:, 1] - scores[:, 0]
    pairs = independent(scores, requests)
    change = pairs[:, 1] - pairs[:, 0]
    count = len(change)
    mean = float(change.mean()) if count else math.nan
    if count < 2:
        p, low, high = 1.0, math.nan, math.nan
    elif _is_binary(pairs, bounds):
        p, low, high = _mcnemar(count, int((change > 0).sum()), int((change < 0).sum()), level)
    else:
        p, (low, high) = _sign_flip_p(change), _interval(change, False, level, bounds.differences)
    verdict: VerdictWord = "not shown" if not p < 1 - level or not mean else "better" if mean > 0 else "worse"
    return Difference(
        difference=mean,
        low=low,
        high=high,
        p=p,
        rows=len(by_row),
        won=int((by_row > 0).sum()),
        lost=int((by_row < 0).sum()),
        verdict=verdict,
        detectable=detectable_difference(list(change), count, level, bounds),
        distinct=count,
    )


def _mcnemar(rows: int, won: int, lost: int, level: float) -> tuple[float, float, float]:
    """p and interval of the difference between two shares of right answers on the same rows."""
    p = two_sided_p(won, lost)
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (won - lost) / (rows + 2)
    spread = math.sqrt((won + lost + 1) - (won - lost) ** 2 / (rows + 2)) / (rows + 2)
    return p, max(-1.0, centre - z * spread), min(1.0, centre + z * spread)


def _sign_flip_p(change: np.ndarray) -> float:
    """The two-sided p of the sign-flip test (Fisher 1935): exact for up to `EXACT_FLIPS` rows that differ, else from
    `DRAWN_FLIPS` draws, which are the same whatever the order of the rows is.

    >>> _sign_flip_p(np.array([0.1, 0.2, 0.3])), _sign_flip_p(np.array([0.3, 0.0, 0.2, -0.1]))
    (0.25, 0.5)
    """
    sizes = np.sort(np.abs(change[change != 0]))
    if len(sizes) <= EXACT_FLIPS:
        signs = (np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes))) & 1
    else:
        signs = np.random.default_rng(0).integers(0, 2, (DRAWN_FLIPS, len(sizes)), dtype=np.int8)
    sums = (2 * signs.astype(float) - 1) @ sizes
    # Sums that are equal but for rounding are ties.
    extreme = int((np.abs(sums) >= abs(change.sum()) - EQUAL * sizes.sum()).sum())
    return extreme / len(sums) if len(sizes) <= EXACT_FLIPS else (1 + extreme) / (1 + len(sums))


def detectable_difference(
    differences: Sequence[float], rows: int, level: float = 0.95, bounds: Range = UNBOUNDED
) -> float:
    """The true difference of two prompts that would be detected with 80% power (`POWER`) on some number of rows; NaN
    where none would be, however large, and where the spread is not known.

    Args:
        differences: differences of their scores on some rows, whose spread is used: -1, 0 or 1 each for the exact
            McNemar test, other numbers for the t test.
        rows: number of rows to compare them on.
        level: 1 minus the significance level.
        bounds: the range of the metric: no difference is larger than it is wide.
    """
    change = np.asarray(differences, dtype=float)
    if rows < 2 or len(change) < 2:
        return math.nan
    if _is_binary(np.abs(change), bounds):
        discordant = (np.abs(change).sum() + 1) / (len(change) + 2)
        return _detectable(lambda wanted: mcnemar_power(rows, discordant, wanted, level), most=1.0)
    deviation = _deviation(change)
    if not EQUAL * float(np.abs(change).max()) < deviation < math.inf:
        return math.nan
    return _detectable(lambda wanted: t_power(rows, deviation, wanted, level), most=min(100 * deviation, bounds.width))


def own_row_test(blocks: Sequence[np.ndarray]) -> float:
    """The one-sided p of the hypothesis that answers fit their own rows no better than other rows of their block.

    If answers do not depend on the rows' targets, every pairing of answers with rows is equally likely. The sum of the
    scores of the actual pairs is compared with its mean and variance over all pairings (Hoeffding 1951, A combinatorial
    central limit theorem; as in the test of Mantel 1967). p is NaN where no score depends on the pairing.

    Args:
        blocks: arrays of shape (prompts, n, n): the score of prompt p's answer to row i with row j. The scores of each
            prompt are standardized first; the pairings are the same for all prompts of a block.

    >>> round(own_row_test([np.eye(4)[None]]), 4)
    0.0013
    """
    excess = variance = 0.0
    for block in blocks:
        centred = block - block.mean(axis=1, keepdims=True) - block.mean(axis=2, keepdims=True)
        centred = centred + block.mean(axis=(1, 2), keepdims=True)
        spread = centred.std(axis=(1, 2), keepdims=True)
        standardized = centred[spread[:, 0, 0] > 1e-12] / spread[spread[:, 0, 0] > 1e-12]
        total = standardized.sum(axis=0)
        if len(standardized) and len(total) > 1:
            excess += float(np.trace(total))
            variance += float((total**2).sum()) / (len(total) - 1)
    return math.erfc(excess / math.sqrt(2 * variance)) / 2 if variance > 0 else math.nan


def mcnemar_power(rows: int, discordant: float, difference: float, level: float = 0.95) -> float:
    """The power of the exact McNemar test for a true difference, summed over the number of rows that differ.

    Args:
        rows: number of rows that are compared.
        discordant: the probability that a row is right with one prompt only; at least ``difference``.
        difference: the true difference of the two shares of right answers, above 0.
        level: 1 minus the significance level.

    Source: Duffy (1984), Asymptotic and exact power for the McNemar test and its analogue with R controls per case.

    >>> round(mcnemar_power(100, 0.3, 0.15), 2)
    0.75
    """
    discordant = max(discordant, difference)
    counts = np.arange(1, rows + 1)
    # The largest number of lost rows, of those that differ, with which the difference is still shown.
    against = largest_losses(rows, (1 - level) / 2)
    shown = cumulated(against, (1 - difference / discordant) / 2)
    return float(probabilities(counts, np.full(rows, rows), discordant) @ shown)


def t_power(rows: int, deviation: float, difference: float, level: float = 0.95) -> float:
    """The power of a paired t test for a true difference, which is nearly that of the permutation test.

    Args:
        rows: number of rows that are compared.
        deviation: the standard deviation of the rows' differences.
        difference: their true mean, above 0.
        level: 1 minus the significance level.

    Source: Cohen (1988), Statistical power analysis for the behavioral sciences, chapter 2.
    """
    from scipy import special

    critical = special.stdtrit(rows - 1, (1 + level) / 2)
    return float(1 - special.nctdtr(rows - 1, difference * math.sqrt(rows) / deviation, critical))


def not_worse(difference: float, deviation: float, margin: float, level: float = 0.95) -> bool:
    """Whether one prompt is no more than ``margin`` worse than another with probability ``level`` (a one-sided test of
    non-inferiority; Blackwelder 1982), by the posterior mean of the ``difference`` and its standard ``deviation``.

    >>> not_worse(0.0, 0.01, margin=0.02), not_worse(0.0, 0.02, margin=0.02)
    (True, False)
    """
    return bool(difference - NormalDist().inv_cdf(level) * deviation >= -margin)


def _detectable(power: Callable[[float], float], most: float) -> float:
    """The difference at which the power reaches `POWER`; NaN where it stays below it for every difference."""
    if power(most) < POWER:
        return math.nan
    low, high = 0.0, most
    while high - low > 1e-6 * most:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high
