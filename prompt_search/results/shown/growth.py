"""What was proposed to a study, and where its winner's texts come from, as people read it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd

from prompt_search import _html
from prompt_search.results.lines import growth
from prompt_search.results.shown.failures import row_texts
from prompt_search.results.view import Column, View

if TYPE_CHECKING:
    from prompt_search.results.stored.stored_study import StoredStudy

ROW_WIDTH = 60
"""Number of characters that a row's text is shortened to beside what was proposed from it."""

SHOWN_ROWS = 3
"""Number of rows whose text stands beside what was proposed from them; of the others there is the number."""


def proposals_view(study: StoredStudy, limit: int | None = None) -> View:
    """The texts that were proposed, in the order in which they came; what was refused has its reason.

    Args:
        study: the study.
        limit: number of texts; None for all.
    """
    frame = study.proposals_df() if limit is None else study.proposals_df().head(limit)
    rows = shown_rows(study, {row for each in frame["rows"] for row in each})
    won = study.positions(study.best_trial).items()
    highlighted = frozenset(
        place
        for place, line in enumerate(frame.to_dict("records"))
        if line["accepted"] and (line["choice"], line["option"]) in won
    )
    lines = tuple(
        (
            line["choice"],
            "" if pd.isna(line["option"]) else str(line["option"]),
            line["text"] or growth.NO_TEXT,
            line["operator"],
            line["reason"] or (growth.IN_WINNER if place in highlighted else growth.ACCEPTED),
            from_rows(line["rows"], rows),
            line["calls"],
            line["cost_usd"] if line["calls"] else None,
            line["trials"],
            line["estimate"],
        )
        for place, line in enumerate(frame.to_dict("records"))
    )
    columns = (
        Column("choice"),
        Column("option"),
        Column("text", lines=4),
        Column("operator"),
        Column("outcome"),
        Column("from rows", lines=4),
        Column("calls", "number"),
        Column("USD", "number", ",.4f"),
        Column("trials", "number"),
        Column("estimate", "number", ".3f"),
    )
    view = View(title=growth.PROPOSALS_TITLE, columns=columns, rows=lines, highlighted=highlighted)
    return view if frame["cost_usd"].gt(0).any() else view.without("USD")


def lineage_view(study: StoredStudy) -> View:
    """The winner's texts of the choices that grew, each with those that it comes from."""
    frame = study.lineage()
    columns = (
        Column("choice"),
        Column("generation", "number"),
        Column("option", "number"),
        Column("text", lines=4),
        Column("operator"),
        Column("from options"),
    )
    rows = tuple(
        (
            line["choice"],
            line["generation"],
            line["option"],
            line["text"] or growth.EMPTY_TEXT,
            line["operator"],
            ", ".join(map(str, line["parents"])),
        )
        for line in frame.to_dict("records")
    )
    return View(title=growth.LINEAGE_TITLE, columns=columns, rows=rows)


def shown_rows(study: StoredStudy, rows: Collection[int]) -> dict[int, str]:
    """What prompts show of rows, as far as a trial was sent them: the winner, or else any other."""
    found: dict[int, str] = {}
    for trial in dict.fromkeys((study.best_trial, *study.trials_of(rows))):
        missing = set(rows) - found.keys()
        if not missing:
            break
        found |= row_texts(study, missing, trial)
    return found


def from_rows(rows: Collection[int], texts: dict[int, str]) -> str:
    """The rows that a request showed: their numbers, and the first with the beginning of their text."""
    told = [
        f"{row}: {_html.clipped(texts[row], ROW_WIDTH)}" if row in texts and place < SHOWN_ROWS else str(row)
        for place, row in enumerate(rows)
    ]
    return "; ".join(told)
