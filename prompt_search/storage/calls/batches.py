"""Batches of requests that are open at a server: who resumes a run finds there what was paid for already."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql

from prompt_search._json import checked, json_text, reading
from prompt_search.storage import schema
from prompt_search.storage.calls.responses import taken_from
from prompt_search.storage.database import Database
from prompt_search.storage.faults import patient
from prompt_search.storage.ownership.leases import taken_over
from prompt_search.storage.records import BatchRecord


class Batches:
    """The open batches of a database, whichever study they were sent for: their answers serve every study."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    def begin(self, record: BatchRecord, owner: str | None) -> None:
        """Write down that a batch is about to be sent.

        Args:
            record: the batch.
            owner: owner of the study's lease; None where nobody else can run it.

        Raises:
            RunError: another process has taken the study over, or the database cannot be written.
        """
        values = {**asdict(record), "keys": json_text(list(record.keys))}
        with self._database.writing() as connection:
            lost = [] if owner is None else taken_from(connection, {(record.study, owner)})
            if not lost:
                connection.execute(self._database.insert_missing(schema.batches).values(**values))
        if lost:
            raise taken_over(record.study)

    @patient
    def sent(self, name: str, *, file: str | None = None, batch: str | None = None) -> None:
        """Write down how a server calls the input file of a batch, or the batch."""
        known = {key: value for key, value in (("file", file), ("batch", batch)) if value is not None}
        with self._database.writing() as connection:
            connection.execute(schema.batches.update().where(schema.batches.c.name == name).values(**known))

    @patient
    def open(self, endpoint: str, model: str) -> list[BatchRecord]:
        """The batches that a model's server may be working on, or whose answers nobody has stored yet; oldest first."""
        of = schema.batches.c
        query = sql.select(schema.batches).where(of.endpoint == endpoint, of.model == model).order_by(of.created)
        with self._database.connected() as connection:
            return [_record(row) for row in connection.execute(query)]

    @patient
    def end(self, name: str) -> None:
        """Forget a batch whose answers are stored, or that does not exist."""
        with self._database.writing() as connection:
            connection.execute(schema.batches.delete().where(schema.batches.c.name == name))


def _record(row: Any) -> BatchRecord:
    fields = dict(row._mapping)
    with reading(f"the batch {fields['name']!r}"):
        fields["keys"] = tuple(checked(list[str], json.loads(fields["keys"])))
    return BatchRecord(**fields)
