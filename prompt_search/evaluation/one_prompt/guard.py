"""Whether a prompt still scores what it has to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prompt_search._numbers import ROUNDING, counted, interval, number
from prompt_search.results.breakdowns import below_full_score
from prompt_search.results.evaluation import Evaluation
from prompt_search.results.frames import answer_text

SHOWN_ROWS = 3
"""Number of failing rows that a failed guard names."""

SHOWN_CHARACTERS = 100
"""Number of characters of a target, answer or response of them."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """A prompt's scores held against the score that it has to reach.

    Attributes:
        evaluation: the scores.
        at_least: the score to reach; None: none.
        rows: number of rows that were to be scored.
    """

    evaluation: Evaluation
    at_least: float | None
    rows: int

    @property
    def missing(self) -> int:
        """Number of rows without a score: their requests failed on the road, or the budget left no room."""
        return self.rows - len(self.evaluation.scores)

    @property
    def outcome(self) -> Literal["reached", "below", "unknown"]:
        """Whether the score is reached. It is unknown where the rows without a score would decide, with 0 for each or
        with the full score (1, or the highest that occurs): lost requests neither pass nor fail a guard."""
        scores = self.evaluation.scores
        if self.at_least is None:
            return "reached" if scores else "unknown"
        limit = (self.at_least - ROUNDING) * self.rows
        if scores and sum(scores) >= limit:
            return "reached"
        return "below" if scores and sum(scores) + self.missing * max(1.0, *scores) < limit else "unknown"

    @property
    def line(self) -> str:
        """The outcome in one line: score, metric, interval, rows and failures."""
        found = self.evaluation
        return (
            f"score {number(found.score)} (metric {found.metric}, 95% interval {interval(*found.interval)}) on "
            f"{counted(len(found.scores), 'row')}{self._said}; unparsed {found.unparsed:,}, "
            f"failed requests {found.errors:,}, rows without a score {self.missing:,}"
        )

    @property
    def _said(self) -> str:
        if self.at_least is None:
            return ""
        limit = f"{self.at_least:g}"
        return {
            "reached": f", at or above {limit}",
            "below": f", below {limit}",
            "unknown": f", too few to tell whether it is at or above {limit}",
        }[self.outcome]

    def failing(self, limit: int = SHOWN_ROWS) -> list[str]:
        """The worst rows, a line each: row, target, answer, and the response where there is no answer."""

        def short(value: object) -> str:
            text = " ".join(answer_text(value).split())
            return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"

        lines = []
        for record in below_full_score(self.evaluation.samples_df()).head(limit).to_dict("records"):
            came = f"answer {short(record['answer'])!r}"
            if record["error"] is not None:
                came = f"request failed: {short(record['error'])}"
            elif record["answer"] is None:
                came = f"no answer in {short(record['response'])!r}"
            lines.append(f"row {record['row']}: target {short(record['target'])!r}, {came}")
        return lines
