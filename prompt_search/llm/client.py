"""The client that asks one model: the only retry layer, and the module that knows the ``openai`` package, as does that
of files and batches.

Any server that speaks OpenAI's chat completions works. Keys, organisation and headers are those of openai's client; the
requests go through aiohttp, without openai's own layers, which take most of a request's time. A request that fails in
a way that may not repeat is retried here and nowhere else; one that fails for good comes back as a ``Response`` with
``error`` set, so that one bad row does not end a run; an error that concerns every row is raised.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from anyio import CapacityLimiter

from prompt_search.errors import BudgetExceeded, InputError, RequestRefused, ServerUnreachable
from prompt_search.llm.failures import RATE_CURE
from prompt_search.llm.messages import Request, Response
from prompt_search.llm.model import Address, Model, address_of
from prompt_search.llm.rate_limit import LONGEST_RETRY_AFTER_S, Pace
from prompt_search.llm.redaction import NO_KEY, public_url
from prompt_search.llm.response_parsing import AttemptError, ResponseParser
from prompt_search.llm.transport import Executor, HttpTransport, Transport

if TYPE_CHECKING:
    import tenacity

    from prompt_search.llm.local import LocalServer

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
"""Seconds before the first retry, which double with every further one up to the longest wait."""

MOST_REFUSALS: Final = 30
REFUSALS_S: Final = 60.0
"""Number of attempts in a row that a server may refuse for its limits, and seconds that this may take, before the run
ends: a limit for a minute lets something through within a minute."""

MOST_FIRST_FAILURES: Final = 8
FIRST_FAILURES_S: Final = 8.0
"""Number of attempts in a row, and seconds, after which a run ends whose server has given no answer yet, but refusals
for its limits that do not say when to ask again, or replies that hold no answer: more than one request has them."""

UNREACHED_ATTEMPTS: Final = 3
"""Number of attempts to reach a server that has never answered: a wrong address should not take half a minute."""


class InProcess:
    """Attempts are made by the event loop that asks for them."""

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        if not model.is_local:
            return await open_connections(address_of(model), request_timeout)
        server = await asyncio.to_thread(_serve, model)
        # Requests that queue in the server would use up their time there.
        on_capacity(min(max_concurrency, 2 * server.slots))
        local = Address(url=server.base_url, key=NO_KEY)
        return await open_connections(local, request_timeout, trust_env=False)


async def open_connections(address: Address, request_timeout: float, *, trust_env: bool = True) -> HttpTransport:
    """Connections to a server, with the headers that openai's client would send.

    Args:
        address: the server, and what is sent with every request.
        request_timeout: seconds that one attempt may take.
        trust_env: whether the proxy of the environment is used.
    """
    import httpx2
    import openai

    # No request is sent through this client, so it needs no certificates: reading them takes as long as 50 requests.
    async with openai.AsyncOpenAI(
        base_url=public_url(address.url),
        api_key=address.key,
        default_headers=basic_auth(address.url),
        http_client=httpx2.AsyncClient(verify=False, trust_env=False),
    ) as api:  # knows the key, and what OPENAI_ORG_ID and the like add
        headers = {**api.auth_headers, **api.default_headers}
    replaced = {name.casefold() for name in address.headers}
    return await HttpTransport.open(
        address.url,
        headers={
            **{
                name: value
                for name, value in headers.items()
                if isinstance(value, str) and name.casefold() not in replaced
            },
            **{name: value for name, value in address.headers.items() if value},
        },
        query=address.query,
        secrets=address.secrets,
        request_timeout=request_timeout,
        trust_env=trust_env,
    )


def import_http_packages() -> None:
    """Import what `open_connections` needs: this takes seconds, in which an event loop would do nothing else."""
    import aiohttp
    import openai

    _ = aiohttp.ClientSession, openai.AsyncOpenAI


def basic_auth(url: str) -> dict[str, str]:
    """The header for user and password in a URL, which aiohttp does not take from there."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _serve(model: Model) -> LocalServer:
    from prompt_search.llm.local import serve
    from prompt_search.llm.local_weights import resolve

    return serve(resolve(model.gguf), alias=model.name)


@dataclass(slots=True)
class _Attempts:
    """Number of attempts of one request that were sent, number of those whose answer was lost, and what the last one
    that failed came to."""

    sent: int = 0
    lost: int = 0
    failed_with: str = ""


