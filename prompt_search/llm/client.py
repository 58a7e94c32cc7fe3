"""Models and the client that asks them: the only module that knows the ``openai`` package.

Any server that speaks OpenAI's chat completions works. Keys, organisation and headers are those of openai's client; the
requests go through its transport, aiohttp, without openai's own layers, which take most of a request's time. A request
that fails for a while is retried here and nowhere else; one that fails for good comes back as a ``Response`` with
``error`` set, so that one bad row does not end a run; only what no row can survive is raised.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from prompt_search.errors import BudgetExceeded, InputError, RequestRefused, ServerUnreachable
from prompt_search.llm.messages import Request, Response, TopLogprobs, Usage
from prompt_search.llm.rate_limit import LONGEST_RETRY_AFTER_S, Pace, Slots, check_limits

if TYPE_CHECKING:
    import aiohttp
    import tenacity

OPENAI_URL: Final = "https://api.openai.com/v1"

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
IDLE_S: Final = 4.0
"""How long a connection is kept for the next request: less than servers keep it, mostly 5 seconds."""

UNREACHED_ATTEMPTS: Final = 3
"""Attempts to reach a server that has never answered: a wrong address should not take half a minute."""

LONGEST_MESSAGE: Final = 500
"""Characters of an error message."""

_RETRIED_STATUS = frozenset({408, 409, 429})
_NO_CAPACITY_STATUS = frozenset({429, 503, 529})
_REMEDIES = {
    401: "check the key in {key}",
    402: "check the account's balance",
    403: "check that the key in {key} may use this model",
    404: "check the model's name, and that the base URL is the one that ends before /chat/completions",
    429: "check the account's quota and billing",
}
_KEY_PATTERN = re.compile(r"\b(?:sk|gsk|xai|hf|pk)[-_][\w*.\-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens; ``cached`` is for prompt tokens read from the server's cache.

    >>> Price(prompt=0.15, completion=0.6).cost(Usage(prompt_tokens=2000, completion_tokens=100))
    0.00036
    """

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "completion", "cached"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 and math.isfinite(value)):
                raise InputError(f"a price is a number of US dollars, zero or more; got {name}={value}")

    def cost(self, usage: Usage) -> float:
        """US dollars for ``usage``; NaN when the server did not count the tokens."""
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return math.nan
        cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
        cached_price = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - cached
        return (fresh * self.prompt + cached * cached_price + usage.completion_tokens * self.completion) / 1e6


