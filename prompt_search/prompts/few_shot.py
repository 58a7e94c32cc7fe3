"""Few-shot examples: which rows are shown, and in which order.

A picker ranks the pool; a prompt with ``n`` shots shows the first ``n``. Fixed pickers (random, balanced,
diverse) give every scored row the same shots, so that the prefix is shared; ``nearest`` looks at the row.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

FIXED_SETS = 3
"""How many different random, and how many different balanced, sets are offered by default."""


def nearest(pool, row, count):  # type: ignore[no-untyped-def]  # its source is copied into exported prompts
    """The ``count`` examples of ``pool`` most like ``row``, the most alike last.

    Cosine similarity of TF-IDF weights over words (Salton and Buckley 1988). An example whose fields all
    equal those of the row is the row itself and left out. Pure Python, because exported prompts carry this
    function.
    """
    import math
    import re

    def words(fields):  # type: ignore[no-untyped-def]
        return re.findall(r"\w+", " ".join(str(fields[name]) for name in row).casefold())

    others = [example for example in pool if any(example[name] != row[name] for name in row)]
    texts = [words(example) for example in others]
    frequency: dict[str, int] = {}
    for text in texts:
        for word in set(text):
            frequency[word] = frequency.get(word, 0) + 1

    def weights(text):  # type: ignore[no-untyped-def]
        vector: dict[str, float] = {}
        for word in text:
            vector[word] = vector.get(word, 0.0) + math.log((1 + len(texts)) / (1 + frequency.get(word, 0))) + 1
        norm = math.sqrt(sum(weight * weight for weight in vector.values())) or 1.0
        return {word: weight / norm for word, weight in vector.items()}

    wanted = weights(words(row))
    scored = []
    for index, text in enumerate(texts):
        vector = weights(text)
        scored.append((sum(weight * vector.get(word, 0.0) for word, weight in wanted.items()), -index))
    best = sorted(scored, reverse=True)[:count]
    return [others[-index] for _, index in reversed(best)]


@dataclass(frozen=True)
class ExamplePool:
    """The labelled rows that shots may come from: each a mapping of every field and the target.

    Args:
        examples: field name to value, the target among them.
        target: the target's name.
    """

    examples: tuple[Mapping[str, Any], ...]
    target: str

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for name in self.examples[0] if name != self.target) if self.examples else ()

    @cached_property
    def categorical(self) -> bool:
        """Whether the target has few enough values for a set to hold one of each."""
        labels = {str(example[self.target]) for example in self.examples}
        return 2 <= len(labels) <= max(2, len(self.examples) // 4)

    def pickers(self) -> tuple[str, ...]:
        """The pickers offered when the template names none."""
        kinds = ("balanced", "random") if self.categorical else ("random",)
        fixed = tuple(f"{kind} {number}" for kind in kinds for number in range(1, FIXED_SETS + 1))
        return (*fixed, "diverse", "nearest")

    def pick(self, picker: str, count: int) -> list[Mapping[str, Any]]:
        """The first ``count`` examples of a fixed picker.

        Raises:
            ValueError: an unknown picker; the message says which there are.
        """
        kind, _, number = picker.partition(" ")
        ranking = self._farthest_first(count) if kind == "diverse" else self._ranking(kind, number or "1")
        return [self.examples[index] for index in ranking[:count]]

    @cached_property
    def _rankings(self) -> dict[tuple[str, str], Sequence[int]]:
        return {}

    def _ranking(self, kind: str, number: str) -> Sequence[int]:
        if kind not in ("random", "balanced") or not number.isdecimal():
            raise ValueError(
                f"a picker is 'random 1', 'balanced 1' (2, 3, … for other sets), 'diverse' or 'nearest', "
                f"got {f'{kind} {number}'!r}; correct it"
            )
        if (kind, number) not in self._rankings:
            order = list(range(len(self.examples)))
            generator = random.Random(f"examples {number}")
            generator.shuffle(order)
            self._rankings[kind, number] = order if kind == "random" else self._balanced(order, generator)
        return self._rankings[kind, number]

    def _balanced(self, order: Sequence[int], generator: random.Random) -> list[int]:
        """One example of each label in turn, the labels in a random order."""
        by_label: dict[str, list[int]] = {}
        for index in order:
            by_label.setdefault(str(self.examples[index][self.target]), []).append(index)
        labels = sorted(by_label)
        generator.shuffle(labels)
        rounds = max(map(len, by_label.values()))
        return [by_label[label][turn] for turn in range(rounds) for label in labels if turn < len(by_label[label])]

    @cached_property
    def _words(self) -> list[frozenset[str]]:
        texts = (" ".join(str(example[name]) for name in self.fields) for example in self.examples)
        return [frozenset(text.casefold().split()) for text in texts]

    @cached_property
    def _farthest(self) -> tuple[list[int], list[float]]:
        """The examples chosen so far, and how far each of all is from the nearest of them."""
        return [], [2.0] * len(self.examples)

    def _farthest_first(self, count: int) -> list[int]:
        """Farthest-first traversal (Gonzalez 1985) over word sets with Jaccard distance."""
        order, distance = self._farthest
        while len(order) < min(count, len(self.examples)):
            # The first of those that are farthest from all chosen; a chosen one never comes back.
            latest = max(range(len(distance)), key=lambda index: (distance[index], -index))
            order.append(latest)
            for index, words in enumerate(self._words):
                union = len(self._words[latest] | words)
                apart = 1 - len(self._words[latest] & words) / union if union else 0.0
                distance[index] = min(distance[index], apart)
            distance[latest] = -1.0
        return order
