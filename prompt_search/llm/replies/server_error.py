"""What a server says when it refuses a request, out of the many shapes of error bodies."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from prompt_search.llm.replies.bodies import UnreadableBody, body_text, mapping, read_body, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError:
    """A refusal in the server's own words.

    Attributes:
        status: the HTTP status; the one inside the body where a refusal was sent as a success, or where a gateway
            passes on as its own failure what was refused behind it.
        message: the explanation; never empty.
        code, type, param: the machine-readable parts, each "" where the server gives none; numbers as text.
    """

    status: int
    message: str
    code: str = ""
    type: str = ""
    param: str = ""


LONGEST_TEXT: Final = 20_000
"""Number of characters up to which a text is searched for errors inside of it."""

LONGEST_PAGE: Final = 5_000
"""Number of characters of a web page that are searched for what it says."""

_DEEPEST: Final = 12
"""Number of levels of values inside of values that are searched for errors."""

_FAILED: Final = 500
"""The status of an error that was sent as a success and does not say what it is."""

_PASSED_ON: Final = frozenset({400, 408, 413, 422, 429, 503, 529})
"""Statuses behind a gateway that say more than the gateway's own 500."""

_MESSAGES: Final = (
    "message",
    "msg",
    "errormessage",
    "errormsg",
    "errordescription",
    "detail",
    "description",
    "title",
    "details",
)
_FLAGS: Final[Mapping[str, object]] = {"object": "error", "type": "error", "status": "error", "success": False}
"""Fields that say that a body is an error, with their values."""

_STATUS_OF: Final[dict[str, int]] = {
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "resource_exhausted", "insufficient_quota"), 429),
    **dict.fromkeys(("overloaded_error", "unavailable", "service_unavailable"), 503),
    **dict.fromkeys(("authentication_error", "invalid_api_key", "unauthenticated"), 401),
    **dict.fromkeys(("permission_error", "permission_denied"), 403),
    **dict.fromkeys(("not_found_error", "not_found", "model_not_found"), 404),
    **dict.fromkeys(
        ("invalid_request_error", "invalid_argument", "failed_precondition", "context_length_exceeded",
         "content_filter", "badrequesterror", "exceed_context_size_error"), 400,
    ),
    **dict.fromkeys(("timeout", "timeout_error", "request_timeout"), 408),
}  # fmt: skip
"""The HTTP status of codes and types of errors that are sent without one."""

_STATUS_IN_TEXT = re.compile(r"(?:error code|status code|statuscode|http(?: error)?)\W{0,4}([45]\d\d)\b", re.IGNORECASE)
_PYTHON_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\b(?:None|True|False)\b|\(|,?\s*\)""", re.DOTALL)
_TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]+)", re.IGNORECASE)


def read_error(status: int, content: object) -> ServerError:
    """The error in a reply. Whatever the reply holds, this does not raise.

    Args:
        status: the HTTP status; below 400 where the error was sent as a success.
        content: the body, as bytes or as the JSON value in it.

    >>> read_error(400, b'{"error": {"message": "no", "param": "logprobs", "code": 7}}')
    ServerError(status=400, message='no', code='7', type='', param='logprobs')
    """
    body = content
    if isinstance(content, bytes):
        try:
            body = read_body(content)
        except UnreadableBody:
            body = body_text(content)
    parts = _parts(body, _DEEPEST)
    named = next((_STATUS_OF[word] for each in (parts.code, parts.type) if (word := each.lower()) in _STATUS_OF), 0)
    inner = parts.status if parts.status not in (0, status) else named or parts.status
    if status < 400:
        status = inner or _FAILED
    elif status >= 500 and inner in _PASSED_ON:
        status = inner
    return replace(parts, status=status, message=parts.message or shown(body) or "no explanation")


def is_error(body: object) -> bool:
    """Whether a body that was sent as a success says of itself that it is an error."""
    if isinstance(body, list):  # LiteLLM lists what several models said
        return bool(body) and all(map(is_error, body))
    fields = _plain(mapping(body))
    if fields.get("choices"):
        return False
    flagged = _status(fields.get("statuscode")) or any(
        fields.get(name) == value for name, value in _FLAGS.items() if name in fields
    )
    return bool(flagged) or any(fields.get(name) for name in ("error", "errors", "errormessage", "errormsg"))


def _plain(value: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields of an object by names without capitals and underscores: servers write them in every way."""
    return {str(name).replace("_", "").casefold(): each for name, each in value.items()}


def _parts(value: object, depth: int) -> ServerError:
    """What is found in a value, with the status 0 where there is none, and the words of the innermost error."""
    if not depth:
        return ServerError(status=0, message="")
    if isinstance(value, str):
        return _of_text(value, depth)
    if isinstance(value, list):
        found = [_parts(each, depth - 1) for each in value[:5]]
        told = next((each for each in found if each.message), ServerError(status=0, message=""))
        return replace(told, message="; ".join(each.message for each in found if each.message))
    return _of_mapping(_plain(value), depth) if isinstance(value, Mapping) else ServerError(status=0, message="")


