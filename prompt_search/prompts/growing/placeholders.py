"""Placeholders of option texts, which code around the prompt fills in: ``{name}``, ``$name``, ``<name>``, ``%s``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

PLACEHOLDER: Final = re.compile(
    r"\$\{\s*[A-Za-z_]\w*\s*\}|\$[A-Za-z_]\w*|\{\s*(?:[A-Za-z_][\w.]*|\d*)\s*\}|</?[A-Za-z_][\w-]*>"
    r"|%\([A-Za-z_]\w*\)[sdrf]|(?<![\w%])%[sdrf]\b"
)
"""A placeholder, or a tag of markup: both have to stay as they are."""

_FILLED = re.compile(r"\$\{|\$[A-Za-z_]|\{|%[(sdrf]")
_IN_BRACKETS = re.compile(r"[\[<{]\s*([^\W\d][\w -]{0,60}?)\s*[\]>}]")


def placeholders_in(text: str) -> tuple[str, ...]:
    """The different placeholders of a text in their order, without spaces inside of them.

    >>> placeholders_in("Greet { name } in <tone>, {name}!")
    ('{name}', '<tone>')
    """
    return tuple(dict.fromkeys(re.sub(r"\s+", "", found[0]) for found in PLACEHOLDER.finditer(text)))


def shared_placeholders(texts: Sequence[str]) -> tuple[str, ...]:
    """The placeholders that all texts have, in the order of the first.

    >>> shared_placeholders(["{a} and {b}", "{b}"])
    ('{b}',)
    """
    counts = Counter(place for text in texts for place in placeholders_in(text))
    return tuple(place for place, count in counts.items() if count == len(texts))


def added_placeholder(text: str, parents: Sequence[str], fields: Sequence[Mapping[str, object]]) -> str:
    """A placeholder of a text that no parent has and nothing fills in, or "".

    A tag in angle brackets may be markup, and a word in square ones a word, unless it names a field of the rows.

    >>> added_placeholder("Sort {text} into <answer> tags.", ["Sort it."], [])
    '{text}'
    >>> added_placeholder("Sort [text].", ["Sort it."], [{"text": "a text"}])
    '[text]'
    """
    known = {place for parent in parents for place in placeholders_in(parent)}
    for place in placeholders_in(text):
        if place not in known and _FILLED.match(place):
            return place
    names = {_plain(name) for row in fields for name in row}
    for found in _IN_BRACKETS.finditer(text):
        if _plain(found[1]) in names and not any(found[0] in parent for parent in parents):
            return found[0]
    return ""


def _plain(name: object) -> str:
    """A name without case and signs: models write ``[FULL TEXT]`` for ``full_text``."""
    return re.sub(r"[\W_]+", " ", str(name).casefold()).strip()
