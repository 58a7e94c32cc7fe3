"""The command line, against a server that speaks OpenAI's protocol: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.cli import commands
from tests.conftest import FakeServer, failure

# The package is found from any working directory, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ps.__file__).parents[1])}
KEY = "sk-test-MARKED-1234567890"
CALLS = 60
TEMPLATE = """{% chat role="user" %}
{{ choice("instruction", ["Judge the [review].", "What is the <b>sentiment</b>?", "Fill in {{ this }} [/] please."]) }}
{% if flag("list_labels") %}
Labels: {{ labels | join(", ") }}
{% endif %}
{{ row.text }}
{{ choice("cue", ["Label:", "Answer:"]) }}
{% endchat %}
"""
STUDY = """from pathlib import Path

import prompt_search as ps

HERE = Path(__file__).parent
data = ps.Dataset.read(HERE / "reviews.csv", target="label")
study = ps.Study(
    template=ps.Template.read(HERE / "template.j2"),
    data=data,
    model=ps.Model("fake", base_url="BASE_URL"),
    name="reviews",
)
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    def told(self, code: int) -> str:
        """The one line on standard error of a command that ended with ``code``."""
        assert self.code == code, self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("reviews: ")]  # progress
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "argv", ["prompt-search", *arguments])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        out, err = capsys.readouterr()
        return Ran(ended.value.code or 0, out, err)

    return run


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "prompt_search.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def finished(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


