"""What a study maximizes where a prompt is worth more than its score: weights of its costs, and caps on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np

from prompt_search.errors import InputError, RunError
from prompt_search.llm.messages import Response, Usage
from prompt_search.llm.model import Model
from prompt_search.metrics.ranges import Range

Quantity = Literal["prompt_tokens", "tokens", "usd_per_1000_rows", "latency_s"]
"""What a response takes: prompt tokens; all tokens; US dollars for 1,000 like it; seconds."""

PER_WEIGHT: Mapping[str, tuple[Quantity, float]] = {
    "cost": ("usd_per_1000_rows", 1.0),
    "latency": ("latency_s", 1.0),
    "tokens": ("tokens", 1000.0),
}
"""For each weight the quantity that it weighs, and how much of it the weight is the price of."""

CAPPED: Mapping[str, Quantity] = {
    "max_prompt_tokens": "prompt_tokens",
    "max_usd_per_1000": "usd_per_1000_rows",
    "max_latency_s": "latency_s",
}
"""For each cap the quantity whose mean it limits."""

NAMES: Mapping[Quantity, str] = {
    "prompt_tokens": "prompt tokens a row",
    "tokens": "tokens a row",
    "usd_per_1000_rows": "US dollars per 1,000 rows",
    "latency_s": "seconds a row",
}
"""The quantities in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCost:
    """What the response to one row took; None where it is not known. The fields are the quantities."""

    prompt_tokens: float | None = None
    tokens: float | None = None
    usd_per_1000_rows: float | None = None
    latency_s: float | None = None

    @classmethod
    def of(cls, response: Response) -> RowCost:
        """The cost of a response, as it is stored.

        >>> RowCost.of(Response(usage=Usage(prompt_tokens=90, completion_tokens=10), cost_usd=0.002, latency_s=0.5))
        RowCost(prompt_tokens=90, tokens=100, usd_per_1000_rows=2.0, latency_s=0.5)
        """
        sent, received = response.usage.prompt_tokens, response.usage.completion_tokens
        return cls(
            prompt_tokens=sent,
            tokens=None if sent is None or received is None else sent + received,
            usd_per_1000_rows=None if math.isnan(response.cost_usd) else 1000 * response.cost_usd,
            latency_s=None if math.isnan(response.latency_s) else response.latency_s,
        )


UNKNOWN_COST = RowCost()
"""The cost of a request that failed."""


