"""What a run may spend: never more, whatever happens at once."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.budget import PER_MESSAGE, PER_REQUEST, Budget, Ledger, Spending, most_used
from prompt_search.errors import BudgetExceeded, InputError
from prompt_search.llm.messages import Message, Request, Response, Usage

OVERHEAD = PER_MESSAGE + PER_REQUEST


def request(text: str = "hi", **parameters: Any) -> Request:
    return Request(
        endpoint="e", model="m", messages=(Message("user", text),), parameters={"max_tokens": 10, **parameters}
    )


def response(prompt: int = 0, completion: int = 0, **fields: Any) -> Response:
    return Response(usage=Usage(prompt_tokens=prompt, completion_tokens=completion), **fields)


def cost(asked: Request, usage: Usage) -> float:
    """A dollar for ten prompt tokens, and for one of the answer."""
    return (usage.prompt_tokens or 0) / 10 + (usage.completion_tokens or 0)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def test_budget_needs_a_limit() -> None:
    """A budget without any limit is refused."""
    with pytest.raises(InputError, match="a budget needs at least one limit; give calls=, tokens=, usd= or seconds="):
        Budget()


@pytest.mark.parametrize("limit", [0, -1, math.nan])
@pytest.mark.parametrize("name", ["calls", "tokens", "usd", "seconds"])
def test_budget_is_positive(name: str, limit: float) -> None:
    """Zero, less, and no number at all are refused for every kind of limit."""
    with pytest.raises(InputError, match=rf"a budget must be above 0, got {name}="):
        Budget(**{name: limit})  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [10**400, 1e308, math.inf, 10**12 + 1])
@pytest.mark.parametrize("name", ["calls", "tokens", "usd", "seconds"])
def test_budget_is_no_typing_error(name: str, limit: float) -> None:
    """A limit that no database and no clock holds is refused on one line, however long it is."""
    message = f"^a budget must be at most 1,000,000,000,000, got more in {name}; leave {name} out for no limit$"
    with pytest.raises(InputError, match=message):
        Budget(**{name: limit})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["calls", "tokens"])
def test_calls_and_tokens_are_whole(name: str) -> None:
    """Half a call cannot be bought."""
    with pytest.raises(InputError, match=rf"a budget in {name} must be a whole number, got {name}=0.5; round it"):
        Budget(**{name: 0.5})  # type: ignore[arg-type]


def test_repr_shows_what_was_given() -> None:
    """Only the limits that were given are shown."""
    assert repr(Budget(calls=3, usd=0.5)) == "Budget(calls=3, usd=0.5)"


@given(
    limit=st.integers(1, 30),
    before=st.integers(0, 40),
    requests=st.lists(st.integers(1, 4), max_size=30),
    concurrency=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_calls_are_never_above_the_limit(
    limit: int, before: int, requests: list[int], concurrency: int, seed: int
) -> None:
    """Requests of several attempts each, at any concurrency and in any order, send as many calls as the limit
    leaves and not one more, what earlier runs sent included."""
    ledger = Ledger(Budget(calls=limit), previous_runs=Spending(calls=before))
    generator = random.Random(seed)
    slots = asyncio.Semaphore(concurrency)
    sent = 0

    async def ask(attempts: int) -> None:
        nonlocal sent
        asked = request()
        async with slots:
            for _ in range(attempts):
                for _ in range(generator.randrange(4)):
                    await asyncio.sleep(0)
                try:
                    await ledger.reserve(asked)
                except BudgetExceeded:
                    return
                sent += 1

    async def main() -> None:
        await asyncio.gather(*map(ask, requests))

    run(main())
    room = max(0, limit - before)
    assert sent == ledger.paid.calls == min(sum(requests), room)
    assert ledger.spent <= limit


@given(
    limits=st.fixed_dictionaries({}, optional={
        "calls": st.integers(1, 30), "tokens": st.integers(1, 4000), "usd": st.floats(0.1, 400),
    }).filter(bool),
    before=st.integers(0, 5),
    former=st.integers(0, 5),
    concurrency=st.integers(1, 40),
    seed=st.integers(0, 10_000),
)  # fmt: skip
def test_no_limit_is_passed_by_anything(
    limits: dict[str, float], before: int, former: int, concurrency: int, seed: int
) -> None:
    """A server that counts what it does never sees a call, token or dollar above the limit, whatever requests use,
    however often they are tried, answers are lost, and earlier runs paid; and a request is refused only where it could
    have passed a limit."""
    generator = random.Random(seed)
    one = Spending(calls=1, tokens=30, usd=4.0)
    ledger = Ledger(Budget(**limits), previous_runs=one.times(before), previous_budgets=one.times(former), price=cost)  # type: ignore[arg-type]
    seen = one.times(before + former)
    slots = asyncio.Semaphore(concurrency)
    refused: list[Spending] = []

    async def ask(number: int) -> None:
        nonlocal seen
        asked = request("x" * generator.randrange(200), max_tokens=generator.randrange(1, 60))
        most = most_used(asked)
        assert most is not None
        lost, left = 0, generator.choice([1, 1, 1, 2, 3])
        async with slots:
            while left:
                left -= 1
                try:
                    await ledger.reserve(asked)
                except BudgetExceeded:
                    refused.append(Spending(calls=1, tokens=sum_of(most), usd=cost(asked, most)))
                    break
                used = Usage(
                    prompt_tokens=generator.randrange((most.prompt_tokens or 0) + 1),
                    completion_tokens=generator.randrange((most.completion_tokens or 0) + 1),
                )
                seen += Spending(calls=1, tokens=sum_of(used), usd=cost(asked, used))
                for _ in range(generator.randrange(4)):
                    await asyncio.sleep(0)
                if left:
                    lost += 1
                else:
                    answer = Response(usage=used, cost_usd=cost(asked, used), attempts=lost + 1, lost=lost)
                    ledger.settle(asked, answer)
                    return
            if ledger.attempts(asked):
                ledger.settle(asked, Response(error="budget: used up", attempts=lost, lost=lost))

    async def main() -> None:
        await asyncio.gather(*map(ask, range(30)))

    started = seen
    run(main())
    for name, limit in limits.items():
        if getattr(started, name) <= limit:
            assert getattr(seen, name) <= limit * (1 + 1e-12)
    total = ledger.total
    assert seen.calls == total.calls
    assert {*limits} == {"calls"} or seen.tokens <= total.tokens
    for needed in refused:
        assert any(getattr(total + needed, name) > limit for name, limit in limits.items())


def sum_of(usage: Usage) -> int:
    return (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(0, 99), st.integers(1, 12))
def test_who_is_refused_does_not_depend_on_who_answers_first(used: list[int], seed: int, concurrency: int) -> None:
    """The same requests in the same order are refused at any concurrency and latency."""

    def refused(slots: asyncio.Semaphore, wait: Callable[[], int]) -> list[int]:
        ledger = Ledger(Budget(tokens=1200))
        out: list[int] = []

        async def ask(number: int) -> None:
            asked = request("x" * 200)
            async with slots:
                try:
                    await ledger.reserve(asked)
                except BudgetExceeded:
                    out.append(number)
                    return
                for _ in range(wait()):
                    await asyncio.sleep(0)
                ledger.settle(asked, response(min(used[number], 200)))

        async def main() -> None:
            await asyncio.gather(*map(ask, range(len(used))))

        run(main())
        return sorted(out)

    generator = random.Random(seed)
    one_by_one = refused(asyncio.Semaphore(1), lambda: 0)
    assert refused(asyncio.Semaphore(concurrency), lambda: generator.randrange(6)) == one_by_one


def test_refused_call_is_not_counted() -> None:
    """The error says what is used up, and nothing is counted."""
    ledger = Ledger(Budget(calls=1))
    run(ledger.reserve(request()))
    with pytest.raises(BudgetExceeded, match="the budget of 1 calls is used up"):
        run(ledger.reserve(request()))
    assert ledger.paid.calls == 1


def test_request_waits_for_room_and_is_refused_when_none_can_come() -> None:
    """What those in flight leave over is used; with nothing in flight a request that may use too much is refused."""
    budget = Budget(tokens=2 * (2 + OVERHEAD + 10))
    ledger = Ledger(budget)
    order: list[str] = []

    async def ask(name: str, used: int) -> None:
        asked = request()
        await ledger.reserve(asked)
        order.append(f"{name} out")
        await asyncio.sleep(0)
        order.append(f"{name} in")
        ledger.settle(asked, response(used))

    async def main() -> None:
        for _ in range(2):
            ledger.learn(request(), response(2))  # an earlier run's answers: two requests may be in flight
        await asyncio.gather(ask("a", 2), ask("b", 3), ask("c", 20))
        with pytest.raises(BudgetExceeded, match=r"Budget\(tokens=168\) cannot cover a request that may use 154"):
            await ledger.reserve(request("x" * 72))

    run(main())
    assert order[:2] == ["a out", "b out"]
    assert order.index("c out") > order.index("a in")
    assert ledger.total.tokens == 25


def test_bytes_and_overhead_bound_a_request() -> None:
    """Bytes of UTF-8 count, not characters; so do schemas, which servers write into the prompt, and several answers."""
    assert most_used(request("\N{GRINNING FACE}")) == Usage(prompt_tokens=4 + OVERHEAD, completion_tokens=10)
    schema = {"type": "object"}
    used = most_used(request("hi", response_format=schema, n=3))
    assert used == Usage(prompt_tokens=2 + len('{"type": "object"}') + OVERHEAD, completion_tokens=30)
    used = most_used(request("hi", max_completion_tokens=20))
    assert used is not None
    assert used.completion_tokens == 20


def test_server_that_counts_more_is_believed_from_then_on() -> None:
    """What a server counts above the bound raises what every request may use, at first by four times as much."""
    ledger = Ledger(Budget(tokens=10_000))
    before = ledger.bounds.most(request()).tokens
    asked = request()
    run(ledger.reserve(asked))
    ledger.settle(asked, response(2 + OVERHEAD + 500))
    assert ledger.bounds.most(request()).tokens == before + 4 * 500
    for _ in range(8):
        ledger.learn(request(), response(2 + OVERHEAD + 100))
    assert ledger.bounds.most(request()).tokens == before + 2 * 500
    other = replace(request(), model="other")
    assert ledger.bounds.most(other).tokens == before


@pytest.mark.parametrize("limits", [{"tokens": 10_000}, {"usd": 1000.0}])
def test_first_request_is_sent_alone_where_tokens_are_limited(limits: dict[str, Any]) -> None:
    """As long as nothing shows how a server counts, one request is in flight; then as many as were answered."""
    assert _most_in_flight(Ledger(Budget(**limits), price=cost)) == [1, 1, 2, 2, 4, 4, 4, 4]


def test_calls_need_no_answer_before_the_next() -> None:
    """Where only calls are limited, all are sent at once."""
    assert _most_in_flight(Ledger(Budget(calls=100))) == [8] * 8


def _most_in_flight(ledger: Ledger) -> list[int]:
    """The number of requests that were in flight together with each of eight, which are answered in rounds."""
    rounds: list[int] = []
    in_flight: list[Request] = []

    async def ask() -> None:
        asked = request()
        await ledger.reserve(asked)
        in_flight.append(asked)

    async def main() -> None:
        asking = [asyncio.ensure_future(ask()) for _ in range(8)]
        while not all(task.done() for task in asking) or in_flight:
            for _ in range(50):
                await asyncio.sleep(0)
            rounds.extend([len(in_flight)] * len(in_flight))
            for asked in in_flight:
                ledger.settle(asked, response(2, 1))
            in_flight.clear()

    run(main())
    return rounds


def test_requests_in_flight_are_held_with_what_was_learned() -> None:
    """An answer above the bound raises what is reserved for those that are on their way, too."""
    ledger = Ledger(Budget(tokens=3_000))
    for _ in range(4):
        ledger.learn(request(), response(2, 1))
    flying = [request() for _ in range(4)]

    async def main() -> None:
        for asked in flying:
            await ledger.reserve(asked)
        ledger.settle(flying[0], response(2, 510))
        waiting = asyncio.ensure_future(ledger.reserve(request()))
        await asyncio.sleep(0)  # three times 1,254 and more are held
        assert not waiting.done()
        ledger.stop("enough")
        ledger.settle(flying[1], response(2, 1))
        with pytest.raises(BudgetExceeded, match="the run was stopped: enough"):
            await waiting

    run(main())


def test_lost_attempt_counts_with_what_was_learned_later() -> None:
    """An attempt whose answer was lost before the server's counting was known counts with what is known since."""
    ledger = Ledger(Budget(tokens=10_000))
    asked = request()
    run(ledger.reserve(asked))
    run(ledger.reserve(asked))
    spent = ledger.settle(asked, response(2, 1010, attempts=2, lost=1))
    assert spent.tokens == 1012 + 2 + OVERHEAD + 10 + 4 * 1000


