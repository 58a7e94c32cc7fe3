"""The features of a request that a server may refuse whatever the prompt's text is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

from prompt_search.llm.lesson import Lesson
from prompt_search.llm.messages import Request

SYSTEM_ROLE: Final = "the system role"
FIRST_ASSISTANT: Final = "a first message from the assistant"
LAST_ASSISTANT: Final = "a last message from the assistant"
REPEATED_ROLE: Final = "two messages in a row from one role"
LOGPROBS: Final = "the parameter logprobs"

_CURES: Final = {
    SYSTEM_ROLE: "put the instructions into the user's message",
    FIRST_ASSISTANT: "let the user's message come first",
    LAST_ASSISTANT: "let the last message be the user's",
    REPEATED_ROLE: "join messages of one role",
    LOGPROBS: "use an answer form that needs no log-probabilities, such as Label(labels)",
}


def features(request: Request) -> frozenset[str]:
    """The features of a request: its roles and their order, its parameters and their values.

    >>> from prompt_search.llm.messages import Message
    >>> hello = Request(endpoint="e", model="m", messages=(Message("user", "hi"),), parameters={"seed": 1})
    >>> sorted(features(hello))
    ['seed = 1', 'the parameter seed', 'the user role']
    """
    return _role_features(tuple(message.role for message in request.messages)) | parameter_features(request.parameters)


@lru_cache(maxsize=1024)
def _role_features(roles: tuple[str, ...]) -> frozenset[str]:
    found = {f"the {role} role" for role in roles}
    turns = [role for role in roles if role != "system"]
    if turns and turns[0] == "assistant":
        found.add(FIRST_ASSISTANT)
    if turns and turns[-1] == "assistant":
        found.add(LAST_ASSISTANT)
    if any(first == second for first, second in pairwise(roles)):
        found.add(REPEATED_ROLE)
    return frozenset(found)


def parameter_features(parameters: Mapping[str, Any]) -> frozenset[str]:
    """The features of a request's parameters."""
    names = {f"the parameter {name}" for name in parameters}
    return frozenset(names | {value_feature(name, value) for name, value in parameters.items()})


def value_feature(name: str, value: Any) -> str:
    """The feature that a parameter has this value; of a response format its type counts."""
    shown = value.get("type") if name == "response_format" and isinstance(value, Mapping) else value
    return f"{name} = {json.dumps(shown, sort_keys=True, default=str)}"


def way_out(feature: str, request: Request) -> Lesson | None:
    """The change of requests that takes a refused feature away; None where that would make them other requests.

    Roles are part of the prompt, and an answer form that reads log-probabilities cannot do without them. A response
    format only helps the model to write what the answer form checks in any case.
    """
    if feature == LOGPROBS:
        return None
    for name, value in request.parameters.items():
        if feature not in (f"the parameter {name}", value_feature(name, value)):
            continue
        if name == "response_format" and isinstance(value, Mapping) and value.get("type") == "json_schema":
            return Lesson(action="replace", name=name, value={"type": "json_object"})
        return Lesson(action="drop", name=name)
    return None


def cure(feature: str) -> str:
    """What a user can do about a feature that the server refuses."""
    return _CURES.get(feature, "leave it out")
