"""What a fake model answers: a text, a chat completion, or any HTTP response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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


FakeAnswer = str | Mapping[str, Any] | FakeResponse
"""The text of an answer, a whole chat completion, or any HTTP response."""

Answering = FakeAnswer | Callable[[Body], FakeAnswer]
"""One answer to every request, or a function from a request's body to the answer."""


def answer_to(body: Body, answering: Answering) -> Mapping[str, Any] | FakeResponse:
    """The chat completion, or the HTTP response, that answers a request."""
    answer = answering(body) if callable(answering) else answering
    return completion(answer, prompt_of(body)) if isinstance(answer, str) else answer


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
