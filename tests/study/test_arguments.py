"""What Python users try first: it works, or one line says what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search import metrics
from prompt_search.testing import InProcessExecutor

TEXT = "{{ choice('instruction', ['Judge it.', 'Which mood?']) }}\n{{ row.text }}"
ROWS = [{"text": f"film number {i}", "mood": "good" if i % 2 else "bad"} for i in range(20)]
DATA = ps.Dataset(ROWS, target="mood")


def study(**given: Any) -> ps.Study:
    """A study of the rows, whose model is not asked."""
    return ps.Study(**{"template": TEXT, "data": DATA, "model": "fake", **given})


def test_template_may_be_a_text_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of one line without braces names a file, or a template that comes with the package."""
    monkeypatch.chdir(tmp_path)
    Path("own.j2").write_text(TEXT)
    for given in (TEXT, ps.Template(TEXT), "own.j2", Path("own.j2")):
        assert study(template=given).template.source == TEXT
    assert study(template="classify").template.source == ps.Template.read("classify").source


def test_data_may_be_a_table_or_a_path(tmp_path: Path) -> None:
    """With the target's name, everything that makes a Dataset does."""
    frame = pd.DataFrame(ROWS)
    frame.to_csv(tmp_path / "a.csv", index=False)
    for given in (frame, ROWS, frame.to_dict("list"), tmp_path / "a.csv", str(tmp_path / "a.csv")):
        assert study(data=given, target="mood").data.fingerprint == DATA.fingerprint
    assert study().replace(data=frame).data.fingerprint == DATA.fingerprint
    assert study(target="mood").data is DATA


def test_answer_may_be_given_by_name_or_class() -> None:
    """Labels come from the data, a schema from the targets; in a choice, too."""
    numbers = ps.Dataset([{"q": f"{i} and {i}", "sum": 2 * i} for i in range(20)], target="sum")
    objects = ps.Dataset([{"q": f"q {i}", "fields": {"a": i}} for i in range(20)], target="fields")
    for given in ("label", ps.Label, ["bad", "good"], ps.Label(["bad", "good"])):
        assert study(answer=given).answers == [ps.Label(["bad", "good"])]
    for number in ("number", ps.Number):
        assert study(template="{{ row.q }}", data=numbers, answer=number).answers == [ps.Number()]
    for text in ("text", ps.Text):
        assert study(answer=text).answers == [ps.Text()]
    for json_form in ("json", ps.Json):
        (form,) = study(template="{{ row.q }}", data=objects, answer=json_form).answers
        assert isinstance(form, ps.Json)
        assert form.json_schema["properties"] == {"a": {"type": "integer"}}
    assert [form.name for form in study(answer=ps.choice(["label", ps.Text])).answers] == ["label", "text"]


def test_metric_may_be_given_by_name() -> None:
    """Under the names of prompt_search.metrics, and two that other packages use."""
    assert study(metric="accuracy").metric == study(metric="Exact match").metric == metrics.exact
    assert study(metric="macro_f1").metric == metrics.macro_f1
    assert study().metric is metrics.exact


def test_json_that_is_written_as_text_is_compared_by_fields() -> None:
    """Without a metric, an object that is right would not equal its target's text."""
    rows = [{"q": f"q {i}", "fields": json.dumps({"a": i})} for i in range(20)]
    made = study(template="{{ row.q }}", data=rows, target="fields", answer="json")
    assert made.metric is metrics.fields


def test_budget_is_a_number_of_calls() -> None:
    """Also where a Budget is made by position."""
    assert ps.Budget(600) == ps.Budget(calls=600)
    assert study().estimate(100).calls == study().estimate(ps.Budget(100)).calls


class Client:
    """A client of another package."""

    base_url = "http://localhost"
    chat = None


class Movie:
    """A pydantic model, as far as answers know."""

    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        """Its schema."""
        return {}


def answers_alone(answer: object) -> bool:
    """A metric that forgets the row."""
    return bool(answer)


OBJECTS = ps.Dataset([{"text": f"film {i}", "mood": {"a": i}} for i in range(9)], target="mood")
TEXTS: list[Any] = ["600", "Hi {{ row.text }}"]
"""Texts in place of a number and of a dict, which a type checker would refuse."""

