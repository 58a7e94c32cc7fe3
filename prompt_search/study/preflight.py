"""Before the search: what a few dozen calls tell about whether it can pay.

The default prompt answers some rows, a few prompts with other options one block of them each, and some requests are
sent twice. A study that follows finds all these answers stored, so they cost nothing then.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prompt_search import _html
from prompt_search.budget import Budget
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.results.statistics import detectable_difference, mean_interval, own_row_test
from prompt_search.storage.records import Call

Floats = NDArray[np.float64]

MOST_CALLS, MOST_SHARE = 60, 0.05
"""The most calls of a preflight, and the most of a budget that they may be."""

REPEATED = 0.1
"""The part of the calls for asking again what was asked before."""

BLOCK = 9
"""Rows that a prompt other than the default is asked about, roughly."""

SIGNIFICANT = 0.02
NEARLY_PERFECT, SURELY = 0.95, 0.8
"""A default with this score, and with a 95% interval from there on, leaves nothing to search for."""

OFTEN_UNREAD = 0.2


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What was measured, and what it means.

    Attributes:
        study: its name.
        calls: sent or found stored.
        prompts: how many were asked, the default among them.
        score, low, high: of the default prompt, with the 95% interval of its mean over ``rows`` rows.
        variance: of the default's scores between rows.
        differs: the part of the rows on which another prompt's score is not the default's.
        p: of the answers fitting their own rows no better than other rows (`statistics.own_row_test`); NaN where
            that cannot be told, as with a metric of one's own.
        repeated, changed: requests sent twice, and answers that were others the second time.
        unparsed, errors: answers that could not be read and requests that failed.
        test_rows: how many rows are sealed, or as many as the budget has room for.
        repeating: sealed rows that nearly repeat a search row (`duplicates.near_duplicates`).
        detectable: the true difference between two prompts that these rows show four times in five.
        prompt_tokens, completion_tokens, latency_s, cost_usd: means for a request; NaN where unknown.
        budget: calls that are planned, or None.
        worthwhile: whether a search can be expected to find a better prompt and to show it.
        advice: in plain words, the most important first.
    """

    study: str
    calls: int
    prompts: int
    rows: int
    score: float
    low: float
    high: float
    variance: float
    differs: float
    p: float
    repeated: int
    changed: int
    unparsed: int
    errors: int
    test_rows: int
    repeating: int
    detectable: float
    prompt_tokens: float
    completion_tokens: float
    latency_s: float
    cost_usd: float
    budget: int | None
    worthwhile: bool
    advice: tuple[str, ...]

    @property
    def _measured(self) -> list[tuple[str, str]]:
        tokens = f"{self.prompt_tokens:.0f} + {self.completion_tokens:.0f}"
        cost = "unknown" if math.isnan(self.cost_usd) else f"${self.cost_usd:.6f}"
        lines = [
            ("default prompt", f"{self.score:.3f} ({self.low:.3f} to {self.high:.3f}) on {self.rows} rows"),
            ("other prompts", f"{self.prompts - 1} tried; their score differs on {self.differs:.0%} of the rows"),
            ("answers fit their rows", "not looked at" if math.isnan(self.p) else f"p = {self.p:.2g}"),
            ("asked twice", f"{self.repeated} requests, {self.changed} answered differently"),
            ("unparsed, errors", f"{self.unparsed}, {self.errors} of {self.calls}"),
            ("sealed rows", f"{self.test_rows}; they show a true difference of {_rounded(self.detectable)}"),
            ("a request", f"{tokens} tokens, {_rounded(self.latency_s)} s, {cost}"),
        ]
        if self.budget is not None:
            whole = self.budget * (self.prompt_tokens + self.completion_tokens)
            total = "unknown" if math.isnan(self.cost_usd) else f"${self.budget * self.cost_usd:.2f}"
            known = "unknown" if math.isnan(whole) else f"{whole:,.0f}"
            lines.append((f"{self.budget} calls", f"about {known} tokens, cost {total}"))
        return lines

    def __repr__(self) -> str:
        head = f"preflight of {self.study!r}: {self.calls} calls"
        measured = [f"  {name:<24}{value}" for name, value in self._measured]
        return "\n".join([head, *measured, *self.advice])

    def _repr_html_(self) -> str:
        return _html.block(
            _html.table(f"preflight of {self.study}: {self.calls} calls", ("measured", "value"), self._measured),
            _html.join(_html.fill("<p>{}</p>", line) for line in self.advice),
        )


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What came back.

    Args:
        default: the outcomes of the default prompt.
        others: those of each other prompt, on a block of rows.
        repeats: pairs of outcomes of requests sent twice.
        crossed: for each block the scores of its prompts' answers to each of its rows (first axis: the prompt) with
            each of its rows; nothing where that cannot be told.
    """

    default: Sequence[Outcome]
    others: Sequence[Sequence[Outcome]]
    repeats: Sequence[tuple[Outcome, Outcome]]
    crossed: Sequence[Floats]

    @property
    def outcomes(self) -> list[Outcome]:
        """All of them."""
        return [*self.default, *(outcome for found in self.others for outcome in found), *(b for _, b in self.repeats)]

    @property
    def scores(self) -> list[float]:
        """Of all prompts, repeats left out."""
        outcomes = [*self.default, *(outcome for found in self.others for outcome in found)]
        return [outcome.score for outcome in outcomes if outcome.score is not None]

    @property
    def differences(self) -> list[float]:
        """The other prompts' scores minus the default's, where both have one."""
        before = {outcome.row: outcome.score for outcome in self.default if outcome.score is not None}
        after = [(outcome.row, outcome.score) for found in self.others for outcome in found]
        return [score - before[row] for row, score in after if score is not None and row in before]


def part_of(budget: Budget | None) -> Budget:
    """What a preflight may spend before a study with this budget."""
    if budget is None:
        return Budget(calls=MOST_CALLS)
    part = budget.part(MOST_SHARE)
    return replace(part, calls=min(MOST_CALLS, part.calls or MOST_CALLS))


def blocks_of(rows: Sequence[int], allowed: Budget) -> list[Sequence[int]]:
    """The rows in blocks, one for each prompt besides the default, which is asked about every second one."""
    calls = (allowed.calls or MOST_CALLS) * (1 - REPEATED)
    count = max(1, round(calls / (1.5 * BLOCK)))
    size = max(1, int(calls / (count + _for_default(count))))
    return [rows[start : start + size] for start in range(0, min(count * size, len(rows)), size)]


def _for_default(blocks: int) -> int:
    return (blocks + 1) // 2


async def probe(
    evaluator: Evaluator,
    default: PreparedPrompt,
    blocks: Sequence[Sequence[int]],
    others: Sequence[tuple[PreparedPrompt, Collection[int]]],
) -> Probe:
    """Ask each other prompt about a block of rows, the default about the first half of them, and about some again.

    Stops where the budget of the evaluator's ledger does.

    Args:
        evaluator: sends and scores.
        default: the default prompt.
        blocks: of rows.
        others: the other prompts, each with the rows that it may be asked about.
    """
    asking = list(zip(others, blocks, strict=False))
    rows = [row for block in blocks[: _for_default(len(blocks))] for row in block]

    async def asked(prepared: PreparedPrompt, about: Sequence[int]) -> list[Outcome]:
        found = await evaluator.evaluate([(prepared, row) for row in about], "preflight")
        return [outcome for outcome in found if outcome is not None]

    async def learned(prepared: PreparedPrompt, outcomes: list[Outcome]) -> list[Outcome]:
        """As it reads them after having seen them, where it learns from rows."""
        return (await evaluator.reparse(prepared, outcomes, "preflight"))[1]

    first = await asked(default, rows)
    second = [
        (prepared, await asked(prepared, [row for row in block if row in able])) for (prepared, able), block in asking
    ]
    again = await asked(replace(default, sample=1), rows[: max(1, len(rows) // 4)])
    crossed = []
    for prepared, outcomes in second:
        scored = {outcome.row for outcome in outcomes if outcome.score is not None}
        paired = [outcome for outcome in first if outcome.row in scored and outcome.score is not None]
        pairs = [(prepared, [outcome for outcome in outcomes if outcome.row in scored])]
        pairs += [(default, paired)] if len(paired) == len(scored) else []
        tables = [evaluator.pairing_scores(asker, found) for asker, found in pairs]
        known = [table for table in tables if table is not None]
        if scored and known:
            crossed.append(np.array(known))
    return Probe(
        default=await learned(default, first),
        others=[await learned(prepared, found) for prepared, found in second],
        repeats=list(zip(first, again, strict=False)),
        crossed=crossed,
    )


def advise(
    found: Probe,
    calls: Mapping[str, Call],
    *,
    study: str,
    budget: Budget | None,
    sealed: int,
    share: float,
    repeating: Sequence[tuple[int, int, float]],
    bounded: bool,
) -> Preflight:
    """What a probe means.

    Args:
        found: the probe.
        calls: its requests.
        study: the study's name.
        budget: of the study.
        sealed: how many rows are sealed.
        share: the part of the calls that each tested prompt may use on them.
        repeating: sealed rows, each with the search row that it nearly repeats, and how similar they are.
        bounded: whether no score of the metric is above 1; scores of 0 and 1 alone are taken to be so.
    """
    responses = [call.response for call in calls.values()]
    prompt_tokens = _mean([response.usage.prompt_tokens for response in responses])
    completion_tokens = _mean([response.usage.completion_tokens for response in responses])
    cost = _mean([response.cost_usd for response in responses])
    planned = _calls_of(budget, prompt_tokens + completion_tokens, cost)
    test_rows = sealed if planned is None else min(sealed, int(planned * share))
    scores = [outcome.score for outcome in found.default if outcome.score is not None]
    bounded = bounded or set(scores) <= {0.0, 1.0}
    score = float(np.mean(scores)) if scores else math.nan
    low, high = mean_interval(scores)
    differences = found.differences
    outcomes = found.outcomes
    unparsed, errors = sum(o.unparsed for o in outcomes), sum(o.error is not None for o in outcomes)
    detectable = detectable_difference(differences, test_rows)
    p = own_row_test(found.crossed) if found.crossed else math.nan
    changed = sum(a.answer != b.answer for a, b in found.repeats)

    against, remarks = [], []
    if not scores:
        against.append(f"Don't: all {errors} requests failed, the first with {outcomes[0].error}; mend that first.")
    perfect = bounded and score >= NEARLY_PERFECT and low >= SURELY
    if perfect:
        against.append(
            f"Don't search for a higher score: the default prompt has {score:.2f} already. Ship it, or collect rows "
            "on which it fails."
        )
    if found.crossed and math.isnan(p) and not any(score > 0 for score in found.scores):
        against.append(
            f"Don't yet: not one answer of {len(found.others) + 1} prompts is right. Look at some: either they are not "
            "read as they should be, or this model cannot do the task."
        )
    if p > SIGNIFICANT:
        against.append(
            f"Don't yet: the answers are not shown to fit their own rows better than other rows (p = {p:.2g} over "
            f"{len(found.others) + 1} prompts). Either the labels are not what the rows say, or this model can hardly "
            "do the task, or so few answers cannot tell it; read ten rows with their answers, then mend the labels or "
            "take a stronger model."
        )
    if bounded and scores and not perfect and not detectable <= 1 - low:
        against.append(
            f"Don't yet: {test_rows} sealed rows cannot show that a prompt is better (they show a true difference "
            f"of {_rounded(detectable)}, and the default leaves at most {1 - low:.2f}). Label more "
            "rows, give more calls, or test all rows in turn (cross_fit)."
        )
    if outcomes and unparsed > OFTEN_UNREAD * len(outcomes):
        remarks.append(
            f"{unparsed} of {len(outcomes)} answers could not be read: look at some, and ask for the form or read "
            "another one."
        )
    if repeating:
        row, other, similarity = repeating[0]
        remarks.append(
            f"{len(repeating)} of the sealed rows nearly repeat search rows: row {row} is {similarity:.0%} like row "
            f"{other}. The test will be too kind; put such rows on one side, by a split column."
        )
    if changed:
        remarks.append(
            f"{changed} of {len(found.repeats)} answers were others when asked again: scores have that noise, too."
        )
    if not against:
        room = f"the default prompt leaves {1 - score:.2f}" if bounded else "scores have no known limit"
        remarks.insert(0, f"Go: {room}, and {test_rows} sealed rows show a true difference of {_rounded(detectable)}.")
    return Preflight(
        study=study,
        calls=len(calls),
        prompts=1 + len(found.others),
        rows=len(scores),
        score=score,
        low=low,
        high=high,
        variance=float(np.var(scores)) if scores else math.nan,
        differs=float(np.mean(np.array(differences) != 0)) if differences else math.nan,
        p=p,
        repeated=len(found.repeats),
        changed=changed,
        unparsed=unparsed,
        errors=errors,
        test_rows=test_rows,
        repeating=len(repeating),
        detectable=detectable,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        latency_s=_mean([response.latency_s for response in responses]),
        cost_usd=cost,
        budget=planned,
        worthwhile=not against,
        advice=(*against, *remarks),
    )


def _calls_of(budget: Budget | None, tokens: float, cost: float) -> int | None:
    """How many calls a budget allows at so many tokens and US dollars a call; None where that is not known."""
    if budget is None:
        return None
    limits = [budget.calls]
    limits += [int(budget.tokens / tokens)] if budget.tokens is not None and tokens > 0 else []
    limits += [int(budget.usd / cost)] if budget.usd is not None and cost > 0 else []
    return min((limit for limit in limits if limit is not None), default=None)


def _mean(values: Sequence[float | None]) -> float:
    """NaN where one is unknown."""
    return float(np.mean([math.nan if value is None else value for value in values])) if values else math.nan


def _rounded(value: float) -> str:
    return "unknown size" if math.isnan(value) else f"{value:.2f}"
