"""A metric that varies does not change a study whose line is run again: scores are stored like responses."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.budget.ledger import Ledger
from prompt_search.evaluation import kept_scores
from prompt_search.metrics import Score
from prompt_search.study import run as study_run
from prompt_search.testing import InProcessExecutor
from tests.study.examples import assert_equal_results, study, truth


def moody(generator: random.Random) -> Callable[[Any, Any], Score]:
    """A metric that gives another score every time, as a judge or a clock may."""

    def mood(answer: Any, row: Any) -> Score:
        right = 0.5 if answer == row.target else 0.0
        return Score(right + generator.random() / 2, f"mood {generator.random()}", margin=generator.random())

    return mood


def test_finished_study_is_the_same_however_often_it_is_run(fake: InProcessExecutor, storage: str) -> None:
    """Run four times with a metric that varies, a study keeps winner, scores, verdict and openings."""
    fake.answer = truth
    results = [study(fake, storage, metric=moody(random.Random(seed))).run(200) for seed in range(4)]
    for again in results[1:]:
        assert_equal_results(results[0], again)
    assert results[0].test_uses == 1


def test_interrupted_study_goes_on_with_its_scores(fake: InProcessExecutor, storage: str) -> None:
    """A study that was stopped midway asks the metric for no score that it has, so that it takes the same course."""
    fake.answer = truth
    generator = random.Random(0)
    fake.fail_after = 80
    with pytest.raises(ps.RunError):
        study(fake, storage, metric=moody(generator)).run(200)
    before = {row.key: row for row in stored_scores(storage)}
    assert before
    fake.fail_after = None
    study(fake, storage, metric=moody(random.Random(1))).run(200)
    after = {row.key: row for row in stored_scores(storage)}
    assert {key: after[key] for key in before} == before
    assert len(after) > len(before)


def test_equal_answers_to_a_row_are_scored_once(fake: InProcessExecutor, storage: str) -> None:
    """A metric costs time or money, and an answer to a row has one score whichever prompt got it."""
    fake.answer = truth
    asked: list[tuple[Any, Any]] = []

    def counting(answer: Any, row: Any) -> float:
        asked.append((answer, row))
        return float(answer == row.target)

    study(fake, storage, metric=counting).run(200)
    assert 0 < len(asked) == len(set(asked))


def test_fresh_study_and_rescoring_ask_the_metric_anew(fake: InProcessExecutor, storage: str) -> None:
    """Scores are computed again where a user asks for that: by rescore, and by a fresh run."""
    fake.answer = truth

    def scored(result: ps.Result) -> list[float]:
        return result.samples_df()["score"].tolist()

    first = scored(study(fake, storage, metric=moody(random.Random(0))).run(150))
    rescored = scored(study(fake, storage, metric=moody(random.Random(1))).rescore("study"))
    fresh = scored(study(fake, storage, metric=moody(random.Random(2))).run(150, fresh=True))
    assert len(first) == len(rescored)
    assert len({first[0], rescored[0], fresh[0]}) == 3


def test_metric_of_this_package_is_not_stored(fake: InProcessExecutor, storage: str) -> None:
    """What always gives the same score is computed again, which takes less time than reading it."""
    fake.answer = truth
    study(fake, storage).run(100)
    assert stored_scores(storage) == []


def stored_scores(storage: str) -> list[Any]:
    """The stored scores of the study."""
    store = ps.open_result(storage, "study")._store
    return list(store.scores.of_study("study").values())


def test_preflight_names_a_metric_that_varies(fake: InProcessExecutor) -> None:
    """Requests that are sent twice show whether the metric gives an answer the same score twice."""
    fake.answer = truth
    found = study(fake, metric=moody(random.Random(0))).preflight(ps.Budget(calls=900))
    (remark,) = [line for line in found.advice if line.startswith("The metric mood gave another score")]
    assert re.fullmatch(
        r"The metric mood gave another score for the same answer to the same row in (\d) of \1 cases "
        r"\([\d.]+, then [\d.]+\)\. A study keeps the first score of an answer; such chance is part of every "
        r"difference between prompts\.",
        remark,
    )
    steady = study(fake, metric=lambda answer, row: answer == row.target).preflight(ps.Budget(calls=900))
    assert not any("another score" in line for line in steady.advice)


def test_metric_that_never_ends_is_ended_by_the_time(
    fake: InProcessExecutor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric that waits for ever ends with the seconds of the budget; what was answered is stored and paid once."""
    fake.answer = truth
    monkeypatch.setattr(kept_scores, "METRIC_S", 0.1)
    seconds_passed = [0.0]  # only the metric lets time pass, however busy the machine is
    monkeypatch.setattr(study_run, "Ledger", partial(Ledger, clock=lambda: seconds_passed[-1]))

    async def waiting(answer: Any, row: Any) -> float:
        if row["text"].endswith("7"):
            seconds_passed.append(1.0)
            await asyncio.sleep(3600)
        return float(answer == row.target)

    result = study(fake, storage, metric=waiting).run(ps.Budget(calls=200, seconds=1))
    assert 0 < len(result.samples_df()) < fake.count == len(result.calls_df())
    assert result.headline.splitlines()[0].endswith("left too little for the test rows; give more seconds.")
