"""Answers that are JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from prompt_search._first_tries import told_class
from prompt_search.answers.base import Answer, Unparsed, check_max_tokens
from prompt_search.answers.json_response import cut_off, json_value, response_format
from prompt_search.answers.json_schema import check_schema, is_strict, parts, violation
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response


@told_class("ps.Json(schema), as in ps.Json({'type': 'object'})")
@dataclass(frozen=True, slots=True, eq=False)
class Json(Answer):
    """A JSON value by ``response_format``, usually a dict. A fenced code block around it is tolerated.

    The request sets ``strict`` if the schema meets OpenAI's rules for that: every property is required, and no
    other property is allowed. A response that was cut off at ``max_tokens`` is ``Unparsed``.

    Args:
        schema: a pydantic model class, or a JSON schema as a dict. A model validates the value and fills in defaults;
            the answer is its ``model_dump(mode="json")``. With a JSON schema the value is checked by the library
            ``jsonschema``, by Draft 2020-12 or the draft that ``$schema`` names. ``format`` is not checked. Nothing is
            fetched: a ``$ref`` has to lead to a place in the schema.
        max_tokens: limit of a response's length.
        name: name of the form among others.

    Raises:
        InputError: the schema is neither, is invalid, or refers to something outside of it; or ``max_tokens`` is below
            1.
    """

    kind: ClassVar[str] = "json"
    schema: Any
    _: KW_ONLY
    max_tokens: int = 256
    name: str = "json"

    def __post_init__(self) -> None:
        check_max_tokens(self.max_tokens)
        if isinstance(self.schema, Mapping):
            try:
                copied = json.loads(json.dumps(self.schema))
            except (TypeError, ValueError, RecursionError) as error:
                raise InputError(f"the JSON schema is not JSON: {error}; correct it") from None
            check_schema(copied)
            object.__setattr__(self, "schema", copied)
        elif not hasattr(self.schema, "model_json_schema"):
            raise InputError(
                f"a schema must be a pydantic model class or a JSON schema (a dict), not {self.schema!r}; give one"
            )

    @property
    def json_schema(self) -> dict[str, Any]:
        """The schema in the request: that of a model allows no properties but those that it names."""
        if isinstance(self.schema, dict):
            return self.schema
        schema: dict[str, Any] = self.schema.model_json_schema()
        for part in parts(schema):
            if "properties" in part:
                part.setdefault("additionalProperties", False)
        return schema

    @property
    def parameters(self) -> dict[str, Any]:
        schema = self.json_schema
        return {
            "max_tokens": self.max_tokens,
            "response_format": response_format(schema, strict=is_strict(schema)),
        }

    def parse(self, response: Response, baseline: Response | None = None) -> Any:
        value = json_value(response, self.max_tokens)
        if isinstance(value, Unparsed):
            return value
        if response.finish_reason == "length":
            return cut_off(self.max_tokens)
        if isinstance(self.schema, dict):
            broken = violation(value, self.schema)
            return value if broken is None else Unparsed(f"the JSON breaks its schema: {broken}")
        try:
            return self.schema.model_validate(value).model_dump(mode="json")
        except ValueError as error:  # pydantic's ValidationError is one
            return Unparsed(f"the JSON breaks its schema: {' '.join(str(error).split())}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "schema": self.json_schema,
            "max_tokens": self.max_tokens,
            "name": self.name,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Json) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))
