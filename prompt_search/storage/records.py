"""What a storage keeps, as frozen records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prompt_search.budget import Spending
from prompt_search.llm.messages import Request, Response
from prompt_search.storage.summary import Summary

Columns = dict[str, list[Any]]
"""A table as lists of equal length by column name."""

USAGE_FIELDS = ("prompt_tokens", "cached_tokens", "completion_tokens")
"""The fields of a response's usage that tables show as they are."""

RESPONSE_FIELDS = ("text", "error", "latency_s", "cost_usd", "finish_reason")
"""The fields of a response that tables show as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that a study used: paid for (``attempts`` > 0) or found stored (0); ``response`` for replay.

    ``role`` is what it was for; ``budget`` under which of the study's budgets, by number; ``tokens`` and ``usd`` what
    it counts in the ledger, which is more than the response says where answers were lost; ``usd`` None: unknown.
    """

    key: str
    number: int
    split: str
    attempts: int
    response: Response
    role: str = "task"
    budget: int = 0
    tokens: int = 0
    usd: float | None = None

    @property
    def cut_short(self) -> bool:
        """Whether the budget ended between two attempts, so that another run may go on trying."""
        return (self.response.error or "").startswith("budget")

    @property
    def spending(self) -> Spending:
        """What it counts; as many calls as the response took where another study paid for it."""
        usd = math.nan if self.usd is None else self.usd
        return Spending(calls=self.attempts or self.response.attempts, tokens=self.tokens, usd=usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A call as it is written down."""

    study: str
    key: str
    request: Request
    response: Response
    split: str
    number: int
    paid: bool
    spending: Spending
    role: str = "task"
    budget: int = 0

    @property
    def row(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "key": self.key,
            "number": self.number,
            "split": self.split,
            "attempts": self.response.attempts if self.paid else 0,
            "failure": storable(self.response.to_json()) if self.response.error else None,
            "role": self.role,
            "budget": self.budget,
            "tokens": self.spending.tokens,
            "usd": none_if_nan(self.spending.usd),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Stored responses of one model: how many, how many of them stored studies need, and their size with requests."""

    endpoint: str
    model: str
    responses: int
    needed: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a storage knows of some requests: those that the study used, and responses that others paid for."""

    calls: dict[str, Call]
    responses: dict[str, Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One candidate: its choices as text by name, the fields of its `Prompt`, and how its trial ended.

    Of a finished study also what the surrogate expects of its true score (``estimate``), and the standard deviation
    of what it knows of the difference to the winner (``uncertainty``); None where the trial has no score.
    """

    trial: int
    state: str
    reason: str
    choices: Mapping[str, str]
    positions: Mapping[str, int]
    prompt: Mapping[str, Any]
    text: str
    estimate: float | None = None
    uncertainty: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecord:
    """One candidate on one row; ``score`` is None when the request failed."""

    trial: int
    row: int
    split: str
    key: str
    answer: Any
    target: Any
    score: float | None
    explanation: str
    unparsed: bool
    error: str | None
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A stored study: its settings (``identity``) and, once it ended, its outcome (``summary``)."""

    study: str
    created: float
    identity: Mapping[str, Any]
    summary: Summary | None = None


def storable(text: str) -> str:
    """JSON text that every database takes: half a surrogate pair becomes its JSON escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def none_if_nan(value: float) -> float | None:
    """JSON has no NaN: unknown is null there."""
    return None if math.isnan(value) else value
