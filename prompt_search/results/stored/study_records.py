"""The records of a stored study: settings, trials and scored rows, the prompts and what was sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import pandas as pd

from prompt_search import metrics
from prompt_search._json import ELSEWHERE, checked, reading
from prompt_search.errors import StorageError, StudyError
from prompt_search.metrics.objective import Objective
from prompt_search.metrics.ranges import Range
from prompt_search.prompts.prompt import Prompt
from prompt_search.results import tables, wording
from prompt_search.results.evaluation import stored_calls, stored_rows
from prompt_search.results.lines.row_text import shown_texts
from prompt_search.storage.database import shown_url
from prompt_search.storage.records import StudyRecord, TrialRecord, messages_in
from prompt_search.storage.store import Store
from prompt_search.storage.summary import Summary


class StudyRecords:
    """The records of a stored study, finished or not.

    Args:
        store: the opened storage that holds it.
        study: the study's name.
        version: the number of the result; default: the last finished one.

    Raises:
        StudyError: there is no such study or version.
        StorageError: its records cannot be read.
    """

    def __init__(self, store: Store, study: str, version: int | None = None) -> None:
        self._store = store
        self._study: StudyRecord = store.study(study, version)
        self._trials: list[TrialRecord] = store.trials(self._study.version)
        self._summary: Summary | None = self._study.summary
        if self._summary is not None:
            self._check_trials(self._summary)

    def _check_trials(self, summary: Summary) -> None:
        numbers = {trial.trial for trial in self._trials}
        named = {summary.winner, summary.hand_written, *summary.order} - {None}
        if named - numbers or len(numbers) < len(self._trials):
            raise StorageError(
                f"study {self.name!r} cannot be read: its trials do not match its summary; restore the storage, or "
                "start over with fresh=True (--fresh)"
            )

    @cached_property
    def _calls(self) -> pd.DataFrame:
        """The calls of the study; those of a finished version as they were at its end."""
        end = None if self._summary is None else self._summary.next_call
        failed = [] if end is None else self._store.versions.failed_calls(self._study.version)
        return stored_calls(self._store, self._study.study, end, failed)

    @cached_property
    def _scored(self) -> pd.DataFrame:
        return stored_rows(self._store, self._study.version, self._calls)

    @cached_property
    def _table(self) -> pd.DataFrame:
        names = list(dict.fromkeys(name for trial in self._trials for name in trial.choices))
        with reading(f"the trials of study {self.name!r}"):
            frame = tables.trials_frame(self._trials, self._scored, names, self.score_range)
        if not self.weighs_costs:
            return frame
        estimates = pd.Series([trial.estimate for trial in self._trials], dtype="float64")
        return frame.assign(estimate=estimates.clip(*self.value_range))

    @cached_property
    def _by_number(self) -> dict[int, TrialRecord]:
        return {trial.trial: trial for trial in self._trials}

    def _trial(self, number: int) -> TrialRecord:
        if number not in self._by_number:
            raise StudyError(
                f"study {self.name!r} has no trial {number}; it has {wording.trials_there(self._by_number) or 'none'}"
            )
        return self._by_number[number]

    def _rows_of(self, trial: int, split: str | None = None) -> pd.DataFrame:
        """Everything known of a trial's rows, of one split or of all."""
        rows = self._scored[self._scored["trial"] == trial]
        return rows if split is None else rows[rows["split"] == split]

    @property
    def name(self) -> str:
        """The name of the study; with ``@2`` and so on where this is not its first result."""
        return self._study.version.label

    @property
    def study(self) -> str:
        """The name of the study, which all its results share."""
        return self._study.study

    @property
    def reference(self) -> str:
        """The name that opens this result: `name`, or with ``@1`` where the study has a later result, which that
        opens."""
        opened = self._store.study(self.study).version
        return self.name if opened.number == self.version else f"{self.study}@{self.version}"

    @property
    def version(self) -> int:
        """The number of this result: a study that was run with other limits again has several."""
        return self._study.version.number

    @property
    def storage(self) -> str:
        """The storage's URL, without a password."""
        return shown_url(self._store.url)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The settings that make the study this one; see `Study.identity`."""
        return self._study.identity

    @property
    def created(self) -> float:
        """The time when the study was started, in seconds since 1970."""
        return self._study.created

    @property
    def summary(self) -> Mapping[str, Any]:
        """The summary of the finished study: winner, budget, use of the budget; empty while it is unfinished."""
        return {} if self._summary is None else self._summary.to_dict()

    @property
    def finished(self) -> bool:
        """Whether the study has ended."""
        return self._summary is not None

    @property
    def metric(self) -> str:
        """The name of the metric."""
        return str((self._summary and self._summary.metric) or self.identity["metric"])

    @cached_property
    def score_range(self) -> Range:
        """The range of the metric, which intervals keep to: (lowest, highest); infinite where it states none."""
        if "metric_range" in self.identity:
            with reading(f"the range of the metric of study {self.name!r}"):
                return Range.from_json(self.identity["metric_range"])
        known = metrics.stored_metric(str(self.identity.get("metric", "")))  # stored before ranges were
        return metrics.UNBOUNDED if known is None else metrics.metric_range(known)

    @cached_property
    def objective(self) -> Objective | None:
        """What was maximized; None where that was the score alone."""
        stored = self.identity.get("objective")
        if stored is None:
            return None
        with reading(f"the objective of study {self.name!r}"):
            return Objective.from_dict(stored)

    @property
    def weighs_costs(self) -> bool:
        """Whether what was maximized is another number than the score."""
        return self.objective is not None and self.objective.weighs

    @property
    def value_range(self) -> Range:
        """The range of what was maximized, see `score_range`."""
        return self.score_range if self.objective is None else self.objective.value_range(self.score_range)

    def prompt(self, trial: int) -> Prompt:
        """The prompt of a trial, as it was sent, with the metric that it was scored by, and the task.

        Raises:
            StudyError: there is no such trial.
        """
        with reading(f"the prompt of trial {trial} of study {self.name!r}"):
            sent = checked(Prompt, self._trial(trial).prompt)
            task = self.identity.get("task")
            return replace(
                sent,
                metric=metrics.description(str(self.identity["metric"])),
                task=None if task is None else str(task["name"]),
            )

    def sent(self, keys: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        """The messages that were sent, by request key: (role, content) each. Requests that failed are not stored."""
        requests = self._store.requests(self._study.study, keys)
        with reading(f"a request of study {self.name!r}", ELSEWHERE):
            return {key: messages_in(requests[key]) for key in keys if key in requests}

    def row_texts(self, trial: int, rows: Collection[int]) -> dict[int, str]:
        """What a trial's prompt shows of rows, as far as it was sent them: the values of their fields."""
        keys = dict(self._rows_of(trial)[["row", "key"]].itertuples(index=False, name=None))
        return shown_texts(self.prompt(trial).source, {row: keys[row] for row in rows if row in keys}, self.sent)

    def has_default_choices(self, trial: int) -> bool:
        """Whether a trial is the default prompt, by its choices."""
        return self._trial(trial).choices == self._trial(0).choices

    def changes(self, trial: int, width: int = 24) -> str:
        """A trial's choices that differ from the default's, each option shortened to ``width`` characters."""
        return wording.changes_text(self._trial(0).choices, self._trial(trial).choices, width)

    def estimates(self) -> dict[int, tuple[float, float]]:
        """Of each trial that has one the estimate, and the standard deviation of its difference to the winner's."""
        found = ((trial.trial, trial.estimate, trial.uncertainty) for trial in self._trials)
        return {trial: (mean, spread) for trial, mean, spread in found if mean is not None and spread is not None}

    def choices(self, trial: int) -> dict[str, str]:
        """The text of a trial's option of each choice."""
        return dict(self._trial(trial).choices)

    def positions(self, trial: int) -> dict[str, int]:
        """The position of a trial's option of each choice."""
        return dict(self._trial(trial).positions)

    def trials_of(self, rows: Collection[int]) -> list[int]:
        """The trials that were sent some of these rows, those with the most of them first."""
        found = self._scored[self._scored["row"].isin(list(rows))]
        return [int(trial) for trial in found.groupby("trial")["row"].nunique().sort_values(ascending=False).index]


def stored_as(study: StudyRecords) -> tuple[Store, StudyRecord]:
    """The storage that a study is read from, and its record there."""
    return study._store, study._study
