"""Results as versions: what has ended stays as it is, whatever runs later."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.errors import InputError, RequestRefused, RunError, StudyError
from prompt_search.storage.records import Version
from prompt_search.storage.store import Store
from prompt_search.testing import failure
from tests.conftest import InProcessExecutor, prompt_of
from tests.profiles import examples
from tests.storage.examples import sample, summary, trial
from tests.study.examples import assert_equal_results, study, truth


def test_calls_that_were_not_used_have_a_reason(fake: InProcessExecutor, storage: str) -> None:
    """A larger budget that ends with calls left says what they were for; few that are left are not told."""
    fake.answer = truth
    first, second, third = (study(fake, storage).run(calls) for calls in (60, 200, 1000))
    told = [result.spent.partition("candidates were tried.")[2] for result in (first, second, third)]
    assert told == [
        "",
        (
            f" {second.summary['unused']['test']} calls that were kept for the test were not needed, because its "
            "prompts were tested before, or were fewer than there might have been."
        ),
        (
            f" {third.summary['unused']['search']} calls of the search were left, because its finalists had been "
            "scored on all search rows."
        ),
    ]
    assert third.summary["calls"] + sum(third.summary["unused"].values()) == 1000


def refused(fake: InProcessExecutor, storage: str) -> ps.Result:
    """A run with a larger budget whose server answers nothing any more."""
    fake.fail_after = 0
    try:
        return study(fake, storage).run(150)
    finally:
        fake.fail_after = None


def interrupted(fake: InProcessExecutor, storage: str) -> ps.Result:
    """A run with a larger budget that ends after some answers."""
    fake.fail_after = fake.count + 7
    try:
        return study(fake, storage).run(170)
    finally:
        fake.fail_after = None


RUNS: dict[str, Callable[[InProcessExecutor, str], ps.Result]] = {
    "60": lambda fake, storage: study(fake, storage).run(60),
    "90": lambda fake, storage: study(fake, storage).run(90),
    "20": lambda fake, storage: study(fake, storage).run(20),
    "three trials": lambda fake, storage: study(fake, storage).run(60, n_trials=3),
    "no test": lambda fake, storage: study(fake, storage).run(60, test=False),
    "refused": refused,
    "interrupted": interrupted,
}
"""What may be run one after the other under one name."""


def shown(result: ps.Result) -> tuple[Any, ...]:
    """All that is shown of a result, as text."""
    names = ("trials_df", "samples_df", "effects_df", "ranking", "calls_df", "ledger_df")
    tables = [getattr(result, name)() for name in names]
    return repr(result), *(table.to_csv() for table in tables)


def finished(storage: str) -> dict[int, tuple[Any, ...]]:
    """All that is shown of each finished version of the study, by its number."""
    store = Store(storage)
    versions = [each.version for each in store.versions.of_study("study") if each.summary_text]
    found = {version.number: shown(ps.Result(store, "study", version.number)) for version in versions}
    store.close()
    return found


def test_calls_that_failed_stay_as_they_were(fake: InProcessExecutor, storage: str) -> None:
    """A later run sends requests again that had failed; the first result keeps their failures."""
    busy = failure(500, "busy", Retry_After="0")
    fake.answer = lambda body: busy if zlib.crc32(prompt_of(body).encode()) % 9 == 0 else truth(body)
    study(fake, storage).run(90)
    before = finished(storage)
    fake.answer = truth
    study(fake, storage).run(150, retry_errors=True)
    assert finished(storage)[1] == before[1]
    failed, answered = (ps.open_result(storage, f"study@{number}").calls_df() for number in (1, 2))
    assert set(failed.dropna(subset=["error"])["key"]) & set(answered[answered["error"].isna()]["key"])


@settings(max_examples=examples(4))
@given(runs=st.lists(st.sampled_from(sorted(RUNS)), min_size=3, max_size=3))
def test_finished_results_stay_byte_for_byte(runs: list[str]) -> None:
    """Whatever runs later under the same name, failed and interrupted runs included, what had ended is as it was."""
    fake = InProcessExecutor()
    fake.answer = truth
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/study.db"
        before: dict[int, tuple[Any, ...]] = {}
        for run in runs:
            with suppress(RequestRefused, InputError):
                RUNS[run](fake, storage)
            after = finished(storage)
            assert {number: after[number] for number in before} == before
            before = after


def test_same_line_reads_its_result(fake: InProcessExecutor, storage: str) -> None:
    """Each line of settings has its own result, which the line gives again without a request and without a new
    version; another one comes under the name with its number."""
    fake.answer = truth
    first = study(fake, storage).run(60)
    second = study(fake, storage).run(60, n_trials=3)
    third = study(fake, storage).run(90)
    sent = fake.count
    assert [result.name for result in (first, second, third)] == ["study", "study@2", "study@3"]
    assert third.headline.startswith("study@3: ")
    for again, result in ((study(fake, storage).run(60), first), (study(fake, storage).run(60, n_trials=3), second)):
        assert again.version == result.version
        assert_equal_results(again, result)
    assert fake.count == sent
    assert study(fake, storage).run(60, retry_errors=True).version == 1  # no request has failed
    assert len(Store(storage).versions.of_study("study")) == 3


def test_results_are_found_by_version(fake: InProcessExecutor, storage: str) -> None:
    """The study's name opens the last finished result, and `@1` the first; one that is not there is named."""
    fake.answer = truth
    for budget in (60, 90):
        study(fake, storage).run(budget)
    with pytest.raises(RequestRefused):
        interrupted(fake, storage)
    opened = [ps.open_result(storage, name) for name in ("study", "study@1", "study@2", "study@3")]
    assert [(result.version, result.finished) for result in opened] == [(2, True), (1, True), (2, True), (3, False)]
    assert [result.reference for result in opened] == ["study@2", "study@1", "study@2", "study@3"]
    assert {result.study for result in opened} == {"study"}
    with pytest.raises(StudyError) as caught:
        ps.open_result(storage, "study@9")
    assert str(caught.value) == "study 'study' has no version 9; stored: study@1, study@2, study@3"


