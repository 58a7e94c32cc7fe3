"""What the model of a study itself answers to the pool of shots: written once, so that the shots stay as they are."""

from __future__ import annotations

import sqlalchemy as sql

from prompt_search.storage import schema
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.once.stored_once import StoredOnce
from prompt_search.storage.records import PoolAnswers


class StoredPoolAnswers(StoredOnce[PoolAnswers]):
    """The answers to the pools of a database's studies; none where a model was not asked, or not to the end."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, schema.pool_answers, PoolAnswers, "the answers to the pool of study {}")

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
