"""Requests that are looked up together, and the claims that keep two studies from sending the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from prompt_search.budget import Ledger
from prompt_search.storage.records import Found
from prompt_search.storage.store import Store

FIRST_POLL_S, MAX_POLL_S = 0.05, 1.0
"""Seconds until the first look for responses that another study has claimed, and the longest wait between two looks:
the wait doubles from the one to the other."""


@dataclass(slots=True)
class RequestBatch:
    """Some jobs' requests: what the store knows of them, and who may send those that are not answered.

    Attributes:
        found: what the store knows; responses are added to it while others give them.
        claimed: keys that this study alone may send.
        others: keys that another study has claimed, each with a future that is done once it is answered or claimed.
        watch: the task that waits for the others.
    """

    found: Found
    claimed: set[str] = field(default_factory=set)
    others: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    watch: asyncio.Task[None] | None = None


class RequestClaims:
    """Looks up requests in batches, and claims those that must be sent.

    Args:
        study: name under which the store keeps the calls.
        store: where requests are looked up and claimed.
        ledger: says when the run is over, which ends the waiting for others.
        owner: owner of the claims; None where nobody else uses the store, and nothing is claimed.
        sleep: waits between two looks for the responses of others.
    """

    def __init__(
        self,
        study: str,
        store: Store,
        ledger: Ledger,
        owner: str | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._study = study
        self._store = store
        self._ledger = ledger
        self._owner = owner
        self._sleep = sleep

    async def open(self, keys: Collection[str], is_to_send: Callable[[Found, str], bool]) -> RequestBatch:
        """A batch of requests, with those claimed that must be sent as far as what was found says."""
        batch = RequestBatch(await self._find(keys))
        missing = {key for key in keys if key not in batch.found.responses and is_to_send(batch.found, key)}
        if self._owner is not None and missing:
            await self._claim(self._owner, batch, missing)
            others = missing - batch.claimed - set(batch.found.responses)
            if others:
                loop = asyncio.get_running_loop()
                batch.others = {key: loop.create_future() for key in others}
                batch.watch = asyncio.create_task(self._watch(self._owner, batch))
        return batch

    async def close(self, batches: Sequence[RequestBatch]) -> None:
        """Stop waiting for others, and let others send what was claimed and not sent."""
        for batch in batches:
            if batch.watch is not None:
                batch.watch.cancel()
            for future in batch.others.values():
                if not future.cancel() and not future.cancelled():
                    future.exception()  # the job that would have waited for it has ended
        claimed = {key for batch in batches for key in batch.claimed}
        if self._owner is not None and claimed:
            await self._store.in_thread(self._store.end_claims, self._owner, claimed)

    async def _find(self, keys: Collection[str]) -> Found:
        return await self._store.in_thread(self._store.find, self._study, keys)

    async def _claim(self, owner: str, batch: RequestBatch, keys: Collection[str]) -> None:
        """Claim requests, and take note of those that were answered just before."""
        claimed = await self._store.in_thread(self._store.claim, owner, keys)
        batch.claimed |= claimed
        batch.found.responses.update((await self._find(claimed)).responses)

    async def _watch(self, owner: str, batch: RequestBatch) -> None:
        """Wait until others have answered what they claimed, or have given it up, so that this study may claim it."""
        wait_s = FIRST_POLL_S
        try:
            while waiting := [key for key, future in batch.others.items() if not future.done()]:
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, MAX_POLL_S)
                self._ledger.check()
                batch.found.responses.update((await self._find(waiting)).responses)
                await self._claim(owner, batch, [key for key in waiting if key not in batch.found.responses])
                for key in waiting:
                    future = batch.others[key]
                    if not future.done() and (key in batch.found.responses or key in batch.claimed):
                        future.set_result(None)
        except Exception as error:  # raised in the jobs that wait
            for future in batch.others.values():
                if not future.done():
                    future.set_exception(error)
