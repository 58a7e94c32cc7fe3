"""What a running study shows: the words, the plain lines, the live line, and which of them is chosen."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from rich.cells import cell_len

from prompt_search.errors import InputError
from prompt_search.study.snapshot import Snapshot
from prompt_search.study.watching.progress import PLAIN_EVERY_S, choose_display, in_notebook, shown
from prompt_search.study.wording import interrupted, progress_line, seconds_text

SNAPSHOT = Snapshot(
    study="reviews",
    phase="exploring",
    trials=7,
    calls=120,
    limit=600,
    best=0.75,
    low=0.61234,
    high=0.85,
    errors=1,
    unparsed=3,
    cached=30,
    responses=120,
    usd=0.01234,
    seconds=45.0,
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_describe_names_everything() -> None:
    """Phase, trial, requests, best with interval, errors, cached share, cost, rate and time left are on one line."""
    assert progress_line(SNAPSHOT) == (
        "reviews: exploring, 7 trials, 120/600 calls, leader 0.750 (0.61 to 0.85), 1 error, 3 unparsed, 25% cached, "
        "$0.0123, 2.0 requests/s, 4 min 0 s left"
    )


def test_describe_names_the_leading_prompt() -> None:
    """The best is said with its rows, its trial, its lead over the default and what is different in it."""
    leading = replace(SNAPSHOT, leader=5, choices="cue=Answer:, shots=3", rows=20, lead=0.15, shared=20)
    assert (
        "leader 0.750 (0.61 to 0.85) on 20 rows: trial 5, +0.150 to the default, with cue=Answer:, shots=3, 1 error"
        in progress_line(leading)
    )
    assert "trial 5, -0.050 to the default on 10 rows of both, with" in progress_line(
        replace(leading, lead=-0.05, shared=10)
    )
    assert "on 20 rows: trial 5, 1 error" in progress_line(replace(leading, lead=None, shared=0))
    assert "on 20 rows: the default prompt, 1 error" in progress_line(replace(leading, leader=0, lead=None, choices=""))
    assert len(progress_line(replace(leading, choices="word " * 99))) < 300


def test_interruption_says_what_is_done_and_left() -> None:
    """Calls, candidates and the state of the test are named in each phase, and no rest without a limit."""
    assert interrupted(SNAPSHOT) == (
        "120 of 600 calls used, 7 candidates tried; left: 480 calls for the rest of the search and the test, which was "
        "not begun"
    )
    assert interrupted(replace(SNAPSHOT, phase="test", trials=1, limit=math.inf)) == (
        "120 calls used, 1 candidate tried, the search is done and the test had begun; left: the rest of the test"
    )
    assert interrupted(replace(SNAPSHOT, phase="done")) == (
        "120 of 600 calls used, 7 candidates tried, and the test is done"
    )


def test_describe_leaves_out_what_is_not_known() -> None:
    """Before the first answer there is no best, no cached share, rate or time left; an unknown price is said so."""
    start = replace(
        SNAPSHOT, best=None, low=None, high=None, errors=0, unparsed=0, cached=0, responses=0, calls=0, usd=math.nan
    )
    assert progress_line(start) == "reviews: exploring, 7 trials, 0/600 calls, 0 errors, 0 unparsed, cost unknown"


def test_describe_without_a_limit_in_calls() -> None:
    """Without a limit the calls are counted alone, and large numbers are grouped."""
    assert "12,345 calls, " in progress_line(replace(SNAPSHOT, limit=math.inf, calls=12345))
    assert "12,345/1,000,000 calls" in progress_line(replace(SNAPSHOT, limit=1_000_000, calls=12345))


def test_seconds_left_counts_paid_responses_only() -> None:
    """What was cached came at once and says nothing about the rate."""
    assert SNAPSHOT.seconds_left == pytest.approx((600 - 120) * 45 / 90)
    assert replace(SNAPSHOT, cached=120).seconds_left is None
    assert replace(SNAPSHOT, limit=math.inf).seconds_left is None
    assert replace(SNAPSHOT, limit=100).seconds_left == 0


def test_no_rate_is_told_before_it_is_known() -> None:
    """The first answers, and the first seconds, say nothing about the time that the others take."""
    for early in (replace(SNAPSHOT, seconds=0.4), replace(SNAPSHOT, responses=4, cached=0)):
        line = progress_line(early)
        assert early.seconds_left is None
        assert "requests/s" not in line
        assert " left" not in line


def test_nothing_is_left_at_the_end() -> None:
    """A study that is done tells its rate, which may be high or low, and no time left."""
    assert progress_line(replace(SNAPSHOT, phase="done")).endswith("$0.0123, 2.0 requests/s")
    assert progress_line(replace(SNAPSHOT, phase="done", seconds=0.5)).endswith("180 requests/s")
    assert progress_line(replace(SNAPSHOT, phase="done", seconds=900)).endswith("0.10 requests/s")
    assert progress_line(replace(SNAPSHOT, phase="done", seconds=0)).endswith("$0.0123")


@given(st.floats(min_value=0, max_value=1e7))
def test_seconds_text_loses_less_than_its_unit(seconds: float) -> None:
    """Read back, the text is the time to within a second, or a minute from one hour on."""
    units = {"s": 1, "min": 60, "h": 3600}
    words = seconds_text(seconds).split()
    back = sum(int(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(back - seconds) <= (60 if seconds >= 3599 else 0.5)


def test_display_is_chosen_by_the_stream() -> None:
    """A terminal gets the live line, anything else plain lines, and a word decides over both."""
    assert choose_display(None, Terminal()) == "rich"
    assert choose_display(None, io.StringIO()) == "plain"
    assert choose_display("none", Terminal()) == "none"
    assert choose_display("rich", io.StringIO()) == "rich"


def test_display_looks_at_the_standard_error_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error may be replaced after the module was imported."""
    monkeypatch.setattr("sys.stderr", Terminal())
    assert choose_display(None) == "rich"


