"""The files-and-batches API through the real openai client, against a fake server on a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request as ServerRequest
from werkzeug import Response as ServerResponse

import prompt_search as ps
from prompt_search.errors import InputError, RequestRefused, ServerUnreachable
from prompt_search.llm.batches.api import BatchApi, BatchState, NoBatches, check_batches
from prompt_search.llm.batches.lines import MISSING, input_line, read_rows
from prompt_search.llm.messages import Message, Request
from prompt_search.testing import FakeBatches, FakeServer

T = TypeVar("T")

KEY = "sk-MARKED-0123456789"


class Waits(list[float]):
    """Takes the place of a sleep, and keeps how long it would have been."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def asked(model: ps.Model, work: Callable[[BatchApi], Awaitable[T]], waits: Waits | None = None) -> T:
    """What work on the open API of a model gives."""

    async def run() -> T:
        async with BatchApi(model, sleep=waits if waits is not None else Waits()) as api:
            return await work(api)

    return asyncio.run(run())


def request(text: str, endpoint: str) -> Request:
    return Request(endpoint=endpoint, model="fake", messages=(Message("user", text),), parameters={"max_tokens": 5})


def test_requests_come_back_by_their_keys(server: FakeServer) -> None:
    """A file of requests becomes a batch, and its output file has the reply to each of them by its custom_id."""
    server.answer = lambda body: body["messages"][0]["content"].upper()
    requests = [request(text, server.url) for text in ("one", "zwei ✓", "three")]
    content = b"".join(input_line(each.key, each) for each in requests)

    async def work(api: BatchApi) -> tuple[BatchState, BatchState | None, dict[str, str]]:
        made = await api.create(await api.upload("mine", content), 0.0)
        state = await api.state(made.id)
        assert state is not None
        rows = await api.rows(state)
        texts = {key: json.loads(row.reply.content) for key, row in rows.items() if row.reply is not None}
        return made, state, {key: body["choices"][0]["message"]["content"] for key, body in texts.items()}

    made, state, texts = asked(server.model(), work)

    assert made == BatchState(id="batch_0", status="validating")
    assert state == BatchState(id="batch_0", status="completed", answered=3, files=("file-1",))
    assert [texts[each.key] for each in requests] == ["ONE", "ZWEI ✓", "THREE"]
    assert server.bodies == [each.body for each in requests]


def test_batch_whose_creation_was_not_answered_is_made_once() -> None:
    """Before the creation of a batch is tried again, the server's list is searched for its input file, page by page."""
    with FakeServer("yes", batches=FakeBatches(unanswered=frozenset({1}))) as server:

        async def work(api: BatchApi) -> tuple[BatchState, BatchState | None, BatchState | None]:
            line = input_line("a", request("hi", server.url))
            await api.create(await api.upload("first", line), 0.0)
            made = await api.create(await api.upload("second", line), 0.0)
            others = [replace(server.batches_made[0], number=number, file="other") for number in range(2, 104)]
            server.batches_made.extend(others)
            return made, await api.find("file-1", 0.0), await api.find("file-7", 0.0)

        made, found, missing = asked(server.model(), work)

    assert (made.id, len(server.batches_made)) == ("batch_1", 104)
    assert found is not None
    assert found.id == "batch_1"
    assert missing is None


def test_server_without_batches_is_one_line() -> None:
    """A server that has no such API is named with its status and with what to do."""
    with FakeServer("yes", batches=None) as server, pytest.raises(NoBatches) as raised:
        asked(server.model(), lambda api: api.upload("mine", b"{}\n"))

    assert str(raised.value) == (
        f"{server.url} takes no batches of fake (POST /files answered 404: Not Found: /v1/files); leave out batch=True "
        "(--batch), which sends requests one by one at the full price"
    )


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (ServerResponse("<html>welcome</html>", 200), "POST /files was answered with something else"),
        (ServerResponse('{"error": {"message": "no such route"}}', 405), "POST /files answered 405: no such route"),
        (ServerResponse('{"error": {"message": "no purpose"}}', 400), "POST /files answered 400: no purpose"),
        (ServerResponse('{"object": "file"}', 200, content_type="application/json"), "it has no id"),
    ],
)
def test_reply_of_another_api_is_one_line(httpserver: HTTPServer, reply: ServerResponse, message: str) -> None:
    """Whatever a server without batches says to a file, the run ends with one line before a batch is paid for."""
    httpserver.expect_request("/v1/files").respond_with_response(reply)

    with pytest.raises(NoBatches, match=message) as raised:
        asked(ps.Model("m", base_url=httpserver.url_for("/v1")), lambda api: api.upload("mine", b"{}\n"))

    assert "\n" not in str(raised.value)


