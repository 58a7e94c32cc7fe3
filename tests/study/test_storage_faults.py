"""A storage that goes away while a study runs: one line, and nothing ends well that is not stored."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.errors import RunError
from tests.conftest import Body, InProcessExecutor
from tests.study.examples import study, truth


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


def dropped(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE prompt_search_calls")


def broken(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(b"this is no database" + path.read_bytes()[19:])


GONE = "was deleted or replaced while it was open, so that nothing can be stored there; put the file back, or restore"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (deleted, GONE),
        (replaced, GONE),
        (
            dropped,
            r"cannot be written: no such table: \S*prompt_search_calls; restore the storage from a copy, or name",
        ),
        (broken, r"cannot be (?:read|written): .*"),
    ],
)
@pytest.mark.parametrize("after", [5, 40])
def test_storage_that_goes_away_ends_the_run_in_one_line(
    fake: InProcessExecutor, tmp_path: Path, fault: Callable[[Path], None], told: str, after: int
) -> None:
    """Whatever happens to the file during the search or the test, the run ends with the storage and the reason."""
    path = tmp_path / "study.db"

    def answer(body: Body) -> str:
        if fake.count == after:
            fault(path)
        return truth(body)

    fake.answer = answer
    with pytest.raises(RunError, match=rf"^storage '[^']*study\.db' {told}[^\n]*$"):
        study(fake, f"sqlite:///{path}", max_concurrency=1).run(50)


def test_study_goes_on_where_the_storage_is_back(fake: InProcessExecutor, tmp_path: Path) -> None:
    """What was stored before a table was lost is not paid for again once it is back."""
    path = tmp_path / "study.db"
    expected = study(InProcessExecutor(truth)).run(50)

    def answer(body: Body) -> str:
        if fake.count == 25:
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("ALTER TABLE prompt_search_calls RENAME TO elsewhere")
        return truth(body)

    fake.answer = answer
    with pytest.raises(RunError, match="no such table"):
        study(fake, f"sqlite:///{path}", max_concurrency=1).run(50)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO prompt_search_calls")
    fake.answer = truth
    result = study(fake, f"sqlite:///{path}").run(50)
    assert (result.best_trial, result.verdict) == (expected.best_trial, expected.verdict)
    assert fake.count <= result.summary["calls"] + 1  # the one that could not be stored
    assert result.ledger_df()[["role", "calls"]].values.tolist() == [["task", result.summary["calls"]], ["lost", 1]]
    assert ", and at most 1 more whose answers were lost with a process that ended; " in result.headline


def test_lost_storage_is_named_where_results_are_read(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A result whose storage is broken meanwhile says so in one line."""
    fake.answer = truth
    path = tmp_path / "study.db"
    study(fake, f"sqlite:///{path}").run(50)
    result = ps.open_result(path)
    dropped(path)
    with pytest.raises(RunError, match=r"^storage '[^']*' cannot be read: no such table: \S*calls; restore"):
        result.calls_df()
