"""Companies that serve models. Their words come from public bug reports where one was found; none was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from prompt_search.testing.dialects.description import (
    Rule,
    ServerDialect,
    above,
    ends_with_assistant,
    has,
    has_format,
    openai_error,
    thought_tokens,
    with_message,
    without_word_json,
)
from prompt_search.testing.responses import Body, FakeResponse

THOUGHT: Final = "The user wants a label. It could be one or the other, so look again."
"""What models that think say before they answer."""

OPENAI: Final = ServerDialect(name="openai", about="Accepts everything.")

WORD_JSON: Final = Rule(
    what="json_object",
    applies=without_word_json,
    words="'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    fields={"param": "messages"},
)


def _only_default_temperature(body: Body) -> bool:
    return bool(body.get("temperature", 1) != 1)


_REASONING_REFUSES: Final = (
    Rule(
        what="max_tokens",
        applies=has("max_tokens"),
        words="Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead.",
        fields={"param": "max_tokens", "code": "unsupported_parameter"},
    ),
    Rule(
        what="temperature",
        applies=_only_default_temperature,
        words=lambda body: (
            f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. "
            "Only the default (1) value is supported."
        ),
        fields={"param": "temperature", "code": "unsupported_value"},
    ),
    Rule(
        what="logprobs",
        applies=has("logprobs", "top_logprobs"),
        words="You are not allowed to request logprobs from this model",
        status=403,
    ),
)


def openai_reasoning(thought: int = 300) -> ServerDialect:
    """A reasoning model at OpenAI, which thinks for at most ``thought`` tokens."""

    def think(body: Body, answer: dict[str, Any]) -> dict[str, Any]:
        usage = dict(answer["usage"])
        reasoning = thought_tokens(body, thought)
        room = body.get("max_completion_tokens")
        if room is not None and reasoning + usage["completion_tokens"] > room:
            reasoning = room
            usage["completion_tokens"] = 0
            answer = with_message(answer, content="")
            answer["choices"][0]["finish_reason"] = "length"
        usage["completion_tokens"] += reasoning
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning, "accepted_prediction_tokens": 0}
        return {**answer, "usage": usage}

    return ServerDialect(
        name="openai-reasoning",
        about=(
            "Refuses `max_tokens`, any `temperature` but 1, and log-probabilities. Thinks inside of "
            "`max_completion_tokens`: without room the answer is empty and ends by `length`."
        ),
        rules=_REASONING_REFUSES,
        changes=(think,),
    )


def _groq_too_many(wait_s: float) -> FakeResponse:
    words = (
        "Rate limit reached for model `fake` in organization `org_fake` service tier `on_demand` on tokens per minute "
        f"(TPM): Limit 6000, Used 5880, Requested 240. Please try again in {wait_s:.3f}s. Need more tokens? Upgrade to "
        "Dev Tier today at https://console.groq.com/settings/billing"
    )
    return openai_error(429, words, {"type": "tokens", "code": "rate_limit_exceeded"})


GROQ: Final = ServerDialect(
    name="groq",
    about="Refuses log-probabilities and JSON schemas. A 429 says in words when to come again.",
    rules=(
        Rule(
            what="logprobs",
            applies=has("logprobs", "top_logprobs"),
            words="`logprobs` is not supported with this model",
        ),
        Rule(
            what="json_schema",
            applies=has_format("json_schema"),
            words="This model does not support response format `json_schema`. See supported models at "
            "https://console.groq.com/docs/structured-outputs#supported-models",
            fields={"param": "response_format"},
        ),
        WORD_JSON,
    ),
    too_many=_groq_too_many,
)

_MISTRAL_KNOWS: Final = frozenset(
    {"model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed",
     "response_format", "tools", "tool_choice", "presence_penalty",
     "frequency_penalty", "n", "prediction", "parallel_tool_calls", "safe_prompt", "metadata", "prompt_mode"}
)  # fmt: skip


def _unknown_to_mistral(body: Body) -> bool:
    return not _MISTRAL_KNOWS.issuperset(body)


def _mistral_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    message = fields.get("message", words)
    error = {"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": None}
    return FakeResponse(status=status, body={**error, **fields})


def _extra_forbidden(body: Body) -> dict[str, Any]:
    said = "Extra inputs are not permitted"
    unknown = [name for name in body if name not in _MISTRAL_KNOWS]
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": said, "input": body[name]} for name in unknown]
    return {"message": {"detail": detail}}


def _mistral_parts(body: Body, answer: dict[str, Any]) -> dict[str, Any]:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}], "closed": True}
    text = {"type": "text", "text": answer["choices"][0]["message"]["content"]}
    return with_message(answer, content=[thinking, text])


MISTRAL: Final = ServerDialect(
    name="mistral",
    about=(
        "Refuses every parameter that it does not know (422, `extra_forbidden`), log-probabilities and `seed` among "
        "them, and a last message from the assistant. Answers are lists of parts, the first of which is thinking."
    ),
    rules=(
        Rule(what="extra", applies=_unknown_to_mistral, words="", status=422, fields=_extra_forbidden),
        Rule(
            what="last assistant",
            applies=ends_with_assistant,
            words="Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
            fields={"type": "invalid_request_message_order", "code": "3230"},
        ),
    ),
    shape=_mistral_shape,
    changes=(_mistral_parts,),
)


def _deepseek_usage(body: Body, answer: dict[str, Any]) -> dict[str, Any]:
    usage = dict(answer["usage"])
    reasoning = len(THOUGHT.split())
    usage["completion_tokens"] += reasoning
    usage["prompt_cache_hit_tokens"] = usage["prompt_tokens"] // 64 * 64
    usage["prompt_cache_miss_tokens"] = usage["prompt_tokens"] % 64
    usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
    usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return {**with_message(answer, reasoning_content=THOUGHT), "usage": usage}


DEEPSEEK: Final = ServerDialect(
    name="deepseek",
    about=(
        "Refuses JSON schemas, JSON of which the prompt does not speak, and `top_logprobs` above 20. Answers have "
        "`reasoning_content`, the usage has `prompt_cache_hit_tokens`."
    ),
    rules=(
        Rule(
            what="json_schema",
            applies=has_format("json_schema"),
            words="This response_format type is unavailable now",
            fields={"code": "invalid_request_error"},
        ),
        Rule(
            what="json_object",
            applies=without_word_json,
            words="Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
            fields={"code": "invalid_request_error"},
        ),
        Rule(
            what="top_logprobs",
            applies=above("top_logprobs", 20),
            words="Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]",
            fields={"code": "invalid_request_error"},
        ),
    ),
    changes=(_deepseek_usage,),
)


def _gemini_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    error = {"code": status, "message": words, "status": "INVALID_ARGUMENT", **fields}
    return FakeResponse(status=status, body=json.dumps([{"error": error}]))


def _gemini_too_many(wait_s: float) -> FakeResponse:
    google = "type.googleapis.com/google.rpc"
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
        "quotaValue": "10",
    }
    details = [
        {"@type": f"{google}.QuotaFailure", "violations": [violation]},
        {"@type": f"{google}.RetryInfo", "retryDelay": f"{wait_s:.3f}s"},
    ]
    words = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
    )
    return _gemini_shape(429, words, {"status": "RESOURCE_EXHAUSTED", "details": details})


def _unknown_seed(body: Body) -> dict[str, Any]:
    violation = {"description": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}
    return {
        "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}],
    }


GEMINI: Final = ServerDialect(
    name="gemini",
    about=(
        "Refuses log-probabilities and `seed`. Errors stand in a list; a 429 has a `retryDelay`, and no `Retry-After`."
    ),
    rules=(
        Rule(
            what="seed",
            applies=has("seed"),
            words='Invalid JSON payload received. Unknown name "seed": Cannot find field.',
            fields=_unknown_seed,
        ),
        Rule(
            what="logprobs",
            applies=has("logprobs", "top_logprobs"),
            words="Logprobs is not enabled for models/fake",
        ),
    ),
    shape=_gemini_shape,
    too_many=_gemini_too_many,
)


def _anthropic_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    error = {"type": "invalid_request_error", "message": words, **fields}
    return FakeResponse(status=status, body={"type": "error", "error": error, "request_id": "req_fake"})


ANTHROPIC: Final = ServerDialect(
    name="anthropic",
    about=(
        "Takes log-probabilities, `response_format` and `seed` without heeding them. Refuses a temperature above 1, "
        "and a last message from the assistant."
    ),
    rules=(
        Rule(
            what="last assistant",
            applies=ends_with_assistant,
            words="This model does not support assistant message prefill. The conversation must end with a user "
            "message.",
        ),
        Rule(what="temperature", applies=above("temperature", 1), words="temperature: range: 0..1"),
    ),
    shape=_anthropic_shape,
    ignores=frozenset({"logprobs", "top_logprobs", "response_format", "seed"}),
)
