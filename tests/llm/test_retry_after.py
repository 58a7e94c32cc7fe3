"""When a server wants to be asked again, in headers and in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.llm.replies.retry_after import is_kept, retry_after_s

NOW = 1_741_305_600.0
"""2025-03-07T00:00:00Z."""


def wait(headers: dict[str, str] | None = None, body: Any = None, message: str = "", status: int = 429) -> float | None:
    return retry_after_s(status, headers or {}, body, message, lambda: NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "20s"}, 20.0),
        ({"retry-after": "Fri, 07 Mar 2025 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 06 Mar 2025 23:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "7", "x-ratelimit-reset-requests": "20s"}, 7.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s",
          "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30.5s"}, 90.5),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "60s",
          "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3"}, 3.0),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "5s"}, 2.0),
        ({"x-ratelimit-reset": "1741305642"}, 42.0),
        ({"x-ratelimit-reset": "1741305642000"}, 42.0),
        ({"x-ratelimit-reset": "30"}, 30.0),
        ({"x-ratelimit-reset": "1741305500"}, None),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "9"}, 9.0),
        ({"anthropic-ratelimit-tokens-remaining": "0",
          "anthropic-ratelimit-tokens-reset": "2025-03-07T00:00:12Z"}, 12.0),
        ({"anthropic-ratelimit-requests-remaining": "4",
          "anthropic-ratelimit-requests-reset": "2025-03-07T00:00:12Z"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_headers_say_when(headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After wins, then the limits that are used up, in seconds, durations, moments and dates."""
    assert wait(headers) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        (
            "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000. Please try again in 1.242s. Visit us.",
            1.242,
        ),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 6m0s.", 360.0),
        ("Please retry after 20 seconds.", 20.0),
        ("Rate limit is exceeded. Try again in 1 second.", 1.0),
        ("Please retry in 18.5s.", 18.5),
        ("Please wait 2 minutes and 30 seconds before the next request", 150.0),
        ("The model is loading; it will be available in 30 secs", 30.0),
        ("limit resets in 1h2m3s", 3723.0),
        ("Please try again later.", None),
        ("try again with at most 20 messages", None),
        ("the limit is 20 s", None),
    ],
)
def test_words_say_when(message: str, seconds: float | None) -> None:
    """The message of an error names a duration after words such as "try again in"."""
    assert wait(message=message, status=503) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"details": [{"@type": "x/google.rpc.RetryInfo", "retryDelay": "18s"}]}}, 18.0),
        ([{"error": {"details": [{"retryDelay": "0.5s"}]}}], 0.5),
        (
            {"error": {"metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1741305660000"}}}},
            60.0,
        ),
        ({"error": {"metadata": {"headers": {"Retry-After": "4"}}}}, 4.0),
        ({"error": "loading", "estimated_time": 20.0}, 20.0),
        ({"retry_after": 3}, 3.0),
        ({"error": {"retry_after_ms": "1500"}}, 1.5),
        ({"error": {"retry_after": "12s"}}, 12.0),
        ({"error": {"retry_after": True}}, None),
        ({"error": {"retryDelay": None}}, None),
    ],
)
def test_fields_say_when(body: Any, seconds: float | None) -> None:
    """So do fields of the error, at any depth, and headers that a gateway passes on in it."""
    assert wait(body=body) == pytest.approx(seconds)


def test_limits_matter_for_refusals_by_limit_alone() -> None:
    """Every answer of OpenAI names its limits; a failure of another kind has its own wait."""
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    assert wait(headers, status=500) is None


def test_headers_that_are_kept() -> None:
    """Those with a moment and those with what is left; no others."""
    kept = [
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-reset",
        "anthropic-ratelimit-tokens-reset",
        "x-rate-limit-reset",
    ]
    assert list(filter(is_kept, [*kept, "set-cookie", "date", "x-request-id"])) == kept


texts = st.text(max_size=30) | st.sampled_from(
    ["1e999", "99999999999999999999", "9999-12-31T23:59:59-23:59", "1 s 2 s"]
)
names = st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset"])


@given(st.dictionaries(names, texts), texts, st.recursive(texts, lambda inner: st.dictionaries(texts, inner)))
def test_any_text_is_a_wait_or_none(headers: dict[str, str], message: str, body: Any) -> None:
    """Whatever a server writes, it is a number of seconds of 0 or more, or nothing."""
    seconds = wait(headers, body, message)
    assert seconds is None or seconds >= 0
