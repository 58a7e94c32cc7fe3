"""Candidates as whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.encoding import Encoding
from tests.search.surrogate.spaces import factor


def test_no_examples_are_sampled_as_often_as_half_of_all_numbers() -> None:
    """About 5 in 13 random or designed candidates with up to 8 examples have none; other options are equally likely."""
    space = SearchSpace([factor("shots", 9, "examples"), factor("cue", 3)], lambda values: ["shots", "cue"])
    generator = np.random.default_rng(0)
    for levels in (Encoding(space).sample(3000, generator), Encoding(space).design(120, generator)):
        assert (levels[:, 0] == 0).mean() == pytest.approx(5 / 13, abs=0.04)
        assert (levels[:, 1] == 0).mean() == pytest.approx(1 / 3, abs=0.04)


def test_encoding_translates_back_to_the_candidate() -> None:
    """Levels translate back to the candidate's assignment; inactive choices are -1 and left out."""
    flag = Factor(name="flag", kind="flag", options=(False, True))
    space = SearchSpace(
        [flag, factor("inner", 3)], lambda values: ["flag", "inner"] if values.get("flag") else ["flag"], ["flag"]
    )
    encoding = Encoding(space)
    levels = encoding.encode(list(space.candidates()))
    assert levels.tolist() == [[0, -1], [1, 0], [1, 1], [1, 2]]
    assert [space.candidate(encoding.positions(row)) for row in levels] == list(space.candidates())
    assert encoding.all_candidates is not None
    generator = np.random.default_rng(0)
    for made in (encoding.sample(50, generator), encoding.children(levels, 50, generator)):
        assert {tuple(row) for row in made.tolist()} == {tuple(row) for row in levels.tolist()}
