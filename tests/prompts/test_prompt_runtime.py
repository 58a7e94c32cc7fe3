"""The functions that exported prompts run on: nearest examples, chat messages, reading labels."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.prompts.export.python_source import RUNTIME_FILES, pasted
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.prompt_runtime import chat_messages, compiled, nearest
from tests.prompts.examples import pool_of


def test_nearest_shows_the_most_alike_last() -> None:
    """Rare shared words count; the best example stands next to the question."""
    pool = pool_of(16).examples

    shown = nearest(pool, {"text": "is the weather nice"}, 3)

    assert [row["text"] for row in shown[-2:]] == ["the weather number 9", "the weather number 1"]


@given(st.integers(0, 15), st.integers(0, 16))
def test_nearest_never_shows_the_row_itself(index: int, count: int) -> None:
    """An example whose fields equal the scored row's is left out, also its copies."""
    pool = (*pool_of(16).examples, *pool_of(16, "ba").examples)
    row = {"text": pool[index]["text"]}

    shown = nearest(pool, row, count)

    assert len(shown) == count
    assert all(example["text"] != row["text"] for example in shown)


def test_nearest_is_nested_and_gives_what_there_is() -> None:
    """More shots keep the fewer; a pool that is too small gives all of it."""
    pool, row = pool_of(5).examples, {"text": "soup and money"}

    assert nearest(pool, row, 2) == nearest(pool, row, 4)[-2:]
    assert len(nearest(pool, row, 9)) == 5
    assert nearest((), row, 3) == []


def test_nearest_reads_any_kind_of_value() -> None:
    """Numbers, missing values and punctuation do not stop it."""
    pool = ({"a": 1, "b": None, "y": 0}, {"a": 2.5, "b": "…", "y": 1}, {"a": [1, 2], "b": "x", "y": 2})

    assert [row["y"] for row in nearest(pool, {"a": 2.5, "b": "x"}, 3)][-2:] in ([1, 2], [2, 1])


@pytest.mark.parametrize(
    "source",
    [
        "Text: {{ row.text }}",
        '{% chat role="system" %}Be brief.{% endchat %}\n{% chat role="user" %} {{ row.text }} {% endchat %}',
        '{% chat role="system" %}{{ none }}{% endchat %}{% chat role="user" %}{{ {"é": [row.text]} }}{% endchat %}',
        '{% set pool = [{"text": "a"}, {"text": "b"}] %}{{ nearest(pool, row, 1)[0].text }}',
    ],
)
def test_messages_are_those_of_the_prompt(source: str) -> None:
    """What the runtime renders is what the package sends."""
    row = {"text": "a <b>"}
    assert chat_messages(compiled(source), row, nearest) == Prompt(source=source).messages(row)


@pytest.mark.parametrize("path", RUNTIME_FILES)
def test_the_runtime_imports_jinja2_alone(path: str) -> None:
    """A pasted function finds everything that it uses in the standard library, in jinja2 or in the runtime itself."""
    own = {file.removesuffix(".py").replace("/", ".") for file in RUNTIME_FILES}
    tree = ast.parse((resources.files("prompt_search") / path).read_text(encoding="utf-8"))
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for module in modules:
        top = module.split(".")[0]
        assert top in {*sys.stdlib_module_names, "jinja2"} or module.removeprefix("prompt_search.") in own


def test_names_of_the_runtime_are_unique() -> None:
    """No name is defined twice or used for a local variable, so that a file gets the functions that it needs alone."""
    trees = [ast.parse((resources.files("prompt_search") / path).read_text(encoding="utf-8")) for path in RUNTIME_FILES]
    functions = [node for tree in trees for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assigned = [node.targets[0] for tree in trees for node in tree.body if isinstance(node, ast.Assign)]
    names = [node.name for node in functions] + [name.id for name in assigned if isinstance(name, ast.Name)]
    assert len(names) == len(set(names))
    for function in functions:
        stored = [node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        given = [node.arg for node in ast.walk(function) if isinstance(node, ast.arg)]
        assert not {*given, *(node.id for node in stored)} & set(names), function.name


def test_pasted_functions_bring_what_they_use() -> None:
    """A function is pasted with the functions and imports that it needs and no others, and runs without packages."""
    imports, functions = pasted(["nearest"])
    assert imports == (
        "import math\nimport re\nfrom collections.abc import Iterable, Mapping, Sequence\nfrom typing import Any"
    )
    assert [node.name for node in ast.parse(functions).body if isinstance(node, ast.FunctionDef)] == [
        "nearest",
        "_words",
        "_tf_idf",
    ]
    pool, row = [dict(example) for example in pool_of(9).examples], {"text": "old money number 3"}
    code = f"from __future__ import annotations\n{imports}\n{functions}\nprint(nearest({pool!r}, {row!r}, 4))\n"

    out = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == repr(nearest(pool, row, 4))
