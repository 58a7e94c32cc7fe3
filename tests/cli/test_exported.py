"""Commands on exported prompts: answers about new rows, and a guard for CI."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.cli.exported.options import asked_storage
from tests.cli.helpers import Ran, finished, started, unpadded
from tests.conftest import FakeServer, failure, prompt_of

PROMPT = ps.Prompt(source="{{ row.text }}?", answer=ps.Label(["good", "bad"]).to_dict(), model="fake")


def opinion(body: Any) -> Any:
    """An answer by a word of the row's text."""
    answers = {"nice": "good", "awful": "bad", "long": failure(400, "the prompt is too long")}
    return next((answer for word, answer in answers.items() if word in prompt_of(body)), "who knows")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Path:
    """The working directory, with an exported prompt, new rows and labelled ones; a fake server is the default one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", str(server.model().base_url))
    server.answer = opinion
    PROMPT.export("best.json")
    Path("new.csv").write_text("id,text\n7,a nice day\n8,awful [x] <b>\n9,strange\n")
    Path("rows.csv").write_text("id,text,label\n1,a nice day,good\n2,awful,bad\n3,strange,good\n4,very nice,good\n")
    return tmp_path


def test_answers_are_shown(folder: Path, command: Callable[..., Ran]) -> None:
    """Without a file the terminal has a short table and the counts."""
    ran = command("predict", "best.json", "new.csv")
    assert (ran.code, ran.err) == (0, "")
    assert unpadded(ran.out) == (
        "row  text           answer  problem\n"
        "  0  a nice day     good    –\n"
        "  1  awful [x] <b>  bad     –\n"
        "  2  strange        (none)  no label in 'who knows'\n"
        "\n"
        "3 rows: 2 answered, 1 unparsed, 0 failed, 0 from the storage; 3 calls, 11 tokens, price unknown\n"
    )


def test_examples_among_the_rows_are_told(folder: Path, command: Callable[..., Ran]) -> None:
    """Rows that the prompt shows as examples make its score optimistic, which is said."""
    shots = "what a nice evening: good\nan awful evening: bad\n"
    replace(PROMPT, source=shots + PROMPT.source).export("shots.json")
    Path("seen.csv").write_text("id,text,label\n1,what a nice evening,good\n2,an awful evening,bad\n3,very nice,good\n")
    ran = command("evaluate", "shots.json", "seen.csv", "--target", "label")
    assert ran.err == (
        "the prompt shows 2 rows of the 3 as examples: the score is optimistic; leave out these rows, and best all "
        "that the search used\n"
    )


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_answers_are_written(folder: Path, command: Callable[..., Ran], kind: str) -> None:
    """The suffix names the format of the file, which has every row with its own columns and its answer."""
    ran = command("predict", "best.json", "new.csv", "-o", f"answers.{kind}")
    assert ran.out.startswith(f"wrote answers.{kind}\n3 rows: 2 answered")
    text = Path(f"answers.{kind}").read_text()
    if kind == "csv":
        found = pd.read_csv(f"answers.{kind}").to_dict("records")
    else:
        found = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines()]
    assert [record["id"] for record in found] == [7, 8, 9]
    assert [record["answer"] for record in found[:2]] == ["good", "bad"]
    assert found[2]["unparsed"] == "no label in 'who knows'"


@pytest.mark.parametrize("name", ["rows.tsv", "rows.json", "rows.jsonl"])
def test_rows_are_read_as_data_are(folder: Path, command: Callable[..., Ran], name: str) -> None:
    """New rows come in every kind of file that data come in."""
    rows = [{"text": "nice"}, {"text": "awful"}]
    lines = {"tsv": "text\nnice\nawful\n", "json": json.dumps(rows), "jsonl": "\n".join(map(json.dumps, rows))}
    Path(name).write_text(lines[name.partition(".")[2]])
    assert "2 rows: 2 answered" in command("predict", "best.json", name).out


def test_same_command_pays_for_nothing_twice(folder: Path, command: Callable[..., Ran], server: FakeServer) -> None:
    """What is stored is not sent again; a failed request is, and ends with exit code 1 and a line of its own."""
    with Path("new.csv").open("a") as file:
        file.write("10,a long text\n")
    first, second = (command("predict", "best.json", "new.csv", "-o", "answers.csv") for _ in range(2))
    assert (first.code, second.code, server.count) == (1, 1, 5)
    assert "4 rows: 2 answered, 1 unparsed, 1 failed, 3 from the storage; 1 call" in second.out
    assert second.err.startswith("1 row failed: context_length: ")
    assert len(pd.read_csv("answers.csv")) == 4


def test_budget_leaves_rows_with_their_reason(folder: Path, command: Callable[..., Ran], server: FakeServer) -> None:
    """Rows beyond the budget fail with a line, and a larger budget pays only for them."""
    ran = command("predict", "best.json", "new.csv", "--calls", "2")
    assert (ran.code, server.count) == (1, 2)
    assert ran.err == "1 row failed: budget: not sent, as Budget(calls=2) is used up\n"
    assert command("predict", "best.json", "new.csv", "--calls", "3").code == 0
    assert server.count == 3


def test_table_is_written_where_nothing_was_answered(
    folder: Path, command: Callable[..., Ran], server: FakeServer
) -> None:
    """A server that refuses everything leaves a table with the reason of each row, and the exit code 1."""
    server.answer = failure(401, "key revoked")
    ran = command("predict", "best.json", "new.csv", "-o", "answers.csv")
    assert ran.code == 1
    assert "3 rows: 0 answered, 0 unparsed, 3 failed" in ran.out
    assert ran.err.startswith("3 rows failed: not sent: ")
    assert ran.err.count("key revoked") == 1
    assert pd.read_csv("answers.csv")["error"].str.contains("key revoked").all()


@pytest.mark.system
def test_interrupted_command_resumes(folder: Path, command: Callable[..., Ran], server: FakeServer) -> None:
    """Ctrl-C ends with the line that resumes, which sends only what is missing."""
    rows = 60
    Path("new.csv").write_text("text\n" + "".join(f"nice {number}\n" for number in range(rows)))
    server.latency = 0.05
    process = started("predict", "best.json", "new.csv", "-j", "2", "--base-url", str(server.model().base_url))
    deadline = time.monotonic() + 30
    while server.count < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(2)
    ran = finished(process)
    assert ran.code == 130
    assert "interrupted: all responses are stored; resume with: prompt-search predict best.json new.csv" in ran.err
    assert server.count < rows
    server.latency = 0.0
    assert command("predict", "best.json", "new.csv").code == 0
    assert server.count == rows


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("best.json", "new.csv", "-o", "answers.xls"),
            "answers.xls: a table is written as .csv, .json, ",
        ),
        (("best.json", "new.csv", "-o", "new.csv"), "new.csv: the output would replace the data; give another file"),
        (
            ("best.json", "new.csv", "-o", "no/a.csv"),
            "no/a.csv: there is no such folder; make it",
        ),
        (("best.json", "none.csv"), "none.csv: the file does not exist; check the path"),
        (("none.json", "new.csv"), "none.json: cannot read the prompt: No such file or directory"),
        (("best.txt", "new.csv"), "best.txt: a prompt is read from .j2 or .json, got '.txt'"),
        (
            ("best.json", "other.csv"),
            "other.csv line 2: best.json line 1: the row has no field 'text', which the prompt shows; it has: words",
        ),
        (("bare.json", "new.csv"), "the prompt 'bare.json' names no model; give model=, such as"),
    ],
)
def test_wrong_input_is_one_line(
    folder: Path, command: Callable[..., Ran], server: FakeServer, arguments: tuple[str, ...], told: str
) -> None:
    """What does not fit is told in one line before anything is sent, with exit code 2."""
    Path("other.csv").write_text("words\nhello\n")
    ps.Prompt(source="{{ row.text }}").export("bare.json")
    ran = command("predict", *arguments)
    assert (ran.code, ran.out, server.count) == (2, "", 0)
    assert ran.err.startswith(f"prompt-search: {told}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(("min_score", "code", "said"), [("0.75", 0, "at or above 0.75"), ("0.8", 3, "below 0.8")])
def test_guard_has_exit_codes(folder: Path, command: Callable[..., Ran], min_score: str, code: int, said: str) -> None:
    """At or above the score the exit code is 0, below it 3; one line has the numbers."""
    ran = command("evaluate", "best.json", "rows.csv", "--min-score", min_score)
    assert (ran.code, ran.err) == (code, "target column: label\n")
    assert ran.out.splitlines()[-1] == (
        f"score 0.750 (metric exact, 95% interval 0.30 to 0.95) on 4 rows, {said}; unparsed 1, failed requests 0, "
        "rows without a score 0"
    )
    assert "who knows" in ran.out


def test_guard_does_not_pass_for_lack_of_rows(folder: Path, command: Callable[..., Ran]) -> None:
    """Where the budget leaves rows without a score that would decide, the exit code is 4."""
    ran = command("evaluate", "best.json", "rows.csv", "--min-score", "0.75", "--calls", "2")
    assert ran.code == 4
    assert "on 2 rows, too few to tell whether it is at or above 0.75; " in ran.out


def test_evaluation_is_written(folder: Path, command: Callable[..., Ran]) -> None:
    """The scored rows can be written, with another metric and a target that is named."""
    ran = command("evaluate", "best.json", "rows.csv", "--target", "label", "--metric", "includes", "-o", "rows.jsonl")
    assert (ran.code, ran.err) == (0, "")
    assert len(Path("rows.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new.csv",), "new.csv: no column has only labels of the prompt; give --target with one of id, text"),
        (("rows.csv", "--target", "x"), "rows.csv: there is no target column 'x'; there are: id, text, label"),
        (
            ("rows.csv", "--metric", "best"),
            "there is no metric 'best'; give a function (answer, row) or one of: accuracy, ",
        ),
        (("two.csv",), "two.csv: several columns may be the target; give --target with one of text, a, b"),
        (("one.csv",), "one.csv: the prompt shows every column, so none is the target; give --target with one of text"),
    ],
)
def test_wrong_labelled_rows_are_one_line(
    folder: Path, command: Callable[..., Ran], arguments: tuple[str, ...], told: str
) -> None:
    """A target that cannot be found, and a metric that is not there, are told with what there is."""
    Path("two.csv").write_text("text,a,b\nhello,good,bad\n")
    Path("one.csv").write_text("text\nhello\n")
    ran = command("evaluate", "best.json", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"prompt-search: {told}")


OWN = """
def lenient(answer, row):
    return True
