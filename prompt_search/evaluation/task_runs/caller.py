"""What a task calls: requests of one row, which go the way of all requests."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from prompt_search._first_tries import named
from prompt_search.errors import CallFailed, InputError
from prompt_search.evaluation.outcome import PreparedPrompt
from prompt_search.evaluation.responder import Answered
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.prompts.requests.task import LARGEST, Messages

NOT_GIVEN = {
    "model": "a task asks the model of the candidate; give several as Study(model=ps.choice([...]))",
    "stream": "a response comes as a whole; leave it out",
    "n": "a call gives one answer; call several times, also side by side with asyncio.gather",
}
"""Request parameters that a call does not take, with what to do."""

Ask = Callable[[Request], Awaitable[Answered]]


class TaskEnded(BaseException):
    """Raised inside a task whose row has ended: the budget has no room, or the run is over.

    It is no `Exception`, so that a task which handles errors of calls does not take it for one.
    """


class TooManyCalls(Exception):
    """A task has made more calls for a row than it may."""


class RowCaller:
    """The `TaskCall` of one row.

    A request that is equal to an earlier one of the row is sent again, as in any program: repeats have numbers.

    Args:
        prepared: the candidate's prompt.
        ask: gets the response to a request.
        most: number of calls that may be made.
    """

    def __init__(self, prepared: PreparedPrompt, ask: Ask, most: int) -> None:
        self._prepared = prepared
        self._ask = ask
        self._most = most
        self._repeats: Counter[str] = Counter()
        self._sending: list[asyncio.Task[Answered]] = []
        self._closed = False
        self.ended: Exception | None = None
        """Why the row has ended, whatever the task makes of it."""

    async def __call__(self, messages: Messages, **parameters: Any) -> Response:
        if self._closed or self.ended is not None:
            raise TaskEnded("the row has ended")
        try:
            request = self._request(messages, parameters)
            if len(self._sending) >= self._most:
                raise TooManyCalls
        except (InputError, TooManyCalls) as error:
            self.ended = error
            raise TaskEnded(str(error)) from error
        sending = asyncio.ensure_future(self._sent(request))
        self._sending.append(sending)
        answered = await asyncio.shield(sending)
        if answered.response.error is not None:
            raise CallFailed(answered.response)
        return answered.response

    async def _sent(self, request: Request) -> Answered:
        try:
            return await self._ask(request)
        except Exception as error:
            if self.ended is None or isinstance(self.ended, TooManyCalls):  # what was not sent does not count as made
                self.ended = error
            raise TaskEnded(str(error)) from error

    def _request(self, messages: Messages, parameters: Mapping[str, Any]) -> Request:
        """The request of a call.

        Raises:
            InputError: it cannot be sent.
        """
        prepared = self._prepared
        for name, cure in NOT_GIVEN.items():
            if name in parameters:
                raise InputError(f"call of a task takes no {name}=: {cure}")
        given = {**prepared.prompt.parameters, **parameters}
        request = Request(
            endpoint=prepared.endpoint,
            model=prepared.model,
            messages=_messages(messages),
            parameters={name: value for name, value in given.items() if value is not None},
            sample=prepared.sample * LARGEST,
        )
        try:
            key = request.key
        except (TypeError, ValueError) as error:
            raise InputError(f"what a task sends must be JSON: {error}; correct the messages or parameters") from None
        repeat = self._repeats[key]
        self._repeats[key] += 1
        return replace(request, sample=request.sample + repeat)

    async def close(self) -> list[Answered]:
        """Wait for the calls that are under way, which are paid for, and allow no more; those that were answered, in
        the order in which they were made."""
        self._closed = True
        found = await asyncio.gather(*self._sending, return_exceptions=True)
        return [each for each in found if isinstance(each, Answered)]

    def cancel(self) -> None:
        """Wait for nothing any more."""
        self._closed = True
        for sending in self._sending:
            sending.cancel()


def _messages(given: object) -> tuple[Message, ...]:
    """The messages that a task sends.

    Raises:
        InputError: they are none.
    """
    if isinstance(given, str):
        return (Message("user", given),)
    if isinstance(given, Mapping | Message) or not isinstance(given, Sequence) or not given:
        raise InputError(
            f"call of a task takes a text or a list of messages, not {named(given)}; write call(prompt.render(row))"
        )
    return tuple(each if isinstance(each, Message) else _message(each) for each in given)


def _message(given: object) -> Message:
    if isinstance(given, Response):
        given = given.message
    if not isinstance(given, Mapping) or not isinstance(given.get("role"), str):
        raise InputError(
            f"a message of a task has role and content, got {_short(given)}; write "
            "{'role': 'user', 'content': '...'}, or response.message"
        )
    content = given.get("content")
    if content is not None and not isinstance(content, str):
        raise InputError(f"the content of a message of a task must be text, got {_short(content)}; give a text")
    rest = {name: value for name, value in given.items() if name not in ("role", "content")}
    return Message(given["role"], content or "", {**({"content": None} if content is None else {}), **rest})


def _short(value: object) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
