"""Where requests are sent from when one machine is not enough: the workers of a Dask cluster.

What travels is one HTTP attempt: the body of a request to a worker, and status and raw answer back. Asking, retries,
budget, limits and the journal stay with the process that runs the study; workers hold nothing but open connections.
An attempt is a Dask task that is bound to one worker, so that Dask never sends it again by itself: when its worker or
the connection to the scheduler is lost, it comes back as a lost attempt, which the client counts and repeats like one
whose connection broke. The only module that knows ``distributed``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from prompt_search.errors import InputError, MissingExtra, RunError, ServerUnreachable
from prompt_search.llm.client import import_http_packages, open_connections
from prompt_search.llm.model import Model, api_key, server_url
from prompt_search.llm.transport import Executor, HttpReply, HttpTransport

if TYPE_CHECKING:
    import distributed

    AnyExecutor = Executor | distributed.Client | str
else:
    AnyExecutor = Any

GATHERED_S: Final = 0.003
"""Seconds for which attempts are gathered that travel to a worker together: a message of its own for each costs
Dask's scheduler 1.6 times as much."""

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks at which workers there are."""

SCHEDULER_TIMEOUT_S: Final = 10.0
"""Seconds in which the scheduler must answer."""

SCHEDULER_PATIENCE_S: Final = 600.0
"""Seconds for which a scheduler that was there may be away before the run is ended."""

GREETING_TIMEOUT_S: Final = 60.0
"""Seconds for a new worker to import this package."""

GRACE_S: Final = 30.0
"""Seconds beyond its own time after which an attempt counts as lost, for the way there and back."""

_log = logging.getLogger("prompt_search")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Parcel:
    """One attempt on its way to a worker. Prompts are not shown where Dask shows or logs what a task is given."""

    key: str
    sender: str
    body: Mapping[str, Any]


_transports: dict[str, HttpTransport] = {}
"""The open connections of this worker, by who sends through them."""


def importable() -> None:
    """Runs on the scheduler, which reads what tasks are made of."""


async def greet(sender: str, model: Model, request_timeout: float) -> None:
    """Runs on a worker: opens its connections to a model's server, with its own key.

    Raises:
        InputError: the worker has no key.
    """
    await asyncio.to_thread(import_http_packages)
    if sender not in _transports:
        _transports[sender] = await open_connections(server_url(model), api_key(model), request_timeout)


async def attempt(parcel: Parcel) -> HttpReply:
    """Runs on a worker: makes one attempt."""
    transport = _transports.get(parcel.sender)
    if transport is None:  # the task outlived the worker that it was meant for, which may have sent it
        return HttpReply(failure="lost", why="its worker was started anew")
    _leave_thread(parcel.key)
    return await transport.send(parcel.body)


async def part(sender: str) -> None:
    """Runs on a worker: closes its connections."""
    transport = _transports.pop(sender, None)
    if transport is not None:
        await transport.close()


def _leave_thread(key: str) -> None:
    """Let the worker begin its next task: this one waits for a server. ``distributed.secede``, which is for threads
    only, does the same for tasks that are no coroutines."""
    from distributed.worker import get_worker
    from distributed.worker_state_machine import SecedeEvent

    get_worker().handle_stimulus(SecedeEvent(key=key, compute_duration=0.0, stimulus_id=f"secede-{key}"))


@dataclass(eq=False, slots=True)
class _Worker:
    """A worker as the coordinator sees it. ``gone`` is done once the scheduler has lost it."""

    address: str
    gone: asyncio.Future[None]
    takes_more: bool = True
    in_flight: int = 0


@dataclass(eq=False, slots=True)
class _Waiting:
    """An attempt that no worker has yet."""

    body: Mapping[str, Any]
    reply: asyncio.Future[HttpReply]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskExecutor:
    """Sends from the workers of a Dask cluster.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.
        label: under which name Dask's dashboard shows the attempts.
        security: a ``distributed.Security``, where the cluster wants one.
    """

    address: str
    label: str
    security: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, given: distributed.Client | str, label: str, models: Sequence[Model]) -> DaskExecutor:
        """The executor of a user's Dask client, synchronous or not, or of a scheduler's address.

        Raises:
            MissingExtra: the package ``distributed`` is not installed.
            InputError: something else, a client that is closed, or a model that only this process can ask.
        """
        try:
            import distributed
        except ImportError:
            raise MissingExtra("an executor", package="distributed", extra="dask") from None
        for model in models:
            if model.is_local:
                raise InputError(
                    f"the model {model.name} is served in this process, which workers do not reach; serve it with "
                    f"prompt-search model serve and give its address as base_url, or give no executor"
                )
        shown = re.sub(r"\W+", "_", label)  # Dask takes a name as far as the first dash
        if isinstance(given, str):
            if not re.fullmatch(r"[\w+.-]+://.+", given):
                raise InputError(f"a scheduler's address is one such as tcp://10.0.0.1:8786, got {given}")
            return cls(address=given, label=shown)
        if not isinstance(given, distributed.Client):
            raise InputError(
                f"an executor is a dask.distributed.Client or a scheduler's address, got a {type(given).__name__}"
            )
        if given.scheduler is None or given.status == "closed":
            raise InputError("the executor is a Dask client that is closed; give one that is connected")
        return cls(address=str(given.scheduler.address), label=shown, security=given.security)

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> DaskTransport:
        """A transport with ``max_concurrency`` attempts in flight at each worker.

        Waits for workers that are there already, and not for others.

        Raises:
            ServerUnreachable: the scheduler does not answer.
            InputError: a worker lacks the key or this package.
        """
        sent = replace(model, base_url=server_url(model))  # a worker's own default may be another
        transport = DaskTransport(self, sent, max_concurrency, request_timeout, on_capacity)
        await transport.open()
        return transport


def executor_of(given: AnyExecutor | None, label: str, models: Sequence[Model]) -> Executor | None:
    """The executor that users mean by ``executor=``; None: this process.

    Args:
        given: a ``dask.distributed.Client``, the address of a Dask scheduler, or an object with the method ``connect``
            of `prompt_search.llm.transport.Executor`, which is used as it is.
        label: name under which Dask's dashboard shows the requests.
        models: the models that are asked.

    Raises:
        InputError: something else, or a Dask client or address that cannot be used with these models.
        MissingExtra: the package ``distributed`` is not installed.
    """
    if given is None or isinstance(given, Executor):
        return given
    if isinstance(given, str) or _is_of_dask(given):
        return DaskExecutor.of(given, label, models)
    raise InputError(
        f"an executor is a dask.distributed.Client, a scheduler's address or an object with the method connect, got a "
        f"{type(given).__name__}; give one of them"
    )


def _is_of_dask(given: object) -> bool:
    """Whether the package ``distributed`` made the object's class, or one that it inherits from."""
    return any(kind.__module__.partition(".")[0] == "distributed" for kind in type(given).__mro__)


