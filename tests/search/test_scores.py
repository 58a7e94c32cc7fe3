"""Smoothed scores: what margins add to the count of right answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prompt_search.answers.text import Text
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.prompt import Prompt
from prompt_search.search.scores import observations_of, placed_scores, pooled_width, score_table, smoothed
from prompt_search.search.settings import BATCH_ROWS
from prompt_search.search.trial import Trial


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


# Observations


def trial_with(number: int, scores: Sequence[float], rows: Sequence[int]) -> Trial:
    outcomes = [
        replace(outcome, score=score, margin=None)
        for outcome, score in zip(outcomes_of([1.0] * len(scores)), scores, strict=True)
    ]
    prepared = PreparedPrompt(prompt=Prompt(source=str(number)), answer=Text(), model="m", endpoint="e")
    levels = np.array([number])
    return Trial(number, Candidate(()), {}, levels, prepared, rows, outcomes)


def test_observations_are_means_by_trial_and_block() -> None:
    """Each trial has one mean for every block of the common order in which it has scores, errors excluded."""
    trials = [trial_with(0, [1.0, 0.0, 0.5], range(5)), trial_with(1, [1.0, 1.0], range(5))]
    trials[1].outcomes.append(replace(trials[1].outcomes[0], row=2, score=None, error="server: 500"))
    places = {row: row for row in range(5)}
    found = observations_of(placed_scores(trials, places), np.array([[0], [1]]), block_rows=2)
    assert found is not None
    assert found.candidate.tolist() == [0, 0, 1]
    assert found.block.tolist() == [0, 1, 0]
    assert found.mean.tolist() == [0.5, 0.5, 1.0]
    assert found.rows.tolist() == [2, 1, 2]
    assert found.score_variance == pytest.approx(np.var([1.0, 0.0, 0.5, 1.0, 1.0]))


def test_expected_rows_have_no_score_yet() -> None:
    """The next rows of trials that are about to be evaluated are NaN; those of other trials do not occur."""
    trials = [trial_with(0, [1.0], range(4)), trial_with(1, [0.0], range(4))]
    places = {row: 3 - row for row in range(4)}
    table = score_table(placed_scores(trials, places, expecting=trials[1:], rows=2), trials=2, rows=4)
    assert np.argwhere(~np.isnan(table)).tolist() == [[0, 3], [1, 3]]
    scores = list(placed_scores(trials, places, expecting=trials[1:], rows=2))
    assert [(index, place) for index, place, score in scores if np.isnan(score)] == [(1, 2), (1, 1)]


def test_nothing_is_observed_without_a_score() -> None:
    """There are no observations where no trial has a score."""
    assert observations_of(placed_scores([], {}), np.zeros((0, 1), dtype=np.int64), BATCH_ROWS) is None
