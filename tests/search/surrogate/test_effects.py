"""Which choice mattered: the effects of options, with their intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.benchmarks.null_effects import KINDS, study
from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.effects import _false_discovery, effects, fixed_effect
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.priors import Prior
from tests.search.surrogate.choices import FACTORS, SLOTS, all_levels, fitted


def seen_of(factors: list[Factor], count: int) -> tuple[Levels, Floats]:
    generator = np.random.default_rng(3)
    seen = generator.permutation(all_levels(factors))[:count]
    return seen, 0.4 + 0.1 * (seen[:, 0] == 1) + 0.1 * (seen[:, 1] * (seen[:, 0] == 2)) + generator.normal(
        0, 0.03, count
    )


@pytest.mark.parametrize("factors", [FACTORS, SLOTS], ids=["choices", "slots of one pool"])
def test_effect_is_the_mean_over_all_other_choices(factors: list[Factor]) -> None:
    """The expected effect of an option is the posterior mean over all candidates with it, minus that over all."""
    model = fitted(factors, *seen_of(factors, 13))
    space = all_levels(factors)
    mean, _ = model.posterior(space)
    found = effects(model)
    assert [factors[effect.choice].name for effect in found] == [f.name for f in factors if len(f.options) > 1]
    for effect in found:
        chosen = space[:, effect.choice][None] == np.arange(len(factors[effect.choice].options))[:, None]
        weights = chosen / chosen.sum(axis=1, keepdims=True) - 1 / len(space)
        assert effect.expected == pytest.approx(weights @ mean, abs=1e-6)
        known = ~np.isnan(effect.mean)
        assert known.all() if factors is FACTORS else known.sum() > 1
        assert effect.mean[known].sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("factors", "place"), [(FACTORS, 0), (FACTORS, 2), (SLOTS, 1)], ids=["instruction", "cue", "slot"]
)
def test_effects_rest_on_the_scores_alone(factors: list[Factor], place: int) -> None:
    """Effects and intervals do not depend on the prior variances of choices; expected effects are shrunk towards 0
    (those of slots on the whole, as they contain the effect of the pool too)."""
    model = fitted(factors, *seen_of(factors, 30 if factors is SLOTS else 13))
    found = []
    for expected in (-9.0, -6.0, 2.0):
        log_variances = model.log_variances.copy()
        log_variances[:-4] = expected
        found.append(effects(replace(model, log_variances=log_variances))[place])
    for effect in found:
        assert effect.mean == pytest.approx(found[0].mean, nan_ok=True)
        assert effect.low == pytest.approx(found[0].low, nan_ok=True)
    nearer = np.abs(found[0].expected) < np.abs(found[0].mean)
    assert nearer.sum() >= len(nearer) - 1 if factors is SLOTS else nearer.all()


@pytest.mark.parametrize(("factors", "place"), [(FACTORS, 0), (SLOTS, 0)], ids=["instruction", "slot"])
def test_effect_is_that_of_a_flat_prior(factors: list[Factor], place: int) -> None:
    """A fixed effect is the posterior under a nearly flat prior of the choice, where all options were tried."""
    space = all_levels(factors)
    observations = fitted(
        factors, space, 0.4 + 0.1 * (space[:, 0] == 1) + 0.02 * np.sin(np.arange(len(space)))
    ).observations
    geometry = Geometry(factors)
    learned = Surrogate.fit(geometry, observations, Prior.weak(geometry, observations, 0.03, 0.17))
    log_variances = learned.log_variances.copy()
    log_variances[-4:-2] = -30.0, -60.0  # neither candidates' own deviations nor pairs are part of a choice's effect
    weak = replace(learned, log_variances=log_variances.copy())
    log_variances[place] = 9.0
    flat = replace(learned, log_variances=log_variances)
    chosen = space[:, place][None] == np.arange(len(factors[place].options))[:, None]
    weights = chosen / chosen.sum(axis=1, keepdims=True) - 1 / len(space)
    mean, covariance = flat.posterior(space)
    spread = np.sqrt(np.einsum("oc,cd,od->o", weights, covariance, weights))
    effect, deviation = fixed_effect(weak, place)
    assert effect == pytest.approx(weights @ mean, abs=1e-3)
    # The part of the pool's variance that a slot has is subtracted as if it were the slot's own.
    assert deviation == pytest.approx(spread, rel=5e-3 if factors is SLOTS else 1e-3)


def test_option_that_was_not_tried_has_no_effect() -> None:
    """The effect of an option is NaN if it or all other options of its choice were never evaluated; the other
    effects are measured from the mean of the evaluated options."""
    space = all_levels(FACTORS)
    tried = space[(space[:, 0] != 2) & (space[:, 3] == 0)]
    instruction, number, cue = effects(fitted(FACTORS, tried, 0.5 + 0.1 * (tried[:, 0] == 1)))
    assert np.isnan(instruction.mean).tolist() == np.isnan(instruction.p).tolist() == [False, False, True]
    assert instruction.mean[:2] == pytest.approx([-0.05, 0.05], abs=1e-6)
    assert np.isnan([cue.mean, cue.low, cue.high, cue.p]).all()
    assert not np.isnan([number.mean, number.p]).any()
    assert not np.isnan([*instruction.expected, *cue.expected]).any()


def test_p_is_corrected_for_the_number_of_options() -> None:
    """Hardly any study with noise alone has an option with p below 0.05; an option with a large effect has it."""
    generator = np.random.default_rng(0)
    space = all_levels(FACTORS)
    model = fitted(FACTORS, space, np.full(len(space), 0.5))
    shown = 0
    for _ in range(200):
        means = 0.5 + generator.normal(0, (np.exp(model.log_variances[-1]) / 40) ** 0.5, len(space))
        noisy = replace(model, observations=replace(model.observations, mean=means))
        shown += any((effect.p < 0.05).any() for effect in effects(noisy))
    assert shown <= 20
    large = effects(replace(model, observations=replace(model.observations, mean=0.5 + 0.4 * (space[:, 0] == 1))))
    assert large[0].p[1] < 0.01
    assert large[1].p.min() > 0.5


def test_importance_is_the_part_of_the_variance() -> None:
    """A choice that decides the score has nearly all of the importance, one without effect nearly none."""
    space = all_levels(FACTORS)
    found = effects(fitted(FACTORS, space, 0.5 + 0.2 * (space[:, 0] == 1), rows=400))
    assert found[0].importance > 0.9
    assert max(effect.importance for effect in found[1:]) < 0.05
    assert sum(effect.importance for effect in found) <= 1


def test_inactive_choice_has_no_effect() -> None:
    """Candidates in which a choice is inactive leave its expected effects at 0, and its effects unknown."""
    space = all_levels(FACTORS)
    space[:, 3] = -1
    model = fitted(FACTORS, space[::2], 0.5 + 0.2 * (space[::2, 0] == 1))
    assert effects(model)[-1].expected == pytest.approx([0, 0])
    assert np.isnan(effects(model)[-1].mean).all()


def test_nothing_is_found_where_nothing_is() -> None:
    """Scores that differ by noise alone show no effect."""
    generator = np.random.default_rng(0)
    space = all_levels(FACTORS)
    model = fitted(FACTORS, space, 0.5 + generator.normal(0, 0.07, len(space)), rows=40)
    assert all((effect.p > 0.05).all() for effect in effects(model))


def test_space_without_choices_has_no_effects() -> None:
    """A template with nothing to choose has no effects."""
    assert effects(fitted([FACTORS[2]], np.zeros((1, 1), dtype=np.int64), np.array([0.5]))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_hard_rows_of_some_candidates_are_no_effect(kind: str) -> None:
    """Where no option has an effect, but candidates have other rows, hard blocks or deviations of their own, hardly any
    study shows one, and none by a single candidate."""
    found = pd.DataFrame([study(kind, 20, 10, seed) for seed in range(25)])
    assert found["shown"].sum() <= 2
    assert found["by one candidate"].sum() == 0
    assert found["held"].mean() > 0.93


def test_one_candidate_alone_shows_nothing() -> None:
    """The effect of an option that one candidate has is unknown however bad its score is, and moves no other option."""
    space = all_levels(FACTORS)
    others = space[space[:, 0] != 2]
    noise = np.random.default_rng(0).normal(0, 0.01, len(others) + 1)
    seen = np.vstack([others, space[space[:, 0] == 2][:1]])
    means = 0.8 + noise
    means[-1] = 0.0
    instruction = effects(fitted(FACTORS, seen, means))[0]
    assert np.isnan(
        [values[2] for values in (instruction.mean, instruction.low, instruction.high, instruction.p)]
    ).all()
    assert np.abs(instruction.mean[:2]).max() < 0.05
    assert instruction.p[:2].min() > 0.05


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_corrected_p_values_are_those_of_scipy(p: list[float]) -> None:
    """The correction for the number of effects gives what scipy's own, which takes long to import, gives."""
    np.testing.assert_allclose(_false_discovery(np.array(p)), stats.false_discovery_control(p), rtol=1e-12)
