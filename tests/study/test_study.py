"""Whole studies: resumed, repeated, over choices of model and parameters, without a key leaking anywhere."""

from __future__ import annotations

import _thread
import asyncio
import dataclasses
import json
import logging
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.errors import InputError, RequestRefused, RunError, StudyError, TemplateError
from prompt_search.llm.messages import Usage
from prompt_search.storage import schema
from prompt_search.storage.ownership import lease
from prompt_search.storage.store import Store
from prompt_search.study.snapshot import Snapshot
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, failure, prompt_of
from tests.profiles import examples
from tests.study.examples import DATA, MEASURED, SOURCE, assert_equal_results, data, leaning, study, truth

# The whole way


def test_study_over_http_finds_a_better_prompt(server: FakeServer, storage: str) -> None:
    """Over a real connection: within the budget, nothing asked twice, the winner better on test rows; the
    same line again sends nothing and says the same."""
    server.answer = truth
    server.latency = lambda body: zlib.crc32(prompt_of(body).encode()) % 10 / 1000
    made = study(server, storage, data=data(120), max_concurrency=8)
    result = made.run(ps.Budget(calls=240))
    assert server.count == result.summary["calls"] <= 240
    assert server.repeated == []
    assert server.most_in_flight <= 8
    assert "Decide with care." in result.best.text
    assert result.verdict == "better"
    assert result.verdict.rows == len(made.test_rows)
    assert_equal_results(study(server, storage, data=data(120)).run(240), result)
    assert server.count == result.summary["calls"]


def test_winner_and_default_share_sealed_rows(fake: InProcessExecutor) -> None:
    """Both are scored on the same rows, which the search never saw."""
    fake.answer = truth
    made = study(fake)
    result = made.run(150)
    samples = result.samples_df()
    sealed = samples[samples["split"] == "test"]
    by_trial = sealed.groupby("trial")["row"].apply(set)
    assert set(by_trial.index) == {0, result.best_trial}
    assert by_trial[0] == by_trial[result.best_trial] == set(made.test_rows)
    assert not set(samples.loc[samples["split"] == "search", "row"]) & set(made.test_rows)


def test_every_winner_tested_on_the_sealed_rows_is_counted(fake: InProcessExecutor, storage: str) -> None:
    """The same test again is no new use; that of another winner is, also under another name, and its headline tells."""
    fake.answer = truth
    first = study(fake, storage).run(150)
    assert (first.test_uses, study(fake, storage).run(150).test_uses) == (1, 1)
    other = study(fake, storage, name="other", template=ps.Template(SOURCE.replace("Decide with", "Take"))).run(150)
    assert other.best.text != first.best.text
    assert (first.test_uses, other.test_uses) == (1, 2)
    assert "(test set used 2 times: p and interval are optimistic)" in other.headline
    assert study(fake, storage, name="untested").run(150, test=False).test_uses == 2
    assert study(fake, storage, name="elsewhere", seed=1).run(150, test=False).test_uses == 0


def test_a_winner_tested_with_other_scores_is_another_use(fake: InProcessExecutor, storage: str) -> None:
    """Started over, the same winner with the same scores is no new test, on more rows or with other scores it is."""
    fake.answer = truth
    found, winners = [], set()
    for calls, metric in [(100, ps.metrics.exact), (100, ps.metrics.exact), (150, ps.metrics.exact), (150, half_right)]:
        result = study(fake, storage, metric=metric).run(calls, fresh=True)
        winners.add(result.best.text)
        found.append((result.verdict.rows, result.test_uses))
    assert found == [(15, 1), (15, 1), (18, 2), (18, 3)]
    assert len(winners) == 1
    assert "(test set used 3 times: p and interval are optimistic)" in result.headline


def half_right(answer: Any, row: Any) -> float:
    return 0.5 if answer == row.target else 0.0


def test_enqueued_candidates_are_raced_and_part_of_the_study(fake: InProcessExecutor) -> None:
    """What is enqueued is raced right after the default, kept by ``replace``, and refused where it names no option."""
    fake.answer = truth
    made = study(fake)
    with pytest.raises(ps.InputError, match="no option 'Reply:'") as no:
        made.enqueue({"cue": "Reply:"})
    assert str(no.value).endswith(" or write yours into the choice")
    made.enqueue({"cue": "Answer:"})
    again = made.replace(seed=1)
    assert again.identity()["enqueued"] == [made.prompt({"cue": "Answer:"}).choices]
    assert again.run(100).trials_df().loc[1, "cue"] == "Answer:"


