"""Shared by all tests: a clean environment, and an OpenAI-compatible server that answers by what it is asked."""

from __future__ import annotations

import os

# Tests run in several processes: BLAS threads of each would wait for the same cores. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The width of the terminal in which the tests were started, which pytest-xdist hands to its processes.
os.environ.pop("COLUMNS", None)

import asyncio
import builtins
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prompt_search.errors import RequestRefused
from prompt_search.llm.messages import Request, Response, Usage
from prompt_search.llm.model import Model
from prompt_search.prompts.prompt import Prompt
from prompt_search.storage.records import RESPONSE_FIELDS, USAGE_FIELDS, Call, Columns
from prompt_search.testing import Body, FakeServer, completion, failure, prompt_of
from tests import profiles

__all__ = ["Body", "FakeServer", "completion", "failure", "prompt_of"]

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


class FakeModel:
    """The same without HTTP, in place of the client: for tests that ask thousands of questions.

    ``answer`` may also give a `Response` or raise. After ``fail_after`` requests all further ones are refused.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Body], Any] = lambda body: "positive"
        self.latency: Callable[[Body], float] = lambda body: 0.0
        self.bodies: list[dict[str, Any]] = []
        self.fail_after: int | None = None
        self.busiest = 0
        self._busy = 0

    @property
    def count(self) -> int:
        return len(self.bodies)

    def model(self, name: str = "fake", **settings: Any) -> Model:
        return Model(name, base_url="http://fake.invalid/v1", **settings)

    def client(
        self,
        model: Model,
        *,
        max_concurrency: int = 16,
        on_attempt: Callable[[Request], Awaitable[None]],
        seed: int = 0,
        executor: object = None,
        on_capacity: object = None,
    ) -> FakeClient:
        """What `Client` would be called with."""
        return FakeClient(self, max_concurrency, on_attempt)

    async def reply(self, request: Request) -> Response:
        body = {
            "model": request.model,
            "messages": [message.to_dict() for message in request.messages],
            **request.parameters,
        }
        self.bodies.append(body)
        if self.fail_after is not None and self.count > self.fail_after:
            raise RequestRefused("http://fake.invalid/v1 answered 401 for fake: this key has been revoked")
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        await asyncio.sleep(self.latency(body))
        self._busy -= 1
        reply = self.answer(body)
        if isinstance(reply, Response):
            return reply
        assert isinstance(reply, str)
        words = len(prompt_of(body).split())
        return Response(text=reply, usage=Usage(prompt_tokens=words, completion_tokens=1), latency_s=0.1)


class FakeClient:
    """Bounds what is in flight and reserves every request, as `Client` does."""

    def __init__(self, fake: FakeModel, max_concurrency: int, on_attempt: Callable[[Request], Awaitable[None]]) -> None:
        self._fake = fake
        self._slots = asyncio.Semaphore(max_concurrency)
        self._on_attempt = on_attempt

    async def __aenter__(self) -> FakeClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def complete(self, request: Request) -> Response:
        async with self._slots:
            await self._on_attempt(request)
            return await self._fake.reply(request)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """A fresh fake model that studies and evaluations ask without HTTP."""
    made = FakeModel()
    monkeypatch.setattr("prompt_search.evaluation.session.Client", made.client)
    return made


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
    """Calls as `Store.call_columns` gives them."""
    listed = list(calls)
    own = {name: [getattr(call, name) for call in listed] for name in ("number", "key", "role", "split", "attempts")}
    answers = [call.response for call in listed]
    shown = {name: [getattr(each, name) for each in answers] for name in RESPONSE_FIELDS}
    used = {name: [getattr(each.usage, name) for each in answers] for name in USAGE_FIELDS}
    return {**own, **shown, **used}
