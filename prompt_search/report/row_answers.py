"""Rows with the answers that a few prompts got to them: what a person reads before a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_search import _html
from prompt_search.results.view import Column, View

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 10
"""Number of rows that are shown."""

TEXT_WIDTH, TARGET_WIDTH, ANSWER_WIDTH = 48, 40, 48
"""Number of characters that a row's text, its target and one of its answers have at most."""

TITLE = "rows and the answers that they got, the most suspicious first"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredRow:
    """A row of a preflight, with what all prompts answered to it.

    Attributes:
        row: its position in the data.
        text: its fields without the target.
        target: the target.
        answers: what was answered, each with how often, the most frequent first; of objects that are compared field by
            field the fields that are not right.
        score: the mean score of the answers; None where none has a score.
    """

    row: int
    text: str
    target: str
    answers: tuple[tuple[str, int], ...]
    score: float | None

    @property
    def said(self) -> str:
        """The answers as one text."""
        return self.said_in(None)

    def said_in(self, width: int | None) -> str:
        """The answers as one text, each shortened to so many characters."""
        texts = [(answer if width is None else _html.clipped(answer, width), count) for answer, count in self.answers]
        return "; ".join(answer if count == 1 else f"{answer} ({count} times)" for answer, count in texts)


class AnsweredRows:
    """What has rows with their answers, the most suspicious first."""

    answered: tuple[AnsweredRow, ...]

    def rows_df(self) -> pd.DataFrame:
        """The rows with their answers, the most suspicious first: those on which prompts agree and are wrong.

        Returns:
            a data frame with the columns ``row`` (position in the data), ``text`` (its fields), ``target``,
            ``answers`` (each with how often it came) and ``score`` (the mean of the answers).
        """
        import pandas as pd

        lines = [
            {"row": each.row, "text": each.text, "target": each.target, "answers": each.said, "score": each.score}
            for each in self.answered
        ]
        return pd.DataFrame(lines, columns=["row", "text", "target", "answers", "score"])


def rows_view(rows: Sequence[AnsweredRow]) -> View:
    """The first of the rows as a table, with shortened texts."""
    return View(
        title=TITLE,
        columns=(Column("row", "number", "d"), Column("text"), Column("target"), Column("answers")),
        rows=tuple(
            (
                each.row,
                _html.clipped(each.text, TEXT_WIDTH),
                _html.clipped(each.target, TARGET_WIDTH),
                each.said_in(ANSWER_WIDTH),
            )
            for each in rows[:SHOWN_ROWS]
        ),
    )
