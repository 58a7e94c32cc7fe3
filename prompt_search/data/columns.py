"""The columns of a file before it is known which of them is the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prompt_search.data.readers import read_file
from prompt_search.data.table import plain_value


def read_columns(path: Path) -> dict[str, list[Any]]:
    """The values of each column of a file, by name, in the order of the file; what is empty is None.

    Raises:
        DataError: as `Dataset.read`, for what does not depend on the target.
    """
    table = read_file(path)
    columns: dict[str, list[Any]] = {}
    for name in table.names:
        values = [plain_value(record.get(name)) for record in table.records]
        columns[name] = [None if isinstance(value, str) and not value.strip() else value for value in values]
    return columns
