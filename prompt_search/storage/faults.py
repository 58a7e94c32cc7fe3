"""What goes wrong with a database: named in one line with what to do, and waited for where it may pass by itself."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sql

from prompt_search.errors import RunError

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_WAIT_S = 30.0
"""Seconds that a run waits for a database that is locked or away; a lease lasts longer."""

TOLD_AFTER_S = 3.0
"""Seconds of waiting after which a line says so; SQLite and PostgreSQL wait for a lock so long at a time."""

IDLE_S = 20.0
"""Seconds after which PostgreSQL ends a transaction in which nothing happens: a process that is stopped amid one holds
locks, and another one should be able to take its study over when its lease is over."""

RETRY_S = 0.5
"""Seconds between two attempts."""

BEGIN_ANEW = (
    "restore the storage from a copy, or name another one (--storage): a study that begins anew pays for every request "
    "again"
)
"""What to do where stored responses are gone."""

AWAY = "start the database or restore the connection, then run the same line again, which goes on where it was stored"
_RESUMES = "then run the same line again, which goes on where it was stored"

_OF_SQLITE = {
    5: ("locked", f"end the program that holds the lock, {_RESUMES}"),
    6: ("locked", f"end the program that holds the lock, {_RESUMES}"),
    8: ("kept", f"make the file and its folder writable, {_RESUMES}"),
    10: ("kept", f"see that the disk works and can be written, {_RESUMES}"),
    11: ("lost", BEGIN_ANEW),
    13: ("kept", f"free disk space, {_RESUMES}"),
    14: ("kept", f"see that its folder is there and can be written, {_RESUMES}"),
    26: ("lost", BEGIN_ANEW),
}
"""By SQLite's primary result code what a fault is, and what to do."""

_OF_POSTGRESQL = {
    "08": ("away", AWAY),
    "25006": ("kept", f"make the database writable, {_RESUMES}"),
    "3D000": ("lost", BEGIN_ANEW),
    "3F000": ("lost", BEGIN_ANEW),
    "40": ("locked", AWAY),
    "42P01": ("lost", BEGIN_ANEW),
    "42703": ("lost", BEGIN_ANEW),
    "53100": ("kept", f"free disk space, {_RESUMES}"),
    "53300": ("away", AWAY),
    "55P03": ("locked", f"end the session that holds the lock, {_RESUMES}"),
    "57P": ("away", AWAY),
    "XX": ("lost", BEGIN_ANEW),
}
"""By the beginning of PostgreSQL's error code what a fault is, and what to do."""

_log = logging.getLogger("prompt_search")


class StorageFault(RunError):
    """A storage cannot be read or written; the message says whether the same line goes on.

    Attributes:
        why: what the database says.
        passes: whether it may come back by itself: it is locked, or its server is not there at the moment.
    """

    def __init__(self, message: str, *, why: str = "", passes: bool = False) -> None:
        super().__init__(message)
        self.why = why
        self.passes = passes


def fault(shown: str, what: str, error: sql.exc.SQLAlchemyError) -> StorageFault:
    """The error of a database as one line.

    Args:
        shown: the storage as it may be shown.
        what: "read", "written" or "opened".
        error: what SQLAlchemy raised.
    """
    kind, remedy = diagnosis(error)
    why = reason(error)
    passes = kind in ("locked", "away")
    return StorageFault(f"storage {shown!r} cannot be {what}: {why}; {remedy}", why=why, passes=passes)


def diagnosis(error: Exception) -> tuple[str, str]:
    """What an error says of the storage, and what to do: "locked", "away", "lost" or "kept"."""
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlite_errorcode", None)
    text = reason(error)
    if "no such table" in text or "does not exist" in text:  # a database that is gone has no error code in psycopg
        return "lost", BEGIN_ANEW
    if code is not None:
        return _OF_SQLITE.get(code & 0xFF, ("kept", f"put that right, {_RESUMES}"))
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    if state:
        found = next((what for start, what in _OF_POSTGRESQL.items() if state.startswith(start)), None)
        return found or ("kept", f"put that right, {_RESUMES}")
    if isinstance(error, (sql.exc.OperationalError, sql.exc.InterfaceError)) and "authentication" not in text:
        return "away", AWAY  # no connection, or one that was cut
    return "kept", f"put that right, {_RESUMES}"


def reason(error: Exception) -> str:
    """What the driver says, on one line; of a server's error without the statement."""
    original = getattr(error, "orig", None) or error
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    return " ".join(str(primary or original).split())


class Patience:
    """Waits for a database that is locked or away, and says so.

    A run has several threads that wait. Once one has waited in vain none waits any more, so that the run ends.

    Args:
        shown: the storage as it may be shown.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        self._told = False
        self._gave_up: tuple[float, StorageFault] | None = None

    def call(self, function: Callable[[], T]) -> T:
        """The value of a function, which is called again while its database is away.

        Raises:
            StorageFault: it stays away, or something else is wrong with it.
        """
        began, waits = time.monotonic(), False
        while True:
            if self._gave_up is not None and time.monotonic() < self._gave_up[0] + LONGEST_WAIT_S:
                raise self._gave_up[1]
            try:
                value = function()
            except StorageFault as error:
                if not error.passes:
                    raise
                waited = time.monotonic() - began
                if waited >= LONGEST_WAIT_S:
                    message = str(error).replace(error.why, f"{error.why} (waited for {waited:.0f} s)")
                    self._gave_up = time.monotonic(), StorageFault(message)
                    raise self._gave_up[1] from None
                if waited >= TOLD_AFTER_S:
                    waits = True
                    self._tell(error)
                time.sleep(RETRY_S)
            else:
                if waits:
                    self._tell(None)
                return value

    def _tell(self, error: StorageFault | None) -> None:
        """Say once that the storage is waited for, and once that it is there again; many threads may wait."""
        with self._lock:
            if self._told == (error is not None):
                return
            self._told = error is not None
        if error is None:
            _log.warning("storage %r is there again", self._shown)
        else:
            _log.warning("storage %r: %s; waiting for it, up to %g s", self._shown, error.why, LONGEST_WAIT_S)


def patient(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method of a part of a storage, called again while the database is locked or away.

    It is one transaction, so that it has had no effect when it failed; or has the same effect when it is repeated, as a
    connection may be lost when the transaction has just been committed.
    """

    @functools.wraps(method)
    def called(self: Any, /, *arguments: P.args, **named: P.kwargs) -> T:
        patience: Patience = self._database.patience
        return patience.call(lambda: method(self, *arguments, **named))

    return called


def tune_sqlite(connection: Any, _: Any) -> None:
    """Settings of a new connection to SQLite."""
    # Write-ahead logging lets others (a notebook, the dashboard) read while a study writes.
    for pragma in (f"busy_timeout={TOLD_AFTER_S * 1000:.0f}", "journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def tune_postgresql(connection: Any, _: Any) -> None:
    """Settings of a new connection to PostgreSQL."""
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = {TOLD_AFTER_S * 1000:.0f}")
    cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_S * 1000:.0f}")
    connection.commit()
