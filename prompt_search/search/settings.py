"""What a race is given: its settings, its budget of calls, and what evaluates its batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.llm.dialect.dialect import Refusal
from prompt_search.metrics.objective import Objective
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.optuna_adapter import Propose, Stop
from prompt_search.search.proposals import GrowthSettings
from prompt_search.storage.once.prior_studies import PriorStudies

SEARCH_VERSION = 11
"""Version of the search algorithm. A study is resumed only by the version that began it, so every change of a
decision of the search increases it."""

BATCH_ROWS = 10
"""Number of rows in one evaluation batch of a trial."""

SMALL_SEARCH_BATCH_ROWS = 5
"""Number of rows in one evaluation batch, for searches of fewer than `SMALL_SEARCH_CALLS` calls."""

SMALL_SEARCH_CALLS = 300
"""Number of calls below which a search uses smaller evaluation batches."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a race maximizes where that is not the score alone.

    Args:
        objective: weights and caps.
        size: gives the mean number of bytes of a prompt's messages, over the same few rows for all prompts.
    """

    objective: Objective
    size: Callable[[PreparedPrompt], float]


@dataclass(frozen=True, kw_only=True)
class RaceSettings:
    """The settings of a race.

    Args:
        space: the candidates.
        prepare: gives a candidate's prompt, and the rows that it may be scored on, in the common order.
        row_order: all rows in the common order.
        seed: seed of everything that the search leaves to chance.
        propose: a sampler that replaces ours.
        stop: a pruner that replaces our rule of stopping: trials then go on from batch to batch until it stops them.
        enqueued: candidates that enter the race right after the default, whatever the sampler proposes.
        max_trials: the highest number of trials; None: no limit.
        earlier: the trials of an earlier search of the study, each with its choices and the rows that it was scored on,
            whose responses are free of charge: the race goes on from them.
        growth: how choices get further options; None: they get none.
        prior: what earlier studies know; None: nothing is taken from them.
        goal: what is maximized; None: the score.
    """

    space: SearchSpace
    prepare: Callable[[Candidate], tuple[PreparedPrompt, Sequence[int]]]
    row_order: Sequence[int]
    seed: int
    propose: Propose | None = None
    stop: Stop | None = None
    enqueued: Sequence[Candidate] = ()
    max_trials: int | None = None
    earlier: Sequence[tuple[Mapping[str, int], Collection[int]]] = ()
    growth: GrowthSettings | None = None
    prior: PriorStudies | None = None
    goal: Goal | None = None


@dataclass(frozen=True)
class CallBudget:
    """The calls of a search.

    Args:
        limit: gives the number of calls that the search may spend, as far as it is known at the moment.
        spent: gives the number of calls that it has spent so far.
        previous: number of calls under earlier budgets of the same study; their responses are free of charge now.
        per_row: gives the number of calls that a row of a prompt takes, those of a judge included, as far as it is
            known at the moment; it changes between two rounds alone.
    """

    limit: Callable[[], float]
    spent: Callable[[], float]
    previous: int = 0
    per_row: Callable[[], float] = lambda: 1

    @property
    def rows(self) -> float:
        """The number of rows that the search may score, as far as it is known at the moment."""
        return self.limit() / self.per_row()


RefusalOf = Callable[[PreparedPrompt, int], Refusal | None]
"""Tells why a server refuses a prompt with a row; None where it is not known to."""


class BatchEvaluator(Protocol):
    """The methods of `prompt_search.evaluation.evaluator.Evaluator` that a race calls."""

    def price(self, prepared: PreparedPrompt, rows: Sequence[int]) -> Sequence[float]:
        """The number of calls that each row will be charged, as far as it is known."""
        ...

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]:
        """The outcomes of prompts on rows, in their order; None where the budget left no room."""
        ...

    async def ask(self, prepared: PreparedPrompt, row: int, split: str) -> Outcome | None:
        """Send the requests of a prompt with a row, which are free from then on; the outcome if one failed."""
        ...

    def refusals(self) -> RefusalOf:
        """What servers are known to refuse now."""
        ...

    def evade(self, prepared: PreparedPrompt, row: int) -> bool:
        """Do without what the server refuses of a prompt with a row from now on, and say whether that is possible."""
        ...

    async def reparse(
        self, prepared: PreparedPrompt, outcomes: Sequence[Outcome], split: str
    ) -> tuple[PreparedPrompt, list[Outcome]]:
        """The prompt with its answer form calibrated on the outcomes, and the outcomes parsed by it."""
        ...
