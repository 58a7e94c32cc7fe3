"""The posterior density of the variances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.likelihood import Likelihood
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import Prior
from tests.search.surrogate.spaces import FACTORS, OPTIONS, SLOTS


def test_gradient_is_that_of_the_loss() -> None:
    """The analytic gradient agrees with finite differences, with pools, pairs and shared rows."""
    geometry = Geometry([*FACTORS, *SLOTS])
    generator = np.random.default_rng(1)
    options = [*OPTIONS, 10, 10]
    levels = np.column_stack([generator.integers(0, count, 12) for count in options])
    observations = Observations(
        levels,
        candidate=np.append(np.arange(12), [0, 1, 2]),
        block=np.append(np.zeros(12, dtype=np.int64), [1, 1, 1]),
        mean=generator.random(15),
        rows=np.append(np.full(12, 10.0), [10.0, 7.0, 10.0]),
        score_variance=0.2,
    )
    likelihood = Likelihood(geometry, observations, level_variance=0.02)
    prior = Prior.for_reporting(geometry, observations, 0.03, 0.17)
    log_variances = generator.normal(-3, 0.5, len(prior.mean))

    def loss(at: Floats) -> float:
        return likelihood.loss(at, prior)[0]

    numeric = optimize.approx_fprime(log_variances, loss, 1e-6)
    assert likelihood.loss(log_variances, prior)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)
