"""Which choice mattered: what the looks tell of each option's part, with intervals.

A search shows good options more often than bad ones, and good ones together, so means over the trials of an option are
those of the company it kept. A mixed model takes every choice apart at once, from the blocks of rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from prompt_search.search.surrogate import Floats, Prior, Surrogate

LEVEL = 0.95
"""Of the intervals."""

MOST_INTERACTIONS = 20
"""How many pairs of options are told, the strongest first."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the options of one choice add to the true score, averaged over all other choices.

    Args:
        choice: position of the choice among the factors.
        mean: what the looks say of each option, from the mean over the options that were tried; NaN where they say
            nothing.
        low, high: the 95% intervals.
        p: how likely looks like these are where the option adds nothing, corrected for all options of all choices: of
            those below 0.05 at most one in twenty adds nothing, on average (Benjamini and Hochberg 1995).
        expected: the surrogate's expectation of each effect, which is nearer to the truth, and nearer to 0.
        importance: the part of the variance between candidates that the choice explains by itself (Sobol 1993).
    """

    choice: int
    mean: Floats
    low: Floats
    high: Floats
    p: Floats
    expected: Floats
    importance: float


@dataclass(frozen=True, slots=True)
class Interaction:
    """What two options add together, beyond what each adds by itself; choices and options by their positions."""

    choices: tuple[int, int]
    options: tuple[int, int]
    mean: float
    low: float
    high: float


def effects(model: Surrogate) -> list[Effects]:
    """The effects of every choice with more than one option, in the order of the factors.

    The choice in question is a fixed effect, of which nothing is expected, all else is random: generalised least
    squares with the surrogate's covariance (Henderson 1975; Robinson 1991). How much candidates differ is learned
    anew for that, from the scores alone, so that the intervals do not rest on what was expected.
    """
    places, free = range(len(model.geometry.choices)), _free(model)
    expected = [_posterior(model, *_single(model, place)) for place in places]
    found = [_fixed(free, place) for place in places]
    explained = [float((mean**2 + spread**2).mean()) for mean, spread in expected]
    given = model.variances
    pairs = given.interaction * (given.choices.sum() ** 2 - (given.choices**2).sum()) / 2
    total = sum(explained) + pairs + given.own
    return [
        Effects(choice, mean, *_interval(mean, spread), p=p, expected=shrunk, importance=part / total)
        for choice, (mean, spread), p, (shrunk, _), part in zip(
            model.geometry.choices, found, _corrected(found), expected, explained, strict=True
        )
    ]


def _free(model: Surrogate) -> Surrogate:
    """The same looks, with variances of which nothing was expected but those of rows and noise."""
    geometry, looks, known = model.geometry, model.looks, model.variances
    return Surrogate.learn(geometry, looks, Prior.free(geometry, looks, known.rows, known.noise))


def _fixed(model: Surrogate, place: int) -> tuple[Floats, Floats]:
    """Each option's effect and its standard deviation, where the choice is a fixed effect."""
    geometry, looks = model.geometry, model.looks
    options, chosen = geometry.options(place), geometry.chosen(place, looks.levels)[looks.candidate]
    columns = np.column_stack([np.ones(len(chosen)), looks.mean - looks.centre, chosen])
    white = linalg.solve_triangular(model.factor[0], columns, lower=True)
    level, rest = white[:, 0], white[:, 1:]
    rest = rest - np.outer(level, level @ rest) / (level @ level)
    left, strength, directions = linalg.svd(rest[:, 1:], full_matrices=False)
    told = strength > 1e-5 * strength[0]
    strength, directions = strength[told], directions[told]
    along = options @ directions.T
    mean = along @ (left[:, told].T @ rest[:, 0] / strength)
    # The covariance of the looks holds what the choice was expected to add: that is taken out again.
    variance = np.maximum(strength**-2.0 - _expected_variance(model, place), 0)
    spread = np.sqrt((along**2) @ variance)
    tried = np.isin(np.arange(len(options)), looks.levels[:, geometry.choices[place]])
    unknown = ~tried & (np.abs(options - along @ directions).max(axis=1) > 1e-6)
    unknown |= tried.sum() < 2
    return np.where(unknown, np.nan, mean), np.where(unknown, np.nan, spread)


