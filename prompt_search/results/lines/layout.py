"""Tables laid out in lines of a given width, for terminals and for the text of a result.

Numbers are never folded, and texts only between words. Where the texts do not fit beside the numbers, they stand below
them, the widest first (the names of rows above them); where the numbers alone are too wide, each row is a list of names
and values.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from prompt_search._printable import printable

Style = Literal["title", "heading", "row", "strong"]
"""What a line is: ``strong`` is a line of a row that stands out."""

GAP = "  "
INDENT = "      "
"""What texts that stand below the numbers begin with."""

HEADING_WIDTH = 12
"""Number of columns of a line of a number's heading, unless the table is too wide for that."""

READABLE = 30
"""Number of columns that a text needs at least, to stand beside numbers; shorter texts need less."""

_KEPT = "\N{NO-BREAK SPACE}"

STRONG_LINES = 8
"""Number of lines of a row that stands out, where the lines of others are limited."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A column and its texts.

    Args:
        title: its heading.
        left: whether it has texts; numbers are aligned to the right.
        cells: its texts, each in pieces between which it is best cut off.
        spare: whether it is left out where the table is too wide.
        lines: number of lines up to which a row shows its text.
    """

    title: str
    left: bool
    cells: Sequence[tuple[str, ...]]
    spare: bool = False
    lines: int | None = None

    def texts(self) -> list[str]:
        return [", ".join(cell) for cell in self.cells]

    def natural(self) -> int:
        """The width at which nothing is folded."""
        return max([columns(line) for text in [self.title, *self.texts()] for line in text.split("\n")], default=0)

    def least(self) -> int:
        """The width at which no word is folded and texts are readable."""
        words = [columns(word) for text in [self.title, *self.texts()] for word in text.split()]
        return min(self.natural(), max([READABLE, *words]))


def lay_out(
    shown: Sequence[Shown], strong: frozenset[int] = frozenset(), width: int | None = None
) -> list[tuple[str, Style]]:
    """The lines of a table, heading first, without spaces at their ends.

    Args:
        shown: its columns.
        strong: the rows that stand out.
        width: the number of columns that there are; None for any.
    """
    shown = [replace(each, cells=[tuple(map(printable, cell)) for cell in each.cells]) for each in shown]
    shown = [replace(each, title=printable(each.title)) for each in shown]
    if width is None:
        return _beside(shown, [], [each.natural() if each.left else _number_width(each) for each in shown], strong)
    for kept in (shown, [each for each in shown if not each.spare]):
        widest_first = sorted((each for each in kept if each.left), key=lambda each: -each.least())
        for count in range(len(widest_first) + 1):
            below = [each for each in kept if each in widest_first[:count]]
            beside = [each for each in kept if each not in below]
            for heading_width in (HEADING_WIDTH, 0):
                if beside and (widths := _widths(beside, width, heading_width)):
                    return _beside(beside, below, widths, strong, shown[0], width)
    return _listed(shown, strong, width)


def _number_width(each: Shown, heading_width: int = HEADING_WIDTH) -> int:
    """The width of a column of numbers: its heading may take several lines."""
    numbers = max(map(columns, each.texts()), default=0)
    words = max(map(columns, each.title.split()), default=0)
    return max(numbers, *map(columns, folded(each.title, max(heading_width, words))))


def _widths(beside: Sequence[Shown], width: int, heading_width: int) -> list[int]:
    """The widths of columns that stand beside each other; nothing where they do not fit."""
    found = [each.least() if each.left else _number_width(each, heading_width) for each in beside]
    spare = width - sum(found) - len(GAP) * (len(beside) - 1)
    if spare < 0:
        return []
    for place, each in enumerate(beside):
        if each.left:
            more = min(spare, each.natural() - found[place])
            found[place] += more
            spare -= more
    return found


