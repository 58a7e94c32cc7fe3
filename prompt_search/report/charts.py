"""The charts of the report as SVG text: no library, no script, readable in light and dark and in print."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, zip_longest

import pandas as pd

from prompt_search._html import Markup, fill, join
from prompt_search.report import wording

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 24, 42

MOST_POINTS = 500
"""Largest number of points of a line; more cannot be distinguished at this width."""


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within a range, 1, 2 or 5 times a power of ten apart.

    >>> ticks(0.13, 0.77)
    [0.2, 0.4, 0.6]
    """
    if not high > low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def scatter(points: pd.DataFrame, x: str, *, label: str, front: str, winner: int, cap: float | None = None) -> Markup:
    """A chart of score against a cost, one point per trial; trials on the front are blue and joined, the winner has a
    ring.

    Args:
        points: one row per trial, see `tables.with_fronts`.
        x: the column with the cost.
        label: the text at the axis of the cost.
        front: the column that says whether a trial is on the front of this cost.
        winner: the winner's trial.
        cap: the highest cost that a prompt may have; it is a dashed line.
    """
    points = points.dropna(subset=[x, "value"])
    across = points[x] if cap is None else pd.concat([points[x], pd.Series([cap])])
    place, axes = _axes(across, points["value"], label, "score")
    best = points[points[front]].sort_values(x)
    line = " ".join("{:.1f},{:.1f}".format(*place(*pair)) for pair in zip(best[x], best["value"], strict=True))
    dots = [
        fill(
            '<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>',
            "front" if on_front else "point",
            *(f"{each:.1f}" for each in place(cost, value)),
            4 if on_front else 3,
            wording.point_title(trial, value, label, cost),
        )
        for trial, cost, value, on_front in zip(*(points[name] for name in ("trial", x, "value", front)), strict=True)
    ]
    rings = [
        fill('<circle class="ring" cx="{}" cy="{}" r="8"/>', *(f"{each:.1f}" for each in place(cost, value)))
        for cost, value in points.loc[points["trial"] == winner, [x, "value"]].itertuples(index=False)
    ]
    at = None if cap is None else f"{place(cap, points['value'].iloc[0])[0]:.1f}"
    limit = '<line class="cap" x1="{x}" x2="{x}" y1="{}" y2="{}" stroke="currentColor" stroke-dasharray="5 4"/>'
    line_of_cap = Markup() if at is None else fill(limit, TOP, HEIGHT - BOTTOM, x=at)
    title = wording.cost_chart_title(label, len(points), len(best))
    return _svg(title, axes, line_of_cap, fill('<polyline class="line" points="{}"/>', line), *dots, *rings)


def progress(frame: pd.DataFrame) -> Markup:
    """A chart of each trial's score by calls, with the best score so far and its interval.

    Args:
        frame: the points, see `tables.progress_frame`.
    """
    every = math.ceil(len(frame) / MOST_POINTS)
    shown = frame.iloc[::-1].iloc[::every].iloc[::-1]  # the last one is always shown
    scores = pd.concat([shown["score"], shown["best_low"], shown["best_high"]])
    place, axes = _axes(shown["calls"], scores.dropna(), "calls", "score")

    def path(values: Sequence[float]) -> list[str]:
        """Steps: a value holds until the next one."""
        known = [pair for pair in zip(shown["calls"], values, strict=True) if not math.isnan(pair[1])]
        corners = [(after[0], before[1]) for before, after in pairwise(known)]
        steps = [each for pair in zip_longest(known, corners) for each in pair if each is not None]
        return ["{:.1f},{:.1f}".format(*place(*each)) for each in steps]

    band = [*path(shown["best_low"].tolist()), *reversed(path(shown["best_high"].tolist()))]
    dots = [
        fill('<circle class="point" cx="{}" cy="{}" r="2.5"/>', *(f"{each:.1f}" for each in place(calls, score)))
        for calls, score in zip(shown["calls"], shown["score"], strict=True)
    ]
    return _svg(
        wording.progress_chart_title(len(frame)),
        axes,
        fill('<polygon class="band" points="{}"/>', " ".join(band)),
        *dots,
        fill('<polyline class="line" points="{}"/>', " ".join(path(shown["best_score"].tolist()))),
    )


def _axes(
    xs: pd.Series[float], ys: pd.Series[float], x_label: str, y_label: str
) -> tuple[Callable[[float, float], tuple[float, float]], Markup]:
    """The function that places a point of the data in the picture, and the axes with their ticks."""
    left, right, low, high = (float(each) for each in (xs.min(), xs.max(), ys.min(), ys.max()))
    margin = (right - left or abs(right) or 1.0) * 0.04
    left, right = left - margin, right + margin
    margin = (high - low or 0.1) * 0.06
    low, high = low - margin, high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = []
    for value in ticks(left, right):
        across = f"{place(value, low)[0]:.1f}"
        parts.append(fill('<text x="{}" y="{}" text-anchor="middle">{}</text>', across, HEIGHT - 24, f"{value:g}"))
    for value in ticks(low, high):
        up = place(left, value)[1]
        parts.append(fill('<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>', LEFT, WIDTH - RIGHT, y=f"{up:.1f}"))
        parts.append(fill('<text x="{}" y="{}" text-anchor="end">{}</text>', LEFT - 6, f"{up + 4:.1f}", f"{value:g}"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(fill('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>', middle, HEIGHT - 6, x_label))
    parts.append(fill('<text class="axis" x="{}" y="12">{}</text>', 2, y_label))
    return place, join(parts)


def _svg(title: str, *parts: Markup) -> Markup:
    return fill(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}</svg>',
        WIDTH,
        HEIGHT,
        title,
        title,
        join(parts),
    )
