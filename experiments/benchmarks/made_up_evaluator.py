"""What evaluators of made-up searches have in common: every row costs a call, and no server refuses anything."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.search.settings import RefusalOf


class MadeUpEvaluator:
    """A `prompt_search.search.settings.BatchEvaluator` without its method ``evaluate``."""

    def price(self, prepared: PreparedPrompt, rows: Sequence[int]) -> list[int]:
        return [1] * len(rows)

    async def ask(self, prepared: PreparedPrompt, row: int, split: str) -> Outcome | None:
        return None

    def refusals(self) -> RefusalOf:
        return lambda prepared, row: None

    def evade(self, prepared: PreparedPrompt, row: int) -> bool:
        return False

    async def reparse(
        self, prepared: PreparedPrompt, outcomes: Sequence[Outcome], split: str
    ) -> tuple[PreparedPrompt, list[Outcome]]:
        return prepared, list(outcomes)


def scored(row: int, score: float, margin: float | None = None) -> Outcome:
    """The outcome of an answer of which nothing but its score matters."""
    return Outcome(
        row=row,
        key="",
        answer=None,
        score=score,
        explanation="",
        unparsed=False,
        error=None,
        cached=False,
        margin=margin,
    )
