"""A prompt held against the score that it has to reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.evaluation.one_prompt.guard import Guard
from prompt_search.testing import assert_score
from tests.conftest import InProcessExecutor, failure, prompt_of

PROMPT = ps.Prompt(source="{{ row.text }}", answer=ps.Label(["good", "bad"]).to_dict(), model="fake")
ROWS = pd.DataFrame(
    {"text": ["nice", "awful", "odd", "strange", "long"], "label": ["good", "bad", "good", "bad", "bad"]}
)
DATA = ps.Dataset(ROWS, target="label")


def opinion(body: Any) -> Any:
    """An answer by the text of the row."""
    answers = {"nice": "good", "awful": "bad", "odd": "bad", "long": failure(400, "the prompt is too long")}
    return answers.get(prompt_of(body), "who knows")


def guard(scores: list[float], rows: int, at_least: float | None) -> Guard:
    found = ps.Evaluation(prompt=PROMPT, scores=scores, errors=rows - len(scores), unparsed=0, read=pd.DataFrame)
    return Guard(evaluation=found, at_least=at_least, rows=rows)


def test_assertion_names_score_interval_and_failing_rows(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A prompt below the score fails with the numbers and three rows; at or above it, its evaluation is returned."""
    fake.answer = opinion
    with pytest.raises(AssertionError) as failed:
        assert_score(PROMPT, DATA, at_least=0.8, model=fake.model(), executor=fake)
    head, *rows = str(failed.value).split("\n  ")
    assert head == (
        "score 0.400 (metric exact, 95% interval 0.12 to 0.77) on 5 rows, below 0.8; unparsed 1, failed requests 1, "
        "rows without a score 0"
    )
    assert rows[0].startswith("row 4: target 'bad', request failed: context_length: ")
    assert rows[1:] == ["row 2: target 'good', answer 'bad'", "row 3: target 'bad', no answer in 'who knows'"]
    found = assert_score(
        PROMPT.export(tmp_path / "best.json"), DATA, at_least=0.4, model=fake.model(), executor=fake, rows=range(5)
    )
    assert found.score == 0.4


def test_wrong_arguments_are_no_failed_guard(fake: InProcessExecutor) -> None:
    """What the user got wrong, and a server that refuses, are errors of their own."""
    with pytest.raises(ps.InputError, match="names no model"):
        assert_score(ps.Prompt(source="{{ row.text }}"), DATA, at_least=0.5)
    fake.fail_after = 0
    with pytest.raises(ps.RequestRefused, match="revoked"):
        assert_score(PROMPT, DATA, at_least=0.5, model=fake.model(), executor=fake)


@pytest.mark.parametrize(
    ("scores", "rows", "at_least", "outcome"),
    [
        ([1, 1, 1, 1, 0], 5, 0.8, "reached"),
        ([1, 1, 1, 0, 0], 5, 0.8, "below"),
        ([1, 1, 1, 1], 5, 0.8, "reached"),
        ([1, 1, 1], 5, 0.8, "unknown"),
        ([1, 0, 0], 5, 0.8, "below"),
        ([0.1] * 3, 3, 0.1, "reached"),
        ([], 5, 0.0, "unknown"),
        ([], 5, None, "unknown"),
        ([0], 5, None, "reached"),
    ],
)
def test_lost_rows_neither_pass_nor_fail(scores: list[float], rows: int, at_least: float | None, outcome: str) -> None:
    """Rows without a score decide nothing: where they would, the outcome is unknown."""
    assert guard(scores, rows, at_least).outcome == outcome


@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=9),
    kept=st.integers(1, 9),
    limit=st.floats(0, 1),
)
def test_outcome_holds_whatever_the_lost_rows_were(scores: list[float], kept: int, limit: float) -> None:
    """An outcome that is known with some rows is the outcome with all of them."""
    part = guard(scores[:kept], len(scores), limit).outcome
    assert part in ("unknown", guard(scores, len(scores), limit).outcome)


def test_guard_takes_the_metric_of_the_prompt(fake: InProcessExecutor, tmp_path: Path) -> None:
    """An exported prompt is held against the metric that its study had, and a percentage is refused."""
    fake.answer = "probably good"
    held = replace(PROMPT, answer=ps.Text().to_dict(), metric={"kind": "includes"}).export(tmp_path / "best.json")
    found = assert_score(held, DATA, at_least=0.4, model=fake.model(), executor=fake)
    assert (found.metric, found.score) == ("includes", 0.4)
    with pytest.raises(ps.InputError, match="at_least 40 is no score of the metric includes, whose scores are 0 to 1"):
        assert_score(held, DATA, at_least=40, model=fake.model(), executor=fake)
