"""Budgets: numbered in order, and what was paid under each."""

from __future__ import annotations

import pytest

from prompt_search.budget import Budget, Spending
from prompt_search.errors import InputError, StorageError
from prompt_search.llm.messages import Response
from prompt_search.storage.store import Store
from tests.storage.examples import damage, keep, request


def test_larger_budget_has_the_next_number(store: Store) -> None:
    """What was paid under earlier budgets is told from what was paid under this one; one that allows no more than is
    paid already is no new budget."""
    store.open_study("s", {})
    assert store.budgets.open_budget("s", Budget(calls=2)) == (0, Spending(), Spending())
    paid = Spending(calls=2, tokens=5, usd=0.5)
    key = keep(store, Response(text="a", attempts=2), spending=paid)
    assert store.budgets.open_budget("s", Budget(calls=2)) == (0, Spending(), paid)
    assert store.budgets.open_budget("s", Budget(calls=1)) == (0, Spending(), paid)
    assert store.budgets.open_budget("s", Budget(calls=9)) == (1, paid, Spending())
    keep(store, Response(text="b"), request("b"), budget=1, spending=Spending(calls=1))
    assert store.budgets.open_budget("s", Budget(calls=9)) == (1, paid, Spending(calls=1))
    assert store.budgets.paid_before("s", 1) == {key}
    assert store.budgets.paid_before("s", 0) == set()


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
    assert store.budgets.open_budget("half", Budget(calls=20))[0] == 0
