"""Labelled rows: read from a file or a table, checked before any request is made.

A ``Dataset`` holds ``Row`` objects of plain Python values, one column of which is the target. What a file
gets wrong is reported as a ``DataError`` with the file and the line.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_search import _html
from prompt_search.data.rows import Row, listed, references
from prompt_search.errors import DataError, InputError, MissingExtra

if TYPE_CHECKING:
    import pandas as pd

MINIMUM_ROWS = 4
"""Fewer rows than this cannot be split into search and test."""

MAXIMUM_CLASSES = 50
"""A target with more distinct values than this is not treated as a class when splitting."""


@dataclass(frozen=True, slots=True)
class Splits:
    """Row numbers, ascending, from 0: ``search`` to choose a prompt on, ``test`` kept sealed. Disjoint."""

    search: tuple[int, ...]
    test: tuple[int, ...]


class Dataset:
    """Labelled rows with a target column.

    ``frame`` is a pandas DataFrame, or anything with ``to_pandas`` (a Hugging Face or polars table).
    ``columns`` renames: template field to source column; the others keep their names. ``split`` names a
    column of ``search`` and ``test`` (taken out of the fields) that says which rows the search may see.
    ``target`` and ``split`` are names after renaming. Missing values become ``None``, NumPy scalars Python
    ones, dates ISO text.

    Raises ``DataError`` for no rows, a missing, unnamed or repeated column, an empty target, an unknown value
    in the split column, and a value that cannot be written into a prompt.

    >>> import pandas as pd
    >>> data = Dataset(pd.DataFrame({"Sentence": ["good", "bad"], "label": ["yes", "no"]}),
    ...                target="label", columns={"text": "Sentence"})
    >>> data
    Dataset('data', 2 rows, fields: text, target: label)
    >>> data.labels
    ['no', 'yes']
    """

    def __init__(
        self,
        frame: Any,
        *,
        target: str,
        columns: Mapping[str, str] | None = None,
        name: str = "data",
        split: str | None = None,
    ) -> None:
        self._fill(_from_frame(frame, name), target=target, columns=columns or {}, name=name, split=split)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        target: str,
        columns: Mapping[str, str] | None = None,
        split: str | None = None,
    ) -> Dataset:
        """Read csv, tsv, jsonl (ndjson), json (a list of objects) or parquet, in UTF-8 with or without BOM.

        Values of a csv or tsv file are text exactly as written, an empty cell is ``""``; a column becomes
        numbers only if every value written back is the same text (``7`` and ``1.5`` are, ``007`` and ``1.50``
        are not). The data set is named after the file. Errors as in ``Dataset``, with the line on which the
        row starts, and for a file that is missing, empty, broken, not UTF-8 or of an unknown kind.
        """
        path = Path(path)
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise DataError(
                f"the suffix {path.suffix!r} is not known; use one of: {', '.join(sorted(_READERS))}",
                file=str(path),
            )
        dataset = cls.__new__(cls)
        dataset._fill(reader(path), target=target, columns=columns or {}, name=path.stem, split=split)
        return dataset

    def _fill(self, table: _Table, *, target: str, columns: Mapping[str, str], name: str, split: str | None) -> None:
        self.name = name
        self.target = target
        self._file = table.file
        self._lines = table.lines
        self._split_column = split
        sources = _renamed(table, columns)
        for role, column in (("target", target), ("split", split)):
            if column is not None and column not in sources:
                raise DataError(f"there is no {role} column {column!r}; there are: {listed(sources)}", file=table.file)
        if split == target:
            raise DataError(f"the column {target!r} cannot be both target and split; name two", file=table.file)
        self.fields = [field for field in sources if field not in (target, split)]
        if not self.fields:
            raise DataError("there is no column but the target; a prompt needs at least one field", file=table.file)
        if not table.records:
            raise DataError("there are no rows; at least one is needed", file=table.file)
        rows = []
        sides = []
        for index, record in enumerate(table.records):
            values = {name: self._plain(record.get(sources[name]), index, name) for name in [*self.fields, target]}
            if _is_missing(values[target], text=table.text):
                raise self._error(index, f"the target {target!r} is empty; fill it or drop the row")
            rows.append(Row(values, target=target))
            if split is not None:
                sides.append(self._side(record.get(sources[split]), index))
        self.rows = tuple(rows)
        self._sides = tuple(sides)

    def _plain(self, value: Any, index: int, column: str) -> Any:
        try:
            return _plain(value)
        except ValueError as error:
            raise self._error(index, f"the value of {column!r} {error}") from None

    def _side(self, value: Any, index: int) -> str:
        side = str(value).strip().casefold()
        if side not in ("search", "test"):
            raise self._error(
                index,
                f"the split column {self._split_column!r} must say 'search' or 'test', not {value!r}; correct it",
            )
        return side

    def _error(self, index: int, message: str) -> DataError:
        if self._lines is None:
            return DataError(f"row {index} (the first is 0): {message}", file=self._file)
        return DataError(message, file=self._file, line=self._lines[index])

    def _place(self, index: int) -> str:
        return f"row {index}" if self._lines is None else f"line {self._lines[index]}"

    @property
    def labels(self) -> list[str]:
        """The distinct targets as text, sorted; of targets that are lists, their members."""
        return sorted({str(label) for row in self.rows for label in references(row.target)})

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, 64 hex digits: the rows in order, the name of the target, the user's split.

        Equal content has an equal fingerprint, whatever file it came from and in whatever order its columns.
        """
        digest = hashlib.sha256()
        for part in (self.target, list(self._sides), *(row._values for row in self.rows)):
            digest.update(json.dumps(part, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    def head(self, n: int) -> Dataset:
        """The first ``n`` rows, or all where there are fewer; ``InputError`` below 1."""
        if n < 1:
            raise InputError(f"a number of rows must be at least 1, not {n}; ask for one or more")
        first = copy.copy(self)
        first.rows = self.rows[:n]
        first._sides = self._sides[:n]
        return first

    def frame(self) -> pd.DataFrame:
        """A new DataFrame, one row per row: the fields, the target, and the split column if one was given."""
        import pandas as pd

        columns = {name: [row[name] for row in self.rows] for name in [*self.fields, self.target]}
        if self._split_column is not None:
            columns[self._split_column] = list(self._sides)
        return pd.DataFrame(columns)

    def splits(self, test: int | float | Sequence[int], seed: int) -> Splits:
        """Which rows the search may see and which are kept for the test.

        ``test`` is a number of rows, a fraction of them if it is a float, or the rows themselves by their numbers.
        Rows whose fields are equal but for case and white space always fall on one side, so the test can come out
        smaller than asked for, never larger. Classes are kept in proportion where the target `is_categorical`. The
        draw depends on ``seed`` and on the rows' content, not on their order. A split column given by the user is
        taken as it is, and ``test`` and ``seed`` are not used.

        Raises ``DataError`` for fewer than 4 rows, too few distinct rows, or (user's split, or a list of rows) a
        side without rows or one row on both sides; ``InputError`` for a ``test`` that leaves fewer than two to
        search on. A list without rows is no mistake: nothing is tested then.
        """
        if len(self.rows) < MINIMUM_ROWS:
            raise DataError(
                f"a search needs at least {MINIMUM_ROWS} rows, not {len(self.rows)}; add rows",
                file=self._file,
            )
        groups = self._groups()
        if self._sides:
            return self._given_splits(groups)
        if isinstance(test, Sequence):
            return self._listed_splits(groups, test)
        chosen = self._drawn(groups, self._test_rows(test), seed)
        if not chosen:
            raise DataError(
                f"no {self._test_rows(test)} of the {len(self.rows)} rows can be kept for the test, because "
                f"they repeat each other ({len(groups)} distinct); add rows or keep more",
                file=self._file,
            )
        search = tuple(index for index in range(len(self.rows)) if index not in chosen)
        return Splits(search, tuple(sorted(chosen)))

    def folds(self, count: int, seed: int) -> list[tuple[int, ...]]:
        """All rows in parts of nearly equal size, by row number.

        As for `splits`, rows that repeat each other are in one part, and classes are kept in proportion.

        Raises:
            DataError: fewer than 4 distinct rows, or fewer than ``count``; or the user's own split, which says which
                rows are for the test.
            InputError: fewer than two parts.
        """
        if self._sides:
            raise DataError(
                f"the split column {self._split_column!r} says which rows are for the test, so none can be tested in "
                "turn; call run, or read the data without it",
                file=self._file,
            )
        if count < 2:
            raise InputError(f"rows are tested in turn in at least 2 folds, not {count}")
        groups = self._groups()
        if len(groups) < max(count, MINIMUM_ROWS):
            raise DataError(
                f"{count} folds need at least {max(count, MINIMUM_ROWS)} distinct rows, not {len(groups)}; add rows",
                file=self._file,
            )
        folds: list[list[int]] = [[] for _ in range(count)]
        for stratum in self._strata(groups, seed).values():
            held = [0] * count
            for members in stratum:
                fold = min(range(count), key=lambda index: (held[index], len(folds[index]), index))
                folds[fold] += members
                held[fold] += len(members)
        return [tuple(sorted(fold)) for fold in folds]

    def _groups(self) -> dict[str, list[int]]:
        """Row numbers by content: rows that repeat each other together."""
        groups: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            groups.setdefault(_content(row.fields), []).append(index)
        return groups

    def _strata(self, groups: Mapping[str, list[int]], seed: int) -> dict[str, list[list[int]]]:
        """Groups in a random order, by class where the target `is_categorical`."""
        # Sorting by a hash of the content is a shuffle that is the same on every version of Python.
        shuffled = sorted(groups, key=lambda content: hashlib.sha256(f"{seed}\n{content}".encode()).digest())
        categorical = self.is_categorical
        strata: dict[str, list[list[int]]] = {}
        for content in shuffled:
            stratum = _normalised_text(self.rows[groups[content][0]].target) if categorical else ""
            strata.setdefault(stratum, []).append(groups[content])
        return strata

    def _test_rows(self, test: int | float) -> int:
        most = len(self.rows) - 2
        if isinstance(test, float):
            if not 0 < test < 1:
                raise InputError(f"a test fraction must lie between 0 and 1, not {test}; give one such as 0.3")
            return max(1, min(most, round(test * len(self.rows))))
        if not 1 <= test <= most:
            raise InputError(
                f"the test must take between 1 and {most} of the {len(self.rows)} rows, not {test}; "
                "give another number or a fraction such as 0.3"
            )
        return test

    def _given_splits(self, groups: dict[str, list[int]]) -> Splits:
        for members in groups.values():
            for index in members[1:]:
                if self._sides[index] != self._sides[members[0]]:
                    raise self._error(
                        index,
                        f"this row repeats {self._place(members[0])} but they are on different sides of the "
                        "split; put both on one side or drop one",
                    )
        search = tuple(index for index, side in enumerate(self._sides) if side == "search")
        test = tuple(index for index, side in enumerate(self._sides) if side == "test")
        if not search or not test:
            raise DataError(
                f"the split column {self._split_column!r} must put rows on both sides, not {len(search)} on "
                f"search and {len(test)} on test; change some",
                file=self._file,
            )
        return Splits(search, test)

    def _listed_splits(self, groups: dict[str, list[int]], test: Sequence[int]) -> Splits:
        chosen = set(test)
        if not chosen <= set(range(len(self.rows))) or len(self.rows) - len(chosen) < 2:
            raise InputError(
                f"test rows are numbers from 0 to {len(self.rows) - 1} that leave at least 2 rows to search on; got "
                f"{len(chosen)} from {min(chosen)} to {max(chosen)}"
            )
        for members in groups.values():
            sides = {index in chosen for index in members}
            if len(sides) > 1:
                places = " and ".join(self._place(index) for index in members[:2])
                raise self._error(members[0], f"{places} repeat each other, so both or none can be test rows")
        return Splits(tuple(index for index in range(len(self.rows)) if index not in chosen), tuple(sorted(chosen)))

    def _drawn(self, groups: dict[str, list[int]], size: int, seed: int) -> set[int]:
        strata = self._strata(groups, seed)
        sizes = {stratum: sum(map(len, members)) for stratum, members in sorted(strata.items())}
        quotas = _quotas(sizes, size)
        chosen: set[int] = set()
        for stratum, quota in quotas.items():
            chosen |= _fitting(strata[stratum], quota)
        # A group of repeated rows may not have fitted into its class's share: others then fill the place.
        rest = [members for stratum in strata.values() for members in stratum if members[0] not in chosen]
        return chosen | _fitting(rest, size - len(chosen))

    @property
    def is_categorical(self) -> bool:
        """Whether the target is one of few plain values: at most 50, and at most one row in twenty has one that no
        other row has."""
        if any(isinstance(row.target, (list, dict)) for row in self.rows):
            return False
        counts = Counter(_normalised_text(row.target) for row in self.rows)
        alone = sum(count == 1 for count in counts.values())
        return len(counts) <= MAXIMUM_CLASSES and 20 * alone <= len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        fields = ", ".join(self.fields)
        return f"Dataset({self.name!r}, {len(self.rows)} rows, fields: {fields}, target: {self.target})"

    def _repr_html_(self) -> str:
        names = [*self.fields, self.target]
        lines = [[_html.clipped(str(row[name]), 200) for name in names] for row in self.rows[:5]]
        more = "" if len(self.rows) <= len(lines) else f"the first {len(lines)} of {len(self.rows):,} rows"
        counted = Counter(str(row.target) for row in self.rows).most_common() if self.is_categorical else []
        return _html.block(
            _html.fill("<div>{}</div>", repr(self)),
            _html.table(more, names, lines),
            _html.details("rows by target", _html.table("", (self.target, "rows"), counted, ["rows"]))
            if counted
            else "",
        )


def _is_missing(value: Any, *, text: bool) -> bool:
    """Whether a target is empty; ``text``: from a file of text only, where NaN is a word."""
    if isinstance(value, str):
        return not value.strip() or (text and value.strip().casefold() == "nan")
    return value is None or value == [] or value == {}


def _plain(value: Any) -> Any:
    """A value as plain Python; ``ValueError``, worded to follow the column's name, if it cannot be."""
    if hasattr(value, "tolist"):  # a NumPy or pandas scalar or array
        value = value.tolist()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("holds half of a surrogate pair, which no request can carry; correct the text")
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
    raise ValueError(f"is a {type(value).__name__}; make it text, a number, a truth value, a list or a dict")


def _normalised(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, list):
        return [_normalised(member) for member in value]
    if isinstance(value, dict):
        return {name: _normalised(member) for name, member in value.items()}
    return value


def _normalised_text(value: Any) -> str:
    return json.dumps(_normalised(value), sort_keys=True)


def _content(row: Row) -> str:
    return _normalised_text(row._values)


def _quotas(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Shares of ``total`` in proportion to ``sizes``, by largest remainder, the first named winning ties.

    >>> _quotas({"a": 60, "b": 30, "c": 10}, 15)
    {'a': 9, 'b': 5, 'c': 1}
    """
    everything = sum(sizes.values())
    quotas = {name: size * total // everything for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(sizes[name] * total % everything))
    for name in by_remainder[: total - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _fitting(groups: list[list[int]], room: int) -> set[int]:
    """Row numbers of whole groups, in order, as long as they fit."""
    chosen: set[int] = set()
    for group in groups:
        if len(chosen) + len(group) <= room:
            chosen.update(group)
    return chosen


@dataclass(frozen=True, slots=True)
class _Table:
    """What a reader found; ``lines``: the first line of each record; ``text``: all of it came as text."""

    file: str
    names: list[str]
    records: list[dict[str, Any]]
    lines: list[int] | None = None
    text: bool = False


def _renamed(table: _Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Field name to source column, in the order of the source."""
    for field, source in columns.items():
        if source not in table.names:
            raise DataError(
                f"columns= takes the field {field!r} from the column {source!r}, which is not there; "
                f"there are: {listed(table.names)}",
                file=table.file,
            )
    names: dict[str, str] = {}
    for source in table.names:
        for field in [field for field, wanted in columns.items() if wanted == source] or [source]:
            if field in names:
                raise DataError(
                    f"two columns are called {field!r} after renaming; name the other one in columns= too",
                    file=table.file,
                )
            names[field] = source
    return names


def _check_names(names: list[str], *, file: str, line: int | None = None) -> None:
    for position, name in enumerate(names):
        if not name.strip():
            raise DataError(
                f"column {position + 1} has no name; name it, or save the table without its index",
                file=file,
                line=line,
            )
        if name in names[:position]:
            raise DataError(f"the column {name!r} appears twice; rename one", file=file, line=line)


def _from_frame(frame: Any, name: str) -> _Table:
    import pandas as pd

    table = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"a table must be a DataFrame or have to_pandas(), not {type(frame).__name__}; "
            "convert it, choose one split of it, or use Dataset.read for a file",
            file=name,
        )
    names = [str(column) for column in table.columns]
    _check_names(names, file=name)
    values = [table.iloc[:, position].tolist() for position in range(len(names))]
    records = [dict(zip(names, record, strict=True)) for record in zip(*values, strict=True)]
    return _Table(name, names, records)


def _read_parquet(path: Path) -> _Table:
    _bytes(path)
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise MissingExtra("reading parquet", package="pyarrow", extra="parquet") from error
    except Exception as error:  # pyarrow's own errors, which cannot be imported here, derive from several bases
        raise DataError(f"not a parquet file ({_one_line(error)}); write it again", file=str(path)) from error
    return _from_frame(frame, str(path))


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
    content = _bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from after the BOM.
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        line = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"the byte 0x{content[start]:02x} is not UTF-8; save the file as UTF-8", file=str(path), line=line
        ) from None
    if not text.strip():
        raise DataError("the file is empty; it needs at least one row", file=str(path))
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_csv(path: Path, delimiter: str = ",") -> _Table:
    text = _text(path)
    # The limit of 131,072 characters a field is global and has no counterpart in the reader's own options.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        (first, names), *records = _csv_records(text, delimiter, str(path))
    finally:
        csv.field_size_limit(limit)
    _check_names(names, file=str(path), line=first)
    for line, record in records:
        if len(record) != len(names):
            raise DataError(
                f"the row has {len(record)} fields but the header has {len(names)}; "
                f"add the missing ones, or quote a field that contains {delimiter!r}",
                file=str(path),
                line=line,
            )
    columns = [_numbers([record[position] for _, record in records]) for position in range(len(names))]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return _Table(str(path), names, rows, [line for line, _ in records], text=True)


def _csv_records(text: str, delimiter: str, file: str) -> list[tuple[int, list[str]]]:
    """Records that are not blank, each with its first line; the header is the first."""
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for record in reader:
            if record:
                records.append((line, record))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"not valid csv ({_one_line(error)}); close the quotes and double those inside a quoted field",
            file=file,
            line=line,
        ) from None
    return records


