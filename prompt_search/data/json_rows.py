"""Readers of json files (a list of objects) and jsonl files (an object a line)."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from prompt_search.data.origin import Origin
from prompt_search.data.table import Table, clean_names
from prompt_search.data.text_file import read_text
from prompt_search.errors import DataError

_LIST_OF_OBJECTS = re.compile(r"\s*\[\s*\{")
_LINES_OF_OBJECTS = re.compile(r"\s*\{.*\}[ \t\r]*,?[ \t\r]*\n\s*\{")


def read_json(path: Path, encoding: str | None = None) -> Table:
    """The table in a json file. One object a line, as in jsonl, is taken too.

    Raises:
        DataError: the file is missing, empty or broken.
    """
    text = read_text(path, encoding)
    return _from_lines(text, str(path)) if _LINES_OF_OBJECTS.match(text) else _from_list(text, str(path))


def read_jsonl(path: Path, encoding: str | None = None) -> Table:
    """The table in a jsonl file. A list of objects, as in json, is taken too; a comma may end a line.

    Raises:
        DataError: the file is missing, empty or broken.
    """
    text = read_text(path, encoding)
    return _from_list(text, str(path)) if _LIST_OF_OBJECTS.match(text) else _from_lines(text, str(path))


def _from_lines(text: str, file: str) -> Table:
    records, lines = [], []
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            records.append(_object(_json(content.rstrip().removesuffix(","), file, line), file, line))
            lines.append(line)
    return _table(file, records, lines)


def _from_list(text: str, file: str) -> Table:
    items = _json(text, file, 1)
    if not isinstance(items, list):
        raise DataError(
            f"a json file must hold a list of objects, not {_kind(items)}; wrap it in [ ] or use jsonl", file=file
        )
    lines = _item_lines(text, len(items))
    return _table(file, [_object(item, file, line) for item, line in zip(items, lines, strict=True)], lines)


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


def _table(file: str, records: list[dict[str, Any]], lines: list[int]) -> Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    if not records:
        raise DataError("there are no rows; at least one is needed", file=file)
    cleaned = dict(zip(names, clean_names(names, file=file), strict=True))
    rows = [{cleaned[name]: value for name, value in record.items()} for record in records]
    return Table(Origin(file, lines), list(cleaned.values()), rows)


def _json(text: str, file: str, line: int) -> Any:
    """The JSON value in a text that starts on this line of the file."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        cure = "write each object on one line" if text.strip() in ("{", "[") else "correct it"
        raise DataError(
            f"not valid JSON ({error.msg} at column {error.colno}); {cure}", file=file, line=line + error.lineno - 1
        ) from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"not valid JSON ({reason}); correct it", file=file, line=line) from None


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
