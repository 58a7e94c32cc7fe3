"""HTML pieces: nothing from outside becomes markup, and what is shown is what was given."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search import _html
from tests.html_examples import HOSTILE, Page


@given(st.text())
def test_text_comes_back(content: str) -> None:
    """Every printable text is what a reader of the page gets, carriage returns and leading line ends included."""
    shown = content.translate(_html._UNPRINTABLE)
    page = Page(_html.exact(content))
    assert page.blocks == [shown]
    assert page.tags == ["pre"]


@given(st.text())
def test_white_space_is_written_out(content: str) -> None:
    """Nothing invisible is left but the line ends, and what is visible stays."""
    shown = _html.visible(content)
    assert not set(shown) & set(" \t\r\xa0\u200b\u202e\ufeff")
    assert shown.count("\n") == content.count("\n")
    letters = [character for character in content if character.isalnum()]
    assert [character for character in shown if character in letters or character.isalnum()][:1] != [] or not letters


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\xa0", "\ufeff", "\U000e0041", "\x1b"])
def test_hidden_characters_are_named(hidden: str) -> None:
    """Zero widths, changes of direction and other spaces are told by their number."""
    assert _html.visible(f"a{hidden}b") in (f"a\\u{ord(hidden):04x}b", f"a\\U{ord(hidden):08x}b")


def test_fill_escapes_all_but_markup() -> None:
    """Places are filled with text; braces in it are no places."""
    made = _html.fill("<b>{}</b>{x}", HOSTILE, x=_html.Markup("<i>ok</i>"))
    page = Page(made)
    assert page.tags == ["b", "i"]
    assert "{{ x }} {0}" in made


def test_table_and_messages_escape() -> None:
    """Captions, heads, cells and roles are text."""
    page = Page(_html.table(HOSTILE, (HOSTILE, "n"), [(HOSTILE, 1.5)], ["n"]))
    assert set(page.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert page.texts["td"] == [HOSTILE, "1.5"]
    page = Page(_html.messages([("user", HOSTILE), ("<b>", "\n\nx")]))
    assert "script" not in page.tags
    assert page.blocks == [HOSTILE, "\n\nx", _html.visible(HOSTILE), _html.visible("\n\nx")]


@given(*[st.floats(-5, 5)] * 3)
def test_bar_stays_inside(mean: float, low: float, high: float) -> None:
    """A bar never leaves its track, and marks 0 where it lies inside."""
    made = _html.bar(mean, low, high, **_html.scale([low], [high]))
    numbers = [float(value or 0) for name, value in Page(made).attributes if name in ("x", "x1", "x2")]
    assert all(0 <= number <= 100 for number in numbers)
    assert ("zero" in made) == (low < 0)


def test_unknown_interval_has_no_bar() -> None:
    """NaN is left out."""
    assert _html.bar(0.5, math.nan, math.nan) == ""
    assert _html.scale([math.nan], [math.nan]) == {"least": 0.0, "most": 1.0}


def test_diff_marks_lines_whatever_they_begin_with() -> None:
    """A removed line that begins with dashes is one, too."""
    made = _html.diff("--- this\n+++ other\n@@ -1 +1 @@\n--- a\n+<b>\n same")
    page = Page(made)
    assert page.tags == ["pre", "span", "del", "ins", "span"]
    assert "<del>--- a\n</del><ins>+&lt;b&gt;\n</ins>" in made
    assert _html.diff("") == "<pre></pre>"


def test_notebooks_leave_dollars_alone() -> None:
    """What a notebook shows has the classes that keep MathJax from reading prices as formulas."""
    shown = Page(_html.block("from $5 to $6"))
    assert shown.attributes[0] == ("class", "ps mathjax_ignore tex2jax_ignore")


def test_verdict_stands_before_its_headline() -> None:
    """A verdict where there is one, then the headline line by line, escaped."""
    assert _html.verdict("better", "<a>\nb") == (
        '<div class="verdict"><b>better</b></div><div>&lt;a&gt;</div><div>b</div>'
    )
    assert _html.verdict("", "b") == "<div>b</div>"


def test_details_open_on_demand() -> None:
    """What is shown on demand is closed at first."""
    assert _html.details("<more>", _html.text("x")) == "<details><summary>&lt;more&gt;</summary>x</details>"
