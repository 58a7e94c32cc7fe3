"""Readers of tables: DataFrames, and csv, tsv, json, jsonl and parquet files.

Whatever is wrong with a file is a `DataError` with the file and, where there is one, the line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from prompt_search.data.delimited import read_csv, read_tsv
from prompt_search.data.json_rows import read_json, read_jsonl
from prompt_search.data.origin import Origin
from prompt_search.data.table import Table, clean_names
from prompt_search.data.text_file import read_bytes
from prompt_search.errors import DataError, InputError, MissingExtra

if TYPE_CHECKING:
    import pandas as pd


class HasToPandas(Protocol):
    """A table of another library, such as a Hugging Face or polars one."""

    def to_pandas(self) -> Any:
        """The table as a DataFrame."""


AnyTable: TypeAlias = "pd.DataFrame | HasToPandas | Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]"
"""What holds rows: a DataFrame, anything with ``to_pandas``, a list of dicts (rows) or a dict of lists (columns)."""


def read_file(path: Path, *, sep: str | None = None, encoding: str | None = None) -> Table:
    """The table in a file, by the file's suffix.

    Args:
        path: the file.
        sep: what separates the columns of a csv or tsv file.
        encoding: the encoding of a text file.

    Raises:
        DataError: the suffix is unknown, or the file is missing, unreadable, empty, broken or not in Unicode.
        InputError: a setting is wrong, or is none of this kind of file.
        MissingExtra: the file is parquet and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in _DELIMITED:
        return _DELIMITED[suffix](path, sep, encoding)
    if sep is not None:
        raise InputError(f"{path}: sep= is for csv and tsv files, not for {suffix or 'this file'}; leave it out")
    if suffix in _JSON:
        return _JSON[suffix](path, encoding)
    if suffix != ".parquet":
        known = ", ".join(sorted([*_DELIMITED, *_JSON, ".parquet"]))
        wrong = "this is a folder" if path.is_dir() else f"the suffix {path.suffix!r} is not known"
        raise DataError(f"{wrong}; use one of: {known}", file=str(path))
    if encoding is not None:
        raise InputError(f"{path}: encoding= is for text files, not for .parquet; leave it out")
    return _read_parquet(path)


def read_table(table: AnyTable, name: str) -> Table:
    """The table in a DataFrame, in anything with ``to_pandas``, in a list of dicts (rows) or in a dict of lists
    (columns); ``name`` stands for the file in errors.

    Raises:
        DataError: it is none of these, or a column has no name or a repeated one.
    """
    given: Any = table
    if isinstance(given, (list, tuple)) and given and all(isinstance(row, Mapping) for row in given):
        return _from_records(given, name)
    if isinstance(given, Mapping) and given and all(isinstance(values, (list, tuple)) for values in given.values()):
        lengths = {str(column): len(values) for column, values in given.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{column} {length}" for column, length in lengths.items())
            raise DataError(f"the columns of a table have one length, not {told}; correct them", file=name)
        return _from_records([dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)], name)
    return read_frame(given, name)


def _from_records(records: Sequence[Mapping[Any, Any]], name: str) -> Table:
    names = list(dict.fromkeys(str(column) for record in records for column in record))
    cleaned = dict(zip(names, clean_names(names, file=name), strict=True))
    rows = [{cleaned[str(column)]: value for column, value in record.items()} for record in records]
    return Table(Origin(name), list(cleaned.values()), rows)


def read_frame(frame: Any, name: str) -> Table:
    """The table in a pandas DataFrame, or in anything with ``to_pandas``; ``name`` stands for the file in errors.

    Raises:
        DataError: it is neither, or a column has no name or a repeated one.
    """
    import pandas as pd

    table = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"a table must be a DataFrame, a list of dicts, a dict of lists, or have to_pandas(), not "
            f"{type(frame).__name__}; {_cure(frame)}",
            file=name,
        )
    names = clean_names([str(column) for column in table.columns], file=name)
    values = [table.iloc[:, position].tolist() for position in range(len(names))]
    records = [dict(zip(names, record, strict=True)) for record in zip(*values, strict=True)]
    return Table(Origin(name), names, records)


def _cure(frame: Any) -> str:
    """What to do with something that is no table."""
    if isinstance(frame, (str, Path)):
        return "read a file with Dataset.read"
    if isinstance(frame, Mapping) and any(hasattr(part, "to_pandas") for part in frame.values()):
        return f"choose one split of it, such as [{next(iter(frame))!r}]"
    if isinstance(frame, (list, tuple)) and frame:
        return f"make each row a dict of its columns, not {type(frame[0]).__name__}"
    if isinstance(frame, Iterator):
        return "make it a list first: list(...)"
    return "convert it, choose one split of it, or use Dataset.read for a file"


def _read_parquet(path: Path) -> Table:
    read_bytes(path)
    import pandas as pd

    try:
        return read_frame(pd.read_parquet(path), str(path))
    except DataError:
        raise
    except ImportError as error:
        raise MissingExtra("reading parquet", package="pyarrow", extra="parquet") from error
    except Exception as error:  # pyarrow's own errors, which cannot be imported here, derive from several bases
        reason = " ".join(str(error).split())
        raise DataError(f"not a parquet file ({reason}); write it again", file=str(path)) from error


_DELIMITED: dict[str, Callable[[Path, str | None, str | None], Table]] = {".csv": read_csv, ".tsv": read_tsv}
_JSON: dict[str, Callable[[Path, str | None], Table]] = {
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
}

SUFFIXES = frozenset((*_DELIMITED, *_JSON, ".parquet"))
"""The suffixes of files that are read."""
