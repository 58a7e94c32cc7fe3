"""Which choice mattered: the effect of every option on the true score, with confidence intervals.

The mean score over the trials that have an option is confounded: a search evaluates good options more often than bad
ones, and good options together. A mixed model estimates the effects of all choices at the same time, from the blocks
of rows themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, special

from prompt_search.search.surrogate.geometry import Floats
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.priors import Prior

CONFIDENCE = 0.95
"""Confidence level of all intervals."""

MIN_TRIALS = 2
"""Number of candidates with an option from which on its effect is estimated. The score of one may be its own alone."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the options of one choice add to the true score, averaged over all other choices.

    Args:
        choice: position of the choice among the factors.
        mean: estimated effect of each option, from the mean over the options that several candidates have; NaN where
            the scores do not determine it, or a single candidate alone has the option.
        low: lower ends of the 95% confidence intervals.
        high: upper ends of the 95% confidence intervals.
        p: p-value of each effect, corrected for the number of all options of all choices by the false discovery rate:
            of the effects with p below 0.05, on average at most one in twenty is 0 (Benjamini and Hochberg 1995).
        expected: the surrogate's posterior mean of each effect, which is shrunk towards 0 and has the smaller error.
        importance: share of the variance between candidates that the choice explains by itself (Sobol 1993).
    """

    choice: int
    mean: Floats
    low: Floats
    high: Floats
    p: Floats
    expected: Floats
    importance: float


def effects(model: Surrogate) -> list[Effects]:
    """The effects of every choice with more than one option, in the order of the factors.

    The choice in question is a fixed effect, without a prior; everything else is random: generalised least squares
    with the surrogate's covariance (Henderson 1975; Robinson 1991). The variances between candidates are refitted for
    this with a weak prior, so that the intervals rest on the scores alone. Few means tell little of these variances:
    tests and intervals have Student's t with as many degrees of freedom as there are means besides the options.
    """
    model, where = model.condensed()
    places, refitted = range(len(model.geometry.choices)), _refitted_with_weak_prior(model)
    expected = [model.posterior_of(*_prior_of_options(model, place)) for place in places]
    estimates = [fixed_effect(refitted, place) for place in places]
    freedom = [_freedom(model, place) for place in places]
    explained = [float((mean**2 + spread**2)[at].mean()) for (mean, spread), at in zip(expected, where, strict=True)]
    given = model.variances
    pairs = given.interaction * (given.choices.sum() ** 2 - (given.choices**2).sum()) / 2
    total = sum(explained) + pairs + given.own
    return [
        Effects(choice, mean[at], *interval(mean[at], spread[at], left), p[at], shrunk[at], part / total)
        for choice, at, (mean, spread), left, p, (shrunk, _), part in zip(
            model.geometry.choices,
            where,
            estimates,
            freedom,
            _corrected_p(estimates, freedom),
            expected,
            explained,
            strict=True,
        )
    ]


def _freedom(model: Surrogate, place: int) -> int:
    """The number of observed means besides those that the options of a choice take."""
    tried = np.unique(model.observations.levels[:, model.geometry.choices[place]])
    return max(1, len(model.observations.mean) - len(tried))


def _refitted_with_weak_prior(model: Surrogate) -> Surrogate:
    """The surrogate of the same observations, whose prior holds only the variances of rows and noise as known."""
    geometry, observations, known = model.geometry, model.observations, model.variances
    return Surrogate.fit(geometry, observations, Prior.weak(geometry, observations, known.rows, known.noise))


def fixed_effect(model: Surrogate, place: int) -> tuple[Floats, Floats]:
    """Each option's effect and its standard deviation, with the choice as a fixed effect."""
    geometry, observations = model.geometry, model.observations
    options, chosen = geometry.options(place), geometry.chosen(place, observations.levels)[observations.candidate]
    columns = np.column_stack([np.ones(len(chosen)), observations.mean - observations.centre, chosen])
    white = linalg.solve_triangular(model.cholesky[0], columns, lower=True)
    level, rest = white[:, 0], white[:, 1:]
    rest = rest - np.outer(level, level @ rest) / (level @ level)
    left, strength, directions = linalg.svd(rest[:, 1:], full_matrices=False)
    determined = strength > 1e-5 * strength[0]
    strength, directions = strength[determined], directions[determined]
    along = options @ directions.T
    undetermined = np.abs(options - along @ directions).max(axis=1) > 1e-6
    levels = observations.levels[:, geometry.choices[place]]
    counts = np.bincount(levels[levels >= 0], minlength=len(options))
    repeated = counts >= MIN_TRIALS
    if repeated.sum() < 2:
        return np.full(len(options), np.nan), np.full(len(options), np.nan)
    along -= along[repeated].mean(axis=0)
    mean = along @ (left[:, determined].T @ rest[:, 0] / strength)
    # The covariance of the observations contains the prior variance of the choice; it is subtracted again.
    variance = np.maximum(strength**-2.0 - _prior_variance(model, place), 0)
    spread = np.sqrt((along**2) @ variance)
    unknown = np.where(counts == 0, undetermined, ~repeated)
    return np.where(unknown, np.nan, mean), np.where(unknown, np.nan, spread)


def _prior_variance(model: Surrogate, place: int) -> float:
    """The prior variance of a choice: its own, and its part of that of its pool."""
    pools = zip(model.geometry.pools, model.variances.pools, strict=True)
    shared = sum(pooled / len(pool) for pool, pooled in pools if model.geometry.choices[place] in pool)
    return float(model.variances.choices[place] + shared)


def _corrected_p(estimates: Sequence[tuple[Floats, Floats]], freedom: Sequence[int]) -> list[Floats]:
    """The p-values of effects, given with their standard deviations and degrees of freedom, corrected for their
    number."""
    mean, spread = (np.concatenate([part[which] for part in estimates] or [np.empty(0)]) for which in (0, 1))
    degrees = np.repeat(np.asarray(freedom, dtype=np.int64), [len(part[0]) for part in estimates])
    p = np.full(len(mean), np.nan)
    known = spread > 0
    p[known] = _false_discovery(2 * special.stdtr(degrees[known], -np.abs(mean[known]) / spread[known]))
    return np.split(p, np.cumsum([len(part[0]) for part in estimates]))[:-1]


def _false_discovery(p: Floats) -> Floats:
    """P-values, corrected as Benjamini and Hochberg (1995) do.

    It is scipy.stats' `false_discovery_control`; to import that module takes half a second and 53 MB, and nothing else
    here needs it.
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    scaled = p[order] * (len(p) / np.arange(1, len(p) + 1))
    corrected[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return corrected


def _prior_of_options(model: Surrogate, place: int) -> tuple[Floats, Floats]:
    """The prior covariances of the options' effects with the observed candidates, and their prior variances."""
    geometry, given, levels = model.geometry, model.variances, model.observations.levels
    options = geometry.options(place)
    covariance = given.choices[place] * options @ geometry.chosen(place, levels).T
    for pool, pooled in zip(geometry.pools, given.pools, strict=True):
        if geometry.choices[place] in pool:
            slots = np.sum([geometry.chosen(geometry.choices.index(column), levels) for column in pool], axis=0)
            covariance += pooled / len(pool) * options @ slots.T
    return covariance, _prior_variance(model, place) * (options**2).sum(axis=1)


def interval(mean: Floats, spread: Floats, freedom: float = np.inf) -> tuple[Floats, Floats]:
    """The confidence intervals of estimates with these standard deviations, which have so many degrees of freedom."""
    half = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * spread
    return mean - half, mean + half
