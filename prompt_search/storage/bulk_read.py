"""Reading many rows of one study quickly."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sql

ROWS_AT_ONCE = 2_000
"""Number of stored records that are held as text at a time."""

FULL_SCAN_RATIO = 4
"""SQLite reads the whole table unless it has at least so many times the study's rows."""


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
