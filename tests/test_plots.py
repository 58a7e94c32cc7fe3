"""The plotly figures: they show what the tables say, and texts from outside are no HTML."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search import plots
from tests.results.examples import HOSTILE, data
from tests.results.examples import result as result  # a fixture

FIGURES: dict[str, Callable[[ps.Result], Any]] = {
    "progress": plots.plot_progress,
    "effects": plots.plot_effects,
    "pareto": plots.plot_pareto,
    "confusion": plots.plot_confusion,
    "slices": lambda result: plots.plot_slices(result, data(), "label"),
    "difficulty": plots.plot_difficulty,
    "budget": plots.plot_budget,
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_holds_no_html(result: ps.Result, name: str) -> None:
    """Each figure has something to show, and no tag of a prompt in it."""
    figure = FIGURES[name](result)
    text = json.dumps(figure.to_plotly_json(), default=str)
    assert figure.data
    assert "<script" not in text
    assert "<b>" not in text


def test_figures_show_the_tables(result: ps.Result) -> None:
    """Points, intervals, counts and scores are those of the frames."""
    effects, figure = result.effects_df().iloc[::-1], plots.plot_effects(result)
    assert list(figure.data[0].x) == effects["effect"].tolist()
    assert list(figure.data[0].error_x.array) == pytest.approx(effects["effect_high"] - effects["effect"])
    assert any("&lt;script&gt;" in text for text in figure.data[0].y)
    assert HOSTILE[1] not in figure.data[0].y
    confusion = plots.plot_confusion(result).data[0]
    assert confusion.z.tolist() == result.confusion_df().to_numpy().tolist()
    progress = plots.plot_progress(result)
    assert list(progress.data[-1].y) == result.progress_df()["best_score"].tolist()
    assert list(plots.plot_budget(result).data[0].y) == [result.summary["calls"]]
    assert plots.plot_budget(result).data[0].text == ("price unknown",)
    difficulty = plots.plot_difficulty(result, [result.best_trial, 0])
    pd.testing.assert_frame_equal(
        pd.DataFrame(difficulty.data[0].z), pd.DataFrame(result.difficulty_df([result.best_trial, 0]).to_numpy())
    )
    front = plots.plot_pareto(result).data[1]
    assert len(front.x) == result.pareto_df()["front_tokens"].sum()
    one = plots.plot_slices(result, data(), "label", trial=0)
    assert [text[-9:] for text in one.data[0].y] == ["(trial 0)"] * 2


def test_unknown_cost_is_refused(result: ps.Result) -> None:
    """Only what is known of a trial is a cost."""
    with pytest.raises(ps.InputError, match="plotted against prompt_tokens, usd_per_1000_rows, latency_s, got 'age'"):
        plots.plot_pareto(result, "age")  # type: ignore[arg-type]


def test_missing_plotly_names_the_extra(result: ps.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plotly the message says how to get it."""
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ps.InputError, match=r"a figure needs the package 'plotly'.*prompt_search\[report\]"):
        plots.plot_effects(result)
