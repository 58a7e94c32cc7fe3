"""Which choice mattered: what the surrogate knows of each option's part, with intervals.

A search shows good options more often than bad ones, and good ones together, so means over the trials of an option are
those of the company it kept. The surrogate takes every choice apart at once, from the blocks of rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from prompt_search.search.surrogate import Floats, Surrogate

LEVEL = 0.95
"""Of the intervals."""

MOST_INTERACTIONS = 20
"""How many pairs of options are told, the strongest first."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What the options of one choice add to the true score, averaged over all other choices.

    Args:
        choice: position of the choice among the factors.
        mean: expected effect of each option; they sum to 0.
        low, high: their 95% intervals.
        importance: the part of the variance between candidates that the choice explains by itself (Sobol 1993).
    """

    choice: int
    mean: Floats
    low: Floats
    high: Floats
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
    """The effects of every choice with more than one option, in the order of the factors."""
    found = [_posterior(model, *_single(model, place)) for place in range(len(model.geometry.choices))]
    explained = [float((mean**2 + spread**2).mean()) for mean, spread in found]
    given = model.variances
    pairs = given.interaction * (given.choices.sum() ** 2 - (given.choices**2).sum()) / 2
    total = sum(explained) + pairs + given.own
    return [
        Effects(choice, mean, *_interval(mean, spread), importance=part / total)
        for choice, (mean, spread), part in zip(model.geometry.choices, found, explained, strict=True)
    ]


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
    variance = given.choices[place]
    covariance = variance * options @ geometry.chosen(place, levels).T
    for pool, pooled in zip(geometry.pools, given.pools, strict=True):
        if geometry.choices[place] in pool:
            slots = np.sum([geometry.chosen(geometry.choices.index(column), levels) for column in pool], axis=0)
            covariance += pooled / len(pool) * options @ slots.T
            variance += pooled / len(pool)
    return covariance, variance * (options**2).sum(axis=1)


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
