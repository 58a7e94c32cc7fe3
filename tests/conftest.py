"""Shared by all tests: a clean environment, and an OpenAI-compatible server that answers by what it is asked."""

from __future__ import annotations

import asyncio
import builtins
import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pytest_httpserver import HTTPServer
from werkzeug import Request as ServerRequest
from werkzeug import Response as ServerResponse

from prompt_search.candidate import Prompt
from prompt_search.client import Model
from prompt_search.completion import Request, Response, Usage
from prompt_search.errors import RequestRefused

settings.register_profile("prompt_search", deadline=None)  # two shared cores say nothing about one slow example
settings.load_profile("prompt_search")

# A shell starts background jobs with Ctrl-C ignored, and what they start inherits that: the programs that tests
# interrupt must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request hides what failed

PATH = "/v1/chat/completions"
Body = Mapping[str, Any]
Reply = str | Mapping[str, Any] | ServerResponse


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, address or setting of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "PROMPT_SEARCH_")):
            monkeypatch.delenv(name)


def prompt_of(body: Body) -> str:
    """All messages of a request as one text."""
    return "\n".join(message["content"] for message in body["messages"])


def completion(text: str, prompt: str = "", logprobs: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A chat completion as servers send it; ``logprobs`` are those of the first token."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


def failure(status: int, message: str) -> ServerResponse:
    """An error as OpenAI sends it."""
    return ServerResponse(json.dumps({"error": {"message": message}}), status, mimetype="application/json")


def executed(prompt: Prompt) -> dict[str, Any]:
    """A `.py` export, executed where only jinja2 and the standard library can be imported."""

    def guarded(name: str, *rest: Any) -> Any:
        allowed = ("jinja2", "json", "math", "re", "unicodedata", "functools")
        assert name.split(".")[0] in allowed, f"the export imports {name}"
        return builtins.__import__(name, *rest)

    space: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": guarded}}
    exec(compile(prompt._as_python(), "export.py", "exec"), space)
    return space


class FakeServer:
    """An OpenAI-compatible server whose ``answer`` sees the body of one request and nothing else.

    ``answer`` gives the text, a whole completion, or an HTTP response; ``latency`` the seconds it takes.
    ``bodies`` holds every request, retries included, in the order of arrival. After ``fail_after`` requests
    every further one is refused with 401.
    """

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.answer: Callable[[Body], Reply] = lambda body: "positive"
        self.latency: Callable[[Body], float] = lambda body: 0.0
        self.bodies: list[dict[str, Any]] = []
        self.fail_after: int | None = None
        self.busiest = 0
        self._busy = 0
        server.expect_request(PATH, method="POST").respond_with_handler(self._handle)

    @property
    def count(self) -> int:
        """Requests that arrived, refused ones included."""
        return len(self.bodies)

    @property
    def answered(self) -> int:
        """Requests that were not refused."""
        return self.count if self.fail_after is None else min(self.count, self.fail_after)

    @property
    def repeated(self) -> list[str]:
        """Bodies that arrived more than once."""
        counted = Counter(json.dumps(body, sort_keys=True) for body in self.bodies)
        return [body for body, count in counted.items() if count > 1]

    def model(self, name: str = "fake", **settings: Any) -> Model:
        return Model(name, base_url=self._server.url_for("/v1"), **settings)

    def _handle(self, request: ServerRequest) -> ServerResponse:
        body = json.loads(request.get_data())
        with self._lock:
            self.bodies.append(body)
            refused = self.fail_after is not None and len(self.bodies) > self.fail_after
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            time.sleep(self.latency(body))
            if refused:
                return failure(401, "this key has been revoked")
            reply = self.answer(body)
        finally:
            with self._lock:
                self._busy -= 1
        if isinstance(reply, ServerResponse):
            return reply
        sent = completion(reply, prompt_of(body)) if isinstance(reply, str) else reply
        return ServerResponse(json.dumps(sent), mimetype="application/json")


class FakeModel:
    """The same without HTTP, in place of the client: for tests that ask thousands of questions.

    ``answer`` may also give a `Response` or raise. After ``fail_after`` requests all further ones are refused.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Body], Reply | Response] = lambda body: "positive"
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
    monkeypatch.setattr("prompt_search.study.Client", made.client)
    return made


@pytest.fixture(scope="session")
def threaded_server() -> Iterator[HTTPServer]:
    """One HTTP server for all tests that takes many requests at once."""
    with HTTPServer(threaded=True) as server:
        yield server


@pytest.fixture
def server(threaded_server: HTTPServer) -> Iterator[FakeServer]:
    """A fresh fake OpenAI server."""
    threaded_server.clear()
    fake = FakeServer(threaded_server)
    yield fake
    threaded_server.check_handler_errors()
    threaded_server.clear()


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """The URL of a database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'study.db'}"