def test_unknown_display_is_refused() -> None:
    """Another word is refused with those there are."""
    with pytest.raises(InputError, match="a display must be rich, plain or none, got 'fancy'"):
        choose_display("fancy")


def test_none_shows_nothing() -> None:
    """No display is no callable at all."""
    stream = io.StringIO()
    with shown("none", stream) as progress:
        assert progress is None
    assert stream.getvalue() == ""


def test_plain_lines_come_with_phases_and_every_few_seconds() -> None:
    """A line is written when the phase changes, and within a phase only after some seconds."""
    stream, clock = io.StringIO(), Clock()
    with shown("plain", stream, clock) as progress:
        assert progress is not None
        progress(SNAPSHOT)
        clock.now = PLAIN_EVERY_S - 1
        progress(replace(SNAPSHOT, calls=121))
        clock.now = PLAIN_EVERY_S
        progress(replace(SNAPSHOT, calls=122))
        progress(replace(SNAPSHOT, calls=123, phase="finalists"))
    lines = stream.getvalue().splitlines()
    assert [line.split(" calls")[0] for line in lines] == [
        "reviews: exploring, 7 trials, 120/600",
        "reviews: exploring, 7 trials, 122/600",
        "reviews: finalists, 7 trials, 123/600",
    ]
    assert "\x1b" not in stream.getvalue()


def test_progress_shows_control_characters() -> None:
    """A name or an option of a template may hold what a terminal would obey: it stands there in visible form."""
    line = progress_line(replace(SNAPSHOT, study="a\x1b[31m\u202eb", leader=3, lead=0.1, choices="cue=\x07"))
    assert line.startswith("a\\x1b[31m\\u202eb: exploring, 7 trials")
    assert line.isprintable()


def drawn(monkeypatch: pytest.MonkeyPatch, study: str, columns: int) -> str:
    """All that a live view writes to a terminal of so many columns, for one snapshot of a study of that name."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    with shown("rich", stream) as progress:
        assert progress is not None
        progress(replace(SNAPSHOT, study=study))
    return stream.getvalue()


def test_live_line_is_literal_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal the line is drawn over, brackets in a name are no markup, and nothing remains."""
    written = drawn(monkeypatch, "the [bold]big[/bold] one [/]", 200)
    assert "the [bold]big[/bold] one [/]: exploring, 7 trials, 120/600 calls" in written
    assert written.rstrip("\n").endswith("\x1b[2K")  # the last thing done is to erase


CONTROL = r"\r|\x1b\[[0-9;?]*[A-Za-z]"

LIVE = {
    80: """\
the [b]long[/b] name of a study 😀: exploring, 7 trials, 120/600 calls,
leader 0.750 (0.61 to 0.85), 1 error, 3 unparsed, 25% cached, $0.0123,
2.0 requests/s, 4 min 0 s left
━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
""",
    120: """\
the [b]long[/b] name of a study 😀: exploring, 7 trials, 120/600 calls, leader 0.750 (0.61 to 0.85),
1 error, 3 unparsed, 25% cached, $0.0123, 2.0 requests/s, 4 min 0 s left
━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
""",
}


@pytest.mark.parametrize("columns", [80, 120])
def test_live_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """At 80 and 120 columns lines are broken between what they tell, and a redrawn view erases all of them first."""
    written = drawn(monkeypatch, "the [b]long[/b] name of a study 😀", columns)
    assert LIVE[columns] in re.sub(CONTROL, "", written)
    assert written.count("\x1b[2K") >= LIVE[columns].count("\n")


def test_live_line_folds_a_name_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of any length, in letters two cells wide, stays inside the terminal."""
    written = re.sub(CONTROL, "", drawn(monkeypatch, "語" * 100, 80))
    assert written.count("語") >= 100
    assert max(map(cell_len, written.splitlines())) <= 80


def test_live_line_writes_nothing_where_there_is_no_terminal() -> None:
    """Asked for in a pipe, the live line leaves the pipe clean."""
    stream = io.StringIO()
    with shown("rich", stream) as progress:
        assert progress is not None
        progress(SNAPSHOT)
        progress(replace(SNAPSHOT, limit=math.inf))
    assert stream.getvalue().strip() == ""


def test_notebook_shows_where_a_study_stands() -> None:
    """Below a notebook's cell one view is updated, told from the study's own thread; it escapes names and stays."""
    source = """
import math, threading
from prompt_search.study.watching.progress import Snapshot, in_notebook
show = in_notebook()
snapshot = Snapshot(study="<b>s</b>", phase="exploring", trials=7, calls=120, limit=600, best=0.5, low=0.4, high=0.6,
    errors=0, unparsed=0, cached=0, responses=120, usd=0.0, seconds=45.0)
import dataclasses
def work():
    show(snapshot)
    show(dataclasses.replace(snapshot, phase="done", calls=600))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    cell = nbformat.v4.new_code_cell(source=source)  # type: ignore[no-untyped-call]
    notebook = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]

    NotebookClient(notebook, timeout=60).execute()

    (shown_last,) = (output["data"] for output in notebook.cells[0]["outputs"])
    assert "<b>s</b>: done, 7 trials, 600/600 calls" in shown_last["text/plain"]
    assert '<progress max="600" value="600"></progress><div>&lt;b&gt;s&lt;/b&gt;: done' in shown_last["text/html"]


def test_no_notebook_no_view() -> None:
    """Elsewhere nothing is shown without being asked for."""
    assert in_notebook() is None
