"""What a study says of itself: tables, verdict, ranking, and representations that hold hostile prompts."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused, StorageError, StudyError
from prompt_search.results.breakdowns import EFFECT_COLUMNS, INTERACTION_COLUMNS
from prompt_search.results.evaluation import Evaluation
from prompt_search.results.spent import spent_sentence
from prompt_search.results.statistics import paired_difference
from prompt_search.results.tables import CALL_COLUMNS, SAMPLE_COLUMNS, TRIAL_COLUMNS, calls_frame, scored_frame
from prompt_search.results.verdict import Verdict
from prompt_search.results.view import Pieces
from prompt_search.results.views import ranking_view
from prompt_search.results.wording import difference_text
from tests.conftest import Body, InProcessExecutor, call_columns, completion, failure, prompt_of
from tests.html_examples import Page
from tests.results.examples import HOSTILE, data, study, truth


@pytest.fixture
def result(fake: InProcessExecutor, storage: str) -> ps.Result:
    """A finished study whose hostile option is the better one."""
    fake.answer = truth
    return study(fake, storage).run(200)


def test_headline_says_what_is_shown(result: ps.Result) -> None:
    """Winner, default, rows, difference, interval and p, and what it cost."""
    assert result.finished
    assert result.verdict == "better"
    assert "care" in result.best.text
    verdict, summary, trials = result.verdict, result.summary, result.trials_df()
    winner, default = (
        f"{score.mean:.3f} ({score.low:.3f} to {score.high:.3f})"
        for score in (result.test_score(result.best_trial), result.test_score(0))
    )
    best = trials.sort_values("score", ascending=False, kind="stable").iloc[0]
    chosen = trials.set_index("trial").loc[result.best_trial]
    headline, searched, spent = result.headline.splitlines()
    assert headline == (
        f"<b>my study</b>: The winner is better than the default prompt: {winner} against {default} on {verdict.rows} "
        f"test rows that the search never saw (test set used once), difference {verdict.difference:+.3f} "
        f"({verdict.low:+.3f} to {verdict.high:+.3f}), p = {verdict.p:.2g}. Always answering “negative”, the most "
        f"frequent label, scores {verdict.majority:.3f} on these rows, and the default prompt is not above that."
    )
    assert searched == (
        f"In the search the highest score was {best['score']:.3f} on {best['search_rows']} rows and the winner's "
        f"{chosen['score']:.3f} on {chosen['search_rows']} rows; both are optimistic, because they were selected among "
        f"{len(trials)} candidates. The winner's selection-corrected estimate is {chosen['estimate']:.3f}."
    )
    assert spent == (
        f"{summary['calls']} calls of fake ({summary['tokens']:,} tokens, price unknown, {summary['seconds']:.0f} s) "
        f"were used of a budget of 200 calls; {len(trials)} of 4 candidates were tried."
    )


def test_prompt_that_ranks_above_the_winner_is_explained(result: ps.Result) -> None:
    """Where another prompt stands first in the ranking, the headline says why it is not the winner."""
    table = result._table
    table.loc[table["trial"] == 0, "estimate"] = 1.25
    assert result.headline.splitlines()[1].endswith(
        " Trial 0 has a higher estimate (1.250), but was no finalist, and only finalists can win."
    )


def test_verdict_carries_its_numbers(result: ps.Result) -> None:
    """Difference, interval, p, rows, won and lost are attributes and agree with the samples."""
    verdict = result.verdict
    samples = result.samples_df()
    sealed = samples[samples["split"] == "test"].pivot(index="row", columns="trial", values="score")
    change = sealed[result.best_trial] - sealed[0]
    assert verdict.difference == pytest.approx(change.mean())
    assert (verdict.rows, verdict.won, verdict.lost) == (len(change), (change > 0).sum(), (change < 0).sum())
    assert verdict.low <= verdict.difference <= verdict.high
    assert 0 <= verdict.p < 0.05
    assert result.test_score(0)[0] == pytest.approx(sealed[0].mean())
    untested = next(trial for trial in result.trials_df()["trial"] if trial not in (0, result.best_trial))
    assert math.isnan(result.test_score(untested)[0])
    assert result.test_score(untested)[3] == 0


def test_tables_have_their_columns(result: ps.Result) -> None:
    """The documented columns, one row per trial, sample and call, that agree with each other."""
    trials, samples, calls = result.trials_df(), result.samples_df(), result.calls_df()
    assert list(trials.columns) == [*TRIAL_COLUMNS, "instruction", "cue", "prompt"]
    assert list(samples.columns) == list(SAMPLE_COLUMNS)
    assert list(calls.columns) == list(CALL_COLUMNS)
    assert trials["rows"].sum() == len(samples)
    assert calls["attempts"].sum() == result.summary["calls"]
    assert set(trials["instruction"]) == set(HOSTILE)
    means = samples[samples["split"] == "search"].groupby("trial")["score"].mean()
    assert trials.set_index("trial")["score"].to_dict() == pytest.approx(means.to_dict())
    assert samples["target"].isin(["positive", "negative"]).all()


def test_effects_tell_which_choice_mattered(result: ps.Result) -> None:
    """The option that makes the model right has an effect above 0, the first line; trials are counted by option."""
    effects, trials = result.effects_df(), result.trials_df()
    assert list(effects.columns) == list(EFFECT_COLUMNS)
    assert effects[["choice", "option"]].iloc[0].tolist() == ["instruction", HOSTILE[1]]
    assert effects["effect_low"][0] > 0
    assert (effects["effect_low"] < effects["effect"]).all()
    assert (effects["effect"] < effects["effect_high"]).all()
    assert effects.groupby("choice")["effect"].sum().abs().max() < 1e-9
    assert effects["trials"][0] == (trials["instruction"] == HOSTILE[1]).sum()
    assert effects["choice"].tolist() == ["instruction"] * 2 + ["cue"] * 2
    assert effects["importance"].is_monotonic_decreasing
    assert list(result.interactions_df().columns) == list(INTERACTION_COLUMNS)


def test_estimate_is_drawn_towards_what_all_trials_say(result: ps.Result) -> None:
    """The highest score is corrected downwards, and every trial with a score has an estimate."""
    trials = result.trials_df()
    highest = trials.sort_values("score").iloc[-1]
    assert trials["estimate"].notna().all()
    assert 0.5 < float(highest["estimate"]) < float(highest["score"])


def test_simplest_is_the_shortest_that_is_surely_near_the_winner(result: ps.Result) -> None:
    """Within any margin that is the shortest prompt of all, within none the winner; each is what was sent."""
    trials = result.trials_df().set_index("trial")
    assert result.simplest_trial(margin=1.5) == trials["prompt_tokens"].idxmin()
    assert result.simplest_trial(margin=0.0) == result.best_trial
    assert result.simplest(margin=1.5).text == trials["prompt"][result.simplest_trial(margin=1.5)]


def test_best_hand_written_prompt_is_tested_too(fake: InProcessExecutor) -> None:
    """The best enqueued prompt is scored on the same test rows, and the headline compares it."""

    def labelled(body: Body) -> str:
        right, wrong = ("positive", "negative") if "good thing" in prompt_of(body) else ("negative", "positive")
        luck = zlib.crc32(prompt_of(body).encode()) % 10
        return right if "care" in prompt_of(body) or luck < (5 if "Label:" in prompt_of(body) else 1) else wrong

    fake.answer = labelled
    made = study(fake)
    made.enqueue({"cue": "Label:"})
    result = made.run(300)
    assert result.hand_written_trial == 1
    other = result.against(1)
    assert (other, other.rows) == ("better", result.verdict.rows)
    score = result.test_score(1)
    line = (
        f". The winner is better than the best prompt written by hand: {score.mean:.3f} ({score.low:.3f} to "
        f"{score.high:.3f}), difference {other.difference:+.3f} ({other.low:+.3f} to {other.high:+.3f}), "
        f"p = {other.p:.2g}. Always answering “negative”, the most frequent label, scores "
        f"{result.verdict.majority:.3f} on these rows, and the default prompt is not above that."
    )
    assert result.headline.splitlines()[0].endswith(line)
    assert study(fake).run(100).hand_written_trial is None


@pytest.mark.parametrize(
    ("written", "tested"),
    [
        ([{"cue": "Label:"}], {"default (all first options)", "best written by hand", "winner"}),
        ([ps.Prompt(source="Guess wrongly: {{ row.text }}", name="mine")], {"best written by hand"}),
        ([{}, {"cue": "Label:"}], {"best written by hand"}),
    ],
)
def test_hand_written_prompt_worse_than_the_default_is_tested(
    fake: InProcessExecutor, written: list[Any], tested: set[str]
) -> None:
    """What the user enqueued gets test rows although the default is better, on the third share of the test's calls."""

    def labelled(body: Body) -> str:
        right, wrong = ("positive", "negative") if "good thing" in prompt_of(body) else ("negative", "positive")
        luck = zlib.crc32(prompt_of(body).encode()) % 10
        bad = "Label:" in prompt_of(body) or "wrongly" in prompt_of(body)
        return right if "care" in prompt_of(body) or luck < (1 if bad else 6) else wrong

    fake.answer = labelled
    made = study(fake)
    for each in written:
        made.enqueue(prompt=each) if isinstance(each, ps.Prompt) else made.enqueue(each)
    result = made.run(200)
    assert tested <= {*result.tested}
    assert result.hand_written_trial == result.tested["best written by hand"] > 0
    assert result.against(result.hand_written_trial).rows == result.verdict.rows
    assert "The winner is better than the best prompt written by hand: " in result.headline


