"""Headers and query values of requests: they may be keys, so nothing but a request shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from prompt_search.errors import InputError
from prompt_search.llm.redaction import DUMMY_KEYS, SHORTEST_SECRET

NO_SECRETS: Final = DUMMY_KEYS | {"true", "false"}
"""Values, in lower case, that are ordinary words: replacing them would garble messages."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WITHOUT_BRACES = re.compile(r"(?:^|\s)\$[A-Za-z_]\w*$")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~\w-]+", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class HiddenValues(Mapping[str, str]):
    """Texts by name, as a value that can be compared, hashed and pickled. ``${NAME}`` in a text stands for an
    environment variable, which is read where requests are sent. Only the names are shown.

    >>> HiddenValues({"X-Team": "billing", "X-Key": "${THEIR_KEY}"}, "headers")
    ['X-Key', 'X-Team']
    >>> HiddenValues({"X-Team": 7}, "headers")
    Traceback (most recent call last):
    prompt_search.errors.InputError: headers must be texts by name, got a int for 'X-Team'; write it in quotes
    """

    __slots__ = ("_texts",)

    def __init__(self, given: Mapping[str, str], what: str) -> None:
        if not isinstance(given, Mapping):
            example = "{'X-Team': 'a'}" if what == "headers" else "{'region': 'eu'}"
            raise InputError(f"{what} must be texts by name such as {example}, got a {type(given).__name__}")
        for name, text in given.items():
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"{what} must be texts by name, got the name {name!r}; give it one")
            if not isinstance(text, str):
                kind = type(text).__name__
                raise InputError(f"{what} must be texts by name, got a {kind} for {name!r}; write it in quotes")
            if _WITHOUT_BRACES.search(text):
                raise InputError(
                    f"the value of {name!r} in {what} names an environment variable without braces and would be sent "
                    "as it is written; write ${NAME}"
                )
            if CONTROL.search(name + text):
                raise InputError(f"{what} must be single lines, got another for {name!r}; remove control characters")
            if what == "headers" and not _TOKEN.fullmatch(name):
                raise InputError(f"a header's name must be letters, digits and dashes, got {name!r}; correct it")
        if what == "headers" and len({name.casefold() for name in given}) < len(given):
            raise InputError(f"headers must be given once each, got {', '.join(given)}; leave one out")
        self._texts = dict(given)

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __hash__(self) -> int:
        return hash(frozenset(self._texts.items()))

    def __repr__(self) -> str:
        return repr(sorted(self._texts))

    def read(self) -> dict[str, str]:
        """The texts with the values of the environment variables.

        Raises:
            InputError: a variable is not set.
        """
        return {name: _VARIABLE.sub(_of_environment, text).strip() for name, text in self._texts.items()}

    def secrets(self) -> list[str]:
        """What no message may hold: the values as they are sent, and what they read from the environment."""
        found: list[str] = []
        for text in self._texts.values():
            whole = _VARIABLE.sub(lambda match: os.environ.get(match.group(1), ""), text).strip()
            scheme, _, credentials = whole.partition(" ")
            found += [whole, credentials.strip() if scheme.casefold() in ("bearer", "basic", "token") else ""]
            found += [os.environ.get(name, "").strip() for name in _VARIABLE.findall(text)]
        return [text for text in found if len(text) >= SHORTEST_SECRET and text.casefold() not in NO_SECRETS]


def _of_environment(match: re.Match[str]) -> str:
    name = match.group(1)
    value = os.environ.get(name, "").strip()
    if not value:
        raise InputError(f"headers or query name the environment variable {name}, which is not set; set it")
    if CONTROL.search(value):
        raise InputError(
            f"headers or query name the environment variable {name}, which holds a line break or another control "
            "character; set it to one line without any"
        )
    return value
