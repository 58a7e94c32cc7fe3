"""The numbers of a verdict: a mean score with its interval, and whether one prompt is better than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from prompt_search.results.frames import mean_of
from prompt_search.results.statistics import Difference, mean_interval


class MeanScore(NamedTuple):
    """A mean score, the ends of its 95% confidence interval, and its number of rows; NaN without rows."""

    mean: float
    low: float
    high: float
    rows: int

    @classmethod
    def of(cls, scores: Sequence[float]) -> MeanScore:
        """The mean of scores; those of failed requests (NaN) are left out."""
        known = [score for score in scores if not math.isnan(score)]
        low, high = mean_interval(known)
        return cls(mean_of(known), low, high, len(known))


class Verdict(str):
    """``better``, ``not shown`` or ``worse``: whether the winner beats the default prompt on test rows.

    It is a str, and has the numbers as attributes.

    Attributes (from `statistics.Difference`): ``difference`` winner minus default, with its 95% confidence interval
    ``low``, ``high``; ``p``; ``rows`` compared; ``won`` and ``lost`` rows; ``detectable``, the true difference that
    would be detected on this many rows with 80% power.
    """

    difference: float
    low: float
    high: float
    p: float
    rows: int
    won: int
    lost: int
    detectable: float

    @classmethod
    def of(cls, found: Difference) -> Verdict:
        """The verdict of a comparison, with its numbers."""
        verdict = cls(found.verdict)
        for field in fields(found):
            if field.name != "verdict":
                setattr(verdict, field.name, getattr(found, field.name))
        return verdict

    @property
    def disagrees_with_interval(self) -> bool:
        """Whether p and the interval, which is computed in another way, lead to different conclusions."""
        excludes_0 = self.low > 0 or self.high < 0
        return excludes_0 == (self == "not shown")
