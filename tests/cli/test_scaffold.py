"""`prompt-search init`: the study that it writes for a labelled file runs unchanged."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import prompt_search as ps
from prompt_search import metrics
from prompt_search.answers import Label, Number, Text
from prompt_search.cli.loading import load_study
from prompt_search.cli.options import Overrides
from prompt_search.cli.scaffold import scaffold
from prompt_search.data.dataset import Dataset
from prompt_search.errors import DataError, InputError
from prompt_search.study.study import Study
from tests.cli.helpers import Ran
from tests.conftest import Body, FakeServer, prompt_of


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
    study_file, template_file, _ = scaffold(data, target, folder)
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
        {
            "role": "user",
            "content": "Choose the label that fits. Answer with the label only, without explanation.\n"
            "Labels: bad, good\n\nText: fine\nLabel:",
        }
    ]
    shots = study.prompt({"shots": 2, "list_labels": False}).messages({"text": "fine"})[0]["content"]
    assert "Labels: bad, good\n" not in shots
    assert shots.count("Label: ") == 2


def test_labels_that_begin_alike_are_read_as_text(tmp_path: Path) -> None:
    """Log-probabilities of a first token cannot tell `pos` from `positive`."""
    study = made(table(tmp_path / "a.jsonl", ["text", "mood"], ["pos", "positive"] * 6), "mood", tmp_path)
    assert study.answers == [Label(["pos", "positive"])]


def test_numbers_are_compared_as_numbers(tmp_path: Path) -> None:
    """A target of many numbers is answered with a number and compared with a tolerance."""
    study = made(table(tmp_path / "a.jsonl", ["question", "result"], [i * 1.5 for i in range(12)]), "result", tmp_path)
    assert study.answers == [Number(max_tokens=256)]
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


ORDERS = [
    {"item": f"desk {i}", "count": i % 5 + 1, "to": {"city": f"Town {i}", "zip": None if i % 3 else str(i)}, "tags": []}
    for i in range(40)
]
FILES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "labels.csv": ("intent", [{"text": f"question {i}", "intent": f"intent {i % 6}"} for i in range(60)]),
    "numbers.csv": ("answer", [{"question": f"{i} plus {i}?", "answer": 2 * i} for i in range(40)]),
    "json.csv": ("order", [{"text": f"order {i}", "order": json.dumps(order)} for i, order in enumerate(ORDERS)]),
    "nested.jsonl": ("order", [{"text": f"order {i}", "order": order} for i, order in enumerate(ORDERS)]),
    "text.csv": ("formal", [{"casual": f"gimme {i}", "formal": f"Please give me number {i}."} for i in range(40)]),
}
"""A file of each kind of target: the target's column, and its rows."""

SEEN = {
    "labels.csv": "'intent' holds 6 labels in 60 rows: a template like classify, answers are ps.Label, "
    "the metric is exact",
    "numbers.csv": "'answer' holds numbers in 40 rows: a template like solve, answers are ps.Number, "
    "the metric is numeric",
    "json.csv": "'order' holds JSON objects in 40 rows: a template like extract, answers are ps.Json with "
    "item, count, to, tags, the metric is fields",
    "nested.jsonl": "'order' holds JSON objects in 40 rows: a template like extract, answers are ps.Json with "
    "item, count, to, tags, the metric is fields",
    "text.csv": "'formal' holds free text in 40 rows: a template like rewrite, answers are ps.Text, "
    "the metric is token_f1",
}
"""What init says of each of them."""


def written_file(folder: Path, name: str) -> Path:
    """One of the files."""
    rows, file = FILES[name][1], folder / name
    if name.endswith(".csv"):
        with file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        file.write_text("\n".join(map(json.dumps, rows)))
    return file


def right_answers(name: str) -> Callable[[Body], str]:
    """Answers every row of a file with its target, in the words of the target's file."""
    target, rows = FILES[name]
    told = {}
    for row in rows:
        value = row[target]
        told[next(iter(row.values()))] = json.dumps(value) if isinstance(value, dict) else str(value)

    def answer(body: Body) -> str:
        asked = prompt_of(body)
        return told[max((text for text in told if text in asked), key=lambda text: (asked.rindex(text), len(text)))]

    return answer


