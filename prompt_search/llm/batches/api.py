"""The files and batches of one model's server, asked through the ``openai`` package.

That package's own retries are off: a request that fails in a way that may pass is made again here, with tenacity.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

from prompt_search.errors import InputError, RequestRefused, ServerUnreachable
from prompt_search.llm.batches.lines import CHAT_PATH, Row, read_rows
from prompt_search.llm.client import basic_auth, growing_wait_s
from prompt_search.llm.model import Model, address_of, key_variable
from prompt_search.llm.redaction import public_url, redacted_line
from prompt_search.llm.replies.refusals import meaning
from prompt_search.llm.replies.retry_after import retry_after_s
from prompt_search.llm.replies.server_error import read_error

if TYPE_CHECKING:
    import openai
    import tenacity
    from openai.types import Batch

T = TypeVar("T")

TIMEOUT_S: Final = 300.0
"""Seconds that an upload or a download may take."""

MOST_ATTEMPTS: Final = 6
"""Number of attempts of one request for which nothing is lost yet."""

MOST_LOOKS: Final = 150
"""Number of attempts of one request about a batch that is being paid for: they go on for more than an hour."""

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""The statuses in which a batch stays."""

PAGE: Final = 100
"""Number of batches in one page of the list: the most that OpenAI gives."""

CLOCKS_S: Final = 86_400.0
"""Seconds by which the clock of a server may be behind this machine's, where the list of batches is searched."""

