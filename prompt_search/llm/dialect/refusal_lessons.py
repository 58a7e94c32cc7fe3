"""What a refusal says about a server, in the server's own words.

The words are those of OpenAI, Azure, Anthropic, Gemini, Mistral, Groq, DeepSeek, xAI, OpenRouter, vLLM, SGLang, TGI,
llama.cpp, Ollama and LiteLLM, in 2025 and 2026. A refusal that names neither a parameter of the request nor a role says
nothing about the server, only about the request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from prompt_search.llm.dialect.features import (
    FIRST_ASSISTANT,
    LAST_ASSISTANT,
    LOGPROBS,
    REPEATED_ROLE,
    SYSTEM_ROLE,
    features,
    value_feature,
)
from prompt_search.llm.lesson import Lesson
from prompt_search.llm.messages import ANSWER_LIMITS, Request
from prompt_search.llm.replies.refusals import meaning
from prompt_search.llm.replies.server_error import ServerError
from prompt_search.llm.replies.usage_reading import MOST_TOKENS

NO_REFUSAL_STATUS: Final = frozenset({401, 402, 408, 409, 429})
"""Status codes that say nothing about the parameters and roles of a request."""

NO_ACCESS_STATUS: Final = 403
"""Says something about the parameters that it names: OpenAI refuses log-probabilities of some models so."""

LEAST_TEMPERATURE: Final = 0.01
"""Temperature for servers that want one above 0: the likeliest token is nearly always taken."""

SAMPLING: Final = frozenset({"temperature", "top_p", "seed", "top_k"})
"""Parameters without which a request asks the same; they are not sent where they are refused."""

_TAKES_NOT = (
    r"unsupported|not (?:\w+ ){0,2}support|n[o']t (?:\w+ ){0,2}support|no support|no endpoints found that support|"
    r"un(?:known|recognized|recognised|expected)|not (?:permitted|allowed|available|enabled|implemented|accepted|"
    r"recognized|compatible)|unavailable|forbidden|cannot find field|deprecated|incompatible|disabled|not_supported|"
    r"(?:enabled|available|supported|allowed) only|only (?:enabled|available|supported|allowed)|"
    r"extra (?:inputs|fields?)|does ?n[o']t (?:exist|accept|allow)|cannot (?:\w+ )?be (?:used|specified)|\bremove\b|"
    r"\buse\b.{0,60}\binstead\b"
)
_NOT_TAKEN = re.compile(_TAKES_NOT, re.IGNORECASE)
"""Words with which a server refuses a parameter as a whole."""

_UNSUPPORTED = re.compile(
    rf"{_TAKES_NOT}|only the default|\binvalid\b|is not one of|not (?:a )?valid|(?:must|should) (?:be|contain)\b|"
    r"value is not|(?:may|can) only be|mandatory",
    re.IGNORECASE,
)
"""Words with which a server refuses a parameter, or its value."""

_BOUND = re.compile(
    r"less than|smaller than|at most|up to|maximum|\bmax\b|above|greater than|exceed|too (?:large|high|big|many)|<=|≤|"
    r"range|between|at least|minimum|below|too (?:small|low)|>=|≥|positive|\bor less\b|\bor more\b|limit",
    re.IGNORECASE,
)
_FLOOR = re.compile(r"at least|minimum|below|too (?:small|low)|>=|≥|positive|\bor more\b|greater than or equal", re.I)
_CEILING = re.compile(
    r"at most|up to|(?<!below )maximum|\bmax\b|above|exceed|too (?:large|high|big|many)|<=|≤|less than|or less\b", re.I
)
_CLEAR_BOUND = re.compile(
    r"<=|≤|>=|≥|less than|at most|at least|maximum|minimum|max allowed|between|\brange\b|up to|positive",
    re.IGNORECASE,
)
_NOTHING_ALLOWED = re.compile(
    r"(?:max(?:imum)? allowed|at most|equal to|up to|maximum(?: value)? (?:is|of)|<=|≤):? ?0\b", re.I
)
_WINDOW = re.compile(r"(?:context|model)[ _-](?:length|len|window|size|limit)\D{0,40}?(\d[\d,]*)", re.IGNORECASE)
_LIMIT_OF_ANSWERS = re.compile(
    r"(?<!\+ )(?:max_tokens|max_completion_tokens)\W{0,3} must be (?:less than or equal to|at most|<=|≤)\W{0,3}"
    r"(\d[\d,]*)",
    re.IGNORECASE,
)
_EITHER = re.compile(r"\bboth\b|only one|not .{0,20}together", re.IGNORECASE)
_ALIASES = {
    "response_format": r"json[_ ]schema|json[_ ]object|structured output|guided (?:json|decoding)|grammar",
    **dict.fromkeys(
        ("reasoning_effort", "reasoning", "thinking"),
        r"thinking (?:mode|budget)|budget -?\d+ is invalid|reasoning is mandatory",
    ),
    **dict.fromkeys(("presence_penalty", "frequency_penalty"), r"\bpenalty is\b"),
    **dict.fromkeys(ANSWER_LIMITS, r"max_output_tokens|max_new_tokens"),
}
"""Other words for parameters."""

_EVERYDAY_WORDS: Final = frozenset(
    {"n", "user", "stop", "reasoning", "thinking", "store", "metadata", "tools", "functions"}
)
"""Parameters whose names are also words, so that they are named only in quotes or as the error's ``param``."""

_NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)-?\d+(?:[,_]\d{3})*(?:\.\d+)?(?![\w])")
_PREFILL = re.compile(
    r"prefill|(?:last|final) (?:message|role|turn)|end with (?:a|an|the) (?:user|tool)|ends? with assistant|"
    r"messages at the end|must (?:be|have role).{0,12}\buser\b",
    re.IGNORECASE,
)
_ALTERNATE = re.compile(r"alternat|consecutive|same role|in a row", re.IGNORECASE)
_FIRST = re.compile(r"first (?:message|role|turn)|start with (?:a|an|the) user|begin with (?:a|an|the) user", re.I)
_SYSTEM = re.compile(
    r"system[ _-]?(?:role|message|prompt|instruction|parameter)|(?:role|'|\"|`)\W{0,3}system|developer instruction|"
    r"system is not|system_instruction",
    re.IGNORECASE,
)


def lesson_of_refusal(request: Request, error: ServerError) -> Lesson | None:
    """What a refusal says about the server; None where it says nothing.

    A row that is too long for the model says something about the row, unless it is the room for the answer that is.

    >>> from prompt_search.llm.messages import Message
    >>> hi = Request(endpoint="e", model="m", messages=(Message("user", "hi"),), parameters={"max_tokens": 16})
    >>> said = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    >>> lesson_of_refusal(hi, ServerError(status=400, message=said)).told
    'max_tokens is sent as max_completion_tokens'
    """
    means = meaning(error)
    if error.status in NO_REFUSAL_STATUS or means in ("passing", "content_filter"):
        return None
    words = _without_quotations(error.message, request)
    if means == "context_length":
        return _of_window(request, words)
    of_roles = None if error.status == NO_ACCESS_STATUS else _of_roles(request, error, words)
    return of_roles or _of_parameters(request, error, words)


