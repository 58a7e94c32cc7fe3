"""A prompt that costs less than the winner and is nearly as good."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_search.results import tables

if TYPE_CHECKING:
    from prompt_search.results.stored.stored_study import StoredStudy

LEAST_SAVING = 0.05
"""The share of the winner's cost that a cheaper prompt saves at least."""

MOST_EXPECTED = 0.05
"""How much lower its score is expected to be at most."""

MOST_POSSIBLE = 0.2
"""How much lower its score may be at most, with 95% probability."""

Z = 1.6449
"""The 95% quantile of the normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Cheaper:
    """A prompt that costs less than the winner and is nearly as good.

    Args:
        trial: its trial.
        cost: its cost.
        winner_cost: that of the winner.
        unit: the unit of both, see `unit_costs`.
        expected: how much lower its score is expected to be; below 0 where it is expected to be higher.
        lower: how much lower its score is at most, with 95% probability.
    """

    trial: int
    cost: float
    winner_cost: float
    unit: str
    expected: float
    lower: float

    @property
    def saving(self) -> float:
        """The share of the winner's cost that it saves."""
        return 1 - self.cost / self.winner_cost


def unit_costs(study: StoredStudy) -> tuple[dict[int, float], str]:
    """The cost of each trial, and its unit: US dollars per 1,000 rows; where a price is not known, prompt tokens; where
    these are not known, characters of the prompt."""
    frame = study.ranking()
    prices = tables.with_costs(frame).set_index("trial")["usd_per_1000_rows"]
    if prices.gt(0).all():
        return {int(str(trial)): float(price) for trial, price in prices.items()}, "usd"
    sizes, unit = tables.prompt_sizes(frame)
    return {int(str(trial)): float(size) for trial, size in sizes.items()}, unit


def cheaper_prompt(study: StoredStudy) -> Cheaper | None:
    """The cheapest of the prompts that are nearly as good as the winner; None where the winner is as cheap, or too
    little is known of the others.

    Args:
        study: a finished study.
    """
    costs, unit = unit_costs(study)
    expected = study.estimates()
    if study.best_trial not in expected or not costs[study.best_trial] > 0:
        return None
    best, winner_cost = expected[study.best_trial][0], costs[study.best_trial]
    found = []
    for trial, (estimate, uncertainty) in expected.items():
        lower = math.ceil(100 * max(0.0, best - estimate + Z * uncertainty)) / 100
        near = best - estimate <= MOST_EXPECTED and lower <= MOST_POSSIBLE
        if trial != study.best_trial and near and costs[trial] <= (1 - LEAST_SAVING) * winner_cost:
            found.append(
                Cheaper(
                    trial=trial,
                    cost=costs[trial],
                    winner_cost=winner_cost,
                    unit=unit,
                    expected=best - estimate,
                    lower=lower,
                )
            )
    return min(found, key=lambda each: (each.cost, each.lower), default=None)
