"""What is known about all candidates at once: a Gaussian process over their choices.

A score is the sum of the effects of single choices, the effects of pairs of choices, the candidate's own deviation,
the difficulty of the rows, and noise. Each component has a variance that is estimated from the scores. A candidate
that was evaluated on ten rows therefore shares information with all others that have the same instruction, the same
shots, or the same answer form, and hard rows do not count against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import linalg

from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.covariance import between_candidates, between_means, between_observed
from prompt_search.search.surrogate.geometry import Embedding, Floats, Geometry, Integers
from prompt_search.search.surrogate.likelihood import Likelihood
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import LEVEL_SHARE, Prior, Variances

MAX_FITTED = 400
"""The highest number of observations that the variances are fitted to. The variances are few numbers, and the time of
a fit grows with the cube of this number."""

KEPT_DIGITS = 9
"""Digits of expected scores, after the first one of a score's standard deviation, that are kept. The last digits of a
sum differ between processors; without them, candidates of which the same is expected have the same mean on all."""


@dataclass(frozen=True)
class Surrogate:
    """The posterior over all candidates' true mean scores, given observations and variances.

    Args:
        geometry: the similarities of the space.
        observations: the observed means.
        log_variances: the logarithms of the variances, in the order of `Variances`.
        level_variance: the variance of the level that all candidates have in common.
    """

    geometry: Geometry
    observations: Observations
    log_variances: Floats
    level_variance: float

    @classmethod
    def fit(
        cls, geometry: Geometry, observations: Observations, prior: Prior | None = None, start: Floats | None = None
    ) -> Surrogate:
        """The surrogate with the variances of highest posterior density.

        Args:
            geometry: the similarities of the space.
            observations: the observed means.
            prior: the prior of the variances; default: `Prior.for_search`.
            start: logarithms of variances at which the optimizer starts.
        """
        prior = prior or Prior.for_search(geometry, observations)
        level_variance = LEVEL_SHARE * observations.score_variance
        likelihood = Likelihood(geometry, observations.thinned(MAX_FITTED), level_variance)
        return cls(geometry, observations, likelihood.mode(prior, start), level_variance)

    def updated(self, observations: Observations) -> Surrogate:
        """The surrogate with the same variances and other observations.

        What was computed for the same candidates and rows moves to the new surrogate. This one forgets it, as it is
        most of the memory of a search.
        """
        found = replace(self, observations=observations)
        same_levels = observations.has_levels_of(self.observations)
        for name, same in (
            ("_between_observed", same_levels),
            ("cholesky", same_levels and observations.has_rows_of(self.observations)),
        ):
            computed = self.__dict__.pop(name, None)
            if same and computed is not None:
                self.__dict__[name] = found.__dict__[name] = computed
        return found

    def prepared_for(self, observations: Observations) -> Surrogate:
        """As `updated`, with everything computed that does not depend on the scores."""
        found = self.updated(observations)
        _ = found.cholesky
        return found

    def condensed(self) -> tuple[Surrogate, list[Integers]]:
        """The same posterior over the options that candidates have; for each choice the position of each option in it,
        see `Geometry.condensed`."""
        geometry, levels, where = self.geometry.condensed(self.observations.levels)
        if not self.geometry.long_choices:
            return self, where
        return replace(self, geometry=geometry, observations=replace(self.observations, levels=levels)), where

    @cached_property
    def variances(self) -> Variances:
        """The variance of every component."""
        return Variances.of(self.log_variances, self.geometry)

    @cached_property
    def _observed(self) -> Embedding:
        return self.geometry.embed(self.observations.levels)

    def _with_observed(self, other: Embedding) -> Floats:
        """The covariance of the observed candidates with others of this study."""
        covariance = between_candidates(self.geometry, self._observed, other, self.variances)
        relation = self.observations.relation
        if relation is None:
            covariance += self.level_variance
            return covariance
        return np.asarray(relation.with_new[:, None] * covariance + self.level_variance * relation.is_own[:, None])

    @cached_property
    def _between_observed(self) -> Floats:
        between = between_candidates(self.geometry, self._observed, self._observed, self.variances)
        return between_observed(between, self.observations)

    @cached_property
    def cholesky(self) -> tuple[Floats, bool]:
        """The Cholesky factor of the covariance of the observed means, as scipy's ``cho_factor`` returns it."""
        covariance = between_means(self._between_observed, self.observations, self.variances, self.level_variance)
        factor: tuple[Floats, bool] = linalg.cho_factor(covariance.T, lower=True, overwrite_a=True)  # without a copy
        return factor

    @cached_property
    def weights(self) -> Floats:
        """The weight of the covariance with each observed candidate in any posterior mean, of shape (candidates,)."""
        weights = linalg.cho_solve(self.cholesky, self.observations.mean - self.observations.centre)
        count = len(self.observations.levels)
        return np.asarray(np.bincount(self.observations.candidate, weights, count), dtype=np.float64)

    @cached_property
    def mean_of_observed(self) -> Floats:
        """The expected true mean scores of the candidates that were observed in this study, of shape (candidates,)."""
        between, relation = self._between_observed, self.observations.relation
        if relation is None:
            return self._rounded(self._mean(between) + self.level_variance * self.weights.sum())
        own = relation.is_own
        return self._rounded(self._mean(between[:, own]) + self.level_variance * self.weights[own].sum())

    def mean(self, levels: Levels) -> Floats:
        """The expected true mean scores of candidates, of shape (n,)."""
        return self._rounded(self._mean(self._with_observed(self.geometry.embed(levels))))

    def _mean(self, covariance: Floats) -> Floats:
        return np.asarray(self.observations.centre + covariance.T @ self.weights)

    def _rounded(self, means: Floats) -> Floats:
        return np.round(means, KEPT_DIGITS - math.floor(math.log10(self.observations.scale) / 2))

    def posterior(self, levels: Levels) -> tuple[Floats, Floats]:
        """Mean, of shape (n,), and covariance, of shape (n, n), of candidates' true mean scores."""
        embedded = self.geometry.embed(levels)
        cross = self._with_observed(embedded)
        half = linalg.solve_triangular(self.cholesky[0], cross[self.observations.candidate], lower=True)
        covariance = between_candidates(self.geometry, embedded, embedded, self.variances)
        covariance += self.level_variance
        covariance -= half.T @ half
        return self._rounded(self._mean(cross)), np.asarray(covariance)

    def posterior_of(self, covariance: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Posterior means and standard deviations, of shape (n,), of any n linear functions of the true mean scores.

        Args:
            covariance: their prior covariances with the observed candidates, of shape (n, candidates).
            variance: their prior variances, of shape (n,).
        """
        half = linalg.solve_triangular(self.cholesky[0], covariance.T[self.observations.candidate], lower=True)
        return covariance @ self.weights, np.sqrt(np.maximum(variance - (half**2).sum(axis=0), 0))

    def sample(self, levels: Levels, count: int, scale: float, generator: np.random.Generator) -> Floats:
        """Joint samples of candidates' true mean scores, of shape (count, n), with a scaled standard deviation."""
        mean, covariance = self.posterior(levels)
        jitter = 1e-8 + 1e-6 * covariance.diagonal().max()
        root = linalg.cholesky(covariance + jitter * np.eye(len(mean)), lower=True)
        return np.asarray(mean + scale * generator.standard_normal((count, len(mean))) @ root.T)
