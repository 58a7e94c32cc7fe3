"""The Gaussian process over choices: similarity, weights, posterior, draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.search.surrogate import Floats, Levels, Surrogate, similarity

ORDERED = [False, False, True]
OPTIONS = [4, 3, 7]


def levels_of(count: int, seed: int) -> Levels:
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.integers(0, options, count) for options in OPTIONS])


def fitted(levels: Levels, means: Floats, rows: int = 10, noise: float = 0.2) -> Surrogate:
    counts = np.full(len(means), float(rows))
    return Surrogate.fit(ORDERED, OPTIONS, levels, means, counts, noise)


def test_similarity_of_unordered_options_is_equality() -> None:
    """Only equal options are alike where there is no order."""
    found = similarity(np.array([0, 1]), np.array([0, 1, 2]), ordered=False, options=3)

    assert found.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_similarity_of_ordered_options_falls_with_distance() -> None:
    """Near numbers of shots are more alike than far ones."""
    (found,) = similarity(np.array([0]), np.array([0, 1, 6]), ordered=True, options=7)

    assert found[0] == 1
    assert 1 > found[1] > found[2] > 0


@pytest.mark.parametrize("ordered", [True, False])
def test_inactive_factor_is_alike_only_to_inactive(ordered: bool) -> None:
    """A factor that does not exist for a candidate resembles no option, and itself wholly."""
    found = similarity(np.array([-1, 0]), np.array([-1, 0]), ordered=ordered, options=3)

    assert found.tolist() == [[1, 0], [0, 1]]


@given(st.integers(0, 2**16))
def test_posterior_lies_between_scores_and_their_mean(seed: int) -> None:
    """A candidate seen alone is expected between its own mean and the mean of all."""
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


def test_weight_goes_to_the_factor_that_matters() -> None:
    """The factor that decides the score gets the largest weight, the residual little."""
    levels = levels_of(60, 2)
    generator = np.random.default_rng(0)
    means = np.where(levels[:, 1] == 1, 0.8, 0.4) + generator.normal(0, 0.02, 60)

    weights = fitted(levels, means, rows=100).weights

    assert int(np.argmax(weights)) == 1
    assert weights[-1] < weights[1] / 5


def test_more_rows_mean_less_uncertainty() -> None:
    """The posterior variance of a seen candidate falls with the rows behind it."""
    levels = levels_of(10, 3)
    means = np.linspace(0.3, 0.7, 10)
    weights = np.full(4, 0.01)
    spread = []
    for rows in (5.0, 50.0):
        model = Surrogate.fit(ORDERED, OPTIONS, levels, means, np.full(10, rows), 0.2, weights)
        spread.append(model.posterior(levels)[1][0, 0])

    assert spread[1] < spread[0]


def test_scores_without_any_spread_are_no_trouble() -> None:
    """A constant metric leaves all candidates equal."""
    levels = levels_of(8, 4)

    mean, _ = fitted(levels, np.ones(8), noise=0.0).posterior(levels)

    assert mean == pytest.approx(np.ones(8))


def test_draws_spread_around_the_posterior_mean() -> None:
    """Scale 0 draws the mean itself; scale 1 has the posterior's standard deviation."""
    levels = levels_of(12, 5)
    model = fitted(levels, np.linspace(0.2, 0.8, 12))
    mean, covariance = model.posterior(levels)

    still = model.draw(levels, 2, 0.0, np.random.default_rng(0))
    moved = model.draw(levels, 4000, 1.0, np.random.default_rng(0))

    assert still == pytest.approx(np.stack([mean, mean]))
    assert moved.std(axis=0) == pytest.approx(np.sqrt(np.diag(covariance) + 1e-8), rel=0.1)
