"""One prompt on labelled rows, without a search."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from prompt_search import metrics
from prompt_search._first_tries import told
from prompt_search._names import MetricName
from prompt_search.answers.base import Answer
from prompt_search.answers.forms import default_answer
from prompt_search.budget import Budget
from prompt_search.data.dataset import AnyData, Dataset
from prompt_search.errors import InputError
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.judging.judge_check import check_judge
from prompt_search.evaluation.label_check import check_labels, check_target_hidden
from prompt_search.evaluation.one_prompt.prompt_run import SPLIT, model_of, prepared_prompt, prompt_run
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.evaluation.own_thread import in_own_thread
from prompt_search.llm.dask_executor import AnyExecutor
from prompt_search.llm.failures import kind_of
from prompt_search.llm.model import Model
from prompt_search.metrics.base import Metric
from prompt_search.metrics.corpus import Corpus
from prompt_search.metrics.default import metric_of
from prompt_search.prompts.environment import environment
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.requests.task import Task, TaskFunction
from prompt_search.prompts.requests.task_check import check_needs_task, check_task_settings
from prompt_search.prompts.static_checks import check_prompt, row_field_names
from prompt_search.results.evaluation import Evaluation, evaluated
from prompt_search.storage.database import storage_url
from prompt_search.storage.records import SampleRecord, Version
from prompt_search.storage.store import Store

ROWS_PER_WRITE = 500
"""Number of scored rows that are written to the storage together."""


@told("ps.evaluate(prompt, data, model=...)", min_score="use prompt_search.testing.assert_score(..., at_least=0.8)")
def evaluate(
    prompt: Prompt | str | Path,
    data: AnyData,
    *,
    model: Model | str | None = None,
    answer: Answer | None = None,
    metric: Metric | MetricName | None = None,
    rows: Sequence[int] | None = None,
    storage: str | Path | None = None,
    max_concurrency: int = 16,
    budget: Budget | int | None = None,
    executor: AnyExecutor | None = None,
    target: str | None = None,
    batch: bool = False,
    task: Task | TaskFunction | None = None,
) -> Evaluation:
    """Score one prompt on labelled rows, without a search.

    Args:
        prompt: the prompt to score, a text, or the file that a prompt was exported to (``.json`` or ``.j2``).
        data: the rows; or a table or the path of a file, with ``target``.
        model: a `Model` or a model name; default: the model that an exported prompt was scored on.
        answer: the answer form, which parses responses; default: the form that the prompt was exported with, else as in
            `Study`. A form that is calibrated on rows, and is not calibrated yet, is calibrated on these.
        metric: ``(answer, row) -> bool | float | Score``, or the name of a metric; default: the metric that an exported
            prompt names, else as in `Study`.
        rows: positions of the rows to score on; default: all.
        storage: the path of an SQLite file or an SQLAlchemy URL, of the storage that caches responses; None keeps
            everything in memory.
        max_concurrency: number of requests in flight.
        budget: limits of what may be spent, a number counts calls; rows beyond them are left out.
        executor: as for `Study`.
        target: name of the column with the correct answers, where ``data`` is no `Dataset`.
        batch: as for `Study`: all rows in one batch, or in several where they are many.
        task: as for `Study`; a prompt that was chosen for a task needs it.

    Raises:
        InputError: an argument is wrong; raised before any request.
        RunError: the model's server cannot be reached or refuses all requests.
    """
    prompt, data, program = Prompt.of(prompt), Dataset.of(data, target), Task.parse(task)
    check_needs_task(prompt, program)
    prompt = prompt if program is None else replace(prompt, task=program.name)
    model = model_of(prompt, model)
    chosen = _checked_rows(rows, len(data))
    prepared = prepared_prompt(prompt, model, answer, lambda: default_answer(data))
    given = metrics.recorded_metric(prompt.metric) if metric is None else metric
    metric = metric_of(given, [prepared.answer], data)
    metrics.check(metric, [*data.fields, data.target])
    check_judge(metric, [prepared.answer], [*data.fields, data.target])
    check_task_settings(program, [prepared.answer])
    check_labels([prepared.answer], metric, data)
    ast = environment().parse(prompt.source)
    check_prompt(ast, prompt.name, data.fields, data.target)
    check_target_hidden(ast, data)
    for row in chosen[:1]:
        prepared.request(data.rows[row].fields)  # a prompt that does not fit the data is refused before any call
    with prompt_run(
        model,
        data.rows,
        metric=metric,
        budget=budget,
        count=len(chosen),
        storage=storage,
        max_concurrency=max_concurrency,
        executor=executor,
        batch=batch,
        task=program,
    ) as run:
        scored = _ScoredRows(run.store, run.name, data, len(chosen))

        async def work() -> PreparedPrompt:
            async with run.connected() as evaluator:
                paid = chosen[: int(min(run.most_rows, len(chosen)))]
                return await _score_rows(evaluator, prepared, paid, metric, scored)

        sent = in_own_thread(work, run.stop)
    found = _evaluation_of(sent.prompt, metric, scored, None if storage is None else storage_url(storage))
    return replace(found, texts=partial(_shown_texts, prompt, data))


def _checked_rows(rows: Sequence[int] | None, count: int) -> Sequence[int]:
    """The rows to score on.

    Raises:
        InputError: a position is outside the data, or there twice.
    """
    if isinstance(rows, int):
        raise InputError(f"rows= takes positions of rows, not a number; give range({rows}), or data.head({rows})")
    chosen = range(count) if rows is None else list(rows)
    if rows is not None and len(set(chosen)) < len(chosen):
        raise InputError("rows must not repeat a position; give each once")
    outside = [row for row in chosen if not 0 <= row < count]
    if outside:
        raise InputError(f"rows must be positions from 0 to {count - 1}, got {outside[0]}; correct it")
    return chosen


async def _score_rows(
    evaluator: Evaluator, prepared: PreparedPrompt, rows: Sequence[int], metric: Metric, scored: _ScoredRows
) -> PreparedPrompt:
    """Score a prompt on rows.

    Returns:
        the prompt with its parameters as they were sent, and with its answer form calibrated on these rows where it
        learns from rows.
    """
    jobs = ((prepared, row) for row in rows)
    if not prepared.answer.needs_calibration and not isinstance(metric, Corpus):
        lost: dict[int, Outcome] = {}

        async def done(index: int, outcome: Outcome) -> None:
            if outcome.is_lost:
                lost[index] = outcome
            else:
                await scored.add(index, outcome)

        await evaluator.each(jobs, SPLIT, done)
        again = await evaluator.evaluate_again([(prepared, rows[index]) for index in lost], list(lost.values()), SPLIT)
        for index, outcome in zip(lost, again, strict=True):
            await scored.add(index, outcome)
    else:  # scores depend on all rows
        found = await evaluator.evaluate_persistently(list(jobs), SPLIT)
        outcomes = [outcome for outcome in found if outcome is not None]
        prepared, outcomes = await evaluator.reparse(prepared, outcomes, SPLIT)
        for index, outcome in enumerate(outcomes):
            await scored.add(index, outcome)
    await scored.flush()
    return evaluator.sent(prepared)


def _evaluation_of(prompt: Prompt, metric: Metric, scored: _ScoredRows, storage: str | None) -> Evaluation:
    """The result of an evaluation that is done; its storage is closed, and opened again when its table is read."""
    store, name, count = scored.store, scored.name, scored.count
    has_score = ~np.isnan(scored.scores)
    try:
        table = evaluated(store, name, count) if storage is None or store.in_memory else None
    finally:
        store.close()
    return Evaluation(
        prompt=prompt,
        scores=scored.scores[has_score].tolist(),
        requests=scored.requests[has_score].tolist(),
        errors=sum(scored.failures.values()),
        unparsed=scored.unparsed,
        ambiguous=scored.ambiguous,
        failures=scored.failures,
        read=lambda: evaluated(storage or "", name, count) if table is None else table,
        metric=metrics.metric_name(metric),
        score_range=metrics.metric_range(metric),
    )


def _shown_texts(prompt: Prompt, data: Dataset, rows: Collection[int]) -> dict[int, str]:
    """What a prompt shows of rows: the one field that it names, or all of them with their names."""
    used = row_field_names(environment().parse(prompt.source))
    names = [name for name in data.fields if name in used] or list(data.fields)
    if len(names) == 1:
        return {row: str(data.rows[row][names[0]]) for row in rows}
    return {row: "\n".join(f"{name}: {data.rows[row][name]}" for name in names) for row in rows}


class _ScoredRows:
    """Writes the outcomes of an evaluation to the storage, and keeps no more of them than their scores and a part of
    their requests' keys.

    Args:
        store: the storage.
        name: name under which the rows are stored.
        data: the data.
        most: the highest number of rows.
    """

    def __init__(self, store: Store, name: str, data: Dataset, most: int) -> None:
        self.store, self.name = store, name
        self._data = data
        self._unwritten: list[SampleRecord] = []
        self.scores = np.full(most, math.nan)
        self.requests = np.zeros(most, dtype=np.uint64)  # the first 64 bits of the keys: there may be millions
        self.count = self.unparsed = self.ambiguous = 0
        self.failures: Counter[str] = Counter()

    async def add(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of the row with this place among the rows that are scored."""
        self.count += 1
        self.failures.update([] if outcome.error is None else [kind_of(outcome.error)])
        self.unparsed += outcome.unparsed
        self.ambiguous += outcome.ambiguous
        if outcome.score is not None:
            self.scores[index] = outcome.score
            self.requests[index] = int(outcome.key[:16] or "0", 16)  # a task may make no call
        self._unwritten.append(outcome.to_record(0, SPLIT, self._data.rows[outcome.row].target))
        if len(self._unwritten) >= ROWS_PER_WRITE:
            await self.flush()

    async def flush(self) -> None:
        """Write what is not written yet."""
        records, self._unwritten = self._unwritten, []
        await self.store.in_thread(self.store.save_trials, Version(study=self.name), [], records)
