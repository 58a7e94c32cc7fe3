"""Responses, what is read from them, and schemas."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from prompt_search.answers import Unparsed
from prompt_search.llm.messages import Response


def listed(**probabilities: float) -> Response:
    """A response whose first token was drawn from these; underscores stand for spaces."""
    tokens = sorted(probabilities.items(), key=lambda item: -item[1])
    position = tuple((token.replace("_", " "), math.log(probability)) for token, probability in tokens)
    return Response(text=position[0][0], logprobs=(position,))


def reason(value: Any) -> str:
    assert isinstance(value, Unparsed)
    return value.reason


class Address(BaseModel):
    city: str
    zip: int | None


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    mood: Literal["good", "bad"] = "good"
    addresses: list[Address]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "properties": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a"},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
        "x": {"type": "number"},
        "kind": {"enum": ["p", "q"]},
        "version": {"const": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/a~1tag"}, "minItems": 1, "maxItems": 2},
        "either": {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
        "both": {"allOf": [{"type": "integer"}, {"minimum": 5}]},
    },
    "required": ["n"],
    "additionalProperties": False,
    "$defs": {"a/tag": {"type": "string"}},
}
