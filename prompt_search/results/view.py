"""A table as people read it: made once, then shown in a terminal, a notebook, an HTML report or Markdown.

A `View` holds values, not text, so that each renderer can align, sort and draw them: a number has the format of its
column, a score bar is drawn in HTML and written as an interval elsewhere. Renderers for HTML, Markdown and text
are here; the command line adds the styles of a terminal.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from prompt_search import _html, _numbers
from prompt_search._printable import printable
from prompt_search.results.lines.layout import Shown, Style, folded, lay_out

TEXT_WIDTH = 80
"""Number of columns of a table in the text of an object."""

Kind = Literal["text", "number", "bar"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a `View`.

    Args:
        title: what stands above it.
        kind: ``text``; ``number``, aligned to the right; ``bar``, a mean with its interval.
        form: the format of its numbers.
        ends: the ends of its bars; by default 0 and 1, or wider where intervals reach further.
        spare: whether a terminal that is too narrow may leave it out.
        lines: number of lines up to which a terminal shows its text in a row that does not stand out.
    """

    title: str
    kind: Kind = "text"
    form: str = ""
    ends: tuple[float, float] | None = None
    spare: bool = False
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A mean with its 95% interval: a picture in HTML, the interval's ends elsewhere."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pieces:
    """A text of several pieces, some of which are marked.

    Args:
        parts: (text, whether it is marked).
    """

    parts: tuple[tuple[str, bool], ...]

    def __str__(self) -> str:
        return ", ".join(text for text, _ in self.parts)


Cell = str | int | float | Bar | Pieces | None
"""The value in a cell; None and NaN are unknown numbers."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A table as people read it.

    Args:
        title: what the table shows.
        columns: its columns.
        rows: one cell per column each.
        highlighted: the places of rows that stand out.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    highlighted: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def texts(self) -> list[list[str]]:
        """Every cell as one text, row by row."""
        return [[cell_text(*pair) for pair in zip(self.columns, row, strict=True)] for row in self.rows]

    def head(self, rows: int) -> View:
        """The first rows alone."""
        return dataclasses.replace(self, rows=self.rows[:rows])

    def without(self, *titles: str) -> View:
        """Without the columns of these titles, where there are such."""
        kept = [place for place, column in enumerate(self.columns) if column.title not in titles]
        return dataclasses.replace(
            self,
            columns=tuple(self.columns[place] for place in kept),
            rows=tuple(tuple(row[place] for place in kept) for row in self.rows),
        )


def cell_text(column: Column, cell: Cell) -> str:
    """A cell as text, in the format of its column."""
    if isinstance(cell, Bar):
        return _numbers.interval(cell.low, cell.high, column.form or ".2f")
    if cell is None or isinstance(cell, int | float):
        return _numbers.number(cell, column.form)
    return str(cell)


def bar_ends(column: Column, cells: Iterable[Cell]) -> dict[str, float]:
    """The ends of the bars of a column."""
    if column.ends is not None:
        return {"least": column.ends[0], "most": column.ends[1]}
    bars = [cell for cell in cells if isinstance(cell, Bar)]
    return _html.scale([bar.low for bar in bars], [bar.high for bar in bars])


def html_cell(column: Column, cell: Cell, ends: dict[str, float]) -> Any:
    """What stands in a cell of an HTML table."""
    if isinstance(cell, Bar):
        shown = _html.bar(cell.mean, cell.low, cell.high, **ends)
        return _html.fill("{}<small> {}</small>", shown, cell_text(column, cell))
    if isinstance(cell, Pieces):
        return _html.join(
            (_html.fill("<mark>{}</mark>" if marked else "{}", printable(text)) for text, marked in cell.parts), ", "
        )
    return printable(cell_text(column, cell))


def html_rows(view: View) -> list[list[Any]]:
    """Every cell as HTML."""
    places = range(len(view.columns))
    ends = [bar_ends(view.columns[place], [row[place] for row in view.rows]) for place in places]
    return [[html_cell(view.columns[place], row[place], ends[place]) for place in places] for row in view.rows]


def to_html(view: View) -> _html.Markup:
    """The table in HTML; nothing for a table without rows."""
    if not view.rows:
        return _html.Markup()
    numbers = [column.title for column in view.columns if column.kind != "text"]
    return _html.table(view.title, [column.title for column in view.columns], html_rows(view), numbers)


def markdown_text(text: str) -> str:
    r"""A text as one line in which nothing is Markdown or HTML.

    >>> print(markdown_text("a|b <i>\n[x] per_row _y_"))
    a\|b &lt;i&gt; \[x\] per_row \_y\_
    """
    # What Unicode calls white space is a space; other control characters are made visible before they are escaped.
    plain = printable(" ".join(text.split()))
    escaped = re.sub(r"([\\`*\[\]|~#]|(?<!\w)_|_(?!\w))", r"\\\1", plain)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_markdown(view: View) -> str:
    """The table in GitHub's Markdown, without its title; nothing for a table without rows."""
    if not view.rows:
        return ""
    head = [markdown_text(column.title) for column in view.columns]
    rule = ["---" if column.kind == "text" else "---:" for column in view.columns]
    body = [[markdown_text(text) for text in row] for row in view.texts]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *body]) + "\n"


def to_lines(view: View, width: int | None = None) -> list[tuple[str, Style]]:
    """The lines of a table in a fixed-width font, its title first, each with what it is.

    Args:
        view: the table.
        width: the number of columns that there are; None for any.
    """
    title = printable(view.title)
    titles: list[tuple[str, Style]] = [(line, "title") for line in (folded(title, width) if width else [title]) if line]
    return titles + lay_out(_shown(view), view.highlighted, width)


def to_text(view: View, width: int | None = None) -> str:
    """The table in a fixed-width font, without its title."""
    return "\n".join(line for line, _ in lay_out(_shown(view), view.highlighted, width))


def _shown(view: View) -> list[Shown]:
    """The columns of a table with their texts."""
    return [
        Shown(
            title=column.title,
            left=column.kind == "text",
            cells=[_pieces(column, row[place]) for row in view.rows],
            spare=column.spare,
            lines=column.lines,
        )
        for place, column in enumerate(view.columns)
    ]


def _pieces(column: Column, cell: Cell) -> tuple[str, ...]:
    return tuple(text for text, _ in cell.parts) if isinstance(cell, Pieces) else (cell_text(column, cell),)
