"""What a run may spend: never more, whatever happens at once."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.budget import Budget, Ledger
from prompt_search.completion import Response, Usage
from prompt_search.errors import BudgetExceeded, InputError, RunError


def response(tokens: int = 0, usd: float = math.nan, **fields: object) -> Response:
    usage = Usage(prompt_tokens=tokens, completion_tokens=0)
    return Response(usage=usage, cost_usd=usd, **fields)  # type: ignore[arg-type]


def test_budget_needs_a_limit() -> None:
    """A budget without any limit is refused."""
    with pytest.raises(InputError, match="a budget needs at least one limit; give calls=, tokens=, usd= or seconds="):
        Budget()


@pytest.mark.parametrize("limit", [0, -1, math.nan])
@pytest.mark.parametrize("name", ["calls", "tokens", "usd", "seconds"])
def test_budget_is_positive(name: str, limit: float) -> None:
    """Zero, less, and no number at all are refused for every kind of limit."""
    with pytest.raises(InputError, match=rf"a budget is positive, got {name}="):
        Budget(**{name: limit})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["calls", "tokens"])
def test_calls_and_tokens_are_whole(name: str) -> None:
    """Half a call cannot be bought."""
    with pytest.raises(InputError, match=rf"a budget in {name} is a whole number, got {name}=0.5"):
        Budget(**{name: 0.5})  # type: ignore[arg-type]


def test_repr_shows_what_was_given() -> None:
    """Only the limits that were given are shown."""
    assert repr(Budget(calls=3, usd=0.5)) == "Budget(calls=3, usd=0.5)"


@given(
    limit=st.integers(1, 30),
    paid_before=st.integers(0, 40),
    requests=st.lists(st.integers(1, 4), max_size=30),
    concurrency=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_calls_are_never_above_the_limit(
    limit: int, paid_before: int, requests: list[int], concurrency: int, seed: int
) -> None:
    """Requests of several attempts each, at any concurrency and in any order, send as many calls as the limit
    leaves and not one more, what earlier runs sent included."""
    ledger = Ledger(Budget(calls=limit), paid_before=paid_before)
    generator = random.Random(seed)
    slots = asyncio.Semaphore(concurrency)
    sent = 0

    async def ask(attempts: int) -> None:
        nonlocal sent
        async with slots:
            for _ in range(attempts):
                for _ in range(generator.randrange(4)):
                    await asyncio.sleep(0)
                try:
                    ledger.reserve()
                except BudgetExceeded:
                    return
                sent += 1

    async def main() -> None:
        await asyncio.gather(*map(ask, requests))

    asyncio.run(main())
    room = max(0, limit - paid_before)
    assert sent == ledger.sent == min(sum(requests), room)
    assert ledger.spent <= limit


def test_refused_call_is_not_counted() -> None:
    """The error says what is used up, and nothing is counted."""
    ledger = Ledger(Budget(calls=1))
    ledger.reserve()
    with pytest.raises(BudgetExceeded, match="the budget of 1 calls is used up"):
        ledger.reserve()
    assert ledger.sent == 1


@given(limit=st.integers(1, 20), attempts=st.lists(st.integers(0, 4), max_size=8), asked=st.integers(0, 25))
def test_replayed_calls_count(limit: int, attempts: list[int], asked: int) -> None:
    """A resumed run stops where the uninterrupted one stops, whether it has replayed its calls already or not."""
    ledger = Ledger(Budget(calls=limit), paid_before=sum(attempts))
    for number in attempts:
        ledger.replay(response(), number)
    paid = sum(number or 1 for number in attempts)  # one that another study paid for counts as well
    assert ledger.spent == paid
    for _ in range(asked):
        try:
            ledger.reserve()
        except BudgetExceeded:
            break
    assert ledger.sent == min(asked, max(0, limit - paid))
    assert ledger.spent == paid + ledger.sent


@given(limit=st.integers(1, 12), attempts_of=st.lists(st.integers(1, 3), max_size=12))
def test_reused_responses_count_as_if_sent(limit: int, attempts_of: list[int]) -> None:
    """What another study paid for counts like a call of one's own, so a run ends where it would end without it."""

    def ended(ledger: Ledger, reused: bool) -> int:
        for number, attempts in enumerate(attempts_of):
            try:
                if reused:
                    ledger.reuse(response(50, 0.1, attempts=attempts))
                elif ledger.spent + attempts <= limit:
                    for _ in range(attempts):
                        ledger.reserve()
                    ledger.settle(response(50, 0.1))
                else:
                    return number
            except BudgetExceeded:
                return number
        return len(attempts_of)

    asked, found = Ledger(Budget(calls=limit, tokens=400)), Ledger(Budget(calls=limit, tokens=400))
    assert ended(asked, False) == ended(found, True)
    assert (asked.spent, asked.tokens, asked.usd) == (found.spent, found.tokens, found.usd)
    assert found.sent == 0
    assert found.reused == ended(Ledger(Budget(calls=limit, tokens=400)), True)


