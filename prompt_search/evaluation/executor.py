"""Who sends the requests of a study: this process, the workers of a Dask cluster, or an executor of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard, cast

from prompt_search.errors import InputError
from prompt_search.llm.client import Executor, Model
from prompt_search.llm.dask_executor import DaskExecutor


class DaskClient(Protocol):
    """The attributes of a ``dask.distributed.Client`` that are used; a type that does not need the package."""

    scheduler: Any
    security: Any
    status: str


def executor_of(given: Executor | DaskClient | str | None, label: str, models: Sequence[Model]) -> Executor | None:
    """The executor that users mean by ``executor=``; None: this process.

    Args:
        given: a ``dask.distributed.Client``, the address of a Dask scheduler, or an object with the method ``connect``
            of `prompt_search.llm.client.Executor`, which is used as it is.
        label: name under which Dask's dashboard shows the requests.
        models: the models that are asked.

    Raises:
        InputError: something else, or a Dask client or address that cannot be used with these models.
        MissingExtra: the package ``distributed`` is not installed.
    """
    if given is None or _is_executor(given):
        return given
    if isinstance(given, str) or _is_of_dask(given):
        return DaskExecutor.of(cast(Any, given), label, models)
    raise InputError(
        f"an executor is a dask.distributed.Client, a scheduler's address or an object with the method connect, got a "
        f"{type(given).__name__}; give one of them"
    )


def _is_executor(given: object) -> TypeGuard[Executor]:
    return callable(getattr(given, "connect", None))


def _is_of_dask(given: object) -> bool:
    """Whether the package ``distributed`` made the object's class, or one that it inherits from."""
    return any(kind.__module__.partition(".")[0] == "distributed" for kind in type(given).__mro__)
