"""Whatever stands in a template, a data file or a storage: it works, or one line of ours says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.errors import PromptSearchError
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.template import Template
from tests.conftest import InProcessExecutor
from tests.profiles import examples
from tests.results.examples import study, truth

QUICK = settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))

ROW = {"text": "some text", "n": 3}
POOL = ExamplePool(tuple({"text": f"text {i}", "n": i, "label": "ab"[i % 2]} for i in range(6)), "label")


def told(use: Callable[[], Any]) -> Any:
    """What it gives; None where it refuses, which it does on one line."""
    try:
        return use()
    except PromptSearchError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


# Templates

FRAGMENTS = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "{%-", "-%}", "\n", " ", '"', "'", "(", ")", "[", "]", ",", ":", "|", "="),
    *(".", "{{ row.text }}", "{{ row }}", '{{ row["n"] }}', "{{ labels }}", "row", "row.n", "labels", "answer", "1"),
    *('{{ choice("c", ["a", "b"]) }}', 'choice("c", labels)', '{{ flag("f") }}', 'integer("i", 1, 3)'),
    *('{{ order("o", ["x", "y"]) }}', 'order("o", labels)', 'examples("s", max=2)', 'examples("s", max=2, min=1)'),
    *('{% chat role="user" %}', '{% chat role="system" %}', "{% chat role=row.text %}", "{% endchat %}"),
    *('{% if flag("g") %}', "{% if row.n %}", "{% if answer %}", "{% elif 1 %}", "{% else %}", "{% endif %}"),
    *('{% for s in examples("t", max=3) %}', "{% for i in range(9) %}", "{% for x in labels recursive %}"),
    *("{{ s.label }}", "{{ loop.index }}", "{{ loop(labels) }}", "{% endfor %}", "{% break %}"),
    *("{% set a = 1 %}", "{% set a %}", "{% endset %}", "{% set ns = namespace(a=1) %}", "{% set ns.a = 2 %}"),
    *("{{ a }}", "{% macro m(x) %}", "{{ caller() }}", "{% endmacro %}", "{{ m(1) }}", "{% call m(2) %}"),
    *("{% endcall %}", "{% raw %}", "{% endraw %}", "{% block b %}", "{{ self.b() }}"),
    *("{% endblock %}", "{% filter upper %}", "{% endfilter %}", "{% with b = 2 %}", "{% endwith %}"),
    *("{% include 'x' %}", "{% import 'x' as y %}"),
    *("| join", "| upper", "| length", "| tojson", "| list", "| sort", "| center(9)", "| default('d')", "is defined"),
    *("not", "and", "or", "in", "is", "if", "else", "**", "*", "//", "%", "~", "==", "<", "''.__class__", "\x00", "é"),
]  # fmt: skip
BODIES = [
    "x",
    "{{ row.text }}",
    '{{ choice("c", ["a", "b"]) }}',
    '{{ flag("f") }}',
    '{{ choice("d", labels) }}',
    "{{ a }}",
]
WRAPPERS = [
    '{%% chat role="user" %%}%s{%% endchat %%}',
    '{%% if flag("g") %%}%s{%% endif %%}',
    "{%% if row.n %%}%s{%% else %%}y{%% endif %%}",
    '{%% for s in examples("t", max=2) %%}{{ s.text }}%s{%% endfor %%}',
    "{%% for x in labels %%}%s{%% endfor %%}",
    "{%% set a %%}%s{%% endset %%}{{ a }}",
    "{%% macro m() %%}%s{%% endmacro %%}{{ m() }}",
    "{%% block b %%}%s{%% endblock %%}",
    "{%% filter upper %%}%s{%% endfilter %%}",
]

soup = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=12).map("".join)
whole = st.recursive(
    st.sampled_from(BODIES),
    lambda inner: (
        st.tuples(st.sampled_from(WRAPPERS), inner).map(lambda two: two[0] % two[1])
        | st.lists(inner, min_size=2, max_size=3).map(" ".join)
    ),
    max_leaves=6,
)
mutated = st.tuples(whole, soup, st.integers(0, 200), st.integers(0, 8)).map(
    lambda t: t[0][: t[2]] + t[1] + t[0][t[2] + t[3] :]
)


def use_template(source: str) -> None:
    """All that is done with a template: it is checked, explored, rendered, written out, exported and shown."""
    template = told(lambda: Template(source, context={"labels": ["a", "b"]}))
    if template is None:
        return
    assert template._repr_html_()
    told(lambda: template.check(["text", "n"], None))
    told(lambda: template.space(ROW, pool=POOL))
    messages = told(lambda: template.render({}, ROW, pool=POOL))
    fixed = told(lambda: template.specialize({}, ROW, pool=POOL))
    if messages is None or fixed is None:
        return
    prompt = Prompt(source=fixed)
    assert told(lambda: prompt.messages(ROW)) in (messages, None)
    told(lambda: prompt.text)
    told(lambda: Prompt.from_dict(prompt.to_dict()))


@settings(QUICK, max_examples=examples(600))
@given(whole | soup | mutated)
@example("{{ row.text }}{% raw %}{% endraw %}")
def test_any_template(source: str) -> None:
    """Text of any kind as a template."""
    use_template(source)


# Data files

CSV = b'id,text,label\n1,"a ""quoted"" text, with comma",x\n2,"two\nlines",y\n3,plain,x\n4,\xc3\xa9,y\n'
JSONL = b'{"text": "a", "n": 1, "label": "x"}\n{"text": "b", "n": null, "label": "y"}\n{"text": "c", "label": "x"}\n'
FILES = {
    "a.csv": CSV,
    "a.tsv": CSV.replace(b",", b"\t"),
    "a.jsonl": JSONL,
    "a.json": b"[" + b",".join(JSONL.splitlines()) + b"]",
}
BYTES = [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b'"', b",", b"\t", b"{", b"}", b"[", b"]", b":", b"null",
         b"NaN", b"1e999", b"9" * 400, b"\\ud800", b"[" * 3_000, b'{"a":' * 3_000, b"label,label"]  # fmt: skip

cuts = st.lists(
    st.tuples(st.integers(0, 120), st.integers(0, 20), st.sampled_from(BYTES) | st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)


def cut(content: bytes, places: list[tuple[int, int, bytes]]) -> bytes:
    for start, length, put in places:
        start = start % (len(content) + 1)
        content = content[:start] + put + content[start + length :]
    return content


def use_data(file: Path) -> None:
    """All that is done with a file: it is read, described, split and used by a template."""
    before = file.read_bytes()
    data = told(lambda: ps.Dataset.read(file, target="label"))
    assert os.listdir(file.parent) == [file.name]
    assert file.read_bytes() == before
    if data is None:
        return
    assert repr(data)
    assert data._repr_html_()
    assert data.fingerprint
    told(lambda: data.labels)
    for row in data.rows:
        told(lambda row=row: Template("{{ row }}{{ row.text }}").render({}, row.fields))  # type: ignore[misc]


@QUICK
@given(st.sampled_from(sorted(FILES)), cuts)
@example("a.csv", [(0, 0, b"\x00" * 10)])
@example("a.csv", [(0, 17, b""), (80, 20, b"\x00")])  # a column whose name has two lines
@example("a.json", [(0, 200, b"[" * 100_000)])
@example("a.jsonl", [(0, 200, b'{"label":' * 100_000)])
@example("a.csv", [(10, 0, b"x" * 200_000)])
def test_any_change_of_a_data_file(tmp_path_factory: pytest.TempPathFactory, name: str, places: list[Any]) -> None:
    """A file with bytes lost, changed and put in."""
    file = tmp_path_factory.mktemp("data") / name
    file.write_bytes(cut(FILES[name], places))
    use_data(file)
    shutil.rmtree(file.parent)


@QUICK
@given(st.sampled_from([*sorted(FILES), "a.parquet", "a.xyz"]), st.binary(max_size=60))
@example("a.csv", b"")
@example("a.json", b"[]")
@example("a.json", b"9" * 5_000)
@example("a.parquet", b"PAR1")
def test_any_bytes_as_a_data_file(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    """Bytes of any kind under any name."""
    file = tmp_path_factory.mktemp("data") / name
    file.write_bytes(content)
    use_data(file)
    shutil.rmtree(file.parent)


@settings(QUICK, max_examples=examples(60))
@given(cuts.map(lambda all_: [(start * 17, length, put) for start, length, put in all_]))
def test_any_change_of_a_parquet_file(tmp_path_factory: pytest.TempPathFactory, places: list[Any]) -> None:
    """A binary file with bytes lost, changed and put in."""
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("data")
    file = folder / "a.parquet"
    ps.Dataset.read(data_file(folder / "a.csv"), target="label").frame().to_parquet(file)
    (folder / "a.csv").unlink()
    file.write_bytes(cut(file.read_bytes(), places))
    use_data(file)
    shutil.rmtree(folder)


def data_file(file: Path) -> Path:
    file.write_bytes(CSV)
    return file


# Stored rows

NAME = "<b>my study</b>"
COLUMNS = {
    "prompt_search_responses": ["request", "response"],
    "prompt_search_calls": ["failure", "split", "role", "attempts", "number"],
    "prompt_search_trials": ["record"],
    "prompt_search_samples": ["record"],
    "prompt_search_studies": ["identity"],
    "prompt_search_versions": ["settings", "summary"],
    "prompt_search_decisions": ["record"],
}
anything: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of a finished study."""
    folder = tmp_path_factory.mktemp("finished")
    fake = InProcessExecutor()
    fake.answer = truth
    study(fake, f"sqlite:///{folder}/live.db").run(200)
    live, copy = sqlite3.connect(folder / "live.db"), sqlite3.connect(folder / "study.db")
    live.backup(copy)  # with what is in the log only
    live.close()
    copy.close()
    return folder / "study.db"


