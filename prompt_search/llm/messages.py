"""Requests to a model and its responses, as frozen values.

A request has a canonical key: the same question to the same model has the same key on every machine and in
every process, so that a stored response can take the place of a paid one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

import msgspec

from prompt_search._json import read
from prompt_search.llm.lesson import Lesson

ANSWER_LIMITS: Final = ("max_completion_tokens", "max_tokens")
"""Names of the request parameters that bound the length of an answer, in the dialects of different servers."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message: ``role`` is ``system``, ``user``, ``assistant`` or ``tool``.

    ``fields`` has what is sent besides, such as the ``tool_calls`` of an assistant, or the ``tool_call_id`` of a tool.
    """

    role: str
    content: str
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The message as the API takes it: ``{"role": …, "content": …}``, and its further fields."""
        return {"role": self.role, "content": self.content, **self.fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One chat completion request.

    ``endpoint`` is the identity of the server (its base URL, or ``local:<sha256 of the weights>``), never a
    key or a header. ``parameters`` is everything sent besides model and messages. ``sample`` numbers
    repeats of the same question.
    """

    endpoint: str
    model: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0

    def to_json(self) -> str:
        """The canonical text: sorted keys, no spaces, Unicode as it is."""
        body = {
            "endpoint": self.endpoint,
            "model": self.model,
            "messages": [message.to_dict() for message in self.messages],
            "parameters": self.parameters,
            "sample": self.sample,
        }
        return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the HTTP request."""
        return {
            **self.parameters,
            "model": self.model,
            "messages": [message.to_dict() for message in self.messages],
        }

    @property
    def key(self) -> str:
        """SHA-256 of the canonical text, 64 hex digits.

        >>> a = Request(endpoint="e", model="m", messages=(Message("user", "hi"),), parameters={"a": 1, "b": 2})
        >>> b = Request(endpoint="e", model="m", messages=(Message("user", "hi"),), parameters={"b": 2, "a": 1})
        >>> a.key == b.key
        True
        """
        return hashlib.sha256(self.to_json().encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Numbers of tokens as the server counted them; ``None`` where it did not report them.

    ``cached_tokens`` are a part of ``prompt_tokens``, and ``reasoning_tokens`` a part of ``completion_tokens``.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool that a model asks for.

    Attributes:
        name: the name of the tool.
        arguments: its arguments as the model wrote them, which is JSON unless the model made a mistake.
        id: what the tool's answer refers to as ``tool_call_id``.
    """

    name: str
    arguments: str
    id: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The arguments by name.

        Raises:
            ValueError: the model wrote no JSON object.

        >>> ToolCall(name="add", arguments='{"a": 1, "b": 2}').values
        {'a': 1, 'b': 2}
        """
        values = json.loads(self.arguments or "{}")
        if not isinstance(values, dict):
            raise ValueError(f"the arguments of the tool {self.name} are no JSON object: {self.arguments[:80]!r}")
        return values

    def to_dict(self) -> dict[str, Any]:
        """The call as the API writes it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


TopLogprobs = tuple[tuple[str, float], ...]
"""The likeliest tokens at one position, as (token text, natural log-probability), likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The response to one request.

    ``error`` is None for a response with an answer, else ``kind: explanation``. The kinds:

    - ``bad_request``: the server cannot process the request (status 400, 422 and the like); it is not retried.
    - ``context_length``: the prompt is too long for the model or the server; it is not retried.
    - ``unsupported``: the server refuses a feature of the request, whatever the row is.
    - ``server``: every attempt got one of the statuses 408, 409, 429, 500 and above, or a broken connection.
    - ``timeout``: no attempt got an answer in time.
    - ``malformed``: the answers to all attempts were cut off, or one was whole and no chat completion.
    - ``empty``: the answers to all attempts were chat completions without choices.
    - ``content_filter``: the server withheld the answer, or the model refused; the request is not retried.
    - ``budget``: the budget had no room for another attempt.

    An answer that the token limit cut off is an answer: ``finish_reason`` is ``length``, and its text is read like
    any other, as it may contain the label already. ``logprobs`` has one entry for each generated token where the
    request asks for them. ``cost_usd`` is NaN when the price is unknown. ``attempts`` is the number of requests that
    were sent, retries included; ``lost`` is the number of those on which the server may have worked without reporting
    what it used: timeouts, cut connections, unreadable answers. ``lesson`` is what the response says about the server,
    where it says something. ``batch_discount`` is the share of the price that a batch took off; None where the request
    was sent alone. ``tool_calls`` has the tools that the model asks for, where the request offers some.
    """

    text: str = ""
    finish_reason: str = ""
    logprobs: tuple[TopLogprobs, ...] = ()
    usage: Usage = Usage()
    latency_s: float = math.nan
    cost_usd: float = math.nan
    attempts: int = 1
    lost: int = 0
    error: str | None = None
    lesson: Lesson | None = None
    batch_discount: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def usd_alone(self) -> float:
        """US dollars that the response costs where the request is sent alone."""
        return self.cost_usd / (1 - (self.batch_discount or 0.0))

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of the assistant, to go on with: its text and its calls of tools.

        >>> Response(text="4").message
        {'role': 'assistant', 'content': '4'}
        """
        asked = {"tool_calls": [call.to_dict() for call in self.tool_calls]} if self.tool_calls else {}
        return {"role": "assistant", "content": self.text or (None if asked else ""), **asked}

    def to_json(self) -> str:
        """The stored form; NaN becomes null, so that every JSON reader accepts it."""
        body = {f.name: getattr(self, f.name) for f in fields(self)}  # asdict would copy every log-probability
        body["usage"] = asdict(self.usage)
        if self.lesson is None:
            del body["lesson"]
        else:
            body["lesson"] = asdict(self.lesson)
        if self.batch_discount is None:
            del body["batch_discount"]
        if self.tool_calls:
            body["tool_calls"] = [asdict(call) for call in self.tool_calls]
        else:
            del body["tool_calls"]
        for name in ("latency_s", "cost_usd"):
            if math.isnan(body[name]):
                body[name] = None
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Response:
        """The inverse of ``to_json``."""
        stored = read(_Stored, text)
        body = {name: getattr(stored, name) for name in _Stored.__struct_fields__}
        for name in ("latency_s", "cost_usd"):
            if body[name] is None:
                body[name] = math.nan
        return cls(**body)


class Shown(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A stored response as tables show it, without the log-probabilities, which are most of it."""

    text: str
    finish_reason: str
    usage: Usage
    latency_s: float | None
    cost_usd: float | None
    error: str | None
    batch_discount: float | None = None


class _Stored(Shown, gc=False, frozen=True, kw_only=True):
    """A stored response with everything in it."""

    logprobs: tuple[TopLogprobs, ...]
    attempts: int
    lost: int = 0
    lesson: Lesson | None = None
    tool_calls: tuple[ToolCall, ...] = ()
