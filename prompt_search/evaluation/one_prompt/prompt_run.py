"""The requests of one prompt outside of a study: its model and answer form, a storage, a budget, an evaluator."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from prompt_search._first_tries import named
from prompt_search.answers.base import Answer
from prompt_search.answers.forms import from_dict
from prompt_search.budget import Budget, Ledger
from prompt_search.data.rows import Row
from prompt_search.errors import InputError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.judging.judge import Judge
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.evaluation.session import check_priced, connected_evaluator, cost_of, distinct, opened
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.batches.api import check_batches
from prompt_search.llm.dask_executor import AnyExecutor, executor_of
from prompt_search.llm.given_model import check_model
from prompt_search.llm.local_weights import BUILT_IN
from prompt_search.llm.model import Model, known_secrets
from prompt_search.llm.transport import Executor
from prompt_search.metrics.base import Metric
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.task import Task
from prompt_search.storage.database import storage_url
from prompt_search.storage.store import Store

NAME_PREFIX = "(evaluation)"
"""Prefix of the study names under which calls outside of a study are stored."""

SPLIT = "evaluation"
"""Name of the split that calls and rows outside of a study are stored under."""

EXECUTOR_LABEL = "evaluation"
"""Name under which the dashboard of an executor shows requests outside of a study."""


@dataclass(frozen=True, kw_only=True)
class PromptRun:
    """What the requests of one prompt go through.

    Attributes:
        store: the storage.
        name: name under which the calls are stored.
        ledger: what is spent.
        settings: of the evaluator.
        models: all models that are asked: the prompt's, and the judge's where the metric is one.
        sender: what sends the requests; None: this process.
    """

    store: Store
    name: str
    ledger: Ledger
    settings: EvaluationSettings
    models: Sequence[Model]
    sender: Executor | None

    def connected(self) -> AbstractAsyncContextManager[Evaluator]:
        """An evaluator with an open client."""
        return connected_evaluator(self.settings, self.models, self.sender)

    @property
    def most_rows(self) -> float:
        """The number of rows that the budget's calls suffice for, where a judge takes calls of its own for each answer:
        an answer that cannot be judged would be paid for in vain."""
        metric, calls = self.settings.metric, self.ledger.budget.calls
        return math.inf if calls is None or not isinstance(metric, Judge) else calls // (1 + metric.calls)

    def stop(self) -> None:
        """Send nothing any more, because the user interrupted."""
        self.ledger.stop("interrupted")


@contextmanager
def prompt_run(
    model: Model,
    rows: Sequence[Row],
    *,
    metric: Metric,
    budget: Budget | int | None,
    count: int,
    storage: str | Path | None,
    max_concurrency: int,
    executor: AnyExecutor | None,
    batch: bool = False,
    ends_unread: bool = True,
    task: Task | None = None,
) -> Iterator[PromptRun]:
    """A run of requests of one prompt, as the arguments of `evaluate` say; ``count`` is the number of rows that are
    asked about, ``task`` what answers them, and ``ends_unread`` says whether the run ends when no answer can be read.
    The storage stays open where nothing goes wrong.

    Raises:
        InputError: the budget cannot be kept, or the storage cannot be opened.
    """
    judge = metric if isinstance(metric, Judge) else None
    models = [model] if judge is None else distinct([model, judge.model])
    sender = executor_of(executor, EXECUTOR_LABEL, models)
    check_batches(batch, [model])
    own = 1 if task is None else task.most_calls
    most = 10 * count * (own + (0 if judge is None else judge.calls)) + 100
    limits = Budget(calls=budget) if isinstance(budget, int) else budget or Budget(calls=most)
    if not isinstance(limits, Budget):
        raise InputError(f"budget= takes a number of calls or a Budget, not {named(budget)}; give one such as 600")
    for each in models:
        check_priced(limits, each)
    ledger = Ledger(limits, price=partial(cost_of, models))
    name = f"{NAME_PREFIX} {uuid.uuid4().hex}"
    url = None if storage is None else storage_url(storage)
    with opened(url, name) as (store, lease):
        settings = EvaluationSettings(
            study=name,
            rows=rows,
            metric=metric,
            store=store,
            ledger=ledger,
            owner=lease.owner if lease else None,
            max_concurrency=max_concurrency,
            tracks_price=judge is not None or task is not None,  # which look their requests up one by one
            task=task,
            secrets=partial(known_secrets, models),
            ends_unread=ends_unread,
            batch=batch,
        )
        yield PromptRun(store=store, name=name, ledger=ledger, settings=settings, models=models, sender=sender)


def model_of(prompt: Prompt, given: Model | str | None) -> Model:
    """The model to ask: the given one, else that of the prompt.

    Raises:
        InputError: neither is there.
    """
    if given is not None:
        check_model(given)
    if isinstance(given, Model):
        return given
    if given is not None:
        return Model.parse(given)
    if prompt.model is None:
        raise InputError(f"the prompt {prompt.name!r} names no model; give model=, such as 'gpt-4o-mini' or 'local'")
    return Model.local() if prompt.model == BUILT_IN else Model(prompt.model)


def prepared_prompt(
    prompt: Prompt, model: Model, answer: Answer | None, default: Callable[[], Answer]
) -> PreparedPrompt:
    """A prompt with its model and answer form, which is ``default`` where neither the caller nor the prompt has one.

    An exported prompt is sent as it was scored; another answer form brings its own request parameters.
    """
    if answer is not None and not isinstance(answer, Answer):
        raise InputError(
            f"answer= takes an answer form, not {named(answer)}; give one such as ps.Label([...]) or ps.Number()"
        )
    exported = from_dict(prompt.answer) if prompt.answer else None
    form = answer or exported or default()
    parameters = dict(prompt.parameters)
    if exported is None:
        parameters = {"temperature": 0, **form.parameters, **parameters}
    elif form != exported:
        own = {key: value for key, value in parameters.items() if key not in exported.parameters}
        parameters = {**form.parameters, **own}
    sent = replace(prompt, parameters=parameters, answer=form.to_dict(), model=model.name)
    return PreparedPrompt(prompt=sent, answer=form, model=model.name, endpoint=model.endpoint)
