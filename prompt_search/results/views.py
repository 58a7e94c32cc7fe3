"""The tables that terminal, notebook and both forms of the report share, each made in one place from a result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from prompt_search import _html
from prompt_search._numbers import counted
from prompt_search.results import breakdowns, tables, wording
from prompt_search.results.export import with_index
from prompt_search.results.frames import answer_text
from prompt_search.results.lines import titles
from prompt_search.results.objective.wording import CAP_COLUMN, EFFECTS_OF
from prompt_search.results.stored.stored_study import StoredStudy
from prompt_search.results.view import Bar, Cell, Column, Pieces, View

SHOWN_PROMPTS = 10
"""Number of prompts that a printed ranking shows."""

SHOWN_EFFECTS = 10
"""Number of effects that a printed result shows."""

SHOWN_INTERACTIONS = 10
"""Number of pairs of options that a report shows."""

SHOWN_ANSWERS = 20
"""Number of answers that are printed."""

INTERVAL = "95% interval"


def ranking_view(
    result: StoredStudy,
    limit: int | None = SHOWN_PROMPTS,
    *,
    width: int = 24,
    detailed: bool = False,
) -> View:
    """The prompts by their estimate (by their score, while the study is unfinished), the winner's row with all its
    choices, the others with those that differ from the winner.

    Columns that say nothing about any prompt (no unparsed response, no error, no cost) are left out. The winner is
    never left out.

    Args:
        result: a study, finished or not.
        limit: number of prompts; None for all.
        width: number of characters that each option is shortened to.
        detailed: with seconds and state as well.
    """
    frame = _ranked(result, limit)
    shown: list[tuple[Column, Iterable[Any]]] = [
        (Column("rank", "number", spare=True), frame["rank"]),
        (Column("trial", "number"), frame["trial"]),
    ]
    if frame["estimate"].notna().any():
        shown.append((Column("estimate", "number", ".3f"), frame["estimate"]))
    shown += [
        (Column("score", "number", ".3f"), frame["score"]),
        (Column(INTERVAL, "bar", ".2f"), _bars(frame, "score")),
        (Column("rows", "number"), frame["search_rows"]),
        (Column("tokens", "number", ".0f"), frame["prompt_tokens"]),
    ]
    if detailed:
        shown.append((Column("seconds", "number", ".2f"), frame["latency_s"]))
    shown += [(Column(name, "number"), frame[name]) for name in ("unparsed", "errors") if frame[name].any()]
    if frame["cost_usd"].gt(0).any():
        shown.append((Column("USD per 1,000 rows", "number", ",.4f"), frame["usd_per_1000_rows"]))
    if result.cap_standings:
        shown.append((Column(CAP_COLUMN), frame["trial"].map(result.cap_standings).fillna("not known")))
    if detailed:
        shown.append((Column("state"), frame["state"]))
    shown.append((Column(titles.DIFFERS, lines=2), [_differences(result, trial, width) for trial in frame["trial"]]))
    winner = [place for place, trial in enumerate(frame["trial"]) if trial == result.best_trial]
    view = _view(titles.ranking_title("estimate" in [column.title for column, _ in shown]), shown)
    return View(title=view.title, columns=view.columns, rows=view.rows, highlighted=frozenset(winner))


def _ranked(result: StoredStudy, limit: int | None) -> pd.DataFrame:
    """The first prompts and the winner, by the number that stands beside them, with their ``rank``."""
    frame = tables.with_costs(result.ranking())
    # Prompts with the same number keep the order in which the search ranks them; the winner is its first.
    frame = frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)
    frame = frame.assign(rank=range(1, len(frame) + 1))
    if limit is None or len(frame) <= limit:
        return frame
    winner = frame[limit - 1 :]["trial"] == result.best_trial
    return pd.concat([frame.head(limit - 1), frame[limit - 1 :][winner]]) if winner.any() else frame.head(limit)


def _differences(result: StoredStudy, trial: int, width: int) -> Pieces:
    """The choices in which a trial differs from the winner; of the winner all. Choices that the trial does not have are
    left out, because they follow from another one."""
    chosen, winner = result.choices(trial), result.choices(result.best_trial)
    names = [wording.DEFAULT_CHOICES] if result.has_default_choices(trial) else []
    if trial == result.best_trial:
        names += [f"{name}={_html.clipped(option, width)}" for name, option in chosen.items()]
    else:
        names += [
            f"{name}={told_apart(option, winner.get(name, ''), width)}"
            for name, option in chosen.items()
            if option != winner.get(name)
        ]
        # What only the winner has is told where nothing else is different.
        names += [f"{name}={titles.NO_OPTION}" for name in winner if name not in chosen and not names]
    return Pieces(tuple((name, False) for name in names or [titles.NO_CHOICE]))


def told_apart(option: str, other: str, width: int) -> str:
    """An option on one line of at most ``width`` characters, so that it can be told from another one.

    >>> told_apart("Read it twice, then answer", "Read it twice, and answer", 16)
    '…twice, then an…'
    """
    shown = _html.clipped(option, width)
    if shown != _html.clipped(other, width) or width < 12:
        return shown
    line, rival = (" ".join(text.split()) for text in (option, other))
    first = next((place for place, (a, b) in enumerate(zip(line, rival, strict=False)) if a != b), len(rival))
    start = max(0, min(first - width // 2, len(line) - width + 1))
    return f"…{_html.clipped(line[start:], width - 1)}" if start else shown


def tested_view(result: StoredStudy) -> View:
    """The scores on the test rows: of the default prompt, the best prompt written by hand and the winner."""
    scores = [(name, trial, result.test_score(trial)) for name, trial in result.tested.items()]
    return View(
        title=titles.tested_title(result.test_uses),
        columns=(
            Column("prompt"),
            Column("trial", "number"),
            Column("score", "number", ".3f"),
            Column(INTERVAL, "bar", ".2f"),
            Column("rows", "number"),
        ),
        rows=tuple((name, trial, mean, Bar(mean, low, high), rows) for name, trial, (mean, low, high, rows) in scores),
    )


def effects_view(result: StoredStudy, limit: int | None = SHOWN_EFFECTS, *, shown_only: bool = True) -> View:
    """The effects of options on the true score, the strongest first.

    Args:
        result: a finished study.
        limit: number of options; None for all.
        shown_only: only options whose effect is shown (`breakdowns.shown_to_matter`); else all options, the most
            important choice first, with the expected effect and the importance of the choice.
    """
    frame = result.effects_df()
    if shown_only:
        frame = breakdowns.shown_to_matter(frame).sort_values("effect", key=abs, ascending=False)
    frame = frame if limit is None else frame.head(limit)
    shown: list[tuple[Column, Iterable[Any]]] = [
        (Column("choice"), frame["choice"]),
        (Column("option"), frame["option"].map(lambda option: _html.clipped(option, 120))),
        (Column("effect", "number", "+.3f"), frame["effect"]),
        (Column(INTERVAL, "bar", "+.2f", ends=_symmetric(frame)), _bars(frame, "effect")),
    ]
    if not shown_only:
        shown.append((Column("expected", "number", "+.3f"), frame["estimate"]))
    shown.append((Column("trials", "number"), frame["trials"]))
    if not shown_only:
        shown.append((Column("importance", "number", ".0%"), frame["importance"]))
    title = titles.SHOWN_EFFECTS_TITLE if shown_only else titles.EFFECTS_TITLE
    if result.weighs_costs:
        title = title.replace(titles.TRUE_SCORE, EFFECTS_OF)
    return _view(title, shown)


def interactions_view(result: StoredStudy, limit: int | None = SHOWN_INTERACTIONS) -> View:
    """Pairs of options whose joint effect differs from the sum of their effects, the strongest first."""
    frame = result.interactions_df()
    frame = frame if limit is None else frame.head(limit)
    return _view(
        titles.INTERACTIONS_TITLE,
        [
            (Column("option"), _options(frame, "choice", "option")),
            (Column("with"), _options(frame, "other_choice", "other_option")),
            (Column("effect", "number", "+.3f"), frame["effect"]),
            (Column(INTERVAL, "bar", "+.2f"), _bars(frame, "effect")),
        ],
    )


def pareto_view(result: StoredStudy, limit: int | None = None) -> View:
    """The prompts that no other beats both in score and in tokens, cost or latency."""
    frame = result.pareto_df()
    frame = frame if limit is None else frame.head(limit)
    names = {column: column.removeprefix("front_") for column in tables.FRONTS}
    fronts = [", ".join(names[column] for column in names if line[column]) for line in frame.to_dict("records")]
    return _view(
        titles.FRONT_TITLE,
        [
            (Column("trial", "number"), frame["trial"]),
            (Column("estimate", "number", ".3f"), frame["estimate"].fillna(frame["score"])),
            (Column("prompt tokens", "number", ",.0f"), frame["prompt_tokens"]),
            (Column("USD per 1,000 rows", "number", ",.4f"), frame["usd_per_1000_rows"]),
            (Column("seconds", "number", ".2f"), frame["latency_s"]),
            *([(Column(CAP_COLUMN), frame["cap"])] if "cap" in frame else []),
            (Column("on the front by"), fronts),
        ],
    )


def ledger_view(result: StoredStudy) -> View:
    """What the study spent, by role."""
    frame = result.ledger_df()
    whole = ("calls", "reused", "prompt_tokens", "completion_tokens")
    headings = dict(zip(whole, ("calls sent", "reused", "prompt tokens", "completion tokens"), strict=True))
    return _view(
        titles.LEDGER_TITLE,
        [
            (Column("role"), frame["role"]),
            *((Column(headings[name], "number", ",.0f"), frame[name]) for name in whole),
            (Column("USD", "number", ",.4f"), frame["cost_usd"]),
            (Column("seconds", "number", ",.0f"), frame["seconds"]),
            (Column("errors", "number"), frame["errors"]),
            *([(Column("in batches", "number", ",.0f"), frame["batched"])] if frame["batched"].any() else []),
        ],
    )


def labels_view(result: StoredStudy, trial: int | None = None) -> View:
    """How a trial's prompt (default: the winner's) does on each label."""
    frame = result.labels_df(trial)
    return _view(
        titles.LABELS_TITLE,
        [
            (Column("label"), frame["label"].map(lambda label: _html.clipped(label, 80))),
            (Column("rows", "number"), frame["rows"]),
            (Column("answered", "number"), frame["answered"]),
            (Column("recall", "number", ".2f"), frame["recall"]),
            (Column(INTERVAL, "bar", ".2f"), _bars(frame, "recall")),
            (Column("precision", "number", ".2f"), frame["precision"]),
            (Column("bias", "number", "+.2f"), frame["bias"]),
        ],
    )


def frame_view(frame: pd.DataFrame) -> View:
    """Any table as people read it, with the names of its rows; long texts are cut off."""
    whole = with_index(frame)
    shown: list[tuple[Column, Iterable[Any]]] = []
    for name in map(str, whole.columns):
        values = whole.iloc[:, len(shown)]
        if pd.api.types.is_bool_dtype(values):
            shown.append((Column(name), ["yes" if value else "no" for value in values]))
        elif pd.api.types.is_numeric_dtype(values):
            form = "" if pd.api.types.is_integer_dtype(values) else ".6f" if "usd" in name else ".3f"
            shown.append((Column(name, "number", form), values))
        else:
            texts = [_told(value) for value in values]
            shown.append((Column(name, lines=4), texts))
    return _view("", shown)


def _told(value: Any) -> str:
    """A value of a table as text; nothing for one that is not known."""
    return "" if value is None or value is pd.NA else answer_text(value) or "(empty)"


def _view(title: str, shown: Iterable[tuple[Column, Iterable[Any]]]) -> View:
    """A table of columns with their values."""
    columns, values = zip(*shown, strict=True)
    rows = tuple(tuple(map(_cell, row)) for row in zip(*values, strict=True))
    return View(title=title, columns=columns, rows=rows)


def _cell(value: Any) -> Cell:
    """A value of a frame as what a view holds."""
    if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    kept: Cell = value.item() if hasattr(value, "item") else value
    return kept


def _bars(frame: pd.DataFrame, mean: str) -> list[Bar]:
    """Means with their intervals."""
    ends = (frame[name].astype("float64").tolist() for name in (mean, f"{mean}_low", f"{mean}_high"))
    return [Bar(*bar) for bar in zip(*ends, strict=True)]


def _symmetric(effects: pd.DataFrame) -> tuple[float, float]:
    """Ends of bars that fit every effect, with 0 in the middle."""
    most = float(np.nanmax(effects[["effect_low", "effect_high"]].abs().to_numpy(), initial=0.0)) or 1.0
    return (-most, most)


def slices_view(frame: pd.DataFrame, winner: int) -> View:
    """Scores by groups of rows.

    Args:
        frame: a table of `breakdowns.slices_frame`.
        winner: the trial that is called the winner.
    """
    groups = [str(name) for name in frame.columns if name not in breakdowns.SLICE_COLUMNS]
    names = {winner: "winner", 0: "default"} if winner else {0: "default"}
    return _view(
        titles.slices_title(groups),
        [
            *((Column(name), [_html.clipped(answer_text(value), 80) for value in frame[name]]) for name in groups),
            (Column("prompt"), [names.get(trial, f"trial {trial}") for trial in frame["trial"].tolist()]),
            (Column("rows", "number"), frame["rows"]),
            (Column("score", "number", ".3f"), frame["score"]),
            (Column(INTERVAL, "bar", ".2f"), _bars(frame, "score")),
        ],
    )


def _options(frame: pd.DataFrame, choice: str, option: str) -> list[str]:
    return [f"{name}={_html.clipped(text, 60)}" for name, text in zip(frame[choice], frame[option], strict=True)]


def answers_view(answers: pd.DataFrame, limit: int = SHOWN_ANSWERS) -> View:
    """The first answers of `Prompt.ask_many`: the row with its first text, the answer, or why there is none."""
    fields = [name for name in answers.columns if name not in ("row", *tables.ANSWER_COLUMNS)]
    texts = [name for name in fields if answers[name].map(lambda value: isinstance(value, str)).any()]
    shown = (texts or fields)[:1]
    return View(
        title="" if len(answers) <= limit else f"the first {limit} of {len(answers):,} rows",
        columns=(Column("row", "number"), *(Column(str(name)) for name in shown), Column("answer"), Column("problem")),
        rows=tuple(
            (
                record["row"],
                *(_html.clipped(" ".join(answer_text(record[name]).split()), 60) for name in shown),
                "(none)" if record["answer"] is None else _html.clipped(answer_text(record["answer"]), 60),
                _html.clipped(record["error"] or record["unparsed"] or "–", 80),
            )
            for record in answers.head(limit).to_dict("records")
        ),
    )


def answers_text(answers: pd.DataFrame) -> str:
    """What came of the rows of `Prompt.ask_many`."""
    unparsed, failed = (int(answers[name].notna().sum()) for name in ("unparsed", "error"))
    rows = len(answers)
    return (
        f"{counted(rows, 'row')}: {rows - unparsed - failed:,} answered, {unparsed:,} unparsed, {failed:,} failed, "
        f"{int(answers['cached'].sum()):,} from the storage"
    )
