"""The client against a real HTTP server on the loopback interface, and the models it can ask."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import pickle
import re
import shlex
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request as ServerRequest
from werkzeug import Response as ServerResponse

from prompt_search.errors import BudgetExceeded, InputError, RequestRefused, RunError, ServerUnreachable
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.llm.model import Model
from prompt_search.llm.price import Price, published_cost
from prompt_search.llm.redaction import public_url, redact
from prompt_search.llm.transport import Transport
from prompt_search.testing import Body, FakeResponse, FakeServer, InProcessExecutor, failure
from tests.llm.examples import complete, request_for

KEY = "sk-test-MARKED0123456789abcdef"
PATH = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has the marked key and no other setting of openai's."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the client wanted to sleep."""
    return []


def answer(text: str | None = "positive", **changes: Any) -> dict[str, Any]:
    """A chat completion as servers send it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body: dict[str, Any] = {
        "id": "1",
        "object": "chat.completion",
        "choices": [choice],
        "usage": {
            "prompt_tokens": 1000,
            "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 400},
        },
    }
    choice.update(changes.pop("choice", {}))
    return body | changes


def model_at(server: HTTPServer, name: str = "tiny", **settings: Any) -> Model:
    return Model(name, base_url=server.url_for("/v1"), **settings)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# Answers


def test_answer_is_read_whole(httpserver: HTTPServer) -> None:
    """Text, finish reason, usage, latency and the number of attempts come back."""
    httpserver.expect_request(PATH).respond_with_json(answer())
    response = complete(model_at(httpserver))
    assert (response.text, response.finish_reason, response.error) == ("positive", "stop", None)
    assert response.usage == Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=400)
    assert response.attempts == 1
    assert 0 < response.latency_s < 10
    assert Response.from_json(response.to_json()).text == "positive"


def test_request_is_sent_as_asked(httpserver: HTTPServer) -> None:
    """The body holds model, messages and every parameter, unknown ones too, and the key is in the header."""
    httpserver.expect_request(PATH).respond_with_json(answer())
    complete(model_at(httpserver), parameters={"max_tokens": 1, "top_k": 3, "response_format": {"type": "text"}})
    sent, _ = httpserver.log[0]
    assert json.loads(sent.data) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 1,
        "top_k": 3,
        "response_format": {"type": "text"},
    }
    assert sent.headers["Authorization"] == f"Bearer {KEY}"


def test_logprobs_are_likeliest_first(httpserver: HTTPServer) -> None:
    """Each position lists its alternatives in falling order; infinite and missing numbers are left out."""
    top = [
        {"token": "no", "logprob": -2.0},
        {"token": "yes", "logprob": -0.5},
        {"token": "never", "logprob": -math.inf},
        {"token": "none", "logprob": None},
    ]
    content = [
        {"token": "yes", "logprob": -0.5, "top_logprobs": top},
        {"token": "!", "logprob": -1.0, "top_logprobs": []},
    ]
    httpserver.expect_request(PATH).respond_with_json(answer(choice={"logprobs": {"content": content}}))
    assert complete(model_at(httpserver)).logprobs == ((("yes", -0.5), ("no", -2.0)), (("!", -1.0),))


@pytest.mark.parametrize("text", ["", None])
def test_empty_text_is_an_answer(httpserver: HTTPServer, text: str | None) -> None:
    """A model that says nothing has answered."""
    httpserver.expect_request(PATH).respond_with_json(answer(text))
    response = complete(model_at(httpserver))
    assert (response.text, response.error, response.attempts) == ("", None, 1)


def test_missing_usage_is_unknown(httpserver: HTTPServer) -> None:
    """A server that counts nothing leaves usage and cost unknown, not zero."""
    httpserver.expect_request(PATH).respond_with_json(answer(usage=None))
    response = complete(model_at(httpserver, price=Price(prompt=1.0, completion=1.0)))
    assert response.usage == Usage()
    assert math.isnan(response.cost_usd)


def test_content_filter_is_an_error(httpserver: HTTPServer) -> None:
    """An answer that the server withheld is no answer, whatever text is left, and is not asked again."""
    httpserver.expect_request(PATH).respond_with_json(answer("par", choice={"finish_reason": "content_filter"}))
    response = complete(model_at(httpserver))
    assert response.error == "content_filter: the server withheld the answer"
    assert response.attempts == 1
    assert response.usage.prompt_tokens == 1000


def test_refusal_is_an_error(httpserver: HTTPServer) -> None:
    """OpenAI's typed refusal is reported with its words."""
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    httpserver.expect_request(PATH).respond_with_json(answer(choice={"message": message}))
    assert complete(model_at(httpserver)).error == "content_filter: the model refused: I cannot help with that."


def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go through HTTP_PROXY, but not to hosts in NO_PROXY; a password in it is in no message."""
    model = Model("tiny", base_url="http://models.invalid/v1")
    with FakeServer("by proxy") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        assert complete(model).text == "by proxy"
        monkeypatch.setenv("NO_PROXY", "models.invalid")
        with pytest.raises(ServerUnreachable, match="cannot connect"):
            complete(model, max_attempts=1)
        assert proxy.count == 1


def test_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of another kind is told with the remedy, and without its password."""
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter22@127.0.0.1:1080")
    told = (
        r"a proxy must be a URL such as .*, the environment has socks5://127.0.0.1:1080; .* models.invalid in NO_PROXY"
    )
    with pytest.raises(InputError, match=told):
        complete(Model("tiny", base_url="http://models.invalid/v1"))


