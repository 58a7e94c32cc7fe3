"""Smoothed scores: what margins add to the count of right answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prompt_search.evaluation.outcome import Outcome
from prompt_search.search.scores import pooled_width, smoothed
from prompt_search.search.settings import BATCH_ROWS


def outcomes_of(margins: Sequence[float]) -> list[Outcome]:
    return [
        Outcome(
            row=row,
            key="",
            answer=None,
            score=float(margin > 0),
            explanation="",
            unparsed=False,
            error=None,
            cached=False,
            margin=margin,
        )
        for row, margin in enumerate(margins)
    ]


@pytest.mark.parametrize("right", [0.3, 0.5, 0.7, 0.85])
def test_smoothed_scores_estimate_the_same_with_less_noise(right: float) -> None:
    """The mean of smoothed scores is the share of right answers, at a smaller variance."""
    generator = np.random.default_rng(0)
    studies = generator.normal(stats.norm.ppf(right), 1, (1500, BATCH_ROWS)) * 3
    smooth = [np.mean(smoothed(outcomes_of(study.tolist()), 3.0)) for study in studies]
    counted = (studies > 0).mean(axis=1)
    assert np.mean(smooth) == pytest.approx(right, abs=0.02)
    assert np.var(smooth) < 0.85 * np.var(counted)


def test_scores_without_margins_are_kept() -> None:
    """Scores of answers without a margin stay as they are, and so do all scores where the margins do not differ."""
    bare = [replace(outcome, margin=None) for outcome in outcomes_of([1.0, -1.0, 2.0])]
    assert smoothed(bare, 1.0) == [1.0, 0.0, 1.0]
    assert smoothed(outcomes_of([1.0, -1.0]), 0.0) == [1.0, 0.0]


@given(st.lists(st.floats(-6, 6), min_size=2, max_size=40))
def test_smoothing_keeps_the_order_of_answers(margins: list[float]) -> None:
    """An answer that is more right never scores less."""
    scores = smoothed(outcomes_of(margins), pooled_width([margins]) or 1.0)
    assert [scores[index] for index in np.argsort(margins, kind="stable")] == sorted(scores)
