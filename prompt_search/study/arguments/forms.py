"""Answer forms and metrics as a study takes them, and what they stand for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from prompt_search import metrics
from prompt_search.answers.base import Answer
from prompt_search.answers.inferred_schema import schema_of
from prompt_search.answers.json_form import Json
from prompt_search.answers.label import Label
from prompt_search.answers.number import Number
from prompt_search.answers.regex import Regex
from prompt_search.answers.target_kinds import json_object
from prompt_search.answers.text import Text
from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import listed, references
from prompt_search.errors import StudyError
from prompt_search.metrics.base import BuiltInMetric, Metric
from prompt_search.metrics.default import default_metric
from prompt_search.prompts.factors import Options
from prompt_search.study.arguments.names import named

AnswerName: TypeAlias = Literal["label", "number", "text", "json"]

MetricName: TypeAlias = Literal[
    "accuracy", "bleu", "chrf", "corpus_bleu", "exact", "exact_match", "fields", "includes", "kappa", "macro_f1",
    "matthews", "numeric", "token_f1",
]  # fmt: skip

AnyAnswer: TypeAlias = Answer | type[Answer] | AnswerName | list[str] | tuple[str, ...] | Options
"""An answer form, or what one is made of: its class, its name, or a list of labels."""

_METRICS: Final[Mapping[str, Metric]] = {
    **{
        each.name: each
        for each in (
            metrics.exact, metrics.includes, metrics.numeric, metrics.token_f1, metrics.bleu, metrics.chrf,
            metrics.fields, metrics.macro_f1, metrics.matthews, metrics.kappa, metrics.corpus_bleu,
        )
    },
    "accuracy": metrics.exact,
    "exact_match": metrics.exact,
}  # fmt: skip

_FORMS: Final[Mapping[type, AnswerName]] = {Label: "label", Number: "number", Text: "text", Json: "json"}


def answer_of(given: AnyAnswer | None, data: Dataset) -> Answer | Options | None:
    """The answer form or the choice of forms: labels and the schema of JSON come from the data where only the form's
    name or class is given.

    Raises:
        InputError: it is no answer form, or the data do not fit it.
    """
    if given is None:
        return None
    if isinstance(given, Options):
        return replace(given, values=tuple(_form(value, data) for value in given.values))
    return _form(given, data)


def _form(given: Any, data: Dataset) -> Answer:
    if isinstance(given, Answer):
        return given
    if isinstance(given, (list, tuple)) and given and all(isinstance(label, str) for label in given):
        return Label(given)
    name = _FORMS.get(given) if isinstance(given, type) else given
    if name == "label":
        return Label(data.labels)
    if name == "number":
        return Number()
    if name == "text":
        return Text()
    if name == "json":
        return _json_form(data)
    raise StudyError(f"answer= takes an answer form such as ps.Label([...]), or one of label, number, text, json, not "
                     f"{_answer_cure(given)}")  # fmt: skip


def _answer_cure(given: Any) -> str:
    """What was given as an answer form, and what to do."""
    if given is Regex:
        return "the class Regex, which needs a pattern; give ps.Regex(r'...')"
    if isinstance(given, Mapping) or hasattr(given, "model_json_schema"):
        return "a schema; give ps.Json(schema)"
    if callable(given):
        return f"{named(given)}; responses are read by a form, and what a function computes of an answer is a metric"
    return f"{named(given)}; give one of them"


def _json_form(data: Dataset) -> Json:
    objects = [json_object(value) for row in data.rows for value in references(row.target)]
    wrong = next((row.target for row in data.rows if any(json_object(v) is None for v in references(row.target))), None)
    if wrong is not None:
        raise StudyError(
            f"answer='json' takes the schema from targets that are JSON objects, and one is {wrong!r}; give "
            "ps.Json(schema), or correct the target"
        )
    return Json(schema_of([each for each in objects if each is not None]))


def metric_of(given: Metric | MetricName | None, answer: Answer | Options | None, data: Dataset) -> Metric:
    """The metric, given by name too; by default `exact`, and `fields` where JSON answers meet JSON targets that are
    written as text.

    Raises:
        InputError: there is no such metric, or it does not take an answer and a row.
    """
    if given is None:
        forms = answer.values if isinstance(answer, Options) else (answer,)
        return default_metric(forms, data)
    metric: Metric = _metric_named(given) if isinstance(given, str) else given
    _check_takes_two(metric)
    if isinstance(metric, metrics.Fields):
        metric.check_targets(data.rows)
    return metric


def _metric_named(name: str) -> Metric:
    found = _METRICS.get(name.strip().casefold().replace("-", "_").replace(" ", "_"))
    if found is not None:
        return found
    if name.casefold() in ("f1", "f_score", "f1_score"):
        raise StudyError(f"metric={name!r} can be macro_f1 (labels) or token_f1 (texts); give one of them")
    raise StudyError(
        f"there is no metric {name!r}; give a function (answer, row) or one of: {listed(sorted(_METRICS))}"
    )


def _check_takes_two(metric: Any) -> None:
    """Refuse a function that cannot be called as metric(answer, row), before a request is paid for."""
    if isinstance(metric, type) and issubclass(metric, BuiltInMetric):
        raise StudyError(f"metric= takes a metric, not the class {metric.__name__}; write {metric.__name__}(...)")
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
        raise StudyError(
            f"a metric is called as metric(answer, row), but {name}{signature} does not take two arguments; write one "
            "such as lambda answer, row: answer == row.target"
        ) from None