@pytest.mark.parametrize("name", FILES)
def test_what_init_writes_runs_at_once(
    command: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer, name: str
) -> None:
    """For every kind of target, `init`, `estimate` and `run` work without a change, and right answers score 1."""
    written_file(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    server.answer = right_answers(name)
    first, wrote, _ = command("init", name, "--target", FILES[name][0]).out.splitlines()
    assert first == SEEN[name]
    assert wrote == "wrote study.py and template.j2"
    to_server = ("-m", "fake", "--base-url", server.url)
    assert command("estimate", "study.py", "--calls", "80", *to_server).code == 0
    ran = command("run", "study.py", "--calls", "80", *to_server)
    assert ran.code == 0, ran.err
    result = ps.open_result(f"sqlite:///{tmp_path / name.partition('.')[0]}.db", name.partition(".")[0])
    assert result.test_score(0).mean == 1.0
    assert server.count <= 80
    if FILES[name][0] == "order":
        assert set(result.fields_df()["field"]) == {"item", "count", "to.city", "to.zip", "tags"}


def test_default_prompt_names_everything_that_an_answer_needs(tmp_path: Path) -> None:
    """The first options list labels and fields and say what an answer looks like; the template says that they are the
    baseline."""
    wanted = {
        "labels.csv": ["Labels: intent 0, intent 1", "Answer with the label only"],
        "numbers.csv": ["Reason step by step. End with the line: Answer: <number>"],
        "nested.jsonl": ["one JSON object", "- count: whole number\n", "- to.zip: text; null where the text does not"],
        "text.csv": ["Answer with the new text only"],
    }
    for name, parts in wanted.items():
        target, rows = FILES[name]
        study = made(written_file(tmp_path, name), target, tmp_path / name.partition(".")[0])
        prompt = study.prompt().messages({key: value for key, value in rows[0].items() if key != target})[0]["content"]
        assert [part for part in parts if part not in prompt] == []
        assert "The first option of each is the baseline" in study.template.source


def test_many_labels_are_labels(tmp_path: Path) -> None:
    """More labels than classes are kept apart by, such as 77 intents, are labels and not free text."""
    rows = [f"label_{i % 77}" for i in range(770)]
    study = made(table(tmp_path / "a.jsonl", ["text", "intent"], rows), "intent", tmp_path)
    assert study.answers == [Label(study.data.labels)]
    assert "label_76" in study.prompt().messages({"text": "x"})[0]["content"]


def test_labels_with_commas_are_listed_one_a_line(tmp_path: Path) -> None:
    """A list on one line would not show where a label ends."""
    study = made(table(tmp_path / "a.jsonl", ["text", "mood"], ["good, fine", "bad"] * 6), "mood", tmp_path)
    assert "Labels:\n- bad\n- good, fine\n" in study.prompt().messages({"text": "x"})[0]["content"]


def test_columns_that_are_no_part_of_the_task_are_left_out(tmp_path: Path) -> None:
    """Numbers of rows, and columns that say the target in other words, are not shown, and init says so."""
    rows = [{"id": i, "text": f"t {i}", "label": i % 3, "label_text": "abc"[i % 3]} for i in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    _, template_file, seen = scaffold(tmp_path / "a.jsonl", "label", tmp_path)
    assert seen.endswith("; not shown: id (it only tells rows apart), label_text (it says the target)")
    assert "label_text" not in template_file.read_text()
    solved = [{"question": f"q {i} of them", "solution": f"so it is\n#### {i}", "answer": i} for i in range(40)]
    (tmp_path / "b.jsonl").write_text("\n".join(map(json.dumps, solved)))
    assert scaffold(tmp_path / "b.jsonl", "answer", tmp_path / "b").seen.endswith("solution (it says the target)")


def test_two_languages_are_a_translation(tmp_path: Path) -> None:
    """Columns that are named after languages make a prompt that asks for a translation."""
    data = table(tmp_path / "a.jsonl", ["English", "French"], [f"phrase numéro {i}" for i in range(12)])
    prompt = made(data, "French", tmp_path).prompt().messages({"English": "x"})[0]["content"]
    assert prompt == "Translate from English into French. Answer with the translation only.\n\nEnglish: x\nFrench:"


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


@pytest.mark.parametrize(
    ("columns", "targets", "grow"),
    [
        (("text", "mood"), ["good", "bad"] * 6, "tells the model what to do and how the labels are told apart"),
        (("question", "result"), [i * 1.5 for i in range(12)], "tells the model how to find the right number"),
        (
            ("text", "output"),
            [{"name": f"n{i}"} for i in range(12)],
            "tells the model what to find in the text and what to do where the text is unclear",
        ),
        (
            ("text", "summary"),
            [f"a summary of {i} words" for i in range(40)],
            "tells the model what to write: its content, its length and its tone",
        ),
        (
            ("english", "french"),
            [f"un mot {i} et un autre" for i in range(40)],
            "tells the model what to translate and how, with meaning, tone and form in mind",
        ),
    ],
)
def test_the_instruction_may_grow(tmp_path: Path, columns: Sequence[str], targets: Sequence[Any], grow: str) -> None:
    """The template says for what, and how it is asked for; without a proposer nothing is proposed."""
    study = made(table(tmp_path / "a.jsonl", columns, targets), columns[-1], tmp_path)
    assert {factor.name: factor.grow for factor in study.space().factors if factor.grow} == {"instruction": grow}
    assert study.proposer is None
    assert "A choice with grow= gets more options where a model proposes them:" in study.template.source
    assert load_study(str(tmp_path / "study.py"), Overrides(propose="")).proposer is not None
