"""Programs that serve models anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from prompt_search.testing.dialects.description import Rule, ServerDialect, above, roles
from prompt_search.testing.responses import Body, FakeResponse, prompt_of


def _vllm_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    error = {"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": status}
    return FakeResponse(status=status, body={**error, **fields})


def _llama_cpp_shape(status: int, words: str, fields: Mapping[str, Any]) -> FakeResponse:
    error = {"code": status, "message": words, "type": "server_error", **fields}
    return FakeResponse(status=status, body={"error": error})


def vllm(most_logprobs: int = 20) -> ServerDialect:
    """vLLM with ``--max-logprobs``, which was 5 and is 20."""
    return ServerDialect(
        name="vllm",
        about="Refuses `top_logprobs` above 20. `vllm(most_logprobs=5)`: as older releases.",
        rules=(
            Rule(
                what="top_logprobs",
                applies=above("top_logprobs", most_logprobs),
                words=lambda body: (
                    f"Requested sample logprobs of {body['top_logprobs']}, which is greater than max allowed: "
                    f"{most_logprobs}"
                ),
            ),
        ),
        shape=_vllm_shape,
    )


def _words(body: Body) -> int:
    return len(prompt_of(body).split())


def llama_cpp(context: int = 4096) -> ServerDialect:
    """llama.cpp's server with room for so many tokens; a word is a token."""
    return ServerDialect(
        name="llama.cpp",
        about="Refuses prompts of more than 4,096 tokens (`exceed_context_size_error`). `llama_cpp(context=...)`.",
        rules=(
            Rule(
                what="context",
                applies=lambda body: _words(body) > context,
                words=lambda body: (
                    f"request ({_words(body)} tokens) exceeds the available context size ({context} tokens), "
                    "try increasing it"
                ),
                fields=lambda body: {
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": _words(body),
                    "n_ctx": context,
                },
            ),
        ),
        shape=_llama_cpp_shape,
    )


def _has_system(body: Body) -> bool:
    return "system" in roles(body)


def _does_not_alternate(body: Body) -> bool:
    listed = roles(body)
    return listed[0] != "user" or any(first == second for first, second in pairwise(listed))


def _raised(said: str, source: str) -> str:
    """What llama.cpp says where the model's chat template raises an exception."""
    return (
        f"\n------------\nWhile executing CallExpression at line 1, column 69 in source:\n...{source}...\n"
        f"{' ' * 43}^\nError: Jinja Exception: {said}"
    )


def gemma(engine: str = "llama.cpp") -> ServerDialect:
    """A model whose chat template takes neither a system message nor two messages of one role in a row.

    Args:
        engine: ``llama.cpp`` quotes the template with the status 500, ``vllm`` says what it raises with 400.
    """
    system, alternate = (
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    )
    quoted = engine == "llama.cpp"
    return ServerDialect(
        name="gemma",
        about=(
            "Refuses the system role, and roles that do not alternate, in the words of the model's chat template. "
            '`gemma("vllm")`: with the status 400 instead of 500.'
        ),
        rules=(
            Rule(
                what="system",
                applies=_has_system,
                words=_raised(
                    system,
                    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
                    "{% endif %}{% for message in messages %}",
                )
                if quoted
                else system,
                status=500 if quoted else 400,
            ),
            Rule(
                what="alternate",
                applies=_does_not_alternate,
                words=_raised(
                    alternate,
                    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation "
                    "roles must alternate user/assistant/user/assistant/...') }}",
                )
                if quoted
                else alternate,
                status=500 if quoted else 400,
            ),
        ),
        shape=_llama_cpp_shape if quoted else _vllm_shape,
    )


def ollama(context: int = 4096) -> ServerDialect:
    """Ollama with room for so many tokens (``num_ctx``); a word is a token."""

    def cut(body: Body, answer: dict[str, Any]) -> dict[str, Any]:
        usage = dict(answer["usage"])
        usage["prompt_tokens"] = min(usage["prompt_tokens"], context)
        usage["total_tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
        return {**answer, "usage": usage}

    return ServerDialect(
        name="ollama",
        about=(
            "Leaves out log-probabilities in silence. Cuts prompts in silence: `prompt_tokens` never exceeds 4,096. "
            "`ollama(context=...)`."
        ),
        ignores=frozenset({"logprobs", "top_logprobs"}),
        changes=(cut,),
    )
