"""The limits of a run."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields

from prompt_search.budget.spending import Spending
from prompt_search.errors import InputError

MOST = 10**12
"""Largest limit: larger ones are typing errors, and no database and no clock holds them."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of what one run may spend, the test of the winner included.

    A run never exceeds ``calls``, ``tokens`` and ``usd``: before it sends a request, it reserves the most that the
    request can use. A budget in tokens or dollars therefore needs requests with ``max_tokens``, and one in dollars also
    a model with a known price. After ``seconds`` no request is sent, and requests in flight are cancelled.

    Args:
        calls: number of requests, retries included.
        tokens: number of tokens of prompts and completions together.
        usd: US dollars.
        seconds: duration of the run.

    Raises:
        InputError: no limit is given, one is not above 0 or is above `MOST`, or calls or tokens are not whole numbers.

    >>> Budget(calls=600) == Budget(600)
    True
    """

    calls: int | None = None
    _: KW_ONLY
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.limits:
            raise InputError("a budget needs at least one limit; give calls=, tokens=, usd= or seconds=")
        for name, limit in self.limits.items():
            if isinstance(limit, bool) or not isinstance(limit, (int, float)):
                raise InputError(f"a budget must be a number, got {name}={limit!r}; give one such as {name}=600")
            if not limit > 0:
                raise InputError(f"a budget must be above 0, got {name}={limit}; give a larger one")
            if limit > MOST:
                raise InputError(
                    f"a budget must be at most {MOST:,}, got more in {name}; leave {name} out for no limit"
                )
            if name in ("calls", "tokens") and not isinstance(limit, int):
                raise InputError(f"a budget in {name} must be a whole number, got {name}={limit}; round it")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        given = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: limit for name, limit in given if limit is not None}

    @property
    def never_passed(self) -> dict[str, float]:
        """The limits that no run exceeds: all except seconds."""
        return {name: limit for name, limit in self.limits.items() if name != "seconds"}

    def allows_more_than(self, spending: Spending) -> bool:
        """Whether another request could be sent after this spending."""
        return all(getattr(spending, name) < limit for name, limit in self.never_passed.items())

    def part(self, share: float) -> Budget:
        """A budget with a share of every limit, but at least one call and one token.

        >>> Budget(calls=600, usd=2.0).part(0.25)
        Budget(calls=150, usd=0.5)
        """

        def whole(limit: int | None) -> int | None:
            return None if limit is None else max(1, int(limit * share))

        def of(limit: float | None) -> float | None:
            return None if limit is None else limit * share

        return Budget(calls=whole(self.calls), tokens=whole(self.tokens), usd=of(self.usd), seconds=of(self.seconds))

    def __repr__(self) -> str:
        return f"Budget({', '.join(f'{name}={limit}' for name, limit in self.limits.items())})"


def unbounded(budget: Budget, model: str) -> str:
    """The message that a budget cannot be kept with requests that do not bound their answer."""
    return (
        f"{budget} can only be kept when answers are bounded, and a request to {model} has no max_tokens; give "
        f'request={{"max_tokens": …}} (or max_completion_tokens), or a budget in calls'
    )


def unpriced(budget: Budget, model: str) -> str:
    """The message that a budget in dollars cannot be kept without a price."""
    return (
        f"a budget of {budget.usd:g} US dollars cannot be kept, because the price of {model} is unknown; "
        f"give Model(..., price=Price(...)), or a budget in calls or tokens"
    )
