"""What the model of a study itself answers to the pool of shots: written once, so that the shots stay as they are."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sql

from prompt_search._json import json_text, read, reading
from prompt_search.storage import schema
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.records import PoolAnswers


class StoredPoolAnswers:
    """The answers to the pools of a database's studies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    def of_study(self, study: str) -> PoolAnswers | None:
        """What a study's model answered to its pool; None where it was not asked, or not to the end.

        Raises:
            StorageError: the record cannot be read.
        """
        table = schema.pool_answers
        query = sql.select(table.c.record).where(table.c.study == study)
        with self._database.connected() as connection:
            text = connection.execute(query).scalar()
        if text is None:
            return None
        with reading(f"the answers to the pool of study {study!r}"):
            return read(PoolAnswers, text)

    @patient
    def settle(self, study: str, answers: PoolAnswers) -> PoolAnswers:
        """Write the answers of a study that has none yet.

        Returns:
            those that are stored: the first that were written.
        """
        with self._database.writing() as connection:
            insert = self._database.insert_missing(schema.pool_answers)
            connection.execute(insert.values(study=study, record=json_text(asdict(answers))))
        return self.of_study(study) or answers

    @patient
    def copy(self, of: str, name: str) -> None:
        """Give a study the answers of another one, in place of its own."""
        table = schema.pool_answers
        query = sql.select(table.c.record).where(table.c.study == of)
        with self._database.writing() as connection:
            text = connection.execute(query).scalar()
            connection.execute(table.delete().where(table.c.study == name))
            if text is not None:
                connection.execute(table.insert().values(study=name, record=text))
