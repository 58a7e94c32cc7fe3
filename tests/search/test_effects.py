"""Which choice mattered: the parts that the surrogate sees, with their intervals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from prompt_search.prompts.factors import Factor
from prompt_search.search.effects import _fixed, effects, interactions
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate import Floats, Geometry, Looks, Prior, Surrogate

POOL = tuple(f"shot {index}" for index in range(8))
FACTORS = [
    Factor(name="instruction", kind="choice", options=("a", "b", "c")),
    Factor(name="temperature", kind="integer", options=(0, 1, 2)),
    Factor(name="fixed", kind="choice", options=("only",)),
    Factor(name="cue", kind="flag", options=(False, True)),
]
SLOTS = [Factor(name=f"slot {index}", kind="choice", options=POOL) for index in range(2)]


def everything(factors: list[Factor]) -> Levels:
    return np.array(list(product(*(range(len(factor.options)) for factor in factors))))


def fitted(factors: list[Factor], seen: Levels, means: Floats, rows: float = 40) -> Surrogate:
    count = len(means)
    looks = Looks(seen, np.arange(count), np.zeros(count, dtype=np.int64), means, np.full(count, rows), 0.2)
    learned = Surrogate.learn(Geometry(factors), looks)
    logs = learned.logs.copy()
    logs[-4] = -30.0  # what is a candidate's own is no part of any choice
    return replace(learned, logs=logs)


def seen_of(factors: list[Factor], count: int) -> tuple[Levels, Floats]:
    generator = np.random.default_rng(3)
    seen = generator.permutation(everything(factors))[:count]
    return seen, 0.4 + 0.1 * (seen[:, 0] == 1) + 0.1 * (seen[:, 1] * (seen[:, 0] == 2)) + generator.normal(
        0, 0.03, count
    )


@pytest.mark.parametrize("factors", [FACTORS, SLOTS], ids=["choices", "slots of one pool"])
def test_effect_is_the_mean_over_all_other_choices(factors: list[Factor]) -> None:
    """What is expected of an option is the posterior's mean over all candidates with it, less all."""
    model = fitted(factors, *seen_of(factors, 13))
    space = everything(factors)
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
    """Effects and intervals are the same whatever was expected of choices; what is expected is nearer to 0, of slots
    on the whole, as what their pool adds is expected of them too."""
    model = fitted(factors, *seen_of(factors, 30 if factors is SLOTS else 13))
    found = []
    for expected in (-9.0, -6.0, 2.0):
        logs = model.logs.copy()
        logs[:-4] = expected
        found.append(effects(replace(model, logs=logs))[place])
    for effect in found:
        assert effect.mean == pytest.approx(found[0].mean, nan_ok=True)
        assert effect.low == pytest.approx(found[0].low, nan_ok=True)
    nearer = np.abs(found[0].expected) < np.abs(found[0].mean)
    assert nearer.sum() >= len(nearer) - 1 if factors is SLOTS else nearer.all()


@pytest.mark.parametrize(("factors", "place"), [(FACTORS, 0), (SLOTS, 0)], ids=["instruction", "slot"])
def test_effect_is_that_of_an_indifferent_posterior(factors: list[Factor], place: int) -> None:
    """A fixed effect is what the posterior has where the choice could be anything and all options were tried."""
    space = everything(factors)
    looks = fitted(factors, space, 0.4 + 0.1 * (space[:, 0] == 1) + 0.02 * np.sin(np.arange(len(space)))).looks
    geometry = Geometry(factors)
    learned = Surrogate.learn(geometry, looks, Prior.free(geometry, looks, 0.03, 0.17))
    logs = learned.logs.copy()
    logs[-4:-2] = -30.0, -60.0  # own and pairs are part of the means over candidates, and no part of a choice
    free = replace(learned, logs=logs.copy())
    logs[place] = 9.0
    indifferent = replace(learned, logs=logs)
    chosen = space[:, place][None] == np.arange(len(factors[place].options))[:, None]
    weights = chosen / chosen.sum(axis=1, keepdims=True) - 1 / len(space)
    mean, covariance = indifferent.posterior(space)
    spread = np.sqrt(np.einsum("oc,cd,od->o", weights, covariance, weights))
    effect, deviation = _fixed(free, place)
    assert effect == pytest.approx(weights @ mean, abs=1e-3)
    # What a slot shares with the others of its pool is taken out as if it were its own.
    assert deviation == pytest.approx(spread, rel=5e-3 if factors is SLOTS else 1e-3)


