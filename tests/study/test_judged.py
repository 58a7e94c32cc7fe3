"""Studies whose answers a judge scores: what is paid, stored and resumed, what is said, and what bad judges do."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import InputError, RequestRefused, StudyError
from prompt_search.report.result import Result
from tests.conftest import Body, FakeServer, InProcessExecutor, completion, failure, prompt_of
from tests.growing import PROPOSER
from tests.judging import DATA, JUDGE, answering, judged_part, judged_study, quality, to_judge
from tests.study.examples import assert_equal_results, sent

BUDGET = 160


@pytest.fixture(scope="module")
def whole() -> tuple[ps.Result, list[Any]]:
    """A study that ran through against a server, and the requests that it sent."""
    with FakeServer(answering) as server:
        return judged_study(server).run(BUDGET), list(server.bodies)


def test_judged_calls_are_paid_from_the_budget(whole: tuple[ps.Result, list[Any]]) -> None:
    """What the server counted is what the ledger has by role, nothing was sent twice, and the test rows could be paid:
    a row takes two calls."""
    result, bodies = whole
    ledger = result.ledger_df().set_index("role")["calls"]
    assert ledger["judge"] == len(to_judge(bodies)) > 0
    assert ledger["task"] == len(bodies) - len(to_judge(bodies))
    assert ledger.sum() == len(bodies) <= BUDGET
    assert max(sent(bodies).values()) == 1
    assert result.verdict.rows == len(DATA) * 3 // 10 == 12
    assert result.calls_df()["role"].value_counts()["judge"] == ledger["judge"]


def test_a_small_budget_still_tests_its_winner() -> None:
    """The search leaves the calls that the test needs, those of the judge included."""
    for calls in (60, 100):
        fake = InProcessExecutor(answering)
        result = judged_study(fake).run(calls)
        assert result.verdict.rows == int(calls * 0.3 / 2 / 2)
        assert calls * 0.8 < fake.count <= calls


def test_the_scores_are_those_of_the_judge(whole: tuple[ps.Result, list[Any]]) -> None:
    """Every score and explanation is that of the judge, the headline says whose they are, and what the judge took."""
    result, _ = whole
    scored = result.samples_df()
    assert (scored["score"] == [(quality(answer) - 1) / 4 for answer in scored["answer"]]).all()
    assert {*result.trial_samples(0)["explanation"]} <= {"kind enough", "not kind enough"}
    said = result.headline
    assert (
        "The scores are ratings of the judge judge-model (template quality), not of people: result.people_sheet() has "
        "answers that people may rate, to correct them." in said
    )
    calls = len(to_judge(whole[1]))
    assert f" {calls} calls of these asked the judge judge-model (" in said
    found = result.judgements_df()
    assert len(found) == len(scored)
    assert found["error"].isna().all()
    assert (found["score"].to_numpy() == scored["score"].to_numpy()).all()
    assert result.judge_noise_df().set_index("split")["answers"].gt(0).all()


def test_an_interrupted_study_judges_nothing_twice(whole: tuple[ps.Result, list[Any]], storage: str) -> None:
    """Interrupted after a call of the model and after one of the judge, a study sends nothing again, and ends in the
    same tables."""
    expected, bodies = whole
    with FakeServer(answering) as server:
        answered: list[Any] = []
        for stop in (31, 32, len(bodies) - 7):
            server.bodies, server.fail_after = [], stop - len(answered)
            with pytest.raises(RequestRefused):
                judged_study(server, storage, max_concurrency=1).run(BUDGET)
            answered += server.bodies[: server.fail_after]
        server.bodies, server.fail_after = [], None
        result = judged_study(server, storage, max_concurrency=1).run(BUDGET)
        answered += server.bodies
        before = server.count
        assert_equal_results(judged_study(server, storage).run(BUDGET), result)
        assert server.count == before
    assert sent(answered) == sent(bodies)
    assert_equal_results(result, expected)
    found, wanted = (each.judgements_df().drop(columns="key") for each in (result, expected))  # of another address
    pd.testing.assert_frame_equal(found, wanted)


def test_equal_answers_are_judged_once(fake: InProcessExecutor) -> None:
    """A model that says the same whatever the prompt is costs one call of the judge a row."""
    fake.answer = lambda body: "3: so so" if body["model"] == JUDGE else "the same"
    result = judged_study(fake).run(BUDGET)
    rows = result.samples_df()["row"].nunique()
    assert len(to_judge(fake.bodies)) == rows
    assert result.samples_df()["score"].eq(0.5).all()


def test_a_larger_budget_pays_for_the_difference(storage: str) -> None:
    """A study that goes on with more calls repeats no request to the judge."""
    fake = InProcessExecutor(answering)
    judged_study(fake, storage).run(100)
    judged_study(fake, storage).run(200)
    assert max(sent(fake.bodies).values()) == 1
    assert fake.count <= 200


def test_the_judge_may_be_on_another_server(server: FakeServer) -> None:
    """Model and judge each get their own requests, with their own price in one budget of dollars."""
    server.answer = answering
    with FakeServer(answering) as other:
        cheap, dear = ps.Price(prompt=1.0, completion=1.0), ps.Price(prompt=100.0, completion=100.0)
        judge = ps.Judge("quality", model=other.model(JUDGE, price=dear), weighted=False)
        study = judged_study(server, model=server.model(price=cheap), metric=judge)
        result = study.run(ps.Budget(calls=80, usd=5.0))
        ledger = result.ledger_df().set_index("role")
        assert (server.count, other.count) == (ledger["calls"]["task"], ledger["calls"]["judge"])
        assert ledger["cost_usd"]["judge"] > 10 * ledger["cost_usd"]["task"] > 0
        unpriced = judged_study(server, metric=ps.Judge("quality", model=other.model("unknown")))
        with pytest.raises(InputError, match="the price of fake is unknown"):
            unpriced.run(ps.Budget(usd=1.0))


def test_answers_that_get_no_rating_count_as_worst(fake: InProcessExecutor) -> None:
    """A judge that fails on some answers is a failure of its kind with the lowest score: counted, told, in every
    denominator."""
    bad = {
        "judge_scale": "9",
        "judge_unreadable": "Looks good!",
        "judge_empty": "",
        "judge_cut": completion("Let me think", finish_reason="length"),
        "judge_refused": failure(400, "content management policy: the prompt triggered a filter"),
    }

    def kind_for(answer: str) -> str | None:
        return dict(enumerate(bad)).get(zlib.crc32(answer.encode()) % 12)

    def failing(body: Body) -> Any:
        kind = kind_for(judged_part(body)) if body["model"] == JUDGE else None
        return answering(body) if kind is None else bad[kind]

    fake.answer = failing
    result = judged_study(fake).run(BUDGET)
    scored = result.samples_df()
    kinds = [None if error is None else error.partition(":")[0] for error in scored["error"]]
    assert kinds == [kind_for(answer) for answer in scored["answer"]]
    assert {*kinds} == {None, *bad}
    unrated = scored[scored["error"].notna()]
    assert unrated["score"].eq(0).all()
    assert scored["score"].notna().all()
    assert result.verdict.rows == 12
    assert "test answers got no rating (judge_" in result.headline
    assert ") and count as the lowest score" in result.headline
    assert result.judge_noise_df()["unrated"].sum() > 0
    assert result.trials_df()["errors"].sum() > 0


def test_a_judge_that_rates_nothing_ends_the_run(fake: InProcessExecutor) -> None:
    """It is not paid until the budget is over: twenty answers without a rating are enough."""
    fake.answer = lambda body: "nice" if body["model"] == JUDGE else answering(body)
    with pytest.raises(RequestRefused) as raised:
        judged_study(fake).run(BUDGET)
    assert str(raised.value) == (
        "none of the first 20 answers of the judge judge-model has a rating, the last with judge_unreadable: no rating "
        "in 'nice'; state in its template what it is to answer, or give another judge"
    )
    assert fake.count < BUDGET / 2


def test_lost_judgements_are_asked_again(fake: InProcessExecutor) -> None:
    """A request to the judge that failed on the road leaves its row without a score, and is sent again before the
    verdict, which then has all rows."""
    lost: set[str] = set()

    def failing(body: Body) -> Any:
        key = json.dumps(body, sort_keys=True)
        if body["model"] == JUDGE and zlib.crc32(key.encode()) % 5 == 0 and key not in lost:
            lost.add(key)
            return {"unexpected": "this is no chat completion"}
        return answering(body)

    fake.answer = failing
    result = judged_study(fake).run(300, n_trials=3)
    assert len(lost) > 3
    assert result.verdict.rows == 12
    assert result.verdict.missing == 0
    searched = result.samples_df().query("split == 'search' and error.notna()", engine="python")
    assert searched["score"].isna().all()
    assert all("of the judge judge-model: " in error for error in searched["error"])


def test_probabilities_are_used_where_there_are_some(fake: InProcessExecutor) -> None:
    """A server without log-probabilities is asked without them from then on; a judge that requires them ends the
    run."""
    fake.answer = answering
    result = judged_study(fake, metric=ps.Judge("quality", model=fake.model(JUDGE))).run(60)
    asked = [bool(body.get("logprobs")) for body in to_judge(fake.bodies)]
    assert asked.count(True) == 1
    assert not result.judgements_df()["weighted"].any()
    required = ps.Judge("quality", model=fake.model(JUDGE), weighted=True)
    with pytest.raises(RequestRefused, match=r"the judge judge-model: the server refuses .* leave out weighted=True"):
        judged_study(fake, metric=required, name="required").run(60)


def test_a_server_without_the_system_role_is_asked_without_it(fake: InProcessExecutor) -> None:
    """What a template says as the system is then the beginning of what it says as the user."""

    def refusing(body: Body) -> Any:
        if any(message["role"] == "system" for message in body["messages"]):
            return failure(400, "Jinja Exception: System role not supported")
        return answering(body)

    fake.answer = refusing
    result = judged_study(fake).run(40)
    asked = to_judge(fake.bodies)
    assert [len(body["messages"]) for body in asked[:2]] == [2, 1]
    assert {len(body["messages"]) for body in asked[1:]} == {1}
    assert asked[-1]["messages"][0]["content"].startswith("You rate answers of a language model.")
    assert result.samples_df()["error"].isna().all()


def test_reasons_reach_the_proposer(fake: InProcessExecutor) -> None:
    """What the judge says against an answer is shown to a model that proposes new wordings."""

    def proposing(body: Body) -> Any:
        if body["model"] == PROPOSER:
            return f"<option>Rewrite it kindly, version {zlib.crc32(prompt_of(body).encode()) % 100}.</option>"
        return answering(body)

    fake.answer = proposing
    source = '{{ choice("instruction", ["Rewrite.", "Change it."], grow="says how") }}\n{{ row.text }}'
    result = judged_study(
        fake, template=ps.Template(source), proposer=ps.Proposer(fake.model(PROPOSER), ["reflect"], share=0.3)
    ).run(400)
    shown = [prompt_of(body) for body in fake.bodies if body["model"] == PROPOSER]
    assert shown
    assert all("Why: not kind enough" in prompt for prompt in shown)
    assert result.ledger_df().set_index("role")["calls"].sum() == fake.count <= 400


def test_people_correct_the_verdict(whole: tuple[ps.Result, list[Any]]) -> None:
    """People rate some of the test answers; a judge that they disagree with decides nothing any more."""
    result, _ = whole
    sheet = result.people_sheet(10)
    assert list(sheet.columns) == ["trial", "row", "text", "answer", "human"]
    assert len(sheet) == 20
    assert {*sheet["trial"]} == {0, result.best_trial}
    agreeing = result.people_verdict(sheet.assign(human=[quality(answer) for answer in sheet["answer"]]))
    assert agreeing.verdict == "better"
    assert agreeing.weight == 1.0
    assert abs(agreeing.difference - result.verdict.difference) < 1e-9
    assert str(agreeing).startswith(
        "By people's scores of 10 of 12 test rows, and the judge's of all, the winner is be"
    )
    noise = [1 + zlib.crc32(answer.encode()) % 5 for answer in sheet["answer"]]
    other = result.people_verdict(sheet.assign(human=noise))
    assert other.verdict == "not shown"
    assert other.low < other.difference < other.high


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda sheet: sheet.drop(columns="human"),
            StudyError,
            "the sheet has no column 'human'; take that of",
        ),
        (
            lambda sheet: sheet.assign(human=7),
            InputError,
            "the rating 7 is not on the scale of the judge, a whole",
        ),
        (
            lambda sheet: sheet.head(4).assign(human=3),
            StudyError,
            "rate the answers of both prompts to at least 10",
        ),
        (
            lambda sheet: sheet.assign(human=3, row=999),
            StudyError,
            "on row 999, which has no test score; take",
        ),
    ],
)
def test_bad_sheets_are_refused(
    whole: tuple[ps.Result, list[Any]], change: Any, error: type[Exception], message: str
) -> None:
    """A sheet that says nothing is told in one line."""
    with pytest.raises(error, match=message):
        whole[0].people_verdict(change(whole[0].people_sheet(10)))


def test_other_studies_have_no_sheet(fake: InProcessExecutor) -> None:
    """Where no judge rated answers, people have nothing to correct; and rows are counted."""
    fake.answer = "Please give me 1."
    result = judged_study(fake, metric=ps.metrics.token_f1).run(60)
    with pytest.raises(StudyError, match="has no judge that rates answers on a scale, so people cannot rate them"):
        result.people_sheet()
    assert result.judgements_df().empty
    assert result.judge_noise_df().empty


def test_the_estimate_has_the_judge(fake: InProcessExecutor, storage: str) -> None:
    """Its calls are a part of the totals, at their own price; afterwards they are those that were spent."""
    fake.answer = answering
    judge = ps.Judge("quality", model=fake.model(JUDGE, price=ps.Price(prompt=2.0, completion=8.0)), weighted=False)
    study = judged_study(fake, storage, model=fake.model(price=ps.Price(prompt=1.0, completion=1.0)), metric=judge)
    before = study.estimate(100)
    assert before.judge is not None
    assert (before.calls, before.judge.calls, before.judge.per_row) == (100, 50, 1)
    assert 0 < before.judge.usd < before.usd
    assert f"judge          at most 50 calls of {JUDGE}, 1 for each answer, " in repr(before)
    study.run(100)
    after = study.estimate(100)
    assert after.usd < before.usd
    assert after.basis == "50 cached responses of this study or its preflight"


def test_the_preflight_says_whose_scores_they_are(fake: InProcessExecutor) -> None:
    """It asks the judge within its few calls, and says what that means."""
    fake.answer = answering
    found = judged_study(fake).preflight(600)
    assert fake.count <= 30
    assert len(to_judge(fake.bodies)) > 5
    assert found.advice[-1] == (
        "Scores are those of the judge judge-model, which takes 1 of 2 calls for each answer; judge.agreement_df(data) "
        "compares it with people."
    )


def test_another_judge_is_another_study(fake: InProcessExecutor, storage: str) -> None:
    """A study is not continued with another judge, and a stored one is not scored again by one, which would have to be
    asked; another metric scores it for free."""
    fake.answer = answering
    study = judged_study(fake, storage)
    study.run(60)
    count = fake.count
    with pytest.raises(StudyError, match="judge"):
        study.replace(metric=ps.Judge("reference", model=fake.model(JUDGE))).run(60)
    with pytest.raises(StudyError, match="rescore sends nothing, and the judge judge-model would have to be asked"):
        study.rescore()
    again = study.replace(metric=ps.metrics.token_f1).rescore()
    assert again.metric == "token_f1"
    assert fake.count == count
    assert "ratings of the judge" not in again.headline


def test_what_does_not_go_with_a_judge_is_refused(fake: InProcessExecutor) -> None:
    """Groups of rows, answers that change with every row, and columns that are not there, before any request."""
    judge = ps.Judge("pairwise", model=fake.model(JUDGE), against="other")
    with pytest.raises(InputError, match="the judge compares with the column 'other', which is not in the data"):
        judged_study(fake, metric=judge)
    with pytest.raises(InputError, match="worst_slice cannot ask a judge; give the judge itself as the metric"):
        judged_study(fake, metric=ps.metrics.WorstSlice(ps.Judge("quality", model="x"), by="text"))
    calibrated = ps.Label(["a", "b"], mode="logprobs", calibrate="rows")
    with pytest.raises(InputError, match="the answers of label_logprobs_calibrated change with every further row"):
        judged_study(fake, answer=calibrated)
    assert fake.count == 0


def test_two_answers_are_compared_in_both_orders(fake: InProcessExecutor) -> None:
    """A judge that always takes the first answer finds all answers equal."""
    fake.answer = lambda body: "A" if body["model"] == JUDGE else answering(body)
    judge = ps.Judge("pairwise", model=fake.model(JUDGE), weighted=False)
    result = judged_study(fake, metric=judge).run(90)
    assert result.samples_df()["score"].eq(0.5).all()
    assert result.judge_noise_df()["order_effect"].eq(1.0).all()
    with pytest.raises(StudyError, match="has no judge that rates answers on a scale"):
        result.people_sheet()


def test_one_prompt_is_judged(fake: InProcessExecutor, tmp_path: Path) -> None:
    """``evaluate`` asks the judge, too, within its budget, and counts what got no rating."""
    fake.answer = answering
    judge = ps.Judge("quality", model=fake.model(JUDGE), weighted=False)
    prompt = ps.Prompt(source="Rewrite it kindly. {{ row.text }}", answer=ps.Text().to_dict())
    scored = ps.evaluate(prompt, DATA, model=fake.model(), metric=judge, executor=fake, storage=tmp_path / "s.db")
    assert (len(scored.scores), fake.count) == (40, 80)
    assert scored.metric == "judge quality"
    again = ps.evaluate(prompt, DATA, model=fake.model(), metric=judge, executor=fake, storage=tmp_path / "s.db")
    assert (again.scores, fake.count) == (scored.scores, 80)
    few = ps.evaluate(prompt, DATA, model=fake.model(), metric=judge, executor=fake, budget=21)
    assert (len(few.scores), fake.count) == (10, 100)
    fake.answer = lambda body: "6" if body["model"] == JUDGE and "1" in judged_part(body) else answering(body)
    failed = ps.evaluate(prompt, DATA, model=fake.model(), metric=judge, executor=fake)
    assert failed.failures["judge_scale"] == failed.errors > 0
    assert len(failed.scores) == 40
    assert f"{failed.errors} judge_scale lowest score" in repr(failed)


def test_reports_show_what_the_judge_took(whole: tuple[ps.Result, list[Any]], tmp_path: Path) -> None:
    """The report has the judge's line of the ledger and the headline, as HTML and as Markdown."""
    result: Result = whole[0]
    for suffix in ("html", "md"):
        text = result.report(tmp_path / f"report.{suffix}").read_text(encoding="utf-8")
        assert "ratings of the judge judge-model" in text
        assert "judge" in text.split("by role")[-1]
