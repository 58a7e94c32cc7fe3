"""Models: what a server calls them, where it is, which environment variable holds its key, what its tokens cost."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import InitVar, dataclass, field, fields
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from prompt_search._first_tries import named, told_class
from prompt_search._names import check_name
from prompt_search.errors import InputError
from prompt_search.llm.address.base_url import API_VERSION, checked_url, has_version
from prompt_search.llm.address.hidden_values import CONTROL, HiddenValues
from prompt_search.llm.messages import Usage
from prompt_search.llm.price import Price, published_cost
from prompt_search.llm.rate_limit import check_limits
from prompt_search.llm.redaction import NO_KEY, public_url, secrets_in

BATCH_DISCOUNT: Final = 0.5
"""Share of the price that most servers take off for requests in batches."""

OPENAI_URL: Final = "https://api.openai.com/v1"

OF_SERVERS: Final = ("base_url", "api_key_env", "headers", "query", "api_version", "organization", "project")
"""Fields of a model that say how its server is reached."""

_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@told_class(
    "ps.Model('NAME', base_url=...)",
    url="write base_url=",
    **dict.fromkeys(
        ("temperature", "max_tokens", "top_p", "seed", "stop"),
        "write request={...} of the study, or of ask and evaluate",
    ),
)
@dataclass(frozen=True, slots=True, repr=False)
class Model:
    """A model and where it is served.

    ``name`` is the server's name of the model. ``base_url`` defaults to ``OPENAI_BASE_URL``, then to OpenAI's URL; what
    stands after it in the address of a request, ``/chat/completions``, may be left out or given, and for known
    providers the path, too.
    ``api_key_env`` names the environment variable that holds the key (default ``OPENAI_API_KEY``): the key
    itself is never kept here. ``gguf`` is set for the embedded model: see ``Model.local``. ``price``
    replaces the published price; ``batch_discount`` is the share of the price that batches take off (docs/batch.md).
    ``requests_per_minute`` and ``tokens_per_minute`` are the limits of your account, which are kept over any 60
    seconds; they do not belong to the settings of a study, so they may change between its runs. ``headers`` and
    ``query`` are sent with every request, are treated like keys and shown nowhere; ``${NAME}`` in them stands for an
    environment variable. ``organization`` and ``project`` are OpenAI's. ``api_version`` is for Azure: the model's name
    is then that of the deployment, ``base_url`` the address of the resource, and the key is sent as Azure wants it. See
    docs/endpoints.md.

    >>> Model("gpt-4o-mini", base_url="https://user:secret@example.org/v1/?key=secret").endpoint
    'https://example.org/v1'
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
    batch_discount: float = field(default=BATCH_DISCOUNT, kw_only=True)
    api_key: InitVar[str | None] = field(default=None, kw_only=True)

    def __post_init__(self, api_key: str | None) -> None:
        if api_key is not None:
            raise InputError(
                "a model takes no api_key, so that no file and no result holds one; set an environment variable to the "
                "key, and give its name: api_key_env='MY_KEY'"
            )
        if self.api_key_env is not None and not _VARIABLE.fullmatch(str(self.api_key_env)):
            raise InputError(
                "api_key_env is the name of an environment variable (letters, digits and _), got something else, which "
                "is not shown because it may be a key; set a variable to the key, and give its name"
            )
        if not isinstance(self.name, str):
            raise InputError(f"a model's name is a text, not {named(self.name)}; give one such as gpt-4o-mini")
        if not self.name.strip():
            raise InputError("a model needs a name, got an empty one; give one such as gpt-4o-mini, or local")
        check_name(self.name, "a model")
        if self.gguf is not None and any(getattr(self, name) is not None for name in OF_SERVERS):
            raise InputError("an embedded model takes no base_url and no key; give either gguf or base_url")
        if self.api_version is not None and self.base_url is None:
            raise InputError(
                "api_version is for Azure and needs the address of the resource; give "
                "base_url='https://NAME.openai.azure.com'"
            )
        if self.base_url is not None:
            checked_url(self.base_url, "base_url", model=self.name, api_version=self.api_version)
            in_url = dict(parse_qsl(urlsplit(self.base_url).query)).get(API_VERSION)
            if None not in (in_url, self.api_version) and in_url != self.api_version:
                raise InputError(f"api_version is {self.api_version} and that of base_url {in_url}; give one of them")
        for what in ("headers", "query"):
            given = getattr(self, what)
            if given is not None:
                object.__setattr__(self, what, HiddenValues(given, what) if given else None)
        check_limits(self.requests_per_minute, self.tokens_per_minute)
        discount = self.batch_discount
        if isinstance(discount, bool) or not isinstance(discount, int | float) or not 0 <= discount < 1:
            raise InputError(
                f"batch_discount is a share of the price from 0 to below 1, got {discount!r}; give one such as 0.5"
            )

    def __repr__(self) -> str:
        shown: dict[str, object] = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        shown["base_url"] = None if self.base_url is None else public_url(self.base_url)
        shown["batch_discount"] = None if self.batch_discount == BATCH_DISCOUNT else self.batch_discount
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
        query: Mapping[str, str] | None = None,
    ) -> Model:
        """A model as the command line names it: ``gpt-4o-mini``, ``local`` or ``local:FILE_OR_REPOSITORY``.

        >>> Model.parse("local:models/tiny.gguf")
        Model('tiny', gguf='models/tiny.gguf')
        """
        prefix, colon, gguf = text.partition(":")
        if prefix != "local":
            return cls(
                text, base_url=base_url, api_key_env=api_key_env, api_version=api_version, headers=headers, query=query
            )
        if any(given is not None for given in (base_url, api_key_env, api_version, headers, query)):
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
        user, password and query. May fetch the weights of a model from Hugging Face.

        Raises:
            InputError: ``OPENAI_BASE_URL`` is not a URL, or the name is that of a file, which OpenAI does not serve.
        """
        if self.gguf is None:
            url = public_url(server_url(self))
            if url == OPENAI_URL and self.name.casefold().endswith(".gguf"):
                raise InputError(
                    f"{OPENAI_URL} serves no files, got the model {self.name}; write local:{self.name}, or serve it "
                    f"with prompt-search model serve {shlex.quote(self.name)} and give its base URL"
                )
            return url
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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Address:
    """Where and how a model is asked: the base URL, the key, and what is sent besides.

    Attributes:
        url: the base URL, with the password and the query that it may hold.
        key: the key, or `NO_KEY`.
        headers: sent with every request, in place of those of the ``openai`` package; an empty one stands for none.
        query: added to that of the URL.
        secrets: the texts that no message may hold.
    """

    url: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


def address_of(model: Model) -> Address:
    """Where and how a model is asked.

    Raises:
        InputError: the key is needed and its variable is not set, or one that headers or query name.
    """
    url, key, own = server_url(model), api_key(model), _read(model.headers)
    by_openai = {"OpenAI-Organization": model.organization, "OpenAI-Project": model.project}
    headers = {name: value for name, value in by_openai.items() if value is not None}
    version = {} if model.api_version is None else {API_VERSION: model.api_version}
    if has_version(url, model.api_version):
        headers |= {"Authorization": "", "api-key": "" if key == NO_KEY else key}
    elif own and key == NO_KEY:
        headers["Authorization"] = ""  # the headers bring what the server wants
    replaced = {name.casefold() for name in own}
    return Address(
        url=url,
        key=key,
        headers={name: value for name, value in headers.items() if name.casefold() not in replaced} | own,
        query=version | _read(model.query),
        secrets=(*secrets_in(url, key), *model_secrets(model)),
    )


def _read(values: Mapping[str, str] | None) -> dict[str, str]:
    return values.read() if isinstance(values, HiddenValues) else {}


def server_url(model: Model) -> str:
    """The base URL of a model's server, with the password and the query that it may hold.

    Raises:
        InputError: ``OPENAI_BASE_URL`` is not a URL.
    """
    url, name = model.base_url, "base_url"
    if url is None:
        url, name = os.environ.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL, "OPENAI_BASE_URL"
    return checked_url(url, name, model=model.name, api_version=model.api_version)


def key_variable(model: Model) -> str:
    """The environment variable that holds the key of a model."""
    return model.api_key_env or "OPENAI_API_KEY"


def api_key(model: Model) -> str:
    """The key of a model's server, or `NO_KEY` for a server that may need none.

    Raises:
        InputError: the key is needed and its variable is not set.
    """
    key = _environment_key(model)
    if CONTROL.search(key):
        raise InputError(
            f"the environment variable {key_variable(model)} holds a line break or another control character, which no "
            f"key has; set it to the key of {model.name} alone"
        )
    if key:
        return key
    if model.api_key_env is not None:
        name = model.api_key_env if model.api_key_env.isupper() else "that api_key_env names"  # or a key, by mistake
        raise InputError(f"the environment variable {name} is not set; set it to the key of {model.name}")
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
    hidden = [values for values in (model.headers, model.query) if isinstance(values, HiddenValues)]
    sent = [value for values in hidden for value in values.secrets()]
    return secrets_in(server_url(model), _environment_key(model)) + tuple(sent)


def known_secrets(models: Iterable[Model] = ()) -> tuple[str, ...]:
    """The keys and passwords that no message may hold: those of the environment (``…API_KEY``, ``OPENAI_BASE_URL``) and
    of the models."""
    remote = [model for model in models if not model.is_local]
    names = {name for name in os.environ if name.endswith("API_KEY")} | {key_variable(model) for model in remote}
    secrets = [secret for name in names for secret in secrets_in("", os.environ.get(name, "").strip())]
    for url in {os.environ.get("OPENAI_BASE_URL", "").strip(), *(model.base_url or "" for model in remote)}:
        with suppress(ValueError):  # in a text that is no URL a password cannot be told from the rest
            secrets += secrets_in(url)
    for model in remote:
        with suppress(InputError):  # a model without an address has sent nothing
            secrets += model_secrets(model)
    return tuple(secrets)
