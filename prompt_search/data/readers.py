"""Readers of tables: DataFrames, and csv, tsv, json, jsonl and parquet files.

Whatever is wrong with a file is a `DataError` with the file and, where there is one, the line.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prompt_search.data.origin import Origin
from prompt_search.data.table import Table, check_names
from prompt_search.errors import DataError, MissingExtra

DELIMITERS = (",", ";", "\t", "|")
"""The characters between the fields of a csv file."""

_DECLARED = re.compile(r"\s*sep=([,;\t|])[^\S\n]*\n", re.IGNORECASE)
"""The line with which spreadsheets declare the delimiter."""

_INVISIBLE = " \t\r\n\u00a0\u200b\u200e\u200f\u2060\ufeff"
"""Characters around the name of a column that nobody sees."""


def read_file(path: Path) -> Table:
    """The table in a file, by the file's suffix.

    Raises:
        DataError: the suffix is unknown, or the file is missing, unreadable, empty, broken or not in UTF-8.
        MissingExtra: the file is parquet and pyarrow is not installed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"the suffix {path.suffix!r} is not known; use one of: {', '.join(sorted(_READERS))}", file=str(path)
        )
    return reader(path)


def read_frame(frame: Any, name: str) -> Table:
    """The table in a pandas DataFrame, or in anything with ``to_pandas``; ``name`` stands for the file in errors.

    Raises:
        DataError: it is neither, or a column has no name or a repeated one.
    """
    import pandas as pd

    table = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"a table must be a DataFrame or have to_pandas(), not {type(frame).__name__}; "
            "convert it, choose one split of it, or use Dataset.read for a file",
            file=name,
        )
    names = [str(column) for column in table.columns]
    check_names(names, file=name)
    values = [table.iloc[:, position].tolist() for position in range(len(names))]
    records = [dict(zip(names, record, strict=True)) for record in zip(*values, strict=True)]
    return Table(Origin(name), names, records)


def _read_parquet(path: Path) -> Table:
    _bytes(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise MissingExtra("reading parquet", package="pyarrow", extra="parquet") from error
    except Exception as error:  # pyarrow's own errors, which cannot be imported here, derive from several bases
        raise DataError(f"not a parquet file ({_one_line(error)}); write it again", file=str(path)) from error
    return read_frame(frame, str(path))


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError("the file does not exist; check the path", file=str(path)) from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror}); check the path", file=str(path)) from error
    if not content.strip():
        raise DataError("the file is empty; it needs at least one row", file=str(path))
    return content


def _text(path: Path) -> str:
    """The text of a file in UTF-8, without the byte order marks that begin it, or begin a line where files were
    joined."""
    content = _bytes(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError("the file is UTF-16; save it as UTF-8", file=str(path))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from the end of the byte order mark.
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        line = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"the byte 0x{content[start]:02x} is not UTF-8; save the file as UTF-8", file=str(path), line=line
        ) from None
    text = re.sub("(?m)^\ufeff+", "", text)
    if not text.strip():
        raise DataError("the file is empty; it needs at least one row", file=str(path))
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_csv(path: Path, delimiter: str = ",") -> Table:
    text = _text(path)
    delimiter = _delimiter(text, delimiter)
    declared = _DECLARED.match(text)
    if declared:
        text = text[declared.end() :]
    # The limit of 131,072 characters for a field is global; the reader itself has no option for it.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        (first, header), *records = _csv_records(text, delimiter, str(path), 2 if declared else 1)
    finally:
        csv.field_size_limit(limit)
    names = [name.strip(_INVISIBLE) for name in header]
    check_names(names, file=str(path), line=first)
    for line, record in records:
        if len(record) != len(names):
            raise DataError(
                f"the header has {len(names)} fields but this row has {len(record)}; "
                f"add the missing ones, or quote a field that contains {delimiter!r}",
                file=str(path),
                line=line,
            )
    columns = [_numbers([record[position] for _, record in records]) for position in range(len(names))]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return Table(Origin(str(path), [line for line, _ in records]), names, rows, text=True)


def _delimiter(text: str, delimiter: str) -> str:
    """The delimiter that the first line declares or shows: another than the usual one where that does not occur."""
    declared = _DECLARED.match(text)
    if declared:
        return declared[1]
    header = text.lstrip().split("\n", 1)[0]
    others = [other for other in DELIMITERS if other in header]
    return others[0] if delimiter not in header and len(others) == 1 else delimiter


def _read_tsv(path: Path) -> Table:
    return _read_csv(path, "\t")


def _csv_records(text: str, delimiter: str, file: str, line: int = 1) -> list[tuple[int, list[str]]]:
    """The header and the records that are not blank, each with the number of its first line; ``line`` is that of the
    text."""
    before = line - 1
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    records: list[tuple[int, list[str]]] = []
    try:
        for record in reader:
            if record:
                records.append((line, record))
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"not valid csv ({_one_line(error)}); close each quoted field, and double the quotes inside it",
            file=file,
            line=line,
        ) from None
    return records


def _lines(text: str) -> list[str]:
    """The lines with their ends. Text may hold other separators, such as U+2028, so only newlines end a line."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return [line + "\n" for line in text.split("\n")]


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


def _read_jsonl(path: Path) -> Table:
    records = []
    lines = []
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if line == 1 and re.match(r"\s*\[\s*(?:\{|$)", text):
            raise DataError("this is a JSON list, not an object per line; name the file .json", file=str(path), line=1)
        if text.strip():
            records.append(_object(_json(text, str(path), line), str(path), line))
            lines.append(line)
    return _json_table(str(path), records, lines)


def _read_json(path: Path) -> Table:
    text = _text(path)
    if re.match(r"\s*\{.*\}\s*\n\s*\{", text):
        raise DataError("this is an object per line, not a JSON list; name the file .jsonl", file=str(path))
    items = _json(text, str(path), 1)
    if not isinstance(items, list):
        raise DataError(
            f"a json file must hold a list of objects, not {_kind(items)}; wrap it in [ ] or use jsonl",
            file=str(path),
        )
    lines = _item_lines(text, len(items))
    records = [_object(item, str(path), line) for item, line in zip(items, lines, strict=True)]
    return _json_table(str(path), records, lines)


def _item_lines(text: str, count: int) -> list[int]:
    """The numbers of the lines on which the ``count`` items of a valid JSON list start."""
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    line = 1 + text.count("\n", 0, position)
    lines = []
    for _ in range(count):
        start = position
        while text[position].isspace() or text[position] == ",":
            position += 1
        line += text.count("\n", start, position)
        lines.append(line)
        end = decoder.raw_decode(text, position)[1]
        line += text.count("\n", position, end)
        position = end
    return lines


def _json_table(file: str, records: list[dict[str, Any]], lines: list[int]) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    if not records:
        raise DataError("there are no rows; at least one is needed", file=file)
    check_names(names, file=file)
    return Table(Origin(file, lines), names, records)


def _json(text: str, file: str, line: int) -> Any:
    """The JSON value in a text that starts on this line of the file."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise DataError(
            f"not valid JSON ({error.msg} at column {error.colno}); correct it",
            file=file,
            line=line + error.lineno - 1,
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON ({_one_line(error)}); correct it", file=file, line=line) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return values


def _object(value: Any, file: str, line: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"a row must be a JSON object, not {_kind(value)}; write {{...}}", file=file, line=line)
    return value


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
    ".tsv": _read_tsv,
}
