"""The requests of a preflight: which prompts are scored on which rows before a search, and what is measured by that.

The default prompt is scored on some rows, a few prompts with other options on one block of them each, the best of these
and the default on further rows, and some requests are sent twice. A study that follows finds these responses stored, so
they cost nothing then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from prompt_search.budget import Budget
from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.evidence import Comparison
from prompt_search.evaluation.one_prompt.pairing import Floats, pairing_scores
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.evaluation.task_runs.row_calls import RowCalls
from prompt_search.prompts.factors import Candidate
from prompt_search.study.costs.proposal_bound import ProposalBound
from prompt_search.study.plan import StudyPlan

MAX_CALLS = 60
"""The highest number of calls of a preflight."""

MAX_BUDGET_SHARE = 0.05
"""The largest share of a study's budget that a preflight may use."""

REPEATED_SHARE = 0.1
"""Share of a preflight's calls that send a request for the second time."""

PREFLIGHT_BLOCK_ROWS = 6
"""Number of rows, roughly, that each prompt other than the default is scored on."""

FURTHER_SHARE = 0.45
"""Share of the answers that the best other prompt and the default get on further rows."""

MIN_FURTHER_ROWS = 6
"""The lowest number of such rows; a preflight with fewer calls compares the prompts on their blocks alone."""

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
            the target of each of its rows, see `pairing_scores`; empty where they are not known.
        matches: the same with the metric's scores where ``pairings`` has probabilities.
        favourite: place among ``others`` of the prompt with the best scores on its block; None where none has a score.
        further: the rows on which the favourite and the default were scored after that.
        dialect: what was learned of the servers, in sentences.
        row_calls: how many calls a task took for a row; None without a task.
    """

    default: Sequence[Outcome]
    others: Sequence[Sequence[Outcome]]
    repeats: Sequence[tuple[Outcome, Outcome]]
    pairings: Sequence[Floats]
    matches: Sequence[Floats] = ()
    favourite: int | None = None
    further: frozenset[int] = frozenset()
    dialect: Sequence[str] = ()
    row_calls: RowCalls | None = None

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
    def comparison(self) -> Comparison | None:
        """The scores by which the best other prompt is compared with the default; None where one has none."""
        default = _scores(self.default)
        if self.favourite is None or not default:
            return None
        first = [[each for each in found if each.row not in self.further] for found in self.others]
        further = [each for each in self.others[self.favourite] if each.row in self.further]
        return Comparison(
            default=default,
            blocks=[_scores(found) for found in first],
            favourite=self.favourite,
            further=_scores(further),
            shared=len(_scored_rows(self.default) & _scored_rows(self.others[self.favourite])),
        )

    @property
    def _first(self) -> list[Outcome]:
        return [*self.default, *(outcome for found in self.others for outcome in found)]


def _scored_rows(outcomes: Sequence[Outcome]) -> set[int]:
    return {outcome.row for outcome in outcomes if outcome.score is not None}


def _scores(outcomes: Sequence[Outcome]) -> list[float]:
    return [outcome.score for outcome in outcomes if outcome.score is not None]


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
        proposals: the most that a proposer takes of them; None where nothing grows.
        discount: share of the price that the study's batches take off; None where it sends none. A preflight itself
            sends its requests alone.
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
    proposals: ProposalBound | None = None
    discount: float | None = None


def preflight_budget(budget: Budget | None) -> Budget:
    """The budget of a preflight for a study with this budget."""
    if budget is None:
        return Budget(calls=MAX_CALLS)
    part = budget.part(MAX_BUDGET_SHARE)
    return replace(part, calls=min(MAX_CALLS, part.calls or MAX_CALLS))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many rows a preflight asks for.

    Attributes:
        blocks: number of blocks, each for one prompt other than the default, which is scored on half of them.
        size: rows of a block.
        further: further rows for the default and the best other prompt.
    """

    blocks: int
    size: int
    further: int

    @property
    def answers(self) -> int:
        """The number of answers, without those to requests that are sent twice."""
        return (self.blocks + _default_blocks(self.blocks)) * self.size + 2 * self.further

    @classmethod
    def of(cls, calls: int) -> Layout:
        """The layout of a preflight with so many calls."""
        answers = calls * (1 - REPEATED_SHARE)
        further = int(answers * FURTHER_SHARE / 2)
        further = further if further >= MIN_FURTHER_ROWS else 0
        answers -= 2 * further
        blocks = max(1, round(answers / (1.5 * PREFLIGHT_BLOCK_ROWS)))
        return cls(blocks=blocks, size=max(1, int(answers / (blocks + _default_blocks(blocks)))), further=further)

    def blocks_of(self, rows: Sequence[int]) -> list[Sequence[int]]:
        """The rows in blocks."""
        return [
            rows[start : start + self.size] for start in range(0, min(self.blocks * self.size, len(rows)), self.size)
        ]

    def further_of(self, rows: Sequence[int]) -> Sequence[int]:
        """The further rows, as far as there are some."""
        first = self.blocks * self.size
        return rows[first : first + self.further]


