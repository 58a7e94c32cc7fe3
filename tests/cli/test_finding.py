"""Stored studies are found by what a user has at hand: the study file, the storage, the name, or the folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import prompt_search as ps
from tests.cli.helpers import CALLS, Ran, edit
from tests.conftest import FakeServer


@pytest.mark.parametrize(
    "spec",
    ["study.py", "study.py:study", "prompt_search.db", "reviews", "sqlite:///prompt_search.db"],
)
def test_study_is_found_by_its_file_its_storage_and_its_name(
    command: Callable[..., Ran], stored: Path, spec: str
) -> None:
    """All commands that read a study take any of them, and do the same."""
    assert command("show", spec) == command("show")
    assert command("export", spec, "-o", "best.json").out == "wrote best.json\n"
    assert command("report", spec).out == "wrote report.html\n"


def test_list_takes_a_study_file_or_a_storage(command: Callable[..., Ran], stored: Path) -> None:
    """What is listed is all of the storage."""
    assert command("list", "study.py") == command("list", "prompt_search.db") == command("list")


@pytest.mark.parametrize("spec", ["reviews:0", "study.py:0", "study.py:study:0"])
def test_trial_is_named_after_the_study(command: Callable[..., Ran], stored: Path, spec: str) -> None:
    """Show prints the trial's score and prompt, export writes it, compare has it on either side; a report is whole."""
    shown = command("show", spec).out
    assert shown.endswith("\n\nthe prompt of trial 0:\n\nJudge the [review].\n{{ row.text }}\nLabel:\n")
    assert command("export", spec, "-o", "default.j2").out == "wrote default.j2\n"
    assert "Judge the [review]." in (stored / "default.j2").read_text()
    assert command("compare", spec, "reviews").out == command("compare", "reviews:0", "reviews").out
    assert command("report", spec).error_line(2) == (
        "prompt-search: a report is on a whole study; leave out :0, or use show or export"
    )
    assert command("export", f"{spec}99").code == 2


def test_lone_storage_of_a_folder_is_found(command: Callable[..., Ran], stored: Path) -> None:
    """Without the default storage, the only file that holds studies is read, whatever its name is."""
    shown = command("show").out
    (stored / "prompt_search.db").rename(stored / "mine.sqlite")
    sqlite3.connect(stored / "other.db").close()
    (stored / "notes.db").write_text("no database")
    assert command("show").out.splitlines()[:5] == shown.splitlines()[:5]
    (stored / "second.db").write_bytes((stored / "mine.sqlite").read_bytes())
    assert command("show").error_line(2) == (
        "prompt-search: this folder has several storages (mine.sqlite, second.db); name one, such as --storage "
        "mine.sqlite"
    )


def test_nothing_to_find_is_one_line(command: Callable[..., Ran], project: Path) -> None:
    """Where nothing ran, each way of naming a study says so, and no file is made."""
    before = sorted(path.name for path in project.iterdir())
    missing = "prompt-search: prompt_search.db: there is no such database; run a study first, or give its --storage"
    for spec in ((), ("study.py",), ("reviews",)):
        assert command("show", *spec).error_line(2) == missing
    assert "typo.db: there is no such database" in command("show", "typo.db").error_line(2)
    Path("best.json").write_text("{}")
    assert command("show", "best.json").error_line(2) == (
        "prompt-search: best.json: this is a prompt, not a stored study; give a study file, a storage or a name here, "
        "and a prompt to predict or evaluate"
    )
    Path("best.json").unlink()
    assert "typo.py: there is no such study file" in command("show", "typo.py").error_line(2)
    assert command("estimate", "study.py", "--calls", "10").code == 0
    assert command("run", "study.py", "--calls", "10", "--dry-run").code == 0
    assert sorted(path.name for path in project.iterdir() if path.name != "__pycache__") == before


def test_unfinished_study_is_not_exported_as_if_tested(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """A study that was stopped shows what it has as unfinished; only a named trial is exported."""
    server.fail_after = 60
    assert command("run", "study.py", "--calls", "150", "--display", "none").code == 1
    result = ps.open_result("prompt_search.db", "reviews")
    assert not result.finished
    shown = command("show").out
    assert f"\n{result.headline}\n\nthe best prompt so far, which is not tested:\n\n" in shown
    assert "export the winner" not in shown
    assert command("export").error_line(2) == (
        "prompt-search: the study 'reviews' is unfinished, so it has no tested winner; run it again to resume, or name "
        f"a trial, such as reviews:{result.best_trial} for the best so far"
    )
    assert command("export", f"reviews:{result.best_trial}").out == "wrote best.j2\n"


def test_failed_start_can_be_corrected(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """A study that got no response at all is replaced when its address or its template is corrected."""
    line = ("run", "study.py", "--calls", str(CALLS), "--display", "none")
    assert command(*line, "--base-url", "http://127.0.0.1:9/v1").code == 1
    edit(project / "study.py", 'name="reviews"', 'name="reviews", seed=4')
    assert command("list").out == "no study has an answer yet\n"
    assert command(*line).code == 0
    assert "was started with other settings" in command(*line, "--seed", "9").error_line(2)


def test_version_is_printed(command: Callable[..., Ran]) -> None:
    """The version is that of the installed package."""
    assert command("--version").out == f"prompt-search {ps.__version__}\n"
