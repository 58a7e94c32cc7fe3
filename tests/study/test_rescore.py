"""Stored responses, read and scored again by other settings."""

from __future__ import annotations

import dataclasses
import json
from contextlib import closing
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused, StorageError, StudyError
from prompt_search.storage import schema
from prompt_search.storage.store import Store
from tests.conftest import InProcessExecutor, failure, prompt_of
from tests.storage.examples import ELSEWHERE
from tests.study.examples import DATA, SOURCE, study, truth


def test_rescoring_sends_nothing_and_changes_the_tables(fake: InProcessExecutor, storage: str) -> None:
    """Under another metric the same responses have other scores, estimates and verdict; the old study stays."""
    fake.answer = truth
    before = study(fake, storage).run(200)
    sent = fake.count

    def opposite(answer: Any, row: Any) -> bool:
        return bool(answer != row.target)

    after = study(fake, storage, metric=opposite).rescore()
    assert fake.count == sent
    assert after.name == "study rescored"
    old, new = (result.samples_df().set_index(["trial", "row", "split"]) for result in (before, after))
    pd.testing.assert_series_equal(new["score"], 1 - old["score"])
    pd.testing.assert_series_equal(new["response"], old["response"])
    assert after.best_trial == before.best_trial
    assert (before.verdict, after.verdict) == ("better", "worse")
    estimates = after.trials_df()["estimate"]
    assert estimates.notna().all()
    assert (estimates - before.trials_df()["estimate"]).abs().max() > 0.2
    assert " is now expected to be better (" in after.headline.splitlines()[1]
    assert after.headline.splitlines()[2] == (
        "The responses of study were scored by opposite instead of exact; no request was sent."
    )
    assert (after.test_uses, after.calls_df()["attempts"].sum()) == (1, 0)
    assert ps.open_result(storage, "study").headline == before.headline
    again = study(fake, storage, metric=opposite).rescore()
    assert repr(again).replace("study rescored@2", "study rescored") == repr(after)


def test_rescoring_as_before_changes_nothing(fake: InProcessExecutor, storage: str) -> None:
    """By the same metric and answer form trials, samples, estimates and effects are what they were."""
    fake.answer = truth
    before = study(fake, storage).run(200)
    after = study(fake, storage).rescore()
    for table in ("trials_df", "samples_df", "effects_df"):
        one, other = (getattr(result, table)().drop(columns="cached", errors="ignore") for result in (before, after))
        pd.testing.assert_frame_equal(one, other, rtol=1e-6)
    assert after.verdict == before.verdict
    assert after.verdict.p == before.verdict.p
    assert after.headline.splitlines()[2] == ("The responses of study were scored again by exact; no request was sent.")


def test_rescoring_with_another_answer_form(fake: InProcessExecutor, storage: str) -> None:
    """What one form could not read another one reads, without a request."""
    fake.answer = lambda body: f"I would say {truth(body)[:3]}"
    before = study(fake, storage).run(100)
    assert before.trials_df()["unparsed"].sum() == (before.samples_df()["split"] == "search").sum()
    read = ps.Regex(r"say (neg|pos)")
    sent = fake.count
    after = study(fake, storage, answer=read, metric=lambda answer, row: row.target.startswith(answer)).rescore()
    assert fake.count == sent
    assert after.trials_df()["unparsed"].sum() == 0
    assert after.trials_df()["score"].max() > 0.5


def test_rescoring_with_corrected_targets(fake: InProcessExecutor, storage: str) -> None:
    """Targets may be corrected; other rows are refused, with the row."""
    fake.answer = truth
    study(fake, storage).run(100)
    swapped = DATA.frame()
    swapped["label"] = swapped["label"].map({"negative": "positive", "positive": "negative"})
    after = study(fake, storage, data=ps.Dataset(swapped, target="label")).rescore()
    old, new = (result.samples_df()["score"] for result in (ps.open_result(storage, "study"), after))
    assert (new == 1 - old).all()
    other = DATA.frame()
    other["text"] = other["text"] + "!"
    with pytest.raises(StudyError, match=r"row \d+ differs from the row of the stored request; rescore"):
        study(fake, storage, data=ps.Dataset(other, target="label")).rescore()


