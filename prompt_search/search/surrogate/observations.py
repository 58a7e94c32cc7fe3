"""The scores of a search as the surrogate reads them: one mean for each candidate and block of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.geometry import Floats, Integers


@dataclass(frozen=True)
class Observations:
    """Mean scores of candidates on blocks of rows; a candidate has one entry for every block it was evaluated on.

    Args:
        levels: the candidates, of shape (candidates, factors).
        candidate: position of an entry's candidate in ``levels``, of shape (entries,).
        block: number of an entry's block of rows; the same number means (nearly) the same rows.
        mean: the mean score.
        rows: the number of rows that the mean is taken over.
        score_variance: the variance of single scores.
    """

    levels: Levels
    candidate: Integers
    block: Integers
    mean: Floats
    rows: Floats
    score_variance: float

    def thinned(self, most: int) -> Observations:
        """At most this many entries, taken evenly from first to last."""
        if len(self.mean) <= most:
            return self
        kept = np.linspace(0, len(self.mean) - 1, most).astype(np.int64)
        which, candidate = np.unique(self.candidate[kept], return_inverse=True)
        return replace(
            self,
            levels=self.levels[which],
            candidate=candidate,
            block=self.block[kept],
            mean=self.mean[kept],
            rows=self.rows[kept],
        )

    @cached_property
    def centre(self) -> float:
        """The mean of all scores."""
        return float(np.average(self.mean, weights=self.rows))

    @property
    def scale(self) -> float:
        """The variance of single scores, above 0 also where all scores are equal."""
        return max(self.score_variance, 1e-6 * max(1.0, self.centre**2))

    def has_rows_of(self, other: Observations) -> bool:
        """Whether both have the same entries: candidates (by their positions), blocks, and numbers of rows."""
        names = ("candidate", "block", "rows")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    @cached_property
    def blocks(self) -> list[tuple[Integers, Floats]]:
        """The entries of each block, and the covariance that the difficulty of the block's rows gives their means, for
        a variance of 1 per row; entries of different blocks have no rows in common."""
        root = 1 / np.sqrt(self.rows)
        order = np.argsort(self.block, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.block[order])) + 1)
        return [(group, np.outer(root[group], root[group])) for group in groups]


def row_variances(scores: Floats) -> tuple[float, float]:
    """The variance that the difficulty of rows adds to a candidate's single scores, and the rest of their variance.

    On one row two candidates have only its difficulty in common. The mean product of their scores there, each minus
    the mean of its candidate, therefore estimates the variance of the difficulty (analysis of variance with rows as
    blocks; Henderson 1953).

    Args:
        scores: of shape (candidates, rows); NaN where a candidate has no score on a row.

    Returns:
        The variances of difficulty and of all else; NaN where the scores do not determine them: no candidate has two
        scores, or no two of these candidates have rows in common.

    >>> row_variances(np.array([[1.0, 0, 1, 0], [1, 0, 1, 0]]))
    (0.3333333333333333, 0.0)
    """
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    scores, known, count = scores[count > 1], known[count > 1].astype(np.float64), count[count > 1]
    if not len(scores):
        return np.nan, np.nan
    deviation = np.where(known > 0, scores - np.nanmean(scores, axis=1, keepdims=True), 0.0)
    total = float((deviation**2).sum() / (count - 1).sum())
    shared, products, pairs = known @ known.T, deviation @ deviation.T, np.triu_indices(len(scores), 1)
    share = shared / count  # of the rows of the second
    divisor = float((shared - share - share.T + share * share.T)[pairs].sum())
    if divisor <= 0:
        return np.nan, total
    rows = min(max(float(products[pairs].sum()) / divisor, 0.0), total)
    return rows, total - rows
