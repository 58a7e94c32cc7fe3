"""The trials of a race: candidates with their prompts, their states and their outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.metrics.objective import Objective
from prompt_search.prompts.factors import Candidate
from prompt_search.search import wording
from prompt_search.search.default_candidate import RefusedCandidate
from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.settings import RaceSettings, RefusalOf

DEFAULT_TRIAL = 0
"""Number of the trial whose candidate is the default one."""


@dataclass(eq=False)
class Trial:
    """A candidate in the race, with its state and its outcomes so far.

    Args:
        number: place in the order in which trials entered the race.
        candidate: the option of every active choice.
        positions: position of the option of every choice; 0 for choices that are inactive in this candidate.
        levels: the same as numbers for the surrogate; -1 for inactive choices.
        prepared: the prompt with its model and answer form.
        rows: the rows that it may be scored on, in the common order.
        outcomes: one for each row that was evaluated, errors included.
        state: "running", "complete", "pruned" or "failed".
        reason: why the trial ended.
        objective: what is maximized; None: the score.
        over_cap: whether it is shown, or before any call expected, to be over a cap.
    """

    number: int
    candidate: Candidate
    positions: Mapping[str, int]
    levels: Levels
    prepared: PreparedPrompt
    rows: Sequence[int]
    outcomes: list[Outcome] = field(default_factory=list)
    state: str = "running"
    reason: str = ""
    objective: Objective | None = None
    over_cap: bool = False

    @property
    def scored(self) -> list[Outcome]:
        """The outcomes that have a score: answers, and failures that are the prompt's fault."""
        return [outcome for outcome in self.outcomes if outcome.score is not None]

    @property
    def scores(self) -> list[float]:
        """The scores of all outcomes that have one."""
        return [outcome.score for outcome in self.outcomes if outcome.score is not None]

    @property
    def values(self) -> list[float]:
        """What the race maximizes, for all outcomes that have a score."""
        return self.valued(self.scores)

    def valued(self, scores: Sequence[float]) -> list[float]:
        """The values of the outcomes that have a score, where their scores are these."""
        if self.objective is None or not self.objective.weighs:
            return list(scores)
        costs = [outcome.cost for outcome in self.scored]
        penalties = self.objective.penalties(
            {name: [getattr(cost, name) for cost in costs] for name in self.objective.weights}
        )
        return [float(value) for value in self.objective.score * np.asarray(scores, dtype=float) - penalties]

    @property
    def maximized(self) -> str:
        """What the race maximizes, in a word."""
        return "value" if self.objective is not None and self.objective.weighs else "score"

    @property
    def answered(self) -> bool:
        """Whether any request was answered."""
        return any(outcome.error is None for outcome in self.outcomes)

    @property
    def unseen(self) -> Sequence[int]:
        """The rows that were not evaluated yet, in the common order."""
        seen = {outcome.row for outcome in self.outcomes}
        return [row for row in self.rows if row not in seen]

    @property
    def open(self) -> bool:
        """Whether the trial may get another evaluation batch."""
        return self.state == "running" and self.answered and len(self.outcomes) < len(self.rows)

    @property
    def never_began(self) -> bool:
        """Whether the trial ended before it got a row."""
        return not self.outcomes and self.state == "pruned"

    def end(self, state: str, reason: str) -> None:
        """Set the final state and the reason for it."""
        self.state, self.reason = state, reason


@dataclass(frozen=True)
class BatchResult:
    """A trial after an evaluation batch.

    Args:
        trial: the trial.
        prepared: its prompt, with the answer form calibrated on all outcomes.
        outcomes: all outcomes, those of earlier batches included.
    """

    trial: Trial
    prepared: PreparedPrompt
    outcomes: list[Outcome]


