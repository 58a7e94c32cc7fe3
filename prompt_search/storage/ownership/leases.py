"""Leases and claims in the database: which process runs a study, and which may send a request."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql

from prompt_search._iteration import batched
from prompt_search.errors import RunError, StudyError
from prompt_search.storage import schema
from prompt_search.storage.database import KEYS_PER_QUERY, Database
from prompt_search.storage.faults import patient
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.records import IN_FLIGHT, LOST, TAKEN_OVER


class Leases:
    """The leases and claims of a database; a claim belongs to a lease and ends with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @patient
    def take_lease(self, study: str, owner: str, process: Owner, seconds: float) -> None:
        """Make an owner the only one who runs a study, for so many seconds.

        Raises:
            StudyError: another owner runs it, whose process is not known to have ended.
        """
        lease = schema.leases
        values = {"owner": owner, **asdict(process), **self._end(seconds)}
        with self._database.writing() as connection:
            row = connection.execute(sql.select(lease).where(lease.c.study == study)).one_or_none()
            if row is not None and row.owner != owner and self._holds(row):
                until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.expires))
                raise StudyError(
                    f"study {study!r} in {self._database.shown} is being run by process {row.process} on "
                    f"{row.host}, at least until {until}; wait for it, end it, or give this study another name"
                )
            if row is None:
                connection.execute(self._database.insert_missing(lease).values(study=study, **values))
            else:  # unless another one was quicker
                unchanged = sql.and_(lease.c.study == study, lease.c.owner == row.owner)
                connection.execute(lease.update().where(unchanged).values(**values))
            holder = connection.execute(sql.select(lease.c.owner).where(lease.c.study == study)).scalar_one()
            if holder == owner:
                may_go_on = row is not None and row.owner != owner and not _owner(row).is_gone
                self._settle_sent(connection, study, TAKEN_OVER if may_go_on else LOST)
        if holder != owner:
            self.take_lease(study, owner, process, seconds)  # refused now, most likely

    def renew_lease(self, owner: str, seconds: float) -> bool:
        """Whether the lease is still the owner's; then it lasts so many seconds from now.

        Raises:
            RunError: the database cannot be written.
        """
        lease = schema.leases
        update = lease.update().where(lease.c.owner == owner).values(**self._end(seconds))
        with self._database.writing() as connection:
            return bool(connection.execute(update).rowcount)

    @patient
    def end_lease(self, owner: str) -> None:
        """Give up a lease and all its claims."""
        with self._database.writing() as connection:
            for table in (schema.claims, schema.leases):
                connection.execute(table.delete().where(table.c.owner == owner))

    def held_studies(self, connection: sql.Connection) -> list[str]:
        """The studies that are being run."""
        return [lease.study for lease in connection.execute(sql.select(schema.leases)) if self._holds(lease)]

    def _settle_sent(self, connection: sql.Connection, study: str, state: str) -> None:
        """Let what an earlier owner of a study has sent, and not stored the answers of, be lost or taken over."""
        sent = schema.sent
        of_study = sql.and_(sent.c.study == study, sent.c.state == IN_FLIGHT)
        columns = [sql.literal(state) if column is sent.c.state else column for column in sent.c]
        insert = self._database.insert_or_update(sent, added=("attempts", "tokens", "usd"))
        names = [column.name for column in sent.c]
        connection.execute(insert.from_select(names, sql.select(*columns).where(of_study)))
        connection.execute(sent.delete().where(of_study))

    @patient
    def claim(self, owner: str, keys: Collection[str]) -> set[str]:
        """Those of the requests that the owner alone may send now; other owners are sending the rest.

        The claim of an owner whose lease is over does not count.
        """
        mine: set[str] = set()
        wanted = sorted(keys)  # in one order: PostgreSQL's rows are locked as they are written
        with self._database.writing() as connection:
            for batch in batched(wanted, KEYS_PER_QUERY):
                rows = [{"key": key, "owner": owner} for key in batch]
                connection.execute(self._database.insert_missing(schema.claims), rows)
                mine |= self._won(connection, owner, batch)
        return mine

    def _won(self, connection: sql.Connection, owner: str, keys: Sequence[str]) -> set[str]:
        """Those of the requests that the owner claims; it takes over claims whose lease is over."""
        claim, lease = schema.claims, schema.leases
        joined = claim.outerjoin(lease, claim.c.owner == lease.c.owner)
        holders = sql.select(claim.c.key, claim.c.owner.label("holder"), lease).select_from(joined)
        mine: set[str] = set()
        counts: dict[str, bool] = {owner: True}  # whether an owner's claims count
        for row in connection.execute(holders.where(claim.c.key.in_(keys))).all():
            holder = row.holder
            if holder not in counts:
                counts[holder] = row.expires is not None and self._holds(row)
            if not counts[holder]:
                unchanged = sql.and_(claim.c.key == row.key, claim.c.owner == holder)
                if not connection.execute(claim.update().where(unchanged).values(owner=owner)).rowcount:
                    continue
                holder = owner
            if holder == owner:
                mine.add(row.key)
        return mine

    @patient
    def end_claims(self, owner: str, keys: Collection[str]) -> None:
        """Let others send these requests."""
        with self._database.writing() as connection:
            for batch in batched(keys, KEYS_PER_QUERY):
                of = schema.claims.c
                connection.execute(schema.claims.delete().where(of.owner == owner, of.key.in_(batch)))

    def _end(self, seconds: float) -> dict[str, float]:
        """When a lease ends that lasts so long from now: for other machines, and for processes of this one."""
        return {"expires": self._database.clock() + seconds, "expires_here": time.monotonic() + seconds}

    def _holds(self, lease: Any) -> bool:
        """Whether the owner of a stored lease still holds it.

        A clock that is set says nothing of an owner on this machine, whose processes count the same seconds.
        """
        owner = _owner(lease)
        if owner.is_gone:
            return False
        if owner.is_here and lease.expires_here is not None:
            return bool(lease.expires_here > time.monotonic())
        return bool(lease.expires > self._database.clock())


def _owner(lease: Any) -> Owner:
    """The process that holds a stored lease."""
    return Owner(host=lease.host, machine=lease.machine, process=lease.process, started=lease.started)


def taken_over(study: str) -> RunError:
    """The error of a process that lost its study to another one."""
    return RunError(
        f"study {study!r} was taken over by another process, because this one did not renew its lease in time; wait "
        "for the other process to end, then run it again"
    )
