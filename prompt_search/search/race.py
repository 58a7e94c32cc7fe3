"""The race for the best candidate within a number of calls.

Calls go where they are most informative. Every candidate is first scored on one small batch of rows; promising trials
get more batches, trials that are almost certainly worse than the leader are stopped, and the last part of the budget
is kept for the finals. All candidates see the rows in one common order, so that comparisons are paired.

While the requests of one round are in flight, the next round is decided, in a thread, from the complete results of the
rounds before. The same responses therefore give the same search, whatever order they arrive in, and requests do not
wait for the sampler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from threadpoolctl import threadpool_limits

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.space import SearchSpace
from prompt_search.search import wording
from prompt_search.search.deciding.caps import Caps
from prompt_search.search.deciding.decisions import Journal, Unkept, decided
from prompt_search.search.deciding.finals import FINAL_SHARE, Finals
from prompt_search.search.deciding.picks import Picks
from prompt_search.search.default_candidate import DefaultCandidate, default_candidate
from prompt_search.search.encoding import Encoding
from prompt_search.search.estimates import Estimates
from prompt_search.search.growth.growth import Growth
from prompt_search.search.growth.waves import Spent
from prompt_search.search.prior.knowledge import Weights, knowledge_of
from prompt_search.search.settings import (
    BATCH_ROWS,
    SMALL_SEARCH_BATCH_ROWS,
    SMALL_SEARCH_CALLS,
    BatchEvaluator,
    CallBudget,
    RaceSettings,
)
from prompt_search.search.surrogate.effects import Effects, effects
from prompt_search.search.surrogate.geometry import Geometry
from prompt_search.search.surrogate.interactions import Interaction, interactions
from prompt_search.search.trial import DEFAULT_TRIAL, BatchResult, Trial, Trials
from prompt_search.storage.records import ProposalRecord

MAX_IDLE_ROUNDS = 2
"""Number of successive rounds without a new outcome after which a search goes on to the finals. One such round may
happen when the round before used up the rows or calls that this one was decided for."""


class Race:
    """One search over a space.

    Args:
        settings: the space, its rows, and the rules of the search.
        evaluator: sends requests and scores the answers.
        budget: how many calls the search may spend, and has spent.
        on_round: is called after every round.
        journal: keeps the decisions, for a race that may be resumed.
    """

    def __init__(
        self,
        settings: RaceSettings,
        evaluator: BatchEvaluator,
        budget: CallBudget,
        on_round: Callable[[Race], None],
        journal: Journal | None = None,
    ) -> None:
        self._settings = settings
        self._journal = journal or Unkept()
        self._evaluator = evaluator
        self._budget = budget
        self._on_round = on_round
        small = budget.previous / budget.per_row() + budget.rows < SMALL_SEARCH_CALLS
        self._batch_rows = SMALL_SEARCH_BATCH_ROWS if small else BATCH_ROWS
        encoding = Encoding(settings.space)
        self._trials = Trials(settings, encoding)
        geometry = Geometry(settings.space.factors)
        knowledge = knowledge_of(settings)
        self._estimates = Estimates(self._trials, geometry, settings.row_order, self._batch_rows, knowledge)
        self._caps = Caps(settings, self._trials)
        limit, rows = lambda: budget.rows, self._batch_rows
        self._picks = Picks(settings, encoding, self._trials, self._estimates, limit, rows, self._caps)
        self._growth = Growth(settings, self._trials, self._estimates, self._picks, self._journal, self._batch_rows)
        self._chosen: list[Trial] = []
        """The winner and the best trial written by hand, once the race is over."""
        self.phase = "exploring"

    async def run(self, default: DefaultCandidate | None = None) -> Trial:
        """Search until the calls are used up, and return the winner.

        Args:
            default: the default candidate, where it was found already.
        """
        # The matrices are small: more threads are no faster, and wait for each other when cores are busy.
        with threadpool_limits(1, user_api="blas"):
            await self._explore(default)
            await self._hold_finals()
            self.conclude()
            self._chosen = self._decided("winner", lambda: [self.winner, *filter(None, [self.hand_written])])
            self._on_round(self)
            return self.winner

    async def _explore(self, known: DefaultCandidate | None) -> None:
        """Evaluate the default, then round after round what the picks decide, until the finals are due."""
        settings = self._settings
        default = known or await default_candidate(settings.space, settings.prepare, self._evaluator, "search")
        self._trials.add(default.candidate.to_dict())
        picks = [] if settings.earlier else list(self.trials)
        for refused in default.refused:
            self._trials.add_refused(refused)
        self._trials.refusal = self._evaluator.refusals()
        await self._take_up_earlier()
        number = idle = 0
        while True:
            until = self._budget.limit() * (1 - FINAL_SHARE)
            if number and (idle >= MAX_IDLE_ROUNDS or self._budget.spent() >= until):
                break
            number += 1
            new = await self._growth.trials(Spent(calls=self._budget.spent(), limit=until))
            picks = [*new, *(trial for trial in picks if trial not in new)]
            evaluation = asyncio.ensure_future(self._evaluate(picks, self._batch_rows, until))
            try:
                picks = await asyncio.to_thread(self._decide, number)
            finally:
                results = await evaluation
            idle = 0 if self._record(results) else idle + 1
            self._close_refused()

    async def _take_up_earlier(self) -> None:
        """Let the trials of an earlier search enter, with the scores that are free of charge."""
        entered = {trial.candidate: trial for trial in self.trials}
        jobs: list[tuple[Trial, int]] = []
        for positions, rows in self._settings.earlier:
            trial = entered.get(self._settings.space.candidate(positions)) or self._trials.add(positions)
            if trial is None or trial.state != "running":
                continue
            known = [row for row in trial.unseen if row in rows]
            prices = self._evaluator.price(trial.prepared, known)
            jobs += [(trial, row) for row, price in zip(known, prices, strict=True) if not price]
        if jobs:
            self._record(await self._results(jobs))
            self._close_refused()

    def _decide(self, number: int) -> list[Trial]:
        """The trials that get an evaluation batch in a round; runs in a thread."""
        return self._decided("round", lambda: self._picks.of_round(number, self._growth.batches))

    def _decided(self, stage: str, decide: Callable[[], list[Trial]]) -> list[Trial]:
        return decided(self._trials, self._journal, stage, decide)

    async def _hold_finals(self) -> None:
        """Let the finalists compete, stage by stage, for the calls that are left."""
        self.phase = "finalists"
        finals = Finals(self._trials, self._estimates, self._growth.is_grown, self._caps)
        self._trials.drop_empty()
        self._decided("finals", finals.begin)
        while finals.undecided:
            limit = self._budget.limit()
            rows = finals.rows((limit - self._budget.spent()) / self._budget.per_row())
            if rows:
                results, _ = await asyncio.gather(
                    self._evaluate(self._trials.finalists, rows, limit),
                    asyncio.to_thread(self._estimates.prepare_for, rows),
                )
                self._record(results)
            self._decided("final round", finals.end_stage)
        finals.end()

    async def _evaluate(self, trials: Sequence[Trial], rows: int, until: float) -> list[BatchResult]:
        """Evaluate each trial on its next rows, as far as the calls suffice.

        Args:
            trials: the trials, in the order in which they get calls.
            rows: the number of rows for each.
            until: the number of spent calls at which no more are made.
        """
        jobs: list[tuple[Trial, int]] = []
        room = until - self._budget.spent()
        for trial in trials:
            wanted = list(trial.unseen[:rows])
            for row, price in zip(wanted, self._evaluator.price(trial.prepared, wanted), strict=True):
                if price and price > room:  # a row that is free needs no room
                    break
                room -= price
                jobs.append((trial, row))
        return await self._results(jobs)

    async def _results(self, jobs: Sequence[tuple[Trial, int]]) -> list[BatchResult]:
        """The trials of jobs, with all their outcomes."""
        outcomes = await self._evaluator.evaluate([(trial.prepared, row) for trial, row in jobs], "search")
        new: dict[Trial, list[Outcome]] = {}
        for (trial, _), outcome in zip(jobs, outcomes, strict=True):
            if outcome is not None:
                new.setdefault(trial, []).append(outcome)
        return [
            BatchResult(trial, *await self._evaluator.reparse(trial.prepared, [*trial.outcomes, *found], "search"))
            for trial, found in new.items()
        ]

    def _record(self, results: Sequence[BatchResult]) -> int:
        """Store the results of a round in its trials, and return the number of new outcomes."""
        before = sum(len(result.trial.outcomes) for result in results)
        for result in results:
            result.trial.prepared, result.trial.outcomes = result.prepared, result.outcomes
        self._check_costs()
        self._on_round(self)
        return sum(len(result.outcomes) for result in results) - before

    def _check_costs(self) -> None:
        """Refuse to go on where the server does not say what the objective is about.

        Raises:
            RunError: of all answers.
        """
        if self._settings.goal is not None:
            answered = (each.cost for trial in self.trials for each in trial.outcomes if each.error is None)
            self._settings.goal.objective.check_known(answered)

    def _close_refused(self) -> None:
        """End the trials that their server refuses, and let no more of their kind enter."""
        self._trials.refusal = self._evaluator.refusals()
        for trial in self.trials:
            answered = any(outcome.error is None for outcome in trial.outcomes)
            if trial.state not in ("running", "failed") or answered or not trial.rows:
                continue
            refusal = self._trials.refusal(trial.prepared, trial.rows[0])
            if refusal is not None:
                # The requests that showed it failed for the option, and say nothing about the prompt.
                error = f"unsupported: {refusal}"
                trial.outcomes = [replace(outcome, score=None, error=error) for outcome in trial.outcomes]
                trial.end("failed", wording.refused(str(refusal)))

    def conclude(self) -> None:
        """Refit the surrogate for reporting: all later estimates, effects and interactions rest on that fit."""
        self._estimates.refit_for_reporting()

    def restore(
        self,
        number: int,
        candidate: Candidate,
        prepared: PreparedPrompt,
        outcomes: list[Outcome],
        state: str,
        reason: str,
    ) -> None:
        """Add a trial of an earlier search, with its outcomes."""
        self._trials.restore(number, candidate, prepared, outcomes, state, reason)

    @property
    def space(self) -> SearchSpace:
        """The space, with the options that were proposed and accepted so far."""
        return self._growth.settings.space

    @property
    def proposals(self) -> Sequence[ProposalRecord]:
        """What was proposed so far."""
        return self._growth.proposals

    @property
    def prior_weights(self) -> Weights:
        """How far what earlier studies know holds."""
        return self._estimates.weights

    @property
    def trials(self) -> list[Trial]:
        """All trials, in the order in which they entered."""
        return self._trials.all

    @property
    def leader(self) -> Trial | None:
        """The trial that was ranked first at the last decision."""
        return self._trials.leader

    @property
    def winner(self) -> Trial:
        """The first of `ranked`."""
        return self.ranked()[0]

    def ranked(self) -> list[Trial]:
        """All trials, best first: finalists, then the others by posterior mean, then those that were stopped or
        failed; of two equal trials the earlier one is first. The winner of a race that is over stays the first."""
        return sorted(self._estimates.ranked(), key=lambda trial: trial not in self._chosen[:1])

    @property
    def hand_written(self) -> Trial | None:
        """The first of `ranked` among the enqueued ones, or where options were proposed among those with none of them;
        the default is only where there is no other, because it is compared with the winner in any case. None if there
        is none, or none of them has a score."""
        if self._chosen:
            return next(iter(self._chosen[1:]), None)
        enqueued, grown = set(self._settings.enqueued), self._growth.is_grown
        any_grown = any(grown(trial) for trial in self.trials)
        written = [
            trial
            for trial in self.ranked()
            if trial.scores and not trial.over_cap and (trial.candidate in enqueued or (any_grown and not grown(trial)))
        ]
        return min(written, key=lambda trial: trial.number == DEFAULT_TRIAL, default=None)

    def estimates(self) -> dict[int, float]:
        """The posterior mean of what every trial is truly worth, by trial number: of its score, or of the objective's
        value."""
        return self._estimates.means()

    def uncertainties(self) -> dict[int, float]:
        """For every trial with a score, the standard deviation of the difference of its true score to the winner's."""
        return self._estimates.spreads(self.winner)

    def effects(self) -> list[Effects]:
        """The effects of the options of each choice; none where no trial has a score."""
        model = self._estimates.model()
        with threadpool_limits(1, user_api="blas"):
            return effects(model) if model else []

    def interactions(self) -> list[Interaction]:
        """The pairs of options that interact; none where no trial has a score."""
        model = self._estimates.model()
        with threadpool_limits(1, user_api="blas"):
            return interactions(model) if model else []
