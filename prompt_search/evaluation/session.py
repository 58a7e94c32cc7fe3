"""What every run of requests opens: a storage with a lease on it, and an evaluator with clients for its models."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

from anyio import CapacityLimiter

from prompt_search.budget import Budget, Ledger, unpriced
from prompt_search.errors import InputError
from prompt_search.evaluation.batches.reservations import Reservations
from prompt_search.evaluation.batches.sender import BatchSender
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.own_thread import CHECK_INTERVAL_S
from prompt_search.evaluation.responder import Completer
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.client import Client
from prompt_search.llm.dialect.dialect import Dialects
from prompt_search.llm.messages import Request, Usage
from prompt_search.llm.model import Model
from prompt_search.llm.transport import Executor
from prompt_search.storage.ownership.lease import Lease
from prompt_search.storage.store import Store


@contextmanager
def opened(storage: str | None, name: str) -> Iterator[tuple[Store, Lease | None]]:
    """A storage, and a lease on what is run there; no lease where the storage is in memory, which nobody shares.

    The lease ends with the context. The storage is closed when something goes wrong, and stays open otherwise.

    Args:
        storage: an SQLAlchemy URL; None: in memory.
        name: name of what is run.

    Raises:
        StorageError: the storage cannot be opened.
        StudyError: another process runs this.
    """
    store = Store(storage or "sqlite://")
    try:
        with leased(store, name) as lease:
            yield store, lease
    except BaseException:
        store.close()
        raise


@contextmanager
def leased(store: Store, name: str) -> Iterator[Lease | None]:
    """A lease on what is run in a storage, until the context ends; None for one in memory.

    Raises:
        StudyError: another process runs this.
    """
    if store.in_memory:
        yield None
    else:
        with Lease(store, name) as lease:
            yield lease


@asynccontextmanager
async def connected_evaluator(
    settings: EvaluationSettings, models: Sequence[Model], executor: Executor | None
) -> AsyncIterator[Evaluator]:
    """An evaluator with an open client for each model."""
    async with AsyncExitStack() as stack:
        clients: dict[tuple[str, str], Completer] = {}
        slots: dict[tuple[str, str], CapacityLimiter] = {}
        dialects = Dialects()
        senders: list[BatchSender] = []
        opened: list[Client] = []
        for model in models:
            batched = await _is_batched(settings, model)
            # Requests that wait for a batch are in flight together, however many they are.
            of_model = CapacityLimiter(math.inf if batched else settings.max_concurrency)
            reservations = Reservations(settings)
            client = Client(
                model,
                max_concurrency=settings.max_concurrency,
                on_attempt=reservations.attempt,
                seed=settings.seed,
                executor=executor,
                on_capacity=partial(setattr, of_model, "total_tokens") if executor and not batched else None,
            )
            opened.append(await stack.enter_async_context(client))
            if batched:
                sender = BatchSender(client, reservations, settings, dialects, partial(_tell, settings, senders))
                senders.append(await stack.enter_async_context(sender))
            slots[model.endpoint, model.name] = of_model
            clients[model.endpoint, model.name] = sender if batched else client
        if executor is not None or senders:
            gate = asyncio.create_task(_end_with(settings.ledger, opened, senders))
            stack.callback(gate.cancel)
        yield Evaluator(settings, clients, slots, dialects=dialects)


async def _is_batched(settings: EvaluationSettings, model: Model) -> bool:
    """Whether requests to a model are sent in batches, or batches of an earlier run are open that have some of them."""
    if settings.batch or model.is_local:
        return settings.batch and not model.is_local
    return bool(await settings.store.in_thread(settings.store.batches.open, model.endpoint, model.name))


def _tell(settings: EvaluationSettings, senders: Collection[BatchSender]) -> None:
    settings.on_batches([told for sender in senders for told in sender.told])


async def _end_with(ledger: Ledger, clients: Collection[Client], senders: Collection[BatchSender]) -> None:
    """Once nothing may be sent any more, let requests that wait for a worker go on, to be refused, and leave batches to
    the next run: otherwise a run would wait for a worker or a batch after it was interrupted, or when its time is
    over."""
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        if ledger.stopped is not None or ledger.remaining_s == 0:
            for client in clients:
                client.resize(sys.maxsize)
            for sender in senders:
                sender.end()


def distinct(models: Iterable[Model]) -> list[Model]:
    """Models, the first of each server and name."""
    found: dict[tuple[str, str], Model] = {}
    for model in models:
        found.setdefault((model.endpoint, model.name), model)
    return list(found.values())


def cost_of(models: Sequence[Model], request: Request, usage: Usage) -> float:
    """US dollars that a request to one of these models costs with such usage; NaN where that is unknown."""
    asked = (request.endpoint, request.model)
    return next(model.cost(usage) for model in models if (model.endpoint, model.name) == asked)


def check_priced(budget: Budget, model: Model) -> None:
    """Refuse a budget in dollars that cannot be kept.

    Raises:
        InputError: the budget is in dollars, and the model's price is unknown.
    """
    if budget.usd is not None and math.isnan(model.cost(Usage(prompt_tokens=1, completion_tokens=1))):
        raise InputError(unpriced(budget, model.name))
