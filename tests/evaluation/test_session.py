"""What every run of requests has."""

from __future__ import annotations

import _thread
import asyncio
import threading
from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.errors import InputError, StudyError
from prompt_search.evaluation.session import check_priced, in_own_thread, opened


def test_work_has_a_loop_of_its_own() -> None:
    """Also where the caller's thread has a running one, as a notebook's has; the value comes back."""

    async def work() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    async def notebook() -> str:
        return in_own_thread(work, lambda: None)

    assert asyncio.run(notebook()) == "prompt_search"


def test_failure_reaches_the_caller() -> None:
    """What the work raises is raised where it is waited for."""

    async def work() -> None:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        in_own_thread(work, lambda: None)


def test_interrupt_lets_the_work_end() -> None:
    """The first Ctrl-C asks the work to stop, waits for it, and is raised then."""
    stop, done = threading.Event(), []

    async def work() -> None:
        _thread.interrupt_main()  # while the thread is being started, or later
        while not stop.is_set():
            await asyncio.sleep(0.01)
        done.append("saved")

    with pytest.raises(KeyboardInterrupt):
        in_own_thread(work, stop.set)
    assert done == ["saved"]


def test_shared_storage_has_a_lease(tmp_path: Path) -> None:
    """One run of a name at a time in a file; what is in memory is nobody else's."""
    url = f"sqlite:///{tmp_path}/a.db"
    with opened(url, "name") as (store, lease):
        assert lease is not None
        with pytest.raises(StudyError, match="name"), opened(url, "name"):
            pass
    store.close()
    with opened(None, "name") as (store, lease):
        assert lease is None
    store.close()


def test_unknown_price_is_told() -> None:
    """A budget in dollars needs one."""
    check_priced(ps.Budget(usd=1), ps.Model("x", price=ps.Price(prompt=1, completion=1)))
    check_priced(ps.Budget(calls=1), ps.Model("x"))
    with pytest.raises(InputError, match="cannot be kept, because the price of x is unknown"):
        check_priced(ps.Budget(usd=1), ps.Model("x"))
