"""How fast one model is asked: by what its server bears, by the limits of the account, not while it asks for peace."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

from prompt_search.errors import InputError
from prompt_search.llm.messages import Request, Usage

MINUTE_S: Final = 60.0

LONGEST_RETRY_AFTER_S: Final = 120.0
"""A server that asks for more patience than this is not waited for."""

DECREASE: Final = 0.7
"""What is left of the requests in flight after a refusal; as in CUBIC (RFC 9438, section 4.6)."""

UNKNOWN_COMPLETION: Final = 1000
"""Tokens that an answer is taken to have before any came, where the request sets no limit."""

MARGIN: Final = 1.5
"""By how much a request may pass the most that those before it have used."""

_SHORTEST_WAIT_S: Final = 0.001


class Pace:
    """Lets one attempt after the other go, in the order in which they came.

    - **Adaptive concurrency**: additive increase, multiplicative decrease (Chiu and Jain 1989; TCP). Up to ``most``
      attempts are in flight; a refusal for want of capacity leaves 0.7 of those that were ``allowed``, at least one,
      and each round of answers allows one more. Refusals of attempts that were out together count once.
    - **Limits for a minute**: in no 60 seconds more attempts are sent than ``requests_per_minute``, nor more tokens
      than ``tokens_per_minute``. An attempt that is out counts with what it may use: half as much again as the most
      that others have used so far for a byte of prompt, and for an answer unless the request has a limit. One that is
      answered counts with what it did use. One that passes the limit by itself goes alone.
    - **Peace**: a Retry-After holds all of them back.

    Args:
        most: attempts in flight, at most.
        requests_per_minute, tokens_per_minute: None: no such limit.
        clock: seconds, monotonic.
        sleep: waits for seconds.

    Raises:
        InputError: a limit below 1.
    """

    def __init__(
        self,
        most: int,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        check_limits(requests_per_minute, tokens_per_minute)
        self.allowed = float(most)
        self.in_flight = 0
        self._most = most
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._sleep = sleep
        self._gate = asyncio.Lock()
        self._freed = asyncio.Event()
        self._round = 0
        self._calm_at: float | None = None
        self._minute: deque[Turn] = deque()
        self._tokens = 0  # of all turns in the minute
        self._tokens_per_byte: float | None = None
        self._longest_answer: int | None = None

    def turn(self, request: Request) -> Turn:
        """One attempt to answer a request, to be made inside ``async with``."""
        return Turn(self, request)

    def resize(self, most: int) -> None:
        """Have another number of attempts in flight at most; fewer while the server bears fewer."""
        unrestricted = self.allowed >= self._most
        self._most = most
        self.allowed = float(most) if unrestricted else min(self.allowed, float(most))
        self._freed.set()

    async def _enter(self, turn: Turn) -> None:
        async with self._gate:
            while True:
                if self.in_flight >= int(self.allowed):
                    self._freed.clear()
                    await self._freed.wait()
                elif self._calm_at is not None:
                    await self._until(self._calm_at)
                elif (left := self._full_for(turn)) > 0:
                    await self._sleep(left)
                else:
                    break
            self.in_flight += 1
            turn.round = self._round

    async def _until(self, calm_at: float) -> None:
        if (left := calm_at - self._clock()) > 0:
            await self._sleep(left)
        if self._calm_at == calm_at:  # else it was prolonged meanwhile
            self._calm_at = None

    def _full_for(self, turn: Turn) -> float:
        """Seconds until the last minute has room for a turn, which is counted if it has now."""
        if self._requests_per_minute is None and self._tokens_per_minute is None:
            return 0.0
        now = self._clock()
        while self._minute and self._minute[0].sent_at <= now - MINUTE_S:
            self._tokens -= self._minute.popleft().tokens
        turn.tokens = self._estimate(turn.request)
        blocking = self._blocking(turn.tokens)
        if blocking is not None:
            return max(blocking.sent_at + MINUTE_S - now, _SHORTEST_WAIT_S)
        turn.sent_at = now
        self._minute.append(turn)
        self._tokens += turn.tokens
        return 0.0

    def _blocking(self, tokens: int) -> Turn | None:
        """The last of the turns that must have left the minute before one of so many tokens may go."""
        leaving = 0
        if self._requests_per_minute is not None:
            leaving = max(0, len(self._minute) + 1 - self._requests_per_minute)
        if self._tokens_per_minute is not None:
            left = self._tokens + tokens
            for place, turn in enumerate(self._minute):
                if left <= self._tokens_per_minute:
                    break
                left -= turn.tokens
                leaving = max(leaving, place + 1)
        return self._minute[leaving - 1] if leaving else None

    def _estimate(self, request: Request) -> int:
        """Tokens that a request may use: rather too many than too few."""
        if self._tokens_per_minute is None:
            return 0
        per_byte = 1.0 if self._tokens_per_byte is None else min(1.0, MARGIN * self._tokens_per_byte)
        answer = UNKNOWN_COMPLETION if self._longest_answer is None else MARGIN * self._longest_answer
        limits = [request.parameters.get(name) for name in ("max_completion_tokens", "max_tokens")]
        allowed = min((limit for limit in limits if isinstance(limit, int)), default=answer)
        return math.ceil(_size(request) * per_byte + allowed)

    def _learn(self, turn: Turn, usage: Usage) -> None:
        """Count what an answered turn has used instead of what it might have."""
        if self._tokens_per_minute is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return
        used = usage.prompt_tokens + usage.completion_tokens
        if self._minute and turn.sent_at >= self._minute[0].sent_at:
            self._tokens += used - turn.tokens
        turn.tokens = used
        self._tokens_per_byte = max(self._tokens_per_byte or 0.0, usage.prompt_tokens / _size(turn.request))
        self._longest_answer = max(self._longest_answer or 0, usage.completion_tokens)


class Turn:
    """One attempt: tell it what came of it."""

    __slots__ = ("_pace", "request", "round", "sent_at", "tokens")

    def __init__(self, pace: Pace, request: Request) -> None:
        self._pace = pace
        self.request = request
        self.round = 0
        self.sent_at = 0.0
        self.tokens = 0

    async def __aenter__(self) -> Turn:
        await self._pace._enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pace.in_flight -= 1
        self._pace._freed.set()

    def answered(self, usage: Usage) -> None:
        """The server had room for it."""
        pace = self._pace
        pace.allowed = min(float(pace._most), pace.allowed + 1.0 / max(1.0, pace.allowed))
        pace._learn(self, usage)

    def failed(self, *, no_capacity: bool, retry_after_s: float | None) -> None:
        """The server had no room, or asked for peace, or something else failed."""
        pace = self._pace
        if no_capacity and self.round == pace._round:  # what was sent before the last decrease says nothing about it
            pace.allowed = max(1.0, pace.allowed * DECREASE)
            pace._round += 1
        if retry_after_s is not None and retry_after_s <= LONGEST_RETRY_AFTER_S:
            pace._calm_at = max(pace._calm_at or 0.0, pace._clock() + retry_after_s)


def _size(request: Request) -> int:
    """Bytes of a prompt, and what marks its messages."""
    return sum(16 + len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages) or 1


def check_limits(requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
    """
    Raises:
        InputError: a limit below 1.
    """
    for name, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
        if limit is not None and not limit >= 1:
            raise InputError(f"{name} must be 1 or more, got {limit}; leave it out where there is no limit")


class Slots:
    """A semaphore whose size may change while it is held; first come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def resize(self, size: int) -> None:
        self._size = size
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken < self._size:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    async def __aenter__(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was its turn already
                self._leave()
            raise

    async def __aexit__(self, *error: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._taken -= 1
        self._admit()