@pytest.mark.parametrize("where", ["/elsewhere", "http://other.invalid/v1/chat/completions?key=querykey"])
def test_redirect_is_not_followed(httpserver: HTTPServer, where: str) -> None:
    """A server that sends a request on gets one request, and the error names the other address without secrets."""
    moved = FakeResponse(status=307, headers={"Location": where})
    with FakeServer(moved) as server:
        with pytest.raises(RequestRefused) as caught:
            complete(Model("tiny", base_url=f"{server.url}?key=querykey"))
        assert server.count == 1
        there = "http://other.invalid/v1" if ":" in where else f"{server.url.removesuffix('/v1')}/elsewhere"
        assert str(caught.value) == (
            f"{server.url} answered 307, which sends requests on to {there}; they are not sent there, because no "
            "budget would count them: give that address as the base URL if it is right"
        )
    assert httpserver.log == []


def test_redirect_to_what_is_no_url() -> None:
    """A server that sends a request on to a broken address is refused in one line, as with any other address."""
    with FakeServer(FakeResponse(status=301, headers={"Location": "http://["})) as server:
        with pytest.raises(RequestRefused) as caught:
            complete(Model("tiny", base_url=server.url))
        assert str(caught.value) == (
            f"{server.url} answered 301, which sends requests on to an address that is no URL; they are not sent "
            "there, because no budget would count them: give that address as the base URL if it is right"
        )


@pytest.mark.parametrize("packed", [False, True])
def test_reply_without_end_is_cut(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """A reply that is longer than any answer, packed or not, is read so far and no further, and is a typed error."""
    monkeypatch.setattr("prompt_search.llm.transport.LONGEST_REPLY", 1_000_000)
    body = json.dumps(answer(text="x" * 3_000_000)).encode()
    headers = {"Content-Encoding": "gzip"} if packed else {}
    httpserver.expect_request(PATH).respond_with_data(gzip.compress(body) if packed else body, headers=headers)
    response = complete(model_at(httpserver))
    assert response.error is not None
    assert re.fullmatch(r"malformed: the response of http://\S+: it is longer than 1 MB", response.error)
    assert response.attempts == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sk-marked-1234567890", "sk-marked-1234567890"),
        ("k3y", "k3y"),
        ("mark/ed+key=1", "mark%2Fed%2Bkey%3D1"),
        ('mark"ed\\1', 'mark"ed\\1'),
    ],
)
def test_key_in_an_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch, key: str, said: str) -> None:
    """A server that quotes the key in a good answer, plain, in a URL or in JSON, leaves none of it in the response."""
    echo = answer(f"positive {said}.")
    echo["choices"][0]["finish_reason"] = f"stop {said}"
    with FakeServer(FakeResponse(body=echo)) as server:
        monkeypatch.setenv("MARKED_KEY", key)
        response = complete(Model("tiny", base_url=server.url, api_key_env="MARKED_KEY"))
    assert (response.text, response.finish_reason) == ("positive [key].", "stop [key]")
    assert said not in response.to_json()