def test_rescoring_refuses_another_study(fake: InProcessExecutor, storage: str) -> None:
    """Another template has other candidates, and a name that is not stored has none; neither leaves anything."""
    fake.answer = truth
    study(fake, storage).run(100)
    with pytest.raises(StudyError, match="cannot be rescored, because its candidates differ: template line 5 was"):
        study(fake, storage, template=ps.Template(SOURCE + "!")).rescore()
    with pytest.raises(StudyError, match="there is no study 'other'"):
        study(fake, storage).rescore("other")
    forms = ps.choice({"a": ps.Text(), "b": ps.Text(max_tokens=3), "c": ps.Text(max_tokens=4)})
    with pytest.raises(StudyError, match="had 1 answer forms, not 3; give one, or as many as that study had"):
        study(fake, storage, answer=forms).rescore()


def test_result_that_is_rescored_can_be_named(fake: InProcessExecutor, storage: str) -> None:
    """`NAME@1` rescores the first result; a study of the new name that was run itself is not replaced."""
    fake.answer = truth
    first = study(fake, storage).run(60)
    study(fake, storage).run(90)
    after = study(fake, storage).rescore("study@1")
    assert (after.name, after.verdict.p) == ("study@1 rescored", first.verdict.p)
    own = study(fake, storage, name="study rescored").run(60).headline
    with pytest.raises(StudyError) as caught:
        study(fake, storage).rescore()
    assert str(caught.value) == (
        "study 'study' cannot be rescored, because 'study rescored' is a study that was run itself; "
        "run 'study' under another name, which costs nothing, and rescore that"
    )
    assert ps.open_result(storage, "study rescored").headline == own


def test_rescored_result_stays_when_the_study_is_rescored_again(fake: InProcessExecutor, storage: str) -> None:
    """Another metric, or one that fails, adds a version; what was rescored before keeps its metric and its scores."""
    fake.answer = truth
    study(fake, storage).run(60)
    first = study(fake, storage, metric=ps.metrics.macro_f1).rescore()
    tables = first.samples_df(), first.calls_df()
    study(fake, storage).run(90)
    second = study(fake, storage, metric=ps.metrics.kappa).rescore()
    with pytest.raises(ps.InputError, match="raised ZeroDivisionError"):
        study(fake, storage, metric=lambda answer, row: 1 / 0).rescore()
    assert (first.name, second.name) == ("study rescored", "study rescored@2")
    assert ps.open_result(storage, "study rescored").headline == second.headline
    again = ps.open_result(storage, "study rescored@1")
    pd.testing.assert_frame_equal(again.samples_df(), tables[0])
    pd.testing.assert_frame_equal(again.calls_df(), tables[1])
    assert (again.identity["metric"], second.identity["metric"]) == ("MacroF1()", "Kappa()")


def test_one_process_at_a_time_rescores(fake: InProcessExecutor, storage: str) -> None:
    """While another process rescores the study it is refused, and says who does; then it takes its turn."""
    fake.answer = truth
    study(fake, storage).run(60)
    with closing(Store(storage)) as store:
        store.take_lease("study rescored", "other", ELSEWHERE, 60)
        with pytest.raises(
            StudyError, match=r"^study 'study rescored' in .* is being run by process 1 on far, at least"
        ):
            study(fake, storage).rescore()
        store.end_lease("other")
        assert study(fake, storage).rescore().name == "study rescored"
        with store.engine.connect() as connection:
            assert connection.execute(schema.leases.select()).all() == []


def test_rescoring_without_a_storage(fake: InProcessExecutor) -> None:
    """What a run kept in memory is rescored by the same study and by those made of it; nothing is sent."""
    fake.answer = truth
    made = study(fake)
    before = made.run(100)
    sent, headline, mirrored = fake.count, before.headline, before.optuna_study.trials
    same = made.rescore()
    assert same.samples_df()["score"].tolist() == before.samples_df()["score"].tolist()
    other = made.replace(metric=lambda answer, row: answer != row.target).rescore()
    assert (other.samples_df()["score"] == 1 - before.samples_df()["score"]).all()
    assert (fake.count, before.headline) == (sent, headline)
    assert [trial.value for trial in before.optuna_study.trials] == [trial.value for trial in mirrored]
    assert [trial.value for trial in other.optuna_study.trials] != [trial.value for trial in mirrored]
    with pytest.raises(StudyError, match="there is no study 'other' in sqlite://; stored: 'study', 'study rescored'"):
        made.rescore("other")
    assert made.rescore().finished


