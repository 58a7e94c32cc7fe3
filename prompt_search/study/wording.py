"""The sentences of progress, preflight and estimate that users read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prompt_search import _numbers
from prompt_search._html import clipped
from prompt_search.answers.base import quoted
from prompt_search.llm.messages import ANSWER_LIMITS
from prompt_search.study.snapshot import DONE, Snapshot

if TYPE_CHECKING:
    from prompt_search.study.probe import Measured

Lines = list[tuple[str, str]]
"""A table of two columns: what it is, and its value."""

CHOICES_WIDTH = 70
"""Number of characters of the leading prompt's choices that are shown."""

BYTES_PER_TOKEN = 4.0
"""Bytes of English text per token, roughly; other scripts and numbers take more tokens."""


# Progress


def progress_line(snapshot: Snapshot) -> str:
    """Where a study stands, on one line."""
    return ", ".join(progress_parts(snapshot))


def progress_parts(snapshot: Snapshot) -> list[str]:
    """The parts of the line: study, phase, trial, requests, best with interval, errors, cached share, cost, rate,
    time left."""
    limit = "" if math.isinf(snapshot.limit) else f"/{snapshot.limit:,.0f}"
    parts = [f"{snapshot.study}: {snapshot.phase}", f"trial {snapshot.trials}", f"{snapshot.calls:,}{limit} calls"]
    if snapshot.best is not None and snapshot.low is not None and snapshot.high is not None:
        parts.append(f"best {snapshot.best:.3f} ({snapshot.low:.2f} to {snapshot.high:.2f}){_leader(snapshot)}")
    parts.append(f"{_numbers.counted(snapshot.errors, 'error')}, {snapshot.unparsed} unparsed")
    if snapshot.cached:
        parts.append(f"{snapshot.cached / snapshot.responses:.0%} cached")
    parts.append("cost unknown" if math.isnan(snapshot.usd) else _numbers.dollars(snapshot.usd, 4))
    if rate := snapshot.rate:
        parts.append(f"{rate:.{0 if rate >= 10 else 1 if rate >= 1 else 2}f} requests/s")
    if (left := snapshot.seconds_left) is not None:
        parts.append(f"{seconds_text(left)} left")
    return parts


def _leader(snapshot: Snapshot) -> str:
    """Which prompt leads, on how many rows, and by how much; nothing where that is not known."""
    if snapshot.leader is None:
        return ""
    rows = f" on {_numbers.counted(snapshot.rows, 'row')}"
    if snapshot.lead is None or not snapshot.leader:
        who = "the default prompt" if not snapshot.leader else f"trial {snapshot.leader}"
        return f"{rows}: {who}"
    shared = "" if snapshot.shared == snapshot.rows else f" on {_numbers.counted(snapshot.shared, 'row')} of both"
    lead = f"{snapshot.lead:+.3f} to the default{shared}"
    return f"{rows}: trial {snapshot.leader}, {lead}, with {clipped(snapshot.choices, CHOICES_WIDTH)}"


def interrupted(snapshot: Snapshot) -> str:
    """What an interrupted run has done, and what is left of it."""
    limited = not math.isinf(snapshot.limit)
    calls = f"{snapshot.calls:,} of {snapshot.limit:,.0f} calls" if limited else f"{snapshot.calls:,} calls"
    done = f"{calls} used, {_numbers.counted(snapshot.trials, 'candidate')} tried"
    if snapshot.phase == DONE:
        return f"{done}, and the test is done"
    left = f"{max(0.0, snapshot.limit - snapshot.calls):,.0f} calls for " if limited else ""
    if snapshot.phase == "test":
        return f"{done}, the search is done and the test had begun; left: {left}the rest of the test"
    return f"{done}; left: {left}the rest of the search and the test, which was not begun"