@dataclass(frozen=True, slots=True, repr=False)
class Model:
    """A model and where it is served.

    ``name`` is what the server calls it. ``base_url`` defaults to ``OPENAI_BASE_URL``, then to OpenAI's.
    ``api_key_env`` names the environment variable that holds the key (default ``OPENAI_API_KEY``): the key
    itself is never kept here. ``gguf`` is set for the embedded model: see ``Model.local``. ``price``
    replaces the published price. ``requests_per_minute`` and ``tokens_per_minute`` are the limits of your account,
    which no 60 seconds pass; they are no part of what a study is, so they may change between its runs.

    >>> Model("gpt-4o-mini", base_url="https://user:secret@example.org/v1/?key=secret").endpoint
    'https://example.org/v1'
    """

    name: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    gguf: str | None = field(default=None, kw_only=True)
    price: Price | None = field(default=None, kw_only=True)
    requests_per_minute: int | None = field(default=None, kw_only=True)
    tokens_per_minute: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("a model needs a name, got an empty one; for example gpt-4o-mini, or local")
        if self.gguf is not None and (self.base_url is not None or self.api_key_env is not None):
            raise InputError("an embedded model has no base_url and no key; give either gguf or base_url")
        if self.base_url is not None:
            _check_url(self.base_url, "base_url")
        check_limits(self.requests_per_minute, self.tokens_per_minute)

    def __repr__(self) -> str:
        shown = {
            "base_url": None if self.base_url is None else public_url(self.base_url),
            "api_key_env": self.api_key_env,
            "gguf": self.gguf,
            "price": self.price,
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
        }
        parts = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        return f"Model({', '.join([repr(self.name), *parts])})"

    @classmethod
    def local(cls, gguf: str | None = None) -> Model:
        """The embedded model, or another GGUF file by path or Hugging Face name (see ``local.resolve``).

        >>> Model.local()
        Model('SmolLM2-135M-Instruct', gguf='SmolLM2-135M-Instruct')
        """
        from prompt_search.llm import local

        if gguf is None:
            return cls(local.BUILT_IN, gguf=local.BUILT_IN)
        return cls(Path(gguf).name.removesuffix(".gguf"), gguf=gguf)

    @classmethod
    def parse(cls, text: str, *, base_url: str | None = None, api_key_env: str | None = None) -> Model:
        """A model as the command line names it: ``gpt-4o-mini``, ``local`` or ``local:FILE_OR_REPOSITORY``.

        >>> Model.parse("local:models/tiny.gguf")
        Model('tiny', gguf='models/tiny.gguf')
        """
        prefix, colon, gguf = text.partition(":")
        if prefix != "local":
            return cls(text, base_url=base_url, api_key_env=api_key_env)
        if base_url is not None or api_key_env is not None:
            raise InputError(f"the model {text} is served in this process; leave out the base URL and the key")
        if colon and not gguf:
            raise InputError("local: names no file; write local, or local:FILE.gguf")
        return cls.local(gguf or None)

    @property
    def is_local(self) -> bool:
        """Whether this process serves the model itself."""
        return self.gguf is not None

    @property
    def endpoint(self) -> str:
        """Identity of the server in request keys: ``local:<sha256 of the weights>``, or the base URL without
        user, password and query. May fetch the weights of a model from Hugging Face."""
        if self.gguf is None:
            return public_url(self._url())
        from prompt_search.llm import local

        if self.gguf == local.BUILT_IN:
            return f"local:{local.BUILT_IN_SHA256}"
        return f"local:{local.sha256(local.resolve(self.gguf))}"

    def cost(self, usage: Usage) -> float:
        """US dollars for ``usage``; NaN when the price, or how many tokens, is unknown."""
        if self.is_local:
            return 0.0
        if self.price is not None:
            return self.price.cost(usage)
        return published_cost(self.name, public_url(self._url()), usage)

    def _url(self) -> str:
        if self.base_url is not None:
            return self.base_url
        url = os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
        _check_url(url, "OPENAI_BASE_URL")
        return url

    def _key_name(self) -> str:
        return self.api_key_env or "OPENAI_API_KEY"

    def _secrets(self) -> tuple[str, ...]:
        """What this process knows that must not be told."""
        if self.is_local:
            return ()
        return _secrets(self._url(), os.environ.get(self._key_name(), "").strip() or "unused")

    def _key(self) -> str:
        """The key, or ``unused`` for a server that may need none; ``InputError`` when one is needed."""
        key = os.environ.get(self._key_name(), "").strip()
        if key:
            return key
        if self.api_key_env is not None:
            raise InputError(
                f"the environment variable {self.api_key_env} is not set; set it to the key of {self.name}"
            )
        if public_url(self._url()) == OPENAI_URL:
            raise InputError(
                f"no key for the model {self.name} on {OPENAI_URL}; set OPENAI_API_KEY, give a base URL, "
                "or use --model local"
            )
        return "unused"


def public_url(url: str) -> str:
    """``url`` without user, password, query, fragment and final slash.

    >>> public_url("HTTPS://user:secret@Example.org:8000/v1/?key=secret")
    'https://example.org:8000/v1'
    """
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1].lower()
    return urlunsplit((parts.scheme.lower(), host, parts.path.rstrip("/"), "", ""))


