"""A coroutine on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

CANCEL_TIMEOUT_S = 3.0
"""Seconds that a run has to end after it was interrupted twice."""

CHECK_INTERVAL_S = 0.2
"""Seconds between two looks at whether the work has ended; in between a Ctrl-C is noticed."""


def in_own_thread(work: Callable[[], Coroutine[Any, Any, T]], on_interrupt: Callable[[], None]) -> T:
    """Run a coroutine on an event loop in a thread of its own, because a notebook's thread has a running loop already.

    The first Ctrl-C calls ``on_interrupt`` and waits for the work to end, a second one cancels it.
    """
    thread = _Thread(work)
    try:
        thread.wait()
    except KeyboardInterrupt:
        on_interrupt()
        try:
            thread.wait()
        except KeyboardInterrupt:
            thread.cancel()
            raise
        if thread.error is None:
            raise
    return thread.result()


class _Thread(Generic[T]):
    """The thread, and the outcome of its work."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.error: BaseException | None = None
        self._work = work
        self._result: T
        self._cancel: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._run, name="prompt_search", daemon=True)
        # Not Thread.join: interrupted, it takes a running thread for one that has ended (CPython before 3.13).
        self._ended = threading.Event()

    def wait(self) -> None:
        """Return when the work has ended; start it if it has not begun."""
        if self._thread.ident is None:
            self._thread.start()
        while not self._ended.wait(CHECK_INTERVAL_S):
            pass

    def cancel(self) -> None:
        """Cancel the work, and give it a moment to end."""
        if self._cancel is not None and not self._ended.is_set():
            self._cancel()
            self._ended.wait(CANCEL_TIMEOUT_S)

    def result(self) -> T:
        """The value of the work that has ended, or its error, raised."""
        if self.error is not None:
            raise self.error
        return self._result

    def _run(self) -> None:
        try:
            self._result = asyncio.run(self._main())
        except BaseException as error:  # raised by `result` in the thread that waits
            self.error = error
        finally:
            self._ended.set()

    async def _main(self) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        return await self._work()
