"""What people write first in Python: it works, or one line names what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search import metrics
from prompt_search.data.rows import Row
from prompt_search.testing import assert_score
from tests.conftest import FakeServer

ROWS = [{"text": f"film {i} was {'good' if i % 2 else 'bad'}", "label": "pos" if i % 2 else "neg"} for i in range(20)]
PROMPT = ps.Prompt("Judge: {{ row.text }}", answer=ps.Label(["pos", "neg"]).to_dict())
anything = cast(Any, ps)
"""The package for calls that its types refuse."""


def study(**given: Any) -> ps.Study:
    template = "{{ choice('a', ['Judge', 'Say']) }} {{ row.text }}"
    return ps.Study(**{"template": template, "data": ROWS, "target": "label", "model": "fake", **given})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Path:
    """The working directory, with an exported prompt and labelled rows, and a server that answers rightly."""
    monkeypatch.chdir(tmp_path)
    PROMPT.export("best.json")
    pd.DataFrame(ROWS).to_csv("rows.csv", index=False)
    server.answer = lambda body: "pos" if "good" in body["messages"][-1]["content"] else "neg"
    return tmp_path


@pytest.mark.parametrize("prompt", [PROMPT, "best.json", Path("best.json"), "Judge: {{ row.text }}"])
@pytest.mark.parametrize("data", ["rows.csv", ROWS])
def test_prompt_and_rows_may_be_files(folder: Path, server: FakeServer, prompt: Any, data: Any) -> None:
    """An exported prompt and a table are evaluated and guarded without reading them first."""
    assert ps.evaluate(prompt, data, model=server.model(), target="label").score == 1.0
    assert assert_score(prompt, data, model=server.model(), target="label", at_least=1.0).score == 1.0


def test_lone_study_of_a_storage_is_opened(folder: Path, server: FakeServer) -> None:
    """The name is needed where there are several, which the error lists."""
    for name in ("first", "second"):
        if name == "second":
            assert ps.open_result("a.db").name == "first"
        study(name=name, model=server.model(), storage="a.db").run(24)
    with pytest.raises(ps.StudyError, match="the storage holds 2 studies; give one of them: first, second"):
        ps.open_result("a.db")


def test_metric_without_parentheses_is_a_metric() -> None:
    """The bare decorator states no range."""

    @metrics.metric
    def long(answer: Any, row: Row) -> float:
        return float(len(answer))

    assert metrics.metric_range(long) == metrics.UNBOUNDED
    assert long("four", Row({"text": "?"})) == 4.0


def test_fields_stand_for_a_row() -> None:
    """Messages are made of a row or of its fields by name."""
    assert PROMPT.messages(text="hi") == PROMPT.messages({"text": "hi"}) == [{"role": "user", "content": "Judge: hi"}]


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "evaluate: no target": (
        lambda: ps.evaluate(PROMPT, "rows.csv", model="fake"),
        "data= is a file, so that the column with the correct answers has to be named; give target='COLUMN'",
    ),
    "evaluate: a result's name": (
        lambda: anything.evaluate(ps.Template("{{ row.text }}"), ROWS, target="label"),
        (
            "a prompt is text with {{ row.FIELD }}, a list of messages or a Prompt, not a Template; give one of them, "
            "such as result.best"
        ),
    ),
    "evaluate: answer": (
        lambda: anything.evaluate(PROMPT, ROWS, target="label", model="fake", answer="label"),
        "answer= takes an answer form, not 'label'; give one such as ps.Label([...]) or ps.Number()",
    ),
    "evaluate: model": (
        lambda: anything.evaluate(PROMPT, ROWS, target="label", model="http://a"),
        "model='http://a' is an address, not a model; give ps.Model('NAME', base_url='http://a')",
    ),
    "evaluate: rows": (
        lambda: anything.evaluate(PROMPT, ROWS, target="label", model="fake", rows=5),
        "rows= takes positions of rows, not a number; give range(5), or data.head(5)",
    ),
    "evaluate: budget": (
        lambda: anything.evaluate(PROMPT, ROWS, target="label", model="fake", budget=2.5),
        "budget= takes a number of calls or a Budget, not 2.5; give one such as 600",
    ),
    "assert_score": (
        lambda: cast(Any, assert_score)(PROMPT, ROWS, min_score=0.8),
        "assert_score has no argument min_score=; write at_least=",
    ),
    "on_finish of a study": (
        lambda: study(on_finish=print),
        "Study has no argument on_finish=; give it to the run: study.run(600, on_finish=...)",
    ),
    "on_finish of a run": (
        lambda: study().run(30, on_finish=cast(Any, 3)),
        "on_finish= takes a function, not 3; give one such as on_finish=print",
    ),
    "progress": (
        lambda: study().run(30, progress=cast(Any, True)),
        "progress= takes a function, not True; give one such as progress=print",
    ),
    "calls of a run": (
        lambda: cast(Any, study()).run(calls=30),
        "Study.run has no argument calls=; write study.run(600), or ps.Budget(calls=600)",
    ),
    "no model": (
        lambda: anything.Study(template="{{ row.text }}", data=ROWS, target="label"),
        "Study: missing a required argument: 'model'; write ps.Study(template=..., data=..., model=...)",
    ),
    "max_concurrency": (
        lambda: study(max_concurrency="4"),
        "max_concurrency must be a whole number, got '4'; give one such as 16",
    ),
    "name of a study": (lambda: study(name=3), "a study needs a name, got 3; give a text"),
    "name of a model": (
        lambda: anything.Model(3),
        "a model's name is a text, not 3; give one such as gpt-4o-mini",
    ),
    "parameter of a model": (
        lambda: anything.Model("m", temperature=1),
        "Model has no argument temperature=; write request={...} of the study, or of ask and evaluate",
    ),
    "no schema": (
        lambda: anything.Json(),
        "Json: missing a required argument: 'schema'; write ps.Json(schema), as in ps.Json({'type': 'object'})",
    ),
    "field to ask": (
        lambda: cast(Any, anything.Prompt("{{ row.text }}")).ask(text="a"),
        "Askable.ask has no argument text=; write prompt.ask({'FIELD': ...}); help(Askable.ask) has all arguments",
    ),
    "field to render": (
        lambda: cast(Any, anything.Prompt("{{ row.text }}")).render(text="a"),
        (
            "Prompt.render has no argument text=; write prompt.render({'FIELD': ...}); "
            "help(Prompt.render) has all arguments"
        ),
    ),
    "no score": (lambda: anything.Score("a"), "a score must be a number, not 'a'; give one such as Score(0.5)"),
    "table to read": (
        lambda: anything.Dataset.read(pd.DataFrame(ROWS), target="label"),
        "Dataset.read takes the path of a file, not a DataFrame; write ps.Dataset(rows, target=...)",
    ),
    "delimiter": (
        lambda: anything.Dataset.read("rows.csv", target="label", delimiter=";"),
        "Dataset.read has no argument delimiter=; write sep=",
    ),
    "template": (
        lambda: anything.Template(3),
        "a template is a text, not 3; give one with {{ row.FIELD }} and choices",
    ),
    "storage": (
        lambda: anything.open_result(3),
        "open_result takes the path or URL of a storage, not 3; give one such as study.db",
    ),
    "row and fields": (
        lambda: PROMPT.messages({"text": "a"}, text="b"),
        "messages takes a row or its fields, got both (a row and text); give one of them",
    ),
    "metric of a number": (
        lambda: cast(Any, metrics.metric)(1),
        "metric takes the range as metric(low=0, high=1), not 1; name the ends",
    ),
}


@pytest.mark.parametrize("tried", REFUSED)
def test_what_cannot_work_is_one_line(folder: Path, tried: str) -> None:
    """The line says what came and what to write."""
    call, told = REFUSED[tried]
    with pytest.raises(ps.InputError) as raised:
        call()
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("holder", "name", "told"),
    [
        (ps.Dataset, "from_list", "Dataset has no from_list; write ps.Dataset(rows, target='COLUMN')"),
        (ps.Dataset, "read_csv", "Dataset has no read_csv; write ps.Dataset.read(path, target='COLUMN')"),
        (ps.Dataset(ROWS, target="label"), "to_pandas", "Dataset has no to_pandas; write data.frame()"),
        (ps.Prompt, "load", "Prompt has no load; write ps.Prompt.read('best.json')"),
        (PROMPT, "save", "Prompt has no save; write prompt.export('best.json')"),
        (ps.Result, "best_prompt", "Result has no best_prompt; write result.best"),
        (ps.Study, "optimize", "Study has no optimize; write study.run(600)"),
        (ps.Study, "nothing", "Study has no nothing"),
        (PROMPT, "nothing", "'Prompt' object has no attribute 'nothing'"),
    ],
)
def test_attributes_of_other_packages_name_ours(holder: object, name: str, told: str) -> None:
    """A method that other packages have is told with the one that is here."""
    with pytest.raises(AttributeError) as raised:
        getattr(holder, name)
    assert str(raised.value) == told
