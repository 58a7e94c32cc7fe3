"""The experiments' notebooks run, and their data is what their programs write."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from experiments.make_notebooks import STORIES, cells

ROOT = Path(__file__).parents[2] / "experiments"
CALLS = 20


@pytest.mark.system
@pytest.mark.parametrize("name", STORIES)
def test_notebook_runs(name: str, tmp_path: Path) -> None:
    """Every cell of a notebook runs on the embedded model, with fewer calls, and complains of nothing."""
    shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.db*", "*.ipynb"))
    notebook = nbformat.v4.new_notebook(cells=cells(replace(STORIES[name], calls=CALLS)))  # type: ignore[no-untyped-call]

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / name)}}).execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    assert sum("text/html" in output.get("data", {}) for output in outputs) >= 5


@pytest.mark.parametrize("name", STORIES)
def test_stored_notebook_is_the_story(name: str) -> None:
    """The notebook in the repository has the cells that the program writes, and each was executed without an error."""
    stored = nbformat.read(ROOT / name / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]

    assert [cell.source for cell in stored.cells] == [cell.source for cell in cells(STORIES[name])]
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]


@pytest.mark.parametrize(
    ("program", "written"),
    [("order_extraction/make_orders.py", "orders.jsonl"), ("word_problems/make_problems.py", "problems.csv")],
)
def test_data_is_what_its_program_writes(program: str, written: str, tmp_path: Path) -> None:
    """The rows come out the same again."""
    copy = tmp_path / Path(program).name
    shutil.copy(ROOT / program, copy)
    runpy.run_path(str(copy), run_name="__main__")

    assert (tmp_path / written).read_bytes() == (ROOT / program).with_name(written).read_bytes()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("That is 4 * 3 = 11, I think", "12"),
        ("42 - (7 + 5)", None),
        ("1 / 0", None),
        ("9 ** 9 ** 9", None),
        ("__import__('os')", None),
        ("Answer: 12", None),
        ("2 * (3", None),
    ],
)
def test_the_calculator_of_the_task_calculates_alone(
    line: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of the model is a calculation of four operations, or it has no value."""
    monkeypatch.setenv("COUNTED_AT", "http://127.0.0.1:1/v1")
    found = runpy.run_path(str(ROOT / "word_problems_with_tool" / "study.py"))
    assert found["calculated"](line) == value
    assert found["study"].plan.task.short_name == "calculate"


def test_rated_answers_are_on_the_scale_of_their_judge() -> None:
    """The answers of known quality have a rating each, of which the study's judge sees neither column."""
    names = runpy.run_path(str(ROOT / "polite_rewrites" / "study.py"))
    rows = pd.read_csv(ROOT / "polite_rewrites" / "rewrites.csv")
    assert len(rows) == len(names["study"].data) == 60
    assert rows["human"].map(names["judge"].scale.score).between(0, 1).all()
    assert {*rows["human"]} == {1, 2, 3, 4, 5}
    assert list(names["study"].data.fields) == ["text"]
