"""What a run writes to the storage: trials and scored rows after every round, the outcome at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from prompt_search.budget import Ledger
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.metrics.ranges import metric_range
from prompt_search.prompts.factors import Factor
from prompt_search.report.result import Result
from prompt_search.results.statistics import mean_interval
from prompt_search.results.wording import changes_text
from prompt_search.search.race import Race
from prompt_search.search.surrogate.effects import Effects
from prompt_search.search.surrogate.interactions import Interaction
from prompt_search.search.trial import DEFAULT_TRIAL, Trial
from prompt_search.storage.records import SampleRecord, TrialRecord, Version, none_if_nan
from prompt_search.storage.store import Store
from prompt_search.storage.summary import Summary
from prompt_search.study.plan import StudyPlan
from prompt_search.study.prior.taking import save_rows
from prompt_search.study.snapshot import DONE, Leader, ProgressReporter

OPTION_WIDTH = 24
"""Number of characters of an option of the leading prompt that progress shows."""


class RunRecorder:
    """Writes what a run of a study finds.

    Args:
        plan: the study.
        store: the storage that it is written to.
        version: the version of the study that it is written as.
        ledger: what the run has spent.
        reporter: reports progress whenever something was written.
    """

    def __init__(
        self, plan: StudyPlan, store: Store, version: Version, ledger: Ledger, reporter: ProgressReporter
    ) -> None:
        self._plan = plan
        self._store = store
        self._version = version
        self._ledger = ledger
        self._reporter = reporter
        mirror = store.optuna_mirror
        self._live = (
            mirror.live(version.label, plan.prompts.space, plan.metric_name, grows=plan.grows) if plan.watched else None
        )
        self._round = datetime.now()
        self._times: dict[int, tuple[datetime, datetime]] = {}
        """By trial when the round in which it entered began, and when it got its last scores."""
        self._proposals = 0
        """The number of proposed options that were written."""
        self._written: dict[int, tuple[PreparedPrompt, str, Mapping[int, Outcome]]] = {}

    def on_round(self, race: Race) -> None:
        """Write what is new in a race, and report where the search stands."""
        trials, samples = [], []
        now = datetime.now()
        for trial in race.trials:
            began, _ = self._times.setdefault(trial.number, (self._round, now))
            if not trial.outcomes and trial.number != DEFAULT_TRIAL:
                continue  # it has entered the race, and was not evaluated yet
            prepared, state, before = self._written.get(trial.number, (None, "", {}))
            if prepared is not trial.prepared or state != trial.state:
                trials.append(self._trial_record(trial))
            changed = [outcome for outcome in trial.outcomes if before.get(outcome.row) != outcome]
            if changed:
                self._times[trial.number] = began, now
            samples += self.sample_records(trial.number, "search", changed)
            self._written[trial.number] = trial.prepared, trial.state, {o.row: o for o in trial.outcomes}
        self._store.save_trials(self._version, trials, samples)
        self._save_proposals(race)
        self._round = now
        self._mirror(race)
        if race.leader is not None and race.leader.scores:
            self._reporter.leader = self._leader(race.leader, race.trials[DEFAULT_TRIAL])
        self._reporter.phase = race.phase
        self._reporter.trials = sum(bool(trial.outcomes) for trial in race.trials)
        self._reporter.unparsed = sum(outcome.unparsed for trial in race.trials for outcome in trial.outcomes)
        self._reporter.report()

    def _save_proposals(self, race: Race) -> None:
        """Write what was proposed since the last round."""
        new = race.proposals[self._proposals :]
        if new:
            self._store.versions.save_proposals(self._version, self._proposals, new)
            self._proposals += len(new)

    def _leader(self, leader: Trial, default: Trial) -> Leader:
        """What is shown of the leading trial."""
        low, high = mean_interval(leader.scores, bounds=metric_range(self._plan.settings.metric))
        before, after = ({each.row: each.score for each in trial.scored} for trial in (default, leader))
        changes = [float(after[row] or 0) - float(before[row] or 0) for row in sorted(before.keys() & after.keys())]
        leads = bool(changes) and leader is not default
        texts, default_texts = leader.prepared.prompt.choices, default.prepared.prompt.choices
        return Leader(
            trial=leader.number,
            choices="" if leader is default else changes_text(default_texts, texts, OPTION_WIDTH),
            best=sum(leader.scores) / len(leader.scores),
            low=low,
            high=high,
            rows=len(leader.scores),
            lead=sum(changes) / len(changes) if leads else None,
            shared=len(changes) if leads else 0,
        )

    def _mirror(self, race: Race) -> None:
        """Show those who watch where each trial stands."""
        if self._live is None:
            return
        for trial in race.trials:
            if not trial.outcomes:
                continue  # it may leave the race again, and another one get its number
            score = sum(trial.scores) / len(trial.scores) if trial.scores else None
            self._live.update(self._trial_record(trial), len(trial.scores), score)

    def close(self) -> None:
        """End what is written for those who watch."""
        if self._live is not None:
            self._live.close()

    def sample_records(self, trial: int, split: str, outcomes: Sequence[Outcome]) -> list[SampleRecord]:
        """The records of a trial's outcomes."""
        rows = self._plan.data.rows
        return [outcome.to_record(trial, split, rows[outcome.row].target) for outcome in outcomes]

    def save_tested(self, trial: int, outcomes: Sequence[Outcome]) -> None:
        """Write a trial's outcomes on test rows."""
        self._store.save_trials(self._version, [], self.sample_records(trial, "test", outcomes))

    def finish(self, race: Race, summary: Summary) -> None:
        """Write the outcome of a race that has ended, which makes the study a finished one."""
        estimates, uncertainties = race.estimates(), race.uncertainties()
        records = [
            replace(
                self._trial_record(trial),
                estimate=estimates[trial.number],
                uncertainty=uncertainties.get(trial.number),
            )
            if trial.scores
            else self._trial_record(trial)
            for trial in race.trials
        ]
        rows = {outcome.row for trial in race.trials for outcome in trial.outcomes}
        save_rows(self._plan, self._store, rows)
        self._store.save_trials(self._version, records, [], at_end=summary)
        plan, version = self._plan, self._version
        if self._store.optuna_mirror.is_kept(plan.name):
            note = Result(self._store, plan.name, version.number).headline
            self._store.optuna_mirror.mirror(
                version.label, race.space, records, note, metric=plan.metric_name, times=self._times
            )
        self._reporter.phase = DONE
        self._reporter.report()

    def summary(self, race: Race, winner: Trial, *, tested: bool, dialect: Sequence[str] = ()) -> Summary:
        """The outcome of a race, with what the ledger counts.

        Args:
            race: the race, which is over.
            winner: its winner.
            tested: whether test rows were to be scored.
            dialect: what was learned of the servers, in sentences.
        """
        ledger, plan = self._ledger, self._plan
        space, lost = race.space, self._store.responses.lost(plan.name)
        return Summary(
            winner=winner.number,
            baseline=DEFAULT_TRIAL,
            hand_written=race.hand_written.number if race.hand_written else None,
            order=[trial.number for trial in race.ranked()],
            budget=ledger.budget.limits,
            calls=ledger.total.calls,
            reused=ledger.reused,
            tokens=ledger.total.tokens,
            usd=none_if_nan(round(ledger.total.usd, 12)),  # sums in another order differ in the last digits
            seconds=ledger.seconds,
            metric=plan.metric_name,
            model=", ".join(model.name for model in plan.models),
            template=plan.prompts.template.name,
            candidates=space.size(),
            search_rows=len(plan.search_rows),
            held_out_rows=len(plan.test_rows),
            tested=tested,
            sealed=plan.sealed,
            test_uses=self._store.test_uses(plan.sealed),
            effects=effect_lines(race.effects(), space.factors),
            interactions=interaction_lines(race.interactions(), space.factors),
            dialect=list(dialect),
            next_call=self._store.next_call_number(plan.name),
            batched=self._reporter.batched,
            lost_calls=lost.calls,
            lost_tokens=lost.tokens,
            lost_usd=lost.usd,
        )

    def _trial_record(self, trial: Trial) -> TrialRecord:
        prompt = trial.prepared.prompt
        stopped = self._ledger.stopped is not None  # the race was ended early, and has decided nothing
        return TrialRecord(
            trial=trial.number,
            state="running" if stopped else trial.state,
            reason="" if stopped else trial.reason,
            choices=prompt.choices,
            positions=trial.candidate.to_dict(),
            prompt=asdict(prompt),
            text=prompt.text,
            shown=list(trial.prepared.shown),
        )


