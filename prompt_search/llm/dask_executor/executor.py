"""The executor of a Dask cluster, made from what users give for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from prompt_search.errors import InputError, MissingExtra
from prompt_search.llm.dask_executor.transport import DaskTransport, Scheduler
from prompt_search.llm.model import Model, server_url
from prompt_search.llm.transport import Executor

if TYPE_CHECKING:
    import distributed

    AnyExecutor = Executor | distributed.Client | str
else:
    AnyExecutor = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DaskExecutor:
    """Sends from the workers of a Dask cluster.

    Args:
        address: the scheduler's address, such as ``tcp://10.0.0.1:8786``.
        label: the name under which Dask's dashboard shows the attempts.
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
            InputError: it is something else, or a client that is closed, or only this process can ask a model.
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
        shown = re.sub(r"\W+", "_", label)  # Dask groups tasks by their name up to the first dash
        if isinstance(given, str):
            if not re.fullmatch(r"[\w+.-]+://.+", given):
                raise InputError(
                    f"a scheduler's address must be one such as tcp://10.0.0.1:8786, got {given}; correct it"
                )
            return cls(address=given, label=shown)
        if not isinstance(given, distributed.Client):
            raise InputError(
                f"an executor must be a dask.distributed.Client or a scheduler's address, got a {type(given).__name__}"
            )
        if given.scheduler is None or given.status == "closed":
            raise InputError("the executor is a Dask client that is closed; give one that is connected")
        return cls(address=str(given.scheduler.address), label=shown, security=given.security)

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> DaskTransport:
        """A transport with up to ``max_concurrency`` attempts in flight at each worker. Workers that have joined the
        cluster already are prepared first.

        Raises:
            ServerUnreachable: the scheduler does not answer.
            InputError: a worker lacks the key or this package.
        """
        sent = replace(model, base_url=server_url(model))  # a worker's own default may be another
        scheduler = Scheduler(self.address, self.label, self.security)
        transport = DaskTransport(scheduler, sent, max_concurrency, request_timeout, on_capacity)
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
        "an executor must be a dask.distributed.Client, a scheduler's address or an object with the method "
        f"connect, got a {type(given).__name__}; give one of them"
    )


def _is_of_dask(given: object) -> bool:
    """Whether the package ``distributed`` made the object's class, or one that it inherits from."""
    return any(kind.__module__.partition(".")[0] == "distributed" for kind in type(given).__mro__)