def test_default_enqueued_alone_takes_no_third_share_of_the_test(fake: InProcessExecutor) -> None:
    """Who enqueues the default tests two prompts, on as many rows as without it."""
    fake.answer = truth
    made, plain = study(fake), study(fake)
    made.enqueue({})
    assert made.plan.max_tested == plain.plan.max_tested == 2
    assert made.run(100).verdict.rows == plain.run(100).verdict.rows


def test_enqueued_prompt_that_wins_is_said(fake: InProcessExecutor) -> None:
    """A winner that the user wrote is called so."""
    fake.answer = truth
    made = study(fake)
    made.enqueue({"instruction": HOSTILE[1], "cue": "Label:"})
    made.enqueue({"instruction": HOSTILE[1]})
    result = made.run(200)
    assert result.hand_written_trial == result.best_trial
    assert result.headline.splitlines()[0].endswith(
        ". The winner was written by hand. Always answering “negative”, the most frequent label, scores "
        f"{result.verdict.majority:.3f} on these rows, and the default prompt is not above that."
    )
    assert [*result.tested] == ["default (all first options)", "winner"]
    assert result.verdict.rows == min(len(made.test_rows), int(200 * 0.3 / 2))


def test_slices_and_confusion_are_of_the_sealed_rows(result: ps.Result) -> None:
    """Default and winner by any column or function of the row, and the winner's answers by target."""
    tested = result.verdict.rows
    slices = result.slices_df(data(), "label")
    assert slices["split"].unique().tolist() == ["test"]
    assert slices.groupby("trial")["rows"].sum().to_dict() == {0: tested, result.best_trial: tested}
    assert slices["label"].tolist() == ["negative", "negative", "positive", "positive"]
    by_length = result.slices_df(data(), lambda row: len(row.text) > 19)
    assert set(by_length["group"]) <= {True, False}
    confusion = result.confusion_df()
    assert confusion.to_numpy().sum() == tested
    assert confusion.loc["positive", "positive"] == tested - confusion.loc["negative"].sum()
    assert result.labels_df()["bias"].tolist() == [0, 0]
    untested = next(trial for trial in result.trials_df()["trial"] if trial not in (0, result.best_trial))
    searched = result.trials_df().set_index("trial")["search_rows"]
    assert result.confusion_df(untested).to_numpy().sum() == searched[untested]


