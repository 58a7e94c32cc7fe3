"""How many tokens an answer took, out of the many ways in which servers count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from prompt_search.llm.messages import Usage
from prompt_search.llm.replies.bodies import mapping

MOST_TOKENS: Final = 2**53
"""A count of so many tokens or more means nothing."""


def read_usage(body: Mapping[str, Any]) -> Usage:
    """The numbers of tokens of an answer, from its whole body.

    Servers count reasoning inside of the completion, or only in the total, or nowhere but in the details. All of it is
    paid for, so all of it is in ``completion_tokens``, once.

    >>> read_usage({"usage": {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 1055}}).completion_tokens
    1005
    """
    given = _given(body)
    if not given:
        return Usage()
    details = mapping(given.get("completion_tokens_details") or given.get("output_tokens_details"))
    prompt = _prompt(given)
    completion = _first(given, "completion_tokens", "output_tokens")
    reasoning = _most(details.get("reasoning_tokens"), given.get("reasoning_tokens"))
    total = token_count(given.get("total_tokens"))
    if total is not None and prompt is not None and total >= prompt:
        completion = max(completion or 0, total - prompt)
    elif total is not None and prompt is None and completion is not None and total >= completion:
        prompt = (total - completion) or None
    if reasoning is not None and completion is not None and reasoning > completion:
        completion += reasoning  # more than all: it is not counted among them
    if prompt is None and not completion:
        return Usage()  # nobody counted
    cached = _cached(given)
    if cached is not None and prompt is not None:
        cached = min(cached, prompt)
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached, reasoning_tokens=reasoning)


def token_count(value: object) -> int | None:
    """A number of tokens as servers write it: 12, 12.0 or "12"; None where it is no such number.

    >>> token_count(12), token_count(12.0), token_count("12"), token_count(-1), token_count(True)
    (12, 12, 12, None, None)
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST_TOKENS:
        return None
    return math.ceil(value)


def _given(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with the counts: of the answer, of its choice, or in a field of Groq's."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    for holder in (body, choice, body.get("x_groq")):
        if given := mapping(mapping(holder).get("usage")):
            return given
    return {}


def _prompt(given: Mapping[str, Any]) -> int | None:
    """Tokens of the prompt; None for 0, with which proxies say that nobody counted.

    Anthropic's ``input_tokens`` are those that were neither in its cache nor written to it.
    """
    prompt = token_count(given.get("prompt_tokens"))
    if prompt is not None:
        return prompt or None
    fresh = token_count(given.get("input_tokens"))
    if fresh is None:
        return None
    names = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return fresh + sum(token_count(given.get(name)) or 0 for name in names) or None


def _cached(given: Mapping[str, Any]) -> int | None:
    details = mapping(given.get("prompt_tokens_details") or given.get("input_tokens_details"))
    names = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
    return _most(details.get("cached_tokens"), *(given.get(name) for name in names))


def _first(given: Mapping[str, Any], *names: str) -> int | None:
    counts = (token_count(given.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _most(*values: object) -> int | None:
    return max((count for value in values if (count := token_count(value)) is not None), default=None)
