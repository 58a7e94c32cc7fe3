"""The Gaussian process over choices: similarity, variances, posterior, draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from prompt_search.prompts.factors import Factor, Kind
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.surrogate import (
    Floats,
    Geometry,
    Looks,
    Prior,
    Surrogate,
    row_variances,
    similarity,
)

POOL = tuple(f"shot {index}" for index in range(10))


def factor(name: str, options: int, kind: Kind = "choice") -> Factor:
    return Factor(name=name, kind=kind, options=tuple(range(options)))


FACTORS = [factor("instruction", 4), factor("cue", 3), factor("shots", 7, "examples")]
SLOTS = [Factor(name=f"slot {index}", kind="choice", options=POOL) for index in range(2)]
OPTIONS = [len(factor.options) for factor in FACTORS]
GEOMETRY = Geometry(FACTORS)


def levels_of(count: int, seed: int) -> Levels:
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.integers(0, options, count) for options in OPTIONS])


def looks_of(levels: Levels, means: Floats, rows: float = 10, spread: float = 0.2) -> Looks:
    """One look at each candidate, all on the same rows."""
    count = len(means)
    return Looks(levels, np.arange(count), np.zeros(count, dtype=np.int64), means, np.full(count, rows), spread)


def fitted(levels: Levels, means: Floats, rows: float = 10, spread: float = 0.2) -> Surrogate:
    return Surrogate.learn(GEOMETRY, looks_of(levels, means, rows, spread))


# Similarity


def test_similarity_of_unordered_options_is_equality() -> None:
    """Only equal options are alike where there is no order."""
    assert similarity(factor("cue", 3)).tolist() == np.eye(3).tolist()


def test_similarity_of_numbers_falls_with_distance() -> None:
    """Near numbers are more alike than far ones; no shots are unlike any number of them."""
    found = similarity(factor("number", 7, "integer"))[0]
    assert found[0] == 1
    assert (np.diff(found) < 0).all()
    assert found[-1] > 0
    assert similarity(factor("shots", 4, "examples"))[0].tolist() == [1, 0, 0, 0]


def test_no_shots_are_drawn_as_often_as_half_of_all_numbers() -> None:
    """A third of random and of designed candidates with up to 8 shots have none; other options are equally often."""
    space = SearchSpace([factor("shots", 9, "examples"), factor("cue", 3)], lambda values: ["shots", "cue"])
    generator = np.random.default_rng(0)
    for levels in (Encoding(space).sample(3000, generator), Encoding(space).design(120, generator)):
        assert (levels[:, 0] == 0).mean() == pytest.approx(5 / 13, abs=0.04)
        assert (levels[:, 1] == 0).mean() == pytest.approx(1 / 3, abs=0.04)


def test_similarity_of_orders_counts_pairs_in_the_same_order() -> None:
    """An order resembles itself wholly, its reverse not at all, and one swap of neighbours most of the rest."""
    orders = Factor(name="layout", kind="order", options=(("a", "b", "c"), ("b", "a", "c"), ("c", "b", "a")))
    assert similarity(orders)[0] == pytest.approx([1, 2 / 3, 0])


def test_effects_are_measured_from_the_mean_option() -> None:
    """Each choice's similarities sum to nothing over its options: what a choice adds is no part of the level."""
    embedded = GEOMETRY.embed(np.array([[index, 0, 0] for index in range(4)]))
    first = embedded.choices[:, GEOMETRY.choice_groups == 0]
    assert (first @ first.T).sum(axis=1) == pytest.approx(np.zeros(4))


def test_inactive_choice_adds_nothing() -> None:
    """A choice that does not exist for a candidate has no part in any covariance."""
    embedded = GEOMETRY.embed(np.array([[-1, 0, 0]]))
    assert not embedded.choices[:, GEOMETRY.choice_groups == 0].any()


def test_slots_with_one_pool_share_what_is_learned_of_a_shot() -> None:
    """A shot that was good in one slot is expected to be good in the other, where it was never seen."""
    geometry = Geometry(SLOTS)
    assert geometry.pools == [[0, 1]]
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 10, (80, 2))
    levels = levels[levels[:, 1] != 3]
    means = 0.3 + 0.2 * np.isin(levels, (3, 5, 7)).sum(axis=1)
    surrogate = Surrogate.learn(geometry, looks_of(levels, means, rows=50))
    with_it, without = surrogate.mean(np.array([[0, 3], [0, 4]]))
    assert with_it - without > 0.05