@pytest.mark.parametrize("stored", [True, False])
def test_finished_study_is_an_optuna_study(fake: InProcessExecutor, storage: str, stored: bool) -> None:
    """After a run, in memory too, there is a normal Optuna study with all trials; before there is none."""
    fake.answer = truth
    made = study(fake, storage if stored else None)
    with pytest.raises(StudyError, match="before a run"):
        _ = made.optuna_study
    result = made.run(150)
    mirrored = made.optuna_study
    assert len(mirrored.trials) == len(result.trials_df())
    assert mirrored.best_trial.number == result.best_trial
    assert set(mirrored.trials_dataframe()["state"]) <= {"COMPLETE", "PRUNED"}
    assert optuna.importance.get_param_importances(mirrored)


def test_whole_budget_can_go_to_the_search(fake: InProcessExecutor) -> None:
    """Without a test no test row is asked, the search has the calls, and the result says why nothing is shown."""
    fake.answer = truth
    made = study(fake)
    result = made.run(150, test=False)
    samples = result.samples_df()
    assert set(samples.split) == {"search"}
    assert not set(samples.row) & set(made.test_rows)
    assert result.summary["calls"] > 140
    assert result.headline.splitlines()[0] == (
        "study: There is no verdict, because the study ran without a test (test=False)."
    )


def test_small_test_holds_both_labels(fake: InProcessExecutor) -> None:
    """Where the budget leaves a part of the test rows, that part has the labels in proportion."""
    fake.answer = truth
    rows = pd.DataFrame({"text": [f"thing {i}" for i in range(200)], "label": ["a"] * 100 + ["b"] * 100})
    result = study(fake, data=ps.Dataset(rows, target="label")).run(60)
    samples = result.samples_df()
    tested = samples[(samples["split"] == "test") & (samples["trial"] == 0)]["target"]
    assert 4 <= len(tested) <= 9
    assert abs((tested == "a").sum() - (tested == "b").sum()) <= 2


def test_study_in_memory_and_in_a_file_are_the_same(fake: InProcessExecutor, storage: str) -> None:
    """Without a storage URL everything is kept in memory, with the same result."""
    fake.answer = truth
    assert_equal_results(study(fake).run(60), study(fake, storage).run(60))


# Resume


