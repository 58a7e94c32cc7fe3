"""Shared by all tests: a clean environment, and an OpenAI-compatible server that answers by what it is asked."""

from __future__ import annotations

import os

# Tests run in several processes: BLAS threads of each would wait for the same cores. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The width of the terminal in which the tests were started, which pytest-xdist hands to its processes.
os.environ.pop("COLUMNS", None)

import builtins
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prompt_search.prompts.prompt import Prompt
from prompt_search.storage.records import RESPONSE_FIELDS, USAGE_FIELDS, Call, Columns
from prompt_search.testing import Body, FakeServer, InProcessExecutor, completion, failure, prompt_of
from tests import profiles

__all__ = ["Body", "FakeServer", "InProcessExecutor", "completion", "failure", "prompt_of"]

profiles.load()

# A shell starts background jobs with Ctrl-C ignored, and what they start inherits that: the programs that tests
# interrupt must not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or setting of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "PROMPT_SEARCH_")):
            monkeypatch.delenv(name)


def executed(prompt: Prompt) -> dict[str, Any]:
    """A `.py` export, executed where only jinja2 and the standard library can be imported."""

    def guarded(name: str, *rest: Any) -> Any:
        allowed = {"jinja2", *sys.stdlib_module_names}
        assert name.split(".")[0] in allowed, f"the export imports {name}"
        return builtins.__import__(name, *rest)

    space: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": guarded}}
    exec(compile(prompt._as_python(), "export.py", "exec"), space)
    return space


@pytest.fixture
def fake() -> InProcessExecutor:
    """A fake model that studies and evaluations ask without HTTP: they get it as their executor."""
    return InProcessExecutor()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A fresh fake OpenAI server."""
    with FakeServer() as made:
        yield made


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """The URL of a database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'study.db'}"


def call_columns(calls: Iterable[Call]) -> Columns:
    """Calls as `Responses.call_columns` gives them."""
    listed = list(calls)
    own = {name: [getattr(call, name) for call in listed] for name in ("number", "key", "role", "split", "attempts")}
    answers = [call.response for call in listed]
    shown = {name: [getattr(each, name) for each in answers] for name in RESPONSE_FIELDS}
    used = {name: [getattr(each.usage, name) for each in answers] for name in USAGE_FIELDS}
    return {**own, **shown, **used}
