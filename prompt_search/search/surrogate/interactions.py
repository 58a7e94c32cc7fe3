"""Which pairs of options add to the true score more, or less, than the sum of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prompt_search.search.surrogate.effects import interval
from prompt_search.search.surrogate.geometry import Floats
from prompt_search.search.surrogate.model import Surrogate

MAX_INTERACTIONS = 20
"""The highest number of pairs of options that are reported, the strongest first."""


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
    found = [interaction for pair in _pairs(model) for interaction in pair]
    return sorted(found, key=lambda interaction: -abs(interaction.mean))[:MAX_INTERACTIONS]


def _pairs(model: Surrogate) -> Iterator[list[Interaction]]:
    choices = model.geometry.choices
    for first in range(len(choices)):
        for second in range(first):
            mean, spread = model.posterior_of(*_prior_of_pairs(model, second, first))
            low, high = interval(mean, spread)
            places = np.ndindex(*(len(model.geometry.options(place)) for place in (second, first)))
            yield [
                Interaction((choices[second], choices[first]), (place[0], place[1]), *map(float, values))
                for place, *values in zip(places, mean, low, high, strict=True)
                if not values[1] <= 0 <= values[2]
            ]


def _prior_of_pairs(model: Surrogate, first: int, second: int) -> tuple[Floats, Floats]:
    """The prior covariances of the effects of two choices' option pairs with the observed candidates, and their prior
    variances; the option of the second choice changes fastest."""
    geometry, given, levels = model.geometry, model.variances, model.observations.levels
    variance = given.interaction * given.choices[first] * given.choices[second]
    one, two = (geometry.options(place) @ geometry.chosen(place, levels).T for place in (first, second))
    squares = [(geometry.options(place) ** 2).sum(axis=1) for place in (first, second)]
    covariance = variance * one[:, None, :] * two[None, :, :]
    return covariance.reshape(-1, len(levels)), variance * np.outer(*squares).ravel()
