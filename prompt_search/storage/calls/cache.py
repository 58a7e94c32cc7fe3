"""The cache of responses: its size by model, its export, and its removal."""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sql

from prompt_search.errors import StudyError
from prompt_search.storage import schema
from prompt_search.storage.database import KEYS_PER_QUERY, Database
from prompt_search.storage.ownership.leases import Leases
from prompt_search.storage.records import CacheStats


class Cache:
    """All responses of a database, whichever study they are of.

    Args:
        leases: of the same database; nothing is removed while a study is being run.
    """

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

    def stats(self) -> list[CacheStats]:
        """Number and size of the responses of each model, by endpoint and model."""
        found: dict[tuple[str, str], list[int]] = {}
        needed = self._needed()
        for key, request, response in self._stored():
            sums = found.setdefault(_server(request), [0, 0, 0])
            for place, count in enumerate((1, key in needed, len(request.encode()) + len(response.encode()))):
                sums[place] += count
        return [
            CacheStats(endpoint=endpoint, model=model, responses=responses, needed=used, bytes=size)
            for (endpoint, model), (responses, used, size) in sorted(found.items())
        ]

    def exported(self) -> Iterator[str]:
        """Every stored response with its request, as lines of JSON."""
        for key, request, response in self._stored():
            yield f'{{"key":"{key}","request":{request},"response":{response}}}\n'

    def clear(self, *, everything: bool = False) -> int:
        """Delete responses that no stored study needs, or with ``everything`` all responses and all studies.

        The number of winners that were tested on the same test rows is kept.

        Returns:
            the number of responses that were deleted.

        Raises:
            StudyError: a study is being run.
        """
        calls, responses = schema.calls, schema.responses
        kept = sql.select(schema.studies.c.study)
        with self._database.writing() as connection:
            for study in self._leases.held_studies(connection):
                raise StudyError(f"study {study!r} is being run; clear the storage when it has ended")
            if everything:
                for table in (*schema.STUDY_TABLES, schema.batches):
                    connection.execute(table.delete())
            for table in (calls, schema.sent, schema.samples):
                connection.execute(table.delete().where(table.c.study.not_in(kept)))
            unused = responses.delete().where(responses.c.key.not_in(sql.select(calls.c.key)))
            gone = connection.execute(unused).rowcount
        self._database.shrink()
        return gone

    def _needed(self) -> set[str]:
        """The keys of calls of stored studies."""
        of = schema.calls.c
        query = sql.select(of.key).where(of.study.in_(sql.select(schema.studies.c.study)))
        with self._database.connected() as connection:
            return set(connection.execute(query).scalars())

    def _stored(self) -> Iterator[tuple[str, str, str]]:
        """Key, request and response, without holding all of them in memory."""
        query = sql.select(schema.responses).order_by(schema.responses.c.key)
        with self._database.connected(yield_per=KEYS_PER_QUERY) as connection:
            for row in connection.execute(query):
                yield row.key, row.request, row.response


def _server(request: str) -> tuple[str, str]:
    """Endpoint and model of a stored request; a request that cannot be read is counted apart."""
    try:
        fields = json.loads(request)
        return str(fields["endpoint"]), str(fields["model"])
    except (LookupError, RecursionError, TypeError, ValueError):
        return "", "(cannot be read)"
