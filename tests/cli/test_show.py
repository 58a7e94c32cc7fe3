"""Commands that read stored studies."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.cli.options import DEFAULT_STORAGE
from prompt_search.cli.show import TABLES
from prompt_search.cli.terminal import print_next_commands
from tests.cli.helpers import CALLS, ENVIRONMENT, Prepared, Ran, on_terminal, started, unpadded
from tests.conftest import FakeServer, InProcessExecutor
from tests.growing import grown_study

SHOWN = {
    80: """\
prompts by estimate, the score that is expected on new rows
rank  trial  estimate  score  95% interval  rows  tokens
      the winner's choices, and where others differ
   1      5     0.906  1.000  0.70 to 1.00     9      12
      instruction=What is the <b>sentimen…, list_labels=yes, cue=Answer:
   2      3     0.905  1.000  0.70 to 1.00     9      12
      cue=Label:
   3      6     0.783  1.000  0.34 to 1.00     2      11
      instruction=Judge the [review]., cue=Label:
   4      0     0.660  0.667  0.30 to 0.90     6       8
      (the default prompt), instruction=Judge the [review]., and 2 more
   5      1     0.506  0.400  0.12 to 0.77     5       8
      instruction=Judge the [review]., list_labels=no
   6      4     0.501  0.400  0.12 to 0.77     5      12
      instruction=Fill in {{ this }} [/] …, list_labels=no, cue=Label:
   7      2     0.269  0.000  0.00 to 0.43     5      15
      instruction=Fill in {{ this }} [/] …, cue=Label:
""",
    120: """\
prompts by estimate, the score that is expected on new rows
rank  trial  estimate  score  95% interval  rows  tokens  the winner's choices, and where others differ
   1      5     0.906  1.000  0.70 to 1.00     9      12  instruction=What is the <b>sentimen…, list_labels=yes,
                                                          cue=Answer:
   2      3     0.905  1.000  0.70 to 1.00     9      12  cue=Label:
   3      6     0.783  1.000  0.34 to 1.00     2      11  instruction=Judge the [review]., cue=Label:
   4      0     0.660  0.667  0.30 to 0.90     6       8  (the default prompt), instruction=Judge the [review].,
                                                          list_labels=no, cue=Label:
   5      1     0.506  0.400  0.12 to 0.77     5       8  instruction=Judge the [review]., list_labels=no
   6      4     0.501  0.400  0.12 to 0.77     5      12  instruction=Fill in {{ this }} [/] …, list_labels=no,
                                                          cue=Label:
   7      2     0.269  0.000  0.00 to 0.43     5      15  instruction=Fill in {{ this }} [/] …, cue=Label:
""",
}
COMPARED = """\
on rows that both were scored on
prompt     score  95% interval  rows
reviews:0  0.556  0.27 to 0.81     9
reviews    1.000  0.70 to 1.00     9

rows won and lost by the second: 4 and 0
row  outcome  change  the row's text    target    reviews:0  reviews
  9  won      +1.000  film 9 was good   positive  negative   positive
 26  won      +1.000  film 26 was bad   negative  positive   negative
 31  won      +1.000  film 31 was good  positive  negative   positive
 47  won      +1.000  film 47 was good  positive  negative   positive
"""


def tables(text: str, count: int) -> str:
    """The first tables of an output."""
    return "\n\n".join(unpadded(text).split("\n\n")[:count]) + "\n"


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_terminal(
    command: Callable[..., Ran], stored: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """The ranking and a comparison as they are printed at 80 and 120 columns; prompts are not markup."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert tables(command("show").out, 1) == SHOWN[columns]
    assert tables(command("compare", "reviews:0", "reviews").out, 2) == COMPARED


@pytest.mark.system
def test_tables_fit_a_terminal(stored: Path) -> None:
    """On a terminal a table of any number of columns fits it, with the names of its rows; elsewhere it is Markdown."""
    for table, text in (("confusion", "positive"), ("trials", "estimate"), ("failures", "less than full score")):
        ran = on_terminal("", "show", "--table", table, COLUMNS="80", cwd=stored)
        lines = unpadded(ran.out.replace("\r\n", "\n")).splitlines()
        assert ran.code == 0
        assert max(map(len, lines)) <= 80
        assert text in ran.out
        assert not any(line.startswith("|") for line in lines)


def test_show_prints_what_the_run_printed_and_the_winner(
    command: Callable[..., Ran], prepared: Prepared, stored: Path
) -> None:
    """A stored study is found alone or by name; the winner's prompt follows, literally."""
    winner = "What is the <b>sentiment</b>?\nLabels: negative, positive\n{{ row.text }}\nAnswer:"
    shown = command("show")
    assert shown == Ran(0, f"{prepared.ran.out}\nthe winner's prompt:\n\n{winner}\n", "")
    assert command("show", "reviews") == shown


