"""What one attempt came to, as a `Response`: an answer, an error of this request, or a reason to try again.

Answers are read in `prompt_search.llm.replies`, errors in `prompt_search.llm.replies.server_error`.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from prompt_search.errors import RequestRefused
from prompt_search.llm.address.base_url import has_version, other_url
from prompt_search.llm.dialect.answer_lessons import lesson_of_answer
from prompt_search.llm.dialect.refusal_lessons import lesson_of_refusal
from prompt_search.llm.messages import Request, Response, Usage
from prompt_search.llm.model import Model, key_variable, model_secrets
from prompt_search.llm.redaction import redacted_line
from prompt_search.llm.replies.bodies import UnreadableBody, body_text, mapping, read_body, shown, whole_characters
from prompt_search.llm.replies.completion_reading import Completion, NotUnderstood, read_choice
from prompt_search.llm.replies.refusals import NO_CAPACITY_STATUS, meaning
from prompt_search.llm.replies.retry_after import retry_after_s
from prompt_search.llm.replies.server_error import ServerError, is_error, read_error
from prompt_search.llm.replies.tool_calls import read_tool_calls
from prompt_search.llm.replies.usage_reading import read_usage
from prompt_search.llm.transport import Failure, HttpReply

MOST_PAGES: Final = 6
"""Number of web pages in a row that are taken for a passing fault of a server that has answered before."""

LONGEST_TEXT: Final = 1_000_000
"""Number of characters up to which an answer is kept: more than any model writes. All that reads, stores or shows
answers has many of them in memory."""

_NO_ROOM: Final = re.compile(r"could not finish the message because max_tokens", re.IGNORECASE)
"""Words of OpenAI where a model has spent all of its tokens on reasoning."""

_REMEDIES: Final = {
    "key": "check the key in {key}",
    "payment": "check the account's balance",
    "access": "check that the key in {key} may use this model",
    "model": (
        "check the model's name (on the command line -m, or --propose), and that the base URL is the one that ends "
        "before /chat/completions"
    ),
    "quota": "check the account's quota and billing",
}
"""What to do about refusals that end the run, by their meaning."""


class AttemptError(Exception):
    """An attempt failed in a way that may not repeat.

    Attributes:
        kind: the kind of error, as in `Response`; or ``unreachable``.
        lost: whether the server may have worked on the request without reporting what it used.
        no_capacity: whether the server reported that it has no capacity.
        retry_after_s: seconds after which the server wants to be asked again.
        status: the status of the server's refusal; None where the attempt failed otherwise.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        lost: bool = True,
        no_capacity: bool = False,
        retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.lost = lost
        self.no_capacity = no_capacity
        self.retry_after_s = retry_after_s
        self.status = status


