"""Sends what is asked at one time as one batch, and alone what a batch leaves out."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final

from prompt_search.errors import BudgetExceeded, PromptSearchError, RequestRefused, RunError
from prompt_search.evaluation.batches.open_batch import Ended, OpenBatch
from prompt_search.evaluation.batches.reservations import Reservations
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.batches.api import BatchApi
from prompt_search.llm.batches.lines import MISSING, Row, input_files, input_line
from prompt_search.llm.client import Client
from prompt_search.llm.dialect.dialect import Dialects
from prompt_search.llm.messages import Request, Response
from prompt_search.llm.response_parsing import AttemptError, ResponseParser
from prompt_search.storage.records import BatchRecord

QUIET_S: Final = 0.1
"""Seconds without a further request after which those that came are sent."""

FEWEST_ROWS: Final = 4
"""Number of requests below which they are not worth the wait for a batch, and are sent alone."""

EARLY_S: Final = 0.05
"""Seconds by which a timer may be early."""

MOST_REFUSED: Final = 2
"""Number of batches in a row of which the server takes nothing, after which the run ends: it would go on at the full
price."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request that waits for its batch, and the row that will come of it."""

    request: Request
    key: str
    row: asyncio.Future[Row] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    batch: OpenBatch | None = None


class BatchSender:
    """Sends requests to one model in batches. It is a `prompt_search.evaluation.responder.Completer`.

    Requests wait until no further one comes and none is on its way alone, and are then sent as one batch. These are
    sent alone, at the full price: a request with a feature that the server has not accepted yet, so that a wrong
    parameter shows at once; fewer than `FEWEST_ROWS` requests; and whatever a batch leaves out.

    A request that is in a batch of an earlier run waits for that one, also where ``settings.batch`` is off: it is paid
    for.

    Args:
        client: sends single requests, with ``reservations.attempt`` before every attempt.
        reservations: what requests have taken from the budget.
        settings: of the evaluator.
        dialects: what is known of the servers.
        on_change: called when it is known better where the batches stand.
        sleep: waits between two looks at a batch, and for requests to come.
        clock: seconds since 1970.

    Use as ``async with``.
    """

    def __init__(
        self,
        client: Client,
        reservations: Reservations,
        settings: EvaluationSettings,
        dialects: Dialects,
        on_change: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._model = client.model
        self._endpoint = client.model.endpoint
        self._reservations = reservations
        self._settings = settings
        self._store = settings.store
        self._ledger = settings.ledger
        self._dialects = dialects
        self._on_change = on_change
        self._sleep = sleep
        self._clock = clock
        self._api = BatchApi(client.model, sleep=sleep, seed=settings.seed)
        self._parser = ResponseParser(client.model, self._endpoint, 0.0)
        self._known: set[str] = set()
        """Keys of the requests in batches of earlier runs, as far as they are known."""
        self._told: set[str] = set()
        """Keys of the requests of which a batch has said what came of them."""
        self._asked: set[_Waiting] = set()
        """All requests that wait for a batch, or to be sent."""
        self._queue: list[_Waiting] = []
        self._alone = 0
        """Number of requests that are on their way alone."""
        self._refused = 0
        """Number of batches in a row of which the server took nothing."""
        self._open: dict[str, OpenBatch] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        """By the name of their batch."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.Task[None] | None = None

    async def __aenter__(self) -> BatchSender:
        await self._api.__aenter__()
        self._known = {key for record in await self._records() for key in record.keys}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if kind is None:  # else an answer may not be stored
            await self._forget_stored()
        await self._api.__aexit__()

    async def _records(self) -> list[BatchRecord]:
        return await self._store.in_thread(self._store.batches.open, self._endpoint, self._model.name)

    async def _forget_stored(self) -> None:
        """Forget the batches all of whose answers are stored, or which left out what is not."""
        for record in await self._records():
            left = set(record.keys) - self._told
            stored = (await self._store.in_thread(self._store.find, self._settings.study, left)) if left else None
            if stored is None or left <= {*stored.responses, *stored.calls}:
                await self._store.in_thread(self._store.batches.end, record.name)

    @property
    def told(self) -> list[str]:
        """The batches that are open, each in a few words."""
        return [batch.told for batch in self._open.values()]

    def end(self) -> None:
        """Leave what is open to the next run."""
        for task in self._tasks:
            task.cancel()
        for each in self._asked:
            _set(each, self._left(each))

    def _left(self, waiting: _Waiting) -> PromptSearchError:
        """The error of a request whose answer will not be waited for."""
        seconds, stopped = self._ledger.budget.seconds, self._ledger.stopped
        if stopped is not None or waiting.batch is None or seconds is None:
            return BudgetExceeded(f"the run was stopped: {stopped or 'it has ended'}")
        return RunError(
            f"the budget of {seconds:g} seconds is used up, and {waiting.batch.told} is open; the next run collects "
            "its answers"
        )

    @property
    def _is_over(self) -> bool:
        """Whether the time of the budget has ended."""
        left = self._ledger.remaining_s
        return left is not None and left < EARLY_S

    async def complete(self, request: Request) -> Response:
        """The response to a request, by a batch or alone.

        Raises:
            BudgetExceeded: there is no room for it, or it is not waited for any more.
            RunError: the server takes no batches, refuses the request for good, or cannot be reached; or the time of
                the budget ended while its batch was open.
        """
        key = request.key
        if not self._settings.batch and key not in self._known:
            return await self._client.complete(request)
        await self._reservations.keep(request)
        waiting = _Waiting(request, key)
        self._asked.add(waiting)
        try:
            self._queue.append(waiting)
            self._gather()
            return await self._answered(request, await waiting.row)
        except asyncio.CancelledError:
            if self._is_over:  # the request would count as one whose answer was lost
                raise self._left(waiting) from None
            raise
        finally:
            self._asked.discard(waiting)
            self._reservations.attempted(request)

    async def _answered(self, request: Request, row: Row) -> Response:
        """The response to a request, which is sent alone where its batch has no answer to it."""
        if row == MISSING:
            return await self._sent_alone(request)
        self._reservations.attempted(request)
        try:
            if row.reply is None:
                raise AttemptError("server", f"a batch of {self._endpoint} failed with it: {row.failed_with}")
            response = self._parser.parse(row.reply, request)
        except AttemptError as error:
            try:
                response = await self._sent_alone(request)
            except BudgetExceeded as exceeded:
                return self._parser.error(f"budget: {exceeded}; the last attempt: {error}")
            return replace(response, attempts=response.attempts + 1)
        discount = self._model.batch_discount
        return replace(response, cost_usd=response.cost_usd * (1 - discount), batch_discount=discount)

    async def _sent_alone(self, request: Request) -> Response:
        self._alone += 1
        try:
            return await self._client.complete(request)
        finally:
            self._alone -= 1

    # Requests are gathered

    def _gather(self) -> None:
        if self._gathering is None or self._gathering.done():
            self._gathering = self._start(self._gathered())

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _gathered(self) -> None:
        """Send the requests that wait, whenever no further ones come."""
        while self._queue:
            before = -1
            # An attempt that waits for room in the budget waits for what is in the queue.
            while self._alone > self._reservations.waiting or before != len(self._queue):
                before = len(self._queue)
                await asyncio.sleep(QUIET_S)
            group, self._queue = self._queue, []
            try:
                await self._send(group)
            except Exception as error:
                for each in group:
                    _set(each, error)

    async def _send(self, group: Sequence[_Waiting]) -> None:
        """Send requests: those that are in a batch already wait for it."""
        group = await self._joined([each for each in group if not each.row.done()])
        of_model = self._dialects.of(self._endpoint, self._model.name)
        new = [each for each in group if not of_model.is_tried(each.request)]
        rest = [each for each in group if of_model.is_tried(each.request)]
        if new:
            _leave_out(new)
            self._queue = [*rest, *self._queue]  # with those that wait for what comes of the new ones
            return
        if not self._settings.batch or len(rest) < FEWEST_ROWS:
            _leave_out(rest)
            return
        by_key = {each.key: each for each in rest}
        for lines in input_files([(key, input_line(key, each.request)) for key, each in by_key.items()]):
            record = BatchRecord(
                name=uuid.uuid4().hex,
                study=self._settings.study,
                endpoint=self._endpoint,
                model=self._model.name,
                created=self._clock(),
                keys=tuple(lines),
            )
            batch = self._opened(record)
            self._wait(batch, [by_key[key] for key in lines])
            try:
                await batch.send(lines, self._settings.owner)
            except Exception:
                self._closed(batch)
                raise
            self._start(self._collected(batch))

    async def _joined(self, group: Sequence[_Waiting]) -> list[_Waiting]:
        """The requests that are in no open batch; the others wait for theirs."""
        left = {each.key: each for each in group}
        for record in await self._records():
            found = [key for key in record.keys if key in left and key not in self._told]
            if not found:
                continue
            batch = self._open.get(record.name)
            is_new = batch is None
            batch = batch or self._opened(record)
            if is_new and not await batch.find():
                self._closed(batch)
                continue
            self._wait(batch, [left.pop(key) for key in found])
            if is_new:
                self._start(self._collected(batch))
        return list(left.values())

    # Batches are waited for

    def _opened(self, record: BatchRecord) -> OpenBatch:
        batch = OpenBatch(record, self._api, self._store, self._changed, self._sleep)
        self._open[record.name] = batch
        self._waiting[record.name] = []
        return batch

    def _wait(self, batch: OpenBatch, group: Collection[_Waiting]) -> None:
        self._waiting[batch.record.name] += group
        for each in group:
            each.batch = batch

    def _closed(self, batch: OpenBatch) -> list[_Waiting]:
        """The requests that wait for a batch, which does not keep them any more."""
        self._open.pop(batch.record.name, None)
        self._changed()
        return self._waiting.pop(batch.record.name, [])

    def _changed(self) -> None:
        """Say that it is known better where the batches stand; an error of whoever hears it is that of all requests
        that wait, which ends the run and leaves the batches to the next one."""
        try:
            self._on_change()
        except Exception as error:
            for each in self._asked:
                _set(each, error)

    async def _collected(self, batch: OpenBatch) -> None:
        """Wait for a batch, and give its rows to the requests that wait for them."""
        try:
            ended = await batch.ended()
            self._check(ended, batch)
        except Exception as error:
            for each in self._closed(batch):
                _set(each, error)
            return
        for each in self._closed(batch):
            self._told.add(each.key)
            if not each.row.done():
                each.row.set_result(ended.rows.get(each.key, MISSING))

    def _check(self, ended: Ended, batch: OpenBatch) -> None:
        """End the run where the server takes nothing of one batch after the other.

        Raises:
            RequestRefused: it does.
        """
        self._refused = self._refused + 1 if ended.problem else 0
        if self._refused >= MOST_REFUSED:
            raise RequestRefused(
                f"{self._endpoint} refused {self._refused} batches in a row, the last ({batch.told}) with: "
                f"{ended.problem}; fix the cause, or leave out batch=True (--batch), which sends requests one by one "
                "at the full price"
            )


def _leave_out(group: Collection[_Waiting]) -> None:
    """Have requests sent alone."""
    for each in group:
        if not each.row.done():
            each.row.set_result(MISSING)


def _set(waiting: _Waiting, error: BaseException) -> None:
    if not waiting.row.done():  # it was cancelled
        waiting.row.set_exception(error)
