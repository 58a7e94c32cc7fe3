"""The sentences of progress, preflight and estimate that users read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prompt_search import _numbers
from prompt_search._html import clipped
from prompt_search._printable import printable
from prompt_search.answers.base import quoted
from prompt_search.study.costs.wording import Lines, proposals_text
from prompt_search.study.snapshot import DONE, Snapshot

if TYPE_CHECKING:
    from prompt_search.evaluation.evidence import Comparison
    from prompt_search.study.probe import Measured

CHOICES_WIDTH = 70
"""Number of characters of the leading prompt's choices that are shown."""


# Progress


def progress_line(snapshot: Snapshot) -> str:
    """Where a study stands, on one line."""
    return ", ".join(progress_parts(snapshot))


def progress_parts(snapshot: Snapshot) -> list[str]:
    """The parts of the line: study, phase, trial, requests, best with interval, errors, cached share, cost, rate,
    time left."""
    limit = "" if math.isinf(snapshot.limit) else f"/{snapshot.limit:,.0f}"
    tried = _numbers.counted(snapshot.trials, "trial")
    parts = [f"{snapshot.study}: {snapshot.phase}", tried, f"{snapshot.calls:,}{limit} calls"]
    if snapshot.best is not None and snapshot.low is not None and snapshot.high is not None:
        parts.append(f"leader {snapshot.best:.3f} ({snapshot.low:.2f} to {snapshot.high:.2f}){_leader(snapshot)}")
    parts.append(f"{_numbers.counted(snapshot.errors, 'error')}, {snapshot.unparsed} unparsed")
    if snapshot.cached:
        parts.append(f"{snapshot.cached / snapshot.responses:.0%} cached")
    parts.append("cost unknown" if math.isnan(snapshot.usd) else _numbers.dollars(snapshot.usd, 4))
    if snapshot.batches:
        parts.append(f"waiting for {snapshot.batches}")
    elif rate := snapshot.rate:
        parts.append(f"{rate:.{0 if rate >= 10 else 1 if rate >= 1 else 2}f} requests/s")
    if not snapshot.batches and (left := snapshot.seconds_left) is not None:
        parts.append(f"{seconds_text(left)} left")
    return [printable(part) for part in parts]


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


def left_open(batches: str) -> str:
    """The batches that an interrupted run leaves to the next one."""
    return f"{batches} is left open at the server, and the next run collects its answers"


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


def interrupted_preflight(done: float, allowed: int) -> str:
    """What an interrupted preflight has done, and what is left of it."""
    left = max(0.0, allowed - done)
    return f"{done:,.0f} of at most {allowed:,} calls of the preflight used; left: {left:,.0f} calls, and the advice"


LONGER_PROMPTS = "more, if longer prompts win"
"""Why a search takes more than its preflight has measured: most of what that sends are short prompts."""


def measured_lines(found: Measured) -> Lines:
    """The table of what a preflight measured; what is not known is left out."""
    score = f"{_numbers.number(found.score)} on {_numbers.counted(found.rows, 'row')}"
    if _numbers.known(found.low):
        score = f"{_numbers.estimate(found.score, found.low, found.high)} on {_numbers.counted(found.rows, 'row')}"
    others = f"{found.prompts - 1} tried"
    if _numbers.known(found.differs):
        others += f"; their score differs on {found.differs:.0%} of the rows"
    lines = [
        ("default prompt", score if found.rows else "no score"),
        ("other prompts", others),
        ("answers match rows", _match(found.p)),
        ("sent twice", f"{_numbers.counted(found.repeated, 'request')}, {found.changed} answered differently"),
        ("unparsed, errors", f"{found.unparsed}, {found.errors} of {found.calls}"),
        ("test rows", str(found.test_rows)),
        ("these can show", _shown(found.detectable)),
    ]
    tokens = found.prompt_tokens + found.completion_tokens
    each = [f"{found.prompt_tokens:.0f} + {found.completion_tokens:.0f} tokens"] if _numbers.known(tokens) else []
    each += [_numbers.seconds(found.latency_s, 2)] if _numbers.known(found.latency_s) else []
    each += [_numbers.dollars(found.cost_usd, 6)] if _numbers.known(found.cost_usd) else []
    lines += [("per request", ", ".join(each))] if each else []
    if found.budget is not None:
        asked, proposals = found.budget, found.proposals
        if proposals is not None:
            asked -= proposals.calls
        usd = asked * found.cost_usd * (1 - (found.discount or 0.0))
        usd += proposals.usd if proposals is not None and proposals.calls else 0.0
        total = asked * tokens + (0 if proposals is None else proposals.tokens)
        whole = [f"about {total:,.0f} tokens"] if _numbers.known(tokens) else []
        by_batch = "" if found.discount is None else f" in batches ({found.discount:.0%} off)"
        whole += [_numbers.dollars(usd, 2) + by_batch] if _numbers.known(usd) else []
        lines += [(f"{found.budget} calls", f"{', '.join(whole)}; {LONGER_PROMPTS}")] if whole else []
        lines += [] if proposals is None else [("proposals", proposals_text(proposals))]
    return lines


