"""Covariances between candidates' true mean scores, and between observed means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_search.search.surrogate.geometry import Embedding, Floats, Geometry
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import Variances

Booleans = NDArray[np.bool_]

CHUNK_CANDIDATES = 200
"""Number of candidates for which covariances are computed at a time, since every component needs a matrix of its
own."""


@dataclass(frozen=True)
class Components:
    """The covariance between candidates, by component.

    Args:
        choices: what single choices add.
        pools: what pools add.
        pairs: what pairs of choices add, before it is multiplied by the variance of interactions.
        same: whether two candidates are equal.
    """

    choices: Floats
    pools: Floats
    pairs: Floats
    same: Booleans

    @classmethod
    def of(cls, geometry: Geometry, first: Embedding, second: Embedding, variances: Variances) -> Components:
        """The components between each of the first and each of the second candidates."""
        choices = (first.choices * variances.choices[geometry.choice_groups]) @ second.choices.T
        squares = (first.squares * variances.choices[geometry.square_groups] ** 2) @ second.squares.T
        for place, alone in geometry.long_choices.items():
            part = variances.choices[place] * alone.similarity(first.levels, second.levels)
            choices += part
            squares += part**2
        pairs = choices**2
        pairs -= squares
        pairs /= 2
        pools = (first.pools * variances.pools[geometry.pool_groups]) @ second.pools.T
        for place, pool in geometry.long_pools.items():
            pools += variances.pools[place] * pool.similarity(first.levels, second.levels)
        return cls(choices, pools, pairs, first.identity[:, None] == second.identity[None, :])

    def total(self, variances: Variances) -> Floats:
        """The sum of all components."""
        return self.choices + self.pools + variances.interaction * self.pairs + variances.own * self.same


def between_candidates(geometry: Geometry, first: Embedding, second: Embedding, variances: Variances) -> Floats:
    """The covariance between candidates, without the level that all candidates have in common."""
    found = np.empty((len(first.identity), len(second.identity)))
    for start in range(0, len(found), CHUNK_CANDIDATES):
        chunk = slice(start, start + CHUNK_CANDIDATES)
        found[chunk] = Components.of(geometry, first[chunk], second, variances).total(variances)
    return found


def between_observed(between: Floats, observations: Observations) -> Floats:
    """The covariance between observed candidates, given that of the same candidates in one study."""
    return between if observations.relation is None else between * observations.relation.between


def between_means(between: Floats, observations: Observations, variances: Variances, level_variance: float) -> Floats:
    """The covariance between observed means: of their candidates, the common level, the rows' difficulty and noise.

    Args:
        between: the covariance between the candidates of the observations, see `between_observed`.
        observations: the observed means.
        variances: of rows and noise.
        level_variance: the variance of the level that all candidates have in common.
    """
    which, relation = observations.candidate, observations.relation
    covariance = between[np.ix_(which, which)]
    covariance += level_variance if relation is None else level_variance * relation.same[np.ix_(which, which)]
    for group, shared in observations.blocks:
        covariance[np.ix_(group, group)] += variances.rows * shared
    covariance[np.diag_indices_from(covariance)] += variances.noise / observations.rows
    return covariance
