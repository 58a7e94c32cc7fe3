"""How alike candidates are: one similarity for each choice, and one for each pool that several choices share."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.text_similarity import text_similarity

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_TABLED = 64
"""The highest number of options whose similarities are kept in a table, which grows with the square of that number. For
longer lists they are computed from which candidates have the same option."""

MOST_COMPARED = 300
"""The same where options are compared by their texts or shots. Without a table nothing is expected of an option that no
candidate had."""

ORIGIN_SHARE = 0.3
"""The part of the similarity of a grown choice's options that follows where they come from: from the same person or the
same model. What a model's first texts were worth is expected of its next ones."""

TEXT_SHARE = 0.85
"""The part of the rest that follows the options' texts; what is left is equality. Measured on wordings whose accuracy
is known: docs/design/search.md."""

MIN_POOL_OPTIONS = 8
"""Choices that have one and the same list of at least this many options share a pool, such as slots for shots."""


def similarity(factor: Factor) -> Floats:
    """How alike each two options are, of shape (options, options), with 1 on the diagonal.

    The similarity of two numbers decreases with their distance, but 0 examples are not similar to any other number of
    them. The similarity of two orders is the share of item pairs that both have in the same order (Kendall 1938; Jiao
    and Vert 2018). Where a model has proposed options, options are similar by their texts and by whether a model wrote
    them, and each has a part of its own. The similarity of two ways to pick shots is the share of shots that both show.
    Any other option is similar only to itself.
    """
    options = factor.options
    if factor.kind in ("integer", "examples"):
        distance = np.abs(np.subtract.outer(range(len(options)), range(len(options))))
        near = np.asarray(np.exp(-distance / max(1.0, len(options) / 3)))
        if factor.kind == "examples" and options[0] == 0:
            near[0, 1:] = near[1:, 0] = 0
        return near
    if factor.kind == "order":
        places = np.array([[option.index(item) for item in options[0]] for option in options])
        first, second = np.triu_indices(places.shape[1], 1)
        signs = np.sign(places[:, first] - places[:, second])
        return np.asarray((1 + signs @ signs.T / max(1, len(first))) / 2, dtype=np.float64)
    if factor.grown:
        proposed = np.arange(len(options)) >= len(options) - factor.grown
        one_by_one = TEXT_SHARE * text_similarity(factor.texts) + (1 - TEXT_SHARE) * np.eye(len(options))
        return np.asarray(ORIGIN_SHARE * np.equal.outer(proposed, proposed) + (1 - ORIGIN_SHARE) * one_by_one)
    if len({*factor.shown}) > 1:  # where all show the same, nothing tells them apart
        return _shared(factor.shown)
    return np.eye(len(options))


def _shared(sets: Sequence[frozenset[int]]) -> Floats:
    """The share of elements that each two sets have in common, by the geometric mean of their sizes; an empty set is
    similar only to itself."""
    table = np.eye(len(sets))
    for first, one in enumerate(sets):
        for second, other in enumerate(sets[:first]):
            shared = len(one & other) / max(1, len(one) * len(other)) ** 0.5
            table[first, second] = table[second, first] = shared
    return table


def is_long(factor: Factor) -> bool:
    """Whether a choice has a long list of options that count as similar only to themselves."""
    most = MOST_COMPARED if factor.grown or any(factor.shown) else MOST_TABLED
    return len(factor.options) > most and factor.kind not in ("integer", "examples", "order")


@dataclass(frozen=True)
class LongList:
    """One choice of a long list of options, or a pool of choices that share one.

    Args:
        columns: positions of the choices among the factors.
        options: the number of options.
    """

    columns: Sequence[int]
    options: int

    def similarity(self, first: Levels, second: Levels) -> Floats:
        """How alike each of the first and each of the second candidates are, centred over all options."""
        one, two = self._counts(first), self._counts(second)
        equal, active = (one @ two.T).toarray(), np.outer(one.sum(axis=1), two.sum(axis=1))
        return np.asarray((equal - active / self.options) * self.options / (self.options - 1) / len(self.columns))

    def _counts(self, levels: Levels) -> sparse.csr_matrix:
        """How often each candidate has each option, of shape (candidates, options)."""
        chosen = levels[:, self.columns]
        rows, slots = np.nonzero(chosen >= 0)
        counts = (np.ones(len(rows)), (rows, chosen[rows, slots]))
        return sparse.csr_matrix(counts, shape=(len(levels), self.options))

    def condensed(self, levels: Levels) -> tuple[Integers, Floats]:
        """For each option its position among those that some candidate has, with one position for all others, and how
        alike each two of these positions are."""
        chosen = levels[:, self.columns]
        known = np.unique(chosen[chosen >= 0])
        where = np.full(self.options, len(known))
        where[known] = np.arange(len(known))
        count = min(len(known) + 1, self.options)
        return where, (np.eye(count) * self.options - 1) / (self.options - 1)


@dataclass(frozen=True)
class Embedding:
    """Candidates in coordinates in which every similarity is an inner product.

    Args:
        choices: the coordinates for the similarity of every choice.
        squares: the coordinates for the square of that similarity.
        pools: the coordinates for the similarity of every pool.
        identity: a number that is the same only for equal candidates.
        levels: the candidates; long lists of options have no coordinates.
    """

    choices: Floats
    squares: Floats
    pools: Floats
    identity: Integers
    levels: Levels

    def __getitem__(self, which: slice) -> Embedding:
        coordinates = (self.choices[which], self.squares[which], self.pools[which])
        return Embedding(*coordinates, identity=self.identity[which], levels=self.levels[which])


