"""Tables in lines of a given width: nothing is wider, no word is broken, and nothing hostile reaches a terminal."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search._printable import printable
from prompt_search.results.lines.layout import Shown, columns, folded, lay_out
from prompt_search.results.view import to_lines
from prompt_search.results.views import ranking_view, told_apart
from tests.conftest import Body, InProcessExecutor, prompt_of
from tests.results.examples import data

WORDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
TEXTS = st.lists(WORDS, max_size=30).map(" ".join)
NUMBERS = st.floats(-1e6, 1e6).map("{:.3f}".format)


@st.composite
def tables(draw: st.DrawFn) -> list[Shown]:
    """Up to twelve columns of numbers and texts."""
    rows = draw(st.integers(1, 4))
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=12))
    return [
        Shown(
            draw(WORDS),
            left,
            [(draw(TEXTS if left else NUMBERS),) for _ in range(rows)],
            spare=draw(st.booleans()),
            lines=draw(st.none() | st.integers(1, 3)),
        )
        for left in kinds
    ]


@given(tables(), st.integers(40, 130))
def test_no_line_is_wider_than_the_terminal(shown: list[Shown], width: int) -> None:
    """Whatever the columns hold."""
    assert all(columns(line) <= width for line, _ in lay_out(shown, frozenset({0}), width))


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(24, 100))
def test_no_word_is_broken(words: list[str], width: int) -> None:
    """The words of the lines are those of the text, in their order."""
    lines = folded(" ".join(words), width)
    assert " ".join(lines).split() == " ".join(words).split()
    assert all(columns(line) <= width for line in lines)


@given(st.text())
def test_terminals_get_only_what_can_be_seen(text: str) -> None:
    """No control character but the line end is left, and nothing that turns the direction."""
    shown = printable(text)
    assert not [each for each in shown if each != "\n" and (ord(each) < 32 or 127 <= ord(each) < 160)]
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069")


def many_choices(body: Body) -> str:
    """The right answer with a chance that the wording decides."""
    prompt = prompt_of(body)
    right, wrong = ("positive", "negative") if "good thing" in prompt else ("negative", "positive")
    return right if zlib.crc32(prompt.encode()) % 10 < 4 + 2 * prompt.count("care") else wrong


def test_ten_prompts_take_thirty_lines(fake: InProcessExecutor) -> None:
    """At 80 columns ten prompts of many choices with long options have at most 30 lines, and no word is broken."""
    fake.answer = many_choices
    names = [f"part_of_the_prompt_{number}" for number in range(9)]
    options = ["", "Read the text with care before you answer it, then answer", "Read the text with care, and answer"]
    source = " ".join(f'{{{{ choice("{name}", options) }}}}' for name in names) + " {{ row.text }}"
    study = ps.Study(
        template=ps.Template(source, context={"options": options}), data=data(), model=fake.model(), executor=fake
    )
    result = study.run(400)
    view = ranking_view(result)
    lines = [line for line, _ in to_lines(view, 80)]
    assert len(view.rows) == 10
    assert len(lines) <= 30
    assert max(map(columns, lines)) <= 80
    whole = " ".join(" ".join(row) for row in view.texts) + " and more"
    for line in lines[4:]:
        assert set(line.replace(",", " ").split()) <= {*whole.replace(",", " ").split(), *map(str, range(10))}


@pytest.mark.parametrize("width", [12, 16, 24])
def test_options_with_the_same_beginning_can_be_told_apart(width: int) -> None:
    """The part that differs is shown where the beginnings are the same."""
    first, second = "Read the text with care, then answer it", "Read the text with care, and answer it"
    shown = (told_apart(first, second, width), told_apart(second, first, width))
    assert shown[0] != shown[1]
    assert all(len(text) <= width for text in shown)