@settings(max_examples=examples(5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stops=st.lists(st.integers(0, 60), min_size=1, max_size=2), concurrency=st.sampled_from([1, 5, 16]))
def test_resumed_study_equals_the_uninterrupted_one(stops: list[int], concurrency: int) -> None:
    """Ended by refusals at any request, once or twice, and run again: the same trials, samples, winner and
    total of answered requests as without the interruption."""
    whole, broken = InProcessExecutor(), InProcessExecutor()
    whole.answer = broken.answer = truth
    with tempfile.TemporaryDirectory() as folder:
        expected = study(whole, f"sqlite:///{folder}/whole.db").run(70)
        storage = f"sqlite:///{folder}/broken.db"
        answered = 0
        for stop in stops:
            broken.bodies.clear()
            broken.fail_after = stop
            with suppress(RequestRefused):
                study(broken, storage, max_concurrency=concurrency).run(70)
            answered += min(broken.count, stop)
            assert len(Store(storage).calls("study")) == answered
        broken.bodies.clear()
        broken.fail_after = None
        result = study(broken, storage, max_concurrency=concurrency).run(70)
        assert answered + broken.count == whole.count <= 70
        assert_equal_results(result, expected)


@pytest.mark.parametrize("after", [1, 25, 45])
def test_interrupted_study_goes_on(
    fake: InProcessExecutor, storage: str, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Ctrl-C at any time: what is in flight is kept, the result says unfinished, and the same line goes on."""
    from prompt_search.study import run as module

    fake.answer = truth
    expected = study(fake).run(60)
    needed = fake.count
    fake.bodies.clear()
    interrupts = []

    def in_own_thread(work: Any, on_interrupt: Any) -> Any:
        interrupts.append(on_interrupt)
        return asyncio.run(work())

    def progress(snapshot: Snapshot) -> None:
        if fake.count >= after:
            interrupts[-1]()

    monkeypatch.setattr(module, "in_own_thread", in_own_thread)
    unfinished = study(fake, storage, max_concurrency=3).run(60, progress=progress)
    assert after <= fake.count <= after + 3
    assert not unfinished.finished
    assert "unfinished" in unfinished.headline
    assert "running" in set(unfinished.trials_df()["state"]) or after == 45  # in the test all is decided
    result = study(fake, storage).run(60)
    assert fake.count == needed
    assert_equal_results(result, expected)


def test_interval_of_the_leader_keeps_to_the_range(fake: InProcessExecutor) -> None:
    """While a study runs, the interval of the leading prompt stays between the lowest and the highest score."""
    fake.answer = truth
    metric = ps.metrics.metric(low=0, high=1)(lambda answer, row: 0.8 + 0.2 * (answer == row.target))
    seen: list[Snapshot] = []
    study(fake, metric=metric).run(60, progress=seen.append)
    assert max(snapshot.best or 0 for snapshot in seen) > 0.9
    assert all((snapshot.high or 0) <= 1 for snapshot in seen)


def test_keyboard_interrupt_reaches_the_caller(fake: InProcessExecutor, storage: str) -> None:
    """The first Ctrl-C lets nothing more out, waits for what is in flight, and is raised then."""
    fake.answer = truth
    fake.latency = lambda body: 0.02
    pressed: list[int] = []

    def progress(snapshot: Snapshot) -> None:
        if fake.count == 5 and not pressed:
            pressed.append(fake.count)
            _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        study(fake, storage, max_concurrency=1).run(60, progress=progress)
    assert 5 <= fake.count < 40
    assert len(Store(storage).calls("study")) == fake.count


def test_finished_study_sends_nothing_and_a_larger_budget_goes_on(fake: InProcessExecutor, storage: str) -> None:
    """The same budget costs nothing; a larger one pays for the difference at most."""
    fake.answer = truth
    first = study(fake, storage).run(60)
    needed = fake.count
    assert_equal_results(study(fake, storage).run(60), first)
    assert fake.count == needed == first.summary["calls"]
    assert study(fake, storage).run(90).summary["calls"] <= 90
    assert needed < fake.count <= 90


@settings(max_examples=examples(4), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(20, 70), more=st.integers(1, 80), stop=st.integers(0, 60))
def test_raised_budget_pays_for_the_difference_alone(first: int, more: int, stop: int) -> None:
    """A finished study that gets a larger budget pays for nothing twice and for no more than the difference, has a
    test of what was left, and interrupted on the way it ends as it would have without."""
    fake = InProcessExecutor()
    fake.answer = truth

    def raised(storage: str, interrupted: bool) -> ps.Result:
        fake.bodies.clear()
        fake.fail_after = None
        paid = study(fake, storage).run(first).summary["calls"]
        assert paid == fake.count <= first
        if interrupted:
            fake.fail_after = fake.count + stop
            with suppress(RequestRefused):
                study(fake, storage).run(first + more)
            if fake.count > fake.fail_after:
                del fake.bodies[fake.fail_after :]
            fake.fail_after = None
        result = study(fake, storage).run(first + more)
        assert fake.count == result.summary["calls"] <= first + more
        sent = [json.dumps(body, sort_keys=True) for body in fake.bodies]
        assert len(set(sent)) == len(sent)
        return result

    with tempfile.TemporaryDirectory() as folder:
        whole = raised(f"sqlite:///{folder}/whole.db", interrupted=False)
        assert whole.verdict.rows >= 2
        assert_equal_results(raised(f"sqlite:///{folder}/broken.db", interrupted=True), whole)


def test_dollars_after_calls_of_unknown_price_are_refused(fake: InProcessExecutor, storage: str) -> None:
    """What a study cost before its price was known cannot be taken off a budget in dollars."""
    fake.answer = truth
    study(fake, storage).run(20)
    priced = study(fake, storage, model=fake.model(price=ps.Price(prompt=1, completion=1)))
    with pytest.raises(
        InputError, match="counts what study 'study' cost so far, which is unknown; give it another name"
    ):
        priced.run(ps.Budget(usd=1))
    assert priced.run(ps.Budget(usd=0.002), fresh=True).summary["usd"] > 0


def test_study_that_is_running_is_not_run_twice(fake: InProcessExecutor, storage: str) -> None:
    """While a study runs a second run of it is refused, before it touches anything, and one of another name is not."""
    fake.answer = truth
    refused: list[str] = []

    def progress(snapshot: Snapshot) -> None:
        if not refused and snapshot.calls >= 5:  # then nothing that the other study asks for is on its way
            with pytest.raises(
                StudyError, match=r"'study' in sqlite:.* is being run by process .* at least until"
            ) as error:
                study(fake, storage).run(40, fresh=True)
            refused.append(str(error.value))
            assert study(fake, storage, name="other").run(5).name == "other"

    result = study(fake, storage).run(40, progress=progress)
    assert refused
    assert_equal_results(study(fake, storage).run(40), result)


def test_study_that_was_taken_over_stops(
    fake: InProcessExecutor, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept until another one took its study sends nothing more, and says why."""
    monkeypatch.setattr(lease, "RENEWED_S", 0.01)
    fake.answer = truth
    fake.latency = lambda body: 0.02

    def progress(snapshot: Snapshot) -> None:
        with closing(Store(storage)) as store, store.engine.begin() as connection:
            connection.execute(schema.leases.update().values(owner="somebody else"))

    with pytest.raises(RunError, match="study 'study' was taken over by another process, because this one did"):
        study(fake, storage, max_concurrency=1).run(60, progress=progress)
    assert fake.count < 60


def test_second_study_reuses_responses(fake: InProcessExecutor, storage: str) -> None:
    """Another study on the same storage pays for no request that is answered there."""
    fake.answer = truth
    study(fake, storage, name="one").run(60)
    again = study(fake, storage, name="two").run(60)
    sent = [json.dumps(body, sort_keys=True) for body in fake.bodies]
    assert len(set(sent)) == len(sent)
    assert again.samples_df()["cached"].any()
    assert [record.study for record in Store(storage).studies()] == ["one", "two"]


def test_a_study_does_not_depend_on_others(fake: InProcessExecutor, storage: str) -> None:
    """With whatever the storage holds already a study comes out the same, also when others ran before it goes on; what
    it need not send is told."""
    fake.answer = truth
    alone = study(fake).run(90)
    other = study(fake, storage, name="other", seed=1).run(120)
    first = study(fake, storage).run(90)
    assert first.best == alone.best
    pd.testing.assert_frame_equal(
        first.trials_df().drop(columns=MEASURED, errors="ignore"),
        alone.trials_df().drop(columns=MEASURED, errors="ignore"),
    )
    assert first.summary["calls"] == alone.summary["calls"]
    assert 0 < first.summary["reused"] < 90
    assert f", {first.summary['reused']} of them answered from the cache (" in first.headline
    study(fake, storage, name="more", seed=2).run(120)
    sent = fake.count
    assert_equal_results(study(fake, storage).run(90), first)
    assert_equal_results(study(fake, storage, name="other", seed=1).run(120), other)
    assert fake.count == sent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": ps.Template("{{ row.text }}!")}, "template line 1 was .*, is"),
        ({"data": data(58)}, "data was .*rows was"),
        ({"model": "other"}, "models was"),
        ({"answer": ps.Text()}, "answers was"),
        ({"metric": ps.metrics.includes}, r"metric was \"Exact\(.*, is \"Includes\("),
        ({"request": {"top_p": 0.5}}, r"request was \{\}, is \{\"top_p\""),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"context": {"labels": ["x", "y"]}}, "context was"),
        ({"sampler": optuna.samplers.RandomSampler(seed=0)}, 'sampler was "default", is "RandomSampler"'),
    ],
)
def test_changed_study_is_refused_before_any_call(
    fake: InProcessExecutor, storage: str, change: Mapping[str, Any], message: str
) -> None:
    """A study that is not the stored one is refused with the difference, unless it is started anew."""
    study(fake, storage).run(5)
    changed = {**change}
    if changed.get("model"):
        changed["model"] = fake.model("other")
    before = fake.count
    with pytest.raises(StudyError, match=f"started with other settings: .*{message}"):
        study(fake, storage, **changed).run(5)
    assert fake.count == before
    study(fake, storage, **changed).run(5, fresh=True)


