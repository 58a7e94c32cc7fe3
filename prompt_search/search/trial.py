"""The state of one trial of the race: a candidate, its prompt, and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.space import Candidate
from prompt_search.search.encoding import Levels

DEFAULT_TRIAL = 0
"""Number of the trial whose candidate is the default one."""


@dataclass(eq=False)
class Trial:
    """A candidate in the race, with its state and its outcomes so far.

    Args:
        number: place in the order in which trials entered the race.
        candidate: what it is made of.
        positions: position of the option of every choice; 0 for choices that are inactive in this candidate.
        levels: the same as the surrogate reads it; -1 for inactive choices.
        prepared: the prompt with its model and answer form.
        rows: the rows that it may be scored on, in the common order.
        outcomes: one for each row that was evaluated, errors included.
        state: "running", "complete", "pruned" or "failed".
        reason: why the trial ended.
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

    @property
    def scored(self) -> list[Outcome]:
        """The outcomes that are no errors."""
        return [outcome for outcome in self.outcomes if outcome.score is not None]

    @property
    def scores(self) -> list[float]:
        """The scores of all outcomes that are no errors."""
        return [outcome.score for outcome in self.outcomes if outcome.score is not None]

    @property
    def unseen(self) -> Sequence[int]:
        """The rows that were not evaluated yet, in the common order."""
        seen = {outcome.row for outcome in self.outcomes}
        return [row for row in self.rows if row not in seen]

    @property
    def open(self) -> bool:
        """Whether the trial may get another evaluation batch."""
        return self.state == "running" and bool(self.scores) and len(self.outcomes) < len(self.rows)


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
