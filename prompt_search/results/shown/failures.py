"""The rows that a prompt fails on, with their text and the answers of this prompt and of the default."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pandas as pd

from prompt_search import _html
from prompt_search.results.breakdowns import FAILED, UNPARSED, below_full_score
from prompt_search.results.frames import answer_text, frame_of
from prompt_search.results.lines import titles
from prompt_search.results.view import Column, View

if TYPE_CHECKING:
    from prompt_search.results.stored.stored_study import StoredStudy

FAILURE_COLUMNS = (
    "row", "text", "target", "answer", "default_answer", "score", "default_score", "response", "default_response",
    "error",
)  # fmt: skip

SHOWN_FAILURES = 10
"""Number of failing rows that a notebook shows of a result."""


def failures_frame(study: StoredStudy, trial: int | None = None) -> pd.DataFrame:
    """One row per data row with less than full score, failed requests first, then the worst.

    Columns: ``row``; ``text``, what the prompt shows of the row; ``target``; ``answer`` as text, ``(unparsed)`` where
    it could not be read and ``(failed)`` where the request failed; ``default_answer``, the default prompt's, None where
    it was not sent this row; ``score``; ``default_score``; ``response``; ``default_response``; ``error``.

    Args:
        study: the study.
        trial: the prompt's trial; default: the winner's. A tested prompt is reported on its test rows.
    """
    number = study.best_trial if trial is None else trial
    failing = below_full_score(study.trial_samples(number))
    texts = row_texts(study, failing["row"].tolist(), number)
    default = {line["row"]: line for line in study.trial_samples(0).to_dict("records")}
    records = [
        {
            "row": line["row"],
            "text": texts.get(line["row"]),
            "target": line["target"],
            "answer": given_text(line),
            "default_answer": given_text(default[line["row"]]) if line["row"] in default else None,
            "score": line["score"],
            "default_score": default[line["row"]]["score"] if line["row"] in default else None,
            "response": line["response"],
            "default_response": default[line["row"]]["response"] if line["row"] in default else None,
            "error": line["error"],
        }
        for line in failing.to_dict("records")
    ]
    numbers = dict.fromkeys(("score", "default_score"), "float64")
    return frame_of(records, FAILURE_COLUMNS).astype({"row": "int64", **numbers})


def given_text(line: dict[Any, Any]) -> str:
    """The answer of a scored row as text, or why there is none."""
    if line["error"] is not None and line["answer"] is None:  # a judge may have failed on an answer
        return FAILED
    return UNPARSED if line["unparsed"] else "" if line["answer"] is None else answer_text(line["answer"])


def shown_answer(answer: str, response: str | None) -> str:
    """The text of an answer, with the response where it could not be read.

    >>> shown_answer("(unparsed)", "Sure!"), shown_answer("good", "Good.")
    ('(unparsed) Sure!', 'good')
    """
    return f"{answer} {response}" if answer == UNPARSED and response else answer


def row_texts(study: StoredStudy, rows: Collection[int], trial: int) -> dict[int, str]:
    """What a prompt shows of rows: the values of their fields in the requests of a trial, or else of the default. A row
    that neither was sent has none.

    Args:
        study: the study.
        rows: the rows.
        trial: the trial whose requests are read first.
    """
    found: dict[int, str] = {}
    for number in dict.fromkeys((trial, 0)):
        found |= study.row_texts(number, set(rows) - found.keys())
    return found


def failures_view(study: StoredStudy, limit: int | None = SHOWN_FAILURES, width: int = 300) -> View:
    """The rows that the winner fails on, as people read them; beside its answers those of the default.

    Args:
        study: the study.
        limit: number of rows; None for all.
        width: number of characters that each text is shortened to.
    """
    frame = failures_frame(study)
    shown = frame if limit is None else frame.head(limit)

    def texts(name: str) -> list[str]:
        return ["" if value is None else _html.clipped(answer_text(value), width) for value in shown[name]]

    def answers(whose: str) -> list[str]:
        pairs = zip(shown[f"{whose}answer"], shown[f"{whose}response"], strict=True)
        return [_html.clipped(shown_answer(answer or "", response), width) for answer, response in pairs]

    columns: list[tuple[Column, Any]] = [
        (Column("row", "number"), shown["row"].tolist()),
        (Column("score", "number", ".3f"), shown["score"].tolist()),
        (Column("default", "number", ".3f"), shown["default_score"].tolist()),
        (Column(titles.ROW_TEXT, lines=4), texts("text")),
        (Column("target"), texts("target")),
        (Column(titles.WINNERS_ANSWER), answers("")),
        (Column(titles.DEFAULTS_ANSWER), answers("default_")),
    ]
    if study.best_trial == 0:
        columns = [pair for pair in columns if pair[0].title not in ("default", titles.DEFAULTS_ANSWER)]
    return View(
        title=titles.failing_title(len(frame), len(shown)),
        columns=tuple(column for column, _ in columns),
        rows=tuple(zip(*(values for _, values in columns), strict=True)),
    )