def test_equal_candidates_are_known_by_their_levels() -> None:
    """Distinct candidates never share what is a candidate's own."""
    levels = np.array(np.meshgrid(range(4), range(3), range(7))).reshape(3, -1).T
    assert len(set(GEOMETRY.embed(levels).identity.tolist())) == len(levels)


# Encoding


def test_encoding_goes_back_to_the_candidate() -> None:
    """Levels of a candidate give its assignment again; inactive choices are -1 and left out."""
    flag = Factor(name="flag", kind="flag", options=(False, True))
    space = SearchSpace(
        [flag, factor("inner", 3)], lambda values: ["flag", "inner"] if values.get("flag") else ["flag"], ["flag"]
    )
    encoding = Encoding(space)
    levels = encoding.encode(list(space.candidates()))
    assert levels.tolist() == [[0, -1], [1, 0], [1, 1], [1, 2]]
    assert [space.candidate(encoding.positions(row)) for row in levels] == list(space.candidates())
    assert encoding.everything is not None
    generator = np.random.default_rng(0)
    for made in (encoding.sample(50, generator), encoding.children(levels, 50, generator)):
        assert {tuple(row) for row in made.tolist()} == {tuple(row) for row in levels.tolist()}


# Learning


def test_gradient_is_that_of_the_loss() -> None:
    """The analytic gradient agrees with finite differences, with pools, pairs and shared rows."""
    geometry = Geometry([*FACTORS, *SLOTS])
    generator = np.random.default_rng(1)
    options = [*OPTIONS, 10, 10]
    levels = np.column_stack([generator.integers(0, count, 12) for count in options])
    looks = Looks(
        levels,
        candidate=np.append(np.arange(12), [0, 1, 2]),
        block=np.append(np.zeros(12, dtype=np.int64), [1, 1, 1]),
        mean=generator.random(15),
        rows=np.append(np.full(12, 10.0), [10.0, 7.0, 10.0]),
        spread=0.2,
    )
    surrogate = Surrogate.learn(geometry, looks)
    told = Prior.told(geometry, looks, 0.03, 0.17)
    logs = generator.normal(-3, 0.5, len(surrogate.logs))

    def loss(at: Floats) -> float:
        return surrogate._loss(at, told)[0]

    numeric = optimize.approx_fprime(logs, loss, 1e-6)
    assert surrogate._loss(logs, told)[1] == pytest.approx(numeric, rel=1e-3, abs=1e-3)


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


def test_variance_goes_to_the_factor_that_matters() -> None:
    """The factor that decides the score gets the largest variance, single candidates little."""
    levels = levels_of(60, 2)
    generator = np.random.default_rng(0)
    means = np.where(levels[:, 1] == 1, 0.8, 0.4) + generator.normal(0, 0.02, 60)

    variances = fitted(levels, means, rows=100).variances

    assert int(np.argmax(variances.choices)) == 1
    assert variances.own < variances.choices[1] / 5


def test_more_rows_mean_less_uncertainty() -> None:
    """The posterior variance of a seen candidate falls with the rows behind it."""
    levels = levels_of(10, 3)
    means = np.linspace(0.3, 0.7, 10)
    learned = fitted(levels, means)
    spread = []
    for rows in (5.0, 50.0):
        model = replace(learned, looks=looks_of(levels, means, rows))
        spread.append(model.posterior(levels)[1][0, 0])

    assert spread[1] < spread[0]


def test_scores_without_any_spread_are_no_trouble() -> None:
    """A constant metric leaves all candidates equal."""
    levels = levels_of(8, 4)

    mean, _ = fitted(levels, np.ones(8), spread=0.0).posterior(levels)

    assert mean == pytest.approx(np.ones(8))


def test_scale_and_level_of_scores_do_not_matter() -> None:
    """A metric from 0 to 100,000 teaches the same as one from 0 to 1."""
    levels = levels_of(30, 7)
    means = np.random.default_rng(7).random(30)
    small, large = fitted(levels, means), fitted(levels, 1e5 * means - 5e4, spread=0.2e10)

    assert large.mean(levels) == pytest.approx(1e5 * small.mean(levels) - 5e4, rel=1e-3, abs=100)
    assert large.draw(levels, 2, 1.0, np.random.default_rng(0)).std() > 0