def _check_url(url: str, name: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        valid = False
    if not valid:
        shown = url.rsplit("@", 1)[-1].split("?", 1)[0]
        raise InputError(f"{name} must be a URL such as http://127.0.0.1:8000/v1, got {shown}")


class _AttemptError(Exception):
    """An attempt that failed in a way that another one may not."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        lost: bool = True,
        no_capacity: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.lost = lost
        """Whether the server may have worked on the request without our learning what it used."""
        self.no_capacity = no_capacity
        """Whether the server said that it is asked too much."""
        self.retry_after_s = retry_after_s


Failure = Literal["unreachable", "timeout", "broken", "lost"]
"""Why an attempt has no answer: no connection was made, none came in time, the connection broke, or the process that
had sent it was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What one attempt came to: an HTTP status with the raw answer, or a ``failure`` with what is known of it.

    ``headers`` are those that say when to ask again, with names in lower case. ``latency_s`` is in seconds, measured
    where the attempt was made.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    latency_s: float = math.nan
    failure: Failure | None = None
    why: str = ""


class Transport(Protocol):
    """Makes attempts, one HTTP request each; knows nothing of retries, budgets and limits."""

    async def send(self, body: Mapping[str, Any]) -> HttpReply: ...

    async def close(self) -> None: ...


class Executor(Protocol):
    """Where attempts are made: in this process, or by workers."""

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        """A transport to a model's server; ``on_capacity`` is told how many attempts may be in flight in all, now and
        whenever that changes."""
        ...


class InProcess:
    """Attempts are made by the event loop that asks for them."""

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        if not model.is_local:
            return await HttpTransport.open(model._url(), model._key(), request_timeout)
        server = await asyncio.to_thread(_serve, model)
        # Requests that queue in the server would use up their time there.
        on_capacity(min(max_concurrency, 2 * server.slots))
        return await HttpTransport.open(server.base_url, "unused", request_timeout, trust_env=False)


class HttpTransport:
    """The connections of this process to one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str, secrets: Iterable[str]) -> None:
        self._session = session
        self._url = f"{public_url(url)}/chat/completions"
        self._query = dict(parse_qsl(urlsplit(url).query))
        self._secrets = tuple(secrets)

    @classmethod
    async def open(cls, url: str, key: str, request_timeout: float, *, trust_env: bool = True) -> HttpTransport:
        """Connections that ask with a key; ``request_timeout`` is in seconds, ``trust_env`` heeds a proxy."""
        import aiohttp
        import httpx2
        import openai

        secure = url.lower().startswith("https:")
        certificates = httpx2.create_ssl_context() if secure else False  # reading them takes as long as 50 requests
        async with openai.AsyncOpenAI(
            base_url=public_url(url),
            api_key=key,
            default_headers=_basic_auth(url),
            http_client=httpx2.AsyncClient(verify=certificates, trust_env=False),
        ) as api:  # knows the key, and what OPENAI_ORG_ID and the like add
            headers = {**api.auth_headers, **api.default_headers}
        session = aiohttp.ClientSession(
            headers={name: value for name, value in headers.items() if isinstance(value, str)},
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S, ssl=certificates or True),
            timeout=aiohttp.ClientTimeout(total=request_timeout),
            proxy=_proxy(url) if trust_env else None,
        )
        return cls(session, url, _secrets(url, key))

    @staticmethod
    def load() -> None:
        """Import what is heavy: this takes seconds, in which an event loop would do nothing else."""
        import aiohttp
        import openai

        _ = aiohttp.ClientSession, openai.AsyncOpenAI

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        """One request; whatever comes of it is a ``HttpReply``. Errors and failures do not quote the key."""
        import aiohttp

        start = time.monotonic()
        posted = self._session.post(self._url, params=self._query, data=json.dumps(body).encode())
        try:
            async with posted as answer:
                content = await answer.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            why = redact(_root_message(error), self._secrets)
            return HttpReply(failure=_failure_of(error), why=why, latency_s=time.monotonic() - start)
        if answer.status >= 400 or b'"choices"' not in content:  # it will be told, maybe where the key is not known
            content = redact(content.decode("utf-8", "replace"), self._secrets).encode()
        headers = ((name.lower(), value) for name, value in answer.headers.items())
        return HttpReply(
            status=answer.status,
            headers={name: value for name, value in headers if name.startswith("retry-after")},
            content=content,
            latency_s=time.monotonic() - start,
        )

    async def close(self) -> None:
        await self._session.close()


class Client:
    """Asks one model, many requests at once.

    ``max_concurrency`` requests are in flight at most, those that wait for a retry included, so that a busy
    server is not pressed harder; the embedded model gets at most two for each of its slots. Connection
    errors, timeouts, malformed answers and the status codes 408, 409, 429 and 500 and above are tried up to
    ``max_attempts`` times in all, after ``Retry-After`` or an exponentially growing, jittered wait.
    A ``Retry-After`` holds back all requests of the client, the status codes 429, 503 and 529 let fewer of them out
    at a time, and the model's limits for a minute are kept: see `prompt_search.llm.rate_limit.Pace`.
    ``request_timeout`` is in seconds, for one attempt. ``on_attempt`` is awaited with the request before every
    attempt takes its turn, and may raise ``BudgetExceeded``. With an ``executor`` (see
    `prompt_search.llm.dask_executor`) attempts are sent by other processes, each of which may have
    ``max_concurrency`` in flight; ``on_capacity`` is told
    how many that are in all.

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
        self._slots = Slots(max_concurrency)
        self._pace = Pace(
            max_concurrency,
            requests_per_minute=model.requests_per_minute,
            tokens_per_minute=model.tokens_per_minute,
            clock=clock,
            sleep=sleep,
        )
        self._endpoint = ""
        self._secrets: tuple[str, ...] = ()
        self._answered = False

    async def __aenter__(self) -> Client:
        self._endpoint = self.model.endpoint
        self._secrets = self.model._secrets()
        self._transport = await self._executor.connect(
            self.model,
            max_concurrency=self._max_concurrency,
            request_timeout=self._request_timeout,
            on_capacity=self._resize,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    def _resize(self, size: int) -> None:
        """Have so many attempts in flight, at most."""
        self._slots.resize(size)
        self._pace.resize(size)
        if self._on_capacity is not None:
            self._on_capacity(size)

    async def complete(self, request: Request) -> Response:
        """The model's answer, or a ``Response`` whose ``error`` says why there is none.

        Raises ``ServerUnreachable`` when no connection can be made, ``RequestRefused`` for the status codes
        401, 402, 403 and 404 and for a used-up quota, ``BudgetExceeded`` from ``on_attempt`` when nothing was
        sent, and ``InputError`` for a request that is not meant for this client.
        """
        import tenacity

        self._check(request)
        body = {
            **request.parameters,
            "model": request.model,
            "messages": [m.to_dict() for m in request.messages],
        }
        sent = lost = 0

        async def attempt() -> Response:
            nonlocal sent, lost
            if self._on_attempt is not None:
                await self._on_attempt(request)
            sent += 1
            async with self._pace.turn(request) as turn:
                try:
                    response = await self._attempt(body)
                except _AttemptError as failure:
                    lost += failure.lost
                    turn.failed(no_capacity=failure.no_capacity, retry_after_s=failure.retry_after_s)
                    raise
                turn.answered(response.usage)
                return response

        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            stop=self._give_up,
            wait=self._wait_s,
            retry=tenacity.retry_if_exception_type(_AttemptError),
            reraise=True,
        )
        async with self._slots:
            start = self._clock()
            try:
                response: Response = await retrying(attempt)
            except BudgetExceeded as error:
                if sent == 0:
                    raise
                response = self._error(f"budget: {error}", self._clock() - start)
            except _AttemptError as failure:
                message = f"{failure} ({sent} attempt{'s' if sent > 1 else ''})"
                if failure.kind == "unreachable":
                    raise ServerUnreachable(message) from None
                response = self._error(f"{failure.kind}: {message}", self._clock() - start)
        return replace(response, attempts=sent, lost=lost) if sent > 1 or lost else response

    def _check(self, request: Request) -> None:
        if self._transport is None:
            raise InputError("the client is not open; use it as: async with Client(model) as client")
        if request.endpoint != self._endpoint:
            raise InputError(
                f"the request is for {request.endpoint} and the client for {self._endpoint}; "
                "make the request with endpoint=model.endpoint"
            )
        reserved = {"model", "messages", "stream"} & set(request.parameters)
        if reserved:
            raise InputError(f"request parameters may not hold {', '.join(sorted(reserved))}; leave them out")

    def _give_up(self, state: tenacity.RetryCallState) -> bool:
        failure = _failure(state)
        if failure.kind == "unreachable" and not self._answered:
            return state.attempt_number >= min(self._max_attempts, UNREACHED_ATTEMPTS)
        return state.attempt_number >= self._max_attempts or (failure.retry_after_s or 0) > LONGEST_RETRY_AFTER_S

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Seconds: the server's wish plus up to a tenth, else 0.5, 1, 2, ... 30, halved at most at random."""
        failure = _failure(state)
        if failure.retry_after_s is not None:
            return failure.retry_after_s * self._random.uniform(1.0, 1.1)
        exponential = FIRST_WAIT_S * 2.0 ** min(state.attempt_number - 1, 30)
        return min(exponential, LONGEST_WAIT_S) * self._random.uniform(0.5, 1.0)

    async def _attempt(self, body: Mapping[str, Any]) -> Response:
        """One request and its answer. Raises ``_AttemptError`` where another attempt may help."""
        assert self._transport is not None
        reply = await self._transport.send(body)
        if reply.failure is not None:
            raise self._connection_failure(reply.failure, reply.why)
        self._answered = True
        try:
            answer = json.loads(reply.content)
        except (ValueError, RecursionError):
            answer = reply.content.decode("utf-8", "replace")
            if reply.status < 400:
                raise _AttemptError("malformed", self._say(f"the answer is not JSON: {answer}")) from None
        status = reply.status if reply.status >= 400 else _error_status(answer)
        if status is not None:
            return self._refusal(status, answer, reply.headers)
        return self._read(answer, reply.latency_s)

    def _connection_failure(self, failure: Failure, why: str) -> _AttemptError:
        where = self._endpoint
        if failure == "unreachable":
            told = f"cannot connect to {where}: {why}; check the base URL and the server"
            return _AttemptError("unreachable", self._say(told), lost=False)
        if failure == "timeout":
            return _AttemptError("timeout", f"no answer from {where} within {self._request_timeout:g} s")
        if failure == "lost":
            return _AttemptError("server", self._say(f"the answer of {where} was lost: {why}"))
        return _AttemptError("server", self._say(f"the connection to {where} broke: {why}"))

    def _refusal(self, status: int, answer: object, headers: Mapping[str, str]) -> Response:
        """What an error status means: a response, an ``_AttemptError``, or the end of the run."""
        message, code = _server_message(answer)
        told = self._say(f"{self._endpoint} answered {status} for {self.model.name}: {message}")
        if status in (401, 402, 403, 404) or code == "insufficient_quota":
            remedy = _REMEDIES.get(status, _REMEDIES[429]).format(key=self.model._key_name())
            raise RequestRefused(f"{told}; {remedy}") from None
        if status in _RETRIED_STATUS or status >= 500:
            no_capacity, wish = status in _NO_CAPACITY_STATUS, _retry_after_s(headers)
            raise _AttemptError("server", told, lost=False, no_capacity=no_capacity, retry_after_s=wish) from None
        kind = "content_filter" if code == "content_filter" else "bad_request"
        return self._error(f"{kind}: {told}")

    def _read(self, answer: Any, latency_s: float) -> Response:
        """An answer that is cut off by the token limit is one: its text may say enough, and finish_reason tells."""
        try:
            if answer["choices"] == []:
                raise _AttemptError("empty", self._say(f"the answer has no choices: {_json(answer)}"))
            choice = answer["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content") or "", message.get("refusal")
            finish_reason = str(choice.get("finish_reason") or "")
            logprobs = _logprobs((choice.get("logprobs") or {}).get("content") or ())
            usage = _usage(answer.get("usage") or {})
            if not isinstance(text, str):
                raise TypeError(f"the content is a {type(text).__name__}, not a string")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            told = self._say(f"the answer is not a chat completion: {_json(answer)}")
            raise _AttemptError("malformed", told) from None
        error = None
        if finish_reason == "content_filter":
            error = "content_filter: the server withheld the answer"
        elif refusal:
            error = self._say(f"content_filter: the model refused: {refusal}")
        return Response(
            text=text,
            finish_reason=finish_reason,
            logprobs=logprobs,
            usage=usage,
            latency_s=latency_s,
            cost_usd=self.model.cost(usage),
            error=error,
        )

    def _error(self, error: str, latency_s: float = math.nan) -> Response:
        return Response(error=error, latency_s=latency_s, cost_usd=self.model.cost(Usage()))

    def _say(self, text: str) -> str:
        """``text`` fit for a message: on one line, without keys (redacted before anything is cut), short."""
        line = redact(" ".join(text.split()), self._secrets)
        return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 3]}..."