def _shown(detectable: float) -> str:
    """What test rows can show, in the table."""
    return "not known yet" if math.isnan(detectable) else f"a true difference of {detectable:.2f}, with 80% power"


def _match(p: float) -> str:
    """Whether answers match their own rows better than other rows."""
    if math.isnan(p):
        return "not tested: that needs more answers, or another metric"
    return f"p = {p:.2g} that they match other rows as well"


def _power(detectable: float) -> str:
    """What test rows can show."""
    if math.isnan(detectable):
        return "what they can show is not known yet"
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


def none_read(prompts: int, answers: int) -> str:
    """No answer could be read."""
    return (
        f"Don't search yet: none of {answers} answers to {_numbers.counted(prompts, 'prompt')} could be read. State "
        "the expected form in the prompt, or use another answer form."
    )


def none_right(prompts: int, answers: int) -> str:
    """No answer of any prompt is right."""
    return (
        f"Don't search yet: none of {answers} answers to {_numbers.counted(prompts, 'prompt')} is correct. Read the "
        "rows above: either the labels do not match the rows, or the answers are not read correctly, or this model "
        "cannot do the task."
    )


def all_the_same(answers: int, answer: str) -> str:
    """Every answer is the same one."""
    return (
        f"Don't search yet: all {answers} answers are {quoted(answer)}, whatever the row is. Read a whole prompt: "
        "either it does not ask what the labels say, or this model cannot do the task."
    )


def no_match(p: float, prompts: int, answers: int) -> str:
    """Answers do not match their rows, and there are enough of them to say so."""
    tested = "" if math.isnan(p) else f"p = {p:.2g}, "
    return (
        f"Don't search yet: answers match their own rows hardly better than other rows ({tested}"
        f"{answers} answers to {_numbers.counted(prompts, 'prompt')}). Either the labels do not match the rows, or "
        "this model can hardly do the task. Read the rows above, then correct the labels or use a stronger model."
    )


def alike(others: int, differing: int, rows: int) -> str:
    """Other prompts score as the default does."""
    return (
        f"Don't search yet: the {_numbers.counted(others, 'other prompt')} that were tried score as the default does, "
        f"with another score on {differing} of {_numbers.counted(rows, 'row')}. Give the template options that differ "
        "more."
    )


def too_few_rows(test_rows: int, detectable: float, room: float, calls: int | None) -> str:
    """The test rows cannot show that a prompt is better; ``calls``: with how many a study has enough test rows, None
    where only more rows help."""
    power = "no difference, however large" if math.isnan(detectable) else f"only a true difference of {detectable:.2f}"
    cure = (
        "Label more rows, or use cross_fit, which tests on all rows."
        if calls is None
        else f"Give the search {calls:,} calls, which test on more rows."
    )
    return (
        f"Don't search yet: {_numbers.counted(test_rows, 'test row')} cannot show that a prompt is better (80% power "
        f"for {power}, and the default prompt leaves room for at most {room:.2f}). {cure}"
    )


# Preflight: too few answers to tell


