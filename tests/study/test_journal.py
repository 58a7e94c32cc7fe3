"""The journal of decisions: a study that is resumed elsewhere goes on as it went."""

from __future__ import annotations

import json

import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused, StorageError
from prompt_search.search.deciding.decisions import Decision
from prompt_search.search.estimates import Estimates
from prompt_search.storage.records import Version
from prompt_search.storage.store import Store
from prompt_search.study.journal import StoredJournal
from tests.conftest import InProcessExecutor
from tests.study.examples import study, truth

BUDGET = 150


def otherwise(self: Estimates) -> dict[int, float]:
    """Estimates that rank all trials the other way round: another processor differs by less."""
    return {trial.number: float(trial.number) for trial in self._trials.all}


def sent(fake: InProcessExecutor) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in fake.bodies)


@pytest.fixture
def whole() -> tuple[ps.Result, list[str]]:
    """A study that ran through, and the requests that it sent."""
    fake = InProcessExecutor()
    fake.answer = truth
    return study(fake).run(BUDGET), sent(fake)


@pytest.mark.parametrize("missing", [1, 20])
def test_study_resumed_elsewhere_takes_the_same_course(
    fake: InProcessExecutor,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
    whole: tuple[ps.Result, list[str]],
    missing: int,
) -> None:
    """Interrupted near its end and resumed where all numbers come out otherwise, a study sends the requests that it
    would have sent, and has the same trials, scores, winner and verdict."""
    expected, requests = whole
    fake.answer = truth
    fake.fail_after = len(requests) - missing
    with pytest.raises(RequestRefused):
        study(fake, storage, max_concurrency=1).run(BUDGET)
    del fake.bodies[fake.fail_after :]
    fake.fail_after = None
    monkeypatch.setattr(Estimates, "means", otherwise)
    result = study(fake, storage).run(BUDGET)
    assert sent(fake) == requests
    assert (result.best_trial, result.verdict) == (expected.best_trial, expected.verdict)
    columns = ["trial", "state", "reason", "rows", "score"]
    assert result.trials_df()[columns].to_csv() == expected.trials_df()[columns].to_csv()


def test_study_interrupted_early_wastes_no_response(
    fake: InProcessExecutor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed elsewhere, a study goes on from where it was: every response that was paid for is in its tables, and
    there is a verdict within the budget."""
    fake.answer = truth
    fake.fail_after = 70
    with pytest.raises(RequestRefused):
        study(fake, storage, max_concurrency=1).run(BUDGET)
    del fake.bodies[fake.fail_after :]
    fake.fail_after = None
    monkeypatch.setattr(Estimates, "means", otherwise)
    result = study(fake, storage).run(BUDGET)
    assert fake.count == result.summary["calls"] <= BUDGET
    assert len(result.samples_df()) == fake.count
    assert result.verdict.rows >= 2


def test_budget_in_tokens_takes_the_same_course(fake: InProcessExecutor, storage: str) -> None:
    """Under a budget in tokens the length of a search depends on what requests can use at most: an interrupted study
    knows it from its stored responses, so it ends as the one that ran through."""
    budget = ps.Budget(tokens=2_100)
    fake.answer = truth
    expected, requests = study(fake).run(budget), sent(fake)
    del fake.bodies[:]
    fake.fail_after = len(requests) - 10
    with pytest.raises(RequestRefused):
        study(fake, storage, max_concurrency=1).run(budget)
    del fake.bodies[fake.fail_after :]
    fake.fail_after = None
    result = study(fake, storage).run(budget)
    assert sent(fake) == requests
    assert (result.best_trial, result.verdict) == (expected.best_trial, expected.verdict)


def test_decision_of_another_stage_is_not_taken(storage: str) -> None:
    """Where a resumed race is at another stage than the one that was written down, it decides anew from there on."""
    versions, rounds = Store(storage).versions, [Decision(stage="round", leader=number) for number in range(3)]
    version = versions.open("study", {}, None)
    journal = StoredJournal(versions, version, lambda: False)
    assert [journal.settled(each) for each in rounds] == rounds
    resumed = StoredJournal(versions, version, lambda: False)
    finals = Decision(stage="finals", leader=7)
    other = [resumed.settled(each) for each in (Decision(stage="round", leader=9), finals, finals)]
    assert other == [rounds[0], finals, finals]
    assert len(versions.decisions(version)) == 3


def test_decisions_belong_to_the_settings(fake: InProcessExecutor, storage: str) -> None:
    """Decisions are kept for the line that made them; another line, and requests that are sent again, decide anew."""
    fake.answer = truth
    fake.fail_after = 70
    with pytest.raises(RequestRefused):
        study(fake, storage).run(BUDGET)
    first = Version(study="study")
    store = Store(storage)
    settings = {"budget": {"calls": BUDGET}, "test": True}
    count = len(store.versions.decisions(first))
    assert count > 1
    store.open_version("study", settings)
    assert len(store.versions.decisions(first)) == count
    store.open_version("study", settings, keep_decisions=False)
    assert store.versions.decisions(first) == []
    store.versions.save_decision(first, 0, "{}")
    store.open_version("study", {**settings, "test": False})
    assert store.versions.decisions(first) == []


@pytest.mark.parametrize("record", ['{"stage": "round", "picked": [99]}', '{"entered": 1}', "{"])
def test_damaged_decision_is_named(fake: InProcessExecutor, storage: str, record: str) -> None:
    """A decision that cannot be read, or that is not one on these trials, is one line with the remedy."""
    fake.answer = truth
    fake.fail_after = 70
    with pytest.raises(RequestRefused):
        study(fake, storage).run(BUDGET)
    fake.fail_after = None
    store = Store(storage)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE prompt_search_decisions SET record = ? WHERE number = 1", (record,))
    with pytest.raises(StorageError, match=r"^a decision of .* cannot be read: [^\n]*; restore the storage"):
        study(fake, storage).run(BUDGET)
