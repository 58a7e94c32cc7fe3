"""Readers of tables: DataFrames, and csv, tsv, json, jsonl and parquet files.

Whatever is wrong with a file is a `DataError` with the file and, where there is one, the line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prompt_search.data.delimited import read_csv, read_tsv
from prompt_search.data.json_rows import read_json, read_jsonl
from prompt_search.data.origin import Origin
from prompt_search.data.table import Table, clean_names
from prompt_search.data.text_file import read_bytes
from prompt_search.errors import DataError, MissingExtra


def read_file(path: Path) -> Table:
    """The table in a file, by the file's suffix.

    Raises:
        DataError: the suffix is unknown, or the file is missing, unreadable, empty, broken or not in Unicode.
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
    names = clean_names([str(column) for column in table.columns], file=name)
    values = [table.iloc[:, position].tolist() for position in range(len(names))]
    records = [dict(zip(names, record, strict=True)) for record in zip(*values, strict=True)]
    return Table(Origin(name), names, records)


def _read_parquet(path: Path) -> Table:
    read_bytes(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise MissingExtra("reading parquet", package="pyarrow", extra="parquet") from error
    except Exception as error:  # pyarrow's own errors, which cannot be imported here, derive from several bases
        reason = " ".join(str(error).split())
        raise DataError(f"not a parquet file ({reason}); write it again", file=str(path)) from error
    return read_frame(frame, str(path))


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": _read_parquet,
    ".tsv": read_tsv,
}

SUFFIXES = frozenset(_READERS)
"""The suffixes of files that are read."""
