"""The numbers of a verdict: a mean score with its interval, what came of the requests, and whether one prompt is better
than another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import compress
from typing import NamedTuple

import numpy as np
import pandas as pd

from prompt_search.llm.failures import Fault, fault_of, kind_of
from prompt_search.metrics.majority import Majority
from prompt_search.metrics.ranges import UNBOUNDED, Range
from prompt_search.results.frames import mean_of
from prompt_search.results.statistics import Difference, independent, mean_interval

TOLD_SHARE = 0.05
"""Share of answers that could not be read, or are ambiguous, above which people are told."""


class MeanScore(NamedTuple):
    """A mean score, the ends of its 95% confidence interval, and its number of rows; NaN without rows."""

    mean: float
    low: float
    high: float
    rows: int

    @classmethod
    def of(cls, scores: Sequence[float], bounds: Range = UNBOUNDED, requests: Sequence[Hashable] = ()) -> MeanScore:
        """The mean of scores by a metric with this range; those that are missing (NaN) are left out. ``requests`` are
        those of the scores, see `statistics.independent`."""
        values = np.asarray(scores, dtype=float)
        kept = ~np.isnan(values)
        known = values[kept].tolist()
        low, high = mean_interval(independent(values[kept], [*compress(requests, kept)]).tolist(), bounds=bounds)
        return cls(bounds.clipped(mean_of(known)), low, high, len(known))


@dataclass(frozen=True, kw_only=True)
class AnswerCounts:
    """What came of some requests.

    Args:
        requests: number of requests, failed ones included.
        failures: number of failed requests by kind of error, see `prompt_search.llm.failures`.
        unparsed: number of answers that could not be read.
        ambiguous: number of answers that were the first of several in their response.
    """

    requests: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    unparsed: int = 0
    ambiguous: int = 0

    @classmethod
    def of(cls, scored: pd.DataFrame) -> AnswerCounts:
        """The counts of some scored rows, see `tables.scored_frame`."""
        return cls(
            requests=len(scored),
            failures=Counter(map(kind_of, scored["error"].dropna())),
            unparsed=int(scored["unparsed"].sum()),
            ambiguous=int(scored["ambiguous"].sum()),
        )

    @classmethod
    def total(cls, parts: Iterable[AnswerCounts]) -> AnswerCounts:
        """The counts of several groups of requests together."""
        counts = list(parts)
        return cls(
            requests=sum(each.requests for each in counts),
            failures=sum((Counter(each.failures) for each in counts), Counter()),
            unparsed=sum(each.unparsed for each in counts),
            ambiguous=sum(each.ambiguous for each in counts),
        )

    @property
    def errors(self) -> int:
        """The number of failed requests."""
        return sum(self.failures.values())

    @property
    def answers(self) -> int:
        """The number of requests that were answered."""
        return self.requests - self.errors

    def failed(self, *faults: Fault) -> dict[str, int]:
        """The failures of these faults by kind, the most frequent first."""
        kinds = {kind: count for kind, count in self.failures.items() if fault_of(kind) in faults}
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))


class Verdict(str):
    """``better``, ``not shown`` or ``worse``: whether the winner beats the default prompt on test rows.

    It is a str, and has the numbers as attributes.

    Attributes (from `statistics.Difference`): ``difference`` winner minus default, with its 95% confidence interval
    ``low``, ``high``; ``p``; ``rows`` compared; ``won`` and ``lost`` rows; ``detectable``, the true difference that
    would be detected on this many rows with 80% power; ``missing``, the rows that are left out because a request of
    either prompt failed on the road; ``guarded``, whether only these keep the verdict from being better or worse;
    ``distinct``, the number of different rows: p and the interval rest on these. Where answers are labels,
    ``majority`` is the score of always answering the most frequent label of these rows, else NaN, and
    ``majority_label`` is that label, else None.
    """

    difference: float
    low: float
    high: float
    p: float
    rows: int
    won: int
    lost: int
    detectable: float
    missing: int
    distinct: int
    guarded: bool
    majority: float = math.nan
    majority_label: str | None = None

    @classmethod
    def of(cls, found: Difference, majority: Majority | None = None) -> Verdict:
        """The verdict of a comparison, with its numbers, and what the most frequent label reaches."""
        verdict = cls(found.verdict)
        for each in fields(found):
            if each.name != "verdict":
                setattr(verdict, each.name, getattr(found, each.name))
        if majority is not None:
            verdict.majority, verdict.majority_label = majority.score, majority.label
        return verdict

    @property
    def disagrees_with_interval(self) -> bool:
        """Whether p and the interval, which is computed in another way, lead to different conclusions."""
        excludes_0 = self.low > 0 or self.high < 0
        return not self.guarded and excludes_0 == (self == "not shown")