def test_slices_of_other_data_are_refused(result: ps.Result) -> None:
    """Other rows would be grouped wrongly; a column that is not there is named with those that are."""
    with pytest.raises(StudyError, match="the data differs from that of the study"):
        result.slices_df(data(20), "label")
    with pytest.raises(ps.InputError, match="there is no column 'length' to group by; there are: text, label"):
        result.slices_df(data(), "length")
    with pytest.raises(
        ps.InputError, match=r"^the function that groups the rows raised ZeroDivisionError for row \d+: .*"
    ):
        result.slices_df(data(), lambda row: 1 / 0)
    with pytest.raises(
        ps.InputError, match=r"^the function .* raised TypeError for row \d+: unhashable type: 'list'; corr"
    ):
        result.slices_df(data(), lambda row: [row.text])


def test_slices_by_a_column_that_the_table_has_are_refused(fake: InProcessExecutor) -> None:
    """A column called as one of the table's is refused with the way around it; other groups keep their values."""
    fake.answer = truth
    frame = data().frame()
    frame = frame.assign(rows=frame.index % 2, score=frame.index % 3, level=frame.index % 3)
    made = study(fake, data=ps.Dataset(frame, target="label"), test=40)
    result = made.run(100)
    with pytest.raises(ps.InputError) as caught:
        result.slices_df(made.data, "rows")
    assert str(caught.value) == (
        "the column 'rows' cannot be a group, because the table has a column of that name; group by a function, "
        "by=lambda row: row['rows']"
    )
    with pytest.raises(ps.InputError) as caught:
        result.slices_df(made.data, ["level", "score"])
    assert str(caught.value) == (
        "the column 'score' cannot be a group, because the table has a column of that name; group by a function, "
        "by=lambda row: (row['level'], row['score'])"
    )
    with pytest.raises(ps.InputError) as caught:
        result.slices_df(made.data, ["level", "level"])
    assert str(caught.value) == "rows are grouped by each column once, but 'level' is given twice; give it once"
    levels = result.slices_df(made.data, "level")
    scores = result.slices_df(made.data, lambda row: row["score"])
    assert {*map(repr, levels["level"])} == {*map(repr, scores["group"])} == {"0", "1", "2"}
    assert levels.drop(columns="level").equals(scores.drop(columns="group"))