def allowed_calls(allowed: Budget) -> int:
    """The number of calls that a preflight's budget allows."""
    return min(MAX_CALLS, allowed.calls or MAX_CALLS)


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
    layout: Layout,
    order: Sequence[int],
    others: Sequence[tuple[PreparedPrompt, Collection[int]]],
) -> Probe:
    """Score each other prompt on a block of rows, the default on the first half of them, the best other prompt and the
    default on further rows, and send some requests again.

    It ends where the budget of the evaluator's ledger does.

    Args:
        evaluator: sends and scores.
        default: the default prompt.
        layout: number of rows.
        order: the rows that the default may be scored on, in their common order.
        others: the other prompts, each with the rows that it may be scored on.
    """

    async def scored(prepared: PreparedPrompt, rows: Sequence[int]) -> list[Outcome]:
        outcomes = await evaluator.evaluate([(prepared, row) for row in rows], SPLIT)
        return [outcome for outcome in outcomes if outcome is not None]

    async def calibrated(prepared: PreparedPrompt, outcomes: list[Outcome]) -> list[Outcome]:
        return (await evaluator.reparse(prepared, outcomes, SPLIT))[1]

    blocks = layout.blocks_of(order)
    rows = [row for block in blocks[: _default_blocks(len(blocks))] for row in block]
    first = await scored(default, rows)
    second, left = [], iter(others)
    for block in blocks:
        # A prompt that the server refuses leaves its block to the next one.
        for prepared, able in left:
            outcomes = await scored(prepared, of_block := [row for row in block if row in able])
            if not of_block or evaluator.refusals()(prepared, of_block[0]) is None:
                second.append((prepared, able, outcomes))
                break
    tried = [(default, first, prepared, outcomes) for prepared, _, outcomes in second]
    favourite = _favourite([outcomes for *_, outcomes in second])
    further: list[int] = []
    if favourite is not None and layout.further:
        prepared, able, outcomes = second[favourite]
        further = [row for row in layout.further_of(order) if row in able]
        duel = await scored(default, further), await scored(prepared, further)
        tried.append((default, duel[0], prepared, duel[1]))
        first, second[favourite] = first + duel[0], (prepared, able, outcomes + duel[1])
    again = await scored(replace(default, sample=1), rows[: max(1, len(rows) // 4)])
    scores, matches = (partial(pairing_scores, evaluator, plain=plain) for plain in (False, True))
    return Probe(
        default=await calibrated(default, first),
        others=[await calibrated(prepared, outcomes) for prepared, _, outcomes in second],
        repeats=list(zip(first, again, strict=False)),
        pairings=[table for each in tried if (table := _pairings(scores, *each)) is not None],
        matches=[table for each in tried if (table := _pairings(matches, *each)) is not None],
        favourite=favourite,
        further=frozenset(further),
        dialect=evaluator.told,
        row_calls=evaluator.row_calls,
    )


def _favourite(outcomes: Sequence[Sequence[Outcome]]) -> int | None:
    """The place of the outcomes with the highest mean score; None where no prompt has a score."""
    means = {place: float(np.mean(scores)) for place, found in enumerate(outcomes) if (scores := _scores(found))}
    return max(means, key=lambda place: (means[place], -place), default=None)


def _pairings(
    scores: Callable[[PreparedPrompt, Sequence[Outcome]], Floats | None],
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
    tables = [scores(prepared, outcomes) for prepared, outcomes in prompts]
    known = [table for table in tables if table is not None]
    return np.array(known) if scored and known else None
