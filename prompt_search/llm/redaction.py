"""Keys and passwords are kept out of every text that users see: messages, logs, stored responses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from prompt_search.errors import InputError

SHORTEST_SECRET: Final = 4
"""Number of characters from which a value is treated as a secret: replacing a shorter one would blank ordinary
words."""

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

_KEY_PATTERN = re.compile(r"\b(?:sk|gsk|xai|hf|pk)[-_][\w*.\-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` with the given secrets, and whatever looks like a key, replaced.

    >>> redact("wrong key: sk-abc123def456, or hunter2", ["hunter2"])
    'wrong key: [key], or [key]'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[key]")
    return _KEY_PATTERN.sub("[key]", text)


def redacted_line(text: str, secrets: Iterable[str]) -> str:
    """``text`` fit for a message: on one line, without keys, and short.

    Keys are replaced before the line is cut: half a key would not be recognized.
    """
    line = redact(" ".join(text.split()), secrets)
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 3]}..."


def secrets_in(url: str, key: str = "") -> tuple[str, ...]:
    """A key, and the password and the query values of a URL, as far as they can be secrets.

    >>> secrets_in("https://user:hunter2@example.org/v1?version=v1", "EMPTY")
    ('hunter2', 'hunter2')
    """
    parts = urlsplit(url)
    values = [value for _, value in parse_qsl(parts.query)]
    values += [unquote(parts.password or ""), parts.password or ""]
    values += [] if key.casefold() in DUMMY_KEYS else [key]
    return tuple(value for value in values if len(value) >= SHORTEST_SECRET)


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