@st.composite
def changed_value(draw: st.DrawFn, stored: Any) -> Any:
    """A stored value with one part of its JSON lost or of another kind, or with its text cut."""
    if not isinstance(stored, str) or not stored.startswith("{") or draw(st.integers(0, 4)) == 0:
        text = str(stored)
        return draw(st.sampled_from([text[: len(text) // 2], "", "null", "[]", "{}", "3", b"\xff", "[" * 50_000, None]))
    body = json.loads(stored)
    holder = body
    while True:
        name = draw(st.sampled_from(sorted(holder)))
        if isinstance(holder[name], dict) and holder[name] and draw(st.booleans()):
            holder = holder[name]
            continue
        if draw(st.booleans()):
            del holder[name]
        else:
            holder[name] = draw(anything)
        return json.dumps(body)


@settings(QUICK, max_examples=examples(80))
@given(data=st.data())
def test_any_change_of_stored_rows(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A stored study of which one value is broken: tables and reports of what can be read, or one clear line."""
    folder = tmp_path_factory.mktemp("stored")
    file = folder / "study.db"
    shutil.copy(finished, file)
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    connection = sqlite3.connect(file)
    rows = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid").fetchall()
    rowid, stored = rows[data.draw(st.integers(0, len(rows) - 1))]
    value = data.draw(changed_value(stored))
    try:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))
        connection.commit()
    except sqlite3.IntegrityError:
        return
    finally:
        connection.close()
    use_result(f"sqlite:///{file}", folder)
    shutil.rmtree(folder)


def use_result(url: str, folder: Path) -> None:
    """All that is made of a stored study."""
    result = told(lambda: ps.open_result(url, NAME))
    if result is not None:
        for table in ("trials", "samples", "effects", "pareto", "calls", "ledger", "interactions"):
            told(getattr(result, f"{table}_df"))
        for show in (repr, str, lambda r: r._repr_html_(), lambda r: r.best, lambda r: r.verdict, lambda r: r.headline):
            told(lambda show=show: show(result))  # type: ignore[misc]
        told(lambda: result.report(folder / "report.html"))
        told(lambda: result.report(folder / "report.md"))
    written = {name for name in os.listdir(folder) if not name.startswith("study.db")}
    assert written <= {"report.html", "report.md"}
