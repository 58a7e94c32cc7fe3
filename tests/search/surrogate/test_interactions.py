"""Pairs of options that add more, or less, than the sum of both."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_search.search.surrogate.geometry import Floats
from prompt_search.search.surrogate.interactions import interactions
from tests.search.surrogate.choices import FACTORS, all_levels, fitted


def test_interaction_is_what_is_beyond_both() -> None:
    """Two options that have an effect only together are found, with the double difference of the posterior means."""
    space = all_levels(FACTORS)
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
    """Scores that differ by noise alone show no interaction."""
    generator = np.random.default_rng(0)
    space = all_levels(FACTORS)
    assert interactions(fitted(FACTORS, space, 0.5 + generator.normal(0, 0.07, len(space)), rows=40)) == []


def test_space_without_choices_has_no_interactions() -> None:
    """A template with nothing to choose has no interactions."""
    assert interactions(fitted([FACTORS[2]], np.zeros((1, 1), dtype=np.int64), np.array([0.5]))) == []