def test_refused_key_is_named_and_not_shown(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the server refuses ends the run with the variable's name; what the server quotes of it is left out."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    sent: list[str | None] = []

    def refuse(asking: ServerRequest) -> ServerResponse:
        sent.append(asking.headers.get("Authorization"))
        return ServerResponse(json.dumps({"error": {"message": f"no such key: {KEY}"}}), 401)

    httpserver.expect_request("/v1/files").respond_with_handler(refuse)

    with pytest.raises(RequestRefused, match=r"answered 401: no such key: \[key\]; check the key in OPENAI_API_KEY$"):
        asked(ps.Model("m", base_url=httpserver.url_for("/v1")), lambda api: api.upload("mine", b"{}\n"))

    assert sent == [f"Bearer {KEY}"]


def test_headers_and_query_of_the_model_are_sent(httpserver: HTTPServer) -> None:
    """Headers replace those of the openai package, and the query is added, as for single requests."""
    seen: list[tuple[str | None, str | None, str | None]] = []

    def take(asking: ServerRequest) -> ServerResponse:
        headers = asking.headers
        seen.append((headers.get("Authorization"), headers.get("X-Key"), asking.args.get("region")))
        return ServerResponse(json.dumps({"id": "file-1", "object": "file"}), content_type="application/json")

    httpserver.expect_request("/v1/files").respond_with_handler(take)
    model = ps.Model("m", base_url=httpserver.url_for("/v1"), headers={"X-Key": "mine"}, query={"region": "eu"})

    assert asked(model, lambda api: api.upload("mine", b"{}\n")) == "file-1"
    assert seen == [(None, "mine", "eu")]


def test_retry_after_is_waited_for(httpserver: HTTPServer) -> None:
    """A look that comes too early is made again when the server wants it, by the one retry layer."""
    state = {"id": "b", "object": "batch", "status": "completed", "output_file_id": "o"}
    httpserver.expect_ordered_request("/v1/batches/b").respond_with_data("busy", 503, headers={"Retry-After": "7"})
    httpserver.expect_ordered_request("/v1/batches/b").respond_with_data("stumbled", 500)
    httpserver.expect_ordered_request("/v1/batches/b").respond_with_json(state, headers={"Retry-After": "30"})
    waits = Waits()

    found = asked(ps.Model("m", base_url=httpserver.url_for("/v1")), lambda api: api.state("b"), waits)

    assert found == BatchState(id="b", status="completed", files=("o",), retry_after_s=30.0)
    assert 7.0 <= waits[0] <= 7.7
    assert 0.5 <= waits[1] <= 1.0


def test_batch_that_is_gone_is_none(server: FakeServer) -> None:
    """A server that does not know a batch any more gives None, and a file that is gone has no rows."""
    gone = BatchState(id="b", status="completed", files=("file-9",))

    assert asked(server.model(), lambda api: api.state("batch_9")) is None
    assert asked(server.model(), lambda api: api.rows(gone)) == {}


def test_unreachable_server_is_tried_and_named() -> None:
    """Where no connection can be made, the run ends after some attempts with the address."""
    waits = Waits()

    with pytest.raises(ServerUnreachable, match=r"^cannot reach http://127.0.0.1:9/v1 \(POST /files\): "):
        asked(ps.Model("m", base_url="http://127.0.0.1:9/v1"), lambda api: api.upload("mine", b"{}\n"), waits)

    assert len(waits) == 5


@given(st.lists(st.binary(max_size=40) | st.just(b'{"custom_id": "a"}') | st.just(b'{"custom_id": 7}'), max_size=5))
def test_any_file_can_be_read(lines: list[bytes]) -> None:
    """Whatever the files of a batch hold, reading them raises nothing; a line without a reply says nothing."""
    rows = read_rows([b"\n".join(lines)], [])

    assert rows.get("a", MISSING) == MISSING


@pytest.mark.parametrize(("batch", "message"), [("yes", "^batch must be True or False, got 'yes'; "), (1, "got 1; ")])
def test_batch_is_a_truth_value(batch: object, message: str) -> None:
    """Anything but True and False is refused."""
    with pytest.raises(InputError, match=message):
        check_batches(batch, [])


def test_embedded_model_has_no_batches() -> None:
    """Batches of a model that this process serves are refused before anything is sent."""
    with pytest.raises(InputError, match=r"^the model SmolLM2-135M-Instruct is served in this process, which has no"):
        check_batches(True, [ps.Model.local()])


@pytest.mark.parametrize("discount", [-0.1, 1.0, "half", True])
def test_discount_is_a_share(discount: object) -> None:
    """What batches take off is a share of the price below 1."""
    with pytest.raises(InputError, match=r"^batch_discount is a share of the price from 0 to below 1, got "):
        ps.Model("m", batch_discount=discount)  # type: ignore[arg-type]
