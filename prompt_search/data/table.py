"""A table as a reader delivers it, and the labelled rows that are made of it."""

from __future__ import annotations

import math
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from prompt_search._names import HALF_CHARACTER, has_half_character
from prompt_search.data.origin import Origin
from prompt_search.data.rows import Row, listed
from prompt_search.data.splits import is_categorical
from prompt_search.errors import DataError, InputError

_AROUND_NAMES: Final = string.whitespace + "\u00a0\u200b\u2060\ufeff"
"""What is left out at both ends of a column's name: it comes from spreadsheets and joined files, and nobody sees it."""

_INVISIBLE: Final = frozenset("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
"""Characters that make two labels differ although they look the same."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of raw values.

    Attributes:
        origin: where its rows come from.
        names: names of its columns, in order.
        records: one dict per row, column name to raw value; a missing column counts as None.
        text: whether the source holds nothing but text, as csv and tsv files do.
    """

    origin: Origin
    names: list[str]
    records: list[dict[str, Any]]
    text: bool = False

    def first(self, rows: int) -> Table:
        """The table with its first rows alone.

        Raises:
            InputError: the number of rows is below 1.
        """
        if rows < 1:
            raise InputError(f"the number of rows must be at least 1, not {rows}; give 1 or more")
        return replace(self, records=self.records[:rows])


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """The rows of a data set.

    Attributes:
        fields: names of the columns other than the target and the split column, in the order of the source.
        rows: the rows, each with its target.
        sides: ``"search"`` or ``"test"`` for each row; empty without a split column.
    """

    fields: list[str]
    rows: tuple[Row, ...]
    sides: tuple[str, ...]


def clean_names(names: Sequence[str], *, file: str, line: int | None = None) -> list[str]:
    """The names of a table's columns, without the white space and byte order marks around them.

    Raises:
        DataError: a column has no name, or two have the same.
    """
    cleaned = [name.strip(_AROUND_NAMES) for name in names]
    for position, name in enumerate(cleaned):
        if not name:
            raise DataError(
                f"column {position + 1} has no name; name it, or save the table without its index",
                file=file,
                line=line,
            )
        if name in cleaned[:position]:
            raise DataError(f"the column {name!r} appears twice; rename one", file=file, line=line)
    return cleaned


def labelled_rows(table: Table, *, target: str, columns: Mapping[str, str], split: str | None) -> LabelledRows:
    """Rename the columns of a table, check its values and make them plain Python values.

    Args:
        table: the table, with raw values.
        target: name of the target column, after renaming.
        columns: field name to source column; columns that are not mentioned keep their names.
        split: name of the column that holds ``search`` or ``test``, after renaming; None without one.

    Raises:
        DataError: as `Dataset`.
    """
    origin = table.origin
    sources = _renamed(table, columns)
    _check_roles(sources, target=target, split=split, origin=origin)
    fields = [field for field in sources if field not in (target, split)]
    if not fields:
        raise origin.error("there is no column besides the target; a prompt needs at least one field")
    if not table.records:
        raise origin.error("there are no rows; at least one is needed")
    cells = []
    sides = []
    for index, record in enumerate(table.records):
        values = {name: plain_cell(record.get(sources[name]), index, name, origin) for name in [*fields, target]}
        if _is_missing(values[target]):
            raise origin.row_error(index, f"the target {target!r} is empty; fill it or drop the row")
        cells.append(values)
        if split is not None:
            sides.append(_side(record.get(sources[split]), index, split, origin))
    _check_targets([values[target] for values in cells], target, origin)
    if not table.text:
        _make_whole(cells, target)
    return LabelledRows(fields, tuple(Row(values, target=target) for values in cells), tuple(sides))


def _renamed(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Field name to source column, in the order of the source."""
    columns = {field: source.strip(_AROUND_NAMES) for field, source in columns.items()}
    for field, source in columns.items():
        if source not in table.names:
            raise table.origin.error(
                f"columns= takes the field {field!r} from the column {source!r}, which is not there; "
                f"there are: {listed(table.names)}"
            )
    names: dict[str, str] = {}
    for source in table.names:
        for field in [field for field, wanted in columns.items() if wanted == source] or [source]:
            if field in names:
                raise table.origin.error(
                    f"two columns are called {field!r} after renaming; name the other one in columns= too"
                )
            names[field] = source
    return names


def _check_roles(sources: Mapping[str, str], *, target: str, split: str | None, origin: Origin) -> None:
    for role, column in (("target", target), ("split", split)):
        if column is not None and column not in sources:
            raise origin.error(f"there is no {role} column {column!r}; there are: {listed(sources)}")
    if split == target:
        raise origin.error(f"the column {target!r} cannot be both target and split; name two")


def plain_cell(value: Any, index: int, column: str, origin: Origin) -> Any:
    """A value of a table as plain Python.

    Raises:
        DataError: it cannot be written into a prompt; with its row and column.
    """
    try:
        return _plain(value)
    except ValueError as error:
        raise origin.row_error(index, f"the value of {column!r} {error}") from None


def _side(value: Any, index: int, column: str, origin: Origin) -> str:
    side = str(value).strip().casefold()
    if side not in ("search", "test"):
        raise origin.row_error(
            index, f"the split column {column!r} must hold 'search' or 'test', not {value!r}; correct it"
        )
    return side


def plain_value(value: Any) -> Any:
    """The value as plain Python; as text where a row could not hold it."""
    try:
        return _plain(value)
    except ValueError:
        return str(value)


def _is_missing(value: Any) -> bool:
    """Whether a target is empty."""
    return not value.strip() if isinstance(value, str) else value is None or value == [] or value == {}


def _make_whole(cells: Sequence[dict[str, Any]], target: str) -> None:
    """Make targets 1.0 and 0.0 the numbers 1 and 0 where all are whole: pandas makes such numbers of labels."""
    targets = [values[target] for values in cells]
    if all(type(value) in (int, float) and value == value // 1 for value in targets):
        for values in cells:
            values[target] = int(values[target])


def _check_targets(targets: Sequence[Any], target: str, origin: Origin) -> None:
    """Refuse two labels that look the same.

    Raises:
        DataError: with the row of the second one.
    """
    texts = [value for value in targets if isinstance(value, str)]
    if len(texts) < len(targets) or not is_categorical(
        [Row({target: _visible(text)}, target=target) for text in texts]
    ):
        return  # a space more or less in free text makes no class
    first: dict[str, tuple[int, str]] = {}
    for index, text in enumerate(texts):
        before, other = first.setdefault(_visible(text), (index, text))
        if other != text:
            raise origin.row_error(
                index,
                f"the target {target!r} is {text!a}, which looks like {other!a} ({origin.place(before)}); "
                "write both in the same way",
            )


def _visible(text: str) -> str:
    """A label as it looks: without invisible characters and with single spaces."""
    plain = unicodedata.normalize("NFC", "".join(character for character in text if character not in _INVISIBLE))
    return " ".join(plain.split())


MOST_BITS = 13_288
"""Largest size, in bits, of a whole number: Python writes none of more than 4,300 digits as text."""


def _plain(value: Any) -> Any:
    """The value as plain Python.

    Raises:
        ValueError: it cannot be; the message continues a sentence that begins with the column's name.
    """
    if hasattr(value, "tolist"):  # a NumPy or pandas scalar or array
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > MOST_BITS:
            raise ValueError("is a whole number of more than 4,000 digits; make it text")
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str):
        if has_half_character(value):
            raise ValueError(HALF_CHARACTER)
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(member) for name, member in value.items()}
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if type(value).__name__ == "Decimal":
        return float(value)
    raise ValueError(f"has the type {type(value).__name__}; make it text, a number, a truth value, a list or a dict")
