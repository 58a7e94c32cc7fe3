"""Ranges of metrics: how they are stated, and that scores keep to them."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search import metrics
from prompt_search.answers import Unparsed
from prompt_search.data.rows import Row
from prompt_search.errors import InputError
from prompt_search.metrics import UNBOUNDED, Range, Score, metric_range

ROW = Row({"text": "?", "label": "yes"}, target="label")


def scored(metric: Any, answer: Any = "yes", number: int | None = 7) -> Score:
    return asyncio.run(metrics.score(metric, answer, ROW, number))


@metrics.metric(low=0, high=1)
def graded(answer: Any, row: Row, value: float = 0.5) -> float:
    return value


def test_a_decorator_states_the_range_and_leaves_the_function() -> None:
    """The function stays the same one, by name and call, and partial functions have its range."""
    assert graded("yes", ROW) == 0.5
    assert metrics.metric_name(graded) == "graded"
    assert metric_range(graded) == metric_range(partial(graded, value=0.3)) == Range(0, 1)


def test_an_attribute_states_the_range() -> None:
    """A class of metrics has its range as the attribute score_range."""

    class Stars:
        score_range = (1, 5)

        def __call__(self, answer: Any, row: Row) -> int:
            return 4

    assert metric_range(Stars()) == Range(1.0, 5.0)
    assert scored(Stars()) == Score(4.0)


def test_one_end_is_enough() -> None:
    """A range may be open on one side; without the decorator it is on both."""
    assert metric_range(metrics.metric(low=0)(lambda answer, row: 3)) == Range(0, math.inf)
    assert metric_range(lambda answer, row: 3) == UNBOUNDED


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        *((each, Range(0, 1)) for each in (metrics.exact, metrics.includes, metrics.numeric, metrics.token_f1)),
        *((each, Range(0, 1)) for each in (metrics.bleu, metrics.chrf, metrics.macro_f1, metrics.corpus_bleu)),
        (metrics.matthews, Range(-1, 1)),
        (metrics.kappa, Range(-1, 1)),
        (metrics.WorstSlice(metrics.exact, by="text"), Range(0, 1)),
        (metrics.WorstSlice(lambda answer, row: 0.5, by="text"), UNBOUNDED),
    ],
)
def test_built_in_metrics_state_theirs(metric: Any, expected: Range) -> None:
    """Each metric of the package has a range, and the worst slice has that of the metric inside."""
    assert metric_range(metric) == expected


@pytest.mark.parametrize("value", [1.3, -0.01, 57])
def test_a_score_outside_names_metric_row_and_value(value: float) -> None:
    """The error is one line with the range, the row's number and the score."""
    with pytest.raises(InputError) as found:
        scored(partial(graded, value=value))
    assert str(found.value) == (
        f"the metric graded states that its scores are 0 to 1, but gave row 7 the score {value:g}; correct the metric "
        "or its range"
    )


def test_rounding_is_not_outside() -> None:
    """A score that is above the range by rounding alone becomes its end."""
    assert scored(partial(graded, value=1 + 1e-12)).value == 1.0


@pytest.mark.parametrize(
    ("ends", "score"), [((None, None), 0), ((0, 1), 0), ((-1, 1), 0), ((1, 5), 1), ((-10, 0), -10), ((-9, -2), -9)]
)
def test_unread_answers_never_score_best(ends: tuple[float | None, float | None], score: float) -> None:
    """An answer that could not be read scores 0, or the lowest where 0 is the best score or no score at all."""
    metric = metrics.metric(low=ends[0], high=ends[1])(lambda answer, row: 99)
    assert scored(metric, Unparsed("empty")).value == score


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (1, 0, r"^metric\(low=, high=\) must be two numbers, the lowest score first and the highest after it, not 1"),
        ("a", 1, r"^metric\(low=, high=\) must be two numbers, the lowest score first .* not 'a' and 1; correct it$"),
        (None, 0, r"^metric\(low=, high=\) needs a lowest score where the highest is 0, .*; give low=$"),
    ],
)
def test_a_range_that_is_none_is_refused(low: Any, high: Any, message: str) -> None:
    """Ends in the wrong order, ends that are no numbers and losses without a lowest score are errors."""
    with pytest.raises(InputError, match=message):
        metrics.metric(low=low, high=high)


def test_an_attribute_that_is_no_range_is_refused_before_a_run() -> None:
    """The check of a metric names the metric and what its attribute is."""

    class Bad:
        name = "bad"
        score_range = 1

        def __call__(self, answer: Any, row: Row) -> float:
            return 1

    with pytest.raises(InputError, match=r"^the score_range of the metric bad must be two numbers .*, not 1; correct"):
        metrics.check(Bad(), ["text"])


@given(st.floats(-9, 9), st.floats(0.1, 9), st.floats(-30, 30))
def test_ranges_survive_their_storage_and_clip_into_themselves(low: float, width: float, value: float) -> None:
    """What is read back is what was stored, and the nearest score of a range is in it."""
    for stated in (Range(low, low + width), Range(low, math.inf), UNBOUNDED):
        assert Range.from_json(stated.to_json()) == stated
        assert stated.low <= stated.clipped(value) <= stated.high
    assert Range.from_json(None) == UNBOUNDED