"""


@pytest.mark.parametrize(
    ("metric", "arguments", "code", "told"),
    [
        ({"kind": "includes"}, (), 0, "score 0.750 (metric includes, "),
        ("macro_f1", (), 0, "score 0.900 (metric macro_f1, "),
        ({"kind": "includes"}, ("--metric", "Exact-Match"), 0, "score 0.750 (metric exact, "),
        ({"kind": "own", "name": "lenient"}, ("--metric", "own.py:lenient"), 0, "score 0.750 (metric lenient, "),
        (
            {"kind": "own", "name": "lenient"},
            (),
            2,
            "prompt-search: the prompt was chosen by a metric of your own, lenient, which its file cannot hold; give ",
        ),
        ("exact", ("--metric", "own.py:strict"), 2, "prompt-search: own.py: the file defines no function 'strict'; "),
        ("exact", ("--metric", "none.py:f"), 2, "prompt-search: none.py: there is no such file; give a metric as "),
        (
            "exact",
            ("--min-score", "80"),
            2,
            "prompt-search: --min-score 80 is no score of the metric exact, whose scores are 0 to 1; give one in this ",
        ),
    ],
)
def test_prompt_is_held_against_its_own_metric(
    folder: Path, command: Callable[..., Ran], metric: Any, arguments: tuple[str, ...], code: int, told: str
) -> None:
    """The metric is the command line's, else the prompt's; a metric that no file holds is asked for."""
    Path("own.py").write_text(OWN)
    replace(PROMPT, metric=metric).export("own.json")
    ran = command("evaluate", "own.json", "rows.csv", *arguments)
    assert ran.code == code, ran.err
    assert (ran.out if code == 0 else ran.err).splitlines()[-1].startswith(told)


def test_storage_of_the_study_is_found(stored: Path) -> None:
    """Answers that the folder's study has paid for are used; with several storages it is the default one."""
    Path("prompt_search.db").rename("tickets.db")
    assert asked_storage() == "sqlite:///tickets.db"
    shutil.copy("tickets.db", "other.db")
    assert asked_storage() == "sqlite:///prompt_search.db"