class DaskTransport:
    """Attempts made by the workers of one Dask cluster; see `DaskExecutor`."""

    def __init__(
        self,
        executor: DaskExecutor,
        model: Model,
        per_worker: int,
        request_timeout: float,
        on_capacity: Callable[[int], None],
    ) -> None:
        self._executor = executor
        self._model = model
        self._per_worker = per_worker
        self._request_timeout = request_timeout
        self._on_capacity = on_capacity
        self._dask: distributed.Client | None = None
        self._workers: dict[str, _Worker] = {}
        self._greeted: set[str] = set()
        self._waiting: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None
        self._sender = uuid.uuid4().hex

    async def open(self) -> None:
        self._on_capacity(0)
        try:
            self._dask = await self._connect()
            await self._dask.run_on_scheduler(importable)  # type: ignore[no-untyped-call]
            await self._look()
        except OSError as error:
            await self.close()
            raise ServerUnreachable(
                f"no answer from Dask's scheduler at {self._executor.address}: {error}; check the address"
            ) from None
        except Exception as error:
            await self.close()
            raise InputError(self._not_imported("scheduler", error)) from None
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._error is not None:
            await self.close()
            raise InputError(str(self._error))
        if not self._workers:
            _log.warning("no worker has joined Dask's scheduler at %s yet; waiting for one", self._executor.address)
        self._start(self._watch())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._dask is not None:
            if self._workers and self._dask.status == "running":
                with contextlib.suppress(OSError):  # who cannot be told has nothing open, or closes it when it ends
                    async with asyncio.timeout(SCHEDULER_TIMEOUT_S):
                        await self._dask.run(part, self._sender, workers=list(self._workers), on_error="ignore")
            await self._dask.close()  # type: ignore[no-untyped-call]

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        """The reply, from whichever worker has room first.

        Raises:
            RunError: a worker lacks the key or this package, or the scheduler stays away.
        """
        one = _Waiting(body, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        self._hand_out_soon()
        return await one.reply

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(f"sending through Dask failed with {type(error).__name__}: {error}")

    async def _connect(self) -> distributed.Client:
        import distributed

        dask = distributed.Client(  # type: ignore[no-untyped-call]
            self._executor.address,
            asynchronous=True,
            set_as_default=False,
            security=self._executor.security,
            timeout=SCHEDULER_TIMEOUT_S,
            name=self._executor.label,
        )
        try:
            await dask
        except BaseException:
            await dask.close()  # type: ignore[no-untyped-call]
            raise
        return dask

    # Workers come and go

    async def _watch(self) -> None:
        """Keep track of the workers; a scheduler that is away for a while is waited for."""
        clock = asyncio.get_running_loop().time
        answered = clock()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self._dask is None:
                    self._dask = await self._connect()
                await self._look()
                answered = clock()
            except OSError as error:
                if self._dask is not None and self._dask.status == "closed":  # it has given up
                    self._dask = None
                if clock() - answered > SCHEDULER_PATIENCE_S:
                    self._end(
                        f"Dask's scheduler at {self._executor.address} has been away for "
                        f"{SCHEDULER_PATIENCE_S / 60:g} minutes: {error}"
                    )
                    return

    async def _look(self) -> None:
        """
        Raises:
            OSError: there is no connection to the scheduler (TimeoutError is one).
        """
        assert self._dask is not None
        scheduler = self._dask.scheduler
        if scheduler is None or self._dask.status != "running":
            raise OSError(f"the connection is {self._dask.status}")
        async with asyncio.timeout(SCHEDULER_TIMEOUT_S):
            there = set(await scheduler.ncores())
            running = set(await scheduler.ncores_running())
        for address in self._workers.keys() - there:
            self._forget(address)
        for address, worker in self._workers.items():
            worker.takes_more = address in running
        for address in running - self._workers.keys() - self._greeted:
            self._greeted.add(address)
            self._start(self._greet(address))
        self._tell_capacity()

    async def _greet(self, address: str) -> None:
        """Take a worker in, or end the run where it will never do."""
        assert self._dask is not None
        try:
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                answers = await self._dask.run(
                    greet, self._sender, self._model, self._request_timeout, workers=[address], on_error="return"
                )
        except OSError:
            answers = {}
        finally:
            self._greeted.discard(address)
        answer = answers.get(address, OSError())
        if isinstance(answer, InputError):
            self._end(f"Dask's worker {address} cannot ask: {answer}; on workers, that is")
        elif isinstance(answer, Exception) and not isinstance(answer, OSError):  # Dask hands them on as text
            self._end(self._not_imported(f"worker {address}", answer))
        elif answer is None:
            self._workers[address] = _Worker(address, asyncio.get_running_loop().create_future())
            self._tell_capacity()
        # else it left before it could answer, or is too busy: the next look greets it again

    def _not_imported(self, who: str, error: BaseException) -> str:
        return (
            f"Dask's {who} cannot import this version of prompt_search ({error}); install the same for scheduler and "
            "workers, with: pip install 'prompt_search[dask]'"
        )

    def _forget(self, address: str) -> None:
        worker = self._workers.pop(address)
        worker.gone.set_result(None)

    def _tell_capacity(self) -> None:
        self._on_capacity(self._per_worker * sum(worker.takes_more for worker in self._workers.values()))
        self._hand_out_soon()

    def _end(self, reason: str) -> None:
        """End the run: whoever waits, or comes later, hears why."""
        self._error = RunError(reason)
        self._on_capacity(sys.maxsize)
        self._hand_out_soon()

    # Attempts

    def _hand_out_soon(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(GATHERED_S, self._hand_out)

    def _hand_out(self) -> None:
        """Give waiting attempts to the workers that are least busy."""
        self._timer = None
        blocks: dict[_Worker, list[_Waiting]] = {}
        while self._waiting:
            if self._error is not None:
                _set(self._waiting.popleft().reply, self._error)
                continue
            able = [w for w in self._workers.values() if w.takes_more and w.in_flight < self._per_worker]
            if not able or self._dask is None or self._dask.status != "running":
                break  # a worker that comes, is free or is found again brings us back here
            one = self._waiting.popleft()
            if one.reply.done():  # nobody waits for it any more
                continue
            worker = min(able, key=lambda each: each.in_flight)
            worker.in_flight += 1
            blocks.setdefault(worker, []).append(one)
        for worker, block in blocks.items():
            self._submit(self._dask, worker, block)

    def _submit(self, dask: distributed.Client | None, worker: _Worker, block: Sequence[_Waiting]) -> None:
        assert dask is not None
        parcels = [
            Parcel(
                key=f"{self._executor.label}-{uuid.uuid4().hex}",
                sender=self._sender,
                body=one.body,
            )
            for one in block
        ]
        keys = [parcel.key for parcel in parcels]
        futures = dask.map(attempt, parcels, key=keys, workers=[worker.address], pure=False)
        for one, future in zip(block, futures, strict=True):
            self._start(self._reply(one, worker, future))

    async def _reply(self, one: _Waiting, worker: _Worker, future: distributed.Future[Any]) -> None:
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
                why = "is gone" if worker.gone.done() else "does not answer"
                reply = HttpReply(failure="lost", why=f"Dask's worker {worker.address} {why}")
            if reply.failure == "lost" and self._workers.get(worker.address) is worker:
                self._forget(worker.address)  # it may be another one by now: the next look greets it
            _set(one.reply, reply)
        except Exception as error:
            _set(one.reply, RunError(f"Dask's worker {worker.address} failed with {type(error).__name__}: {error}"))
        finally:
            result.cancel()
            await asyncio.wait({result})
            future.release()  # type: ignore[no-untyped-call]
            worker.in_flight -= 1
            self._hand_out_soon()


async def _result(future: distributed.Future[Any]) -> HttpReply:
    from distributed import CancelledError, KilledWorker

    try:
        reply: HttpReply = await future
    # With the connection to the scheduler, or when someone restarts the cluster; OSError: while the reply was fetched.
    except (CancelledError, KilledWorker, OSError) as error:
        return HttpReply(failure="lost", why=str(error))
    return reply


def _set(reply: asyncio.Future[HttpReply], value: HttpReply | BaseException) -> None:
    if reply.done():  # cancelled: nobody waits for it any more
        return
    if isinstance(value, BaseException):
        reply.set_exception(value)
    else:
        reply.set_result(value)
