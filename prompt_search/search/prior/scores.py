"""What a later study takes from the scores of an earlier one: how good its candidates are, and how easy its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prompt_search.search.surrogate.geometry import Floats
from prompt_search.search.surrogate.observations import row_variances
from prompt_search.storage.once.prior_studies import PriorTrial

SWEEPS = 30
"""Number of times that candidates and rows are estimated in turn."""


def candidates_and_rows(scores: Floats) -> tuple[Floats, Floats]:
    """How good candidates are and how easy rows are, in standard deviations of a single score.

    Each score is the sum of the candidate's mean, the ease of the row, and noise. The ease is a random effect with the
    variance that `row_variances` estimates, and is therefore 0 where nothing tells that rows differ (Henderson 1975).

    Args:
        scores: of shape (candidates, rows); NaN where a candidate has no score on a row.

    Returns:
        For each candidate its mean, corrected for the ease of its rows, from the mean of all scores; NaN without a
        score. And for each row its ease, whose mean is 0; NaN without a score.

    >>> candidates, rows = candidates_and_rows(np.array([[1.0, 0, 1, 0], [1, 0, 1, 1]]))
    >>> candidates.round(2).tolist(), rows.round(2).tolist()
    ([-0.26, 0.26], [0.56, -0.94, 0.56, -0.19])
    """
    known = ~np.isnan(scores)
    with_score, of_row, of_candidate = known.any(), known.sum(axis=0), known.sum(axis=1)
    filled = np.where(known, scores, 0.0)
    spread = float(scores[known].std()) if with_score else 0.0
    if spread == 0:
        return np.where(of_candidate, 0.0, np.nan), np.where(of_row, 0.0, np.nan)
    rows, noise = row_variances(scores)
    ratio = noise / rows if rows > 0 else np.inf  # NaN compares as False
    ease = np.zeros(scores.shape[1])
    for _ in range(SWEEPS):
        mean = (filled - known * ease).sum(axis=1) / np.maximum(of_candidate, 1)
        ease = (filled - known * mean[:, None]).sum(axis=0) / (of_row + ratio)
        ease -= np.average(ease, weights=of_row)
    mean -= np.average(mean, weights=of_candidate)
    return np.where(of_candidate, mean, np.nan) / spread, np.where(of_row, ease, np.nan) / spread


def prior_trials(choices: Sequence[Mapping[str, str]], scores: Floats) -> tuple[list[PriorTrial], Floats]:
    """What a study knows of its candidates and rows.

    Args:
        choices: the text of each candidate's options, by the name of the choice.
        scores: of shape (candidates, rows), see `candidates_and_rows`.

    Returns:
        Its candidates with a score, and the ease of its rows, of shape (rows,).
    """
    candidates, ease = candidates_and_rows(scores)
    counts = (~np.isnan(scores)).sum(axis=1).tolist()
    found = zip(choices, candidates.tolist(), counts, strict=True)
    return [PriorTrial(choices=own, score=round(score, 4), rows=rows) for own, score, rows in found if rows], ease
