"""Tables in the terminal: cells are text, never markup, and numbers have the format of their column."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import pytest
from rich.console import Console

from prompt_search import cli
from prompt_search.cli.terminal import render, say
from prompt_search.results.view import Bar, Column, Pieces, View


def printed(view: View, width: int = 100, *, styled: bool = False) -> str:
    """A view on a console of that width, without spaces at the ends of lines."""
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=styled, color_system="standard" if styled else None).print(
        render(view, width)
    )
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


@pytest.mark.parametrize("text", ["[x]", "<b>bold</b>", "{{ this }}", "[/] [red]stop[/red]", ":smile:", "\\[x]"])
def test_prompts_are_printed_literally(text: str) -> None:
    """Brackets, tags, braces and emoji names are not read as markup, in a cell, a heading or a title."""
    view = View(title=text, columns=(Column(text), Column("n", "number")), rows=((text, 1),))
    assert printed(view) == f"{text}\n{text}  n\n{text}  1"


def test_text_of_several_lines_is_one_cell() -> None:
    """The lines of a cell stand below each other, in their column."""
    view = View(title="", columns=(Column("options"), Column("line", "number")), rows=(("- a\n- b", 3), ("c", 4)))
    assert printed(view) == "options  line\n- a         3\n- b\nc           4"


def test_cells_have_the_format_of_their_column() -> None:
    """Numbers and intervals stand to the right; what is not known is named."""
    view = View(
        title="scores",
        columns=(Column("prompt"), Column("score", "number", ".3f"), Column("95% interval", "bar", "+.2f")),
        rows=(
            ("default", 0.5, Bar(0.5, 0.25, 0.75)),
            ("winner", math.nan, Bar(math.nan, math.nan, math.nan)),
            (Pieces((("cue=A", True), ("flag=no", False))), None, Bar(0.0, -0.1, 0.1)),
        ),
    )
    assert printed(view) == (
        "scores\n"
        "prompt            score    95% interval\n"
        "default           0.500  +0.25 to +0.75\n"
        "winner          unknown         unknown\n"
        "cue=A, flag=no  unknown  -0.10 to +0.10"
    )


def test_long_heading_of_a_number_takes_several_lines() -> None:
    """A heading is not wider than an interval, because prompts need the width."""
    view = View(title="", columns=(Column("USD per 1,000 rows", "number", ".2f"), Column("prompt")), rows=((1.5, "a"),))
    assert printed(view) == "   USD per\n1,000 rows  prompt\n      1.50  a"


def test_numbers_are_never_folded() -> None:
    """Where the terminal is narrow, texts stand below the numbers, folded between words."""
    view = View(
        title="", columns=(Column("trial", "number"), Column("differs in")), rows=((123456, "cue=Answer the question"),)
    )
    assert printed(view, 24) == " trial\n      differs in\n123456\n      cue=Answer the\n      question"


def test_control_characters_are_shown() -> None:
    """A prompt cannot move the cursor, change colours or turn the direction of a line."""
    view = View(title="a\x07", columns=(Column("b\x1b[2J"),), rows=(("c\r\u202ed\te\x9b",),))
    assert printed(view) == "a\\x07\nb\\x1b[2J\nc\\x0d\\u202ed e\\x9b"


def test_every_line_of_a_command_goes_through_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, answers and files are said with their control characters shown; no command prints around that."""
    say("study \x1b]52;c;eA==\x07 \x9b\u202e", err=True)
    assert capsys.readouterr().err == "study \\x1b]52;c;eA==\\x07 \\x9b\\u202e\n"
    files = Path(cli.__file__).parent.rglob("*.py")
    around = [file.name for file in files if re.search(r"typer\.echo\(|(?<!\w)print\(", file.read_text("utf-8"))]
    assert around == ["terminal.py"]


def test_highlighted_row_is_bold() -> None:
    """A row that stands out is bold, without a colour."""
    view = View(title="", columns=(Column("prompt"),), rows=(("a",), ("b",)), highlighted=frozenset({1}))
    _, first, second = printed(view, styled=True).splitlines()
    assert first == "a"
    assert second == "\x1b[1mb\x1b[0m"