def sentiment(body: Any) -> str:
    """Always right after one instruction, often wrong after the others."""
    prompt = body["messages"][-1]["content"]
    truth, other = ("positive", "negative") if "good" in prompt else ("negative", "positive")
    return truth if "sentiment" in prompt or zlib.crc32(prompt.encode()) % 10 < 5 else other


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Path:
    """A folder with a study, its template and its data, and the working directory."""
    lines = [f"film {i} was {'good' if i % 2 else 'bad'},{'positive' if i % 2 else 'negative'}" for i in range(48)]
    (tmp_path / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    (tmp_path / "template.j2").write_text(TEMPLATE)
    (tmp_path / "study.py").write_text(STUDY.replace("BASE_URL", str(server.model().base_url)))
    server.answer = sentiment
    monkeypatch.chdir(tmp_path)
    return tmp_path


def responses(project: Path) -> int:
    with sqlite3.connect(project / "prompt_search.db") as connection:
        (count,) = connection.execute("select count(*) from prompt_search_responses").fetchone()
    connection.close()
    return int(count)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


# What a run prints


def test_run_shows_ranking_sealed_rows_cost_and_how_to_export(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A run ends with ranked prompts, default and winner on sealed rows, cost, and the export line."""
    ran = command("run", "study.py", "--calls", str(CALLS))
    assert ran.code == 0, ran.err
    assert re.search(r"rank +trial +score +95% interval +rows +tokens", ran.out)
    assert re.search(r"baseline \(all first options\) +0 +0\.\d{3} +0\.\d\d to \d\.\d\d +\d+", ran.out)
    assert re.search(r"winner +\d+ +\d\.\d{3} ", ran.out)
    assert "price unknown" in ran.out
    assert ran.out.endswith("export the winner: prompt-search export reviews -o best.j2\n")
    assert CALLS - 1 <= server.count <= CALLS  # the sealed rows are asked in pairs
    assert server.repeated == []
    assert f"{server.count} calls of fake" in ran.out
    assert "\x1b" not in ran.out + ran.err
    assert all(line.startswith("reviews: ") for line in ran.err.splitlines())


def test_second_run_sends_nothing_and_prints_the_same(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A finished run, run again, answers from the store."""
    first = command("run", "study.py", "--calls", str(CALLS))
    sent = server.count
    second = command("run", "study.py", "--calls", str(CALLS))
    assert server.count == sent
    seconds = re.compile(r"\d+ s\)")
    assert seconds.sub("", second.out) == seconds.sub("", first.out)


def test_known_price_is_shown_per_thousand_rows(command: Callable[..., Ran], project: Path) -> None:
    """With a price the table has the cost of 1,000 rows, which candidates of different lengths are compared by."""
    study = (project / "study.py").read_text()
    (project / "study.py").write_text(
        re.sub(r'(ps\.Model\("fake", base_url="[^"]+")', r"\1, price=ps.Price(prompt=1000, completion=0)", study)
    )
    ran = command("run", "study.py", "--calls", str(CALLS))
    assert ran.code == 0, ran.err
    assert "1,000 rows" in ran.out
    assert re.search(r"\([\d,]+ tokens, \$\d", ran.out)
    assert "unknown" not in ran.out


def test_prompts_are_printed_literally(command: Callable[..., Ran], project: Path) -> None:
    """Brackets, tags and braces in a prompt are not read as markup, in tables, in the prompt and in the space."""
    command("run", "study.py", "--calls", str(CALLS))
    listed = command("space", "study.py").out
    assert "Judge the [review]." in listed
    assert "What is the <b>sentiment</b>?" in listed
    assert "Fill in {{ this }} [/] please." in listed
    shown = command("show").out
    assert "instruction=What is the <b>sentimen…" in shown
    assert shown.split("the winner's prompt:")[1].strip().startswith("What is the <b>sentiment</b>?")
    assert "{{ row.text }}" in shown


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_width(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """No line of a table is longer than the terminal, and no column but the last is folded."""
    monkeypatch.setenv("COLUMNS", str(width))
    command("run", "study.py", "--calls", str(CALLS))
    shown = command("show").out
    table = shown.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= width
    assert "differs from the default in" in table[1]


def test_columns_that_is_no_number_is_ignored(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken COLUMNS does not break the output."""
    monkeypatch.setenv("COLUMNS", "wide")
    assert command("space", "study.py").code == 0


def test_no_color_is_honoured_in_a_terminal(project: Path, server: FakeServer) -> None:
    """In a terminal with NO_COLOR the output has no colours, and the live line leaves nothing behind."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prompt_search.cli", "run", "study.py", "--calls", "30"],
        stdout=slave,
        stderr=slave,
        env={**ENVIRONMENT, "NO_COLOR": "1", "TERM": "xterm-256color"},
    )
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not part:
            break
        written += part
    os.close(master)
    assert process.wait(timeout=60) == 0, written
    text = written.decode()
    assert "requests" in text
    assert not re.search(r"\x1b\[[\d;]*(?:3|4|9|10)[0-8][;m]", text)


def test_pipe_that_is_closed_early_is_no_traceback(project: Path, command: Callable[..., Ran]) -> None:
    """A reader that stops reading, such as head, ends the command quietly."""
    command("run", "study.py", "--calls", str(CALLS))
    process = started("show")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


# Options of a run


def test_changed_template_is_refused_with_the_difference(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A stored study is not continued with another template; --fresh and --name start another one."""
    command("run", "study.py", "--calls", str(CALLS))
    sent = server.count
    edit(project / "template.j2", "Answer:", "Verdict:")
    told = command("run", "study.py", "--calls", str(CALLS)).told(2)
    assert "Answer:" in told
    assert "Verdict:" in told
    assert "--fresh" in told
    assert server.count == sent
    assert command("run", "study.py", "--calls", str(CALLS), "--name", "other").code == 0
    assert command("run", "study.py", "--calls", str(CALLS), "--fresh").code == 0
    assert server.repeated == []
    assert [line.split(":")[0] for line in command("list").out.splitlines()] == ["other", "reviews"]


def test_limit_uses_the_first_rows_only(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """--limit takes the first rows of the data."""
    assert command("run", "study.py", "--calls", str(CALLS), "--limit", "12").code == 0
    asked = {re.search(r"film (\d+) was", body["messages"][-1]["content"])[1] for body in server.bodies}  # type: ignore[index]
    assert {int(film) for film in asked} <= set(range(12))


def test_model_and_base_url_replace_the_study_s(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """-m asks another model, --base-url another server."""
    base_url = str(server.model().base_url)
    edit(project / "study.py", f'ps.Model("fake", base_url="{base_url}")', 'ps.Model("gpt-4o-mini")')
    assert command("run", "study.py", "--calls", "30", "-m", "another", "--base-url", base_url).code == 0
    assert {body["model"] for body in server.bodies} == {"another"}
    ran = command("run", "study.py", "--calls", "30", "--base-url", base_url, "--name", "second")
    assert ran.code == 0, ran.err
    assert {body["model"] for body in server.bodies} == {"another", "gpt-4o-mini"}


def test_base_url_alone_needs_a_single_model(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """--base-url cannot say which of two models it is for."""
    study = (project / "study.py").read_text()
    (project / "study.py").write_text(re.sub(r"model=.*", 'model=ps.choice(["a", "b"]),', study))
    told = command("run", "study.py", "--calls", "30", "--base-url", str(server.model().base_url)).told(2)
    assert "--base-url alone fits a study with one model; give --model too" in told
    assert server.count == 0


def test_min_score_decides_the_exit_code(command: Callable[..., Ran], project: Path) -> None:
    """A winner below --min-score ends with 3, at or above it with 0."""
    below = command("run", "study.py", "--calls", str(CALLS), "--min-score", "1.1")
    assert "is below --min-score 1.1" in below.told(3)
    assert "export the winner" in below.out
    assert command("run", "study.py", "--calls", str(CALLS), "--min-score", "0.2").code == 0


@pytest.mark.parametrize("calls", ["1", "5"])
def test_budget_without_a_verdict_ends_with_4(command: Callable[..., Ran], project: Path, calls: str) -> None:
    """A budget that leaves no sealed rows still prints what there is, says so, and ends with 4."""
    ran = command("run", "study.py", "--calls", calls)
    assert ran.code == 4
    assert (
        "reviews: There is no verdict, because the budget left too few calls for the test rows; give more calls."
        in ran.out.splitlines()
    )


def test_budget_may_be_in_seconds_or_tokens(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A budget in tokens stops sending once they are used."""
    ran = command("run", "study.py", "--tokens", "900", "--display", "none")
    assert ran.code in (0, 4), ran.err
    assert 0 < server.count < 200
    assert ran.err == ""


def test_folds_test_every_row_in_turn(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """With --folds the verdict is over all folds, the export of the search over all rows; the same line resumes."""
    line = ("run", "study.py", "--calls", "200", "--folds", "3", "--display", "none")
    ran = command(*line)
    assert ran.code == 0, ran.err
    assert "each tested by one of 3 searches that never saw it" in ran.out
    assert "reviews fold 3" in ran.out
    assert "prompt-search export 'reviews all rows'" in ran.out
    sent = server.count
    assert 0 < sent <= 200
    assert command(*line).out == ran.out
    assert server.count == sent
    assert "is below --min-score 1.1" in command(*line, "--min-score", "1.1").told(3)
    assert "at least 2 folds, not 1" in command("run", "study.py", "--calls", "200", "--folds", "1").told(2)


# Stored studies


def test_rescore_reads_anew_without_a_request(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A stored study is scored by the file's new metric; the result is stored beside the old one."""
    command("run", "study.py", "--calls", str(CALLS))
    sent = server.count
    text = (project / "study.py").read_text()
    (project / "study.py").write_text(text.replace("ps.Study(", "ps.Study(metric=lambda answer, row: 1.0, "))
    ran = command("rescore", "study.py")
    assert ran.code == 0, ran.err
    assert (
        "The responses of reviews were scored by <lambda> instead of exact; no request was sent."
        in ran.out.splitlines()
    )
    assert "winner" in ran.out
    assert server.count == sent
    assert command("list").out.count("\n") == 2
    assert "no study 'other'" in command("rescore", "study.py", "--of", "other").told(2)
    assert "no such database" in command("rescore", "study.py", "--storage", "sqlite:///none.db").told(2)


def test_preflight_advises_and_pays_into_the_run(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """It prints what it measured and advises, within 5% of the budget; the run after it repeats none of that."""
    ran = command("preflight", "study.py", "--calls", "400")
    assert ran.code == 0, ran.err
    assert 10 <= server.count <= 20
    assert ran.out.startswith("preflight of 'reviews': ")
    assert "  default prompt  " in ran.out
    assert ran.out.splitlines()[-1].startswith(("Go", "Don't"))
    before = server.count
    command("run", "study.py", "--calls", str(CALLS))
    assert server.count > before
    assert len(server.repeated) == 2  # what the preflight itself asked twice


def test_show_list_and_export(command: Callable[..., Ran], project: Path) -> None:
    """A stored study is found by name or alone, and its winner is written in every form."""
    ran = command("run", "study.py", "--calls", str(CALLS))
    shown = command("show", "reviews")
    assert shown.out.startswith(ran.out)
    assert command("list").out.startswith("reviews: ")
    row = {"text": "film 1 was good"}
    sent = None
    for suffix in ("j2", "json"):
        assert command("export", "-o", f"best.{suffix}").out == f"wrote best.{suffix}\n"
        messages = ps.Prompt.read(project / f"best.{suffix}").messages(row)
        assert sent in (None, messages)
        sent = messages
    assert command("export", "reviews", "--trial", "0", "-o", "default.j2").code == 0
    assert ps.Prompt.read(project / "default.j2").messages(row)[0]["content"].startswith("Judge the [review].")


def test_broken_study_is_listed_as_such(command: Callable[..., Ran], project: Path) -> None:
    """A study that cannot be read is one line of the list; the others are listed, shown and run as ever."""
    command("run", "study.py", "--calls", "30", "--name", "half")
    ran = command("run", "study.py", "--calls", "30", "--name", "good")
    with sqlite3.connect(project / "prompt_search.db") as connection:
        connection.execute("UPDATE prompt_search_studies SET summary = '[1]' WHERE study = 'half'")
    connection.close()
    told = (
        "study 'half' cannot be read: TypeError: its summary is no object; restore the storage, or run the study anew "
        "with fresh=True (--fresh)"
    )
    listed = command("list")
    assert (listed.code, listed.out.splitlines()[0]) == (0, f"half: damaged: {told}")
    assert listed.out.splitlines()[1].startswith("good: ")
    assert command("show", "good").out.startswith(ran.out)
    assert command("show", "half").told(2) == f"prompt-search: {told}"
    assert command("run", "study.py", "--calls", "30", "--name", "half").told(2) == f"prompt-search: {told}"
    anew = command("run", "study.py", "--calls", "30", "--name", "half", "--fresh")
    assert anew.code == ran.code
    assert [line.partition(":")[0] for line in command("list").out.splitlines()] == ["good", "half"]
    assert "damaged" not in command("list").out


def test_storage_option_is_in_the_export_line(command: Callable[..., Ran], project: Path) -> None:
    """The printed export command finds the study again, whatever its name and storage are."""
    storage = f"sqlite:///{project / 'my studies.db'}"
    ran = command("run", "study.py", "--calls", "30", "--storage", storage, "--name", "my first")
    line = ran.out.splitlines()[-1].removeprefix("export the winner: prompt-search ")
    written = subprocess.run(
        f"{sys.executable} -m prompt_search.cli {line}",
        shell=True,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert written.stdout == "wrote best.j2\n"
    assert (project / "best.j2").exists()


def test_space_of_study_and_template(command: Callable[..., Ran], project: Path) -> None:
    """The choices, their options and the number of candidates, of a study file and of a bare template."""
    for file in ("study.py", "study.py:study", "template.j2"):
        ran = command("space", file)
        assert ran.code == 0, ran.err
        assert "3 choices, 12 candidates" in ran.out
        assert re.search(r"list_labels +flag +no \| yes +3", ran.out)


def test_space_cuts_many_options(command: Callable[..., Ran], tmp_path: Path) -> None:
    """A choice of 720 orders does not fill the screen."""
    template = tmp_path / "orders.j2"
    template.write_text('{{ order("parts", ["a", "b", "c", "d", "e", "f"]) | join }}{{ row.text }}')
    ran = command("space", str(template))
    assert "- a > b > c > d > e > f" in ran.out
    assert "(and 700 more)" in ran.out
    assert "1 choices, 720 candidates" in ran.out


def test_unfinished_study_is_shown_as_such(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A study that was refused before its first answer can be listed and shown; it has nothing to export."""
    server.fail_after = 0
    assert command("run", "study.py", "--calls", str(CALLS)).code == 1
    assert "unfinished" in command("list").out
    shown = command("show")
    assert shown.code == 0, shown.err
    assert "unfinished" in shown.out
    assert "none is scored yet; run the study first" in command("export").told(2)


def test_finished_study_survives_a_longer_run_that_fails(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A second run with more calls that is refused leaves a study that can be shown and continued.

    What the shorter run asked for its finalists counts against the longer run's calls, so that one needs room.
    """
    assert command("run", "study.py", "--calls", "40").code == 0
    server.fail_after = server.count + 5
    assert command("run", "study.py", "--calls", str(2 * CALLS)).code == 1
    shown = command("show")
    assert shown.code == 0, shown.err
    server.fail_after = None
    ran = command("run", "study.py", "--calls", str(2 * CALLS))
    assert ran.code == 0, ran.err
    assert responses(project) <= 2 * CALLS


# Bad input: one line, exit code 2, nothing sent


def refused(ran: Ran, server: FakeServer, *parts: str) -> None:
    told = ran.told(2)
    for part in parts:
        assert part in told, told
    assert server.count == 0


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("text,verdict\na,b\n", ("reviews.csv", "no target column 'label'", "text, verdict")),
        ("", ("reviews.csv", "the file is empty")),
        ("text,label\n", ("reviews.csv", "there are no rows")),
        ("text,label\na,x\nb,\n", ("reviews.csv line 3", "the target 'label' is empty", "drop the row")),
        ("text,label\na,x\nb,nan\n", ("reviews.csv line 3", "the target 'label' is empty")),
        ("text,label\n" + "".join(f"a{i},x\n" for i in range(9)), ("study.py line 7", "two")),
        ("text,label\na,x\nb,y,z\n", ("reviews.csv line 3", "3 fields")),
        ("text,label\na,x\nb,y\nc,x\n", ("study.py line 7", "at least 4 rows")),
    ],
)
def test_bad_csv(
    command: Callable[..., Ran], project: Path, server: FakeServer, content: str, parts: tuple[str, ...]
) -> None:
    """What is wrong with the data is told with file and line."""
    (project / "reviews.csv").write_text(content)
    refused(command("run", "study.py", "--calls", "30"), server, *parts)


def test_broken_jsonl(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A line of a jsonl file that is not JSON is named."""
    (project / "reviews.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": \n')
    edit(project / "study.py", "reviews.csv", "reviews.jsonl")
    refused(command("run", "study.py", "--calls", "30"), server, "reviews.jsonl line 2", "not valid JSON")


def test_duplicate_rows_across_given_splits(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A row that the user put on both sides is named with both lines."""
    rows = [f"film {i},{'xy'[i % 2]},{'search' if i < 8 else 'test'}" for i in range(12)]
    (project / "reviews.csv").write_text("text,label,part\n" + "\n".join([*rows, "FILM  3,y,test"]) + "\n")
    edit(project / "study.py", 'target="label"', 'target="label", split="part"')
    refused(command("run", "study.py", "--calls", "30"), server, "reviews.csv line 14", "repeats line 5")


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("{{ row.text }}\n{% if %}", ("template.j2 line 2", "template syntax")),
        ("{{ row.text }}\n{{ nothing }}", ("template.j2 line 2", "undefined variable 'nothing'", "context=")),
        ("{{ row.title }}", ("template.j2 line 1", "no field 'title'", "text")),
        ("{{ row.text }} {{ row.label }}", ("template.j2 line 1", "the target")),
        ('{{ row.text }}\n{{ choice("a", []) }}', ("template.j2 line 2", "at least one option")),
        (
            '{{ row.text }}{{ choice("a", ["x"]) }}\n{{ choice("a", ["y"]) }}',
            ("template.j2 line", "'a' has two", "rename one"),
        ),
        ('{{ row.text }}\n{{ choice("a", [row.text]) }}', ("template.j2 line 2", "depend", "row")),
        ('{{ row.text }}{{ choice("a", ["x", "x"]) }}', ("template.j2 line 1", "given twice")),
        (
            '{{ row.text }}{% if false %}\n{{ choice("a", ["x", "y"]) }}{% endif %}',
            ("template.j2 line 2", "never reached"),
        ),
    ],
)
def test_bad_template(
    command: Callable[..., Ran], project: Path, server: FakeServer, source: str, parts: tuple[str, ...]
) -> None:
    """What is wrong with the template is told with its line, by run and by space."""
    (project / "template.j2").write_text(source)
    refused(command("run", "study.py", "--calls", "30"), server, *parts)
    refused(command("space", "study.py"), server, *parts)


@pytest.mark.parametrize(
    ("study", "parts"),
    [
        ("x = 1\nraise ValueError('no  such\\nthing')\n", ("study.py line 2", "ValueError: no such thing")),
        ("def broken(:\n", ("study.py line 1", "SyntaxError")),
        ("import not_a_module_at_all\n", ("study.py line 1", "ModuleNotFoundError", "not_a_module_at_all")),
        ("x = 1\n", ("study.py", "there is no Study in it", "study = ps.Study(...)")),
        ("raise SystemExit('bye')\n", ("study.py", "ended the program with 'bye'")),
    ],
)
def test_bad_study_file(
    command: Callable[..., Ran], project: Path, server: FakeServer, study: str, parts: tuple[str, ...]
) -> None:
    """What a study file does wrong is told with its line."""
    (project / "study.py").write_text(study)
    refused(command("run", "study.py", "--calls", "30"), server, *parts)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('name="reviews",', 'name="reviews", metric=ps.metrics.Exact(column="gold"),', ("exact", "'gold'", "label")),
        ('name="reviews",', 'name="reviews", answer=ps.Label(["one"]),', ("study.py line 11", "two labels", "one")),
        ('name="reviews",', 'name="",', ("study.py line", "a study needs a name")),
        ('name="reviews",', "nme='reviews',", ("study.py line", "TypeError", "nme")),
        ('read(HERE / "reviews.csv"', 'read(HERE / "gone.csv"', ("study.py line 6", "gone.csv", "does not exist")),
        ('read(HERE / "template.j2"', 'read(HERE / "gone.j2"', ("study.py line", "gone.j2", "cannot read")),
    ],
)
def test_bad_settings(
    command: Callable[..., Ran], project: Path, server: FakeServer, old: str, new: str, parts: tuple[str, ...]
) -> None:
    """What is wrong with a study's settings is told with the line of the study file."""
    edit(project / "study.py", old, new)
    refused(command("run", "study.py", "--calls", "30"), server, *parts)


def test_error_in_an_imported_file_names_the_study_s_line(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """Where a module beside the study raises, the line that imports it is named."""
    (project / "helper_of_the_study.py").write_text("\n\n1 / 0\n")
    edit(project / "study.py", "import prompt_search as ps", "import prompt_search as ps\nimport helper_of_the_study")
    refused(command("run", "study.py", "--calls", "30"), server, "study.py line 4", "ZeroDivisionError")


def test_one_of_several_studies_is_chosen_by_name(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """FILE.py:name takes that study; without a name several are refused, and a wrong name lists them."""
    edit(project / "study.py", "study = ps.Study(", "first = ps.Study(")
    with (project / "study.py").open("a") as file:
        file.write("second = first.replace(name='second')\n")
    refused(command("space", "study.py"), server, "'study'", "study.py:first, study.py:second")
    refused(command("space", "study.py:third"), server, "'third'", "study.py:first, study.py:second")
    assert command("space", "study.py:second").code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "study.py"], ("needs a budget", "--calls")),
        (["run", "study.py", "--calls", "-5"], ("--calls", "greater than or equal to 1", "prompt-search run --help")),
        (["run", "study.py", "--calls", "many"], ("--calls", "integer")),
        (["run", "study.py", "--usd", "-1"], ("positive", "usd=-1")),
        (["run", "study.py", "--seconds", "0"], ("positive", "seconds=0")),
        (["run", "study.py", "--calls", "30", "--display", "fancy"], ("rich, plain or none", "'fancy'")),
        (["run", "study.py", "--calls", "30", "--colour"], ("No such option", "--colour")),
        (["run", "study.py", "--calls", "30", "--limit", "2"], ("at least 4 rows",)),
        (["run", "study.py", "--calls", "30", "-m", " "], ("a model needs a name",)),
        (["run", "study.py", "--calls", "30", "--base-url", "host:80"], ("base_url", "http://")),
        (["run", "study.py", "--calls", "30", "-m", "gpt-4o-mini", "--base-url", "https://api.openai.com/v1"],
         ("OPENAI_API_KEY", "--model local")),
        (["run", "gone.py", "--calls", "30"], ("gone.py", "no such study file", "init")),
        (["run", "template.j2", "--calls", "30"], ("template.j2", "FILE.py")),
        (["space", "gone.j2"], ("gone.j2", "cannot read")),
        (["run", "study.py", "--calls", "30", "--storage", "sqlite:////no/folder/x.db"],
         ("/no/folder/x.db", "cannot be opened", "folder")),
        (["run", "study.py", "--calls", "30", "--storage", "study.db"], ("'study.db'", "sqlite:///study.db")),
        (["run", "study.py", "--calls", "30", "--storage", "sqlite:///reviews.csv"], ("not a database",)),
        (["show"], ("prompt_search.db", "no such database", "run a study first")),
        (["list"], ("prompt_search.db", "no such database")),
        (["export", "reviews"], ("prompt_search.db", "no such database")),
        (["init", "reviews.csv", "--target", "mood"], ("reviews.csv", "'mood'", "text, label")),
        (["init", "reviews.csv", "--target", "label"], ("study.py", "exists already", "--output")),
        (["init", "gone.csv", "--target", "label"], ("gone.csv", "does not exist")),
        (["init", "reviews.csv"], ("--target",)),
        (["nothing"], ("No such command", "nothing")),
        (["report"], ("prompt_search.db", "no such database")),
        (["compare", "a", "b"], ("prompt_search.db", "no such database")),
        (["show", "--table", "prices"], ("no table 'prices'", "trials, samples")),
        (["show", "-o", "x.csv"], ("give --table too",)),
    ],
)  # fmt: skip
def test_bad_command_line(
    command: Callable[..., Ran], project: Path, server: FakeServer, arguments: list[str], parts: tuple[str, ...]
) -> None:
    """What is wrong with the command line is told in one line."""
    refused(command(*arguments), server, *parts)


def test_reading_commands_make_no_database(command: Callable[..., Ran], project: Path) -> None:
    """Looking for a study where there is none leaves no file behind."""
    for arguments in (["show"], ["list"], ["export"], ["rescore", "study.py"], ["cache", "stats"]):
        assert command(*arguments).code == 2
    assert command("estimate", "study.py", "--calls", "30").code == 0
    assert command("run", "study.py", "--calls", "30", "--dry-run").code == 0
    assert command("list", "--storage", "sqlite+pysqlite:///prompt_search.db").code == 2
    assert not list(project.glob("*.db*"))


def test_bad_requests_to_a_stored_study(command: Callable[..., Ran], project: Path) -> None:
    """An unknown study, trial or suffix, and a name left out where there are two, are told."""
    command("run", "study.py", "--calls", "30")
    assert "no study 'other'" in command("show", "other").told(2)
    assert "stored: 'reviews'" in command("export", "other").told(2)
    assert ".j2, .json, .txt, .py, got '.pdf'" in command("export", "-o", "best.pdf").told(2)
    assert "no trial 999; there are 0 to" in command("export", "--trial", "999").told(2)
    assert "cannot write" in command("export", "-o", "no/folder/best.j2").told(2)
    command("run", "study.py", "--calls", "30", "--name", "second")
    assert "the storage holds 2 studies; name one of reviews, second" in command("show").told(2)


def test_command_without_arguments_shows_its_help(command: Callable[..., Ran]) -> None:
    """Alone, the command says what it can do."""
    ran = command()
    assert ran.code == 2
    assert "export" in ran.err


def test_bad_input_in_a_process_of_its_own(project: Path, server: FakeServer) -> None:
    """The real command, too, ends with 2 and one line."""
    (project / "template.j2").write_text("{% if %}")
    refused(finished(started("run", "study.py", "--calls", "30")), server, "study.py line", "template.j2 line 1")
    refused(finished(started("run", "study.py", "--calls", "0")), server, "--calls")


# What is looked at


def test_report_is_written_and_opened(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page lies where it was asked for, and is opened on demand only."""
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    command("run", "study.py", "--calls", "30")
    assert command("report").out == "wrote report.html\n"
    assert opened == []
    assert command("report", "-o", "x.html", "--open").code == 0
    assert opened == [str(project / "x.html")]
    assert "<h1>reviews</h1>" in (project / "x.html").read_text()
    assert "got '.pdf'" in command("report", "-o", "x.pdf").told(2)


@pytest.mark.parametrize("table", commands.TABLES)
def test_tables_are_shown_and_written(command: Callable[..., Ran], project: Path, table: str) -> None:
    """Each table as Markdown, and in a file of every kind."""
    command("run", "study.py", "--calls", str(CALLS))
    assert command("show", "--table", table).out.startswith("| ")
    for suffix in ("csv", "jsonl", "parquet", "md"):
        assert command("show", "--table", table, "-o", f"x.{suffix}").out == f"wrote x.{suffix}\n"
        assert (project / f"x.{suffix}").exists()


SHOWN = {
    80: """\
prompts as the search ranks them: a score on few rows counts for less
rank  trial  score  95% interval  rows  tokens  differs from the default in
   1      5  1.000  0.70 to 1.00     9      12  instruction=What is the
                                                <b>sentimen…, list_labels=yes,
                                                cue=Answer:
   2      3  1.000  0.70 to 1.00     9      12  instruction=What is the
                                                <b>sentimen…, list_labels=yes
   3      6  1.000  0.34 to 1.00     2      11  list_labels=yes
   4      0  0.667  0.30 to 0.90     6       8  (the default prompt)
   5      1  0.400  0.12 to 0.77     5       8  cue=Answer:
   6      4  0.400  0.12 to 0.77     5      12  instruction=Fill in {{ this }}
                                                [/] …
   7      2  0.000  0.00 to 0.43     5      15  instruction=Fill in {{ this }}
                                                [/] …, list_labels=yes
""",
    120: """\
prompts as the search ranks them: a score on few rows counts for less
rank  trial  score  95% interval  rows  tokens  differs from the default in
   1      5  1.000  0.70 to 1.00     9      12  instruction=What is the <b>sentimen…, list_labels=yes, cue=Answer:
   2      3  1.000  0.70 to 1.00     9      12  instruction=What is the <b>sentimen…, list_labels=yes
   3      6  1.000  0.34 to 1.00     2      11  list_labels=yes
   4      0  0.667  0.30 to 0.90     6       8  (the default prompt)
   5      1  0.400  0.12 to 0.77     5       8  cue=Answer:
   6      4  0.400  0.12 to 0.77     5      12  instruction=Fill in {{ this }} [/] …
   7      2  0.000  0.00 to 0.43     5      15  instruction=Fill in {{ this }} [/] …, list_labels=yes
""",
}
COMPARED = """\
on rows that both were scored on
prompt     score  95% interval  rows
reviews:0  0.556  0.27 to 0.81     9
reviews    1.000  0.70 to 1.00     9
rows won and lost by the second: 4 and 0
row       change  target    reviews:0  reviews
  9  won  +1.000  positive  negative   positive
 26  won  +1.000  negative  positive   negative
 31  won  +1.000  positive  negative   positive
 47  won  +1.000  positive  negative   positive
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """The ranking and a comparison as they are printed at 80 and 120 columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    command("run", "study.py", "--calls", str(CALLS))

    def printed(*arguments: str, tables: int) -> str:
        parts = command(*arguments).out.split("\n\n")[:tables]
        return "\n".join(line.rstrip() for part in parts for line in part.splitlines()) + "\n"

    assert printed("show", tables=1) == SHOWN[columns]
    assert printed("compare", "reviews:0", "reviews", tables=2) == COMPARED


def test_comparison_of_two_stored_prompts(command: Callable[..., Ran], project: Path) -> None:
    """Verdict and difference of the texts; a study may be compared with one of its trials."""
    command("run", "study.py", "--calls", str(CALLS))
    ran = command("compare", "reviews:0", "reviews")
    assert "reviews is not shown to differ from reviews:0: 1.000 (" in ran.out
    assert "+What is the <b>sentiment</b>?" in ran.out
    assert "-Judge the [review]." in ran.out
    assert "no trial 999" in command("compare", "reviews:999", "reviews").told(2)
    assert "no study 'other:1'" in command("compare", "other:1", "reviews").told(2)


# Failures of the server: one line, exit code 1, nothing lost


def test_unreachable_server(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A port where nobody listens is told, with the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = command("run", "study.py", "--calls", "30", "--base-url", f"http://127.0.0.1:{port}/v1").told(1)
    assert f"cannot connect to http://127.0.0.1:{port}/v1" in told
    assert server.count == 0


def test_unknown_model(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A model that the server does not know is told, with what the server said."""
    server.answer = lambda body: failure(404, "there is no model fake here")
    told = command("run", "study.py", "--calls", "30").told(1)
    assert "404" in told
    assert "there is no model fake here" in told
    assert "check the model's name" in told


def test_revoked_key_loses_nothing(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """What was answered before a 401 is kept, and a later run pays for the rest only."""
    server.fail_after = 25
    told = command("run", "study.py", "--calls", str(CALLS)).told(1)
    assert "401" in told
    assert "this key has been revoked" in told
    assert "the same command goes on" in told
    assert responses(project) == 25
    answered = server.bodies[:25]
    server.bodies.clear()
    server.fail_after = None
    ran = command("run", "study.py", "--calls", str(CALLS))
    assert ran.code == 0, ran.err
    assert not [body for body in server.bodies if body in answered]
    assert server.repeated == []
    assert responses(project) == len(answered) + server.count <= CALLS
    assert f"{responses(project)} calls of fake" in ran.out


def test_interrupted_run_is_continued(project: Path, server: FakeServer) -> None:
    """Ctrl-C lets what is in flight end, stores it, and says how to go on; the same command pays for the rest."""
    server.latency = lambda body: 0.2
    process = started("run", "study.py", "--calls", str(CALLS), "-j", "4")
    deadline = time.monotonic() + 30
    while server.count < 14 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stopped = finished(process)
    told = f"go on with: prompt-search run study.py --calls {CALLS} -j 4"
    assert stopped.told(130) == f"interrupted: everything answered is stored; {told}"
    before = server.count
    assert 14 <= before < CALLS
    assert responses(project) == before
    server.latency = lambda body: 0.0
    ran = finished(started("run", "study.py", "--calls", str(CALLS), "-j", "4"))
    assert ran.code == 0, ran.err
    assert server.repeated == []
    assert responses(project) == server.count <= CALLS
    assert f"{server.count} calls of fake" in ran.out


def test_second_interrupt_stops_at_once(project: Path, server: FakeServer) -> None:
    """Pressed twice, Ctrl-C waits for nothing, and what was answered before is kept all the same."""
    slow = threading.Event()
    held: list[float] = []

    def latency(body: Any) -> float:
        if slow.is_set():
            held.append(20.0)
        return held[-1] if slow.is_set() else 0.0

    server.latency = latency
    process = started("run", "study.py", "--calls", str(CALLS), "-j", "2")
    deadline = time.monotonic() + 60
    while server.count < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    slow.set()
    while len(held) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    answered = server.count - 2
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert "interrupted: everything answered is stored" in finished(process).told(130)
    assert time.monotonic() - begun < 19
    assert responses(project) == answered
    slow.clear()
    ran = finished(started("run", "study.py", "--calls", str(CALLS), "-j", "2"))
    assert ran.code == 0, ran.err
    assert len(server.repeated) == 2


# Estimates, and asking before paying


def test_estimate_and_dry_run_send_nothing(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """Both tell calls, tokens, cost and time; the dry run also how large the space is."""
    estimate = command("estimate", "study.py", "--calls", "60")
    assert estimate.out.startswith("estimate for 'reviews':\n  calls          60\n  tokens  ")
    dry = command("run", "study.py", "--calls", "60", "--dry-run")
    assert dry.out == f"3 choices, 12 candidates\n{estimate.out}"
    assert (estimate.code, dry.code, server.count) == (0, 0, 0)
    assert "a run needs a budget" in command("estimate", "study.py").told(2)
    assert "price of fake is unknown" in command("run", "study.py", "--usd", "1", "--dry-run").told(2)


def asked(answer: str, *arguments: str) -> tuple[int, str]:
    """The command on a terminal of its own, where a question is answered; its code, and what it showed."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prompt_search.cli", *arguments],
        stdin=terminal, stdout=terminal, stderr=terminal, env={**ENVIRONMENT, "TERM": "dumb"},
    )  # fmt: skip
    os.close(terminal)
    shown, sent = b"", False
    while True:
        try:
            some = os.read(controller, 4096)
        except OSError:  # its end
            break
        shown += some
        if not sent and shown.rstrip().endswith((b"[Y/n]:", b"[y/N]:")):
            os.write(controller, answer.encode())
            sent = True
        if not some:
            break
    os.close(controller)
    return process.wait(), shown.decode()


def test_run_asks_on_a_terminal(project: Path, server: FakeServer) -> None:
    """Before anything is sent the estimate is shown; no is no, and --yes does not ask."""
    run = ("run", "study.py", "--calls", "20", "--display", "none")
    code, shown = asked("n\n", *run)
    assert (code, server.count) == (130, 0)
    assert "estimate for 'reviews':" in shown
    code, shown = asked("\x04", *run)
    assert (code, server.count) == (130, 0)
    assert "nothing was done" in shown
    code, shown = asked("n\n", *run, "--yes")
    assert code in (0, 4)
    assert server.count > 0
    assert "run it?" not in shown


# The stored responses


def test_cache_is_counted_exported_and_cleared(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """What studies need stays unless all is to go; what is exported is every request with its response."""
    command("run", "study.py", "--calls", "30")
    kept = responses(project)
    command("preflight", "study.py", "--calls", "600")
    every = responses(project)
    assert every > kept
    stats = command("cache", "stats")
    assert re.search(rf"fake +http://\S+ +{every} +{kept} +[\d.]+", stats.out)
    assert f"{every} responses; prompt_search.db has " in stats.out
    assert command("cache", "export", "-o", "all.jsonl").out == f"wrote {every} responses to all.jsonl\n"
    lines = [json.loads(line) for line in (project / "all.jsonl").read_text().splitlines()]
    assert {(line["request"]["model"], line["response"]["error"]) for line in lines} == {("fake", None)}
    assert len({line["key"] for line in lines}) == every
    assert "there is such a file already" in command("cache", "export", "-o", "all.jsonl").told(2)
    assert "cannot be written" in command("cache", "export", "-o", "no/folder.jsonl").told(2)
    assert "there is nobody to ask; give --yes" in command("cache", "clear").told(2)
    assert responses(project) == every
    shown = command("show")
    assert f"deleted {every - kept} responses" in command("cache", "clear", "--yes").out
    assert responses(project) == kept
    assert command("show") == shown
    code, asking = asked("n\n", "cache", "clear", "--all")
    assert (code, responses(project)) == (130, kept)
    assert "delete all responses and all studies?" in asking
    assert f"deleted {kept} responses" in command("cache", "clear", "--all", "--yes").out
    assert (responses(project), command("list").out) == (0, "")
    assert command("cache", "stats").out.startswith("0 responses")


# Start-up, and secrets


def test_help_is_quick() -> None:
    """Help takes less than 0.3 s, the best of five."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        ran = finished(started("--help"))
        seconds.append(time.perf_counter() - start)
        assert ran.code == 0
    assert "prompt-search" in ran.out
    assert min(seconds) < 0.3


def test_help_imports_nothing_heavy() -> None:
    """Help loads none of the packages that take long to import."""
    program = (
        "import sys; from prompt_search.cli import main; sys.argv = ['prompt-search', '--help']\n"
        "try: main()\n"
        "except SystemExit: print({'jsonschema', 'openai', 'optuna', 'pandas', 'sqlalchemy', 'numpy', 'jinja2'}"
        " & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"


OPENAI = ("-m", "gpt-4o-mini", "--base-url", "https://api.openai.com/v1")
NO_KEY = (
    "prompt-search: no key for the model gpt-4o-mini on https://api.openai.com/v1; set OPENAI_API_KEY, give a base "
    "URL, or use --model local"
)


def test_first_error_without_a_key_is_told_whole(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """Who has no key yet reads what to do about it, word for word."""
    assert command("run", "study.py", "--calls", "30", *OPENAI).told(2) == NO_KEY


@pytest.mark.parametrize("key", ["", " ", "s", "no"])
def test_short_dummy_key_does_not_garble_errors(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """A local server's key of one letter is no secret, and words that hold it stay as they are."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert command("space", "nothere.py").told(2) == (
        "prompt-search: nothere.py: there is no such study file; make one with: prompt-search init DATA --target COLUMN"
    )


def test_keys_of_all_models_are_in_no_error(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study file or a metric that quotes a key brings it into no line, whatever its variable is called."""
    monkeypatch.setenv("TOKEN_OF_MINE", "hidden-MARKED")
    monkeypatch.setenv("OTHER_API_KEY", "other-MARKED")
    edit(project / "study.py", 'Model("fake",', 'Model("fake", api_key_env="TOKEN_OF_MINE",')
    edit(project / "study.py", 'name="reviews",', 'name="reviews", metric=quoting,')
    quoting = "import os\n\n\ndef quoting(answer, row):\n    raise ValueError(os.environ['TOKEN_OF_MINE'])\n"
    edit(project / "study.py", "HERE =", f"{quoting}\n\nHERE =")
    assert command("run", "study.py", "--calls", "30").told(2) == (
        "prompt-search: the metric quoting raised ValueError: [key]; correct the metric"
    )
    edit(project / "study.py", "HERE =", "raise ValueError(os.environ['OTHER_API_KEY'])\n\nHERE =")
    assert command("space", "study.py").told(2) == "prompt-search: study.py line 12: ValueError: [key]"


def test_secrets_of_a_base_url_are_not_in_the_line_to_go_on_with(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that is printed after Ctrl-C holds neither password nor key of the address that was given."""

    def interrupted(study: ps.Study, budget: ps.Budget, **how: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ps.Study, "run", interrupted)
    url = "https://me:hidden-MARKED@example.org/v1?code=query-MARKED"
    assert command("run", "study.py", "--calls", "30", "--base-url", url).told(130) == (
        "interrupted: everything answered is stored; go on with: prompt-search run study.py --calls 30 --base-url "
        "'https://me:***@example.org/v1?code=[key]'"
    )


def test_key_and_password_never_appear(
    command: Callable[..., Ran], project: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither output, nor database, nor export holds the key or a storage's password, whoever quotes them."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    run = ("run", "study.py", "--calls", str(CALLS))
    printed = [command(*run), command("show"), command("list"), command("space", "study.py")]
    printed += [command("export", "-o", f"best.{suffix}") for suffix in ("j2", "json", "txt", "py")]
    printed += [command("report", "-o", f"report.{suffix}") for suffix in ("html", "md")]
    printed += [command("show", "--table", "samples", "-o", "samples.csv"), command("compare", "reviews:0", "reviews")]
    assert [ran.code for ran in printed] == [0] * len(printed)

    server.answer = lambda body: failure(401, f"Incorrect API key provided: {KEY}.")
    printed.append(command(*run, "--name", "refused"))
    server.answer = lambda body: failure(400, f"the key {KEY} may not do that")
    printed.append(command(*run, "--name", "bad"))
    for storage in ("postgresql://me:hidden-MARKED@127.0.0.1:1/x", "nodatabase://me:hidden-MARKED@host/x"):
        printed.append(command(*run, "--storage", storage))
        assert "cannot be opened" in printed[-1].told(2)
        printed.append(command("show", "--storage", storage))
    edit(project / "study.py", "HERE =", "import os; raise ValueError(os.environ['OPENAI_API_KEY'])\nHERE =")
    printed.append(command(*run))
    assert "ValueError: [key]" in printed[-1].told(2)

    assert not [ran for ran in printed if "MARKED" in ran.out + ran.err]
    assert not [file.name for file in project.iterdir() if file.is_file() and b"MARKED" in file.read_bytes()]
