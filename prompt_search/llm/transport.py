"""One HTTP attempt: what makes it, and what it comes to.

A `Transport` sends single requests and knows nothing of retries, budgets and limits. An `Executor` opens transports;
it is the seam at which attempts leave this package: into the event loop's own connections (``llm.client.InProcess``),
to the workers of a cluster (``llm.dask_executor``), or to a function in a test
(``prompt_search.testing.InProcessExecutor``).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable
from urllib.parse import parse_qsl, urljoin, urlsplit

from prompt_search.errors import InputError
from prompt_search.llm.model import Model
from prompt_search.llm.redaction import public_url, redact, secrets_in
from prompt_search.llm.replies.retry_after import is_kept
from prompt_search.llm.replies.without_secrets import answer_without_secrets, error_without_secrets, in_utf8

if TYPE_CHECKING:
    import aiohttp

IDLE_S: Final = 4.0
"""Seconds for which an idle connection is kept open: fewer than servers keep it, which is mostly 5."""

LONGEST_REPLY: Final = 16_000_000
"""Number of bytes, after decompression, up to which a reply is read: 16,384 tokens with 20 log-probabilities each take
less than half of them."""

Failure = Literal["unreachable", "timeout", "broken", "lost", "too long"]
"""Why an attempt has no answer: no connection was made, none came in time, the connection broke, the process that had
sent it was lost, or the reply did not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What one attempt came to: an HTTP status with the raw answer, or a ``failure`` with what is known of it.

    ``headers`` are those of an error that say when to ask again, with names in lower case. ``latency_s`` is in seconds,
    measured where the attempt was made.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    latency_s: float = math.nan
    failure: Failure | None = None
    why: str = ""


class Transport(Protocol):
    """Makes attempts, one HTTP request each."""

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        """Make one attempt with the body of a chat completion request."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Where attempts are made.

    ``isinstance(value, Executor)`` tells an executor from the other things that users give as one (an address, a
    cluster's client).
    """

    async def connect(
        self, model: Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        """A transport to a model's server.

        Args:
            model: the model.
            max_concurrency: number of attempts that one process may have in flight.
            request_timeout: seconds that one attempt may take.
            on_capacity: the executor calls it with the number of attempts that may be in flight in all, where that
                differs from ``max_concurrency``, and again whenever it changes.
        """
        ...


class HttpTransport:
    """The connections of this process to one server."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, query: Mapping[str, str], secrets: Iterable[str]
    ) -> None:
        self._session = session
        self._url = f"{public_url(url)}/chat/completions"
        self._query = {**dict(parse_qsl(urlsplit(url).query)), **query}
        self._secrets = tuple(secrets)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        secrets: Iterable[str],
        request_timeout: float,
        trust_env: bool = True,
    ) -> HttpTransport:
        """Open a session.

        Args:
            url: the base URL; its query is sent with every request.
            headers: the headers of every request.
            query: what is added to that of the URL.
            secrets: what no reply may quote.
            request_timeout: seconds that one attempt may take.
            trust_env: whether the proxy of the environment is used.

        Raises:
            InputError: the proxy of the environment does not speak HTTP.
        """
        import aiohttp
        import httpx2

        secure = url.lower().startswith("https:")
        proxy = environment_proxy(url) if trust_env else None
        session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=IDLE_S,
                ssl=httpx2.create_ssl_context() if secure else True,  # this takes as long as 50 requests
            ),
            timeout=aiohttp.ClientTimeout(total=request_timeout),
            proxy=proxy,
        )
        return cls(session, url, query, [*secrets, *secrets_in(proxy or "")])

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        """Make one attempt. No reply quotes a secret: it may be read by a process that does not know them.

        A server that sends the request on to another address is not followed: the budget would not know of the
        requests there, and another server would get the prompts.
        """
        import aiohttp

        start = time.monotonic()
        data = json.dumps(body).encode()
        posted = self._session.post(self._url, params=self._query, data=data, allow_redirects=False)
        try:
            async with posted as answer:
                content = await _read(answer)
        except (TimeoutError, aiohttp.ClientError, _TooLong) as error:
            why = redact(_root_message(error), self._secrets)
            return HttpReply(failure=_failure_of(error), why=why, latency_s=time.monotonic() - start)
        content, headers = in_utf8(content), dict[str, str]()
        if 300 <= answer.status < 400:
            content = _address(self._url, answer.headers.get("Location", "")).encode()
        if answer.status >= 300 or b'"choices"' not in content:
            content = error_without_secrets(content, self._secrets)
            headers = {name.lower(): value for name, value in answer.headers.items() if is_kept(name.lower())}
        else:
            content = answer_without_secrets(content, self._secrets)
        return HttpReply(
            status=answer.status,
            headers=headers,
            content=content,
            latency_s=time.monotonic() - start,
        )

    async def close(self) -> None:
        await self._session.close()


def _address(url: str, location: str) -> str:
    """Where a server sends a request on to, without secrets; in words where it is no URL.

    >>> _address("http://models.example/v1", "http://[")
    'an address that is no URL'
    """
    try:
        return public_url(urljoin(url, location))
    except ValueError:  # such as a broken IPv6 address
        return "an address that is no URL"


class _TooLong(Exception):
    """A reply is longer than any answer can be."""


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The decoded body of a reply.

    Raises:
        _TooLong: it is longer than `LONGEST_REPLY`.
    """
    chunks, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > LONGEST_REPLY:
            raise _TooLong(f"it is longer than {LONGEST_REPLY / 1e6:.0f} MB")
        chunks.append(chunk)
    return b"".join(chunks)


def environment_proxy(url: str) -> str | None:
    """The proxy of the environment for a URL: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, but for ``NO_PROXY``.

    Raises:
        InputError: the proxy does not speak HTTP.
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


def _failure_of(error: BaseException) -> Failure:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorError):
        return "unreachable"
    if isinstance(error, _TooLong):
        return "too long"
    return "timeout" if isinstance(error, TimeoutError) else "broken"


def _root_message(error: BaseException) -> str:
    """The message of the error that caused all others."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__
