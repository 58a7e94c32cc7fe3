"""The results of a study: one version for each line of settings, which nothing changes once it is finished."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sql

from prompt_search._json import checked, json_text, read, reading
from prompt_search.errors import StudyError
from prompt_search.storage import schema
from prompt_search.storage.database import Database, fetched, is_of_study, without_garbage_collection
from prompt_search.storage.faults import patient
from prompt_search.storage.ownership.leases import taken_over
from prompt_search.storage.records import FailedCall, ProposalRecord, SampleRecord, TrialRecord, Version, split_label
from prompt_search.storage.summary import Summary


@dataclass(frozen=True, kw_only=True)
class VersionRecord:
    """A version as it is stored: the settings it was begun with and, once it ended, its outcome as text."""

    version: Version
    settings: Mapping[str, Any]
    summary_text: str | None

    def has(self, settings: Mapping[str, Any]) -> bool:
        """Whether it was begun with these settings."""
        return bool(self.settings == json.loads(json_text(settings)))

    @property
    def summary(self) -> Summary | None:
        """Its outcome; None while it is unfinished."""
        if not self.summary_text:
            return None
        with reading(f"the summary of study {self.version.label!r}"):
            return read(Summary, self.summary_text)


class Versions:
    """The versions of a database's studies.

    One version of a study is unfinished at most: the next run goes on with it, whatever its settings are. Trials,
    scored rows and the outcome are written under the lease with which the version was opened last, so that a process
    that was taken over cannot write into what its successor found.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    def of_study(self, study: str) -> list[VersionRecord]:
        """All versions of a study, oldest first."""
        columns = schema.versions.c
        query = sql.select(schema.versions).where(columns.study == study).order_by(columns.version)
        with self._database.connected() as connection:
            rows = connection.execute(query).all()
        with reading(f"the settings of a version of study {study!r}"):
            return [
                VersionRecord(
                    version=Version(study=study, number=row.version),
                    settings=checked(dict[str, Any], json.loads(row.settings)),
                    summary_text=row.summary,
                )
                for row in rows
            ]

    def version(self, study: str, number: int | None = None) -> VersionRecord | None:
        """A version of a study; without a number the last finished one, or else the unfinished one.

        Returns:
            the version; None where the study has none yet, and without a number or for its first one.

        Raises:
            StudyError: there is no version of this number.
        """
        every = self.of_study(study)
        if number is None or (number == 1 and not every):
            return next((each for each in reversed(every) if each.summary_text), every[-1] if every else None)
        found = next((each for each in every if each.version.number == number), None)
        if found is None:
            there = ", ".join(f"{study}@{each.version.number}" for each in every) or "none"
            raise StudyError(f"study {study!r} has no version {number}; stored: {there}")
        return found

    def finished(self, study: str, settings: Mapping[str, Any]) -> Version | None:
        """The finished version with these settings; None without one."""
        found = (each for each in reversed(self.of_study(study)) if each.summary_text and each.has(settings))
        return next((each.version for each in found), None)

    @patient
    def open(
        self, study: str, settings: Mapping[str, Any], owner: str | None, *, keep_decisions: bool = True
    ) -> Version:
        """Begin a version, or begin the unfinished one again.

        A resumed run writes its trials again from the responses, and keeps the decisions of the search where the
        settings are the same.

        Args:
            study: the study's name.
            settings: what the version is run with.
            owner: the lease under which it is written.
            keep_decisions: False drops the decisions of an unfinished version in any case.
        """
        every = self.of_study(study)
        goes_on = bool(every) and not every[-1].summary_text
        number = every[-1].version.number + (not goes_on) if every else 1
        values = {"settings": json_text(settings), "owner": owner, "created": self._database.clock()}
        versions = schema.versions
        with self._database.writing() as connection:
            if goes_on:
                connection.execute(versions.update().where(_is(versions, study, number)).values(**values))
                kept = keep_decisions and every[-1].has(settings)
                for table in (schema.trials, schema.samples, schema.proposals, *([] if kept else [schema.decisions])):
                    connection.execute(table.delete().where(_is(table, study, number)))
            else:
                connection.execute(versions.insert().values(study=study, version=number, **values))
        return Version(study=study, number=number, owner=owner)

    @patient
    def drop_empty(self, version: Version) -> None:
        """Delete an unfinished version of which nothing was written."""
        versions, samples = schema.versions, schema.samples
        scored = sql.select(samples.c.study).where(_is(samples, version.study, version.number)).exists()
        of = sql.and_(_is(versions, version.study, version.number), versions.c.summary.is_(None), ~scored)
        with self._database.writing() as connection:
            if connection.execute(versions.delete().where(of)).rowcount:
                for table in (schema.decisions, schema.proposals):
                    connection.execute(table.delete().where(_is(table, version.study, version.number)))

    @patient
    def save_proposals(self, version: Version, first: int, proposals: Collection[ProposalRecord]) -> None:
        """Write proposed options.

        Args:
            version: whose they are.
            first: the number of the first of them.
            proposals: the options.

        Raises:
            RunError: another process has taken the study over.
        """
        of = {"study": version.study, "version": version.number}
        rows = [{**of, "number": number, "record": json_text(asdict(p))} for number, p in enumerate(proposals, first)]
        with self._database.writing() as connection:
            self._take(connection, version, {})
            connection.execute(self._database.insert_or_update(schema.proposals), rows)

    @patient
    def proposals(self, version: Version) -> list[ProposalRecord]:
        """The proposed options of a version, in the order in which they came."""
        texts = self._records(schema.proposals.c.number, version)
        with reading(f"a proposed option of study {version.label!r}"):
            return [read(ProposalRecord, text) for text in texts]

    @patient
    def save_trials(
        self,
        version: Version,
        trials: Collection[TrialRecord],
        samples: Collection[SampleRecord],
        *,
        at_end: Summary | None = None,
    ) -> None:
        """Write trials and samples, replacing what was stored of the same ones.

        Args:
            version: whose they are.
            trials: the trials.
            samples: the scored rows.
            at_end: the outcome, which is written in the same transaction and makes the version a finished one.

        Raises:
            RunError: another process has taken the study over.
        """
        of = {"study": version.study, "version": version.number}
        written: dict[sql.Table, list[dict[str, Any]]] = {
            schema.trials: [{**of, "trial": t.trial, "record": json_text(asdict(t))} for t in trials],
            schema.samples: [
                {
                    **of,
                    "trial": sample.trial,
                    "row": sample.row,
                    "split": sample.split,
                    "key": sample.key,
                    "record": json_text(asdict(sample)),
                }
                for sample in samples
            ],
        }
        with self._database.writing() as connection:
            self._take(connection, version, {} if at_end is None else _outcome(connection, version.study, at_end))
            for table, rows in written.items():
                if rows:
                    connection.execute(self._database.insert_or_update(table), rows)

    def _take(self, connection: sql.Connection, version: Version, values: Mapping[str, Any]) -> None:
        """Make sure that a version is unfinished and still the owner's until the transaction ends, and set values of
        it; rows outside of a study have no version."""
        versions = schema.versions
        of = _is(versions, version.study, version.number)
        same = versions.c.owner.is_(None) if version.owner is None else versions.c.owner == version.owner
        unfinished = versions.c.summary.is_(None)
        if "summary" in values:  # it may have been written just now, when the connection was lost
            unfinished |= versions.c.summary == values["summary"]
        update = versions.update().where(of, unfinished, same)
        if connection.execute(update.values(owner=version.owner, **values)).rowcount:
            return
        if version.owner or values or connection.execute(sql.select(versions.c.version).where(of)).first():
            raise taken_over(version.study)

    def _records(self, number: sql.Column[int], version: Version) -> list[str]:
        """The records of a version in a table, as they were written, in the order of this column of it."""
        table = number.table
        with self._database.connected() as connection:
            query = sql.select(table.c.record).where(_is(table, version.study, version.number))
            return list(connection.execute(query.order_by(number)).scalars())

    @patient
    def decisions(self, version: Version) -> list[str]:
        """The decisions of the search, in their order, as they were written."""
        return self._records(schema.decisions.c.number, version)

    @patient
    def save_decision(self, version: Version, number: int, record: str) -> None:
        """Write a decision of the search, in place of those from this number on.

        Raises:
            RunError: another process has taken the study over.
        """
        values = {"study": version.study, "version": version.number, "number": number, "record": record}
        with self._database.writing() as connection:
            self._take(connection, version, {})
            decisions = schema.decisions
            later = sql.and_(_is(decisions, version.study, version.number), decisions.c.number >= number)
            connection.execute(decisions.delete().where(later))
            connection.execute(decisions.insert().values(**values))

    @patient
    def trials(self, version: Version) -> list[TrialRecord]:
        """The trials of a version, in the order of their numbers."""
        texts = self._records(schema.trials.c.trial, version)
        with reading(f"a trial of study {version.label!r}"):
            return [read(TrialRecord, text) for text in texts]

    @patient
    def failed_calls(self, version: Version) -> list[FailedCall]:
        """The calls of a finished version that had failed when it ended."""
        versions = schema.versions
        query = sql.select(versions.c.failed_calls).where(_is(versions, version.study, version.number))
        with self._database.connected() as connection:
            text = connection.execute(query).scalar()
        with reading(f"the failed calls of study {version.label!r}"):
            return checked(list[FailedCall], json.loads(text or "[]"))

    def samples(self, version: Version) -> list[SampleRecord]:
        """The scored rows of a version, in no order."""
        samples = schema.samples
        what = f"a scored row of study {version.label!r}"
        with self._database.connected() as connection, without_garbage_collection(), reading(what):
            of = sql.and_(is_of_study(connection, samples, version.study), samples.c.version == version.number)
            rows = fetched(connection, sql.select(samples.c.record).where(of))
            return [read(SampleRecord, text) for chunk in rows for (text,) in chunk]


def named_version(name: str, studies: Collection[str]) -> tuple[str, int | None]:
    """The study and the number of the version that a text such as ``tickets@2`` names; the number is None where the
    text is the name of a study.

    >>> named_version("tickets@2", ["tickets"]), named_version("a@2", ["a", "a@2"])
    (('tickets', 2), ('a@2', None))
    """
    study, number = split_label(name)
    return (study, number) if name not in studies and study in studies else (name, None)


def _outcome(connection: sql.Connection, study: str, summary: Summary) -> dict[str, Any]:
    """What a version keeps when it ends: its outcome, and the calls that have failed, which a later one may repeat."""
    of = schema.calls.c
    query = sql.select(of.key, of.number, of.role, of.split, of.attempts, of.failure).where(
        of.study == study, of.failure.is_not(None)
    )
    failed = [list(row) for row in connection.execute(query.order_by(of.number))]
    return {"summary": json_text(summary.to_dict()), "failed_calls": json_text(failed) if failed else None}


def _is(table: sql.Table, study: str, number: int) -> sql.ColumnElement[bool]:
    return sql.and_(table.c.study == study, table.c.version == number)
