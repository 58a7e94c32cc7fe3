"""The printed search space of a study or a template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import Ran, edit, unpadded

SPACE = """\
choice       kind    options                           exists when  line
instruction  choice  - Judge the [review].                             2
                     - What is the <b>sentiment</b>?
                     - Fill in {{ this }} [/] please.
list_labels  flag    no | yes                                          3
cue          choice  Label: | Answer:                                  7

3 choices, 12 candidates
"""


@pytest.mark.parametrize("file", ["study.py", "study.py:study", "template.j2"])
def test_space_of_study_and_template(command: Callable[..., Ran], project: Path, file: str) -> None:
    """The choices, their options and the number of candidates, of a study file and of a template."""
    ran = command("space", file)
    assert ran.code == 0, ran.err
    assert unpadded(ran.out) == SPACE


@pytest.mark.parametrize("file", ["study.py", "template.j2"])
def test_choices_that_may_grow_are_said(command: Callable[..., Ran], project: Path, file: str) -> None:
    """Below the table, with what their texts are for; without such a choice there is no such line."""
    edit(project / "template.j2", '[/] please."])', '[/] please."], grow="tells the  model what to do")')
    edit(project / "template.j2", '"Answer:"])', '"Answer:"], grow="asks for the answer")')
    grows = (
        "instruction may grow: a text that tells the model what to do\ncue may grow: a text that asks for the answer\n"
    )
    assert unpadded(command("space", file).out) == SPACE.replace("3 choices", f"{grows}\n3 choices")


def test_many_options_are_cut_off(command: Callable[..., Ran], tmp_path: Path) -> None:
    """A choice of 720 orders prints the first 20."""
    template = tmp_path / "orders.j2"
    template.write_text('{{ order("parts", ["a", "b", "c", "d", "e", "f"]) | join }}{{ row.text }}')
    printed = unpadded(command("space", str(template)).out).splitlines()
    assert printed[0] == "choice  kind   options                  exists when  line"
    assert printed[1] == "parts   order  - a > b > c > d > e > f                  1"
    assert printed[21:] == ["               - (and 700 more)", "", "1 choice, 720 candidates"]


def test_columns_that_is_no_number_is_ignored(
    command: Callable[..., Ran], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken COLUMNS does not break the output."""
    monkeypatch.setenv("COLUMNS", "wide")
    assert unpadded(command("space", "study.py").out) == SPACE