def _beside(
    beside: Sequence[Shown],
    below: Sequence[Shown],
    widths: Sequence[int],
    strong: frozenset[int],
    first: Shown | None = None,
    width: int | None = None,
) -> list[tuple[str, Style]]:
    """A table some of whose columns stand beside each other; the others stand below these, or above if ``first``."""
    above, below = [each for each in below if each is first], [each for each in below if each is not first]
    titles = [folded(each.title, room) for each, room in zip(beside, widths, strict=True)]
    headings = [[""] * (max(map(len, titles)) - len(title)) + title for title in titles]
    lines: list[tuple[str, Style]] = [(each.title, "heading") for each in above]
    lines += [(line, "heading") for line in _aligned(beside, widths, headings)]
    if len(below) == 1:
        lines.append((f"{INDENT}{below[0].title}", "heading"))
    for place in range(len(beside[0].cells) if beside else 0):
        cells = [_cell(each, place, room, place in strong, 0) for each, room in zip(beside, widths, strict=True)]
        made = [line for each in above for line in _cell(each, place, width or each.natural(), place in strong, 1)]
        made += _aligned(beside, widths, cells)
        for each in below:
            name = "" if len(below) == 1 else f"{each.title}: "
            room = (width or each.natural()) - len(INDENT)
            made += [f"{INDENT}{line}" for line in _cell(each, place, room, place in strong, 1, name)]
        lines += [(line, "strong" if place in strong else "row") for line in made]
    return lines


def _cell(each: Shown, place: int, width: int, strong: bool, used: int, name: str = "") -> list[str]:
    """The lines of a text. Where it has more than it may, it ends with the number of pieces left out."""
    cell = each.cells[place]
    whole = folded(name + ", ".join(cell), width)
    most = None if each.lines is None else max(1, (STRONG_LINES if strong else each.lines) - used)
    if most is None or len(whole) <= most:
        return whole
    for count in range(len(cell) - 1, 0, -1):
        lines = folded(f"{name}{', '.join(cell[:count])}, and {len(cell) - count} more", width)
        if len(lines) <= most:
            return lines
    last = whole[most - 1]
    while columns(last) >= width:
        last = last[:-1]
    return [*whole[: most - 1], f"{last.rstrip()}…"]


def _aligned(beside: Sequence[Shown], widths: Sequence[int], cells: Sequence[Sequence[str]]) -> list[str]:
    """Cells of several lines beside each other."""
    return [
        GAP.join(
            _padded(cell[line] if line < len(cell) else "", room, each.left)
            for each, room, cell in zip(beside, widths, cells, strict=True)
        ).rstrip()
        for line in range(max(map(len, cells), default=0))
    ]


def _padded(text: str, width: int, left: bool) -> str:
    space = " " * max(0, width - columns(text))
    return text + space if left else space + text


def _listed(shown: Sequence[Shown], strong: frozenset[int], width: int) -> list[tuple[str, Style]]:
    """A table of many columns: each row is a list of names and values, numbers one after the other."""
    lines: list[tuple[str, Style]] = []
    for place in range(len(shown[0].cells) if shown else 0):
        pairs = [f"{each.title} {each.texts()[place]}" for each in shown if not each.left]
        numbers = [pair.replace(" ", _KEPT) for pair in pairs]
        made = folded(GAP.join(numbers), width) if numbers else []
        for each in shown:
            if each.left and each.texts()[place]:
                cell = _cell(each, place, width - len(INDENT), place in strong, 0, f"{each.title}: ")
                made += [("" if line is cell[0] and not numbers else INDENT) + line for line in cell]
        lines += [(line.replace(_KEPT, " "), "strong" if place in strong else "row") for line in made]
    return lines


def columns(text: str) -> int:
    """The number of columns that a text takes in a terminal.

    >>> columns("abc"), columns("\N{CJK UNIFIED IDEOGRAPH-4E2D}"), columns("e\N{COMBINING ACUTE ACCENT}")
    (3, 2, 1)
    """
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(each) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(each) in "WF"
        else 1
        for each in text
    )


def folded(text: str, width: int) -> list[str]:
    """A text as lines that are not wider than that, broken between words; only a word that is wider is broken.

    >>> folded("the instruction is long", 12)
    ['the', 'instruction', 'is long']
    """
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if columns(joined) <= width:
                line = joined
                continue
            lines += [line] * bool(line)
            while columns(word) > width:
                part = _start(word, width)
                lines.append(part)
                word = word[len(part) :]
            line = word
        lines.append(line)
    return [line.rstrip() for line in lines]


def _start(word: str, width: int) -> str:
    """The first characters of a word that take no more than that many columns, at least one."""
    end = 1
    while end < len(word) and columns(word[: end + 1]) <= width:
        end += 1
    return word[:end]