def test_larger_budget_goes_on_from_what_was_found(fake: InProcessExecutor, storage: str) -> None:
    """Every prompt of the first result is in the second with at least the rows that it was scored on, and every answer
    that the search paid for is in its tables."""
    fake.answer = truth
    first, second = (study(fake, storage).run(budget) for budget in (90, 150))
    before, after = (
        {
            tuple(result.choices(trial).items()): set(samples.loc[samples["trial"] == trial, "row"])
            for samples in [result.samples_df().query("split == 'search'")]
            for trial in result.trials_df()["trial"].tolist()
        }
        for result in (first, second)
    )
    assert all(rows <= after[choices] for choices, rows in before.items())
    assert len(after) > len(before)
    assert second.summary["calls"] == fake.count <= 150


def test_commands_name_the_result_that_is_shown(fake: InProcessExecutor, storage: str) -> None:
    """The first result is named with its number once the name alone opens a later one."""
    fake.answer = truth
    first = study(fake, storage).run(60)
    assert first.reference == "study"
    second = study(fake, storage).run(90)
    assert [each.reference for each in (first, second)] == ["study@1", "study@2"]


def test_study_cannot_have_the_name_of_a_result(fake: InProcessExecutor, storage: str) -> None:
    """A name such as `study@2` would be two results; it is refused before any request."""
    with pytest.raises(StudyError) as caught:
        study(fake, storage, name="study@2").run(60)
    assert str(caught.value) == (
        "the study cannot be named 'study@2', which names result 2 of a study 'study'; give it another name"
    )
    assert fake.count == 0


def test_failed_start_leaves_no_result(fake: InProcessExecutor, storage: str) -> None:
    """A run that fails before its first answer is no result, and after one that failed later the study's name still
    opens what had ended."""
    fake.answer = truth
    with pytest.raises(RequestRefused):
        refused(fake, storage)
    assert Store(storage).versions.of_study("study") == []
    result = study(fake, storage).run(60)
    sent = fake.count
    with pytest.raises(RequestRefused):
        refused(fake, storage)
    assert_equal_results(ps.open_result(storage, "study"), result)
    assert_equal_results(study(fake, storage).run(60), result)
    assert fake.count == sent + 1


def test_budget_below_what_is_used_is_refused(fake: InProcessExecutor, storage: str) -> None:
    """A smaller budget than the study has used shows no other result, but says what to do."""
    fake.answer = truth
    used = study(fake, storage).run(60).summary["calls"]
    with pytest.raises(InputError) as caught:
        study(fake, storage).run(30)
    assert str(caught.value) == (
        f"study 'study' has paid for {used} calls already, and Budget(calls=30) allows no more: a budget is for the "
        "whole study; give a larger one, or read the result that is stored (prompt-search show, ps.open_result)"
    )


def test_process_that_was_taken_over_writes_nothing(storage: str) -> None:
    """Trials, rows and outcomes of a process whose study another one has begun again are refused in one line, also
    after that one has ended."""
    store = Store(storage)
    store.open_study("s", {})
    late, taker = (store.open_version("s", {}, owner) for owner in ("late", "taker"))
    assert late.number == taker.number == 1
    store.save_trials(taker, [trial(0)], [sample(0, 1)])
    with pytest.raises(RunError, match=r"^study 's' was taken over by another process, because this one did not"):
        store.save_trials(late, [trial(0, state="pruned")], [sample(0, 1, score=0.0)])
    with pytest.raises(RunError, match=r"^study 's' was taken over by another process"):
        store.save_trials(late, [], [], at_end=summary(winner=1))
    store.save_trials(taker, [], [], at_end=summary(winner=0, order=[0]))
    with pytest.raises(RunError, match=r"^study 's' was taken over by another process"):
        store.save_trials(late, [trial(0, state="running")], [])
    assert (store.trials(taker), store.samples(taker)) == ([trial(0)], [sample(0, 1)])
    assert store.study("s").summary == summary(winner=0, order=[0])


def test_versions_are_deleted_with_their_study(storage: str) -> None:
    """Starting over begins with the first version again."""
    store = Store(storage)
    store.open_study("s", {})
    store.save_trials(store.open_version("s", {}), [trial(0)], [], at_end=summary(winner=0, order=[0]))
    assert store.open_version("s", {}).number == 2
    store.open_study("s", {}, fresh=True)
    assert store.open_version("s", {}) == Version(study="s")
    assert store.trials(Version(study="s")) == []


def test_nothing_is_deleted_for_a_run_that_cannot_begin(
    fake: InProcessExecutor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting over without a key leaves the finished result."""
    fake.answer = truth
    monkeypatch.setenv("SOME_KEY", "none")
    model = fake.model(api_key_env="SOME_KEY")
    study(fake, storage, model=model).run(60)
    before = finished(storage)
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(InputError, match="SOME_KEY"):
        study(fake, storage, model=model, executor=None).run(60, fresh=True)
    assert finished(storage) == before