def test_list_has_one_line_per_study(command: Callable[..., Ran], stored: Path) -> None:
    """A study is listed with the first line of its headline."""
    result = ps.open_result("sqlite:///prompt_search.db", "reviews")
    assert command("list").out == result.headline.splitlines()[0] + "\n"


def test_winner_and_trials_are_exported(command: Callable[..., Ran], stored: Path) -> None:
    """The prompt is the same in every form; --trial exports another one."""
    row = {"text": "film 1 was good"}
    sent = [
        {
            "role": "user",
            "content": "What is the <b>sentiment</b>?\nLabels: negative, positive\nfilm 1 was good\nAnswer:",
        }
    ]
    for suffix in ("j2", "json"):
        assert command("export", "-o", f"best.{suffix}").out == f"wrote best.{suffix}\n"
        assert ps.Prompt.read(stored / f"best.{suffix}").messages(row) == sent
    assert command("export", "reviews", "--trial", "0", "-o", "default.j2").code == 0
    default = ps.Prompt.read(stored / "default.j2").messages(row)[0]["content"]
    assert default == "Judge the [review].\nfilm 1 was good\nLabel:"


def test_damaged_study_is_listed_as_such(command: Callable[..., Ran], prepared: Prepared, stored: Path) -> None:
    """A study that cannot be read is one line of the list; the others are listed, shown and run as before."""
    command("run", "study.py", "--calls", str(CALLS), "--name", "half")
    with sqlite3.connect(stored / "prompt_search.db") as connection:
        connection.execute("UPDATE prompt_search_versions SET summary = '[1]' WHERE study = 'half'")
    connection.close()
    error = command("show", "half").error_line(2)
    assert error.startswith("prompt-search: the summary of study 'half' cannot be read: ")
    listed = command("list")
    assert listed.code == 0
    good, damaged = listed.out.splitlines()
    assert good.startswith("reviews: The winner is ")
    assert damaged == f"half: damaged: {error.removeprefix('prompt-search: ')}"
    assert command("show", "reviews").out.startswith(prepared.ran.out)
    assert command("run", "study.py", "--calls", str(CALLS), "--name", "half").error_line(2) == error
    assert command("run", "study.py", "--calls", str(CALLS), "--name", "half", "--fresh").code == 0
    assert [line.partition(":")[0] for line in command("list").out.splitlines()] == ["reviews", "half"]
    assert "damaged" not in command("list").out


def test_export_names_the_metric_of_its_study(command: Callable[..., Ran], stored: Path) -> None:
    """The prompt file says by which metric it was chosen, and help lists every kind of file."""
    assert command("export", "-o", "best.json").code == 0
    assert ps.Prompt.read("best.json").metric == {"kind": "exact"}
    assert "File to write: .j2, .json, .py, .txt, .yaml, .yml." in " ".join(command("export", "--help").out.split())


def test_promptfoo_gets_its_tests_from_data(command: Callable[..., Ran], stored: Path) -> None:
    """Labelled rows become tests, with the target that is found or named; without them the lack is said."""
    assert command("export", "-o", "p.yaml").out == (
        "wrote p.yaml\nthe file has no tests; give labelled rows with --data FILE for that\n"
    )
    ran = command("export", "-o", "p.yaml", "--data", "reviews.csv")
    assert (ran.out, ran.err) == ("wrote p.yaml\n", "target column: label\n")
    assert Path("p.yaml").read_text().count("- vars:") == 48
    assert command("export", "--data", "reviews.csv", "--target", "label").error_line(2) == (
        "prompt-search: best.j2: only a .yaml file has tests of data=; leave it out, or export promptfooconfig.yaml"
    )


