"""How fast a model is asked, on a clock that jumps to whatever happens next."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.errors import InputError, RequestRefused
from prompt_search.llm.client import _Refusals
from prompt_search.llm.messages import Message, Request, Usage
from prompt_search.llm.rate_limit import DECREASE, Pace
from prompt_search.llm.response_parsing import AttemptError
from tests.profiles import examples

T = TypeVar("T")


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes on only where all wait for it."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def simulate(work: Callable[[JumpingLoop], Coroutine[Any, Any, T]]) -> T:
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()


def pace_on(loop: JumpingLoop, most: int, **limits: int | None) -> Pace:
    return Pace(most, clock=loop.time, sleep=asyncio.sleep, **limits)


def request(content: str = "hi", **parameters: Any) -> Request:
    return Request(endpoint="e", model="m", messages=(Message("user", content),), parameters=parameters)


def most_in_a_minute(sent: Sequence[tuple[float, int]]) -> int:
    """The highest sum of counts in any 60 seconds."""
    return max(
        sum(count for at, count in sent if start <= at < start + 60.0 - 1e-6)  # an end that two minutes share
        for start, _ in sent
    )


@settings(max_examples=examples(60))
@given(
    rpm=st.none() | st.integers(1, 40),
    tpm=st.none() | st.integers(200, 3000),
    most=st.integers(1, 30),
    seed=st.integers(0, 10**6),
)
def test_no_minute_passes_its_limits(rpm: int | None, tpm: int | None, most: int, seed: int) -> None:
    """Whatever sizes, answers and latencies there are, no 60 seconds have more requests or tokens than allowed."""
    draw = random.Random(seed)
    jobs = [(draw.randint(1, 120), draw.randint(1, 40), draw.uniform(0, 30)) for _ in range(60)]

    async def work(loop: JumpingLoop) -> list[tuple[float, int]]:
        pace = pace_on(loop, most, requests_per_minute=rpm, tokens_per_minute=tpm)
        sent: list[tuple[float, int]] = []

        async def one(size: int, answer: int, latency: float) -> None:
            async with pace.turn(request("x" * size, max_tokens=40)) as turn:
                prompt = (size + 16) // draw.choice([2, 3])  # half as many again for a byte, at most
                sent.append((loop.time(), prompt + answer))
                await asyncio.sleep(latency)
                turn.answered(Usage(prompt_tokens=prompt, completion_tokens=answer))

        await asyncio.gather(*(one(*job) for job in jobs))
        return sent

    sent = simulate(work)
    assert len(sent) == len(jobs)
    if rpm is not None:
        assert most_in_a_minute([(at, 1) for at, _ in sent]) <= rpm
    if tpm is not None:
        assert most_in_a_minute(sent) <= tpm


def test_limits_are_used() -> None:
    """A limit of 60 requests a minute lets 60 out at once and all 180 within two minutes and a little."""

    async def work(loop: JumpingLoop) -> float:
        pace = pace_on(loop, 100, requests_per_minute=60)

        async def one() -> None:
            async with pace.turn(request()) as turn:
                turn.answered(Usage())

        await asyncio.gather(*(one() for _ in range(180)))
        return loop.time()

    assert 120.0 <= simulate(work) < 120.1


def test_tokens_are_settled() -> None:
    """What an answer did not use is there for others: 10 requests that might use 1,000 tokens, and do use 20, take
    seconds, not minutes."""

    async def work(loop: JumpingLoop) -> float:
        pace = pace_on(loop, 1, tokens_per_minute=1500)

        async def one() -> None:
            async with pace.turn(request()) as turn:
                await asyncio.sleep(1)
                turn.answered(Usage(prompt_tokens=10, completion_tokens=10))

        await asyncio.gather(*(one() for _ in range(10)))
        return loop.time()

    assert simulate(work) < 11


def test_request_above_the_limit_goes_alone() -> None:
    """A request that passes the limit by itself is sent when nothing else is in the minute, instead of never."""

    async def work(loop: JumpingLoop) -> list[float]:
        pace = pace_on(loop, 5, tokens_per_minute=100)
        sent: list[float] = []

        async def one() -> None:
            async with pace.turn(request("x" * 500, max_tokens=10)) as turn:
                sent.append(loop.time())
                turn.answered(Usage(prompt_tokens=250, completion_tokens=10))

        await asyncio.gather(*(one() for _ in range(3)))
        return sent

    assert simulate(work) == pytest.approx([0.0, 60.0, 120.0], abs=0.1)


def test_server_that_counts_no_tokens() -> None:
    """Without usage, what a request might use stays counted."""

    async def work(loop: JumpingLoop) -> float:
        pace = pace_on(loop, 5, tokens_per_minute=100)

        async def one() -> None:
            async with pace.turn(request("x" * 34, max_tokens=9)) as turn:
                turn.answered(Usage())

        await asyncio.gather(*(one() for _ in range(2)))
        return loop.time()

    assert simulate(work) == pytest.approx(60.0, abs=0.1)


def refused_share(capacity: int, most: int, requests: int) -> tuple[float, float]:
    """Of a server that takes so many at a time: the share of refusals, and how many were allowed on average in the
    last half."""

    async def work(loop: JumpingLoop) -> tuple[float, float]:
        pace = pace_on(loop, most)
        refused, busy, allowed = 0, 0, []

        async def one(number: int) -> None:
            nonlocal refused, busy
            while True:
                async with pace.turn(request()) as turn:
                    allowed.append(pace.allowed)
                    busy += 1
                    full = busy > capacity
                    await asyncio.sleep(0.01 if full else 1.0 + 0.1 * math.sin(number))
                    busy -= 1
                    if not full:
                        turn.answered(Usage())
                        return
                    refused += 1
                    turn.failed(no_capacity=True, retry_after_s=None)

        await asyncio.gather(*(one(number) for number in range(requests)))
        half = allowed[len(allowed) // 2 :]
        return refused / len(allowed), sum(half) / len(half)

    return simulate(work)


def test_concurrency_settles_below_what_the_server_takes() -> None:
    """A server that takes 8 at a time is soon asked 5 to 9 at a time, and refuses few."""
    share, allowed = refused_share(capacity=8, most=64, requests=2000)
    assert share < 0.15
    assert 5 <= allowed <= 9


def test_concurrency_stays_where_nothing_is_refused() -> None:
    """A server with room is asked as many at a time as the ceiling lets."""
    assert refused_share(capacity=64, most=64, requests=500) == (0.0, 64.0)


def test_refusals_of_one_round_count_once() -> None:
    """Twenty refusals of what was out together are one sign, not twenty; never fewer than one is allowed."""

    async def work(loop: JumpingLoop) -> list[float]:
        pace = pace_on(loop, 20)
        allowed = []

        async def one() -> None:
            async with pace.turn(request()) as turn:
                await asyncio.sleep(1)
                turn.failed(no_capacity=True, retry_after_s=None)
            allowed.append(pace.allowed)

        await asyncio.gather(*(one() for _ in range(20)))
        for _ in range(30):
            await one()
        return allowed

    allowed = simulate(work)
    assert allowed[:20] == [20 * DECREASE] * 20
    assert allowed[-1] == 1.0


def test_other_failures_do_not_slow_down() -> None:
    """An answer that cannot be read says nothing about how busy a server is."""

    async def work(loop: JumpingLoop) -> float:
        pace = pace_on(loop, 4)
        async with pace.turn(request()) as turn:
            turn.failed(no_capacity=False, retry_after_s=None)
        return pace.allowed

    assert simulate(work) == 4.0


def test_retry_after_holds_all_back() -> None:
    """While a server asks for peace nothing is sent; a longer wish prolongs it, one of an hour is not waited for."""

    async def work(loop: JumpingLoop) -> list[float]:
        pace = pace_on(loop, 3)
        sent: list[float] = []

        async def one(latency: float, retry_after_s: float | None = None) -> None:
            async with pace.turn(request()) as turn:
                sent.append(loop.time())
                await asyncio.sleep(latency)
                if retry_after_s is None:
                    turn.answered(Usage())
                else:
                    turn.failed(no_capacity=True, retry_after_s=retry_after_s)

        await asyncio.gather(one(1.0, 10.0), one(2.0, 20.0), one(3.0, 3600.0), *(one(0.0) for _ in range(5)))
        return sent

    assert simulate(work) == pytest.approx([0.0, 0.0, 0.0] + [22.0] * 5)


def test_first_come_first_served() -> None:
    """Attempts go in the order in which they came, however long they wait."""

    async def work(loop: JumpingLoop) -> list[int]:
        pace = pace_on(loop, 3, requests_per_minute=10)
        order: list[int] = []

        async def one(number: int) -> None:
            async with pace.turn(request()) as turn:
                order.append(number)
                await asyncio.sleep((number * 7) % 5)
                turn.answered(Usage())

        await asyncio.gather(*(one(number) for number in range(40)))
        return order

    assert simulate(work) == list(range(40))


def test_cancelled_waiter_leaves_no_trace() -> None:
    """Who stops waiting gives no place up and takes none."""

    async def work(loop: JumpingLoop) -> int:
        pace = pace_on(loop, 1)
        async with pace.turn(request()):
            waiting = [asyncio.ensure_future(pace.turn(request()).__aenter__()) for _ in range(3)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        async with pace.turn(request()):
            return pace.in_flight

    assert simulate(work) == 1


@pytest.mark.parametrize("limits", [{"requests_per_minute": 0}, {"tokens_per_minute": -5}])
def test_senseless_limits(limits: dict[str, int]) -> None:
    """A limit below 1 would let nothing out."""
    with pytest.raises(
        InputError, match=r"_per_minute must be 1 or more, got -?\d; leave it out where there is no limit"
    ):
        Pace(1, clock=float, sleep=asyncio.sleep, **limits)


def test_refusals_for_ever_end() -> None:
    """Thirty refusals in a row over a minute end the run in the server's words; an answer starts the count again."""
    refusals = _Refusals()
    error = AttemptError("server", "http://x/v1 answered 429 for m: slow down", no_capacity=True, status=429)
    refusals.end()
    for second in range(29):
        refusals.add(error, float(second))
    refusals.end()
    for second in range(60):
        refusals.add(error, float(second))
    with pytest.raises(RequestRefused) as caught:
        refusals.add(error, 60.0)
    assert str(caught.value) == (
        "http://x/v1 answered 429 for m: slow down, as it did to the last 61 attempts in 60 s; the server "
        "limits how often it is asked: set requests_per_minute of ps.Model below its limit, or wait"
    )


