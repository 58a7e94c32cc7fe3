"""A race whose space grows: what is proposed becomes part of everything that chooses candidates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from prompt_search.evaluation.outcome import Outcome
from prompt_search.search.deciding.decisions import Decision, Journal, decided
from prompt_search.search.deciding.picks import MIN_BATCHES_PER_ROUND, Picks
from prompt_search.search.encoding import Encoding
from prompt_search.search.estimates import Estimates
from prompt_search.search.growth.history import History
from prompt_search.search.growth.waves import Spent, Standing, Wave, Waves
from prompt_search.search.prior.knowledge import knowledge_of
from prompt_search.search.proposals import Ask, GrownSpace, ShownTrial
from prompt_search.search.settings import RaceSettings
from prompt_search.search.surrogate.geometry import Geometry
from prompt_search.search.trial import Trial, Trials
from prompt_search.storage.records import ProposalRecord

BATCHES_BESIDE_GROWTH = 1
"""The lowest number of trials that a round gets besides new options, while these are proposed: what they win shows in
few rounds. It is none once prompts with proposed options are reworded, because one rewording after the other then wins
more than anything else."""


class Growth:
    """The growth of a race's space; none where its settings have none.

    Args:
        settings: the settings of the race.
        trials: its trials.
        estimates: what is known about them.
        picks: the rules by which candidates are picked.
        journal: keeps the decisions.
        block_rows: number of rows in a block of the common order.
    """

    def __init__(
        self,
        settings: RaceSettings,
        trials: Trials,
        estimates: Estimates,
        picks: Picks,
        journal: Journal,
        block_rows: int,
    ) -> None:
        self.settings = settings
        """The settings of the race, with the space as it is now."""
        self._trials = trials
        self._estimates = estimates
        self._picks = picks
        self._journal = journal
        growth = settings.growth
        self._history = History(growth.earlier if growth else ())
        self._waves: Waves | None = None
        if growth is not None:
            self._waves = Waves(growth, self._history, settings.seed, settings.row_order, block_rows)

    @property
    def proposals(self) -> Sequence[ProposalRecord]:
        """All proposals so far."""
        return self._history.proposals

    def is_grown(self, trial: Trial) -> bool:
        """Whether a trial has an option that was proposed."""
        return self._history.is_grown(trial.candidate)

    @property
    def batches(self) -> int:
        """The lowest number of trials that a round gets besides those that growth gives it."""
        if self._waves is None or self._waves.paused:
            return MIN_BATCHES_PER_ROUND
        return 0 if self._proposals_lead else BATCHES_BESIDE_GROWTH

    @property
    def _proposals_lead(self) -> bool:
        """Whether the last requests showed a prompt that has a proposed option itself."""
        shown = {each.trial for each in self._history.last_wave}
        return any(trial.number in shown and self.is_grown(trial) for trial in self._trials.all)

    async def trials(self, spent: Spent) -> list[Trial]:
        """The trials that a round gets because the space grows: those of new options; or the one that a request is
        about to show.

        Requests that are due are sent, and waited for.
        """
        if self._waves is None:
            return []
        wave = await asyncio.to_thread(self._due, self._waves, spent)
        kept = self._journal.settled(Decision(stage="proposals", asks=wave.asks, picked=wave.more_rows))
        accepted = await self._proposed(kept.asks)
        entered = decided(self._trials, self._journal, "new options", lambda: self._enter(accepted)) if accepted else []
        return [*entered, *(trial for trial in self._trials.all if trial.number in kept.picked)]

    def _due(self, waves: Waves, spent: Spent) -> Wave:
        if not self._trials.score_count:
            return Wave()
        means = self._estimates.means()
        trials = self._estimates.ranked(means)
        return waves.due(Standing(space=self.settings.space, trials=trials, means=means), spent)

    async def _proposed(self, asks: Sequence[Ask]) -> list[ProposalRecord]:
        """The options that are proposed and accepted; they are part of the space from now on."""
        growth = self.settings.growth
        if not asks or growth is None:
            return []
        by_number = {trial.number: trial for trial in self._trials.all}
        shown = [(ask, self._shown(ask, by_number)) for ask in asks]
        replies = await growth.propose(self.settings.space, shown)
        accepted = self._history.take(replies, self.settings.space)
        if accepted:
            self._grow(growth.grow(self._history.accepted))
        return accepted

    def _grow(self, grown: GrownSpace) -> None:
        """Search a space that has grown."""
        self.settings = replace(self.settings, space=grown.space, prepare=grown.prepare)
        encoding = Encoding(grown.space)
        self._trials.take_space(self.settings, encoding)
        self._estimates.take_space(Geometry(grown.space.factors), knowledge_of(self.settings))
        self._picks.take_space(self.settings, encoding)

    def _enter(self, accepted: Sequence[ProposalRecord]) -> list[Trial]:
        """Let a candidate enter for each new option, with all else from the trial that its request showed. Once that
        is a prompt with a proposed option, other choices may vary with it, which tries them at no call more."""
        shown = {trial.number: trial.positions for trial in self._trials.all}
        lead = self._proposals_lead
        entered = []
        for new in accepted:
            positions = {**shown[new.trial], new.choice: new.position}
            entered.append(self._trials.add(self._picks.varied(positions, new.choice) if lead else positions))
        return [trial for trial in entered if trial is not None]

    def _shown(self, ask: Ask, trials: Mapping[int, Trial]) -> ShownTrial:
        """The trial of a request as it is when the request shows it."""
        trial = trials[ask.trial]
        wanted = set(ask.rows) - {outcome.row for outcome in trial.outcomes}
        earlier: dict[int, Outcome] = {}
        for each in self._history.ancestry(ask.choice, ask.parents[0]) if ask.parents else ():
            found = trials[each.trial].outcomes if each.trial in trials else ()
            earlier |= {outcome.row: outcome for outcome in found if outcome.row in wanted - earlier.keys()}
        return ShownTrial(
            candidate=trial.candidate,
            prepared=trial.prepared,
            outcomes=list(trial.outcomes),
            earlier=list(earlier.values()),
        )