class _Refusals:
    """The attempts in a row that a server has refused for its limits, and before its first answer those to which it
    gave no answer."""

    def __init__(self) -> None:
        self._count = 0
        self._since = 0.0
        self._answered = False

    def end(self) -> None:
        """Something was answered."""
        self._count = 0
        self._answered = True

    def add(self, error: AttemptError, now: float) -> None:
        """One more attempt failed.

        Raises:
            RequestRefused: so many were refused, for so long, that waiting does not help.
        """
        nothing = error.kind in ("malformed", "empty") and not self._answered
        if not (error.no_capacity or nothing):
            return
        if not self._count:
            self._since = now
        self._count += 1
        limited = error.status == 429 and error.retry_after_s is None
        in_vain = nothing or (limited and not self._answered)
        if in_vain and self._count >= MOST_FIRST_FAILURES and now - self._since >= FIRST_FAILURES_S:
            cure = (
                "the server seems not to be OpenAI-compatible: check its address and the model"
                if nothing
                else RATE_CURE
            )
            raise RequestRefused(
                f"{error}, as it did to all {self._count} attempts in {now - self._since:.0f} s; {cure}"
            ) from None
        if self._count >= MOST_REFUSALS and now - self._since >= REFUSALS_S:
            raise RequestRefused(
                f"{error}, as it did to the last {self._count} attempts in {now - self._since:.0f} s; {RATE_CURE}"
            ) from None


