"""Base URLs as people write them: with too much, too little, or Azure's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from prompt_search.errors import InputError
from prompt_search.llm.redaction import check_url, public_url

CHAT_PATHS: Final[Mapping[str, str]] = {
    "api.openai.com": "/v1",
    "openrouter.ai": "/api/v1",
    "api.groq.com": "/openai/v1",
    "api.mistral.ai": "/v1",
    "api.deepseek.com": "/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "api.anthropic.com": "/v1",
    "api.x.ai": "/v1",
    "api.together.xyz": "/v1",
    "api.fireworks.ai": "/inference/v1",
    "api.cerebras.ai": "/v1",
    "router.huggingface.co": "/v1",
}
"""Path of the base URL for chat completions, by the host of a provider."""

API_VERSION: Final = "api-version"
"""The parameter of the query that Azure's deployments need."""

_AZURE = re.compile(r"\.(?:openai|cognitiveservices|services\.ai)\.azure\.(?:com|us|cn)$")
_OTHER_APIS = re.compile(r"/(?:completions|responses|messages|embeddings|generateContent)$")


def has_version(url: str, api_version: str | None) -> bool:
    """Whether requests have a version of Azure's API, given apart or in the URL's query."""
    return api_version is not None or API_VERSION in dict(parse_qsl(urlsplit(url).query))


def checked_url(url: str, name: str, *, model: str, api_version: str | None = None) -> str:
    """The base URL that a user means: without ``/chat/completions``, with the path that the provider's base URL has,
    and with the deployment at Azure.

    Args:
        url: what the user gave.
        name: what messages call it.
        model: the name of the model, which at Azure is the deployment's.
        api_version: Azure's ``api-version``, where it is given apart.

    >>> checked_url("https://api.openai.com/v1/chat/completions", "base_url", model="gpt-4o")
    'https://api.openai.com/v1'
    >>> checked_url("https://name.openai.azure.com", "base_url", model="mine", api_version="2024-10-21")
    'https://name.openai.azure.com/openai/deployments/mine'
    >>> checked_url("https://name.openai.azure.com", "base_url", model="mine")
    'https://name.openai.azure.com/openai/v1'

    Raises:
        InputError: it is no HTTP URL, that of another API, or a deployment at Azure without a version.
    """
    check_url(url, name)
    parts = urlsplit(url)
    is_azure = _AZURE.search(parts.hostname or "") is not None
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    if _OTHER_APIS.search(path):
        meant = _OTHER_APIS.sub("", public_url(url))
        raise InputError(f"{name} must be that of chat completions, got {public_url(url)}; try {meant}")
    if has_version(url, api_version):
        path = _of_deployment(path, model)
    elif is_azure and "/deployments/" in path:
        raise InputError(
            f"Azure's deployments need a version, got {name}={public_url(url)}; give api_version='2024-10-21', or the "
            f"base URL https://{parts.hostname}/openai/v1"
        )
    elif is_azure and path in ("", "/openai"):
        path = "/openai/v1"
    return urlunsplit(parts._replace(path=path or CHAT_PATHS.get(parts.hostname or "", ""), fragment=""))


def _of_deployment(path: str, model: str) -> str:
    """The path of a deployment, for a path that may have it already or be that of another API with versions."""
    if "/deployments/" in path or path.endswith(("/v1", "/models")):
        return path
    return f"{path.removesuffix('/openai')}/openai/deployments/{quote(model, safe='')}"


def other_url(url: str) -> str | None:
    """The base URL to try where a server does not know the path of this one; None without an idea.

    >>> other_url("http://127.0.0.1:8000"), other_url("https://api.groq.com/v1"), other_url("http://127.0.0.1/v1")
    ('http://127.0.0.1:8000/v1', 'https://api.groq.com/openai/v1', None)
    """
    parts = urlsplit(public_url(url))
    path = CHAT_PATHS.get(parts.hostname or "", "" if parts.path else "/v1")
    return None if path in ("", parts.path) else urlunsplit(parts._replace(path=path))
