"""Every sentence about an objective and its caps; made from values alone."""

from __future__ import annotations

from collections.abc import Mapping

from prompt_search.metrics.objective import NAMES, Cap, Objective, Quantity, amount
from prompt_search.results.objective.caps import CapStanding, MeanCost

NOT_SHOWN = "not shown to be under the cap"
"""How the reason ends of a trial that could not win for the caps."""

CAP_COLUMN = "cap"
"""The title of the column that says how a prompt stands to the caps."""


def by_the_objective(objective: Objective) -> str:
    """What two prompts are compared by, where that is not the score."""
    return f" by the objective, {objective}"


def scores_alone(winner: str, baseline: str) -> str:
    """The scores beside values, without the full stop."""
    return f"Its score alone is {winner} against {baseline}"


def cost_sentence(quantity: Quantity, cap: Cap | None, costs: Mapping[str, MeanCost]) -> str:
    """What some prompts take of a quantity, and how they stand to the cap on it; without the full stop.

    >>> cost = MeanCost(observed=310.0, expected=310.0, low=305.0, high=315.0, rows=90)
    >>> cost_sentence("prompt_tokens", Cap("prompt_tokens", 400), {"the winner": cost})
    'Prompt tokens a row: 310 with the winner (under the cap of 400)'
    """
    parts = []
    for who, cost in costs.items():
        text = f"{amount(quantity, cost.observed)} with {who}"
        parts.append(text if cap is None else f"{text} ({_standing(cost, cap)})")
    name = NAMES[quantity]
    return f"{name[0].upper()}{name[1:]}: {', '.join(parts)}"


def _standing(cost: MeanCost, cap: Cap) -> str:
    most, standing = amount(*cap), cost.standing(cap.most)
    if standing != "not known":
        return f"{standing} the cap of {most}"
    ends = f"{amount(cap.quantity, cost.low)} to {amount(cap.quantity, cost.high)}"
    return f"not known to be under the cap of {most}, 99% interval {ends}"


def winner_breaks_caps(objective: Objective, standing: CapStanding, trial: int) -> str:
    """The winner does not keep the caps, as far as is known; without the full stop."""
    caps = " and ".join(f"the cap of {cap}" for cap in objective.caps)
    best = f"the best one found, trial {trial},"
    if standing == "over":
        return f"No prompt that was tried meets {caps}: {best} is over it"
    return f"No prompt that was tried is shown to meet {caps}: whether {best} does is not known"


def better_but_not_known(trial: int, estimate: float) -> str:
    """A remark on a trial with a higher estimate than the winner, which could not win for the caps."""
    return (
        f"Trial {trial} has a higher estimate ({estimate:.3f}), but the search did not show that it is under the cap."
    )


def advice(objective: Objective, winner: CapStanding, baseline: CapStanding, trial: int) -> str | None:
    """What to do where the caps decide that; None where the verdict decides."""
    if winner != "under":
        return (
            f"{winner_breaks_caps(objective, winner, trial)}. Raise the cap, or give the template shorter options; "
            "with more calls more prompts are tried."
        )
    if baseline == "over" and trial:
        return f"Ship the winner, trial {trial}: it is under the cap, which the default prompt is not."
    return None


EFFECTS_OF = "the value of the objective"
"""What effects are effects on, where costs are weighed."""
