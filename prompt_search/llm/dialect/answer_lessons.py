"""What an answer says about a server: log-probabilities that it left out, and models that need room to think first."""

from __future__ import annotations

import re
from typing import Final

from prompt_search.llm.dialect.features import LOGPROBS
from prompt_search.llm.lesson import Lesson
from prompt_search.llm.messages import ANSWER_LIMITS, Request, Response

IGNORES_LOGPROBS: Final = Lesson(
    action="close", name=LOGPROBS, value="ignored", reason="its answers come without log-probabilities"
)

ROOMS: Final = (1024, 4096, 16384)
"""Numbers of tokens that an answer may have, one after the other, where a model spends all of fewer on thinking."""

ROOM_FACTOR: Final = 4
"""How many times the thinking of the first answer is allowed for that of others."""

_OPEN_THOUGHT = re.compile(r"\s*<(think|thinking|thought|reasoning)\b(?!.*</\1>)", re.IGNORECASE | re.DOTALL)


def lesson_of_answer(request: Request, response: Response) -> Lesson | None:
    """What an answer says about the server and the model; None where it says nothing."""
    if response.error is not None:
        return None
    if request.parameters.get("logprobs"):  # such an answer form reads the first token alone and needs no room
        return None if response.logprobs or not response.text.strip() else IGNORES_LOGPROBS
    return _room(request, response)


def _room(request: Request, response: Response) -> Lesson | None:
    """The room that answers of this model need, where this one ended while the model was still thinking, or nearly
    so."""
    limits = {name: value for name in ANSWER_LIMITS if isinstance(value := request.parameters.get(name), int)}
    if not limits:
        return None
    name, limit = next(iter(limits.items()))
    thought = response.usage.reasoning_tokens or 0
    cut = response.finish_reason == "length"
    ended_thinking = cut and (not response.text.strip() or _OPEN_THOUGHT.match(response.text) is not None)
    thinks_beside = thought > limit  # the limit does not bound what this server's model thinks
    if not ended_thinking and (thinks_beside or ROOM_FACTOR * thought <= limit):
        return None
    wanted = max(limit + 1, ROOM_FACTOR * thought)
    room = next((room for room in ROOMS if room >= wanted), None)
    if room is None:
        return None
    return Lesson(action="room", name=name, value=room, reason="the model thinks before it answers")
