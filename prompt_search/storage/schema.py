"""The tables of a storage, and the migration of a storage that an earlier release wrote.

A migration runs inside one transaction: a storage is of one version or of the other, whatever happens meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import sqlalchemy as sql

from prompt_search.errors import StorageError
from prompt_search.storage.faults import BEGIN_ANEW

SCHEMA_VERSION = 8

metadata = sql.MetaData()


def _one_record(name: str) -> sql.Table:
    """A table with one record for a study, see `prompt_search.storage.once.stored_once`."""
    return sql.Table(
        name,
        metadata,
        sql.Column("study", sql.String(200), primary_key=True),
        sql.Column("record", sql.Text, nullable=False),
    )


about = sql.Table("prompt_search_about", metadata, sql.Column("schema_version", sql.Integer, nullable=False))
responses = sql.Table(
    "prompt_search_responses",
    metadata,
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("request", sql.Text, nullable=False),
    sql.Column("response", sql.Text, nullable=False),
)
studies = sql.Table(
    "prompt_search_studies",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("created", sql.Float, nullable=False),
    sql.Column("identity", sql.Text, nullable=False),
    sql.Column("budgets", sql.Text, nullable=False, server_default="[]"),
)
calls = sql.Table(
    "prompt_search_calls",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("split", sql.String(20), nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("failure", sql.Text),
    sql.Column("role", sql.String(20), nullable=False, server_default="task"),
    sql.Column("budget", sql.Integer, nullable=False, server_default="0"),
    sql.Column("tokens", sql.BigInteger, nullable=False, server_default="0"),
    sql.Column("usd", sql.Float),
)
versions = sql.Table(
    "prompt_search_versions",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("created", sql.Float, nullable=False),
    sql.Column("settings", sql.Text, nullable=False),
    sql.Column("owner", sql.String(32)),
    sql.Column("summary", sql.Text),
    sql.Column("failed_calls", sql.Text),
)
trials = sql.Table(
    "prompt_search_trials",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True, server_default="1"),
    sql.Column("trial", sql.Integer, primary_key=True),
    sql.Column("record", sql.Text, nullable=False),
)
samples = sql.Table(
    "prompt_search_samples",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True, server_default="1"),
    sql.Column("trial", sql.Integer, primary_key=True),
    sql.Column("row", sql.Integer, primary_key=True),
    sql.Column("split", sql.String(20), nullable=False),
    sql.Column("key", sql.String(64), nullable=False),
    sql.Column("record", sql.Text, nullable=False),
)
decisions = sql.Table(
    "prompt_search_decisions",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("record", sql.Text, nullable=False),
)
proposals = sql.Table(
    "prompt_search_proposals",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True),
    sql.Column("record", sql.Text, nullable=False),
)
pool_answers = _one_record("prompt_search_pool_answers")
prior_studies = _one_record("prompt_search_prior_studies")
row_digests = _one_record("prompt_search_row_digests")
scores = sql.Table(
    "prompt_search_scores",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("value", sql.Float, nullable=False),
    sql.Column("explanation", sql.Text, nullable=False),
    sql.Column("margin", sql.Float),
)
test_uses = sql.Table(
    "prompt_search_openings",
    metadata,
    sql.Column("sealed", sql.String(64), primary_key=True),
    sql.Column("prompt", sql.String(64), primary_key=True),
    sql.Column("study", sql.String(200), nullable=False),
    sql.Column("opened", sql.Float, nullable=False),
)
leases = sql.Table(
    "prompt_search_leases",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("owner", sql.String(32), nullable=False, unique=True),
    sql.Column("host", sql.Text, nullable=False),
    sql.Column("machine", sql.Text, nullable=False),
    sql.Column("process", sql.Integer, nullable=False),
    sql.Column("started", sql.Text, nullable=False),
    sql.Column("expires", sql.Float, nullable=False),
    sql.Column("expires_here", sql.Float),
)
claims = sql.Table(
    "prompt_search_claims",
    metadata,
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("owner", sql.String(32), nullable=False, index=True),
)
sent = sql.Table(
    "prompt_search_sent",
    metadata,
    sql.Column("study", sql.String(200), primary_key=True),
    sql.Column("key", sql.String(64), primary_key=True),
    sql.Column("budget", sql.Integer, primary_key=True),
    sql.Column("state", sql.String(10), primary_key=True),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("tokens", sql.BigInteger, nullable=False),
    sql.Column("usd", sql.Float, nullable=False),
)

batches = sql.Table(
    "prompt_search_batches",
    metadata,
    sql.Column("name", sql.String(32), primary_key=True),
    sql.Column("study", sql.String(200), nullable=False),
    sql.Column("endpoint", sql.Text, nullable=False),
    sql.Column("model", sql.Text, nullable=False),
    sql.Column("created", sql.Float, nullable=False),
    sql.Column("keys", sql.Text, nullable=False),
    sql.Column("file", sql.Text),
    sql.Column("batch", sql.Text),
)

STUDY_TABLES = (
    calls,
    sent,
    trials,
    samples,
    decisions,
    proposals,
    pool_answers,
    prior_studies,
    row_digests,
    scores,
    versions,
    studies,
)
"""The tables that hold the rows of one study, by its name."""

_EVERY_TABLE = sql.union_all(
    *(sql.select(sql.literal(1)).where(sql.false()).select_from(each) for each in metadata.tables.values())
)
"""A query that only works where all tables are there."""

_ROWS_AT_ONCE = 5_000
"""Number of rows that a migration holds in memory."""

_ADVISORY_LOCK = 0x70726F6D7074
"""The number of PostgreSQL's advisory lock that keeps two processes from making or migrating the tables at once."""


