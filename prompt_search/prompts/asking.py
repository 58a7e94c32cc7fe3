"""How a prompt reaches what asks a model.

Whoever holds a prompt expects `Prompt.ask` on it, but sending needs the storage, the budget and the clients of
`prompt_search.evaluation`, a room above this one. So this room states what it needs, the protocol `Asker`, and the
package's ``__init__``, which knows the home of every public name, says where it is; that module is imported when a
prompt is asked for the first time. Rooms import in one direction still, and ``import prompt_search`` stays light.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from prompt_search._first_tries import told
from prompt_search._provided import Provided

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
    """What asks a model with a prompt, a `Prompt`; the module `prompt_search.evaluation.one_prompt.ask` is one."""

    def ask(self, prompt: Any, row: Any, options: AskOptions) -> Any: ...

    def ask_many(self, prompt: Any, rows: Any, options: AskOptions) -> pd.DataFrame: ...

    async def aask(self, prompt: Any, row: Any, options: AskOptions) -> Any: ...

    async def aask_many(self, prompt: Any, rows: Any, options: AskOptions) -> pd.DataFrame: ...


asker: Provided[Asker] = Provided()
"""What asks."""

MAX_CONCURRENCY = 16
"""Number of requests in flight, where `Prompt.ask_many` is given none."""


class Askable:
    """What can be asked: the part of a `Prompt` that sends it to a model."""

    __slots__ = ()

    @told("prompt.ask({'FIELD': ...})")
    def ask(
        self,
        row: Any,
        *,
        model: Model | str | None = None,
        answer: Answer | None = None,
        budget: Budget | int | None = None,
        storage: str | Path | None = None,
        executor: AnyExecutor | None = None,
    ) -> Any:
        """The model's answer about one row, as it is parsed when the prompt is scored: a label, a number, a text, ….

        It works with or without a running event loop; `aask` is the coroutine. For more than a few rows `ask_many` is
        faster: it keeps its connections, and many requests in flight.

        Args:
            row: a dictionary of the row's fields; others than those of the prompt are ignored.
            model, answer, budget, storage, executor: as for `ask_many`.

        Returns:
            the answer; `Unparsed`, which is falsy and has the ``reason``, where it could not be read.

        Raises:
            InputError: an argument is wrong, or the row lacks a field; raised before the request.
            RunError: the request failed.

        >>> from prompt_search.testing import InProcessExecutor
        >>> fake = InProcessExecutor("chat")
        >>> import prompt_search as ps
        >>> prompt = ps.Prompt.from_text("Translate to French: {{ row.word }}")
        >>> prompt.ask({"word": "cat"}, model=fake.model(), executor=fake)
        'chat'
        """
        return asker().ask(self, row, _options(model, answer, budget, storage, executor))

    @told("prompt.ask_many(rows)")
    def ask_many(
        self,
        rows: Any,
        *,
        model: Model | str | None = None,
        answer: Answer | None = None,
        budget: Budget | int | None = None,
        storage: str | Path | None = None,
        max_concurrency: int = MAX_CONCURRENCY,
        executor: AnyExecutor | None = None,
    ) -> pd.DataFrame:
        """The model's answers about many rows, as a table with one line a row, in their order.

        Columns: ``row``, the position; the columns of the rows, where one that has the name of another column ends in
        `` (field)``; ``answer`` as `ask` returns it, None without one; ``response`` text; ``unparsed``, the reason why
        the answer could not be read, or None; ``error`` text or None: a failed request is a line like any other, and so
        is a row for which the budget left no room (``budget: …``) or that was not sent because the run ended
        (``not sent: …``); ``prompt_tokens``, ``completion_tokens`` Int64; ``cost_usd`` US dollars; ``latency_s``
        seconds; ``cached`` bool, whether the response came from the storage; ``finish_reason``; ``ambiguous`` bool.
        The index is that of the DataFrame that was given, else the position.

        Args:
            rows: a list of dictionaries, a DataFrame (or anything with ``to_pandas``), a `Dataset`, or the path of a
                csv, tsv, json, jsonl or parquet file. No target is needed, and that of a `Dataset` is not shown.
            model: a `Model` or a model name; default: the model that the prompt was scored on, at the default endpoint.
            answer: the answer form; default: the form that the prompt was exported with, else `Text`.
            budget: limits of what may be spent; a number counts calls. Cached responses count as if they had been
                sent, as in a study.
            storage: the path of an SQLite file or an SQLAlchemy URL, of the storage that caches responses: none in it
                is paid for again; None keeps everything in memory.
            max_concurrency: number of requests in flight.
            executor: as for `Study`.

        Raises:
            InputError: an argument is wrong, or a row lacks a field; raised before any request.
            RunError: the model's server cannot be reached or refuses all requests, and no row was answered.
        """
        return asker().ask_many(self, rows, _options(model, answer, budget, storage, executor, max_concurrency))

    @told("await prompt.aask({'FIELD': ...})")
    async def aask(
        self,
        row: Any,
        *,
        model: Model | str | None = None,
        answer: Answer | None = None,
        budget: Budget | int | None = None,
        storage: str | Path | None = None,
        executor: AnyExecutor | None = None,
    ) -> Any:
        """As `ask`, on the running event loop."""
        return await asker().aask(self, row, _options(model, answer, budget, storage, executor))

    @told("await prompt.aask_many(rows)")
    async def aask_many(
        self,
        rows: Any,
        *,
        model: Model | str | None = None,
        answer: Answer | None = None,
        budget: Budget | int | None = None,
        storage: str | Path | None = None,
        max_concurrency: int = MAX_CONCURRENCY,
        executor: AnyExecutor | None = None,
    ) -> pd.DataFrame:
        """As `ask_many`, on the running event loop."""
        options = _options(model, answer, budget, storage, executor, max_concurrency)
        return await asker().aask_many(self, rows, options)


def _options(
    model: Model | str | None,
    answer: Answer | None,
    budget: Budget | int | None,
    storage: str | Path | None,
    executor: AnyExecutor | None,
    max_concurrency: int = MAX_CONCURRENCY,
) -> AskOptions:
    return AskOptions(
        model=model,
        answer=answer,
        budget=budget,
        storage=storage,
        max_concurrency=max_concurrency,
        executor=executor,
    )
