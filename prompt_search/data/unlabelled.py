"""Rows that a prompt is asked about: they need no target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from prompt_search.data.dataset import Dataset
from prompt_search.data.hub import is_hub, read_hub
from prompt_search.data.origin import Origin
from prompt_search.data.readers import read_file, read_frame
from prompt_search.data.rows import Row
from prompt_search.data.table import Table, plain_cell
from prompt_search.errors import InputError

GIVEN: Final = "rows"
"""What stands for the file in errors about rows that come from memory."""


@dataclass(frozen=True, slots=True)
class UnlabelledRows:
    """Rows to ask about.

    Attributes:
        names: names of all columns, in order; a data set's target is among them.
        rows: the rows; those of a data set have a target, which no prompt sees.
        origin: where the rows come from, for error messages.
        index: the index of the DataFrame that they come from; None without one.
    """

    names: list[str]
    rows: tuple[Row, ...]
    origin: Origin
    index: Any = None

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The values of each column; None where a row has none."""
        return {name: [row[name] if name in row else None for row in self.rows] for name in self.names}  # noqa: SIM401

    def head(self, count: int | None) -> UnlabelledRows:
        """The first rows; None for all."""
        return self if count is None else replace(self, rows=self.rows[:count], index=None)

    def place(self, index: int) -> str:
        """The place of a row, given its number from 0: the file with the line, or the number again."""
        return f"{self.origin.file} {self.origin.place(index)}"


def rows_of(given: Any) -> UnlabelledRows:
    """The rows in a list of dictionaries, a DataFrame (or anything with ``to_pandas``), a `Dataset` or a file.

    Raises:
        DataError: a value that cannot be written into a prompt, or a broken file.
        InputError: anything else.
    """
    if isinstance(given, UnlabelledRows):
        return given
    if isinstance(given, Dataset):
        return UnlabelledRows([*given.fields, given.target], given.rows, Origin(given.name))
    if isinstance(given, (str, Path)):
        return _of_table(read_hub(str(given)) if is_hub(given) else read_file(Path(given)))
    if hasattr(given, "to_pandas") or type(given).__name__ == "DataFrame":
        return _of_table(read_frame(given, GIVEN), getattr(given, "index", None))
    if isinstance(given, (Mapping, Row)):
        raise InputError("ask_many takes several rows, got one; give a list of rows, or call ask(row)")
    if not isinstance(given, Iterable):
        raise InputError(
            "rows must be a list of dictionaries, a DataFrame, a Dataset or the path of a file, not "
            f"{type(given).__name__}; give one of them"
        )
    return _of_records([one_row(row, index) for index, row in enumerate(given)])


def one_row(given: Any, index: int = 0) -> Row:
    """The row in a dictionary of its fields; a row that has a target keeps it, and no prompt sees it.

    Raises:
        DataError: a value that cannot be written into a prompt.
        InputError: it is no dictionary.
    """
    if isinstance(given, Row):
        return given
    if not isinstance(given, Mapping):
        raise InputError(
            f"a row must be a dictionary of its fields, not {type(given).__name__}; give one such as "
            '{"text": "…"}, with the fields of the prompt'
        )
    origin = Origin(GIVEN)
    return Row({str(name): plain_cell(value, index, str(name), origin) for name, value in given.items()})


def _of_records(rows: Sequence[Row]) -> UnlabelledRows:
    names = dict.fromkeys(name for row in rows for name in row)
    return UnlabelledRows(list(names), tuple(rows), Origin(GIVEN))


def _of_table(table: Table, index: Any = None) -> UnlabelledRows:
    rows = tuple(
        Row({name: plain_cell(record.get(name), place, name, table.origin) for name in table.names})
        for place, record in enumerate(table.records)
    )
    return UnlabelledRows(table.names, rows, table.origin, index)
