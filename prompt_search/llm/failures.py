"""Whose fault a failed request is, by the kind of its error: this decides how it counts."""

from __future__ import annotations

from typing import Final, Literal

Fault = Literal["prompt", "road", "option"]
"""Whose fault a failure is.

- ``prompt``: the prompt with this row. Whoever ships the prompt gets the same failure, so it is a wrong answer.
- ``road``: the server, the connection or the budget. The row has no score; it is sent again before a verdict.
- ``option``: the server does not take an option of the candidate at all. The candidate is out of the race.
"""

FAULTS: Final[dict[str, Fault]] = {
    "bad_request": "prompt",
    "context_length": "prompt",
    "content_filter": "prompt",
    "empty": "prompt",
    "unsupported": "option",
    "server": "road",
    "timeout": "road",
    "malformed": "road",
    "budget": "road",
}
"""The fault of each kind of error; see `prompt_search.llm.messages.Response` for the kinds."""

RATE_CURE: Final = (
    "the server limits how often it is asked: set requests_per_minute of ps.Model below its limit, or wait"
)
"""What to do about a server that answers 429 again and again."""


def kind_of(error: str) -> str:
    """The kind of an error, given as in ``Response.error``: ``kind: explanation``."""
    return error.partition(":")[0]


def fault_of(error: str) -> Fault:
    """Whose fault an error is, given as in ``Response.error``: ``kind: explanation``.

    >>> fault_of("content_filter: the server withheld the answer"), fault_of("timeout: no response within 120 s")
    ('prompt', 'road')
    """
    return FAULTS[kind_of(error)]
