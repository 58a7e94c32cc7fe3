"""The coordinator: keeps track of a cluster's workers, and gives each attempt to the worker that is least busy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from prompt_search.errors import InputError, RunError, ServerUnreachable
from prompt_search.llm.dask_executor.worker import Parcel, attempt, check_import, close_transport, open_transport
from prompt_search.llm.model import Model
from prompt_search.llm.transport import HttpReply

if TYPE_CHECKING:
    import distributed

GATHERED_S: Final = 0.003
"""Seconds for which attempts are gathered that are sent to a worker in one message: one message for each attempt costs
Dask's scheduler 1.6 times as much."""

UPDATE_EVERY_S: Final = 1.0
"""Seconds between two updates of the list of workers."""

SCHEDULER_TIMEOUT_S: Final = 10.0
"""Seconds in which the scheduler must answer."""

SCHEDULER_PATIENCE_S: Final = 600.0
"""Seconds for which a scheduler that has answered before may be unreachable; then the run ends."""

SETUP_TIMEOUT_S: Final = 60.0
"""Seconds that a new worker may take to import this package and open its connections."""

GRACE_S: Final = 30.0
"""Seconds beyond the request's own timeout after which an attempt counts as lost: the time of its messages."""

_log = logging.getLogger("prompt_search")


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker as the coordinator sees it. The future ``gone`` is done once the scheduler has lost the worker."""

    address: str
    gone: asyncio.Future[None]
    takes_more: bool = True
    in_flight: int = 0


@dataclass(eq=False, slots=True)
class _Waiting:
    """An attempt that no worker has got yet."""

    body: Mapping[str, Any]
    reply: asyncio.Future[HttpReply]


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A Dask scheduler: its address, the name under which its dashboard shows the attempts, and a
    ``distributed.Security`` where it wants one."""

    address: str
    label: str
    security: Any = field(default=None, repr=False)

    async def connect(self) -> distributed.Client:
        """A connection of this event loop.

        Raises:
            OSError: the scheduler does not answer.
        """
        import distributed

        dask = distributed.Client(  # type: ignore[no-untyped-call]
            self.address,
            asynchronous=True,
            set_as_default=False,
            security=self.security,
            timeout=SCHEDULER_TIMEOUT_S,
            name=self.label,
        )
        try:
            await dask
        except BaseException:
            await dask.close()  # type: ignore[no-untyped-call]
            raise
        return dask


