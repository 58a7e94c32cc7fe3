"""Models and the client that asks them: the only module that knows the ``openai`` package.

Any server that speaks OpenAI's chat completions works. A request that fails for a while is retried here and
nowhere else; one that fails for good comes back as a ``Response`` with ``error`` set, so that one bad row
does not end a run; only what no row can survive is raised.
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
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from .completion import Request, Response, TopLogprobs, Usage
from .errors import BudgetExceeded, InputError, RequestRefused, ServerUnreachable

if TYPE_CHECKING:
    import openai
    import tenacity

OPENAI_URL: Final = "https://api.openai.com/v1"

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
LONGEST_RETRY_AFTER_S: Final = 120.0
"""A server that asks for more patience than this is not waited for."""

UNREACHED_ATTEMPTS: Final = 3
"""Attempts to reach a server that has never answered: a wrong address should not take half a minute."""

LONGEST_MESSAGE: Final = 500
"""Characters of an error message."""

_RETRIED_STATUS = frozenset({408, 409, 429})
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
    replaces the published price.

    >>> Model("gpt-4o-mini", base_url="https://user:secret@example.org/v1/?key=secret").endpoint
    'https://example.org/v1'
    """

    name: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    gguf: str | None = field(default=None, kw_only=True)
    price: Price | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("a model needs a name, got an empty one; for example gpt-4o-mini, or local")
        if self.gguf is not None and (self.base_url is not None or self.api_key_env is not None):
            raise InputError("an embedded model has no base_url and no key; give either gguf or base_url")
        if self.base_url is not None:
            _check_url(self.base_url, "base_url")

    def __repr__(self) -> str:
        shown = {
            "base_url": None if self.base_url is None else public_url(self.base_url),
            "api_key_env": self.api_key_env,
            "gguf": self.gguf,
            "price": self.price,
        }
        parts = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        return f"Model({', '.join([repr(self.name), *parts])})"

    @classmethod
    def local(cls, gguf: str | None = None) -> Model:
        """The embedded model, or another GGUF file by path or Hugging Face name (see ``local.resolve``).

        >>> Model.local()
        Model('SmolLM2-135M-Instruct', gguf='SmolLM2-135M-Instruct')
        """
        from . import local

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
        from . import local

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

    def __init__(self, kind: str, message: str, *, retry_after_s: float | None = None, lost: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.lost = lost
        """Whether the server may have worked on the request without our learning what it used."""


class Client:
    """Asks one model, many requests at once.

    ``max_concurrency`` requests are in flight at most, those that wait for a retry included, so that a busy
    server is not pressed harder; the embedded model gets at most two for each of its slots. Connection
    errors, timeouts, malformed answers and the status codes 408, 409, 429 and 500 and above are tried up to
    ``max_attempts`` times in all, after ``Retry-After`` or an exponentially growing, jittered wait.
    ``request_timeout`` is in seconds, for one attempt. ``on_attempt`` is awaited with the request just before
    every attempt is sent and may raise ``BudgetExceeded``.

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
        self._api: openai.AsyncOpenAI | None = None
        self._slots = asyncio.Semaphore(max_concurrency)
        self._endpoint = ""
        self._secrets: tuple[str, ...] = ()
        self._answered = False

    async def __aenter__(self) -> Client:
        import openai

        if self.model.is_local:
            server = await asyncio.to_thread(_serve, self.model)
            url, key = server.base_url, "unused"
            # Requests that queue in the server would use up their time there.
            self._slots = asyncio.Semaphore(min(self._max_concurrency, 2 * server.slots))
        else:
            url, key = self.model._url(), self.model._key()
        self._endpoint = self.model.endpoint
        self._secrets = _secrets(url, key)
        self._api = openai.AsyncOpenAI(
            base_url=public_url(url),
            api_key=key,
            default_headers=_basic_auth(url),
            default_query=dict(parse_qsl(urlsplit(url).query)),
            max_retries=0,
            timeout=self._request_timeout,
            http_client=openai.DefaultAioHttpClient(trust_env=not self.model.is_local),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

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
            try:
                return await self._attempt(body)
            except _AttemptError as failure:
                lost += failure.lost
                raise

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
                response = Response(error=f"budget: {error}", latency_s=self._clock() - start)
            except _AttemptError as failure:
                message = f"{failure} ({sent} attempt{'s' if sent > 1 else ''})"
                if failure.kind == "unreachable":
                    raise ServerUnreachable(message) from None
                response = Response(error=f"{failure.kind}: {message}", latency_s=self._clock() - start)
        return replace(response, attempts=sent, lost=lost, cost_usd=self.model.cost(response.usage))

    def _check(self, request: Request) -> None:
        if self._api is None:
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
        import httpx2
        import openai

        assert self._api is not None
        start = self._clock()
        # Errors are raised "from None": their causes may quote the key, and a traceback shows causes.
        try:
            async with asyncio.timeout(self._request_timeout):  # the transport bounds each read only
                raw = await self._api.post("/chat/completions", body=body, cast_to=httpx2.Response)
        except (TimeoutError, openai.APIConnectionError) as error:
            raise self._connection_failure(error) from None
        except openai.APIStatusError as error:
            self._answered = True
            message = _server_message(error.body, error.message)
            return self._refusal(error.status_code, message, str(error.code), error.response.headers)
        self._answered = True
        try:
            answer = json.loads(raw.content)
        except ValueError:
            told = self._say(f"the answer is not JSON: {raw.text}")
            raise _AttemptError("malformed", told) from None
        status = _error_status(answer)
        if status is not None:
            return self._refusal(status, _server_message(answer, ""), "", {})
        return replace(self._read(answer), latency_s=self._clock() - start)

    def _connection_failure(self, error: BaseException) -> _AttemptError:
        where = self._endpoint
        if _never_connected(error):
            why = f"cannot connect to {where}: {_root_message(error)}; check the base URL and the server"
            return _AttemptError("unreachable", self._say(why), lost=False)
        if "TimeoutError" in _class_names(error):
            return _AttemptError("timeout", f"no answer from {where} within {self._request_timeout:g} s")
        return _AttemptError("server", self._say(f"the connection to {where} broke: {_root_message(error)}"))

    def _refusal(self, status: int, message: str, code: str, headers: Mapping[str, str]) -> Response:
        """What an error status means: a response, an ``_AttemptError``, or the end of the run."""
        told = self._say(f"{self._endpoint} answered {status} for {self.model.name}: {message}")
        if status in (401, 402, 403, 404) or code == "insufficient_quota":
            remedy = _REMEDIES.get(status, _REMEDIES[429]).format(key=self.model._key_name())
            raise RequestRefused(f"{told}; {remedy}") from None
        if status in _RETRIED_STATUS or status >= 500:
            raise _AttemptError("server", told, retry_after_s=_retry_after_s(headers), lost=False) from None
        kind = "content_filter" if code == "content_filter" else "bad_request"
        return Response(error=f"{kind}: {told}")

    def _read(self, answer: Any) -> Response:
        try:
            choice = answer["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content") or "", message.get("refusal")
            finish_reason = str(choice.get("finish_reason") or "")
            logprobs = _logprobs((choice.get("logprobs") or {}).get("content") or ())
            usage = _usage(answer.get("usage") or {})
            if not isinstance(text, str):
                raise TypeError(f"the content is a {type(text).__name__}, not a string")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            told = self._say(f"the answer is not a chat completion: {json.dumps(answer, ensure_ascii=False)}")
            raise _AttemptError("malformed", told) from None
        error_text = None
        if finish_reason == "content_filter":
            error_text = "content_filter: the server withheld the answer"
        elif refusal:
            error_text = self._say(f"content_filter: the model refused: {refusal}")
        return Response(text=text, finish_reason=finish_reason, logprobs=logprobs, usage=usage, error=error_text)

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


def _basic_auth(url: str) -> dict[str, str]:
    """The header for user and password in a URL: the transport takes them nowhere else."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _secrets(url: str, key: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    found = [value for _, value in parse_qsl(parts.query)] + [unquote(parts.password or ""), parts.password or ""]
    found += [] if key == "unused" else [key]
    return tuple(value for value in found if len(value) >= 4)  # shorter ones would blank ordinary words


def _serve(model: Model) -> Any:
    from . import local

    return local.serve(local.resolve(model.gguf), alias=model.name)


def _failure(state: tenacity.RetryCallState) -> _AttemptError:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, _AttemptError)
    return error


def _server_message(body: object, fallback: str) -> str:
    if isinstance(body, Mapping):
        inner = body.get("error")
        message = body.get("message") or (inner.get("message") if isinstance(inner, Mapping) else inner)
        return str(message or fallback or body)
    return str(body or fallback)


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


def _root(error: BaseException) -> BaseException:
    return list(_chain(error))[-1]


def _root_message(error: BaseException) -> str:
    root = _root(error)
    return str(root) or type(root).__name__


def _class_names(error: BaseException) -> set[str]:
    """Names of the classes of an error and its causes, down to the transport's: openai and its transport
    call a refused connection and a broken one timeouts too."""
    return {base.__name__ for cause in _chain(error) for base in type(cause).__mro__}


def _never_connected(error: BaseException) -> bool:
    return bool(_class_names(error) & {"ClientConnectorError", "ConnectionTimeoutError", "ConnectError"})


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
    return value if isinstance(value, int) and value >= 0 else None
