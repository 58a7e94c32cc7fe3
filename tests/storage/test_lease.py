"""Leases and claims: one owner at a time, until it ends, its process ends, or its lease expires."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import RunError, StudyError
from prompt_search.storage import schema
from prompt_search.storage.ownership import lease as module
from prompt_search.storage.ownership.lease import LEASE_S, Lease, Owner
from prompt_search.storage.store import Store
from tests.storage.examples import ELSEWHERE

HERE = Owner.here()


class Clock:
    """Seconds that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(storage: str, clock: Clock) -> Store:
    return Store(storage, clock=clock)


def killed() -> Owner:
    """A process of this machine that is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner.of(process.pid)
    assert not owner.is_gone
    process.kill()
    process.communicate()
    return owner


def test_second_owner_is_refused_and_told_who_runs_it(store: Store, clock: Clock) -> None:
    """One line with the study, the process, its machine and until when; another study is free."""
    store.take_lease("s", "a", HERE, 60)
    with pytest.raises(StudyError) as refused:
        store.take_lease("s", "b", HERE, 60)
    message = str(refused.value)
    assert message.startswith("study 's' in sqlite:///")
    assert f"is being run by process {HERE.process} on {HERE.host}, at least until 19" in message
    assert message.endswith("wait for it, end it, or give this study another name")
    assert "\n" not in message
    store.take_lease("other", "b", HERE, 60)


def test_lease_that_ended_is_free(store: Store) -> None:
    """Whoever is done leaves neither lease nor claims."""
    store.take_lease("s", "a", HERE, 60)
    assert store.claim("a", ["k"]) == {"k"}
    store.end_lease("a")
    store.take_lease("s", "b", HERE, 60)
    assert store.claim("b", ["k"]) == {"k"}
    assert not store.renew_lease("a", 60)


def test_owner_killed_on_this_machine_is_followed_at_once(store: Store) -> None:
    """The lease and the claims of a process that is gone, or of a zombie, are worth nothing."""
    store.take_lease("s", "dead", killed(), 60)
    store.claim("dead", ["k", "l"])
    store.take_lease("s", "b", HERE, 60)
    assert store.claim("b", ["k"]) == {"k"}
    assert not store.renew_lease("dead", 60)


def test_number_of_a_dead_process_that_another_one_got(store: Store) -> None:
    """A process that has the number but not the start of the owner is not the owner."""
    store.take_lease("s", "dead", dataclasses.replace(HERE, started="1.00 s"), 60)
    store.take_lease("s", "b", HERE, 60)


def test_zombie_counts_as_ended(store: Store) -> None:
    """A process that has ended but still has its number, because its parent has not asked for its exit, is gone."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = Owner.of(process.pid)
    store.take_lease("s", "dead", owner, 60)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # until it is one
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    store.take_lease("s", "b", HERE, 60)
    process.communicate()


@pytest.mark.parametrize(
    "started", [str(int(float(HERE.started[:-2]) * 100)), "", "ended"], ids=["number", "none", "ended"]
)
def test_lease_of_an_earlier_release(store: Store, clock: Clock, started: str) -> None:
    """It wrote the start of a process in another unit, and the end of a lease by the clock alone: a running owner keeps
    its lease until it expires, and one whose number is free has none."""
    store.take_lease("s", "a", dataclasses.replace(HERE, started=started), 60)
    with store.engine.begin() as connection:
        connection.execute(schema.leases.update().values(expires_here=None))
    with pytest.raises(StudyError, match="is being run by process"):
        store.take_lease("s", "b", HERE, 60)
    clock.now += 61
    store.take_lease("s", "b", HERE, 60)
    store.take_lease("other", "c", dataclasses.replace(killed(), started=started), 60)
    store.take_lease("other", "b2", HERE, 60)


def test_clock_that_is_set_leaves_the_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of a process is told from the boot on, so that setting the clock does not end anybody's lease."""
    store.take_lease("s", "a", HERE, 60)
    boot, born = psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: born + 3600)
    with pytest.raises(StudyError, match="is being run by process"):
        store.take_lease("s", "b", HERE, 60)


