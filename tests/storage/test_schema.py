"""Storages of earlier releases: migrated in place, whole or not at all; those of later ones refused."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from prompt_search.budget import Budget, Spending
from prompt_search.errors import StorageError
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.storage import schema
from prompt_search.storage.records import Saved, Version
from prompt_search.storage.store import Store
from tests.storage.examples import STORED, sample, summary, trial

VERSION_1 = """
CREATE TABLE prompt_search_about (schema_version INTEGER NOT NULL);
CREATE TABLE prompt_search_calls (study VARCHAR(200) NOT NULL, "key" VARCHAR(64) NOT NULL, number INTEGER NOT NULL,
    split VARCHAR(20) NOT NULL, attempts INTEGER NOT NULL, failure TEXT, PRIMARY KEY (study, "key"));
CREATE TABLE prompt_search_openings (sealed VARCHAR(64) NOT NULL, prompt VARCHAR(64) NOT NULL,
    study VARCHAR(200) NOT NULL, opened FLOAT NOT NULL, PRIMARY KEY (sealed, prompt));
CREATE TABLE prompt_search_responses ("key" VARCHAR(64) NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL,
    PRIMARY KEY ("key"));
CREATE TABLE prompt_search_samples (study VARCHAR(200) NOT NULL, trial INTEGER NOT NULL, "row" INTEGER NOT NULL,
    split VARCHAR(20) NOT NULL, "key" VARCHAR(64) NOT NULL, record TEXT NOT NULL, PRIMARY KEY (study, trial, "row"));
CREATE TABLE prompt_search_studies (study VARCHAR(200) NOT NULL, created FLOAT NOT NULL, identity TEXT NOT NULL,
    summary TEXT, PRIMARY KEY (study));
CREATE TABLE prompt_search_trials (study VARCHAR(200) NOT NULL, trial INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (study, trial));
INSERT INTO prompt_search_about VALUES (1);
INSERT INTO prompt_search_studies VALUES ('old', 1.0, '{"seed": 0}', 'SUMMARY');
""".replace("SUMMARY", json.dumps(STORED))
"""What the first release made."""


def stored(text: str, **fields: Any) -> str:
    """A response as version 1 wrote it, which knew nothing of lost answers."""
    body = json.loads(Response(text=text, usage=Usage(prompt_tokens=30, completion_tokens=2), **fields).to_json())
    del body["lost"]
    return json.dumps(body)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of version 1 with an answered call, one found stored, and a failed one."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(VERSION_1)
        answers = [("a", "{}", stored("yes", cost_usd=0.5)), ("b", "{}", stored("no"))]
        connection.executemany("INSERT INTO prompt_search_responses VALUES (?, ?, ?)", answers)
        calls: list[tuple[object, ...]] = [("old", "a", 0, "search", 2, None), ("old", "b", 1, "search", 0, None)]
        calls += [("old", "c", 2, "test", 6, stored("", error="timeout: 1 s", attempts=6))]
        connection.executemany("INSERT INTO prompt_search_calls VALUES (?, ?, ?, ?, ?, ?)", calls)
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT schema_version FROM prompt_search_about").fetchone()[0])


def test_version_1_is_migrated_in_place(old: Path) -> None:
    """Calls come with what they counted, as the responses tell; studies go on, and new rows stand beside old ones."""
    store = Store(f"sqlite:///{old}")
    assert version(old) == schema.SCHEMA_VERSION == 8
    calls = store.calls("old")
    assert [(c.key, c.attempts, c.tokens, c.usd, c.role, c.budget) for c in calls.values()] == [
        ("a", 2, 32, 0.5, "task", 0),
        ("b", 0, 32, None, "task", 0),
        ("c", 6, 32, 0.0, "task", 0),
    ]
    assert store.study("old").summary == summary()
    assert store.open_budget("old", Budget(calls=20)).paid == Spending(calls=8, tokens=64, usd=0.5)
    asked = Request(endpoint="e", model="m", messages=(Message("user", "hi"),))
    asyncio.run(
        store.save_call(
            Saved(
                study="old", key=asked.key, request=asked, response=Response(text="new"), split="search", number=3,
                paid=True, spending=Spending(calls=1, tokens=5, usd=0.25), role="judge",
            )
        )
    )  # fmt: skip
    assert (store.calls("old")[asked.key].tokens, store.calls("old")[asked.key].role) == (5, "judge")
    store.close()
    again = Store(f"sqlite:///{old}")
    assert len(again.calls("old")) == 4
    again.close()


def test_migrated_tables_are_those_of_a_new_storage(old: Path, tmp_path: Path) -> None:
    """Old and new storages have the same tables and columns."""

    def columns(path: Path) -> dict[str, list[tuple[str, str, bool]]]:
        store = Store(f"sqlite:///{path}")
        inspector = sql.inspect(store.engine)
        found = {
            table: [(c["name"], str(c["type"]), bool(c["nullable"])) for c in inspector.get_columns(table)]
            for table in inspector.get_table_names()
        }
        store.close()
        return found

    assert columns(old) == columns(tmp_path / "new.db")


def test_migration_that_fails_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, or a kill, in the middle leaves version 1 as it was."""

    def fails(text: Any) -> dict[str, object]:
        raise ValueError("no such thing")

    def dump() -> list[str]:
        with closing(sqlite3.connect(old)) as connection:
            return list(connection.iterdump())

    before = dump()
    monkeypatch.setattr(schema, "_used", fails)
    with pytest.raises(StorageError, match="no such thing"):
        Store(f"sqlite:///{old}")
    assert dump() == before
    monkeypatch.undo()
    Store(f"sqlite:///{old}").close()
    assert version(old) == schema.SCHEMA_VERSION


