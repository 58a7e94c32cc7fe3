"""The winner's answers in a report: by target, by field, by example, and the rows that it fails on by what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prompt_search.metrics.json_fields import Fields
from prompt_search.report import wording
from prompt_search.results.breakdowns import FAILED, UNPARSED, compared_fields, fields_metric
from prompt_search.results.frames import answer_text
from prompt_search.results.lines import titles
from prompt_search.results.shown.failures import failures_frame, given_text, row_texts, shown_answer
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import Column, View

SHOWN_FAILURES = 30
"""Number of failing rows that are listed."""

SHOWN_IN_GROUP = 5
"""Number of failing rows that are listed of those with the same fault, more where there are few faults."""

MOST_FIELDS = 40
"""Number of fields of JSON answers that are listed."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A row that the winner fails on.

    Args:
        values: its cells, in the order of `failing_columns`.
        sent: the messages that were sent, (role, content) each; none where the request failed.
        received: the response, or the error.
    """

    values: tuple[Any, ...]
    sent: Sequence[tuple[str, str]]
    received: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that the winner fails on in the same way.

    Args:
        title: what is wrong.
        rows: number of such rows.
        shown: the first of them.
    """

    title: str
    rows: int
    shown: Sequence[Failure]


def fields_view(study: StoredStudy, metric: Fields) -> View:
    """How many of the winner's answers have each field right, those of the default beside."""
    frames = study.fields_df().groupby("trial")
    frame = frames.get_group(study.best_trial)
    shares = frames.get_group(0).set_index("field")["share"]
    wrong = _wrong_values(study.trial_samples(study.best_trial), metric)
    rows = tuple(
        (name, count, share, shares.get(name), wording.instead_of(*wrong[name]) if name in wrong else "")
        for name, count, share in zip(frame["field"], frame["rows"], frame["share"], strict=True)
    )
    columns = (
        Column("field"),
        Column("rows", "number"),
        Column("right", "number", ".0%"),
        Column("default", "number", ".0%"),
        Column("for example"),
    )
    view = View(title=wording.FIELDS_CAPTION, columns=columns, rows=rows).head(MOST_FIELDS)
    return view if study.best_trial else view.without("default")


def _wrong_values(rows: pd.DataFrame, metric: Fields) -> dict[str, tuple[Any, Any]]:
    """The answer's and the target's value of each field that is not right somewhere, the first that the answer has."""
    found: dict[str, tuple[Any, Any]] = {}
    for _, path, field in compared_fields(rows, metric):
        if field.outcome != "right" and (path not in found or found[path][0] is None):
            found[path] = field.given, field.wanted
    return found


def examples_view(study: StoredStudy, winner: pd.DataFrame) -> View:
    """The best of the winner's answers, a middling one and the worst, with the default's."""
    known = winner[winner["score"].notna()].sort_values(["score", "row"], ascending=[False, True])
    places = dict.fromkeys((0, len(known) // 2, len(known) - 1)) if len(known) else ()
    lines = [known.iloc[place].to_dict() for place in places]
    texts = row_texts(study, [line["row"] for line in lines], study.best_trial)
    default = {
        line["row"]: shown_answer(given_text(line), line["response"])
        for line in study.trial_samples(0).to_dict("records")
    }
    columns = [
        Column("row", "number"),
        Column("score", "number", ".3f"),
        Column(titles.ROW_TEXT),
        Column("target"),
        Column(titles.WINNERS_ANSWER),
        Column(titles.DEFAULTS_ANSWER),
    ]
    rows = tuple(
        (
            line["row"],
            line["score"],
            texts.get(line["row"], ""),
            answer_text(line["target"]),
            shown_answer(given_text(line), line["response"]),
            default.get(line["row"], ""),
        )
        for line in lines
    )
    view = View(title=wording.EXAMPLES_CAPTION, columns=tuple(columns), rows=rows)
    return view if study.best_trial else view.without(titles.DEFAULTS_ANSWER)


def failing_columns(study: StoredStudy) -> tuple[Column, ...]:
    """The columns of the rows that the winner fails on; those of the default are left out where it is the winner."""
    columns = (
        Column("row", "number"),
        Column(titles.ROW_TEXT),
        Column("target"),
        Column(titles.WINNERS_ANSWER),
        Column(titles.DEFAULTS_ANSWER),
        Column("score", "number", ".3f"),
        Column("default", "number", ".3f"),
    )
    return tuple(each for each in columns if study.best_trial or each.title not in (titles.DEFAULTS_ANSWER, "default"))


def failing_groups(study: StoredStudy, by_target: bool) -> list[Group]:
    """The rows that the winner fails on, by what is wrong, the most frequent first.

    Args:
        study: the study.
        by_target: whether rows belong together that have the same target and answer.
    """
    frame = failures_frame(study)
    keys = dict(zip(*(study.trial_samples(study.best_trial)[name] for name in ("row", "key")), strict=True))
    metric = fields_metric(study.samples_df()["target"], study.metric)
    found: dict[str, list[dict[Any, Any]]] = {}
    for line in frame.to_dict("records"):
        found.setdefault(fault(line, by_target, metric), []).append(line)
    largest = sorted(found.items(), key=lambda pair: -len(pair[1]))
    left, chosen = SHOWN_FAILURES, []
    most = max(SHOWN_IN_GROUP, SHOWN_FAILURES // max(1, 2 * len(largest)))
    for title, lines in largest:
        chosen.append((title, len(lines), lines[: min(left, most)]))
        left -= len(chosen[-1][2])
    sent = study.sent([keys[line["row"]] for _, _, lines in chosen for line in lines])
    names = [column.title for column in failing_columns(study)]
    return [
        Group(title=title, rows=rows, shown=[_failure(line, names, sent.get(keys[line["row"]], [])) for line in lines])
        for title, rows, lines in chosen
    ]


def fault(line: dict[Any, Any], by_target: bool, metric: Fields | None) -> str:
    """What is wrong with a failing row, in words."""
    target = answer_text(line["target"])
    if line["answer"] == FAILED:
        return wording.failing_request(str(line["error"]).partition(":")[0])
    if line["answer"] == UNPARSED:
        return wording.failing_unread(target if by_target else "")
    if by_target:
        return wording.failing_group(target, line["answer"])
    compared = metric.compared(line["answer"], line["target"]) if metric else {}
    wrong = [path for path, field in compared.items() if field.outcome != "right"]
    return wording.failing_fields(wrong) if wrong else wording.FAILING_OTHERS


def _failure(line: dict[Any, Any], names: Sequence[str], sent: Sequence[tuple[str, str]]) -> Failure:
    values = {
        "row": line["row"],
        titles.ROW_TEXT: line["text"] or wording.NOT_ANSWERED,
        "target": answer_text(line["target"]),
        titles.WINNERS_ANSWER: shown_answer(line["answer"], line["response"]),
        titles.DEFAULTS_ANSWER: shown_answer(line["default_answer"] or "", line["default_response"]),
        "score": line["score"],
        "default": line["default_score"],
    }
    received = line["error"] or line["response"] or ""
    return Failure(values=tuple(values[name] for name in names), sent=sent, received=received)