def published_cost(name: str, endpoint: str, usage: Usage) -> float:
    """US dollars at the published price (package ``genai-prices``); NaN when price or tokens are unknown.

    >>> published_cost("gpt-4o-mini", OPENAI_URL, Usage(prompt_tokens=1000, completion_tokens=10))
    0.000156
    """
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return math.nan
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=min(usage.cached_tokens or 0, usage.prompt_tokens),
    )
    try:
        return float(genai_prices.calc_price(counted, name, provider_api_url=endpoint).total_price)
    except LookupError:  # neither provider nor model is listed
        return math.nan


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with the given secrets, and whatever looks like a key, replaced.

    >>> redact("wrong key: sk-abc123def456, or hunter2", ["hunter2"])
    'wrong key: [key], or [key]'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[key]")
    return _KEY_PATTERN.sub("[key]", text)


def known_secrets(models: Iterable[Model] = ()) -> tuple[str, ...]:
    """The keys and passwords that no message may hold: those of the environment (``…API_KEY``, ``OPENAI_BASE_URL``) and
    of the models."""
    asked = [model for model in models if not model.is_local]
    names = {name for name in os.environ if name.endswith("API_KEY")} | {model._key_name() for model in asked}
    found = [secret for name in names for secret in _secrets("", os.environ.get(name, "").strip() or "unused")]
    for url in {os.environ.get("OPENAI_BASE_URL", "").strip(), *(model.base_url or "" for model in asked)}:
        with suppress(ValueError):  # what is no URL has no password that is told from the rest
            found += _secrets(url, "unused")
    return tuple(found)


