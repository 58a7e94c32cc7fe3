"""Every table that is made of the records of a stored study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from prompt_search._json import reading
from prompt_search.budget import Spending
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, StudyError
from prompt_search.results import breakdowns, tables
from prompt_search.results.evaluation import Evaluation
from prompt_search.results.frames import answer_text, with_columns_of
from prompt_search.results.judged import judge_tables
from prompt_search.results.lines.growth import GrowthCounts
from prompt_search.results.stored import growth_tables, shot_tables
from prompt_search.results.stored.study_costs import StudyCosts
from prompt_search.storage.records import ProposalRecord, SampleRecord

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset
    from prompt_search.data.rows import Row

SHOWN_FINALISTS = 10
"""Number of trials that `StudyTables.difficulty_df` shows unless others are given."""


class StudyTables(StudyCosts):
    """The tables that are made of the records of a stored study; the arguments are those of `StudyRecords`."""

    def _reported_rows(self, trial: int | None) -> pd.DataFrame:
        """The rows that a trial is reported on (see `trial_samples`); default: the winner's."""
        return self.trial_samples(self.best_trial if trial is None else self._trial(trial).trial)

    @property
    def best_trial(self) -> int:
        """The winner's trial number; for an unfinished study the best so far."""
        if self._summary is not None:
            return self._summary.winner
        scored = self.trials_df().dropna(subset=["score"]).sort_values(["score", "search_rows"], ascending=False)
        return int(scored["trial"].iloc[0]) if len(scored) else 0

    def evaluation(self, trial: int | None = None) -> Evaluation:
        """The scores of a trial's prompt on all its rows, to inspect or for `compare`; default: the winner's.

        Raises:
            StudyError: there is no such trial.
        """
        number = self.best_trial if trial is None else trial
        name = self.name if trial is None else f"{self.name}:{trial}"
        scored = self._rows_of(number).reset_index(drop=True)
        made = Evaluation.of(self.prompt(number), scored, name=name, metric=self.metric, score_range=self.score_range)
        return replace(made, texts=partial(self.row_texts, number))

    @with_columns_of(tables.trials_frame)
    def trials_df(self) -> pd.DataFrame:
        """One row per trial, in the order in which they were started."""
        return self._table.copy()

    def ranking(self) -> pd.DataFrame:
        """`trials_df` in the order in which the search ranks the prompts, winner first."""
        frame = self.trials_df()
        if self._summary is None:
            return frame.sort_values(["score", "search_rows"], ascending=False, kind="stable", ignore_index=True)
        order = {trial: rank for rank, trial in enumerate(self._summary.order)}
        return frame.sort_values("trial", key=lambda trials: trials.map(order), ignore_index=True)

    @with_columns_of(tables.samples_frame)
    def samples_df(self) -> pd.DataFrame:
        """One row per trial, data row and split (search or test)."""
        return tables.samples_frame(self._scored)

    @with_columns_of(tables.scored_frame)
    def trial_samples(self, trial: int) -> pd.DataFrame:
        """A trial's test rows, or its search rows if it was not tested."""
        tested = self._rows_of(trial, "test")
        return tested if len(tested) else self._rows_of(trial)

    @with_columns_of(tables.calls_frame)
    def calls_df(self) -> pd.DataFrame:
        """One row per request that the study used, in the order in which they were answered."""
        return self._calls.copy()

    @with_columns_of(tables.ledger_frame)
    def ledger_df(self) -> pd.DataFrame:
        """One row per role of requests, with the calls, tokens and US dollars that they used."""
        lost = self._store.responses.lost(self._study.study) if self._summary is None else self._summary.lost
        return with_lost(tables.ledger_frame(self._calls), lost)

    @cached_property
    def _proposals(self) -> list[ProposalRecord]:
        return self._store.versions.proposals(self._study.version)

    @cached_property
    def _growth(self) -> GrowthCounts | None:
        """What proposals came to, and what they cost; None where the study has no proposer."""
        if not self._proposals and "proposer" not in self.identity:
            return None
        unmet = None if self._summary is None else self._summary.unmet
        return growth_tables.growth_counts(
            self._trial(self.best_trial), self._proposals, self._trials, self.ledger_df(), unmet
        )

    @with_columns_of(growth_tables.proposals_frame)
    def proposals_df(self) -> pd.DataFrame:
        """One row per text that was proposed for a choice that may grow; empty where the study has no proposer."""
        return growth_tables.proposals_frame(self._proposals, self._trials, self._calls)

    @with_columns_of(growth_tables.lineage_frame)
    def lineage(self) -> pd.DataFrame:
        """Where the winner's texts come from, back to what is written in the template; empty without proposals."""
        return growth_tables.lineage_frame(self._trial(self.best_trial), self._proposals, self._trials)

    @with_columns_of(shot_tables.shots_frame)
    def shots_df(self) -> pd.DataFrame:
        """One row per row of the pool that the model was asked about; empty where no picker is ``solved`` or
        ``hard``."""
        found = self._store.pool_answers.of_study(self._study.study)
        return shot_tables.shots_frame([] if found is None else found.answers, self._trials)

    @with_columns_of(judge_tables.judgements_frame)
    def judgements_df(self) -> pd.DataFrame:
        """One row per request to a judge about an answer; empty where the metric is no judge."""
        return judge_tables.judgements_frame(self._judged_samples, self._calls)

    @with_columns_of(judge_tables.noise_frame)
    def judge_noise_df(self) -> pd.DataFrame:
        """One row per split: how much a judge's ratings of one answer vary; empty where the metric is no judge."""
        return judge_tables.noise_frame(self._judged_samples)

    @property
    def _judged_samples(self) -> list[SampleRecord]:
        return self._store.samples(self._study.version) if "judge" in self.identity else []

    @with_columns_of(tables.pareto_frame)
    def pareto_df(self) -> pd.DataFrame:
        """The trials that no other beats both in score and in tokens, cost or latency.

        Scores are compared also where the objective weighs costs: ``estimate`` is then of the score. Where it has caps,
        ``cap`` says of each trial whether it is ``under`` them, ``over`` one, or ``not known``.
        """
        frame = tables.pareto_frame(self.score_table())
        return frame.assign(cap=frame["trial"].map(self.cap_standings)) if self.cap_standings else frame

    @with_columns_of(tables.progress_frame)
    def progress_df(self) -> pd.DataFrame:
        """Scores by number of calls, with the best trial so far."""
        return tables.progress_frame(self._scored, self.score_range)

    @with_columns_of(breakdowns.difficulty_frame)
    def difficulty_df(self, trials: Sequence[int] | None = None) -> pd.DataFrame:
        """Scores of some trials on each data row, the hardest row first.

        Args:
            trials: numbers of trials; default: the ten that the search ranks highest, the winner first.
        """
        chosen = self.ranking()["trial"].head(SHOWN_FINALISTS).tolist() if trials is None else trials
        return breakdowns.difficulty_frame(self._scored, [self._trial(trial).trial for trial in chosen])

    @with_columns_of(breakdowns.effects_frame)
    def effects_df(self) -> pd.DataFrame:
        """The effect of each option on the score, or on the objective's value; empty while the study is unfinished."""
        with reading(f"the effects of study {self.name!r}"):
            return breakdowns.effects_frame(self.summary.get("effects", ()), self._trials, self.value_range)

    @with_columns_of(breakdowns.interactions_frame)
    def interactions_df(self) -> pd.DataFrame:
        """Pairs of options that are shown to interact; empty while the study is unfinished."""
        with reading(f"the interactions of study {self.name!r}"):
            return breakdowns.interactions_frame(self.summary.get("interactions", ()))

    @with_columns_of(breakdowns.confusion_frame)
    def confusion_df(self, trial: int | None = None) -> pd.DataFrame:
        """The number of test rows for each target and answer.

        Args:
            trial: a trial's number; default: the winner's. For a trial that was not tested its search rows are used.

        Raises:
            StudyError: there is no such trial.
        """
        return breakdowns.confusion_frame(self._reported_rows(trial))

    @with_columns_of(breakdowns.labels_frame)
    def labels_df(self, trial: int | None = None) -> pd.DataFrame:
        """Recall, precision and bias of each label, on the same rows as `confusion_df`."""
        return breakdowns.labels_frame(self._reported_rows(trial))

    @with_columns_of(breakdowns.fields_frame)
    def fields_df(self, trial: int | None = None) -> pd.DataFrame:
        """How often each field of JSON answers is right, as the metric `Fields` compares them.

        Args:
            trial: a trial's number; default: those of the default and the winner, on the rows that both have.

        Raises:
            StudyError: there is no such trial, or the targets are no JSON objects.
        """
        scored = self._default_and_winner() if trial is None else self._reported_rows(trial)
        metric = breakdowns.fields_metric(self._scored["target"], self.metric)
        if metric is None:
            raise StudyError(f"the targets of study {self.name!r} are no JSON objects, so there are no fields to count")
        return breakdowns.fields_frame(scored, metric)

    @with_columns_of(breakdowns.slices_frame)
    def slices_df(self, data: Dataset, by: str | Sequence[str] | Callable[[Row], Any]) -> pd.DataFrame:
        """Scores of default and winner on test rows, by groups of rows.

        Args:
            data: the study's data.
            by: one or several columns, or a function that gives a row's group (then in the column ``group``).

        Raises:
            StudyError: the data differs from the study's.
            InputError: there is no such column, it is given twice, or the table has a column of that name.
        """
        if data.fingerprint != self.identity["data"]:
            raise StudyError(f"the data differs from that of the study {self.name!r}; give the data that it was run on")
        names = ["group"] if callable(by) else [by] if isinstance(by, str) else list(by)
        if not callable(by):
            _check_groups(names, [*data.fields, data.target])
        scored = self._default_and_winner()
        groups = {row: _group(by, names, data.rows[row], row) for row in scored["row"].unique().tolist()}
        return breakdowns.slices_frame(scored, groups, names, self.score_range)

    @with_columns_of(breakdowns.slices_frame)
    def slices_by_target(self) -> pd.DataFrame:
        """Scores of default and winner on test rows, by target."""
        scored = self._default_and_winner()
        groups = {row: (answer_text(target),) for row, target in zip(scored["row"], scored["target"], strict=True)}
        return breakdowns.slices_frame(scored, groups, ["target"], self.score_range)

    def _default_and_winner(self) -> pd.DataFrame:
        """The rows that default and winner are reported on; where one of them is missing a row, the other is, too, so
        that scores beside each other are over the same rows."""
        frames = [self._reported_rows(trial) for trial in dict.fromkeys([0, self.best_trial])]
        missing = {row for frame in frames for row in frame["row"][frame["score"].isna()]}
        return pd.concat([frame.assign(score=frame["score"].mask(frame["row"].isin(missing))) for frame in frames])


