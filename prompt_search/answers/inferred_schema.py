"""The JSON schema that the targets of a data set have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_PROPERTIES = 50
"""Number of different keys at most that are the fields of an object; with more, the keys are taken as values."""


def schema_of(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON schema that all these objects keep, by the types of their values.

    Keys that all objects have are required. If that holds for every key, no other key is allowed, so that servers can
    keep the schema strictly.

    >>> schema_of([{"city": "Rome", "size": 1}, {"city": None, "size": 2.5}])["properties"]
    {'city': {'type': ['string', 'null']}, 'size': {'type': 'number'}}
    """
    names = list(dict.fromkeys(str(name) for each in objects for name in each))
    if len(names) > MOST_PROPERTIES:
        return {"type": "object"}
    properties = {name: _schema([each[name] for each in objects if name in each]) for name in names}
    required = [name for name in names if all(name in each for each in objects)]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False} if required == names else schema


def _schema(values: Sequence[Any]) -> dict[str, Any]:
    """The schema of the values of one key."""
    types = _types(values)
    schema: dict[str, Any] = {}
    if "object" in types:
        schema = schema_of([value for value in values if isinstance(value, Mapping)])
        schema.pop("type")
    if "array" in types:
        members = [member for value in values if isinstance(value, (list, tuple)) for member in value]
        schema["items"] = _schema(members) if members else {"type": "string"}
    return {"type": types[0] if len(types) == 1 else types, **schema}


def _types(values: Sequence[Any]) -> list[str]:
    found = list(dict.fromkeys(_type(value) for value in values))
    if "number" in found and "integer" in found:
        found.remove("integer")
    # Null comes last, as people write it; a key that is always null may hold a text in other data.
    types = [name for name in found if name != "null"] or ["string"]
    return [*types, "null"] if "null" in found else types


def _type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, (list, tuple)):
        return "array"
    return {int: "integer", float: "number"}.get(type(value), "string")
