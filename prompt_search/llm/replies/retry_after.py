"""When a server wants to be asked again: Retry-After and its kin, in headers and in the words of errors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from prompt_search.llm.replies.bodies import mapping

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = (
    r"(?:\d+(?:\.\d+)?\s?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)\b"
    r"(?:,? and |, | )?|\d+(?:\.\d+)?(?:ms|s|m|h|d)(?=\d))+"
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|milli|s|m|h|d)")
_WHOLE_DURATION = re.compile(_DURATION)
_IN_WORDS = re.compile(
    rf"(?:try again|retry|retry-after|wait|available|resets?)\b[^.\d]{{0,40}}({_DURATION})", re.IGNORECASE
)
_EPOCH_S: Final = 1e9
_EPOCH_MS: Final = 1e11
"""Sizes from which a number is a moment and not a duration: seconds and milliseconds since 1970."""

_RESETS: Final = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-rate-limit-remaining", "x-rate-limit-reset"),
)
"""Headers with what is left of a limit, and with when it is filled again."""

_DEEPEST: Final = 5


def retry_after_s(
    status: int, headers: Mapping[str, str], body: object, message: str, now: Callable[[], float]
) -> float | None:
    """Seconds after which a server wants to be asked again; None where it does not say.

    Args:
        status: the status of the error; limits that are used up matter for 429 alone.
        headers: the reply's headers, with names in lower case.
        body: the JSON value of the reply.
        message: the explanation in it.
        now: seconds since 1970.
    """
    asked = _asked_for(headers, now)
    if asked is not None:
        return asked
    for fields in _objects(body, _DEEPEST):
        told = _in_fields(fields, now)
        if told is not None:
            return told
    words = _IN_WORDS.search(message[:2000])
    told = _duration_s(words[1]) if words else None
    return _reset_s(headers, now) if told is None and status == 429 else told


def is_kept(name: str) -> bool:
    """Whether a header, by its name in lower case, can say when to ask again."""
    return name.startswith("retry-after") or "ratelimit" in name or "rate-limit" in name


def _asked_for(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Seconds from ``retry-after-ms``, or from ``retry-after``: a number, a duration or an HTTP date."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds * unit_s
    value = headers.get("retry-after", "")
    if (told := _duration_s(value)) is not None:
        return told
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now())
    except (ValueError, OverflowError):
        return None


def _in_fields(fields: Mapping[str, Any], now: Callable[[], float]) -> float | None:
    """Seconds from the fields of an error: Google's ``retryDelay``, headers that a gateway passes on, and others."""
    for name, unit_s in (("retry_after_ms", 0.001), ("retry_after", 1.0), ("retryAfter", 1.0), ("estimated_time", 1.0)):
        seconds = _number(fields.get(name))
        if seconds is not None:
            return seconds * unit_s
    told = fields.get("retryDelay", fields.get("retry_after"))
    if isinstance(told, str) and (seconds := _duration_s(told)) is not None:
        return seconds
    passed_on = {str(name).lower(): str(value) for name, value in mapping(fields.get("headers")).items()}
    asked = _asked_for(passed_on, now)
    return _reset_s(passed_on, now) if asked is None else asked


def _reset_s(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Seconds until a limit that is used up is filled again. Of several the longest, of unknown ones the shortest."""
    used_up, unknown = [], []
    for remaining, reset in _RESETS:
        seconds = _moment_s(headers.get(reset, ""), now)
        if seconds is None or seconds <= 0:
            continue
        left = _number(headers.get(remaining))
        if left is None:
            unknown.append(seconds)
        elif left == 0:
            used_up.append(seconds)
    return max(used_up) if used_up else min(unknown, default=None)


def _moment_s(value: str, now: Callable[[], float]) -> float | None:
    """Seconds until a moment that is given as a duration, as seconds or milliseconds since 1970, or as a date."""
    number = _number(value)
    if number is not None:
        if number >= _EPOCH_MS:
            return number / 1000 - now()
        return number - now() if number >= _EPOCH_S else number
    if (told := _duration_s(value)) is not None:
        return told
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now()
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    """A finite number of 0 or more, also as text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number >= 0 and math.isfinite(number) else None


def _duration_s(text: str) -> float | None:
    """Seconds of a duration such as ``6m0s``, ``20ms`` or ``1 minute and 3.5 seconds``.

    >>> _duration_s("6m0s"), _duration_s("20ms"), _duration_s("1 minute and 30 seconds"), _duration_s("soon")
    (360.0, 0.02, 90.0, None)
    """
    whole = _WHOLE_DURATION.match(text.strip().lower())
    if whole is None:
        return None
    parts = _PART.findall(whole[0])
    return sum(float(number) * _UNITS_S["ms" if unit == "milli" else unit] for number, unit in parts)


def _objects(value: object, depth: int) -> Iterator[Mapping[str, Any]]:
    """The objects in an error's body."""
    if isinstance(value, Mapping):
        yield value
        inner = list(value.values())
    else:
        inner = value if isinstance(value, list) else []
    for each in inner[:20] if depth else ():
        yield from _objects(each, depth - 1)
