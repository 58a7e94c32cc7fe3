"""Shots that are picked by what the model itself answers: what is asked, what is kept, and what is shown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.errors import RequestRefused
from prompt_search.storage.store import Store
from prompt_search.study.arguments.settings import StudySettings
from prompt_search.study.plan import StudyPlan
from prompt_search.study.shots.bootstrap import LEAST_ROWS, MOST_ROWS, rows_asked
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, failure, prompt_of
from tests.growing import PROPOSER, proposed
from tests.study.examples import assert_equal_results, data, study

BUDGET = 200

ROWS = data(160)

PICKED = """{{ choice("instruction", ["Classify.", "Read.", "Decide with care."]) }}
{% for shot in examples("shots", max=2, pickers=["random 1", "solved 1", "hard 1"]) %}
Text: {{ shot.text }}
{{ shot.reasoning }}
Label: {{ shot.label }}

{% endfor %}
Text: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:"]) }}"""


def number_asked(body: Body) -> int:
    return int(prompt_of(body).rpartition("number ")[2].split()[0])


def reasoned(body: Body) -> str:
    """With its reasons; wrong about every third row, whatever the prompt is."""
    number = number_asked(body)
    right = "positive" if number % 2 else "negative"
    wrong = "negative" if number % 2 else "positive"
    return f"Thing {number} is what counts.\nLabel: {wrong if number % 3 == 0 else right}"


def picked(fake: InProcessExecutor | FakeServer, storage: str | None = None, **settings: Any) -> ps.Study:
    fake.answer = settings.pop("answering", reasoned)
    return study(fake, storage, **{"template": ps.Template(PICKED), "data": ROWS, **settings})


def calls_by_role(result: ps.Result) -> dict[str, int]:
    ledger = result.ledger_df()
    return dict(zip(ledger["role"], ledger["calls"], strict=True))


def pool_answers(result: ps.Result) -> list[tuple[int, int, bool | None]]:
    shots = result.shots_df()
    return [
        (position, row, None if right is not True and right is not False else right)
        for position, row, right in zip(shots["position"], shots["row"], shots["right"].tolist(), strict=True)
    ]


def test_shots_come_from_what_the_model_answers(server: FakeServer, storage: str) -> None:
    """Over a socket, the default prompt is asked about rows of the pool before the search; solved shots are rows that
    it answers rightly, with its own reasoning, and hard shots those that it answers wrongly."""
    result = picked(server, storage).run(BUDGET)
    shots = result.shots_df()
    assert len(shots) == calls_by_role(result)["bootstrap"] == 14
    assert server.count == result.summary["calls"] <= BUDGET
    assert not server.repeated
    assert shots["right"].tolist() == [row % 3 != 0 for row in shots["row"]]
    assert shots["reasoning"].tolist() == [f"Thing {row} is what counts." if row % 3 else "" for row in shots["row"]]
    sources = {"solved 1": set[int](), "hard 1": set[int]()}
    trials = result.trials_df()
    for number, count, source in zip(*(trials[name].tolist() for name in ("trial", "shots", "prompt")), strict=True):
        picker = result.choices(number).get("shots.picker", "")
        if count in ("1", "2") and picker in sources:
            prompt = source.partition("Text: {{ row")[0]
            for row in range(160):
                if f"thing number {row}\n" in prompt:
                    sources[picker].add(row)
                    assert (f"Thing {row} is what counts." in prompt) == (picker == "solved 1")
    assert sources["solved 1"]
    assert all(row % 3 for row in sources["solved 1"])
    assert sources["hard 1"]
    assert not any(row % 3 for row in sources["hard 1"])


def test_asked_rows_are_free_for_the_default(fake: InProcessExecutor) -> None:
    """The requests are those of the default prompt, so a race that scores it on the same rows pays nothing for them."""
    result = picked(fake, data=data(150)).run(BUDGET)
    calls = result.calls_df()
    asked = set(calls.loc[calls["role"] == "bootstrap", "key"])
    scored = result._rows_of(0, "search")
    scored = scored[scored["row"].isin(result.shots_df()["row"])]
    assert len(scored)
    assert set(scored["key"]) <= asked
    assert fake.count == result.summary["calls"]


def test_shots_df_counts_the_trials_that_show_a_row(fake: InProcessExecutor) -> None:
    """``trials`` is the number of trials whose prompt shows the row, whichever picker picked it."""
    result = picked(fake).run(BUDGET)
    prompts = result.trials_df()["prompt"]
    assert result.shots_df()["trials"].sum() > 0
    for row, trials in result.shots_df()[["row", "trials"]].itertuples(index=False):
        assert trials == prompts.str.contains(f"thing number {row}\n").sum()


