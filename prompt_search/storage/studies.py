"""Stored studies: their settings, and how often test rows were used."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sql

from prompt_search._json import checked, json_text, reading
from prompt_search._names import is_name
from prompt_search.errors import StudyError
from prompt_search.storage import schema
from prompt_search.storage.changes import changes
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.records import StudyRecord, Version, split_label
from prompt_search.storage.summary import SHOWN_ALONE, Identity
from prompt_search.storage.versions import Versions


class Studies:
    """The studies of a database.

    Args:
        versions: their results.
        on_delete: called with the name of a study after it was deleted.
    """

    def __init__(self, database: Database, versions: Versions, on_delete: Callable[[str], None]) -> None:
        self._database = database
        self._versions = versions
        self._on_delete = on_delete

    def study(self, name: str, version: int | None = None) -> StudyRecord:
        """A stored study with one of its results.

        Args:
            name: the study's name.
            version: the number of the result; default: that of the last finished one.

        Raises:
            StudyError: there is none of that name or number; the message lists those there are.
        """
        found = self._find(name, version)
        if found is None:
            names = ", ".join(map(repr, self.study_names())) or "none"
            raise StudyError(f"there is no study {name!r} in {self._database.shown}; stored: {names}")
        return found

    @patient
    def _find(self, name: str, version: int | None = None) -> StudyRecord | None:
        """A stored study if there is one of that name; other studies are not read, as one of them may be damaged."""
        if not is_name(name):
            return None  # PostgreSQL would fail on NUL, both on half characters
        with self._database.connected() as connection:
            row = connection.execute(sql.select(schema.studies).where(schema.studies.c.study == name)).one_or_none()
        return None if row is None else self._record(row, version)

    @patient
    def study_names(self) -> list[str]:
        """The names of all stored studies, oldest first, with those of damaged ones."""
        query = sql.select(schema.studies.c.study).order_by(schema.studies.c.created)
        with self._database.connected() as connection:
            return list(connection.execute(query).scalars())

    @patient
    def studies(self) -> list[StudyRecord]:
        """All stored studies, oldest first."""
        with self._database.connected() as connection:
            rows = connection.execute(sql.select(schema.studies).order_by(schema.studies.c.created)).all()
        return [self._record(row) for row in rows]

    @patient
    def open_study(self, name: str, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Start a study, or go on with the stored one; ``fresh`` deletes the stored one first.

        A stored study without a single response has nothing to go on with: where the settings differ, as when an
        address was corrected, it is replaced.

        Raises:
            StudyError: the stored study differs; the message says in what. Or the name of a new one is that of a
                result.
        """
        if fresh and name in self.study_names():  # which may be damaged, and is not read
            self.delete_study(name)
        stored = self._find(name)
        details = "" if stored is None else changes(stored.identity, identity, but=SHOWN_ALONE)
        if details and not self.has_answers(name):
            self.delete_study(name)
            stored, details = None, ""
        if stored is None:
            _check_new(name)
            values = {"study": name, "created": self._database.clock(), "identity": json_text(identity)}
            with self._database.writing() as connection:
                connection.execute(schema.studies.insert().values(**values))
        if details:
            raise StudyError(
                f"study {name!r} in {self._database.shown} was started with other settings: {details}; give it "
                "another name or storage, or start over with fresh=True (--fresh)"
            )
        if stored is not None and any(
            stored.identity.get(key) != identity[key] for key in SHOWN_ALONE if key in identity
        ):
            text = json_text({**stored.identity, **{key: identity[key] for key in SHOWN_ALONE}})
            with self._database.writing() as connection:
                connection.execute(schema.studies.update().where(schema.studies.c.study == name).values(identity=text))

    def has_settings(self, name: str, identity: Mapping[str, Any]) -> bool:
        """Whether a study is stored that was started with these settings, so that `open_study` goes on with it."""
        stored = self._find(name)
        return stored is not None and not changes(stored.identity, identity, but=SHOWN_ALONE)

    @patient
    def has_answers(self, study: str) -> bool:
        """Whether any of a study's calls was answered."""
        c = schema.calls.c
        query = sql.select(c.key).where(c.study == study, c.failure.is_(None))
        with self._database.connected() as connection:
            return connection.execute(query.limit(1)).first() is not None

    @patient
    def has_failures(self, study: str) -> bool:
        """Whether any of a study's calls failed."""
        c = schema.calls.c
        query = sql.select(c.key).where(c.study == study, c.failure.is_not(None))
        with self._database.connected() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def delete_study(self, name: str) -> None:
        """Delete a study; its responses stay, and so does the number of winners tested on its test rows."""
        with self._database.writing() as connection:
            for table in schema.STUDY_TABLES:
                connection.execute(table.delete().where(table.c.study == name))
        self._on_delete(name)

    @patient
    def record_test_use(self, sealed: str, prompt: str, study: str) -> None:
        """Write down that a winner was tested; the same test again counts once.

        Args:
            sealed: digest of the test rows.
            prompt: digest of the winner and of the scores that the test gave.
            study: the study that made the test first.
        """
        use = {"sealed": sealed, "prompt": prompt, "study": study, "opened": self._database.clock()}
        uses = schema.test_uses
        with self._database.writing() as connection:
            same = sql.select(uses.c.sealed).where(uses.c.sealed == sealed, uses.c.prompt == prompt)
            if connection.execute(same).first() is None:
                connection.execute(self._database.insert_missing(uses).values(**use))

    @patient
    def test_uses(self, sealed: str) -> int:
        """The number of different tests of winners on these test rows, of all studies in this storage."""
        uses = schema.test_uses
        query = sql.select(sql.func.count()).select_from(uses).where(uses.c.sealed == sealed)
        with self._database.connected() as connection:
            return int(connection.execute(query).scalar_one())

    def _record(self, row: Any, version: int | None = None) -> StudyRecord:
        with reading(f"study {row.study!r}"):
            identity, created = json.loads(row.identity), float(row.created)
            checked(Identity, identity)
        found = self._versions.version(row.study, version)
        return StudyRecord(
            study=row.study,
            created=created,
            identity=checked(dict[str, Any], found.settings.get("identity", identity)) if found else identity,
            version=found.version if found else Version(study=row.study),
            summary=found.summary if found else None,
        )


def _check_new(name: str) -> None:
    """
    Raises:
        StudyError: the name is how a later result of another study is named.
    """
    study, number = split_label(name)
    if number is not None:
        raise StudyError(
            f"the study cannot be named {name!r}, which names result {number} of a study {study!r}; give it another "
            "name"
        )
