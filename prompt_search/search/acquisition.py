"""Where to look next: the candidates that the surrogate thinks most of."""

from __future__ import annotations

import numpy as np

from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.surrogate import Surrogate

RANDOM_POOL, CHILDREN_POOL, PARENTS, GENERATIONS, KEPT = 150, 350, 12, 3, 250
"""Random candidates and children of the best seen, then further generations of children of those that the
surrogate expects most of, and random ones again."""

DRAWN_POOL = 800
"""A joint draw is made over at most this many candidates, those that are expected to be best."""

SCALE = 0.3
"""What the spread of draws is multiplied by: candidates are many and calls few, so what is known counts for more."""


def unseen(model: Surrogate, encoding: Encoding, seen: Levels, generator: np.random.Generator) -> Levels:
    """Candidates not among ``seen``, the surrogate's favourites among them; all of a small space."""
    known = {tuple(row) for row in seen.tolist()}

    def fresh(levels: Levels) -> Levels:
        rows = [row for row in dict.fromkeys(map(tuple, levels.tolist())) if row not in known]
        return np.array(rows, dtype=np.int64).reshape(len(rows), levels.shape[1])

    def best(levels: Levels, count: int) -> Levels:
        return levels[np.argsort(-model.mean(levels), kind="stable")[:count]]

    if encoding.everything is not None:
        return fresh(encoding.everything)
    children = encoding.children(best(seen, PARENTS), CHILDREN_POOL, generator)
    pool = fresh(np.vstack([encoding.sample(RANDOM_POOL, generator), children]))
    for _ in range(GENERATIONS):
        pool = best(pool, KEPT)
        pool = fresh(np.vstack([pool, encoding.children(pool[: 2 * PARENTS], KEPT, generator)]))
    return fresh(np.vstack([pool, encoding.sample(RANDOM_POOL, generator)]))


def thompson(model: Surrogate, pool: Levels, count: int, generator: np.random.Generator) -> list[list[int]]:
    """Positions in the pool, best first, for each of ``count`` joint draws (Thompson 1933)."""
    likely = np.argsort(-model.mean(pool), kind="stable")[:DRAWN_POOL]
    draws = model.draw(pool[likely], count, SCALE, generator)
    return [likely[np.argsort(-draw, kind="stable")].tolist() for draw in draws]
