"""A prompt as promptfoo's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.errors import InputError
from prompt_search.prompts.export.promptfoo import _lines

yaml = pytest.importorskip("yaml", reason="PyYAML, which reads what is written, is not installed")

CHAT = '{% chat role="system" %}Say {{ "{}" }} "yes" or no: é{% endchat %}'
CHAT += '{% chat role="user" %}{{ row.text }}\nA:{% endchat %}'
PROMPT = ps.Prompt(
    source=CHAT,
    parameters={"temperature": 0, "max_tokens": 16, "top_k": 5},
    answer=ps.Label(["yes", "no"]).to_dict(),
    model="gpt-4o-mini",
    name="best",
)
DATA = ps.Dataset(pd.DataFrame({"text": ["a: b\n- c", "é"], "n": [1.0, 2.5], "label": ["yes", "no"]}), target="label")


def test_configuration_has_provider_messages_and_tests(tmp_path: Path) -> None:
    """Provider, chat messages, one test a row, and a check that the answer is a label."""
    config = yaml.safe_load(PROMPT.export(tmp_path / "promptfooconfig.yaml", data=DATA).read_text(encoding="utf-8"))
    assert config["providers"] == [
        {
            "id": "openai:chat:gpt-4o-mini",
            "config": {"temperature": 0, "max_tokens": 16, "passthrough": {"top_k": 5}},
        }
    ]
    assert config["defaultTest"] == {"assert": [{"type": "icontains-any", "value": ["yes", "no"]}]}
    assert config["tests"] == [
        {"vars": {"row": {"text": "a: b\n- c", "n": "1.0"}}, "assert": [{"type": "icontains-any", "value": ["yes"]}]},
        {"vars": {"row": {"text": "é", "n": "2.5"}}, "assert": [{"type": "icontains-any", "value": ["no"]}]},
    ]
    (prompt,) = config["prompts"]
    assert prompt["label"] == "best"
    for test, row in zip(config["tests"], DATA.rows, strict=True):
        assert rendered(json.loads(prompt["raw"]), test["vars"]) == PROMPT.messages(row.fields)


def rendered(messages: list[dict[str, str]], variables: Any) -> list[dict[str, str]]:
    """The messages as promptfoo renders them: each text of the JSON as a template of its own."""
    return [{**message, "content": jinja2.Template(message["content"]).render(variables)} for message in messages]


def test_free_answers_are_compared(tmp_path: Path) -> None:
    """Without labels the answer equals the target, or contains one of several accepted ones."""
    frame = pd.DataFrame({"text": ["a", "b"], "target": [["x", "y"], ["z"]]})
    prompt = ps.Prompt(source="{{ row.text }}", model="m", answer=ps.Text().to_dict())
    config = yaml.safe_load(prompt.export(tmp_path / "p.yml", data=ps.Dataset(frame, target="target")).read_text())
    assert "defaultTest" not in config
    assert [test["assert"] for test in config["tests"]] == [
        [{"type": "icontains-any", "value": ["x", "y"]}],
        [{"type": "equals", "value": "z"}],
    ]


@pytest.mark.parametrize(
    ("source", "model", "told"),
    [
        ("{% if row.a %}x{% endif %}", "m", r"in this prompt the row decides more .*; export \.py"),
        ("{{ row.text }}", None, "the prompt names no model, which promptfoo needs"),
        ("{{ row.text }} \x01", "m", "the prompt has control characters"),
    ],
)
def test_what_promptfoo_cannot_render_is_refused(tmp_path: Path, source: str, model: str | None, told: str) -> None:
    """A prompt whose text depends on more than fields is refused with what to export instead."""
    with pytest.raises(InputError, match=told):
        ps.Prompt(source=source, model=model).export(tmp_path / "promptfooconfig.yaml")


def test_data_belongs_to_tests(tmp_path: Path) -> None:
    """Other formats have no tests, and say so."""
    with pytest.raises(InputError, match=r"only a \.yaml file has tests of data=; leave it out"):
        PROMPT.export(tmp_path / "best.json", data=DATA)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=5), plain, min_size=1, max_size=4))
def test_yaml_reads_what_was_written(value: dict[str, Any]) -> None:
    """Whatever texts it holds, a configuration is read as it was written."""
    assert yaml.safe_load("\n".join(_lines(value))) == value
