"""The study of the command line's tests, and helpers that run commands."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prompt_search as ps

# The package is found from any working directory, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(ps.__file__).parents[1])}
CALLS = 60
"""Number of calls of the study that is prepared, enough for a verdict."""

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
    """The exit code of a command, and its output."""

    code: int
    out: str
    err: str

    def error_line(self, code: int) -> str:
        """The one line on standard error of a command that ended with ``code``, progress apart."""
        assert self.code == code, self.err
        lines = [line for line in self.err.splitlines() if not line.startswith("reviews: ")]
        assert len(lines) == 1, self.err
        return lines[0]


@dataclass(frozen=True)
class Prepared:
    """A folder whose study has run.

    Args:
        folder: with study, template, data and database.
        ran: the command that ran the study.
        sent: number of requests that the server got.
        repeated: requests that it got more than once.
    """

    folder: Path
    ran: Ran
    sent: int
    repeated: list[Any]


def write_study(folder: Path, base_url: str) -> None:
    """Write the study, its template and its data."""
    lines = [f"film {i} was {'good' if i % 2 else 'bad'},{'positive' if i % 2 else 'negative'}" for i in range(48)]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    (folder / "template.j2").write_text(TEMPLATE)
    (folder / "study.py").write_text(STUDY.replace("BASE_URL", base_url))


def sentiment(body: Any) -> str:
    """The right answer after one instruction, often a wrong one after the others."""
    prompt = body["messages"][-1]["content"]
    truth, other = ("positive", "negative") if "good" in prompt else ("negative", "positive")
    return truth if "sentiment" in prompt or zlib.crc32(prompt.encode()) % 10 < 5 else other


def edit(file: Path, old: str, new: str) -> None:
    """Replace a part of a file, which has to be there."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def unpadded(text: str) -> str:
    """Text without spaces at the ends of lines, with which tables are padded."""
    return "\n".join(line.rstrip() for line in text.split("\n"))


def stored_responses(folder: Path) -> int:
    """The number of responses in the default storage."""
    with sqlite3.connect(folder / "prompt_search.db") as connection:
        (count,) = connection.execute("select count(*) from prompt_search_responses").fetchone()
    connection.close()
    return int(count)


def started(*arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "prompt_search.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        cwd=cwd,
    )


def finished(process: subprocess.Popen[str]) -> Ran:
    """The end of a process."""
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out, err)


def on_terminal(answer: str, *arguments: str, cwd: Path | None = None, **environment: str) -> Ran:
    """The command on a terminal of its own, where a question is answered; both outputs are in ``out``."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "prompt_search.cli", *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**ENVIRONMENT, "TERM": "dumb", **environment},
        cwd=cwd,
    )
    os.close(terminal)
    shown, sent = b"", False
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux raises it when the other side is closed
            break
        if not part:
            break
        shown += part
        if not sent and shown.endswith(b"]: "):
            os.write(controller, answer.encode())
            sent = True
    os.close(controller)
    return Ran(process.wait(timeout=60), shown.decode(), "")
