"""The metric that an argument stands for; also that of those who name none."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from prompt_search._names import MetricName
from prompt_search.answers.base import Answer
from prompt_search.answers.json_form import Json
from prompt_search.answers.target_kinds import target_kind
from prompt_search.data.dataset import Dataset
from prompt_search.errors import InputError
from prompt_search.metrics.base import BuiltInMetric, Metric
from prompt_search.metrics.json_fields import Fields, fields
from prompt_search.metrics.named import metric_named
from prompt_search.metrics.row import exact


def default_metric(forms: Iterable[Answer | None], data: Dataset) -> Metric:
    """`exact`; but `fields` where a JSON answer meets targets that are JSON objects written as text."""
    targets = [row.target for row in data.rows]
    as_text = any(isinstance(target, str) for target in targets) and any(isinstance(form, Json) for form in forms)
    return fields if as_text and target_kind(targets) == "JSON objects" else exact


def metric_of(given: Metric | MetricName | None, forms: Iterable[Answer | None], data: Dataset) -> Metric:
    """The metric, given by name too; by default `exact`, and `fields` where JSON answers meet JSON targets that are
    written as text.

    Raises:
        InputError: there is no such metric, or it does not take an answer and a row.
    """
    if given is None:
        return default_metric(forms, data)
    metric: Metric = metric_named(given) if isinstance(given, str) else given
    _check_takes_two(metric)
    if isinstance(metric, Fields):
        metric.check_targets(data.rows)
    return metric


def _check_takes_two(metric: Any) -> None:
    """Refuse a function that cannot be called as metric(answer, row), before a request is paid for."""
    if isinstance(metric, type) and issubclass(metric, BuiltInMetric):
        raise InputError(f"metric= takes a metric, not the class {metric.__name__}; write {metric.__name__}(...)")
    if not callable(metric):
        return  # refused with the other checks of metrics
    try:
        signature = inspect.signature(metric)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    try:
        signature.bind("answer", "row")
    except TypeError:
        name = getattr(metric, "__name__", type(metric).__name__)
        raise InputError(
            f"a metric is called as metric(answer, row), but {name}{signature} does not take two arguments; write one "
            "such as lambda answer, row: answer == row.target"
        ) from None
