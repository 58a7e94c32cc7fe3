"""A database that is locked, away, full, read-only or damaged: waited for with a word, or named in one line."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from prompt_search.budget import Budget, Spending
from prompt_search.errors import RunError, StorageError
from prompt_search.llm.messages import Response
from prompt_search.storage import database, faults
from prompt_search.storage.faults import BEGIN_ANEW, Patience, StorageFault, fault
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.records import Sent
from prompt_search.storage.store import Store, open_to_read
from tests.storage.examples import keep, request


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Waits that are told and end within parts of a second."""
    monkeypatch.setattr(faults, "TOLD_AFTER_S", 0.02)
    monkeypatch.setattr(faults, "RETRY_S", 0.001)
    return monkeypatch


class Driver(Exception):
    """An error of a driver with its code."""

    def __init__(self, message: str, **codes: Any) -> None:
        super().__init__(message)
        vars(self).update(codes)


def told(message: str, **codes: Any) -> StorageFault:
    """What becomes of such an error."""
    return fault("s.db", "written", sql.exc.OperationalError("INSERT", {}, Driver(message, **codes)))


def test_wait_is_told_once_and_so_is_its_end(quick: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A lock that passes costs a line with the limit of the wait, and one when it is over."""
    left = [told("database is locked", sqlite_errorcode=5)] * 60

    def write() -> str:
        if left:
            raise left.pop()
        return "written"

    assert Patience("s.db").call(write) == "written"
    assert caplog.messages == [
        "storage 's.db': database is locked; waiting for it, up to 30 s",
        "storage 's.db' is there again",
    ]


def test_wait_ends(quick: pytest.MonkeyPatch) -> None:
    """Who waited in vain says for how long, and no other thread waits for the same after that."""
    quick.setattr(faults, "LONGEST_WAIT_S", 0.6)
    patience, tries = Patience("s.db"), []

    def write() -> None:
        tries.append(1)
        raise told("database is locked", sqlite_errorcode=5)

    for _ in range(2):
        with pytest.raises(StorageFault) as ended:
            patience.call(write)
        before = len(tries)
    assert len(tries) == before
    assert str(ended.value) == (
        "storage 's.db' cannot be written: database is locked (waited for 1 s); end the program that holds the lock, "
        "then run the same line again, which goes on where it was stored"
    )


@pytest.mark.parametrize(
    ("error", "remedy", "passes"),
    [
        (told("attempt to write a readonly database", sqlite_errorcode=8), "make the file and its folder", False),
        (told("disk I/O error", sqlite_errorcode=778), "see that the disk works and can be written", False),
        (told("database or disk is full", sqlite_errorcode=13), "free disk space, then run the same line", False),
        (told("database disk image is malformed", sqlite_errorcode=11), BEGIN_ANEW, False),
        (told("no such table: prompt_search_calls", sqlite_errorcode=1), BEGIN_ANEW, False),
        (told("could not extend file", sqlstate="53100"), "free disk space, then run the same line again", False),
        (told("cannot execute INSERT", sqlstate="25006"), "make the database writable, then run", False),
        (told("invalid page in block 0", sqlstate="XX001"), BEGIN_ANEW, False),
        (told('database "d" does not exist'), BEGIN_ANEW, False),
        (told("connection failed"), "start the database or restore the connection, then run the same", True),
        (told("terminating connection", sqlstate="57P01"), "start the database or restore the", True),
        (told("lock timeout", sqlstate="55P03"), "end the session that holds the lock, then run", True),
        (told("password authentication failed"), "put that right, then run the same line again", False),
    ],
)
def test_fault_has_its_cure(error: StorageFault, remedy: str, passes: bool) -> None:
    """Each kind of fault says what to do, and only what may pass by itself is waited for."""
    assert f"; {remedy}" in str(error)
    assert error.passes == passes


def test_lock_of_another_process_is_waited_for(
    storage: str, quick: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A writer that holds SQLite's lock for a moment delays a response, which is stored afterwards."""
    with closing(Store(storage)) as store:
        other = sqlite3.connect(str(store.url.database), isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.close)
        release.start()
        key = keep(store, Response(text="yes"))
        release.join()
        assert store.response(key) is not None
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("table", ["prompt_search_calls", "prompt_search_about"])
def test_storage_without_one_of_its_tables_is_refused(tmp_path: Path, table: str) -> None:
    """It is not made again, empty, so that everything would be paid for a second time."""
    path = tmp_path / "study.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE {table}")
    with pytest.raises(StorageError) as refused:
        Store(path)
    others = ", but others are there" if table.endswith("about") else ""
    assert str(refused.value) == (
        f"storage 'sqlite:///{path}' cannot be opened: no such table: {table}{others}; {BEGIN_ANEW}"
    )