def _of_mapping(fields: Mapping[str, Any], depth: int) -> ServerError:
    details = _details(fields)
    own = ServerError(
        status=next((s for name in ("code", "status", "statuscode") if (s := _status(fields.get(name)))), 0),
        message="",
        code=_better(_word(fields.get("code", fields.get("errorcode"))), details["reason"]),
        type=_word(fields.get("type", fields.get("errortype"))) or _word(fields.get("status")),
        param=_word(fields.get("param")) or _place(fields.get("loc")) or details["field"],
    )
    inner = ServerError(status=0, message="")
    for name in _order(fields):
        inner = _parts(fields[name], depth - 1)
        if inner.message:
            break
    place = _place(fields.get("loc"))
    return ServerError(
        status=inner.status or own.status,
        message=f"{place}: {inner.message}" if place and inner.message else inner.message,
        code=_better(inner.code, own.code),
        type=inner.type or own.type,
        param=inner.param or own.param,
    )


def _order(fields: Mapping[str, Any]) -> list[str]:
    """The names of the fields that may hold the explanation, the likeliest first.

    An error that is one word beside a message is its title: ``{"error": "Bad Request", "message": …}``.
    """
    nested = ["error", "errors"]
    names = [*_MESSAGES, *nested] if isinstance(fields.get("error"), str) else [*nested, *_MESSAGES]
    if mapping(fields.get("metadata")).get("raw"):
        names.insert(0, "metadata")
    return [name for name in (*names, "raw", "reason") if fields.get(name)]


def _details(fields: Mapping[str, Any]) -> dict[str, str]:
    """Google's reason, or the quota or the field that it complains of; Azure's inner code."""
    listed = fields.get("details")
    details = [mapping(detail) for detail in (listed if isinstance(listed, list) else ())]
    quotas = [_first(detail.get("violations")).get("quotaId") for detail in details]
    reasons = [*quotas, *(detail.get("reason") for detail in details), mapping(fields.get("innererror")).get("code")]
    places = [_first(detail.get("fieldViolations")).get("field") for detail in details]
    return {
        name: next((word for each in found if (word := _word(each))), "")
        for name, found in (("reason", reasons), ("field", places))
    }


def _first(value: object) -> Mapping[str, Any]:
    """The first object of a list."""
    return mapping(value[0] if isinstance(value, list) and value else None)


def _of_text(text: str, depth: int) -> ServerError:
    """A text, or the error that it quotes as JSON or as Python writes it."""
    text = text.strip()
    if "<" in text[:1] and ">" in text:
        title = _TITLE.search(text[:LONGEST_PAGE])
        text = html.unescape(title[1] if title else _TAG.sub(" ", text[:LONGEST_PAGE]))
        return ServerError(status=0, message=" ".join(text.split()))
    named = _STATUS_IN_TEXT.search(text[:LONGEST_TEXT])
    status = int(named[1]) if named else 0
    quoted = _quoted(text) if "{" in text and len(text) <= LONGEST_TEXT else None
    if quoted is not None:
        inner = _parts(quoted, depth - 1)
        if inner.message:
            return replace(inner, status=inner.status or status)
    return ServerError(status=status, message=text)


def _quoted(text: str) -> object:
    """The first object in a text; None where there is none."""
    start, end = text.find("{"), text.rfind("}") + 1
    before = text[:start].rstrip()
    if before.endswith("[") and "]" in text[end:]:
        start, end = len(before) - 1, text.rfind("]") + 1
    for written in (
        text[start:end],
        text[start:end].replace("\\n", "\n").replace("\\'", "'"),
        _PYTHON_TOKEN.sub(_json_token, text[start:end]),
    ):
        try:
            return json.JSONDecoder(strict=False).raw_decode(written)[0]
        except (ValueError, RecursionError):
            continue
    return None


def _json_token(found: re.Match[str]) -> str:
    """A text or a constant of Python as JSON."""
    token = found.group()
    if token.startswith("'"):
        return '"' + token[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    constants = {"None": "null", "True": "true", "False": "false", "(": "["}
    return "]" if token.endswith(")") else constants.get(token, token)


def _status(value: object) -> int:
    """An HTTP status of an error, as a number or as a text, else 0."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else 0


def _word(value: object) -> str:
    """A code, a type or a name as text; "" for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)[:200] if isinstance(value, str) or abs(value) < 2**53 else ""
    return "" if text in ("None", "null", "error") else text


def _better(first: str, second: str) -> str:
    """The first of two codes, but a word rather than a number."""
    return second if not first or (first.isdigit() and second) else first


def _place(value: object) -> str:
    """FastAPI's place of a mistake in the body: ``messages.0.content``."""
    if not isinstance(value, list):
        return ""
    return ".".join(str(each) for each in value if isinstance(each, str | int) and each != "body")[:200]
