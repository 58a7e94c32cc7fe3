"""JSON schemas: whether a schema can be used, and which rule of it a value breaks. Nothing is ever fetched."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from prompt_search.answers.base import clipped
from prompt_search.answers.patterns.steps import compiled_pattern, ends_soon, took_too_long
from prompt_search.errors import InputError

if TYPE_CHECKING:
    from jsonschema.exceptions import SchemaError, ValidationError
    from jsonschema.protocols import Validator
    from referencing import Specification

MOST_CHECKS = 50_000
"""Number of keywords that are checked in one value; a schema whose references double takes any number."""
CHECKS_AN_ERROR = 5
"""Number of checks that one error counts as: it is described, and compared with the others."""

_VALUES = ("const", "default", "enum", "examples")
"""Keywords whose values are no schemas."""

_checks_left: ContextVar[list[int]] = ContextVar("checks left")


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse a schema that no value can be checked by.

    Raises:
        InputError: the schema is invalid, names an unknown draft, refers to something outside of it, refers to itself
            without end, has a pattern that does not compile, or takes too many checks.
    """
    text = json.dumps(schema)
    _checks_left.set([MOST_CHECKS])
    try:
        validator = _validator(text)
        _check_references(schema, validator)
        _patterns(text)
        next(validator.iter_errors(None), None)
    except _TooLongError as error:
        raise InputError(f"the JSON schema cannot be used: {error}; remove some of its references") from None
    except OverflowError as error:
        raise InputError(f"the JSON schema has a pattern that does not compile: {error}; correct it") from None
    except RecursionError:
        raise InputError(
            "the JSON schema refers to itself without end, or is nested too deeply; remove a reference or a level"
        ) from None


@lru_cache(maxsize=64)
def _validator(text: str) -> Validator:
    """The validator of a JSON schema, given as JSON text. It has no way to fetch other schemas."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = json.loads(text)
    _dialect(schema)
    kind = _exact(validator_for(schema, default=Draft202012Validator))
    _check_valid(schema, kind)
    registry: Registry[Any] = Registry()
    return kind(schema, registry=registry)


@cache
def _exact(kind: type[Validator]) -> type[Validator]:
    """A kind of validator that calculates with the decimals that are written, ends texts where they end, and ends
    itself after `MOST_CHECKS`."""
    from jsonschema import validators

    own = {**kind.VALIDATORS, "multipleOf": _multiple_of, "pattern": _pattern, "uniqueItems": _unique_items}
    counted = {keyword: _counted(check) for keyword, check in own.items()}
    return validators.extend(kind, counted)  # type: ignore[no-any-return, no-untyped-call]


def _counted(check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    """The check of one keyword, which pays for itself and for the text of its errors."""

    def counted(validator: Validator, *given: Any) -> Iterator[ValidationError]:
        _pay(1)
        for error in check(validator, *given) or ():
            _pay(CHECKS_AN_ERROR + len(error.message) // 1_000)
            yield error

    return counted


def _pay(checks: int) -> None:
    left = _checks_left.get()
    left[0] -= checks
    if left[0] < 0:
        raise _TooLongError(f"it takes more than {MOST_CHECKS:,} checks against the schema")


def _unique_items(validator: Validator, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if wanted and validator.is_type(instance, "array") and len({_key(item) for item in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _key(value: Any) -> Any:
    """A value that is equal for JSON values that are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return "object", frozenset((name, _key(item)) for name, item in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_key, value))
    return isinstance(value, bool), value


class _TooLongError(Exception):
    """A value is not checked, as that takes too long."""


def _check_texts(value: Any, text: str) -> None:
    """Refuse texts on which an expression of the schema does not end soon, wherever the schema applies it."""
    for pattern, said in itertools.product(_patterns(text), set(_texts(value))):
        if not ends_soon(pattern, said):
            raise _TooLongError(took_too_long(pattern, said))


