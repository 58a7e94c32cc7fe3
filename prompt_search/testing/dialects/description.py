"""The description of a server: rules by which it refuses, the shape of its errors, and how its answers differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prompt_search.testing.faults import chance
from prompt_search.testing.responses import Answering, Body, FakeResponse, answer_to, failure

BASE: Final = "/v1"
"""The path of the base URL of most servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A kind of request that a server refuses.

    Attributes:
        what: what is refused: a parameter, or a name such as ``system``.
        applies: whether the rule refuses the request with this body.
        words: what the server says, or a function of the body to it.
        status: the status of the response.
        fields: further fields of the error, such as ``code``, or a function of the body to them.
    """

    what: str
    applies: Callable[[Body], bool]
    words: str | Callable[[Body], str]
    status: int = 400
    fields: Mapping[str, Any] | Callable[[Body], Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refused request: what was refused, and the response to it."""

    what: str
    response: FakeResponse


Shape = Callable[[int, str, Mapping[str, Any]], FakeResponse]
"""A function from status, words and further fields of an error to the response that a server sends."""

Change = Callable[[Body, dict[str, Any]], dict[str, Any]]
"""A function from the body of a request and a chat completion to the completion as a server sends it."""


def openai_error(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    """An error as OpenAI sends it."""
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": None, **fields}
    return FakeResponse(status=status, body={"error": error})


def too_many(wait_s: float) -> FakeResponse:
    """A 429 that says in its header when to come again."""
    return failure(429, "the minute has no room for this request", Retry_After=f"{wait_s:.3f}")


def stumbled() -> FakeResponse:
    """The error of a server that failed."""
    return failure(500, "the server stumbled")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDialect:
    """What a server accepts, what it refuses and in which words, and how its answers differ from OpenAI's.

    Attributes:
        name: its name.
        about: what it refuses and how it answers, as the table in ``docs/testing.md`` has it.
        rules: what it refuses; the first rule that applies decides.
        shape: the shape of its refusals.
        ignores: parameters that it takes without heeding them: the model does not see them.
        changes: changes of its answers, one after the other.
        too_many: the 429 for a request that comes so many seconds too early.
        stumbled: the error of a server that failed.
        base: the path of its base URL.
        query: the query of its URL, without which it knows no path.
    """

    name: str
    about: str
    rules: tuple[Rule, ...] = ()
    shape: Shape = openai_error
    ignores: frozenset[str] = frozenset()
    changes: tuple[Change, ...] = ()
    too_many: Callable[[float], FakeResponse] = too_many
    stumbled: Callable[[], FakeResponse] = stumbled
    base: str = BASE
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of its chat completions."""
        return f"{self.base}/chat/completions"

    def refusal(self, body: Body, query: Mapping[str, str]) -> Refused | None:
        """The refusal of a request; None where it is accepted."""
        lacking = next((name for name in self.query if name not in query), None)
        if lacking is not None:
            return Refused(what=lacking, response=self.shape(404, "Resource not found", {"code": "404"}))
        rule = next((rule for rule in self.rules if rule.applies(body)), None)
        if rule is None:
            return None
        words = rule.words(body) if callable(rule.words) else rule.words
        fields = rule.fields(body) if callable(rule.fields) else rule.fields
        return Refused(what=rule.what, response=self.shape(rule.status, words, fields))

    def answer(self, body: Body, answering: Answering) -> Mapping[str, Any] | FakeResponse:
        """The answer to an accepted request."""
        seen = {name: value for name, value in body.items() if name not in self.ignores}
        answer = answer_to(seen, answering)
        if isinstance(answer, FakeResponse):
            return answer
        for change in self.changes:
            answer = change(body, dict(answer))
        return answer


def has(*names: str) -> Callable[[Body], bool]:
    """Whether a request has one of these parameters."""
    return lambda body: any(body.get(name) is not None for name in names)


def has_format(kind: str) -> Callable[[Body], bool]:
    """Whether a request wants a response format of this type."""
    return lambda body: (body.get("response_format") or {}).get("type") == kind


def without_word_json(body: Body) -> bool:
    """Whether a request wants JSON of any form and does not speak of it."""
    return has_format("json_object")(body) and "json" not in json.dumps(body["messages"]).lower()


def above(name: str, most: float) -> Callable[[Body], bool]:
    """Whether a request has a number above this one."""
    return lambda body: (body.get(name) or 0) > most


def roles(body: Body) -> list[str]:
    """The roles of a request's messages."""
    return [message["role"] for message in body["messages"]]


def ends_with_assistant(body: Body) -> bool:
    """Whether the last message is the assistant's."""
    return roles(body)[-1] == "assistant"


def thought_tokens(body: Body, most: int) -> int:
    """The number of tokens that a model thinks about a request: at least half of ``most``."""
    return most - int(chance("thought", body["messages"]) * most / 2)


def with_message(answer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat completion with further fields in its message."""
    choice = answer["choices"][0]
    message = {**choice["message"], **fields}
    return {**answer, "choices": [{**choice, "message": message}, *answer["choices"][1:]]}
