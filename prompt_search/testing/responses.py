"""What a fake model answers: a text, a chat completion, or any HTTP response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prompt_search.errors import InputError

Body = Mapping[str, Any]
"""The body of a chat completion request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeResponse:
    """An HTTP response: ``body`` is sent as it is, or as JSON where it is a mapping."""

    status: int = 200
    body: str | bytes | Mapping[str, Any] = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The bytes that are sent."""
        text = json.dumps(self.body) if isinstance(self.body, Mapping) else self.body
        return text.encode() if isinstance(text, str) else text


FakeAnswer = str | bool | int | float | Mapping[str, Any] | FakeResponse
"""The text of an answer, or a number or truth value to be written as text; a whole chat completion; any HTTP
response."""

Answering = FakeAnswer | Callable[[Body], FakeAnswer]
"""One answer to every request, or a function from a request's body to the answer."""


def answer_to(body: Body, answering: Answering) -> Mapping[str, Any] | FakeResponse:
    """The chat completion, or the HTTP response, that answers a request.

    Raises:
        InputError: the answer is of another type than `FakeAnswer`.
    """
    answer = answering(body) if callable(answering) else answering
    if isinstance(answer, (Mapping, FakeResponse)):
        return answer
    return completion(text_of(answer), prompt_of(body))


def text_of(answer: object) -> str:
    """An answer, or a target, as a model writes it: whole numbers have no ``.0``, as in `Dataset.labels`.

    Raises:
        InputError: it is no text, number or truth value.

    >>> text_of(1.0), text_of(True), text_of("yes")
    ('1', 'True', 'yes')
    """
    plain = answer.tolist() if hasattr(answer, "tolist") else answer  # NumPy's and pandas' scalars
    if isinstance(plain, float) and plain.is_integer():
        return str(int(plain))
    if isinstance(plain, (str, bool, int, float)):
        return str(plain)
    raise InputError(
        "a fake model answers with a text, a number, True or False, a chat completion as a dict, or a FakeResponse, "
        f"not {answer!r}; correct the answer function"
    )


def prompt_of(body: Body) -> str:
    """All messages of a request as one text."""
    return "\n".join(str(message["content"]) for message in body["messages"])


def completion(
    text: str,
    prompt: str = "",
    logprobs: Mapping[str, float] | None = None,
    finish_reason: str = "stop",
    usage: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """A chat completion as servers send it.

    Args:
        text: the answer.
        prompt: the request's messages; see `prompt_of`.
        logprobs: log-probabilities of the alternatives for the first token.
        finish_reason: why the answer ended.
        usage: the numbers of tokens; default: a word is a token.
    """
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": text},
    }
    if logprobs is not None:
        top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    if usage is None:
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}


def failure(status: int, message: str, **headers: str) -> FakeResponse:
    """An error as OpenAI sends it; ``Retry_After="1"`` makes a header ``Retry-After``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return FakeResponse(status=status, body={"error": {"message": message}}, headers=named)
