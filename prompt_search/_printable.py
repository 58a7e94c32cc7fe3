"""Texts from outside as a terminal can only show them: no character in them is obeyed."""

from __future__ import annotations

import unicodedata

_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def printable(text: str, tab: str = " ") -> str:
    r"""A text that a terminal can only show: control characters, and those that change the direction of what follows,
    become visible escapes; lines end as they do. ``tab`` stands for a tab.

    >>> printable("a\x1b[31m\tb\nc\u202e")
    'a\\x1b[31m b\nc\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in ("\n", *_JOINERS) else tab if each == "\t" else _shown(each)
        for each in text.replace("\r\n", "\n")
    )


def named(character: str) -> str:
    """The escape that stands for a character that cannot be seen."""
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def _shown(character: str) -> str:
    """A character that cannot be shown as what it is called; a space of another kind as a space."""
    if unicodedata.category(character) == "Zs":
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else named(character)