class DaskTransport:
    """Attempts made by the workers of one Dask cluster; see `prompt_search.llm.dask_executor.DaskExecutor`.

    Args:
        scheduler: the cluster's scheduler.
        model: the model, with its address.
        per_worker: number of attempts that each worker may have in flight.
        request_timeout: seconds that one attempt may take.
        on_capacity: called with the number of attempts that all workers together may have in flight.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        model: Model,
        per_worker: int,
        request_timeout: float,
        on_capacity: Callable[[int], None],
    ) -> None:
        self._scheduler = scheduler
        self._model = model
        self._per_worker = per_worker
        self._request_timeout = request_timeout
        self._on_capacity = on_capacity
        self._dask: distributed.Client | None = None
        self._workers: dict[str, _Worker] = {}
        self._joining: set[str] = set()
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._sender = uuid.uuid4().hex

    async def open(self) -> None:
        self._on_capacity(0)
        try:
            self._dask = await self._scheduler.connect()
            await self._dask.run_on_scheduler(check_import)  # type: ignore[no-untyped-call]
            await self._update_workers()
        except OSError as error:
            await self.close()
            raise ServerUnreachable(
                f"no answer from Dask's scheduler at {self._scheduler.address}: {error}; check the address"
            ) from None
        except Exception as error:
            await self.close()
            raise InputError(self._not_imported("scheduler", error)) from None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._error is not None:
            await self.close()
            raise InputError(str(self._error))
        if not self._workers:
            _log.warning("no worker has joined Dask's scheduler at %s yet; waiting for one", self._scheduler.address)
        self._start(self._follow_workers())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._dask is not None:
            if self._workers and self._dask.status == "running":
                with contextlib.suppress(
                    OSError
                ):  # a worker that cannot be reached closes its connections when it ends
                    async with asyncio.timeout(SCHEDULER_TIMEOUT_S):
                        await self._dask.run(
                            close_transport, self._sender, workers=list(self._workers), on_error="ignore"
                        )
            await self._dask.close()  # type: ignore[no-untyped-call]

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        """The reply, from the first worker that has room.

        Raises:
            RunError: a worker lacks the key or this package, or the scheduler stays unreachable.
        """
        waiting = _Waiting(body, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._assign_soon()
        return await waiting.reply

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._check_task)

    def _check_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(f"sending through Dask failed with {type(error).__name__}: {error}")

    # Workers come and go

    async def _follow_workers(self) -> None:
        """Update the list of workers until the transport is closed, and connect again to a scheduler that was lost."""
        clock = asyncio.get_running_loop().time
        answered = clock()
        while True:
            await asyncio.sleep(UPDATE_EVERY_S)
            try:
                if self._dask is None:
                    self._dask = await self._scheduler.connect()
                await self._update_workers()
                answered = clock()
            except OSError as error:
                if self._dask is not None and self._dask.status == "closed":  # Dask's client has given up
                    self._dask = None
                if clock() - answered > SCHEDULER_PATIENCE_S:
                    self._fail(
                        f"Dask's scheduler at {self._scheduler.address} has not answered for "
                        f"{SCHEDULER_PATIENCE_S / 60:g} minutes: {error}"
                    )
                    return

    async def _update_workers(self) -> None:
        """Compare the list of workers with the scheduler's.

        Raises:
            OSError: there is no connection to the scheduler (TimeoutError is a subclass).
        """
        assert self._dask is not None
        scheduler = self._dask.scheduler
        if scheduler is None or self._dask.status != "running":
            raise OSError(f"the connection is {self._dask.status}")
        async with asyncio.timeout(SCHEDULER_TIMEOUT_S):
            known = set(await scheduler.ncores())
            running = set(await scheduler.ncores_running())
        for address in self._workers.keys() - known:
            self._remove(address)
        for address, worker in self._workers.items():
            worker.takes_more = address in running
        for address in running - self._workers.keys() - self._joining:
            self._joining.add(address)
            self._start(self._add_worker(address))
        self._report_capacity()

    async def _add_worker(self, address: str) -> None:
        """Prepare a worker for attempts; end the run if it never can make them."""
        assert self._dask is not None
        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S):
                answers = await self._dask.run(
                    open_transport,
                    self._sender,
                    self._model,
                    self._request_timeout,
                    workers=[address],
                    on_error="return",
                )
        except OSError:
            answers = {}
        finally:
            self._joining.discard(address)
        answer = answers.get(address, OSError())
        if isinstance(answer, InputError):
            self._fail(f"Dask's worker {address} cannot send requests: {answer}, in the environment of every worker")
        elif isinstance(answer, Exception) and not isinstance(answer, OSError):  # Dask passes it on as text
            self._fail(self._not_imported(f"worker {address}", answer))
        elif answer is None:
            self._workers[address] = _Worker(address, asyncio.get_running_loop().create_future())
            self._report_capacity()
        # else it left before it could answer, or is too busy: the next update tries again

    def _not_imported(self, who: str, error: BaseException) -> str:
        return (
            f"Dask's {who} cannot import this version of prompt_search ({error}); install the same version for the "
            "scheduler and the workers, with: pip install 'prompt_search[dask]'"
        )

    def _remove(self, address: str) -> None:
        worker = self._workers.pop(address)
        worker.gone.set_result(None)

    def _report_capacity(self) -> None:
        self._on_capacity(self._per_worker * sum(worker.takes_more for worker in self._workers.values()))
        self._assign_soon()

    def _fail(self, reason: str) -> None:
        """End the run: every attempt that waits or is sent later raises the reason."""
        self._error = RunError(reason)
        self._on_capacity(sys.maxsize)
        self._assign_soon()

    # Attempts

    def _assign_soon(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(GATHERED_S, self._assign)

    def _assign(self) -> None:
        """Give waiting attempts to the workers that are least busy."""
        self._timer = None
        batches: dict[_Worker, list[_Waiting]] = {}
        while self._waiting:
            if self._error is not None:
                _set(self._waiting.popleft().reply, self._error)
                continue
            able = [w for w in self._workers.values() if w.takes_more and w.in_flight < self._per_worker]
            if not able or self._dask is None or self._dask.status != "running":
                break  # this method is called again when a worker joins or has room
            waiting = self._waiting.popleft()
            if waiting.reply.done():  # it was cancelled
                continue
            worker = min(able, key=lambda each: each.in_flight)
            worker.in_flight += 1
            batches.setdefault(worker, []).append(waiting)
        for worker, batch in batches.items():
            self._submit(self._dask, worker, batch)

    def _submit(self, dask: distributed.Client | None, worker: _Worker, batch: Sequence[_Waiting]) -> None:
        assert dask is not None
        parcels = [
            Parcel(key=f"{self._scheduler.label}-{uuid.uuid4().hex}", sender=self._sender, body=waiting.body)
            for waiting in batch
        ]
        keys = [parcel.key for parcel in parcels]
        futures = dask.map(attempt, parcels, key=keys, workers=[worker.address], pure=False)
        for waiting, future in zip(batch, futures, strict=True):
            self._start(self._reply(waiting, worker, future))

    async def _reply(self, waiting: _Waiting, worker: _Worker, future: distributed.Future[Any]) -> None:
        """Wait for one attempt's reply, or for its worker to be lost."""
        result = asyncio.ensure_future(_result(future))
        try:
            ended: set[asyncio.Future[Any]] = {result, worker.gone}
            await asyncio.wait(
                ended,
                timeout=self._request_timeout + GRACE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if result.done():
                reply = result.result()
            else:
                why = "was lost" if worker.gone.done() else "does not answer"
                reply = HttpReply(failure="lost", why=f"Dask's worker {worker.address} {why}")
            if reply.failure == "lost" and self._workers.get(worker.address) is worker:
                self._remove(worker.address)  # the next update adds it again
            _set(waiting.reply, reply)
        except Exception as error:
            _set(waiting.reply, RunError(f"Dask's worker {worker.address} failed with {type(error).__name__}: {error}"))
        finally:
            result.cancel()
            await asyncio.wait({result})
            future.release()  # type: ignore[no-untyped-call]
            worker.in_flight -= 1
            self._assign_soon()


async def _result(future: distributed.Future[Any]) -> HttpReply:
    from distributed import CancelledError, KilledWorker

    try:
        reply: HttpReply = await future
    # The connection to the scheduler was lost, or the cluster was restarted; OSError: the reply could not be fetched.
    except (CancelledError, KilledWorker, OSError) as error:
        return HttpReply(failure="lost", why=str(error))
    return reply


def _set(reply: asyncio.Future[HttpReply], value: HttpReply | BaseException) -> None:
    if reply.done():  # it was cancelled
        return
    if isinstance(value, BaseException):
        reply.set_exception(value)
    else:
        reply.set_result(value)
