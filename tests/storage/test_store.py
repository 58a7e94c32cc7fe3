"""The store: what is written comes back, studies resume or are refused, and URLs that cannot be opened."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.budget import Spending
from prompt_search.errors import StorageError, StudyError
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.prompts.space import Factor, SearchSpace
from prompt_search.storage.records import SampleRecord, Saved, TrialRecord
from prompt_search.storage.store import Store
from tests.conftest import call_columns
from tests.storage.test_summary import summary

LONE = "half a pair: \ud83d"


def request(text: str = "hi", **fields: Any) -> Request:
    return Request(endpoint="e", model="m", messages=(Message("user", text),), **fields)


def trial(number: int = 0, **fields: Any) -> TrialRecord:
    given: dict[str, Any] = {
        "trial": number, "state": "running", "reason": "", "choices": {"a": "x"}, "positions": {"a": 0},
        "prompt": {"source": "s"}, "text": "s",
    }  # fmt: skip
    return TrialRecord(**{**given, **fields})


def sample(number: int = 0, row: int = 0, **fields: Any) -> SampleRecord:
    given: dict[str, Any] = {
        "trial": number, "row": row, "split": "search", "key": "k", "answer": "a", "target": "t", "score": 1.0,
        "explanation": "", "unparsed": False, "error": None, "cached": False,
    }  # fmt: skip
    return SampleRecord(**{**given, **fields})


def saved(response: Response, asked: Request, **fields: Any) -> Saved:
    given: dict[str, Any] = {"study": "s", "split": "search", "number": 0, "paid": True, "spending": Spending()}
    return Saved(key=asked.key, request=asked, response=response, **{**given, **fields})


def keep(store: Store, response: Response, asked: Request | None = None, **fields: Any) -> str:
    asked = asked or request()
    asyncio.run(store.save_call(saved(response, asked, **fields)))
    return asked.key


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, storage: str) -> Store:
    """An empty store, in memory and in a file."""
    return Store("sqlite://" if request.param == "memory" else storage)


# Responses and calls


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
    keep(store, Response(error="server: 500", attempts=3))
    key = keep(store, Response(text="at last", attempts=2, latency_s=0, cost_usd=0))
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
    found, expected = store.call_columns("s"), call_columns(store.calls("s").values())
    assert found.keys() == expected.keys()
    assert sorted(map(repr, zip(*(found[name] for name in expected), strict=True))) == sorted(
        map(repr, zip(*expected.values(), strict=True))
    )
    assert store.call_columns("none")["key"] == []


def test_requests_of_some_keys(store: Store) -> None:
    """The canonical text of those asked for, or of all."""
    keys = [
        keep(store, Response(text="x", latency_s=0, cost_usd=0), request(text), number=n) for n, text in enumerate("ab")
    ]
    assert set(store.requests("s")) == set(keys)
    assert store.requests("s", keys[:1]) == {keys[0]: request("a").to_json()}


def test_memory_is_shared_between_threads() -> None:
    """A store in memory is one database for the thread that opened it and for the one that runs the study."""
    store = Store("sqlite://")
    thread = threading.Thread(target=lambda: keep(store, Response(text="yes")))
    thread.start()
    thread.join()
    assert len(store.calls("s")) == 1


# Studies


def test_study_is_opened_again(store: Store) -> None:
    """The same settings go on with the stored study; what was stored stays."""
    store.open_study("s", {"seed": 0, "labels": ("a", "b"), "range": range(2)})
    key = keep(store, Response(text="yes"))
    store.open_study("s", {"seed": 0, "labels": ["a", "b"], "range": [0, 1]})
    assert list(store.calls("s")) == [key]
    assert [record.study for record in store.studies()] == ["s"]


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"seed": 0}, {"seed": 1}, "seed was 0, is 1"),
        ({"seed": 0}, {"seed": 0, "metric": "exact"}, 'metric was absent, is "exact"'),
        ({"seed": 0, "metric": "exact"}, {"seed": 0}, 'metric was "exact", is absent'),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, "a was 1, is 2; b was 1, is 2"),
        ({"t": "x" * 500 + "old/path/end"}, {"t": "x" * 500 + "new/path/end"}, 'x{30}old/path/end", is …x{30}new'),
        ({"t": "/a/b"}, {"t": "/a/c"}, '"/a/b", is "/a/c"'),
    ],
)
def test_changed_study_is_refused(store: Store, before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    """Other settings under one name are refused, with every difference named and shown where it begins."""
    store.open_study("s", before)
    with pytest.raises(StudyError, match=f"was started with other settings: .*{message}.*fresh=True"):
        store.open_study("s", now)


def test_fresh_study_forgets_all_but_the_responses(store: Store) -> None:
    """`fresh` starts anew under the same name; the responses stay."""
    store.open_study("s", {"seed": 0})
    key = keep(store, Response(text="yes", latency_s=0, cost_usd=0))
    store.save_trials("s", [trial()], [sample()])
    store.save_summary("s", summary())
    store.open_study("s", {"seed": 1}, fresh=True)
    assert (store.calls("s"), store.trials("s"), store.samples("s")) == ({}, [], [])
    assert (store.study("s").identity, store.study("s").summary) == ({"seed": 1}, None)
    assert store.response(key) is not None


def test_openings_are_counted_by_winner_and_outlive_their_study(store: Store) -> None:
    """Each winner tested on the same sealed rows counts once, whichever study tests it, and none is forgotten."""
    store.open_study("first", {})
    assert store.test_uses("rows") == 0
    for study, prompt in [("first", "a"), ("first", "a"), ("second", "a"), ("second", "b")]:
        store.record_test_use("rows", prompt, study)
    store.record_test_use("other rows", "c", "first")
    store.delete_study("first")
    assert store.test_uses("rows") == 2


def test_unknown_study_lists_those_there_are(store: Store) -> None:
    """The message names the stored studies."""
    with pytest.raises(StudyError, match=r"there is no study 'x' in .*; stored: none"):
        store.study("x")
    store.open_study("one", {})
    store.open_study("two", {})
    with pytest.raises(StudyError, match=r"there is no study 'x' in .*; stored: 'one', 'two'"):
        store.study("x")


def test_studies_are_listed_oldest_first(storage: str) -> None:
    """The clock that is passed in orders the studies."""
    times = iter([30.0, 10.0, 20.0])
    store = Store(storage, clock=lambda: next(times))
    for name in ("c", "a", "b"):
        store.open_study(name, {})
    assert [record.study for record in store.studies()] == ["a", "b", "c"]


def test_trials_and_samples_come_back(store: Store) -> None:
    """Records of any JSON values come back equal, trials sorted, and writing them again replaces them."""
    trials = [trial(1, choices={"a": LONE}), trial(0, text="{{ x }} \r\n \N{GRINNING FACE}")]
    samples = [
        sample(1, 5, answer={"a": [1, None]}, target=["x", "y"]),
        sample(1, 2, split="test", score=None, error="timeout: 1 s"),
        sample(0, 9, answer=None, unparsed=True, score=0.0),
        sample(1, 1),
    ]
    store.save_trials("s", trials, samples)
    assert store.trials("s") == [trials[1], trials[0]]
    assert sorted(store.samples("s"), key=repr) == sorted(samples, key=repr)
    store.save_trials("s", [trial(1, state="complete")], [sample(1, 5, score=0.5)])
    assert [record.state for record in store.trials("s")] == ["running", "complete"]
    assert [record.score for record in store.samples("s") if record.row == 5] == [0.5]
    store.clear_trials("s")
    assert (store.trials("s"), store.samples("s")) == ([], [])


def test_file_is_open_to_readers_while_it_is_written(storage: str) -> None:
    """Two stores on one file see each other's commits."""
    first, second = Store(storage), Store(storage)
    key = keep(first, Response(text="yes"))
    assert second.response(key) is not None
    keep(second, Response(text="no"), request("other"))
    assert len(first.calls("s")) == 2


