"""Readers of csv and tsv files."""

from __future__ import annotations

import csv
import math
import re
import sys
from pathlib import Path
from typing import Any, Final

from prompt_search.data.origin import Origin
from prompt_search.data.table import Table, clean_names
from prompt_search.data.text_file import read_text
from prompt_search.errors import DataError, InputError

_DELIMITERS: Final = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
"""The delimiters that are found by the header, and how errors call them."""

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
"""The line before the header by which Excel is told the delimiter."""

_Records = list[tuple[int, list[str]]]


def read_csv(path: Path, sep: str | None = None, encoding: str | None = None) -> Table:
    """The table in a csv file.

    Args:
        path: the file.
        sep: what separates the columns; default: what the header shows.
        encoding: see `read_text`.

    Raises:
        DataError: the file is missing, empty or broken.
        InputError: ``sep`` is not one character, or the encoding is unknown.
    """
    return _read(path, ",", sep, encoding)


def read_tsv(path: Path, sep: str | None = None, encoding: str | None = None) -> Table:
    """The table in a tsv file; see `read_csv`."""
    return _read(path, "\t", sep, encoding)


def _read(path: Path, usual: str, sep: str | None, encoding: str | None) -> Table:
    if sep is not None and (len(sep) != 1 or sep in '"\r\n'):
        raise InputError(f"sep= is one character that separates columns, such as ';' or '|', not {sep!r}; correct it")
    text, file = read_text(path, encoding), str(path)
    # The limit of 131,072 characters for a field is global; the reader itself has no option for it.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        told = _SEPARATOR_LINE.match(text)
        lines = [line + "\n" for line in text.split("\n")]  # U+2028 and the like are text
        skipped = 1 if told else 0
        delimiter = sep or (told[1] if told else _delimiter(lines, usual, file))
        records = _records(lines[skipped:], delimiter, file, skipped)
    finally:
        csv.field_size_limit(limit)
    if not records:
        raise DataError("the file is empty; it needs at least one row", file=file)
    (first, header), *records = records
    _check_rows(header, records, delimiter, file)
    columns = [[record[position] for _, record in records] for position in range(len(header))]
    kept = [position for position, name in enumerate(header) if name.strip() or not records or any(columns[position])]
    names = clean_names([header[position] for position in kept], file=file, line=first)
    values = [_numbers(columns[position]) for position in kept]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return Table(Origin(file, [line for line, _ in records]), names, rows, text=True)


def _delimiter(lines: list[str], usual: str, file: str) -> str:
    """The file's usual delimiter, or where the header has none of it, the only other one that it has.

    Raises:
        DataError: the header has several others.
    """
    names = {delimiter: len(_header(lines, delimiter)) for delimiter in _DELIMITERS}
    others = [delimiter for delimiter in _DELIMITERS if delimiter != usual and names[delimiter] > 1]
    if names[usual] > 1 or not others:
        return usual
    if len(others) > 1:
        several = " and ".join(_DELIMITERS[other] for other in others)
        raise DataError(
            f"the columns are not separated by {_DELIMITERS[usual]}, and the header has {several}; write the file with "
            f"{_DELIMITERS[usual]}",
            file=file,
            line=1,
        )
    return others[0]


def _header(lines: list[str], delimiter: str) -> list[str]:
    try:
        return next(filter(None, csv.reader(lines, delimiter=delimiter, strict=True)), [])
    except csv.Error:  # of another delimiter, or told of the file's own when all is read
        return []


def _records(lines: list[str], delimiter: str, file: str, skipped: int) -> _Records:
    """The header and the records that are not blank, each with the number of its first line."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    records: _Records = []
    line = 1
    try:
        for record in reader:
            # An empty cell in quotes is written on purpose, unlike a blank line or ",,".
            if any(record) or any('"' in written for written in lines[line - 1 : reader.line_num]):
                records.append((skipped + line, record))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"not valid csv ({' '.join(str(error).split())}); close each quoted field, and double the quotes inside it",
            file=file,
            line=skipped + line,
        ) from None
    return records


def _check_rows(header: list[str], records: _Records, delimiter: str, file: str) -> None:
    """Refuse rows that have not the header's number of fields, and a header that comes again."""
    for line, record in records:
        if record == header and len(header) > 1:
            raise DataError("this row is the header again, as where files were joined; delete it", file=file, line=line)
        if len(record) != len(header):
            spaced = any(field.startswith(' "') for field in record)
            cure = "remove the space before a quote" if spaced else f"quote a field that contains {delimiter!r}"
            raise DataError(
                f"the header has {len(header)} fields but this row has {len(record)}; add the missing ones, or {cure}",
                file=file,
                line=line,
            )


def _numbers(values: list[str]) -> list[Any]:
    """The values as numbers if each of them, written back, is the same text; else the values as they are.

    >>> _numbers(["1", "2.5"]), _numbers(["007", "1"]), _numbers(["1", ""])
    ([1, 2.5], ['007', '1'], ['1', ''])
    """
    numbers = []
    for value in values:
        number = _number(value)
        if number is None:
            return list(values)
        numbers.append(number)
    return numbers


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and math.isfinite(number):
            return number
    return None
