"""Interactive figures for notebooks (the extra ``report``: plotly). Each figure shows a table of a `Result`.

`plot_progress` shows ``progress_df``, `plot_effects` ``effects_df``, `plot_pareto` ``pareto_df``, `plot_confusion`
``confusion_df``, `plot_slices` ``slices_df``, `plot_difficulty` ``difficulty_df``, `plot_budget` ``ledger_df``.
Optuna's own plots take ``result.optuna_study``. Plotly reads texts as HTML, so everything that comes from prompts, rows
and responses is escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from prompt_search import _numbers
from prompt_search._html import clipped
from prompt_search.errors import InputError, MissingExtra
from prompt_search.results import tables
from prompt_search.results.breakdowns import SLICE_COLUMNS, shown_to_matter
from prompt_search.results.frames import answer_text
from prompt_search.results.objective.wording import EFFECTS_OF
from prompt_search.results.shown.labels import check_labels
from prompt_search.results.wording import COST_LABELS

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset
    from prompt_search.data.rows import Row
    from prompt_search.results.stored.stored_study import StoredStudy

BLUE, GREEN, GREY = "#3b82c4", "#2f9e66", "#888888"

TEXT, LINES = "#7a7a7a", "rgba(128,128,128,0.25)"
"""Colours of texts and of grid lines that can be read on a white page and on a dark one."""

FEW_AND_MANY = [[0, "#6b7280"], [1, "#1d5fa8"]]
"""The colours of few and of many rows: white numbers are readable on them, and they on pages of any colour."""

RIGHT_AND_WRONG = ((0.0, "#c8553d"), (0.5, "#9a9a9a"), (1.0, BLUE))
"""Colours from the lowest score to the highest."""

MOST_LINES = 60
"""Number of named lines up to which a figure grows."""

LINE_HEIGHT = 24
"""Height in pixels of a line that is named on the vertical axis."""

COSTS = {cost: front for front, cost in tables.FRONTS.items()}
"""The columns with costs that `plot_pareto` takes, and the column that says whether a trial is on that front."""

Cost = Literal["prompt_tokens", "usd_per_1000_rows", "latency_s"]


def plot_progress(result: StoredStudy) -> Any:
    """Each trial's score by calls, with the score of the leading prompt and its 95% interval; see `Result.progress_df`.

    Raises:
        MissingExtra: plotly is not installed.
    """
    frame = result.progress_df()
    go = _plotly()
    ends = [
        go.Scatter(
            x=frame["calls"],
            y=frame[name],
            mode="lines",
            line={"width": 0, "shape": "hv"},
            fill="tonexty" if name == "best_low" else None,
            fillcolor="rgba(59,130,196,0.2)",
            hoverinfo="skip",
            showlegend=False,
        )
        for name in ("best_high", "best_low")
    ]
    best = go.Scatter(
        x=frame["calls"],
        y=frame["best_score"],
        mode="lines",
        name="the leading prompt",
        line={"color": BLUE, "shape": "hv"},
    )
    trials = go.Scatter(
        x=frame["calls"],
        y=frame["score"],
        mode="markers",
        name="trials",
        marker={"color": GREY},
        hovertext=_texts(_described(result, frame["trial"])),
    )
    title = "Progress: the score of the leading prompt, with its 95% interval"
    return _figure([*ends, trials, best], title, "calls", "score")


def plot_effects(result: StoredStudy, most: int = 30) -> Any:
    """The effect of each option on the true score with its 95% interval, the most important choice first.

    Effects that are shown are coloured, the others are muted.

    Args:
        result: a finished study.
        most: largest number of options.

    Raises:
        MissingExtra: plotly is not installed.
    """
    effects = result.effects_df()
    frame = effects.head(most).iloc[::-1]
    names = frame["choice"] + "=" + frame["option"].map(lambda option: clipped(option, 40))
    cut = "" if len(frame) == len(effects) else f" ({len(frame)} of {len(effects)} options)"
    of = EFFECTS_OF if result.weighs_costs else "the true score"
    figure = _intervals(frame, names, "effect", f"effect on {of}", f"What each option changes{cut}")
    shown = frame.index.isin(shown_to_matter(frame).index)
    figure.update_traces(marker={"color": GREY}, error_x={"color": GREY}, name="not shown", opacity=0.8)
    coloured = _points(frame[shown], [each for each, is_shown in zip(figure.data[0].y, shown, strict=True) if is_shown])
    return figure.add_trace(coloured.update(name="shown to matter", marker={"size": 9}, showlegend=True))


def plot_slices(
    result: StoredStudy, data: Dataset, by: str | Sequence[str] | Callable[[Row], Any], trial: int | None = None
) -> Any:
    """Scores by groups of rows with their 95% intervals, for default and winner; see `Result.slices_df`.

    Args:
        result: the study.
        data: its data.
        by: the groups, as `Result.slices_df` takes them.
        trial: the only trial to show.

    Raises:
        StudyError, InputError: as `Result.slices_df`.
        MissingExtra: plotly is not installed.
    """
    frame = result.slices_df(data, by).iloc[::-1]
    if trial is not None:
        frame = frame[frame["trial"] == trial]
    groups = [name for name in frame.columns if name not in SLICE_COLUMNS]
    texts = [", ".join(answer_text(value) for value in line) for line in frame[groups].to_numpy().tolist()]
    names = pd.Series(texts, index=frame.index, dtype=object) + frame["trial"].map(" (trial {})".format)
    return _intervals(frame, names, "score", "score", f"Scores by {', '.join(map(str, groups))}")


def plot_pareto(result: StoredStudy, against: Cost = "prompt_tokens") -> Any:
    """Score (corrected where known) against a cost; the trials that no other beats in both are joined. A cap of the
    objective on this cost is a dashed line.

    Args:
        result: the study.
        against: ``prompt_tokens``, ``usd_per_1000_rows`` or ``latency_s``.

    Raises:
        InputError: another cost.
        MissingExtra: plotly is not installed.
    """
    if against not in COSTS:
        raise InputError(f"scores are plotted against {', '.join(COSTS)}, got {against!r}; give one of them")
    trials = tables.with_fronts(result.score_table())
    best = trials[trials[COSTS[against]]].sort_values(against)
    winner = trials[trials["trial"] == result.best_trial]
    go = _plotly()

    def points(frame: pd.DataFrame, name: str, **style: Any) -> Any:
        texts = _texts(_described(result, frame["trial"]))
        return go.Scatter(x=frame[against], y=frame["value"], name=name, hovertext=texts, **style)

    ring = {"symbol": "circle-open", "size": 16, "color": GREEN, "line": {"width": 3}}
    figure = _figure(
        [
            points(trials, "trials", mode="markers", marker={"color": GREY}),
            points(best, "nothing better for less", mode="lines+markers", marker={"color": BLUE}),
            points(winner, "winner", mode="markers", marker=ring),
        ],
        f"Score against {COST_LABELS[against]}",
        COST_LABELS[against],
        "score",
    )
    for cap in [] if result.objective is None else result.objective.caps:
        if cap.quantity == against:
            figure.add_vline(cap.most, line={"dash": "dash", "color": TEXT}, annotation_text="cap")
    return figure


def plot_confusion(result: StoredStudy, trial: int | None = None) -> Any:
    """The number of rows of each target that got each answer; see `Result.confusion_df`.

    Raises:
        StudyError: there is no such trial, or the targets are no labels.
        MissingExtra: plotly is not installed.
    """
    check_labels(result, trial)
    frame = result.confusion_df(trial)
    answers, targets = (_apart(_texts(clipped(text, 40) for text in each)) for each in (frame.columns, frame.index))
    heat = _plotly().Heatmap(x=answers, y=targets, z=frame.to_numpy(), texttemplate="%{z}", colorscale=FEW_AND_MANY)
    heat.update(textfont={"color": "white"})
    figure = _figure([heat], "Answers by target: numbers of rows", "answer", "target", lines=len(targets))
    return figure.update_yaxes(autorange="reversed", type="category").update_xaxes(type="category")


def plot_difficulty(result: StoredStudy, trials: Sequence[int] | None = None) -> Any:
    """Scores of the best trials on each row, the hardest row on top; see `Result.difficulty_df`.

    Rows that only one of them was scored on are left out, where there are others: they compare nothing.

    Raises:
        StudyError: there is no such trial.
        MissingExtra: plotly is not installed.
    """
    every = result.difficulty_df(trials)
    shared = every[every.notna().sum(axis=1) > 1]
    frame = shared if len(shared) else every
    columns, rows = [f"trial {trial}" for trial in frame.columns], [f"row {row}" for row in frame.index]
    heat = _plotly().Heatmap(
        x=columns,
        y=rows,
        z=frame.to_numpy(),
        colorscale=RIGHT_AND_WRONG,
        colorbar={"title": {"text": "score"}},
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        xgap=2,
        ygap=1 if len(rows) <= MOST_LINES else 0,
    )
    figure = _figure([heat], "Scores by row, the hardest on top", "", "", lines=len(rows))
    return figure.update_yaxes(autorange="reversed", type="category").update_xaxes(type="category", side="top")


def plot_budget(result: StoredStudy) -> Any:
    """The number of calls by role; see `Result.ledger_df`.

    Raises:
        MissingExtra: plotly is not installed.
    """
    frame = result.ledger_df()
    texts = [
        f"{_numbers.counted(calls, 'call')}, {_numbers.dollars(usd)}"
        for calls, usd in zip(frame["calls"].tolist(), frame["cost_usd"], strict=True)
    ]
    bars = _plotly().Bar(
        x=frame["calls"],
        y=frame["role"].astype(str),
        orientation="h",
        width=0.5,
        text=_texts(texts),
        textposition="auto",
        marker={"color": BLUE},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
    figure = _figure([bars], "What the calls were used for, with their cost", "calls", "")
    return figure.update_yaxes(type="category", autorange="reversed").update_layout(height=180 + 40 * len(frame))


def _intervals(frame: pd.DataFrame, names: pd.Series[Any], mean: str, axis: str, title: str) -> Any:
    """A figure with one point and its interval per line."""
    points = _points(frame.rename(columns=lambda name: str(name).replace(mean, "effect", 1)), _apart(_texts(names)))
    figure = _figure([points], title, axis, "", lines=len(frame))
    return figure.update_yaxes(type="category", dtick=1)


def _points(frame: pd.DataFrame, names: Sequence[str]) -> Any:
    """Points with their intervals, of the columns of effects."""
    spread = {
        "type": "data",
        "symmetric": False,
        "array": frame["effect_high"] - frame["effect"],
        "arrayminus": frame["effect"] - frame["effect_low"],
    }
    return _plotly().Scatter(x=frame["effect"], y=names, error_x=spread, mode="markers", marker={"color": BLUE})


def _apart(names: Sequence[str]) -> list[str]:
    """Names that are all different, because plotly puts equal ones on the same line."""
    total, seen = Counter(names), Counter[str]()
    apart = []
    for name in names:
        seen[name] += 1
        apart.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return apart


def _described(result: StoredStudy, trials: pd.Series[int]) -> list[str]:
    return [f"trial {trial}: {result.changes(trial)}" for trial in trials.tolist()]


def _texts(texts: Any) -> list[str]:
    """Texts that plotly shows as they are: neither HTML nor, between two dollar signs, a formula."""
    return [escape(text, quote=False).replace("$", "&#36;") for text in texts]


def _figure(traces: Sequence[Any], title: str, x: str, y: str, lines: int = 0) -> Any:
    """A figure for pages of any colour: nothing is drawn behind it.

    Args:
        traces: what it shows.
        title: stands above it; a text that may be from outside is escaped.
        x, y: titles of the axes.
        lines: number of lines that are named on the vertical axis and need room.
    """
    figure = _plotly().Figure(list(traces))
    figure.update_layout(
        title={"text": _texts([title])[0], "x": 0, "xanchor": "left", "xref": "paper"},
        xaxis_title=x,
        yaxis_title=y,
        margin={"t": 60, "l": 60, "r": 30, "b": 60},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": TEXT},
        height=max(400, 180 + LINE_HEIGHT * min(lines, MOST_LINES)),
        legend={"orientation": "h", "yanchor": "bottom", "y": 1, "xanchor": "right", "x": 1},
    )
    axis = {"gridcolor": LINES, "zerolinecolor": TEXT, "linecolor": LINES, "automargin": True}
    return figure.update_xaxes(**axis).update_yaxes(**axis)


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise MissingExtra("a figure", package="plotly", extra="report") from None
    return go
