"""The life of one batch: written down, sent, waited for, read. Every step can be resumed by another process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from prompt_search._numbers import counted
from prompt_search.llm.batches.api import BatchApi, BatchState, NoBatches
from prompt_search.llm.batches.lines import Row
from prompt_search.storage.records import BatchRecord
from prompt_search.storage.store import Store

FIRST_LOOK_S: Final = 1.0
LONGEST_LOOK_S: Final = 60.0
GROWTH: Final = 1.5
"""Seconds between the first two looks at a batch and between any two, and the factor from one wait to the next."""

LISTED_S: Final = (1.0, 2.0, 4.0)
"""Seconds to wait before the list of batches is read again in which one is missing that may just have been made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What came of a batch.

    Attributes:
        rows: what it says of each request, by key.
        state: where it ended; None where the server does not know it any more.
    """

    rows: Mapping[str, Row]
    state: BatchState | None

    @property
    def problem(self) -> str:
        """Why nothing was begun, where the server refused the whole batch; else ""."""
        if self.state is None or self.state.status != "failed":
            return ""
        return self.state.problem or "the server does not say why"


class OpenBatch:
    """One batch, and its record in the storage.

    Args:
        record: its record, written or not.
        api: the server.
        store: the storage.
        on_change: called when it is known better where the batch stands.
        sleep: waits between two looks at the batch.
    """

    def __init__(
        self,
        record: BatchRecord,
        api: BatchApi,
        store: Store,
        on_change: Callable[[], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.record = record
        self._api = api
        self._store = store
        self._on_change = on_change
        self._sleep = sleep
        self._state: BatchState | None = None

    @property
    def told(self) -> str:
        """The batch in a few words.

        >>> record = BatchRecord(name="a", study="s", endpoint="e", model="m", created=0.0, keys=("k", "l"))
        >>> OpenBatch(record, None, None, print).told
        'a batch of 2 requests (not sent yet)'
        """
        rows = counted(len(self.record.keys), "request")
        if self._state is None:
            return f"a batch of {rows} ({'open' if self.record.batch else 'not sent yet'})"
        status = self._state.status.replace("_", " ")
        return f"batch {self._state.id} of {rows} ({status}, {self._state.answered:,} answered)"

    async def send(self, lines: Mapping[str, bytes], owner: str | None) -> None:
        """Send the requests: the record, then the file, then the batch, each written down before the next.

        Raises:
            RunError: the server takes no batches or cannot be reached, or another process has taken the study over.
        """
        store, name = self._store, self.record.name
        await store.in_thread(store.batches.begin, self.record, owner)
        try:
            file = await self._api.upload(name, b"".join(lines.values()))
            self.record = replace(self.record, file=file)
            await store.in_thread(lambda: store.batches.sent(name, file=file))
            await self._begun(await self._api.create(file, self.record.created))
        except NoBatches:
            await store.in_thread(store.batches.end, name)
            raise

    async def find(self) -> bool:
        """Whether the batch of a record is at the server; a record without one is deleted.

        A process that ends right after the batch was made has not written down what it is called: it is found by its
        input file, which was.
        """
        if self.record.batch is not None:
            return True
        if self.record.file is not None:
            for wait_s in (0.0, *LISTED_S):
                if wait_s:
                    await self._sleep(wait_s)
                found = await self._api.find(self.record.file, self.record.created)
                if found is not None:
                    await self._begun(found)
                    return True
        await self._store.in_thread(self._store.batches.end, self.record.name)
        return False

    async def _begun(self, state: BatchState) -> None:
        name = self.record.name
        self.record = replace(self.record, batch=state.id)
        await self._store.in_thread(lambda: self._store.batches.sent(name, batch=state.id))
        self._know(state)

    def _know(self, state: BatchState) -> None:
        self._state = state
        self._on_change()

    async def ended(self) -> Ended:
        """What came of the batch, once it has ended: the server is asked at growing intervals, and as late as it wants.

        Raises:
            RunError: the server refuses to say, or cannot be reached for an hour.
        """
        assert self.record.batch is not None
        wait_s = FIRST_LOOK_S
        while True:
            state = await self._api.state(self.record.batch)
            if state is None:
                return Ended(rows={}, state=None)
            self._know(state)
            if state.has_ended:
                return Ended(rows=await self._api.rows(state), state=state)
            await self._sleep(max(wait_s, state.retry_after_s or 0.0))
            wait_s = min(GROWTH * wait_s, LONGEST_LOOK_S)