def too_few_answers(answers: int, p: float, calls: int) -> str:
    """It is not known whether answers match their rows; ``calls``: the budget of a study whose preflight tells."""
    return (
        f"Too few answers to tell whether a search can pay ({_sample(answers, p)}): give {calls:,} calls, of which a "
        "preflight uses at most 5%."
    )


def too_few_rows_answered(answers: int, p: float, rows: int) -> str:
    """The same where a preflight cannot send more calls, or has no more rows."""
    return (
        f"Too few answers to tell whether a search can pay ({_sample(answers, p)}), and a preflight of these rows gets "
        f"no more. Score the default prompt with ps.evaluate on {rows} rows, and read its wrong answers."
    )


def _sample(answers: int, p: float) -> str:
    return _numbers.counted(answers, "answer") + (
        "" if math.isnan(p) else f", p = {p:.2g} of the test that they match their rows"
    )


def too_few_to_compare(others: int, scores: str, calls: int | None, rows: int, detectable: float) -> str:
    """It is not known whether another prompt is better than the default.

    Args:
        others: number of other prompts that were tried.
        scores: their comparison, see `compared`; "" without one.
        calls: number of calls of a study that can tell; None: any that tests on all test rows.
        rows: number of test rows that it has.
        detectable: the difference that these detect; NaN where it is not known.
    """
    if not others:
        return (
            "Too few answers to tell whether another prompt is better: the server refuses all those that were tried. "
            "Offer choices that it takes."
        )
    tried = scores or f"{_numbers.counted(others, 'other prompt')} tried on few rows"
    given = "Only the search can tell" if calls is None else f"Give the search {calls:,} calls"
    power = "" if math.isnan(detectable) else f": on {_numbers.counted(rows, 'test row')} {_power(detectable)}"
    return f"Too few answers to tell whether another prompt is better ({tried}). {given}{power}."


def compared(found: Comparison, p: float) -> str:
    """The best other prompt beside the default, and on how many rows both were scored; ``p``: that it is no better."""
    best, default = found.best, found.default
    scores = f"the best other prompt scores {sum(best) / len(best):.2f} on {_numbers.counted(len(best), 'row')}"
    scores += f", the default {sum(default) / len(default):.2f} on {len(default)}"
    same = "" if found.shared == len(best) == len(default) else f", {found.shared} of them the same"
    return f"{scores}{same}, p = {p:.2g}"


# Preflight: remarks


def go(test_rows: int, detectable: float, room: float | None, scores: str) -> str:
    """A search is advised.

    Args:
        test_rows: number of test rows.
        detectable: the difference that they detect.
        room: what the default prompt leaves to gain; None where scores have no limit.
        scores: the comparison that shows that another prompt is better, see `compared`.
    """
    gain = "scores have no known limit" if room is None else f"the default prompt leaves room for {room:.2f}"
    return f"Go: {scores}; {gain}, and there are {_numbers.counted(test_rows, 'test row')}: {_power(detectable)}."


def varying_metric(metric: str, scores: Sequence[tuple[float | None, float | None]], asked: int) -> str:
    """The metric gave another score for the same answer; ``scores`` are the pairs, of so many."""
    first, second = scores[0]
    return (
        f"The metric {metric} gave another score for the same answer to the same row in {len(scores)} of {asked} cases "
        f"({first:.3g}, then {second:.3g}). A study keeps the first score of an answer; such chance is part of every "
        "difference between prompts."
    )


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


def judge_remark(model: str, calls: int) -> str:
    """What a judge takes of a run, and whose opinion the scores are.

    >>> judge_remark("gpt-4.1", 1)
    'Scores are those of the judge gpt-4.1, which takes 1 of 2 calls for each answer; judge.agreement_df(data) \
compares it with people.'
    """
    return (
        f"Scores are those of the judge {model}, which takes {calls} of {calls + 1} calls for each answer; "
        "judge.agreement_df(data) compares it with people."
    )


def task_remark(task: str, calls: float) -> str:
    """How many calls a row of a task takes.

    >>> task_remark("study.solve", 2.25)
    'A row takes 2.2 calls with the task study.solve, as its first rows have shown; budgets count every call.'
    """
    return (
        f"A row takes {calls:.1f} calls with the task {task}, as its first rows have shown; budgets count every call."
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
