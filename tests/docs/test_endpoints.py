"""The page on endpoints: each of its models is asked at the address, and in the way, that the provider documents."""

from __future__ import annotations

import asyncio
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_httpserver import HTTPServer

import prompt_search as ps
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request
from prompt_search.llm.model import OPENAI_URL, server_url
from tests.conftest import completion

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"
KEY = "sk-secret-of-the-provider"
BEARER = {"Authorization": f"Bearer {KEY}"}

DOCUMENTED: dict[str, list[tuple[str, dict[str, str], dict[str, str]]]] = {
    "OpenAI": [
        ("https://api.openai.com/v1/chat/completions", {}, BEARER),
        (
            "https://api.openai.com/v1/chat/completions",
            {},
            BEARER | {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj_1"},
        ),
    ],
    "Azure": [
        (
            "https://my-resource.openai.azure.com/openai/deployments/my-deployment/chat/completions",
            {"api-version": "2024-10-21"},
            {"api-key": KEY},
        ),
        ("https://my-resource.openai.azure.com/openai/v1/chat/completions", {}, BEARER),
    ],
    "OpenRouter": [("https://openrouter.ai/api/v1/chat/completions", {}, BEARER | {"X-Title": "my search"})],
    "Groq": [("https://api.groq.com/openai/v1/chat/completions", {}, BEARER)],
    "Mistral": [("https://api.mistral.ai/v1/chat/completions", {}, BEARER)],
    "DeepSeek": [("https://api.deepseek.com/v1/chat/completions", {}, BEARER)],
    "Gemini": [("https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", {}, BEARER)],
    "Anthropic": [("https://api.anthropic.com/v1/chat/completions", {}, BEARER)],
    "vLLM": [("http://127.0.0.1:8000/v1/chat/completions", {}, {})],
    "llama.cpp": [("http://127.0.0.1:8080/v1/chat/completions", {}, {})],
    "Ollama": [("http://127.0.0.1:11434/v1/chat/completions", {}, {})],
    "LiteLLM": [("http://127.0.0.1:4000/v1/chat/completions", {}, BEARER)],
    "Gateways and others": [
        (
            "https://gateway.example.org/v1/chat/completions",
            {"region": "eu"},
            {"X-Gateway-Key": KEY, "X-Team": "search"},
        )
    ],
}
"""URL, query and headers of a request to each provider."""


def models_of(section: str) -> list[ps.Model]:
    """The models that a section of the page makes, in their order; those of this process left out."""
    made: list[ps.Model] = []
    source = re.search(rf"^## {re.escape(section)}\n.*?```python\n(.*?)```", PAGE.read_text("utf-8"), re.M | re.S)
    assert source is not None
    for statement in re.split(r"^(?=model = )", source.group(1), flags=re.M):
        names: dict[str, Any] = {"ps": ps}
        exec(compile(statement, f"{PAGE.name} {section}", "exec"), names)
        made += [names["model"]] if "model" in names and not names["model"].is_local else []
    return made


def ask(model: ps.Model) -> ps.Response:
    request = Request(endpoint=model.endpoint, model=model.name, messages=(Message("user", "hi"),))

    async def asked() -> ps.Response:
        async with Client(model) as client:
            return await client.complete(request)

    return asyncio.run(asked())


def keyed(monkeypatch: pytest.MonkeyPatch, models: list[ps.Model]) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("GATEWAY_KEY", KEY)
    for model in models:
        name = model.api_key_env or ("OPENAI_API_KEY" if model.base_url is None else None)
        if name:
            monkeypatch.setenv(name, KEY)


@pytest.mark.parametrize("section", DOCUMENTED)
def test_models_are_asked_as_their_providers_document(
    section: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request of each snippet has the documented address, query and headers; a local server stands in."""
    models = models_of(section)
    keyed(monkeypatch, models)
    assert len(models) == len(DOCUMENTED[section])
    for model, (url, query, headers) in zip(models, DOCUMENTED[section], strict=True):
        base = urlsplit(server_url(model))
        assert f"{base.scheme}://{base.netloc}{base.path}/chat/completions" == url
        httpserver.clear()
        httpserver.expect_request(urlsplit(url).path, query_string=query).respond_with_json(completion("yes"))
        here = httpserver.url_for("").rstrip("/")
        given = model.base_url or OPENAI_URL
        stand_in = replace(model, base_url=f"{here}{urlsplit(given).path}")
        assert ask(stand_in).text == "yes"
        sent, _ = httpserver.log[-1]
        assert {name: sent.headers.get(name) for name in headers} == headers
        assert ("Authorization" in sent.headers) == ("Authorization" in headers or not headers)


def test_every_section_of_a_provider_is_tested() -> None:
    """The page has no snippet without a documented request."""
    sections = re.findall(r"^## (.+)\n(?:(?!^## ).*\n)*?```python", PAGE.read_text("utf-8"), re.M)
    assert sections == list(DOCUMENTED)


@pytest.mark.parametrize(
    "given",
    [
        "http://host:1/v1",
        "http://host:1/v1/",
        "http://host:1/v1/chat/completions",
        "http://host:1/v1/chat/completions/",
    ],
)
def test_base_url_may_be_the_whole_address(given: str) -> None:
    """A final slash, and what every request's address ends with, may be given."""
    model = ps.Model("m", base_url=given)
    assert (server_url(model), model.endpoint) == ("http://host:1/v1", "http://host:1/v1")


def test_headers_are_secrets(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header and query values are shown nowhere: not in a representation, not in an error that quotes them."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    secret = "hunter2-of-the-gateway"
    model = ps.Model(
        "m", base_url=httpserver.url_for("/v1"), headers={"X-Gateway": secret}, query={"token": "query-secret"}
    )
    assert secret not in repr(model)
    assert "query-secret" not in repr(model)
    assert "headers=['X-Gateway'], query=['token']" in repr(model)
    said = {"error": {"message": f"not allowed: {secret}, query-secret"}}
    httpserver.expect_request("/v1/chat/completions").respond_with_json(said, status=400)
    response = ask(model)
    assert response.error is not None
    assert response.error.endswith("not allowed: [key], [key]")
    assert secret not in model.endpoint


def test_model_with_headers_is_a_value() -> None:
    """A model with headers and query can be hashed, compared and pickled."""
    one, other = (ps.Model("m", base_url="http://h:1", headers={"A": "b"}, query={"c": "d"}) for _ in range(2))
    assert one == other
    assert len({one, other}) == 1
    assert pickle.loads(pickle.dumps(one)) == one
    assert one != replace(one, headers={"A": "c"})


def test_wrong_settings_are_refused() -> None:
    """A version of Azure's API needs the resource's address, and headers are texts."""
    with pytest.raises(
        ps.InputError, match="api_version is for Azure and needs the address of the resource; give base"
    ):
        ps.Model("m", api_version="2024-10-21")
    headers: Any = {"X-Retries": 3}
    with pytest.raises(ps.InputError, match="headers must be texts by name, got a int for 'X-Retries'"):
        ps.Model("m", headers=headers)