def test_results_of_version_3_are_the_first_versions(old: Path) -> None:
    """Trials and scored rows of earlier releases are read as before, and a study that goes on adds a version."""
    with closing(sqlite3.connect(old)) as connection, connection:
        record = json.dumps(dataclasses.asdict(trial(3)))
        connection.execute("INSERT INTO prompt_search_trials VALUES ('old', 3, ?)", [record])
        record = json.dumps(dataclasses.asdict(sample(3, 7)))
        connection.execute("INSERT INTO prompt_search_samples VALUES ('old', 3, 7, 'search', 'a', ?)", [record])
        connection.execute("INSERT INTO prompt_search_studies VALUES ('damaged', 2.0, '{}', '{')")
        connection.execute("INSERT INTO prompt_search_studies VALUES ('running', 3.0, '{}', NULL)")
    store = Store(f"sqlite:///{old}")
    first = Version(study="old")
    assert (store.trials(first), store.samples(first)) == ([trial(3)], [sample(3, 7)])
    assert store.study("old").summary == summary()
    assert store.finished_version("old", {"budget": {"calls": 60}, "test": True}) == first
    assert store.open_version("old", {}).number == 2
    assert store.open_version("running", {}).number == 1
    with pytest.raises(StorageError, match=r"^the summary of study 'damaged' cannot be read: "):
        store.study("damaged")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"usage": 1, "error": null, "cost_usd": null}', "3"])
def test_broken_response_does_not_keep_an_old_storage_closed(old: Path, text: str) -> None:
    """What a broken response used is unknown; other studies can be read, and its own says what is wrong."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE prompt_search_responses SET response = ? WHERE key = 'a'", [text])
        connection.execute("INSERT INTO prompt_search_calls VALUES ('old', 'gone', 3, 'search', 1, NULL)")
        connection.execute("INSERT INTO prompt_search_calls VALUES ('other', 'b', 0, 'search', 1, NULL)")
    store = Store(f"sqlite:///{old}")
    assert [(call.key, call.tokens) for call in store.calls("other").values()] == [("b", 32)]
    with pytest.raises(
        StorageError, match=r"^the response 'a' cannot be read: .*; restore the storage, or use another"
    ):
        store.calls("old")


def test_later_version_is_refused_and_left_alone(old: Path) -> None:
    """A file of a later release is neither read nor changed."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE prompt_search_about SET schema_version = 9")
    with pytest.raises(StorageError, match="has schema version 9, this release reads up to 8; use another file or"):
        Store(f"sqlite:///{old}")
    assert version(old) == 9
    with closing(sqlite3.connect(old)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
    assert tables == (7,)
