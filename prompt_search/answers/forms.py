"""All answer forms: the form that a description describes, and the default form of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prompt_search.answers.base import Answer
from prompt_search.answers.json_form import Json
from prompt_search.answers.label import Label
from prompt_search.answers.number import Number
from prompt_search.answers.regex import Regex
from prompt_search.answers.text import Text
from prompt_search.errors import InputError

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset

_KINDS: dict[str, type[Answer]] = {form.kind: form for form in (Label, Number, Text, Regex, Json)}


def from_dict(description: Mapping[str, Any]) -> Answer:
    """The answer form that ``Answer.to_dict`` described. Of a pydantic model, only the JSON schema comes back.

    Raises:
        InputError: an unknown kind, an unknown setting, or a wrong one.

    >>> from_dict({"kind": "number", "max_tokens": 8, "name": "n"})
    Number(max_tokens=8, name='n')
    """
    settings = dict(description)
    kind = settings.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(
            f"the kind of an answer form must be one of {', '.join(_KINDS)}, not {kind!r}; give one of them"
        )
    try:
        return _KINDS[kind](**settings)
    except TypeError as error:
        raise InputError(f"the answer form {kind!r} cannot be made: {error}; correct its settings") from None


def default_answer(data: Dataset) -> Answer:
    """The default answer form of a data set: one of its labels where the target has few values, else free text."""
    return Label(data.labels) if data.is_categorical else Text()
