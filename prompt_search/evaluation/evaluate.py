"""One prompt on labelled rows, without a search."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from prompt_search import metrics
from prompt_search.answers import Answer, default_answer, from_dict
from prompt_search.budget import Budget, Ledger
from prompt_search.data.dataset import Dataset
from prompt_search.errors import InputError
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.evaluation.session import check_priced, connected_evaluator, in_own_thread, opened, sample_record
from prompt_search.evaluation.settings import EvaluationSettings
from prompt_search.llm.dask_executor import AnyExecutor, executor_of
from prompt_search.llm.model import Model
from prompt_search.metrics import Corpus, Metric
from prompt_search.prompts.prompt import Prompt
from prompt_search.results.evaluation import Evaluation, evaluated
from prompt_search.storage.records import SampleRecord
from prompt_search.storage.store import Store

EVALUATIONS = "(evaluation)"
"""What the names begin with under which the calls of `evaluate` are kept."""

EVALUATION_LABEL = "evaluation"
"""Under which name an executor shows them."""

KEPT_AT_ONCE = 500
"""Scored rows that are written down together."""


def evaluate(
    prompt: Prompt,
    data: Dataset,
    *,
    model: Model | str,
    answer: Answer | None = None,
    metric: Metric = metrics.exact,
    rows: Sequence[int] | None = None,
    storage: str | None = None,
    max_concurrency: int = 16,
    budget: Budget | None = None,
    executor: AnyExecutor | None = None,
) -> Evaluation:
    """Score one prompt on labelled rows, without a search.

    Args:
        prompt: what to score.
        data: the rows.
        model: whom to ask.
        answer: how a response is read; default: what the prompt was exported with, else as in `Study`. A form that
            learns from rows and has not yet learns from these.
        metric: ``(answer, row) -> bool | float | Score``.
        rows: positions of the rows to score on; default all.
        storage: where responses are kept and looked for; None: memory.
        max_concurrency: requests in flight.
        budget: a limit; rows beyond it are left out.
        executor: as for `Study`.

    Raises:
        InputError: wrong arguments, before any request.
        RunError: the endpoint cannot be reached or refuses for good.
    """
    asked = Model.parse(model) if isinstance(model, str) else model
    sent_by = executor_of(executor, EVALUATION_LABEL, [asked])
    metrics.check(metric, [*data.fields, data.target])
    chosen = range(len(data)) if rows is None else list(rows)
    if rows is not None and len(set(chosen)) < len(chosen):
        raise InputError("rows has a position more than once; give each once")
    outside = [row for row in chosen if not 0 <= row < len(data)]
    if outside:
        raise InputError(f"rows are positions from 0 to {len(data) - 1}, got {outside[0]}; correct it")
    prepared = _contender(prompt, asked, answer, data)
    for row in chosen[:1]:
        prepared.request(data.rows[row].fields)  # a prompt that does not fit the data is told before any call
    limit = budget or Budget(calls=10 * len(chosen) + 100)
    check_priced(limit, asked)
    ledger = Ledger(limit, price=lambda request, usage: asked.cost(usage))
    label = f"{EVALUATIONS} {uuid.uuid4().hex}"
    with opened(storage, label) as (store, lease):
        kept = _Kept(store, label, data, len(chosen))

        async def main() -> Prompt:
            settings = EvaluationSettings(
                study=label,
                rows=data.rows,
                metric=metric,
                store=store,
                ledger=ledger,
                owner=lease.owner if lease else None,
                max_concurrency=max_concurrency,
                tracks_price=False,
            )
            async with connected_evaluator(settings, [asked], sent_by) as evaluator:
                read_by, jobs = prepared, ((prepared, row) for row in chosen)
                if prepared.answer.needs_calibration or isinstance(metric, Corpus):  # rows are scored together
                    found = await evaluator.evaluate(list(jobs), "evaluation")
                    outcomes = [outcome for outcome in found if outcome is not None]
                    read_by, outcomes = await evaluator.reparse(prepared, outcomes, "evaluation")
                    for number, outcome in enumerate(outcomes):
                        await kept.add(number, outcome)
                else:
                    await evaluator.each(jobs, "evaluation", kept.add)
                await kept.flush()
            return read_by.prompt

        sent = in_own_thread(main, lambda: ledger.stop("interrupted"))
        if storage is None or store.in_memory:
            scored = evaluated(store, label, kept.rows)
            read: Callable[[], pd.DataFrame] = lambda: scored  # noqa: E731
        else:
            read = partial(evaluated, storage, label, kept.rows)
    store.close()  # after the lease, which is ended by a connection of it
    return Evaluation(
        prompt=sent,
        scores=kept.scores[~np.isnan(kept.scores)].tolist(),
        errors=kept.errors,
        unparsed=kept.unparsed,
        read=read,
        metric=metrics.metric_name(metric),
    )


class _Kept:
    """Takes an evaluation's outcomes: all that is known of them goes to the storage, the scores stay here."""

    def __init__(self, store: Store, label: str, data: Dataset, most: int) -> None:
        self._store, self._label, self._data = store, label, data
        self._waiting: list[SampleRecord] = []
        self.scores = np.full(most, math.nan)
        self.rows = self.errors = self.unparsed = 0

    async def add(self, place: int, outcome: Outcome) -> None:
        self.rows += 1
        self.errors += outcome.error is not None
        self.unparsed += outcome.unparsed
        if outcome.score is not None:
            self.scores[place] = outcome.score
        self._waiting.append(sample_record(0, "evaluation", outcome, self._data))
        if len(self._waiting) >= KEPT_AT_ONCE:
            await self.flush()

    async def flush(self) -> None:
        records, self._waiting = self._waiting, []
        await self._store.in_thread(self._store.save_trials, self._label, [], records)


def _contender(prompt: Prompt, model: Model, answer: Answer | None, data: Dataset) -> PreparedPrompt:
    """An exported prompt is asked as it was scored; another answer form brings its own parameters."""
    before = from_dict(prompt.answer) if prompt.answer else None
    read = answer or before or default_answer(data)
    parameters = dict(prompt.parameters)
    if before is None:
        parameters = {"temperature": 0, **read.parameters, **parameters}
    elif read != before:
        kept = {key: value for key, value in parameters.items() if key not in before.parameters}
        parameters = {**read.parameters, **kept}
    sent = replace(prompt, parameters=parameters, answer=read.to_dict(), model=model.name)
    return PreparedPrompt(prompt=sent, answer=read, model=model.name, endpoint=model.endpoint)
