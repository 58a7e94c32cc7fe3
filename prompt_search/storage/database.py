"""The database of a storage: its URL, how it is opened and tuned, the thread that waits for it, and fast reads.

Here is what differs between SQLite and PostgreSQL, except for the lock under which tables are made (`schema`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import sqlite3
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import make_url

from prompt_search.errors import StorageError
from prompt_search.storage import schema
from prompt_search.storage.faults import (
    BEGIN_ANEW,
    Patience,
    StorageFault,
    diagnosis,
    fault,
    reason,
    tune_postgresql,
    tune_sqlite,
)

T = TypeVar("T")

BACKENDS = ("sqlite", "postgresql")
"""The databases that a storage can be in, by SQLAlchemy's names."""

KEYS_PER_QUERY = 1_000
"""Number of keys in one query: SQLite refuses more than 250,000 values."""

ROWS_AT_ONCE = 2_000
"""Number of stored records that are held as text at a time."""

FULL_SCAN_RATIO = 4
"""SQLite reads the whole table unless it has at least so many times the study's rows."""


logging.getLogger("psycopg").addHandler(logging.NullHandler())  # its errors are raised, and told once


class Database:
    """A database at a SQLAlchemy URL, SQLite or PostgreSQL; SQLite files and all tables are made when missing.

    Args:
        url: where it is; see `storage_url`.
        clock: seconds since 1970.
        to_read: whether it is only read, so that an SQLite file need not be writable.

    Raises:
        StorageError: the URL is not one, its driver is missing, the database cannot be opened, or a later release
            wrote it.
    """

    def __init__(self, url: str | Path, *, clock: Callable[[], float] = time.time, to_read: bool = False) -> None:
        self.clock = clock
        url = storage_url(url)
        self._file = sqlite_file(url)
        self._is_fixed = to_read and self._file is not None and _is_fixed(self._file)
        try:
            self.url = make_url(url)
            self.is_sqlite = self.url.get_backend_name() == "sqlite"
            self.in_memory = _is_in_memory(self.url)  # then nobody else can open it
            opened = _url_to_read(self._file) if self._file is not None and self._is_fixed else self.url
            self.engine = sql.create_engine(opened, **_pooling(self.url))
            if self.url.get_backend_name() not in BACKENDS:
                raise ValueError(
                    f"a storage must be SQLite or PostgreSQL, not {self.url.get_backend_name()}; give another URL"
                )
            if not self._is_fixed:
                event.listen(self.engine, "connect", tune_sqlite if self.is_sqlite else tune_postgresql)
            self.patience = Patience(self.shown)
            self._open_schema()
        except StorageFault as error:
            raise StorageError(str(error)) from None
        except StorageError:
            raise
        except (sql.exc.SQLAlchemyError, ImportError, ValueError) as error:
            raise StorageError(_why_closed(url, error)) from None
        self._inode = _inode(self._file)
        self._thread = ThreadPoolExecutor(1, "prompt_search store")  # begins with the first call
        weakref.finalize(self, self.engine.dispose)  # a result's storage is open for as long as the result is there

    def _open_schema(self) -> None:
        """Make or check the tables, and leave no connection open where that is not possible."""
        try:
            self.patience.call(self._try_to_open)
        except BaseException:
            self.engine.dispose()
            raise

    def _try_to_open(self) -> None:
        """Make or check the tables; another process may have locked them, as it makes them."""
        try:
            schema.open_schema(self.engine, self.shown)
        except sql.exc.SQLAlchemyError as error:
            if diagnosis(error)[0] != "locked":
                raise
            raise fault(self.shown, "opened", error) from None

    @property
    def shown(self) -> str:
        """The URL as it may be shown: without its password."""
        return shown_url(self.url)

    def close(self) -> None:
        """End the thread and close all connections."""
        self._thread.shutdown()
        self.engine.dispose()

    def reopen(self) -> None:
        """Have what is read next read from the file: a connection to SQLite remembers what somebody has overwritten."""
        if self._file is not None:
            self.engine.dispose()

    def insert_missing(self, table: sql.Table) -> sql.Insert:
        """An insert that leaves out the rows whose key is there already."""
        insert: sql.Insert = self._insert(table).on_conflict_do_nothing()
        return insert

    def insert_or_update(
        self, table: sql.Table, *, added: Collection[str] = (), unless: str | None = None
    ) -> sql.Insert:
        """An insert that updates the rows whose key is there already.

        Args:
            table: the table.
            added: the columns whose new value is added to the old one; in all others it replaces the old one.
            unless: a column by whose value a row is known that was written already, and stays as it is.
        """
        insert = self._insert(table)
        new = insert.excluded
        others = {
            column.name: column + new[column.name] if column.name in added else new[column.name]
            for column in table.c
            if not column.primary_key
        }
        is_another = None if unless is None else table.c[unless] != new[unless]
        updating: sql.Insert = insert.on_conflict_do_update(
            index_elements=table.primary_key, set_=others, where=is_another
        )
        return updating

    def _insert(self, table: sql.Table) -> Any:
        """The insert of this backend, which can say what to do where the key is there already."""
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self.is_sqlite else postgresql).insert(table)

    def shrink(self) -> None:
        """Give the room of deleted rows back, where the database does not do that itself."""
        if self.is_sqlite:  # whose file stays as large as it is otherwise
            with self.connected(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")

    @contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """A transaction that writes.

        Raises:
            StorageFault: the database cannot be written, or its file is another one than was opened.
        """
        with self.telling("written"), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def connected(self, **options: Any) -> Iterator[sql.Connection]:
        """A connection that reads, with SQLAlchemy's options for its execution.

        Raises:
            StorageFault: the database cannot be read, or its file is another one than was opened.
        """
        with self.telling("read"), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """A context whose errors of the database are told in one line; ``what`` is "read" or "written".

        Raises:
            StorageFault: the database cannot be used, or its file is another one than was opened.
        """
        self._check_file()
        try:
            yield
        except Exception as error:
            cause = error if isinstance(error, sql.exc.SQLAlchemyError) else error.__cause__  # Optuna wraps them
            if not isinstance(cause, sql.exc.SQLAlchemyError):
                raise
            raise fault(self.shown, what, cause) from None

    def _check_file(self) -> None:
        """Refuse to go on with a file that has no name any more: nobody could open what is written there.

        Raises:
            StorageFault: the file was deleted or replaced.
        """
        if self._file is not None and _inode(self._file) != self._inode:
            raise StorageFault(
                f"storage {self.shown!r} was deleted or replaced while it was open, so that nothing can be stored "
                f"there; put the file back, or {BEGIN_ANEW}"
            )

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call something that waits for the database without stopping the event loop.

        A database in memory answers at once, and has one connection, which is used by one thread at a time.
        """
        if self.in_memory:
            return function(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *arguments))


def is_of_study(connection: sql.Connection, table: sql.Table, study: str) -> sql.ColumnElement[bool]:
    """The condition that a row is of a study.

    SQLite would find the rows by its index, in the order of their keys and so all over the file. Where the study has a
    good part of the rows it is quicker to read all of them, which an expression without an index makes SQLite do.
    """
    condition = table.c.study == study
    if connection.dialect.name != "sqlite":
        return condition
    counts = [sql.select(sql.func.count()).select_from(table).where(where) for where in (condition, sql.true())]
    own, all_rows = (connection.execute(count).scalar_one() for count in counts)
    return table.c.study.concat("") == study if all_rows < FULL_SCAN_RATIO * own else condition


def fetched(connection: sql.Connection, query: Any) -> Iterator[Sequence[Any]]:
    """The rows of a query, by chunks, as the driver gives them: making SQLAlchemy's rows would take as long again."""
    cursor = connection.execute(query).cursor
    assert cursor is not None  # it is a query
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield rows


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Stop garbage collection, which would search all records again and again while they are read and kept."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def storage_url(given: str | Path) -> str:
    """The SQLAlchemy URL of a storage that is given as one, or as the path of an SQLite file.

    A path is a ``Path``, or a text with a folder or an ending such as ``.db``. ``~`` is the user's folder. PostgreSQL
    is asked through psycopg unless another driver is named.

    Raises:
        StorageError: the URL names no file, or another one than it seems to.

    >>> storage_url("study.db"), storage_url("postgres://host/db")
    ('sqlite:///study.db', 'postgresql+psycopg://host/db')
    """
    text = str(given).strip()
    if isinstance(given, Path) or (_PATH.search(text) and not _URL.match(text)):
        if "?" in text:
            raise StorageError(f"storage {text!r} has a '?', which begins the settings of a URL; rename the file")
        return f"sqlite:///{Path(text).expanduser()}"
    for start in ("postgres://", "postgresql://"):
        if text.startswith(start):
            return f"postgresql+psycopg://{text.removeprefix(start)}"
    if not text.startswith("sqlite"):
        return text
    scheme, _, rest = text.partition(":")
    slashes = len(rest) - len(rest.lstrip("/"))
    path, question, query = rest[slashes:].partition("?")
    if slashes < 3 and path:
        meant = f"{scheme}:////{path}" if slashes == 1 else f"{scheme}:///{path}"
        raise StorageError(f"storage {text!r} names no file; write {meant}")
    if path.startswith("file:") and "uri=true" not in query.lower():
        own_address = f"{text}{'&' if question else '?'}uri=true"
        raise StorageError(
            f"storage {text!r} would be a file whose name begins with file:; write "
            f"{scheme}:///{path.removeprefix('file:')} or, for SQLite's own address, {own_address}"
        )
    if question and not path.startswith("file:") and _URI_SETTING.search(query):
        raise StorageError(
            f"storage {text!r} has settings that SQLite takes only of an address that begins with file:; write "
            f"{scheme}:///file:{path}?{query}&uri=true, or leave them out"
        )
    return f"{scheme}:///{Path(path).expanduser()}" if path.startswith("~") and slashes == 3 else text


_PATH = re.compile(r"[/\\]|\.(?:db|db3|sqlite|sqlite3)$")
_URI_SETTING = re.compile(r"(?:^|&)(?:mode|cache|vfs|immutable|nolock|psow)=")
_URL = re.compile(r"[a-z][a-z0-9+]*:/|[a-z]+//|(?:file|sqlite|postgres\w*):", re.IGNORECASE)


def _is_in_memory(url: sql.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _pooling(url: sql.URL) -> dict[str, Any]:
    """How connections are made and kept.

    A database in memory has one, which lives and dies with it; runs use a thread of their own. A connection to a server
    is tried before it is used again, as the server may have been started anew; one that went away without a word is
    noticed within half a minute.
    """
    if _is_in_memory(url):
        return {"poolclass": sql.StaticPool, "connect_args": {"check_same_thread": False}}
    if url.get_backend_name() == "sqlite":
        return {}
    noticing = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
    of_libpq = url.get_driver_name() in ("psycopg", "psycopg2")
    given = {name: value for name, value in noticing.items() if of_libpq and name not in url.query}
    return {"pool_pre_ping": True, "connect_args": given}


def shown_url(url: Any) -> str:
    """A storage URL as it may be shown: without its password."""
    try:
        made = make_url(url if isinstance(url, sql.URL) else storage_url(url))
    except (sql.exc.ArgumentError, ValueError):
        return "***" if re.search("@|pass", str(url)) else str(url)
    hidden = dict.fromkeys((name for name in made.query if "pass" in name), "hidden")
    return str(made.update_query_dict(hidden).render_as_string(hide_password=True))


def sqlite_file(url: str | Path) -> Path | None:
    """The file of an SQLite URL; None for another database, one in memory, and what is no URL."""
    try:
        made = make_url(storage_url(url))
    except (sql.exc.ArgumentError, ValueError):
        return None
    if made.get_backend_name() != "sqlite" or _is_in_memory(made):
        return None
    path = str(made.database)
    return None if path.startswith("file:") else Path(path)  # SQLite's own URLs say what is made and what is not


def _inode(path: Path | None) -> tuple[int, int] | None:
    """What stays the same as long as a path is the same file; None where there is none."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _is_fixed(path: Path) -> bool:
    """Whether a file is there that cannot be written, or beside which nothing can, as SQLite does to read it."""
    return path.exists() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _url_to_read(path: Path) -> sql.URL:
    """SQLite's own address of a file that is only read. Without a log beside it, of what is not in the file yet, nobody
    has it open, and SQLite needs no files there."""
    fixed = {} if Path(f"{path}-wal").exists() else {"immutable": "1"}
    settings = {"mode": "ro", "uri": "true", **fixed}
    return sql.URL.create("sqlite", database=path.resolve().as_uri(), query=settings)


def holds_studies(path: Path) -> bool:
    """Whether an SQLite file is a storage with a study in it; nothing is written."""
    fixed = "&immutable=1" if _is_fixed(path) and not Path(f"{path}-wal").exists() else ""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{fixed}", uri=True)) as connection:
            return connection.execute(f"SELECT 1 FROM {schema.studies.name} LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return False


def _why_closed(url: str, error: Exception) -> str:
    remedy = "give the path of a file such as study.db, or an SQLAlchemy URL such as sqlite:///study.db"
    if isinstance(error, ImportError):
        remedy = "install that package (PostgreSQL: pip install 'prompt_search[postgres]') or use sqlite:///study.db"
    elif "unable to open database file" in reason(error):
        remedy = "make its folder first, and check that it is writable"
    elif isinstance(error, sql.exc.DBAPIError):
        remedy = diagnosis(error)[1]
    return f"storage {shown_url(url)!r} cannot be opened: {reason(error)}; {remedy}"
