"""What a server's refusal means: for the run, for the request, or only for now; by its status, codes and words."""

from __future__ import annotations

import re
from typing import Final, Literal

from prompt_search.llm.replies.server_error import ServerError

Meaning = Literal[
    "key", "payment", "access", "model", "quota", "passing", "context_length", "content_filter", "bad_request"
]
"""What a refusal means.

- ``key``, ``payment``, ``access``, ``model``, ``quota``: no request will be answered.
- ``passing``: another attempt may succeed.
- ``context_length``, ``content_filter``, ``bad_request``: this request will never be answered.
"""

RETRIED_STATUS: Final = frozenset({408, 409, 424, 425, 429, 498, 499})
"""Statuses below 500 that may pass: besides the usual ones a failed generation (424) and a lack of capacity (498)."""

NO_CAPACITY_STATUS: Final = frozenset({429, 498, 503, 529})

_OF_STATUS: Final[dict[int, Meaning]] = {401: "key", 402: "payment", 403: "access", 404: "model", 405: "model"}

_WRAPPING_STATUS: Final = frozenset({500, 501, 502})
"""Statuses with which servers also refuse a single request: llama.cpp where a chat template raises, gateways where the
provider refuses."""


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.DOTALL)


_QUOTA = _words(
    r"insufficient[_ ]quota", r"exceeded_current_quota", r"billing[_ ]hard[_ ]limit", r"credit balance is too low",
    r"insufficient (?:account )?(?:balance|credits?|funds)", r"out of credits", r"account is not active",
    r"account_?deactivated", r"arrearage", r"account ?overdue", r"exceeded your (?:current quota|monthly)",
    r"quota\W{1,3}per ?day", r"perday\w*freetier",
)  # fmt: skip
_PER_MINUTE = _words(r"retry in \d", r"try again in \d", r"per ?minute", r"rate limit")
_RATE = _words(r"rate limit (?:reached|exceeded)", r"rate_limit_exceeded", r"too many requests")
_KEY = _words(r"(?:invalid|incorrect) api[_ -]?key", r"api[_ -]?key (?:is )?(?:not valid|invalid)", r"api_key_invalid")
_MODEL = _words(r"model_not_found", r"model not exist", r"invalid model name", r"unknown_model", r"deploymentnotfound")
_NO_ENDPOINT = _words(r"no endpoints found that (?:support|can handle)")
_TOO_LARGE = _words(r"request too large", r"tokens must be reduced in order", r"request_too_large")
_CONTEXT = _words(
    r"context[_ -]?(?:length|window|size)", r"max_model_len|maximum model length", r"tokens_limit_reached",
    r"(?:context|prompt|input|messages?|request|sequence|conversation)s?\b.{0,40}\btoo (?:long|large)\b",
    r"too many (?:input |prompt |total )?tokens", r"maximum (?:number of )?(?:input |prompt )?tokens? allowed",
    r"maximum number of tokens", r"(?:input|prompt) (?:length|tokens?|token count)\b.{0,60}\bexceed",
    r"must have less than \d+ tokens", r"tokens?`? \+ `?max_(?:new_)?tokens`? must be", r"maximum input length",
    r"reduce the length of", r"exceed.{0,40}\bcontext\b",
)  # fmt: skip
_FILTER = _words(
    r"content[_ ]?filter", r"content (?:management )?policy", r"content_policy", r"contentpolicy",
    r"responsible ?ai", r"usage polic(?:y|ies)", r"\bflagged\b", r"moderation", r"prompt[_ ]blocked", r"blockreason",
    r"safety (?:system|filter|polic|reason|check|guideline|setting)s?.{0,40}(?:block|reject|refus|violat|flag)",
    r"(?:block|reject|refus|violat|flag)\w* (?:by|due to|because of|for) .{0,40}(?:safety|polic|guardrail|filter)",
    r"guardrail", r"data_?inspection_?failed", r"inappropriate content", r"content exists risk",
    r"prohibited[_ ]content", r"disallowed (?:words?|content)", r"by policy", r"considered high risk",
    r"harmful content", r"sensitive content",
)  # fmt: skip
_REQUEST = _words(
    r"bad ?request", r"invalid[_ ]request", r"invalid[_ ]argument", r"unsupported_?(?:params?|value|parameter)",
    r"unprocessable", r"(?:input )?validation ?error", r"jinja", r"(?:chat |prompt )?template ?(?:error|exception)",
    r"roles? must alternate", r"role\b.{0,30}not supported", r"is not supported", r"does not support",
    r"extra inputs are not permitted", r"unrecognized request argument", r"unknown (?:parameter|field|argument)",
    r"unexpected keyword argument", r"failed to parse (?:messages|grammar)", r"message must be at the beginning",
    r"cannot (?:have|use) .{0,30}(?:assistant|system)", r"must be (?:the )?(?:last|first|user)\b",
)  # fmt: skip
_PASSING = _words(
    r"rate.?limit", r"overload", r"tim(?:ed?|e) ?out", r"try again", r"temporar", r"unavailable", r"busy",
    r"connection (?:error|reset|refused|closed)", r"apiconnectionerror", r"out of memory", r"internalservererror",
)  # fmt: skip


def meaning(error: ServerError) -> Meaning:
    """What a refusal means.

    >>> meaning(ServerError(status=500, message="Jinja Exception: System role not supported"))
    'bad_request'
    >>> meaning(ServerError(status=500, message="the server stumbled"))
    'passing'
    """
    words = f"{error.code} {error.type} {error.message[:2000]}".casefold()
    status = error.status
    if _is_quota(status, words):
        return "quota"
    if status in (403, 451) and (status == 451 or _FILTER.search(words)):
        return "content_filter"
    if status in _OF_STATUS and not _NO_ENDPOINT.search(words):
        return _OF_STATUS[status]
    if status < 500 and status != 429 and (_KEY.search(words) or _MODEL.search(words)):
        return "key" if _KEY.search(words) else "model"
    return _of_request(status, words, error.message.casefold())


def _is_quota(status: int, words: str) -> bool:
    """Whether the account has no money or no requests left; a limit for a minute that calls itself a quota is none."""
    if status == 402 or not _QUOTA.search(words):
        return False
    return "perday" in words or "insufficient_quota" in words or not _PER_MINUTE.search(words)


def _of_request(status: int, words: str, message: str) -> Meaning:
    """What a refusal means that does not end the run."""
    if status == 413 or _TOO_LARGE.search(words):
        return "context_length"
    if status in RETRIED_STATUS or _RATE.search(words):
        return "passing"
    if _CONTEXT.search(words):
        return "context_length"
    if status >= 500 and (status not in _WRAPPING_STATUS or _PASSING.search(message)):
        return "passing"
    if _FILTER.search(words):
        return "content_filter"
    return "bad_request" if status < 500 or _REQUEST.search(words) else "passing"
