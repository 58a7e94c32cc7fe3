"""One record for a study, which is written once and then stays as it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Generic, TypeVar

import sqlalchemy as sql

from prompt_search._json import json_text, read, reading
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")


class StoredOnce(Generic[Record]):
    """The records of one kind of a database's studies.

    Args:
        database: the database.
        table: their table, made by `schema`; its columns are ``study`` and ``record``.
        kind: the class of a record.
        what: says what a record is of the study ``{}``, in errors.
    """

    def __init__(self, database: Database, table: sql.Table, kind: type[Record], what: str) -> None:
        self._database = database
        self._table = table
        self._kind = kind
        self._what = what

    @patient
    def of_study(self, study: str) -> Record | None:
        """The record of a study; None where there is none.

        Raises:
            StorageError: the record cannot be read.
        """
        query = sql.select(self._table.c.record).where(self._table.c.study == study)
        with self._database.connected() as connection:
            text = connection.execute(query).scalar()
        if text is None:
            return None
        with reading(self._what.format(repr(study))):
            return read(self._kind, text)

    @patient
    def settle(self, study: str, found: Record) -> Record:
        """Write the record of a study that has none yet.

        Returns:
            what is stored: the first that was written.
        """
        with self._database.writing() as connection:
            insert = self._database.insert_missing(self._table)
            connection.execute(insert.values(study=study, record=json_text(asdict(found))))
        return self.of_study(study) or found
