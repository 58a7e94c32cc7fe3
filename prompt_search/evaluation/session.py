"""What every run of requests has: an event loop of its own, an opened storage, what scores prompts."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter

from prompt_search.budget import Budget, unpriced
from prompt_search.data.dataset import Dataset
from prompt_search.errors import InputError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.outcome import Outcome
from prompt_search.evaluation.responder import Completer
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Usage
from prompt_search.llm.model import Model
from prompt_search.llm.transport import Executor
from prompt_search.storage.lease import Lease
from prompt_search.storage.records import SampleRecord
from prompt_search.storage.store import Store

T = TypeVar("T")

CANCELLED_S = 3.0
"""How long a run that is interrupted twice may take to let go."""


def in_own_thread(work: Callable[[], Coroutine[Any, Any, T]], on_interrupt: Callable[[], None]) -> T:
    """Run a coroutine on an event loop in a thread of its own: a notebook's thread has one already.

    The first Ctrl-C calls ``on_interrupt`` and waits for the work to end, a second one cancels it.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []
    cancel: list[Callable[[], object]] = []
    # Not Thread.join: interrupted, it takes a running thread for one that has ended (CPython before 3.13).
    ended = threading.Event()

    async def main() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancel.append(lambda: loop.call_soon_threadsafe(task.cancel))
        return await work()

    def target() -> None:
        try:
            outcome.append(asyncio.run(main()))
        except BaseException as error:  # handed to the waiting thread, which raises it
            failure.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=target, name="prompt_search", daemon=True)

    def wait() -> None:
        if thread.ident is None:
            thread.start()
        while not ended.wait(0.2):
            pass

    try:
        wait()
    except KeyboardInterrupt:
        on_interrupt()
        try:
            wait()
        except KeyboardInterrupt:
            if cancel and not ended.is_set():
                cancel[0]()
                ended.wait(CANCELLED_S)
            raise
        if not failure:
            raise
    if failure:
        raise failure[0]
    return outcome[0]


@contextmanager
def opened(storage: str | None, name: str) -> Iterator[tuple[Store, Lease | None]]:
    """A storage, closed when something goes wrong, and for as long the lease of what is run there; none where the
    storage is in memory, which nobody shares.

    Raises:
        StorageError: it cannot be opened.
        StudyError: somebody else runs this.
    """
    store = Store(storage or "sqlite://")
    try:
        if store.in_memory:
            yield store, None
        else:
            with Lease(store, name) as lease:
                yield store, lease
    except BaseException:
        store.close()
        raise


@asynccontextmanager
async def connected_evaluator(
    settings: EvaluationSettings, models: Sequence[Model], executor: Executor | None
) -> AsyncIterator[Evaluator]:
    """An evaluator with an open client for each model."""
    async with AsyncExitStack() as stack:
        clients: dict[tuple[str, str], Completer] = {}
        slots: dict[tuple[str, str], CapacityLimiter] = {}
        for model in models:
            of_model = slots[model.endpoint, model.name] = CapacityLimiter(settings.max_concurrency)
            client = Client(
                model,
                max_concurrency=settings.max_concurrency,
                on_attempt=settings.ledger.reserve,
                seed=settings.seed,
                executor=executor,
                on_capacity=partial(setattr, of_model, "total_tokens") if executor else None,
            )
            clients[model.endpoint, model.name] = await stack.enter_async_context(client)
        yield Evaluator(settings, clients, slots)


def sample_record(trial: int, split: str, outcome: Outcome, data: Dataset) -> SampleRecord:
    return SampleRecord(
        trial=trial,
        row=outcome.row,
        split=split,
        key=outcome.key,
        answer=outcome.answer,
        target=data.rows[outcome.row].target,
        score=outcome.score,
        explanation=outcome.explanation,
        unparsed=outcome.unparsed,
        error=outcome.error,
        cached=outcome.cached,
    )


def check_priced(budget: Budget, model: Model) -> None:
    """Refuse a budget in dollars that cannot be kept.

    Raises:
        InputError: the model's price is unknown.
    """
    if budget.usd is not None and math.isnan(model.cost(Usage(prompt_tokens=1, completion_tokens=1))):
        raise InputError(unpriced(budget, model.name))
