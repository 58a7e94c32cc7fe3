"""What always answering the most frequent label scores."""

from __future__ import annotations

from typing import Any

import pytest

from prompt_search import metrics
from prompt_search.metrics.majority import Majority, majority

TARGETS = ["b", "a", "a", "c", "a", ["c", "a"]]


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        (metrics.exact, 4 / 6),
        (metrics.token_f1, 4 / 6),
        (metrics.kappa, 0.0),
        (metrics.matthews, 0.0),
        (metrics.macro_f1, 0.8 / 3),
    ],
)
def test_built_in_metrics_score_the_most_frequent_label(metric: Any, score: float) -> None:
    """The label that most targets accept is scored by the metric on every row; rows are of one to several labels."""
    found = majority(TARGETS, repr(metric), [])
    assert found is not None
    assert (found.label, found.rows) == ("a", 6)
    assert found.score == pytest.approx(score, abs=0.01)


def test_a_function_that_is_accuracy_counts_as_it() -> None:
    """Scores that are 1 for just the answers that are the target are accuracy, whatever the function's name."""
    given = [(1.0, "a", "a"), (0.0, "a", "b"), (0.0, None, "a")]
    assert majority(["a", "b", "a", "a"], "mine", given) == Majority("a", 0.75, 4)


@pytest.mark.parametrize(
    "given", [[], [(1.0, "a", "a")], [(1.0, "a", "a"), (0.5, "a", "b")], [(1.0, "a", "b"), (0.0, "a", "a")]]
)
def test_other_functions_have_no_majority(given: Any) -> None:
    """Where scores are not those of accuracy, or do not show it, nothing is said."""
    assert majority(["a", "b", "a"], "mine", given) is None


def test_rows_without_a_target_have_no_majority() -> None:
    """No rows, and a row whose target is empty, have none."""
    assert majority([], repr(metrics.exact), []) is None
    assert majority(["a", None], repr(metrics.exact), []) is None
