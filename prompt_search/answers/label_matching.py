"""Whether a text mentions a label, and whether a token begins one. `python_export` copies these functions' source."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def folded(text: str) -> str:
    """Text as it is searched: case and ways to write one character do not matter."""
    return unicodedata.normalize("NFKC", text).casefold()


def spaced(text: str) -> str:
    """A label as it is compared: case, and what stands between its words, do not matter.

    >>> spaced(" Card_Payment "), spaced("-1")
    ('card payment', '-1')
    """
    return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", folded(text).strip())


@lru_cache(maxsize=64)
def mention(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern that finds any label as whole words in folded text, and the label of each of its groups."""
    by_length = sorted(labels, key=lambda label: -len(spaced(label)))
    groups = {f"label{number}": label for number, label in enumerate(by_length)}
    return re.compile("|".join(f"(?P<{group}>{whole(label)})" for group, label in groups.items())), groups


def whole(label: str) -> str:
    """The pattern that finds a label as whole words in folded text."""
    words = spaced(label)
    # spaced leaves single spaces between words; re.escape writes each as "\ ".
    pattern = re.sub(r"\\ ", r"[\\s_-]+", re.escape(words))
    # An underscore is part of a word only if a letter or digit stands beyond it, so that _this_ is mentioned.
    before = r"(?<![^\W_])(?<![^\W_]_)" if needs_boundary(words[0]) else ""
    after = r"(?!_*[^\W_])" if needs_boundary(words[-1]) else ""
    return f"{before}{pattern}{after}"


def needs_boundary(character: str) -> bool:
    """Whether words in this script stand apart; letters without case (Chinese, Thai) mostly do not."""
    return character.isalnum() and unicodedata.category(character) != "Lo"


def begins(token: str, label: str) -> bool:
    """Whether a first token begins the label, or is the label and something that is no letter or digit.

    >>> begins(" Pos", "positive"), begins("A)", "A"), begins("Answer", "A")
    (True, True, False)
    """
    begun, words = spaced(token), spaced(label)
    if not begun:
        return False
    if words.startswith(begun):
        return True
    return begun.startswith(words) and not (needs_boundary(words[-1]) and begun[len(words)].isalnum())
