"""The tables: columns, types, and that errors are not zeros and unknown is not nothing."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import InputError, MissingExtra
from prompt_search.llm.messages import Response, Usage
from prompt_search.prompts.static_checks import RESERVED
from prompt_search.results.breakdowns import (
    EFFECT_COLUMNS,
    LABEL_COLUMNS,
    SLICE_COLUMNS,
    confusion_frame,
    difficulty_frame,
    effects_frame,
    labels_frame,
    shown_to_matter,
    slices_frame,
)
from prompt_search.results.export import markdown, write_frame
from prompt_search.results.frames import answer_text
from prompt_search.results.statistics import mean_interval
from prompt_search.results.tables import (
    CALL_COLUMNS,
    LEDGER_COLUMNS,
    PARETO_COLUMNS,
    PROGRESS_COLUMNS,
    SAMPLE_COLUMNS,
    TRIAL_COLUMNS,
    calls_frame,
    ledger_frame,
    pareto_frame,
    progress_frame,
    samples_frame,
    scored_frame,
    trials_frame,
)
from prompt_search.storage.records import Call, SampleRecord, TrialRecord
from tests.conftest import call_columns


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


def called(calls: Mapping[str, Call] = CALLS) -> pd.DataFrame:
    return calls_frame(call_columns(calls.values()))


def scored(samples: Sequence[SampleRecord], calls: Mapping[str, Call] = CALLS) -> pd.DataFrame:
    return scored_frame(samples, called(calls))


def test_samples_have_one_row_each() -> None:
    """The documented columns and types; a failed request has no score, an unread answer scores 0."""
    frame = samples_frame(scored(SAMPLES))
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
    frame = trials_frame(TRIALS, scored(SAMPLES), ["cue", "listed"])
    assert list(frame.columns) == [*TRIAL_COLUMNS, "cue", "listed", "prompt"]
    first = frame.iloc[0]
    assert (first["score"], first["rows"], first["search_rows"]) == (0.5, 4, 2)
    assert first["score_low"] < 0.5 < first["score_high"]
    assert (first["unparsed"], first["errors"]) == (1, 1)
    assert first["prompt_tokens"] == pytest.approx((10 + 30 + 40) / 3)
    assert first["latency_s"] == pytest.approx(0.5)
    assert math.isnan(first["cost_usd"])  # one of its requests has no known price
    assert frame["listed"].tolist() == ["no", None]
    assert frame["prompt"].tolist() == ["Say {{ row.text }}"] * 2


def test_no_choice_hides_a_column_of_the_trials() -> None:
    """The names of the columns beside which choices stand are refused as names of choices."""
    assert {*TRIAL_COLUMNS, "prompt"} <= RESERVED


def test_trial_without_rows_has_no_score() -> None:
    """Nothing measured is NaN, and costs nothing."""
    second = trials_frame(TRIALS, scored(SAMPLES), ["cue"]).iloc[1]
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
READ_CALLS = {key: call(key, number) for number, key in enumerate("abcdefghi")}


def test_confusion_counts_targets_against_answers() -> None:
    """Unread answers have a column of their own, the last; failed requests are no answers."""
    frame = confusion_frame(scored(READ, READ_CALLS))
    assert frame.to_dict("list") == {"no": [2, 1], "yes": [0, 1], "(unparsed)": [1, 0]}
    assert list(frame.index) == ["no", "yes"]
    assert (frame.index.name, frame.columns.name) == ("target", "answer")
    assert confusion_frame(scored([])).empty


def test_labels_tell_which_is_answered_too_often() -> None:
    """Recall, precision and bias of each label; one that no row has is listed when it is answered."""
    frame = labels_frame(
        scored([*READ, sample(0, 6, "g", target="yes", answer="maybe", score=0.0)], READ_CALLS)
    ).set_index("label")
    assert list(frame.columns) == list(LABEL_COLUMNS[1:])
    assert frame.index.tolist() == ["maybe", "no", "yes"]
    counts = frame.to_dict("index")["no"]
    assert (counts["rows"], counts["answered"], counts["right"]) == (3, 3, 2)
    assert frame["recall"]["no"] == pytest.approx(2 / 3)
    assert frame["recall_low"]["no"] < 2 / 3 < frame["recall_high"]["no"]
    assert frame["precision"]["no"] == pytest.approx(2 / 3)
    assert frame["bias"].tolist() == pytest.approx([1 / 6, 0, -1 / 3])
    assert math.isnan(frame["recall"]["maybe"])
    assert list(labels_frame(scored([])).columns) == list(LABEL_COLUMNS)


def test_slices_have_one_row_for_each_group_and_trial() -> None:
    """Means and intervals over the rows of a group; rows without score are not counted."""
    samples = [*READ, sample(1, 0, "h", target="yes"), sample(1, 2, "i", target="no", score=0.0)]
    groups = {row: ("long" if row % 2 else "short", row > 3) for row in range(6)}
    frame = slices_frame(scored(samples, READ_CALLS), groups, ["length", "late"])
    assert list(frame.columns) == ["length", "late", *SLICE_COLUMNS]
    assert frame[["length", "late", "trial", "rows", "score"]].to_numpy().tolist() == [
        ["long", False, 0, 2, 0.5],
        ["short", False, 0, 2, 1.0],
        ["short", False, 1, 2, 0.5],
        ["short", True, 0, 1, 0.0],
    ]
    assert (frame["score_low"] <= frame["score"]).all()
    assert list(slices_frame(scored([]), {}, ["length"]).columns) == ["length", *SLICE_COLUMNS]


def test_effects_come_in_the_order_of_their_importance() -> None:
    """The most important choice first, its best option on top, with how many scored trials had it."""
    known = {"effect": 0.1, "effect_low": -1.0, "effect_high": 1.0, "p": 0.5}
    unknown = dict.fromkeys(known, None)
    effects: list[dict[str, Any]] = [
        {"choice": "cue", "position": 0, "option": "a", "estimate": 0.1, "importance": 0.2, **known},
        {"choice": "cue", "position": 1, "option": "b", "estimate": -0.1, "importance": 0.2, **unknown},
        {"choice": "listed", "position": 0, "option": "no", "estimate": -0.2, "importance": 0.6, **known},
        {"choice": "listed", "position": 1, "option": "yes", "estimate": 0.2, "importance": 0.6, **known, "p": 0.01},
    ]
    trials = [
        replace(TRIALS[0], positions={"cue": 1, "listed": 1}, estimate=0.5),
        replace(TRIALS[1], positions={"cue": 1}),
    ]
    frame = effects_frame(effects, trials)
    assert list(frame.columns) == list(EFFECT_COLUMNS)
    assert frame["option"].tolist() == ["yes", "no", "a", "b"]
    assert frame["trials"].tolist() == [1, 0, 0, 1]
    assert frame["effect"].isna().tolist() == [False, False, False, True]
    assert shown_to_matter(frame)["option"].tolist() == ["yes"]
    assert str(effects_frame([], [])["trials"].dtype) == "int64"


def test_calls_have_one_row_each() -> None:
    """One row a request with what the server counted; an error has no response."""
    frame = called()
    assert list(frame.columns) == list(CALL_COLUMNS)
    assert frame["call"].tolist() == [0, 1, 2, 3]
    assert frame["error"].tolist() == [None, "timeout: 120 s", None, None]
    assert frame["cost_usd"].isna().tolist() == [False, True, False, False]
    assert str(frame["cached_tokens"].dtype) == "Int64"


@pytest.mark.parametrize(
    "frame",
    [samples_frame(scored([], {})), trials_frame([], scored([], {}), ["cue"]), called({})],
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


def trials_table(*lines: tuple[float, float, float, float]) -> pd.DataFrame:
    """Trials with score, prompt tokens, US dollars for two rows, and latency."""
    names = ("score", "prompt_tokens", "cost_usd", "latency_s")
    frame = trials_frame([replace(TRIALS[0], trial=number) for number in range(len(lines))], scored([]), [])
    measured = pd.DataFrame(list(lines), columns=list(names), dtype="float64")
    return frame.assign(rows=2, **{name: measured[name] for name in names})


def test_pareto_leaves_out_what_is_beaten() -> None:
    """Kept are trials than which none scores as well for less, by tokens, cost and latency; unknown is on no front."""
    frame = pareto_frame(
        trials_table(
            (0.9, 100, 0.02, 1.0),
            (0.8, 50, math.nan, 2.0),
            (0.8, 60, 0.01, 2.0),
            (0.7, 80, 0.03, 3.0),
            (0.9, 100, 0.05, 1.5),
            (math.nan, 1, 0.0, 0.1),
        )
    )
    assert list(frame.columns) == list(PARETO_COLUMNS)
    assert frame["trial"].tolist() == [0, 4, 1, 2]
    assert frame["front_tokens"].tolist() == [True, True, True, False]
    assert frame["front_cost"].tolist() == [True, False, False, True]
    assert frame["front_latency"].tolist() == [True, False, False, False]
    assert frame["usd_per_1000_rows"].tolist()[0] == pytest.approx(10)
    assert pareto_frame(trials_table()).empty


def test_pareto_sees_no_difference_in_rounding() -> None:
    """The same price and time a row, added up over more or fewer rows, do not set two trials apart."""
    lines = trials_table((0.9, 100, 2 * 1e-5, 0.2), (0.8, 100, 2 * 1e-5 * (1 - 1e-15), 0.2 * (1 - 1e-15)))
    assert lines["cost_usd"].nunique() == lines["latency_s"].nunique() == 2
    assert pareto_frame(lines)["trial"].tolist() == [0]


def test_pareto_goes_by_the_corrected_score() -> None:
    """A trial that was lucky on few rows does not push out one that is expected to be better."""
    lines = trials_table((1.0, 100, 0.0, 1.0), (0.8, 100, 0.0, 1.0)).assign(estimate=[0.6, 0.7])
    assert pareto_frame(lines)["trial"].tolist() == [1]


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0, math.nan])] * 4), max_size=12))
def test_pareto_is_what_dominance_says(lines: list[tuple[float, float, float, float]]) -> None:
    """A trial is on a front if, and only if, no other has at least its score for less or a higher one for as much."""
    kept = pareto_frame(trials_table(*lines)).set_index("trial")
    for name, column in (("front_tokens", 1), ("front_cost", 2), ("front_latency", 3)):
        for trial, mine in enumerate(lines):
            known = [other for other in lines if not math.isnan(other[0] + other[column])]
            beaten = any(
                o[0] >= mine[0] and o[column] <= mine[column] and (o[0], o[column]) != (mine[0], mine[column])
                for o in known
            )
            expected = mine in known and not beaten
            assert (trial in kept.index and bool(kept.loc[trial, name])) == expected


def test_ledger_has_one_row_for_each_role() -> None:
    """What was sent is summed, what was found stored is counted apart; an unknown price is not 0, a failure is free."""
    frame = ledger_frame(called({**CALLS, "e": replace(call("e", 4), attempts=0)}))
    assert list(frame.columns) == list(LEDGER_COLUMNS)
    (line,) = frame.to_dict("records")
    assert (line["role"], line["requests"], line["calls"], line["reused"], line["errors"]) == ("task", 5, 4, 1, 1)
    assert (line["prompt_tokens"], line["completion_tokens"]) == (10 + 30 + 40, 3)
    assert line["cost_usd"] == pytest.approx(0.75)
    assert line["seconds"] == pytest.approx(1.5)
    unknown = ledger_frame(called({"a": call("a", 0, cost_usd=math.nan, usage=Usage())}))
    assert math.isnan(unknown["cost_usd"][0])
    assert unknown["prompt_tokens"].isna().all()
    assert ledger_frame(called({})).empty
    judged = ledger_frame(called({**CALLS, "e": replace(call("e", 4), role="judge")}))
    assert judged[["role", "calls"]].to_numpy().tolist() == [["task", 4], ["judge", 1]]


def test_progress_follows_the_best_so_far() -> None:
    """One row a trial when it got its last score; three right of four count for more than one of one."""
    outcomes = {0: [1, 0, 1, 1], 1: [1], 2: [1, 1, 1, 1, 1]}
    pairs = [(trial, row, score) for trial, scores in outcomes.items() for row, score in enumerate(scores)]
    calls = {str(number): call(str(number), number) for number in range(len(pairs) + 1)}
    samples = [sample(t, r, str(number), score=float(score)) for number, (t, r, score) in enumerate(pairs)]
    frame = progress_frame(scored([*samples, sample(1, 9, "10", split="test")], calls))
    assert list(frame.columns) == list(PROGRESS_COLUMNS)
    assert frame["trial"].tolist() == [0, 1, 2]
    assert frame["calls"].tolist() == [4, 5, 10]
    assert frame["score"].tolist() == [0.75, 1.0, 1.0]
    assert frame["best_trial"].tolist() == [0, 0, 2]
    for number, scores in enumerate([outcomes[0], outcomes[0], outcomes[2]]):
        assert (frame["best_low"][number], frame["best_high"][number]) == pytest.approx(mean_interval(scores))
    assert progress_frame(scored([])).empty


def test_difficulty_puts_the_hardest_row_first() -> None:
    """Rows against trials in the order asked for; a row that a trial did not get is NaN."""
    samples = [
        sample(0, 3, "a"), sample(0, 5, "b", score=0.0), sample(1, 5, "c", score=0.0), sample(1, 7, "d", split="test"),
        sample(2, 9, "a", score=0.0),
    ]  # fmt: skip
    frame = difficulty_frame(scored(samples), [1, 0])
    assert (frame.index.name, frame.index.tolist()) == ("row", [5, 3, 7])
    assert list(frame) == [1, 0]
    assert frame.isna().to_numpy().tolist() == [[False, False], [True, False], [False, True]]
    assert difficulty_frame(scored([]), [0]).empty


HOSTILE = 'a | b, "c" <script>\r\n[x] {{ y }} \ud800 \N{GRINNING FACE} \u202eabc'


@pytest.fixture
def hostile() -> pd.DataFrame:
    """Samples whose texts and answers are of every kind."""
    answers: list[Any] = ["yes", None, 3.5, {"a": [1, "é"]}]
    samples = [
        sample(0, row, key, answer=answer) for row, (key, answer) in enumerate(zip("abcd", answers, strict=True))
    ]
    return samples_frame(scored(samples, {**CALLS, "a": call("a", 0, text=HOSTILE)}))


def test_table_comes_back_from_csv(hostile: pd.DataFrame, tmp_path: Path) -> None:
    """Numbers, texts with quotes and line ends, and answers as JSON."""
    back = pd.read_csv(write_frame(hostile, tmp_path / "x.csv"), keep_default_na=False, lineterminator=None)
    assert back["answer"].tolist() == ["yes", "", "3.5", '{"a": [1, "é"]}']
    assert back["response"][0].replace("\r\n", "\n") == HOSTILE.replace("\ud800", "\\ud800").replace("\r\n", "\n")
    assert back["prompt_tokens"].tolist() == ["10", "", "30", "40"]


def test_table_comes_back_from_jsonl(hostile: pd.DataFrame, tmp_path: Path) -> None:
    """One object a row; answers keep their kind, unknown is null."""
    lines = write_frame(hostile, tmp_path / "x.jsonl").read_text("utf-8").split("\n")
    records = [json.loads(line) for line in lines if line]
    assert [record["answer"] for record in records] == ["yes", None, 3.5, {"a": [1, "é"]}]
    assert [record["prompt_tokens"] for record in records] == [10, None, 30, 40]
    assert records[1]["latency_s"] is None
    assert records[0]["response"] == HOSTILE


def test_table_comes_back_from_parquet(hostile: pd.DataFrame, tmp_path: Path) -> None:
    """Types stay; mixed answers are JSON."""
    back = pd.read_parquet(write_frame(hostile, tmp_path / "x.parquet"))
    assert back["answer"].tolist()[0::2] == ["yes", "3.5"]
    assert back["answer"].isna().tolist() == [False, True, False, False]
    types = {"trial": "int64", "score": "float64", "prompt_tokens": "Int64", "split": "category"}
    assert {name: str(back[name].dtype) for name in types} == types


@pytest.mark.parametrize("text", ["\x1b[2Ja\x9b\x07", "a\rb", "\r", "a\r\nb", "a\x00b", "\u202ea\u2028b", 'a"\r,'])
def test_files_for_programs_hold_texts_as_they_came(text: str, tmp_path: Path) -> None:
    """Control characters come back from every file but Markdown, which is for reading and shows them as escapes."""
    frame = pd.DataFrame({"text": [text, "x"], "reason": ["has the control character", None], "trials": [0, 1]})
    back = [
        pd.read_csv(write_frame(frame, tmp_path / "x.csv")),
        pd.read_parquet(write_frame(frame, tmp_path / "x.parquet")),
        pd.DataFrame(json.loads(write_frame(frame, tmp_path / "x.json").read_text("utf-8"))),
    ]
    assert [each["text"].tolist() for each in back] == [[text, "x"]] * 3
    assert [each["trials"].tolist() for each in back] == [[0, 1]] * 3
    assert [each["reason"].isna().tolist() for each in back] == [[False, True]] * 3
    shown = write_frame(frame, tmp_path / "x.md").read_text("utf-8")
    assert shown.replace("\n", "").isprintable()


def test_table_in_markdown_holds_hostile_text(hostile: pd.DataFrame, tmp_path: Path) -> None:
    """Each row is one line with as many cells as the head, and no tag or link."""
    lines = write_frame(hostile, tmp_path / "x.md").read_text("utf-8").splitlines()
    assert len(lines) == 2 + len(hostile)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(SAMPLE_COLUMNS) + 1}
    assert "<script" not in lines[2]
    assert "\\[x\\]" in lines[2]


def test_index_with_a_name_is_written(tmp_path: Path) -> None:
    """A confusion table keeps its targets."""
    frame = confusion_frame(scored(READ, READ_CALLS))
    assert write_frame(frame, tmp_path / "x.csv").read_text().splitlines()[0] == "target,no,yes,(unparsed)"
    assert markdown(frame).splitlines()[0] == "| target | no | yes | (unparsed) |"
    assert markdown(frame).splitlines()[2] == "| no | 2 | 0 | 1 |"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".md", ".parquet"])
def test_index_called_as_a_column_is_written(tmp_path: Path, suffix: str) -> None:
    """A confusion table of a label called ``target`` keeps both the targets and that label's answers."""
    samples = [sample(0, 0, "a", target="target", answer="target"), sample(0, 1, "b", target="no", answer="target")]
    content = write_frame(confusion_frame(scored(samples, READ_CALLS)), tmp_path / f"x{suffix}")
    if suffix == ".parquet":
        assert pd.read_parquet(content).to_dict("list") == {"target (index)": ["no", "target"], "target": [1, 1]}
    else:
        expected = {
            ".csv": "target (index),target\nno,1\ntarget,1\n",
            ".jsonl": '{"target (index)": "no", "target": 1}\n{"target (index)": "target", "target": 1}\n',
            ".md": "| target (index) | target |\n| --- | ---: |\n| no | 1 |\n| target | 1 |\n",
        }
        assert content.read_text() == expected[suffix]


