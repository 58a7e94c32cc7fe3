"""Keys and passwords are kept out of every text that users see: messages, logs, stored responses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

from prompt_search.errors import InputError

SHORTEST_SECRET: Final = 4
"""Number of characters from which the value of a query is treated as a secret, and from which a secret is replaced
inside of words as well: replacing a shorter one there would blank ordinary words."""

SHORTEST_WORD: Final = 12
"""Number of characters from which a secret of letters alone is replaced in answers as well: a model writes words."""

LONGEST_MESSAGE: Final = 500
"""Number of characters to which a server's message is cut."""

NO_KEY: Final = "unused"
"""The key that is sent to a server that may need none; it is no secret."""

DUMMY_KEYS: Final = frozenset(
    {
        NO_KEY, "anything", "default", "dummy", "empty", "fake", "lm-studio", "local", "localhost", "model", "no key",
        "no-key", "no_key", "none", "not-needed", "null", "ollama", "openai", "placeholder", "study", "test", "token",
        "vllm",
    }
)  # fmt: skip
"""Keys, in lower case, that people give for servers that need none. They are ordinary words: replacing ``test`` would
garble what a message says of test rows."""

_KEY_PATTERN = re.compile(
    r"\b(?:sk|gsk|xai|hf|pk)[-_][\w*.\-]{6,}|(?<=Bearer )[^\s\"'\\,;<>]+|(?<=Basic )[\w+/=]{4,}", re.IGNORECASE
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with the given secrets, in each form in which servers quote them, and whatever looks like a key,
    replaced.

    >>> redact("wrong key: sk-abc123def456, or hunter2", ["hunter2"])
    'wrong key: [key], or [key]'
    >>> redact("POST /v1?key=a%2Fb%3D1, not my", ["a/b=1", "y"])
    'POST /v1?key=[key], not my'
    """
    pattern = _pattern_of(tuple(sorted({*secrets})))
    return _KEY_PATTERN.sub("[key]", text if pattern is None else pattern.sub("[key]", text))


def redact_answer(content: bytes, secrets: Iterable[str]) -> bytes:
    """The body of an answer without the given secrets: a server may quote a key in what it sends as an answer.

    Nothing else is changed, and no word that a model may have written.
    """
    told = tuple(sorted({secret for secret in secrets if not secret.isalpha() or len(secret) >= SHORTEST_WORD}))
    pattern = _pattern_of(told)
    if pattern is None:
        return content
    text = content.decode("utf-8", "surrogateescape")
    return pattern.sub("[key]", text).encode("utf-8", "surrogateescape") if pattern.search(text) else content


@lru_cache(maxsize=64)
def _pattern_of(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    """What matches the secrets, as they are, in a URL, and in JSON; None without any."""
    forms = {
        form
        for secret in filter(None, secrets)
        for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    }
    if not forms:
        return None
    every = (
        re.escape(form) if len(form) >= SHORTEST_SECRET else rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
        for form in sorted(forms, key=len, reverse=True)
    )
    return re.compile("|".join(every))


def redacted_line(text: str, secrets: Iterable[str]) -> str:
    """``text`` fit for a message: on one line, without keys, and short.

    Keys are replaced before the line is cut: half a key would not be recognized.
    """
    line = redact(" ".join(text.split()), secrets)
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 3]}..."


def secrets_in(url: str, key: str = "") -> tuple[str, ...]:
    """A key, and the password and the query values of a URL, as far as they can be secrets; user and password also as
    they are sent in a header.

    >>> secrets_in("https://user:hunter2@example.org/v1?version=v1", "EMPTY")
    ('hunter2', 'dXNlcjpodW50ZXIy')
    """
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query) if len(value) >= SHORTEST_SECRET]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user or password:
        values += [password, base64.b64encode(f"{user}:{password}".encode()).decode()]
        values += [user] if not user.isalpha() and len(user) >= SHORTEST_SECRET else []
    values += [] if key.casefold() in DUMMY_KEYS or (key.isalpha() and len(key) < SHORTEST_SECRET) else [key]
    return tuple(value for value in values if value)


def public_url(url: str) -> str:
    """``url`` without user, password, query, fragment and final slash.

    >>> public_url("HTTPS://user:secret@Example.org:8000/v1/?key=secret")
    'https://example.org:8000/v1'
    """
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1].lower()
    return urlunsplit((parts.scheme.lower(), host, parts.path.rstrip("/"), "", ""))


def check_url(url: str, name: str) -> None:
    """Refuse what is not an HTTP URL, without quoting its password.

    Raises:
        InputError: the scheme, the host or the port is missing or wrong.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        valid = False
    if not valid:
        shown = url.rsplit("@", 1)[-1].split("?", 1)[0]
        raise InputError(f"{name} must be a URL such as http://127.0.0.1:8000/v1, got {shown or repr(shown)}")
