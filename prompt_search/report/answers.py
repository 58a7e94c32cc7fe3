"""The winner's answers in a report: by target, by field, by example, and the rows that it fails on by what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prompt_search.answers.target_kinds import json_object
from prompt_search.report import wording
from prompt_search.results.breakdowns import FAILED, UNPARSED
from prompt_search.results.frames import answer_text
from prompt_search.results.lines import titles
from prompt_search.results.shown.failures import failures_frame, given_text, row_texts
from prompt_search.results.shown.fields import fields_frame, wrong_fields
from prompt_search.results.stored_study import StoredStudy
from prompt_search.results.view import Column, View

SHOWN_FAILURES = 30
"""Number of failing rows that are listed."""

SHOWN_IN_GROUP = 5
"""Number of failing rows that are listed of those with the same fault, more where there are few faults."""

MOST_TARGETS = 20
"""Number of different targets up to which answers are counted by target."""

LONGEST_LABEL = 60
"""Number of characters up to which a target may be a label."""


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


def labelled(rows: pd.DataFrame, form: str) -> bool:
    """Whether the targets are labels, few enough to count answers by target: not objects, and not texts that are all
    different.

    Args:
        rows: the scored rows.
        form: the kind of the answer form.
    """
    targets = list(map(answer_text, rows["target"]))
    few = 1 < len(set(targets)) <= MOST_TARGETS
    if form == "label" or not few:
        return few
    single = all(len(target) <= LONGEST_LABEL and "\n" not in target for target in targets)
    objects = any(json_object(value) is not None for value in (*rows["target"], *rows["answer"]))
    return single and not objects and 2 * len(set(targets)) <= len(targets)


def in_fields(rows: pd.DataFrame) -> bool:
    """Whether all targets are JSON objects."""
    return len(rows) > 0 and all(json_object(target) is not None for target in rows["target"])


def fields_view(winner: pd.DataFrame, default: pd.DataFrame | None) -> View:
    """How many answers have each field right, those of the default beside."""
    frame = fields_frame(winner)
    columns = [
        (Column("field"), frame["field"].tolist()),
        (Column("rows", "number"), frame["rows"].tolist()),
        (Column("right", "number", ".0%"), frame["share"].tolist()),
    ]
    if default is not None:
        shares = fields_frame(default).set_index("field")["share"]
        columns.append((Column("default", "number", ".0%"), [shares.get(name) for name in frame["field"]]))
    examples = [
        "" if wrong is None else wording.instead_of(wrong, right)
        for wrong, right in zip(frame["wrong_answer"], frame["wrong_target"], strict=True)
    ]
    columns.append((Column("for example"), examples))
    rows = tuple(zip(*(values for _, values in columns), strict=True))
    return View(title=wording.FIELDS_CAPTION, columns=tuple(column for column, _ in columns), rows=rows)


def examples_view(study: StoredStudy, winner: pd.DataFrame) -> View:
    """The best of the winner's answers, a middling one and the worst, with the default's."""
    known = winner[winner["score"].notna()].sort_values(["score", "row"], ascending=[False, True])
    places = dict.fromkeys((0, len(known) // 2, len(known) - 1)) if len(known) else ()
    lines = [known.iloc[place].to_dict() for place in places]
    texts = row_texts(study, [line["row"] for line in lines], study.best_trial)
    default = {line["row"]: given_text(line) for line in study.trial_samples(0).to_dict("records")}
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
            given_text(line),
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
    found: dict[str, list[dict[Any, Any]]] = {}
    for line in frame.to_dict("records"):
        found.setdefault(fault(line, by_target), []).append(line)
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


def fault(line: dict[Any, Any], by_target: bool) -> str:
    """What is wrong with a failing row, in words."""
    target = answer_text(line["target"])
    if line["answer"] == FAILED:
        return wording.failing_request(str(line["error"]).partition(":")[0])
    if line["answer"] == UNPARSED:
        return wording.failing_unread(target if by_target else "")
    if by_target:
        return wording.failing_group(target, line["answer"])
    if json_object(line["target"]) is not None and (wrong := wrong_fields(line["target"], line["answer"])):
        return wording.failing_fields(wrong)
    return wording.FAILING_OTHERS


def _failure(line: dict[Any, Any], names: Sequence[str], sent: Sequence[tuple[str, str]]) -> Failure:
    values = {
        "row": line["row"],
        titles.ROW_TEXT: line["text"] or wording.NOT_ANSWERED,
        "target": answer_text(line["target"]),
        titles.WINNERS_ANSWER: line["answer"],
        titles.DEFAULTS_ANSWER: line["default_answer"] or "",
        "score": line["score"],
        "default": line["default_score"],
    }
    received = line["error"] or line["response"] or ""
    return Failure(values=tuple(values[name] for name in names), sent=sent, received=received)
