"""Metrics of the package by name and as data."""

from __future__ import annotations

import json

import pytest

from prompt_search import metrics
from prompt_search._names import METRIC_NAMES
from prompt_search.data.rows import Row
from prompt_search.errors import InputError
from prompt_search.metrics import Fields, Metric, Numeric, WorstSlice

ROW = Row({"text": "?", "label": "7"}, target="label")


def polite(answer: object, row: Row) -> bool:
    """A metric of a user."""
    return True


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_every_name_is_a_metric(name: str) -> None:
    """The names in the help of the command line and in the types are those that are taken."""
    assert metrics.metric_name(metrics.metric_named(name)) == {"accuracy": "exact", "exact_match": "exact"}.get(
        name, name
    )


@pytest.mark.parametrize(
    ("metric", "described"),
    [
        (metrics.exact, {"kind": "exact"}),
        (metrics.Exact(casefold=False), {"kind": "exact", "casefold": False}),
        (Numeric(0.5, relative=0.1), {"kind": "numeric", "tolerance": 0.5, "relative": 0.1}),
        (metrics.macro_f1, {"kind": "macro_f1"}),
        (
            Fields(["a", "b"], compare={"b": "list"}),
            {"kind": "fields", "only": ["a", "b"], "compare": {"b": "list"}},
        ),
        (
            WorstSlice(metrics.Includes(column="x"), by="label"),
            {"kind": "worst_slice", "metric": {"kind": "includes", "column": "x"}, "by": "label"},
        ),
    ],
)
def test_metric_survives_a_file(metric: Metric, described: dict[str, object]) -> None:
    """From the text of a stored study to JSON and back, parameters included."""
    written = json.loads(json.dumps(metrics.description(repr(metric))))
    assert written == described
    assert metrics.recorded_metric(written) == metric


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            {"kind": "own", "name": "polite"},
            "the prompt was chosen by a metric of your own, polite, which its file cannot hold; give metric=polite",
        ),
        (
            {"kind": "own", "name": "judge quality"},
            (
                "the prompt was chosen by a metric of your own, judge quality, which its file cannot hold; give "
                "metric=NAME, or on the command line --metric FILE.py:NAME"
            ),
        ),
        ("bleu score", "there is no metric 'bleu score'; give a function (answer, row) or one of: "),
        ({"kind": "exact", "fold": 1}, "the prompt's metric {'kind': 'exact', 'fold': 1} is none of this version; "),
        ({"kind": []}, "the prompt's metric {'kind': []} is none of this version; give metric= (--metric), or "),
    ],
)
def test_what_a_file_cannot_name_is_told(written: dict[str, object] | str, told: str) -> None:
    """A user's own metric and one of another version are one line with the cure."""
    with pytest.raises(InputError) as raised:
        metrics.recorded_metric(written)
    assert str(raised.value).startswith(told)


@pytest.mark.parametrize("text", ["polite", "WorstSlice(polite, by='x')", "Exact(7)", "", "Exact(", "\0"])
def test_other_texts_are_metrics_of_the_user(text: str) -> None:
    """What is no call of a metric of the package is kept by its name."""
    assert metrics.stored_metric(text) is None
    assert metrics.description(text) == {"kind": "own", "name": text}


@pytest.mark.parametrize(
    ("metric", "score", "told"),
    [
        (None, 80, "--min-score 80 is no score of the metric exact, whose scores are 0 to 1; give one in this range"),
        (
            metrics.kappa,
            -2,
            "--min-score -2 is no score of the metric kappa, whose scores are -1 to 1; give one in this range",
        ),
        (
            polite,
            float("nan"),
            "--min-score nan is no score of the metric polite, whose scores are any number; give one in this range",
        ),
        (metrics.kappa, -0.5, None),
        (polite, 80, None),
    ],
)
def test_score_to_reach_is_in_the_range(metric: Metric | None, score: float, told: str | None) -> None:
    """A percentage as a score is refused; what the metric can give is not."""
    if told is None:
        metrics.check_reachable(metric, score, "--min-score")
        return
    with pytest.raises(InputError) as raised:
        metrics.check_reachable(metric, score, "--min-score")
    assert str(raised.value) == told
