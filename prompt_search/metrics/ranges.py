"""The range of a metric: the lowest and the highest score that it can give, where it states them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import Any, NamedTuple, TypeVar, overload

from prompt_search.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])


class Range(NamedTuple):
    """The lowest and the highest score that a metric can give; infinite where it states none."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def bounded(self) -> bool:
        """Whether both ends are stated."""
        return math.isfinite(self.high - self.low)

    @property
    def width(self) -> float:
        """The largest difference of two scores."""
        return self.high - self.low

    @property
    def differences(self) -> Range:
        """The range of the difference of two scores."""
        return Range(-self.width, self.width)

    @property
    def wrong(self) -> float:
        """The score of an answer that could not be read: 0, or the lowest where no score is below and one above 0."""
        return 0.0 if self.low <= 0 < self.high else self.low

    def joined(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    def holds(self, value: float) -> bool:
        """Whether a score is in the range, or outside of it by rounding alone."""
        slack = 1e-9 * max(1.0, abs(value))
        return self.low - slack <= value <= self.high + slack

    def clipped(self, value: float) -> float:
        """The score of the range that is nearest to a value; NaN stays NaN."""
        return value if math.isnan(value) else min(max(value, self.low), self.high)

    def to_json(self) -> list[float | None]:
        """The ends, None for one that is not stated."""
        return [end if math.isfinite(end) else None for end in self]

    @classmethod
    def from_json(cls, ends: Sequence[float | None] | None) -> Range:
        """The range whose ends `to_json` gave; without any it is unbounded."""
        if ends is None:
            return UNBOUNDED
        low, high = ends
        return cls(-math.inf if low is None else low, math.inf if high is None else high)

    def __str__(self) -> str:
        """The ends as people read them."""
        if math.isinf(self.low):
            return f"at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}" if math.isfinite(self.high) else f"at least {self.low:g}"


UNBOUNDED = Range()
"""Nothing is known of the scores. The range of the scores that were seen is never taken for that of the metric."""

SHARE = Range(0.0, 1.0)
"""The range of most metrics."""


@overload
def metric(function: Function, /) -> Function: ...


@overload
def metric(*, low: float | None = None, high: float | None = None) -> Callable[[Function], Function]: ...


def metric(
    function: Function | None = None, /, *, low: float | None = None, high: float | None = None
) -> Function | Callable[[Function], Function]:
    """A decorator that states the range of a metric's scores.

    Intervals of scores then keep to the range, and a score outside of it is an error. A metric of a class states its
    range as the attribute ``score_range = (low, high)``.

    Args:
        function: the metric, where the decorator stands without parentheses and states no range.
        low: the lowest score; None where there is none. Where ``high`` is 0 or less it must be given, because an answer
            that cannot be read then gets the lowest score.
        high: the highest score; None where there is none.

    Raises:
        InputError: the ends are no numbers, or no range.

    >>> @metric(low=0, high=1)
    ... def short(answer, row):
    ...     return 1 / len(answer)
    >>> short.score_range
    (0.0, 1.0)
    """
    if function is not None and not callable(function):
        raise InputError(f"metric takes the range as metric(low=0, high=1), not {function!r}; name the ends")
    stated = tuple(
        _range((-math.inf if low is None else low, math.inf if high is None else high), "metric(low=, high=)")
    )

    def decorated(function: Function) -> Function:
        function.score_range = stated  # type: ignore[attr-defined]  # a function takes any attribute
        return function

    return decorated if function is None else function


def metric_range(of: Callable[..., Any]) -> Range:
    """The range that a metric states as its ``score_range``, which ``partial`` does not hide; else it is unbounded.

    Raises:
        InputError: what it states is no range.

    >>> metric_range(partial(max, key=len)).bounded
    False
    """
    stated = getattr(of, "score_range", None)
    if stated is None:
        return metric_range(of.func) if isinstance(of, partial) else UNBOUNDED
    name = getattr(of, "name", None) or getattr(of, "__name__", type(of).__name__)
    return stated if isinstance(stated, Range) else _range(stated, f"the score_range of the metric {name}")


def _range(stated: Any, what: str) -> Range:
    """The range that someone states."""
    try:
        low, high = stated
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must be two numbers (lowest, highest), not {stated!r}; correct it") from error
    if not all(isinstance(end, Real) and not isinstance(end, bool) for end in (low, high)) or not low < high:
        raise InputError(
            f"{what} must be two numbers, the lowest score first and the highest after it, not {low!r} and {high!r}; "
            "correct it"
        )
    if high <= 0 and math.isinf(low):
        raise InputError(
            f"{what} needs a lowest score where the highest is {high:g}, because an answer that cannot be read gets "
            "the lowest; give low="
        )
    return Range(float(low), float(high))