def test_clock_that_is_set_forward_leaves_the_lease_of_a_running_process(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two minutes by the clock are none by the seconds that the processes of a machine count alike; the claims stay as
    well. An owner that has not renewed its lease for a minute of these loses it, as one that is stopped."""
    store.take_lease("s", "a", HERE, 60)
    store.take_lease("other", "b", HERE, 600)
    assert store.claim("a", ["k"]) == {"k"}
    clock.now += 120
    with pytest.raises(StudyError, match="is being run by process"):
        store.take_lease("s", "b", HERE, 60)
    assert store.claim("b", ["k"]) == set()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert store.claim("b", ["k"]) == {"k"}
    store.take_lease("s", "c", HERE, 60)


def test_process_of_another_container_is_not_judged(store: Store) -> None:
    """Process numbers of another namespace, or of another machine of the same name, mean nothing here."""
    for part in HERE.machine.split()[1:]:
        other = dataclasses.replace(killed(), machine=HERE.machine.replace(part, "other"))
        store.take_lease(part, part, other, 60)
        with pytest.raises(StudyError, match="is being run by process"):
            store.take_lease(part, "b", HERE, 60)


def test_owner_on_another_machine_is_waited_for(store: Store, clock: Clock) -> None:
    """Its lease and claims hold until they expire; each renewal puts that off."""
    store.take_lease("s", "far", ELSEWHERE, 60)
    store.take_lease("other", "b", HERE, 600)
    assert store.claim("far", ["k"]) == {"k"}
    clock.now += 50
    assert store.renew_lease("far", 60)
    clock.now += 50
    with pytest.raises(StudyError, match="is being run by process 1 on far"):
        store.take_lease("s", "c", HERE, 60)
    assert store.claim("b", ["k", "l"]) == {"l"}
    clock.now += 11
    assert store.claim("b", ["k"]) == {"k"}
    store.take_lease("s", "c", HERE, 60)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sets(st.sampled_from("klmn"))), max_size=8))
def test_no_request_is_claimed_by_two(steps: list[tuple[str, set[str]]]) -> None:
    """Whoever claims first has it until giving it up; claiming again what one has is no claim lost."""
    store = Store("sqlite://")
    held: dict[str, set[str]] = {name: set() for name in "abc"}
    for name in "abc":
        store.take_lease(name, name, HERE, 60)
    for turn, (name, keys) in enumerate(steps):
        got = store.claim(name, keys)
        others: set[str] = set().union(*(held[other] for other in held if other != name))
        assert got == keys - others
        held[name] |= got
        if turn % 3 == 2:
            store.end_claims(name, held[name])
            held[name] = set()
    store.close()


def test_two_processes_at_once_have_one_owner(storage: str) -> None:
    """Of many that take a lease, and claim a request, at the same moment one gets it."""
    Store(storage).close()
    start = threading.Barrier(8)
    taken: list[str] = []
    claimed: list[str] = []

    def take(name: str) -> None:
        store = Store(storage)
        store.take_lease(f"own {name}", f"own {name}", HERE, 60)
        start.wait()
        if store.claim(f"own {name}", ["k"]):
            claimed.append(name)
        try:
            store.take_lease("s", name, HERE, 60)
            taken.append(name)
        except StudyError:
            pass
        store.close()

    threads = [threading.Thread(target=take, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(claimed)) == (1, 1)


class Recorded:
    """Leases that count their renewals; ``renewals`` are what they answer or raise."""

    def __init__(self, renewals: list[bool | Exception]) -> None:
        self.renewals = renewals
        self.done = threading.Event()
        self.steps: list[str] = []

    def take_lease(self, study: str, owner: str, process: Owner, seconds: float) -> None:
        assert process == HERE
        self.steps.append(f"take {study} {seconds:g}")

    def renew_lease(self, owner: str, seconds: float) -> bool:
        answer = self.renewals.pop(0)
        if not self.renewals:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end_lease(self, owner: str) -> None:
        self.steps.append("end")


def held(renewals: list[bool | Exception], monkeypatch: pytest.MonkeyPatch) -> tuple[Recorded, Lease, list[Any]]:
    monkeypatch.setattr(module, "RENEWED_S", 0.001)
    leases, told = Recorded(renewals), []
    with Lease(leases, "s", on_lost=lambda: told.append(1)) as lease:
        assert leases.done.wait(10)
        assert lease._thread is not None
        if not renewals:
            lease._ended.wait(0.05)
    return leases, lease, told


def test_lease_is_renewed_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken once, renewed, also after a storage was gone for a moment, and given up."""
    leases, lease, told = held([True, RunError("locked"), True, False], monkeypatch)
    assert leases.steps == [f"take s {LEASE_S:g}", "end"]
    assert (lease.lost, told) == (True, [1])


def test_storage_that_stays_away_loses_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """After as long as a lease lasts without a renewal somebody else may have it."""
    monkeypatch.setattr(module, "LEASE_S", 0.001)
    _, lease, told = held([RunError("gone")], monkeypatch)
    assert (lease.lost, told) == (True, [1])
