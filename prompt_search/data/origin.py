"""Where rows come from: an error names the line of the file, or the number of the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prompt_search.errors import DataError


@dataclass(frozen=True, slots=True)
class Origin:
    """The file or table that rows come from, for error messages.

    Attributes:
        file: path of the file, or name of the table in memory.
        lines: number of the line, from 1, on which each row starts; None for a table in memory.
    """

    file: str
    lines: Sequence[int] | None = None

    def place(self, index: int) -> str:
        """The place of a row, given its number from 0: ``line 7`` in a file, ``row 5`` in a table.

        >>> Origin("a.csv", [2, 3]).place(1), Origin("data").place(1)
        ('line 3', 'row 1')
        """
        return f"row {index}" if self.lines is None else f"line {self.lines[index]}"

    def error(self, message: str) -> DataError:
        """An error of the whole file or table."""
        return DataError(message, file=self.file)

    def row_error(self, index: int, message: str) -> DataError:
        """An error of one row, given its number from 0."""
        if self.lines is None:
            return DataError(f"row {index} (the first is 0): {message}", file=self.file)
        return DataError(message, file=self.file, line=self.lines[index])
