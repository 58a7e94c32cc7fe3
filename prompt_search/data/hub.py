"""Data sets of the Hugging Face Hub, by addresses that begin with ``hf://``."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from prompt_search.data.readers import SUFFIXES, read_file, read_frame
from prompt_search.data.table import Table
from prompt_search.errors import DataError, MissingExtra

_ADDRESS: Final = re.compile(
    r"hf:/{1,2}(?:datasets/)?(?P<owner>[\w.-]+)/(?P<name>[\w.-]+(?:@[\w./-]+?)?)(?:/(?P<rest>.+))?"
)
FORMS: Final = "hf://datasets/OWNER/NAME/FILE.csv, hf://OWNER/NAME or hf://OWNER/NAME/SPLIT"


def is_hub(path: str | Path) -> bool:
    """Whether this is an address of the hub, which a `Path` writes with one slash less."""
    return str(path).startswith("hf:/")


def check_place(path: str | Path) -> None:
    """Check that this is no address of another place, which a `Path` writes with one slash less.

    Raises:
        DataError: it is one.
    """
    if re.match(r"[A-Za-z][\w+.-]+:/", str(path)):
        raise DataError(
            "addresses are read of the hub alone (hf://); download the file, or read it with pandas, as in "
            "ps.Dataset(pd.read_csv(ADDRESS), target=...)",
            file=re.sub(":/+", "://", str(path), count=1),
        )


def read_hub(address: str) -> Table:
    """The table in a file of a data set, or in one of its splits.

    Raises:
        DataError: the address has another form, or names nothing that can be read.
        MissingExtra: the package that reads it is not installed.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise DataError(f"an address of the hub is {FORMS}; correct it", file=address)
    repository, rest = f"{found['owner']}/{found['name']}", found["rest"]
    if rest and Path(rest).suffix.lower() in SUFFIXES:
        return _read_file(f"hf://datasets/{repository}/{rest}", address)
    return _read_split(repository, rest, address)


def _read_file(url: str, address: str) -> Table:
    try:
        import fsspec

        with fsspec.open(url, "rb") as stream:
            content: bytes = stream.read()
    except ImportError:
        raise MissingExtra(f"reading {address}", package="huggingface_hub", extra="hub") from None
    except Exception as error:  # those of the hub, of the connection and of files have no base in common
        raise DataError(f"the hub did not give the file: {_reason(error)}; check the address", file=address) from error
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"copy{Path(url).suffix.lower()}"
        copy.write_bytes(content)
        try:
            table = read_file(copy)
        except DataError as error:
            where = f"{error.file}{f' line {error.line}' if error.line else ''}: "
            raise DataError(str(error).removeprefix(where), file=address, line=error.line) from None
    return replace(table, origin=replace(table.origin, file=address))


def _read_split(repository: str, split: str | None, address: str) -> Table:
    try:
        import datasets
    except ImportError:
        raise MissingExtra(f"reading {address}", package="datasets", extra="datasets") from None
    name, _, revision = repository.partition("@")
    try:
        loaded = datasets.load_dataset(name, revision=revision or None)
    except Exception as error:  # as above
        raise DataError(
            f"the hub did not give the data set: {_reason(error)}; check the address", file=address
        ) from error
    splits = list(loaded)
    chosen = splits[0] if split is None and len(splits) == 1 else split
    if chosen not in splits:
        raise DataError(
            f"the data set has the splits {', '.join(map(str, splits))}; give one, such as hf://{repository}/{splits[0]}",
            file=address,
        )
    return read_frame(_named_classes(loaded[chosen]), address)


def _named_classes(split: Any) -> Any:
    """A split as a DataFrame, with the names of classes in place of their numbers; -1 stands for no class."""
    frame = split.to_pandas()
    for column, feature in split.features.items():
        names = getattr(feature, "names", None)
        if names is not None:
            numbers = frame[column].tolist()
            frame[column] = [names[int(number)] if number == number and number >= 0 else None for number in numbers]
    return frame


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
