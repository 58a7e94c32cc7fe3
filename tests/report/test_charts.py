"""The report's charts: points where they belong, nothing unknown drawn."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.report import charts


def points(*lines: tuple[int, float, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=["trial", "cost", "value", "front"])


def test_scatter_draws_every_known_trial() -> None:
    """One circle a trial, those on the front joined by rising cost, the winner ringed; unknown ones left out."""
    frame = points((0, 10, 0.5, True), (1, 30, 0.9, True), (2, 20, 0.4, False), (3, math.nan, 0.9, False))
    made = charts.scatter(frame, "cost", label="<tokens>", front="front", winner=1)
    assert made.count("<circle") == 4
    assert 'class="ring"' in made
    assert "trial 1: score 0.900, &lt;tokens&gt; 30" in made
    (line,) = re.findall(r'<polyline class="line" points="([^"]*)"', made)
    xs, ys = zip(*(map(float, pair.split(",")) for pair in line.split()), strict=True)
    assert list(xs) == sorted(xs)
    assert ys[1] < ys[0]  # a higher score stands higher


def test_progress_is_thinned_and_ends_at_the_last() -> None:
    """Thousands of trials give a few hundred points, the last of them among these."""
    count = 3000
    columns = {name: [0.5] * count for name in ("score", "best_score", "best_low", "best_high")}
    made = charts.progress(pd.DataFrame({"calls": range(1, count + 1), **columns}))
    assert 400 <= made.count("<circle") <= charts.MOST_POINTS
    right = max(float(x) for x in re.findall(r'cx="([0-9.]+)"', made))
    assert right > charts.WIDTH - charts.RIGHT - 40


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_one_point_is_drawn(value: float) -> None:
    """A single trial, and equal scores, need no range."""
    made = charts.scatter(points((0, value, value, True)), "cost", label="x", front="front", winner=0)
    assert "nan" not in made
    assert "inf" not in made


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low: float, span: float) -> None:
    """Between the ends, evenly apart, no more than asked for."""
    found = charts.ticks(low, low + span)
    assert len(found) <= 7
    assert all(low - span * 1e-3 <= tick <= low + span * 1.001 for tick in found)
    assert charts.ticks(3.0, 3.0) == [3.0]
