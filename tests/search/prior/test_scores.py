"""What is taken of the scores of an earlier study: candidates compared on equal terms, rows without noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.search.prior.scores import candidates_and_rows, prior_trials
from tests.profiles import examples


@settings(max_examples=examples(30))
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 100), shift=st.floats(-10, 10))
def test_unit_of_scores_does_not_count(seed: int, scale: float, shift: float) -> None:
    """A metric with another zero and unit says the same of candidates and rows, so that studies with other metrics can
    be compared."""
    generator = np.random.default_rng(seed)
    scores = (generator.random((6, 8)) < 0.6).astype(float)
    scores[generator.random((6, 8)) < 0.3] = np.nan
    for one, other in zip(candidates_and_rows(scores), candidates_and_rows(scale * scores + shift), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_hard_rows_do_not_count_against_a_candidate() -> None:
    """Of two equally good candidates the one that had the harder rows is hardly the worse one."""
    generator = np.random.default_rng(0)
    ease = np.repeat([1.5, -1.5], 40)
    ability = generator.normal(0, 0.3, 30)
    scores = ability[:, None] + ease + generator.normal(0, 1, (30, 80))
    scores[0] = ease + generator.normal(0, 0.1, 80)
    scores[1] = ease + generator.normal(0, 0.1, 80)
    scores[0, :40] = scores[1, 40:] = np.nan
    assert np.nanmean(scores[1]) - np.nanmean(scores[0]) > 2.5
    candidates, rows = candidates_and_rows(scores)
    assert abs(candidates[1] - candidates[0]) < 0.2
    assert rows[:40].min() > rows[40:].max()


def test_rows_that_do_not_differ_have_no_ease() -> None:
    """Where scores of different candidates on one row have nothing in common, every row is as easy as the others."""
    generator = np.random.default_rng(1)
    _, rows = candidates_and_rows(generator.normal(0, 1, (40, 60)))
    assert np.abs(rows).max() < 0.1


@pytest.mark.parametrize("scores", [np.full((2, 3), 0.3), np.full((1, 1), 1.0)])
def test_equal_scores_tell_nothing(scores: np.ndarray) -> None:
    """Where all scores are equal, candidates are equally good and rows equally easy."""
    candidates, rows = candidates_and_rows(scores)
    assert (candidates.tolist(), rows.tolist()) == ([0.0] * len(scores), [0.0] * scores.shape[1])


def test_candidates_without_scores_are_left_out() -> None:
    """Trials without a score are not taken, and rows without one have no ease."""
    choices = [{"a": "x"}, {"a": "y"}, {"a": "z"}]
    scores = np.array([[1.0, 0.0, np.nan], [np.nan] * 3, [0.0, 0.0, np.nan]])
    trials, rows = prior_trials(choices, scores)
    assert [(trial.choices["a"], trial.rows) for trial in trials] == [("x", 2), ("z", 2)]
    assert trials[0].score > 0 > trials[1].score
    assert np.isnan(rows).tolist() == [False, False, True]
    assert prior_trials([], np.zeros((0, 0)))[0] == []