class Cap(NamedTuple):
    """The highest mean of a quantity over rows that a prompt may have."""

    quantity: Quantity
    most: float

    def __str__(self) -> str:
        return f"{amount(self.quantity, self.most)} {NAMES[self.quantity]}"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a study maximizes: the score of a row minus what its response costs, and caps that the winner must keep.

    The value of a row is ``score`` times its score, minus ``cost`` for each US dollar that 1,000 such rows cost, minus
    ``latency`` for each second that its response takes, minus ``tokens`` for each 1,000 tokens of prompt and answer.
    Caps limit means over rows: the winner is a prompt that keeps all of them.

    Attributes:
        score: the weight of the score.
        cost: what one US dollar per 1,000 rows is worth in score.
        latency: what one second a row is worth in score.
        tokens: what 1,000 tokens a row are worth in score.
        max_prompt_tokens: the most prompt tokens a row; None: any number.
        max_usd_per_1000: the most US dollars per 1,000 rows.
        max_latency_s: the most seconds a row.

    Raises:
        InputError: a weight or a cap is no number, or a wrong one.

    >>> Objective(cost=0.1, max_prompt_tokens=400)
    Objective(cost=0.1, max_prompt_tokens=400)
    >>> print(Objective(cost=0.1, tokens=0.02))
    score - 0.1 x (US dollars per 1,000 rows) - 0.02 x (1,000 tokens a row)
    """

    score: float = 1.0
    cost: float = 0.0
    latency: float = 0.0
    tokens: float = 0.0
    max_prompt_tokens: float | None = None
    max_usd_per_1000: float | None = None
    max_latency_s: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))

    @classmethod
    def from_dict(cls, stored: Mapping[str, float]) -> Objective:
        """The objective that `to_dict` gave.

        Raises:
            InputError: it is none.
        """
        unknown = sorted({*stored} - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(
                f"an objective has no {unknown[0]!r}; it has {', '.join(field.name for field in fields(cls))}"
            )
        return cls(**stored)

    def to_dict(self) -> dict[str, float]:
        """The weights and caps that are not the default ones, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    @property
    def is_score_alone(self) -> bool:
        """Whether nothing but the score counts, as without an objective."""
        return not self.to_dict()

    @property
    def weighs(self) -> bool:
        """Whether the value of a row is another number than its score."""
        return self.score != 1 or any(getattr(self, name) for name in PER_WEIGHT)

    @property
    def weights(self) -> dict[Quantity, float]:
        """What one unit of each quantity is worth in score."""
        found = {quantity: getattr(self, name) / unit for name, (quantity, unit) in PER_WEIGHT.items()}
        return {quantity: weight for quantity, weight in found.items() if weight}

    @property
    def caps(self) -> list[Cap]:
        """The caps that are given."""
        found = [(quantity, getattr(self, name)) for name, quantity in CAPPED.items()]
        return [Cap(quantity, most) for quantity, most in found if most is not None]

    @property
    def quantities(self) -> list[Quantity]:
        """The quantities that are weighed or capped."""
        return list(dict.fromkeys([*self.weights, *(cap.quantity for cap in self.caps)]))

    def penalties(self, quantities: Mapping[Quantity, Sequence[float]] | Any) -> np.ndarray:
        """What the costs of some rows of one prompt are worth in score.

        A row whose cost is not known, such as one whose request failed, counts as the mean of the prompt's others.

        Args:
            quantities: for each quantity its values by row, NaN where they are not known; a table with such columns.
        """
        columns = [weight * np.asarray(quantities[name], dtype=float) for name, weight in self.weights.items()]
        return sum((_filled(column) for column in columns), np.zeros(()))

    def value_range(self, scores: Range) -> Range:
        """The range of values, where the metric has this range."""
        if not self.weighs:
            return scores
        return Range(-math.inf if self.weights else self.score * scores.low, self.score * scores.high)

    def check_known(self, costs: Iterable[RowCost]) -> None:
        """Refuse to go on where what counts is known of none of the costs.

        Raises:
            RunError: the server does not report it.
        """
        found = list(costs)
        for quantity in self.quantities:
            if found and all(getattr(cost, quantity) is None for cost in found):
                raise RunError(
                    f"the objective is about {NAMES[quantity]}, but no response says how many there were; leave that "
                    "part of the objective out, or use a server that reports usage"
                )

    def check_priced(self, models: Iterable[Model]) -> None:
        """Refuse an objective in dollars where a price is unknown.

        Raises:
            InputError: the price of a model is unknown.
        """
        if "usd_per_1000_rows" not in self.quantities:
            return
        for model in models:
            if math.isnan(model.cost(Usage(prompt_tokens=1, completion_tokens=1))):
                raise InputError(
                    f"an objective in US dollars needs prices, but the price of {model.name} is unknown; give "
                    "Model(..., price=Price(...)), or an objective in tokens"
                )

    def __repr__(self) -> str:
        return f"Objective({', '.join(f'{name}={value:g}' for name, value in self.to_dict().items())})"

    def __str__(self) -> str:
        """The value of a row in words."""
        terms = ["score" if self.score == 1 else f"{self.score:g} x score"]
        for name, (quantity, unit) in PER_WEIGHT.items():
            if weight := getattr(self, name):
                what = f"{unit:,.0f} {NAMES[quantity]}" if unit > 1 else NAMES[quantity]
                terms.append(f"{weight:g} x ({what})")
        return " - ".join(terms)


def amount(quantity: Quantity, value: float) -> str:
    """A quantity as people read it, without its unit.

    >>> amount("prompt_tokens", 1234), amount("tokens", 7.25), amount("usd_per_1000_rows", 0.25), amount("latency_s", 2)
    ('1,234', '7.2', '0.2500', '2.00')
    """
    form = {"usd_per_1000_rows": ",.4f" if value < 1 else ",.2f", "latency_s": ",.2f"}.get(quantity)
    return format(value, form) if form else f"{value:,.1f}".removesuffix(".0")


def objective_text(objective: Objective) -> str:
    """What is maximized, and the caps, on one line.

    >>> objective_text(Objective(cost=0.1, max_prompt_tokens=400)), objective_text(Objective(max_latency_s=2))
    ('score - 0.1 x (US dollars per 1,000 rows), at most 400 prompt tokens a row', 'score, at most 2.00 seconds a row')
    """
    return ", ".join([str(objective), *(f"at most {cap}" for cap in objective.caps)])


def objective_of(given: Objective | None) -> Objective | None:
    """An objective; None where nothing but the score counts.

    Raises:
        InputError: it is none.
    """
    if given is not None and not isinstance(given, Objective):
        raise InputError(f"objective= takes a ps.Objective such as ps.Objective(cost=0.1), not {given!r}; give one")
    return None if given is None or given.is_score_alone else given


def _check(name: str, value: Any) -> None:
    """
    Raises:
        InputError: a weight or a cap is no number, or a wrong one.
    """
    is_cap = name in CAPPED
    if value is None and is_cap:
        return
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    least = "above 0" if is_cap or name == "score" else "0 or more"
    if not is_number or value < 0 or (value == 0 and least == "above 0"):
        what = "a cap" if is_cap else "a weight"
        raise InputError(f"{what} of an objective must be a number, {least}, got {name}={value!r}; correct it")


def _filled(values: np.ndarray) -> np.ndarray:
    """Values with the mean of the known ones where they are not known; 0 where none is."""
    known = ~np.isnan(values)
    return np.where(known, values, values[known].mean() if known.any() else 0.0)
