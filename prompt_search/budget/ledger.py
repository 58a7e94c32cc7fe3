"""The accounts of one run: what is reserved, what is used, and when no further request may be sent."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from prompt_search.budget.bounds import AttemptBounds, is_known
from prompt_search.budget.limits import Budget
from prompt_search.budget.spending import NOTHING, CostOf, Spending
from prompt_search.errors import BudgetExceeded
from prompt_search.llm.messages import Request, Response


@dataclass(slots=True)
class _Open:
    """A request that is not settled.

    ``most`` is what one attempt can use, ``attempts`` how many were sent, and ``waits`` whether the next one waits for
    room.
    """

    request: Request
    most: Spending
    attempts: int = 0
    waits: bool = True


class Ledger:
    """Reserves before a request is sent, settles after, and refuses requests that could exceed the budget.

    Every attempt takes a call, and the most tokens and dollars that it can use, until its response reports what it
    used. Where that leaves no room, the request waits until requests in flight are settled, in the order in which
    requests were made, and is refused when none is in flight. So no limit is exceeded at any concurrency, and which
    requests are refused depends on what requests use, not on which is answered first.

    A server may count more than a request allows, such as reasoning that no parameter limits. Where tokens or dollars
    are limited, the first request of a model is therefore sent alone, then as many as were answered; and as soon as an
    answer is above the bound, more is reserved for all that follow and for those in flight.

    A resumed run replays what it has already paid for: replayed calls count as spent, so that the run stops where the
    uninterrupted run stops, and cost nothing. The same holds for the ``reused`` responses of other studies: the result
    of a study must not depend on what else a storage holds. What the study has paid for under earlier budgets is
    subtracted from the whole budget at once, and costs nothing from then on.

    Args:
        budget: the limits.
        previous_budgets: what the same study has paid under earlier budgets.
        previous_runs: what earlier runs have paid under this budget.
        price: prices a request's usage; a budget in dollars needs it.
        clock: seconds, monotonic.

    Attributes:
        counted: what counts in this run: paid, replayed or reused.
        paid: what this run has paid.
        reused: number of responses of other studies that were counted.
        stopped: the reason why no further request may be sent, or None.
        bounds: the most that attempts can use.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        previous_budgets: Spending = NOTHING,
        previous_runs: Spending = NOTHING,
        price: CostOf = lambda request, usage: math.nan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.previous_budgets = previous_budgets
        self.previous_runs = previous_runs
        self.counted = Spending()
        self.paid = Spending()
        self.reused = 0
        self.stopped: str | None = None
        self.bounds = AttemptBounds(budget, price)
        self._price = price
        self._clock = clock
        self._started = clock()
        self._open: dict[int, _Open] = {}
        self._held = Spending()
        """What is reserved for the attempts of open requests. Their calls are counted already."""
        self._turn = asyncio.Lock()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the run started."""
        return self._clock() - self._started

    @property
    def remaining_s(self) -> float | None:
        """Seconds that are left, or None without such a limit."""
        return None if self.budget.seconds is None else max(0.0, self.budget.seconds - self.seconds)

    @property
    def spent(self) -> int:
        """Number of calls so far that count against what earlier budgets left."""
        return self.counted.calls

    @property
    def total(self) -> Spending:
        """All that counts against the budget so far, including what earlier runs paid."""
        paid, counted = self.previous_runs + self.paid, self.counted
        return self.previous_budgets + Spending(
            calls=max(counted.calls, paid.calls),
            tokens=max(counted.tokens, paid.tokens),
            usd=counted.usd if not counted.usd < paid.usd else paid.usd,
        )

    def affordable(self, unknown: int = 10_000) -> float:
        """Number of calls that the budget allows besides those of earlier budgets, at the average cost of the calls so
        far.

        Args:
            unknown: the number before any call, where the budget has no limit of calls.
        """
        calls = self.budget.calls
        limits = [max(0, calls - self.previous_budgets.calls) if calls is not None else unknown]
        if self.spent:
            limits += [int(self.spent / share) for share in self._used_shares() if share > 0]
        return min(limits)

    def _used_shares(self) -> list[float]:
        """The used share of each limit other than calls; the last request needs room for the most it can use."""
        shares = [] if self.budget.seconds is None else [self.seconds / self.budget.seconds]
        for name in ("tokens", "usd"):
            limit, used = getattr(self.budget, name), getattr(self.counted, name)
            if limit is not None:
                spare = max(0.0, getattr(self.bounds.largest, name) - used / self.spent)
                left = limit - getattr(self.previous_budgets, name) - spare
                shares.append(used / left if left > 0 else math.inf)
        return shares

    def stop(self, reason: str) -> None:
        """Let no further request be sent; those in flight are finished."""
        self.stopped = self.stopped or reason

    def check(self) -> None:
        """Refuse any further request after the run was stopped or its time is over.

        Raises:
            BudgetExceeded: no request may be sent any more.
        """
        if self.stopped is not None:
            raise BudgetExceeded(f"the run was stopped: {self.stopped}")
        if self.remaining_s == 0:
            raise BudgetExceeded(f"the budget of {self.budget.seconds:g} seconds is used up")

    async def reserve(self, request: Request) -> None:
        """Take the most that one attempt of a request can use, just before it is sent.

        Raises:
            BudgetExceeded: there is no room for it, or the run was stopped; nothing is taken then.
            InputError: the budget cannot be kept: the price, or a bound for the answer, is not known.
        """
        open_ = self._open.setdefault(id(request), _Open(request, self.bounds.most(request)))
        open_.waits = True
        self._wake()  # a request that waits for its next attempt will not free room by itself
        try:
            if open_.attempts:  # it had its turn before the requests that wait now
                await self._room(open_)
            else:
                async with self._turn:
                    await self._room(open_)
        except BaseException:
            if not open_.attempts:
                self._drop(request)
            raise
        open_.waits = False
        open_.attempts += 1
        one = Spending(calls=1)
        self.counted += one
        self.paid += one
        self._held += open_.most - one

    def check_again(self, request: Request) -> None:
        """Give back what an attempt has taken that was not sent yet, where the run was stopped meanwhile.

        Raises:
            BudgetExceeded: it was.
        """
        try:
            self.check()
        except BudgetExceeded:
            open_, one = self._open[id(request)], Spending(calls=1)
            open_.attempts -= 1
            self.counted -= one
            self.paid -= one
            self._held -= open_.most - one
            raise

    async def reuse(self, request: Request, response: Response) -> Spending:
        """Count a response that another study has paid for as if the request were sent.

        Returns:
            what it counts.

        Raises:
            BudgetExceeded, InputError: as `reserve`.
        """
        most = self.bounds.most(request)
        needed = Spending(calls=response.attempts, tokens=most.tokens, usd=most.usd)
        async with self._turn:
            await self._room(_Open(request, needed), sent=False)
            self.learn(request, response)
            spending = self._used(request, response, self.bounds.most(request))
            self.counted += replace(spending, calls=response.attempts)
            self.reused += 1
        return spending

    def replay(self, spending: Spending, *, reused: bool = False) -> None:
        """Count a call of an earlier run of the study with the same budget."""
        self.counted += spending
        self.reused += reused

    def learn(self, request: Request, response: Response) -> None:
        """Take note of how the server has counted an answer; earlier runs' answers count, too."""
        if response.error is not None and not is_known(response.usage):
            return
        if self.bounds.learn(request, response.usage):
            for open_ in self._open.values():
                most = self.bounds.most(open_.request)
                self._held += replace((most - open_.most).times(open_.attempts), calls=0)
                open_.most = most

    def attempts(self, request: Request) -> int:
        """Number of attempts of a request that is not settled."""
        open_ = self._open.get(id(request))
        return open_.attempts if open_ else 0

    def most(self, request: Request) -> Spending:
        """The most that the attempts so far of a request can use, which is not settled."""
        open_ = self._open[id(request)]
        return open_.most.times(open_.attempts)

    def settle(self, request: Request, response: Response) -> Spending:
        """Replace what was reserved for a request by what it used.

        Returns:
            what it counts; attempts whose answer was lost count with the most that they can have used.
        """
        self.learn(request, response)
        spending = self._used(request, response, self._open[id(request)].most)
        tokens_and_usd = replace(spending, calls=0)
        self.counted += tokens_and_usd
        self.paid += tokens_and_usd
        self._drop(request)
        return spending

    def release(self, request: Request) -> None:
        """Forget a request that ended without a response."""
        if id(request) in self._open:
            self._drop(request)

    async def _room(self, asking: _Open, *, sent: bool = True) -> None:
        """Return when there is room, for a request that is ``sent`` or for one that is only counted."""
        while True:
            self.check()
            exceeded = self._exceeded(asking.most, sent)
            if not exceeded and not (sent and self._is_full(asking.request)):
                return
            if "calls" in exceeded:  # settling a request frees tokens and dollars, but no call
                raise BudgetExceeded(f"the budget of {self.budget.calls} calls is used up")
            if all(open_.waits for open_ in self._open.values()):
                raise BudgetExceeded(f"{self.budget} cannot cover a request that may use {asking.most.tokens:,} tokens")
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed

    def _is_full(self, request: Request) -> bool:
        """Whether as many requests to a model are in flight as its answers allow so far."""
        most = self.bounds.most_in_flight(request)
        if most >= len(self._open):
            return False
        model = request.endpoint, request.model
        others = (each for each in self._open.values() if not each.waits)
        return sum((each.request.endpoint, each.request.model) == model for each in others) >= most

    def _exceeded(self, needed: Spending, sent: bool) -> list[str]:
        """Names of the limits that would be exceeded if so much more were used."""
        more = self.previous_budgets + self._held + needed
        used = [self.counted + more, self.previous_runs + self.paid + more] if sent else [self.counted + more]
        limits = self.budget.never_passed.items()
        return [name for name, limit in limits if any(getattr(each, name) > limit for each in used)]

    def _drop(self, request: Request) -> None:
        open_ = self._open.pop(id(request))
        self._held -= replace(open_.most.times(open_.attempts), calls=0)
        if not self._open:
            self._held = Spending()  # rounding may have left a rest
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _used(self, request: Request, response: Response, most: Spending) -> Spending:
        """What a request has used, as its response reports it; where it reports nothing, what must be assumed."""
        usd = response.cost_usd
        # A failed request is not billed where the server counts nothing of it, but an answer is.
        usage = response.usage if response.error is not None else self.bounds.whole(request, response.usage)
        if math.isnan(usd):
            if response.error is not None and not is_known(usage):
                usd = 0.0
            elif self.budget.usd is not None:
                usd = self._price(request, usage)
        tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        return Spending(calls=response.attempts, tokens=tokens, usd=usd) + replace(most.times(response.lost), calls=0)
