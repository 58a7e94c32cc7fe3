"""Responses and calls: what is written comes back, responses serve every study, and calls count what they cost."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.llm.messages import Response, Usage
from prompt_search.storage.store import Store
from tests.conftest import call_columns
from tests.storage.examples import LONE, keep, request


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_any_text_survives(question: str, answer: str) -> None:
    """Responses and what was asked come back, half surrogate pairs and NUL included."""
    store = Store("sqlite://")
    asked = request(question)
    key = keep(store, Response(text=answer, latency_s=1.5, cost_usd=math.nan), asked)
    found = store.response(key)
    assert found is not None
    assert found.text == answer
    assert math.isnan(found.cost_usd)
    assert json.loads(store.requests("s")[key])["messages"][0]["content"] == question
    store.close()


def test_unknown_key_has_no_response(store: Store) -> None:
    """A request that was never answered is None."""
    assert store.response("0" * 64) is None
    assert store.calls("s") == {}


def test_paid_call_is_stored_for_every_study(store: Store) -> None:
    """One study's response serves another, which has paid nothing for it."""
    usage = Usage(prompt_tokens=3, completion_tokens=1, cached_tokens=2)
    response = Response(text="yes", usage=usage, attempts=2, latency_s=0.1, cost_usd=0.5, logprobs=((("y", -0.1),),))
    key = keep(store, response)
    assert store.response(key) == response
    keep(store, response, study="other", paid=False)
    assert (store.calls("s")[key].attempts, store.calls("other")[key].attempts) == (2, 0)
    assert store.calls("other")[key].response == response


def test_first_response_stays(store: Store) -> None:
    """A request answered twice at once keeps the first response."""
    key = keep(store, Response(text="first", latency_s=0, cost_usd=0))
    keep(store, Response(text="second", latency_s=0, cost_usd=0), study="other")
    assert store.calls("other")[key].response.text == "first"


def test_failed_call_is_kept_with_its_study_only(store: Store) -> None:
    """An error is a record of the study that met it, never an answer for others."""
    key = keep(store, Response(error="timeout: 120 s", attempts=6))
    assert store.response(key) is None
    call = store.calls("s")[key]
    assert (call.response.error, call.attempts) == ("timeout: 120 s", 6)
    assert store.requests("s") == {}


def test_failed_call_sent_again_keeps_counting(store: Store) -> None:
    """What the earlier attempts cost is added up, and the answer takes the place of the error."""
    keep(store, Response(error="server: 500", attempts=6))
    keep(store, Response(error="server: 500", attempts=3), number=1)
    key = keep(store, Response(text="at last", attempts=2, latency_s=0, cost_usd=0), number=2)
    call = store.calls("s")[key]
    assert (call.attempts, call.response.text, call.response.error) == (11, "at last", None)
    assert len(store.calls("s")) == 1


@pytest.mark.parametrize(("error", "expected"), [("budget: used up", True), ("server: 500", False), (None, False)])
def test_call_cut_short_by_the_budget_is_told_apart(store: Store, error: str | None, expected: bool) -> None:
    """Only where the budget ended between two attempts may another run go on trying."""
    key = keep(store, Response(error=error, latency_s=0, cost_usd=0))
    assert store.calls("s")[key].cut_short is expected


def test_calls_come_in_the_order_of_their_numbers(store: Store) -> None:
    """Calls are listed as they were answered."""
    for number in (2, 0, 1):
        keep(store, Response(text=str(number)), request(str(number)), number=number)
    assert [call.response.text for call in store.calls("s").values()] == ["0", "1", "2"]


def test_calls_come_as_columns(store: Store) -> None:
    """The columns hold what the records hold, log-probabilities apart; other studies' are left out."""
    keep(
        store, Response(text=LONE, logprobs=((("a", -0.1),),), usage=Usage(prompt_tokens=3), latency_s=0.5, cost_usd=0)
    )
    keep(store, Response(error="timeout: 1 s", latency_s=0, cost_usd=0), request("b"), number=1)
    keep(store, Response(text="other"), study="t")
    found, expected = store.responses.call_columns("s"), call_columns(store.calls("s").values())
    assert found.keys() == expected.keys()
    assert sorted(map(repr, zip(*(found[name] for name in expected), strict=True))) == sorted(
        map(repr, zip(*expected.values(), strict=True))
    )
    assert store.responses.call_columns("none")["key"] == []


def test_requests_of_some_keys(store: Store) -> None:
    """The canonical text of those asked for, or of all."""
    keys = [
        keep(store, Response(text="x", latency_s=0, cost_usd=0), request(text), number=n) for n, text in enumerate("ab")
    ]
    assert set(store.requests("s")) == set(keys)
    assert store.requests("s", keys[:1]) == {keys[0]: request("a").to_json()}


def test_requests_of_more_keys_than_one_query_takes(store: Store) -> None:
    """SQLite takes a quarter of a million values in a query; more are requested in several."""
    key = keep(store, Response(text="x", latency_s=0, cost_usd=0))
    keys = [*map(str, range(300_000)), key]
    assert list(store.responses.requests("s", keys)) == [key]
    assert store.responses.requests("s", []) == {}


def test_calls_are_numbered_on(store: Store) -> None:
    """A resumed study goes on after its highest number, and knows whether anything was answered so far."""
    assert (store.responses.next_call_number("s"), store.study_records.has_answers("s")) == (0, False)
    keep(store, Response(error="server: 500"), number=4)
    assert (store.responses.next_call_number("s"), store.study_records.has_answers("s")) == (5, False)
    keep(store, Response(text="yes"), request("b"), number=2)
    assert (store.responses.next_call_number("s"), store.study_records.has_answers("s")) == (5, True)
    assert (store.responses.next_call_number("t"), store.study_records.has_answers("t")) == (0, False)


def test_copied_calls_cost_nothing(store: Store) -> None:
    """Another study that uses the same calls has their responses, and paid for none of them."""
    key = keep(store, Response(text="yes", attempts=3, latency_s=0, cost_usd=0), number=1)
    store.responses.copy_calls("s", "t")
    (copied,) = store.responses.calls("t").values()
    assert (copied.key, copied.number, copied.attempts, copied.response.text) == (key, 1, 0, "yes")