class ResponseParser:
    """Reads the replies of one model's server.

    Args:
        model: the model, for prices and for the names in messages.
        endpoint: the server's public address.
        request_timeout: seconds that an attempt may take, for messages.
        now: seconds since 1970, for moments at which a server wants to be asked again.
    """

    def __init__(
        self, model: Model, endpoint: str, request_timeout: float, now: Callable[[], float] = time.time
    ) -> None:
        self._model = model
        self._endpoint = endpoint
        self._request_timeout = request_timeout
        self._now = now
        self._secrets = model_secrets(model)
        other = other_url(endpoint)
        self._other_url = "" if other is None else f"; it may be {other}"
        self._pages = MOST_PAGES
        """Number of web pages since the last answer. A server that never answered may be none for chat at all."""

    def parse(self, reply: HttpReply, request: Request) -> Response:
        """The response that a reply to a request holds.

        Raises:
            AttemptError: another attempt may succeed.
            RequestRefused: no attempt of any request will.
        """
        if reply.failure == "too long":
            return self._lost(self._line(f"malformed: the response of {self._endpoint}: {reply.why}"), reply, Usage())
        if reply.failure is not None:
            raise self._connection_error(reply.failure, reply.why)
        if 300 <= reply.status < 400:
            raise self._sent_on(reply)
        if reply.status >= 400:
            return self._refused(request, read_error(reply.status, reply.content), reply)
        try:
            body = read_body(reply.content)
            if is_error(body):
                return self._refused(request, read_error(reply.status, body), reply, body)
            return self._answer(request, body, reply)
        except UnreadableBody as unreadable:
            return self._unreadable(unreadable, reply)
        except RecursionError:  # JSON that Python can read, but whose levels are too many to look into
            return self._unreadable(UnreadableBody("deep"), reply)

    def _sent_on(self, reply: HttpReply) -> RequestRefused:
        """The error that the server wants the request to be sent to another address."""
        other = self._line(body_text(reply.content)).removesuffix("/chat/completions")
        return RequestRefused(
            f"{self._endpoint} answered {reply.status}, which sends requests on to {other}; they are not sent there, "
            "because no budget would count them: give that address as the base URL if it is right"
        )

    def error(self, error: str, latency_s: float = math.nan) -> Response:
        """A response without an answer."""
        return Response(error=error, latency_s=latency_s, cost_usd=self._model.cost(Usage()))

    def _line(self, text: str) -> str:
        return redacted_line(whole_characters(text), self._secrets)

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

    def _refused(
        self, request: Request, error: ServerError, reply: HttpReply, body: object = None, *, worked: bool = False
    ) -> Response:
        """What a server's error means: an error of this request, a reason to try again, or the end of the run.

        Args:
            request: what was refused.
            error: the refusal.
            reply: the reply that holds it.
            body: the JSON value of the reply, as far as it was read already.
            worked: whether the server may have worked on the answer before it failed.
        """
        message = self._line(f"{self._endpoint} answered {error.status} for {self._model.name}: {error.message}")
        means = meaning(error)
        if _NO_ROOM.search(error.message):
            return self._without_room(request, reply)
        lesson = lesson_of_refusal(request, error)
        if lesson is not None:
            refused = replace(self.error(f"bad_request: {message}", reply.latency_s), lost=int(worked))
            return replace(refused, lesson=replace(lesson, reason=self._line(lesson.reason)))
        if means in _REMEDIES:
            remedy = _REMEDIES[means].format(key=key_variable(self._model))
            remedy += self._other_url if means == "model" else ""
            if (
                means == "model"
                and "/deployments/" in self._endpoint
                and not has_version(self._endpoint, self._model.api_version)
            ):
                remedy += "; a deployment at Azure needs a version: give api_version='2024-10-21' (--api-version)"
            raise RequestRefused(f"{message}; {remedy}") from None
        if means == "passing":
            raise AttemptError(
                "server",
                message,
                lost=worked,
                no_capacity=error.status in NO_CAPACITY_STATUS,
                retry_after_s=retry_after_s(
                    error.status, reply.headers, _value_of(reply) if body is None else body, error.message, self._now
                ),
                status=error.status,
            ) from None
        return replace(self.error(f"{means}: {message}", reply.latency_s), lost=int(worked))

    def _without_room(self, request: Request, reply: HttpReply) -> Response:
        """An answer that the token limit cut off before it began, which some servers call an error."""
        answer = Response(finish_reason="length", latency_s=reply.latency_s, cost_usd=self._model.cost(Usage()), lost=1)
        return replace(answer, lesson=lesson_of_answer(request, answer))

    def _unreadable(self, unreadable: UnreadableBody, reply: HttpReply) -> Response:
        """A reply that holds no JSON: what was cut off is asked for again, a web page while answers came before."""
        text = body_text(reply.content)
        if unreadable.why == "cut":
            raise AttemptError("malformed", self._line(f"the response is not JSON: {text or '(empty)'}")) from None
        if unreadable.why == "deep":
            return self._not_understood(text, reply, Usage())
        self._pages += 1
        told = read_error(reply.status, text).message
        message = self._line(f"{self._endpoint} sent a text that is not JSON: {told}")
        if self._pages <= MOST_PAGES:
            raise AttemptError("malformed", message) from None
        return self._lost(f"malformed: {message}; check the base URL{self._other_url}", reply, Usage())

    def _not_understood(self, text: str, reply: HttpReply, usage: Usage) -> Response:
        """A whole reply that is no chat completion: another attempt would bring the same."""
        error = self._line(f"malformed: the response is not a chat completion: {text}")
        hint = "" if self._pages <= MOST_PAGES else f"; check the base URL{self._other_url}"
        return self._lost(error + hint, reply, usage)

    def _lost(self, error: str, reply: HttpReply, usage: Usage) -> Response:
        """An error of a request on which the server may have worked without a count that can be read."""
        known = usage.prompt_tokens is not None and usage.completion_tokens is not None
        cost_usd = self._model.cost(usage)
        return replace(self.error(error, reply.latency_s), usage=usage, cost_usd=cost_usd, lost=0 if known else 1)

    def _answer(self, request: Request, body: Any, reply: HttpReply) -> Response:
        """A chat completion. One that the token limit cut off is an answer, too: its text may say enough, and
        ``finish_reason`` reports the cut."""
        fields = mapping(body)
        usage, choices = read_usage(fields), fields.get("choices")
        if _is_blocked(fields):
            error = self.error("content_filter: the server blocked the prompt", reply.latency_s)
            return replace(error, usage=usage, cost_usd=self._model.cost(usage))
        if "choices" in fields and choices in (None, []):
            raise AttemptError("empty", self._line(f"the response has no choices: {shown(body)}")) from None
        if not isinstance(choices, list):
            return self._not_understood(shown(body), reply, usage)
        choice = choices[0]
        try:
            answer = read_choice(choice)
        except NotUnderstood:
            if not mapping(choice).get("error"):
                return self._not_understood(shown(body), reply, usage)
            answer = Completion(text="", refusal="", finish_reason="error", logprobs=())
        if answer.finish_reason == "error" or mapping(choice).get("error"):
            return self._refused(request, _error_of(choice), reply, body, worked=True)
        self._pages = 0
        if len(answer.text) > LONGEST_TEXT:
            size = f"{len(answer.text):,} characters, which is more than {LONGEST_TEXT:,}"
            return self._lost(f"malformed: the answer of {self._endpoint} has {size}", reply, usage)
        response = Response(
            text=answer.text,
            finish_reason=answer.finish_reason,
            logprobs=answer.logprobs,
            usage=usage,
            latency_s=reply.latency_s,
            cost_usd=self._model.cost(usage),
            error=self._withheld(answer),
            tool_calls=read_tool_calls(choice),
        )
        return replace(response, lesson=lesson_of_answer(request, response))

    def _withheld(self, answer: Completion) -> str | None:
        """The error of an answer that the server or the model withheld."""
        if answer.finish_reason == "content_filter":
            return "content_filter: the server withheld the answer"
        return self._line(f"content_filter: the model refused: {answer.refusal}") if answer.refusal else None


def _value_of(reply: HttpReply) -> object:
    """The JSON value of a reply, None where it holds none."""
    try:
        return read_body(reply.content)
    except UnreadableBody:
        return None


def _error_of(choice: Mapping[str, Any]) -> ServerError:
    """The error in a choice whose answer the server did not finish."""
    told = choice.get("error")
    error = read_error(200, {"error": told} if told else None)
    if told:
        return error
    why = choice.get("native_finish_reason") or choice.get("finish_reason")
    return replace(error, message=f"the answer ended with finish_reason {why!r}")


def _is_blocked(body: Mapping[str, Any]) -> bool:
    """Whether a body without choices says that a filter blocked the prompt, as Azure and Google do."""
    if body.get("choices"):
        return False
    feedback = mapping(body.get("promptFeedback") or body.get("prompt_feedback"))
    if feedback.get("blockReason") or feedback.get("block_reason"):
        return True
    results = body.get("prompt_filter_results") or body.get("prompt_annotations")
    of_prompts = [
        mapping(result).get("content_filter_results") for result in (results if isinstance(results, list) else ())
    ]
    return any(mapping(found).get("filtered") is True for each in of_prompts for found in mapping(each).values())
