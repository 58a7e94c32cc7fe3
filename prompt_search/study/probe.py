"""The requests of a preflight: which prompts are scored on which rows before a search, and what is measured by that.

The default prompt is scored on some rows, a few prompts with other options on one block of them each, and some requests
are sent twice. A study that follows finds these responses stored, so they cost nothing then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prompt_search.budget import Budget
from prompt_search.evaluation.evaluator import Evaluator, Floats
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate
from prompt_search.study.plan import StudyPlan

MAX_CALLS = 60
"""The highest number of calls of a preflight."""

MAX_BUDGET_SHARE = 0.05
"""The largest share of a study's budget that a preflight may use."""

REPEATED_SHARE = 0.1
"""Share of a preflight's calls that send a request for the second time."""

PREFLIGHT_BLOCK_ROWS = 9
"""Number of rows, roughly, that each prompt other than the default is scored on."""

SPLIT = "preflight"
"""Name of the split that the calls of a preflight are stored under."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The outcomes of a preflight.

    Attributes:
        default: outcomes of the default prompt.
        others: outcomes of each other prompt, on a block of rows.
        repeats: pairs of outcomes of requests that were sent twice.
        pairings: for each block the scores of its prompts' answers to each of its rows (first axis: the prompt) by
            the target of each of its rows, see `Evaluator.pairing_scores`; empty where they are not known.
        dialect: what was learned of the servers, in sentences.
    """

    default: Sequence[Outcome]
    others: Sequence[Sequence[Outcome]]
    repeats: Sequence[tuple[Outcome, Outcome]]
    pairings: Sequence[Floats]
    dialect: Sequence[str] = ()

    @property
    def outcomes(self) -> list[Outcome]:
        """All outcomes, repeats included."""
        return [*self._first, *(second for _, second in self.repeats)]

    @property
    def scores(self) -> list[float]:
        """The scores of all prompts, without those of repeats."""
        return [outcome.score for outcome in self._first if outcome.score is not None]

    @property
    def differences(self) -> list[float]:
        """The other prompts' scores minus the default's, on rows where both have one."""
        default = {outcome.row: outcome.score for outcome in self.default if outcome.score is not None}
        others = [(outcome.row, outcome.score) for found in self.others for outcome in found]
        return [score - default[row] for row, score in others if score is not None and row in default]

    @property
    def _first(self) -> list[Outcome]:
        return [*self.default, *(outcome for found in self.others for outcome in found)]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measurements of a preflight.

    Attributes:
        study: the study's name.
        calls: number of requests that were sent or whose response was cached.
        prompts: number of prompts that were scored, the default among them.
        rows: number of rows that the default prompt has a score on.
        score, low, high: mean score of the default prompt, and its 95% confidence interval.
        variance: variance of the default prompt's scores between rows.
        differs: share of the rows on which another prompt's score is not the default's.
        p: of the test that answers match their own rows no better than other rows (`statistics.own_row_test`); NaN
            where it cannot be made, as with a metric of the user's own.
        repeated, changed: number of requests that were sent twice, and of answers that were different the second time.
        unparsed, errors: number of answers that could not be parsed, and of requests that failed.
        ambiguous: number of answers that mention several possible answers, of which the first was taken.
        reasoning_tokens: mean per answer; NaN where the server does not report them.
        longest_answer: highest number of tokens of an answer, reasoning included; None where it is not known.
        test_rows: number of test rows, or as many as the budget has room for.
        repeating: number of test rows that nearly repeat a search row (`duplicates.near_duplicates`).
        detectable: true difference between two prompts that a test on these rows detects with 80% power.
        prompt_tokens, completion_tokens, latency_s, cost_usd: means per request (seconds, dollars); NaN where unknown.
        budget: number of calls that are planned, or None.
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
    ambiguous: int
    reasoning_tokens: float
    longest_answer: int | None
    test_rows: int
    repeating: int
    detectable: float
    prompt_tokens: float
    completion_tokens: float
    latency_s: float
    cost_usd: float
    budget: int | None


def preflight_budget(budget: Budget | None) -> Budget:
    """The budget of a preflight for a study with this budget."""
    if budget is None:
        return Budget(calls=MAX_CALLS)
    part = budget.part(MAX_BUDGET_SHARE)
    return replace(part, calls=min(MAX_CALLS, part.calls or MAX_CALLS))


