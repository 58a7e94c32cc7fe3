"""Keys and passwords are kept out of every text that users see: messages, logs, stored responses."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit, urlunsplit

from prompt_search._printable import printable
from prompt_search.errors import InputError

SHORTEST_SECRET: Final = 4
"""Number of characters from which the value of a query is treated as a secret, and from which a secret is replaced
inside of words as well: replacing a shorter one there would blank ordinary words."""

SHORTEST_WORD: Final = 12
"""Number of characters from which a secret of letters alone is replaced in answers as well: a model writes words."""

SHORTEST_CODED: Final = 6
"""Number of characters from which a secret is looked for in base64: what shorter ones come to may be a word."""

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
    return _KEY_PATTERN.sub("[key]", replace_secrets(text, secrets))


def replace_secrets(text: str, secrets: Iterable[str]) -> str:
    """``text`` with the given secrets replaced, in each form in which servers quote them."""
    pattern, _ = _forms_of(tuple(secrets))
    return text if pattern is None else pattern.sub("[key]", text)


def quotes_secret(text: bytes, secrets: Iterable[str]) -> bool:
    """Whether a text in UTF-8 may hold one of the secrets: a quick look, which is right where it says no."""
    _, forms = _forms_of(tuple(secrets))
    lower = text.lower()
    return any(form in lower for form in forms)


@lru_cache(maxsize=64)
def _forms_of(secrets: tuple[str, ...]) -> tuple[re.Pattern[str] | None, tuple[bytes, ...]]:
    """What matches the secrets in every form, None without any; and all forms in lower case."""
    forms = sorted({form for secret in filter(None, secrets) for form in _forms(secret)}, key=len, reverse=True)
    if not forms:
        return None, ()
    every = (
        re.escape(form) if len(form) >= SHORTEST_SECRET else rf"(?<![^\W_]){re.escape(form)}(?![^\W_])"
        for form in forms
    )
    return re.compile("|".join(every), re.IGNORECASE), tuple(
        {form.encode("utf-8", "surrogatepass").lower() for form in forms}
    )


def _forms(secret: str) -> set[str]:
    """A secret as it is, in a URL, in JSON, in HTML, as Python writes it, in base64, and read in a wrong encoding."""
    forms = {secret, *_coded(secret.encode("utf-8", "surrogatepass"))}
    for spelling in {secret} if secret.isascii() else {secret, secret.upper(), secret.lower()}:
        raw = spelling.encode("utf-8", "surrogatepass")
        forms |= {spelling, quote(raw, safe=""), quote_plus(raw), quote(raw)}
        forms |= {html.escape(spelling), repr(spelling)[1:-1], ascii(spelling)[1:-1], repr(raw)[2:-1]}
        forms |= {raw.decode("latin-1"), json.dumps(spelling, ensure_ascii=False)[1:-1]}
    return forms | {json.dumps(form)[1:-1] for form in forms}  # each of them may be quoted in JSON


def _coded(raw: bytes) -> set[str]:
    """A secret as a part of any text in base64: three ways, by the place where it begins in that text."""
    if len(raw) < SHORTEST_CODED:
        return set()
    whole = {
        encode(bytes(before) + raw)[(0, 2, 3)[before] : -4 if (before + len(raw)) % 3 else None].decode()
        for before in range(3)
        for encode in (base64.b64encode, base64.urlsafe_b64encode)
    }
    return {*whole, base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("=")}


def redacted_line(text: str, secrets: Iterable[str]) -> str:
    """``text`` fit for a message: on one line, without keys and characters that terminals obey, and short.

    Keys are replaced before the line is cut: half a key would not be recognized.
    """
    line = printable(redact(" ".join(text.split()), secrets))
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
