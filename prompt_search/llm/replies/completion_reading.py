"""What a chat completion says: its text, why it ended, its log-probabilities; out of the shapes that servers send.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone, and modules that are pasted in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from prompt_search.llm.replies.bodies import mapping, whole_characters

_ENDS: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit", "tokens_limit",
         "model_context_window_exceeded"), "length",
    ),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "safety", "recitation", "prohibited_content", "blocklist", "spii",
         "image_safety", "refusal", "sensitive", "blocked", "guardrail_intervened"), "content_filter",
    ),
    **dict.fromkeys(
        ("error", "network_error", "internal_error", "abort", "insufficient_system_resource"), "error",
    ),
}  # fmt: skip
"""What the ends of an answer mean that code depends on, by the words of different servers."""

_THOUGHTS: Final = ("thinking", "reasoning", "thought", "summary")
"""Words in the types of parts that are not the answer."""

_FIELDS_OF_PARTS: Final = {"text", "content", "parts", "role", "annotations", "index"}
"""The fields that a part of an answer may have without a type."""

_LARGEST: Final = 1e300
"""A size that no log-probability has; NaN is not below it either."""

_CERTAIN: Final = 0.1
"""A log-probability that none has: that of certainty is 0, and rounding adds less."""

LONGEST_WORD: Final = 100
"""Number of characters that are kept of why an answer ended, and up to which a token is one."""

_DEEPEST: Final = 8
"""Number of levels of parts inside of parts that are read."""


Alternatives = tuple[tuple[str, float], ...]
"""The likeliest tokens at one position, as (token text, natural log-probability), likeliest first."""


class NotUnderstood(Exception):
    """A well formed body is no chat completion."""


class Completion(NamedTuple):
    """One answer.

    Attributes:
        text: what the model said; "" where it said nothing but thoughts or calls of tools.
        refusal: its words where it refused to answer.
        finish_reason: ``length``, ``content_filter``, ``error``, or as the server wrote it.
        logprobs: the alternatives at each position.
    """

    text: str
    refusal: str
    finish_reason: str
    logprobs: tuple[Alternatives, ...]


def read_choice(choice: object) -> Completion:
    """The answer in one of a body's choices.

    Raises:
        NotUnderstood: it holds none.
    """
    if not isinstance(choice, Mapping):
        raise NotUnderstood
    message = choice.get("message") or choice.get("delta") or choice.get("text")
    ended = choice.get("finish_reason") or ""
    if isinstance(message, Mapping):
        content, refused = message.get("content", message.get("text")), message.get("refusal")
    elif isinstance(message, str) or ended or "text" in choice or choice.get("message") == {}:
        content, refused = message, None  # an answer that a filter withheld may have no message at all
    else:
        raise NotUnderstood
    parts = list(_parts(content, _DEEPEST))
    refusals = [refused] if isinstance(refused, str) else []
    return Completion(
        text=whole_characters("".join(text for text, is_refusal in parts if not is_refusal)),
        refusal="".join([*refusals, *(text for text, is_refusal in parts if is_refusal)]),
        finish_reason=normal_end(ended),
        logprobs=_logprobs(choice.get("logprobs")),
    )


def normal_end(reason: object) -> str:
    """Why an answer ended, in OpenAI's words where code depends on it.

    >>> normal_end("FinishReason.MAX_TOKENS"), normal_end("SAFETY"), normal_end("end_turn"), normal_end(None)
    ('length', 'content_filter', 'end_turn', '')
    """
    text = "" if reason is None else whole_characters(str(reason)[:LONGEST_WORD])
    return _ENDS.get(text.rpartition(".")[2].strip().casefold(), text)


def _parts(content: object, depth: int) -> Iterable[tuple[str, bool]]:
    """The texts of a message's content, each with whether it is a refusal.

    Raises:
        NotUnderstood: the content is none that servers send.
    """
    if content is None:
        return
    if isinstance(content, str):
        yield content, False
    elif isinstance(content, list) and depth:
        for part in content:
            yield from _parts(part, depth - 1)
    elif isinstance(content, Mapping) and depth:
        yield from _part(content, depth)
    else:
        raise NotUnderstood


def _part(part: Mapping[str, Any], depth: int) -> Iterable[tuple[str, bool]]:
    kind = str(part.get("type") or "").casefold()
    if any(word in kind for word in _THOUGHTS) or part.get("thought") is True:
        return
    if isinstance(part.get("refusal"), str):
        yield part["refusal"], True
    elif not kind and not set(part) <= _FIELDS_OF_PARTS:  # JSON that was asked for, which the server has read already
        try:
            yield json.dumps(part, ensure_ascii=False), False
        except RecursionError:
            raise NotUnderstood from None
    else:
        text = part.get("text", part.get("content", part.get("parts")))
        yield from _parts(text.get("value") if isinstance(text, Mapping) and "value" in text else text, depth - 1)


def _logprobs(given: object) -> tuple[Alternatives, ...]:
    """Log-probabilities by position, in OpenAI's present shape, in the older one, or as a bare list."""
    listed = given if isinstance(given, list) else mapping(given).get("content")
    if isinstance(listed, list):
        return tuple(_position(mapping(entry)) for entry in listed)
    older = mapping(given)
    tops, tokens, values = (older.get(name) for name in ("top_logprobs", "tokens", "token_logprobs"))
    if isinstance(tops, list) and any(tops):
        return tuple(_alternatives(mapping(top).items()) for top in tops)
    if isinstance(tokens, list) and isinstance(values, list):
        return tuple(_alternatives([pair]) for pair in zip(tokens, values, strict=False))
    return ()


def _position(entry: Mapping[str, Any]) -> Alternatives:
    """The alternatives at one position; the token itself where the server lists none."""
    listed = entry.get("top_logprobs") or entry.get("top_probs")
    if isinstance(listed, Mapping):
        return _alternatives(listed.items())
    tops = [mapping(top) for top in listed] if isinstance(listed, list) else [entry]
    return _alternatives((top.get("token"), top.get("logprob")) for top in tops)


def _alternatives(pairs: Iterable[tuple[object, object]]) -> Alternatives:
    """Pairs of token and log-probability, likeliest first; what is no such pair is left out."""
    known = [
        (token, min(float(value), 0.0))
        for token, value in pairs
        if isinstance(token, str) and len(token) <= LONGEST_WORD
        and isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _CERTAIN
    ]  # fmt: skip
    return tuple(sorted(known, key=lambda pair: -pair[1]))
