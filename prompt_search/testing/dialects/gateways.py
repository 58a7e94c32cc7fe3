"""Servers that stand before others, whose errors they wrap."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from prompt_search.testing.dialects.description import Rule, ServerDialect, above, has, with_message
from prompt_search.testing.dialects.hosted import THOUGHT, openai_reasoning
from prompt_search.testing.responses import Body, FakeResponse, prompt_of

_FILTERED: Final = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry. To learn more about our content filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766"
)
_SAFE: Final = {"filtered": False, "severity": "safe"}


def _azure_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    return FakeResponse(status=status, body={"error": {"message": words, **fields}})


def azure(deployment: str = "fake", filtered: Collection[str] = ()) -> ServerDialect:
    """A deployment at Azure, whose content filter refuses prompts that contain one of the ``filtered`` texts."""
    texts = tuple(filtered)
    result = {"hate": _SAFE, "jailbreak": {"filtered": False, "detected": False}, "self_harm": _SAFE, "sexual": _SAFE}
    result["violence"] = {"filtered": True, "severity": "medium"}
    return ServerDialect(
        name="azure",
        about=(
            "Has the path `/openai/deployments/NAME/chat/completions`, which needs `api-version`. "
            "`azure(filtered=...)`: the content filter refuses prompts with these texts."
        ),
        rules=(
            Rule(
                what="content filter",
                applies=lambda body: any(text in prompt_of(body) for text in texts),
                words=_FILTERED,
                fields={
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result},
                },
            ),
        ),
        shape=_azure_shape,
        base=f"/openai/deployments/{deployment}",
        query={"api-version": "2024-10-21"},
    )


def _openrouter_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    raw = {"message": words, "type": "invalid_request_error", "param": None, "code": None, **fields}
    metadata = {"raw": json.dumps({"error": raw}, indent=2), "provider_name": "Crucible", "is_byok": False}
    error = {"message": "Provider returned error", "code": status, "metadata": metadata}
    return FakeResponse(status=status, body={"error": error, "user_id": "user_fake"})


def _openrouter_stumbled() -> FakeResponse:
    metadata = {"raw": "upstream connect error", "provider_name": "Crucible"}
    choice = {
        "index": 0,
        "finish_reason": "error",
        "native_finish_reason": None,
        "message": {"role": "assistant", "content": ""},
        "error": {"code": 502, "message": "Provider returned error", "metadata": metadata},
    }
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return FakeResponse(body={"id": "gen-1", "object": "chat.completion", "choices": [choice], "usage": usage})


OPENROUTER: Final = ServerDialect(
    name="openrouter",
    about=(
        "Refuses `top_logprobs` above 20; the provider's words stand in `metadata.raw`. A failure is a choice with an "
        "error, sent as a success. Answers have `reasoning`."
    ),
    rules=(
        Rule(
            what="top_logprobs",
            applies=above("top_logprobs", 20),
            words=lambda body: (
                "Invalid value for 'top_logprobs': integer above maximum value. Expected a value <= 20, but got "
                f"{body['top_logprobs']} instead."
            ),
            fields={"param": "top_logprobs", "code": "integer_above_max_value"},
        ),
    ),
    shape=_openrouter_shape,
    changes=(lambda body, answer: with_message(answer, reasoning=THOUGHT),),
    stumbled=_openrouter_stumbled,
)

_GROUP: Final = ". Received Model Group=fake\nAvailable Model Group Fallbacks=None"


def _litellm_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    error = {"message": f"{words}{_GROUP}", "type": None, "param": None, "code": str(status), **fields}
    return FakeResponse(status=status, body={"error": error})


def _unsupported(body: Body) -> str:
    named = [name for name in ("logprobs", "top_logprobs") if name in body]
    return (
        f"litellm.UnsupportedParamsError: openai does not support parameters: {named}, for model=gpt-5-mini. To drop "
        "these, set `litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n drop_params: true`\n. \n If you "
        f"want to use these params dynamically send allowed_openai_params={named} in your request."
    )


LITELLM: Final = ServerDialect(
    name="litellm",
    about="A proxy before a reasoning model: refuses log-probabilities, `max_tokens` and any `temperature` but 1.",
    rules=(
        Rule(what="logprobs", applies=has("logprobs", "top_logprobs"), words=_unsupported),
        Rule(
            what="temperature",
            applies=lambda body: body.get("temperature", 1) != 1,
            words=lambda body: (
                f"litellm.UnsupportedParamsError: gpt-5-mini doesn't support temperature={body['temperature']} while "
                "reasoning is active. Only temperature=1 is supported unless reasoning_effort resolves to 'none', "
                "either set explicitly on the request or declared as the model's default_reasoning_effort. To drop "
                "unsupported params set `litellm.drop_params = True`"
            ),
        ),
        Rule(
            what="max_tokens",
            applies=has("max_tokens"),
            words="litellm.BadRequestError: OpenAIException - Unsupported parameter: 'max_tokens' is not supported "
            "with this model. Use 'max_completion_tokens' instead.",
        ),
    ),
    shape=_litellm_shape,
    changes=openai_reasoning().changes,
)
