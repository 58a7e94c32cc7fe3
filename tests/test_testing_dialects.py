"""The dialects of the fake server: statuses, bodies and words as real servers send them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prompt_search.errors import InputError
from prompt_search.testing import DIALECTS, FakeServer, ServerDialect, azure, gemma, llama_cpp, ollama, vllm
from prompt_search.testing.dialects.hosted import THOUGHT
from tests.http_examples import ask

SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}}}


def body(roles: str = "user", text: str = "good or bad", **parameters: Any) -> dict[str, Any]:
    messages = [{"role": role, "content": text} for role in roles.split()]
    return {"model": "fake", "messages": messages, **parameters}


def sent(dialect: str | ServerDialect, asked: Mapping[str, Any]) -> tuple[int, Any, dict[str, int]]:
    """Status and body of the response on a real socket, and what was counted as refused."""
    with FakeServer("good", dialect=dialect) as server:
        url, _, query = server.url.partition("?")
        ((status, text),) = ask(server, [dict(asked)], path=f"{url}/chat/completions?{query}")
        return status, json.loads(text), dict(server.refusals)


def openai(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


def mistral(message: Any, **fields: Any) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": None,
            **fields}  # fmt: skip


def anthropic(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "req_fake"}


def vllm_error(message: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


@pytest.mark.parametrize(
    ("dialect", "asked", "what", "status", "answer"),
    [
        ("openai-reasoning", body(max_tokens=5), "max_tokens", 400, openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.", param="max_tokens", code="unsupported_parameter")),
        ("openai-reasoning", body(temperature=0), "temperature", 400, openai(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
            "supported.", param="temperature", code="unsupported_value")),
        ("openai-reasoning", body(logprobs=True), "logprobs", 403,
         openai("You are not allowed to request logprobs from this model")),
        ("groq", body(logprobs=True), "logprobs", 400, openai("`logprobs` is not supported with this model")),
        ("groq", body(response_format={"type": "json_object"}), "json_object", 400, openai(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            param="messages")),
        ("mistral", body(seed=1), "extra", 422, mistral({"detail": [
            {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted",
             "input": 1}]})),
        ("mistral", body("user assistant"), "last assistant", 400, mistral(
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
            type="invalid_request_message_order", code="3230")),
        ("deepseek", body(response_format=SCHEMA), "json_schema", 400,
         openai("This response_format type is unavailable now", code="invalid_request_error")),
        ("gemini", body(logprobs=True), "logprobs", 400, [{"error": {
            "code": 400, "message": "Logprobs is not enabled for models/fake", "status": "INVALID_ARGUMENT"}}]),
        ("anthropic", body("user assistant"), "last assistant", 400, anthropic(
            "This model does not support assistant message prefill. The conversation must end with a user message.")),
        ("anthropic", body(temperature=1.5), "temperature", 400, anthropic("temperature: range: 0..1")),
        ("vllm", body(top_logprobs=200), "top_logprobs", 400,
         vllm_error("Requested sample logprobs of 200, which is greater than max allowed: 20")),
        (vllm(5), body(top_logprobs=6), "top_logprobs", 400,
         vllm_error("Requested sample logprobs of 6, which is greater than max allowed: 5")),
        (llama_cpp(context=2), body(), "context", 400, {"error": {
            "code": 400, "message": "request (3 tokens) exceeds the available context size (2 tokens), try increasing "
            "it", "type": "exceed_context_size_error", "n_prompt_tokens": 3, "n_ctx": 2}}),
        (gemma("vllm"), body("system user"), "system", 400, vllm_error("System role not supported")),
        (gemma("vllm"), body("user user"), "alternate", 400,
         vllm_error("Conversation roles must alternate user/assistant/user/assistant/...")),
        ("litellm", body(max_tokens=5), "max_tokens", 400, {"error": {
            "message": "litellm.BadRequestError: OpenAIException - Unsupported parameter: 'max_tokens' is not "
            "supported with this model. Use 'max_completion_tokens' instead.. Received Model Group=fake\nAvailable "
            "Model Group Fallbacks=None", "type": None, "param": None, "code": "400"}}),
    ],
)  # fmt: skip
def test_refusal_as_it_is_sent(
    dialect: str | ServerDialect, asked: Mapping[str, Any], what: str, status: int, answer: Any
) -> None:
    """A refused request gets the status, the shape and the words of the real server, and is counted."""
    assert sent(dialect, asked) == (status, answer, {what: 1})


@pytest.mark.parametrize(
    ("dialect", "asked", "status", "words"),
    [
        ("gemma", body("system user"), 500, "Error: Jinja Exception: System role not supported"),
        ("gemma", body("assistant user"), 500, "Error: Jinja Exception: Conversation roles must alternate user/assist"),
        ("litellm", body(logprobs=True), 400, "openai does not support parameters: ['logprobs'], for model=gpt-5-mini"),
        ("openrouter", body(top_logprobs=50), 400, "Expected a value <= 20, but got 50 instead."),
        (azure(filtered=["bad"]), body(), 400, "triggering Azure OpenAI's content management policy"),
    ],
)
def test_words_inside_of_long_refusals(
    dialect: str | ServerDialect, asked: Mapping[str, Any], status: int, words: str
) -> None:
    """Long refusals hold the words that matter somewhere inside."""
    got, answer, refusals = sent(dialect, asked)
    assert got == status
    assert words in json.dumps(answer)
    assert sum(refusals.values()) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_accepts_a_plain_question(dialect: str) -> None:
    """A question of a user without parameters is answered by every server."""
    status, answer, refusals = sent(dialect, body())
    assert (status, refusals) == (200, {})
    assert "good" in json.dumps(answer["choices"][0]["message"]["content"])


def test_thought_is_part_of_answers() -> None:
    """Servers show thought in different fields, and count it in the usage."""
    mistral_parts = sent("mistral", body())[1]["choices"][0]["message"]["content"]
    assert [part["type"] for part in mistral_parts] == ["thinking", "text"]
    deepseek = sent("deepseek", body())[1]
    assert deepseek["choices"][0]["message"]["reasoning_content"] == THOUGHT
    assert deepseek["usage"]["prompt_cache_hit_tokens"] == 0
    assert sent("openrouter", body())[1]["choices"][0]["message"]["reasoning"] == THOUGHT
    usage = sent("openai-reasoning", body(max_completion_tokens=400))[1]["usage"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 150 <= reasoning <= 300
    assert usage["completion_tokens"] == reasoning + 1


def test_reasoning_without_room_gives_an_empty_answer() -> None:
    """Where all tokens go into thought, the answer is empty, and ended by the limit."""
    answer = sent("openai-reasoning", body(max_completion_tokens=16))[1]
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 16


def test_ollama_cuts_and_leaves_out_in_silence() -> None:
    """Prompts above the context count as many tokens as it has; log-probabilities are neither given nor refused."""
    _, answer, refusals = sent(ollama(context=10), body(text="word " * 50, logprobs=True))
    assert answer["usage"]["prompt_tokens"] == 10
    assert "logprobs" not in answer["choices"][0]
    assert refusals == {}


def test_azure_needs_its_version() -> None:
    """The deployment's path without api-version is no resource."""
    with FakeServer(dialect=azure("mine")) as server:
        url = server.url.partition("?")[0]
        assert url.endswith("/openai/deployments/mine")
        ((status, text),) = ask(server, [body()], path=f"{url}/chat/completions")
        assert (status, json.loads(text)) == (404, {"error": {"message": "Resource not found", "code": "404"}})
        assert server.refusals == {"api-version": 1}


def test_unknown_dialect_is_an_error() -> None:
    """A name that is none is an error that lists the dialects."""
    with pytest.raises(InputError, match="there is no dialect 'azur'; take one of openai, openai-reasoning, azure,"):
        FakeServer(dialect="azur")


def test_documented_table_is_that_of_the_dialects() -> None:
    """The page about testing lists every dialect with what it does."""
    page = (Path(__file__).parents[1] / "docs" / "testing.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{each.name}` | {each.about} |" for each in DIALECTS.values()]
