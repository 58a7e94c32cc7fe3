"""Whose fault a failed request is, by the kind of its error: this decides how it counts."""

from __future__ import annotations

from typing import Final, Literal

Fault = Literal["prompt", "road", "option", "judge"]
"""Whose fault a failure is.

- ``prompt``: the prompt with this row. Whoever ships the prompt gets the same failure, so it is a wrong answer.
- ``road``: the server, the connection or the budget. The row has no score; it is sent again before a verdict.
- ``option``: the server does not take an option of the candidate at all. The candidate is out of the race.
- ``judge``: the judge gave the answer no rating. It counts as the lowest score: an answer may have been written so that
  it gets none, and rows that were left out would hide that.
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
    "judge_scale": "judge",
    "judge_unreadable": "judge",
    "judge_empty": "judge",
    "judge_cut": "judge",
    "judge_refused": "judge",
    "judge_logprobs": "judge",
    "task": "prompt",
    "task_answer": "prompt",
    "task_calls": "prompt",
}
"""The fault of each kind of error; see `prompt_search.llm.messages.Response` for the kinds of requests.

Those of judges: a rating that is not on the scale, no rating in the text, no text, a text that was cut off before the
rating, a request that was refused or withheld, a response without the log-probabilities that are required.

Those of a user's own program as the task: it raised an exception, gave no answer, or made more calls than it may."""

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