def test_words_of_an_answer_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is an ordinary word, and what only looks like a key, do not change what a model has written."""
    with FakeServer("the review mentions sk-learn-pipeline") as server:
        monkeypatch.setenv("WORD_KEY", "review")
        response = complete(Model("tiny", base_url=server.url, api_key_env="WORD_KEY"))
    assert response.text == "the review mentions sk-learn-pipeline"


def test_netrc_is_not_read(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the key is sent, whatever else is kept for the host."""
    httpserver.expect_request(PATH).respond_with_json(answer())
    (tmp_path / ".netrc").write_text("machine localhost login me password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    complete(model_at(httpserver))
    assert httpserver.log[0][0].headers["Authorization"] == f"Bearer {KEY}"


# Failures that pass


def failing(times: int, failure: ServerResponse) -> Callable[[ServerRequest], ServerResponse]:
    """A handler that gives ``failure`` a number of times and then an answer."""
    seen = 0

    def handle(request: ServerRequest) -> ServerResponse:
        nonlocal seen
        seen += 1
        if seen <= times:
            return failure
        return ServerResponse(json.dumps(answer()), content_type="application/json")

    return handle


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_passing_failure_is_retried(httpserver: HTTPServer, waits: list[float], status: int) -> None:
    """Two failures and an answer are three attempts, with a wait that grows and is never longer than planned."""
    httpserver.expect_request(PATH).respond_with_handler(failing(2, ServerResponse("busy", status)))
    response = complete(model_at(httpserver), waits)
    assert (response.text, response.attempts) == ("positive", 3)
    assert 0.25 <= waits[0] <= 0.5 <= waits[1] <= 1.0


def test_retry_after_seconds_is_honoured(httpserver: HTTPServer, waits: list[float]) -> None:
    """The client waits at least as long as the server asks, and at most a tenth longer."""
    busy = ServerResponse("slow down", 429, {"Retry-After": "7"})
    httpserver.expect_request(PATH).respond_with_handler(failing(1, busy))
    assert complete(model_at(httpserver), waits).text == "positive"
    assert 7.0 <= waits[0] <= 7.7


def test_retry_after_milliseconds_is_honoured(httpserver: HTTPServer, waits: list[float]) -> None:
    """OpenAI's finer header wins over the coarse one."""
    busy = ServerResponse("slow down", 429, {"Retry-After": "7", "Retry-After-Ms": "250"})
    httpserver.expect_request(PATH).respond_with_handler(failing(1, busy))
    complete(model_at(httpserver), waits)
    assert 0.25 <= waits[0] <= 0.275


def test_retry_after_date_is_honoured(httpserver: HTTPServer, waits: list[float]) -> None:
    """An HTTP date is a wait until then."""
    busy = ServerResponse("slow down", 503, {"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    httpserver.expect_request(PATH).respond_with_handler(failing(1, busy))
    complete(model_at(httpserver), waits)
    assert 25.0 <= waits[0] <= 33.0


@pytest.mark.parametrize("value", ["soon", "-3", "nan", ""])
def test_senseless_retry_after_is_ignored(httpserver: HTTPServer, waits: list[float], value: str) -> None:
    """A header that says nothing leaves the client's own wait."""
    httpserver.expect_request(PATH).respond_with_handler(
        failing(1, ServerResponse("busy", 429, {"Retry-After": value}))
    )
    assert complete(model_at(httpserver), waits).text == "positive"
    assert 0.25 <= waits[0] <= 0.5


def test_retry_after_of_an_hour_is_not_waited_for(httpserver: HTTPServer, waits: list[float]) -> None:
    """A server that asks for too long gets no second attempt; the row has an error."""
    httpserver.expect_request(PATH).respond_with_data("later", 429, {"Retry-After": "3600"})
    response = complete(model_at(httpserver), waits)
    assert response.error is not None
    assert response.error.startswith("server: ")
    assert (response.attempts, waits) == (1, [])


def test_retries_end(httpserver: HTTPServer, waits: list[float]) -> None:
    """After max_attempts the response is an error with the server's message, and nothing is raised."""
    httpserver.expect_request(PATH).respond_with_json({"error": {"message": "overloaded"}}, 500)
    response = complete(model_at(httpserver), waits, max_attempts=4)
    assert response.error is not None
    assert response.error.startswith("server: ")
    assert response.error.endswith("answered 500 for tiny: overloaded (4 attempts)")
    assert (response.attempts, len(waits), len(httpserver.log)) == (4, 3, 4)


def test_waits_are_capped(httpserver: HTTPServer, waits: list[float]) -> None:
    """However many attempts, no wait of the client's own is above 30 seconds."""
    httpserver.expect_request(PATH).respond_with_data("busy", 500)
    complete(model_at(httpserver), waits, max_attempts=12)
    assert max(waits) <= 30.0
    assert waits[-1] >= 15.0


def test_same_seed_waits_the_same(httpserver: HTTPServer) -> None:
    """The jitter comes from the seed alone."""
    httpserver.expect_request(PATH).respond_with_data("busy", 500)
    runs: list[list[float]] = [[], [], []]
    for seed, run in zip((1, 1, 2), runs, strict=True):
        complete(model_at(httpserver), run, seed=seed)
    assert runs[0] == runs[1] != runs[2]


def test_timeout_is_an_error(httpserver: HTTPServer, waits: list[float]) -> None:
    """A server that is slower than request_timeout is asked again, then the row has a timeout."""

    def slow(request: ServerRequest) -> ServerResponse:
        time.sleep(0.4)
        return ServerResponse("{}")

    httpserver.expect_request(PATH).respond_with_handler(slow)
    response = complete(model_at(httpserver), waits, request_timeout=0.1, max_attempts=2)
    assert response.error is not None
    assert response.error.startswith("timeout: no response from http://localhost")
    assert response.error.endswith("within 0.1 s (2 attempts)")


def test_timeout_bounds_the_whole_attempt(httpserver: HTTPServer) -> None:
    """A server that drips bytes for ever does not hold a request for ever."""

    def drip(request: ServerRequest) -> ServerResponse:
        def body() -> Any:
            for _ in range(20):
                time.sleep(0.05)
                yield b" "

        return ServerResponse(body(), content_type="application/json")

    httpserver.expect_request(PATH).respond_with_handler(drip)
    start = time.monotonic()
    response = complete(model_at(httpserver), request_timeout=0.3, max_attempts=1)
    assert (response.error or "").startswith("timeout: ")
    assert time.monotonic() - start < 0.9


def test_broken_connection_is_not_a_timeout() -> None:
    """A server that hangs up is retried and reported as a server error."""

    async def run() -> Response:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        async def sleep(seconds: float) -> None:
            pass

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            model = Model("tiny", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
            async with Client(model, sleep=sleep, max_attempts=2) as client:
                return await client.complete(request_for(model))

    response = asyncio.run(run())
    assert response.error is not None
    assert response.error.startswith("server: the connection to http://127.0.0.1")
    assert response.attempts == 2


@pytest.mark.parametrize(
    "body", ["", '{"choices": [{"message"', '[{"error": {"message": "x', '{"a": }', '"half a text']
)
def test_cut_answer_is_retried(httpserver: HTTPServer, waits: list[float], body: str) -> None:
    """An answer that was cut off is asked for again, then reported."""
    httpserver.expect_request(PATH).respond_with_data(body, content_type="application/json")
    response = complete(model_at(httpserver), waits, max_attempts=2)
    assert response.error == f"malformed: the response is not JSON: {body or '(empty)'} (2 attempts)"
    assert (response.attempts, response.lost) == (2, 2)


@pytest.mark.parametrize(
    "body",
    [
        "[]", "null", "5", "{}", '{"choices": {}}', '{"choices": [{}]}', '{"choices": [{"message": {"content": 5}}]}',
        '{"choices": [null]}', '{"choices": [[]]}', '{"hello": "world"}',
    ],
)  # fmt: skip
def test_whole_answer_that_is_not_understood_is_reported_at_once(
    httpserver: HTTPServer, waits: list[float], body: str
) -> None:
    """What is well formed and no chat completion would come again: it is sent once, and counts as used."""
    httpserver.expect_request(PATH).respond_with_data(body, content_type="application/json")
    response = complete(model_at(httpserver), waits)
    shown = body if body not in ("[]", "null", "{}") else ""
    assert response.error == f"malformed: the response is not a chat completion: {shown}".rstrip()
    assert (response.attempts, response.lost, waits) == (1, 1, [])


def test_answer_without_choices_is_empty(httpserver: HTTPServer, waits: list[float]) -> None:
    """A chat completion with nothing in it is asked for again, then reported as what it is."""
    httpserver.expect_request(PATH).respond_with_json({"choices": []})
    response = complete(model_at(httpserver), waits, max_attempts=2)
    assert response.error == 'empty: the response has no choices: {"choices": []} (2 attempts)'


def test_truncated_json_is_malformed(httpserver: HTTPServer, waits: list[float]) -> None:
    """Half an answer is asked for again, then reported."""
    whole = json.dumps(answer())
    httpserver.expect_request(PATH).respond_with_data(whole[: len(whole) // 2], content_type="application/json")
    assert (complete(model_at(httpserver), waits, max_attempts=2).error or "").startswith("malformed: ")


def test_answer_cut_off_by_length_is_an_answer(httpserver: HTTPServer, waits: list[float]) -> None:
    """What the token limit cut off is read like any other text, is not asked for again, and can be told."""
    httpserver.expect_request(PATH).respond_with_json(answer("posit", choice={"finish_reason": "length"}))
    response = complete(model_at(httpserver), waits)
    assert (response.text, response.finish_reason, response.error, response.attempts) == ("posit", "length", None, 1)


def test_absurd_token_counts_are_unknown(httpserver: HTTPServer) -> None:
    """A count that no server can mean has no price."""
    httpserver.expect_request(PATH).respond_with_json(answer(usage={"prompt_tokens": 10**400, "completion_tokens": 1}))
    response = complete(model_at(httpserver, price=Price(prompt=1.0, completion=1.0)))
    assert response.usage == Usage(completion_tokens=1)
    assert math.isnan(response.cost_usd)


def test_malformed_answer_may_pass(httpserver: HTTPServer, waits: list[float]) -> None:
    """A proxy's half answer followed by a whole one is an answer."""
    httpserver.expect_request(PATH).respond_with_handler(failing(1, ServerResponse('{"choices')))
    assert complete(model_at(httpserver), waits).text == "positive"


def test_web_page_of_a_server_that_never_answered_is_reported_at_once(
    httpserver: HTTPServer, waits: list[float]
) -> None:
    """A login page in place of an answer says that the base URL is wrong; it is asked for once."""
    page = "<!doctype html><html><head><title>Log in &amp; more</title></head><body><form></form></body></html>"
    httpserver.expect_request(PATH).respond_with_data(page, content_type="text/html")
    response = complete(model_at(httpserver), waits)
    where = httpserver.url_for("/v1")
    assert response.error == f"malformed: {where} sent a text that is not JSON: Log in & more; check the base URL"
    assert (response.attempts, waits) == (1, [])


def test_web_page_may_pass_after_an_answer() -> None:
    """A server that has answered may send a page for a while; when it sends nothing else it is asked no longer."""
    pages = [2]

    def reply(body: Body) -> FakeResponse | str:
        pages[0] -= 1
        return FakeResponse(body="<html>upstream is busy</html>") if pages[0] >= 0 and server.count > 1 else "positive"

    async def no_sleep(seconds: float) -> None: ...

    async def run() -> list[Response]:
        async with Client(server.model(), sleep=no_sleep) as client:
            made = [await client.complete(request_for(server.model())) for _ in range(2)]
            pages[0] = 100
            return [*made, *[await client.complete(request_for(server.model())) for _ in range(3)]]

    with FakeServer(reply) as server:
        pages[0] = 3
        responses = asyncio.run(run())
    assert [response.error is None for response in responses] == [True, True, False, False, False]
    assert [response.attempts for response in responses] == [1, 3, 6, 1, 1]


def test_error_inside_a_success_is_an_error(httpserver: HTTPServer, waits: list[float]) -> None:
    """Gateways that answer 200 with an error object are read by the code in it."""
    httpserver.expect_request(PATH).respond_with_json({"error": {"code": 502, "message": "upstream died"}})
    response = complete(model_at(httpserver), waits, max_attempts=2)
    assert (response.error or "").endswith("answered 502 for tiny: upstream died (2 attempts)")


# Failures that stay


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "the tail is odd", "bad_request"),
        (422, "the tail is odd", "bad_request"),
        (400, "context too long", "context_length"),
        (413, "Payload Too Large", "context_length"),
    ],
)
def test_bad_request_is_an_error_of_the_row(
    httpserver: HTTPServer, waits: list[float], status: int, message: str, kind: str
) -> None:
    """A request that the server cannot take is not repeated and does not end the run."""
    httpserver.expect_request(PATH).respond_with_json({"error": {"message": message}}, status)
    response = complete(model_at(httpserver), waits)
    assert response.error == f"{kind}: {httpserver.url_for('/v1')} answered {status} for tiny: {message}"
    assert (response.attempts, waits) == (1, [])


def test_filtered_prompt_is_a_content_filter(httpserver: HTTPServer) -> None:
    """Azure refuses a prompt with status 400 and the code content_filter."""
    httpserver.expect_request(PATH).respond_with_json({"error": {"code": "content_filter", "message": "no"}}, 400)
    assert (complete(model_at(httpserver)).error or "").startswith("content_filter: ")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "check the key in OPENAI_API_KEY"),
        (402, "check the account's balance"),
        (403, "check that the key in OPENAI_API_KEY may use this model"),
        (404, "check the model's name"),
    ],
)
def test_refused_for_good(httpserver: HTTPServer, waits: list[float], status: int, remedy: str) -> None:
    """A wrong key or model ends the run after one attempt, with one line that says what to do."""
    httpserver.expect_request(PATH).respond_with_json({"error": {"message": "no\nway"}}, status)
    with pytest.raises(RequestRefused, match=rf"/v1 answered {status} for tiny: no way; {remedy}") as caught:
        complete(model_at(httpserver), waits)
    assert "\n" not in str(caught.value)
    assert (len(httpserver.log), waits) == (1, [])