def _of_window(request: Request, words: str) -> Lesson | None:
    """The bound of an answer that asks for half of what the model can hold, or for more than the server allows."""
    name = next((name for name in ANSWER_LIMITS if isinstance(request.parameters.get(name), int)), None)
    if name is None:
        return None
    sent = request.parameters[name]
    allowed, window = (found and _value(found[1]) for found in (_LIMIT_OF_ANSWERS.search(words), _WINDOW.search(words)))
    if allowed and 0 < allowed < sent:
        return Lesson(action="cap", name=name, value=_whole(allowed), reason=_short(words))
    if window and 0 < window < 2 * sent:
        return Lesson(action="cap", name=name, value=_whole(window // 2), reason=_short(words))
    return None


def _value(digits: str) -> float:
    """A number in a message; NaN, which bounds nothing, where it is too large for a count of anything."""
    value = float(digits.replace(",", "").replace("_", ""))
    return value if abs(value) < MOST_TOKENS else math.nan


def _without_quotations(message: str, request: Request) -> str:
    """The message without what it quotes of the prompt, whose words say nothing."""
    for text in (message.content for message in request.messages):
        if len(text) > 20:
            message = message.replace(text, "…")
    return message


def _of_roles(request: Request, error: ServerError, words: str) -> Lesson | None:
    of_request = features(request)
    role_named = re.fullmatch(r"messages\W*\d*\W*(?:role)?", error.param) is not None
    refused: str | None = None
    if _ALTERNATE.search(words):
        refused = next((name for name in (REPEATED_ROLE, SYSTEM_ROLE, FIRST_ASSISTANT) if name in of_request), None)
    elif SYSTEM_ROLE in of_request and _SYSTEM.search(words) and (_UNSUPPORTED.search(words) or role_named):
        refused = SYSTEM_ROLE
    elif LAST_ASSISTANT in of_request and _PREFILL.search(words):
        refused = LAST_ASSISTANT
    elif FIRST_ASSISTANT in of_request and _FIRST.search(words):
        refused = FIRST_ASSISTANT
    return None if refused is None else Lesson(action="close", name=refused, reason=_short(words))


def _of_parameters(request: Request, error: ServerError, words: str) -> Lesson | None:
    unsupported = _UNSUPPORTED.search(words)
    named = list(_named(request.parameters, error, words))
    if _EITHER.search(words) and len(named) > 1:
        return Lesson(action="drop", name=named[1], reason=_short(words)) if named[1] in SAMPLING else None
    # Where a parameter is refused as a whole, words such as "above" may be about anything.
    bound = (_CLEAR_BOUND if unsupported else _BOUND).search(words)
    for name in named:
        if bound and not (unsupported and _only_default(words)):
            # Some servers call the number of listed tokens "logprobs".
            numbered = "top_logprobs" if name == "logprobs" and "top_logprobs" in request.parameters else name
            lesson = _bounded(numbered, request.parameters[numbered], words)
            if lesson is not None:
                return lesson
        if name in ANSWER_LIMITS and not _NOT_TAKEN.search(words):
            continue  # its value is refused, in words without a number that would do
        if unsupported or error.param.endswith(name):
            return _refused(name, request.parameters, words)
    return None


def _named(parameters: Mapping[str, Any], error: ServerError, words: str) -> Iterator[str]:
    """The parameters of the request that a refusal names, the one in its ``param`` first, then in their order there."""
    places: dict[str, int] = {}
    for name in parameters:
        camel = re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)
        spoken = name.replace("_", "[ _-]")
        found = re.search(rf"(?<![\w.])(?:{re.escape(name)}|{camel}|{spoken})(?!\w)", words, re.IGNORECASE)
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", error.param):
            places[name] = -1
        elif found and (name not in _EVERYDAY_WORDS or re.search(rf"""['"`]{name}['"`]""", words)):
            places[name] = found.start()
        elif name in _ALIASES and (alias := re.search(_ALIASES[name], words, re.IGNORECASE)):
            places[name] = alias.start()
    yield from sorted(places, key=places.__getitem__)


def _only_default(words: str) -> bool:
    return re.search(r"only the default|only be set to|only temperature=1", words, re.IGNORECASE) is not None


def _bounded(name: str, sent: Any, words: str) -> Lesson | None:
    """The bound that a refusal names for a number; a guess of the usual ones where it names none."""
    if isinstance(sent, bool) or not isinstance(sent, int | float):
        return None
    if name == "temperature" and sent <= 0:
        above = re.search(r"positive|greater than 0|above 0|> ?0|\(0(?:\.0)?,", words)
        return Lesson(action="floor", name=name, value=LEAST_TEMPERATURE, reason=_short(words)) if above else None
    if name == "top_logprobs" and _NOTHING_ALLOWED.search(words):
        return Lesson(action="close", name=LOGPROBS, reason=_short(words))
    numbers = [_value(text) for text in _NUMBER.findall(words.replace("..", " "))]
    lower = [number for number in numbers if 0 < number < sent]
    higher = [number for number in numbers if number > sent]
    if _FLOOR.search(words) and not _CEILING.search(words):
        lower = []
        if higher:
            return Lesson(action="floor", name=name, value=_whole(min(higher)), reason=_short(words))
    if lower:
        return Lesson(action="cap", name=name, value=_whole(max(lower)), reason=_short(words))
    usual = next((bound for bound in (20, 5, 1) if name == "top_logprobs" and bound < sent), None)
    return None if usual is None else Lesson(action="cap", name=name, value=usual, reason=_short(words))


def _refused(name: str, parameters: Mapping[str, Any], words: str) -> Lesson:
    """What follows where the server does not take a parameter."""
    reason = _short(words)
    if name in ANSWER_LIMITS:
        other = next(each for each in ANSWER_LIMITS if each != name)
        if other in parameters:
            return Lesson(action="drop", name=name, reason=reason)
        return Lesson(action="rename", name=name, value=other, reason=reason)
    if name in ("logprobs", "top_logprobs"):
        return Lesson(action="close", name=LOGPROBS if "logprobs" in parameters else f"the parameter {name}",
                      reason=reason)  # fmt: skip
    if name in SAMPLING:
        return Lesson(action="drop", name=name, reason=reason)
    value = parameters[name]
    of_value = name == "response_format" or re.search(
        r"value|must be|one of|type|\bmode\b|budget", words, re.IGNORECASE
    )
    feature = value_feature(name, value) if of_value else f"the parameter {name}"
    return Lesson(action="close", name=feature, reason=reason)


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _short(words: str) -> str:
    text = " ".join(words.split())
    return text if len(text) <= 200 else f"{text[:199]}…"