def test_earlier_results_are_named_by_their_version(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """Once a study has a later result, the commands printed for an earlier one name that one, and both are listed."""
    line = ("run", "study.py", "--calls", "30", "--display", "none")
    assert command(*line).out.endswith("export the winner: prompt-search export reviews -o best.j2\n")
    assert " export reviews@2 " in command(*line, "--n-trials", "2").out
    for earlier in (line, ("show", "reviews@1")):
        assert (
            "write a report: prompt-search report reviews@1 -o report.html\n"
            "export the winner: prompt-search export reviews@1 -o best.j2\n"
        ) in command(*earlier).out
    assert [line.partition(":")[0] for line in command("list").out.splitlines()] == ["reviews@1", "reviews@2"]
    assert command("report", "reviews@1", "-o", "report.md").code == 0
    report = Path("report.md").read_text()
    assert "--name reviews --storage" in report
    assert "prompt-search report reviews@1 --storage" in report


@pytest.mark.parametrize(
    ("verdict", "rows", "exported"),
    [
        ("better", 9, {"the winner": "reviews"}),
        ("not shown", 9, {"the winner": "reviews", "the default prompt": "reviews:0"}),
        ("not shown", 0, {"the winner": "reviews"}),
        ("worse", 9, {"the default prompt": "reviews:0"}),
    ],
)
def test_prompt_to_export_follows_from_the_verdict(
    capsys: pytest.CaptureFixture[str], verdict: str, rows: int, exported: dict[str, str]
) -> None:
    """The commands that come next export the default prompt, too, where the winner is not shown to be better, and it
    alone where the winner is worse."""
    said = type("Said", (str,), {"rows": rows})(verdict)
    result: Any = SimpleNamespace(finished=True, ranking=lambda: [0], reference="reviews", verdict=said, best_trial=3)
    result.cap_of = lambda trial: None
    print_next_commands(result, DEFAULT_STORAGE, reported=True)
    assert capsys.readouterr().out.splitlines() == [
        f"export {whose}: prompt-search export {name} -o best.j2" for whose, name in exported.items()
    ]


def test_printed_export_command_finds_the_study_again(command: Callable[..., Ran], stored: Path) -> None:
    """Name and storage are quoted where they need it."""
    (stored / "prompt_search.db").rename(stored / "my studies.db")
    storage = f"sqlite:///{stored / 'my studies.db'}"
    ran = command("run", "study.py", "--calls", str(CALLS), "--storage", storage, "--name", "my first")
    line = ran.out.splitlines()[-2]
    assert line == f"export the winner: prompt-search export 'my first' --storage '{storage}' -o best.j2"
    written = subprocess.run(
        f"{sys.executable} -m prompt_search.cli {line.removeprefix('export the winner: prompt-search ')}",
        shell=True,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert written.stdout == "wrote best.j2\n"
    assert (stored / "best.j2").exists()


def test_study_without_a_response_is_unfinished(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A study that was refused before its first response can be shown; it has nothing to export."""
    server.fail_after = 0
    assert command("run", "study.py", "--calls", str(CALLS)).code == 1
    headline = ps.open_result("sqlite:///prompt_search.db", "reviews").headline
    assert "unfinished" in headline
    assert command("list").out == "no study has an answer yet\n"
    assert command("show") == Ran(0, f"\n{headline}\n", "")
    assert command("export").error_line(2) == (
        "prompt-search: the study 'reviews' has no trial 0; none is scored yet; run the study first"
    )


def test_report_is_written_and_opened(
    command: Callable[..., Ran], stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is the file that is named, and the browser opens it only with --open."""
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    assert command("report").out == "wrote report.html\n"
    assert opened == []
    assert command("report", "-o", "x.html", "--open").code == 0
    assert opened == [str(stored / "x.html")]
    assert "<h1>reviews</h1>" in (stored / "x.html").read_text()
    assert command("report", "-o", "x.pdf").error_line(2) == (
        "prompt-search: x.pdf: a report is written as .html or .md, got '.pdf'; give one of these suffixes"
    )


@pytest.mark.parametrize("table", [name for name in TABLES if name != "fields"])
def test_tables_are_shown_and_written(command: Callable[..., Ran], stored: Path, table: str) -> None:
    """Each table is printed as Markdown, and written to a file of every kind."""
    shown = command("show", "--table", table).out
    assert shown.startswith("| ")
    for suffix in ("csv", "jsonl", "parquet", "md"):
        assert command("show", "--table", table, "-o", f"x.{suffix}").out == f"wrote x.{suffix}\n"
    assert (stored / "x.md").read_text() == shown
    assert (stored / "x.csv").read_text().splitlines()[0].split(",") == [
        name.strip() for name in shown.splitlines()[0].strip("|").split("|")
    ]


def test_proposals_and_lineage_are_shown_and_written(command: Callable[..., Ran], project: Path) -> None:
    """What was proposed to a study and where its winner's texts come from, as Markdown and in files, one line each."""
    result = grown_study(InProcessExecutor(), "sqlite:///grown.db").run(200)
    for table, frame in (("proposals", result.proposals_df()), ("lineage", result.lineage())):
        shown = command("show", "--storage", "grown.db", "--table", table).out
        assert len(shown.splitlines()) == 2 + len(frame) > 3
        for suffix in ("csv", "jsonl", "parquet", "md"):
            written = command("show", "--storage", "grown.db", "--table", table, "-o", f"x.{suffix}")
            assert written.out == f"wrote x.{suffix}\n"
        rows = [json.loads(line) for line in (project / "x.jsonl").read_text().splitlines()]
        assert [row["text"] for row in rows] == frame["text"].tolist()
        assert [row["parents"] for row in rows] == [list(parents) for parents in frame["parents"]]


@pytest.mark.system
def test_proposals_and_lineage_fit_a_terminal(project: Path) -> None:
    """On a terminal each text has lines of its own, and no line is wider than it."""
    result = grown_study(InProcessExecutor(), f"sqlite:///{project / 'grown.db'}").run(200)
    for table, title in (("proposals", "texts that a model proposed"), ("lineage", "where the winner's texts come")):
        ran = on_terminal("", "show", "--storage", "grown.db", "--table", table, COLUMNS="80", cwd=project)
        lines = unpadded(ran.out.replace("\r\n", "\n")).splitlines()
        assert ran.code == 0
        assert max(map(len, lines)) <= 80
        assert title in ran.out
        assert result.choices(result.best_trial)["instruction"] in " ".join(ran.out.split())


def test_table_of_fields_needs_targets_with_fields(command: Callable[..., Ran], stored: Path) -> None:
    """Labels have none."""
    assert command("show", "--table", "fields").error_line(2) == (
        "prompt-search: the targets of study 'reviews' are no JSON objects, so there are no fields to count"
    )


def test_comparison_of_two_stored_prompts(command: Callable[..., Ran], stored: Path) -> None:
    """After the tables come the verdict and the difference of the texts."""
    result = ps.open_result("sqlite:///prompt_search.db", "reviews")
    headline = ps.compare(result.evaluation(0), result).headline
    assert command("compare", "reviews:0", "reviews").out.split("\n\n")[2:] == [
        headline,
        "differences between the prompts (- first, + second):",
        "\n".join(
            [
                "@@ -1,3 +1,4 @@",
                "-Judge the [review].",
                "+What is the <b>sentiment</b>?",
                "+Labels: negative, positive",
                " {{ row.text }}",
                "-Label:",
                "+Answer:",
                "",
            ]
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show",), "the storage holds 2 studies; name one of reviews, second"),
        (
            ("export", "reviews", "--trial", "999"),
            "the study 'reviews' has no trial 999; give one of 0, 1, 2, 3, 4, 5, 6",
        ),
        (
            ("show", "reviews", "--table", "prices"),
            f"there is no table 'prices'; give one of {', '.join(TABLES)}",
        ),
        (
            ("show", "reviews", "-o", "x.csv"),
            "--output writes a table to a file; give --table too, or use the command report",
        ),
    ],
)
def test_request_that_the_storage_cannot_meet_is_an_error(
    command: Callable[..., Ran], stored: Path, arguments: tuple[str, ...], message: str
) -> None:
    """A name left out where there are two studies, an unknown trial and an unknown table are errors."""
    command("run", "study.py", "--calls", str(CALLS), "--name", "second")
    assert command(*arguments).error_line(2) == f"prompt-search: {message}"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("show", "other"), "no study 'other'"),
        (("export", "other"), "stored: 'reviews'"),
        (("compare", "other:1", "reviews"), "no study 'other:1'"),
        (("compare", "reviews:999", "reviews"), "no trial 999"),
        (("export", "-o", "best.pdf"), "got '.pdf'"),
        (("export", "-o", "no/folder/best.j2"), "no/folder/best.j2: cannot write"),
    ],
)
def test_message_of_the_storage_or_the_export_is_printed(
    command: Callable[..., Ran], stored: Path, arguments: tuple[str, ...], part: str
) -> None:
    """What other rooms find wrong is one line and exit code 2."""
    assert part in command(*arguments).error_line(2)


def test_reading_commands_make_no_database(command: Callable[..., Ran], project: Path) -> None:
    """Looking for a study where there is none leaves no file behind."""
    for arguments in (
        ["show"],
        ["list"],
        ["export", "reviews"],
        ["report"],
        ["compare", "a", "b"],
        ["rescore", "study.py"],
        ["cache", "stats"],
    ):
        assert (
            command(*arguments).error_line(2).startswith("prompt-search: prompt_search.db: there is no such database; ")
        )
    assert command("estimate", "study.py", "--calls", "30").code == 0
    assert command("run", "study.py", "--calls", "30", "--dry-run").code == 0
    assert command("list", "--storage", "sqlite+pysqlite:///prompt_search.db").code == 2
    assert not list(project.glob("*.db*"))


def test_pipe_that_is_closed_early_is_no_traceback(stored: Path) -> None:
    """A reader that stops reading, such as head, ends the command quietly."""
    process = started("show")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1
