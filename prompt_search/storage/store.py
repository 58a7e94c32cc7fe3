"""One storage URL for everything a study knows: responses, what was paid, trials, samples, Optuna's own tables.

A response is committed before it counts. It is kept under the request's canonical key and serves every study;
which calls a study paid for is kept beside it, so that a resumed study spends nothing twice.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import re
import time
import warnings
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import takewhile
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import make_url

from prompt_search._iteration import batched
from prompt_search._json import checked, read, reading
from prompt_search.budget import Budget, Spending
from prompt_search.errors import InputError, RunError, StorageError, StudyError
from prompt_search.llm.messages import Response, Shown
from prompt_search.storage import schema
from prompt_search.storage.group_commit import Writer
from prompt_search.storage.lease import Owner
from prompt_search.storage.records import (
    RESPONSE_FIELDS,
    USAGE_FIELDS,
    CacheStats,
    Call,
    Columns,
    Found,
    SampleRecord,
    Saved,
    StudyRecord,
    TrialRecord,
    storable,
)
from prompt_search.storage.summary import Identity, Summary

if TYPE_CHECKING:
    import optuna

    from prompt_search.prompts.space import SearchSpace

T = TypeVar("T")

CHUNK = 2_000
"""How many stored records are held as text at a time."""

_STUDY_TABLES = (schema.calls, schema.trials, schema.samples, schema.studies)

KEYS_AT_ONCE = 1_000
"""Keys in one query."""

FEW = 4
"""How many times as many rows as a study's a table holds where they are looked for by an index."""

BACKENDS = ("sqlite", "postgresql")


