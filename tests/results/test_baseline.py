"""What verdicts are compared with, and metrics with a range, in finished studies."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sql

import prompt_search as ps
from prompt_search.metrics.majority import Majority
from prompt_search.results import wording
from prompt_search.results.breakdowns import one_answer
from prompt_search.results.statistics import paired_difference
from prompt_search.results.verdict import AnswerCounts, Verdict
from prompt_search.storage import schema
from tests.conftest import Body, InProcessExecutor, prompt_of
from tests.results.examples import data, study, truth


@ps.metrics.metric(low=0, high=1)
def graded(answer: Any, row: Any) -> float:
    """0.97 or so for a right answer, else little."""
    return 0.97 + 0.03 * (len(row["text"]) % 2) if answer == row.target else 0.1


def unread(body: Body) -> str:
    """The hostile option is right; without it most answers cannot be read."""
    readable = "care" in prompt_of(body) or zlib.crc32(prompt_of(body).encode()) % 10 < 3
    return truth(body) if readable else "hmm, hard to say"


def one_label(body: Body) -> str:
    """The hostile option is right; without it the answer is the same for each row."""
    return truth(body) if "care" in prompt_of(body) else "negative"


def test_majority_is_the_share_of_the_most_frequent_label_on_the_tested_rows(fake: InProcessExecutor) -> None:
    """It is an attribute of the verdict, from the targets of the rows that winner and default are compared on."""
    fake.answer = truth
    verdict = study(fake).run(200).verdict
    result = study(fake).run(200)
    targets = result.samples_df().query("trial == 0 and split == 'test'")["target"]
    counts = targets.value_counts()
    assert verdict.majority == pytest.approx(counts.max() / len(targets))
    assert verdict.majority_label in counts[counts == counts.max()].index


@pytest.mark.parametrize(
    ("answer", "remark"),
    [
        (
            unread,
            (
                "The default prompt's answers could not be read on {share} of test rows, so this says more about its "
                "form than about its wording."
            ),
        ),
        (
            one_label,
            (
                "The default prompt answers “negative” on 100% of test rows, whatever they say, so any prompt that "
                "tells rows apart is better."
            ),
        ),
    ],
)
def test_a_default_that_says_nothing_is_named(
    fake: InProcessExecutor, answer: Callable[[Body], str], remark: str
) -> None:
    """A headline of "better" names a default prompt that was not read, or says one label, and says it once."""
    fake.answer = answer
    result = study(fake).run(200)
    counts = result.test_counts(0)
    share = wording.share_text(counts.unparsed, counts.answers)
    assert result.verdict == "better"
    assert result.headline.splitlines()[0].endswith(
        f", p = {result.verdict.p:.2g}. Always answering “{result.verdict.majority_label}”, the most frequent label, "
        f"scores {result.verdict.majority:.3f} on these rows, and the default prompt is not above that. "
        + remark.format(share=share)
    )


def test_cross_fitting_has_the_majority_too(fake: InProcessExecutor) -> None:
    """The verdict over all folds stands beside the majority of all their rows."""
    fake.answer = one_label
    found = study(fake, name="folds").cross_fit(200)
    verdict = found.verdict
    assert found.headline.splitlines()[0].endswith(
        f", p = {verdict.p:.2g}. Always answering “{verdict.majority_label}”, the most frequent label, scores "
        f"{verdict.majority:.3f} on these rows, and the default prompt is not above that. The default prompt answers "
        "“negative” on 100% of test rows, whatever they say, so any prompt that tells rows apart is better."
    )


def test_comparisons_and_reports_have_the_majority(fake: InProcessExecutor) -> None:
    """Two prompts are compared beside it, and the report has it among the numbers that decide."""
    fake.answer = truth
    result = study(fake, name="mine").run(200)
    found = ps.compare(result.evaluation(0), result)
    assert found.headline.endswith(
        f"Always answering “negative”, the most frequent label, scores {found.verdict.majority:.3f} on these rows, and "
        "mine:0 is not above that."
    )


@pytest.mark.parametrize(
    ("scores", "end"),
    [
        ({"the default prompt": 0.4, "the winner": 0.6}, ", and the default prompt is not above that"),
        ({"the default prompt": 0.6, "the winner": 0.5}, ", and the winner is not above that"),
        ({"the default prompt": 0.5, "the winner": 0.4}, ", and neither prompt is above that"),
        ({"the default prompt": 0.6, "the winner": 0.7}, ""),
        ({"the default prompt": 0.5}, ", and the default prompt is not above that"),
    ],
)
def test_prompts_that_are_not_above_the_majority_are_named(scores: dict[str, float], end: str) -> None:
    """Which of the two prompts is not above what always answering one label scores is said in plain words."""
    verdict = Verdict.of(paired_difference([0, 1], [1, 0]), Majority("[x] <b>", 0.5, 2))
    assert wording.majority_sentence(verdict, scores) == (
        f"Always answering “[x] <b>”, the most frequent label, scores 0.500 on these rows{end}"
    )


def test_answers_that_are_no_labels_have_no_majority(fake: InProcessExecutor) -> None:
    """Free text has no most frequent label, and its verdict says nothing of one."""
    fake.answer = truth
    result = study(fake, answer=ps.Text()).run(60)
    assert math.isnan(result.verdict.majority)
    assert result.verdict.majority_label is None
    assert "Always answering" not in result.headline


def test_one_answer_needs_targets_that_differ(fake: InProcessExecutor) -> None:
    """A prompt that says one label is named only where the rows are not nearly all of that label."""
    fake.answer = one_label
    rows = study(fake).run(60).samples_df().query("trial == 0").assign(unparsed=False)
    assert one_answer(rows) == ("negative", len(rows), len(rows))
    assert one_answer(rows[rows["target"] == "negative"]) is None
    assert one_answer(rows.head(0)) is None


def test_all_numbers_of_a_study_keep_to_the_range(fake: InProcessExecutor, storage: str) -> None:
    """Test scores, tables, comparison and evaluation of a metric in [0, 1] have intervals in it; effects in [-1, 1]."""
    fake.answer = truth
    result = study(fake, storage, metric=graded).run(200)
    assert result.score_range == (0, 1)
    found = ps.compare(result.evaluation(0), result)
    scores = [result.test_score(trial) for trial in (0, result.best_trial)] + [*found.scores.values()]
    ends = [end for score in scores for end in (score.low, score.high)] + [*result.evaluation().interval]
    for frame, names in (
        (result.trials_df(), ("score_low", "score_high", "estimate")),
        (result.progress_df(), ("best_low", "best_high")),
        (result.slices_by_target(), ("score_low", "score_high")),
    ):
        ends += [end for name in names for end in frame[name].dropna().tolist()]
    assert len(ends) > 30
    assert all(0 <= end <= 1 for end in ends)
    effects = result.effects_df()
    assert effects[["effect_low", "effect_high"]].abs().to_numpy().max() <= 1
    assert all(-1 <= each.low <= each.high <= 1 for each in (result.verdict, found.verdict))


def test_a_score_outside_of_the_range_ends_the_run(fake: InProcessExecutor) -> None:
    """The error names the metric, the row and the score."""

    @ps.metrics.metric(low=0, high=1)
    def percent(answer: Any, row: Any) -> float:
        return 57.0

    fake.answer = truth
    with pytest.raises(
        ps.InputError,
        match=r"^the metric percent states that its scores are 0 to 1, but gave row \d+ the score 57; correct the "
        r"metric or its range$",
    ):
        study(fake, metric=percent).run(60)


def test_the_range_is_stored_and_may_be_stated_later(fake: InProcessExecutor, storage: str) -> None:
    """A study that was stored without its range is resumed, and shown by the range from then on; without a run the
    range of a metric of the package is known by its name."""
    fake.answer = truth
    result = study(fake, storage).run(60)
    assert ps.open_result(storage, result.name).score_range == (0, 1)
    engine = sql.create_engine(storage)
    with engine.begin() as connection:
        identity = json.loads(connection.execute(sql.select(schema.studies.c.identity)).scalar_one())
        assert identity.pop("metric_range") == [0.0, 1.0]
        connection.execute(schema.studies.update().values(identity=json.dumps(identity)))
    engine.dispose()
    assert ps.open_result(storage, result.name).score_range == (0, 1)
    again = study(fake, storage).run(60)
    assert again.identity["metric_range"] == [0.0, 1.0]
    assert again.headline.splitlines()[:2] == result.headline.splitlines()[:2]


def test_failed_requests_and_unread_answers_score_lowest_where_0_is_best(fake: InProcessExecutor) -> None:
    """With a metric of losses an answer that cannot be read is no perfect one."""

    @ps.metrics.metric(low=-10, high=0)
    def loss(answer: Any, row: Any) -> float:
        return -1.0 if answer == row.target else -2.0

    fake.answer = unread
    result = study(fake, metric=loss).run(60)
    unparsed = result.samples_df()[result.samples_df()["answer"].isna()]
    assert len(unparsed)
    assert set(unparsed["score"]) == {-10.0}


def test_evaluations_have_the_range(fake: InProcessExecutor) -> None:
    """The interval of evaluate keeps to the range of its metric."""
    fake.answer = truth
    prompt = study(fake).run(60).best
    found = ps.evaluate(prompt, data(30), model=fake.model(), executor=fake, metric=graded)
    assert found.score_range == (0, 1)
    assert found.interval[1] <= 1
    assert AnswerCounts.of(found.scored) == found.counts


def test_an_estimate_above_the_winners_score_is_no_correction_of_optimism() -> None:
    """The winner's score is called optimistic where its estimate is below it; where it is above, what it
    is made of."""
    below = wording.search_sentence((1.0, 5), (0.9, 20), 0.884, 32)
    above = wording.search_sentence((1.0, 5), (0.9, 20), 0.912, 32)
    same = wording.search_sentence((1.0, 5), (0.9, 20), 0.9001, 32)
    assert below == (
        "In the search the highest score was 1.000 on 5 rows and the winner's 0.900 on 20 rows; both are optimistic, "
        "because they were selected among 32 candidates. The winner's selection-corrected estimate is 0.884."
    )
    assert above == (
        "In the search the highest score was 1.000 on 5 rows, which is optimistic, because it was selected among 32 "
        "candidates. The winner's was 0.900 on 20 rows; the estimate of its score on new rows from the scores of "
        "all candidates and the difficulty of their rows is higher, 0.912."
    )
    assert same == below.replace("0.884", "0.900")
