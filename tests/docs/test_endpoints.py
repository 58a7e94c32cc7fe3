"""The page on endpoints: each of its models is asked at the address, and in the way, that the provider documents."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_httpserver import HTTPServer
from typer.core import TyperGroup
from typer.main import get_command

import prompt_search as ps
from prompt_search.cli.app import app
from prompt_search.cli.loading import model_settings
from prompt_search.cli.options import Overrides
from prompt_search.llm.model import OPENAI_URL, server_url
from prompt_search.testing import completion
from tests.llm.examples import complete

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"
KEY = "sk-secret-of-the-provider"
BEARER = {"Authorization": f"Bearer {KEY}"}
NO_KEY_NEEDED = {"Authorization": "Bearer unused"}

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
    "vLLM": [("http://127.0.0.1:8000/v1/chat/completions", {}, NO_KEY_NEEDED)],
    "llama.cpp": [("http://127.0.0.1:8080/v1/chat/completions", {}, NO_KEY_NEEDED)],
    "Ollama": [("http://127.0.0.1:11434/v1/chat/completions", {}, NO_KEY_NEEDED)],
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

HEADERS = {name for requests in DOCUMENTED.values() for _, _, headers in requests for name in headers}
"""The headers that tell who asks: a request has those that its provider documents, and none of the others."""

COMPANIES = ("OpenAI", "Azure", "OpenRouter", "Groq", "Mistral", "DeepSeek", "Gemini", "Anthropic")


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


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable that the page names holds the key; no other setting is there."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name in re.findall(r'api_key_env="(\w+)"|\$\{(\w+_KEY)\}', PAGE.read_text("utf-8")):
        monkeypatch.setenv("".join(name), KEY)


@pytest.mark.parametrize("section", DOCUMENTED)
def test_models_are_asked_as_their_providers_document(
    section: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request of each snippet has the documented address, query and headers; a local server stands in."""
    if section == "OpenAI":
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    httpserver.expect_request(re.compile(".*")).respond_with_json(completion("yes"))
    for model, (url, query, headers) in zip(models_of(section), DOCUMENTED[section], strict=True):
        assert f"{server_url(model)}/chat/completions" == url
        path = urlsplit(model.base_url or OPENAI_URL).path
        assert complete(replace(model, base_url=httpserver.url_for(path))).text == "yes"
        sent, _ = httpserver.log[-1]
        assert (sent.method, sent.path, dict(sent.args)) == ("POST", urlsplit(url).path, query)
        assert {name: sent.headers[name] for name in HEADERS if name in sent.headers} == headers
        assert json.loads(sent.data)["model"] == model.name


@pytest.mark.parametrize("section", COMPANIES)
def test_base_url_of_a_company_may_be_short_or_long(section: str) -> None:
    """The host alone, a final slash and the whole address of a request mean the same server."""
    for model, (url, _, _) in zip(models_of(section), DOCUMENTED[section], strict=True):
        parts = urlsplit(url)
        for given in (f"{parts.scheme}://{parts.netloc}", url, f"{url}/", f"{url.removesuffix('/chat/completions')}/"):
            assert f"{replace(model, base_url=given).endpoint}/chat/completions" == url


def test_page_names_every_option_of_the_command_line_for_a_server() -> None:
    """Each option that replaces the server of the study file, or what is sent to it, stands on the page."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    options = {option for each in group.commands["run"].params for option in each.opts}
    sent = {f"--{name.replace('_', '-')}" for name in model_settings(Overrides())}
    named = {option for option in options if {option, f"{option}s"} & sent}
    assert len(named) == len(sent)
    told = PAGE.read_text("utf-8")
    assert [option for option in sorted(named) if option not in told] == []


def test_every_section_of_a_provider_is_tested() -> None:
    """The page has no snippet without a documented request."""
    sections = re.findall(r"^## (.+)\n(?:(?!^## ).*\n)*?```python", PAGE.read_text("utf-8"), re.M)
    assert sections == list(DOCUMENTED)
