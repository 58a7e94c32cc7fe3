"""Answers that are text, as metrics of users see them beside targets that are numbers."""

from __future__ import annotations

from typing import Any

from prompt_search.answers.reading.number_reading import whole_number
from prompt_search.data.rows import Row, references


class TextAnswer(str):
    """A text that equals the number or the truth value that it is written as, so that ``answer == row.target`` holds.

    The labels of a column of numbers are text (`Dataset.labels`), as all that a model writes, while ``row.target`` is
    the number. Everything else is that of the text: its hash, its methods, and its equality with other texts.

    >>> TextAnswer("1") == 1, TextAnswer("1") == "1", 1.0 == TextAnswer("1"), TextAnswer("no") == 0
    (True, True, True, False)
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bool):
            return str(self).casefold() == str(other).casefold()
        if isinstance(other, (int, float)):
            return whole_number(str(self)) == other
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def comparable(answer: Any, row: Row) -> Any:
    """An answer as a metric of a user gets it: text that equals numbers where the row's target is one."""
    if type(answer) is not str or not any(
        isinstance(each, (int, float)) for each in references(getattr(row, "target", None))
    ):
        return answer
    return TextAnswer(answer)
