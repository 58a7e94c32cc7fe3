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
from tests.conftest import InProcessExecutor, prompt_of
from tests.results.examples import HOSTILE, data, study
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
    assert list(plots.plot_budget(result).data[0].x) == [result.summary["calls"]]
    assert plots.plot_budget(result).data[0].text == (f"{result.summary['calls']} calls, price unknown",)
    difficulty = plots.plot_difficulty(result, [result.best_trial, 0])
    pd.testing.assert_frame_equal(
        pd.DataFrame(difficulty.data[0].z), pd.DataFrame(result.difficulty_df([result.best_trial, 0]).to_numpy())
    )
    front = plots.plot_pareto(result).data[1]
    assert len(front.x) == result.pareto_df()["front_tokens"].sum()
    one = plots.plot_slices(result, data(), "label", trial=0)
    assert [text[-9:] for text in one.data[0].y] == ["(trial 0)"] * 2


def test_effects_that_are_shown_are_coloured(result: ps.Result) -> None:
    """Every option is named on a line of its own; those that are shown to matter are drawn once more in colour."""
    effects, figure = result.effects_df(), plots.plot_effects(result)
    shown = effects[effects["p"] < 0.05]
    assert 0 < len(shown) < len(effects)
    assert len(set(figure.data[0].y)) == len(effects)
    assert (figure.layout.yaxis.dtick, figure.data[0].marker.color) == (1, plots.GREY)
    assert sorted(figure.data[1].x) == pytest.approx(sorted(shown["effect"]))
    assert figure.data[1].marker.color == plots.BLUE
    assert plots.plot_effects(result, most=1).layout.title.text.endswith(f"(1 of {len(effects)} options)")


@pytest.mark.parametrize("name", FIGURES)
def test_figure_has_a_title_and_no_background(result: ps.Result, name: str) -> None:
    """A figure says what it shows, and takes the colour of the page."""
    layout = FIGURES[name](result).layout
    assert layout.title.text
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_dollars_are_no_formulas_and_equal_names_are_apart() -> None:
    """What stands between two dollar signs is not typeset, quotes stay as they are, which plotly does not unescape,
    and options with the same beginning have two lines."""
    assert plots._texts(["$x$ <b>", '"it\'s"']) == ["&#36;x&#36; &lt;b&gt;", '"it\'s"']
    assert plots._apart(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]


def test_answers_that_are_no_labels_have_no_confusion(fake: InProcessExecutor) -> None:
    """Free texts are not counted by label."""
    fake.answer = lambda body: prompt_of(body)[-9:]
    rows = [{"text": f"thing {number}", "title": f"Thing {number}"} for number in range(60)]
    result = study(fake, data=ps.Dataset(rows, target="title"), answer=ps.Text()).run(60)
    with pytest.raises(ps.StudyError, match="are no labels, by which answers could be counted"):
        plots.plot_confusion(result)


def test_unknown_cost_is_refused(result: ps.Result) -> None:
    """Only what is known of a trial is a cost."""
    with pytest.raises(ps.InputError, match="plotted against prompt_tokens, usd_per_1000_rows, latency_s, got 'age'"):
        plots.plot_pareto(result, "age")  # type: ignore[arg-type]


def test_missing_plotly_names_the_extra(result: ps.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plotly the message says how to get it."""
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ps.InputError, match=r"a figure needs the package 'plotly'.*prompt_search\[report\]"):
        plots.plot_effects(result)


def test_effects_of_a_study_without_any_are_an_empty_figure() -> None:
    """A study in which no option was seen in several trials has no effects, and nothing to mark."""

    class Without:
        weighs_costs = False

        def effects_df(self) -> pd.DataFrame:
            return pd.DataFrame(columns=["choice", "option", "effect", "effect_low", "effect_high", "p", "trials"])

    figure = plots.plot_effects(Without())  # type: ignore[arg-type]
    assert [len(trace.y) for trace in figure.data] == [0, 0]
