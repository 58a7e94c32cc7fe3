"""JSON by ``response_format``: the request parameter, and the value in a response."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from prompt_search.answers.base import Unparsed, final_text, quoted
from prompt_search.answers.final_part import LONGEST_RESPONSE
from prompt_search.llm.messages import Response
from prompt_search.llm.replies.bodies import whole_characters

DEEPEST = 100
"""Number of levels of JSON in JSON up to which an answer is read: all that store or show it go through each level."""

MOST_VALUES = 100
"""Number of different JSON values in one answer up to which they are counted."""


def response_format(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """The request parameter ``response_format`` for a JSON schema."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": schema}}


def json_value(response: Response, max_tokens: int | None) -> Any:
    """The JSON value in a response, or ``Unparsed``.

    The value is the whole response, or what follows its reasoning, or the one fenced code block or object in that which
    is JSON. A text in the value may hold anything, tags of reasoning too.
    """
    text = final_text(response, quotes_tags=True)
    if len(response.text) > LONGEST_RESPONSE:
        return text
    for whole in (response.text, "" if isinstance(text, Unparsed) else text):
        try:
            return _loaded(whole.strip().lstrip("\ufeff"))
        except _RefusedError as error:
            return Unparsed(str(error))
        except (ValueError, RecursionError):
            pass
    if isinstance(text, Unparsed):
        return text
    found = _values(match.group(1) for match in _FENCE.finditer(text)) or _values(_objects(text))
    if len(found) == 1 and _DENIED.search(text.partition("{")[0] + text.rpartition("}")[2]):
        return Unparsed(f"the JSON is said to be wrong: {quoted(text)}")
    if len(found) == 1:
        return found[0]
    if response.finish_reason == "length":
        return cut_off(max_tokens)
    if found:
        count = f"more than {MOST_VALUES}" if len(found) > MOST_VALUES else len(found)
        return Unparsed(f"{count} different JSON values instead of one: {quoted(text)}")
    return Unparsed(f"not JSON: {quoted(text)}")


def cut_off(max_tokens: int | None) -> Unparsed:
    """The outcome for a value that ended at the limit of the response's length."""
    return Unparsed(f"the JSON was cut off at {max_tokens} tokens; raise max_tokens")


_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)```", re.DOTALL)

_DENIED = re.compile(
    r"\b(?:is|are|was|be) (?:wrong|incorrect|invalid|mistaken|false)\b"
    r"|\b(?:is|are|was|be)(?: not|n't) (?:correct|right|valid|true|the answer)\b",
    re.IGNORECASE,
)

_BRACKET = re.compile(r"[{}\[\]]")
_BRACKET_OR_TEXT = re.compile(rf'{_BRACKET.pattern}|"(?:[^"\\]++|\\.)*+(?P<closed>"?)', re.DOTALL)


class _RefusedError(ValueError):
    """The text is JSON but for a rule that Python's reader does not keep."""


def _loaded(text: str) -> Any:
    value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole, object_pairs_hook=_unique)
    return _storable(value, DEEPEST)


def _storable(value: Any, levels: int) -> Any:
    """The value with whole characters alone, where every table and file takes it."""
    if isinstance(value, str):
        return whole_characters(value)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise _RefusedError(f"the JSON is nested more than {DEEPEST} levels deep")
    if isinstance(value, list):
        return [_storable(item, levels - 1) for item in value]
    return {whole_characters(name): _storable(item, levels - 1) for name, item in value.items()}


def _values(texts: Iterable[str]) -> list[Any]:
    """The different values among texts of which some are JSON; one more than `MOST_VALUES` where there are more."""
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            continue
        seen.add(text)
        if len(found) > MOST_VALUES:
            break
        try:
            value = _loaded(text)
        except (ValueError, RecursionError):
            continue
        found[json.dumps(value, sort_keys=True)] = value
    return list(found.values())


def _objects(text: str) -> Iterator[str]:
    """The parts of a text from a brace to the one that closes it; what is not closed is left out."""
    start, depth, pattern = 0, 0, _BRACKET_OR_TEXT
    # Quotation marks outside of braces are those of prose.
    position = text.find("{")
    while position >= 0:
        found = pattern.search(text, position)
        if found is None:
            return
        if pattern is _BRACKET_OR_TEXT and found["closed"] == "":  # no text that begins later is closed either
            pattern, position = _BRACKET, found.start() + 1
            continue
        position = found.end()
        if found.group() in ("{", "["):
            start = start if depth else found.start()
            depth += 1
        elif found.group() in ("}", "]"):
            depth -= 1
            if depth == 0:
                yield text[start:position]
                position = text.find("{", position)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError(f"the number {quoted(digits)} in the JSON is too large")
    return number


def _whole(digits: str) -> int:
    _finite(digits)  # what no float can hold fits into no table and no comparison
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = (
            next(name for name, given in pairs if value[name] != given or type(value[name]) is not type(given))
            if any(value[name] != given for name, given in pairs)
            else None
        )
        if twice is not None:
            raise _RefusedError(f"the JSON has two values of {quoted(twice)}")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
