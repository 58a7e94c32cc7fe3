"""Whether prompts keep caps on their mean costs, by what was observed of them; pure functions on numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prompt_search.metrics.objective import Cap, Quantity

CapStanding = Literal["under", "over", "not known"]
"""How a prompt stands to the caps. ``over``: it is shown to be over one. ``under``: what was observed is under all of
them, and shown to be."""

Z = 2.5758
"""The two-sided 99% quantile of the normal distribution. A prompt is looked at many times, and no look may be wrong."""

LIKELY = 0.8416
"""The 80% quantile of the normal distribution."""

ROUNDS = 30
"""Number of rounds in which the parts of prompts and rows are fitted to each other."""

OWN_ROWS = 5
"""Number of rows from which on a prompt's own spread counts, where it is larger than that of all prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanCost:
    """What is known of a prompt's mean cost on new rows.

    Attributes:
        observed: the mean over the rows that were observed.
        expected: the mean that is expected on new rows.
        low, high: the ends of the 99% confidence interval of the mean on new rows.
        rows: the number of rows.
    """

    observed: float
    expected: float
    low: float
    high: float
    rows: int

    def is_likely_over(self, most: float) -> bool:
        """Whether the mean on new rows is above a cap with a probability of more than 80%."""
        deviation = (self.high - self.low) / (2 * Z)
        return self.expected - LIKELY * deviation > most

    def standing(self, most: float) -> CapStanding:
        """How the prompt stands to a cap."""
        if self.low > most:
            return "over"
        return "under" if max(self.observed, self.high) <= most else "not known"


def joint_standing(standings: Iterable[CapStanding]) -> CapStanding:
    """How a prompt stands to several caps.

    >>> joint_standing(["under", "not known"]), joint_standing(["over", "not known"]), joint_standing([])
    ('not known', 'over', 'under')
    """
    found = {*standings}
    return "over" if "over" in found else "not known" if "not known" in found else "under"


def mean_costs(prompts: Sequence[int], rows: Sequence[int], costs: Sequence[float]) -> dict[int, MeanCost]:
    """The mean cost of each prompt on new rows, from the costs of some prompts on some rows of one model.

    A cost is the sum of a part of its prompt and a part of its row, which prompts share, and what is left. Prompts that
    were observed on other rows are therefore comparable: the mean over a prompt's rows is moved by the difference
    between the parts of these rows and those of all rows. The least squares are found by fitting both parts in turn.

    Args:
        prompts: the prompt of each observation.
        rows: the row of each observation.
        costs: its cost; NaN where it is not known, which is left out.

    Returns:
        for each prompt with an observation its mean cost; numbers are rounded, so that the last digits of sums decide
        nothing.

    >>> found = mean_costs([0, 0, 0, 1, 1], [1, 2, 3, 2, 3], [110, 120, 130, 420, 430])
    >>> found[1].observed, found[1].expected
    (425.0, 420.0)
    """
    known = ~np.isnan(np.asarray(costs, dtype=float))
    values = np.asarray(costs, dtype=float)[known]
    if not len(values):
        return {}
    names, prompt = np.unique(np.asarray(prompts)[known], return_inverse=True)
    _, row = np.unique(np.asarray(rows)[known], return_inverse=True)
    own, shared = _parts(values, prompt, row)
    count = np.bincount(prompt)
    observed = np.bincount(prompt, values) / count
    residual = values - own[prompt] - shared[row]
    freedom = len(values) - len(own) - len(shared) + 1
    squares = np.bincount(prompt, residual**2)
    pooled = squares.sum() / freedom if freedom > 0 else 0.0
    spread = np.where(count >= OWN_ROWS, np.maximum(squares / np.maximum(count - 1, 1), pooled), pooled)
    of_rows = float(shared.var(ddof=1)) / len(shared) if len(shared) > 1 else math.inf
    expected = own + shared.mean()
    error = Z * np.sqrt(spread / count + of_rows)
    return {
        int(name): MeanCost(
            observed=_rounded(observed[place]),
            expected=_rounded(expected[place]),
            low=_rounded(expected[place] - error[place]),
            high=_rounded(expected[place] + error[place]),
            rows=int(count[place]),
        )
        for place, name in enumerate(names.tolist())
    }


def _parts(values: np.ndarray, prompt: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of prompts and of rows, whose mean over all rows is 0."""
    shared = np.zeros(row.max() + 1)
    own = np.zeros(prompt.max() + 1)
    for _ in range(ROUNDS):
        own = np.bincount(prompt, values - shared[row]) / np.bincount(prompt)
        shared = np.bincount(row, values - own[prompt]) / np.bincount(row)
        shared -= shared.mean()
    own = np.bincount(prompt, values - shared[row]) / np.bincount(prompt)
    return own, shared


def _rounded(value: float) -> float:
    """A number with nine digits, as far as they are not sums' last ones."""
    return float(f"{value:.9g}")


def standings(costs: Mapping[Quantity, Mapping[int, MeanCost]], caps: Iterable[Cap]) -> dict[int, CapStanding]:
    """How prompts stand to all caps; a prompt of which some quantity was not observed is not known.

    Args:
        costs: the mean costs by quantity and prompt, see `mean_costs`.
        caps: each quantity with the highest mean that a prompt may have.
    """
    given = list(caps)
    prompts = {prompt for quantity, _ in given for prompt in costs[quantity]}
    return {
        prompt: joint_standing(
            costs[quantity][prompt].standing(most) if prompt in costs[quantity] else "not known"
            for quantity, most in given
        )
        for prompt in sorted(prompts)
    }
