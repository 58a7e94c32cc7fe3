"""The Gaussian process over choices: what it learns from scores, and what it predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.search.surrogate.geometry import Geometry
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations
from tests.search.surrogate.spaces import GEOMETRY, SLOTS, fitted, levels_of, observations_of


def test_slots_with_one_pool_share_what_is_learned_of_a_shot() -> None:
    """A shot that scored well in one slot is expected to be good in the other one, where it was never evaluated."""
    geometry = Geometry(SLOTS)
    assert geometry.pools == [[0, 1]]
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 10, (80, 2))
    levels = levels[levels[:, 1] != 3]
    means = 0.3 + 0.2 * np.isin(levels, (3, 5, 7)).sum(axis=1)
    surrogate = Surrogate.fit(geometry, observations_of(levels, means, rows=50))
    with_it, without = surrogate.mean(np.array([[0, 3], [0, 4]]))
    assert with_it - without > 0.05


@given(st.integers(0, 2**16))
def test_posterior_of_one_candidate_is_its_mean(seed: int) -> None:
    """The posterior mean of a single candidate is its own mean, with some variance."""
    levels = levels_of(1, seed)
    model = fitted(levels, np.array([0.9]))

    mean, covariance = model.posterior(levels)

    assert mean[0] == pytest.approx(0.9)
    assert covariance[0, 0] > 0


def test_strength_is_shared_between_candidates() -> None:
    """An unseen candidate with the option that scored well is expected above one without it."""
    levels = levels_of(40, 1)
    means = np.where(levels[:, 0] == 2, 0.8, 0.4)
    model = fitted(levels, means)

    mean, _ = model.posterior(np.array([[2, 1, 3], [0, 1, 3]]))

    assert mean[0] - mean[1] > 0.3


def test_variance_goes_to_the_factor_that_matters() -> None:
    """The factor that decides the score gets the largest variance, candidates' own deviations a small one."""
    levels = levels_of(60, 2)
    generator = np.random.default_rng(0)
    means = np.where(levels[:, 1] == 1, 0.8, 0.4) + generator.normal(0, 0.02, 60)

    variances = fitted(levels, means, rows=100).variances

    assert int(np.argmax(variances.choices)) == 1
    assert variances.own < variances.choices[1] / 5


def test_more_rows_mean_less_uncertainty() -> None:
    """The posterior variance of an evaluated candidate falls with its number of rows."""
    levels = levels_of(10, 3)
    means = np.linspace(0.3, 0.7, 10)
    learned = fitted(levels, means)
    spread = []
    for rows in (5.0, 50.0):
        model = replace(learned, observations=observations_of(levels, means, rows))
        spread.append(model.posterior(levels)[1][0, 0])

    assert spread[1] < spread[0]


def test_scores_without_any_spread_are_accepted() -> None:
    """With a constant metric all candidates have the same posterior mean."""
    levels = levels_of(8, 4)

    mean, _ = fitted(levels, np.ones(8), spread=0.0).posterior(levels)

    assert mean == pytest.approx(np.ones(8))


def test_scale_and_level_of_scores_do_not_matter() -> None:
    """The posterior means for a metric from 0 to 100,000 are those for one from 0 to 1, rescaled."""
    levels = levels_of(30, 7)
    means = np.random.default_rng(7).random(30)
    small, large = fitted(levels, means), fitted(levels, 1e5 * means - 5e4, spread=0.2e10)

    assert large.mean(levels) == pytest.approx(1e5 * small.mean(levels) - 5e4, rel=1e-3, abs=100)
    assert large.sample(levels, 2, 1.0, np.random.default_rng(0)).std() > 0


@pytest.mark.parametrize("spread", [0.01, 0.2, 5.0])
def test_updated_surrogate_has_the_posterior_of_a_new_one(spread: float) -> None:
    """An updated surrogate has the posterior of one that is constructed with the new observations."""
    levels = np.unique(levels_of(20, 0), axis=0)
    means = np.random.default_rng(0).random(len(levels))
    before, now = observations_of(levels, means), observations_of(levels, means[::-1], rows=20, spread=spread)
    model = Surrogate.fit(GEOMETRY, before)
    _ = model.mean_of_observed

    constructed = replace(model, observations=now)

    for found, expected in zip(model.updated(now).posterior(levels), constructed.posterior(levels), strict=True):
        assert found == pytest.approx(expected, abs=1e-9)
    assert model.updated(now).mean_of_observed == pytest.approx(constructed.mean_of_observed, abs=1e-9)


def test_computation_in_advance_is_used_only_for_the_expected_rows() -> None:
    """What was computed in advance is used if the scores are of the expected rows, and only then."""
    levels = np.unique(levels_of(20, 0), axis=0)
    means = np.random.default_rng(0).random(len(levels))
    model = Surrogate.fit(GEOMETRY, observations_of(levels, means))
    expected_rows = observations_of(levels, np.full(len(levels), np.nan), rows=20)
    prepared = model.prepared_for(expected_rows)

    as_expected, otherwise = replace(expected_rows, mean=means[::-1]), observations_of(levels, means[::-1], rows=15)

    assert prepared.updated(as_expected).cholesky is prepared.cholesky
    for now in (as_expected, otherwise):
        assert prepared.updated(now).mean_of_observed == pytest.approx(
            replace(model, observations=now).mean_of_observed, abs=1e-9
        )


def test_samples_spread_around_the_posterior_mean() -> None:
    """Samples with scale 0 are the posterior mean; with scale 1 they have the posterior standard deviation."""
    levels = levels_of(12, 5)
    model = fitted(levels, np.linspace(0.2, 0.8, 12))
    mean, covariance = model.posterior(levels)

    still = model.sample(levels, 2, 0.0, np.random.default_rng(0))
    moved = model.sample(levels, 4000, 1.0, np.random.default_rng(0))

    assert still == pytest.approx(np.stack([mean, mean]))
    assert moved.std(axis=0) == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.1)


def test_hard_rows_are_not_blamed_on_the_candidate() -> None:
    """Of two candidates with equal means the one that was evaluated on the harder rows is expected to be better."""
    levels = levels_of(40, 6)
    levels = np.unique(levels, axis=0)
    count = len(levels)
    block = np.arange(count) % 2
    means = np.where(block == 0, 0.3, 0.7)  # block 0 is hard for everyone
    means[0] = means[1] = 0.5
    observations = Observations(levels, np.arange(count), block, means, np.full(count, 10.0), 0.2)

    on_hard, on_easy = Surrogate.fit(GEOMETRY, observations).mean(levels[:2])

    assert on_hard > on_easy + 0.02


def test_pairs_are_learned() -> None:
    """Two options that are good only together are expected to be good together in an unseen candidate."""
    levels = np.array(np.meshgrid(range(4), range(3), range(7))).reshape(3, -1).T
    together = (levels[:, 0] == 1) & (levels[:, 1] == 1)
    means = 0.4 + 0.1 * (levels[:, 0] == 1) + 0.1 * (levels[:, 1] == 1) + 0.3 * together
    seen = levels[:, 2] != 5
    model = fitted(levels[seen], means[seen], rows=50)

    both, first, second, neither = model.mean(np.array([[1, 1, 5], [1, 0, 5], [0, 1, 5], [0, 0, 5]]))

    assert both - first - second + neither > 0.15
