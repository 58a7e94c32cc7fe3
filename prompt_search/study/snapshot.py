"""Where a running study stands: what it has done so far, counted and reported."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from prompt_search.budget import Ledger
from prompt_search.llm.messages import Response

DONE = "done"
"""Name of the last phase."""


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
        errors, unparsed: number of requests that failed, and of answers that could not be parsed.
        cached, responses: number of cached responses, which cost nothing in this run, and of all responses.
        usd: US dollars that are used; NaN where a price is unknown.
        seconds: seconds since the run began.
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

    @property
    def rate(self) -> float:
        """Paid responses per second; cached responses do not count."""
        return (self.responses - self.cached) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the calls are used up at the rate so far; None before the first paid response and at the
        end."""
        if not self.rate or math.isinf(self.limit) or self.phase == DONE:
            return None
        return max(0.0, (self.limit - self.calls) / self.rate)


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
        self.phase = "starting"
        self.trials = self.unparsed = 0
        self.best: tuple[float, float, float] | None = None
        """Mean score of the leading trial, and the ends of its 95% interval."""

    def on_response(self, response: Response, cached: bool) -> None:
        """Count a response, and report."""
        self._responses += 1
        self._cached += cached
        self._errors += response.error is not None
        self.report()

    def report(self) -> None:
        """Report where the run stands."""
        if self._show is None:
            return
        best, low, high = self.best or (None, None, None)
        self._show(
            Snapshot(
                study=self._study,
                phase=self.phase,
                trials=self.trials,
                calls=self._ledger.total.calls,
                limit=self._ledger.affordable() + self._ledger.previous_budgets.calls,
                best=best,
                low=low,
                high=high,
                errors=self._errors,
                unparsed=self.unparsed,
                cached=self._cached,
                responses=self._responses,
                usd=self._ledger.total.usd,
                seconds=self._ledger.seconds,
            )
        )
