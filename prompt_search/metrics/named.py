"""Metrics of this package by name and as data: in arguments, in exported prompts and in stored studies."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Final

from prompt_search._names import MetricName
from prompt_search.data.rows import listed
from prompt_search.errors import InputError
from prompt_search.metrics.base import BuiltInMetric, Metric, metric_name
from prompt_search.metrics.corpus import CorpusBleu, Kappa, MacroF1, Matthews, WorstSlice
from prompt_search.metrics.json_fields import Fields
from prompt_search.metrics.row import Bleu, Chrf, Exact, Includes, Numeric, TokenF1

_CLASSES: Final[tuple[Any, ...]] = (
    Exact, Includes, Numeric, TokenF1, Bleu, Chrf, Fields, MacroF1, Matthews, Kappa, CorpusBleu, WorstSlice,
)  # fmt: skip
_BY_KIND: Final[Mapping[str, Any]] = {each.name: each for each in _CLASSES}
_BY_CLASS: Final[Mapping[str, Any]] = {each.__name__: each for each in _CLASSES}
_ALIASES: Final[Mapping[str, str]] = {"accuracy": "exact", "exact_match": "exact"}

OWN: Final = "own"
"""The kind of a metric that is none of this package; its description has its name alone."""


def metric_named(name: MetricName | str) -> Metric:
    """The metric of a name, which people write in several ways.

    Raises:
        InputError: there is none.

    >>> metric_named("Macro-F1"), metric_named("accuracy")
    (MacroF1(), Exact(column=None, casefold=True))
    """
    plain = name.strip().casefold().replace("-", "_").replace(" ", "_")
    found = _BY_KIND.get(_ALIASES.get(plain, plain))
    if found is not None and found is not WorstSlice:
        metric: Metric = found()
        return metric
    if plain in ("f1", "f_score", "f1_score"):
        raise InputError(f"metric {name!r} can be macro_f1 (labels) or token_f1 (texts); give one of them")
    known = sorted({*_BY_KIND, *_ALIASES} - {WorstSlice.name})
    raise InputError(f"there is no metric {name!r}; give a function (answer, row) or one of: {listed(known)}")


def stored_metric(text: str) -> Metric | None:
    """The metric of this package whose text this is, as a stored study has it; None for another metric.

    >>> stored_metric("Exact(column=None, casefold=False)"), stored_metric("exact")
    (Exact(column=None, casefold=False), None)
    """
    try:
        found = _value(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError):  # the text of a function, or of another version's metric
        return None
    metric: Metric | None = found if isinstance(found, _CLASSES) else None
    return metric


def _value(node: ast.expr) -> Any:
    """The metric or the plain value that an expression is."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BY_CLASS:
        given = {str(each.arg): _value(each.value) for each in node.keywords}
        return _BY_CLASS[node.func.id](*map(_value, node.args), **given)
    return ast.literal_eval(node)


def description(stored: str) -> dict[str, Any]:
    """The metric of a stored study as a prompt file has it: its ``kind``, and the parameters that are not the default.

    >>> description("Exact(column=None, casefold=False)"), description("polite")
    ({'kind': 'exact', 'casefold': False}, {'kind': 'own', 'name': 'polite'})
    """
    metric = stored_metric(stored)
    return {"kind": OWN, "name": stored} if metric is None else _described(metric)


def _described(metric: Any) -> dict[str, Any]:
    values = {field.name: getattr(metric, field.name) for field in fields(metric)}
    defaults = {field.name: field.default for field in fields(metric)}
    changed = {
        name: _described(value) if isinstance(value, BuiltInMetric) else value
        for name, value in values.items()
        if defaults[name] is MISSING or value != defaults[name]
    }
    return {"kind": metric_name(metric), **changed}


def recorded_metric(given: Mapping[str, Any] | str | None) -> Metric | None:
    """The metric that a prompt names; None where it names none.

    Raises:
        InputError: as `described_metric`.
    """
    return None if given is None else described_metric(given)


def described_metric(given: Mapping[str, Any] | str) -> Metric:
    """The metric that a prompt file names: the inverse of `description`, or a name as people write it.

    Raises:
        InputError: it is a metric of the user, which no file holds; or there is no such metric.

    >>> described_metric({"kind": "exact", "casefold": False})
    Exact(column=None, casefold=False)
    """
    if isinstance(given, str):
        return metric_named(given)
    parameters = {name: value for name, value in given.items() if name != "kind"}
    if given.get("kind") == OWN:
        name = str(parameters.get("name"))
        variable = name if name.isidentifier() else "NAME"  # a judge is known by what it does
        raise InputError(
            f"the prompt was chosen by a metric of your own, {name}, which its file cannot hold; give "
            f"metric={variable}, or on the command line --metric FILE.py:{variable}"
        )
    found = _BY_KIND.get(str(given.get("kind")))
    try:
        if found is not None:
            inner = {n: described_metric(v) for n, v in parameters.items() if n == "metric"}
            metric: Metric = found(**{**parameters, **inner})
            return metric
    except TypeError:  # a parameter that the metric does not have
        pass
    raise InputError(
        f"the prompt's metric {dict(given)!r} is none of this version; give metric= (--metric), or correct the file"
    )
