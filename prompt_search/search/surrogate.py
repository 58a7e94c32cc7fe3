"""What is known about all candidates at once: a Gaussian process over their choices.

Two candidates are alike by the choices they share, each choice with a weight of its own that is learned from the
scores; what the choices do not explain is a residual of the single candidate. So a candidate seen on ten rows
borrows strength from all others with the same instruction, the same shots, or the same way to read the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]
"""One row per candidate, one column per factor: the position of the option, -1 where the factor is inactive."""

PRIOR_SHARE = 0.05
"""Before any data each choice is expected to explain this much of the variance of a single score."""

PRIOR_SPREAD = 1.5
"""Standard deviation of the logarithm of a weight before any data."""


def similarity(first: Levels, second: Levels, ordered: bool, options: int) -> Floats:
    """How alike candidates are in one factor, 0 to 1: equal options, or for an ordered factor near ones.

    An inactive factor is alike only to an inactive one.
    """
    left, right = first[:, None], second[None, :]
    equal = np.asarray(left == right, dtype=np.float64)
    if not ordered:
        return equal
    near = np.exp(-np.abs(left - right) / max(1.0, options / 3))
    return np.asarray(np.where((left < 0) | (right < 0), equal, near), dtype=np.float64)


@dataclass(frozen=True)
class Surrogate:
    """A Gaussian process fitted to mean scores.

    Args:
        ordered: whether each factor's options are ordered (a number of shots, an integer).
        options: the number of options of each factor.
        levels: the candidates seen.
        means: their mean scores.
        counts: the rows behind each mean.
        noise: the variance of a single score.
        weights: the variance that each factor explains, and last the residual's.
    """

    ordered: Sequence[bool]
    options: Sequence[int]
    levels: Levels
    means: Floats
    counts: Floats
    noise: float
    weights: Floats

    @classmethod
    def fit(
        cls,
        ordered: Sequence[bool],
        options: Sequence[int],
        levels: Levels,
        means: Floats,
        counts: Floats,
        noise: float,
        weights: Floats | None = None,
    ) -> Surrogate:
        """Fit the weights by their posterior mode (weak log-normal priors, analytic gradient); given weights
        are taken as they are (Rasmussen and Williams 2006, chapter 5)."""
        noise = max(noise, 1e-6)
        blank = cls(ordered, options, levels, means, counts, noise, np.ones(len(ordered) + 1))
        if weights is None:
            weights = blank._mode()
        return cls(ordered, options, levels, means, counts, noise, weights)

    def _parts(self, first: Levels, second: Levels) -> list[Floats]:
        """One similarity matrix a factor, and last the one of equal candidates."""
        parts = [
            similarity(first[:, index], second[:, index], ordered, options)
            for index, (ordered, options) in enumerate(zip(self.ordered, self.options, strict=True))
        ]
        equal = (first[:, None, :] == second[None, :, :]).all(axis=2)
        return [*parts, equal.astype(float)]

    def _kernel(self, first: Levels, second: Levels) -> Floats:
        weighted = (weight * part for weight, part in zip(self.weights, self._parts(first, second), strict=True))
        return np.asarray(sum(weighted), dtype=np.float64)

    @cached_property
    def centre(self) -> float:
        """The mean of all scores seen."""
        return float(np.average(self.means, weights=self.counts))

    def _mode(self) -> Floats:
        parts = np.stack(self._parts(self.levels, self.levels))
        diagonal = np.diag(self.noise / self.counts)
        target = self.means - self.centre
        middle = np.log(self.noise * PRIOR_SHARE)

        def loss(logs: Floats) -> tuple[float, Floats]:
            weights = np.exp(logs)
            factor = linalg.cho_factor(np.tensordot(weights, parts, axes=1) + diagonal, lower=True)
            solved = linalg.cho_solve(factor, target)
            inverse = linalg.cho_solve(factor, np.eye(len(target)))
            likelihood = 0.5 * target @ solved + np.log(np.diag(factor[0])).sum()
            inner = np.outer(solved, solved) - inverse
            gradient = -0.5 * weights * np.einsum("ij,kij->k", inner, parts)
            prior = (logs - middle) / PRIOR_SPREAD
            return float(likelihood + 0.5 * prior @ prior), gradient + prior / PRIOR_SPREAD

        start = np.full(len(parts), middle)
        bounds = [(middle - 6, middle + 6)] * len(parts)
        found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
        return np.asarray(np.exp(found.x), dtype=np.float64)

    def posterior(self, levels: Levels) -> tuple[Floats, Floats]:
        """Mean, of shape (n,), and covariance, of shape (n, n), of candidates' true mean scores."""
        known = self._kernel(self.levels, self.levels) + np.diag(self.noise / self.counts)
        factor = linalg.cho_factor(known, lower=True)
        cross = self._kernel(self.levels, levels)
        mean = self.centre + cross.T @ linalg.cho_solve(factor, self.means - self.centre)
        return mean, self._kernel(levels, levels) - cross.T @ linalg.cho_solve(factor, cross)

    def draw(self, levels: Levels, count: int, scale: float, generator: np.random.Generator) -> Floats:
        """``count`` joint draws of candidates' true means, of shape (count, n), their spread times ``scale``."""
        mean, covariance = self.posterior(levels)
        root = linalg.cholesky(covariance + 1e-8 * np.eye(len(mean)), lower=True)
        return np.asarray(mean + scale * generator.standard_normal((count, len(mean))) @ root.T, dtype=np.float64)
