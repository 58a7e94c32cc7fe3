"""What the arguments of a study may be written as, and what they stand for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from prompt_search import metrics
from prompt_search.answers.base import Answer
from prompt_search.answers.inferred_schema import schema_of
from prompt_search.answers.json_form import Json
from prompt_search.answers.label import Label
from prompt_search.answers.number import Number
from prompt_search.answers.regex import Regex
from prompt_search.answers.target_kinds import json_object, target_kind
from prompt_search.answers.text import Text
from prompt_search.budget import Budget
from prompt_search.data.dataset import Dataset
from prompt_search.data.readers import AnyTable
from prompt_search.data.rows import listed, references
from prompt_search.errors import StudyError
from prompt_search.llm.model import Model
from prompt_search.metrics.base import BuiltInMetric, Metric
from prompt_search.prompts.factors import Options
from prompt_search.prompts.template import Template, shipped_templates

AnswerName: TypeAlias = Literal["label", "number", "text", "json"]

MetricName: TypeAlias = Literal[
    "accuracy", "bleu", "chrf", "corpus_bleu", "exact", "exact_match", "fields", "includes", "kappa", "macro_f1",
    "matthews", "numeric", "token_f1",
]  # fmt: skip

AnyData: TypeAlias = "Dataset | AnyTable | str | Path"
"""Rows: a `Dataset`; or what one is made of, which needs the target's name as well."""

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


def template_of(given: Template | str | Path) -> Template:
    """The template: a `Template`; a path; or a text, which is the name of a file or of a shipped template where there
    is one, and a template's text otherwise.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(given, Template):
        return given
    if isinstance(given, Path):
        return Template.read(given)
    if not isinstance(given, str):
        raise StudyError(
            f"template= takes a Template, a template's text or a file's path, not {_named(given)}; give one of them"
        )
    shipped = [Path(entry.name).stem for entry in shipped_templates()]
    if given in shipped or ("\n" not in given and "{" not in given):
        return Template.read(given)
    return Template(given)


def data_of(given: AnyData, target: str | None) -> Dataset:
    """The data set: a `Dataset`; or a table or the path of a file, with the name of the target.

    Raises:
        InputError: it is none of these, or the target is missing, or another one than that of the `Dataset`.
    """
    if isinstance(given, Dataset):
        if target is not None and target != given.target:
            raise StudyError(
                f"target={target!r} is not the target of the Dataset, which is {given.target!r}; leave target= out, or "
                "make another Dataset"
            )
        return given
    if target is None:
        what = "a file" if isinstance(given, (str, Path)) else "a table"
        raise StudyError(
            f"data= is {what}, so that the column with the correct answers has to be named; give target='COLUMN'"
        )
    return Dataset.read(given, target=target) if isinstance(given, (str, Path)) else Dataset(given, target=target)


def model_of(given: Model | str | Options) -> Model | str | Options:
    """The model, its name, or a choice of both.

    Raises:
        InputError: it is something else, such as a function or the address of a server.
    """
    for each in given.values if isinstance(given, Options) else (given,):
        if isinstance(each, str) and "://" in each:
            raise StudyError(f"model={each!r} is an address, not a model; give ps.Model('NAME', base_url={each!r})")
        if not isinstance(each, (Model, str)):
            raise StudyError(f"model= takes a Model, its name or ps.choice([...]) of them, not {_model_cure(each)}")
    return given


def _model_cure(given: Any) -> str:
    """What was given as a model, and what to do."""
    if isinstance(given, type):
        return f"the class {given.__name__}; give an instance such as ps.Model('gpt-4o-mini') or ps.Model.local()"
    if isinstance(given, (list, tuple)):
        return "a list; give ps.choice([...])"
    if hasattr(given, "chat") or hasattr(given, "base_url"):
        return (
            f"the client {type(given).__name__}; give the model's name, and with ps.Model(NAME, base_url=URL) where it "
            "is served"
        )
    if callable(given):
        return (
            "a function; give the URL of a server that calls it, ps.Model(NAME, base_url=URL), or in tests "
            "executor=InProcessExecutor(function) with model=executor.model(), from prompt_search.testing"
        )
    return f"{_named(given)}; give one such as ps.Model('gpt-4o-mini') or ps.Model.local()"


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
        return f"{_named(given)}; responses are read by a form, and what a function computes of an answer is a metric"
    return f"{_named(given)}; give one of them"


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
        as_text = any(isinstance(row.target, str) for row in data.rows)
        read_json = as_text and any(isinstance(form, Json) for form in forms)
        return (
            metrics.fields
            if read_json and target_kind([row.target for row in data.rows]) == "JSON objects"
            else metrics.exact
        )
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


def budget_of(given: Budget | int | None, call: str) -> Budget:
    """A budget; a number counts calls.

    Args:
        given: the budget.
        call: the method that needs it, for the error.

    Raises:
        InputError: there is none, or it is none.
    """
    if isinstance(given, Budget):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return Budget(calls=given)
    what = "none was given" if given is None else f"not {_named(given)}"
    raise StudyError(f"{call} needs a budget, {what}; give a number of calls, study.{call}(600), or ps.Budget(usd=2.0)")


def check_others(
    test: int | float | Sequence[int], seed: int, context: Mapping[str, Any] | None, request: Mapping[str, Any] | None
) -> None:
    """Refuse what is often given for these arguments and is something else.

    Raises:
        InputError: one of them has another type.
    """
    if isinstance(test, (Dataset, str)) or hasattr(test, "to_pandas") or hasattr(test, "columns"):
        raise StudyError(
            f"test= takes a number, a share or a list of row numbers, not {_named(test)}; for test rows of your own "
            "put all rows into one table, with a column that holds search or test: Dataset(..., split=COLUMN)"
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise StudyError(f"seed= takes a whole number, not {_named(seed)}; give one such as 0")
    for name, value in (("context", context), ("request", request)):
        if value is not None and not isinstance(value, Mapping):
            raise StudyError(f"{name}= takes a dict of values by name, not {_named(value)}; write {{'NAME': value}}")


def _named(value: Any) -> str:
    """A value in an error: a short text as it is, anything else by its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return text if isinstance(value, (str, int, float)) and len(text) <= 60 else f"a {type(value).__name__}"
