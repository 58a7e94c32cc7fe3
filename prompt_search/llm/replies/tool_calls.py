"""The calls of tools that a chat completion asks for, out of the shapes that servers send."""

from __future__ import annotations

import json
from typing import Any

from prompt_search.llm.messages import ToolCall
from prompt_search.llm.replies.bodies import mapping, whole_characters


def read_tool_calls(choice: object) -> tuple[ToolCall, ...]:
    """The calls in one of a body's choices, in their order; what names no tool is none.

    >>> call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    >>> read_tool_calls({"message": {"role": "assistant", "tool_calls": [call]}})
    (ToolCall(name='add', arguments='{}', id='1'),)
    """
    message = mapping(mapping(choice).get("message"))
    listed = message.get("tool_calls")
    calls = [mapping(each) for each in listed] if isinstance(listed, list) else []
    if message.get("function_call"):  # as OpenAI wrote a single call before
        calls.append({"function": message["function_call"]})
    named = [(mapping(each.get("function")), each) for each in calls]
    return tuple(
        ToolCall(name=_text(of["name"]), arguments=_arguments(of.get("arguments")), id=_text(each.get("id") or ""))
        for of, each in named
        if of.get("name")
    )


def _arguments(given: Any) -> str:
    """Arguments as text; some servers send the object itself."""
    return _text(given) if isinstance(given, str) else json.dumps({} if given is None else given)


def _text(given: Any) -> str:
    return whole_characters(str(given))
