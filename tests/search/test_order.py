"""The order of rows that all candidates have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.search.order import common_order
from prompt_search.search.settings import BATCH_ROWS


@given(labels=st.lists(st.sampled_from("abc"), min_size=1, max_size=80), seed=st.integers(0, 9))
def test_common_order_is_a_permutation(labels: list[str], seed: int) -> None:
    """Every row occurs once, and the same seed gives the same order."""
    rows = [3 * index for index in range(len(labels))]
    order = common_order(labels, rows, seed)
    assert sorted(order) == rows
    assert order == common_order(labels, rows, seed)
    assert sorted(common_order(None, rows, seed)) == rows


@pytest.mark.parametrize("seed", range(5))
def test_common_order_keeps_proportions(seed: int) -> None:
    """Each batch has the labels in nearly the proportions of all rows, though the rows are sorted by label."""
    labels = ["a"] * 90 + ["b"] * 30
    order = common_order(labels, range(120), seed)
    for start in range(0, 120, BATCH_ROWS):
        assert 1 <= sum(labels[row] == "b" for row in order[start : start + BATCH_ROWS]) <= 5
