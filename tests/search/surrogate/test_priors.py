"""What is expected of the variances before any data."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_search.prompts.factors import Factor
from prompt_search.search.surrogate.geometry import Geometry
from prompt_search.search.surrogate.observations import Observations
from prompt_search.search.surrogate.priors import GROWN_SHARE, SEARCH_SHARES, Prior


@pytest.mark.parametrize("in_finals", [False, True])
def test_rows_are_measured_once_options_were_proposed(in_finals: bool) -> None:
    """The variances of rows and noise are those of single scores; in the finals more is expected of the choice that has
    grown, and of no other."""
    options = ("Sort it.", "Classify it.", "Say its kind.")
    factors = [
        Factor(name="cue", kind="choice", options=("", "Label:")),
        Factor(name="instruction", kind="choice", options=options, grow="tells what to do", grown=1),
    ]
    seen = Observations(
        np.zeros((1, 2), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        mean=np.array([0.5]),
        rows=np.array([10.0]),
        score_variance=0.25,
    )
    prior = Prior.for_grown(Geometry(factors), seen, 0.15, 0.1, in_finals=in_finals)
    share = GROWN_SHARE if in_finals else SEARCH_SHARES["choice"]
    assert np.exp(prior.mean[:2]) == pytest.approx([SEARCH_SHARES["choice"] * 0.25, share * 0.25])
    assert np.exp(prior.mean[-2:]) == pytest.approx([0.15, 0.1])
