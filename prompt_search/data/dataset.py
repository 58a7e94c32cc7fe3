"""A data set: labelled rows, checked when they are read, before any request is made."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prompt_search import _html
from prompt_search._first_tries import FirstTries, by_names, named, told
from prompt_search.data.hub import check_place, is_hub, read_hub
from prompt_search.data.readers import AnyTable, read_file, read_table
from prompt_search.data.rows import references
from prompt_search.data.splits import (
    MINIMUM_ROWS,
    Splits,
    equal_folds,
    given_split,
    is_categorical,
    listed_split,
    random_split,
)
from prompt_search.data.table import Table, labelled_rows
from prompt_search.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


AnyData: TypeAlias = "Dataset | AnyTable | str | Path"
"""Rows: a `Dataset`; or what one is made of, which needs the target's name as well."""


class Dataset(FirstTries):
    """Labelled rows with a target column.

    Missing values become ``None``, NumPy scalars become Python ones, and dates become ISO text. Numbers as targets of
    a table are whole numbers if all of them are whole: pandas makes labels 1 and 0 the floats 1.0 and 0.0.

    Args:
        frame: a pandas DataFrame, or anything with ``to_pandas`` (a Hugging Face or polars table), of shape
            (rows, columns); or a list of dicts (rows), or a dict of lists (columns).
        target: name of the target column, after renaming.
        columns: new names, template field to source column; the other columns keep their names.
        name: name of the data set, which errors show.
        split: name, after renaming, of a column that holds ``search`` or ``test`` and so decides which rows the
            search may use. It is not a field.

    Attributes:
        name: name of the data set.
        target: name of the target column.
        fields: names of the columns that a template can use: all except the target and the split column.
        rows: the rows, a tuple of `Row`.

    Raises:
        DataError: no rows, a missing, unnamed or repeated column, an empty target, an unknown value in the split
            column, two labels that look the same, or a value that cannot be written into a prompt.

    >>> import pandas as pd
    >>> data = Dataset(pd.DataFrame({"Sentence": ["good", "bad"], "label": ["yes", "no"]}),
    ...                target="label", columns={"text": "Sentence"})
    >>> data
    Dataset('data', 2 rows, fields: text, target: label)
    >>> data.labels
    ['no', 'yes']
    """

    _instead = by_names(
        **{
            "ps.Dataset(rows, target='COLUMN')": "from_list from_dict from_dicts from_pandas from_records",
            "ps.Dataset.read(path, target='COLUMN')": "read_csv from_csv load load_csv read_json from_json from_file",
            "data.frame()": "to_pandas to_df df",
            "[row.target for row in data.rows]": "targets",
        }
    )

    @told("ps.Dataset(rows, target='COLUMN')", label="write target=", labels="write target=")
    def __init__(
        self,
        frame: AnyTable,
        *,
        target: str,
        columns: Mapping[str, str] | None = None,
        name: str = "data",
        split: str | None = None,
    ) -> None:
        self._fill(read_table(frame, name), target=target, columns=columns or {}, name=name, split=split)

    @classmethod
    @told("ps.Dataset.read(path, target='COLUMN')", label="write target=", delimiter="write sep=")
    def read(
        cls,
        path: str | Path,
        *,
        target: str,
        columns: Mapping[str, str] | None = None,
        split: str | None = None,
        sep: str | None = None,
        encoding: str | None = None,
        nrows: int | None = None,
    ) -> Dataset:
        """Read csv, tsv, jsonl (ndjson), json (a list of objects) or parquet, in UTF-8, or in UTF-16 with a BOM; or a
        data set of the Hugging Face Hub.

        Values of a csv or tsv file are text exactly as written, and an empty cell is ``""``. A column becomes numbers
        only if every value, written back, is the same text (``7`` and ``1.5`` are, ``007`` and ``1.50`` are not). Where
        the header has no comma (tab) but semicolons, tabs or bars, these separate the columns. White space around names
        of columns, rows without content, and columns without name and content are left out.

        Args:
            path: the file; the data set is named after it. Or an address of the hub: a file
                (``hf://datasets/OWNER/NAME/FILE.csv``, extra ``hub``), or a split (``hf://OWNER/NAME/SPLIT``, extra
                ``datasets``), whose classes have their names. ``NAME@REVISION`` is a revision.
            target: as in `Dataset`.
            columns: as in `Dataset`.
            split: as in `Dataset`.
            sep: the character between the columns of a csv or tsv file, if the header does not show it.
            encoding: the encoding of a text file without byte order mark, such as ``cp1252``.
            nrows: number of rows to read from the start; default: all.

        Raises:
            InputError: ``sep``, ``encoding`` or ``nrows`` is wrong.
            DataError: as in `Dataset`, with the line on which the row starts; or a file that is missing, empty, broken,
                not UTF-8, or of an unknown kind.
            MissingExtra: a parquet file, and pyarrow is not installed; or an address of the hub, and the package that
                reads it is not.
        """
        if not isinstance(path, (str, Path)):
            raise InputError(
                f"Dataset.read takes the path of a file, not {named(path)}; write ps.Dataset(rows, target=...)"
            )
        if not is_hub(path):
            check_place(path)
        table = read_hub(str(path)) if is_hub(path) else read_file(Path(path), sep=sep, encoding=encoding)
        if nrows is not None:
            table = table.first(nrows)
        dataset = cls.__new__(cls)
        dataset._fill(table, target=target, columns=columns or {}, name=Path(path).stem, split=split)
        return dataset

    @classmethod
    def of(cls, given: AnyData, target: str | None = None) -> Dataset:
        """The data set: a `Dataset`; or a table or the path of a file, with the name of the target.

        Raises:
            InputError: it is none of these, or the target is missing, or another one than that of the `Dataset`.
        """
        if isinstance(given, Dataset):
            if target is not None and target != given.target:
                raise InputError(
                    f"target={target!r} is not the target of the Dataset, which is {given.target!r}; leave target= "
                    "out, or make another Dataset"
                )
            return given
        if target is None:
            what = "a file" if isinstance(given, (str, Path)) else "a table"
            raise InputError(
                f"data= is {what}, so that the column with the correct answers has to be named; give target='COLUMN'"
            )
        return cls.read(given, target=target) if isinstance(given, (str, Path)) else cls(given, target=target)

    def _fill(self, table: Table, *, target: str, columns: Mapping[str, str], name: str, split: str | None) -> None:
        labelled = labelled_rows(table, target=target, columns=columns, split=split)
        self.name = name
        self.target = target
        self.fields = labelled.fields
        self.rows = labelled.rows
        self._sides = labelled.sides
        self._split_column = split
        self._origin = table.origin

    @property
    def labels(self) -> list[str]:
        """The distinct targets as text, sorted; of targets that are lists, their members. Whole numbers have no
        ``.0``."""
        return sorted({_label_text(label) for row in self.rows for label in references(row.target)})

    @property
    def is_categorical(self) -> bool:
        """Whether the target is one of few plain values: at most 50, and at most one row in twenty has one that no
        other row has."""
        return is_categorical(self.rows)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, 64 hex digits: the rows in order, the name of the target, the user's split.

        Equal content has an equal fingerprint, whatever file it came from and in whatever order its columns are.
        """
        digest = hashlib.sha256()
        for part in (self.target, list(self._sides), *({name: row[name] for name in row} for row in self.rows)):
            digest.update(json.dumps(part, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    def head(self, n: int) -> Dataset:
        """The first ``n`` rows, or all of them where there are fewer.

        Raises:
            InputError: ``n`` is below 1.
        """
        if not isinstance(n, int) or n < 1:
            raise InputError(f"the number of rows must be at least 1, not {n!r}; give 1 or more")
        first = copy.copy(self)
        first.rows = self.rows[:n]
        first._sides = self._sides[:n]
        return first

    def frame(self) -> pd.DataFrame:
        """A new DataFrame, one line per row; columns: the fields, the target, and the split column if there is one."""
        import pandas as pd

        columns = {name: [row[name] for row in self.rows] for name in [*self.fields, self.target]}
        if self._split_column is not None:
            columns[self._split_column] = list(self._sides)
        return pd.DataFrame(columns)

    def splits(self, test: int | float | Sequence[int], seed: int) -> Splits:
        """The search rows and the test rows.

        Rows whose fields are equal but for case and white space are always on one side, so that a random test can come
        out smaller than requested, never larger. Classes are kept in proportion where the target `is_categorical`. The
        split depends on ``seed`` and on the rows' content, not on their order.

        A split column of the user decides alone; ``test`` and ``seed`` are then not used.

        Args:
            test: the number of test rows; or their share, if it is a float; or the test rows themselves, by their
                numbers from 0. An empty list means that nothing is tested.
            seed: the seed of a random split.

        Raises:
            DataError: fewer than 4 rows, or too few distinct ones; or, with a split column or a list of rows, a side
                without rows or rows on different sides that repeat each other.
            InputError: ``test`` is out of range, or leaves fewer than two rows to search on.
        """
        if len(self.rows) < MINIMUM_ROWS:
            raise self._origin.error(
                f"a search needs at least {MINIMUM_ROWS} rows, not {len(self.rows)}; add rows",
            )
        if self._sides:
            return given_split(self.rows, self._sides, str(self._split_column), self._origin)
        if isinstance(test, Sequence):
            return listed_split(self.rows, test, self._origin)
        return random_split(self.rows, test, seed, self._origin)

    def folds(self, count: int, seed: int) -> list[tuple[int, ...]]:
        """All row numbers, from 0, in ``count`` parts of nearly equal size.

        As in `splits`, rows that repeat each other are in one part, and classes are kept in proportion.

        Raises:
            DataError: fewer than 4 distinct rows, or fewer than ``count``; or a split column of the user, which fixes
                the test rows.
            InputError: fewer than two parts.
        """
        if self._sides:
            raise self._origin.error(
                f"the split column {self._split_column!r} fixes the test rows, so cross_fit cannot choose others; "
                "call run, or read the data without the split column"
            )
        if count < 2:
            raise InputError(f"cross_fit needs at least 2 folds, not {count}; give 2 or more")
        return equal_folds(self.rows, count, seed, self._origin)

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


def _label_text(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
