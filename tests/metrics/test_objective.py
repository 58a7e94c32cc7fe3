"""Objectives: what a row is worth, what may be given, and what is refused in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import prompt_search as ps
from prompt_search.metrics.objective import Objective, RowCost, objective_of
from prompt_search.metrics.ranges import SHARE, Range


@pytest.mark.parametrize(
    "given",
    [
        {"cost": -0.1},
        {"latency": math.nan},
        {"tokens": math.inf},
        {"score": 0},
        {"cost": "much"},
        {"cost": True},
        {"max_prompt_tokens": 0},
        {"max_usd_per_1000": -1},
        {"max_latency_s": math.nan},
    ],
    ids=str,
)
def test_wrong_weights_and_caps_are_refused(given: dict[str, Any]) -> None:
    """A weight or a cap that is negative, unknown, infinite or no number is one line that names it."""
    (name,) = given
    with pytest.raises(ps.InputError, match=rf"^a (weight|cap) of an objective must be a number, .*{name}=") as raised:
        Objective(**given)
    assert "\n" not in str(raised.value)


def test_value_of_a_row() -> None:
    """A value is the score minus each cost times its weight; a row of unknown cost counts as the mean of the others."""
    objective = Objective(score=2, cost=0.5, tokens=0.1)
    costs = {"usd_per_1000_rows": [0.4, math.nan, 0.2], "tokens": [1000, math.nan, 3000]}
    np.testing.assert_allclose(objective.penalties(costs), [0.3, 0.35, 0.4])
    assert objective.weighs
    assert objective.value_range(SHARE) == Range(-math.inf, 2)


def test_nothing_but_the_score() -> None:
    """An objective without costs and caps is none, and something else than an objective is refused."""
    assert objective_of(Objective()) is None
    capped = objective_of(Objective(max_prompt_tokens=100))
    assert capped is not None
    assert not capped.weighs
    assert capped.value_range(SHARE) == SHARE
    with pytest.raises(ps.InputError, match=r"^objective= takes a ps\.Objective such as"):
        objective_of(0.5)  # type: ignore[arg-type]


def test_stored_and_read_back() -> None:
    """What is stored of an objective gives it again; a name that it does not have is refused."""
    objective = Objective(latency=0.2, max_usd_per_1000=0.5)
    assert Objective.from_dict(objective.to_dict()) == objective
    with pytest.raises(ps.InputError, match=r"^an objective has no 'speed'; it has score, cost, latency, tokens"):
        Objective.from_dict({"speed": 1.0})


def test_what_a_server_does_not_report() -> None:
    """Costs of which a single one is known will do; where none is, the run ends in one line."""
    objective = Objective(max_prompt_tokens=100)
    objective.check_known([RowCost(), RowCost(prompt_tokens=3)])
    objective.check_known([])
    with pytest.raises(ps.RunError, match=r"^the objective is about prompt tokens a row, but no response says"):
        objective.check_known([RowCost(latency_s=1.0)])
