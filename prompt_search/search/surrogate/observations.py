"""The scores of a search as the surrogate reads them: one mean for each candidate and block of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.geometry import Floats, Integers


@dataclass(frozen=True)
class Relation:
    """Which candidates were observed in earlier studies, and how much of what sets these apart holds in this one.

    What sets candidates apart has the correlation ``likeness`` between this study and an earlier one (Bonilla et al.
    2007); two earlier studies have in common what each has in common with this one. Each study has its own level.

    Args:
        study: the study of each observed candidate, of shape (candidates,); 0 is this one, whose candidates come first.
        likeness: of each study with this one, of shape (studies,); the first is 1.
    """

    study: Integers
    likeness: Floats

    @cached_property
    def with_new(self) -> Floats:
        """The correlation of each observed candidate with candidates of this study, of shape (candidates,)."""
        return self.likeness[self.study]

    @cached_property
    def is_own(self) -> NDArray[np.bool_]:
        """Whether each candidate was observed in this study."""
        return np.asarray(self.study == 0)

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        """Whether each two candidates were observed in the same study, of shape (candidates, candidates)."""
        return np.equal.outer(self.study, self.study)

    @cached_property
    def between(self) -> Floats:
        """The correlation between the studies of each two candidates, of shape (candidates, candidates)."""
        return np.where(self.same, 1.0, np.outer(self.with_new, self.with_new))

    def equals(self, other: Relation | None) -> bool:
        """Whether both say the same of the same candidates."""
        return (
            other is not None
            and np.array_equal(self.study, other.study)
            and np.array_equal(self.likeness, other.likeness)
        )


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
        relation: which candidates are those of earlier studies; None: all are of this one.
        ease: for each entry the mean ease of its rows, in standard deviations of a single score, as earlier studies
            know it; None where they do not.
    """

    levels: Levels
    candidate: Integers
    block: Integers
    mean: Floats
    rows: Floats
    score_variance: float
    relation: Relation | None = None
    ease: Floats | None = None

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
            relation=None if self.relation is None else replace(self.relation, study=self.relation.study[which]),
            ease=None if self.ease is None else self.ease[kept],
        )

    @cached_property
    def centre(self) -> float:
        """The mean of all scores."""
        return float(np.average(self.mean, weights=self.rows))

    @property
    def scale(self) -> float:
        """The variance of single scores, above 0 also where all scores are equal."""
        return max(self.score_variance, 1e-6 * max(1.0, self.centre**2))

    def without_ease(self, weight: float) -> Observations:
        """The same observations, whose means are corrected for a part of the ease of their rows."""
        if self.ease is None or not weight:
            return self
        return replace(self, mean=self.mean - weight * self.scale**0.5 * self.ease)

    def has_rows_of(self, other: Observations) -> bool:
        """Whether both have the same entries: candidates (by their positions), blocks, and numbers of rows."""
        names = ("candidate", "block", "rows")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    def has_levels_of(self, other: Observations) -> bool:
        """Whether both have the same candidates, in the same studies."""
        same = other.relation is None if self.relation is None else self.relation.equals(other.relation)
        return same and np.array_equal(self.levels, other.levels)

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