@pytest.mark.parametrize("what", ["file", "folder"])
def test_file_that_cannot_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A storage on a read-only disk, or in a folder of somebody else, is read without a file beside it; writing is one
    line."""
    path = tmp_path / "study.db"
    with closing(Store(path)) as store:
        key = keep(store, Response(text="yes"))
    access: Callable[..., bool] = os.access
    fixed = path if what == "file" else tmp_path
    monkeypatch.setattr(os, "access", lambda at, mode: at != fixed and access(at, mode))
    with closing(open_to_read(path)) as store:
        assert store.response(key) is not None
        assert database.holds_studies(path) is False
        with pytest.raises(
            StorageFault, match=r"cannot be written: attempt to write a readonly database; make the file"
        ):
            store.open_study("s", {})
        assert [each.name for each in tmp_path.iterdir()] == ["study.db"]


def test_call_that_is_written_twice_counts_once(storage: str) -> None:
    """A connection may be lost when a transaction was committed, so that it is repeated: attempts are not added up."""
    with closing(Store(storage)) as store:
        for _ in range(2):
            key = keep(store, Response(text="yes", attempts=2), number=7)
        assert store.calls("s")[key].attempts == 2


def test_what_was_sent_and_not_stored_is_counted_by_the_next_owner(storage: str) -> None:
    """A request that was sent is lost if its process ended before the answer was stored; what was stored, or refused,
    is not. Sent and lost once more, it counts twice."""
    asked = [request(str(number)) for number in range(3)]
    with closing(Store(storage)) as store:
        for owner in "ab":
            store.take_lease("s", owner, Owner.here(), 60)
            for each in asked:
                most = Spending(calls=2, tokens=30, usd=0.5)
                asyncio.run(store.responses.save_sent(Sent(study="s", key=each.key, owner=owner, budget=0, most=most)))
            keep(store, Response(text="yes"), asked[0], number=ord(owner))
            store.responses.drop_sent("s", asked[1].key)
            store.end_lease(owner)
        assert store.responses.lost("s") == Spending(calls=2, tokens=30, usd=0.5)
        store.take_lease("s", "c", Owner.here(), 60)
        assert store.responses.lost("s") == Spending(calls=4, tokens=60, usd=1.0)
        assert store.responses.lost("other") == Spending()


def test_what_was_sent_before_a_takeover_counts_against_the_budget(storage: str) -> None:
    """An owner that was taken over may go on: what it has sent is paid, it sends nothing more, and an answer that it
    still gets is stored."""
    asked = [request(str(number)) for number in range(3)]
    most = Spending(calls=1, tokens=30, usd=0.5)
    with closing(Store(storage)) as store:
        store.open_study("s", {})
        store.take_lease("s", "late", Owner.here(), -1)
        for each in asked[:2]:
            asyncio.run(store.responses.save_sent(Sent(study="s", key=each.key, owner="late", budget=0, most=most)))
        store.take_lease("s", "new", Owner.here(), 60)
        assert store.open_budget("s", Budget(calls=10)).paid == most.times(2)
        assert store.responses.lost("s") == Spending()

        with pytest.raises(RunError, match="study 's' was taken over by another process"):
            asyncio.run(store.responses.save_sent(Sent(study="s", key=asked[2].key, owner="late", budget=0, most=most)))
        keep(store, Response(text="yes"), asked[0])
        assert set(store.calls("s")) == {asked[0].key}
        assert store.open_budget("s", Budget(calls=10)).paid.calls == 3  # one of them twice at most
