"""Labels as they are compared, patterns that find them in a text, and tokens that begin a label.

These functions are pasted into exported prompts (`prompt_search.prompts.export.python_source`). Therefore this module
imports the standard library alone and has no comments for the package's own tools.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import NamedTuple

from prompt_search.answers.reading.plain_text import folded

SEPARATORS = re.compile(r"[\s_-]+")

# An underscore is part of a word only if a letter or digit follows it, so that _this_ is found.
BOUNDARY = r"(?<![^\W_])(?<![^\W_]_)"


def spaced(text: str) -> str:
    """A label in the form in which it is compared: without differences of case, typography and separators of words.

    A whole number that was written with decimals is the whole number, as tables turn ``1`` into ``1.0``.

    >>> spaced(" Card_Payment "), spaced("-1"), spaced("1.0")
    ('card payment', '-1', '1')
    """
    words = re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", folded(text).strip())
    return re.sub(r"^(-?\d+)\.0+$", r"\1", words)


class Mention(NamedTuple):
    """A label where a folded text has it as whole words."""

    label: str
    start: int
    end: int


class Mentions:
    """Finds labels as whole words in folded text, the longest at one place.

    The labels that can stand at a place are looked up by their text, so that the time hardly grows with their number.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self.by_length = sorted(labels, key=lambda label: -len(spaced(label)))
        self.ranks: dict[str, list[int]] = {}
        self.lengths: dict[str, set[int]] = {}
        self.patterns: dict[str, re.Pattern[str]] = {}
        for rank, label in enumerate(self.by_length):
            words = spaced(label)
            self.ranks.setdefault(joined_words(words), []).append(rank)
            self.lengths.setdefault(words[0], set()).add(len(joined_words(words)))
        bounded = "".join(re.escape(first) for first in self.lengths if needs_boundary(first))
        free = "".join(re.escape(first) for first in self.lengths if not needs_boundary(first))
        heads = [rf"{BOUNDARY}[{bounded}]"] * bool(bounded) + [f"[{free}]"] * bool(free)
        self.heads = re.compile("|".join(heads))

    def find(self, words: str, start: int = 0) -> Iterator[Mention]:
        """All mentions from a place on, in order; none overlaps another."""
        merged = joined_words(words)
        places = range(len(words)) if len(merged) == len(words) else places_of_joined(words)
        for head in self.heads.finditer(words, start):
            place = head.start()
            found = self.longest(words, place, merged, places[place]) if place >= start else None
            if found:
                yield found
                start = found.end

    def at(self, words: str, start: int = 0) -> Mention | None:
        """The mention that begins at a place; None where none does."""
        return self.longest(words, start, joined_words(words[start:]), 0) if start < len(words) else None

    def longest(self, words: str, start: int, merged: str, place: int) -> Mention | None:
        """The longest label at a place of a text, which is another place in the merged words of that text."""
        lengths = self.lengths.get(words[start], ())
        ranks = (self.ranks.get(merged[place : place + length], ()) for length in lengths)
        for rank in sorted(chain.from_iterable(ranks)):
            label = self.by_length[rank]
            if label not in self.patterns:
                self.patterns[label] = re.compile(whole_words(label))
            found = self.patterns[label].match(words, start)
            if found:
                return Mention(label, start, found.end())
        return None


@lru_cache(maxsize=64)
def mentions_of(labels: tuple[str, ...]) -> Mentions:
    """What finds these labels."""
    return Mentions(labels)


def joined_words(text: str) -> str:
    """The text with one space for each run of white space, underscores and hyphens."""
    return SEPARATORS.sub(" ", text)


def places_of_joined(text: str) -> list[int]:
    """For each place of a text its place in the merged words.

    >>> places_of_joined("a -b")
    [0, 1, 1, 2]
    """
    steps = [1] * len(text)
    for run in SEPARATORS.finditer(text):
        steps[run.start() + 1 : run.end()] = [0] * (run.end() - run.start() - 1)
    return [place - 1 for place in accumulate(steps)]


def whole_words(label: str) -> str:
    """The pattern that finds one label as whole words in folded text."""
    words = spaced(label)
    # spaced leaves single spaces between words; re.escape writes each as "\ ".
    pattern = re.sub(r"\\ ", r"[\\s_-]+", re.escape(words))
    before = BOUNDARY if needs_boundary(words[0]) else ""
    after = r"(?!_*[^\W_])" if needs_boundary(words[-1]) else ""
    if re.fullmatch(r"-?\d+", words):
        # 1 is mentioned in 1.0, not in -1, 1.5, 2.1 or 1,000.
        before += r"(?<!\d[.,])(?<!(?<![^\W_])-)"
        after = r"(?:\.0+)?(?![.,]?\d)" + after
    return f"{before}{pattern}{after}"


def needs_boundary(character: str) -> bool:
    """Whether the character's script separates words; scripts without case (Chinese, Thai) mostly do not."""
    return character.isalnum() and unicodedata.category(character) != "Lo"


def begins(begun: str, words: str) -> bool:
    """Whether a first token begins a label, or is the label followed by something other than a letter or digit.

    Both are given as `spaced` writes them.

    >>> begins("pos", "positive"), begins("a)", "a"), begins("answer", "a")
    (True, True, False)
    """
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
    by_words = label_of_words(tuple(labels))
    for token, logprob in tokens:
        word = spaced(token)
        begun = [label for words, label in by_words.items() if word and begins(word, words)]
        if len(begun) == 1:
            masses[begun[0]] += math.exp(logprob)
    return masses


@lru_cache(maxsize=64)
def label_of_words(labels: tuple[str, ...]) -> dict[str, str]:
    """The labels by the form in which they are compared."""
    return {spaced(label): label for label in labels}
