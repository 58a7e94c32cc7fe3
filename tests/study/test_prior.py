"""Starting from earlier studies: what is taken, what is never taken, and what stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused, StudyError
from prompt_search.storage.once.prior_studies import PriorStudies
from prompt_search.study.prior.taking import row_digest
from tests.conftest import Body, InProcessExecutor
from tests.growing import answering, grown_study
from tests.study.examples import DATA, SOURCE, assert_equal_results, data, study, truth

BUDGET = 100

OTHER_TEMPLATE = """{{ choice("opening", ["Hello.", "Hi.", "Good day."]) }}
{{ choice("question", ["Which label?", "What label?"]) }}
{{ row.text }}"""


def other_data(rows: int = 60, word: str = "item") -> ps.Dataset:
    """Rows of the same kind with other texts."""
    frame = data(rows).frame()
    return ps.Dataset(frame.assign(text=frame["text"].str.replace("number", word)), target="label")


def taken(result: ps.Result) -> PriorStudies:
    found = result._store.prior_studies.of_study(result.study)
    assert found is not None
    return found


def prior_line(result: ps.Result) -> str:
    (line,) = [line for line in result.headline.splitlines() if line.startswith("The prior ")]
    return line


@pytest.fixture
def first(fake: InProcessExecutor, storage: str) -> ps.Result:
    """An earlier study in the storage."""
    fake.answer = truth
    return study(fake, storage, name="first").run(BUDGET)


def test_without_a_prior_nothing_is_taken(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """A study without a prior does the same whatever else is in its storage, and says nothing of it."""
    alone = study(fake, name="second", data=other_data()).run(BUDGET)
    beside = study(fake, storage, name="second", data=other_data()).run(BUDGET)
    assert_equal_results(alone, beside)
    assert beside._store.prior_studies.of_study("second") is None
    assert "prior" not in beside.summary
    assert "prior" not in beside.identity


def test_effects_of_options_are_taken_by_name_and_text(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """On other data, options with the same name and text are known, also where others were added, removed or moved."""
    changed = SOURCE.replace(
        '"Classify.", "Read.", "Decide with care.", "Which?"', '"Decide with care.", "New.", "Read."'
    )
    result = study(fake, storage, name="second", data=other_data(), template=ps.Template(changed), prior="storage").run(
        BUDGET
    )
    (known,) = taken(result).studies
    assert (known.study, known.options) == ("first", 7)
    assert taken(result).ease == []
    assert prior_line(result) == result.summary["prior"]
    assert prior_line(result).startswith("The prior knew 7 options from first (weight at the end ")
    scored = first.trials_df().set_index("trial")["score"].dropna()
    assert len(known.trials) == len(scored)
    careful = [trial.score for trial in known.trials if trial.choices["instruction"] == "Decide with care."]
    assert min(careful) > 0.5 > max(trial.score for trial in known.trials if trial.score not in careful)


def test_first_candidates_are_those_of_which_much_is_expected(
    fake: InProcessExecutor, storage: str, first: ps.Result
) -> None:
    """The first candidates after the default have the option that the earlier study knows to be good."""
    result = study(fake, storage, name="second", data=other_data(), prior="storage").run(BUDGET)
    chosen = [result.choices(trial)["instruction"] for trial in range(1, 4)]
    assert chosen.count("Decide with care.") >= 2


def test_ease_is_taken_by_the_content_of_rows(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """With another template on the same rows in another order, rows are known by their fields; no option is."""
    frame = DATA.frame().iloc[::-1].reset_index(drop=True)
    result = study(
        fake,
        storage,
        name="second",
        data=ps.Dataset(frame, target="label"),
        template=ps.Template(OTHER_TEMPLATE),
        prior="first",
    ).run(BUDGET)
    found = taken(result)
    scored = set(first.samples_df().query("split == 'search'")["row"])
    test_texts = {frame["text"][row] for row in study(fake, data=ps.Dataset(frame, target="label")).test_rows}
    expected = {DATA.rows[row]["text"] for row in scored} - test_texts
    assert {frame["text"][row] for row, _ in found.ease} == expected
    assert found.studies == []
    search = len(study(fake, data=ps.Dataset(frame, target="label")).search_rows)
    assert prior_line(result).startswith(f"The prior knew how easy {len(expected)} of {search} search rows are (weight")


def test_test_rows_are_never_taken(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """Scores on what are test rows of the new study now count neither for options nor for rows."""
    searched = first.samples_df().query("split == 'search'")
    sealed = sorted(searched["row"].unique())[::2]
    result = study(fake, storage, name="second", test=[int(row) for row in sealed], prior="first").run(BUDGET)
    found = taken(result)
    assert not {row for row, _ in found.ease} & set(sealed)
    left = searched[~searched["row"].isin(sealed)].groupby("trial").size()
    assert sorted(trial.rows for trial in found.studies[0].trials) == sorted(left.tolist())


def test_search_of_the_test_rows_alone_gives_nothing(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """An earlier study that was scored on nothing but the test rows knows nothing."""
    sealed = [int(row) for row in first.samples_df().query("split == 'search'")["row"].unique()]
    result = study(fake, storage, name="second", test=sealed, prior="first").run(BUDGET)
    assert prior_line(result) == "The prior knew nothing: no earlier study has options or rows of this one."


def test_interrupted_study_replays_what_it_took(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A study that was interrupted goes on with what it took at its start, although the storage has grown since: it has
    the trials, scores, winner, verdict and headline of one that ran through."""

    def begun(name: str) -> ps.Study:
        storage = f"sqlite:///{tmp_path}/{name}.db"
        study(fake, storage, name="first").run(BUDGET)
        return study(fake, storage, name="second", data=other_data(), prior="storage", max_concurrency=1)

    fake.answer = truth
    whole = begun("whole").run(BUDGET)
    interrupted = begun("interrupted")
    last = fake.count + 60

    def stopping(body: Body) -> str:
        if fake.count > last:
            raise KeyboardInterrupt
        return truth(body)

    fake.answer = stopping
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(BUDGET)
    fake.answer = truth
    study(fake, interrupted.storage, name="third", data=other_data(word="piece"), seed=3).run(BUDGET)
    resumed = interrupted.run(BUDGET)
    assert_equal_results(whole, resumed)
    assert taken(whole) == taken(resumed)
    assert [each.study for each in taken(resumed).studies] == ["first"]