def test_used_up_quota_is_refused(httpserver: HTTPServer, waits: list[float]) -> None:
    """OpenAI's 429 for an empty account is not a matter of waiting."""
    body = {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}
    httpserver.expect_request(PATH).respond_with_json(body, 429)
    with pytest.raises(RequestRefused, match="check the account's quota and billing"):
        complete(model_at(httpserver), waits)
    assert waits == []


def test_unreachable_server(waits: list[float]) -> None:
    """Where nobody listens, three attempts end the run with the address and the system's reason."""
    model = Model("tiny", base_url=f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(ServerUnreachable, match=r"cannot connect to http://127.0.0.1:\d+/v1: .*\(3 attempts\)$"):
        complete(model, waits)
    assert len(waits) == 2


def test_server_that_went_away_gets_every_attempt() -> None:
    """A server that has answered before is given time to come back."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> None:
        server = HTTPServer()
        server.expect_request(PATH).respond_with_json(answer())
        with server:
            model = model_at(server)
            async with Client(model, sleep=sleep, max_attempts=5) as client:
                await client.complete(request_for(model))
                await asyncio.to_thread(server.stop)
                with pytest.raises(ServerUnreachable, match="5 attempts"):
                    await client.complete(request_for(model))

    asyncio.run(run())
    assert len(waits) == 4


def test_unknown_host_is_unreachable(waits: list[float]) -> None:
    """A host name that does not exist is reported as such."""
    with pytest.raises(ServerUnreachable, match=r"cannot connect to http://no-such-host\.invalid/v1"):
        complete(Model("tiny", base_url="http://no-such-host.invalid/v1"), waits)


# Keys


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_key_is_in_no_message(httpserver: HTTPServer, status: int) -> None:
    """A server that quotes the key, whole or masked, or cut off, does not bring it into any error."""
    quoted = f"Incorrect API key provided: {KEY}, that is sk-test-MARK***cdef " + "x" * 420 + KEY
    httpserver.expect_request(PATH).respond_with_json({"error": {"message": quoted}}, status)
    try:
        shown = complete(model_at(httpserver), max_attempts=1).error or ""
    except RunError as error:
        shown = "".join(traceback.format_exception(error))
    assert "Incorrect API key provided: [key], that is [key]" in shown
    assert "MARK" not in shown


def test_key_in_a_broken_answer_is_hidden(httpserver: HTTPServer) -> None:
    """Text that is quoted because it is no JSON is redacted too."""
    httpserver.expect_request(PATH).respond_with_data(f"debug: {KEY}")
    assert complete(model_at(httpserver), max_attempts=1).error == (
        f"malformed: {httpserver.url_for('/v1')} sent a text that is not JSON: debug: [key]; check the base URL"
    )


def test_secrets_of_the_url_are_hidden(httpserver: HTTPServer) -> None:
    """User, password and query of a base URL are sent, and are in no identity, repr or message."""
    httpserver.expect_request(PATH).respond_with_json({"error": {"message": "bad hunter22 and querykey"}}, 400)
    url = httpserver.url_for("/v1").replace("http://", "http://user:hunter22@") + "?key=querykey"
    model = Model("tiny", base_url=url)
    response = complete(model)
    assert (response.error or "").endswith("bad [key] and [key]")
    sent, _ = httpserver.log[0]
    assert sent.args["key"] == "querykey"
    assert sent.authorization is not None
    assert sent.authorization.password == "hunter22"
    for text in (model.endpoint, repr(model)):
        assert "hunter22" not in text
        assert "querykey" not in text


def test_repr_has_no_key() -> None:
    """Neither model nor client shows a key."""
    model = Model("tiny", base_url="http://127.0.0.1:1/v1", api_key_env="OPENAI_API_KEY")
    assert repr(model) == "Model('tiny', base_url='http://127.0.0.1:1/v1', api_key_env='OPENAI_API_KEY')"
    assert KEY not in repr(vars(Client(model)))


@given(st.text(), st.text(min_size=4))
def test_redact_removes_every_secret(text: str, secret: str) -> None:
    """However a secret is surrounded, it is gone afterwards."""
    redacted = redact(f"{text}{secret}{text}", [secret])
    assert secret not in redacted.replace("[key]", "")


def test_no_key_for_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's own address needs a key, and the error says what else would do."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="set OPENAI_API_KEY, give a base URL, or use --model local"):
        complete(Model("gpt-4o-mini"))


def test_no_key_for_another_server(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of one's own needs none."""
    monkeypatch.delenv("OPENAI_API_KEY")
    httpserver.expect_request(PATH).respond_with_json(answer())
    assert complete(model_at(httpserver)).text == "positive"
    assert httpserver.log[0][0].headers["Authorization"] == "Bearer unused"


def test_key_of_a_model(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """api_key_env names the variable; unset, it is an error that names it."""
    httpserver.expect_request(PATH).respond_with_json(answer())
    model = model_at(httpserver, api_key_env="OTHER_KEY")
    with pytest.raises(InputError, match="the environment variable OTHER_KEY is not set"):
        complete(model)
    monkeypatch.setenv("OTHER_KEY", "other")
    complete(model)
    assert httpserver.log[0][0].headers["Authorization"] == "Bearer other"


# Concurrency and budget


def test_concurrency_is_bounded() -> None:
    """Never are more requests in flight than max_concurrency, and all are answered."""
    in_flight = peak = 0

    async def run() -> list[Response]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal in_flight, peak
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            in_flight += 1
            peak = max(peak, in_flight)
            await asyncio.sleep(0.01)
            in_flight -= 1
            body = json.dumps(answer()).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            model = Model("tiny", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
            async with Client(model, max_concurrency=3) as client:
                return await asyncio.gather(*(client.complete(request_for(model)) for _ in range(20)))

    assert [response.text for response in asyncio.run(run())] == ["positive"] * 20
    assert peak == 3


def together(client_settings: dict[str, Any], model: Model, count: int) -> list[Response]:
    """Many requests of one client at once, with really passing time."""

    async def run() -> list[Response]:
        async with Client(model, **client_settings) as client:
            requests = [
                Request(endpoint=model.endpoint, model=model.name, messages=(Message("user", f"number {number}"),))
                for number in range(count)
            ]
            return await asyncio.gather(*(client.complete(request) for request in requests))

    return asyncio.run(run())


def test_retry_after_holds_back_every_request() -> None:
    """Until Retry-After has passed, requests that the server has not refused are not sent either."""

    def busy(body: Body) -> FakeResponse | str:
        first = len(server.arrivals) == 1
        return failure(429, "peace", Retry_After="0.5") if first else "positive"

    with FakeServer(busy) as server:
        together({"max_concurrency": 1}, server.model(), 1)  # imports and connects
        server.arrivals.clear()
        # What is on its way is answered after the refusal was read.
        server.latency = lambda body: 0.0 if len(server.arrivals) == 1 else 0.1
        responses = together({"max_concurrency": 2, "sleep": asyncio.sleep}, server.model(), 20)
        assert [response.text for response in responses] == ["positive"] * 20
        first, second, *rest = server.arrivals
        assert second - first < 0.4  # was on its way
        assert min(rest) - first >= 0.5


def test_fewer_requests_are_in_flight_when_the_server_has_no_room() -> None:
    """A server that takes four at a time is soon asked about as many, and every request is answered."""

    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0.001)

    with FakeServer(latency=0.02, most_at_a_time=4) as server:
        responses = together({"max_concurrency": 32, "sleep": no_sleep, "max_attempts": 100}, server.model(), 300)
        assert [response.text for response in responses] == ["positive"] * 300
        assert server.statuses[429] < 150
        assert sum(response.attempts for response in responses) == server.count


def test_requests_per_minute_are_kept(waits: list[float]) -> None:
    """Above the model's limit nothing is sent before the minute has room."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    with FakeServer() as server:
        model = server.model(requests_per_minute=5)
        responses = together({"sleep": sleep, "clock": lambda: now[0]}, model, 12)
    assert [response.text for response in responses] == ["positive"] * 12
    assert sum(waits) == pytest.approx(120.0, abs=0.1)


def test_on_attempt_sees_every_attempt(httpserver: HTTPServer, waits: list[float]) -> None:
    """Retries are counted like first attempts, before they are sent; those that were refused have cost nothing."""
    httpserver.expect_request(PATH).respond_with_handler(failing(2, ServerResponse("busy", 500)))
    seen: list[tuple[int, str]] = []

    async def take(request: Request) -> None:
        seen.append((len(httpserver.log), request.model))

    response = complete(model_at(httpserver, "tiny"), waits, on_attempt=take)
    assert seen == [(0, "tiny"), (1, "tiny"), (2, "tiny")]
    assert (response.attempts, response.lost) == (3, 0)


def test_attempts_whose_answer_is_lost_are_told(httpserver: HTTPServer, waits: list[float]) -> None:
    """What the server may have worked on without our learning what it used is counted apart."""
    unreadable = failing(2, ServerResponse("{", 200, mimetype="application/json"))
    httpserver.expect_request(PATH).respond_with_handler(unreadable)
    response = complete(model_at(httpserver), waits)
    assert (response.attempts, response.lost, response.error) == (3, 2, None)


def test_budget_that_is_gone_sends_nothing(httpserver: HTTPServer) -> None:
    """BudgetExceeded before the first attempt passes through."""

    async def stop(request: Request) -> None:
        raise BudgetExceeded("600 calls are used")

    with pytest.raises(BudgetExceeded, match="600 calls are used"):
        complete(model_at(httpserver), on_attempt=stop)
    assert httpserver.log == []


def test_budget_that_ends_during_retries(httpserver: HTTPServer, waits: list[float]) -> None:
    """When the budget forbids the second attempt, the first one's cost is kept in a response."""
    httpserver.expect_request(PATH).respond_with_data("busy", 500)
    left = [1]

    async def take(request: Request) -> None:
        if not left:
            raise BudgetExceeded("1 call is used")
        left.pop()

    response = complete(model_at(httpserver), waits, on_attempt=take)
    url = httpserver.url_for("/v1")
    assert response.error == f"budget: 1 call is used; the last attempt: {url} answered 500 for tiny: busy"
    assert response.attempts == 1
    assert len(httpserver.log) == 1


# Cost


def test_cost_of_a_published_price(httpserver: HTTPServer) -> None:
    """An unknown server has no published price, whatever its models are called."""
    httpserver.expect_request(PATH).respond_with_json(answer())
    assert math.isnan(complete(model_at(httpserver, "gpt-4o-mini")).cost_usd)


def test_published_cost_counts_cached_tokens() -> None:
    """Cached prompt tokens are cheaper; an unknown model is NaN."""
    usage = Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=500)
    url = "https://api.openai.com/v1"
    assert published_cost("gpt-4o-mini", url, usage) == pytest.approx(118.5e-6)
    assert math.isnan(published_cost("no-such-model", url, usage))
    assert math.isnan(published_cost("gpt-4o-mini", url, Usage()))


def test_own_price_wins(httpserver: HTTPServer) -> None:
    """A price given with the model is used, cached tokens at their own rate."""
    httpserver.expect_request(PATH).respond_with_json(answer())
    price = Price(prompt=2.0, completion=10.0, cached=1.0)
    assert complete(model_at(httpserver, price=price)).cost_usd == pytest.approx(
        (600 * 2.0 + 400 * 1.0 + 10 * 10.0) / 1e6
    )


@given(st.floats(0, 100), st.floats(0, 100), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**8))
def test_price_is_additive(prompt: float, completion: float, sent: int, made: int, cached: int) -> None:
    """With no price for cached tokens they cost as much as others, however many the server claims."""
    price = Price(prompt=prompt, completion=completion)
    usage = Usage(prompt_tokens=sent, completion_tokens=made, cached_tokens=cached)
    assert price.cost(usage) == pytest.approx((sent * prompt + made * completion) / 1e6)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_senseless_price(value: float) -> None:
    """A price below zero or not a number is refused."""
    with pytest.raises(InputError, match="a price must be a number of US dollars, 0 or more"):
        Price(prompt=value, completion=0.0)


