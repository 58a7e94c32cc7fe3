"""What real servers accept, refuse and count, as small descriptions that `FakeServer` follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prompt_search.errors import InputError
from prompt_search.testing.dialects.description import Refused, Rule, ServerDialect
from prompt_search.testing.dialects.gateways import LITELLM, OPENROUTER, azure
from prompt_search.testing.dialects.hosted import (
    ANTHROPIC,
    DEEPSEEK,
    GEMINI,
    GROQ,
    MISTRAL,
    OPENAI,
    openai_reasoning,
)
from prompt_search.testing.dialects.self_hosted import gemma, llama_cpp, ollama, vllm

__all__ = [
    "DIALECTS",
    "Refused",
    "Rule",
    "ServerDialect",
    "azure",
    "dialect_named",
    "gemma",
    "llama_cpp",
    "ollama",
    "openai_reasoning",
    "vllm",
]

DIALECTS: Final[Mapping[str, ServerDialect]] = {
    each.name: each
    for each in (
        OPENAI,
        openai_reasoning(),
        azure(),
        OPENROUTER,
        GROQ,
        MISTRAL,
        DEEPSEEK,
        GEMINI,
        ANTHROPIC,
        vllm(),
        llama_cpp(),
        gemma(),
        ollama(),
        LITELLM,
    )
}
"""The dialects by name."""


def dialect_named(dialect: str | ServerDialect) -> ServerDialect:
    """A dialect by its name; one that is given whole is returned as it is.

    >>> dialect_named("vllm").name
    'vllm'
    >>> dialect_named("cobol")
    Traceback (most recent call last):
    prompt_search.errors.InputError: there is no dialect 'cobol'; take one of openai, openai-reasoning, azure, \
openrouter, groq, mistral, deepseek, gemini, anthropic, vllm, llama.cpp, gemma, ollama, litellm
    """
    if isinstance(dialect, ServerDialect):
        return dialect
    if dialect not in DIALECTS:
        raise InputError(f"there is no dialect {dialect!r}; take one of {', '.join(DIALECTS)}")
    return DIALECTS[dialect]