@pytest.mark.parametrize("storage", [None, "sqlite://", "sqlite:///:memory:"])
def test_rescoring_without_a_storage_before_a_run(fake: InProcessExecutor, storage: str | None) -> None:
    """That there is nothing in memory yet is said, with what to do."""
    with pytest.raises(StudyError) as caught:
        study(fake, storage).rescore()
    assert str(caught.value) == (
        "study 'study' has no storage, so only a run of this Study object can be rescored, and it has not run; "
        "call run() first, or give both studies storage="
    )


@pytest.mark.parametrize("calls", [0, 40])
def test_rescoring_refuses_an_unfinished_study(fake: InProcessExecutor, storage: str, calls: int) -> None:
    """A study without trials, or cut off, has no winner yet; nothing is written, and after its end it is rescored."""
    fake.answer, fake.fail_after = truth, calls
    with pytest.raises(RequestRefused):
        study(fake, storage).run(100)
    with pytest.raises(StudyError) as caught:
        study(fake, storage).rescore()
    assert str(caught.value) == (
        "study 'study' cannot be rescored, because it is unfinished; run it again to resume, then rescore it"
    )
    assert [record.study for record in Store(storage).studies()] == ["study"]
    fake.fail_after = None
    study(fake, storage).run(100)
    assert study(fake, storage).rescore().finished


@pytest.mark.parametrize("prompt", [{}, {"source": 3}, {"source": "x", "model": "another"}])
def test_rescoring_tells_a_trial_that_cannot_be_read(
    fake: InProcessExecutor, storage: str, prompt: dict[str, Any]
) -> None:
    """A stored prompt that is none is one line with the remedy."""
    fake.answer = truth
    study(fake, storage).run(100)
    store = Store(storage)
    trial = dataclasses.replace(store.trials(store.study("study").version)[1], prompt=prompt)
    with store.engine.begin() as connection:
        update = schema.trials.update().where(schema.trials.c.trial == 1)
        connection.execute(update.values(record=json.dumps(dataclasses.asdict(trial))))
    with pytest.raises(
        StorageError, match=r"^trial 1 of study 'study' cannot be read: [^\n]*; restore the storage, or"
    ):
        study(fake, storage).rescore()


def test_rescoring_needs_no_model(fake: InProcessExecutor, storage: str) -> None:
    """Whichever single model the study names, the stored responses are read, and told as of the model they are of."""
    before = study(fake, storage).run(60)

    after = study(fake, storage, model="some-other-model").rescore()

    assert after.summary["model"] == before.summary["model"] == before.best.model
    assert after.best == before.best
    assert after.trials_df()["score"].tolist() == before.trials_df()["score"].tolist()


def test_rescoring_needs_no_price(fake: InProcessExecutor, storage: str) -> None:
    """A study with a budget in dollars is rescored, by a study whose model has a price or none."""
    price = ps.Price(prompt=1.0, completion=1.0)
    before = study(fake, storage, model=fake.model(price=price)).run(ps.Budget(calls=60, usd=1.0))

    for model in (fake.model(price=price), fake.model()):
        after = study(fake, storage, model=model).rescore()

        assert after.trials_df()["score"].tolist() == before.trials_df()["score"].tolist()


def test_rescoring_keeps_failed_requests(fake: InProcessExecutor, storage: str) -> None:
    """What failed by the prompt's fault scores 0 by any metric."""
    fake.answer = lambda body: failure(400, "too long") if "number 1" in prompt_of(body) else truth(body)
    before = study(fake, storage).run(150)
    after = study(fake, storage, metric=lambda answer, row: 1.0).rescore()
    assert before.trials_df()["errors"].sum() > 0
    assert after.samples_df()["error"].tolist() == before.samples_df()["error"].tolist()
    samples = after.samples_df()
    assert set(samples["score"][samples["error"].notna()]) == {0.0}
    assert set(samples["score"][samples["error"].isna()]) == {1.0}