class Geometry:
    """The similarities of a space: one for each choice, one for each pool that several choices share.

    Effects are measured from the mean over all options (the tables are centred), so that the effect of a pair is no
    part of the effects of its single choices. An inactive choice adds nothing.

    Attributes:
        choices: positions of the choices among the factors.
        pools: positions of the choices of each pool.
        grown: the choices with proposed options, by their place in ``choices``.
        long_choices: the choices of long lists, by their place in ``choices``.
        long_pools: the pools of long lists, by their place in ``pools``.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.choices = [index for index, factor in enumerate(factors) if len(factor.options) > 1]
        self.grown = [place for place, index in enumerate(self.choices) if factors[index].grown]
        shared: dict[tuple[Any, ...], list[int]] = {}
        for index in self.choices:
            if factors[index].kind == "choice" and len(factors[index].options) >= MIN_POOL_OPTIONS:
                shared.setdefault((factors[index].texts, factors[index].shown), []).append(index)
        self.pools = [columns for columns in shared.values() if len(columns) > 1]
        long = {index: len(factors[index].options) for index in self.choices if is_long(factors[index])}
        places, pools = enumerate(self.choices), enumerate(self.pools)
        self.long_choices = {place: LongList([index], long[index]) for place, index in places if index in long}
        self.long_pools = {place: LongList(pool, long[pool[0]]) for place, pool in pools if pool[0] in long}
        self._identifiers = np.random.default_rng(0).integers(1, 2**62, len(factors))
        tables = [
            np.zeros((long[index], 0)) if index in long else _centred(similarity(factors[index]))
            for index in self.choices
        ]
        self._set_features([_features(table) for table in tables], [_features(table**2) for table in tables])

    def _set_features(self, choices: list[Floats], squares: list[Floats]) -> None:
        """Take the coordinates of each choice's options; a long list has none."""
        self._choice_features, self._square_features = choices, squares
        self._pool_features = [self._choice_features[self.choices.index(columns[0])] for columns in self.pools]
        self.choice_groups = _groups(self._choice_features)
        self.square_groups = _groups(self._square_features)
        self.pool_groups = _groups(self._pool_features)

    @property
    def component_count(self) -> int:
        """The number of choices and pools; each of them has a variance of its own."""
        return len(self.choices) + len(self.pools)

    def options(self, place: int) -> Floats:
        """All options of one of `choices`, in coordinates in which their similarity is an inner product."""
        return self._choice_features[place][:-1]

    def chosen(self, place: int, levels: Levels) -> Floats:
        """The option that each candidate has for one of `choices`, in the same coordinates."""
        return self._choice_features[place][levels[:, self.choices[place]]]

    def embed(self, levels: Levels) -> Embedding:
        """Candidates in the coordinates of all similarities; the last factors, if left out, are inactive."""
        if levels.shape[1] < len(self._identifiers):
            levels = np.pad(levels, ((0, 0), (0, len(self._identifiers) - levels.shape[1])), constant_values=-1)

        def joined(parts: list[Floats]) -> Floats:
            return np.hstack([np.zeros((len(levels), 0)), *parts])

        columns = [levels[:, index] for index in self.choices]
        return Embedding(
            choices=joined([self.chosen(place, levels) for place in range(len(self.choices))]),
            squares=joined([f[column] for f, column in zip(self._square_features, columns, strict=True)]),
            pools=joined(
                [
                    sum((f[levels[:, index]] for index in pool), np.zeros((len(levels), f.shape[1]))) / len(pool) ** 0.5
                    for f, pool in zip(self._pool_features, self.pools, strict=True)
                ]
            ),
            identity=(levels + 2) @ self._identifiers,  # wraps around; equal only where the levels are
            levels=levels,
        )

    def condensed(self, levels: Levels) -> tuple[Geometry, Levels, list[Integers]]:
        """The same similarities in coordinates, where a long list has only options that some candidates have, and one
        that stands for all others.

        Args:
            levels: the candidates.

        Returns:
            The geometry, the candidates in it, and for each of `choices` the position that each option has in it.
        """
        found, found_levels = copy(self), levels.copy()
        where = [np.arange(len(features) - 1) for features in self._choice_features]
        choices, squares = list(self._choice_features), list(self._square_features)
        pools = {column: pool for pool in self.long_pools.values() for column in pool.columns}
        for place, alone in self.long_choices.items():
            column = self.choices[place]
            where[place], table = pools.get(column, alone).condensed(levels)
            found_levels[:, column] = np.append(where[place], -1)[levels[:, column]]
            choices[place], squares[place] = _features(table), _features(table**2)
        found.long_choices, found.long_pools = {}, {}
        found._set_features(choices, squares)
        return found, found_levels, where


def _centred(table: Floats) -> Floats:
    """A similarity as measured from the mean option, with a mean of 1 on the diagonal."""
    centred = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    return np.asarray(centred / centred.diagonal().mean())


def _features(table: Floats) -> Floats:
    """A factor of a positive semi-definite table, with a row of zeros at the end for the inactive level -1; without
    coordinates for a table that has none."""
    if not table.shape[1]:
        return np.zeros((len(table) + 1, 0))
    values, vectors = np.linalg.eigh(table)
    kept = values > 1e-10 * max(1.0, values[-1])
    return np.vstack([vectors[:, kept] * np.sqrt(values[kept]), np.zeros(int(kept.sum()))])


def _groups(features: Sequence[Floats]) -> Integers:
    """The position, among the features, of the one that each coordinate belongs to."""
    return np.repeat(np.arange(len(features)), [part.shape[1] for part in features])
