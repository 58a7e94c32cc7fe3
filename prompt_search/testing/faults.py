"""Faults of a fake server, drawn from the request and a seed, so that a run repeats whatever its concurrency."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from prompt_search.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Shares of all attempts that fail, by kind of fault; each from 0 to 1, and at most 1 together.

    Attributes:
        rate_limited: a 429 without Retry-After.
        retry_after: a 429 with a Retry-After of ``retry_after_s`` seconds.
        server_error: a 500.
        hang: no answer for ``hang_s`` seconds.
        cut: a broken connection, for half of them in the middle of the answer.
        not_json: an answer that is not JSON.
        truncated: the first half of an answer.
        no_choices: an answer without choices.
        content_filter: an answer that is withheld.
        length: an answer whose text ends after its first half, as by the token limit.

    >>> Faults(server_error=0.9, cut=0.2)
    Traceback (most recent call last):
    prompt_search.errors.InputError: shares of faults must be 0 or more, and at most 1 together; got 1.1
    """

    rate_limited: float = 0.0
    retry_after: float = 0.0
    server_error: float = 0.0
    hang: float = 0.0
    cut: float = 0.0
    not_json: float = 0.0
    truncated: float = 0.0
    no_choices: float = 0.0
    content_filter: float = 0.0
    length: float = 0.0
    retry_after_s: float = 0.1
    hang_s: float = 3600.0

    def __post_init__(self) -> None:
        shares = self.shares.values()
        if min(shares) < 0 or sum(shares) > 1:
            raise InputError(f"shares of faults must be 0 or more, and at most 1 together; got {sum(shares):g}")

    @property
    def shares(self) -> dict[str, float]:
        """Share by kind of fault."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.name.endswith("_s")}

    def drawn(self, chance: float) -> str | None:
        """The fault for a random number from 0 to 1; None: no fault."""
        for name, share in self.shares.items():
            if chance < share:
                return name
            chance -= share
        return None


def chance(*what: object) -> float:
    """A pseudo-random number, at least 0 and below 1, that depends on nothing but ``what``.

    >>> chance("seed", 1) == chance("seed", 1) != chance("seed", 2)
    True
    """
    digest = hashlib.blake2b(repr(what).encode("utf-8", "backslashreplace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _changed(answer: Mapping[str, Any], finish_reason: str, text: str) -> dict[str, Any]:
    """A chat completion with another text and reason for its end."""
    choice = answer["choices"][0]
    message = {**choice["message"], "content": text}
    return {**answer, "choices": [{**choice, "finish_reason": finish_reason, "message": message}]}


def _half(answer: Mapping[str, Any]) -> str:
    text = str(answer["choices"][0]["message"]["content"])
    return text[: len(text) // 2]


SPOILED: Final[Mapping[str, Callable[[Mapping[str, Any], bytes], bytes | Mapping[str, Any]]]] = {
    "not_json": lambda answer, whole: b"<html>upstream is busy</html>",
    "truncated": lambda answer, whole: whole[: len(whole) // 2],
    "no_choices": lambda answer, whole: {**answer, "choices": []},
    "content_filter": lambda answer, whole: _changed(answer, "content_filter", ""),
    "length": lambda answer, whole: _changed(answer, "length", _half(answer)),
}
"""Functions from an answer, as a mapping and as bytes, to the answer with a fault in it."""
