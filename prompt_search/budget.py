"""What a run may spend, and what it has spent."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from prompt_search.errors import BudgetExceeded, InputError
from prompt_search.llm.messages import Request, Response, Usage

ANSWER_LIMITS = ("max_completion_tokens", "max_tokens")
"""The request parameters that bound an answer."""

PER_MESSAGE, PER_REQUEST = 8, 64
"""Tokens that a server may add for each message, and for each request: roles, separators, a preamble of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that one run may spend, the sealed test included.

    ``calls`` counts requests, each retry among them; ``tokens`` counts those of prompts and completions. These and
    ``usd`` are never passed: the most that a request can use is reserved before it is sent, for which requests in
    tokens or dollars need ``max_tokens`` and those in dollars a model whose price is known. After ``seconds`` nothing
    is sent, and what is on its way is given up.

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
        if not self.limits:
            raise InputError("a budget needs at least one limit; give calls=, tokens=, usd= or seconds=")
        for name, limit in self.limits.items():
            if not limit > 0:
                raise InputError(f"a budget is positive, got {name}={limit}")
            if name in ("calls", "tokens") and not isinstance(limit, int):
                raise InputError(f"a budget in {name} is a whole number, got {name}={limit}")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        given = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: limit for name, limit in given if limit is not None}

    @property
    def never_passed(self) -> dict[str, float]:
        """The limits of `Spending`: all but seconds."""
        return {name: limit for name, limit in self.limits.items() if name != "seconds"}

    def allows_more_than(self, spending: Spending) -> bool:
        """Whether anything could be sent after so much was spent."""
        return all(getattr(spending, name) < limit for name, limit in self.never_passed.items())

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
        return f"Budget({', '.join(f'{name}={limit}' for name, limit in self.limits.items())})"


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


CostOf = Callable[[Request, Usage], float]
"""US dollars that a request with such usage costs; NaN when unknown."""


