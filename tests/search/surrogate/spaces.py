"""A small space, and surrogates that are fitted to made-up means of its candidates."""

from __future__ import annotations

import numpy as np

from prompt_search.prompts.factors import Factor, Kind
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations

POOL = tuple(f"shot {index}" for index in range(10))


def factor(name: str, options: int, kind: Kind = "choice") -> Factor:
    return Factor(name=name, kind=kind, options=tuple(range(options)))


FACTORS = [factor("instruction", 4), factor("cue", 3), factor("shots", 7, "examples")]
SLOTS = [Factor(name=f"slot {index}", kind="choice", options=POOL) for index in range(2)]
OPTIONS = [len(factor.options) for factor in FACTORS]
GEOMETRY = Geometry(FACTORS)


def levels_of(count: int, seed: int) -> Levels:
    generator = np.random.default_rng(seed)
    return np.column_stack([generator.integers(0, options, count) for options in OPTIONS])


def observations_of(levels: Levels, means: Floats, rows: float = 10, spread: float = 0.2) -> Observations:
    """One mean for each candidate, all on the same rows."""
    count = len(means)
    return Observations(levels, np.arange(count), np.zeros(count, dtype=np.int64), means, np.full(count, rows), spread)


def fitted(levels: Levels, means: Floats, rows: float = 10, spread: float = 0.2) -> Surrogate:
    return Surrogate.fit(GEOMETRY, observations_of(levels, means, rows, spread))
