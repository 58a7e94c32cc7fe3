"""What a run may spend, and what it has spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from prompt_search.completion import Response
from prompt_search.errors import BudgetExceeded, InputError, RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that one run may spend, the sealed test included.

    ``calls`` counts requests, each retry among them, and is never passed. ``tokens`` (prompt and completion),
    ``usd`` and ``seconds`` are looked at before every request: no request is sent once the limit is reached,
    those in flight are finished. ``usd`` needs a model whose price is known.

    Raises:
        InputError: no limit at all, one that is not positive, or a part of a call or token.

    >>> Budget(calls=600)
    Budget(calls=600)
    """

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        limits = {f.name: getattr(self, f.name) for f in fields(self)}
        if all(limit is None for limit in limits.values()):
            raise InputError("a budget needs at least one limit; give calls=, tokens=, usd= or seconds=")
        for name, limit in limits.items():
            if limit is not None and not limit > 0:
                raise InputError(f"a budget is positive, got {name}={limit}")
            if limit is not None and name in ("calls", "tokens") and not isinstance(limit, int):
                raise InputError(f"a budget in {name} is a whole number, got {name}={limit}")

    def part(self, share: float) -> Budget:
        """So much of every limit, at least one call and one token.

        >>> Budget(calls=600, usd=2.0).part(0.25)
        Budget(calls=150, usd=0.5)
        """

        def whole(limit: int | None) -> int | None:
            return None if limit is None else max(1, int(limit * share))

        def of(limit: float | None) -> float | None:
            return None if limit is None else limit * share

        return Budget(calls=whole(self.calls), tokens=whole(self.tokens), usd=of(self.usd), seconds=of(self.seconds))

    def __repr__(self) -> str:
        given = ((f.name, getattr(self, f.name)) for f in fields(self))
        return f"Budget({', '.join(f'{name}={limit}' for name, limit in given if limit is not None)})"


class Ledger:
    """Counts what a run spends and refuses what would pass the budget.

    A resumed run replays what it had already paid for: ``replayed`` calls count as spent, so that it stops
    where the uninterrupted run stops, and cost nothing. So do the responses of other studies, of which there are
    ``reused``: what a study does must not depend on what else a storage holds.

    Args:
        budget: the limits.
        paid_before: calls that earlier runs of the same study sent.
        clock: seconds, monotonic.
    """

    def __init__(self, budget: Budget, *, paid_before: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.paid_before = paid_before
        self.replayed = 0
        self.reused = 0
        self.sent = 0
        self.tokens = 0
        self.usd = 0.0
        self.priced = True
        self.stopped: str | None = None
        self._clock = clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        """Seconds since the run started."""
        return self._clock() - self._started

    @property
    def spent(self) -> int:
        """Calls that count against the budget so far."""
        return self.replayed + self.sent

    def affordable(self, unknown: int = 10_000) -> float:
        """How many calls the whole budget allows, by what calls have cost so far; ``unknown`` before any."""
        limits = [self.budget.calls if self.budget.calls is not None else unknown]
        if self.spent:
            limits += [round(self.spent / share) for share in self._shares().values() if share]
        return min(limits)

    def _shares(self) -> dict[str, float]:
        """The used part of each limit other than calls."""
        spent = {"tokens": self.tokens, "usd": self.usd, "seconds": self.seconds}
        limits = {name: getattr(self.budget, name) for name in spent}
        return {name: spent[name] / limit for name, limit in limits.items() if limit is not None}

    @property
    def exhausted(self) -> str | None:
        """The limit other than calls that is reached, or None."""
        return next((name for name, share in self._shares().items() if share >= 1), None)

    def stop(self, reason: str) -> None:
        """Let no further request out; those in flight are finished."""
        self.stopped = self.stopped or reason

    def reserve(self) -> None:
        """Count one request that is about to be sent.

        Raises:
            BudgetExceeded: it would pass a limit, or the run was stopped; nothing is counted then.
            RunError: the budget is in US dollars and a response came whose price is unknown.
        """
        self._admit(1, max(self.spent, self.paid_before + self.sent))
        self.sent += 1

    def reuse(self, response: Response) -> None:
        """Count a response that another study paid for as if it had to be asked for.

        Raises:
            BudgetExceeded, RunError: as `reserve`.
        """
        self._admit(response.attempts, self.spent)
        self.replay(response, 0)

    def replay(self, response: Response, attempts: int) -> None:
        """Count a call of an earlier run of the study, which paid for so many attempts, or for none."""
        self.replayed += attempts or response.attempts
        self.reused += not attempts
        self.settle(response)

    def _admit(self, attempts: int, spent: int) -> None:
        if self.stopped is not None:
            raise BudgetExceeded(f"the run was stopped: {self.stopped}")
        limit = self.budget.calls
        if limit is not None and spent + attempts > limit:
            raise BudgetExceeded(f"the budget of {limit} calls is used up")
        if self.budget.usd is not None and not self.priced:
            raise RunError(
                f"a budget of {self.budget.usd:g} US dollars cannot be kept, because the model's price is unknown; "
                f"give Model(..., price=Price(...)), or a budget in calls or tokens"
            )
        if self.exhausted is not None:
            raise BudgetExceeded(f"the budget in {self.exhausted} is used up ({self.budget})")

    def settle(self, response: Response) -> None:
        """Count what a response says it used."""
        self.tokens += (response.usage.prompt_tokens or 0) + (response.usage.completion_tokens or 0)
        if not math.isnan(response.cost_usd):
            self.usd += response.cost_usd
        elif response.error is None:  # a failed request has no price and is not billed
            self.priced = False