def test_failed_requests_are_kept_or_retried(fake: InProcessExecutor, storage: str) -> None:
    """A failed request stays failed when the study is run again, unless asked otherwise; both within the budget."""

    def flaky(body: Body) -> Any:
        return failure(400, "too long") if "number 1" in prompt_of(body) else truth(body)

    fake.answer = flaky
    first = study(fake, storage).run(60)
    errors = int(first.samples_df()["error"].notna().sum())
    assert errors > 0
    fake.answer = truth
    needed = fake.count
    assert_equal_results(study(fake, storage).run(60), first)
    assert fake.count == needed
    retried = study(fake, storage).run(100, retry_errors=True)
    assert retried.samples_df()["error"].isna().all()
    assert fake.count <= 100


def test_study_without_any_answer_can_be_run_again(fake: InProcessExecutor, storage: str) -> None:
    """Where the server refused everything, the same line tries again; what was sent still counts."""
    fake.answer = failure(400, "no such parameter")
    with pytest.raises(RequestRefused, match="the first 10 requests all failed"):
        study(fake, storage, max_concurrency=1).run(60)
    fake.answer = truth
    study(fake, storage).run(60)
    assert 10 < fake.count <= 60


# Inside an event loop, and while it runs


def test_study_runs_inside_an_event_loop(fake: InProcessExecutor) -> None:
    """A notebook's loop is running already; run and evaluate work there."""
    fake.answer = truth

    async def cell() -> tuple[ps.Result, float]:
        result = study(fake).run(40)
        return result, ps.evaluate(result.best, DATA, model=fake.model(), executor=fake).score

    result, score = asyncio.run(cell())
    assert result.finished
    assert 0.5 <= score <= 1


