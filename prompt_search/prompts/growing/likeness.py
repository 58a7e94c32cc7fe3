"""Words that two texts share: runs that one copied from the other, and how alike both are."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

COPIED_WORDS: Final = 8
"""Number of words in a row that a text may not share with a row of the data."""

ALIKE: Final = 0.95
"""Share of words, and of runs of four characters, that near duplicates have in common."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana and Chinese characters, which no spaces part into words."""

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_ALONE = re.compile(rf"[{_UNSPACED}]")
GRAM: Final = 4
"""The number of characters in a run that is compared. Runs see inflections, and words of languages without spaces."""


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text without case and punctuation; characters that no spaces part are words of their own.

    >>> words_of("Don't SORT “it”: 文本")
    ('don', 't', 'sort', 'it', '文', '本')
    """
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def runs(words: tuple[str, ...], length: int = COPIED_WORDS) -> Iterator[tuple[str, ...]]:
    """All runs of a number of words; two characters that no spaces part count as one word.

    >>> list(runs(("a", "b", "c"), 2))
    [('a', 'b'), ('b', 'c')]
    """
    halves = [1 if _ALONE.match(word) else 2 for word in words]
    end = held = 0
    for begin in range(len(words)):
        while end < len(words) and held < 2 * length:
            held += halves[end]
            end += 1
        if held < 2 * length:
            return
        yield words[begin:end]
        held -= halves[begin]


def holds(words: tuple[str, ...], part: tuple[str, ...]) -> bool:
    """Whether the words of a part stand in a row among the words.

    >>> holds(("a", "b", "c"), ("b", "c")), holds(("a", "b", "c"), ("a", "c"))
    (True, False)
    """
    return bool(part) and f" {' '.join(part)} " in f" {' '.join(words)} "


def is_near(text: str, other: str) -> bool:
    """Whether two texts are alike but for a word or two among many.

    >>> is_near("Answer with one word.", "Answer with two words.")
    False
    """
    words, others = words_of(text), words_of(other)
    runs_of_both = (grams(" ".join(each)) for each in (words, others))
    return min(_shared(words, others), _shared(*runs_of_both)) >= ALIKE


def grams(text: str) -> list[str]:
    """The overlapping runs of `GRAM` characters of a text; of a shorter one the text.

    >>> grams("sorted"), grams("it")
    (['sort', 'orte', 'rted'], ['it'])
    """
    return [text[start : start + GRAM] for start in range(max(1, len(text) - GRAM + 1))]


def _shared(items: Iterable[str], others: Iterable[str]) -> float:
    """The share of items that two collections have in common, from 0 to 1 (Dice's coefficient)."""
    first, second = Counter(items), Counter(others)
    size = first.total() + second.total()
    return 2 * (first & second).total() / size if size else 1.0