def _expected_variance(model: Surrogate, place: int) -> float:
    """Of what a choice adds before any look: its own variance, and its part of its pool's."""
    pools = zip(model.geometry.pools, model.variances.pools, strict=True)
    shared = sum(pooled / len(pool) for pool, pooled in pools if model.geometry.choices[place] in pool)
    return float(model.variances.choices[place] + shared)


def _corrected(found: Sequence[tuple[Floats, Floats]]) -> list[Floats]:
    """The p of effects, given with their standard deviations, corrected for their number."""
    mean, spread = (np.concatenate([part[which] for part in found] or [np.empty(0)]) for which in (0, 1))
    p = np.full(len(mean), np.nan)
    known = spread > 0
    p[known] = stats.false_discovery_control(2 * stats.norm.sf(np.abs(mean[known]) / spread[known]))
    return np.split(p, np.cumsum([len(part[0]) for part in found]))[:-1]


def interactions(model: Surrogate) -> list[Interaction]:
    """The pairs of options whose interval leaves out 0, at most `MOST_INTERACTIONS`, the strongest first."""
    found = [interaction for pair in _pairs(model) for interaction in pair]
    return sorted(found, key=lambda interaction: -abs(interaction.mean))[:MOST_INTERACTIONS]


def _pairs(model: Surrogate) -> Iterator[list[Interaction]]:
    choices = model.geometry.choices
    for first in range(len(choices)):
        for second in range(first):
            mean, spread = _posterior(model, *_together(model, second, first))
            low, high = _interval(mean, spread)
            places = np.ndindex(*(len(model.geometry.options(place)) for place in (second, first)))
            yield [
                Interaction((choices[second], choices[first]), (place[0], place[1]), *map(float, values))
                for place, *values in zip(places, mean, low, high, strict=True)
                if not values[1] <= 0 <= values[2]
            ]


def _single(model: Surrogate, place: int) -> tuple[Floats, Floats]:
    """The prior covariance of the options' effects with the candidates looked at, and their variances."""
    geometry, given, levels = model.geometry, model.variances, model.looks.levels
    options = geometry.options(place)
    covariance = given.choices[place] * options @ geometry.chosen(place, levels).T
    for pool, pooled in zip(geometry.pools, given.pools, strict=True):
        if geometry.choices[place] in pool:
            slots = np.sum([geometry.chosen(geometry.choices.index(column), levels) for column in pool], axis=0)
            covariance += pooled / len(pool) * options @ slots.T
    return covariance, _expected_variance(model, place) * (options**2).sum(axis=1)


def _together(model: Surrogate, first: int, second: int) -> tuple[Floats, Floats]:
    """As `_single`, for the pairs of options of two choices, those of the second one changing fastest."""
    geometry, given, levels = model.geometry, model.variances, model.looks.levels
    variance = given.interaction * given.choices[first] * given.choices[second]
    one, two = (geometry.options(place) @ geometry.chosen(place, levels).T for place in (first, second))
    squares = [(geometry.options(place) ** 2).sum(axis=1) for place in (first, second)]
    covariance = variance * one[:, None, :] * two[None, :, :]
    return covariance.reshape(-1, len(levels)), variance * np.outer(*squares).ravel()


def _posterior(model: Surrogate, covariance: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of what has this prior covariance with the candidates looked at."""
    half = linalg.solve_triangular(model.factor[0], covariance.T[model.looks.candidate], lower=True)
    return covariance @ model.solved, np.sqrt(np.maximum(variance - (half**2).sum(axis=0), 0))


def _interval(mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * spread
    return mean - half, mean + half