@given(calls=st.integers(0, 2_000), rows=st.integers(8, 150))
def test_number_of_asked_rows(calls: int, rows: int) -> None:
    """At most a tenth of the search's calls, `MOST_ROWS`, and the pool; none where that is fewer than `LEAST_ROWS`."""
    plan = StudyPlan.of(
        StudySettings(template=ps.Template(PICKED), data=data(rows), model=ps.Model("m", base_url="http://x/v1"))
    )
    asked, most = rows_asked(plan, calls), min(len(plan.prompts.pool), MOST_ROWS, calls // 10)
    assert asked == (most if most >= LEAST_ROWS else 0)


def test_small_budget_asks_nothing(fake: InProcessExecutor) -> None:
    """Where too few rows could be asked, solved and hard are random sets, and the table is empty."""
    result = picked(fake).run(50)
    assert set(calls_by_role(result)) == {"task"}
    assert result.shots_df().empty


@pytest.mark.parametrize(
    "source",
    ["{{ row.text }} is hard 1 to say, not solved 1", '{{ choice("a", ["solved 1", "hard 1"]) }} {{ row.text }}'],
)
def test_other_studies_ask_nothing(fake: InProcessExecutor, source: str) -> None:
    """The words alone, in a text or as options of another choice, ask nothing and change no prompt."""
    fake.answer = reasoned
    made = study(fake, template=ps.Template(source))
    assert not made.plan.asks_about_pool
    result = made.run(60)
    assert set(calls_by_role(result)) == {"task"}
    assert result.shots_df().empty
    assert [str(kind) for kind in result.shots_df().dtypes] == ["int64", "int64", "boolean", "str", "int64"]


@pytest.mark.parametrize("answered", [4, 12, 15, 40, 130])
@pytest.mark.system
def test_interrupted_study_ends_as_the_undisturbed_one(fake: InProcessExecutor, storage: str, answered: int) -> None:
    """Interrupted while the pool is asked or later, and run again, a study sends each request once and has the same
    tables."""
    whole = InProcessExecutor()
    expected = picked(whole).run(BUDGET)
    fake.fail_after = answered
    with pytest.raises(RequestRefused):
        picked(fake, storage, max_concurrency=1).run(BUDGET)
    assert (Store(storage).pool_answers.of_study("study") is None) == (answered < 15)
    del fake.bodies[answered:]
    fake.fail_after = None
    result = picked(fake, storage).run(BUDGET)
    assert_equal_results(expected, result)
    assert pool_answers(result) == pool_answers(expected)
    sent = [sorted(json.dumps(body, sort_keys=True) for body in each.bodies) for each in (whole, fake)]
    assert sent[0] == sent[1]


def failing_for(rows: set[int]) -> Any:
    def answer(body: Body) -> Any:
        return failure(400, "no") if number_asked(body) in rows else reasoned(body)

    return answer


def test_failed_rows_are_in_neither_set_and_stay_there(fake: InProcessExecutor, storage: str) -> None:
    """A row whose request failed is neither solved nor hard. Requests that are sent again later do not change the
    sets."""
    first = picked(fake, storage, answering=failing_for({*range(0, 160, 7)})).run(BUDGET)
    unknown = [row for _, row, right in pool_answers(first) if right is None]
    assert unknown
    assert all(row % 7 == 0 for row in unknown)
    again = picked(fake, storage).run(BUDGET, retry_errors=True)
    assert again.version == 2
    assert not again.samples_df()["error"].notna().any()
    assert pool_answers(again) == pool_answers(first)


def test_larger_budget_takes_the_answers_over(fake: InProcessExecutor, storage: str) -> None:
    """A later run with a larger budget asks nothing new about the pool, and shows the same shots."""
    first = picked(fake, storage).run(120)
    asked = calls_by_role(first)["bootstrap"]
    later = picked(fake, storage).run(400)
    assert calls_by_role(later)["bootstrap"] == asked == 8
    assert pool_answers(later) == pool_answers(first)
    assert fake.count == later.summary["calls"] <= 400
    before, after = ({t.text for t in r._trials if t.shown} for r in (first, later))
    assert before
    assert before <= after


@pytest.mark.system
def test_same_budget_with_other_settings_counts_the_same_calls(fake: InProcessExecutor, storage: str) -> None:
    """Another version under the same budget sends nothing twice, and its search has no more calls for that."""
    first = picked(fake, storage).run(BUDGET)
    other = picked(fake, storage).run(BUDGET, n_trials=200)
    assert other.version == 2
    assert fake.count == first.summary["calls"] == other.summary["calls"]


def test_shots_of_the_default_are_not_asked(fake: InProcessExecutor) -> None:
    """Where every prompt shows shots, the default is asked about the rows of the pool that it does not show."""
    source = PICKED.replace("max=2,", "max=2, min=1,").replace('["random 1", ', '["random 1", "random 2", ')
    result = picked(fake, template=ps.Template(source)).run(BUDGET)
    (shown,) = result._trials[0].shown
    assert len(result.shots_df()) == 14
    assert shown not in result.shots_df()["row"].tolist()
    assert shown in picked(fake).plan.prompts.pool_rows


def test_refused_default_is_not_asked(fake: InProcessExecutor) -> None:
    """Where the server refuses the default, the candidate that takes its place is asked, and the refused one is in the
    tables with its only request."""

    def strict(body: Body) -> Any:
        if body.get("presence_penalty") == 0.5:
            return failure(400, "Unsupported parameter: 'presence_penalty' is not supported with this model.")
        return reasoned(body)

    result = picked(fake, answering=strict, request={"presence_penalty": ps.choice([0.5, None])}).run(BUDGET)
    refused = [body for body in fake.bodies if body.get("presence_penalty")]
    assert len(refused) == 1
    assert result.shots_df()["right"].notna().all()
    trials = result.trials_df()
    assert trials["state"].tolist().count("failed") == 1
    assert result.samples_df()["error"].notna().sum() == 1


def leaning(body: Body) -> dict[str, Any]:
    """Always positive, but more so where it is right."""
    likely = 0.95 if number_asked(body) % 2 else 0.7
    return completion("positive", prompt_of(body), {"positive": math.log(likely), "negative": math.log(1 - likely)})


@pytest.mark.system
def test_calibrated_answers_decide(fake: InProcessExecutor) -> None:
    """An answer form that is calibrated on rows is calibrated before right and wrong are told apart."""
    plain, calibrated = (
        picked(InProcessExecutor(), answering=leaning, answer=ps.Label(ROWS.labels, "logprobs", calibrate=calibrate))
        for calibrate in (None, "rows")
    )
    assert not plain.run(BUDGET).shots_df()["right"].all()
    assert calibrated.run(BUDGET).shots_df()["right"].all()


def test_only_the_default_model_is_asked(fake: InProcessExecutor) -> None:
    """Of several models the default's is asked."""
    models = ps.choice([fake.model("first"), fake.model("second")])
    result = picked(fake, model=models).run(BUDGET)
    asked = result.calls_df().query("role == 'bootstrap'")["key"]
    requests = result._store.requests("study", asked.tolist())
    assert {json.loads(text)["model"] for text in requests.values()} == {"first"}


def test_rescored_study_shows_the_same_shots(fake: InProcessExecutor, storage: str) -> None:
    """Rescoring sends nothing; the table of shots and what each trial shows stay."""
    result = picked(fake, storage).run(BUDGET)
    sent = fake.count
    rescored = picked(fake, storage, metric=ps.metrics.exact).rescore()
    assert fake.count == sent
    assert rescored.shots_df().to_csv() == result.shots_df().to_csv()


def test_estimate_and_preflight_count_the_calls(fake: InProcessExecutor) -> None:
    """Both say how many calls ask about the pool."""
    made = picked(fake)
    assert made.estimate(BUDGET).pool_calls == calls_by_role(made.run(BUDGET))["bootstrap"]
    assert "14 at most ask which rows" in repr(made.estimate(BUDGET))
    assert any("14 calls at most that ask which rows" in line for line in made.preflight(BUDGET).advice)
    plain = study(fake)
    assert plain.estimate(BUDGET).pool_calls == 0
    assert "ask which rows" not in repr(plain.estimate(BUDGET)) + repr(plain.preflight(BUDGET))


def test_stopped_run_keeps_nothing(fake: InProcessExecutor, storage: str) -> None:
    """A run that is interrupted while it asks ends without a result, and keeps no half-known sets."""

    def interrupted(body: Body) -> Any:
        if fake.count > 8:
            raise KeyboardInterrupt
        return reasoned(body)

    with pytest.raises(KeyboardInterrupt):
        picked(fake, storage, answering=interrupted, max_concurrency=1).run(BUDGET)
    assert Store(storage).pool_answers.of_study("study") is None
    result = picked(fake, storage).run(BUDGET)
    assert result.finished
    assert len(result.shots_df()) == 14


@pytest.mark.parametrize("stop", [None, 20, 90, 180])
@pytest.mark.system
def test_growth_and_own_shots_work_together(fake: InProcessExecutor, storage: str, stop: int | None) -> None:
    """Where options grow as well, each kind of call has its own role; the budget holds, and a resumed study pays
    nothing twice."""

    def answer(body: Body) -> Any:
        return proposed(body) if body["model"] == PROPOSER else reasoned(body)

    source = PICKED.replace('"Decide with care."]', '"Decide with care."], grow="says what to do"')
    settings = {"template": ps.Template(source), "proposer": fake.model(PROPOSER), "answering": answer}
    if stop is not None:
        fake.fail_after = stop
        with pytest.raises(RequestRefused):
            picked(fake, storage, max_concurrency=1, **settings).run(2 * BUDGET)
        del fake.bodies[stop:]
        fake.fail_after = None
    result = picked(fake, storage, **settings).run(2 * BUDGET)
    roles = calls_by_role(result)
    assert set(roles) == {"task", "bootstrap", "proposer"}
    assert sum(roles.values()) == fake.count == result.summary["calls"] <= 2 * BUDGET
    assert result.shots_df()["trials"].sum() > 0
    assert result.proposals_df()["accepted"].any()
