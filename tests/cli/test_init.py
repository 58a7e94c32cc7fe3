"""`prompt-search init` without a target: it lists the columns, and proposes one or asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from prompt_search.cli.scaffold import described, proposed_target
from tests.cli.helpers import Ran, on_terminal

ROWS = [{"id": i, "text": f"text number {i}", "intent": "ab"[i % 2], "note": None} for i in range(20)]
LISTED = """\
columns of {file}:
  id: numbers
  text: free text
  intent: 2 labels
  note: empty
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file in the working directory whose name needs quotes in a shell."""
    monkeypatch.chdir(tmp_path)
    Path("my tickets.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return "my tickets.jsonl"


def test_without_a_terminal_the_line_to_type_is_the_error(command: Callable[..., Ran], file: str) -> None:
    """Nothing is taken for granted and nothing is written; the columns are listed, and the line can be pasted."""
    ran = command("init", file, "-o", "search")
    assert ran.out == LISTED.format(file=file)
    assert ran.error_line(2) == (
        f"prompt-search: {file}: the column with the correct answers is not named; type: prompt-search init "
        f"'{file}' --target intent -o search"
    )
    assert not Path("search").exists()


def test_on_a_terminal_it_asks(file: str) -> None:
    """Enter takes the column that is proposed."""
    ran = on_terminal("\n", "init", str(Path(file).resolve()), "-o", str(Path("search").resolve()), COLUMNS="200")
    assert "Which column has the correct answers? [intent]: " in ran.out
    assert "'intent' holds 2 labels in 20 rows" in ran.out
    assert ran.code == 0
    assert Path("search/study.py").exists()


def test_file_without_a_possible_target_is_an_error(command: Callable[..., Ran], file: str) -> None:
    """Columns that are empty in a row, or the same in all, cannot be a target."""
    Path("a.jsonl").write_text('{"text": "x", "label": null}\n{"text": "x", "label": "a"}')
    message = "no column can be the target, which has a value in every row and more than one value; fill one, then"
    assert message in command("init", "a.jsonl").error_line(2)


@pytest.mark.parametrize(
    ("columns", "target"),
    [
        ({"text": ["one", "two", "three"], "true_label": ["x", "y", "z"]}, "true_label"),
        ({"kind": ["a", "b"] * 4, "text": [f"t {i}" for i in range(8)]}, "kind"),
        ({"order": [{"a": i} for i in range(4)], "text": [f"t {i}" for i in range(4)]}, "order"),
        ({"english": [f"t {i}" for i in range(4)], "german": [f"t {i}" for i in range(4)]}, "german"),
        ({"question": [f"t {i}" for i in range(4)], "row_id": [1, 2, 3, 4]}, "question"),
    ],
)
def test_proposed_target_is_the_likeliest_column(columns: dict[str, list[object]], target: str) -> None:
    """By its name, then by what it holds, then by its place; never a number of the rows."""
    assert proposed_target(columns) == target


def test_columns_are_described_by_what_they_hold() -> None:
    """Also where values are missing, or all the same."""
    assert described([{"a": 1}, None, None]) == "the same in every row, empty in 2 rows"
    assert described([{"a": 1}, {"a": 2}]) == "JSON objects"