# Models


def test_endpoint_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint is the base URL, the environment's, or OpenAI's, without a final slash."""
    assert Model("m").endpoint == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gateway:1234/v1/")
    assert Model("m").endpoint == "http://gateway:1234/v1"
    assert Model("m", base_url="http://other/v1").endpoint == "http://other/v1"


def test_broken_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad OPENAI_BASE_URL is named as the culprit."""
    monkeypatch.setenv("OPENAI_BASE_URL", "gateway")
    with pytest.raises(InputError, match=r"OPENAI_BASE_URL must be a URL such as .*, got gateway"):
        _ = Model("m").endpoint


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_broken_base_url(url: str) -> None:
    """A base URL that can never work is refused when the model is made."""
    with pytest.raises(InputError, match="base_url must be a URL such as"):
        Model("m", base_url=url)


def test_broken_base_url_shows_no_password() -> None:
    """The error about a URL leaves its secrets out."""
    with pytest.raises(InputError, match=r"got host$"):
        Model("m", base_url="ftp:user:hunter22@host?key=secret")


@given(st.sampled_from(["http", "HTTPS"]), st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.integers(1, 65535))
def test_public_url_is_stable(scheme: str, word: str, port: int) -> None:
    """What identifies an endpoint is the same with and without credentials, query, case and final slash."""
    plain = public_url(f"{scheme}://{word}:{port}/v1")
    assert plain == public_url(f"{scheme}://me:pw@{word.upper()}:{port}/v1/?a=b#c") == public_url(plain)


