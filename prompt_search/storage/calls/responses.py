"""Stored responses, which serve every study, and the calls of each study.

A response is committed before it counts. It is kept under the request's canonical key; which calls a study paid for is
kept with the study, so that a resumed study pays for nothing twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import sqlalchemy as sql

from prompt_search._iteration import batched
from prompt_search._json import ELSEWHERE, read, reading, storable
from prompt_search.budget import Spending
from prompt_search.llm.messages import Response, Shown
from prompt_search.storage import schema
from prompt_search.storage.calls.group_commit import Writer
from prompt_search.storage.database import KEYS_PER_QUERY, Database, fetched, is_of_study, without_garbage_collection
from prompt_search.storage.faults import patient
from prompt_search.storage.ownership.leases import taken_over
from prompt_search.storage.records import (
    IN_FLIGHT,
    LOST,
    RESPONSE_FIELDS,
    USAGE_FIELDS,
    Call,
    Columns,
    FailedCall,
    Found,
    Saved,
    Sent,
)


class Responses:
    """The responses of a database, and which study used which."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = Writer(self._write)

    def end_writing(self) -> None:
        """Commit the calls that wait to be written, and save no more."""
        self._writer.close()

    @patient
    def find(self, study: str, keys: Collection[str]) -> Found:
        """The calls of a study and the responses that others paid for, of these requests; in few queries."""
        calls: dict[str, Call] = {}
        responses: dict[str, Response] = {}
        c, r = schema.calls, schema.responses
        used = sql.and_(c.c.key == r.c.key, c.c.study == study)
        with self._database.connected() as connection:
            for batch in batched(keys, KEYS_PER_QUERY):
                failed = sql.select(c).where(c.c.study == study, c.c.key.in_(batch), c.c.failure.is_not(None))
                for row in connection.execute(failed):
                    calls[row.key] = _call(row, row.failure)
                answered = sql.select(r.c.response, r.c.key.label("of"), c).select_from(r.outerjoin(c, used))
                for row in connection.execute(answered.where(r.c.key.in_(batch))):
                    if row.study is None or row.failure is not None:
                        responses[row.of] = _response(row.of, row.response)
                    else:
                        calls[row.of] = _call(row, row.response)
        return Found(calls=calls, responses=responses)

    @patient
    def response(self, key: str) -> Response | None:
        """The stored answer to a request."""
        query = sql.select(schema.responses.c.response).where(schema.responses.c.key == key)
        with self._database.connected() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else _response(key, text)

    async def save_call(self, saved: Saved) -> None:
        """Return once it is committed that the study used a response; a failed request is kept with the study only.

        A call that failed before and is sent again keeps counting what its earlier attempts cost. Many calls that come
        at a time are committed together. Whoever had claimed the request has no claim on it any more.

        Raises:
            RunError: the database cannot be written.
        """
        if self._database.in_memory:
            self._write([saved])
        else:
            await self._writer.save(saved)

    async def save_sent(self, sent: Sent) -> None:
        """Return once it is committed that a request is being sent, until its call is saved.

        What a process that ends has sent, and not saved, is known by it: see `lost`.

        Raises:
            StorageFault: the database cannot be written.
        """
        await self._writer.save(sent)

    @patient
    def drop_sent(self, study: str, key: str) -> None:
        """Forget that a request was sent, as the server did nothing for it."""
        of = schema.sent.c
        with self._database.writing() as connection:
            connection.execute(schema.sent.delete().where(of.study == study, of.key == key, of.state == IN_FLIGHT))

    @patient
    def lost(self, study: str) -> Spending:
        """What was sent for a study by processes that ended before the answers were stored: at most so much. What was
        sent by one that was taken over counts against the budget instead."""
        of = schema.sent.c
        sums = [sql.func.coalesce(sql.func.sum(column), 0) for column in (of.attempts, of.tokens, of.usd)]
        with self._database.connected() as connection:
            calls, tokens, usd = connection.execute(sql.select(*sums).where(of.study == study, of.state == LOST)).one()
        return Spending(calls=int(calls), tokens=int(tokens), usd=float(usd))

    @patient
    def _write(self, items: Sequence[Saved | Sent]) -> None:
        sent = [item for item in items if isinstance(item, Sent)]
        saved = [item for item in items if isinstance(item, Saved)]
        with self._database.writing() as connection:
            lost_studies = taken_from(connection, {(each.study, each.owner) for each in sent})
            if sent and not lost_studies:
                connection.execute(self._database.insert_or_update(schema.sent), [each.row for each in sent])
            if saved:  # what was paid for is stored in any case
                self._write_calls(connection, saved)
        for study in lost_studies:
            raise taken_over(study)

    def _write_calls(self, connection: sql.Connection, saved: Sequence[Saved]) -> None:
        insert = self._database.insert_or_update(schema.calls, added=("attempts", "tokens", "usd"), unless="number")
        answered = [
            {"key": s.key, "request": storable(s.request.to_json()), "response": storable(s.response.to_json())}
            for s in saved
            if s.paid and not s.response.error
        ]
        if answered:
            connection.execute(self._database.insert_missing(schema.responses), answered)
        connection.execute(insert, [s.row for s in saved])
        if self._database.in_memory:  # where nobody claims anything
            return
        claims, sent = schema.claims, schema.sent
        for batch in batched([s for s in saved if s.paid], KEYS_PER_QUERY):
            keys = {s.key for s in batch}
            connection.execute(claims.delete().where(claims.c.key.in_(keys)))
            for study in {s.study for s in batch}:
                of_study = sent.c.study == study
                connection.execute(sent.delete().where(of_study, sent.c.key.in_(keys), sent.c.state == IN_FLIGHT))

    @patient
    def calls(self, study: str) -> dict[str, Call]:
        """The calls of a study so far, by request key, with the responses."""
        joined = schema.calls.outerjoin(schema.responses, schema.calls.c.key == schema.responses.c.key)
        query = (
            sql.select(schema.calls, schema.responses.c.response)
            .select_from(joined)
            .where(schema.calls.c.study == study)
            .order_by(schema.calls.c.number)
        )
        with self._database.connected() as connection:
            return {row.key: _call(row, row.failure or row.response) for row in connection.execute(query)}

    @patient
    def next_call_number(self, study: str) -> int:
        """The number that a study's next call gets."""
        query = sql.select(sql.func.max(schema.calls.c.number)).where(schema.calls.c.study == study)
        with self._database.connected() as connection:
            highest = connection.execute(query).scalar_one()
        return 0 if highest is None else int(highest) + 1

    @patient
    def call_columns(self, study: str, end: int | None = None, failed: Sequence[FailedCall] = ()) -> Columns:
        """The calls of `calls` as columns, without log-probabilities and in no order: the fields of `Call` and those of
        its response.

        Args:
            study: the study's name.
            end: the number of the first call that is left out; None: all calls, as they are now.
            failed: with ``end``, the calls that had failed by then, see `Versions.failed_calls`.
        """
        c, r = schema.calls, schema.responses
        query = sql.select(c.c.key, c.c.number, c.c.role, c.c.split, c.c.attempts, c.c.failure, r.c.response)
        query = query.select_from(c.outerjoin(r, c.c.key == r.c.key))
        if end is not None:
            query = query.where(c.c.number < end, c.c.failure.is_(None))
        then = [[(*call, None) for call in failed]] if failed else []
        own = ("key", "number", "role", "split", "attempts")
        columns: Columns = {name: [] for name in (*own, *RESPONSE_FIELDS, *USAGE_FIELDS)}
        what = f"a call of study {study!r}"
        with self._database.connected() as connection, without_garbage_collection(), reading(what, ELSEWHERE):
            for rows in chain(fetched(connection, query.where(is_of_study(connection, c, study))), then):
                *values, failures, answers = zip(*rows, strict=True)
                for name, column in zip(own, values, strict=True):
                    columns[name] += column
                responses = [read(Shown, failed or answer) for failed, answer in zip(failures, answers, strict=True)]
                usages = [response.usage for response in responses]
                for names, records in ((RESPONSE_FIELDS, responses), (USAGE_FIELDS, usages)):
                    for name in names:
                        columns[name] += map(attrgetter(name), records)
        return columns

    def copy_calls(self, study: str, to: str) -> None:
        """Write down that another study used the same calls, which cost it nothing."""
        of = schema.calls.c
        columns = [of.key, of.number, of.split, of.failure, of.role, of.tokens, of.usd]
        there = schema.calls.alias()
        missing = ~sql.select(there.c.key).where(there.c.study == to, there.c.key == of.key).exists()
        query = sql.select(sql.literal(to), *columns, sql.literal(0)).where(of.study == study, missing)
        names = ["study", *(column.name for column in columns), "attempts"]
        with self._database.writing() as connection:
            connection.execute(schema.calls.insert().from_select(names, query))

    @patient
    def requests(self, study: str, keys: Collection[str] | None = None) -> dict[str, str]:
        """Request key to the canonical text of what was sent, for every answered call of a study, or some of them."""
        query = (
            sql.select(schema.responses.c.key, schema.responses.c.request)
            .join(schema.calls, schema.calls.c.key == schema.responses.c.key)
            .where(schema.calls.c.study == study)
        )
        queries = [query]
        if keys is not None:
            queries = [query.where(schema.responses.c.key.in_(batch)) for batch in batched(keys, KEYS_PER_QUERY)]
        with self._database.connected() as connection:
            return {row.key: row.request for each in queries for row in connection.execute(each)}


def taken_from(connection: sql.Connection, owners: Collection[tuple[str, str]]) -> list[str]:
    """The studies that are not their owners' any more; the others stay so until the transaction ends."""
    lease = schema.leases
    query = sql.select(lease.c.study, lease.c.owner).where(lease.c.study.in_({study for study, _ in owners}))
    held = {(row.study, row.owner) for row in connection.execute(query.with_for_update(read=True))} if owners else set()
    return sorted(study for study, owner in owners if (study, owner) not in held)


def _call(row: Any, text: str) -> Call:
    return Call(
        key=row.key,
        number=row.number,
        split=row.split,
        attempts=row.attempts,
        response=_response(row.key, text),
        role=row.role,
        budget=row.budget,
        tokens=row.tokens,
        usd=row.usd,
    )


def _response(key: str, text: str) -> Response:
    with reading(f"the response {key!r}", ELSEWHERE):
        return Response.from_json(text)