TRIED: dict[str, tuple[Callable[[], object], str]] = {
    "template: a wrong name": (lambda: study(template="clasify"), "cannot read the template.*give a file or one of"),
    "template: a prompt": (lambda: study(template=7), "template= takes a Template, .* or a file's path, not 7; give"),
    "Template of a path": (lambda: ps.Template("own.j2"), r"names a file.*Template.read\('own.j2'\)"),
    "data: no target": (lambda: study(data=ROWS), "the correct answers has to be named; give target='COLUMN'"),
    "data: a wrong target": (lambda: study(data=ROWS, target="tone"), "no target column 'tone'; there are: text, mood"),
    "data: two targets": (
        lambda: study(target="text"),
        "not the target of the Dataset, which is 'mood'; leave",
    ),
    "model: a function": (
        lambda: study(model=lambda text: "good"),
        r"not a function; .* ps.Model\(NAME, base_url=URL\), or .* executor=InProcessExecutor\(function\).*\.testing",
    ),
    "model: a client": (lambda: study(model=Client()), "not the client Client; give the model's name"),
    "model: the class": (lambda: study(model=ps.Model), "not the class Model; give an instance such as ps.Model"),
    "model: a list": (lambda: study(model=["a", "b"]), r"not a list; give ps.choice\(\[...\]\)"),
    "model: an address": (
        lambda: study(model="http://localhost:8000/v1"),
        r"is an address, not a model; give ps.Model\('NAME', base_url='http://localhost:8000/v1'\)",
    ),
    "model: nothing": (lambda: study(model=None), "not a NoneType; give one such as ps.Model"),
    "answer: a typo": (lambda: study(answer="labels"), "one of label, number, text, json, not 'labels'; give one"),
    "answer: Regex": (lambda: study(answer=ps.Regex), r"needs a pattern; give ps.Regex\(r'...'\)"),
    "answer: a schema": (lambda: study(answer={"type": "object"}), r"a schema; give ps.Json\(schema\)"),
    "answer: a pydantic model": (lambda: study(answer=Movie), r"a schema; give ps.Json\(schema\)"),
    "answer: a function": (lambda: study(answer=str.strip), "what a function computes of an answer is a metric"),
    "answer: json without": (lambda: study(answer="json"), r"and one is 'bad'; give ps.Json\(schema\)"),
    "Label of two texts": (lambda: ps.Label("a", "b"), r"labels must be a list, not the text 'a'; write \['a', ...\]"),
    "metric: a typo": (
        lambda: study(metric="acuracy"),
        r"no metric 'acuracy'; give a function \(answer, row\)",
    ),
    "metric: f1": (lambda: study(metric="f1"), r"macro_f1 \(labels\) or token_f1 \(texts\); give one of them"),
    "metric: the class": (lambda: study(metric=metrics.Exact), r"not the class Exact; write Exact\(...\)"),
    "metric: one argument": (
        lambda: study(metric=answers_alone),
        "does not take two arguments; write one such",
    ),
    "metric: fields of labels": (
        lambda: study(metric="fields"),
        "needs a JSON object to compare with, not 'bad'; correct",
    ),
    "metric: a wrong field": (
        lambda: study(
            data=[{"text": str(i), "mood": {"a": i}} for i in range(9)], target="mood", metric=metrics.Fields(["b"])
        ),
        "names the field 'b', which no target has; there are: a",
    ),
    "run without a budget": (lambda: study().run(), r"run needs a budget, none was given; give .* study.run\(600\)"),
    "run with a text": (lambda: study().run(TEXTS[0]), "run needs a budget, not '600'; give a number of calls"),
    "estimate without": (
        lambda: study().estimate(),
        r"estimate needs a budget, none was.* study.estimate\(600\)",
    ),
    "Budget of a text": (lambda: ps.Budget(TEXTS[0]), "must be a number, got calls='600'; give one such as calls=600"),
    "test: a data set": (lambda: study(test=DATA), r"put all rows into one table.* Dataset\(..., split=COLUMN\)"),
    "test: a text": (lambda: study(test="30%"), "takes a number, a share or a list of row numbers, not '30%'"),
    "seed: none": (lambda: study(seed=None), "seed= takes a whole number, not a NoneType; give one such as 0"),
    "context: a list": (lambda: study(context=["a"]), "context= takes a dict of values by name, not a list"),
    "request: a list": (lambda: study(request=["a"]), "request= takes a dict of values by name, not a list"),
    "choice of texts": (
        lambda: ps.choice("a", "b"),
        r"a list or dict of options, .*write ps.choice\(\['a', 'b'\]\)",
    ),
    "choice of one text": (lambda: ps.choice("gpt"), r"got 'gpt'; write ps.choice\(\['gpt'\]\)"),
    "enqueue a text": (lambda: study().enqueue(TEXTS[1]), r"write enqueue\(prompt=\.\.\.\) for a whole prompt"),
    "space without labels": (
        lambda: ps.Template("{{ labels | join }} {{ row.text }}").space(),
        r"labels come from the data of a study: study.space\(\), or template.with_context",
    ),
    "messages of a wrong field": (
        lambda: study().prompt().messages({"txt": "fine"}),
        "the row has no field 'text', which the prompt shows; it has: txt",
    ),
    "messages of a text": (
        lambda: study().prompt().messages("fine"),
        r"a row is a dict of its fields, not 'fine'; write \{'text': ...\}",
    ),
}


@pytest.mark.parametrize("tried", TRIED)
def test_what_does_not_work_says_what_to_do(tried: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is of the package's own kind, has one line, and names the cure."""
    monkeypatch.chdir(tmp_path)
    call, message = TRIED[tried]
    with pytest.raises(ps.InputError) as raised:
        call()
    assert re.search(message, str(raised.value)), str(raised.value)
    assert "\n" not in str(raised.value)


def test_all_of_it_together_runs(tmp_path: Path) -> None:
    """A study of plain Python values searches."""
    executor = InProcessExecutor(lambda body: "good" if int(body["messages"][-1]["content"].split()[-1]) % 2 else "bad")
    made = ps.Study(
        template=TEXT,
        data=ROWS,
        target="mood",
        model=executor.model(),
        answer="label",
        metric="accuracy",
        executor=executor,
        storage=tmp_path / "a.db",
    )
    assert made.run(60).test_score(0).mean == 1.0
