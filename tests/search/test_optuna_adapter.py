"""What Optuna's samplers and pruners see of a race, and what they decide from it."""

from __future__ import annotations

import optuna

from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.search.optuna_adapter import ObservedTrial, proposals, stops
from prompt_search.search.settings import BATCH_ROWS


def test_proposals_of_a_sampler_are_repeatable() -> None:
    """Each proposer asks a copy of the sampler, so that a second one proposes the same."""
    factors = [Factor(name=name, kind="choice", options=("p", "q", "r", "s")) for name in ("a", "b", "c")]
    space = SearchSpace(factors, lambda values: ["a", "b", "c"])
    sampler = optuna.samplers.TPESampler(seed=3)
    trials = [
        ObservedTrial(
            {factor.name: index % len(factor.options) for factor in space.factors}, "running", [1.0], index / 12
        )
        for index in range(12)
    ]
    first, second = proposals(sampler), proposals(sampler)
    assert [first(space, trials, 8) for _ in range(2)] == [second(space, trials, 8) for _ in range(2)]


def test_median_pruner_stops_what_is_worse() -> None:
    """A pruner sees each trial's running means, so that the median pruner stops trials below the median."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=0)
    trials = [
        ObservedTrial({"a": 0}, "complete", [1.0] * 20, 1.0),
        ObservedTrial({"a": 1}, "complete", [0.8, 0.9] * 10, 0.85),
        ObservedTrial({"a": 2}, "running", [0.0] * 10, 0.1),
        ObservedTrial({"a": 3}, "running", [1.0] * 10, 0.9),
    ]
    space = SearchSpace([Factor(name="a", kind="choice", options=("w", "x", "y", "z"))], lambda values: ["a"])
    assert stops(pruner, BATCH_ROWS)(space, trials) == [False, False, True, False]