def test_option_that_was_not_tried_has_no_effect_to_tell() -> None:
    """Nothing is said of an option without a look, nor of a choice of which one option was seen; the others' effects
    are measured from their own mean."""
    space = everything(FACTORS)
    tried = space[(space[:, 0] != 2) & (space[:, 3] == 0)]
    instruction, number, cue = effects(fitted(FACTORS, tried, 0.5 + 0.1 * (tried[:, 0] == 1)))
    assert np.isnan(instruction.mean).tolist() == np.isnan(instruction.p).tolist() == [False, False, True]
    assert instruction.mean[:2] == pytest.approx([-0.05, 0.05], abs=1e-6)
    assert np.isnan([cue.mean, cue.low, cue.high, cue.p]).all()
    assert not np.isnan([number.mean, number.p]).any()
    assert not np.isnan([*instruction.expected, *cue.expected]).any()


def test_p_is_corrected_for_the_number_of_options() -> None:
    """With noise alone hardly any study has an option with p below 0.05; one that does much has it."""
    generator = np.random.default_rng(0)
    space = everything(FACTORS)
    model = fitted(FACTORS, space, np.full(len(space), 0.5))
    shown = 0
    for _ in range(200):
        means = 0.5 + generator.normal(0, (np.exp(model.logs[-1]) / 40) ** 0.5, len(space))
        noisy = replace(model, looks=replace(model.looks, mean=means))
        shown += any((effect.p < 0.05).any() for effect in effects(noisy))
    assert shown <= 20
    apart = effects(replace(model, looks=replace(model.looks, mean=0.5 + 0.4 * (space[:, 0] == 1))))
    assert apart[0].p[1] < 0.01
    assert apart[1].p.min() > 0.5


def test_importance_is_the_part_of_the_variance() -> None:
    """A choice that decides has nearly all of the importance, one that does nothing nearly none."""
    space = everything(FACTORS)
    found = effects(fitted(FACTORS, space, 0.5 + 0.2 * (space[:, 0] == 1), rows=400))
    assert found[0].importance > 0.9
    assert max(effect.importance for effect in found[1:]) < 0.05
    assert sum(effect.importance for effect in found) <= 1


def test_interaction_is_what_is_beyond_both() -> None:
    """Two options that only together do something are found, as the posterior's double difference has it."""
    space = everything(FACTORS)
    model = fitted(FACTORS, space, 0.5 + 0.3 * ((space[:, 0] == 2) & (space[:, 3] == 1)), rows=400)
    found = interactions(model)
    assert found
    assert (found[0].choices, found[0].options) in [((0, 3), (2, 0)), ((0, 3), (2, 1))]
    together = next(each for each in found if each.choices == (0, 3) and each.options == (2, 1))
    weights = _centred(space[:, 0] == 2, 3) * _centred(space[:, 3] == 1, 2)
    assert together.mean == pytest.approx(float(weights @ model.mean(space)) / len(space), abs=1e-6)
    assert 0 < together.low < together.mean < together.high
    assert all(each.low > 0 or each.high < 0 for each in found)


def _centred(chosen: np.ndarray, options: int) -> Floats:
    return options * chosen - 1.0


def test_nothing_is_found_where_nothing_is() -> None:
    """Scores that differ by noise alone show no interaction and no effect."""
    generator = np.random.default_rng(0)
    space = everything(FACTORS)
    model = fitted(FACTORS, space, 0.5 + generator.normal(0, 0.07, len(space)), rows=40)
    assert interactions(model) == []
    assert all((effect.p > 0.05).all() for effect in effects(model))


def test_inactive_choice_tells_nothing() -> None:
    """Candidates without a choice leave what is expected of it as it was before any data, and tell nothing."""
    space = everything(FACTORS)
    space[:, 3] = -1
    model = fitted(FACTORS, space[::2], 0.5 + 0.2 * (space[::2, 0] == 1))
    assert effects(model)[-1].expected == pytest.approx([0, 0])
    assert np.isnan(effects(model)[-1].mean).all()


def test_space_without_choices_has_no_effects() -> None:
    """A template with nothing to choose has no effects, and no interactions."""
    model = fitted([FACTORS[2]], np.zeros((1, 1), dtype=np.int64), np.array([0.5]))
    assert effects(model) == []
    assert interactions(model) == []
