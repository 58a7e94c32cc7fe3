"""The option ``--batch`` of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import Ran, edit, sentiment, write_study
from tests.conftest import FakeServer

RUN = ("run", "study.py", "--calls", "60", "--display", "none", "--batch")


@pytest.fixture
def folder(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study whose model the server answers, as the working directory."""
    server.answer = sentiment
    write_study(tmp_path, server.url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_in_batches_says_so(folder: Path, server: FakeServer, command: Callable[..., Ran]) -> None:
    """A run with --batch sends most requests in batches, and its headline and the ledger's table say how many; the
    same line without it sends nothing more."""
    ran = command(*RUN)
    batched = sum(len(batch.rows) for batch in server.batches_made)

    assert ran.code == 0
    assert f"{server.count} calls of fake, {batched} of them in batches (" in ran.out
    assert batched > 40
    shown = command("show", "study.py", "--table", "ledger")
    assert f"| {batched} |" in shown.out
    sent = server.count
    assert command(*RUN[:-1]).code == 0
    assert server.count == sent


def test_estimate_has_the_discount(folder: Path, command: Callable[..., Ran]) -> None:
    """An estimate with --batch is half as dear, and says what takes how long."""
    edit(folder / "study.py", 'base_url="', 'price=ps.Price(prompt=100.0, completion=100.0), base_url="')
    lines, alone = (
        dict(line.split(None, 1) for line in command("estimate", "study.py", "--calls", "60", *given).out.splitlines())
        for given in (["--batch"], [])
    )

    assert float(lines["US"].split()[-1]) == pytest.approx(float(alone["US"].split()[-1]) / 2, abs=1e-4)
    assert lines["seconds"].strip() == "unknown: each round waits for a batch, which its server may take a day for"
    assert lines["batches"].strip() == "50% off for each request in a batch; a few are sent alone at the full price"
    assert "batches" not in alone


def test_server_without_batches_is_one_line(folder: Path, server: FakeServer, command: Callable[..., Ran]) -> None:
    """A server without the API ends the run with one line and exit code 1."""
    server.batches = None

    line = command(*RUN).err.splitlines()[-1]

    assert line == (
        f"prompt-search: {server.url} takes no batches of fake (POST /files answered 404: Not Found: /v1/files); leave "
        "out batch=True (--batch), which sends requests one by one at the full price; all responses are stored, and "
        "the same command resumes the run"
    )


def test_embedded_model_in_batches_is_one_line(folder: Path, command: Callable[..., Ran]) -> None:
    """The embedded model with --batch is refused in one line before anything is fetched or sent."""
    ran = command(*RUN, "-m", "local")

    assert ran.code == 2
    assert ran.err.splitlines()[-1] == (
        "prompt-search: the model SmolLM2-135M-Instruct is served in this process, which has no batches and costs "
        "nothing; leave out batch=True (--batch)"
    )


def test_evaluate_sends_one_batch(folder: Path, server: FakeServer, command: Callable[..., Ran]) -> None:
    """The command evaluate with --batch sends all rows but the first in one batch."""
    (folder / "prompt.j2").write_text("What is the sentiment of: {{ row.text }}")
    given = ("--target", "label", "-m", "fake", "--base-url", server.url, "--batch")

    ran = command("evaluate", "prompt.j2", "reviews.csv", *given)

    assert ran.code == 0, ran.err
    assert [len(batch.rows) for batch in server.batches_made] == [47]