def row_blocks(rows: Sequence[int], allowed: Budget) -> list[Sequence[int]]:
    """The rows in blocks, one for each prompt other than the default, which is scored on half of the blocks."""
    calls = (allowed.calls or MAX_CALLS) * (1 - REPEATED_SHARE)
    count = max(1, round(calls / (1.5 * PREFLIGHT_BLOCK_ROWS)))
    size = max(1, int(calls / (count + _default_blocks(count))))
    return [rows[start : start + size] for start in range(0, min(count * size, len(rows)), size)]


def _default_blocks(blocks: int) -> int:
    """The number of blocks that the default is scored on."""
    return (blocks + 1) // 2


def informative_prompts(plan: StudyPlan, candidates: Sequence[Candidate]) -> list[tuple[PreparedPrompt, Sequence[int]]]:
    """Candidates in order of expected information per call, each with the rows that it may be scored on.

    A label's probability tells more than a label, and an answer after examples more than one without (the rows that a
    prompt shows cannot be scored); and the prompts should differ from each other in many choices.
    """
    prompts = plan.prompts
    texts = prompts.space.texts

    def information(item: tuple[Candidate, PreparedPrompt, Sequence[int]]) -> tuple[bool, bool, int]:
        candidate, prepared, rows = item
        distance = min(_distance(texts(candidate), texts(other)) for other in taken)
        return prepared.answer.has_probabilities, len(rows) < len(plan.search_rows), distance

    left = [(candidate, prompts.prepared(candidate), prompts.rows_for(candidate)) for candidate in candidates]
    taken, ordered = [prompts.space.candidate({})], []
    while left:
        best = max(left, key=information)
        left.remove(best)
        taken.append(best[0])
        ordered.append(best[1:])
    return ordered


def _distance(first: Mapping[str, str], second: Mapping[str, str]) -> int:
    """The number of choices that differ."""
    return sum(first.get(name) != second.get(name) for name in {*first, *second})


async def probe(
    evaluator: Evaluator,
    default: PreparedPrompt,
    blocks: Sequence[Sequence[int]],
    others: Sequence[tuple[PreparedPrompt, Collection[int]]],
) -> Probe:
    """Score each other prompt on a block of rows, the default on the first half of them, and send some requests again.

    It ends where the budget of the evaluator's ledger does.

    Args:
        evaluator: sends and scores.
        default: the default prompt.
        blocks: blocks of rows.
        others: the other prompts, each with the rows that it may be scored on.
    """

    async def scored(prepared: PreparedPrompt, rows: Sequence[int]) -> list[Outcome]:
        outcomes = await evaluator.evaluate([(prepared, row) for row in rows], SPLIT)
        return [outcome for outcome in outcomes if outcome is not None]

    async def calibrated(prepared: PreparedPrompt, outcomes: list[Outcome]) -> list[Outcome]:
        return (await evaluator.reparse(prepared, outcomes, SPLIT))[1]

    rows = [row for block in blocks[: _default_blocks(len(blocks))] for row in block]
    first = await scored(default, rows)
    second = [
        (prepared, await scored(prepared, [row for row in block if row in able]))
        for (prepared, able), block in zip(others, blocks, strict=False)
    ]
    again = await scored(replace(default, sample=1), rows[: max(1, len(rows) // 4)])
    pairings = [_pairings(evaluator, default, first, prepared, outcomes) for prepared, outcomes in second]
    return Probe(
        default=await calibrated(default, first),
        others=[await calibrated(prepared, outcomes) for prepared, outcomes in second],
        repeats=list(zip(first, again, strict=False)),
        pairings=[pairing for pairing in pairings if pairing is not None],
        dialect=evaluator.told,
    )


def _pairings(
    evaluator: Evaluator,
    default: PreparedPrompt,
    default_outcomes: Sequence[Outcome],
    other: PreparedPrompt,
    other_outcomes: Sequence[Outcome],
) -> Floats | None:
    """The pairing scores of another prompt on its block, and those of the default where it was scored on all of it."""
    scored = {outcome.row for outcome in other_outcomes if outcome.error is None}
    in_block = [outcome for outcome in default_outcomes if outcome.row in scored and outcome.error is None]
    prompts = [(other, [outcome for outcome in other_outcomes if outcome.row in scored])]
    prompts += [(default, in_block)] if len(in_block) == len(scored) else []
    tables = [evaluator.pairing_scores(prepared, outcomes) for prepared, outcomes in prompts]
    known = [table for table in tables if table is not None]
    return np.array(known) if scored and known else None