def test_progress_is_told(fake: InProcessExecutor) -> None:
    """Phases in order, calls never falling nor above the limit, and the end told."""
    fake.answer = truth
    told: list[Snapshot] = []
    result = study(fake).run(60, progress=told.append)
    assert list(dict.fromkeys(snapshot.phase for snapshot in told)) == [
        "starting", "exploring", "finalists", "test", "done"
    ]  # fmt: skip
    calls = [snapshot.calls for snapshot in told]
    assert calls == sorted(calls)
    assert calls[-1] == result.summary["calls"] <= told[-1].limit == 60
    assert told[-1].best is not None
    assert told[-1].responses == fake.count


# Dimensions outside the template


def test_calibration_learned_in_the_search_is_shipped(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """A model that leans to one label is put right by weights learned on search rows, fixed for the sealed ones,
    stored with trials and samples, exported, and found again by a resumed study without a call."""
    fake.answer = leaning
    rows = ps.Label(DATA.labels, mode="logprobs", calibrate="rows")
    result = study(fake, storage, answer=rows).run(200)
    assert "care" in result.best.text
    assert result.best.answer is not None
    negative, positive = result.best.answer["weights"]
    assert negative > 1 > positive
    samples = result.samples_df()
    winner = samples[samples.trial == result.best_trial]
    assert {split: found.score.mean() for split, found in winner.groupby("split")} == {"search": 1.0, "test": 1.0}
    result.best.export(tmp_path / "best.j2")
    again = ps.evaluate(ps.Prompt.read(tmp_path / "best.j2"), DATA, model=fake.model(), executor=fake, storage=storage)
    assert again.score == 1.0
    assert again.prompt.answer == result.best.answer
    sent = fake.count
    assert_equal_results(study(fake, storage, answer=rows).run(200), result)
    assert fake.count == sent


def test_request_parameters_models_and_answers_are_choices(fake: InProcessExecutor) -> None:
    """Temperature, model and answer form are searched like words, sent as chosen, and shown as columns."""

    def answer(body: Body) -> str:
        right = truth(body) if body["model"] == "good" else "mumble"
        return json.dumps({"label": right}) if "response_format" in body else right

    fake.answer = answer
    labels = DATA.labels
    made = study(
        fake,
        template=ps.Template("Decide with care. {{ row.text }}"),
        model=ps.choice([fake.model("bad"), fake.model("good")]),
        answer=ps.choice([ps.Label(labels), ps.Label(labels, "json")]),
        request={"temperature": ps.choice([0, 0.7]), "max_tokens": None, "top_p": 0.9},
    )
    assert made.space().size() == (8, True)
    result = made.run(200)
    assert {body["model"] for body in fake.bodies} == {"bad", "good"}
    assert {body["temperature"] for body in fake.bodies} == {0, 0.7}
    assert all("max_tokens" not in body and body["top_p"] == 0.9 for body in fake.bodies)
    trials = result.trials_df()
    assert set(trials["answer"]) == {"label", "label_json"}
    assert set(trials["temperature"]) == {"0", "0.7"}
    assert result.best.model == "good"
    assert result.best.choices["model"] == "good"
    assert result.verdict == "better"


def test_each_model_has_its_own_price(fake: InProcessExecutor) -> None:
    """Two models of one endpoint are asked and priced separately."""
    dollars = {"one": 1.0, "two": 2.0}
    models = [fake.model(name, price=ps.Price(prompt=usd * 1e6, completion=0)) for name, usd in dollars.items()]
    result = study(fake, model=ps.choice(models)).run(80)
    assert {body["model"] for body in fake.bodies} == {"one", "two"}
    spent = sum(dollars[body["model"]] * len(prompt_of(body).split()) for body in fake.bodies)
    assert result.summary["usd"] == pytest.approx(spent)


def test_defaults(fake: InProcessExecutor) -> None:
    """Temperature 0, an answer over the data's labels, and `labels` in the context."""
    made = study(fake, template=ps.Template('{{ labels | join("/") }}: {{ row.text }}'))
    prompt = made.prompt()
    assert prompt.messages({"text": "x"}) == [{"role": "user", "content": "negative/positive: x"}]
    assert dict(prompt.parameters) == {"temperature": 0, "max_tokens": 16}
    assert made.answers == [ps.Label(["negative", "positive"])]
    free = ps.Dataset(pd.DataFrame({"text": list("abcdef"), "out": list("uvwxyz")}), target="out")
    assert study(fake, data=free, template=ps.Template("{{ row.text }}")).answers == [ps.Text()]


def test_context_of_the_user_stays(fake: InProcessExecutor) -> None:
    """Labels that the user passes are not replaced by the data's."""
    made = study(fake, template=ps.Template("{{ labels[0] }}: {{ row.text }}"), context={"labels": ["mine"]})
    assert made.prompt().text == "mine: {{ row.text }}"


def test_prompt_of_choices(fake: InProcessExecutor) -> None:
    """Choices are given by option or by text, missing ones are the default."""
    prompt = study(fake).prompt({"instruction": "Which?", "listed": "yes"})
    assert prompt.text.startswith("Which?\nLabels: negative, positive")
    assert prompt.choices == {"instruction": "Which?", "listed": "yes", "cue": "Label:"}


def test_optuna_says_nothing_of_its_own(fake: InProcessExecutor, caplog: pytest.LogCaptureFixture) -> None:
    """A run's only words are its own: Optuna does not announce the study that mirrors it."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    logging.getLogger("optuna").addHandler(caplog.handler)
    try:
        study(fake).run(60)
    finally:
        logging.getLogger("optuna").removeHandler(caplog.handler)
    assert caplog.messages == []


def test_other_test_rows_are_another_study(fake: InProcessExecutor, storage: str) -> None:
    """As many other rows sealed is not the same study, though everything else is."""
    fake.answer = truth
    study(fake, storage, test=tuple(range(20))).run(60)
    with pytest.raises(StudyError, match="rows was"):
        study(fake, storage, test=tuple(range(20, 40))).run(60)


# Budgets


@pytest.mark.parametrize("calls", [1, 2, 5, 12])
def test_tiny_budget_ends_in_a_result_that_says_so(fake: InProcessExecutor, storage: str, calls: int) -> None:
    """Too few calls for a comparison still make a result, and its words say that nothing is shown."""
    fake.answer = truth
    result = study(fake, storage).run(calls)
    assert fake.count <= calls
    assert result.verdict == "not shown"
    reason = "the budget left too few calls for the test rows; give more calls"
    assert result.headline.splitlines()[0] == f"study: There is no verdict, because {reason}."
    assert repr(result)
    assert result._repr_html_()


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (
            ps.Budget(calls=500, tokens=150),
            "the budget of 150 tokens left too little for the test rows; give more tokens",
        ),
        (ps.Budget(calls=5, tokens=50_000), "the budget left too few calls for the test rows; give more calls"),
    ],
)
def test_limit_that_left_no_test_is_named(fake: InProcessExecutor, budget: ps.Budget, reason: str) -> None:
    """Of several limits the one that ran out is to be raised."""
    fake.answer = truth
    result = study(fake, answer=ps.Label(["positive", "negative"], max_tokens=1)).run(budget)
    assert result.headline.splitlines()[0] == f"study: There is no verdict, because {reason}."


def test_study_in_which_every_request_failed_says_so(fake: InProcessExecutor) -> None:
    """Where nothing was answered, a run ends as an error with the failures, not for the budget that they used up."""
    fake.answer = failure(400, "no such thing")
    with pytest.raises(RequestRefused) as caught:
        study(fake).run(5)
    assert str(caught.value).startswith("no request was answered, 3 failed, the last with bad_request: ")


@settings(max_examples=examples(5), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.integers(1, 150), concurrency=st.integers(1, 20))
def test_budget_is_never_passed(calls: int, concurrency: int) -> None:
    """Search and test together stay within the limit, whatever it is."""
    fake = InProcessExecutor()
    fake.answer = truth
    result = study(fake, max_concurrency=concurrency).run(calls)
    assert fake.count == result.summary["calls"] <= calls


@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limits=st.fixed_dictionaries({}, optional={
        "calls": st.integers(1, 120), "tokens": st.integers(50, 3000), "usd": st.floats(0.05, 3.0),
    }).filter(bool),
    concurrency=st.integers(1, 40),
    latency=st.sampled_from([0.0, 0.002]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_server_never_sees_more_than_any_limit(
    limits: dict[str, Any], concurrency: int, latency: float, seed: int
) -> None:
    """Whatever requests use, the server counts no call, token or dollar beyond the limit, test included."""
    fake = InProcessExecutor()
    tokens, usd = 0, 0.0

    def answer(body: Body) -> dict[str, Any]:
        nonlocal tokens, usd
        prompt = prompt_of(body)
        drawn = zlib.crc32(f"{seed} {prompt}".encode())
        usage = Usage(prompt_tokens=1 + drawn % len(prompt.encode()), completion_tokens=drawn % body["max_tokens"])
        tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        usd += price.cost(usage)
        counts = {"prompt_tokens": usage.prompt_tokens or 0, "completion_tokens": usage.completion_tokens or 0}
        return completion(truth(body), usage=counts)

    price = ps.Price(prompt=1_000, completion=2_000)
    fake.answer, fake.latency = answer, lambda body: latency
    result = study(fake, model=fake.model(price=price), max_concurrency=concurrency).run(ps.Budget(**limits))
    seen = {"calls": fake.count, "tokens": tokens, "usd": usd}
    assert all(seen[name] <= limit * (1 + 1e-9) for name, limit in limits.items())
    assert result.summary["calls"] == fake.count
    if "calls" not in limits:
        assert result.summary["tokens"] == tokens
        assert result.summary["usd"] == pytest.approx(usd)


def test_retries_are_within_the_budget(server: FakeServer, storage: str) -> None:
    """Every retry is a call; run again with the same budget nothing more is sent."""
    seen: set[str] = set()

    def answer(body: Body) -> Any:
        prompt = prompt_of(body)
        first = prompt not in seen
        seen.add(prompt)
        return failure(503, "busy", Retry_After="0") if first and zlib.crc32(prompt.encode()) % 3 == 0 else truth(body)

    server.answer = answer
    result = study(server, storage).run(50)
    assert server.count <= 50
    assert result.calls_df()["attempts"].sum() == server.count
    study(server, storage).run(50)
    assert server.count <= 50


@pytest.mark.parametrize("budget", [ps.Budget(tokens=600), ps.Budget(tokens=600, calls=30)])
def test_tokens_are_a_limit(fake: InProcessExecutor, budget: ps.Budget) -> None:
    """A budget in tokens ends a study with a test inside it, and not one token is beyond it."""
    fake.answer = truth
    result = study(fake, max_concurrency=8).run(budget)
    assert 200 < result.summary["tokens"] <= 600
    assert result.summary["tokens"] == result.calls_df()[["prompt_tokens", "completion_tokens"]].sum().sum()
    assert result.verdict.rows >= 2


def test_dollars_of_an_unknown_model_are_refused(fake: InProcessExecutor, storage: str) -> None:
    """A budget that cannot be kept is refused before any request, by runs, preflights and evaluations."""
    made = study(fake, storage)
    prompt = ps.Prompt(source="{{ row.text }}")
    for run in (
        lambda: made.run(ps.Budget(usd=1)),
        lambda: made.preflight(ps.Budget(usd=1)),
        lambda: ps.evaluate(prompt, DATA, model=fake.model(), executor=fake, budget=ps.Budget(usd=1)),
    ):
        with pytest.raises(InputError, match=r"US dollars cannot be kept, because the price of fake is unknown; give"):
            run()
    assert fake.count == 0


@pytest.mark.parametrize("budget", [ps.Budget(tokens=900), ps.Budget(usd=0.002)])
def test_answers_without_a_bound_are_refused(fake: InProcessExecutor, budget: ps.Budget) -> None:
    """Where some candidate's request has no max_tokens, tokens and dollars cannot be kept; told before any request."""
    model = fake.model(price=ps.Price(prompt=1, completion=1))
    for request in ({"max_tokens": None}, {"max_tokens": ps.choice([16, None])}):
        with pytest.raises(InputError, match=r"a request to fake has no max_tokens; give request="):
            study(fake, model=model, request=request).run(budget)
    assert fake.count == 0
    fake.answer = truth
    bounded = {"max_tokens": None, "max_completion_tokens": ps.choice([16, 32])}
    assert study(fake, model=model, request=bounded).run(budget).summary["tokens"] > 0


def test_intervals_of_progress_keep_to_the_range_of_the_metric(fake: InProcessExecutor) -> None:
    """As those of the tables do: few rows with high scores have no interval that ends above the highest score."""

    def halved(answer: object, row: ps.Row) -> float:
        return 1.0 if answer == row.target else 0.25

    fake.answer = truth
    seen: list[Snapshot] = []
    study(fake, metric=ps.metrics.metric(low=0, high=1)(halved)).run(60, progress=seen.append)
    known = [(each.low, each.high) for each in seen if each.low is not None and each.high is not None]
    assert known
    assert all(0 <= low <= high <= 1 for low, high in known)


# Wrong settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "a study needs a name, got ''; give a text"),
        ({"max_concurrency": 0}, "max_concurrency must be at least 1, got 0"),
        ({"request": {"model": "x"}}, r"request\['model'\] cannot be given here; use the template, model= or answer="),
        ({"request": {"messages": []}}, r"request\['messages'\] cannot be given here"),
        ({"request": {"temperature": float("nan")}}, r"request\['temperature'\] must be JSON: .*; got nan"),
        ({"request": {"stop": {1, 2}}}, r"request\['stop'\] must be JSON"),
        (
            {"request": {"rows": ps.choice([1, 2])}},
            r"request\['rows'\] cannot be a choice, because the result tables have a column of that name; give it one",
        ),
        ({"model": ps.choice({"a": "m", "b": "m2"}), "metric": 3}, "a metric must be callable"),
        ({"metric": ps.metrics.Exact(column="x")}, "needs the column 'x'"),
        ({"template": ps.Template("{{ row.nothing }}")}, "the rows have no field 'nothing'; they have text"),
        ({"template": ps.Template("{{ row.label }}")}, r"row\.label is the target"),
        (
            {"template": ps.Template('{{ flag("top_p") }} {{ row.text }}'), "request": {"top_p": 0.5}},
            "template line 1: 'top_p' is a choice here and in the study's settings; rename this one",
        ),
        ({"template": ps.Template("{{ instructions }} {{ row.text }}")}, "undefined variable 'instructions'"),
        (
            {"answer": ps.choice([ps.Label(["a", "b"]), ps.Label(["c", "d"])])},
            r"the options of 'answer' need different names, got label, label; name them",
        ),
    ],
)
def test_wrong_settings_are_told_before_any_call(fake: InProcessExecutor, change: dict[str, Any], message: str) -> None:
    """One line that says what is wrong, and no request."""
    with pytest.raises(ps.InputError, match=message):
        study(fake, **change)
    assert fake.count == 0


