"""Whatever a server sends back: a typed response or an error of ours, nothing else, and never the key."""

from __future__ import annotations

import asyncio
import json
import math
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from prompt_search.errors import PromptSearchError
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.llm.model import Model
from prompt_search.llm.price import Price
from prompt_search.testing import completion
from tests.profiles import examples

KEY = "sk-fuzz-MARKED0123456789abcdef"
KINDS = ("bad_request: ", "context_length: ", "server: ", "timeout: ", "malformed: ", "empty: ", "content_filter: ")
QUICK = settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that no message may hold."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def answered_with(raw: bytes) -> Response | PromptSearchError:
    """What a client makes of a server that sends these bytes to whatever is asked, and hangs up."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def no_sleep(seconds: float) -> None: ...

    async def run() -> Response | PromptSearchError:
        server = await asyncio.start_server(send, "127.0.0.1", 0)
        async with server:
            price = Price(prompt=1.0, completion=1.0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            model = Model("tiny", base_url=url, price=price)
            request = Request(endpoint=model.endpoint, model="tiny", messages=(Message("user", "hi"),))
            async with Client(model, sleep=no_sleep, max_attempts=2, request_timeout=2.0) as client:
                try:
                    return await asyncio.wait_for(client.complete(request), timeout=20.0)
                except PromptSearchError as error:
                    return error

    return asyncio.run(run())


def assert_typed(found: Response | PromptSearchError) -> None:
    """One of our errors, or a response that can be stored and read; the key is in no error, nor in its causes."""
    if isinstance(found, PromptSearchError):
        told = "".join(traceback.format_exception(found))
        assert "\n" not in str(found)
    else:
        told = found.error or ""
        assert found.error is None or found.error.startswith(KINDS)
        assert isinstance(found.text, str)
        assert math.isnan(found.cost_usd) or found.cost_usd >= 0
        assert repr(Response.from_json(found.to_json())) == repr(found)
    assert "MARKED" not in told


def http(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **(headers or {})}.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("utf-8", "surrogateescape") + body


texts = st.text(max_size=20) | st.just(KEY) | st.just(f"the key {KEY}") | st.just("\ud800")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def nearly(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with some of these fields, each as it should be or anything at all."""
    return st.fixed_dictionaries({}, optional={name: part | values for name, part in parts.items()})


tokens = nearly(token=texts, logprob=st.floats())
positions = nearly(token=texts, logprob=st.floats(), top_logprobs=st.lists(tokens, max_size=3))
completions = nearly(
    choices=st.lists(
        nearly(
            message=nearly(content=texts, refusal=texts),
            finish_reason=st.sampled_from(["stop", "length", "content_filter", "tool_calls"]),
            logprobs=nearly(content=st.lists(positions, max_size=3)),
        ),
        max_size=2,
    ),
    usage=nearly(
        prompt_tokens=st.integers(), completion_tokens=st.integers(), prompt_tokens_details=nearly(cached_tokens=values)
    ),
    error=nearly(message=texts, code=st.integers(390, 600) | st.sampled_from(["insufficient_quota", "content_filter"])),
)
statuses = st.sampled_from([200, 201, 204, 301, 304, 307, 400, 401, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529])
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Retry-After-Ms", "Location", "Content-Encoding", "Content-Type", "X-Other"]),
    st.sampled_from(
        ["0", "1e400", "-1", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "gzip", "deflate", "br", "text/html; charset=x",
         "http://127.0.0.1:1/", "//", "http://[", "\x01", "é", KEY]
    ),
    max_size=3,
)  # fmt: skip


def test_whole_answer_is_read() -> None:
    """The server that is fuzzed would be understood if it said something."""
    found = answered_with(http(json.dumps(completion("fine", "two words")).encode()))
    assert isinstance(found, Response)
    assert (found.text, found.error, found.usage.prompt_tokens) == ("fine", None, 2)


@QUICK
@given(completions | values, statuses, headers)
def test_any_json(body: Any, status: int, given_headers: dict[str, str]) -> None:
    """Any JSON, with any status and headers, is a typed outcome."""
    assert_typed(answered_with(http(json.dumps(body).encode(), status, given_headers)))


@QUICK
@given(st.binary(max_size=60), statuses, headers)
@example(b"[" * 100_000, 200, {})
@example(b"[" * 100_000, 400, {})
@example(b'{"a":' * 100_000, 500, {})
@example(b"9" * 5_000, 200, {})
@example(KEY.encode(), 200, {"Content-Encoding": "gzip"})
@example(KEY.encode(), 307, {"Location": f"http://127.0.0.1:1/{KEY}"})
@example(b"\xff\xfe", 400, {"Content-Type": "application/json; charset=utf-7"})
def test_any_body(body: bytes, status: int, given_headers: dict[str, str]) -> None:
    """Any bytes as the body are a typed outcome."""
    assert_typed(answered_with(http(body, status, given_headers)))


@QUICK
@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
@example(b"")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}")
@example(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
@example(b"HTTP/1.1 100 Continue\r\n\r\n")
@example(b"HTTP/9.9 999999 " + KEY.encode() + b"\r\n\r\n")
def test_any_bytes(raw: bytes) -> None:
    """Any bytes in place of an HTTP response are a typed outcome."""
    assert_typed(answered_with(raw))
