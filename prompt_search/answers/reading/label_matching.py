"""Labels as they are compared, patterns that find them in a text, and tokens that begin a label.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from prompt_search.answers.reading.plain_text import folded


def spaced(text: str) -> str:
    """A label in the form in which it is compared: without differences of case, typography and separators of words.

    A whole number that was written with decimals is the whole number, as tables turn ``1`` into ``1.0``.

    >>> spaced(" Card_Payment "), spaced("-1"), spaced("1.0")
    ('card payment', '-1', '1')
    """
    words = re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", folded(text).strip())
    return re.sub(r"^(-?\d+)\.0+$", r"\1", words)


@lru_cache(maxsize=64)
def mention(labels: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern that finds any label as whole words in folded text, and the label of each group of the pattern."""
    by_length = sorted(labels, key=lambda label: -len(spaced(label)))
    groups = {f"label{number}": label for number, label in enumerate(by_length)}
    return re.compile("|".join(f"(?P<{group}>{whole_words(label)})" for group, label in groups.items())), groups


def whole_words(label: str) -> str:
    """The pattern that finds one label as whole words in folded text."""
    words = spaced(label)
    # spaced leaves single spaces between words; re.escape writes each as "\ ".
    pattern = re.sub(r"\\ ", r"[\\s_-]+", re.escape(words))
    # An underscore is part of a word only if a letter or digit follows it, so that _this_ is found.
    before = r"(?<![^\W_])(?<![^\W_]_)" if needs_boundary(words[0]) else ""
    after = r"(?!_*[^\W_])" if needs_boundary(words[-1]) else ""
    if re.fullmatch(r"-?\d+", words):
        # 1 is mentioned in 1.0, not in -1, 1.5, 2.1 or 1,000.
        before += r"(?<!\d[.,])(?<!(?<![^\W_])-)"
        after = r"(?:\.0+)?(?![.,]?\d)" + after
    return f"{before}{pattern}{after}"


def needs_boundary(character: str) -> bool:
    """Whether the character's script separates words; scripts without case (Chinese, Thai) mostly do not."""
    return character.isalnum() and unicodedata.category(character) != "Lo"


def begins(token: str, label: str) -> bool:
    """Whether a first token begins the label, or is the label followed by something other than a letter or digit.

    >>> begins(" Pos", "positive"), begins("A)", "A"), begins("Answer", "A")
    (True, True, False)
    """
    begun, words = spaced(token), spaced(label)
    if not begun:
        return False
    if words.startswith(begun):
        return True
    return begun.startswith(words) and not (needs_boundary(words[-1]) and begun[len(words)].isalnum())


def label_masses(tokens: Iterable[tuple[str, float]], labels: Sequence[str]) -> dict[str, float]:
    """The summed probability of the tokens that begin each label and no other.

    Args:
        tokens: pairs of a token and its log-probability.
        labels: all labels of the answer.
    """
    masses = dict.fromkeys(labels, 0.0)
    for token, logprob in tokens:
        begun = [label for label in labels if begins(token, label)]
        if len(begun) == 1:
            masses[begun[0]] += math.exp(logprob)
    return masses
