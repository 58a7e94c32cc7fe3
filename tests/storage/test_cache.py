"""The cache of responses: counted by model, exported, and cleared of what no study needs."""

from __future__ import annotations

import json

import pytest

from prompt_search.errors import StudyError
from prompt_search.llm.messages import Response
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.records import CacheStats
from prompt_search.storage.store import Store
from tests.storage.examples import keep, request


def test_cache_is_counted_exported_and_cleared(store: Store) -> None:
    """Responses of deleted studies go, those of stored ones stay until everything is cleared."""
    store.open_study("s", {})
    needed = keep(store, Response(text="yes", latency_s=0, cost_usd=0))
    keep(store, Response(text="no", latency_s=0, cost_usd=0), request("other"), study="gone")
    lines = [json.loads(line) for line in store.cache.exported()]
    assert {line["key"]: line["response"]["text"] for line in lines}[needed] == "yes"
    sizes = [len(json.dumps(line[part], ensure_ascii=False, separators=(",", ":")))
             for line in lines for part in ("request", "response")]  # fmt: skip
    assert store.cache.stats() == [CacheStats(endpoint="e", model="m", responses=2, needed=1, bytes=sum(sizes))]
    assert store.cache.clear() == 1
    assert set(store.responses.calls("s")) == {needed}
    assert store.cache.clear(everything=True) == 1
    assert (store.cache.stats(), store.study_names()) == ([], [])


def test_storage_in_use_is_not_cleared(store: Store) -> None:
    """While a study is being run nothing is deleted."""
    keep(store, Response(text="yes", latency_s=0, cost_usd=0))
    store.leases.take_lease("s", "a", Owner.here(), 60)
    with pytest.raises(StudyError, match=r"^study 's' is being run; clear the storage when it has ended$"):
        store.cache.clear()
    store.leases.end_lease("a")
    assert store.cache.clear() == 1


@pytest.mark.parametrize("text", ["{", "{}", "[]", "3"])
def test_damaged_request_is_counted_apart(store: Store, text: str) -> None:
    """What is stored can be counted although the server of one of the requests is not known any more."""
    keep(store, Response(text="yes", latency_s=0, cost_usd=0))
    key = keep(store, Response(text="no", latency_s=0, cost_usd=0), request("other"))
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE prompt_search_responses SET request = '{text}' WHERE key = '{key}'")
    assert [(each.endpoint, each.model, each.responses) for each in store.cache.stats()] == [
        ("", "(cannot be read)", 1),
        ("e", "m", 1),
    ]
