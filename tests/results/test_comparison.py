"""Comparing two prompts: the difference on common rows, what was won and lost, and what differs in the text."""

from __future__ import annotations

import zlib
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.results.comparison import COMPARED_COLUMNS
from tests.conftest import InProcessExecutor, failure, prompt_of
from tests.html_examples import HOSTILE, Page
from tests.results.examples import data, truth
from tests.results.examples import result as result  # a fixture


def scored(fake: InProcessExecutor, source: str, rows: int = 40, **settings: Any) -> Any:
    """An evaluation of a prompt that is right on every row with "care" in it, else on some."""
    fake.answer = truth
    return ps.evaluate(ps.Prompt(source=source), data(rows), model=fake.model(), executor=fake, **settings)


def test_winner_against_default_is_the_verdict(result: ps.Result) -> None:
    """The same rows, difference, interval and p as the study's own verdict."""
    found = ps.compare(result.evaluation(0), result)
    assert found.sealed
    for name in ("difference", "low", "high", "p", "rows", "won", "lost"):
        assert getattr(found.verdict, name) == pytest.approx(getattr(result.verdict, name))
    assert found.headline.startswith("<b>my study</b> is better than <b>my study</b>:0: 1.000 (")
    assert "optimistic" not in found.headline


def test_rows_won_and_lost(fake: InProcessExecutor) -> None:
    """One line a common row, the largest change first; outcomes agree with the scores."""
    first, second = scored(fake, "x {{ row.text }}"), scored(fake, "care {{ row.text }}")
    found = ps.compare(first, second)
    frame = found.rows_df()
    assert list(frame.columns) == list(COMPARED_COLUMNS)
    assert len(frame) == 40
    assert (frame["outcome"] == "won").sum() == found.verdict.won > 5
    assert (frame["outcome"] == "lost").sum() == found.verdict.lost == 0
    assert (frame["change"] == frame["second_score"] - frame["first_score"]).all()
    assert frame["change"].abs().is_monotonic_decreasing
    assert (found.names, len(found.changed(most=3))) == (("evaluation (first)", "evaluation (second)"), 3)
    assert "-x {{ row.text }}" in found.diff
    assert "+care {{ row.text }}" in repr(found)
    assert ps.compare(second, first).verdict == "worse"


def test_failed_request_is_no_loss(fake: InProcessExecutor) -> None:
    """A row that is missing has an outcome of its own and no part in the difference; a refused one is lost."""
    first = scored(fake, "care {{ row.text }}", 12)
    failures = {"number 3": failure(500, "busy", Retry_After="0"), "number 4": failure(400, "too long")}
    fake.answer = lambda body: next((it for text, it in failures.items() if text in prompt_of(body)), truth(body))
    second = ps.evaluate(ps.Prompt(source="care again {{ row.text }}"), data(12), model=fake.model(), executor=fake)
    found = ps.compare(first, second)
    assert found.rows_df().set_index("row")["outcome"].loc[[3, 4]].tolist() == ["failed", "lost"]
    assert (found.verdict.rows, found.verdict.lost, found.verdict.missing) == (11, 1, 1)
    assert found.headline == (
        "evaluation (second) is not shown to differ from evaluation (first): 0.909 (0.623 to 0.984) against 1.000 "
        "(0.741 to 1.000) on 11 rows, won 0, lost 1; difference -0.091 (-0.286 to +0.132), p = 1; 1 row without an "
        "answer left out; with this many rows a true difference of 0.62 would be detected with 80% power. Always "
        "answering “negative”, the most frequent label, scores 0.545 on these rows. "
        "8% of evaluation (second)'s requests failed (bad_request) and count as wrong. "
        "8% of evaluation (second)'s requests failed (server) and are missing."
    )


def test_rows_chosen_by_are_said_to_be_optimistic(result: ps.Result) -> None:
    """Without two common rows that no search saw, all common rows count, with a warning."""
    untested = next(t for t in result.trials_df()["trial"] if not result.test_score(t)[3])
    found = ps.compare(result.evaluation(untested), result)
    assert not found.sealed
    assert found.headline.endswith("the difference is optimistic.")
    assert set(found.choices_df()["choice"]) <= {"instruction", "cue"}


def test_what_cannot_be_compared_is_refused(fake: InProcessExecutor, result: ps.Result) -> None:
    """Other things, other rows, other data, another metric."""
    first = scored(fake, "x {{ row.text }}", 12)
    with pytest.raises(ps.InputError, match="compare takes results and evaluations, not str; give"):
        ps.compare(first, "best")  # type: ignore[arg-type]
    with pytest.raises(
        ps.InputError,
        match=r"needs at least 2 rows that both prompts were scored on, not 0; evaluate both on the same rows$",
    ):
        ps.compare(first, ps.evaluate(first.prompt, data(40), model=fake.model(), executor=fake, rows=range(20, 30)))
    turned = ps.Dataset(pd.DataFrame([{"text": row.text, "label": "other"} for row in data(12).rows]), target="label")
    other = ps.evaluate(ps.Prompt(source="{{ row.text }}"), turned, model=fake.model(), executor=fake, answer=ps.Text())
    with pytest.raises(ps.InputError, match="row 0 has the target 'negative' in the first and 'other' in the second"):
        ps.compare(first, other)
    by_f1 = scored(fake, "x {{ row.text }}", 12, metric=lambda answer, row: float(answer == row.target))
    with pytest.raises(ps.InputError, match=r"scores by exact and by .*lambda.* cannot be compared; rescore"):
        ps.compare(first, by_f1)
    with pytest.raises(ps.InputError, match="has no trial 99"):
        ps.compare(result, result.evaluation(99))


def test_hostile_comparison_is_harmless(fake: InProcessExecutor) -> None:
    """Prompts, answers and names are text in the notebook."""
    fake.answer = lambda body: HOSTILE if zlib.crc32(prompt_of(body).encode()) % 2 else "positive"
    pair = [
        ps.evaluate(
            ps.Prompt(source=f"{text}{{{{ row.text }}}}"), data(30), model=fake.model(), executor=fake, answer=ps.Text()
        )
        for text in (f"{{% raw %}}{HOSTILE}{{% endraw %}}", "plain")
    ]
    page = Page(ps.compare(*pair)._repr_html_())
    assert "script" not in page.tags
    assert "[brackets]" in repr(ps.compare(*pair))