def test_target_of_another_form_is_the_only_column_left(folder: Path, command: Callable[..., Ran]) -> None:
    """A prompt whose answers are numbers has the one column as its target that it does not show."""
    ps.Prompt(source='{{ row["text"] }}', answer=ps.Number().to_dict(), model="fake").export("number.json")
    Path("numbers.csv").write_text("text,sum\nlong way,3\n")
    assert command("evaluate", "number.json", "numbers.csv").err == "target column: sum\n"


def test_a_judge_is_named_by_its_file(folder: Path, command: Callable[..., Ran], server: FakeServer) -> None:
    """``--metric FILE.py:NAME`` takes a judge, whose calls come on top; an answer without a rating is told and counts
    as worst."""
    ratings = {"good": "5: kind", "bad": "9"}
    server.answer = lambda body: (
        ratings[prompt_of(body).rpartition("<answer ")[2].split("\n")[1]] if body["model"] == "judge" else opinion(body)
    )
    Path("polite.py").write_text(
        'import prompt_search as ps\n\njudge = ps.Judge("quality", model="judge", weighted=False)\n'
    )
    rated = json.loads(Path("best.json").read_text())
    Path("best.json").write_text(json.dumps({**rated, "answer": {**rated["answer"], "labels": ["good", "bad"]}}))
    ran = command("evaluate", "best.json", "rows.csv", "--target", "label", "--metric", "polite.py:judge")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == (
        "score 0.500 (metric judge quality, 95% interval 0.15 to 0.85) on 4 rows; unparsed 1, failed requests 1, rows "
        "without a score 0"
    )
    assert server.count == 7
