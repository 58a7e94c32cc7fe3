"""The common order of rows, and the design of the first candidates: what a search fixes before any result."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from prompt_search.prompts.space import SearchSpace
from prompt_search.search.encoding import Encoding

MIN_DESIGNED = 9
"""The lowest number of candidates in the design that follows the default. They cover all options evenly before the
surrogate makes the first pick."""

MAX_DESIGNED = 16
"""The highest number of candidates in the design. A choice with more options than `MIN_DESIGNED` makes the design
larger, up to this number, so that each option enters the race."""


def common_order(labels: Sequence[str] | None, rows: Sequence[int], seed: int) -> list[int]:
    """The order in which every candidate is scored on the rows, so that comparisons between candidates are paired.

    The rows are shuffled so that every stretch of the order has the labels in (nearly) the proportions of all rows.

    Args:
        labels: the label of every row of ``rows``, or None when the target is not categorical.
        rows: the rows to put in order.
        seed: seed of the shuffle.
    """
    generator = random.Random(f"{seed} rows")
    shuffled = list(range(len(rows)))
    generator.shuffle(shuffled)
    if labels is None:
        return [rows[index] for index in shuffled]
    by_label: dict[str, list[int]] = {}
    for index in shuffled:
        by_label.setdefault(labels[index], []).append(index)
    placed = [
        ((turn + generator.random()) / len(members), rows[index])
        for members in by_label.values()
        for turn, index in enumerate(members)
    ]
    return [row for _, row in sorted(placed)]


def design(space: SearchSpace, seed: int) -> list[Mapping[str, int]]:
    """The first candidates after the default, as assignments: a balanced design over all options."""
    encoding = Encoding(space)
    most = max((len(factor.options) for factor in space.factors if factor.kind == "choice"), default=0)
    levels = encoding.design(min(max(MIN_DESIGNED, most), MAX_DESIGNED), random_generator(seed, "design"))
    return [encoding.positions(row) for row in levels]


def random_generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose of a search, independent of those for other purposes."""
    return np.random.default_rng(random.Random(f"{seed} {purpose}").randrange(2**32))
