"""Errors out of the bodies that servers send, and what they mean; the bodies are written after real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.llm.replies.refusals import Meaning, meaning
from prompt_search.llm.replies.server_error import ServerError, is_error, read_error


def error(status: int, message: str, code: str = "", type: str = "", param: str = "") -> ServerError:
    return ServerError(status=status, message=message, code=code, type=type, param=param)


INNER = {
    "error": {"message": "it's no use", "type": "invalid_request_error", "param": "top_logprobs", "code": "too_big"}
}
WHOLE = error(400, "it's no use", "too_big", "invalid_request_error", "top_logprobs")
LITELLM = f"litellm.BadRequestError: OpenAIException - Error code: 400 - {INNER!r}. Received Model Group=m"


@pytest.mark.parametrize(
    ("status", "body", "read"),
    [
        # OpenAI, and gateways that quote it
        (400, INNER, WHOLE),
        (400, {"error": {"message": LITELLM, "type": None, "param": "None", "code": "400"}}, WHOLE),
        (500, {"error": {"message": LITELLM, "type": None, "param": "None", "code": "500"}}, WHOLE),
        (400, {"error": {"message": "Provider returned error", "code": 400,
                         "metadata": {"raw": json.dumps(INNER), "provider_name": "Crucible"}}}, WHOLE),
        (429, {"error": {"message": "Provider returned error", "code": 429,
                         "metadata": {"raw": "m is temporarily rate-limited upstream"}}},
         error(429, "m is temporarily rate-limited upstream", "429")),
        (502, {"error": {"message": f"VertexAIException - {json.dumps(INNER, indent=2).encode()!r}"}}, WHOLE),
        (400, json.dumps(json.dumps(INNER)), WHOLE),
        # Google, whose errors are in a list
        (400, [{"error": {"code": 400, "message": "no such field", "status": "INVALID_ARGUMENT", "details": [
            {"@type": "x/BadRequest", "fieldViolations": [{"field": "generation_config.top", "description": ""}]}]}}],
         error(400, "no such field", "400", "INVALID_ARGUMENT", "generation_config.top")),
        (429, [{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED", "details": [
            {"violations": [{"quotaId": "RequestsPerDay"}]}, {"retryDelay": "18s"}]}}],
         error(429, "slow", "RequestsPerDay", "RESOURCE_EXHAUSTED")),
        (429, {"error": {"message": json.dumps({"error": {"code": 429, "message": "exhausted"}}), "code": 429,
                         "status": "Too Many Requests"}}, error(429, "exhausted", "429", "Too Many Requests")),
        # FastAPI, and servers made with it
        (404, {"detail": "Not Found"}, error(404, "Not Found")),
        (422, {"detail": [{"type": "missing", "loc": ["body", "messages", 0, "content"], "msg": "Field required"}]},
         error(422, "messages.0.content: Field required", "", "missing", "messages.0.content")),
        (422, {"object": "error", "type": "invalid_request_error", "message": {"detail": [
            {"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}]}},
         error(422, "seed: Extra inputs are not permitted", "", "extra_forbidden", "seed")),
        (400, {"object": "error", "message": "too much", "type": "BadRequestError", "param": None, "code": 400},
         error(400, "too much", "400", "BadRequestError")),
        (400, {"error": {"message": "[{'type': 'extra_forbidden', 'loc': ('body', 'foo'), 'msg': 'Extra inputs'}]",
                         "type": "Bad Request", "code": 400}},
         error(400, "foo: Extra inputs", "400", "extra_forbidden", "foo")),
        # Anthropic, Azure, Ollama, TGI, llama.cpp, Cloudflare, NestJS, Spring, Bedrock, API management
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long"}},
         error(400, "prompt is too long", "", "invalid_request_error")),
        (400, {"error": {"message": "filtered", "type": None, "param": "prompt", "code": "content_filter",
                         "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         error(400, "filtered", "content_filter", "400", "prompt")),
        (404, {"error": "model 'x' not found, try pulling it first"},
         error(404, "model 'x' not found, try pulling it first")),
        (422, {"error": "Input validation error: `inputs` must be short", "error_type": "validation"},
         error(422, "Input validation error: `inputs` must be short", "", "validation")),
        (500, {"error": {"code": 500, "message": "the request exceeds", "type": "exceed_context_size_error"}},
         error(400, "the request exceeds", "500", "exceed_context_size_error")),
        (400, {"success": False, "errors": [{"code": 7003, "message": "no route"}, {"message": "at all"}]},
         error(400, "no route; at all", "7003")),
        (400, {"statusCode": 400, "message": ["seed must be a number", "top_k, too"], "error": "Bad Request"},
         error(400, "seed must be a number; top_k, too")),
        (404, {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v1"}, error(404, "Not Found", "", "404")),
        (400, {"Message": "malformed input", "__type": "ValidationException"},
         error(400, "malformed input", "", "ValidationException")),
        (429, {"statusCode": 429, "message": "Try again in 20 seconds."}, error(429, "Try again in 20 seconds.")),
        (400, {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "seed is odd"},
         error(400, "seed is odd", "", "about:blank")),
        # sent as a success
        (200, {"error": {"code": "429", "message": "slow"}}, error(429, "slow", "429")),
        (200, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}, error(429, "slow", "rate_limit_exceeded")),
        (200, {"error": {"code": "context_length_exceeded", "message": "long"}},
         error(400, "long", "context_length_exceeded")),
        (200, {"error": "the model crashed"}, error(500, "the model crashed")),
        (200, {"error": {"message": "no", "type": "authentication_error"}},
         error(401, "no", "", "authentication_error")),
        # texts, pages, nothing
        (502, "upstream \ufeffdied", error(502, "upstream \ufeffdied")),
        (413, "<html><head><title>413 Request Entity Too Large</title></head><body>x</body></html>",
         error(413, "413 Request Entity Too Large")),
        (403, "<p>You <b>may</b> not &amp; <script>never()</script>will not</p>", error(403, "You may not & will not")),
        (500, "", error(500, "no explanation")),
        (500, "{}", error(500, "no explanation")),
        (500, {"error": {"code": 500, "message": ""}}, error(500, '{"error": {"code": 500, "message": ""}}', "500")),
        (400, {"error": {"message": "got {'role': 'user'} and {x}"}}, error(400, "got {'role': 'user'} and {x}")),
    ],
)  # fmt: skip
def test_error_is_read(status: int, body: Any, read: ServerError) -> None:
    """Message, code, type and parameter are those of the innermost error."""
    assert read_error(status, (body if isinstance(body, str) else json.dumps(body)).encode()) == read
    if not isinstance(body, str):
        assert read_error(status, body) == read


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        ({"error": "no"}, True), ({"errors": ["no"]}, True), ({"object": "error", "message": "no"}, True),
        ({"type": "error"}, True), ({"success": False}, True), ({"error_message": "no"}, True),
        ({"error": None, "choices": [{}]}, False), ({"error": {}, "message": "hello"}, False), ({"choices": []}, False),
        ([{"status_code": 400, "message": "no"}], True), ([{"error": "no"}, {"choices": [{}]}], False),
        ({"error": "no", "choices": [{}]}, False), ([], False), (None, False), ({"status": "ok"}, False),
    ],
)  # fmt: skip
def test_errors_sent_as_success(body: Any, is_one: bool) -> None:
    """A body without choices that calls itself an error is one."""
    assert is_error(body) is is_one


def azure(message: str) -> ServerError:
    return error(400, message, "content_filter")


@pytest.mark.parametrize(
    ("of", "means"),
    [
        # too long
        (error(400, "no", "context_length_exceeded"), "context_length"),
        (error(400, "This model's maximum context length is 4096 tokens. However, you requested 5000"),
         "context_length"),
        (error(400, "request (4390 tokens) exceeds the available context size (4096 tokens)"), "context_length"),
        (error(500, "Context size has been exceeded.", "500", "server_error"), "context_length"),
        (error(500, "the request exceeds the available context size. try increasing it"), "context_length"),
        (error(400, "Requested tokens (2285) exceed context window of 2048"), "context_length"),
        (error(400, "prompt is too long: 213462 tokens > 200000 maximum", "", "invalid_request_error"),
         "context_length"),
        (error(400, "Input is too long for requested model."), "context_length"),
        (error(422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 3000"), "context_length"),
        (error(422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 and 200"), "context_length"),
        (error(400, "The input token count (40000) exceeds the maximum number of tokens allowed (32768)."),
         "context_length"),
        (error(400, "too many tokens: total number of tokens in the prompt cannot exceed 4081"), "context_length"),
        (error(400, "Please reduce the length of the messages or completion."), "context_length"),
        (error(413, "413 Request Entity Too Large"), "context_length"),
        (error(413, "Request too large for model on tokens per minute (TPM): Limit 6000, Requested 13246",
               "rate_limit_exceeded", "tokens"), "context_length"),
        (error(429, "Request too large for gpt-4o: Limit 30000, Requested 46770.", "rate_limit_exceeded"),
         "context_length"),
        # withheld
        (azure("The response was filtered due to the prompt triggering Azure OpenAI's content management policy."),
         "content_filter"),
        (error(400, "no", "ResponsibleAIPolicyViolation"), "content_filter"),
        (error(400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
               "invalid_prompt"), "content_filter"),
        (error(403, "m requires moderation on P. Your input was flagged for \"violence\"", "403"), "content_filter"),
        (error(400, "Content Exists Risk", "invalid_request_error"), "content_filter"),
        (error(400, "Input data may contain inappropriate content.", "data_inspection_failed"), "content_filter"),
        (error(400, "The request was rejected because it was considered high risk", "", "content_filter"),
         "content_filter"),
        (error(400, "The prompt was blocked due to safety reasons"), "content_filter"),
        (error(400, "Violated guardrail policy"), "content_filter"),
        (error(500, "litellm.ContentPolicyViolationError: AzureException"), "content_filter"),
        (error(451, "Unavailable For Legal Reasons"), "content_filter"),
        # refused requests
        (error(400, "Unsupported parameter: 'max_tokens'", "unsupported_parameter", "", "max_tokens"), "bad_request"),
        (error(400, "max_tokens is too large: 5000. This model supports at most 4096 completion tokens"),
         "bad_request"),
        (error(400, "Invalid value for safety_settings"), "bad_request"),
        (error(404, "No endpoints found that support the requested parameters"), "bad_request"),
        (error(500, "Jinja Exception: Conversation roles must alternate user/assistant/user"), "bad_request"),
        (error(500, "System role not supported", "500", "server_error"), "bad_request"),
        (error(500, "chat() got an unexpected keyword argument 'top_logprobs'"), "bad_request"),
        (error(500, "litellm.UnsupportedParamsError: m does not support parameters: ['logprobs']"), "bad_request"),
        (error(502, "Model m supports at most 1 image", "", "invalid_request_error"), "bad_request"),
        # passing
        (error(500, "the server stumbled"), "passing"),
        (error(500, "Internal Server Error"), "passing"),
        (error(500, "litellm.InternalServerError: bad request upstream"), "passing"),
        (error(500, "CUDA out of memory in the chat template error handler"), "passing"),
        (error(500, "the moderation service is unavailable"), "passing"),
        (error(502, "Bad Gateway"), "passing"),
        (error(503, "bad request: no healthy upstream"), "passing"),
        (error(504, "Gateway Time-out"), "passing"),
        (error(429, "Too many tokens, please wait before trying again."), "passing"),
        (error(429, "Rate limit reached for m on tokens per min. Please try again in 1.2s", "rate_limit_exceeded"),
         "passing"),
        (error(429, "You exceeded your current quota, please check your plan. Please retry in 18.2s.", "PerMinute",
               "RESOURCE_EXHAUSTED"), "passing"),
        (error(424, "Request failed during generation"), "passing"),
        (error(498, "Flex tier capacity exceeded", "capacity_exceeded"), "passing"),
        (error(529, "Overloaded", "", "overloaded_error"), "passing"),
        # the end of the run
        (error(401, "Unauthorized"), "key"),
        (error(400, "API key not valid. Please pass a valid API key.", "API_KEY_INVALID", "INVALID_ARGUMENT"), "key"),
        (error(400, "Incorrect API key provided: [key]"), "key"),
        (error(403, "<title>Forbidden"), "access"),
        (error(404, "page not found"), "model"),
        (error(405, "Method Not Allowed"), "model"),
        (error(400, "Model Not Exist", "invalid_request_error"), "model"),
        (error(400, "nothing of this name", "model_not_found"), "model"),
        (error(402, "Insufficient Balance"), "payment"),
        (error(402, "This request requires more credits, or fewer max_tokens."), "payment"),
        (error(429, "You exceeded your current quota, please check your plan", "insufficient_quota"), "quota"),
        (error(429, "You exceeded your current quota. Please retry in 18s.", "RequestsPerDay-FreeTier"), "quota"),
        (error(400, "Your credit balance is too low to access the Anthropic API."), "quota"),
        (error(400, "Billing hard limit has been reached", "billing_hard_limit_reached"), "quota"),
        (error(403, "Your account is not active, please check your billing details"), "quota"),
        (error(429, "Your account is suspended due to insufficient balance", "exceeded_current_quota_error"), "quota"),
    ],
)  # fmt: skip
def test_refusals_mean(of: ServerError, means: Meaning) -> None:
    """Statuses, codes and words say whether the run, the request or only this attempt is over."""
    assert meaning(of) == means


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([LITELLM, "{", "{'a': ", "<p", "None", "[{", "error code: 400 {'message': 'x'}", 10**400]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["error", "message", "code", "type", "detail", "details", "loc", "metadata", "raw", "status"])
        | st.text(max_size=4),
        inner,
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@given(st.sampled_from([200, 400, 404, 429, 500]), values)
def test_any_value_is_an_error(status: int, value: Any) -> None:
    """Whatever stands in a body, there is an error with a status, words and a meaning."""
    read = read_error(status, value)
    assert 400 <= read.status <= 599
    assert read.message
    assert meaning(read)


@given(st.sampled_from([200, 400, 500]), st.binary(max_size=60))
def test_any_bytes_are_an_error(status: int, content: bytes) -> None:
    """So do any bytes."""
    assert read_error(status, content).message
