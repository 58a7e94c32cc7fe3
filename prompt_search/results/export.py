"""Tables as files (csv, json, jsonl, parquet, Markdown) and as Markdown text."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prompt_search._files import write_by_suffix
from prompt_search._names import TABLE_SUFFIXES
from prompt_search.errors import MissingExtra
from prompt_search.results.frames import answer_text, series
from prompt_search.results.view import markdown_text


def write_frame(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as ``.csv``, ``.json`` (a list of objects), ``.jsonl`` (an object a line), ``.parquet`` or ``.md``.

    Answers and targets that are not text are written as JSON in csv, parquet and Markdown. An index without a name is
    left out. Texts stand in Markdown as people read them, with control characters as visible escapes; in the other
    files, which programs read, they are what came.

    Raises:
        InputError: another suffix, or the file cannot be written.
        MissingExtra: parquet without pyarrow.
    """
    whole = with_index(frame)
    writers: list[Callable[[pd.DataFrame], bytes]] = [_csv, _json, _jsonl, _markdown, _parquet]
    by_suffix = {suffix: partial(writer, whole) for suffix, writer in zip(TABLE_SUFFIXES, writers, strict=True)}
    return write_by_suffix(path, by_suffix, "table")


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """A table with its named index as columns. An index that has the name of a column is renamed, because the columns
    of a confusion table are the labels, and a label may be ``target``."""
    if all(name is None for name in frame.index.names):
        return frame
    taken = set(map(str, frame.columns))
    names = [f"{name} (index)" if name in taken else name for name in frame.index.names]
    return frame.reset_index(names=names)


def markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """A table in GitHub's Markdown. Each text is one line that neither ends a cell nor begins a tag."""

    def cell(value: Any) -> str:
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return ""
        value = value.item() if isinstance(value, np.generic) else value
        return f"{value:.{digits}f}" if isinstance(value, float) else markdown_text(answer_text(value))

    frame = with_index(frame)
    head = [cell(str(name)) for name in frame.columns]
    rule = ["---:" if pd.api.types.is_numeric_dtype(frame[name]) else "---" for name in frame.columns]
    body = [[cell(value) for value in values] for values in frame.itertuples(index=False, name=None)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body]) + "\n"


def _markdown(frame: pd.DataFrame) -> bytes:
    return markdown(frame).encode("utf-8", "backslashreplace")


def _csv(frame: pd.DataFrame) -> bytes:
    """The table as csv. Where a text has a carriage return, all texts are quoted: readers take one outside of quotes as
    the end of a row, and Python before 3.13 does not quote it by itself."""
    flat = _flat(frame)
    content = flat.to_csv(index=False, lineterminator="\n")
    if "\r" in content:
        content = flat.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return content.encode("utf-8", "backslashreplace")


def _json(frame: pd.DataFrame) -> bytes:
    return ("[" + ",".join(f"\n{line}" for line in _objects(frame)) + "\n]\n").encode("utf-8", "backslashreplace")


def _jsonl(frame: pd.DataFrame) -> bytes:
    return "".join(f"{line}\n" for line in _objects(frame)).encode("utf-8", "backslashreplace")


def _objects(frame: pd.DataFrame) -> Iterator[str]:
    """Each row as a JSON object."""

    def plain(value: Any) -> Any:
        if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            return None
        return value.item() if isinstance(value, np.generic) else value

    names = [str(name) for name in frame.columns]
    for values in frame.itertuples(index=False, name=None):
        yield json.dumps(dict(zip(names, map(plain, values), strict=True)), ensure_ascii=False, default=str)


def _parquet(frame: pd.DataFrame) -> bytes:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra("parquet", package="pyarrow", extra="parquet") from None
    flat = _flat(frame)
    flat.columns = flat.columns.astype(str)
    return bytes(flat.to_parquet(index=False))


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns of objects hold texts or None, and no character that UTF-8 cannot encode."""

    def text(value: Any) -> str | None:
        return None if value is None else answer_text(value).encode("utf-8", "backslashreplace").decode("utf-8")

    objects = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: series([text(value) for value in frame[name]]) for name in objects})