@pytest.mark.parametrize("name", ["value", "usd_per_1000_rows", "front_tokens"])
def test_choice_called_as_a_column_of_another_table(fake: InProcessExecutor, tmp_path: Path, name: str) -> None:
    """Reports, fronts and rankings do not mistake a choice for one of their columns."""
    fake.answer = truth
    source = f'{{{{ choice("{name}", options) }}}} {{{{ row.text }}}}'
    result = study(fake, template=ps.Template(source, context={"options": HOSTILE})).run(100)
    assert set(result.trials_df()[name]) == {"plain", HOSTILE[1]}
    assert result.pareto_df()["front_tokens"].any()
    for suffix in ("html", "md"):
        assert result.report(tmp_path / f"report.{suffix}").exists()


def test_report_of_labels_called_as_the_confusion_table_is(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A label may be called ``target``: its column and the targets are both in the report."""
    fake.answer = lambda body: "target" if "good thing" in prompt_of(body) else "other"
    frame = data().frame().replace({"label": {"positive": "target", "negative": "other"}})
    result = study(fake, data=ps.Dataset(frame, target="label")).run(100)
    report = result.report(tmp_path / "report.md").read_text("utf-8")
    assert "| target (index) | other | target |" in report.splitlines()


def test_ranking_begins_with_the_winner(result: ps.Result) -> None:
    """Every trial once, the winner first."""
    ranking = result.ranking()
    assert ranking["trial"].iloc[0] == result.best_trial
    assert sorted(ranking["trial"]) == sorted(result.trials_df()["trial"])


def test_best_is_what_was_sent(result: ps.Result, fake: InProcessExecutor, tmp_path: Path) -> None:
    """The winner, exported and read back, renders a prompt that the server was sent."""
    prompt = ps.Prompt.read(result.best.export(tmp_path / "best.j2"))
    samples = result.samples_df()
    row = int(samples[samples["trial"] == result.best_trial]["row"].iloc[0])
    assert prompt.messages(data().rows[row].fields) in [body["messages"] for body in fake.bodies]
    assert result.baseline.choices == {"instruction": "plain", "cue": ""}


def test_hostile_text_is_shown_and_harmless(result: ps.Result) -> None:
    """Brackets stay in the terminal; no tag of a prompt, option or name reaches the notebook's HTML."""
    assert "[brackets]" in repr(result)
    page = result._repr_html_()
    assert "<script" not in page
    assert "<b>my study" not in page
    assert "[brackets] &lt;script&gt;alert(1)&lt;/script&gt; {{ x }}" in page
    assert "&lt;b&gt;my study&lt;/b&gt;" in page
    lines = repr(result).splitlines()
    assert len(lines) == 6 + 2 * len(result.trials_df())  # no option breaks a line of the table


def test_study_is_opened_again(result: ps.Result, storage: str) -> None:
    """From the storage alone everything is the same."""
    again = ps.open_result(storage, "<b>my study</b>")
    assert again.headline == result.headline
    assert again.best == result.best
    pd.testing.assert_frame_equal(again.trials_df(), result.trials_df())
    pd.testing.assert_frame_equal(again.samples_df(), result.samples_df())
    with pytest.raises(StudyError, match=r"there is no study 'other' in .*; stored: '<b>my study</b>'"):
        ps.open_result(storage, "other")
    with pytest.raises(StorageError, match="cannot be opened"):
        ps.open_result("nothing", "other")


def test_reading_makes_no_database(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """A storage that is not there, or not any more, is told, and stays away."""
    file = tmp_path / "study.db"
    told = f"{file}: there is no such database; "
    found = ps.evaluate(ps.Prompt(source="{{ row.text }}"), data(4), model=fake.model(), executor=fake, storage=storage)
    for each in tmp_path.iterdir():
        each.unlink()
    run_first = "run a study first, or give its --storage"
    uses: list[tuple[Callable[[], object], str]] = [
        (lambda: ps.open_result(storage, "x"), run_first),
        (lambda: study(fake, storage).rescore(), run_first),
        (found.samples_df, "evaluate again"),
    ]
    for read, remedy in uses:
        with pytest.raises(StorageError) as caught:
            read()
        assert str(caught.value) == told + remedy
    assert list(tmp_path.iterdir()) == []


def test_mirrored_optuna_study_can_be_loaded(result: ps.Result) -> None:
    """Optuna's own tools find the trials with their estimates and choices."""
    mirrored = result.optuna_study
    assert len(mirrored.trials) == len(result.trials_df())
    assert mirrored.trials[0].params == {"instruction": "0 plain", "cue": "0 (empty)"}
    assert mirrored.best_trial.params["instruction"].startswith("1 brackets script")


@pytest.mark.parametrize("calls", [0, 70])
def test_unfinished_study_has_no_optuna_study(fake: InProcessExecutor, storage: str, calls: int) -> None:
    """Before its end nothing is written for Optuna, and the message says how to get there."""
    fake.answer, fake.fail_after = truth, calls
    with pytest.raises(RequestRefused):
        study(fake, storage).run(150)
    with pytest.raises(StudyError) as caught:
        _ = ps.open_result(storage, "<b>my study</b>").optuna_study
    assert str(caught.value) == (
        "the study '<b>my study</b>' is unfinished and has no Optuna study yet; run it again to resume"
    )


def test_deleted_optuna_study_is_written_again(result: ps.Result, storage: str) -> None:
    """An Optuna study that somebody deleted, in its dashboard say, is back when it is used, with the same trials."""
    before = result.optuna_study.trials
    optuna.delete_study(study_name="<b>my study</b>", storage=storage)

    after = result.optuna_study.trials

    assert [(trial.params, trial.value) for trial in after] == [(trial.params, trial.value) for trial in before]


def test_default_that_stays_is_said(fake: InProcessExecutor) -> None:
    """Where no candidate beats the default, the result says so and gives its score."""
    result = study(fake, metric=lambda answer, row: True).run(100)
    assert result.best_trial == 0
    low, rows = result.test_score(0).low, result.test_score(0).rows
    assert result.headline.splitlines()[0] == (
        "<b>my study</b>: All 85 answers are “positive”, whatever prompt and row are: read a whole prompt. "
        "No candidate was found that is expected to beat the default prompt, which scores 1.000 "
        f"({low:.3f} to 1.000) on {rows} test rows."
    )
    assert result.verdict == "not shown"


def test_comparison_that_shows_nothing_says_what_it_could_have_shown(fake: InProcessExecutor) -> None:
    """Where answers are right by chance, the headline says which true difference so many rows show."""
    fake.answer = lambda body: ["positive", "negative"][zlib.crc32(prompt_of(body).encode()) % 2]
    result = study(fake).run(200)
    assert (result.verdict, result.best_trial > 0) == ("not shown", True)
    assert (
        f"; with this many test rows a true difference of {result.verdict.detectable:.2f} would be detected with 80% "
        "power. Always answering "
    ) in result.headline.splitlines()[0]
    assert 0.2 < result.verdict.detectable < 1


def test_what_decides_is_said_where_test_and_interval_disagree() -> None:
    """14 rows won and 5 lost of 60: p is above 0.05, the interval leaves out 0; elsewhere there is no word of it."""
    apart = Verdict.of(paired_difference([0] * 14 + [1] * 5 + [1] * 41, [1] * 14 + [0] * 5 + [1] * 41))
    assert (apart, apart.p > 0.05, apart.low > 0) == ("not shown", True, True)
    assert difference_text(apart) == (
        "difference +0.150 (+0.008 to +0.282), p = 0.064 (p decides, the interval is approximate); with this many rows "
        "a true difference of 0.21 would be detected with 80% power"
    )
    for won, lost in ((20, 2), (5, 5)):
        agreed = Verdict.of(paired_difference([0] * won + [1] * lost, [1] * won + [0] * lost))
        assert not agreed.disagrees_with_interval
        assert "decides" not in difference_text(agreed)


def test_failed_test_is_said(fake: InProcessExecutor) -> None:
    """When the test rows fail one by one, that is the reason given, not the budget."""
    made = study(fake, data=data(24))
    sealed = {data(24).rows[row]["text"] for row in made.test_rows}

    def answer(body: Body) -> Any:
        failing = any(prompt_of(body).endswith(text) for text in sealed)
        return failure(500, "busy", Retry_After="0") if failing else "positive"

    fake.answer = answer
    result = made.run(600)
    failed = int((result.samples_df()["split"] == "test").sum())
    assert result.headline.splitlines()[0] == (
        "<b>my study</b>: All 68 answers are “positive”, whatever prompt and row are: read a whole prompt. "
        f"There is no verdict, because {failed} of {failed} test requests failed, the first with: "
        "server: http://fake.invalid/v1 answered 500 for fake: busy (6 attempts)."
    )
    assert repr(result)


def test_unfinished_study_has_a_result(fake: InProcessExecutor, storage: str) -> None:
    """After a refusal the stored part can be looked at: tables, the best so far, and that it is unfinished."""
    fake.answer = truth
    fake.fail_after = 70
    with pytest.raises(RequestRefused):
        study(fake, storage).run(150)
    result = ps.open_result(storage, "<b>my study</b>")
    assert not result.finished
    count = len(result.trials_df())
    assert result.headline == (
        f"<b>my study</b>: The study is unfinished after {count} candidates; run it again to resume."
    )
    tokens = int(result.ledger_df()[["prompt_tokens", "completion_tokens"]].sum(axis=1).sum())
    assert result.spent == f"70 calls so far ({tokens:,} tokens, price unknown)."
    assert repr(result).startswith(f"{result.headline}\n{result.spent}\n\n")
    assert f"<div>{result.spent}</div>" in result._repr_html_()
    assert "estimate" not in [column.title for column in ranking_view(result).columns]
    assert numbers(result, "score") == sorted(numbers(result, "score"), reverse=True)
    assert len(result.calls_df()) == 70
    trials = result.trials_df()
    assert set(trials["state"]) == {"running"}
    assert result.best_trial in set(trials["trial"])
    assert result.ranking()["score"].is_monotonic_decreasing
    assert "[brackets]" in repr(result)
    assert result._repr_html_()


def test_study_refused_at_once_has_a_result(fake: InProcessExecutor, storage: str) -> None:
    """A study whose very first request was refused can be shown too."""
    fake.fail_after = 0
    with pytest.raises(RequestRefused):
        study(fake, storage).run(150)
    result = ps.open_result(storage, "<b>my study</b>")
    assert len(result.trials_df()) == len(result.samples_df()) == len(result.calls_df()) == 0
    assert "unfinished after 0 candidates" in repr(result)
    assert "unfinished" in result._repr_html_()
    with pytest.raises(StudyError, match="study '<b>my study</b>' has no trial 0; it has none"):
        result.prompt(0)


def test_known_prices_are_summed(fake: InProcessExecutor) -> None:
    """With a price the cost is told in dollars, and an unpriced answer makes it unknown."""
    fake.answer = lambda body: completion(truth(body), usage={"prompt_tokens": 1000, "completion_tokens": 0})
    result = study(fake, model=fake.model(price=ps.Price(prompt=1.0, completion=1.0))).run(50)
    assert result.summary["usd"] == pytest.approx(result.summary["calls"] / 1000)
    assert f" tokens, ${result.summary['usd']:.4f}, " in result.headline.splitlines()[2]
    assert result.trials_df()["cost_usd"].sum() == pytest.approx(result.summary["usd"])


def test_scores_outside_zero_and_one_are_shown(fake: InProcessExecutor) -> None:
    """A metric on another scale does not break the notebook's bars."""
    fake.answer = truth
    result = study(fake, metric=lambda answer, row: 10.0 * (answer == row.target) - 5 + len(row.text) / 100).run(60)
    assert "width:" in result._repr_html_()


def test_evaluation_without_scores() -> None:
    """No row scored is NaN, not 0."""
    nothing = scored_frame([], calls_frame(call_columns([])))
    empty = Evaluation.of(ps.Prompt(source="x"), nothing, "evaluation", None)
    assert math.isnan(empty.score)
    assert len(empty.samples_df()) == 0
    assert repr(empty) == "Evaluation: unknown on 0 rows, 0 unparsed, 0 errors"


def test_representations_show_text_as_text(fake: InProcessExecutor) -> None:
    """Template, space, data, study before and after its run, result and evaluation: no tag comes from outside."""
    fake.answer = lambda body: HOSTILE[1]
    made = study(fake, answer=ps.Text())
    shown: list[Any] = [made.template, made.space(), made.data, made]
    assert "not run in this session" in made._repr_html_()
    found = made.run(60)
    shown += [made, found, ps.evaluate(found.best, data(12), model=fake.model(), executor=fake)]
    assert made._repr_html_() == found._repr_html_()
    for page in (Page(each._repr_html_()) for each in shown):
        assert not {"script", "img", "a"} & set(page.tags)
        assert page.tags.count("style") == 1
    assert HOSTILE[1].splitlines()[0] in " ".join(Page(shown[1]._repr_html_()).texts["td"])
    assert "the worst 5 of 12 rows with less than full score" in shown[-1]._repr_html_()


def test_many_options_are_cut_off() -> None:
    """A notebook lists the first of a choice's options and says how many more there are."""
    space = ps.Template('{{ integer("n", 1, 500) }}').space()
    assert "and 480 more" in space._repr_html_()


def test_ranking_has_the_winner_in_full_and_what_others_change(result: ps.Result) -> None:
    """The winner's row has all its choices; the others have those with another option than the winner's."""
    cells = {row[1]: row[-1] for row in ranking_view(result, None).rows}
    winner = result.choices(result.best_trial)
    for trial, cell in cells.items():
        assert isinstance(cell, Pieces)
        chosen = result.choices(int(str(trial)))
        names = [name for name in chosen if trial == result.best_trial or chosen[name] != winner.get(name)]
        told = [text.partition("=")[0] for text, _ in cell.parts if text != "(the default prompt)"]
        assert told == names


def test_ranking_is_sorted_by_a_number_that_it_shows(result: ps.Result) -> None:
    """It is sorted by the estimates, and the winner is in the shortest list."""
    assert numbers(result, "estimate") == sorted(numbers(result, "estimate"), reverse=True)
    assert result.best_trial in [row[1] for row in ranking_view(result, 1).rows]


def numbers(result: ps.Result, title: str) -> list[float]:
    """The numbers that a ranking shows in a column."""
    view = ranking_view(result, None)
    place = [column.title for column in view.columns].index(title)
    return [cell for cell in (row[place] for row in view.rows) if isinstance(cell, float)]


def test_tokens_are_unknown_where_the_server_counts_none() -> None:
    """The sentence on what a study used says "tokens unknown", not "0 tokens", where no response counted tokens, and
    how many candidates got no score."""
    used = {"calls": 300, "model": "m", "cached": 0, "usd": None, "seconds": 12.0, "budget": {"calls": 300}}

    sentence = spent_sentence(tokens=0, tried=8, candidates=10, unscored=2, **used)  # type: ignore[arg-type]

    assert sentence == (
        "300 calls of m (tokens unknown, price unknown, 12 s) were used of a budget of 300 calls; 8 of 10 candidates "
        "were tried, 2 of them without a score."
    )
