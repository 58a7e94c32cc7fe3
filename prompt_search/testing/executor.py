"""An executor that answers requests inside the process: studies run without a server and without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from prompt_search.llm.model import Model
from prompt_search.llm.transport import HttpReply, Transport
from prompt_search.testing.responses import Answering, Body, FakeResponse, answer_to, failure

BASE_URL: Final = "http://fake.invalid/v1"
"""The address of the models that `InProcessExecutor.model` makes: no host can have it (RFC 2606)."""


class InProcessExecutor:
    """Answers the requests of ``Study(executor=...)`` and ``evaluate(..., executor=...)`` by calling a function.

    Everything but the HTTP connection is what a real study uses: reservations against the budget, retries, limits for
    a minute, parsing of the response. One executor can serve any number of studies, one after the other.

    An exception in ``answer`` ends the run and is raised by it.

    Args:
        answer: the answer to every request, or a function of the request's body; see `FakeAnswer` and `truth_model`.
        latency: seconds that an answer takes, or a function of the body.
        fail_after: number of requests after which every further one is refused with the status 401.

    Attributes:
        bodies: the bodies of all requests, in the order in which they were sent, retries and refused ones included.
        most_in_flight: highest number of requests that were being answered at a time.

    >>> import pandas as pd
    >>> import prompt_search as ps
    >>> from prompt_search.testing import truth_model
    >>> frame = pd.DataFrame({"text": [f"text {i}" for i in range(20)], "label": ["a", "b"] * 10})
    >>> truth = truth_model(dict(zip(frame["text"], frame["label"])), accuracy=1.0)
    >>> executor = InProcessExecutor(truth)
    >>> prompt = ps.Prompt(source="{{ row.text }}")
    >>> data = ps.Dataset(frame, target="label")
    >>> scored = ps.evaluate(prompt, data, model=executor.model(), executor=executor)
    >>> scored.score, executor.count
    (1.0, 20)
    """

    def __init__(
        self,
        answer: Answering = "positive",
        *,
        latency: float | Callable[[Body], float] = 0.0,
        fail_after: int | None = None,
    ) -> None:
        self.answer = answer
        self.latency = latency
        self.fail_after = fail_after
        self.bodies: list[Body] = []
        self.most_in_flight = 0
        self._in_flight = 0

    @property
    def count(self) -> int:
        """Number of requests, retries and refused ones included."""
        return len(self.bodies)

    def model(self, name: str = "fake", **settings: Any) -> Model:
        """A `Model` on an address that nothing but this executor answers; any other model is answered, too."""
        return Model(name, base_url=BASE_URL, **settings)

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        return _InProcessTransport(self, request_timeout)

    async def reply(self, body: Body, request_timeout: float) -> HttpReply:
        """The reply to one attempt; a failure where its latency is above the timeout."""
        self.bodies.append(body)
        if self.fail_after is not None and self.count > self.fail_after:
            return _sent(failure(401, "this key has been revoked"), 0.0)
        latency = self.latency(body) if callable(self.latency) else self.latency
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await asyncio.sleep(min(latency, request_timeout))
        finally:
            self._in_flight -= 1
        if latency > request_timeout:
            return HttpReply(failure="timeout", latency_s=request_timeout)
        answer = answer_to(body, self.answer)
        return _sent(answer if isinstance(answer, FakeResponse) else FakeResponse(body=answer), latency)


class _InProcessTransport:
    """The requests of one client."""

    def __init__(self, executor: InProcessExecutor, request_timeout: float) -> None:
        self._executor = executor
        self._request_timeout = request_timeout

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        return await self._executor.reply(body, self._request_timeout)

    async def close(self) -> None:
        """There is no connection to close."""


def _sent(response: FakeResponse, latency_s: float) -> HttpReply:
    return HttpReply(
        status=response.status,
        headers={name.lower(): value for name, value in response.headers.items()},
        content=response.content,
        latency_s=latency_s,
    )
