"""What a judge takes of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prompt_search.evaluation.judging.judge import Judge


@dataclass(frozen=True, kw_only=True)
class JudgeShare:
    """What a judge is expected to take of the totals of an estimate.

    Attributes:
        model: name of the judge's model.
        per_row: number of its calls for each answer.
        calls: number of its calls, at most: equal answers to a row are judged once.
        tokens, usd: of all of them; NaN where they are unknown.
    """

    model: str
    per_row: int
    calls: int
    tokens: float
    usd: float

    @classmethod
    def of(cls, judge: Judge, calls: int, per_row: float, each: Mapping[str, float]) -> JudgeShare:
        """The share of a judge in so many calls to models and judge, so many for a row, each of which takes this."""
        own = int(calls * judge.calls / per_row)
        return cls(
            model=judge.model.name,
            per_row=judge.calls,
            calls=own,
            tokens=own * each["tokens"],
            usd=own * each["usd"],
        )
