"""The words of an estimate, and of what proposals may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_search import _numbers
from prompt_search.llm.messages import ANSWER_LIMITS
from prompt_search.study.costs.tokens import BYTES_PER_TOKEN

if TYPE_CHECKING:
    from prompt_search.study.costs.judge_share import JudgeShare
    from prompt_search.study.costs.proposal_bound import ProposalBound

Lines = list[tuple[str, str]]
"""A table of two columns: what it is, and its value."""

NO_PRICE = "unknown, as is the price of {}; give it as Model(..., price=Price(...))"
NO_TIME = "unknown before a request is answered; a preflight measures it"
BATCH_TIME = "unknown: each round waits for a batch, which its server may take a day for"
"""What an estimate says in place of numbers."""

BATCHES = "{:.0%} off for each request in a batch; a few are sent alone at the full price"
"""What an estimate says of batches."""


def estimate_lines(
    *,
    calls: int,
    stored: int,
    tokens: float,
    usd: float,
    seconds: float,
    prompt_tokens: float,
    completion_tokens: float,
    basis: str,
    proposals: ProposalBound | None = None,
    discount: float | None = None,
) -> Lines:
    """The table of an estimate; the totals hold the proposals, and have the discount of batches."""
    known = f", {stored:,} of them cached" if stored else ""
    unpriced = _numbers.known(tokens) and not _numbers.known(usd)
    # The proposer's price may be the one that is unknown, or both.
    asked = f"the proposer {proposals.model}" if proposals is not None and proposals.is_unpriced else "the model"
    untimed = NO_TIME if discount is None else BATCH_TIME
    return [
        ("calls", f"{calls:,}{known}"),
        *([] if proposals is None else [("proposals", proposals_text(proposals))]),
        ("tokens", _numbers.number(tokens, ",.0f")),
        ("US dollars", NO_PRICE.format(asked) if unpriced else _numbers.number(usd, ",.4f")),
        ("seconds", _numbers.number(seconds, ",.0f") if _numbers.known(seconds) else untimed),
        *([] if discount is None else [("batches", BATCHES.format(discount))]),
        ("per request", f"{prompt_tokens:,.0f} + {completion_tokens:,.0f} tokens"),
        ("based on", basis),
    ]


def stored_basis(responses: int) -> str:
    """The estimate uses stored responses."""
    return f"{responses:,} cached responses of this study or its preflight"


def rendered_basis(prompts: int, *, bounded: bool) -> str:
    """The estimate uses rendered prompts, and the limit of answers where there is one."""
    answers = (
        ("the largest number of tokens that an answer may have")
        if bounded
        else f"no limit on answers ({ANSWER_LIMITS[-1]})"
    )
    return f"{prompts:,} rendered prompts at {BYTES_PER_TOKEN:g} bytes per token, and {answers}"


def judge_text(judge: JudgeShare) -> str:
    """What a judge takes of the totals."""
    known = [] if not _numbers.known(judge.tokens) else [f"{judge.tokens:,.0f} tokens"]
    known += [] if not _numbers.known(judge.usd) else [_numbers.dollars(judge.usd, 4)]
    asked = f"at most {_numbers.counted(judge.calls, 'call')} of {judge.model}, {judge.per_row} for each answer"
    return f"{', '.join([asked, *known])}; part of the totals"


def task_basis(calls: float, rows: int) -> str:
    """Where it is known from how many calls a row takes with a task.

    >>> task_basis(2.25, 40)
    'a row takes 2.2 calls with the task, as 40 stored rows show'
    >>> task_basis(1, 0)
    'a row takes 1.0 calls with the task, as its ps.Task(calls=) says: a preflight counts them'
    """
    known = f"as {rows:,} stored rows show" if rows else "as its ps.Task(calls=) says: a preflight counts them"
    return f"a row takes {calls:.1f} calls with the task, {known}"


def proposals_text(proposals: ProposalBound) -> str:
    """The most that a proposer takes of the totals, or why it is not asked."""
    if not proposals.calls:
        return f"none: {proposals.model} is asked only in runs of at least {proposals.enough:,} calls"
    parts = [f"at most {_numbers.counted(proposals.calls, 'call')} of {proposals.model}"]
    parts += [f"{proposals.tokens:,.0f} tokens"]
    parts += [] if proposals.is_unpriced else [_numbers.dollars(proposals.usd, 4)]
    return f"{', '.join(parts)}; part of the totals"