def test_choice_in_template_and_settings_is_refused(fake: InProcessExecutor) -> None:
    """One name cannot be two dimensions."""
    template = ps.Template('{{ choice("temperature", ["a", "b"]) }} {{ row.text }}')
    with pytest.raises(TemplateError, match="'temperature' is a choice here and in the study's settings"):
        study(fake, template=template, request={"temperature": ps.choice([0, 1])})


# Keys


KEY = "sk-test-MARKED-1234567890"


def test_no_key_anywhere(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A marked key that the server echoes in its errors is in no file, table, repr, log or message."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def answer(body: Body) -> Any:
        return failure(400, f"Incorrect key {KEY} used") if "number 1" in prompt_of(body) else truth(body)

    server.answer = answer
    caplog.set_level("DEBUG")
    result = study(server, f"sqlite:///{tmp_path}/study.db").run(60)
    assert result.samples_df()["error"].notna().any()
    result.best.export(tmp_path / "best.py")
    shown = [repr(result), result._repr_html_(), repr(study(server)), repr(server.model())]
    shown += [frame.to_csv() for frame in (result.trials_df(), result.samples_df(), result.calls_df())]
    shown += [caplog.text]
    server.answer = lambda body: failure(401, f"Incorrect API key provided: {KEY}.")
    with pytest.raises(RequestRefused, match="Incorrect API key provided") as refused:
        study(server, f"sqlite:///{tmp_path}/other.db").run(20)
    shown.append(str(refused.value) + repr(refused.value.__cause__))
    assert not [text for text in shown if "MARKED" in text]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"study.db", "other.db", "best.py"} <= {path.name for path in files}
    assert not [path for path in files if b"MARKED" in path.read_bytes()]


