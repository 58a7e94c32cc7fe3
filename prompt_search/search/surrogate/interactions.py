"""Which pairs of options add to the true score more, or less, than the sum of both."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from prompt_search.search.surrogate.effects import interval
from prompt_search.search.surrogate.geometry import Floats, Integers
from prompt_search.search.surrogate.model import Surrogate

MAX_INTERACTIONS = 20
"""The highest number of pairs of options that are reported, the strongest first."""

MAX_TESTED = 100_000
"""The highest number of pairs of options that are tested: those of the choices that matter most. Their number grows
with the square of the number of choices."""

TESTED_TOGETHER = 4_000
"""The number of pairs of options that are tested at a time; each needs its covariance with every candidate."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """What two options add together, beyond what each adds by itself.

    Args:
        choices: positions of the two choices among the factors.
        options: position of the option of each.
        mean: posterior mean of the interaction.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
    """

    choices: tuple[int, int]
    options: tuple[int, int]
    mean: float
    low: float
    high: float


def interactions(model: Surrogate) -> list[Interaction]:
    """The pairs of options whose interval excludes 0, at most `MAX_INTERACTIONS`, the strongest first."""
    long = model.geometry.long_choices
    model, where = model.condensed()
    options = [np.unique(at, return_index=True)[1] for at in where]
    pairs = _tested(model, long)
    found = []
    for start in range(0, len(pairs), TESTED_TOGETHER):
        tested = pairs[start : start + TESTED_TOGETHER]
        mean, spread = model.posterior_of(*_prior_of_pairs(model, tested))
        low, high = interval(mean, spread)
        for index in np.flatnonzero((low > 0) | (high < 0)):
            first, second, one, two = tested[index].tolist()
            choices = (model.geometry.choices[first], model.geometry.choices[second])
            chosen = (int(options[first][one]), int(options[second][two]))
            found.append(Interaction(choices, chosen, float(mean[index]), float(low[index]), float(high[index])))
    return sorted(found, key=lambda interaction: -abs(interaction.mean))[:MAX_INTERACTIONS]


def _tested(model: Surrogate, long: Container[int]) -> Integers:
    """The pairs of options that are tested, of shape (pairs, 4): the places of two choices, and an option of each.

    Args:
        model: the surrogate.
        long: the places of choices of long lists; with those, only pairs are tested that some candidate has.
    """
    variances, places = model.variances.choices, range(len(model.geometry.choices))
    order = [(first, second) for second in places for first in range(second)]
    found: dict[tuple[int, int], Integers] = {}
    left = MAX_TESTED
    for first, second in sorted(order, key=lambda pair: -float(variances[pair[0]] * variances[pair[1]])):
        pairs_of = _seen_together if first in long or second in long else _all
        options = pairs_of(model, first, second)
        left -= len(options)
        if left < 0:
            break
        found[first, second] = np.insert(options, [0], (first, second), axis=1)
    return np.vstack([np.zeros((0, 4), np.int64), *(found[pair] for pair in order if pair in found)])


def _all(model: Surrogate, first: int, second: int) -> Integers:
    """Each option of one choice with each of another, of shape (pairs, 2); that of the second changes fastest."""
    counts = [len(model.geometry.options(place)) for place in (first, second)]
    return np.indices(counts).reshape(2, -1).T


def _seen_together(model: Surrogate, first: int, second: int) -> Integers:
    """The options of two choices that some candidate has together, of shape (pairs, 2)."""
    levels = model.observations.levels[:, [model.geometry.choices[place] for place in (first, second)]]
    return np.unique(levels[(levels >= 0).all(axis=1)], axis=0)


def _prior_of_pairs(model: Surrogate, pairs: Integers) -> tuple[Floats, Floats]:
    """The prior covariances of the effects of option pairs with the observed candidates, and their prior variances."""
    geometry, given, levels = model.geometry, model.variances, model.observations.levels
    first, second, *options = pairs.T
    variance = given.interaction * given.choices[first] * given.choices[second]
    covariance, own = np.repeat(variance[:, None], len(levels), axis=1), variance
    for places, chosen in zip((first, second), options, strict=True):
        for place in np.unique(places):
            these = places == place
            coordinates = geometry.options(place)[chosen[these]]
            covariance[these] *= coordinates @ geometry.chosen(place, levels).T
            own[these] *= (coordinates**2).sum(axis=1)
    return covariance, own
