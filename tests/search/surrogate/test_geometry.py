"""How alike options and candidates are."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_search.prompts.factors import Factor
from prompt_search.search.surrogate.geometry import similarity
from tests.search.surrogate.spaces import GEOMETRY, factor


def test_similarity_of_unordered_options_is_equality() -> None:
    """Unordered options are similar only to themselves."""
    assert similarity(factor("cue", 3)).tolist() == np.eye(3).tolist()


def test_similarity_of_numbers_falls_with_distance() -> None:
    """Near numbers are more similar than far ones; 0 examples are not similar to any other number of them."""
    found = similarity(factor("number", 7, "integer"))[0]
    assert found[0] == 1
    assert (np.diff(found) < 0).all()
    assert found[-1] > 0
    assert similarity(factor("shots", 4, "examples"))[0].tolist() == [1, 0, 0, 0]


def test_similarity_of_orders_counts_pairs_in_the_same_order() -> None:
    """An order has similarity 1 with itself, 2/3 after one swap of neighbours, and 0 with its reverse."""
    orders = Factor(name="layout", kind="order", options=(("a", "b", "c"), ("b", "a", "c"), ("c", "b", "a")))
    assert similarity(orders)[0] == pytest.approx([1, 2 / 3, 0])


def test_effects_are_measured_from_the_mean_option() -> None:
    """Each choice's similarities sum to 0 over its options, so that its effects are no part of the common level."""
    embedded = GEOMETRY.embed(np.array([[index, 0, 0] for index in range(4)]))
    first = embedded.choices[:, GEOMETRY.choice_groups == 0]
    assert (first @ first.T).sum(axis=1) == pytest.approx(np.zeros(4))


def test_inactive_choice_adds_nothing() -> None:
    """A choice that is inactive in a candidate has no part in any covariance."""
    embedded = GEOMETRY.embed(np.array([[-1, 0, 0]]))
    assert not embedded.choices[:, GEOMETRY.choice_groups == 0].any()


def test_identities_differ_between_candidates() -> None:
    """Distinct candidates have distinct identities."""
    levels = np.array(np.meshgrid(range(4), range(3), range(7))).reshape(3, -1).T
    assert len(set(GEOMETRY.embed(levels).identity.tolist())) == len(levels)
