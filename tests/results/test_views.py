"""The tables that people read: values of one kind a column, and three renderers of them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.results import views
from prompt_search.results.export import markdown
from prompt_search.results.view import Bar, Column, Pieces, View, to_html, to_markdown, to_text
from prompt_search.results.views import frame_view
from tests.conftest import InProcessExecutor
from tests.html_examples import HOSTILE, Page
from tests.results.examples import study, truth

TABLE = View(
    title="scores",
    columns=(Column("prompt"), Column("score", "number", ".3f"), Column("95% interval", "bar"), Column("differs in")),
    rows=(
        ("a|b", 0.5, Bar(0.5, 0.25, 0.75), Pieces((("cue=x", False), ("shots=3", True)))),
        (HOSTILE, None, Bar(math.nan, math.nan, math.nan), "(the default prompt)"),
    ),
)


@pytest.fixture(scope="module")
def result() -> ps.Result:
    """A finished study in memory, whose hostile option is the better one."""
    fake = InProcessExecutor()
    fake.answer = truth
    return study(fake).run(200)


def test_cells_have_the_format_of_their_column() -> None:
    """Numbers are formatted, intervals written out, and what is not known is called unknown."""
    assert TABLE.texts[0] == ["a|b", "0.500", "0.25 to 0.75", "cue=x, shots=3"]
    assert TABLE.texts[1][1:] == ["unknown", "unknown", "(the default prompt)"]


def test_columns_can_be_left_out() -> None:
    """Columns are left out by their title, rows after the first ones by their number."""
    short = TABLE.without("score", "no such column").head(1)
    assert short.texts == [["a|b", "0.25 to 0.75", "cue=x, shots=3"]]
    assert [column.title for column in short.columns] == ["prompt", "95% interval", "differs in"]


def test_html_marks_pieces_and_escapes_texts() -> None:
    """Marked pieces are marked, intervals are drawn and written, and hostile text is only text."""
    page = Page(to_html(TABLE))
    assert page.tags.count("mark") == 1
    assert page.tags.count("svg") == 1
    assert page.texts["td"][:4] == ["a|b", "0.500", " 0.25 to 0.75", "cue=x, shots=3"]
    assert "script" not in page.tags
    assert to_html(TABLE.head(0)) == ""


def test_markdown_aligns_numbers() -> None:
    """The Markdown table has one line per row, numbers to the right, and no text ends a cell."""
    lines = to_markdown(TABLE).splitlines()
    assert lines[:3] == [
        "| prompt | score | 95% interval | differs in |",
        "| --- | ---: | ---: | --- |",
        r"| a\|b | 0.500 | 0.25 to 0.75 | cue=x, shots=3 |",
    ]
    assert len(lines) == 4
    assert "<script" not in lines[3]
    assert to_markdown(TABLE.head(0)) == ""


def test_text_is_aligned() -> None:
    """In a fixed-width font numbers are aligned to the right and texts to the left."""
    assert to_text(TABLE.head(1)).splitlines() == [
        "prompt  score  95% interval  differs in",
        "a|b     0.500  0.25 to 0.75  cue=x, shots=3",
    ]


def test_views_of_a_result_have_a_cell_per_column(result: ps.Result) -> None:
    """Every shared table has rows, each with a cell for every column."""
    made = {
        "ranking": views.ranking_view(result),
        "detailed": views.ranking_view(result, None, width=60, detailed=True),
        "tested": views.tested_view(result),
        "effects": views.effects_view(result),
        "all effects": views.effects_view(result, None, shown_only=False),
        "pareto": views.pareto_view(result),
        "ledger": views.ledger_view(result),
        "labels": views.labels_view(result),
    }
    assert {name: len(view) > 0 for name, view in made.items()} == dict.fromkeys(made, True)
    assert all(len(row) == len(view.columns) for view in made.values() for row in view.rows)
    assert made["detailed"].highlighted == {0}
    assert [row[1] for row in made["tested"].rows] == [0, result.best_trial]
    assert views.interactions_view(result).rows == ()


def test_texts_from_outside_are_visible_in_every_format() -> None:
    """A response cannot colour a log, move a cursor or turn the line around, in Markdown and HTML either."""
    frame = pd.DataFrame({"response": ["a\x1b[31mred\u202e", "b\x9b"]})
    view = frame_view(frame)
    for text in (markdown(frame), to_markdown(view), str(to_html(view)), to_text(view)):
        assert not {"\x1b", "\u202e", "\x9b"} & set(text)
        assert "x1b" in text
        assert "u202e" in text
