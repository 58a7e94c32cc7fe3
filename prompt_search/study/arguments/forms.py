"""Answer forms as a study takes them, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

from prompt_search._first_tries import named
from prompt_search.answers.base import Answer
from prompt_search.answers.inferred_schema import schema_of
from prompt_search.answers.json_form import Json
from prompt_search.answers.label import Label
from prompt_search.answers.number import Number
from prompt_search.answers.regex import Regex
from prompt_search.answers.target_kinds import json_object
from prompt_search.answers.text import Text
from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import references
from prompt_search.errors import StudyError
from prompt_search.prompts.factors import Options

AnswerName: TypeAlias = Literal["label", "number", "text", "json"]

AnyAnswer: TypeAlias = Answer | type[Answer] | AnswerName | list[str] | tuple[str, ...] | Options
"""An answer form, or what one is made of: its class, its name, or a list of labels."""

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
