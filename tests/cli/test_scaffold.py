"""`prompt-search init`: the study that it writes for a labelled file runs unchanged."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prompt_search import metrics
from prompt_search.answers import Label, Number, Text
from prompt_search.cli.loading import load_study
from prompt_search.cli.scaffold import scaffold
from prompt_search.data.dataset import Dataset
from prompt_search.errors import DataError, InputError
from prompt_search.study.study import Study


@pytest.fixture(autouse=True)
def clean_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a study puts its folder on the path of imports."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def table(file: Path, columns: Sequence[str], targets: Sequence[Any]) -> Path:
    """A jsonl file with those columns, the last one holding the targets."""
    *fields, target = columns
    lines = [{**{name: f"{name} {i}" for name in fields}, target: value} for i, value in enumerate(targets)]
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return file


def made(data: Path, target: str, folder: Path) -> Study:
    """The study that init writes, loaded from its file."""
    study_file, template_file = scaffold(data, target, folder)
    assert (study_file, template_file) == (folder / "study.py", folder / "template.j2")
    return load_study(str(study_file))


def test_labels_are_read_in_three_ways(tmp_path: Path) -> None:
    """A target with few values is read by text and by log-probabilities, with and without calibration."""
    study = made(table(tmp_path / "a.jsonl", ["text", "mood"], ["good", "bad"] * 6), "mood", tmp_path)
    assert [answer.name for answer in study.answers] == ["label", "label_logprobs", "label_logprobs_calibrated"]
    assert study.metric is metrics.exact
    assert set(study.space().by_name) == {
        "cue", "instruction", "list_labels", "shots", "shots.picker", "shots.order", "answer",
    }  # fmt: skip
    default = study.prompt()
    assert default.messages({"text": "fine"}) == [
        {"role": "user", "content": "Choose the label that fits.\n\nText: fine\nLabel:"}
    ]
    shots = study.prompt({"shots": 2, "list_labels": True}).messages({"text": "fine"})[0]["content"]
    assert "Labels: bad, good\n" in shots
    assert shots.count("Label: ") == 2


def test_labels_that_begin_alike_are_read_as_text(tmp_path: Path) -> None:
    """Log-probabilities of a first token cannot tell `pos` from `positive`."""
    study = made(table(tmp_path / "a.jsonl", ["text", "mood"], ["pos", "positive"] * 6), "mood", tmp_path)
    assert study.answers == [Label(["pos", "positive"])]


def test_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    """A target of many numbers is answered with a number and compared with a tolerance."""
    study = made(table(tmp_path / "a.jsonl", ["question", "result"], [i * 1.5 for i in range(12)]), "result", tmp_path)
    assert study.answers == [Number()]
    assert study.metric is metrics.numeric


def test_text_is_compared_by_its_words(tmp_path: Path) -> None:
    """A target of many texts is answered with text; the metric needs no further package."""
    study = made(
        table(tmp_path / "a.jsonl", ["question", "reply"], [f"reply number {i}" for i in range(12)]), "reply", tmp_path
    )
    assert study.answers == [Text()]
    assert study.metric is metrics.token_f1


@pytest.mark.parametrize("targets", [["x", "y"] * 4, [f"text {i}" for i in range(8)], list(range(8))])
def test_odd_column_names(tmp_path: Path, targets: list[Any]) -> None:
    """Spaces, Jinja's keywords, methods, underscores, braces, quotes and tags in names make a working template."""
    names = [
        "the text", "items", "class", "if", "_id", "fields", "größe", 'a "quoted" one', "{{ row }}", "{% raw %}", "#}",
        "two\nlines", "target", "keys",
    ]  # fmt: skip
    study = made(table(tmp_path / "odd names.jsonl", [*names, "the label"], targets), "the label", tmp_path)
    assert study.space().size()[0] > 10
    row = {name: f"value of {name}" for name in names}
    prompt = study.prompt({"shots": 2}).messages(row)[0]["content"]
    for name in names:
        assert f"value of {name}" in prompt
    assert "{{ row }}: value of {{ row }}" in prompt
    assert "Items: items " in prompt  # a shot's value, not the method of dictionaries
    assert study.name == "odd_names"


def test_few_rows_offer_few_shots(tmp_path: Path) -> None:
    """With four rows a prompt shows at most two, so that rows remain to score."""
    study = made(table(tmp_path / "a.jsonl", ["text", "mood"], ["good", "bad"] * 2), "mood", tmp_path)
    assert study.space().by_name["shots"].options == (0, 1, 2)


def test_data_is_found_from_the_study_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of the data is relative to the study, so that both can be moved together and run from anywhere."""
    (tmp_path / "project" / "data").mkdir(parents=True)
    data = table(tmp_path / "project" / "data" / "a.jsonl", ["text", "mood"], ["good", "bad"] * 6)
    monkeypatch.chdir(tmp_path / "project")
    scaffold(Path("data/a.jsonl"), "mood", Path("search"))
    assert 'HERE / "../data/a.jsonl"' in Path("search/study.py").read_text()
    moved = (tmp_path / "project").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    study = load_study(str(moved / "search" / "study.py"))
    assert study.data.fingerprint == Dataset.read(moved / "data" / "a.jsonl", target="mood").fingerprint
    assert str(data.parent) not in (moved / "search" / "study.py").read_text()
    assert study.storage == f"sqlite:///{moved / 'search' / 'a.db'}"


@pytest.mark.parametrize("name", ["study.py", "template.j2"])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    """An existing file is not changed, and the other one is not written."""
    data = table(tmp_path / "a.jsonl", ["text", "mood"], ["good", "bad"] * 6)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: the file already exists; remove it or give another folder"):
        scaffold(data, "mood", tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("targets", "match"),
    [(["good"] * 12, "at least two labels"), (["good", "bad", "bad"], "at least 4 rows"), (["a", ""] * 6, "line 2")],
)
def test_data_that_cannot_be_searched_is_an_error(tmp_path: Path, targets: list[str], match: str) -> None:
    """After one label, too few rows or an empty target nothing is written."""
    data = table(tmp_path / "a.jsonl", ["text", "mood"], targets)
    with pytest.raises(InputError, match=match):
        scaffold(data, "mood", tmp_path / "search")
    assert not (tmp_path / "search").exists()


def test_unknown_target_is_an_error_with_the_columns(tmp_path: Path) -> None:
    """The error for a target that is no column lists the columns."""
    data = table(tmp_path / "a.jsonl", ["text", "mood"], ["good", "bad"] * 6)
    with pytest.raises(DataError, match="no target column 'tone'; there are: text, mood"):
        scaffold(data, "tone", tmp_path)


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A folder below a file cannot be made."""
    data = table(tmp_path / "a.jsonl", ["text", "mood"], ["good", "bad"] * 6)
    with pytest.raises(InputError, match="cannot write the study: Not a directory; give another folder with --output"):
        scaffold(data, "mood", data / "search")
