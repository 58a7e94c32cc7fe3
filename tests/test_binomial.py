"""Binomial probabilities are those of scipy, which is not loaded for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prompt_search._binomial import cumulated, largest_losses, probabilities, two_sided_p

CHANCES = st.sampled_from([0.0, 1.0]) | st.floats(min_value=1e-200, max_value=1)  # scipy overflows below


@given(st.integers(min_value=0, max_value=400), st.integers(min_value=0, max_value=400))
def test_two_sided_p_is_that_of_the_binomial_test(won: int, lost: int) -> None:
    """The exact p of won and lost rows is scipy's, and 1 where no row differs."""
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert two_sided_p(won, lost) == pytest.approx(expected, rel=1e-9)


def test_thousands_of_rows_have_a_p() -> None:
    """The counts of ways, which no float can hold, are divided as integers."""
    assert two_sided_p(3_000, 2_800) == pytest.approx(stats.binomtest(3_000, 5_800).pvalue)
    assert two_sided_p(20_000, 0) == 0.0


@given(st.integers(min_value=0, max_value=300), CHANCES)
def test_probabilities_are_those_of_scipy(trials: int, chance: float) -> None:
    """Every number of hits has its probability, also where the chance is 0 or 1, and one below 0 has none."""
    hits = np.arange(-1, trials + 1)
    expected = stats.binom.pmf(hits, trials, chance)
    assert probabilities(hits, np.full(len(hits), trials), chance) == pytest.approx(expected, abs=1e-12)


@given(st.integers(min_value=1, max_value=400), st.sampled_from([0.005, 0.025, 0.05]), CHANCES)
def test_largest_losses_and_their_probabilities_are_those_of_scipy(rows: int, tail: float, chance: float) -> None:
    """The critical numbers are the quantiles of the binomial test, and their cumulated probabilities follow."""
    counts = np.arange(1, rows + 1)
    found = largest_losses(rows, tail)
    assert found.tolist() == [*(np.asarray(stats.binom.ppf(tail, counts, 0.5)) - 1)]
    assert cumulated(found, chance) == pytest.approx(stats.binom.cdf(found, counts, chance), abs=1e-9)