class Store:
    """A database at a SQLAlchemy URL, SQLite or PostgreSQL; SQLite files and all tables are made when missing.

    Args:
        url: where it is.
        clock: seconds since 1970; those of all machines that share a storage must agree within some seconds.

    Raises:
        StorageError: the URL is not one, its driver is missing, the database cannot be opened, or a later release
            wrote it.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._mirrored: optuna.Study | None = None
        self._clock = clock
        try:
            self.url = make_url(url)
            self.engine = sql.create_engine(self.url, **_pooling(self.url))
            if self.url.get_backend_name() not in BACKENDS:
                raise ValueError(f"a storage is SQLite or PostgreSQL, not {self.url.get_backend_name()}")
            if self.url.get_backend_name() == "sqlite":
                event.listen(self.engine, "connect", _tune_sqlite)
            schema.open_schema(self.engine, shown_url(url))
        except StorageError:
            self.engine.dispose()
            raise
        except (sql.exc.SQLAlchemyError, ImportError, ValueError) as error:
            raise StorageError(_why_closed(url, error)) from None
        self.in_memory = _is_in_memory(self.url)
        self._writer = Writer(self._write_calls)
        self._aside = ThreadPoolExecutor(1, "prompt_search store")  # begins with the first call
        weakref.finalize(self, self.engine.dispose)  # a result's store is open for as long as the result is there

    def end_writing(self) -> None:
        """Commit what waits to be written, and save no more calls."""
        self._writer.close()

    def close(self) -> None:
        """Commit what waits to be written, and close."""
        self.end_writing()
        self._aside.shutdown()
        self.engine.dispose()

    def _insert(self, table: sql.Table) -> Any:
        """An insert that can tell what to do where the key is there already."""
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self.url.get_backend_name() == "sqlite" else postgresql).insert(table)

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call something that waits for the database without stopping the event loop.

        What is in memory takes no time, and has one connection, which is used by one thread at a time.
        """
        if self.in_memory:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._aside, partial(function, *arguments))

    # Responses and calls

    def find(self, study: str, keys: Collection[str]) -> Found:
        """What is known of these requests, in few queries."""
        calls: dict[str, Call] = {}
        responses: dict[str, Response] = {}
        c, r = schema.calls, schema.responses
        used = sql.and_(c.c.key == r.c.key, c.c.study == study)
        with self.engine.connect() as connection:
            for some in batched(keys, KEYS_AT_ONCE):
                failed = sql.select(c).where(c.c.study == study, c.c.key.in_(some), c.c.failure.is_not(None))
                for row in connection.execute(failed):
                    calls[row.key] = _call(row, row.failure)
                answered = sql.select(r.c.response, r.c.key.label("of"), c).select_from(r.outerjoin(c, used))
                for row in connection.execute(answered.where(r.c.key.in_(some))):
                    if row.study is None or row.failure is not None:
                        responses[row.of] = _response(row.of, row.response)
                    else:
                        calls[row.of] = _call(row, row.response)
        return Found(calls=calls, responses=responses)

    def response(self, key: str) -> Response | None:
        """The stored answer to a request."""
        query = sql.select(schema.responses.c.response).where(schema.responses.c.key == key)
        with self.engine.connect() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return None if text is None else _response(key, text)

    async def save_call(self, saved: Saved) -> None:
        """Return once it is committed that the study used a response; a failed request is kept with the study only.

        A call that failed before and is sent again keeps counting what its earlier attempts cost. Many calls that come
        at a time are committed together. Whoever had claimed the request has no claim on it any more.

        Raises:
            RunError: the database cannot be written.
        """
        if self.in_memory:
            self._write_calls([saved])
        else:
            await self._writer.save(saved)

    def _write_calls(self, saved: Sequence[Saved]) -> None:
        insert = self._insert(schema.calls)
        earlier, now = schema.calls.c, insert.excluded
        insert = insert.on_conflict_do_update(
            index_elements=[earlier.study, earlier.key],
            set_={
                **{name: now[name] for name in ("number", "split", "failure", "role", "budget")},
                **{name: earlier[name] + now[name] for name in ("attempts", "tokens", "usd")},
            },
        )
        answered = [
            {"key": s.key, "request": storable(s.request.to_json()), "response": storable(s.response.to_json())}
            for s in saved
            if s.paid and not s.response.error
        ]
        try:
            with self.engine.begin() as connection:
                if answered:
                    connection.execute(self._insert(schema.responses).on_conflict_do_nothing(), answered)
                connection.execute(insert, [s.row for s in saved])
                if not self.in_memory:  # where nobody claims anything
                    for keys in batched((s.key for s in saved if s.paid), KEYS_AT_ONCE):
                        connection.execute(schema.claims.delete().where(schema.claims.c.key.in_(keys)))
        except sql.exc.SQLAlchemyError as error:
            raise RunError(_why_unwritten(self.url, error)) from None

    def calls(self, study: str) -> dict[str, Call]:
        """What a study used so far, by request key, with the responses."""
        joined = schema.calls.outerjoin(schema.responses, schema.calls.c.key == schema.responses.c.key)
        query = (
            sql.select(schema.calls, schema.responses.c.response)
            .select_from(joined)
            .where(schema.calls.c.study == study)
            .order_by(schema.calls.c.number)
        )
        with self.engine.connect() as connection:
            return {row.key: _call(row, row.failure or row.response) for row in connection.execute(query)}

    def next_call_number(self, study: str) -> int:
        """The number that a study's next call gets."""
        query = sql.select(sql.func.max(schema.calls.c.number)).where(schema.calls.c.study == study)
        with self.engine.connect() as connection:
            highest = connection.execute(query).scalar_one()
        return 0 if highest is None else int(highest) + 1

    def has_answers(self, study: str) -> bool:
        """Whether any of a study's calls was answered."""
        query = sql.select(schema.calls.c.key).where(schema.calls.c.study == study, schema.calls.c.failure.is_(None))
        with self.engine.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def call_columns(self, study: str) -> Columns:
        """What `calls` gives, without log-probabilities, in columns and in no order: the fields of `Call` and those of
        its response."""
        c, r = schema.calls, schema.responses
        query = sql.select(c.c.key, c.c.number, c.c.role, c.c.split, c.c.attempts, c.c.failure, r.c.response)
        query = query.select_from(c.outerjoin(r, c.c.key == r.c.key))
        own = ("key", "number", "role", "split", "attempts")
        columns: Columns = {name: [] for name in (*own, *RESPONSE_FIELDS, *USAGE_FIELDS)}
        with self.engine.connect() as connection, _uncollected(), reading(f"a call of study {study!r}"):
            for rows in _fetched(connection, query.where(_is_of(connection, c, study))):
                *values, failures, responses = zip(*rows, strict=True)
                for name, each in zip(own, values, strict=True):
                    columns[name] += each
                shown = [read(Shown, failed or answer) for failed, answer in zip(failures, responses, strict=True)]
                used = [answer.usage for answer in shown]
                for names, records in ((RESPONSE_FIELDS, shown), (USAGE_FIELDS, used)):
                    for name in names:
                        columns[name] += map(attrgetter(name), records)
        return columns

    def copy_calls(self, study: str, to: str) -> None:
        """Note that another study used the same calls, which cost it nothing."""
        of = schema.calls.c
        columns = [of.key, of.number, of.split, of.failure, of.role, of.tokens, of.usd]
        query = sql.select(sql.literal(to), *columns, sql.literal(0)).where(of.study == study)
        names = ["study", *(column.name for column in columns), "attempts"]
        with self.engine.begin() as connection:
            connection.execute(schema.calls.insert().from_select(names, query))

    # Budgets

    def open_budget(self, study: str, budget: Budget) -> tuple[int, Spending, Spending]:
        """Begin or go on to spend a budget on a study.

        Returns:
            the budget's number, what was paid under earlier budgets of the study, and what under this one. A budget
            that allows no more than is paid already is no new one: it lets the last one's course be looked at again.

        Raises:
            InputError: the budget is in US dollars, and what earlier runs cost is not known.
        """
        of = schema.calls.c
        usd = sql.case((sql.func.count() > sql.func.count(of.usd), None), else_=sql.func.sum(of.usd))
        query = sql.select(of.budget, sql.func.sum(of.attempts), sql.func.sum(of.tokens), usd)
        query = query.where(of.study == study, of.attempts > 0).group_by(of.budget)
        with self.engine.begin() as connection:
            which = schema.studies.c.study == study
            known = json.loads(connection.execute(sql.select(schema.studies.c.budgets).where(which)).scalar_one())
            paid = {
                number: Spending(calls=int(calls), tokens=int(tokens), usd=math.nan if cost is None else cost)
                for number, calls, tokens, cost in connection.execute(query)
            }
            total = sum(paid.values(), Spending())
            if budget.usd is not None and math.isnan(total.usd):
                raise InputError(
                    f"a budget in US dollars counts what study {study!r} cost so far, which is unknown; give it "
                    f"another name, or start anew with fresh=True (--fresh)"
                )
            if not known or (known[-1] != budget.limits and budget.allows_more_than(total)):
                known.append(budget.limits)
                connection.execute(schema.studies.update().where(which).values(budgets=_json(known)))
        number = len(known) - 1
        former = sum((spending for each, spending in paid.items() if each < number), Spending())
        return number, former, paid.get(number, Spending())

    def paid_before(self, study: str, budget: int) -> set[str]:
        """The requests that were paid for under earlier budgets than the one of this number."""
        of = schema.calls.c
        query = sql.select(of.key).where(of.study == study, of.attempts > 0, of.budget < budget)
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    # Leases and claims

    def take_lease(self, study: str, owner: str, process: Owner, seconds: float) -> None:
        """Make someone the only one who runs a study, for so many seconds.

        Raises:
            StudyError: somebody else runs it, who is not known to be dead.
        """
        lease = schema.leases
        mine = {"owner": owner, **asdict(process)}
        with self.engine.begin() as connection:
            row = connection.execute(sql.select(lease).where(lease.c.study == study)).one_or_none()
            if row is not None and self._is_alive(row):
                until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.expires))
                raise StudyError(
                    f"study {study!r} in {shown_url(self.url)} is being run by process {row.process} on {row.host}, at "
                    f"least until {until}; wait for it or end it, or give this one another name"
                )
            values = {**mine, "expires": self._clock() + seconds}
            if row is None:
                connection.execute(self._insert(lease).on_conflict_do_nothing().values(study=study, **values))
            else:  # unless another one was quicker
                seen = sql.and_(lease.c.study == study, lease.c.owner == row.owner)
                connection.execute(lease.update().where(seen).values(**values))
            holder = connection.execute(sql.select(lease.c.owner).where(lease.c.study == study)).scalar_one()
        if holder != owner:
            self.take_lease(study, owner, process, seconds)  # refused now, most likely

    def renew_lease(self, owner: str, seconds: float) -> bool:
        """Whether the lease is still the owner's; then it lasts so many seconds from now.

        Raises:
            RunError: the database cannot be written.
        """
        lease = schema.leases
        update = lease.update().where(lease.c.owner == owner).values(expires=self._clock() + seconds)
        try:
            with self.engine.begin() as connection:
                return bool(connection.execute(update).rowcount)
        except sql.exc.SQLAlchemyError as error:
            raise RunError(_why_unwritten(self.url, error)) from None

    def end_lease(self, owner: str) -> None:
        """Give up a lease and all claims that rest on it."""
        with self.engine.begin() as connection:
            for table in (schema.claims, schema.leases):
                connection.execute(table.delete().where(table.c.owner == owner))

    def claim(self, owner: str, keys: Collection[str]) -> set[str]:
        """Those of the requests that the owner alone may send now; the others are on their way for somebody else.

        The claim of someone who is dead is no claim.
        """
        claim, lease = schema.claims, schema.leases
        wanted = sorted(keys)  # in one order: PostgreSQL's rows are locked as they are written
        holders = sql.select(claim.c.key, claim.c.owner.label("holder"), lease).select_from(
            claim.outerjoin(lease, claim.c.owner == lease.c.owner)
        )
        mine: set[str] = set()
        with self.engine.begin() as connection:
            for some in batched(wanted, KEYS_AT_ONCE):
                rows = [{"key": key, "owner": owner} for key in some]
                connection.execute(self._insert(claim).on_conflict_do_nothing(), rows)
                alive: dict[str, bool] = {owner: True}
                for row in connection.execute(holders.where(claim.c.key.in_(some))).all():
                    holder = row.holder
                    if holder not in alive:
                        alive[holder] = row.expires is not None and self._is_alive(row)
                    if not alive[holder]:
                        seen = sql.and_(claim.c.key == row.key, claim.c.owner == holder)
                        if not connection.execute(claim.update().where(seen).values(owner=owner)).rowcount:
                            continue
                        holder = owner
                    if holder == owner:
                        mine.add(row.key)
        return mine

    def end_claims(self, owner: str, keys: Collection[str]) -> None:
        """Let others send these requests."""
        with self.engine.begin() as connection:
            for some in batched(keys, KEYS_AT_ONCE):
                of = schema.claims.c
                connection.execute(schema.claims.delete().where(of.owner == owner, of.key.in_(some)))

    def _is_alive(self, lease: Any) -> bool:
        here = Owner(host=lease.host, machine=lease.machine, process=lease.process, started=lease.started)
        return bool(lease.expires > self._clock()) and not here.is_gone

    # The cache of responses

    def stats(self) -> list[CacheStats]:
        """What is kept of each model's responses, by endpoint and model."""
        found: dict[tuple[str, str], list[int]] = {}
        needed = self._needed()
        for key, request, response in self._stored():
            asked = json.loads(request)
            sums = found.setdefault((asked["endpoint"], asked["model"]), [0, 0, 0])
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

        How often sealed rows were opened is not forgotten.

        Returns:
            how many responses are gone.

        Raises:
            StudyError: a study is being run.
        """
        calls, responses = schema.calls, schema.responses
        kept = sql.select(schema.studies.c.study)
        with self.engine.begin() as connection:
            for lease in connection.execute(sql.select(schema.leases)):
                if self._is_alive(lease):
                    raise StudyError(f"study {lease.study!r} is being run; clear the storage when it has ended")
            if everything:
                for table in _STUDY_TABLES:
                    connection.execute(table.delete())
            for table in (calls, schema.samples):
                connection.execute(table.delete().where(table.c.study.not_in(kept)))
            unused = responses.delete().where(responses.c.key.not_in(sql.select(calls.c.key)))
            gone = connection.execute(unused).rowcount
        if self.url.get_backend_name() == "sqlite":  # which keeps the room otherwise
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
        return gone

    def _needed(self) -> set[str]:
        """The keys of calls of stored studies."""
        of = schema.calls.c
        query = sql.select(of.key).where(of.study.in_(sql.select(schema.studies.c.study)))
        with self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def _stored(self) -> Iterator[tuple[str, str, str]]:
        """Key, request and response, without holding all of them in memory."""
        query = sql.select(schema.responses).order_by(schema.responses.c.key)
        with self.engine.connect().execution_options(yield_per=KEYS_AT_ONCE) as connection:
            for row in connection.execute(query):
                yield row.key, row.request, row.response

    # Studies

    def requests(self, study: str, keys: Collection[str] | None = None) -> dict[str, str]:
        """Request key to the canonical text of what was sent, for every answered call of a study, or some of them."""
        query = (
            sql.select(schema.responses.c.key, schema.responses.c.request)
            .join(schema.calls, schema.calls.c.key == schema.responses.c.key)
            .where(schema.calls.c.study == study)
        )
        if keys is not None:
            query = query.where(schema.responses.c.key.in_(list(keys)))
        with self.engine.connect() as connection:
            return {row.key: row.request for row in connection.execute(query)}

    def study(self, name: str) -> StudyRecord:
        """A stored study.

        Raises:
            StudyError: there is none of that name; the message lists those there are.
        """
        for record in self.studies():
            if record.study == name:
                return record
        names = ", ".join(repr(record.study) for record in self.studies()) or "none"
        raise StudyError(f"there is no study {name!r} in {shown_url(self.url)}; stored: {names}")

    def studies(self) -> list[StudyRecord]:
        """All stored studies, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(sql.select(schema.studies).order_by(schema.studies.c.created)).all()
        return [_study(row) for row in rows]

    def open_study(self, name: str, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Start a study, or go on with the stored one.

        Raises:
            StudyError: the stored study differs; the message says in what.
        """
        stored = {record.study: record for record in self.studies()}.get(name)
        if stored is not None and fresh:
            self.delete_study(name)
            stored = None
        if stored is None:
            with self.engine.begin() as connection:
                connection.execute(
                    schema.studies.insert().values(study=name, created=self._clock(), identity=_json(identity))
                )
            return
        if details := changes(stored.identity, identity):
            raise StudyError(
                f"study {name!r} in {shown_url(self.url)} was started with other settings: {details}; "
                f"give it another name or storage, or start anew with fresh=True (--fresh)"
            )

    def record_test_use(self, sealed: str, prompt: str, study: str) -> None:
        """Note that a winner is about to be tested on sealed rows; one that was tested on them before opens nothing.

        Args:
            sealed: which rows, as a digest.
            prompt: the winner, as a digest.
            study: which study opens them first.
        """
        opening = {"sealed": sealed, "prompt": prompt, "study": study, "opened": self._clock()}
        which = sql.and_(schema.openings.c.sealed == sealed, schema.openings.c.prompt == prompt)
        with self.engine.begin() as connection:
            if connection.execute(sql.select(schema.openings.c.sealed).where(which)).first() is None:
                connection.execute(self._insert(schema.openings).on_conflict_do_nothing().values(**opening))

    def test_uses(self, sealed: str) -> int:
        """The number of winners, of all studies in this storage, that were tested on these test rows."""
        query = sql.select(sql.func.count()).select_from(schema.openings).where(schema.openings.c.sealed == sealed)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def delete_study(self, name: str) -> None:
        """Forget a study; its responses stay, and how often sealed rows were opened."""
        with self.engine.begin() as connection:
            for table in _STUDY_TABLES:
                connection.execute(table.delete().where(table.c.study == name))
        self._delete_optuna_study(name)

    def save_summary(self, study: str, summary: Summary) -> None:
        """Write down the outcome of a study, which makes it a finished one."""
        with self.engine.begin() as connection:
            connection.execute(
                schema.studies.update().where(schema.studies.c.study == study).values(summary=_json(summary.to_dict()))
            )

    def save_trials(self, study: str, trials: Iterable[TrialRecord], samples: Iterable[SampleRecord]) -> None:
        """Write trials and samples, replacing what was stored of the same ones."""
        written = {
            schema.trials: [{"study": study, "trial": t.trial, "record": _json(asdict(t))} for t in trials],
            schema.samples: [
                {
                    "study": study,
                    "trial": sample.trial,
                    "row": sample.row,
                    "split": sample.split,
                    "key": sample.key,
                    "record": _json(asdict(sample)),
                }
                for sample in samples
            ],
        }
        with self.engine.begin() as connection:
            for table, rows in written.items():
                if rows:
                    insert = self._insert(table)
                    others = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
                    connection.execute(
                        insert.on_conflict_do_update(index_elements=table.primary_key, set_=others), rows
                    )

    def clear_trials(self, study: str) -> None:
        """Drop a study's trials, samples and summary; a resumed run writes them again from the responses."""
        with self.engine.begin() as connection:
            connection.execute(schema.studies.update().where(schema.studies.c.study == study).values(summary=None))
            for table in (schema.trials, schema.samples):
                connection.execute(table.delete().where(table.c.study == study))

    def trials(self, study: str) -> list[TrialRecord]:
        query = sql.select(schema.trials.c.record).where(schema.trials.c.study == study).order_by(schema.trials.c.trial)
        with self.engine.connect() as connection:
            texts = connection.execute(query).scalars().all()
        with reading(f"a trial of study {study!r}"):
            return [read(TrialRecord, text) for text in texts]

    def samples(self, study: str) -> list[SampleRecord]:
        """In no order."""
        with self.engine.connect() as connection, _uncollected(), reading(f"a scored row of study {study!r}"):
            query = sql.select(schema.samples.c.record).where(_is_of(connection, schema.samples, study))
            return [read(SampleRecord, text) for rows in _fetched(connection, query) for (text,) in rows]

    def _optuna_storage(self) -> optuna.storages.RDBStorage:
        first_import_of_optuna()
        import optuna

        url = self.url.render_as_string(hide_password=False)
        with self.engine.begin() as connection:
            if self.url.get_backend_name() == "postgresql":  # two studies may make Optuna's tables at the same moment
                schema.wait_for_others(connection)
            try:
                return optuna.storages.RDBStorage(url)
            except sql.exc.OperationalError:  # SQLite's way to say that they have just been made
                return optuna.storages.RDBStorage(url)

    def _delete_optuna_study(self, name: str) -> None:
        if sql.inspect(self.engine).has_table("studies"):
            first_import_of_optuna()
            import optuna

            storage = self._optuna_storage()
            if name in optuna.get_all_study_names(storage):
                optuna.delete_study(study_name=name, storage=storage)
            _close_optuna(storage)

    def mirror(self, name: str, space: SearchSpace, trials: Iterable[TrialRecord], note: str = "") -> None:
        """Write trials with their estimated scores as an Optuna study of the same name into the same database,
        for Optuna's own plots and for optuna-dashboard, which shows each trial's prompt, and a note on the study."""
        first_import_of_optuna()
        import optuna
        from optuna.distributions import CategoricalDistribution

        self._delete_optuna_study(name)
        in_memory = _is_in_memory(self.url)
        storage = optuna.storages.InMemoryStorage() if in_memory else self._optuna_storage()
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        states = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
        study.add_trials(
            [
                optuna.trial.create_trial(
                    state=states.get(trial.state, optuna.trial.TrialState.FAIL),
                    params={key: space.by_name[key].ids[index] for key, index in trial.positions.items()},
                    distributions={key: CategoricalDistribution(space.by_name[key].ids) for key in trial.positions},
                    value=None if trial.state not in states else trial.estimate,
                    intermediate_values={0: trial.estimate} if trial.estimate is not None else {},
                    user_attrs={"reason": trial.reason, "prompt": trial.text, "choices": dict(trial.choices)},
                )
                for trial in trials
            ]
        )
        study.set_user_attr("result", note)
        # As optuna_dashboard.save_note writes it, in one piece of at most 2,045 characters of JSON.
        body = note[:1000].replace("\n", "\n\n")
        for key, value in (("dashboard:note_ver", 1), ("dashboard:note_str:0", body)):
            study._storage.set_study_system_attr(study._study_id, key, value)
        if isinstance(storage, optuna.storages.RDBStorage):
            _close_optuna(storage)
        else:
            self._mirrored = study

    def optuna_study(self, name: str) -> optuna.Study:
        """What `mirror` wrote.

        Raises:
            KeyError: nothing yet.
        """
        first_import_of_optuna()
        import optuna

        if self._mirrored is not None:
            return self._mirrored
        return optuna.load_study(study_name=name, storage=self.url.render_as_string(hide_password=False))


def _close_optuna(storage: optuna.storages.RDBStorage) -> None:
    storage.remove_session()  # which holds a connection of its own
    storage.engine.dispose()


def first_import_of_optuna() -> None:
    """Import Optuna without the warning, in a notebook without ipywidgets, about a progress bar nobody asked for,
    and without a line in red for every study that is made."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _tune_sqlite(connection: Any, _: Any) -> None:
    # Write-ahead logging lets readers (a notebook, the dashboard) look on while a study writes.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _is_in_memory(url: sql.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _pooling(url: sql.URL) -> dict[str, Any]:
    """One connection for a database in memory, which lives and dies with it; runs use a thread of their own."""
    if not _is_in_memory(url):
        return {}
    return {"poolclass": sql.StaticPool, "connect_args": {"check_same_thread": False}}


def shown_url(url: Any) -> str:
    """A storage URL as it may be shown: without its password."""
    try:
        made = make_url(url)
    except (sql.exc.ArgumentError, ValueError):
        return "***" if re.search("@|pass", str(url)) else str(url)
    hidden = dict.fromkeys((name for name in made.query if "pass" in name), "hidden")
    return str(made.update_query_dict(hidden).render_as_string(hide_password=True))


def _why_closed(url: str, error: Exception) -> str:
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    remedy = "give an SQLAlchemy URL such as sqlite:///study.db"
    if isinstance(error, ImportError):
        remedy = "install that package (PostgreSQL: pip install 'prompt_search[postgres]') or use sqlite:///study.db"
    elif "unable to open database file" in reason:
        remedy = "make its folder first, and check that it may be written"
    return f"storage {shown_url(url)!r} cannot be opened: {reason}; {remedy}"


def _why_unwritten(url: sql.URL, error: Exception) -> str:
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    return f"storage {shown_url(url)!r} cannot be written: {reason}; make room or restore the connection"


def _study(row: Any) -> StudyRecord:
    with reading(f"study {row.study!r}"):
        identity, created = json.loads(row.identity), float(row.created)
        checked(Identity, identity)
    with reading(f"the summary of study {row.study!r}"):
        summary = read(Summary, row.summary) if row.summary else None
    return StudyRecord(study=row.study, created=created, identity=identity, summary=summary)


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
    with reading(f"the response {key!r}"):
        return Response.from_json(text)


def _json(value: Any) -> str:
    return storable(json.dumps(value, ensure_ascii=False, default=list))


def _is_of(connection: sql.Connection, table: sql.Table, study: str) -> sql.ColumnElement[bool]:
    """The condition that a row is of a study.

    SQLite would look the rows up by its index, in the order of their keys and so all over the file. Where the study has
    a good part of them it is quicker to read all, which an expression that no index is on makes it do.
    """
    condition = table.c.study == study
    if connection.dialect.name != "sqlite":
        return condition
    counted = [sql.select(sql.func.count()).select_from(table).where(where) for where in (condition, sql.true())]
    own, together = (connection.execute(each).scalar_one() for each in counted)
    return table.c.study.concat("") == study if together < FEW * own else condition


def _fetched(connection: sql.Connection, query: Any) -> Iterator[Sequence[Any]]:
    """What a query finds, by chunks, as the driver gives it: making SQLAlchemy's rows would take as long again."""
    cursor = connection.execute(query).cursor
    assert cursor is not None  # it is a query
    while rows := cursor.fetchmany(CHUNK):
        yield rows


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: it would look again and again through all that is read, which is kept."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def changes(before: Mapping[str, Any], now: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """In what two identities differ, in words; settings named in ``but`` may."""
    now = json.loads(_json(now))
    changed = sorted(key for key in {*now, *before} if key not in but and now.get(key) != before.get(key))
    return "; ".join(f"{key} {_change(before.get(key), now.get(key))}" for key in changed)


def _change(before: Any, now: Any) -> str:
    """``was …, is …`` around the first difference."""
    texts = ["absent" if value is None else json.dumps(value, ensure_ascii=False) for value in (before, now)]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*texts, strict=False)))
    start = max(0, same - 30)
    was, is_now = (
        f"{'…' if start else ''}{text[start : start + 80]}{'…' if len(text) > start + 80 else ''}" for text in texts
    )
    return f"was {was}, is {is_now}"
