"""A space of four choices, one of two slots of a pool, and surrogates without candidates' own deviations."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import Observations

POOL = tuple(f"shot {index}" for index in range(8))
FACTORS = [
    Factor(name="instruction", kind="choice", options=("a", "b", "c")),
    Factor(name="temperature", kind="integer", options=(0, 1, 2)),
    Factor(name="fixed", kind="choice", options=("only",)),
    Factor(name="cue", kind="flag", options=(False, True)),
]
SLOTS = [Factor(name=f"slot {index}", kind="choice", options=POOL) for index in range(2)]


def all_levels(factors: list[Factor]) -> Levels:
    return np.array(list(product(*(range(len(factor.options)) for factor in factors))))


def fitted(factors: list[Factor], seen: Levels, means: Floats, rows: float = 40) -> Surrogate:
    count = len(means)
    observations = Observations(
        seen, np.arange(count), np.zeros(count, dtype=np.int64), means, np.full(count, rows), 0.2
    )
    learned = Surrogate.fit(Geometry(factors), observations)
    log_variances = learned.log_variances.copy()
    log_variances[-4] = -30.0  # the candidate's own deviation is no part of any choice
    return replace(learned, log_variances=log_variances)
