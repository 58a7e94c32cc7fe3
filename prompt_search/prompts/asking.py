"""How a prompt reaches what asks a model.

Whoever holds a prompt expects `Prompt.ask` on it, but sending needs the storage, the budget and the clients of
`prompt_search.evaluation`, a room above this one. So this room states what it needs, the protocol `Asker`, and the
package's ``__init__``, which knows the home of every public name, says where it is; that module is imported when a
prompt is asked for the first time. Rooms import in one direction still, and ``import prompt_search`` stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    import pandas as pd

    from prompt_search.answers.base import Answer
    from prompt_search.budget import Budget
    from prompt_search.llm.dask_executor import AnyExecutor
    from prompt_search.llm.model import Model


class AskOptions(TypedDict):
    """The options of `Prompt.ask` and `Prompt.ask_many`, which documents them."""

    model: Model | str | None
    answer: Answer | None
    budget: Budget | int | None
    storage: str | Path | None
    max_concurrency: int
    executor: AnyExecutor | None


class Asker(Protocol):
    """What asks a model with a prompt, a `Prompt`; the module `prompt_search.evaluation.ask` is one."""

    def ask(self, prompt: Any, row: Any, options: AskOptions) -> Any: ...

    def ask_many(self, prompt: Any, rows: Any, options: AskOptions) -> pd.DataFrame: ...

    async def aask(self, prompt: Any, row: Any, options: AskOptions) -> Any: ...

    async def aask_many(self, prompt: Any, rows: Any, options: AskOptions) -> pd.DataFrame: ...


_find: Callable[[], Asker] | None = None


def provide(find: Callable[[], Asker]) -> None:
    """Say where the asker is: ``find`` imports it."""
    global _find
    _find = find


def asker() -> Asker:
    """The asker."""
    assert _find is not None, "the package's __init__ provides it"
    return _find()