def test_study_repr_says_what_it_is(fake: InProcessExecutor) -> None:
    """Name, template, rows, model and metric on one line."""
    assert repr(study(fake)) == ("Study('study': template, 42 search rows, 18 test rows, model fake, metric exact)")


def test_snapshot_is_a_value() -> None:
    """A progress display may keep what it was told."""
    assert dataclasses.is_dataclass(Snapshot)


def test_single_test_row_is_named_as_the_reason_of_no_verdict(fake: InProcessExecutor) -> None:
    """Where no budget could help, the headline does not ask for more calls."""
    fake.answer = truth
    result = study(fake, data=DATA.head(4)).run(60)
    assert result.headline.splitlines()[0] == (
        "study: There is no verdict, because the study has a single test row, which cannot show a difference; add rows."
    )


@pytest.mark.parametrize("n_trials", [0, "20", 2.5, True])
def test_number_of_trials_is_a_whole_number(fake: InProcessExecutor, n_trials: Any) -> None:
    """Anything else is refused in one line before a request."""
    with pytest.raises(ps.InputError) as caught:
        study(fake).run(30, n_trials=n_trials)
    assert str(caught.value) == (
        f"n_trials must be a whole number of at least 1, got {n_trials!r}; give one such as 20"
    )


def test_name_of_a_study_is_not_blank(fake: InProcessExecutor) -> None:
    """White space alone could not be told apart in a list of studies."""
    with pytest.raises(StudyError, match=r"^a study needs a name, got '  '; give a text$"):
        study(fake, name="  ")


@pytest.mark.parametrize("value", [0.1, 0.3, 100.1, 1e50])
def test_metric_that_gives_all_answers_one_score_ends_in_a_result(fake: InProcessExecutor, value: float) -> None:
    """What rounding leaves of the mean of equal scores is no variance between rows."""
    fake.answer = truth
    result = study(fake, metric=lambda answer, row: value).run(60)
    assert (result.verdict, result.verdict.difference) == ("not shown", 0)


def test_score_that_no_variance_can_be_computed_of_is_refused(fake: InProcessExecutor) -> None:
    """The squares of larger numbers are infinite."""
    with pytest.raises(ps.InputError) as caught:
        study(fake, metric=lambda answer, row: -1e308).run(60)
    assert str(caught.value) == ("a metric must return at most 1e+50 in size, but <lambda> returned -1e+308; scale it")