@given(
    share=st.integers(0, 4),
    limit=st.integers(5_000, 60_000),
    hidden=st.integers(0, 1000),
    concurrency=st.integers(1, 40),
    seed=st.integers(0, 10_000),
)
def test_hidden_reasoning_passes_no_limit(share: int, limit: int, hidden: int, concurrency: int, seed: int) -> None:
    """A server that counts reasoning beyond what a request allows never counts more than the limit in tokens."""
    generator = random.Random(seed)
    ledger = Ledger(Budget(tokens=limit))
    slots = asyncio.Semaphore(concurrency)
    seen = 0

    async def ask() -> None:
        nonlocal seen
        asked = request("x" * generator.randrange(100))
        async with slots:
            try:
                await ledger.reserve(asked)
            except BudgetExceeded:
                return
            used = Usage(
                prompt_tokens=generator.randrange(100),
                completion_tokens=generator.randrange(11) + generator.randint(hidden * share // 4, hidden),
            )
            seen += sum_of(used)
            for _ in range(generator.randrange(6)):
                await asyncio.sleep(0)
            ledger.settle(asked, Response(usage=used))

    async def main() -> None:
        await asyncio.gather(*(ask() for _ in range(100)))

    run(main())
    assert seen == ledger.total.tokens <= limit


def test_unknown_usage_counts_as_the_most() -> None:
    """A server that does not tell what an answer took is taken to have used all it could; lost answers, too."""
    ledger = Ledger(Budget(tokens=10_000))
    asked = request()
    run(ledger.reserve(asked))
    assert ledger.settle(asked, Response(text="yes")).tokens == 2 + OVERHEAD + 10
    run(ledger.reserve(asked))
    failed = Response(error="timeout: 1 s", attempts=2, lost=2)
    assert ledger.settle(asked, failed) == Spending(calls=2, tokens=2 * (2 + OVERHEAD + 10))
    run(ledger.reserve(asked))
    assert ledger.settle(asked, Response(error="server: 500")).tokens == 0


@pytest.mark.parametrize("limits", [{"tokens": 100}, {"usd": 1.0}])
def test_answers_have_to_be_bounded(limits: dict[str, Any]) -> None:
    """Without max_tokens tokens and dollars cannot be kept, and the remedy is told; calls can."""
    asked = replace(request(), parameters={})
    with pytest.raises(InputError, match=r"answers are bounded, and a request to m has no max_tokens; give request="):
        run(Ledger(Budget(**limits), price=cost).reserve(asked))
    run(Ledger(Budget(calls=1)).reserve(asked))


def test_dollars_need_a_price() -> None:
    """A budget in dollars is not run without knowing the price."""
    ledger = Ledger(Budget(usd=1))
    with pytest.raises(InputError, match=r"a budget of 1 US dollars cannot be kept, because the price of m is unknown"):
        run(ledger.reserve(request()))
    assert ledger.paid == Spending()


@given(limit=st.integers(1, 20), attempts=st.lists(st.integers(1, 4), max_size=8), asked=st.integers(0, 25))
def test_replayed_calls_count(limit: int, attempts: list[int], asked: int) -> None:
    """A resumed run stops where the uninterrupted one stops, whether it has replayed its calls already or not."""
    ledger = Ledger(Budget(calls=limit), previous_runs=Spending(calls=sum(attempts)))
    for number in attempts:
        ledger.replay(Spending(calls=number))
    paid = sum(attempts)
    assert ledger.spent == paid
    for _ in range(asked):
        try:
            run(ledger.reserve(request()))
        except BudgetExceeded:
            break
    assert ledger.paid.calls == min(asked, max(0, limit - paid))
    assert ledger.spent == paid + ledger.paid.calls


@given(limit=st.integers(1, 12), attempts_of=st.lists(st.integers(1, 3), max_size=12))
def test_reused_responses_count_as_if_sent(limit: int, attempts_of: list[int]) -> None:
    """What another study paid for counts like a call of one's own, so a run ends where it would end without it."""

    async def ended(ledger: Ledger, reused: bool) -> int:
        for number, attempts in enumerate(attempts_of):
            answer = response(50, cost_usd=0.1, attempts=attempts)
            asked = request()
            try:
                if reused:
                    await ledger.reuse(asked, answer)
                elif ledger.spent + attempts <= limit:
                    for _ in range(attempts):
                        await ledger.reserve(asked)
                    ledger.settle(asked, answer)
                else:
                    return number
            except BudgetExceeded:
                return number
        return len(attempts_of)

    asked, found = Ledger(Budget(calls=limit, tokens=400)), Ledger(Budget(calls=limit, tokens=400))
    number = run(ended(found, True))
    if max(attempts_of, default=1) == 1:  # a retry takes its own room
        assert run(ended(asked, False)) == number
        assert asked.counted == found.counted
    assert found.paid == Spending()
    assert found.reused == number


def test_what_earlier_budgets_paid_is_taken_off_and_free() -> None:
    """A larger budget has room for the difference; what was paid under the earlier one counts in the total."""
    ledger = Ledger(Budget(calls=5), previous_budgets=Spending(calls=3))
    assert ledger.affordable() == 2
    for _ in range(2):
        run(ledger.reserve(request()))
    with pytest.raises(BudgetExceeded, match="the budget of 5 calls is used up"):
        run(ledger.reserve(request()))
    assert (ledger.total.calls, ledger.spent) == (5, 2)


def test_time_is_a_limit() -> None:
    """Seconds count from the start of the run."""
    now = [10.0]
    ledger = Ledger(Budget(seconds=5), clock=lambda: now[0])
    run(ledger.reserve(request()))
    assert ledger.remaining_s == 5
    now[0] = 15.0
    assert ledger.seconds == 5
    with pytest.raises(BudgetExceeded, match="the budget of 5 seconds is used up"):
        run(ledger.reserve(request()))


def test_unknown_price_is_remembered() -> None:
    """One answer without a price makes the sum unknown; a failed request does not."""
    ledger = Ledger(Budget(calls=9))
    for answer, unknown in [
        (response(1, cost_usd=0.25), False),
        (Response(error="timeout: 120 s"), False),
        (response(1), True),
    ]:
        asked = request()
        run(ledger.reserve(asked))
        ledger.settle(asked, answer)
        assert math.isnan(ledger.total.usd) == unknown
        assert unknown or ledger.total.usd == 0.25


def test_first_reason_to_stop_stays() -> None:
    """After a stop no request is let out, and the first reason is told."""
    ledger = Ledger(Budget(calls=9))
    ledger.stop("interrupted")
    ledger.stop("something else")
    with pytest.raises(BudgetExceeded, match="the run was stopped: interrupted"):
        run(ledger.reserve(request()))
    assert ledger.paid == Spending()


def test_affordable_calls_follow_what_calls_cost() -> None:
    """The tightest limit decides, less what the last request may need; before anything is spent limits other than
    calls say nothing."""
    ledger = Ledger(Budget(calls=100, tokens=1_000))
    assert ledger.affordable() == 100
    for _ in range(4):
        asked = request()
        run(ledger.reserve(asked))
        ledger.settle(asked, response(50))
    assert ledger.affordable() == (1_000 - (2 + OVERHEAD + 10 - 50)) // 50
    assert Ledger(Budget(tokens=10)).affordable(unknown=7) == 7


def test_the_bound_of_a_request_has_its_tools() -> None:
    """Tools and what messages have besides their text are reserved, too."""
    plain = Request(endpoint="e", model="m", messages=(Message("user", "hi"),), parameters={"max_tokens": 8})
    tools = replace(plain, parameters={**plain.parameters, "tools": [{"function": {"name": "a" * 100}}]})
    called = replace(plain, messages=(Message("assistant", "", {"tool_calls": [{"id": "b" * 100}]}),))
    bounds = [usage.prompt_tokens or 0 for usage in map(most_used, (plain, tools, called)) if usage is not None]
    assert min(bounds[1:]) > bounds[0] + 100