def open_schema(engine: sql.Engine, shown: str) -> None:
    """Make the tables where there are none, and bring older ones to this release's version.

    Args:
        shown: the storage's URL as it may be shown.

    Raises:
        StorageError: a later release wrote the storage.
    """
    with engine.begin() as connection:
        if _version(connection, shown) == SCHEMA_VERSION:
            connection.execute(_EVERY_TABLE)  # one may have been dropped
            return  # without asking for the lock that writers hold
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver itself begins none before DDL
        else:
            wait_for_others(connection)
        version = _version(connection, shown)
        if version is None and any(map(sql.inspect(connection).has_table, metadata.tables)):
            raise StorageError(
                f"storage {shown!r} cannot be opened: no such table: {about.name}, but others are there; {BEGIN_ANEW}"
            )
        metadata.create_all(connection)
        if version is None:
            connection.execute(about.insert().values(schema_version=SCHEMA_VERSION))
            return
        for step in range(version, SCHEMA_VERSION):
            _MIGRATIONS[step](connection)
        connection.execute(about.update().values(schema_version=SCHEMA_VERSION))


def wait_for_others(connection: sql.Connection) -> None:
    """Let one transaction at a time make tables in a PostgreSQL database."""
    connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))


def _version(connection: sql.Connection, shown: str) -> int | None:
    if not sql.inspect(connection).has_table(about.name):
        return None
    version: int | None = connection.execute(sql.select(about.c.schema_version)).scalar()
    if version is not None and version > SCHEMA_VERSION:
        raise StorageError(
            f"storage {shown!r} has schema version {version}, this release reads up to {SCHEMA_VERSION}; use another "
            f"file or the release that wrote it"
        )
    return version


def _from_1(connection: sql.Connection) -> None:
    """Migrate to version 2, which keeps the budget and the role of each call, and its tokens and US dollars."""
    preparer = connection.dialect.identifier_preparer
    for table, names in ((studies, ("budgets",)), (calls, ("role", "budget", "tokens", "usd"))):
        for name in names:
            column = sql.schema.CreateColumn(table.c[name]).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {preparer.format_table(table)} ADD COLUMN {column}")
    joined = calls.outerjoin(responses, calls.c.key == responses.c.key)
    text = sql.func.coalesce(calls.c.failure, responses.c.response)
    query = sql.select(calls.c.study, calls.c.key, text.label("text")).select_from(joined)
    update = (
        calls.update()
        .where(calls.c.study == sql.bindparam("of_study"), calls.c.key == sql.bindparam("of_key"))
        .values(tokens=sql.bindparam("of_tokens"), usd=sql.bindparam("of_usd"))
    )
    for rows in connection.execute(query).partitions(_ROWS_AT_ONCE):
        used = [{"of_study": row.study, "of_key": row.key, **_used(row.text)} for row in rows]
        connection.execute(update, used)