def test_replay_of_a_reused_response_counts_again() -> None:
    """A resumed run counts what it had reused, as it did before."""
    ledger = Ledger(Budget(calls=9))
    ledger.replay(response(50, 0.1, attempts=2), 0)
    ledger.replay(response(50, 0.1), 3)
    assert (ledger.spent, ledger.sent, ledger.reused, ledger.tokens) == (5, 0, 1, 100)


@pytest.mark.parametrize(
    ("budget", "spent"), [(Budget(tokens=100), response(100)), (Budget(usd=0.5), response(1, 0.5))]
)
def test_nothing_is_sent_once_a_limit_is_reached(budget: Budget, spent: Response) -> None:
    """Tokens and dollars are looked at before every request."""
    ledger = Ledger(budget)
    ledger.reserve()
    assert ledger.exhausted is None
    ledger.settle(spent)
    assert ledger.exhausted is not None
    with pytest.raises(BudgetExceeded, match=rf"the budget in {ledger.exhausted} is used up"):
        ledger.reserve()


def test_time_is_a_limit() -> None:
    """Seconds count from the start of the run."""
    now = [10.0]
    ledger = Ledger(Budget(seconds=5), clock=lambda: now[0])
    ledger.reserve()
    now[0] = 15.0
    assert ledger.seconds == 5
    with pytest.raises(BudgetExceeded, match="the budget in seconds is used up"):
        ledger.reserve()


def test_dollars_need_a_price() -> None:
    """A budget in dollars is not run without knowing the price; a failed request has none and does not matter."""
    ledger = Ledger(Budget(usd=1))
    ledger.settle(response(error="server: 500"))
    ledger.reserve()
    ledger.settle(response(10))
    with pytest.raises(RunError, match=r"a budget of 1 US dollars cannot be kept.*price is unknown; give Model"):
        ledger.reserve()


def test_unknown_price_is_remembered() -> None:
    """One answer without a price makes the sum unknown; a failed request does not."""
    ledger = Ledger(Budget(calls=9))
    ledger.settle(response(1, 0.25))
    ledger.settle(response(error="timeout: 120 s"))
    assert ledger.priced
    ledger.settle(response(1))
    assert not ledger.priced
    assert ledger.usd == 0.25


def test_first_reason_to_stop_stays() -> None:
    """After a stop no request is let out, and the first reason is told."""
    ledger = Ledger(Budget(calls=9))
    ledger.stop("interrupted")
    ledger.stop("something else")
    with pytest.raises(BudgetExceeded, match="the run was stopped: interrupted"):
        ledger.reserve()
    assert ledger.sent == 0


def test_affordable_calls_follow_what_calls_cost() -> None:
    """The tightest limit decides; before anything is spent limits other than calls say nothing."""
    ledger = Ledger(Budget(calls=100, tokens=1_000))
    assert ledger.affordable() == 100
    for _ in range(4):
        ledger.reserve()
        ledger.settle(response(50))
    assert ledger.affordable() == 20
    assert Ledger(Budget(tokens=10)).affordable(unknown=7) == 7
