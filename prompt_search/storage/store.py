"""One storage URL for everything that is kept of studies, each thing in a part of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sql

from prompt_search._json import reading
from prompt_search.budget import Budget
from prompt_search.errors import StorageError, StudyError
from prompt_search.llm.messages import Response
from prompt_search.prompts.space import SearchSpace
from prompt_search.storage.calls.batches import Batches
from prompt_search.storage.calls.budgets import Budgets, OpenedBudget
from prompt_search.storage.calls.cache import Cache
from prompt_search.storage.calls.responses import Responses
from prompt_search.storage.changes import changes
from prompt_search.storage.database import Database, shown_url, sqlite_file
from prompt_search.storage.once.pool_answers import StoredPoolAnswers
from prompt_search.storage.once.prior_studies import StoredPriorStudies
from prompt_search.storage.optuna_mirror import OptunaMirror, OptunaStudy, stored_space
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.ownership.leases import Leases
from prompt_search.storage.records import (
    CacheStats,
    Call,
    Found,
    SampleRecord,
    Saved,
    StudyRecord,
    TrialRecord,
    Version,
)
from prompt_search.storage.scores import Scores
from prompt_search.storage.studies import Studies
from prompt_search.storage.summary import Summary
from prompt_search.storage.versions import Versions

__all__ = ["Store", "changes", "open_to_read", "shown_url", "sqlite_file"]

T = TypeVar("T")


class Store:
    """A database at a SQLAlchemy URL, SQLite or PostgreSQL, and the parts that are kept in it.

    Attributes:
        responses: stored responses and the calls of each study.
        batches: batches of requests that are open at a server.
        budgets: the budgets of a study, and what was paid under each.
        scores: scores that users' own metrics gave.
        leases: who runs a study, and who may send a request.
        study_records: settings of studies, uses of test rows.
        versions: results of studies: trials, scored rows, summaries.
        pool_answers: what models answered to pools of shots.
        prior_studies: what studies took from earlier ones.
        cache: size, export and removal of all responses.
        optuna_mirror: studies as Optuna keeps them.

    Args:
        url: where it is.
        clock: seconds since 1970; those of all machines that share a storage must agree within some seconds.
        to_read: whether it is only read, so that an SQLite file need not be writable.

    Raises:
        StorageError: the URL is not one, its driver is missing, the database cannot be opened, or a later release
            wrote it.
    """

    def __init__(self, url: str | Path, *, clock: Callable[[], float] = time.time, to_read: bool = False) -> None:
        self.database = Database(url, clock=clock, to_read=to_read)
        self.responses = Responses(self.database)
        self.batches = Batches(self.database)
        self.budgets = Budgets(self.database)
        self.scores = Scores(self.database)
        self.leases = Leases(self.database)
        self.cache = Cache(self.database, self.leases)
        self.optuna_mirror = OptunaMirror(self.database)
        self.versions = Versions(self.database)
        self.pool_answers = StoredPoolAnswers(self.database)
        self.prior_studies = StoredPriorStudies(self.database)
        self.study_records = Studies(self.database, self.versions, on_delete=self.optuna_mirror.delete)

    @property
    def url(self) -> sql.URL:
        """Where the database is."""
        return self.database.url

    @property
    def engine(self) -> sql.Engine:
        """SQLAlchemy's engine."""
        return self.database.engine

    @property
    def in_memory(self) -> bool:
        """Whether the database is in memory, where nobody else can open it."""
        return self.database.in_memory

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Database.in_thread`."""
        return await self.database.in_thread(function, *arguments)

    def close(self) -> None:
        """Commit what waits to be written, and close."""
        self.end_writing()
        self.database.close()

    def optuna_study(self, version: Version, note: Callable[[], str] = lambda: "") -> OptunaStudy:
        """A finished version as an Optuna study; it is written into the database first where it is not there yet.

        Args:
            version: the version, whose label is the name of the Optuna study.
            note: makes the note that optuna-dashboard shows.

        Raises:
            StudyError: there is no such study, or it is unfinished.
        """
        name, summary = version.label, self.study_records.study(version.study, version.number).summary
        if summary is None:
            raise StudyError(f"the study {name!r} is unfinished and has no Optuna study yet; run it again to resume")
        found = self.optuna_mirror.load(name)
        if found is None:
            trials = self.versions.trials(version)
            with reading(f"the trials of study {name!r}"):
                space = stored_space(trials, summary.effects, self.versions.proposals(version))
            self.optuna_mirror.mirror(name, space, trials, note(), metric=summary.metric)
            found = self.optuna_mirror.load(name)
        assert found is not None  # it was written just now
        return found

    # The parts' methods, for callers that hold the whole store.

    def find(self, study: str, keys: Collection[str]) -> Found:
        return self.responses.find(study, keys)

    def response(self, key: str) -> Response | None:
        return self.responses.response(key)

    async def save_call(self, saved: Saved) -> None:
        await self.responses.save_call(saved)

    def end_writing(self) -> None:
        self.responses.end_writing()
        self.scores.end_writing()

    def calls(self, study: str) -> dict[str, Call]:
        return self.responses.calls(study)

    def next_call_number(self, study: str) -> int:
        return self.responses.next_call_number(study)

    def has_answers(self, study: str) -> bool:
        return self.study_records.has_answers(study)

    def has_failures(self, study: str) -> bool:
        return self.study_records.has_failures(study)

    def open_rescored(self, name: str, of: str, identity: Mapping[str, Any]) -> None:
        """Start the study that holds the rescored results of another one, or another version of it.

        The scores of users' own metrics that were kept for it are dropped, as they are computed again.
        """
        if name not in self.study_names():
            self.open_study(name, identity)
        self.scores.drop(name)
        self.responses.copy_calls(of, name)
        self.pool_answers.copy(of, name)

    def requests(self, study: str, keys: Collection[str] | None = None) -> dict[str, str]:
        return self.responses.requests(study, keys)

    def open_budget(self, study: str, budget: Budget) -> OpenedBudget:
        return self.budgets.open_budget(study, budget)

    def paid_before(self, study: str, budget: int) -> set[str]:
        return self.budgets.paid_before(study, budget)

    def take_lease(self, study: str, owner: str, process: Owner, seconds: float) -> None:
        self.leases.take_lease(study, owner, process, seconds)

    def renew_lease(self, owner: str, seconds: float) -> bool:
        return self.leases.renew_lease(owner, seconds)

    def end_lease(self, owner: str) -> None:
        self.leases.end_lease(owner)

    def claim(self, owner: str, keys: Collection[str]) -> set[str]:
        return self.leases.claim(owner, keys)

    def end_claims(self, owner: str, keys: Collection[str]) -> None:
        self.leases.end_claims(owner, keys)

    def stats(self) -> list[CacheStats]:
        return self.cache.stats()

    def exported(self) -> Iterator[str]:
        return self.cache.exported()

    def clear(self, *, everything: bool = False) -> int:
        return self.cache.clear(everything=everything)

    def study(self, name: str, version: int | None = None) -> StudyRecord:
        return self.study_records.study(name, version)

    def studies(self) -> list[StudyRecord]:
        return self.study_records.studies()

    def study_names(self) -> list[str]:
        return self.study_records.study_names()

    def open_study(self, name: str, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.study_records.open_study(name, identity, fresh=fresh)

    def delete_study(self, name: str) -> None:
        self.study_records.delete_study(name)

    def finished_version(self, study: str, settings: Mapping[str, Any]) -> Version | None:
        return self.versions.finished(study, settings)

    def open_version(
        self, study: str, settings: Mapping[str, Any], owner: str | None = None, *, keep_decisions: bool = True
    ) -> Version:
        return self.versions.open(study, settings, owner, keep_decisions=keep_decisions)

    def drop_empty_version(self, version: Version) -> None:
        self.versions.drop_empty(version)

    def save_trials(
        self,
        version: Version,
        trials: Collection[TrialRecord],
        samples: Collection[SampleRecord],
        *,
        at_end: Summary | None = None,
    ) -> None:
        self.versions.save_trials(version, trials, samples, at_end=at_end)

    def trials(self, version: Version) -> list[TrialRecord]:
        return self.versions.trials(version)

    def samples(self, version: Version) -> list[SampleRecord]:
        return self.versions.samples(version)

    def record_test_use(self, sealed: str, prompt: str, study: str) -> None:
        self.study_records.record_test_use(sealed, prompt, study)

    def test_uses(self, sealed: str) -> int:
        return self.study_records.test_uses(sealed)

    def mirror(self, study: str, space: SearchSpace, trials: Iterable[TrialRecord], note: str = "") -> None:
        self.optuna_mirror.mirror(study, space, trials, note)


def open_to_read(url: str | Path, remedy: str = "run a study first, or give its --storage") -> Store:
    """The storage to read from; unlike for a run, an SQLite file that is missing is not made.

    Raises:
        StorageError: there is none, or it cannot be opened.
    """
    path = sqlite_file(url)
    if path is not None and not os.path.exists(path):  # Path.exists raises where the name is too long
        raise StorageError(f"{path}: there is no such database; {remedy}")
    return Store(url, to_read=True)