def test_parse() -> None:
    """The command line's names for models."""
    assert Model.parse("gpt-4o-mini") == Model("gpt-4o-mini")
    assert Model.parse("local") == Model.local()
    assert Model.parse("local").is_local
    assert Model.parse("local:/x/tiny.gguf") == Model("tiny", gguf="/x/tiny.gguf")
    assert Model.parse("local:owner/repo").gguf == "owner/repo"
    assert Model.parse("a:b", base_url="http://h/v1") == Model("a:b", base_url="http://h/v1")


def test_parse_errors() -> None:
    """Names that mean nothing are refused with the remedy."""
    with pytest.raises(InputError, match="names no file; write local, or local:"):
        Model.parse("local:")
    with pytest.raises(InputError, match="leave out the base URL and the key"):
        Model.parse("local", base_url="http://h/v1")
    with pytest.raises(InputError, match="a model needs a name"):
        Model.parse(" ")
    with pytest.raises(InputError, match="an embedded model takes no base_url"):
        Model("m", gguf="m.gguf", base_url="http://h/v1")


@pytest.mark.parametrize("name", ["./model.gguf", "my models/M.GGUF"])
def test_a_file_is_no_model_of_openai(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of weights as a model's name is refused where it would be sent to OpenAI; other servers may know it."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError) as raised:
        _ = Model.parse(name).endpoint
    assert str(raised.value) == (
        f"https://api.openai.com/v1 serves no files, got the model {name}; write local:{name}, or serve it with "
        f"prompt-search model serve {shlex.quote(name)} and give its base URL"
    )
    assert Model(name, base_url="http://h/v1").endpoint == "http://h/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h/v1")
    assert Model.parse(name).endpoint == "http://h/v1"


