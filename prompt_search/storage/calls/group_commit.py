"""One writer for a database: values that many tasks save at the same time are committed together."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_AT_ONCE = 1_000
"""Largest number of items in one transaction."""


class Writer(Generic[T]):
    """Commits in groups, in the order of `save`, on a thread of its own: an event loop never waits for a disk.

    While one group is being committed the next one gathers, so that the busier a run the larger the groups
    ("group commit"; DeWitt et al. 1984, Implementation Techniques for Main Memory Database Systems).

    Args:
        commit: writes items in one transaction; its exception is raised by the `save` of each of them.
    """

    def __init__(self, commit: Callable[[Sequence[T]], None]) -> None:
        self._commit = commit
        self._waiting: queue.SimpleQueue[_Item[T] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def save(self, value: T) -> None:
        """Return once the value is committed.

        Raises:
            RuntimeError: the writer is closed.
        """
        loop = asyncio.get_running_loop()
        item = _Item(value, loop, loop.create_future())
        with self._lock:
            if self._closed:
                raise RuntimeError("the writer is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="prompt_search writer", daemon=True)
                self._thread.start()
            self._waiting.put(item)
        await item.done

    def close(self) -> None:
        """Commit the values that wait, and end the thread."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._waiting.put(None)
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            items, last = [first], False
            while not last and len(items) < MOST_AT_ONCE and not self._waiting.empty():
                item = self._waiting.get()
                if item is None:
                    last = True
                else:
                    items.append(item)
            failure: Exception | None = None
            try:
                self._commit([item.value for item in items])
            except Exception as error:  # raised by each `save`
                failure = error
            for loop in {item.loop for item in items}:
                done = [item.done for item in items if item.loop is loop]
                if not loop.is_closed():  # it is after a run was interrupted twice: nobody waits any more
                    loop.call_soon_threadsafe(_resolve, done, failure)
            if last:
                return


class _Item(Generic[T]):
    __slots__ = ("done", "loop", "value")

    def __init__(self, value: T, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        self.value = value
        self.loop = loop
        self.done = done


def _resolve(futures: Sequence[asyncio.Future[None]], failure: Exception | None) -> None:
    for future in futures:
        if future.done():  # cancelled
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
