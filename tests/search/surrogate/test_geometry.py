"""How alike options and candidates are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_proposed_options_are_alike_by_who_wrote_them() -> None:
    """Texts without a word in common share what a person, or a model, was found to write well; each has a part of its
    own."""
    options = ("Sort it.", "Choose!", "lamp river", "marble tuna")
    found = similarity(Factor(name="instruction", kind="choice", options=options, grow="tells what to do", grown=2))
    assert found[0] == pytest.approx([1, 0.3, 0, 0])
    assert found[3] == pytest.approx([0, 0, 0.3, 1])


def test_similarity_of_pickers_is_the_share_of_shots_that_both_show() -> None:
    """Sets with two of four shots in common have similarity 1/2; a picker that shows others for each row has 0."""
    shown = tuple(map(frozenset, ([0, 1, 2, 3], [2, 3, 4, 5], [6, 7, 8, 9], [])))
    pickers = Factor(
        name="shots.picker", kind="choice", options=("random 1", "random 2", "diverse", "nearest"), shown=shown
    )
    assert similarity(pickers).tolist() == [[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_pickers_that_all_show_the_same_count_as_different() -> None:
    """Where no set differs from another, as long as the model was not asked, pickers are unordered options: a table
    of ones would leave no difference to learn."""
    pickers = Factor(
        name="shots.picker", kind="choice", options=("random 1", "solved 1"), shown=(frozenset({1, 2}),) * 2
    )
    assert similarity(pickers).tolist() == np.eye(2).tolist()


@given(st.lists(st.frozensets(st.integers(0, 9), max_size=5), min_size=2, max_size=9))
def test_similarity_of_pickers_is_a_covariance(shown: list[frozenset[int]]) -> None:
    """Whatever sets are shown, the table is symmetric, 1 on the diagonal and positive semi-definite."""
    found = similarity(Factor(name="shots.picker", kind="choice", options=tuple(range(len(shown))), shown=tuple(shown)))
    assert (found == found.T).all()
    assert (found.diagonal() == 1).all()
    assert np.linalg.eigvalsh(found).min() > -1e-12


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
