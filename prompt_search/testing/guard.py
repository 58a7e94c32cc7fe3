"""A prompt guarded in a test: it fails when the prompt scores less than it has to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_search._first_tries import told

if TYPE_CHECKING:
    from prompt_search._names import MetricName
    from prompt_search.answers.base import Answer
    from prompt_search.budget import Budget
    from prompt_search.data.dataset import AnyData
    from prompt_search.llm.dask_executor import AnyExecutor
    from prompt_search.llm.model import Model
    from prompt_search.metrics.base import Metric
    from prompt_search.prompts.prompt import Prompt
    from prompt_search.results.evaluation import Evaluation


@told("assert_score(prompt, data, at_least=0.8)", min_score="write at_least=", threshold="write at_least=")
def assert_score(
    prompt: Prompt | str | Path,
    data: AnyData,
    *,
    at_least: float,
    model: Model | str | None = None,
    answer: Answer | None = None,
    metric: Metric | MetricName | None = None,
    rows: Sequence[int] | None = None,
    storage: str | Path | None = None,
    budget: Budget | int | None = None,
    executor: AnyExecutor | None = None,
    target: str | None = None,
) -> Evaluation:
    """Fail, as ``assert`` does, unless a prompt's score on labelled rows is at or above a number.

    Rows whose requests were lost have no score. Where they would decide, the assertion fails and says so.

    Args:
        prompt: the prompt, or the file that it was exported to (``.json`` or ``.j2``).
        data: the rows; or a table or the path of a file, with ``target``.
        at_least: the score to reach.
        model: a `Model` or a model name; default: the model that the prompt was scored on.
        metric: as for `evaluate`, whose default is the metric that an exported prompt names.
        answer, rows, storage, budget, executor, target: as for `evaluate`. With a storage, a test that runs again
            sends only what has changed.

    Returns:
        the evaluation.

    Raises:
        AssertionError: the score is below, or too few rows have one; with score, interval and three failing rows.
        InputError: an argument is wrong.
        RunError: the model's server cannot be reached or refuses all requests.

    >>> import pandas as pd
    >>> import prompt_search as ps
    >>> from prompt_search.testing import InProcessExecutor
    >>> data = ps.Dataset(pd.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]}), target="label")
    >>> fake, prompt = InProcessExecutor("x"), ps.Prompt(source="{{ row.text }}")
    >>> try:
    ...     assert_score(prompt, data, at_least=0.9, model=fake.model(), executor=fake, answer=ps.Text())
    ... except AssertionError as error:
    ...     print(*str(error).split("; ", 1), sep="\\n")
    score 0.667 (metric exact, 95% interval 0.21 to 0.94) on 3 rows, below 0.9
    unparsed 0, failed requests 0, rows without a score 0
      row 1: target 'y', answer 'x'
    """
    from prompt_search.data.dataset import Dataset
    from prompt_search.evaluation.one_prompt.evaluate import evaluate
    from prompt_search.evaluation.one_prompt.guard import Guard
    from prompt_search.evaluation.one_prompt.prompt_run import model_of
    from prompt_search.metrics import check_reachable, metric_named, recorded_metric
    from prompt_search.prompts.prompt import Prompt

    held, labelled = Prompt.of(prompt), Dataset.of(data, target)
    scored_by = metric_named(metric) if isinstance(metric, str) else metric or recorded_metric(held.metric)
    check_reachable(scored_by, at_least, "at_least")
    found = evaluate(
        held,
        labelled,
        model=model_of(held, model),
        answer=answer,
        metric=scored_by,
        rows=rows,
        storage=storage,
        budget=budget,
        executor=executor,
    )
    guard = Guard(evaluation=found, at_least=at_least, rows=len(labelled) if rows is None else len(rows))
    if guard.outcome != "reached":
        raise AssertionError("\n  ".join([guard.line, *guard.failing()]))
    return found
