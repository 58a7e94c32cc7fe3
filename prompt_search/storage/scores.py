"""Scores that a user's own metric gave: they are results, so that a study which goes on reads them instead of asking
the metric again."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sql

from prompt_search._json import storable
from prompt_search.storage import schema
from prompt_search.storage.calls.group_commit import Writer
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.records import ScoreRecord


class Scores:
    """The scores of each study in a database, by what was scored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = Writer(self._write)

    @patient
    def of_study(self, study: str) -> dict[str, ScoreRecord]:
        """All scores of a study by their key."""
        table = schema.scores
        query = sql.select(table).where(table.c.study == study)
        with self._database.connected() as connection:
            return {
                row.key: ScoreRecord(
                    study=study, key=row.key, value=row.value, explanation=row.explanation, margin=row.margin
                )
                for row in connection.execute(query)
            }

    @patient
    def drop(self, study: str) -> None:
        """Delete the scores of a study, so that its metric is asked again."""
        with self._database.writing() as connection:
            connection.execute(schema.scores.delete().where(schema.scores.c.study == study))

    async def save(self, record: ScoreRecord) -> None:
        """Return once it is committed that the metric gave this score; the first score of a key stays.

        Raises:
            RunError: the database cannot be written.
        """
        if self._database.in_memory:
            self._write([record])
        else:
            await self._writer.save(record)

    @patient
    def _write(self, records: Sequence[ScoreRecord]) -> None:
        rows = [
            {
                "study": record.study,
                "key": record.key,
                "value": record.value,
                "explanation": storable(record.explanation),
                "margin": record.margin,
            }
            for record in records
        ]
        with self._database.writing() as connection:
            connection.execute(self._database.insert_missing(schema.scores), rows)

    def end_writing(self) -> None:
        """Commit the scores that wait to be written, and save no more."""
        self._writer.close()