def test_table_that_cannot_be_written(hostile: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another suffix, a missing folder and a missing package are told."""
    with pytest.raises(InputError, match=r"written as .csv, .json, .jsonl, .md, .parquet, got '.xlsx'"):
        write_frame(hostile, tmp_path / "x.xlsx")
    with pytest.raises(InputError, match="cannot write the table"):
        write_frame(hostile, tmp_path / "no" / "x.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="parquet needs the package 'pyarrow'"):
        write_frame(hostile, tmp_path / "x.parquet")


FAILING = [
    sample(0, 0, "a", answer="yes", ambiguous=True),
    sample(0, 1, "b", score=None, answer=None, error="timeout: 120 s"),
    sample(0, 2, "c", score=0.0, answer=None, error="content_filter: withheld"),
    sample(0, 3, "d", score=0.0, answer=None, unparsed=True, target="no"),
]


def test_tables_of_answers_count_refused_rows() -> None:
    """A refused row has a column of its own and no answer, and counts for its label; a missing row is left out."""
    frame = confusion_frame(scored(FAILING))
    assert frame.columns.tolist() == ["yes", "(failed)", "(unparsed)"]
    assert frame.to_numpy().tolist() == [[0, 0, 1], [1, 1, 0]]
    labels = labels_frame(scored(FAILING)).set_index("label")
    assert labels[["rows", "answered", "right"]].to_numpy().tolist() == [[1, 0, 0], [2, 1, 1]]
    assert labels["recall"]["yes"] == 0.5


def test_slices_tell_what_is_missing() -> None:
    """The rows of a group without a score are counted."""
    frame = slices_frame(scored(FAILING), dict.fromkeys(range(4), ("all",)), ["group"])
    assert frame[["rows", "score", "missing"]].to_numpy().tolist() == [[3, 1 / 3, 1]]


def test_ambiguous_answers_are_counted() -> None:
    """The samples say which answers were ambiguous, the trials how many; records of earlier releases have none."""
    frame = scored(FAILING)
    assert samples_frame(frame)["ambiguous"].tolist() == [True, False, False, False]
    assert trials_frame(TRIALS, frame, ["cue"])["ambiguous"].tolist() == [1, 0]
    assert not SampleRecord(**_fields(FAILING[1])).ambiguous


def _fields(record: SampleRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "ambiguous"}


def test_costs_of_refused_requests_are_known() -> None:
    """A refused request costs nothing, so that the cost of its trial is known."""
    calls = {**CALLS, "c": call("c", 2, error="content_filter: withheld", text="", cost_usd=math.nan)}
    frame = scored([FAILING[0], FAILING[2]], calls)
    assert trials_frame(TRIALS[:1], frame, ["cue"])["cost_usd"].tolist() == [0.25]