def test_local_endpoint_is_the_hash() -> None:
    """The embedded model is identified by its weights, without fetching them."""
    assert Model.local().endpoint == ("local:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")


def test_model_is_a_value() -> None:
    """Models compare, hash and pickle by their fields."""
    model = Model("m", base_url="http://h/v1", price=Price(prompt=1, completion=2))
    assert pickle.loads(pickle.dumps(model)) == model
    assert len({model, Model("m", base_url="http://h/v1")}) == 2


# Use


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency must be 1 or more, got 0"),
        ({"max_attempts": 0}, "max_attempts must be 1 or more, got 0"),
        ({"request_timeout": 0.0}, "request_timeout must be a number of seconds above 0"),
        ({"request_timeout": math.nan}, "request_timeout must be a number of seconds above 0"),
    ],
)
def test_senseless_settings(settings: dict[str, Any], message: str) -> None:
    """Settings out of range are refused when the client is made."""
    with pytest.raises(InputError, match=message):
        Client(Model("m"), **settings)


def test_closed_client(httpserver: HTTPServer) -> None:
    """Before and after its block a client refuses to ask."""
    model = model_at(httpserver)
    with pytest.raises(InputError, match="use it as: async with"):
        asyncio.run(Client(model).complete(request_for(model)))


def test_foreign_request(httpserver: HTTPServer) -> None:
    """A request for another endpoint is not answered by this one: its key would lie."""
    httpserver.expect_request(PATH).respond_with_json(answer())

    async def run() -> None:
        async with Client(model_at(httpserver)) as client:
            await client.complete(request_for(Model("tiny", base_url="http://other/v1")))

    with pytest.raises(InputError, match="the request is for http://other/v1 and the client for http://localhost"):
        asyncio.run(run())