def _from_2(connection: sql.Connection) -> None:
    """Migrate to version 3, which keeps the scores of users' own metrics in a table that was made with the others."""


def _from_3(connection: sql.Connection) -> None:
    """Migrate to version 4, which keeps several results of a study: what was stored is the first."""
    preparer = connection.dialect.identifier_preparer
    for table in (trials, samples):
        name, before = preparer.format_table(table), preparer.quote(f"{table.name}_3")
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {before}")  # a primary key cannot grow
        table.create(connection)
        columns = ", ".join(preparer.format_column(column) for column in table.c if column.name != "version")
        connection.exec_driver_sql(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {before}")
        connection.exec_driver_sql(f"DROP TABLE {before}")
    summary: sql.ColumnClause[str | None] = sql.column("summary")
    for study, created, budgets, text in connection.execute(
        sql.select(studies.c.study, studies.c.created, studies.c.budgets, summary).select_from(studies)
    ).all():
        settings = json.dumps(_settings(budgets, text))
        values = {"study": study, "version": 1, "created": created, "settings": settings, "summary": text}
        connection.execute(versions.insert().values(**values))
    connection.exec_driver_sql(f"ALTER TABLE {preparer.format_table(studies)} DROP COLUMN summary")


def _from_4(connection: sql.Connection) -> None:
    """Migrate to version 5, which knows of a lease when it ends by the clock of its machine that nobody sets, of
    requests that they were sent, and of a version which of its calls had failed; new tables were made before."""
    preparer = connection.dialect.identifier_preparer
    for table, column in ((leases, leases.c.expires_here), (versions, versions.c.failed_calls)):
        if any(each["name"] == column.name for each in sql.inspect(connection).get_columns(table.name)):
            continue  # the table was made with the others
        added = sql.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {preparer.format_table(table)} ADD COLUMN {added}")


def _from_5(connection: sql.Connection) -> None:
    """Migrate to version 6, which keeps proposed options in a table that was made with the others."""


def _from_6(connection: sql.Connection) -> None:
    """Migrate to version 7, which keeps what a model answers to the pool of shots in a table that was made with the
    others."""


def _from_7(connection: sql.Connection) -> None:
    """Migrate to version 8, which keeps what a study takes from earlier ones, digests of a study's rows by which later
    ones know them, and the batches that are open at a server, in tables that were made with the others."""


def _settings(budgets: str, summary: str | None) -> dict[str, object]:
    """What a study of version 3 was run with, as far as it is known; a damaged record must not keep a storage
    closed."""
    try:
        known = json.loads(summary or "{}")
        return {"budget": known.get("budget") or json.loads(budgets)[-1], "test": bool(known.get("tested", True))}
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return {}


def _used(text: str | None) -> dict[str, object]:
    """What a stored response used; unknown where it is damaged, which is an error only where the response is read.

    One damaged response must not keep a whole storage closed.
    """
    try:
        response = json.loads(text or "")
        usage, usd = response["usage"], response["cost_usd"]
        tokens = int(usage["prompt_tokens"] or 0) + int(usage["completion_tokens"] or 0)
        usd = 0.0 if usd is None and response["error"] is not None else usd
        return {"of_tokens": tokens, "of_usd": None if usd is None else float(usd)}
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return {"of_tokens": 0, "of_usd": None}


_MIGRATIONS: Mapping[int, Callable[[sql.Connection], None]] = {
    1: _from_1,
    2: _from_2,
    3: _from_3,
    4: _from_4,
    5: _from_5,
    6: _from_6,
    7: _from_7,
}
