"""Rate limiting for one model: adaptive concurrency, limits for a minute, Retry-After."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

from prompt_search.errors import InputError
from prompt_search.llm.messages import ANSWER_LIMITS, Request, Usage

MINUTE_S: Final = 60.0

LONGEST_RETRY_AFTER_S: Final = 120.0
"""Longest Retry-After in seconds that is waited for."""

DECREASE: Final = 0.7
"""Factor by which a refusal reduces the number of attempts that may be in flight; as in CUBIC (RFC 9438, section
4.6)."""

UNKNOWN_COMPLETION: Final = 1000
"""Number of tokens that an answer is assumed to have before the first answer came, where the request sets no limit."""

SAFETY_FACTOR: Final = 1.5
"""Factor by which a request is assumed to exceed the most that earlier ones have used."""

_SHORTEST_WAIT_S: Final = 0.001
"""Seconds of the shortest wait for room in the minute: rounding might make it 0 for ever."""


class Pace:
    """Decides when each attempt may be sent, in the order in which they came.

    - **Adaptive concurrency**: additive increase, multiplicative decrease (Chiu and Jain 1989; TCP). At most ``most``
      attempts are in flight; a refusal for lack of capacity reduces the number that is ``allowed`` to 0.7 of it, but
      not below one, and each round of answers allows one more. Refusals of attempts that were in flight together count
      once.
    - **Limits for a minute**: no 60 seconds have more attempts than ``requests_per_minute`` or more tokens than
      ``tokens_per_minute``. An attempt in flight counts with an estimate: one and a half times the most that others
      have used so far for a byte of prompt, and the same for the answer unless the request limits it. An answered
      attempt counts with what it has used. An attempt whose estimate alone exceeds the limit is sent alone.
    - **Retry-After**: it holds back all attempts.

    Args:
        most: the highest number of attempts in flight.
        requests_per_minute, tokens_per_minute: the limits; None: no limit.
        clock: gives seconds, monotonic.
        sleep: waits for seconds.

    Attributes:
        allowed: the number of attempts that may be in flight now; its fraction grows with every answer.
        in_flight: the number of attempts in flight.

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
        self._resume_at: float | None = None
        self._minute: deque[Turn] = deque()
        self._tokens = 0
        """Number of tokens of all attempts in the minute."""
        self._tokens_per_byte: float | None = None
        self._longest_answer: int | None = None

    def turn(self, request: Request) -> Turn:
        """One attempt to answer a request, to be made inside ``async with``."""
        return Turn(self, request)

    def resize(self, most: int) -> None:
        """Change the highest number of attempts in flight; a reduction after refusals stays."""
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
                elif self._resume_at is not None:
                    await self._until(self._resume_at)
                elif (left := self._full_for(turn)) > 0:
                    await self._sleep(left)
                else:
                    break
            self.in_flight += 1
            turn.round = self._round

    async def _until(self, resume_at: float) -> None:
        if (left := resume_at - self._clock()) > 0:
            await self._sleep(left)
        if self._resume_at == resume_at:  # else another Retry-After came meanwhile
            self._resume_at = None

    def _full_for(self, turn: Turn) -> float:
        """Seconds until the last minute has room for an attempt; 0: it has room now, and the attempt is counted."""
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
        """The last of the attempts that must leave the minute before one with so many tokens may be sent."""
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
        """Number of tokens that a request may use, estimated rather too high than too low."""
        if self._tokens_per_minute is None:
            return 0
        per_byte = 1.0 if self._tokens_per_byte is None else min(1.0, SAFETY_FACTOR * self._tokens_per_byte)
        answer = UNKNOWN_COMPLETION if self._longest_answer is None else SAFETY_FACTOR * self._longest_answer
        limits = [request.parameters.get(name) for name in ANSWER_LIMITS]
        allowed = min((limit for limit in limits if isinstance(limit, int)), default=answer)
        return math.ceil(_size(request) * per_byte + allowed)

    def _learn(self, turn: Turn, usage: Usage) -> None:
        """Replace the estimate of an answered attempt by what it has used."""
        if self._tokens_per_minute is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return
        used = usage.prompt_tokens + usage.completion_tokens
        if self._minute and turn.sent_at >= self._minute[0].sent_at:
            self._tokens += used - turn.tokens
        turn.tokens = used
        self._tokens_per_byte = max(self._tokens_per_byte or 0.0, usage.prompt_tokens / _size(turn.request))
        self._longest_answer = max(self._longest_answer or 0, usage.completion_tokens)


class Turn:
    """One attempt. Inside ``async with`` it is in flight; there its outcome is reported, with ``answered`` or
    ``failed``."""

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
        """Report an answer, which allows more attempts in flight."""
        pace = self._pace
        pace.allowed = min(float(pace._most), pace.allowed + 1.0 / max(1.0, pace.allowed))
        pace._learn(self, usage)

    def failed(self, *, no_capacity: bool, retry_after_s: float | None) -> None:
        """Report a failure.

        Args:
            no_capacity: whether the server refused for lack of capacity, which allows fewer attempts in flight.
            retry_after_s: the server's Retry-After in seconds, which holds back all attempts.
        """
        pace = self._pace
        if no_capacity and self.round == pace._round:  # an attempt from before the last decrease was counted by it
            pace.allowed = max(1.0, pace.allowed * DECREASE)
            pace._round += 1
        if retry_after_s is not None and retry_after_s <= LONGEST_RETRY_AFTER_S:
            pace._resume_at = max(pace._resume_at or 0.0, pace._clock() + retry_after_s)


def _size(request: Request) -> int:
    """Number of bytes of a prompt, with 16 for each message's role and separators."""
    return sum(16 + len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages) or 1


def check_limits(requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
    """Refuse limits that would let nothing be sent.

    Raises:
        InputError: a limit below 1.
    """
    for name, limit in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
        if limit is not None and not limit >= 1:
            raise InputError(f"{name} must be 1 or more, got {limit}; leave it out where there is no limit")