RATE = "the server limits how often it is asked: set requests_per_minute of ps.Model below its limit, or wait"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            AttemptError("server", "x answered 429 for m: slow down", no_capacity=True, status=429),
            f"x answered 429 for m: slow down, as it did to all 9 attempts in 8 s; {RATE}",
        ),
        (
            AttemptError("empty", "the response has no choices: {}"),
            (
                "the response has no choices: {}, as it did to all 9 attempts in 8 s; the server seems not to be "
                "OpenAI-compatible: check its address and the model"
            ),
        ),
        (AttemptError("server", "x answered 503 for m: loading", no_capacity=True, status=503), None),
        (AttemptError("server", "x answered 429 for m: wait", no_capacity=True, retry_after_s=1.0, status=429), None),
        (AttemptError("server", "x answered 500 for m: oops", status=500), None),
    ],
)
def test_server_that_never_answered_is_given_up_sooner(error: AttemptError, told: str | None) -> None:
    """A few attempts in some seconds are enough where nothing was answered yet, unless the server says when to ask."""
    refusals = _Refusals()
    for second in range(8):
        refusals.add(error, float(second))
    if told is None:
        refusals.add(error, 8.0)
        return
    with pytest.raises(RequestRefused) as caught:
        refusals.add(error, 8.0)
    assert str(caught.value) == told
