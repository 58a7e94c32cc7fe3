"""What the measurements of a preflight mean: whether to search, and why; or with how many calls that can be told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prompt_search.evaluation.evidence import (
    ENOUGH_ANSWERS,
    MIN_ANSWERS,
    SIGNIFICANCE_LEVEL,
    USEFUL_GAIN,
    answers_to_match,
    are_alike,
    match_of,
    rows_to_detect,
)
from prompt_search.evaluation.outcome import Outcome
from prompt_search.results.statistics import detectable_difference
from prompt_search.study import wording
from prompt_search.study.probe import MAX_BUDGET_SHARE, MAX_CALLS, Layout, Measured, Probe

Decision = Literal["go", "no", "too few answers"]
"""Whether a search is advised, advised against, or there are too few answers to tell."""

NEARLY_PERFECT_SCORE, NEARLY_PERFECT_LOW = 0.95, 0.8
"""Score of the default prompt, and lower end of its 95% interval, from which on nothing is left to search for."""

MOST_ONE_TARGET = 0.75
"""Share of the rows with the most frequent target up to which the same answer to all rows is no good sign."""

ROUNDED_CALLS = 10
"""Advised numbers of calls are multiples of this."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What advice depends on.

    Attributes:
        measured: the numbers.
        found: the outcomes that they are made of.
        bounded: whether no score of the metric is above 1.
        chance: the share of right answers of a model that only guesses.
        targets: the targets of all rows, as texts.
        sealed: number of test rows.
        test_calls: number of calls of a study for each test row that it tests on.
        calls_per_row: number of calls for each row of a prompt, those of a judge included.
    """

    measured: Measured
    found: Probe
    bounded: bool
    chance: float
    targets: Sequence[str]
    sealed: int
    test_calls: float
    calls_per_row: float = 1

    @property
    def answered(self) -> list[Outcome]:
        """The outcomes that are answers, without repeats."""
        return [each for found in (self.found.default, *self.found.others) for each in found if each.error is None]

    @property
    def room(self) -> float:
        """What the default prompt leaves to gain, at most."""
        return 1 - self.measured.low


def decided(situation: Situation) -> tuple[Decision, list[str]]:
    """Whether to search, and the reasons, the most important first."""
    against = _failed(situation) or _of_answers(situation)
    if against is not None:
        return "no", [against]
    matching = match_of(situation.measured.p, situation.found.matches, situation.chance)
    answers = len(situation.answered)
    if matching == "excluded":
        return "no", [wording.no_match(situation.measured.p, situation.measured.prompts, answers)]
    if _too_few_rows(situation) and situation.measured.test_rows == situation.sealed:
        return "no", [_rows_needed(situation)]
    needed = ENOUGH_ANSWERS if matching == "not tested" else answers_to_match(situation.chance)
    if matching == "open" or answers < MIN_ANSWERS:
        return "too few answers", [_too_few_answers(situation, answers, needed)]
    if _too_few_rows(situation):
        return "no", [_rows_needed(situation)]
    return _compared(situation)


def _failed(situation: Situation) -> str | None:
    """The reason against a search where nothing was answered."""
    if situation.answered or not situation.found.outcomes:
        return None
    first = next((outcome.error for outcome in situation.found.outcomes if outcome.error), None)
    return wording.all_failed(situation.measured.errors, first)


def _of_answers(situation: Situation) -> str | None:
    """The reason against a search that the answers themselves give, as far as there are enough of them."""
    measured, answered = situation.measured, situation.answered
    enough = len(answered) >= MIN_ANSWERS
    unread = sum(outcome.unparsed for outcome in answered)
    if enough and unread == len(answered):
        return wording.none_read(measured.prompts, unread)
    if enough and _all_the_same(situation):
        return wording.all_the_same(len(answered), str(answered[0].answer))
    if enough and not any(score > 0 for score in situation.found.scores):
        return wording.none_right(measured.prompts, len(answered))
    perfect = measured.score >= NEARLY_PERFECT_SCORE and measured.low >= NEARLY_PERFECT_LOW
    return wording.nearly_perfect(measured.score) if situation.bounded and perfect else None


def _all_the_same(situation: Situation) -> bool:
    """Whether every answer is the same, though the targets of the rows differ."""
    answered = situation.answered
    targets = Counter(situation.targets[outcome.row] for outcome in answered)
    same = not any(outcome.unparsed for outcome in answered) and len({str(each.answer) for each in answered}) == 1
    return same and max(targets.values()) <= MOST_ONE_TARGET * len(answered)


def _too_few_answers(situation: Situation, answers: int, needed: int) -> str:
    """What to do where it is not known whether answers match their rows, or there are hardly any."""
    measured = situation.measured
    largest = max(1, int(MAX_CALLS / situation.calls_per_row))
    most = Layout.of(largest).answers
    rows = next(
        rows for rows in range(1, largest + 1) if Layout.of(rows).answers >= min(max(needed, MIN_ANSWERS), most)
    )
    budget = max(round_up(rows * situation.calls_per_row / MAX_BUDGET_SHARE), _calls_to_show(situation) or 0)
    if measured.budget is None or measured.budget >= budget:
        return wording.too_few_rows_answered(answers, measured.p, min(4 * needed, len(situation.targets)))
    return wording.too_few_answers(answers, measured.p, budget)


def _too_few_rows(situation: Situation) -> bool:
    """Whether the test rows cannot show that a prompt is better, however good it is."""
    known = len(situation.found.differences) > 1  # else nothing is known of what any number of rows can show
    return situation.bounded and known and not situation.measured.detectable <= situation.room


def _rows_needed(situation: Situation) -> str:
    measured = situation.measured
    needed = rows_to_detect(situation.found.differences, situation.room)
    calls = None
    if needed is not None and needed <= situation.sealed and measured.budget is not None:
        calls = round_up(max(needed, 2) * situation.test_calls)
    return wording.too_few_rows(measured.test_rows, measured.detectable, situation.room, calls)


def _compared(situation: Situation) -> tuple[Decision, list[str]]:
    """What the comparison of prompts with the default says."""
    measured, found = situation.measured, situation.found
    comparison = found.comparison
    p = math.nan if comparison is None else comparison.p()
    scores = "" if comparison is None or math.isnan(p) else wording.compared(comparison, p)
    if p <= SIGNIFICANCE_LEVEL:
        room = 1 - measured.score if situation.bounded else None
        return "go", [wording.go(measured.test_rows, measured.detectable, room, scores)]
    if are_alike(found.differences):
        differing = sum(difference != 0 for difference in found.differences)
        return "no", [wording.alike(measured.prompts - 1, differing, len(found.differences))]
    return "too few answers", [_too_few_to_compare(situation, scores)]


def _too_few_to_compare(situation: Situation, scores: str) -> str:
    """What to do where it is not known whether another prompt is better: with how many calls the search can tell."""
    measured = situation.measured
    calls, rows = _calls_to_show(situation), measured.test_rows
    if measured.budget is None or calls is None or calls <= measured.budget:
        calls = None if measured.budget is None or calls is None else measured.budget
    rows = rows if calls is None else min(situation.sealed, int(calls / situation.test_calls))
    shown = detectable_difference(situation.found.differences, rows)
    return wording.too_few_to_compare(measured.prompts - 1, scores, calls, rows, shown)


def _calls_to_show(situation: Situation) -> int | None:
    """The calls of a study whose test shows a useful gain, or as much as all test rows can show; None: not known."""
    wanted = min(USEFUL_GAIN, situation.room) if situation.bounded else USEFUL_GAIN
    rows = rows_to_detect(situation.found.differences, wanted)
    if rows is None or not situation.bounded:
        return None
    return round_up(min(rows, situation.sealed) * situation.test_calls)


def round_up(calls: float) -> int:
    """A number of calls as it is advised.

    >>> round_up(653.4), round_up(660)
    (660, 660)
    """
    return math.ceil(round(calls, 6) / ROUNDED_CALLS) * ROUNDED_CALLS
