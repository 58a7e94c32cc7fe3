"""The tables: columns, types, and that errors are not zeros and unknown is not nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from prompt_search.completion import Response, Usage
from prompt_search.store import Call, SampleRecord, TrialRecord
from prompt_search.tables import (
    CALL_COLUMNS,
    EFFECT_COLUMNS,
    LABEL_COLUMNS,
    SAMPLE_COLUMNS,
    SLICE_COLUMNS,
    TRIAL_COLUMNS,
    answer_text,
    calls_frame,
    confusion_frame,
    effects_frame,
    labels_frame,
    samples_frame,
    slices_frame,
    trials_frame,
)


def call(key: str, number: int, **fields: Any) -> Call:
    usage = Usage(prompt_tokens=10 * (number + 1), completion_tokens=1, cached_tokens=5)
    given: dict[str, Any] = {"text": "yes", "usage": usage, "latency_s": 0.5, "cost_usd": 0.25}
    return Call(key=key, number=number, split="search", attempts=1, response=Response(**{**given, **fields}))


def sample(trial: int, row: int, key: str, **fields: Any) -> SampleRecord:
    given: dict[str, Any] = {
        "split": "search", "answer": "yes", "target": "yes", "score": 1.0, "explanation": "", "unparsed": False,
        "error": None, "cached": False,
    }  # fmt: skip
    return SampleRecord(trial=trial, row=row, key=key, **{**given, **fields})


CALLS = {
    "a": call("a", 0),
    "b": call("b", 1, error="timeout: 120 s", text="", usage=Usage(), latency_s=math.nan, cost_usd=math.nan),
    "c": call("c", 2, text="mumble"),
    "d": call("d", 3),
}
SAMPLES = [
    sample(0, 4, "a"),
    sample(0, 7, "b", score=None, answer=None, error="timeout: 120 s"),
    sample(0, 9, "c", score=0.0, answer=None, unparsed=True, cached=True),
    sample(0, 11, "d", split="test"),
]
TRIALS = [
    TrialRecord(
        trial=number,
        state="complete",
        reason="finalist",
        choices=choices,
        positions={},
        prompt={},
        text="Say {{ row.text }}",
    )
    for number, choices in enumerate([{"cue": "Label:", "listed": "no"}, {"cue": ""}])
]


def test_samples_have_one_row_each() -> None:
    """The documented columns and types; a failed request has no score, an unread answer scores 0."""
    frame = samples_frame(SAMPLES, CALLS)
    assert list(frame.columns) == list(SAMPLE_COLUMNS)
    assert frame["score"].tolist()[0] == 1.0
    assert math.isnan(frame["score"][1])
    assert frame["score"][2] == 0.0
    assert frame["error"].tolist()[:2] == [None, "timeout: 120 s"]
    assert frame["response"].tolist() == ["yes", "", "mumble", "yes"]
    assert frame["prompt_tokens"].isna().tolist() == [False, True, False, False]
    assert frame["cached"].tolist() == [False, False, True, False]
    types = {"trial": "int64", "row": "int64", "score": "float64", "prompt_tokens": "Int64", "cached": "bool"}
    assert {name: str(frame[name].dtype) for name in types} == types


def test_trials_have_one_row_each() -> None:
    """Scores over the search rows without the failed ones, counts of errors and unparsed, one column a choice."""
    frame = trials_frame(TRIALS, SAMPLES, CALLS, ["cue", "listed"])
    assert list(frame.columns) == [*TRIAL_COLUMNS, "cue", "listed", "prompt"]
    first = frame.iloc[0]
    assert (first["score"], first["rows"], first["search_rows"]) == (0.5, 4, 3)
    assert first["score_low"] < 0.5 < first["score_high"]
    assert (first["unparsed"], first["errors"]) == (1, 1)
    assert first["prompt_tokens"] == pytest.approx((10 + 30 + 40) / 3)
    assert first["latency_s"] == pytest.approx(0.5)
    assert math.isnan(first["cost_usd"])  # one of its requests has no known price
    assert frame["listed"].tolist() == ["no", None]
    assert frame["prompt"].tolist() == ["Say {{ row.text }}"] * 2


def test_trial_without_rows_has_no_score() -> None:
    """Nothing measured is NaN, and costs nothing."""
    second = trials_frame(TRIALS, SAMPLES, CALLS, ["cue"]).iloc[1]
    assert (second["rows"], second["errors"], second["cost_usd"]) == (0, 0, 0.0)
    assert all(math.isnan(second[name]) for name in ("score", "score_low", "prompt_tokens", "latency_s"))


READ = [
    sample(0, 0, "a", target="yes", answer="yes"),
    sample(0, 1, "b", target="yes", answer="no", score=0.0),
    sample(0, 2, "c", target="no", answer="no"),
    sample(0, 3, "d", target="no", answer="no"),
    sample(0, 4, "e", target="no", answer=None, unparsed=True, score=0.0),
    sample(0, 5, "f", target="no", answer=None, error="timeout: 120 s", score=None),
]


def test_confusion_counts_targets_against_answers() -> None:
    """Unread answers have a column of their own, the last; failed requests are no answers."""
    frame = confusion_frame(READ)
    assert frame.to_dict("list") == {"no": [2, 1], "yes": [0, 1], "(unparsed)": [1, 0]}
    assert list(frame.index) == ["no", "yes"]
    assert (frame.index.name, frame.columns.name) == ("target", "answer")
    assert confusion_frame([]).empty


def test_labels_tell_which_is_answered_too_often() -> None:
    """Recall, precision and bias of each label; one that no row has is listed when it is answered."""
    frame = labels_frame([*READ, sample(0, 6, "g", target="yes", answer="maybe", score=0.0)]).set_index("label")
    assert list(frame.columns) == list(LABEL_COLUMNS[1:])
    assert frame.index.tolist() == ["maybe", "no", "yes"]
    counts = frame.to_dict("index")["no"]
    assert (counts["rows"], counts["answered"], counts["right"]) == (3, 3, 2)
    assert frame["recall"]["no"] == pytest.approx(2 / 3)
    assert frame["recall_low"]["no"] < 2 / 3 < frame["recall_high"]["no"]
    assert frame["precision"]["no"] == pytest.approx(2 / 3)
    assert frame["bias"].tolist() == pytest.approx([1 / 6, 0, -1 / 3])
    assert math.isnan(frame["recall"]["maybe"])
    assert list(labels_frame([]).columns) == list(LABEL_COLUMNS)


def test_slices_have_one_row_for_each_group_and_trial() -> None:
    """Means and intervals over the rows of a group; rows without score are not counted."""
    samples = [*READ, sample(1, 0, "h", target="yes"), sample(1, 2, "i", target="no", score=0.0)]
    groups = {row: ("long" if row % 2 else "short", row > 3) for row in range(6)}
    frame = slices_frame(samples, groups, ["length", "late"])
    assert list(frame.columns) == ["length", "late", *SLICE_COLUMNS]
    assert frame[["length", "late", "trial", "rows", "score"]].to_numpy().tolist() == [
        ["long", False, 0, 2, 0.5],
        ["short", False, 0, 2, 1.0],
        ["short", False, 1, 2, 0.5],
        ["short", True, 0, 1, 0.0],
    ]
    assert (frame["score_low"] <= frame["score"]).all()
    assert list(slices_frame([], {}, ["length"]).columns) == ["length", *SLICE_COLUMNS]


def test_effects_come_in_the_order_of_their_importance() -> None:
    """The most important choice first, its best option on top, with how many scored trials had it."""
    line = {"effect_low": -1.0, "effect_high": 1.0}
    effects = [
        {"choice": "cue", "position": 0, "option": "a", "effect": 0.1, "importance": 0.2, **line},
        {"choice": "cue", "position": 1, "option": "b", "effect": -0.1, "importance": 0.2, **line},
        {"choice": "listed", "position": 0, "option": "no", "effect": -0.2, "importance": 0.6, **line},
        {"choice": "listed", "position": 1, "option": "yes", "effect": 0.2, "importance": 0.6, **line},
    ]
    trials = [
        replace(TRIALS[0], positions={"cue": 1, "listed": 1}, estimate=0.5),
        replace(TRIALS[1], positions={"cue": 1}),
    ]
    frame = effects_frame(effects, trials)
    assert list(frame.columns) == list(EFFECT_COLUMNS)
    assert frame["option"].tolist() == ["yes", "no", "a", "b"]
    assert frame["trials"].tolist() == [1, 0, 0, 1]
    assert str(effects_frame([], [])["trials"].dtype) == "int64"


def test_calls_have_one_row_each() -> None:
    """One row a request with what the server counted; an error has no response."""
    frame = calls_frame(CALLS)
    assert list(frame.columns) == list(CALL_COLUMNS)
    assert frame["call"].tolist() == [0, 1, 2, 3]
    assert frame["error"].tolist() == [None, "timeout: 120 s", None, None]
    assert frame["cost_usd"].isna().tolist() == [False, True, False, False]
    assert str(frame["cached_tokens"].dtype) == "Int64"


@pytest.mark.parametrize(
    "frame",
    [samples_frame([], {}), trials_frame([], [], {}, ["cue"]), calls_frame({})],
    ids=["samples", "trials", "calls"],
)
def test_empty_table_has_its_columns_and_types(frame: pd.DataFrame) -> None:
    """An unfinished study's tables have the same columns."""
    assert len(frame) == 0
    assert {"latency_s", "prompt_tokens"} <= set(frame.columns)
    assert str(frame["prompt_tokens"].dtype) in ("Int64", "float64")


@pytest.mark.parametrize(
    ("value", "text"), [("yes", "yes"), (18.0, "18.0"), ({"a": "é"}, '{"a": "é"}'), (None, "null"), (["x"], '["x"]')]
)
def test_answer_reads_as_one_line(value: Any, text: str) -> None:
    """Text as it is, everything else as JSON."""
    assert answer_text(value) == text