@pytest.mark.system
def test_larger_budget_keeps_what_was_taken(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """A later result of the same study rests on what the study took when it began; with ``fresh`` it takes anew."""
    second = study(fake, storage, name="second", data=other_data(), prior="storage")
    before = taken(second.run(BUDGET))
    study(fake, storage, name="third", data=other_data(word="piece")).run(BUDGET)
    assert taken(second.run(2 * BUDGET)) == before
    assert [each.study for each in taken(second.run(BUDGET, fresh=True)).studies] == ["third", "first"]


def test_result_of_another_storage(fake: InProcessExecutor, storage: str, tmp_path: Path, first: ps.Result) -> None:
    """A result is taken from wherever it is; the study is told apart from one that took another result of that name."""
    elsewhere = study(fake, f"sqlite:///{tmp_path}/elsewhere.db", name="first").run(BUDGET)
    second = study(fake, storage, name="second", data=other_data(), prior=elsewhere)
    result = second.run(BUDGET)
    assert taken(result).studies[0].study == "first"
    assert result.identity["prior"] == {"study": "first", "created": elsewhere.created}
    assert_equal_results(result, second.run(BUDGET))
    with pytest.raises(StudyError, match="prior was first, is none: give it again"):
        second.replace(prior=None).run(BUDGET)
    with pytest.raises(StudyError, match="was started with other settings: prior "):
        second.replace(prior=first).run(BUDGET)


def test_unfinished_study_gives_a_line(fake: InProcessExecutor, storage: str) -> None:
    """A study that has not ended knows nothing yet, which the headline says."""
    fake.answer = truth
    fake.fail_after = 60
    with pytest.raises(RequestRefused):
        study(fake, storage, name="first", max_concurrency=1).run(BUDGET)
    fake.fail_after = None
    result = study(fake, storage, name="second", prior="first").run(BUDGET)
    assert prior_line(result) == "The prior knew nothing: study 'first' is unfinished."


def test_storage_without_other_studies_gives_a_line(fake: InProcessExecutor) -> None:
    """Where there is nothing to take, the headline says so, and the search is that of a study without a prior."""
    fake.answer = truth
    alone, told = study(fake).run(BUDGET), study(fake, prior="storage").run(BUDGET)
    assert prior_line(told) == "The prior knew nothing: no earlier study has options or rows of this one."
    assert alone.trials_df().to_csv() == told.trials_df().to_csv()
    assert alone.headline.count("\n") == told.headline.count("\n") - 1


def test_reported_estimates_rest_on_the_study_alone(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """Estimates and effects are those of the study's own scores: a search that took nothing and has the same trials
    reports the same."""
    result = study(fake, storage, name="second", data=other_data(), prior="storage").run(BUDGET)
    own = study(fake, storage, name="second", data=other_data(), prior="storage", metric="exact").rescore("second")
    columns = ["trial", "score", "rows", "estimate"]
    pd.testing.assert_frame_equal(
        result.trials_df()[columns].sort_values("trial", ignore_index=True),
        own.trials_df()[columns].sort_values("trial", ignore_index=True),
    )
    pd.testing.assert_frame_equal(result.effects_df(), own.effects_df())


def test_rescored_studies_and_folds_are_no_earlier_ones(fake: InProcessExecutor, storage: str) -> None:
    """Neither what was rescored of a study, nor the other folds of the same cross-fit, is taken."""
    fake.answer = truth
    first = study(fake, storage, name="first")
    first.run(BUDGET)
    first.rescore()
    fitted = study(fake, storage, name="fitted", data=other_data(90), prior="storage").cross_fit(4 * BUDGET, 2)
    for result in [*fitted.folds, fitted.result]:
        assert [each.study for each in taken(result).studies] == ["first"]


def test_wrong_priors_are_refused(fake: InProcessExecutor, storage: str, first: ps.Result) -> None:
    """What is no earlier study is an error in one line, before any request; nothing is stored."""
    takes = 'prior= takes "storage", the name of a study in the same storage or a Result, not '
    wrong: dict[Any, str] = {
        "nobody": "there is no study 'nobody' in .*; stored: 'first'",
        "second": "study 'second' cannot be its own prior; give another study, or another name",
        "": f"{takes}an empty text; give one of them",
        3: takes,
    }
    sent = fake.count
    for prior, message in wrong.items():
        with pytest.raises(StudyError, match=message):
            study(fake, storage, name="second", prior=prior).run(BUDGET)
    assert fake.count == sent
    assert first._store.study_names() == ["first"]


def test_studies_of_earlier_releases_are_known_by_their_data(
    fake: InProcessExecutor, storage: str, first: ps.Result
) -> None:
    """Without stored digests, rows are known where the whole data are the same; on other data nothing is taken, because
    they might have the test rows."""
    with first._store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM prompt_search_row_digests")
    same = study(fake, storage, name="same", template=ps.Template(OTHER_TEMPLATE), prior="first").run(BUDGET)
    assert len(taken(same).ease) > 0
    other = study(fake, storage, name="other", data=other_data(), prior="first").run(BUDGET)
    assert prior_line(other) == "The prior knew nothing: no earlier study has options or rows of this one."


def test_digest_is_of_the_fields() -> None:
    """The order of columns and the label do not count; every field does."""
    row = ps.Dataset([{"a": "x", "b": 1, "label": "yes"}], target="label").rows[0]
    moved = ps.Dataset([{"b": 1, "label": "no", "a": "x"}], target="label").rows[0]
    other = ps.Dataset([{"a": "x", "b": 2, "label": "yes"}], target="label").rows[0]
    assert row_digest(row) == row_digest(moved) != row_digest(other)


@pytest.mark.system
def test_choices_that_grow(fake: InProcessExecutor, storage: str) -> None:
    """A study whose choices grow starts from an earlier one, too."""
    fake.answer = answering
    first = grown_study(fake, storage, name="first").run(200)
    second = grown_study(fake, storage, name="second", seed=1, prior="first").run(200)
    assert first.lineage().shape[0] > 0
    assert prior_line(second).startswith("The prior knew 5 options from first (weight at the end ")
    assert second.verdict.rows > 2