def seconds_text(seconds: float) -> str:
    """Seconds as people say them.

    >>> seconds_text(7.2), seconds_text(95), seconds_text(4000)
    ('7 s', '1 min 35 s', '1 h 6 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


# Preflight: what was measured


def measured_lines(found: Measured) -> Lines:
    """The table of what a preflight measured."""
    tokens = f"{found.prompt_tokens:.0f} + {found.completion_tokens:.0f}"
    cost = "unknown" if math.isnan(found.cost_usd) else _numbers.dollars(found.cost_usd, 6)
    others = found.prompts - 1
    score = f"{found.score:.3f} ({found.low:.3f} to {found.high:.3f})"
    lines = [
        ("default prompt", f"{score} on {_numbers.counted(found.rows, 'row')}"),
        ("other prompts", f"{others} tried; their score differs on {found.differs:.0%} of the rows"),
        ("answers match rows", "not tested" if math.isnan(found.p) else f"p = {found.p:.2g}"),
        ("sent twice", f"{_numbers.counted(found.repeated, 'request')}, {found.changed} answered differently"),
        ("unparsed, errors", f"{found.unparsed}, {found.errors} of {found.calls}"),
        ("test rows", f"{found.test_rows}; {_power(found.detectable)}"),
        ("per request", f"{tokens} tokens, {_numbers.number(found.latency_s, '.2f')} s, {cost}"),
    ]
    if found.budget is not None:
        whole = found.budget * (found.prompt_tokens + found.completion_tokens)
        total = "unknown" if math.isnan(found.cost_usd) else _numbers.dollars(found.budget * found.cost_usd, 2)
        lines.append((f"{found.budget} calls", f"about {_numbers.number(whole, ',.0f')} tokens, cost {total}"))
    return lines


def _power(detectable: float) -> str:
    """What test rows can show."""
    if math.isnan(detectable):
        return "too few to detect a difference"
    return f"a true difference of {detectable:.2f} is detectable with 80% power"


# Preflight: reasons against a search


def all_failed(errors: int, first_error: str | None) -> str:
    """The default prompt has no score."""
    return f"Don't search yet: all {errors} requests failed, the first with {first_error}; fix that first."


def nearly_perfect(score: float) -> str:
    """The default prompt leaves nothing to gain."""
    return (
        f"Don't search for a higher score: the default prompt already scores {score:.2f}. Ship it, or collect rows "
        "on which it fails."
    )


def none_right(prompts: int) -> str:
    """No answer of any prompt is right."""
    return (
        f"Don't search yet: no answer of the {prompts} prompts is correct. Read some responses: either the answer "
        "form does not read them correctly, or this model cannot do the task."
    )


def no_match(p: float, prompts: int) -> str:
    """Answers are not shown to depend on their rows."""
    return (
        f"Don't search yet: it is not shown that answers match their own rows better than other rows (p = {p:.2g}, "
        f"{prompts} prompts). Either the labels do not match the rows, or this model can hardly do the task, or there "
        "are too few answers to tell. Read ten rows with their answers, then correct the labels or use a stronger "
        "model."
    )


def too_few_rows(test_rows: int, detectable: float, room: float) -> str:
    """The test rows cannot show that a prompt is better."""
    return (
        f"Don't search yet: {_numbers.counted(test_rows, 'test row')} cannot show that a prompt is better "
        f"({_power(detectable)}, and the default prompt leaves room for at most {room:.2f}). Label more rows, allow "
        "more calls, or use cross_fit, which tests on all rows."
    )


# Preflight: remarks


def go(test_rows: int, detectable: float, room: float | None) -> str:
    """A search is advised; ``room``: what the default prompt leaves to gain, None where scores have no limit."""
    gain = "scores have no known limit" if room is None else f"the default prompt leaves room for {room:.2f}"
    return f"Go: {gain}, and there are {_numbers.counted(test_rows, 'test row')}: {_power(detectable)}."


def unread(unparsed: int, answers: int, responses: Sequence[str]) -> str:
    """Many answers could not be read; ``responses`` are some of them."""
    shown = ", ".join(quoted(response) if response.strip() else "(empty)" for response in responses)
    return (
        f"{unparsed} of {answers} answers could not be parsed, such as {shown}. State the expected form in the prompt, "
        "give answers more room (max_tokens), or use another answer form."
    )


def ambiguous(count: int, answers: int) -> str:
    """Many answers mention several possible answers."""
    return (
        f"{count} of {answers} answers mention several possible answers, of which the first was taken. State in the "
        'prompt where the answer stands, such as after "Answer:".'
    )


def reasoning(tokens: float, longest: int) -> str:
    """The model reasons before it answers."""
    return (
        f"The model used {tokens:,.0f} tokens per answer for reasoning; the longest answer had {longest:,} tokens with "
        "it. Each counts and is paid for; the limit of an answer (max_tokens) must leave room for it."
    )


def repeating_rows(count: int, row: int, other: int, similarity: float) -> str:
    """Test rows nearly repeat search rows; ``row`` and ``other`` are the most similar two."""
    return (
        f"{count} of the test rows nearly repeat search rows: row {row} is {similarity:.0%} similar to row {other}. "
        "The test will be optimistic; put such rows on the same side with a split column."
    )


def changed_answers(changed: int, repeated: int) -> str:
    """Answers were different when a request was sent twice."""
    return (
        f"{changed} of {repeated} answers were different when the request was sent again: scores contain this "
        "noise, too."
    )


# Estimate


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
) -> Lines:
    """The table of an estimate."""
    known = f", {stored:,} of them cached" if stored else ""
    return [
        ("calls", f"{calls:,}{known}"),
        ("tokens", _numbers.number(tokens, ",.0f")),
        ("US dollars", _numbers.number(usd, ",.4f")),
        ("seconds", _numbers.number(seconds, ",.0f")),
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
