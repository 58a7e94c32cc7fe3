"""Budgets: numbered in order, and what was paid under each."""

from __future__ import annotations

import pytest

from prompt_search.budget import Budget, Spending
from prompt_search.budget.spending import NOTHING
from prompt_search.errors import InputError, StorageError
from prompt_search.llm.messages import Response
from prompt_search.storage.calls.budgets import OpenedBudget
from prompt_search.storage.store import Store
from tests.storage.examples import damage, keep, request


def opened(number: int, paid_before: Spending = NOTHING, paid: Spending = NOTHING) -> OpenedBudget:
    return OpenedBudget(number=number, paid_before=paid_before, paid=paid)


def test_larger_budget_has_the_next_number(store: Store) -> None:
    """What was paid under earlier budgets is told from what was paid under this one."""
    store.open_study("s", {})
    assert store.budgets.open_budget("s", Budget(calls=2)) == opened(0)
    paid = Spending(calls=2, tokens=5, usd=0.5)
    key = keep(store, Response(text="a", attempts=2), spending=paid)
    assert store.budgets.open_budget("s", Budget(calls=2)) == opened(0, paid=paid)
    assert store.budgets.open_budget("s", Budget(calls=9)) == opened(1, paid)
    keep(store, Response(text="b"), request("b"), budget=1, spending=Spending(calls=1))
    assert store.budgets.open_budget("s", Budget(calls=9)) == opened(1, paid, Spending(calls=1))
    assert store.budgets.paid_before("s", 1) == {key}
    assert store.budgets.paid_before("s", 0) == set()


def test_budget_without_a_response_is_forgotten(store: Store) -> None:
    """A run that failed before its first response leaves the budget before it as it was."""
    store.open_study("s", {})
    store.open_budget("s", Budget(calls=2))
    paid = Spending(calls=1, tokens=5, usd=0.5)
    keep(store, Response(text="a"), spending=paid)
    assert store.open_budget("s", Budget(calls=9)) == opened(1, paid)
    assert store.open_budget("s", Budget(calls=2)) == opened(0, paid=paid)


@pytest.mark.parametrize(
    ("budget", "used"),
    [
        (Budget(calls=1), "2 calls already, and Budget(calls=1)"),
        (Budget(tokens=5), "5 tokens already, and Budget(tokens=5)"),
        (Budget(calls=9, usd=0.5), "2 calls and $0.5 already, and Budget(calls=9, usd=0.5)"),
    ],
)
def test_budget_that_is_used_up_is_refused(store: Store, budget: Budget, used: str) -> None:
    """A budget that allows no more than the study has used under other budgets is an error, which says what it used."""
    store.open_study("s", {})
    store.open_budget("s", Budget(calls=2))
    keep(store, Response(text="a", attempts=2), spending=Spending(calls=2, tokens=5, usd=0.5))
    with pytest.raises(InputError) as caught:
        store.open_budget("s", budget)
    assert str(caught.value) == (
        f"study 's' has paid for {used} allows no more: a budget is for the whole study; give a larger one, or read "
        "the result that is stored (prompt-search show, ps.open_result)"
    )


def test_budget_in_dollars_needs_to_know_what_was_paid(store: Store) -> None:
    """Where the cost of one call is unknown, a budget in US dollars is refused."""
    store.open_study("s", {})
    keep(store, Response(text="a"), spending=Spending(calls=1, usd=float("nan")))
    with pytest.raises(InputError) as caught:
        store.budgets.open_budget("s", Budget(usd=1))
    assert str(caught.value) == (
        "a budget in US dollars counts what study 's' cost so far, which is unknown; give it another name, or "
        "start over with fresh=True (--fresh)"
    )


@pytest.mark.parametrize("text", ["{", "{}", "[1]", "null"])
def test_damaged_budgets_are_an_error(store: Store, text: str) -> None:
    """What was allowed earlier cannot be made up; `fresh` forgets it."""
    damage(store, "budgets", text)
    with pytest.raises(StorageError, match=r"^the budgets of study 'half' cannot be read: .*start over with"):
        store.budgets.open_budget("half", Budget(calls=20))
    store.open_study("half", {"seed": 0}, fresh=True)
    assert store.budgets.open_budget("half", Budget(calls=20)).number == 0
