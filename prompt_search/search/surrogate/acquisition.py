"""The acquisition of candidates: which ones the surrogate expects most of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.surrogate.model import Surrogate

RANDOM_CANDIDATES = 150
"""Number of random candidates that enter the pool at its start, and again at its end."""

FIRST_CHILDREN = 350
"""Number of children of the best trials that enter the pool at its start."""

PARENTS = 12
"""Number of the best trials that become parents of the first children; each later generation has twice as many."""

GENERATIONS = 3
"""Number of later generations; their parents are the candidates of the pool that the surrogate expects most of."""

GENERATION_SIZE = 250
"""Number of candidates that the pool keeps from one generation to the next, and number of children of each."""

VARIATIONS = 100
"""Number of variations of a candidate that has a new option."""

MAX_SAMPLED = 800
"""The highest number of candidates in a joint posterior sample: those with the highest posterior means."""

SAMPLE_SPREAD = 0.3
"""Factor on the posterior standard deviation of the samples. It is below 1 because a budget of a few hundred calls
does not pay for more exploration among so many candidates."""


def unseen(
    model: Surrogate,
    encoding: Encoding,
    seen: Levels,
    generator: np.random.Generator,
    allowed: Callable[[Levels], NDArray[np.bool_]] | None = None,
) -> Levels:
    """Candidates that are not among ``seen``, many of which the surrogate expects much of; all of a small space.

    Args:
        model: the surrogate.
        encoding: makes candidates.
        seen: those that were seen.
        generator: what is left to chance.
        allowed: tells which candidates may be taken; None: all.
    """
    known = {tuple(row) for row in seen.tolist()}

    def fresh(levels: Levels) -> Levels:
        rows = [row for row in dict.fromkeys(map(tuple, levels.tolist())) if row not in known]
        found = np.array(rows, dtype=np.int64).reshape(len(rows), levels.shape[1])
        return found if allowed is None else found[allowed(found)]

    def best(levels: Levels, count: int) -> Levels:
        return levels[np.argsort(-model.mean(levels), kind="stable")[:count]]

    if encoding.all_candidates is not None:
        return fresh(encoding.all_candidates)
    kept = seen if allowed is None or not allowed(seen).any() else seen[allowed(seen)]
    children = encoding.children(best(kept, PARENTS), FIRST_CHILDREN, generator)
    pool = fresh(np.vstack([encoding.sample(RANDOM_CANDIDATES, generator), children]))
    for _ in range(GENERATIONS):
        pool = best(pool, GENERATION_SIZE)
        parents = pool[: 2 * PARENTS] if len(pool) else kept
        pool = fresh(np.vstack([pool, encoding.children(parents, GENERATION_SIZE, generator)]))
    return fresh(np.vstack([pool, encoding.sample(RANDOM_CANDIDATES, generator)]))


def thompson(model: Surrogate, pool: Levels, count: int, generator: np.random.Generator) -> list[list[int]]:
    """Positions in the pool, best first, by each of ``count`` joint posterior samples (Thompson 1933)."""
    likely = np.argsort(-model.mean(pool), kind="stable")[:MAX_SAMPLED]
    samples = model.sample(pool[likely], count, SAMPLE_SPREAD, generator)
    return [likely[np.argsort(-sample, kind="stable")].tolist() for sample in samples]


def varied(
    model: Surrogate, encoding: Encoding, positions: Mapping[str, int], kept: str, generator: np.random.Generator
) -> Mapping[str, int]:
    """A candidate, or one with another option or two in other choices than ``kept``, whichever a posterior sample puts
    first."""
    levels = encoding.levels([positions])
    variations = encoding.children(levels, VARIATIONS, generator)
    column = encoding.column(kept)
    variations = variations[variations[:, column] >= 0]
    variations[:, column] = positions[kept]
    pool = np.unique(np.vstack([levels, variations]), axis=0)
    return encoding.positions(pool[thompson(model, pool, 1, generator)[0][0]])
