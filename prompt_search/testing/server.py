"""An OpenAI-compatible server on a loopback socket, for tests of studies.

It knows the body of the request that it answers and how often the same body came before, never the order in which
requests come. Faults depend on these two and a seed, so that a run repeats whatever its concurrency.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from prompt_search.llm.model import Model
from prompt_search.testing.batches import BatchDesk, FakeBatch, FakeBatches
from prompt_search.testing.dialects import ServerDialect, dialect_named
from prompt_search.testing.dialects.description import BASE
from prompt_search.testing.faults import SPOILED, Faults, chance
from prompt_search.testing.responses import Answering, Body, FakeResponse, failure

PATH: Final = f"{BASE}/chat/completions"

AT_ONCE: Final = FakeBatches()
"""Batches that complete at once."""


class FakeServer:
    """An OpenAI-compatible server on a free port of 127.0.0.1, in a thread of its own.

    It takes batches, too: files in and out, whose requests are counted like others. The end of the ``with`` block
    raises an exception that ``answer`` raised, and an error for a request for anything else. Once ``answer`` has raised
    one, every request is refused with the status 403, so that a run ends.

    Args:
        answer: the answer to every request, or a function of the request's body; see `FakeAnswer` and `truth_model`.
        dialect: what it refuses and how it answers: a name such as ``openai-reasoning``, or a `ServerDialect`. The
            default accepts everything.
        latency: seconds that an answer takes, or a function of the body.
        faults: shares of attempts that fail; see `Faults`.
        requests_per_minute: number of requests that it takes in a minute; further ones get a 429 with Retry-After.
        tokens_per_minute: number of tokens of its answers, prompts included, in a minute; further requests get a 429
            with Retry-After.
        most_at_a_time: number of requests that it answers at a time; further ones get a 429 without Retry-After.
        fail_after: number of requests after which every further one is refused with the status 401.
        batches: how its batches go, see `FakeBatches`; None: it has none, and says so with the status 404.
        seed: decides which attempts fail.
        minute_s: length of a minute, in seconds.

    Attributes:
        bodies: the bodies of all requests, in the order of arrival.
        arrivals: the times of their arrival, in seconds of the monotonic clock.
        statuses: number of responses by status.
        refusals: number of requests that the dialect refused, by what was refused.
        faults_made: number of faults by kind.
        answered: number of requests that got a whole answer.
        tokens: number of tokens of these answers, prompts included.
        most_in_flight: highest number of requests that were being answered at a time.
        batches_made: the batches that were made, oldest first.

    >>> import pandas as pd
    >>> import prompt_search as ps
    >>> from prompt_search.testing import truth_model
    >>> frame = pd.DataFrame({"text": [f"text {i}" for i in range(20)], "label": ["a", "b"] * 10})
    >>> data = ps.Dataset(frame, target="label")
    >>> truth = truth_model(dict(zip(frame["text"], frame["label"])), accuracy=1.0)
    >>> with FakeServer(truth, faults=Faults(cut=0.2)) as server:
    ...     scored = ps.evaluate(ps.Prompt(source="{{ row.text }}"), data, model=server.model())
    >>> scored.score, server.answered, server.count == 20 + server.faults_made["cut"] > 20
    (1.0, 20, True)
    """

    def __init__(
        self,
        answer: Answering = "positive",
        *,
        dialect: str | ServerDialect = "openai",
        latency: float | Callable[[Body], float] = 0.0,
        faults: Faults | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        most_at_a_time: int | None = None,
        fail_after: int | None = None,
        batches: FakeBatches | None = AT_ONCE,
        seed: int = 0,
        minute_s: float = 60.0,
    ) -> None:
        self.answer = answer
        self.dialect = dialect_named(dialect)
        self.latency = latency
        self.faults = faults or Faults()
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self.most_at_a_time = most_at_a_time
        self.fail_after = fail_after
        self.batches = batches
        self.seed = seed
        self.minute_s = minute_s
        self.bodies: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self.faults_made: Counter[str] = Counter()
        self.answered = 0
        self.tokens = 0
        self.most_in_flight = 0
        self.url = ""
        self._times: Counter[bytes] = Counter()
        self._taken: deque[tuple[float, int]] = deque()
        self._in_flight = 0
        self._desk = BatchDesk(batches or AT_ONCE, self._answer_in_batch, seed)
        self.batches_made: list[FakeBatch] = self._desk.made
        self._problems: list[BaseException] = []
        self._raised = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fake server", daemon=True)
        self._ready = threading.Event()

    @property
    def count(self) -> int:
        """Number of requests that arrived, refused and broken ones included."""
        return len(self.bodies)

    @property
    def repeated(self) -> list[str]:
        """Bodies that arrived more than once."""
        counted = Counter(json.dumps(body) for body in self.bodies)
        return [body for body, count in counted.items() if count > 1]

    def model(self, name: str = "fake", **settings: Any) -> Model:
        """A `Model` that this server answers."""
        return Model(name, base_url=self.url, **settings)

    def start(self) -> FakeServer:
        self._thread.start()
        self._ready.wait()
        self.check()
        return self

    def stop(self) -> None:
        """Close the socket; requests in flight are cut.

        Raises:
            AssertionError: a request came for anything but chat completions, files and batches.
            BaseException: what ``answer`` raised.
        """
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._desk.close()
        self.check()

    def check(self) -> None:
        """Raise the first unexpected exception or request, if there was one."""
        if self._problems:
            raise self._problems[0]

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except BaseException as problem:
            if error is not None:
                problem.__context__ = error
            raise

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            host, port = runner.addresses[0][:2]
            query = f"?{urlencode(self.dialect.query)}" if self.dialect.query else ""
            self.url = f"http://{host}:{port}{self.dialect.base}{query}"
        except OSError as error:  # no socket: raised where the server was to be started
            self._problems.append(error)
            self._stop.set()
        finally:
            self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST" or request.path != self.dialect.path:
            return self._sent(await self._other(request))
        text = await request.read()
        body, drawn = self._arrived(text)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            answer = self._answer(body, request.query)
            if not isinstance(answer, FakeResponse):
                return await self._respond(request, body, answer, drawn)
            await asyncio.sleep(self._latency(body))
            return self._sent(answer)
        finally:
            self._in_flight -= 1

    async def _other(self, request: web.BaseRequest) -> FakeResponse:
        """The response to what is no request for a chat completion."""
        path = request.path.removeprefix(self.dialect.base)
        found = await self._desk.handle(request, path) if path != request.path else None
        if found is not None:
            return found if self.batches is not None else failure(404, f"Not Found: {request.path}")
        wanted = f"the fake server answers POST {self.dialect.path}, files and batches only"
        problem = f"{wanted}, and was asked for {request.method} {request.path}"
        self._problems.append(AssertionError(problem))
        return failure(404, problem)

    def _arrived(self, text: bytes) -> tuple[dict[str, Any], float]:
        """The body of a request, which is counted, and the number that decides whether this attempt fails."""
        body = json.loads(text)
        self.bodies.append(body)
        self.arrivals.append(time.monotonic())
        attempt, self._times[text] = self._times[text], self._times[text] + 1
        return body, chance(self.seed, text, attempt)

    def _answer_in_batch(self, text: bytes) -> FakeResponse | None:
        """The response to a request of a batch; None where the server fails without one."""
        body, drawn = self._arrived(text)
        answer = self._answer(body, self.dialect.query)
        if isinstance(answer, FakeResponse):
            return answer
        fault = self.faults.drawn(drawn)
        if fault is None:
            self._count(answer)
            return FakeResponse(body=answer)
        self.faults_made[fault] += 1
        if fault in ("rate_limited", "retry_after", "server_error"):
            return self._error(fault)
        spoiled = SPOILED[fault](answer, b"") if fault in SPOILED else b""
        return FakeResponse(body=spoiled) if isinstance(spoiled, Mapping) else None

    def _count(self, answer: Mapping[str, Any]) -> None:
        """Count an answer that is sent whole."""
        self.answered += 1
        self.tokens += _tokens(answer)

    def _latency(self, body: Body) -> float:
        return self.latency(body) if callable(self.latency) else self.latency

    def _answer(self, body: Body, query: Mapping[str, str]) -> Mapping[str, Any] | FakeResponse:
        if self.fail_after is not None and self.count > self.fail_after:
            return failure(401, "this key has been revoked")
        refused = self.dialect.refusal(body, query)
        if refused is not None:
            self.refusals[refused.what] += 1
            return refused.response
        if not self._raised:
            try:
                return self.dialect.answer(body, self.answer)
            except Exception as error:  # raised where the server is stopped
                self._problems.append(error)
                self._raised = repr(error)
        return failure(403, f"the fake server's answer function raised {self._raised}")

    async def _respond(
        self, request: web.BaseRequest, body: Body, answer: Mapping[str, Any], drawn: float
    ) -> web.StreamResponse:
        if self.most_at_a_time is not None and self._in_flight > self.most_at_a_time:
            return self._sent(failure(429, "too many requests at a time"))
        wait_s = self._full_for(_tokens(answer))
        if wait_s > 0:
            return self._sent(self.dialect.too_many(wait_s))
        fault = self.faults.drawn(drawn)
        if fault is not None:
            self.faults_made[fault] += 1
        if fault in ("rate_limited", "retry_after", "server_error"):
            return self._sent(self._error(fault))
        latency = self.faults.hang_s if fault == "hang" else self._latency(body)
        if latency > 0:
            await asyncio.sleep(latency)
        if fault in (None, "hang"):
            self._count(answer)
            return self._sent(FakeResponse(body=answer))
        whole = json.dumps(answer).encode()
        if fault == "cut":
            return await self._cut(request, whole, amid=int(drawn * 1e9) % 2 == 0)
        return self._sent(FakeResponse(body=SPOILED[fault](answer, whole)))

    def _full_for(self, tokens: int) -> float:
        """Seconds until the last minute has room for a request; 0: it has room now, and the request is counted."""
        now = time.monotonic()
        taken = self._taken
        while taken and taken[0][0] <= now - self.minute_s:
            taken.popleft()
        requests_over = self.requests_per_minute is not None and len(taken) >= self.requests_per_minute
        tokens_over = (
            self.tokens_per_minute is not None and sum(count for _, count in taken) + tokens > self.tokens_per_minute
        )
        if taken and (requests_over or tokens_over):
            return max(taken[0][0] + self.minute_s - now, 0.001)
        taken.append((now, tokens))
        return 0.0

    def _error(self, fault: str) -> FakeResponse:
        if fault == "server_error":
            return self.dialect.stumbled()
        if fault == "retry_after":
            return failure(429, "too many requests", Retry_After=f"{self.faults.retry_after_s:g}")
        return failure(429, "too many requests")

    async def _cut(self, request: web.BaseRequest, whole: bytes, *, amid: bool) -> web.StreamResponse:
        """Break the connection, before the answer or in the middle of it."""
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(whole))})
        if amid:
            await response.prepare(request)
            await response.write(whole[: len(whole) // 2])
        if request.transport is not None:
            request.transport.abort()
        return response

    def _sent(self, reply: FakeResponse) -> web.Response:
        self.statuses[reply.status] += 1
        return web.Response(
            status=reply.status,
            body=reply.content,
            headers={"Content-Type": "application/json", **reply.headers},
        )


def _tokens(answer: Mapping[str, Any]) -> int:
    """Number of tokens of an answer, prompt included."""
    usage = answer.get("usage") or {}
    return int(usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0))
