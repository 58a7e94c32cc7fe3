"""One thing that is learned about a server: how requests change, or what no request may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Action = Literal["rename", "drop", "cap", "floor", "room", "replace", "close"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One thing that is learned about a server.

    Attributes:
        action: what follows for later requests.

            - ``rename``: the parameter is sent under the name ``value``.
            - ``drop``: the parameter is not sent.
            - ``cap``, ``floor``: the parameter is sent as at most, or at least, ``value``.
            - ``room``: answers get at least ``value`` tokens, those of which more than the first token is read.
            - ``replace``: the parameter is sent as ``value``.
            - ``close``: requests with the feature ``name`` are refused, or what ``value`` says; see `features`.
        name: the parameter, or the feature.
        value: see ``action``.
        reason: what the server said.
    """

    action: Action
    name: str
    value: Any = None
    reason: str = ""

    def changed(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """The parameters as they are sent from now on; the same object where nothing changes.

        >>> Lesson(action="cap", name="top_logprobs", value=5).changed({"top_logprobs": 20})
        {'top_logprobs': 5}
        """
        if self.action == "close" or self.name not in parameters:
            return parameters
        sent = parameters[self.name]
        match self.action:
            case "drop":
                return {name: value for name, value in parameters.items() if name != self.name}
            case "rename":
                return {self.value if name == self.name else name: value for name, value in parameters.items()}
            case "room" if parameters.get("logprobs"):
                return parameters  # the first token alone is read
            case "cap" | "floor" | "room":
                bounded = sent if not _is_number(sent) else (min if self.action == "cap" else max)(sent, self.value)
            case _:
                bounded = self.value
        return parameters if bounded == sent else {**parameters, self.name: bounded}

    @property
    def told(self) -> str:
        """The lesson in words, without a full stop.

        >>> Lesson(action="rename", name="max_tokens", value="max_completion_tokens").told
        'max_tokens is sent as max_completion_tokens'
        """
        match self.action:
            case "drop":
                return f"{self.name} is not sent"
            case "rename":
                return f"{self.name} is sent as {self.value}"
            case "cap":
                return f"{self.name} is at most {self.value:,}"
            case "floor" | "room":
                return f"{self.name} is at least {self.value:,}"
            case "replace":
                shown = self.value.get("type") if isinstance(self.value, Mapping) else self.value
                return f"{self.name} is sent as {shown}"
            case _:
                return f"{self.name} is {self.value or 'refused'}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
