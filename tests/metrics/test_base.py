"""What a metric may be and may give: any callable, any finite number."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

from prompt_search import metrics
from prompt_search.answers import Unparsed
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, RunError
from prompt_search.metrics import Score


def scored(metric: Any, answer: Any = "a") -> Score:
    return asyncio.run(metrics.score(metric, answer, Row({"text": "?", "answer": "a"}, target="answer")))


@pytest.mark.parametrize(
    ("result", "value"),
    [
        (True, 1.0),
        (0, 0.0),
        (0.25, 0.25),
        (-3, -3.0),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
        (np.array(2), 2.0),
        (Fraction(1, 4), 0.25),
        (Score(True), 1.0),
        (Score(0.5), 0.5),
    ],
)
def test_any_number_becomes_a_score(result: Any, value: float) -> None:
    """Truth values, numbers and Scores of either become a Score of a float."""
    given = scored(lambda answer, row: result)
    assert given.value == value
    assert type(given.value) is float


def test_an_explanation_is_kept() -> None:
    """What the metric says about its score stays with it."""
    assert scored(lambda answer, row: Score(1, "because")) == Score(1.0, "because")


def test_asynchronous_metrics_are_awaited() -> None:
    """A coroutine function, and an object with an async call, work like plain ones."""

    async def slow(answer: Any, row: Row) -> float:
        await asyncio.sleep(0)
        return float(answer == row.target)

    class Judge:
        async def __call__(self, answer: Any, row: Row) -> Score:
            return Score(0.5, "so so")

    assert scored(slow) == Score(1.0)
    assert scored(Judge()) == Score(0.5, "so so")


def test_unparsed_answers_score_zero_unseen() -> None:
    """The metric is not called for an answer that could not be read."""

    def never(answer: Any, row: Row) -> bool:
        raise AssertionError("asked")

    assert scored(never, Unparsed("no label")) == Score(0.0, "unparsed: no label")


@pytest.mark.parametrize("result", [math.nan, math.inf, "good", None, [1], np.array([1, 2]), Score(math.nan), 1j])
def test_anything_else_is_refused(result: Any) -> None:
    """NaN, infinity and what is no number are an error that states the rule."""

    def judge(answer: Any, row: Row) -> Any:
        return result

    with pytest.raises(InputError, match=r"a metric must return True or False, a finite number .* but judge returned"):
        scored(judge)


def test_a_metric_that_raises_is_named() -> None:
    """The error names the metric and what it raised, in one line, and keeps the cause."""

    def judge(answer: Any, row: Row) -> float:
        raise KeyError("no\ncolumn")

    with pytest.raises(InputError, match=r"the metric judge raised KeyError: .*; correct the metric") as caught:
        scored(judge)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def test_own_errors_pass_unchanged() -> None:
    """An error of this package, such as an unreachable judge, is not wrapped."""

    def judge(answer: Any, row: Row) -> float:
        raise RunError("no connection")

    with pytest.raises(RunError, match=r"^no connection$"):
        scored(judge)


def test_names() -> None:
    """A metric is called by its name, or that of the function or class, through partial too."""

    def mine(answer: Any, row: Row, extra: int) -> float:
        return 1.0

    class Judge:
        def __call__(self, answer: Any, row: Row) -> float:
            return 1.0

    named: list[Any] = [metrics.exact, metrics.numeric, partial(mine, extra=1), Judge()]
    names = [metrics.metric_name(metric) for metric in named]
    assert names == ["exact", "numeric", "mine", "Judge"]


@pytest.mark.parametrize(
    ("answer", "target", "equal"),
    [
        ("1", 1, True),
        ("1", 1.0, True),
        ("1.0", 1, True),
        ("1,000", 1000, True),
        ("0.5", 0.5, True),
        ("0", 1, False),
        ("none", 0, False),
        ("True", True, True),
        ("false", True, False),
        ("1", True, False),
        ("2", [1, 2], True),
        ("yes", "yes", True),
        ("1", "1.0", False),
    ],
)
def test_metric_of_a_user_compares_text_with_numbers(answer: str, target: Any, equal: bool) -> None:
    """A text answer equals the number or the truth value that it is written as, from both sides and as a member."""
    row = Row({"text": "?", "answer": target}, target="answer")

    def same(given: Any, row: Row) -> bool:
        if isinstance(row.target, list):
            return given in row.target
        assert (given == row.target) is (row.target == given) is not (given != row.target)
        return bool(given == row.target)

    for metric in (same, metrics.WorstSlice(same, by="text")):
        assert asyncio.run(metrics.score(metric, answer, row)).value == equal


def test_text_answer_stays_text() -> None:
    """Beside a number as a target an answer is read, hashed and converted as the text that it is."""
    row = Row({"text": "?", "answer": 4}, target="answer")

    def distance(answer: Any, row: Row) -> float:
        assert isinstance(answer, str)
        assert {answer: 1}["3"] == 1
        return float(1 - abs(int(answer) - row.target) / 4 + (answer == str(row.target)))

    assert asyncio.run(metrics.score(distance, "3", row)).value == 0.75
