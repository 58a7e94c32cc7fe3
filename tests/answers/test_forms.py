"""All answer forms can be described in JSON and made again."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from prompt_search.answers import Answer, Json, Label, Number, Regex, Text, from_dict
from prompt_search.errors import InputError
from tests.answers.conftest import SCHEMA, Person, listed

ANSWERS = [
    Label(["yes", "no"], max_tokens=4),
    Label(["yes", "no"], mode="logprobs", calibrate="content-free", name="mine"),
    Label(["yes", "no"], mode="logprobs", calibrate="rows", weights=[0.5, 2.25]),
    Label(["yes", "no"], mode="json"),
    Number(32),
    Text(first_line=True, strip=False),
    Regex("a(b)", group=0),
    Json(SCHEMA),
    Json(Person, name="person"),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
def test_round_trip_through_json(answer: Answer) -> None:
    """The description is JSON, makes an equal form with the same request, and pickling keeps it too."""
    again = from_dict(json.loads(json.dumps(answer.to_dict())))
    for other in (again, pickle.loads(pickle.dumps(answer))):
        assert other == answer
        assert hash(other) == hash(answer)
        assert other.parameters == answer.parameters


def test_wrong_descriptions() -> None:
    """An unknown kind or setting is refused."""
    with pytest.raises(InputError, match="must be one of label, number, text, regex, json, not 'poem'"):
        from_dict({"kind": "poem"})
    with pytest.raises(InputError, match=r"the answer form 'text' cannot be made: .*'rhyme'.*; correct"):
        from_dict({"kind": "text", "rhyme": True})


def test_only_rows_calibration_changes_a_form() -> None:
    """Every other form is the same after it was calibrated."""
    for answer in ANSWERS:
        if not isinstance(answer, Label) or answer.calibrate != "rows":
            assert answer.calibrated([listed(yes=0.9, no=0.1)], ["no"]) is answer
            assert not answer.needs_calibration


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"kind": ["label"]}, r"one of label, number, text, regex, json, not \['label'\]; give one of them"),
        (
            {"kind": "number", "max_tokens": "3"},
            r"max_tokens must be a whole number, not '3'; give the .*",
        ),
        (
            {"kind": "text", "max_tokens": True},
            r"max_tokens must be a whole number, not True; give .*",
        ),
        ({"kind": "regex", "pattern": []}, r"a pattern must be a text, not \[\]; write it in quotes"),
        (
            {"kind": "regex", "pattern": "a", "group": [0]},
            r"the pattern 'a' has no group \[0\] .*; correct .*",
        ),
    ],
)
def test_descriptions_of_any_types_are_told(description: dict[str, Any], message: str) -> None:
    """A hostile file can hold a list where a text belongs: that is one line as well."""
    with pytest.raises(InputError, match=f"{message}$"):
        from_dict(description)
