"""JSON schemas: every rule counts, and nothing is fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prompt_search.answers import Json
from prompt_search.answers.json_schema import violation
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from tests.answers.conftest import SCHEMA, reason


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (
            {
                "n": 1,
                "x": 1,
                "properties": "ab",
                "kind": "p",
                "version": 1,
                "tags": ["t"],
                "either": True,
            },
            None,
        ),
        ({"n": None, "either": "s", "both": 5}, None),
        ({"n": 2.0}, None),
        ([], "$: [] is not of type 'object'"),
        ({}, "$: 'n' is a required property"),
        ({"n": 1, "m": 1}, "$: Additional properties are not allowed ('m' was unexpected)"),
        ({"n": True}, "$.n: true is not of type 'integer', 'null'"),
        ({"n": 1.5}, "$.n: 1.5 is not of type 'integer', 'null'"),
        ({"n": 0}, "$.n: 0 is less than the minimum of 1"),
        ({"n": 10}, "$.n: 10 is greater than the maximum of 9"),
        ({"n": 1, "properties": "a"}, '$.properties: "a" is too short'),
        ({"n": 1, "properties": "baa"}, "$.properties: \"baa\" does not match '^a'"),
        ({"n": 1, "kind": "r"}, "$.kind: \"r\" is not one of ['p', 'q']"),
        ({"n": 1, "version": 2}, "$.version: 1 was expected"),
        ({"n": 1, "tags": []}, "$.tags: [] should be non-empty"),
        ({"n": 1, "tags": ["a", 1]}, "$.tags[1]: 1 is not of type 'string'"),
        ({"n": 1, "either": 1}, "$.either: 1 is not valid under any of the given schemas"),
        ({"n": 1, "both": 4}, "$.both: 4 is less than the minimum of 5"),
        ({"n": 0, "kind": "r", "m": 1}, "$: Additional properties are not allowed ('m' was unexpected)"),
    ],
)
def test_a_schema_is_checked(value: Any, why: str | None) -> None:
    """What breaks the schema is unparsed, with the place."""
    answer = Json(SCHEMA).parse(Response(text=json.dumps(value)))
    if why is None:
        assert answer == value
    else:
        assert reason(answer) == f"the JSON breaks its schema: {why}"


@pytest.mark.parametrize(
    ("schema", "text", "why"),
    [
        (
            {"properties": {"n": {"exclusiveMinimum": 0}}},
            '{"n": -3}',
            "$.n: -3 is less than or equal to the minimum",
        ),
        ({"exclusiveMaximum": 3}, "3", "$: 3 is greater than or equal to the maximum of 3"),
        ({"multipleOf": 2}, "3", "$: 3 is not a multiple of 2"),
        ({"not": {"type": "null"}}, "null", "$: null should not be valid under {'type': 'null'}"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "3", "$: 3 is valid under each of"),
        ({"uniqueItems": True}, "[1, 1]", "$: [1, 1] has non-unique elements"),
        ({"prefixItems": [{"type": "string"}]}, "[1]", "$[0]: 1 is not of type 'string'"),
        ({"contains": {"const": 1}}, "[2]", "$: [2] does not contain items matching the given schema"),
        ({"minProperties": 1}, "{}", "$: {} should be non-empty"),
        ({"propertyNames": {"maxLength": 1}}, '{"ab": 1}', '$: "ab" is too long'),
        ({"patternProperties": {"^a": {"type": "null"}}}, '{"ab": 1}', "$.ab: 1 is not of type 'null'"),
        ({"dependentRequired": {"a": ["b"]}}, '{"a": 1}', "$: 'b' is a dependency of 'a'"),
        ({"if": {"minimum": 5}, "then": {"multipleOf": 5}}, "6", "$: 6 is not a multiple of 5"),
        ({"unevaluatedProperties": False}, '{"a": 1}', "$: Unevaluated properties are not allowed"),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 0, "exclusiveMinimum": True},
            "0",
            "$: 0",
        ),
    ],
)
def test_every_word_of_a_schema_counts(schema: dict[str, Any], text: str, why: str) -> None:
    """No rule is passed over, whichever part of the language it is of; a draft that the schema names is used."""
    assert reason(Json(schema).parse(Response(text=text))).startswith(f"the JSON breaks its schema: {why}")


def test_reason_stays_short() -> None:
    """Long values and rules are cut, half a surrogate pair is replaced, the same reason comes each time."""
    form = Json({"enum": ["x" * 1000]})
    first, second = (reason(form.parse(Response(text=json.dumps("é\n" * 500)))) for _ in range(2))
    assert first == second
    assert first.startswith('the JSON breaks its schema: $: "é\\né\\n')
    assert len(first) < 300
    assert reason(form.parse(Response(text='"\\ud800"'))).startswith('the JSON breaks its schema: $: "\ufffd" is not')


def test_what_cannot_be_checked_is_unparsed() -> None:
    """A schema that refers to itself without end for a value makes it no answer, and raises nothing."""
    form = Json({"if": {"type": "string"}, "then": {"$ref": "#"}})
    assert reason(form.parse(Response(text='"a"'))) == (
        "the JSON breaks its schema: it is nested too deeply to be checked, or the schema refers to itself without end"
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("object", "must be a pydantic model class or a JSON schema .*, not 'object'"),
        ({"enum": [object()]}, "the JSON schema is not JSON: .*; correct it"),
        ({"type": "text"}, r"is invalid at \$.type: \"text\" is not one of \['array', .*'string'\]; correct it"),
        (
            {"properties": {"a": {"pattern": "("}}},
            r"is invalid at \$.properties.a.pattern: \"\(\" is not a 'regex'",
        ),
        ({"required": "n"}, r"is invalid at \$.required: \"n\" is not of type 'array'; correct it"),
        (
            {"exclusiveMinimum": True},
            r"is invalid at \$.exclusiveMinimum: true is not of type 'number'; correct it",
        ),
        (
            {"items": {"$ref": "#/$defs/a"}},
            r"refers to '#/\$defs/a', which is not in it and is not fetched; add it",
        ),
        ({"$ref": "#/x", "x": {"$ref": "#/y"}}, "refers to '#/y', which is not in it"),
        ({"$ref": "#/x", "x": {"type": "text"}}, r"is invalid at #/x.type: \"text\" is not one of"),
        (
            {"$ref": "#"},
            "refers to itself without end, or is nested too deeply; remove a reference or a level",
        ),
        ({"$schema": "mine"}, r"has the \$schema 'mine', which is not a known draft; leave it out for Draft 2020-12"),
    ],
)
def test_wrong_schemas(schema: Any, message: str) -> None:
    """A schema that cannot be checked is refused at once."""
    with pytest.raises(InputError, match=message):
        Json(schema)


@pytest.mark.parametrize("word", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("address", ["https://json-schema.org/draft/2020-12/schema", "http://[", "other.json"])
def test_nothing_is_fetched(word: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference to an address or a file is refused, wherever it stands, and nothing is opened for it."""
    opened: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", opened.append)
    monkeypatch.setattr("socket.socket.connect", lambda *address: opened.append(address))
    for schema in ({word: address}, {"properties": {"a": {"anyOf": [{"items": {word: address}}]}}}):
        with pytest.raises(InputError) as caught:
            Json(schema)
        assert str(caught.value) == (
            f"the JSON schema refers to {address!r}, which is not in it and is not fetched; add it to $defs"
        )
    assert Json({"enum": [{word: address}]}).parse(Response(text=json.dumps({word: address}))) == {word: address}
    assert not opened


