"""From the outcomes of trials to what the surrogate observes: smoothed scores, and their means by block of rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy import special

from prompt_search.evaluation.outcome import Outcome
from prompt_search.search.encoding import Levels
from prompt_search.search.settings import BATCH_ROWS
from prompt_search.search.surrogate.geometry import Floats
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.trial import Trial

KERNEL_WIDTH = 0.7
"""Width of the smoothing kernel for ten margins, in standard deviations of the margins."""

PlacedScore = tuple[int, int, float]
"""Position of the trial, place of the row in the common order, and score."""


def placed_scores(
    measured: Sequence[Trial], places: Mapping[int, int], expecting: Collection[Trial] = (), rows: int = 0
) -> Iterator[PlacedScore]:
    """All smoothed scores of some trials, or what they are worth where something else is maximized.

    Args:
        measured: the trials; each has at least one score.
        places: place of every row in the common order.
        expecting: those of the trials that are about to be evaluated on their next rows; these scores are NaN.
        rows: the number of next rows.
    """
    width = pooled_width([[o.margin for o in trial.outcomes if o.margin is not None] for trial in measured])
    for index, trial in enumerate(measured):
        values = trial.valued(smoothed(trial.scored, width))
        for outcome, value in zip(trial.scored, values, strict=True):
            yield index, places[outcome.row], value
        if rows and trial in expecting:
            yield from ((index, places[row], math.nan) for row in trial.unseen[:rows])


def observations_of(
    scores: Iterable[PlacedScore], levels: Levels, block_rows: int, ease: Mapping[int, float] | None = None
) -> Observations | None:
    """The mean score of each trial on each block of the common order; None where there is no score.

    Args:
        scores: all scores.
        levels: the candidates of the trials, of shape (trials, factors).
        block_rows: the number of rows in a block.
        ease: the ease of rows as earlier studies know it, by place; 0 where it is missing.
    """
    cells: dict[tuple[int, int], list[float]] = {}
    eases: dict[tuple[int, int], list[float]] = {}
    for index, place, score in scores:
        cells.setdefault((index, place // block_rows), []).append(score)
        if ease:
            eases.setdefault((index, place // block_rows), []).append(ease.get(place, 0.0))
    if not cells:
        return None
    return Observations(
        levels=levels,
        candidate=np.array([index for index, _ in cells]),
        block=np.array([block for _, block in cells]),
        mean=np.array([sum(scores) / len(scores) for scores in cells.values()]),
        rows=np.array([len(scores) for scores in cells.values()], dtype=float),
        score_variance=float(np.concatenate(list(cells.values())).var()),
        ease=np.array([sum(each) / len(each) for each in eases.values()]) if ease else None,
    )


def score_table(scores: Iterable[PlacedScore], trials: int, rows: int) -> Floats:
    """The scores of the first trials, of shape (trials, rows), with NaN where there is none."""
    table = np.full((trials, rows), np.nan)
    for index, place, score in scores:
        if index < trials:
            table[index, place] = score
    return table


def pooled_width(margins: Sequence[Sequence[float]]) -> float:
    """The pooled standard deviation of margins around the mean of their trial; 0 where there are too few."""
    known = [np.var(values) * len(values) for values in margins if values]
    freedom = sum(len(values) - 1 for values in margins if values)
    return float((sum(known) / freedom) ** 0.5) if freedom > 0 else 0.0


def smoothed(outcomes: Sequence[Outcome], width: float) -> list[float]:
    """Right-or-wrong scores, in which answers that were nearly wrong or nearly right are moved towards 0.5.

    A count of right answers discards by how much each one was right. Here the share of margins above 0 is estimated by
    a smoothed distribution function (Nadaraya 1964). Its Gaussian kernel becomes narrower with the number of rows. The
    scores are stretched so that the estimate has no bias towards one half for normal margins. Ten rows with smoothed
    scores are as informative as fourteen without.

    Args:
        outcomes: the outcomes of one trial that have a score. An outcome without margin keeps its score.
        width: see `pooled_width`.
    """
    scores = [outcome.score or 0.0 for outcome in outcomes]
    margins = np.array([outcome.margin for outcome in outcomes if outcome.margin is not None])
    if len(margins) < 2 or width == 0:
        return scores
    own = (margins.var() * len(margins) + width**2 * BATCH_ROWS) / (len(margins) + BATCH_ROWS)
    bandwidth = KERNEL_WIDTH * (BATCH_ROWS / len(margins)) ** (1 / 3)
    near = special.ndtr(margins / (bandwidth * own**0.5))
    mean = float(np.clip(near.mean(), 0.01, 0.99))
    wide = (1 + bandwidth**2) ** 0.5
    stretch = wide
    if abs(mean - 0.5) > 1e-3:
        stretch = float((special.ndtr(wide * special.ndtri(mean)) - 0.5) / (mean - 0.5))
    stretched = iter(0.5 + (near - 0.5) * stretch)
    return [
        score if outcome.margin is None else float(next(stretched))
        for outcome, score in zip(outcomes, scores, strict=True)
    ]