@lru_cache(maxsize=64)
def _patterns(text: str) -> tuple[str, ...]:
    """The regular expressions in a JSON schema, given as JSON text; also in parts that only references lead to.

    Raises:
        InputError: one does not compile.
    """
    found: dict[str, None] = {}
    waiting = [json.loads(text)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            pattern, named = part.get("pattern"), part.get("patternProperties")
            found |= dict.fromkeys([pattern] if isinstance(pattern, str) else ())
            found |= dict.fromkeys(named if isinstance(named, dict) else ())
            waiting += [inner for word, inner in part.items() if word not in _VALUES]
        elif isinstance(part, list):
            waiting += part
    for pattern in found:
        compiled_pattern(pattern)
    return tuple(found)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, names of properties too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _multiple_of(validator: Validator, divisor: float, instance: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "number"):
        return
    if (_decimal(instance) / _decimal(divisor)).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {divisor!r}")


def _decimal(number: float) -> Fraction:
    """The number as it is written: 0.1 is a tenth."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _pattern(validator: Validator, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    # Python's $ also matches before a line break at the end, that of JSON schemas does not.
    ends = _DOLLAR.sub(lambda found: r"\Z" if found.group() == "$" else found.group(), pattern)
    if validator.is_type(instance, "string") and re.search(ends, instance) is None:
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_DOLLAR = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def _dialect(schema: dict[str, Any]) -> Specification[Any]:
    """The draft of a schema."""
    from referencing.jsonschema import DRAFT202012, UnknownDialect, specification_with

    dialect = schema.get("$schema")
    try:
        return DRAFT202012 if dialect is None else specification_with(str(dialect))
    except UnknownDialect:
        raise InputError(
            f"the JSON schema has the $schema {dialect!r}, which is not a known draft; leave it out for Draft 2020-12"
        ) from None


def _check_valid(schema: Any, kind: type[Validator], where: str = "$") -> None:
    """Refuse a part of a schema that breaks the rules of its draft."""
    from jsonschema.exceptions import SchemaError

    try:
        kind.check_schema(schema)
    except SchemaError as error:
        found = error.context[0] if error.context else error  # the only alternatives in there are those of `type`
        raise InputError(
            f"the JSON schema is invalid at {where}{found.json_path[1:]}: {_explained(found)}; correct it"
        ) from None


def _check_references(schema: dict[str, Any], validator: Validator) -> None:
    """Refuse references to something outside of the schema, also in parts that only references lead to."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    draft = _dialect(schema)
    root = draft.create_resource(schema)
    registry: Registry[Any] = Registry()
    waiting, seen = [(root, registry.resolver_with_root(root))], set()
    while waiting:
        part, resolver = waiting.pop()
        if id(part.contents) in seen or not isinstance(part.contents, dict):
            continue
        seen.add(id(part.contents))
        waiting += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]
        for word in ("$ref", "$dynamicRef", "$recursiveRef"):
            reference = part.contents.get(word)
            if reference is None:
                continue
            try:
                found = resolver.lookup(reference)
            except (Unresolvable, ValueError):
                raise InputError(
                    f"the JSON schema refers to {reference!r}, which is not in it and is not fetched; add it to $defs"
                ) from None
            _check_valid(found.contents, type(validator), where=reference)
            waiting.append((draft.create_resource(found.contents), found.resolver))


def violation(value: Any, schema: dict[str, Any]) -> str | None:
    """The rule of a JSON schema that a value breaks, with its place in the value; None where it breaks none.

    Where it breaks several, the most relevant one by the measure of ``jsonschema``.
    """
    from jsonschema.exceptions import best_match

    text = json.dumps(schema)
    _checks_left.set([MOST_CHECKS])
    try:
        _check_texts(value, text)
        error = best_match(_validator(text).iter_errors(value))
    except _TooLongError as error:
        return str(error)
    except BaseException as error:
        # Where the library's own maps meet the recursion limit, Rust panics, which is no `Exception`.
        if not isinstance(error, RecursionError) and type(error).__name__ != "PanicException":
            raise
        return "it is nested too deeply to be checked, or the schema refers to itself without end"
    return None if error is None else f"{error.json_path}: {_explained(error)}"


def _explained(error: ValidationError | SchemaError) -> str:
    """The library's message, shortened. The value that it begins with is written as JSON instead of Python."""
    rest = error.message.removeprefix(repr(error.instance))
    value = "" if rest == error.message else clipped(json.dumps(error.instance, ensure_ascii=False))
    return f"{value}{clipped(rest, 200)}".encode("utf-8", "backslashreplace").decode()


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and every schema in it. Names of properties, constants and unknown words are no schemas."""
    from referencing.jsonschema import DRAFT202012

    waiting = [DRAFT202012.create_resource(schema)]
    while waiting:
        part = waiting.pop()
        waiting += part.subresources()
        if isinstance(part.contents, dict):
            yield part.contents


def is_strict(schema: dict[str, Any]) -> bool:
    """Whether a schema meets OpenAI's rules for strict output: all properties are required and no others allowed."""
    return all(
        part.get("additionalProperties") is False and set(part.get("required", ())) == set(part.get("properties", ()))
        for part in parts(schema)
        if part.get("type") == "object" or "properties" in part
    )