def test_trials_are_mirrored_to_optuna(storage: str) -> None:
    """The same file holds an Optuna study of that name, with short ids for options; a second mirror replaces it."""
    factor = Factor(name="a", kind="choice", options=("a long text " * 20, "y"))
    space = SearchSpace([factor], lambda values: ["a"])
    store = Store(storage)
    for _ in range(2):
        records = [
            trial(0, state="complete", estimate=0.75),
            trial(1, state="pruned", positions={"a": 1}, estimate=0.5),
            trial(2, state="failed"),
        ]
        store.mirror("s", space, records, "better\nby far")
    study = optuna.load_study(study_name="s", storage=storage)
    assert [mirrored.state.name for mirrored in study.trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.best_value == 0.75
    assert study.trials[1].params == {"a": "1 y"}
    assert study.trials[1].user_attrs == {"reason": "", "prompt": "s", "choices": {"a": "x"}}
    assert study.user_attrs == {"result": "better\nby far"}
    assert max(len(mirrored.params["a"]) for mirrored in study.trials) <= 30
    store.delete_study("s")
    assert optuna.get_all_study_names(storage) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_not_mirrored(url: str) -> None:
    """A store in memory has no Optuna study, and says nothing about it."""
    Store(url).mirror("s", SearchSpace([], lambda values: []), [])


# URLs


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "storage '' cannot be opened: Could not parse SQLAlchemy URL"),
        ("study.db", "storage 'study.db' cannot be opened: Could not parse .*; give an SQLAlchemy URL such as"),
        ("nosuch://x", "storage 'nosuch://x' cannot be opened: Can't load plugin"),
        ("sqlite:////nonexistent/folder/x.db", "unable to open database file; make its folder first"),
        ("mysql+pymysql://u:hunter2@h/db", r"mysql\+pymysql://u:\*\*\*@h/db' .* No module named 'pymysql'; install"),
        ("postgresql://u:hunter2@h:port/db", r"storage '\*\*\*' cannot be opened: invalid literal for int"),
        ("postgres//u:hunter2@h", r"storage '\*\*\*' cannot be opened"),
        ("mysql+pymysql://h/db?password=hunter2", "password=hidden"),
    ],
)
def test_url_that_cannot_be_opened_is_told(url: str, message: str) -> None:
    """A bad URL, a missing folder and a missing driver are one line with the remedy and without the password."""
    with pytest.raises(StorageError, match=message) as caught:
        Store(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_missing_postgres_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL without its driver says which extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"pip install 'prompt_search\[postgres\]'") as caught:
        Store("postgresql+psycopg://user:hunter2@localhost/db")
    assert "hunter2" not in str(caught.value)


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """A text file is not overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database, whatever their name may be\n" * 50)
    with pytest.raises(StorageError, match="file is not a database"):
        Store(f"sqlite:///{path}")
    assert path.read_text().startswith("these are notes")


def test_other_schema_version_is_refused(tmp_path: Path) -> None:
    """A file of another release is neither read nor changed."""
    path = tmp_path / "study.db"
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE prompt_search_about SET schema_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="has schema version 99, this release reads up to 2; use another file or"):
        Store(f"sqlite:///{path}")
