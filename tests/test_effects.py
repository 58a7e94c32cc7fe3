"""Which choice mattered: the parts that the surrogate sees, with their intervals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from prompt_search.search.effects import effects, interactions
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate import Floats, Geometry, Looks, Surrogate
from prompt_search.space import Factor

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
    """Effects and intervals are those of the posterior's mean over all candidates with the option, less all."""
    model = fitted(factors, *seen_of(factors, 13))
    space = everything(factors)
    mean, covariance = model.posterior(space)
    found = effects(model)
    assert [factors[effect.choice].name for effect in found] == [f.name for f in factors if len(f.options) > 1]
    for effect in found:
        chosen = space[:, effect.choice][None] == np.arange(len(factors[effect.choice].options))[:, None]
        weights = chosen / chosen.sum(axis=1, keepdims=True) - 1 / len(space)
        assert effect.mean == pytest.approx(weights @ mean, abs=1e-6)
        spread = np.sqrt(np.einsum("oc,cd,od->o", weights, covariance, weights))
        assert (effect.high - effect.low) / 2 == pytest.approx(1.96 * spread, abs=1e-4)
        assert effect.mean.sum() == pytest.approx(0, abs=1e-9)


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
    """Scores that differ by noise alone show no interaction, and every effect's interval holds 0."""
    generator = np.random.default_rng(0)
    space = everything(FACTORS)
    model = fitted(FACTORS, space, 0.5 + generator.normal(0, 0.07, len(space)), rows=40)
    assert interactions(model) == []
    assert all((effect.low < 0).all() and (effect.high > 0).all() for effect in effects(model))


def test_inactive_choice_tells_nothing() -> None:
    """Candidates without a choice leave its effects as they were before any data."""
    space = everything(FACTORS)
    space[:, 3] = -1
    model = fitted(FACTORS, space[::2], 0.5 + 0.2 * (space[::2, 0] == 1))
    assert effects(model)[-1].mean == pytest.approx([0, 0])
