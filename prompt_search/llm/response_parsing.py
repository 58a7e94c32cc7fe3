"""What one attempt came to, as a `Response`: an answer, an error of this request, or a reason to try again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

from prompt_search.errors import RequestRefused
from prompt_search.llm.dialect.refusals import lesson_of_refusal
from prompt_search.llm.dialect.room import lesson_of_answer
from prompt_search.llm.messages import Request, Response, TopLogprobs, Usage
from prompt_search.llm.model import Model, key_variable, model_secrets
from prompt_search.llm.redaction import redacted_line
from prompt_search.llm.server_error import ServerError
from prompt_search.llm.transport import Failure, HttpReply

_RETRIED_STATUS = frozenset({408, 409, 429})
_NO_CAPACITY_STATUS = frozenset({429, 503, 529})
_REMEDIES = {
    401: "check the key in {key}",
    402: "check the account's balance",
    403: "check that the key in {key} may use this model",
    404: "check the model's name, and that the base URL is the one that ends before /chat/completions",
}
_QUOTA_REMEDY = "check the account's quota and billing"


class AttemptError(Exception):
    """An attempt failed in a way that may not repeat.

    Attributes:
        kind: the kind of error, as in `Response`; or ``unreachable``.
        lost: whether the server may have worked on the request without reporting what it used.
        no_capacity: whether the server reported that it has no capacity.
        retry_after_s: seconds after which the server wants to be asked again.
    """

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
        self.no_capacity = no_capacity
        self.retry_after_s = retry_after_s


class ResponseParser:
    """Reads the replies of one model's server.

    Args:
        model: the model, for prices and for the names in messages.
        endpoint: the server's public address.
        request_timeout: seconds that an attempt may take, for messages.
    """

    def __init__(self, model: Model, endpoint: str, request_timeout: float) -> None:
        self._model = model
        self._endpoint = endpoint
        self._request_timeout = request_timeout
        self._secrets = model_secrets(model)

    def parse(self, reply: HttpReply, request: Request) -> Response:
        """The response that a reply holds.

        Raises:
            AttemptError: another attempt may succeed.
            RequestRefused: no attempt of any request will.
        """
        if reply.failure is not None:
            raise self._connection_error(reply.failure, reply.why)
        try:
            answer = json.loads(reply.content)
        except (ValueError, RecursionError):
            answer = reply.content.decode("utf-8", "replace")
            if reply.status < 400:
                raise AttemptError("malformed", self._line(f"the response is not JSON: {answer}")) from None
        status = reply.status if reply.status >= 400 else _error_status(answer)
        if status is not None:
            return self._refused(status, answer, reply.headers, request)
        response = self._answer(answer, reply.latency_s)
        return replace(response, lesson=lesson_of_answer(request, response))

    def error(self, error: str, latency_s: float = math.nan) -> Response:
        """A response without an answer."""
        return Response(error=error, latency_s=latency_s, cost_usd=self._model.cost(Usage()))

    def _line(self, text: str) -> str:
        return redacted_line(text, self._secrets)

    def _connection_error(self, failure: Failure, why: str) -> AttemptError:
        where = self._endpoint
        if failure == "unreachable":
            message = f"cannot connect to {where}: {why}; check the base URL and the server"
            return AttemptError("unreachable", self._line(message), lost=False)
        if failure == "timeout":
            return AttemptError("timeout", f"no response from {where} within {self._request_timeout:g} s")
        if failure == "lost":
            return AttemptError("server", self._line(f"the response of {where} was lost: {why}"))
        return AttemptError("server", self._line(f"the connection to {where} broke: {why}"))

    def _refused(self, status: int, answer: object, headers: Mapping[str, str], request: Request) -> Response:
        """What an error status means: an error of this request, a reason to try again, or the end of the run."""
        reason, code = _server_message(answer)
        message = self._line(f"{self._endpoint} answered {status} for {self._model.name}: {reason}")
        param = (
            answer.get("error", answer).get("param")
            if isinstance(answer, Mapping) and isinstance(answer.get("error", answer), Mapping)
            else ""
        )
        error = ServerError(status=status, message=reason, code=code, param=str(param or ""))
        lesson = lesson_of_refusal(request, error)
        if lesson is not None:
            lesson = replace(lesson, reason=self._line(lesson.reason))
            return replace(self.error(f"bad_request: {message}"), lesson=lesson)
        if status in _REMEDIES or code == "insufficient_quota":
            remedy = _REMEDIES.get(status, _QUOTA_REMEDY).format(key=key_variable(self._model))
            raise RequestRefused(f"{message}; {remedy}") from None
        if status in _RETRIED_STATUS or status >= 500:
            raise AttemptError(
                "server",
                message,
                lost=False,
                no_capacity=status in _NO_CAPACITY_STATUS,
                retry_after_s=_retry_after_s(headers),
            ) from None
        kind = "content_filter" if code == "content_filter" else "bad_request"
        return self.error(f"{kind}: {message}")

    def _answer(self, answer: Any, latency_s: float) -> Response:
        """A chat completion. One that the token limit cut off is an answer, too: its text may say enough, and
        ``finish_reason`` reports the cut."""
        try:
            if answer["choices"] == []:
                raise AttemptError("empty", self._line(f"the response has no choices: {_json(answer)}"))
            choice = answer["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content") or "", message.get("refusal")
            finish_reason = str(choice.get("finish_reason") or "")
            logprobs = _logprobs((choice.get("logprobs") or {}).get("content") or ())
            usage = _usage(answer.get("usage") or {})
            if not isinstance(text, str):
                raise TypeError(f"the content is a {type(text).__name__}, not a string")
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise AttemptError(
                "malformed", self._line(f"the response is not a chat completion: {_json(answer)}")
            ) from None
        error = None
        if finish_reason == "content_filter":
            error = "content_filter: the server withheld the answer"
        elif refusal:
            error = self._line(f"content_filter: the model refused: {refusal}")
        return Response(
            text=text,
            finish_reason=finish_reason,
            logprobs=logprobs,
            usage=usage,
            latency_s=latency_s,
            cost_usd=self._model.cost(usage),
            error=error,
        )


def _json(answer: object) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _server_message(answer: object) -> tuple[str, str]:
    """The message of an error, and its code; servers send an object, or an object inside "error", or a text."""
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