@pytest.mark.parametrize("name", ["model", "messages", "stream"])
def test_reserved_parameters(httpserver: HTTPServer, name: str) -> None:
    """Parameters cannot replace what the request itself says."""
    model = model_at(httpserver)
    request = Request(endpoint=model.endpoint, model="tiny", messages=(), parameters={name: "x"})

    async def run() -> None:
        async with Client(model) as client:
            await client.complete(request)

    with pytest.raises(InputError, match=f"request parameters must not contain {name}"):
        asyncio.run(run())


def test_import_is_light() -> None:
    """Importing the module loads neither openai nor anything heavy."""
    code = (
        "import sys, prompt_search.llm.client; heavy = {'openai', 'httpx2', 'aiohttp', 'tenacity', 'pydantic', "
        "'genai_prices', 'xllamacpp'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# An executor's capacity


class Workers(InProcessExecutor):
    """An executor whose capacity the test changes."""

    def __init__(self) -> None:
        super().__init__(latency=0.001)
        self.on_capacity: Callable[[int], None] = lambda size: None

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        self.on_capacity = on_capacity
        return await super().connect(
            model, max_concurrency=max_concurrency, request_timeout=request_timeout, on_capacity=on_capacity
        )


def test_requests_in_flight_follow_the_capacity() -> None:
    """Without workers nothing is sent; with fewer of them fewer requests are in flight, those still out included."""
    workers, model = Workers(), Model("m", base_url="http://127.0.0.1:1/v1")
    reported: list[int] = []

    async def main() -> None:
        async with Client(model, executor=workers, on_capacity=reported.append) as client:

            async def send(count: int) -> asyncio.Future[list[Response]]:
                sending = asyncio.gather(*(client.complete(request_for(model)) for _ in range(count)))
                await asyncio.sleep(0.02)
                return sending

            workers.on_capacity(0)
            sending = await send(30)
            assert workers.count == 0
            workers.on_capacity(8)
            await sending
            assert workers.most_in_flight == 8
            workers.latency = 0.1
            sending = await send(20)
            for size in (2, 3):
                workers.on_capacity(size)
            workers.most_in_flight = 0
            await sending
            assert workers.most_in_flight == 3

    asyncio.run(main())
    assert reported == [0, 8, 2, 3]
