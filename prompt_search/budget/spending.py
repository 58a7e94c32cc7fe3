"""Amounts that are spent: calls, tokens, US dollars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prompt_search.llm.messages import Request, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Calls, tokens (prompt and completion) and US dollars; dollars are NaN where a price is unknown.

    >>> Spending(calls=1, tokens=20) + Spending(calls=2, tokens=5, usd=0.25)
    Spending(calls=3, tokens=25, usd=0.25)
    """

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        return Spending(calls=self.calls + other.calls, tokens=self.tokens + other.tokens, usd=self.usd + other.usd)

    def __sub__(self, other: Spending) -> Spending:
        return self + other.times(-1)

    def times(self, factor: int) -> Spending:
        return Spending(calls=self.calls * factor, tokens=self.tokens * factor, usd=self.usd * factor)


NOTHING: Final = Spending()

CostOf = Callable[[Request, Usage], float]
"""Gives the US dollars that a request costs with some usage; NaN where the price is unknown."""