def effect_lines(effects: Sequence[Effects], factors: Sequence[Factor]) -> list[dict[str, Any]]:
    """The lines of `tables.effects_frame`, without the number of trials that had the option."""
    lines = []
    for found in effects:
        factor = factors[found.choice]
        columns = {
            "effect": found.mean,
            "effect_low": found.low,
            "effect_high": found.high,
            "p": found.p,
            "estimate": found.expected,
        }
        for position, option in enumerate(factor.texts):
            values = {name: none_if_nan(float(column[position])) for name, column in columns.items()}
            line = {"choice": factor.name, "position": position, "option": option, "importance": found.importance}
            lines.append(line | values)
    return lines


def interaction_lines(interactions: Sequence[Interaction], factors: Sequence[Factor]) -> list[dict[str, Any]]:
    """The lines of `tables.interactions_frame`."""
    lines = []
    for found in interactions:
        (choice, option), (other_choice, other_option) = [
            (factors[which].name, factors[which].texts[position])
            for which, position in zip(found.choices, found.options, strict=True)
        ]
        lines.append(
            {
                "choice": choice,
                "option": option,
                "other_choice": other_choice,
                "other_option": other_option,
                "effect": found.mean,
                "effect_low": found.low,
                "effect_high": found.high,
            }
        )
    return lines