class Client:
    """A client that sends requests to one model, many at a time.

    At most ``max_concurrency`` requests are in flight, those that wait for a retry included, so that a server that
    refuses requests does not get more of them; the embedded model gets at most two for each of its slots. Connection
    errors, timeouts, responses that were cut off and refusals that may pass (408, 409, 429, 500 and above, see
    `prompt_search.llm.replies.refusals`) are tried up to ``max_attempts`` times in all, when the server wants it or
    after an exponentially growing, jittered wait. A ``Retry-After`` holds back all requests of the client, the status
    codes 429, 503 and 529 reduce the number of requests in flight, and the model's limits for a minute are kept: see
    `prompt_search.llm.rate_limit.Pace`.
    ``request_timeout`` is in seconds, for one attempt. ``on_attempt`` is awaited with the request before every
    attempt, and may raise ``BudgetExceeded``. An ``executor`` decides where attempts are made (see
    `prompt_search.llm.transport.Executor`); where it has several processes, each of them may have ``max_concurrency``
    in flight, and the client calls ``on_capacity`` with their sum.

    Use as ``async with Client(model) as client``.
    """

    def __init__(
        self,
        model: Model,
        *,
        max_concurrency: int = 16,
        max_attempts: int = 6,
        request_timeout: float = 120.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
        on_attempt: Callable[[Request], Awaitable[None]] | None = None,
        executor: Executor | None = None,
        on_capacity: Callable[[int], None] | None = None,
    ) -> None:
        for name, value in (("max_concurrency", max_concurrency), ("max_attempts", max_attempts)):
            if value < 1:
                raise InputError(f"{name} must be 1 or more, got {value}")
        if not request_timeout > 0:
            raise InputError(f"request_timeout must be a number of seconds above 0, got {request_timeout}")
        self.model = model
        self._max_concurrency = max_concurrency
        self._max_attempts = max_attempts
        self._request_timeout = request_timeout
        self._sleep = sleep
        self._clock = clock
        self._random = random.Random(seed)
        self._on_attempt = on_attempt
        self._executor = executor or InProcess()
        self._on_capacity = on_capacity
        self._transport: Transport | None = None
        self._parser: ResponseParser | None = None
        self._slots = CapacityLimiter(max_concurrency)
        self._pace = Pace(
            max_concurrency,
            requests_per_minute=model.requests_per_minute,
            tokens_per_minute=model.tokens_per_minute,
            clock=clock,
            sleep=sleep,
        )
        self._endpoint = ""
        self._answered = False
        self._refusals = _Refusals()

    async def __aenter__(self) -> Client:
        self._endpoint = self.model.endpoint
        self._parser = ResponseParser(self.model, self._endpoint, self._request_timeout)
        self._transport = await self._executor.connect(
            self.model,
            max_concurrency=self._max_concurrency,
            request_timeout=self._request_timeout,
            on_capacity=self.resize,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    def resize(self, size: int) -> None:
        """Set the number of attempts that may be in flight."""
        self._slots.total_tokens = size
        self._pace.resize(size)
        if self._on_capacity is not None:
            self._on_capacity(size)

    async def complete(self, request: Request) -> Response:
        """The model's response, or a ``Response`` whose ``error`` says why there is none.

        Raises:
            ServerUnreachable: no connection can be made.
            RequestRefused: the server answered 401, 402, 403 or 404, or the account's quota is used up.
            BudgetExceeded: ``on_attempt`` raised it before anything was sent.
            InputError: the request is not meant for this client.
        """
        import tenacity

        transport, parser = self._opened(request)
        attempts = _Attempts()
        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            stop=self._give_up,
            wait=self._wait_s,
            retry=tenacity.retry_if_exception_type(AttemptError),
            reraise=True,
        )
        async with self._slots:
            start = self._clock()
            try:
                response: Response = await retrying(self._attempt, transport, parser, request, request.body, attempts)
            except (BudgetExceeded, AttemptError) as error:
                response = parser.error(_outcome(error, attempts), self._clock() - start)
        if attempts.sent == 1 and not attempts.lost:
            return response
        return replace(response, attempts=attempts.sent, lost=attempts.lost + response.lost)

    def _opened(self, request: Request) -> tuple[Transport, ResponseParser]:
        """What sends a request that this client can send, and what reads the reply."""
        if self._transport is None or self._parser is None:
            raise InputError("the client is not open; use it as: async with Client(model) as client")
        if request.endpoint != self._endpoint:
            raise InputError(
                f"the request is for {request.endpoint} and the client for {self._endpoint}; "
                "make the request with endpoint=model.endpoint"
            )
        reserved = {"model", "messages", "stream"} & set(request.parameters)
        if reserved:
            raise InputError(f"request parameters must not contain {', '.join(sorted(reserved))}; leave them out")
        return self._transport, self._parser

    async def _attempt(
        self,
        transport: Transport,
        parser: ResponseParser,
        request: Request,
        body: Mapping[str, Any],
        attempts: _Attempts,
    ) -> Response:
        """One attempt, as soon as the budget and the pace allow it."""
        if self._on_attempt is not None:
            await self._on_attempt(request)
        attempts.sent += 1
        async with self._pace.turn(request) as turn:
            reply = await transport.send(body)
            self._answered = self._answered or reply.failure is None
            try:
                response = parser.parse(reply, request)
            except AttemptError as error:
                attempts.lost += error.lost
                attempts.failed_with = str(error)
                turn.failed(no_capacity=error.no_capacity, retry_after_s=error.retry_after_s)
                self._refusals.add(error, self._clock())
                raise
            self._refusals.end()
            turn.answered(response.usage)
            return response

    def _give_up(self, state: tenacity.RetryCallState) -> bool:
        error = _last_error(state)
        if error.kind == "unreachable" and not self._answered:
            return state.attempt_number >= min(self._max_attempts, UNREACHED_ATTEMPTS)
        return state.attempt_number >= self._max_attempts or (error.retry_after_s or 0) > LONGEST_RETRY_AFTER_S

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt: the server's Retry-After plus up to a tenth, else 0.5, 1, 2, ... 30 with
        at most half of it taken off at random."""
        error = _last_error(state)
        if error.retry_after_s is not None:
            return error.retry_after_s * self._random.uniform(1.0, 1.1)
        return growing_wait_s(state.attempt_number, self._random)


def growing_wait_s(attempt: int, generator: random.Random) -> float:
    """Seconds to wait after so many attempts, where the server does not say how long."""
    exponential = FIRST_WAIT_S * 2.0 ** min(attempt - 1, 30)
    return min(exponential, LONGEST_WAIT_S) * generator.uniform(0.5, 1.0)


def _last_error(state: tenacity.RetryCallState) -> AttemptError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, AttemptError)
    return error


def _outcome(error: BudgetExceeded | AttemptError, attempts: _Attempts) -> str:
    """What a request comes to whose last attempt failed, as the error of its response.

    Raises:
        BudgetExceeded: nothing was sent.
        ServerUnreachable: no connection can be made.
    """
    if isinstance(error, BudgetExceeded):
        if not attempts.sent:
            raise error
        return f"budget: {error}" + (f"; the last attempt: {attempts.failed_with}" if attempts.failed_with else "")
    message = f"{error} ({attempts.sent} attempt{'s' if attempts.sent > 1 else ''})"
    if error.kind == "unreachable":
        raise ServerUnreachable(message) from None
    return f"{error.kind}: {message}"
