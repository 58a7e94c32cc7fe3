"""What a run may spend, and what it has spent."""

from __future__ import annotations

from prompt_search.budget.bounds import PER_MESSAGE, PER_REQUEST, most_used
from prompt_search.budget.ledger import Ledger
from prompt_search.budget.limits import Budget, unbounded, unpriced
from prompt_search.budget.spending import CostOf, Spending

__all__ = [
    "PER_MESSAGE",
    "PER_REQUEST",
    "Budget",
    "CostOf",
    "Ledger",
    "Spending",
    "most_used",
    "unbounded",
    "unpriced",
]
