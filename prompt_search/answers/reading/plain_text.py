"""Text without the differences that nobody sees: typography, widths, invisible characters; and free text as answers.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import re
import unicodedata

TYPOGRAPHY = str.maketrans(
    dict.fromkeys("‘’‚‛ʹʻʼʽˊˋ´′‵❛❜＇", "'")
    | dict.fromkeys("“”„‟«»″‶❝❞〝〞＂", '"')
    | dict.fromkeys("‐‑‒–—―−⁃﹘﹣－", "-")
    | dict.fromkeys("⁄∕", "/")
    | dict.fromkeys("\u2028\u2029\u0085", "\n")
)

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


BACKTICK_IN_WORD = re.compile(r"(?<=[^\W\d_])`(?=[^\W\d_])")


def cleaned(text: str) -> str:
    """The text with plain quotes, dashes, widths and ligatures, composed accents and no invisible characters.

    >>> cleaned("Don’t\\u200b know\\xa0ﬁrst – １")
    "Don't know first - 1"
    """
    text = BACKTICK_IN_WORD.sub("'", text)
    if text.isascii():
        return text
    visible = INVISIBLE.sub("", text.translate(TYPOGRAPHY))
    return unicodedata.normalize("NFKC", visible).translate(TYPOGRAPHY)


def folded(text: str) -> str:
    """The cleaned text without differences of case.

    >>> folded("Straße"), folded("STRASSE")
    ('strasse', 'strasse')
    """
    return cleaned(cleaned(text).casefold())


def unaccented(text: str) -> str:
    """The text without accents on its letters.

    >>> unaccented("Naïve café")
    'Naive cafe'
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text)))


def stated_text(text: str, *, strip: bool, first_line: bool) -> str:
    """The text, or its first line that is not blank, with or without white space around it."""
    if first_line:
        text = next(line for line in text.splitlines() if line.strip())
    return text.strip() if strip else text


def first_match(text: str, pattern: str, group: int | str | None) -> str | None:
    """What the group of a regular expression holds in its first match in the text; None without a match."""
    match = re.search(pattern, text)
    found: str | None = None if match is None else match.group(group or 0)
    return found