def test_names_of_the_user_are_no_words_of_the_schema() -> None:
    """A property called as a word of the language, and what stands under an unknown word, are not read as rules."""
    schema = {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "properties": {"type": "number"}},
        "patternProperties": {"properties": {"type": "number"}},
        "required": ["$ref", "properties"],
        "additionalProperties": False,
        "x-note": {"properties": 3, "type": "object"},
    }
    form = Json(schema)
    assert form.parameters["response_format"]["json_schema"]["strict"] is True
    assert form.parse(Response(text='{"$ref": "a", "properties": 1}')) == {"$ref": "a", "properties": 1}


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ({"multipleOf": 0.01}, 19.99, True),
        ({"multipleOf": 0.1}, 0.3, True),
        ({"multipleOf": 0.1}, 0.35, False),
        ({"multipleOf": 5}, 7, False),
        ({"multipleOf": 5}, 10.0, True),
        ({"multipleOf": 1e-300}, 1e300, True),
        ({"pattern": r"^\d{4}$"}, "2024", True),
        ({"pattern": r"^\d{4}$"}, "2024\n", False),
        ({"pattern": r"^[$]\d\$$"}, "$5$", True),
    ],
)
def test_decimals_and_ends_of_texts_are_exact(rule: dict[str, Any], value: Any, holds: bool) -> None:
    """Multiples are those of the decimals as they are written, and $ is the end of a text alone."""
    schema = {"type": "object", "properties": {"a": rule}}
    assert (violation({"a": value}, schema) is None) == holds