def _basic_auth(url: str) -> dict[str, str]:
    """The header for user and password in a URL: the transport takes them nowhere else."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _proxy(url: str) -> str | None:
    """The proxy of the environment for a URL: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, but for ``NO_PROXY``.

    Raises:
        InputError: a proxy that does not speak HTTP.
    """
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme.lower(), proxies.get("all"))
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    if not proxy.lower().startswith(("http://", "https://")):
        raise InputError(
            f"a proxy must be a URL such as http://127.0.0.1:3128, the environment has {public_url(proxy)}; correct "
            f"it, or name {parts.hostname} in NO_PROXY"
        )
    return proxy


def _secrets(url: str, key: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    found = [value for _, value in parse_qsl(parts.query)] + [unquote(parts.password or ""), parts.password or ""]
    found += [] if key == "unused" else [key]
    return tuple(value for value in found if len(value) >= 4)  # shorter ones would blank ordinary words


def _json(answer: object) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _serve(model: Model) -> Any:
    from prompt_search.llm import local

    return local.serve(local.resolve(model.gguf), alias=model.name)


def _failure(state: tenacity.RetryCallState) -> _AttemptError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, _AttemptError)
    return error


def _server_message(answer: object) -> tuple[str, str]:
    """What an error says, and its code; servers send an object, or an object inside "error", or a text."""
    error = answer.get("error", answer) if isinstance(answer, Mapping) else answer
    if isinstance(error, Mapping):
        return str(error.get("message") or answer), str(error.get("code"))
    return str(error), ""


def _error_status(answer: object) -> int | None:
    """The status inside an answer that was sent as a success, as some gateways do."""
    error = answer.get("error") if isinstance(answer, Mapping) and not answer.get("choices") else None
    if not isinstance(error, Mapping):
        return None
    code = error.get("code")
    return code if isinstance(code, int) and code >= 400 else 500


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from ``retry-after-ms`` or ``retry-after`` (a number or an HTTP date); ``None`` if unusable."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        return seconds if seconds >= 0 and math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())


def _chain(error: BaseException) -> Iterable[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _root_message(error: BaseException) -> str:
    *_, root = _chain(error)
    return str(root) or type(root).__name__


def _failure_of(error: BaseException) -> Failure:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorError):
        return "unreachable"
    return "timeout" if isinstance(error, TimeoutError) else "broken"


def _logprobs(content: Iterable[Mapping[str, Any]]) -> tuple[TopLogprobs, ...]:
    return tuple(_position(entry) for entry in content)


def _position(entry: Mapping[str, Any]) -> TopLogprobs:
    """The alternatives at one position, likeliest first; the token itself where the server lists none."""
    listed = entry.get("top_logprobs") or [entry]
    pairs = [(str(top["token"]), float(top["logprob"])) for top in listed if top.get("logprob") is not None]
    return tuple(sorted((pair for pair in pairs if math.isfinite(pair[1])), key=lambda pair: -pair[1]))


def _usage(body: Mapping[str, Any]) -> Usage:
    details = body.get("prompt_tokens_details") or {}
    return Usage(
        prompt_tokens=_count(body.get("prompt_tokens")),
        completion_tokens=_count(body.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens")),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**53 else None
