"""The bodies of replies as JSON values: plain, streamed although nobody asked for it, or unreadable."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

Unreadable = Literal["cut", "page", "deep"]
"""Why a body holds no JSON: it ``cut`` off, or is a text that never was JSON (a web ``page``), or is too ``deep``."""

_LONGEST_INTEGER: Final = 4000
"""Number of digits above which an integer is infinite: Python refuses to read longer ones."""

_STREAM_FIELD = re.compile(r"(?:data|event|id|retry)?:")


class UnreadableBody(Exception):
    """A body holds no JSON; ``why`` says of which kind it is."""

    def __init__(self, why: Unreadable) -> None:
        super().__init__(why)
        self.why = why


def read_body(content: bytes) -> Any:
    """The JSON value of a body.

    Bytes that are no UTF-8 become the replacement character. A streamed answer is joined. A text that holds JSON, and
    a list of one object, are that object.

    Raises:
        UnreadableBody: it holds no JSON.

    >>> read_body(b'[{"choices": []}]')
    {'choices': []}
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise UnreadableBody("deep") from None
    except ValueError:
        value = _read_text(body_text(content))
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _loaded(value)
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def body_text(content: bytes) -> str:
    """A body as a text, without byte order mark and spaces around it."""
    return content.decode("utf-8-sig", "replace").strip()


def whole_characters(text: str) -> str:
    """The text with each half of a surrogate pair that has no other half replaced: no file and no table takes one.

    >>> whole_characters("half " + chr(0xD83D)) == "half " + chr(0xFFFD)
    True
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def shown(value: object) -> str:
    """A JSON value as text for a message; "" where there is nothing in it."""
    if value in (None, "", [], {}):
        return ""
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "a value that is nested too deeply"


def _read_text(text: str) -> Any:
    if _STREAM_FIELD.match(text):
        return _joined(_events(text))
    if text and not text.startswith(("{", "[", '"')):
        raise UnreadableBody("page")
    try:
        return _loaded(text)
    except UnreadableBody:
        lines = text.splitlines()
        if len(lines) > 1 and all(line.startswith("{") and line.endswith("}") for line in lines):
            return _joined(map(_loaded, lines))
        raise


def _loaded(text: str) -> Any:
    """JSON, also with line breaks inside of texts and with numbers of any length."""
    try:
        return json.loads(text, parse_int=_integer, strict=False)
    except RecursionError:
        raise UnreadableBody("deep") from None
    except ValueError:
        raise UnreadableBody("cut") from None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


def _events(text: str) -> Iterable[Any]:
    """The data of a stream's events; ``[DONE]`` is an event with an end."""
    for line in text.splitlines():
        name, colon, data = line.partition(":")
        if name == "data" and colon:
            yield {"done": True} if data.strip() == "[DONE]" else _loaded(data.strip())


def _joined(events: Iterable[Any]) -> dict[str, Any]:
    """The whole answer whose parts a stream has sent, or the error in it.

    Raises:
        UnreadableBody: it does not come to an end.
    """
    parts: list[Any] = []
    positions: list[Any] = []
    whole: dict[str, Any] = {}
    ended, finish_reason = False, None
    for event in map(mapping, events):
        if event.get("error"):
            return dict(event)
        choices = event.get("choices")
        choice = mapping(choices[0] if isinstance(choices, list) and choices else None)
        message = mapping(choice.get("delta") or choice.get("message") or choice)
        piece = message.get("content", message.get("text"))
        parts += piece if isinstance(piece, list) else [piece] if piece else []
        listed = mapping(choice.get("logprobs")).get("content")
        positions += listed if isinstance(listed, list) else []
        finish_reason = choice.get("finish_reason") or finish_reason
        ended = ended or bool(finish_reason) or event.get("done") is True
        whole |= {name: value for name, value in event.items() if value and name not in ("choices", "done")}
    if not ended:
        raise UnreadableBody("cut")
    message = {"content": parts}
    return {
        **whole,
        "choices": [{"message": message, "finish_reason": finish_reason, "logprobs": {"content": positions}}],
    }
