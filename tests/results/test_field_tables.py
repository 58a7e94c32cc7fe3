"""The table of the fields of JSON answers."""

from __future__ import annotations

import json

import pytest

import prompt_search as ps
from prompt_search.metrics import stored_metric
from prompt_search.testing import Body, InProcessExecutor, prompt_of

ROWS = [{"text": f"number {i}", "found": {"number": i, "even": i % 2 == 0, "note": None}} for i in range(40)]


def answer(body: Body) -> str:
    """One instruction is answered rightly; the other with a wrong number, an extra note, nothing for ``even``, or
    something that is no JSON."""
    prompt = prompt_of(body)
    number = int(prompt.split()[-1])
    if "care" in prompt:
        return json.dumps({"number": number, "even": number % 2 == 0})
    return json.dumps({"number": number + 1, "note": "?"}) if number % 4 else "I do not know."


@pytest.fixture(scope="module")
def result() -> ps.Result:
    """A finished study of extractions."""
    executor = InProcessExecutor(answer)
    study = ps.Study(
        template="{{ choice('instruction', ['Extract.', 'Extract with care.']) }} {{ row.text }}",
        data=ROWS,
        target="found",
        model=executor.model(),
        executor=executor,
        answer=ps.Json({"type": "object"}),
        metric=ps.metrics.Fields(tolerance=0.5),
    )
    return study.run(120)


def test_fields_are_counted_for_default_and_winner(result: ps.Result) -> None:
    """An answer that cannot be read has no right field."""
    frame = result.fields_df()
    rows = result.test_score(0).rows
    assert list(frame["field"].unique()) == ["number", "even", "note"]
    assert frame["trial"].tolist() == [0, 1] * 3
    winner = frame[frame["trial"] == result.best_trial]
    assert winner["right"].tolist() == winner["rows"].tolist() == [rows] * 3
    default = frame[frame["trial"] == 0].set_index("field")
    unreadable = int(result.trial_samples(0)["unparsed"].sum())
    assert 0 < unreadable < rows
    assert default["right"].tolist() == [0, 0, 0]
    assert default["wrong"].tolist() == [rows, unreadable, unreadable]
    assert default["missing"].tolist() == [0, rows - unreadable, 0]
    assert default["extra"].tolist() == [0, 0, rows - unreadable]
    assert (default["share"] == 0).all()


def test_score_is_the_mean_share(result: ps.Result) -> None:
    """Where all rows have the same fields, the shares' mean is the score."""
    for trial in (0, result.best_trial):
        frame = result.fields_df(trial)
        assert frame["share"].mean() == pytest.approx(result.test_score(trial).mean)


def test_fields_are_compared_as_the_study_s_metric_does(result: ps.Result) -> None:
    """Its settings come from the storage."""
    assert result.identity["metric"].startswith("Fields(")
    close = stored_metric(str(result.identity["metric"]))
    assert close == ps.metrics.Fields(tolerance=0.5)