def _lines(text: str) -> list[str]:
    """Lines with their ends, split at newlines only: text may contain other separators, such as U+2028."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return [line + "\n" for line in text.split("\n")]


def _numbers(values: list[str]) -> list[Any]:
    """The values as numbers if each, written back, is the same text; else as they are.

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


def _read_jsonl(path: Path) -> _Table:
    records = []
    lines = []
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if text.strip():
            records.append(_object(_json(text, str(path), line), str(path), line))
            lines.append(line)
    return _json_table(str(path), records, lines)


def _read_json(path: Path) -> _Table:
    text = _text(path)
    items = _json(text, str(path), 1)
    if not isinstance(items, list):
        raise DataError(
            f"a json file must hold a list of objects, not {_kind(items)}; wrap it in [ ] or use jsonl",
            file=str(path),
        )
    # The text is valid: a second walk, item by item, finds the lines on which the items start.
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    line = 1 + text.count("\n", 0, position)
    lines = []
    for _ in items:
        start = position
        while text[position].isspace() or text[position] == ",":
            position += 1
        line += text.count("\n", start, position)
        lines.append(line)
        end = decoder.raw_decode(text, position)[1]
        line += text.count("\n", position, end)
        position = end
    records = [_object(item, str(path), at) for item, at in zip(items, lines, strict=True)]
    return _json_table(str(path), records, lines)


def _json_table(file: str, records: list[dict[str, Any]], lines: list[int]) -> _Table:
    names = list(dict.fromkeys(name for record in records for name in record))
    if records:
        _check_names(names, file=file)
    else:
        raise DataError("there are no rows; at least one is needed", file=file)
    return _Table(file, names, records, lines)


def _json(text: str, file: str, line: int) -> Any:
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


def _read_tsv(path: Path) -> _Table:
    return _read_csv(path, "\t")


_READERS: dict[str, Callable[[Path], _Table]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
    ".tsv": _read_tsv,
}
