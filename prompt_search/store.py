"""One storage URL for everything a study knows: responses, what was paid, trials, samples, Optuna's own tables.

A response is committed before it counts. It is kept under the request's canonical key and serves every study;
which calls a study paid for is kept beside it, so that a resumed study spends nothing twice.
"""

from __future__ import annotations

import json
import math
import re
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import make_url

from prompt_search.completion import Request, Response, without_logprobs
from prompt_search.errors import StorageError, StudyError

if TYPE_CHECKING:
    import optuna

    from prompt_search.space import SearchSpace

SCHEMA_VERSION = 1

Columns = dict[str, list[Any]]
"""A table as lists of equal length by column name."""

CHUNK = 2_000
"""How many stored records are held as text at a time."""

_metadata = sql.MetaData()
_about = sql.Table("prompt_search_about", _metadata, sql.Column("schema_version", sql.Integer, nullable=False))
_responses = sql.Table(
    "prompt_search_responses",
    _metadata,
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("request", sql.Text, nullable=False),
    sql.Column("response", sql.Text, nullable=False),
)
_studies = sql.Table(
    "prompt_search_studies",
    _metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("created", sql.Float, nullable=False),
    sql.Column("identity", sql.Text, nullable=False),
    sql.Column("summary", sql.Text),
)
_calls = sql.Table(
    "prompt_search_calls",
    _metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("split", sql.String(20), nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("failure", sql.Text),
)
_trials = sql.Table(
    "prompt_search_trials",
    _metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("trial", sql.Integer, primary_key=True),
    sql.Column("record", sql.Text, nullable=False),
)
_samples = sql.Table(
    "prompt_search_samples",
    _metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("trial", sql.Integer, primary_key=True),
    sql.Column("row", sql.Integer, primary_key=True),
    sql.Column("split", sql.String(20), nullable=False),
    sql.Column("key", sql.String(64), nullable=False),
    sql.Column("record", sql.Text, nullable=False),
)
_openings = sql.Table(
    "prompt_search_openings",
    _metadata,
    sql.Column("sealed", sql.String(64), primary_key=True),
    sql.Column("prompt", sql.String(64), primary_key=True),
    sql.Column("study", sql.String(200), nullable=False),
    sql.Column("opened", sql.Float, nullable=False),
)
_STUDY_TABLES = (_calls, _trials, _samples, _studies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that a study used: paid for (``attempts`` > 0) or found stored (0); ``response`` for replay."""

    key: str
    number: int
    split: str
    attempts: int
    response: Response

    @property
    def cut_short(self) -> bool:
        """Whether the budget ended between two attempts, so that another run may go on trying."""
        return (self.response.error or "").startswith("budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One candidate: its choices as text by name, the fields of its `Prompt`, and how its trial ended.

    Of a finished study also what the surrogate expects of its true score (``estimate``), and the standard deviation
    of what it knows of the difference to the winner (``uncertainty``); None where the trial has no score.
    """

    trial: int
    state: str
    reason: str
    choices: Mapping[str, str]
    positions: Mapping[str, int]
    prompt: Mapping[str, Any]
    text: str
    estimate: float | None = None
    uncertainty: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecord:
    """One candidate on one row; ``score`` is None when the request failed."""

    trial: int
    row: int
    split: str
    key: str
    answer: Any
    target: Any
    score: float | None
    explanation: str
    unparsed: bool
    error: str | None
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A stored study: what it is (``identity``) and, once it ended, what came out (``summary``)."""

    study: str
    created: float
    identity: Mapping[str, Any]
    summary: Mapping[str, Any] = field(default_factory=dict)


class Store:
    """A database at a SQLAlchemy URL; SQLite files and their tables are made when missing.

    Raises:
        StorageError: the URL is not one, its driver is missing, or the database cannot be opened.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._mirrored: optuna.Study | None = None
        self._clock = clock
        try:
            self.url = make_url(url)
            self.engine = sql.create_engine(self.url, **_pooling(self.url))
            if self.url.get_backend_name() == "sqlite":
                event.listen(self.engine, "connect", _tune_sqlite)
            _metadata.create_all(self.engine)
            with self.engine.begin() as connection:
                version = connection.execute(sql.select(_about.c.schema_version)).scalar()
                if version is None:
                    connection.execute(_about.insert().values(schema_version=SCHEMA_VERSION))
        except (sql.exc.SQLAlchemyError, ImportError, ValueError) as error:
            raise StorageError(_why_closed(url, error)) from None
        if version not in (None, SCHEMA_VERSION):
            self.close()
            raise StorageError(
                f"storage {shown_url(url)!r} has schema version {version}, this release reads "
                f"{SCHEMA_VERSION}; use another file or the release that wrote it"
            )

    def close(self) -> None:
        self.engine.dispose()

    def _insert_if_new(self, table: sql.Table) -> Any:
        """An insert that does nothing where the key is there: two studies may answer one request at a time."""
        from sqlalchemy.dialects import postgresql, sqlite

        backend = self.url.get_backend_name()
        if backend == "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        if backend == "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        return table.insert()

    def response(self, key: str) -> Response | None:
        """The stored answer to a request."""
        with self.engine.connect() as connection:
            text = connection.execute(
                sql.select(_responses.c.response).where(_responses.c.key == key)
            ).scalar_one_or_none()
        return None if text is None else Response.from_json(text)

    def save_call(
        self, study: str, request: Request, response: Response, *, split: str, number: int, paid: bool
    ) -> None:
        """Commit a response and that the study used it; a failed request is kept with the study only.

        A call that failed before and is sent again keeps counting what its earlier attempts cost.
        """
        which = sql.and_(_calls.c.study == study, _calls.c.key == request.key)
        with self.engine.begin() as connection:
            earlier = connection.execute(sql.select(_calls.c.attempts).where(which)).scalar() or 0
            row = {
                "study": study,
                "key": request.key,
                "number": number,
                "split": split,
                "attempts": earlier + (response.attempts if paid else 0),
                "failure": _storable(response.to_json()) if response.error else None,
            }
            connection.execute(_calls.delete().where(which))
            if paid and not response.error:
                texts = {"request": _storable(request.to_json()), "response": _storable(response.to_json())}
                connection.execute(self._insert_if_new(_responses).values(key=request.key, **texts))
            connection.execute(_calls.insert().values(**row))

    def calls(self, study: str) -> dict[str, Call]:
        """What a study used so far, by request key, with the responses."""
        joined = _calls.outerjoin(_responses, _calls.c.key == _responses.c.key)
        query = (
            sql.select(_calls, _responses.c.response)
            .select_from(joined)
            .where(_calls.c.study == study)
            .order_by(_calls.c.number)
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query).all()
        return {
            row.key: Call(
                key=row.key,
                number=row.number,
                split=row.split,
                attempts=row.attempts,
                response=Response.from_json(row.failure or row.response),
            )
            for row in rows
        }

    def call_columns(self, study: str) -> Columns:
        """What `calls` gives, without log-probabilities, in columns and in no order: the fields of `Call` and those of
        its response."""
        query = (
            sql.select(_calls.c.key, _calls.c.number, _calls.c.split, _calls.c.attempts)
            .add_columns(sql.func.coalesce(_calls.c.failure, _responses.c.response))
            .select_from(_calls.outerjoin(_responses, _calls.c.key == _responses.c.key))
            .where(_calls.c.study == study)
            .with_hint(_calls, "NOT INDEXED", "sqlite")  # as they were written, so that responses are read in a row
        )
        own = ("key", "number", "split", "attempts")
        told = ("text", "error", "latency_s", "cost_usd")
        counts = ("prompt_tokens", "cached_tokens", "completion_tokens")
        columns: Columns = {name: [] for name in (*own, "role", *told, *counts)}
        with self.engine.connect() as connection:
            for rows in _fetched(connection, query):
                *values, texts = zip(*rows, strict=True)
                for name, each in zip(own, values, strict=True):
                    columns[name] += each
                columns["role"] += ["task"] * len(rows)
                bodies = _parsed(map(without_logprobs, texts))
                for name in told:
                    columns[name] += [body[name] for body in bodies]
                used = [body["usage"] for body in bodies]
                for name in counts:
                    columns[name] += [usage[name] for usage in used]
        return columns

    def copy_calls(self, study: str, to: str) -> None:
        """Note that another study used the same calls, which cost it nothing."""
        columns = [_calls.c.key, _calls.c.number, _calls.c.split, _calls.c.failure]
        query = sql.select(sql.literal(to), *columns, sql.literal(0)).where(_calls.c.study == study)
        names = ["study", *(column.name for column in columns), "attempts"]
        with self.engine.begin() as connection:
            connection.execute(_calls.insert().from_select(names, query))

    def requests(self, study: str, keys: Collection[str] | None = None) -> dict[str, str]:
        """Request key to the canonical text of what was sent, for every answered call of a study, or some of them."""
        query = (
            sql.select(_responses.c.key, _responses.c.request)
            .join(_calls, _calls.c.key == _responses.c.key)
            .where(_calls.c.study == study)
        )
        if keys is not None:
            query = query.where(_responses.c.key.in_(list(keys)))
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
            rows = connection.execute(sql.select(_studies).order_by(_studies.c.created)).all()
        return [
            StudyRecord(
                study=row.study,
                created=row.created,
                identity=json.loads(row.identity),
                summary=json.loads(row.summary) if row.summary else {},
            )
            for row in rows
        ]

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
                    _studies.insert().values(study=name, created=self._clock(), identity=_json(identity))
                )
            return
        if details := changes(stored.identity, identity):
            raise StudyError(
                f"study {name!r} in {shown_url(self.url)} was started with other settings: {details}; "
                f"give it another name or storage, or start anew with fresh=True (--fresh)"
            )

    def open_sealed(self, sealed: str, prompt: str, study: str) -> None:
        """Note that a winner is about to be tested on sealed rows; one that was tested on them before opens nothing.

        Args:
            sealed: which rows, as a digest.
            prompt: the winner, as a digest.
            study: which study opens them first.
        """
        opening = {"sealed": sealed, "prompt": prompt, "study": study, "opened": self._clock()}
        which = sql.and_(_openings.c.sealed == sealed, _openings.c.prompt == prompt)
        with self.engine.begin() as connection:
            if connection.execute(sql.select(_openings.c.sealed).where(which)).first() is None:
                connection.execute(self._insert_if_new(_openings).values(**opening))

    def openings(self, sealed: str) -> int:
        """How many winners, of whatever study in this storage, were tested on these sealed rows."""
        query = sql.select(sql.func.count()).select_from(_openings).where(_openings.c.sealed == sealed)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def delete_study(self, name: str) -> None:
        """Forget a study; its responses stay, and how often sealed rows were opened."""
        with self.engine.begin() as connection:
            for table in _STUDY_TABLES:
                connection.execute(table.delete().where(table.c.study == name))
        self._delete_optuna_study(name)

    def save_summary(self, study: str, summary: Mapping[str, Any]) -> None:
        with self.engine.begin() as connection:
            connection.execute(_studies.update().where(_studies.c.study == study).values(summary=_json(summary)))

    def save_trials(self, study: str, trials: Iterable[TrialRecord], samples: Iterable[SampleRecord]) -> None:
        """Write trials and samples, replacing what was stored of the same ones."""
        with self.engine.begin() as connection:
            for trial in trials:
                which = sql.and_(_trials.c.study == study, _trials.c.trial == trial.trial)
                connection.execute(_trials.delete().where(which))
                record = _json(asdict(trial))
                connection.execute(_trials.insert().values(study=study, trial=trial.trial, record=record))
            for sample in samples:
                which = sql.and_(
                    _samples.c.study == study, _samples.c.trial == sample.trial, _samples.c.row == sample.row
                )
                connection.execute(_samples.delete().where(which))
                connection.execute(
                    _samples.insert().values(
                        study=study,
                        trial=sample.trial,
                        row=sample.row,
                        split=sample.split,
                        key=sample.key,
                        record=_json(asdict(sample)),
                    )
                )

    def clear_trials(self, study: str) -> None:
        """Drop a study's trials, samples and summary; a resumed run writes them again from the responses."""
        with self.engine.begin() as connection:
            connection.execute(_studies.update().where(_studies.c.study == study).values(summary=None))
            for table in (_trials, _samples):
                connection.execute(table.delete().where(table.c.study == study))

    def trials(self, study: str) -> list[TrialRecord]:
        query = sql.select(_trials.c.record).where(_trials.c.study == study).order_by(_trials.c.trial)
        with self.engine.connect() as connection:
            return [TrialRecord(**json.loads(text)) for text in connection.execute(query).scalars()]

    def samples(self, study: str) -> list[SampleRecord]:
        query = (
            sql.select(_samples.c.record)
            .where(_samples.c.study == study)
            .order_by(_samples.c.trial, _samples.c.split, _samples.c.row)
        )
        with self.engine.connect() as connection:
            return [SampleRecord(**json.loads(text)) for text in connection.execute(query).scalars()]

    def sample_columns(self, study: str) -> Columns:
        """What `samples` gives, in columns and in no order: the fields of `SampleRecord`."""
        query = sql.select(_samples.c.record).where(_samples.c.study == study)
        query = query.with_hint(_samples, "NOT INDEXED", "sqlite")
        columns: Columns = {field.name: [] for field in fields(SampleRecord)}
        with self.engine.connect() as connection:
            for rows in _fetched(connection, query):
                records = _parsed(text for (text,) in rows)
                for name, values in columns.items():
                    values += [record[name] for record in records]
        return columns

    def _optuna_storage(self) -> optuna.storages.RDBStorage:
        first_import_of_optuna()
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.storages.RDBStorage(self.url.render_as_string(hide_password=False))

    def _delete_optuna_study(self, name: str) -> None:
        if sql.inspect(self.engine).has_table("studies"):
            first_import_of_optuna()
            import optuna

            storage = self._optuna_storage()
            if name in optuna.get_all_study_names(storage):
                optuna.delete_study(study_name=name, storage=storage)
            storage.engine.dispose()

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
            storage.engine.dispose()
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


def first_import_of_optuna() -> None:
    """Import Optuna without the warning, in a notebook without ipywidgets, about a progress bar nobody asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import optuna  # noqa: F401


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


def _json(value: Any) -> str:
    return _storable(json.dumps(value, ensure_ascii=False, default=list))


def _storable(text: str) -> str:
    """JSON text that every database takes: half a surrogate pair becomes its JSON escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _fetched(connection: sql.Connection, query: Any) -> Iterator[Sequence[Any]]:
    """What a query finds, by chunks, as the driver gives it: making SQLAlchemy's rows would take as long again."""
    cursor = connection.execute(query).cursor
    assert cursor is not None  # it is a query
    while rows := cursor.fetchmany(CHUNK):
        yield rows


def _parsed(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Many JSON objects at once, which is faster than one by one."""
    return list(json.loads(f"[{','.join(texts)}]"))


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


def none_if_nan(value: float) -> float | None:
    """JSON has no NaN: unknown is null there."""
    return None if math.isnan(value) else value