@pytest.mark.parametrize("spread", [0.01, 0.2, 5.0])
def test_more_looks_at_the_same_candidates_change_what_new_ones_would(spread: float) -> None:
    """What is kept from before does not depend on the scores: the posterior is that of a model made anew."""
    levels = np.unique(levels_of(20, 0), axis=0)
    means = np.random.default_rng(0).random(len(levels))
    before, now = looks_of(levels, means), looks_of(levels, means[::-1], rows=20, spread=spread)
    model = Surrogate.learn(GEOMETRY, before)
    _ = model.expected

    anew = replace(model, looks=now)

    for found, expected in zip(model.after(now).posterior(levels), anew.posterior(levels), strict=True):
        assert found == pytest.approx(expected, abs=1e-9)
    assert model.after(now).expected == pytest.approx(anew.expected, abs=1e-9)


def test_what_is_foreseen_stands_only_for_the_rows_foreseen() -> None:
    """What was computed before the scores came is used where they are of the rows that were asked, and only there."""
    levels = np.unique(levels_of(20, 0), axis=0)
    means = np.random.default_rng(0).random(len(levels))
    model = Surrogate.learn(GEOMETRY, looks_of(levels, means))
    asked = looks_of(levels, np.full(len(levels), np.nan), rows=20)
    foreseen = model.foreseeing(asked)

    as_asked, otherwise = replace(asked, mean=means[::-1]), looks_of(levels, means[::-1], rows=15)

    assert foreseen.after(as_asked).factor is foreseen.factor
    for now in (as_asked, otherwise):
        assert foreseen.after(now).expected == pytest.approx(replace(model, looks=now).expected, abs=1e-9)


def test_rows_and_noise_are_told_apart_by_single_scores() -> None:
    """Scores of many candidates on the same rows tell the variances, also where some have fewer rows."""
    generator = np.random.default_rng(0)
    scores = generator.normal(0, 0.3, 4000) + generator.normal(0, 0.5, (30, 4000)) + generator.normal(0, 1, (30, 1))
    scores[10:, 2000:] = np.nan
    scores[29, 1:] = np.nan
    rows, noise = row_variances(scores)
    assert rows == pytest.approx(0.09, rel=0.1)
    assert noise == pytest.approx(0.25, rel=0.03)


def test_variances_that_nothing_tells_are_unknown() -> None:
    """Without two candidates on the same rows, or two rows of one candidate, nothing is said."""
    apart = np.full((2, 20), np.nan)
    apart[0, :10], apart[1, 10:] = np.arange(10) % 2, 1.0
    assert np.isnan(row_variances(apart)[0])
    assert np.isnan(row_variances(np.array([[1.0, np.nan], [0.0, np.nan]]))).all()
    assert row_variances(np.ones((3, 5))) == (0, 0)


def test_draws_spread_around_the_posterior_mean() -> None:
    """Scale 0 draws the mean itself; scale 1 has the posterior's standard deviation."""
    levels = levels_of(12, 5)
    model = fitted(levels, np.linspace(0.2, 0.8, 12))
    mean, covariance = model.posterior(levels)

    still = model.draw(levels, 2, 0.0, np.random.default_rng(0))
    moved = model.draw(levels, 4000, 1.0, np.random.default_rng(0))

    assert still == pytest.approx(np.stack([mean, mean]))
    assert moved.std(axis=0) == pytest.approx(np.sqrt(np.diag(covariance)), rel=0.1)


def test_hard_rows_are_not_blamed_on_the_candidate() -> None:
    """Of two candidates with equal means the one that was seen on the harder rows is expected to be better."""
    levels = levels_of(40, 6)
    levels = np.unique(levels, axis=0)
    count = len(levels)
    block = np.arange(count) % 2
    means = np.where(block == 0, 0.3, 0.7)  # block 0 is hard for everyone
    means[0] = means[1] = 0.5
    looks = Looks(levels, np.arange(count), block, means, np.full(count, 10.0), 0.2)

    on_hard, on_easy = Surrogate.learn(GEOMETRY, looks).mean(levels[:2])

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
