"""The scale of a judge: its levels in the words that a judge answers, and the score of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, Final

from prompt_search._first_tries import named
from prompt_search.answers.label import Label
from prompt_search.answers.label_probabilities import check_first_tokens
from prompt_search.data.rows import listed
from prompt_search.errors import InputError
from prompt_search.metrics.ranges import SHARE, Range

AnyScale = tuple[int, int] | Sequence[str] | Mapping[str, float]
"""The ends of a scale of whole numbers, the best last; labels from worst to best; or the score of each label."""

MOST_LEVELS: Final = 1_001
"""Number of whole numbers that a scale may have."""

FIRST, SECOND, TIE = "A", "B", "tie"
"""What a judge of two answers says: which of them is better, or neither."""

_CURE: Final = 'write scale=(1, 5), scale=["wrong", "partly right", "right"] or scale={"wrong": 0, "right": 1}'


@dataclass(frozen=True)
class Scale:
    """The levels of a judge, and their scores.

    Attributes:
        scores: the score of each level, from the worst to the best.
        numbers: whether the levels are whole numbers, between which a judge may answer others.

    >>> Scale.of((1, 5)).scores["4"], Scale.of(["wrong", "right"]).scores
    (0.75, {'wrong': 0.0, 'right': 1.0})
    """

    scores: Mapping[str, float]
    numbers: bool

    @classmethod
    def of(cls, given: Any) -> Scale:
        """The scale that an argument stands for.

        Raises:
            InputError: it is none.
        """
        if isinstance(given, Scale):
            return given
        if isinstance(given, Mapping):
            return cls(scores=_given_scores(given), numbers=False)
        if isinstance(given, (set, frozenset)):
            raise InputError(
                f"the labels of a scale need an order, and a {type(given).__name__} has none; list them from worst to "
                "best"
            )
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise InputError(f"scale= takes two numbers, labels or their scores, not {named(given)}; {_CURE}")
        if len(given) and all(isinstance(each, str) for each in given):
            Label(list(given))  # two labels or more, that are read apart
            step = 1 / (len(given) - 1)
            return cls(scores={label: place * step for place, label in enumerate(given)}, numbers=False)
        return cls(scores=_numbers(given), numbers=True)

    @property
    def levels(self) -> list[str]:
        """The levels as a judge writes them, from the worst to the best."""
        return list(self.scores)

    @cached_property
    def range(self) -> Range:
        """The lowest and the highest score; 0 and 1 where no score is outside of these."""
        low, high = min(self.scores.values()), max(self.scores.values())
        return SHARE if low >= 0 and high <= 1 else Range(low, high)

    @property
    def weighable(self) -> bool:
        """Whether the first token of an answer can tell the levels apart."""
        try:
            check_first_tokens(self.levels)
        except InputError:
            return False
        return True

    def said(self, *, reverse: bool = False) -> str:
        """The scale in the words of a request, with the worst level first, or last.

        >>> Scale.of((1, 5)).said(), Scale.of(["wrong", "right"]).said(reverse=True)
        ('a whole number from 1 (worst) to 5 (best)', 'one of these labels: right, wrong')
        """
        levels = self.levels[::-1] if reverse else self.levels
        if not self.numbers:
            return f"one of these labels: {', '.join(levels)}"
        first, last = ("best", "worst") if reverse else ("worst", "best")
        return f"a whole number from {levels[0]} ({first}) to {levels[-1]} ({last})"

    def score(self, rating: Any) -> float:
        """The score of a rating that a person gave: a number on the scale, or a label.

        Raises:
            InputError: it is not on the scale.

        >>> Scale.of((1, 5)).score(4.5), Scale.of(["wrong", "right"]).score("right")
        (0.875, 1.0)
        """
        if self.numbers:
            try:
                value = float(rating)
            except (TypeError, ValueError):
                value = math.nan
            if self.lowest <= value <= self.highest:
                return (value - self.lowest) / (self.highest - self.lowest)
        elif str(rating) in self.scores:
            return self.scores[str(rating)]
        raise InputError(f"the rating {named(rating)} is not on the scale of the judge, {self.said()}; correct it")

    @property
    def lowest(self) -> int:
        """The lowest whole number."""
        return int(self.levels[0])

    @property
    def highest(self) -> int:
        """The highest whole number."""
        return int(self.levels[-1])

    def expected(self, probabilities: Mapping[str, float]) -> float:
        """The expected score, by the probability of each level."""
        return math.fsum(share * self.scores[level] for level, share in probabilities.items())


def _numbers(given: Sequence[Any]) -> dict[str, float]:
    """The scores of the whole numbers between two ends."""
    if len(given) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in given):
        raise InputError(f"a scale of numbers has two whole numbers as its ends, got {given!r}; {_CURE}")
    low, high = given
    if not low < high:
        raise InputError(
            f"a scale goes from the worst number to the best, got ({low}, {high}); write ({high}, {low}), and say in "
            "the template which end is best"
        )
    if high - low >= MOST_LEVELS:
        raise InputError(
            f"a scale has at most {MOST_LEVELS:,} whole numbers, got {high - low + 1:,}; take a coarser one"
        )
    return {str(level): (level - low) / (high - low) for level in range(low, high + 1)}


def _given_scores(given: Mapping[Any, Any]) -> dict[str, float]:
    """The scores of labels as they were given, the worst first."""
    for label, score in given.items():
        number = isinstance(score, Real) and not isinstance(score, bool) and math.isfinite(score)
        if not isinstance(label, str) or not number:
            raise InputError(
                f"scale={{...}} gives labels (texts) their scores (numbers), got {label!r}: {score!r}; {_CURE}"
            )
    if len({float(score) for score in given.values()}) < 2:
        raise InputError(f"a scale needs labels with different scores, got {listed(given)}; {_CURE}")
    Label(list(given))  # labels that are read apart
    return {label: float(score) for label, score in sorted(given.items(), key=lambda item: float(item[1]))}
