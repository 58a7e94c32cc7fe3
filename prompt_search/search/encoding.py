"""A search space as whole numbers: one row per candidate, one column per factor, for numpy to work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prompt_search.prompts.factors import Candidate, Factor
from prompt_search.prompts.space import SearchSpace

Levels = NDArray[np.int64]
"""One row per candidate, one column per factor: the position of the option, -1 where the factor is inactive."""

ENUMERATED = 500
"""Spaces of up to this many candidates are looked at whole wherever others are sampled."""

DESIGNS = 100
"""From how many designs the most even one is taken."""


class Encoding:
    """Candidates of a space to levels and back, and new ones by chance, crossover and mutation."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._names = [factor.name for factor in space.factors]
        self._decks = [_deck(factor) for factor in space.factors]
        self._parents = [index for index, name in enumerate(self._names) if name in space.parents]
        self._active: dict[tuple[int, ...], NDArray[np.bool_]] = {}

    def encode(self, candidates: Sequence[Candidate]) -> Levels:
        """Levels, of shape (candidates, factors)."""
        chosen = [candidate.to_dict() for candidate in candidates]
        levels = [[positions.get(name, -1) for name in self._names] for positions in chosen]
        return np.array(levels, dtype=np.int64).reshape(len(candidates), len(self._names))

    def positions(self, levels: Levels) -> Mapping[str, int]:
        """The assignment of one row of levels, inactive factors left out."""
        return {name: int(level) for name, level in zip(self._names, levels, strict=True) if level >= 0}

    def sample(self, count: int, generator: np.random.Generator) -> Levels:
        """Candidates by chance: every option equally likely, but as often no shots as few or many."""
        return self._canonical(self._drawn(count, generator))

    def design(self, count: int, generator: np.random.Generator) -> Levels:
        """Assignments in which the options of each factor come up equally often (McKay et al. 1979).

        Where a factor is not asked for in every candidate, that is of several designs the one in which its options are
        asked for most evenly.
        """
        designs = [self._balanced(count, generator) for _ in range(DESIGNS if self._parents else 1)]
        return min(designs, key=lambda levels: self._unevenness(self._canonical(levels)))

    def _balanced(self, count: int, generator: np.random.Generator) -> Levels:
        columns = []
        for deck in self._decks:
            shuffled = np.concatenate([generator.permutation(deck) for _ in range(-(-count // len(deck)))])
            columns.append(generator.permutation(shuffled[:count]))
        return np.column_stack([np.zeros((count, 0), dtype=np.int64), *columns])

    def _unevenness(self, levels: Levels) -> float:
        """How little is seen of options that come up seldom, summed over all."""
        options = [len(factor.options) for factor in self._space.factors]
        counts = (
            np.bincount(column + 1, minlength=1 + size)[1:] for column, size in zip(levels.T, options, strict=True)
        )
        return float(sum((1 / (1 + count)).sum() for count in counts))

    def children(self, parents: Levels, count: int, generator: np.random.Generator) -> Levels:
        """Crossovers of two parents each, with one or (every third time) two options drawn anew."""
        factors = len(self._names)
        first, second = (parents[generator.integers(0, len(parents), count)] for _ in range(2))
        levels = np.where(generator.random((count, factors)) < 0.5, first, second)
        drawn = self._drawn(count, generator)
        shuffled = generator.random((count, factors)).argsort(axis=1)
        changed = shuffled < np.where(generator.random(count) < 1 / 3, 2, 1)[:, None]
        return self._canonical(np.where(changed | (levels < 0), drawn, levels))

    def _drawn(self, count: int, generator: np.random.Generator) -> Levels:
        columns = [deck[generator.integers(0, len(deck), count)] for deck in self._decks]
        return np.column_stack([np.zeros((count, 0), dtype=np.int64), *columns])

    @cached_property
    def everything(self) -> Levels | None:
        """Every candidate of a small space, None for a large one."""
        count, exact = self._space.size()
        return self.encode(list(self._space.candidates())) if exact and count <= ENUMERATED else None

    def _canonical(self, levels: Levels) -> Levels:
        """Equal prompts get equal levels: what a row's own rendering does not ask for becomes -1."""
        if not self._parents:
            return levels
        masks = [self._active_under(tuple(row)) for row in levels[:, self._parents].tolist()]
        return np.where(np.array(masks), levels, -1)

    def _active_under(self, parents: tuple[int, ...]) -> NDArray[np.bool_]:
        if parents not in self._active:
            chosen = {self._names[index]: level for index, level in zip(self._parents, parents, strict=True)}
            active = self._space.active(chosen)
            self._active[parents] = np.array([name in active for name in self._names])
        return self._active[parents]


def _deck(factor: Factor) -> NDArray[np.int64]:
    """The options to draw from: each once, but no shots as often as half of all numbers of shots together.

    With shots or without is another prompt altogether; five or six of them is not.
    """
    levels = np.arange(len(factor.options), dtype=np.int64)
    if factor.kind == "examples" and factor.options[0] == 0:
        return np.append(np.zeros((len(levels) - 1) // 2, dtype=np.int64), levels)
    return levels
