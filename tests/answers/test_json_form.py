"""JSON answers: what is requested, and what pydantic models make of a value."""

from __future__ import annotations

from prompt_search.answers import Json
from prompt_search.llm.messages import Response
from tests.answers.conftest import SCHEMA, Address, Person, reason


def test_requests_the_schema() -> None:
    """The schema is sent as given, strict only if it meets the rules for that."""
    form = Json(SCHEMA).parameters["response_format"]["json_schema"]
    assert form["schema"] == SCHEMA
    assert form["strict"] is False
    assert Json(Address).parameters["response_format"]["json_schema"]["strict"] is True
    open_object = {"type": "object", "properties": {"any": {"type": "object"}}, "required": ["any"]}
    assert Json(open_object).parameters["response_format"]["json_schema"]["strict"] is False


def test_a_model_validates_and_fills_in() -> None:
    """A pydantic model gives plain values with its defaults, and closes its schema to other names."""
    answer = Json(Person)
    text = '```json\n{"name": "Ada", "addresses": [{"city": "London", "zip": null}]}\n```'
    assert answer.parse(Response(text=text)) == {
        "name": "Ada",
        "mood": "good",
        "addresses": [{"city": "London", "zip": None}],
    }
    assert answer.json_schema["$defs"]["Address"]["additionalProperties"] is False
    why = reason(answer.parse(Response(text='{"name": 1}')))
    assert why.startswith("the JSON breaks its schema: 2 validation errors for Person name")
    assert "\n" not in why


def test_does_not_follow_later_changes() -> None:
    """The schema is copied, so changing the caller's dict changes nothing."""
    schema = {"type": "object"}
    answer = Json(schema)
    schema["type"] = "array"
    assert answer.schema == {"type": "object"}
