"""Models: what a server calls them, where it is, which environment variable holds its key, what its tokens cost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from prompt_search.errors import InputError
from prompt_search.llm.address.base_url import API_VERSION, checked_url
from prompt_search.llm.address.hidden_values import HiddenValues
from prompt_search.llm.messages import Usage
from prompt_search.llm.price import Price, published_cost
from prompt_search.llm.rate_limit import check_limits
from prompt_search.llm.redaction import DUMMY_KEYS, NO_KEY, SHORTEST_SECRET, public_url, secrets_in

OPENAI_URL: Final = "https://api.openai.com/v1"

OF_SERVERS: Final = ("base_url", "api_key_env", "headers", "query", "api_version", "organization", "project")
"""Fields of a model that say how its server is reached."""


@dataclass(frozen=True, slots=True, repr=False)
class Model:
    """A model and where it is served.

    Args:
        name: the server's name of the model; at Azure, that of the deployment.
        base_url: the server's URL up to ``/chat/completions``; default: ``OPENAI_BASE_URL``, then OpenAI's URL.
        api_key_env: the environment variable that holds the key, which itself is never kept here; default:
            ``OPENAI_API_KEY``.
        gguf: the weights of an embedded model: see ``Model.local``.
        price: replaces the published price.
        requests_per_minute: limit of your account, which is kept over any 60 seconds.
        tokens_per_minute: limit of your account, which is kept over any 60 seconds.
        headers: further headers of every request, such as ``{"X-Key": "${THEIR_KEY}"}``: ``${NAME}`` stands for the
            environment variable. They replace those that are sent otherwise, and are shown nowhere.
        query: further values of the URL's query, as ``headers``.
        api_version: version of Azure's API, such as ``2024-10-21``: requests go to the deployment's URL with an
            ``api-key``. Without it they go to Azure's ``/openai/v1``.
        organization: OpenAI's organization that is billed; default: ``OPENAI_ORG_ID``.
        project: OpenAI's project that is billed; default: ``OPENAI_PROJECT_ID``.

    The limits of the account and what goes into headers and query do not belong to the settings of a study, so they
    may change between its runs.

    >>> Model("gpt-4o-mini", base_url="https://user:secret@example.org/v1/?key=secret").endpoint
    'https://example.org/v1'
    >>> Model("mine", base_url="https://name.openai.azure.com", api_version="2024-10-21").endpoint
    'https://name.openai.azure.com/openai/deployments/mine'
    """

    name: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    gguf: str | None = field(default=None, kw_only=True)
    price: Price | None = field(default=None, kw_only=True)
    requests_per_minute: int | None = field(default=None, kw_only=True)
    tokens_per_minute: int | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] | None = field(default=None, kw_only=True)
    query: Mapping[str, str] | None = field(default=None, kw_only=True)
    api_version: str | None = field(default=None, kw_only=True)
    organization: str | None = field(default=None, kw_only=True)
    project: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InputError("a model needs a name, got an empty one; give one such as gpt-4o-mini, or local")
        if self.gguf is not None and any(getattr(self, name) is not None for name in OF_SERVERS):
            raise InputError("an embedded model takes no base_url and no key; give either gguf or base_url")
        for name in ("headers", "query"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _hidden(given, name))
        if self.api_version is not None and not self.api_version.strip():
            raise InputError("api_version must be one such as 2024-10-21, got an empty one; give it, or leave it out")
        if self.base_url is not None:
            checked_url(self.base_url, "base_url", model=self.name, api_version=self.api_version)
        elif self.api_version is not None and not os.environ.get("OPENAI_BASE_URL"):
            raise InputError("api_version is Azure's; give base_url, too, such as https://NAME.openai.azure.com")
        check_limits(self.requests_per_minute, self.tokens_per_minute)

    def __repr__(self) -> str:
        shown: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "name"}
        if self.base_url is not None:
            shown["base_url"] = public_url(self.base_url)
        parts = [f"{name}={value!r}" for name, value in shown.items() if value is not None]
        return f"Model({', '.join([repr(self.name), *parts])})"

    @classmethod
    def local(cls, gguf: str | None = None) -> Model:
        """The embedded model, or another GGUF file by path or Hugging Face name (see ``local_weights.resolve``).

        >>> Model.local()
        Model('SmolLM2-135M-Instruct', gguf='SmolLM2-135M-Instruct')
        """
        from prompt_search.llm.local_weights import BUILT_IN

        if gguf is None:
            return cls(BUILT_IN, gguf=BUILT_IN)
        return cls(Path(gguf).name.removesuffix(".gguf"), gguf=gguf)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        api_version: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Model:
        """A model as the command line names it: ``gpt-4o-mini``, ``local`` or ``local:FILE_OR_REPOSITORY``.

        >>> Model.parse("local:models/tiny.gguf")
        Model('tiny', gguf='models/tiny.gguf')
        """
        prefix, colon, gguf = text.partition(":")
        if prefix != "local":
            return cls(text, base_url=base_url, api_key_env=api_key_env, api_version=api_version, headers=headers)
        if any(given is not None for given in (base_url, api_key_env, api_version, headers)):
            raise InputError(f"the model {text} is served in this process; leave out the base URL and the key")
        if colon and not gguf:
            raise InputError("local: names no file; write local, or local:FILE.gguf")
        return cls.local(gguf or None)

    @property
    def is_local(self) -> bool:
        """Whether this process serves the model itself."""
        return self.gguf is not None

    @property
    def endpoint(self) -> str:
        """Identity of the server in request keys: ``local:<sha256 of the weights>``, or the base URL without
        user, password and query. May fetch the weights of a model from Hugging Face."""
        if self.gguf is None:
            return public_url(server_url(self))
        from prompt_search.llm import local_weights

        if self.gguf == local_weights.BUILT_IN:
            return f"local:{local_weights.BUILT_IN_SHA256}"
        return f"local:{local_weights.sha256(local_weights.resolve(self.gguf))}"

    def cost(self, usage: Usage) -> float:
        """US dollars for ``usage``; NaN when the price or the number of tokens is unknown."""
        if self.is_local:
            return 0.0
        if self.price is not None:
            return self.price.cost(usage)
        return published_cost(self.name, public_url(server_url(self)), usage)


def server_url(model: Model) -> str:
    """The base URL of a model's server, with the password and the query that it may hold.

    Raises:
        InputError: ``OPENAI_BASE_URL`` is not a URL.
    """
    url, name = model.base_url, "base_url"
    if url is None:
        url, name = os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL, "OPENAI_BASE_URL"
    return checked_url(url, name, model=model.name, api_version=model.api_version)


def server_query(model: Model) -> dict[str, str]:
    """The query of every request to a model's server.

    Raises:
        InputError: an environment variable that it names is not set.
    """
    version = {} if model.api_version is None else {API_VERSION: model.api_version.strip()}
    return {**dict(parse_qsl(urlsplit(server_url(model)).query)), **version, **_read(model.query)}


def server_headers(model: Model, key: str) -> dict[str, str]:
    """The headers of every request to a model's server that are not those of openai's client: Azure's for the key, and
    the model's own, which win. An empty ``Authorization`` stands for none.

    Raises:
        InputError: an environment variable that they name is not set.
    """
    own = _read(model.headers)
    if API_VERSION in server_query(model):
        return {"Authorization": "", **({} if key == NO_KEY else {"api-key": key}), **own}
    return {"Authorization": "", **own} if own and key == NO_KEY else own


def _read(values: Mapping[str, str] | None) -> dict[str, str]:
    return values.read() if isinstance(values, HiddenValues) else {}


def _hidden(given: Mapping[str, str], name: str) -> HiddenValues | None:
    """Headers or query values as a model keeps them; None without any."""
    made = HiddenValues(given, name)
    if name == "headers":
        for header in made:
            if not re.fullmatch(r"[!#$%&'*+.^_`|~\w-]+", header, re.ASCII):
                raise InputError(f"a header's name must be letters, digits and dashes, got {header!r}; correct it")
        if len({header.casefold() for header in made}) < len(made):
            raise InputError(f"headers must be given once each, got {', '.join(made)}; leave one out")
    return made if made else None


def key_variable(model: Model) -> str:
    """The environment variable that holds the key of a model."""
    return model.api_key_env or "OPENAI_API_KEY"


def api_key(model: Model) -> str:
    """The key of a model's server, or `NO_KEY` for a server that may need none.

    Raises:
        InputError: the key is needed and its variable is not set.
    """
    key = _environment_key(model)
    if key:
        return key
    if model.api_key_env is not None:
        raise InputError(f"the environment variable {model.api_key_env} is not set; set it to the key of {model.name}")
    brings_own = any(name.casefold() == "authorization" for name in model.headers or ())
    if public_url(server_url(model)) == OPENAI_URL and not brings_own:
        raise InputError(
            f"no key for the model {model.name} on {OPENAI_URL}; set OPENAI_API_KEY, give a base URL, "
            "or use --model local"
        )
    return NO_KEY


def _environment_key(model: Model) -> str:
    return os.environ.get(key_variable(model), "").strip()


def model_secrets(model: Model) -> tuple[str, ...]:
    """The key, password, headers and query values with which this process asks a model."""
    if model.is_local:
        return ()
    return (*secrets_in(server_url(model), _environment_key(model)), *_hidden_secrets(model))


def known_secrets(models: Iterable[Model] = ()) -> tuple[str, ...]:
    """The keys and passwords that no message may hold: those of the environment (``…API_KEY``, ``OPENAI_BASE_URL``) and
    of the models."""
    remote = [model for model in models if not model.is_local]
    names = {name for name in os.environ if name.endswith("API_KEY")} | {key_variable(model) for model in remote}
    secrets = [secret for name in names for secret in secrets_in("", os.environ.get(name, "").strip())]
    for url in {os.environ.get("OPENAI_BASE_URL", "").strip(), *(model.base_url or "" for model in remote)}:
        with suppress(ValueError):  # in a text that is no URL a password cannot be told from the rest
            secrets += secrets_in(url)
    return (*secrets, *(secret for model in remote for secret in _hidden_secrets(model)))


def _hidden_secrets(model: Model) -> list[str]:
    """Headers and query values of a model, as far as they can be secrets."""
    found = [
        secret
        for values in (model.headers, model.query)
        if isinstance(values, HiddenValues)
        for secret in values.secrets()
    ]
    return [secret for secret in found if len(secret) >= SHORTEST_SECRET and secret.casefold() not in DUMMY_KEYS]
