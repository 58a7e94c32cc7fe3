"""Where a running study stands: what it has done so far, counted and reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prompt_search.budget import Ledger
from prompt_search.llm.messages import Response

DONE = "done"
"""Name of the last phase."""

RATED_RESPONSES, RATED_SECONDS = 5, 3.0
"""Number of paid responses, and of seconds, from which on their rate is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The progress of a running study, as it is passed to ``progress``.

    Attributes:
        study: the study's name.
        phase: "starting", "exploring", "finalists", "test" or "done".
        trials: number of trials with an outcome.
        calls, limit: number of calls that are used, and that may be used; infinite without such a limit.
        best, low, high: mean score of the leading trial on its search rows, and its 95% confidence interval; None
            before the first score.
        leader, choices: number of the leading trial, and its choices that differ from the default's, shortened; None
            and empty before the first score.
        rows: number of search rows on which the leading trial has a score.
        lead, shared: by how much it leads the default prompt, and the number of rows that both have a score on, over
            which that is the mean difference; None where the default itself leads, or where there are no such rows.
        errors, unparsed: number of requests that failed, and of answers that could not be parsed.
        cached, responses: number of cached responses, which cost nothing in this run, and of all responses.
        usd: US dollars that are used; NaN where a price is unknown.
        seconds: seconds since the run began.
        batches: the batches that are open at a server, in a few words; empty without any.
    """

    study: str
    phase: str
    trials: int
    calls: int
    limit: float
    best: float | None
    low: float | None
    high: float | None
    errors: int
    unparsed: int
    cached: int
    responses: int
    usd: float
    seconds: float
    leader: int | None = None
    choices: str = ""
    rows: int = 0
    lead: float | None = None
    shared: int = 0
    batches: str = ""

    @property
    def rate(self) -> float:
        """Paid responses per second; cached responses do not count. 0 while a run has too few to know it."""
        paid = self.responses - self.cached
        known = self.phase == DONE or (paid >= RATED_RESPONSES and self.seconds >= RATED_SECONDS)
        return paid / self.seconds if known and self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the calls are used up at the rate so far; None while that is not known, and at the end."""
        if not self.rate or math.isinf(self.limit) or self.phase == DONE:
            return None
        return max(0.0, (self.limit - self.calls) / self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The leading trial of a search, as `Snapshot` has it."""

    trial: int
    choices: str
    best: float
    low: float
    high: float
    rows: int
    lead: float | None
    shared: int


class ProgressReporter:
    """Counts what a run does, and reports where it stands.

    Args:
        study: the study's name.
        ledger: what the run has spent.
        show: called with a snapshot at each report; None: nothing is reported.
    """

    def __init__(self, study: str, ledger: Ledger, show: Callable[[Snapshot], None] | None) -> None:
        self._study = study
        self._ledger = ledger
        self._show = show
        self._cached = self._responses = self._errors = 0
        self.batched = 0
        """The number of responses that came by batches."""
        self.batches = ""
        """The batches that are open, in a few words."""
        self.phase = "starting"
        self.trials = self.unparsed = 0
        self.leader: Leader | None = None
        """The leading trial; None before the first score."""

    def on_response(self, response: Response, cached: bool) -> None:
        """Count a response, and report."""
        self._responses += 1
        self._cached += cached
        self._errors += response.error is not None
        self.batched += response.batch_discount is not None
        self.report()

    def on_batches(self, batches: Sequence[str]) -> None:
        """Take note of the batches that are open, and report."""
        told = ", ".join(batches)
        if told != self.batches:
            self.batches = told
            self.report()

    def report(self) -> None:
        """Report where the run stands."""
        if self._show is None:
            return
        leader = self.leader
        self._show(
            Snapshot(
                study=self._study,
                phase=self.phase,
                trials=self.trials,
                calls=self._ledger.total.calls,
                limit=self._ledger.affordable() + self._ledger.previous_budgets.calls,
                best=leader.best if leader else None,
                low=leader.low if leader else None,
                high=leader.high if leader else None,
                errors=self._errors,
                unparsed=self.unparsed,
                cached=self._cached,
                responses=self._responses,
                usd=self._ledger.total.usd,
                seconds=self._ledger.seconds,
                leader=leader.trial if leader else None,
                choices=leader.choices if leader else "",
                rows=leader.rows if leader else 0,
                lead=leader.lead if leader else None,
                shared=leader.shared if leader else 0,
                batches=self.batches,
            )
        )