class Trials:
    """All trials of a race, and the check whether a candidate may enter.

    Args:
        settings: the settings of the race.
        encoding: translates candidates to levels.
    """

    def __init__(self, settings: RaceSettings, encoding: Encoding) -> None:
        self._settings = settings
        self._encoding = encoding
        self._max = math.inf if settings.max_trials is None else settings.max_trials
        self.entered: set[object] = set()
        """The candidates that have asked to enter, and the identities of the prompts that are in the race."""
        self.refusal: RefusalOf = lambda prepared, row: None
        """What servers were known to refuse after the last round."""
        self.expected_over: Callable[[PreparedPrompt], str | None] = lambda prepared: None
        """Why a prompt is expected to be over a cap, after the last round; None where it is not."""
        self.all: list[Trial] = []
        self.finalists: Sequence[Trial] = ()
        """The trials that are still in the finals; none before the finals begin."""
        self.leader: Trial | None = None
        """The trial that was ranked first at the last decision."""

    def take_space(self, settings: RaceSettings, encoding: Encoding) -> None:
        """Let later candidates come from a space that has grown."""
        self._settings, self._encoding = settings, encoding

    def add(self, positions: Mapping[str, int], *, keep_over: bool = False) -> Trial | None:
        """Let a candidate enter; None if an equal prompt is in the race, its server is known to refuse it, it is
        expected to be over a cap, or the number of trials is at its limit.

        Args:
            positions: its options.
            keep_over: whether one that is expected to be over a cap is listed, as a trial that has ended.
        """
        space = self._settings.space
        candidate = space.candidate(positions)
        if candidate in self.entered or sum(not trial.never_began for trial in self.all) >= self._max:
            return None
        prepared, rows = self._settings.prepare(candidate)
        self.entered.add(candidate)
        if prepared.identity in self.entered or (rows and self.refusal(prepared, rows[0]) is not None):
            return None
        self.entered.add(prepared.identity)
        number = self.all[-1].number + 1 if self.all else DEFAULT_TRIAL
        over = self.expected_over(prepared) if self.all else None  # the first one is the baseline in any case
        if over is not None and not keep_over:
            return None
        self.all.append(self._trial(number, candidate, prepared, rows, positions))
        if over is not None:
            self.all[-1].over_cap = True
            self.all[-1].end("pruned", over)
            return None
        return self.all[-1]

    def restore(
        self,
        number: int,
        candidate: Candidate,
        prepared: PreparedPrompt,
        outcomes: list[Outcome],
        state: str,
        reason: str,
    ) -> None:
        """Add a trial of an earlier race, with its outcomes."""
        trial = self._trial(number, candidate, prepared, [], candidate.to_dict())
        trial.outcomes, trial.state, trial.reason = outcomes, state, reason
        self.all.append(trial)

    def add_refused(self, refused: RefusedCandidate) -> None:
        """Add a trial of a candidate that its server refuses; it is over."""
        prepared, rows = self._settings.prepare(refused.candidate)
        self.entered |= {refused.candidate, prepared.identity}
        trial = self._trial(self.all[-1].number + 1, refused.candidate, prepared, rows, refused.candidate.to_dict())
        trial.outcomes = [refused.outcome] if refused.outcome else []
        trial.end("failed", wording.refused(refused.reason))
        self.all.append(trial)

    def drop_empty(self) -> None:
        """Remove the trials without outcomes, for which no call was left; the default stays, as it is the baseline, and
        so do those that were not to get any."""
        kept = (trial for trial in self.all if trial.outcomes or trial.number == DEFAULT_TRIAL or trial.never_began)
        self.all = list(kept)

    @property
    def open(self) -> list[Trial]:
        """The trials that may get another evaluation batch."""
        return [trial for trial in self.all if trial.open]

    @property
    def measured(self) -> list[Trial]:
        """The trials with at least one score."""
        return [trial for trial in self.all if trial.scores]

    @property
    def score_count(self) -> int:
        """The number of scores of all trials."""
        return sum(len(trial.scores) for trial in self.all)

    def levels(self, trials: Sequence[Trial]) -> Levels:
        """The levels of some trials, of shape (trials, factors)."""
        levels = [trial.levels for trial in trials]
        return np.array(levels, dtype=np.int64).reshape(len(trials), len(self._settings.space.factors))

    def _trial(
        self,
        number: int,
        candidate: Candidate,
        prepared: PreparedPrompt,
        rows: Sequence[int],
        positions: Mapping[str, int],
    ) -> Trial:
        (levels,) = self._encoding.encode([candidate])
        return Trial(
            number=number,
            candidate=candidate,
            positions={factor.name: positions.get(factor.name, 0) for factor in self._settings.space.factors},
            levels=levels,
            prepared=prepared,
            rows=rows,
            objective=self._settings.goal.objective if self._settings.goal else None,
        )
