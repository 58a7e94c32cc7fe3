"""Which candidates the surrogate expects most of."""

from __future__ import annotations

import numpy as np

from prompt_search.prompts.space import SearchSpace
from prompt_search.search.encoding import Encoding
from prompt_search.search.surrogate.acquisition import varied
from tests.search.surrogate.spaces import FACTORS, fitted, levels_of

SPACE = SearchSpace(FACTORS, lambda values: [factor.name for factor in FACTORS])
NEW = {"instruction": 3, "cue": 0, "shots": 2}


def test_what_varies_with_a_new_option_is_what_is_known_to_be_better() -> None:
    """The new option stays, at most two other choices change, and they change to what has scored better."""
    levels = levels_of(80, 3)
    model = fitted(levels, np.where(levels[:, 1] == 2, 0.9, 0.2))
    found = [varied(model, Encoding(SPACE), NEW, "instruction", np.random.default_rng(seed)) for seed in range(20)]
    assert {each["instruction"] for each in found} == {3}
    assert {each["cue"] for each in found} == {2}


def test_a_candidate_may_stay_as_it_is() -> None:
    """Where nothing is known to be better than what a candidate has, it is among those that enter."""
    levels = levels_of(80, 3)
    best = (levels[:, 1] == 0) & (levels[:, 2] == 2)
    model = fitted(levels, np.where(best, 0.9, 0.2 + 0.1 * (levels[:, 1] == 0)), rows=100)
    found = [varied(model, Encoding(SPACE), NEW, "instruction", np.random.default_rng(seed)) for seed in range(20)]
    assert NEW in found
