"""The posterior density of the variances given the observations, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, optimize

from prompt_search.search.surrogate.covariance import Components, between_means, between_observed
from prompt_search.search.surrogate.geometry import Embedding, Floats, Geometry, Integers
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import Prior, Variances

MAX_ITERATIONS = 25
"""The highest number of steps of the optimizer in one fit."""

KEPT_DIGITS = 4
"""Decimals of the logarithms of the variances that a fit keeps. The data determine them to one digit or so; the last
digits differ between processors, and from fit to fit they would differ more."""

LOG_RANGE = 7
"""How far the logarithm of a variance may lie from its prior mean, in both directions."""


@dataclass(frozen=True)
class Likelihood:
    """The density of the observations as a function of the variances.

    Args:
        geometry: the similarities of the space.
        observations: the observed means.
        level_variance: the variance of the level that all candidates have in common.
    """

    geometry: Geometry
    observations: Observations
    level_variance: float

    @cached_property
    def _embedding(self) -> Embedding:
        return self.geometry.embed(self.observations.levels)

    def mode(self, prior: Prior, start: Floats | None = None) -> Floats:
        """The logarithms of the variances with the highest posterior density.

        Args:
            prior: the prior of the variances.
            start: where the optimizer starts; default: the prior mean.
        """
        found = optimize.minimize(
            self.loss,
            prior.mean if start is None else start,
            args=(prior,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(value - LOG_RANGE, value + LOG_RANGE) for value in prior.mean],
            options={"maxiter": MAX_ITERATIONS},
        )
        return np.round(found.x, KEPT_DIGITS)

    def loss(self, log_variances: Floats, prior: Prior) -> tuple[float, Floats]:
        """The negative logarithm of the posterior density, and its gradient by the logarithms of the variances
        (Rasmussen and Williams 2006, chapter 5; additive interactions: Duvenaud et al. 2011)."""
        observations, seen = self.observations, self._embedding
        variances = Variances.of(log_variances, self.geometry)
        components = Components.of(self.geometry, seen, seen, variances)
        between = between_observed(components.total(variances), observations)
        covariance = between_means(between, observations, variances, self.level_variance)
        factor = linalg.cho_factor(covariance, lower=True)
        target = observations.mean - observations.centre
        solved = linalg.cho_solve(factor, target)
        inner = linalg.cho_solve(factor, np.eye(len(target))) - np.outer(solved, solved)
        deviation = log_variances - prior.mean
        pull = prior.precision @ deviation
        likelihood = 0.5 * target @ solved + np.log(np.diag(factor[0])).sum()
        return float(likelihood + 0.5 * deviation @ pull), 0.5 * self._gradient(variances, components, inner) + pull

    def _gradient(self, variances: Variances, components: Components, inner: Floats) -> Floats:
        """Twice the gradient of the negative log likelihood.

        Args:
            variances: where the gradient is taken.
            components: the covariance of the observations' candidates.
            inner: the gradient by the covariance of the observed means.
        """
        observations, geometry, seen = self.observations, self.geometry, self._embedding
        by_candidate = between_observed(self._summed_by_candidate(inner), observations)
        with_pairs = by_candidate * (1 + variances.interaction * components.choices)
        count = len(geometry.choices)
        single = _inner_products(with_pairs, seen.choices, geometry.choice_groups, count)
        squared = _inner_products(by_candidate, seen.squares, geometry.square_groups, count)
        pooled = _inner_products(by_candidate, seen.pools, geometry.pool_groups, len(geometry.pools))
        for place, alone in geometry.long_choices.items():
            alike = alone.similarity(seen.levels, seen.levels)
            single[place], squared[place] = (with_pairs * alike).sum(), (by_candidate * alike**2).sum()
        for place, pool in geometry.long_pools.items():
            pooled[place] = (by_candidate * pool.similarity(seen.levels, seen.levels)).sum()
        return np.concatenate(
            [
                variances.choices * single - variances.interaction * variances.choices**2 * squared,
                variances.pools * pooled,
                [
                    variances.own * (by_candidate * components.same).sum(),
                    variances.interaction * (by_candidate * components.pairs).sum(),
                    variances.rows
                    * sum((inner[np.ix_(group, group)] * shared).sum() for group, shared in observations.blocks),
                    variances.noise * (inner.diagonal() / observations.rows).sum(),
                ],
            ]
        )

    def _summed_by_candidate(self, inner: Floats) -> Floats:
        """The sums of a matrix over the entries of each two candidates."""
        observations = self.observations
        sums = np.zeros((len(observations.levels), len(inner)))
        np.add.at(sums, observations.candidate, inner)
        by_candidate = np.zeros((len(observations.levels), len(observations.levels)))
        np.add.at(by_candidate.T, observations.candidate, sums.T)
        return by_candidate


def log_density(between: Floats, observations: Observations, variances: Variances, level_variance: float) -> float:
    """The logarithm of the density of observations, without its constant.

    Args:
        between: the covariance between their candidates, as if all were of one study.
        observations: the observed means.
        variances: the variances of all components.
        level_variance: the variance of the level that all candidates of a study have in common.
    """
    covariance = between_means(between_observed(between, observations), observations, variances, level_variance)
    factor = linalg.cholesky(covariance, lower=True, overwrite_a=True)
    white = linalg.solve_triangular(factor, observations.mean - observations.centre, lower=True)
    return float(-0.5 * white @ white - np.log(np.diag(factor)).sum())


def _inner_products(matrix: Floats, features: Floats, groups: Integers, count: int) -> Floats:
    """For each group of coordinates the sum of the matrix times the coordinates' inner products."""
    return np.asarray(np.bincount(groups, ((matrix @ features) * features).sum(axis=0), count), np.float64)
