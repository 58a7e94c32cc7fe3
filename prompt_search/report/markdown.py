"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from prompt_search import _html
from prompt_search._printable import printable
from prompt_search.report.content import Report
from prompt_search.report.wording import CHANGES_INTRODUCTION, SECTIONS, exported_prompt, group_count
from prompt_search.results.export import markdown
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import Column, View, markdown_text, to_markdown

SHOWN_PROMPTS = 20
"""Number of ranked prompts that are listed."""

SHOWN_CHARACTERS = 300
"""Number of characters of a text that a table of failing rows shows."""


def markdown_report(result: StoredStudy, slices: Sequence[pd.DataFrame] = ()) -> str:
    """The report as Markdown.

    Args:
        result: the study, finished or not.
        slices: tables of scores by groups of rows to show as well.
    """
    report = Report(result, slices)
    parts = [
        *_head(report),
        f"## {SECTIONS['ranking']}",
        to_markdown(report.ranking.head(SHOWN_PROMPTS)),
        *_growth(report),
        f"## {SECTIONS['effects']}",
        markdown_text(report.mattered),
        *map(to_markdown, report.effects),
        to_markdown(report.interactions),
        f"## {SECTIONS['cost']}",
        to_markdown(report.front),
        to_markdown(report.ledger),
        *_answers(report),
        f"## {SECTIONS['reproduce']}",
        _fenced("\n".join(report.reproduce)),
        to_markdown(report.identity),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _head(report: Report) -> list[str]:
    """The outcome and the prompt."""
    result = report.result
    parts = [
        f"# {markdown_text(report.name)}",
        f"**{markdown_text(report.outcome)}.** {markdown_text(report.advice)}",
        markdown_text(report.cheaper),
        *map(markdown_text, result.headline.splitlines()),
    ]
    if not report.answered:
        return parts
    facts = View(title="", columns=(Column("what"), Column("value"), Column("")), rows=tuple(report.facts))
    parts += [to_markdown(facts), f"## {SECTIONS['winner']}"]
    parts.append(exported_prompt(report.winner, report.export, report.export_default))
    parts += [part for role, content in result.best.turns for part in (f"{role}:", _fenced(content))]
    if report.winner:
        parts += [CHANGES_INTRODUCTION, _fenced(report.difference, "diff")]
    return parts


def _growth(report: Report) -> list[str]:
    """What was proposed; nothing where the study has no proposer."""
    if report.growth is None:
        return []
    parts = [f"## {SECTIONS['growth']}", markdown_text(report.growth.sentence)]
    for view in report.growth.views:
        parts += [markdown_text(f"{view.title}:"), to_markdown(_clipped(view))]
    return parts


def _answers(report: Report) -> list[str]:
    """The winner's answers and the rows that it fails on."""
    parts = [f"## {SECTIONS['answers']}", markdown_text(report.answered_on)]
    parts += [part for view in report.slices for part in (markdown_text(f"{view.title}:"), to_markdown(view))]
    if report.labels is not None:
        parts.append(to_markdown(report.labels))
    if report.confusion is not None:
        parts.append(markdown(report.confusion))
    for view in (report.fields, report.examples):
        parts += [] if view is None else [markdown_text(f"{view.title}:"), to_markdown(_clipped(view))]
    parts += [f"## {SECTIONS['failures']}", markdown_text(report.failing)]
    for group in report.failing_groups:
        count = group_count(group.rows, len(group.shown))
        parts.append(markdown_text(f"{group.title} ({count}){':' if group.shown else '.'}"))
        rows = tuple(failure.values for failure in group.shown)
        parts.append(to_markdown(_clipped(View(title="", columns=report.failures.columns, rows=rows))))
    return parts


def _clipped(view: View) -> View:
    """A table whose texts are single lines that are not too long."""
    rows = (
        tuple(_html.clipped(cell, SHOWN_CHARACTERS) if isinstance(cell, str) and cell else cell for cell in row)
        for row in view.rows
    )
    return View(title=view.title, columns=view.columns, rows=tuple(rows))


def _fenced(content: str, language: str = "text") -> str:
    """Text in a fence that it cannot close, with control characters in visible form."""
    content = printable(content, "\t")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content}\n{fence}"