def _group(by: Any, names: Sequence[str], of: Row, row: int) -> tuple[Any, ...]:
    """The group of a row.

    Raises:
        InputError: the user's function raised, or there is no table with such a value.
    """
    try:
        group = (by(of),) if callable(by) else tuple(of[name] for name in names)
        hash(group)
    except Exception as error:
        what = "the function that groups the rows" if callable(by) else f"grouping by {', '.join(names)}"
        message = " ".join(str(error).split())
        raise InputError(f"{what} raised {type(error).__name__} for row {row}: {message}; correct it") from error
    return group


def _check_groups(names: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse columns to group by that are not there, or would be lost in a table of slices."""
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise InputError(f"there is no column {unknown[0]!r} to group by; there are: {', '.join(columns)}")
    for name in names:
        if list(names).count(name) > 1:
            raise InputError(f"rows are grouped by each column once, but {name!r} is given twice; give it once")
        if name in breakdowns.SLICE_COLUMNS:
            values = ", ".join(f"row[{each!r}]" for each in names)
            values = values if len(names) == 1 else f"({values})"
            raise InputError(
                f"the column {name!r} cannot be a group, because the table has a column of that name; group by a "
                f"function, by=lambda row: {values}"
            )


def with_lost(ledger: pd.DataFrame, lost: Spending) -> pd.DataFrame:
    """A `tables.ledger_frame` with a row ``lost`` for what was sent and never stored: a count of ``calls``, at most."""
    if not lost.calls:
        return ledger
    nothing = {"requests": 0, "reused": 0, "seconds": 0.0, "errors": 0, "batched": 0}
    row = pd.DataFrame({"role": ["lost"], "calls": lost.calls, **nothing})
    row = row.reindex(columns=ledger.columns).astype(ledger.dtypes)
    return pd.concat([ledger, row], ignore_index=True)
