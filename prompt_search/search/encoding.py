"""A search space as whole numbers: one row per candidate and one column per factor, as numpy needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prompt_search.prompts.factors import Candidate, Factor
from prompt_search.prompts.space import SearchSpace

Levels = NDArray[np.int64]
"""One row per candidate, one column per factor: the position of the option, -1 where the factor is inactive."""

MAX_ENUMERATED = 500
"""The highest number of candidates of a space that is enumerated; larger spaces are sampled."""

DESIGN_ATTEMPTS = 100
"""Number of random designs from which the most even one is taken."""


class Encoding:
    """Translates candidates of a space into levels and back; makes new ones by chance, crossover and mutation."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._names = [factor.name for factor in space.factors]
        self._sampling_options = [_sampling_options(factor) for factor in space.factors]
        self._parents = [index for index, name in enumerate(self._names) if name in space.parents]
        self._active: dict[tuple[int, ...], NDArray[np.bool_]] = {}

    def encode(self, candidates: Sequence[Candidate]) -> Levels:
        """Levels, of shape (candidates, factors)."""
        return self.levels([candidate.to_dict() for candidate in candidates])

    def levels(self, chosen: Sequence[Mapping[str, int]]) -> Levels:
        """Levels of candidates that are given as assignments, of shape (candidates, factors)."""
        levels = [[positions.get(name, -1) for name in self._names] for positions in chosen]
        return np.array(levels, dtype=np.int64).reshape(len(chosen), len(self._names))

    def column(self, name: str) -> int:
        """The column of a factor."""
        return self._names.index(name)

    def positions(self, levels: Levels) -> Mapping[str, int]:
        """The assignment of one row of levels, without inactive factors."""
        return {name: int(level) for name, level in zip(self._names, levels, strict=True) if level >= 0}

    def sample(self, count: int, generator: np.random.Generator) -> Levels:
        """Random candidates: all options are equally likely, except that "no examples" has a higher probability."""
        return self._canonical(self._sampled(count, generator))

    def design(self, count: int, generator: np.random.Generator) -> Levels:
        """Assignments in which the options of each factor occur equally often (McKay et al. 1979).

        Where some factors are active in some candidates only, this is the one of several designs in which the options
        of active factors occur most evenly.
        """
        designs = [self._balanced(count, generator) for _ in range(DESIGN_ATTEMPTS if self._parents else 1)]
        return min(designs, key=lambda levels: self._unevenness(self._canonical(levels)))

    def _balanced(self, count: int, generator: np.random.Generator) -> Levels:
        columns = []
        for options in self._sampling_options:
            shuffled = np.concatenate([generator.permutation(options) for _ in range(-(-count // len(options)))])
            columns.append(generator.permutation(shuffled[:count]))
        return np.column_stack([np.zeros((count, 0), dtype=np.int64), *columns])

    def _unevenness(self, levels: Levels) -> float:
        """The sum over all options of 1 / (1 + number of candidates that have it)."""
        options = [len(factor.options) for factor in self._space.factors]
        counts = (
            np.bincount(column + 1, minlength=1 + size)[1:] for column, size in zip(levels.T, options, strict=True)
        )
        return float(sum((1 / (1 + count)).sum() for count in counts))

    def children(self, parents: Levels, count: int, generator: np.random.Generator) -> Levels:
        """Crossovers of two parents each; one option, or in a third of the children two, is replaced at random."""
        factors = len(self._names)
        first, second = (parents[generator.integers(0, len(parents), count)] for _ in range(2))
        levels = np.where(generator.random((count, factors)) < 0.5, first, second)
        sampled = self._sampled(count, generator)
        shuffled = generator.random((count, factors)).argsort(axis=1)
        mutated = shuffled < np.where(generator.random(count) < 1 / 3, 2, 1)[:, None]
        return self._canonical(np.where(mutated | (levels < 0), sampled, levels))

    def filled(self, levels: Levels, generator: np.random.Generator) -> Levels:
        """Candidates of which not all options are known, with random ones in their place; each candidate once."""
        filled = self._canonical(np.where(levels < 0, self._sampled(len(levels), generator), levels))
        return np.unique(filled, axis=0)

    def _sampled(self, count: int, generator: np.random.Generator) -> Levels:
        columns = [options[generator.integers(0, len(options), count)] for options in self._sampling_options]
        return np.column_stack([np.zeros((count, 0), dtype=np.int64), *columns])

    @cached_property
    def all_candidates(self) -> Levels | None:
        """Every candidate of a small space; None for a large one."""
        count, exact = self._space.size()
        return self.encode(list(self._space.candidates())) if exact and count <= MAX_ENUMERATED else None

    def _canonical(self, levels: Levels) -> Levels:
        """The levels with -1 for inactive factors, so that equal prompts have equal levels."""
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


def _sampling_options(factor: Factor) -> NDArray[np.int64]:
    """The options of a factor, each as often as it is sampled: once, but "no examples" once more for every two numbers
    of examples.

    A prompt without examples is a very different prompt; one with five or six of them is nearly the same.
    """
    levels = np.arange(factor.proposed, dtype=np.int64)
    if factor.kind == "examples" and factor.options[0] == 0:
        return np.append(np.zeros((len(levels) - 1) // 2, dtype=np.int64), levels)
    return levels