_ACCOUNT: Final = {
    "key": "check the key in {key}",
    "payment": "check the account's balance",
    "access": "check that the key in {key} may send batches",
    "quota": "check the account's quota and billing",
}
"""What to do about refusals that concern the account, by their meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """Where a batch stands at its server.

    Attributes:
        id: its identifier.
        status: as the API names it; see `ENDED`.
        answered: number of requests that have a reply.
        files: identifiers of the files with replies.
        problem: why it failed, in the server's words; "" where it did not.
        retry_after_s: seconds after which the server wants to be asked again; None where it does not say.
    """

    id: str
    status: str
    answered: int = 0
    files: tuple[str, ...] = ()
    problem: str = ""
    retry_after_s: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED


class NoBatches(RequestRefused):
    """The server takes no batches, or not this one: none was made."""


class _Passing(Exception):
    """A request failed in a way that may pass."""

    def __init__(self, message: str, wait_s: float | None, *, unreachable: bool) -> None:
        super().__init__(message)
        self.wait_s = wait_s
        self.unreachable = unreachable


class _Refused(Exception):
    """A request was refused for good; ``status`` is the HTTP status, 0 for a reply that is of no such API."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BatchApi:
    """The files and batches of one model's server.

    Args:
        model: the model.
        sleep: waits between two attempts.
        seed: for the random part of these waits.

    Use as ``async with BatchApi(model) as api``.
    """

    def __init__(
        self, model: Model, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, seed: int = 0
    ) -> None:
        self._model = model
        self._endpoint = model.endpoint
        self._sleep = sleep
        self._random = random.Random(seed)
        self._client: openai.AsyncOpenAI | None = None
        self._secrets: tuple[str, ...] = ()

    async def __aenter__(self) -> BatchApi:
        import httpx2
        import openai

        address = address_of(self._model)
        self._secrets = address.secrets
        headers = {**basic_auth(address.url), **address.headers}
        absent = [name for name, value in headers.items() if not value]

        async def without_absent(request: httpx2.Request) -> None:
            for name in absent:  # the openai package sends a key in any case
                request.headers.pop(name, None)

        self._client = openai.AsyncOpenAI(
            base_url=public_url(address.url),
            api_key=address.key,
            default_headers={name: value for name, value in headers.items() if value},
            default_query={**dict(parse_qsl(urlsplit(address.url).query)), **address.query},
            max_retries=0,
            timeout=TIMEOUT_S,
            http_client=httpx2.AsyncClient(
                verify=address.url.lower().startswith("https:"),  # certificates take as long to read as 50 requests
                timeout=TIMEOUT_S,
                follow_redirects=False,
                event_hooks={"request": [without_absent]},
            ),
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._opened.close()

    @property
    def _opened(self) -> openai.AsyncOpenAI:
        if self._client is None:
            raise InputError("the API is not open; use it as: async with BatchApi(model) as api")
        return self._client

    async def upload(self, name: str, content: bytes) -> str:
        """The identifier of a new input file.

        Raises:
            NoBatches: the server has no such API, or refuses the file.
            RequestRefused: it refuses the account, or fails again and again.
            ServerUnreachable: no connection can be made.
        """

        async def attempt() -> str:
            file = await self._opened.files.create(file=(f"{name}.jsonl", content), purpose="batch")
            return _identifier(file)

        try:
            return await self._persistently("POST /files", attempt)
        except _Refused as error:
            raise self._no_batches(error) from None

    async def create(self, file: str, since: float) -> BatchState:
        """A new batch of an input file, which is made once however often an attempt is answered with an error.

        Args:
            file: the input file.
            since: as for `find`.

        Raises:
            NoBatches, RequestRefused, ServerUnreachable: as `upload`.
        """
        tried = False

        async def attempt() -> BatchState:
            nonlocal tried
            if tried and (found := await self.find(file, since)) is not None:
                return found
            tried = True
            batch = await self._opened.batches.create(input_file_id=file, endpoint=CHAT_PATH, completion_window="24h")
            return self._state(batch, {})

        try:
            return await self._persistently("POST /batches", attempt)
        except _Refused as error:
            raise self._no_batches(error) from None

    async def find(self, file: str, since: float) -> BatchState | None:
        """The batch of an input file, if one was made; None also where the server lists none.

        Args:
            file: the input file.
            since: seconds since 1970 when the file was made.
        """
        try:
            return await self._persistently("GET /batches", lambda: self._found(file, since), MOST_LOOKS)
        except _Refused:
            return None

    async def _found(self, file: str, since: float) -> BatchState | None:
        async for batch in self._opened.batches.list(limit=PAGE):
            if batch.input_file_id == file:
                return self._state(batch, {})
            if isinstance(batch.created_at, int | float) and batch.created_at < since - CLOCKS_S:
                return None
        return None

    async def state(self, batch: str) -> BatchState | None:
        """Where a batch stands; None where the server does not know it any more."""

        async def attempt() -> BatchState:
            raw = await self._opened.batches.with_raw_response.retrieve(batch)
            return self._state(raw.parse(), raw.headers)

        try:
            return await self._persistently("GET /batches/…", attempt, MOST_LOOKS)
        except _Refused as error:
            if error.status in (404, 410):
                return None
            raise self._no_batches(error) from None

    async def rows(self, state: BatchState) -> dict[str, Row]:
        """What the files of a batch say of each request, by its key; a file that is gone says nothing."""

        contents = []
        for file in state.files:

            async def attempt(file: str = file) -> bytes:
                content: bytes = (await self._opened.files.content(file)).content
                return content

            try:
                contents.append(await self._persistently("GET /files/…/content", attempt, MOST_LOOKS))
            except _Refused:
                continue
        return read_rows(contents, self._secrets)

    def _state(self, batch: Batch, headers: Mapping[str, str]) -> BatchState:
        counts, errors = batch.request_counts, batch.errors
        told = [error.message or error.code or "" for error in (errors.data or [] if errors else [])]
        lower = {name.lower(): value for name, value in headers.items()}
        return BatchState(
            id=_identifier(batch),
            status=str(batch.status).lower(),
            answered=counts.completed + counts.failed if counts else 0,
            files=tuple(file for file in (batch.output_file_id, batch.error_file_id) if file),
            problem=self._line("; ".join(filter(None, told))),
            retry_after_s=retry_after_s(200, lower, None, "", time.time),
        )

    async def _persistently(self, what: str, attempt: Callable[[], Awaitable[T]], most: int = MOST_ATTEMPTS) -> T:
        """What a request gives, tried again while it fails in a way that may pass."""
        import tenacity

        async def once() -> T:
            return await self._once(what, attempt)

        retrying = tenacity.AsyncRetrying(
            sleep=self._sleep,
            stop=tenacity.stop_after_attempt(most),
            wait=self._wait_s,
            retry=tenacity.retry_if_exception_type(_Passing),
            reraise=True,
        )
        try:
            return await retrying(once)
        except _Passing as error:
            raise (ServerUnreachable if error.unreachable else RequestRefused)(str(error)) from None

    async def _once(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        import openai

        try:
            return await attempt()
        except openai.APIStatusError as error:
            raise self._of_status(what, error) from None
        except openai.APIConnectionError as error:  # a timeout, too
            cause = error.__cause__ or error
            message = f"cannot reach {self._endpoint} ({what}): {cause or type(cause).__name__}"
            raise _Passing(self._line(message), None, unreachable=True) from None
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:  # a reply of another shape
            raise _Refused(self._line(f"{what} was answered with something else: {error}"), 0) from None

    def _of_status(self, what: str, error: openai.APIStatusError) -> Exception:
        """What a refusal means: a reason to try again, or the end of the run."""
        told = read_error(error.status_code, error.response.content)
        means = meaning(told)
        message = self._line(f"{what} answered {told.status}: {told.message}")
        if means == "passing" and told.status not in (501, 505):
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            wait_s = retry_after_s(told.status, headers, error.body, told.message, time.time)
            return _Passing(f"{self._endpoint}: {message}", wait_s, unreachable=False)
        if means in _ACCOUNT:
            return RequestRefused(
                f"{self._endpoint}: {message}; {_ACCOUNT[means].format(key=key_variable(self._model))}"
            )
        return _Refused(message, told.status)

    def _no_batches(self, error: _Refused) -> NoBatches:
        return NoBatches(
            f"{self._endpoint} takes no batches of {self._model.name} ({error}); leave out batch=True (--batch), which "
            "sends requests one by one at the full price"
        )

    def _line(self, text: str) -> str:
        return redacted_line(text, self._secrets)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt: as the server wants, else growing."""
        assert state.outcome is not None
        error = state.outcome.exception()
        assert isinstance(error, _Passing)
        if error.wait_s is not None:
            return error.wait_s * self._random.uniform(1.0, 1.1)
        return growing_wait_s(state.attempt_number, self._random)


def _identifier(made: Any) -> str:
    """The identifier of a file or a batch.

    Raises:
        ValueError: the server's reply has none.
    """
    found = getattr(made, "id", None)
    if not isinstance(found, str) or not found:
        raise ValueError("it has no id")
    return found


def check_batches(batch: object, models: Iterable[Model]) -> None:
    """Refuse batches that cannot be sent.

    Args:
        batch: whether requests are to be sent in batches.
        models: the models that they are for.

    Raises:
        InputError: it is neither True nor False, or this process serves a model itself.
    """
    if not isinstance(batch, bool):
        raise InputError(f"batch must be True or False, got {batch!r}; give one of them")
    for model in models if batch else ():
        if model.is_local:
            raise InputError(
                f"the model {model.name} is served in this process, which has no batches and costs nothing; leave out "
                "batch=True (--batch)"
            )
