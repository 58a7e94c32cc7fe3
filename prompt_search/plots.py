"""Interactive figures for notebooks (the extra ``report``: plotly). Each figure shows a table of a `Result`.

`plot_progress` shows ``progress_df``, `plot_effects` ``effects_df``, `plot_pareto` ``pareto_df``, `plot_confusion`
``confusion_df``, `plot_slices` ``slices_df``, `plot_difficulty` ``difficulty_df``, `plot_budget` ``ledger_df``.
Optuna's own plots take ``result.optuna_study``. Plotly reads texts as HTML, so everything that comes from prompts, rows
and responses is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from prompt_search import _numbers
from prompt_search._html import clipped
from prompt_search.errors import InputError, MissingExtra
from prompt_search.results import tables
from prompt_search.results.breakdowns import SLICE_COLUMNS
from prompt_search.results.frames import answer_text

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset
    from prompt_search.data.rows import Row
    from prompt_search.results.stored_study import StoredStudy

BLUE, GREEN, GREY = "#3b82c4", "#2f9e66", "#888888"

COSTS = {cost: front for front, cost in tables.FRONTS.items()}
"""The columns with costs that `plot_pareto` takes, and the column that says whether a trial is on that front."""

Cost = Literal["prompt_tokens", "usd_per_1000_rows", "latency_s"]


def plot_progress(result: StoredStudy) -> Any:
    """Each trial's score by calls, with the best score so far and its 95% interval; see `Result.progress_df`.

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
            line={"width": 0},
            fill="tonexty" if name == "best_low" else None,
            fillcolor="rgba(59,130,196,0.2)",
            hoverinfo="skip",
            showlegend=False,
        )
        for name in ("best_high", "best_low")
    ]
    best = go.Scatter(x=frame["calls"], y=frame["best_score"], mode="lines", name="best so far", line={"color": BLUE})
    trials = go.Scatter(
        x=frame["calls"],
        y=frame["score"],
        mode="markers",
        name="trials",
        marker={"color": GREY},
        hovertext=_texts(_described(result, frame["trial"])),
    )
    return _figure([*ends, trials, best], "calls", "score")


def plot_effects(result: StoredStudy, most: int = 30) -> Any:
    """The effect of each option on the true score with its 95% interval, the most important choice first.

    Args:
        result: a finished study.
        most: largest number of options.

    Raises:
        MissingExtra: plotly is not installed.
    """
    frame = result.effects_df().head(most).iloc[::-1]
    names = frame["choice"] + "=" + frame["option"].map(lambda option: clipped(option, 40))
    return _intervals(frame, names, "effect", "effect on the true score")


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
    return _intervals(frame, names, "score", "score")


def plot_pareto(result: StoredStudy, against: Cost = "prompt_tokens") -> Any:
    """Score (corrected where known) against a cost; the trials that no other beats in both are joined.

    Args:
        result: the study.
        against: ``prompt_tokens``, ``usd_per_1000_rows`` or ``latency_s``.

    Raises:
        InputError: another cost.
        MissingExtra: plotly is not installed.
    """
    if against not in COSTS:
        raise InputError(f"scores are plotted against {', '.join(COSTS)}, got {against!r}; give one of them")
    trials = tables.with_fronts(result.trials_df())
    best = trials[trials[COSTS[against]]].sort_values(against)
    winner = trials[trials["trial"] == result.best_trial]
    go = _plotly()

    def points(frame: pd.DataFrame, name: str, **style: Any) -> Any:
        texts = _texts(_described(result, frame["trial"]))
        return go.Scatter(x=frame[against], y=frame["value"], name=name, hovertext=texts, **style)

    ring = {"symbol": "circle-open", "size": 16, "color": GREEN, "line": {"width": 3}}
    return _figure(
        [
            points(trials, "trials", mode="markers", marker={"color": GREY}),
            points(best, "nothing better for less", mode="lines+markers", marker={"color": BLUE}),
            points(winner, "winner", mode="markers", marker=ring),
        ],
        against,
        "score",
    )


def plot_confusion(result: StoredStudy, trial: int | None = None) -> Any:
    """The number of rows of each target that got each answer; see `Result.confusion_df`.

    Raises:
        StudyError: there is no such trial.
        MissingExtra: plotly is not installed.
    """
    frame = result.confusion_df(trial)
    answers, targets = (_texts(clipped(text, 40) for text in each) for each in (frame.columns, frame.index))
    heat = _plotly().Heatmap(x=answers, y=targets, z=frame.to_numpy(), texttemplate="%{z}", colorscale="Blues")
    figure = _figure([heat], "answer", "target")
    return figure.update_yaxes(autorange="reversed", type="category").update_xaxes(type="category")


def plot_difficulty(result: StoredStudy, trials: Sequence[int] | None = None) -> Any:
    """Scores of the best trials on each row, the hardest row on top; see `Result.difficulty_df`.

    Raises:
        StudyError: there is no such trial.
        MissingExtra: plotly is not installed.
    """
    frame = result.difficulty_df(trials)
    columns, rows = [f"trial {trial}" for trial in frame.columns], [f"row {row}" for row in frame.index]
    heat = _plotly().Heatmap(x=columns, y=rows, z=frame.to_numpy(), colorscale="RdBu")
    return _figure([heat], "", "").update_yaxes(autorange="reversed")


def plot_budget(result: StoredStudy) -> Any:
    """The number of calls by role; see `Result.ledger_df`.

    Raises:
        MissingExtra: plotly is not installed.
    """
    frame = result.ledger_df()
    costs = [_numbers.dollars(usd) for usd in frame["cost_usd"]]
    bars = _plotly().Bar(x=frame["role"].astype(str), y=frame["calls"], text=costs, marker={"color": BLUE})
    return _figure([bars], "role", "calls")


def _intervals(frame: pd.DataFrame, names: pd.Series[Any], mean: str, title: str) -> Any:
    """A figure with one point and its interval per line."""
    spread = {
        "type": "data",
        "symmetric": False,
        "array": frame[f"{mean}_high"] - frame[mean],
        "arrayminus": frame[mean] - frame[f"{mean}_low"],
    }
    points = _plotly().Scatter(x=frame[mean], y=_texts(names), error_x=spread, mode="markers", marker={"color": BLUE})
    return _figure([points], title, "").update_yaxes(type="category")


def _described(result: StoredStudy, trials: pd.Series[int]) -> list[str]:
    return [f"trial {trial}: {result.changes(trial)}" for trial in trials.tolist()]


def _texts(texts: Any) -> list[str]:
    return [escape(text) for text in texts]


def _figure(traces: Sequence[Any], x: str, y: str) -> Any:
    figure = _plotly().Figure(list(traces))
    return figure.update_layout(xaxis_title=x, yaxis_title=y, margin={"t": 30})


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError:
        raise MissingExtra("a figure", package="plotly", extra="report") from None
    return go
