"""Few-shot examples: the pool of rows, and pickers that rank it.

A picker ranks the pool, and a prompt with ``n`` shots shows the first ``n`` of the ranking. Fixed pickers (random,
balanced, diverse) give every row the same shots, so that requests share a prefix. The picker ``nearest``
(`prompt_runtime.nearest`) picks shots by the row. ``solved`` and ``hard`` rank by what the model itself answered.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from prompt_search.data.dataset import Dataset
from prompt_search.prompts.environment import literal

FIXED_SETS = 3
"""Number of different random sets, and of different balanced sets, among the default pickers. More of them found no
better prompts: docs/design/template.md."""

SHORTEST_EXAMPLE = 12
"""Number of characters that a row's fields have together at least where their standing in a prompt is no accident."""


def rows_shown(source: str, data: Dataset, rows: Iterable[int], fields: Sequence[str] | None = None) -> list[int]:
    """Those rows whose fields (default: all) stand in the source of a prompt, be it as text or as a literal."""
    if "nearest(" in source:  # nearest leaves out the row itself
        return []
    shown = source.replace("\\n", "\n").replace('\\"', '"')

    def stands(index: int) -> bool:
        texts = [str(data.rows[index][name]).strip() for name in fields or data.fields]
        if sum(map(len, texts)) < SHORTEST_EXAMPLE or not all(text in shown for text in texts):
            return False
        return all(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", shown) for text in texts)

    return [index for index in rows if stands(index)]


REASONING = "reasoning"
"""The field of a shot that has the model's own reasoning."""

BY_OWN_ANSWERS = ("solved", "hard")
"""The kinds of pickers that need to know what the model itself answers."""


@dataclass(frozen=True, kw_only=True)
class OwnAnswers:
    """How the model itself answers the rows of a pool, by their positions; a row that was not asked is in neither.

    Args:
        right: the rows that it answers rightly, each with what it wrote before its answer, which may be empty.
        wrong: the rows that it answers wrongly.
    """

    right: Mapping[int, str] = field(default_factory=dict)
    wrong: frozenset[int] = frozenset()


NUMBERED = ("random", "balanced", *BY_OWN_ANSWERS)
"""The kinds of pickers that have a set for each number."""


def check_numbered(picker: str) -> None:
    """Refuse what is no picker with a number, and other ways to write one: the same shots would be searched twice.

    Raises:
        ValueError: with the picker that is meant, as far as that shows.

    >>> check_numbered("solved 01")
    Traceback (most recent call last):
    ...
    ValueError: a picker must be ..., got 'solved 01'; write 'solved 1'
    """
    kind, _, number = str(picker).partition(" ")  # a template may list anything
    if kind in NUMBERED and re.fullmatch("[1-9][0-9]*", number):
        return
    digits = re.fullmatch("0*([1-9][0-9]*)", number)
    meant = f"{kind} {digits[1] if digits else 1}" if kind in NUMBERED else kind
    cure = repr(meant) if kind in (*NUMBERED, "diverse", "nearest") else "one of them"
    raise ValueError(
        "a picker must be 'random 1', 'balanced 1', 'solved 1', 'hard 1' (2, 3, … for other sets), 'diverse' or "
        f"'nearest', got {picker!r}; write {cure}"
    )


def needs_own_answers(pickers: Iterable[str]) -> bool:
    """Whether one of these pickers ranks by what the model itself answers."""
    return any(picker.partition(" ")[0] in BY_OWN_ANSWERS for picker in pickers)


@dataclass(frozen=True)
class ExamplePool:
    """The labelled rows that shots may come from, each a mapping with all fields and the target.

    With ``own``, each shot has a field `REASONING`, unless the rows have one of that name: the model's reasoning where
    ``solved`` picked a row that has some, else an empty text.

    Args:
        examples: field name to value, the target among them.
        target: the target's name.
        own: how the model itself answers them; None where it was not asked.
    """

    examples: tuple[Mapping[str, Any], ...]
    target: str
    own: OwnAnswers | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def source(self) -> str:
        """The pool as a Jinja list."""
        return jinja_list(self.shots)

    @cached_property
    def shots(self) -> tuple[Mapping[str, Any], ...]:
        """The examples as shots without reasoning."""
        return self.examples if self.own is None else tuple({REASONING: "", **each} for each in self.examples)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, without the target."""
        return tuple(name for name in self.examples[0] if name != self.target) if self.examples else ()

    @cached_property
    def categorical(self) -> bool:
        """Whether the target has so few values that a set can hold an example of each."""
        labels = {str(example[self.target]) for example in self.examples}
        return 2 <= len(labels) <= max(2, len(self.examples) // 4)

    def pickers(self) -> tuple[str, ...]:
        """The default pickers, for templates that name none."""
        kinds = ("balanced", "random") if self.categorical else ("random",)
        fixed = tuple(f"{kind} {number}" for kind in kinds for number in range(1, FIXED_SETS + 1))
        return (*fixed, "diverse", "nearest")

    def pick(self, picker: str, count: int) -> list[Mapping[str, Any]]:
        """The first ``count`` examples of a fixed picker.

        Raises:
            ValueError: the picker is unknown; the message names those that exist.
        """
        shown = self.positions(picker, count)
        if self.own is None or picker.partition(" ")[0] != "solved":
            return [self.shots[index] for index in shown]
        return [{**self.shots[index], **self._reasoned(index, self.own)} for index in shown]

    def _reasoned(self, index: int, own: OwnAnswers) -> dict[str, str]:
        return {} if REASONING in self.examples[index] else {REASONING: own.right.get(index, "")}

    def positions(self, picker: str, count: int) -> Sequence[int]:
        """The positions of the first ``count`` examples of a fixed picker.

        Raises:
            ValueError: as `pick`.
        """
        if picker == "diverse":
            return self._farthest_first(count)[:count]
        check_numbered(picker)
        kind, _, number = picker.partition(" ")
        return self._ranking(kind, number)[:count]

    def sets(self, pickers: Sequence[str], count: int) -> tuple[frozenset[int], ...]:
        """The positions that each picker shows with ``count`` shots; none for ``nearest``, which picks by the row.

        Raises:
            ValueError: as `pick`.
        """
        known = self._sets.get((*pickers, count))
        if known is None:
            shown = ([] if picker == "nearest" else self.positions(picker, count) for picker in pickers)
            known = self._sets[(*pickers, count)] = tuple(map(frozenset, shown))
        return known

    @cached_property
    def _sets(self) -> dict[tuple[str | int, ...], tuple[frozenset[int], ...]]:
        return {}

    @cached_property
    def _rankings(self) -> dict[tuple[str, str], Sequence[int]]:
        return {}

    def _ranking(self, kind: str, number: str) -> Sequence[int]:
        if (kind, number) not in self._rankings:
            order = list(range(len(self.examples)))
            generator = random.Random(f"examples {number}")
            generator.shuffle(order)
            if kind == "balanced":
                order = self._balanced(order, generator)
            elif kind in BY_OWN_ANSWERS:
                order = self._by_own_answers(kind, order, generator)
            self._rankings[kind, number] = order
        return self._rankings[kind, number]

    def _by_own_answers(self, kind: str, order: Sequence[int], generator: random.Random) -> list[int]:
        """First the rows that the model answers rightly (those with reasoning before others), or wrongly; then the
        rest, so that no number of shots is too high. Each part is balanced where the target has few values."""
        if self.own is None:
            raise ValueError(
                f"the picker '{kind}' needs to know what the model answers, and it was not asked; pass own="
            )
        right, wrong = self.own.right, self.own.wrong
        parts: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for index in order:
            solved = 2 if index not in right else 1 if not right[index] else 0
            parts[solved if kind == "solved" else 0 if index in wrong else 1].append(index)
        ranked = (self._balanced(part, generator) if self.categorical else part for part in parts.values() if part)
        return [index for part in ranked for index in part]

    def _balanced(self, order: Sequence[int], generator: random.Random) -> list[int]:
        """Positions of one example of each label in turn, with the labels in a random order."""
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
        """The positions chosen so far, and the distance of every example from the nearest chosen one."""
        return [], [2.0] * len(self.examples)

    def _farthest_first(self, count: int) -> list[int]:
        """Positions by farthest-first traversal (Gonzalez 1985) over word sets with Jaccard distance."""
        order, distance = self._farthest
        while len(order) < min(count, len(self.examples)):
            # The first of the farthest examples; a chosen one has a negative distance and is not chosen again.
            latest = max(range(len(distance)), key=lambda index: (distance[index], -index))
            order.append(latest)
            for index, words in enumerate(self._words):
                union = len(self._words[latest] | words)
                jaccard = 1 - len(self._words[latest] & words) / union if union else 0.0
                distance[index] = min(distance[index], jaccard)
            distance[latest] = -1.0
        return order


def jinja_list(examples: Sequence[Mapping[str, Any]]) -> str:
    """Examples as a Jinja list, one per line."""
    lines = "".join(f"  {literal(dict(example))},\n" for example in examples)
    return f"[\n{lines}]"