def most_used(request: Request) -> Usage | None:
    """The most tokens that a request can use; None where the request does not bound its answer.

    No token of a byte-level tokenizer is shorter than a byte of UTF-8, so the bytes of the messages bound their tokens;
    roles, separators and a server's own preamble are allowed for.

    >>> from prompt_search.llm.messages import Message
    >>> asked = {"endpoint": "e", "model": "m", "messages": (Message("user", "hi"),)}
    >>> most_used(Request(**asked, parameters={"max_tokens": 16})).completion_tokens
    16
    >>> most_used(Request(**asked)) is None
    True
    """
    given = [request.parameters.get(name) for name in ANSWER_LIMITS]
    answers = [limit for limit in given if isinstance(limit, int)]
    if not answers:
        return None
    texts = [message.content for message in request.messages]
    texts += [json.dumps(value) for value in request.parameters.values() if isinstance(value, dict | list)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    count = request.parameters.get("n")
    return Usage(
        prompt_tokens=size + PER_MESSAGE * len(request.messages) + PER_REQUEST,
        completion_tokens=max(answers) * (count if isinstance(count, int) else 1),
    )


@dataclass(slots=True)
class _Open:
    """A request on its way: attempts sent, the most that one can use, and whether it waits for room."""

    most: Spending
    attempts: int = 0
    waits: bool = True


class Ledger:
    """Reserves before a request is sent, settles after, and refuses what could pass the budget.

    Every attempt takes a call, and the most tokens and dollars that it can use, until its response tells what it did
    use. Where that leaves no room the request waits for those on their way to be settled, in the order of asking, and
    is refused when none of them is left. So no limit is passed, whatever happens at once, and which requests are
    refused depends on what requests use, not on who answers first.

    A resumed run replays what it had already paid for: replayed calls count as spent, so that it stops where the
    uninterrupted run stops, and cost nothing. So do the responses of other studies, of which there are ``reused``:
    what a study does must not depend on what else a storage holds. What was paid for under earlier budgets of the
    study (``previous_budgets``) is taken off the whole budget at once, and is free from then on.

    Args:
        budget: the limits.
        previous_budgets: what was paid under earlier budgets of the same study.
        previous_runs: what earlier runs with this budget paid.
        price: of a request; where it is unknown, no budget in dollars can be kept.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        previous_budgets: Spending = Spending(),
        previous_runs: Spending = Spending(),
        price: CostOf = lambda request, usage: math.nan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.previous_budgets = previous_budgets
        self.previous_runs = previous_runs
        self.counted = Spending()
        """What counts in this run: paid, replayed or reused."""
        self.paid = Spending()
        """What this run paid."""
        self.reused = 0
        self.stopped: str | None = None
        self._price = price
        self._clock = clock
        self._started = clock()
        self._open: dict[int, _Open] = {}
        self._held = Spending()
        self._turn = asyncio.Lock()
        self._waiting: list[asyncio.Future[None]] = []
        self._beyond: dict[tuple[str, str], tuple[int, int]] = {}
        self._most = Spending()
        """The most that any request could have used."""

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
        """Calls that count against what earlier budgets left, so far."""
        return self.counted.calls

    @property
    def total(self) -> Spending:
        """All that counts against the budget so far, what earlier runs paid included."""
        paid, counted = self.previous_runs + self.paid, self.counted
        return self.previous_budgets + Spending(
            calls=max(counted.calls, paid.calls),
            tokens=max(counted.tokens, paid.tokens),
            usd=counted.usd if not counted.usd < paid.usd else paid.usd,
        )

    def affordable(self, unknown: int = 10_000) -> float:
        """How many calls the budget allows beside those of earlier budgets, by what calls have cost so far.

        Args:
            unknown: the answer where nothing tells, before any call.
        """
        calls = self.budget.calls
        limits = [max(0, calls - self.previous_budgets.calls) if calls is not None else unknown]
        if self.spent:
            limits += [int(self.spent / share) for share in self._shares() if share > 0]
        return min(limits)

    def _shares(self) -> list[float]:
        """The used part of each limit other than calls; the last request needs room for the most it can use."""
        shares = [] if self.budget.seconds is None else [self.seconds / self.budget.seconds]
        for name in ("tokens", "usd"):
            limit, used = getattr(self.budget, name), getattr(self.counted, name)
            if limit is not None:
                spare = max(0.0, getattr(self._most, name) - used / self.spent)
                left = limit - getattr(self.previous_budgets, name) - spare
                shares.append(used / left if left > 0 else math.inf)
        return shares

    def stop(self, reason: str) -> None:
        """Let no further request out; those in flight are finished."""
        self.stopped = self.stopped or reason

    def check(self) -> None:
        """
        Raises:
            BudgetExceeded: no request may be sent any more, because the run was stopped or its time is over.
        """
        if self.stopped is not None:
            raise BudgetExceeded(f"the run was stopped: {self.stopped}")
        if self.remaining_s == 0:
            raise BudgetExceeded(f"the budget of {self.budget.seconds:g} seconds is used up")

    async def reserve(self, request: Request) -> None:
        """Take what one attempt of a request can cost at most, just before it is sent.

        Raises:
            BudgetExceeded: there is no room for it, or the run was stopped; nothing is taken then.
            InputError: the budget cannot be kept: no price, or no bound for the answer.
        """
        open_ = self._open.setdefault(id(request), _Open(self.most(request)))
        open_.waits = True
        self._wake()  # a request that waits to be tried again frees no room by itself
        try:
            if open_.attempts:  # its own turn was before those that wait
                await self._room(open_.most)
            else:
                async with self._turn:
                    await self._room(open_.most)
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

    async def reuse(self, request: Request, response: Response) -> Spending:
        """Count a response that another study paid for as if it had to be asked for.

        Returns:
            what it counts.

        Raises:
            BudgetExceeded, InputError: as `reserve`.
        """
        most = self.most(request)
        needed = Spending(calls=response.attempts, tokens=most.tokens, usd=most.usd)
        async with self._turn:
            await self._room(needed, sent=False)
            spending = self._used(request, response, most)
            self.counted += replace(spending, calls=response.attempts)
            self.reused += 1
        return spending

    def replay(self, spending: Spending, *, reused: bool = False) -> None:
        """Count a call of an earlier run of the study with the same budget."""
        self.counted += spending
        self.reused += reused

    def attempts(self, request: Request) -> int:
        """How often a request that is not settled was sent."""
        open_ = self._open.get(id(request))
        return open_.attempts if open_ else 0

    def settle(self, request: Request, response: Response) -> Spending:
        """Put what a request did use in the place of what it could.

        Returns:
            what it counts; attempts whose answer was lost count with the most they can have used.
        """
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

    def most(self, request: Request) -> Spending:
        """The most that one attempt of a request can cost, as far as the budget has to know.

        Raises:
            InputError: it must be known and is not.
        """
        budget = self.budget
        if budget.tokens is None and budget.usd is None:
            return Spending(calls=1)
        usage = most_used(request)
        if usage is None:
            raise InputError(unbounded(budget, request.model))
        prompt, completion = self._beyond.get((request.endpoint, request.model), (0, 0))
        prompt += usage.prompt_tokens or 0
        completion += usage.completion_tokens or 0
        usd = 0.0
        if budget.usd is not None:
            fresh = Usage(prompt_tokens=prompt, completion_tokens=completion)
            usd = max(self._price(request, fresh), self._price(request, replace(fresh, cached_tokens=prompt)))
            if math.isnan(usd):
                raise InputError(unpriced(budget, request.model))
        most = Spending(calls=1, tokens=prompt + completion, usd=usd)
        self._most = Spending(tokens=max(self._most.tokens, most.tokens), usd=max(self._most.usd, most.usd))
        return most

    async def _room(self, needed: Spending, *, sent: bool = True) -> None:
        """Return when there is room for so much, be it sent or only counted."""
        while True:
            self.check()
            passed = self._passed(needed, sent)
            if not passed:
                return
            if "calls" in passed:  # no call comes back
                raise BudgetExceeded(f"the budget of {self.budget.calls} calls is used up")
            if all(open_.waits for open_ in self._open.values()):
                raise BudgetExceeded(f"{self.budget} has no room for a request that may use {needed.tokens:,} tokens")
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed

    def _passed(self, needed: Spending, sent: bool) -> list[str]:
        """Which limits would be passed if so much more were used."""
        more = self.previous_budgets + self._held + needed
        used = [self.counted + more, self.previous_runs + self.paid + more] if sent else [self.counted + more]
        limits = self.budget.never_passed.items()
        return [name for name, limit in limits if any(getattr(each, name) > limit for each in used)]

    def _drop(self, request: Request) -> None:
        open_ = self._open.pop(id(request))
        self._held -= replace(open_.most.times(open_.attempts), calls=0)
        if not self._open:
            self._held = Spending()  # without what rounding left
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _used(self, request: Request, response: Response, most: Spending) -> Spending:
        usage = response.usage
        known = usage.prompt_tokens is not None and usage.completion_tokens is not None
        tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        usd = response.cost_usd
        if known:
            self._learn(request, usage)
        elif response.error is None:  # an answer without a word on what it took
            tokens = most.tokens
            usd = most.usd if math.isnan(usd) and self.budget.usd is not None else usd
        if math.isnan(usd) and response.error is not None:
            usd = 0.0  # a failed request has no price and is not billed
        elif math.isnan(usd) and self.budget.usd is not None:
            usd = self._price(request, usage)
        lost = replace(most.times(response.lost), calls=0)
        return Spending(calls=response.attempts, tokens=tokens, usd=usd) + lost

    def _learn(self, request: Request, usage: Usage) -> None:
        """A server that counts more than it was thought to be able to is believed from then on."""
        if self.budget.tokens is None and self.budget.usd is None:
            return
        most = most_used(request)
        assert most is not None
        model = (request.endpoint, request.model)
        prompt, completion = self._beyond.get(model, (0, 0))
        self._beyond[model] = (
            max(prompt, (usage.prompt_tokens or 0) - (most.prompt_tokens or 0)),
            max(completion, (usage.completion_tokens or 0) - (most.completion_tokens or 0)),
        )


def unbounded(budget: Budget, model: str) -> str:
    """Why a budget cannot be kept with requests that do not say how long an answer may be."""
    return (
        f"{budget} can only be kept when answers are bounded, and a request to {model} has no max_tokens; give "
        f'request={{"max_tokens": …}} (or max_completion_tokens), or a budget in calls'
    )


def unpriced(budget: Budget, model: str) -> str:
    """Why a budget in dollars cannot be kept."""
    return (
        f"a budget of {budget.usd:g} US dollars cannot be kept, because the price of {model} is unknown; "
        f"give Model(..., price=Price(...)), or a budget in calls or tokens"
    )
