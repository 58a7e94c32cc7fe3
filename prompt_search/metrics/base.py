"""What a metric is: any callable ``(answer, row)``, its score, and the checks of both."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

from prompt_search.answers import Unparsed
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, PromptSearchError
from prompt_search.metrics.ranges import SHARE, UNBOUNDED, Range, metric_range
from prompt_search.metrics.text_answer import comparable

LARGEST_SCORE = 1e50
"""Size of a score up to which variances of scores, and their squares, can be computed."""


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an answer, with an optional explanation.

    Attributes:
        value: a finite number, True or False; larger is better. Where the metric states a range, it is in it.
        explanation: the reason, in words; it is stored with the score.
        margin: for metrics of 0 and 1, by how much the answer is correct: above 0 for a correct answer. With margins
            the search needs fewer rows to distinguish prompts. No table or verdict uses them.
    """

    value: float | bool
    explanation: str = ""
    margin: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, Real) and not hasattr(self.value, "__float__"):
            raise InputError(f"a score must be a number, not {self.value!r}; give one such as Score(0.5)")


Metric = Callable[[Any, Row], "bool | float | Score | Awaitable[bool | float | Score]"]
"""A metric gets an answer and its row; it may be a coroutine function."""


class BuiltInMetric(ABC):
    """A metric of this package. It can check before a run whether it can work."""

    __slots__ = ()

    @abstractmethod
    def validate(self, fields: Collection[str]) -> None:
        """Check before a run that the metric can work on rows with these columns.

        Raises:
            InputError: a column that it needs is missing.
            MissingExtra: a package that it needs is missing.
        """


async def score(metric: Metric, answer: Any, row: Row, number: int | None = None) -> Score:
    """The metric's score of one answer, as a float.

    The score of an ``Unparsed`` answer is 0, or the lowest of a range without 0 or with nothing above it; the metric is
    not called for it. A metric of a user gets a text as an answer that equals the number that is written there, where
    the target is a number.

    Args:
        metric: the metric.
        answer: the answer.
        row: its row.
        number: the row's position in the data, for errors.

    Raises:
        InputError: the metric raises, or gives NaN, infinity, something that is no number, or a score outside of the
            range that it states.
        PromptSearchError: the metric raises one, which is passed on as it is.

    >>> import asyncio
    >>> def same(answer, row):
    ...     return answer == row.target
    >>> asyncio.run(score(same, "yes", Row({"text": "?", "label": "yes"}, target="label")))
    Score(value=1.0, explanation='', margin=None)
    """
    allowed = metric_range(metric)
    if isinstance(answer, Unparsed):
        return Score(allowed.wrong, f"unparsed: {answer.reason}")
    name = metric_name(metric)
    try:
        result = metric(answer if isinstance(metric, BuiltInMetric) else comparable(answer, row), row)
        if inspect.isawaitable(result):
            result = await result
    except PromptSearchError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise InputError(f"the metric {name} raised {type(error).__name__}: {message}; correct the metric") from error
    explained = result if isinstance(result, Score) else Score(_finite(result, name))
    margin = None if explained.margin is None else _finite(explained.margin, name)
    return Score(_inside(_finite(explained.value, name), allowed, name, number), explained.explanation, margin)


def metric_name(metric: Metric) -> str:
    """The ``name`` of a metric; or else the name of the function or class, which ``partial`` does not hide.

    >>> metric_name(partial(max, key=len)), metric_name(lambda answer, row: True)
    ('max', '<lambda>')
    """
    if isinstance(metric, partial):
        return metric_name(metric.func)
    name = getattr(metric, "name", None)
    return name if isinstance(name, str) else getattr(metric, "__name__", type(metric).__name__)


def check(metric: Metric, fields: Collection[str]) -> None:
    """Check before a run that a metric can work on rows with these columns; of other callables nothing is known.

    Raises:
        InputError: the metric is not callable, states no valid range, or needs a column that is missing.
        MissingExtra: a package that it needs is missing.
    """
    if not callable(metric):
        raise InputError(f"a metric must be callable as metric(answer, row), not {metric!r}; give a function")
    metric_range(metric)
    if isinstance(metric, BuiltInMetric):
        metric.validate(fields)


def check_reachable(metric: Metric | None, score: float, what: str) -> None:
    """Refuse a score to reach that no prompt can have.

    Args:
        metric: the metric; None: one of 0 to 1.
        score: the score to reach.
        what: how the user gives it, such as ``--min-score``.

    Raises:
        InputError: it is outside of the metric's range.
    """
    allowed, name = (SHARE, "exact") if metric is None else (metric_range(metric), metric_name(metric))
    if not (math.isfinite(score) and allowed.low <= score <= allowed.high):
        span = f"{allowed}" if allowed != UNBOUNDED else "any number"
        raise InputError(
            f"{what} {score:g} is no score of the metric {name}, whose scores are {span}; give one in this range"
        )


def _inside(value: float, allowed: Range, name: str, number: int | None) -> float:
    if not allowed.holds(value):
        where = "a row" if number is None else f"row {number}"
        raise InputError(
            f"the metric {name} states that its scores are {allowed}, but gave {where} the score {value:g}; correct "
            "the metric or its range"
        )
    return allowed.clipped(value)


def _finite(value: Any, name: str) -> float:
    # NumPy's truth values are no Python numbers.
    plain = value.tolist() if hasattr(value, "tolist") else value
    try:
        is_finite = isinstance(plain, Real) and math.isfinite(plain)
    except OverflowError:  # a whole number that no float holds
        is_finite = False
    if not is_finite:
        raise InputError(
            f"a metric must return True or False, a finite number or a Score, but {name} returned {value!r}; return "
            "0 for a wrong answer"
        )
    if abs(plain) > LARGEST_SCORE:
        raise InputError(
            f"a metric must return at most {LARGEST_SCORE:g} in size, but {name} returned {value!r}; scale it"
        )
    return float(plain)
