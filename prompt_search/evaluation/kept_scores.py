"""Scores of answers, each computed once in a study."""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from hashlib import sha256
from typing import Any

from prompt_search.answers import Unparsed
from prompt_search.data.rows import Row
from prompt_search.errors import BudgetExceeded
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.metrics import Score, score
from prompt_search.metrics.base import BuiltInMetric
from prompt_search.storage.records import ScoreRecord

METRIC_S = 2.0
"""Seconds that a metric may still take when the time of a budget is over: answers that were paid for are scored."""


class KeptScores:
    """Scores of answers by the study's metric.

    A metric of a user may give another score at the next time: it may ask a model, or a clock. A study that goes on, or
    whose line is run again, must not change by that, so each answer to a row is scored once in a study and its score is
    stored before it counts. The metrics of this package always give the same score, which is not stored.
    """

    def __init__(self, settings: EvaluationSettings) -> None:
        self._metric = settings.metric
        self._study = settings.study
        self._ledger = settings.ledger
        self._store = settings.store
        self._is_kept = settings.keeps_scores and not isinstance(settings.metric, BuiltInMetric)
        self._known = settings.store.scores.of_study(settings.study) if self._is_kept else {}
        self._scoring: dict[str, asyncio.Future[None]] = {}

    async def score(self, answer: Any, row: Row, position: int) -> Score:
        """The score of an answer to the row at a position of the data.

        Raises:
            BudgetExceeded: the metric has not ended `METRIC_S` seconds after the time of the budget.
            InputError: the metric fails, see `prompt_search.metrics.score`.
            RunError: the storage cannot be written.
        """
        left = self._ledger.remaining_s
        try:
            async with asyncio.timeout(None if left is None else left + METRIC_S):
                return await self._score(answer, row, position)
        except TimeoutError:
            seconds = f"{self._ledger.budget.seconds:g} seconds"
            raise BudgetExceeded(f"the budget of {seconds} was used up before the metric gave a score") from None

    async def _score(self, answer: Any, row: Row, position: int) -> Score:
        if not self._is_kept or isinstance(answer, Unparsed):
            return await score(self._metric, answer, row, position)
        key = _key(answer, row)
        if key not in self._known:
            # Equal answers that come at the same time wait for the same score.
            scoring = self._scoring.get(key) or asyncio.ensure_future(self._computed(key, answer, row, position))
            self._scoring[key] = scoring
            try:
                await asyncio.shield(scoring)
            finally:
                self._scoring.pop(key, None)
        kept = self._known[key]
        return Score(kept.value, kept.explanation, kept.margin)

    async def _computed(self, key: str, answer: Any, row: Row, position: int) -> None:
        """Ask the metric, and store its score."""
        value, explanation, margin = astuple(await score(self._metric, answer, row, position))
        record = ScoreRecord(study=self._study, key=key, value=value, explanation=explanation, margin=margin)
        await self._store.scores.save(record)
        self._known[key] = record


def _key(answer: Any, row: Row) -> str:
    """What a score belongs to: the answer and the row, as Python writes them."""
    return sha256(repr((answer, row, row.target)).encode("utf-8", "surrogatepass")).hexdigest()
