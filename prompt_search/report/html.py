"""The report as one HTML page that holds everything itself: no network, no library, a few lines of script for sorting
and filtering. Samples are summed up, never listed: a study of 200,000 of them gives a page that opens at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import jinja2
import pandas as pd

from prompt_search import _html
from prompt_search.report import charts, wording
from prompt_search.report.answers import Failure
from prompt_search.report.content import Report
from prompt_search.report.copies import messages_json, python_code
from prompt_search.results import tables
from prompt_search.results.frames import answer_text
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import Bar, Cell, Column, View, html_rows, to_html
from prompt_search.results.wording import COST_LABELS

PROMPTS_IN_FULL = 20
"""Number of ranked prompts whose messages are on the page."""

SETTING_WIDTH = 60
"""Number of characters of a prompt's setting that are shown."""

SHOWN_CHARACTERS = 300
"""Number of characters of a text that are shown at once."""


def html_report(result: StoredStudy, slices: Sequence[pd.DataFrame] = ()) -> str:
    """The report as one HTML page.

    Args:
        result: the study, finished or not.
        slices: tables of scores by groups of rows to show as well.
    """
    report = Report(result, slices)
    files = resources.files("prompt_search.report")
    environment = jinja2.Environment(
        autoescape=True, finalize=_html.text, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.globals.update(
        table=to_html,
        cells=cells,
        opened=opened,
        quoted=quoted,
        details=_html.details,
        diff=_html.diff,
        wording=wording,
    )
    page = environment.from_string((files / "report.html.j2").read_text("utf-8"))
    return page.render(
        report=report,
        css=_html.Markup(_html.STYLE + (files / "report.css").read_text("utf-8")),
        js=_html.Markup((files / "report.js").read_text("utf-8")),
        winner=winner(report) if report.answered else None,
        prompts=prompts(report),
        copies=copies(report) if report.answered else [],
        failing=failing(report),
        charts=chart_pieces(report) if report.answered else [],
        confusion=None if report.confusion is None else confusion(report.confusion),
    )


def cells(view: View) -> list[list[tuple[Column, _html.Markup, str]]]:
    """The cells of a table, row by row: column, content, and the attributes of its ``<td>``."""
    return [
        [(column, shortened(content), attributes(column, cell)) for column, content, cell in zip(*line, strict=True)]
        for line in ((view.columns, contents, row) for contents, row in zip(html_rows(view), view.rows, strict=True))
    ]


def attributes(column: Column, cell: Cell) -> _html.Markup:
    """The attributes of a cell: a number is aligned, a bar is sorted by the interval's lower end."""
    if column.kind == "number":
        return _html.Markup(' class="n"')
    return _html.fill(' data-value="{}"', f"{cell.low:.4f}") if isinstance(cell, Bar) else _html.Markup()


def shortened(content: Any) -> _html.Markup:
    """A long text with its end on demand."""
    if not isinstance(content, _html.Markup) and len(content) > SHOWN_CHARACTERS:
        whole = _html.details(wording.all_characters(len(content)), _html.exact(content))
        return _html.text(f"{content[:SHOWN_CHARACTERS]}…") + whole
    return _html.text(content)


def quoted(text: str) -> _html.Markup:
    """A text as a string of a style sheet, which no text can end."""
    return _html.Markup('"{}"').format(
        _html.Markup("".join(f"\\{ord(each):x} " if each in "\\\"'<>&\n" else each for each in text))
    )


def opened(short: Any, content: Any) -> _html.Markup:
    """Text of at most three lines, which opens to the whole content."""
    return _html.fill('<details class="brief"><summary><span>{}</span></summary>{}</details>', short, content)


def prompts(report: Report) -> list[_html.Markup]:
    """For each ranked prompt its choices in full, for the first ones its messages as well."""
    found = []
    for place, row in enumerate(report.ranking.rows):
        trial = int(str(row[1]))
        chosen = _html.exact("\n".join(f"{name}={text}" for name, text in report.result.choices(trial).items()))
        in_full = place < PROMPTS_IN_FULL
        found.append(chosen + (bubbles(report.result.prompt(trial).turns) if in_full else _html.Markup()))
    return found


def bubbles(turns: Iterable[tuple[str, str]]) -> _html.Markup:
    """The messages of a chat, exactly as they are."""
    return _html.join(
        _html.fill('<div class="turn {}"><small>{}</small>{}</div>', role, role, _html.exact(content))
        for role, content in turns
    )


def copies(report: Report) -> list[tuple[str, str, str]]:
    """The texts to copy: the id of the field that holds it, the title of its button, the text."""
    prompt = report.result.best
    return [
        ("copy-messages", wording.COPY_MESSAGES, messages_json(prompt)),
        ("copy-python", wording.COPY_PYTHON, python_code(prompt)),
    ]


def failing(report: Report) -> list[dict[str, Any]]:
    """The rows that the winner fails on, by what is wrong, each with what was sent and what came back."""
    rows = iter(cells(report.failures) if report.answered else [])
    return [
        {
            "title": group.title,
            "count": wording.group_count(group.rows, len(group.shown)),
            "rows": [(next(rows), exchange(failure)) for failure in group.shown],
        }
        for group in report.failing_groups
    ]


def exchange(failure: Failure) -> _html.Markup:
    """What was sent for a row, and what came back."""
    return bubbles([*failure.sent, (wording.CAME_BACK, failure.received)])


def winner(report: Report) -> dict[str, Any]:
    """The prompt to ship: its messages, settings and choices, how it was sent for one row and what came back."""
    prompt = report.result.best
    settings = {"model": prompt.model, **prompt.parameters}
    listed = "".join(
        f", {name} {_html.clipped(answer_text(value), SETTING_WIDTH)}"
        for name, value in settings.items()
        if value is not None
    )
    samples = report.result.trial_samples(report.winner)
    answered = samples[samples["error"].isna()].head(1)
    sent = report.result.sent(answered["key"].tolist())
    received = "".join(answered["response"].fillna("").tolist())
    return {
        "sentence": wording.shipped_prompt(report.winner, len(prompt.text), listed),
        "messages": _html.messages(prompt.turns),
        "sent": _html.join(bubbles([*turns, (wording.CAME_BACK, received)]) for turns in sent.values()),
        "row": answered["row"].sum(),
        "choices": View(title="", columns=(Column("choice"), Column("option")), rows=tuple(prompt.choices.items())),
    }


def chart_pieces(report: Report) -> list[tuple[_html.Markup, str]]:
    """The charts of score against each cost that varies, and of progress, with their captions."""
    points = tables.with_fronts(report.result.score_table())
    objective = report.result.objective
    caps = {} if objective is None else {str(cap.quantity): cap.most for cap in objective.caps}
    pieces = []
    for front, cost in tables.FRONTS.items():
        label = COST_LABELS[cost]
        if points[cost].nunique() > 1:
            cap = caps.get(cost)
            chart = charts.scatter(points, cost, label=label, front=front, winner=report.winner, cap=cap)
            pieces.append((chart, wording.front_note(label, cap is not None)))
    progress = report.result.progress_df()
    if len(progress):
        pieces.append((charts.progress(progress), wording.PROGRESS_NOTE))
    return pieces


def confusion(frame: pd.DataFrame) -> dict[str, Any]:
    """The table of targets against answers, each count with its share of the largest one."""
    most = max(1, int(frame.to_numpy().max()))
    lines = [
        {
            "target": _html.clipped(target, 60),
            "cells": [
                {"count": count, "share": round(60 * count / most), "right": answer == target}
                for answer, count in zip(frame.columns, counts, strict=True)
            ],
        }
        for target, counts in zip(frame.index, frame.to_numpy().tolist(), strict=True)
    ]
    return {"answers": [_html.clipped(answer, 60) for answer in frame.columns], "lines": lines}
