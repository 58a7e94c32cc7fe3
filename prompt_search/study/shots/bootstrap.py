"""Before the search: what the model itself answers to the pool of shots, where pickers need to know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prompt_search.evaluation.evaluator import Evaluator
from prompt_search.evaluation.own_answers import own_answers
from prompt_search.metrics.ranges import metric_range
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.few_shot import OwnAnswers
from prompt_search.search.default_candidate import DefaultCandidate, default_candidate
from prompt_search.storage.once.pool_answers import StoredPoolAnswers
from prompt_search.storage.records import PoolAnswer, PoolAnswers
from prompt_search.study.plan import StudyPlan

ROLE = "bootstrap"
"""The role of the calls in the ledger."""

SHARE = 0.1
"""Share of the calls of a search that go to the rows of the pool, at most."""

MOST_ROWS = 40
"""Number of rows of the pool that are asked at most."""

LEAST_ROWS = 5
"""Number of rows below which none is asked: they would say too little."""


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What a search begins with.

    Attributes:
        plan: the study, with what its model itself answers to the pool.
        default: the default candidate, where it was found already.
    """

    plan: StudyPlan
    default: DefaultCandidate | None = None


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Asks the default prompt about the pool, once in a study.

    Attributes:
        plan: the study.
        stored: keeps the answers.
        budget: the number of the budget that the run spends.
        search_calls: gives the number of calls that the search may spend, as far as it is known at the moment.
        is_stopped: tells whether the run was stopped; what is known then is not kept.
    """

    plan: StudyPlan
    stored: StoredPoolAnswers
    budget: int
    search_calls: Callable[[], float]
    is_stopped: Callable[[], bool]

    async def run(self, evaluator: Evaluator) -> Bootstrapped:
        """Ask, or take what an earlier run was answered; nothing is sent for a study that picks no shots by it.

        A run that goes on under the same budget asks about the same rows again, whose responses are stored: its ledger
        then counts them as that of an undisturbed run does. A later budget finds them paid for, and asks nothing.

        Raises:
            RunError: the endpoint cannot be reached or refuses for good.
        """
        if not self.plan.asks_about_pool:
            return Bootstrapped(plan=self.plan)
        stored = self.stored.of_study(self.plan.name)
        if stored is not None and stored.budget != self.budget:
            return Bootstrapped(plan=with_pool_answers(self.plan, stored))
        prompts = self.plan.prompts
        default = await default_candidate(prompts.space, prompts.prepared_with_rows, evaluator, "search")
        candidate = prompts.space.without_shots(default.candidate)  # as far as it can be without any
        if stored is None:
            places = _places(self.plan, candidate)[: rows_asked(self.plan, self.search_calls())]
        else:
            places = [(each.position, each.row) for each in stored.answers]
        if stored is None and len(places) < LEAST_ROWS:
            return Bootstrapped(plan=self.plan, default=default)
        found = PoolAnswers(budget=self.budget, answers=await self._answers(evaluator, candidate, places))
        if not self.is_stopped():
            found = self.stored.settle(self.plan.name, found)
        return Bootstrapped(plan=with_pool_answers(self.plan, found), default=default)

    async def _answers(
        self, evaluator: Evaluator, candidate: Candidate, places: Sequence[tuple[int, int]]
    ) -> list[PoolAnswer]:
        """How a candidate answers rows of the pool, given by their positions there and in the data."""
        prepared = self.plan.prompts.prepared(candidate)
        outcomes = await evaluator.evaluate([(prepared, row) for _, row in places], "search", ROLE)
        found = [outcome for outcome in outcomes if outcome is not None]
        _, found = await evaluator.reparse(prepared, found, "search")
        by_row = {outcome.row: outcome for outcome in found}
        answered = {position: by_row.get(row) for position, row in places}
        responses = evaluator.responder.responses([outcome.key for outcome in found if outcome.error is None])
        own = own_answers(answered, responses, metric_range(self.plan.settings.metric))
        return [
            PoolAnswer(
                position=position,
                row=row,
                right=True if position in own.right else False if position in own.wrong else None,
                reasoning=own.right.get(position, ""),
            )
            for position, row in places
        ]


def rows_asked(plan: StudyPlan, search_calls: float) -> int:
    """The number of rows of the pool that are asked in a search of so many calls; 0 for a study that asks none."""
    if not plan.asks_about_pool:
        return 0
    count = int(min(len(plan.prompts.pool), MOST_ROWS, search_calls * SHARE / plan.calls_per_row()))
    return count if count >= LEAST_ROWS else 0


def with_pool_answers(plan: StudyPlan, answers: PoolAnswers | None) -> StudyPlan:
    """The same plan with what its model itself answered to the pool, where it was asked."""
    if answers is None or not plan.asks_about_pool:
        return plan
    right = {each.position: each.reasoning for each in answers.answers if each.right}
    wrong = frozenset(each.position for each in answers.answers if each.right is False)
    return plan.with_own_answers(OwnAnswers(right=right, wrong=wrong))


def _places(plan: StudyPlan, candidate: Candidate) -> list[tuple[int, int]]:
    """The rows of the pool that a candidate may be scored on, by their positions in the pool and in the data."""
    allowed = set(plan.prompts.rows_for(candidate))
    return [(position, row) for position, row in enumerate(plan.prompts.pool_rows) if row in allowed]
