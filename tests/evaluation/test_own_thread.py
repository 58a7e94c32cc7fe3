"""A coroutine on an event loop in a thread of its own."""

from __future__ import annotations

import _thread
import asyncio
import threading
import time

import pytest

from prompt_search.errors import InputError
from prompt_search.evaluation.own_thread import in_own_thread


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


def test_second_interrupt_cancels_the_work() -> None:
    """Work that does not end after the first Ctrl-C is cancelled by the second one, and none of it goes on."""
    cancelled = threading.Event()

    async def work() -> None:
        _thread.interrupt_main()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_own_thread(work, threading.Timer(0.1, _thread.interrupt_main).start)
    assert cancelled.is_set()
    assert time.monotonic() - start < 30
