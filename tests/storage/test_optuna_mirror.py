"""The Optuna mirror: written by the first use, kept up to date from then on, and whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import optuna
import pytest
import sqlalchemy as sql
from optuna.distributions import CategoricalDistribution

import prompt_search as ps
from prompt_search.errors import StudyError
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace
from prompt_search.storage.optuna_mirror import (
    CAUTION,
    IMPORTANCES,
    NOTE,
    RESERVED_OPTIONS,
    RUNNING,
    option_names,
    reserved_names,
    stored_space,
)
from prompt_search.storage.records import ProposalRecord
from prompt_search.storage.store import Store
from tests.conftest import FakeServer, InProcessExecutor
from tests.growing import grown_study
from tests.storage.examples import S, summary, trial
from tests.study.examples import study, truth

CAUTIONED = {CAUTION: IMPORTANCES}

EMPTY = SearchSpace([Factor(name="a", kind="choice", options=("x", "y"))], lambda values: ["a"])


def has_optuna_tables(storage: str) -> bool:
    engine = sql.create_engine(storage)
    found = sql.inspect(engine).has_table("studies")
    engine.dispose()
    return found


def names(storage: str) -> list[str]:
    return sorted(optuna.get_all_study_names(storage))


def finished(store: Store) -> None:
    """A study 's' of two trials that has ended."""
    trials = [
        trial(0, state="complete", estimate=0.75),
        trial(1, state="failed", choices={"a": "z"}, positions={"a": 2}),
    ]
    store.open_study("s", {})
    store.open_version("s", {})
    store.save_trials(S, trials, [], at_end=summary(order=[0, 1], winner=0, effects=[]))


def test_trials_are_mirrored_to_optuna(storage: str) -> None:
    """The same file holds an Optuna study of that name, with short ids for options; a second mirror replaces it."""
    factor = Factor(name="a", kind="choice", options=("a long text " * 20, "y"))
    space = SearchSpace([factor], lambda values: ["a"])
    store = Store(storage)
    for _ in range(2):
        records = [
            trial(0, state="complete", estimate=0.75),
            trial(1, state="pruned", positions={"a": 1}, estimate=0.5),
            trial(2, state="failed"),
        ]
        store.mirror("s", space, records, "better\nby far")
    study = optuna.load_study(study_name="s", storage=storage)
    assert [mirrored.state.name for mirrored in study.trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.best_value == 0.75
    assert study.trials[1].params == {"a": "1 y"}
    assert study.trials[1].user_attrs == {"reason": "", "prompt": "s", "choices": {"a": "x"}}
    assert study.user_attrs == {**CAUTIONED, "result": "better\nby far"}
    assert max(len(mirrored.params["a"]) for mirrored in study.trials) <= 30
    store.delete_study("s")
    assert optuna.get_all_study_names(storage) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_study_in_memory_is_mirrored_in_memory(url: str) -> None:
    """A store in memory keeps its Optuna studies by name, and replaces them one by one."""
    store = Store(url)
    assert not store.optuna_mirror.is_kept("s")
    for name, note in [("s", "first"), ("t", "other"), ("s", "second")]:
        store.optuna_mirror.mirror(name, EMPTY, [trial(0, state="complete", estimate=0.75)], note)
    assert store.optuna_mirror.is_kept("s")
    notes = {}
    for name in "st":
        found = store.optuna_mirror.load(name)
        assert found is not None
        notes[name] = found.user_attrs[NOTE]
    assert notes == {"s": "second", "t": "other"}
    store.delete_study("s")
    assert store.optuna_mirror.load("s") is None


def test_stored_space_names_options_as_the_study_does() -> None:
    """Options come from the effects, those of choices with one option from the trials; where nothing was scored, an
    option that no trial had is called so."""
    trials = [trial(0, choices={"a": "x", "only": "one"}, positions={"a": 0, "only": 0})]
    trials += [trial(1, choices={"a": "long text " * 9}, positions={"a": 2})]
    effects = [
        {"choice": "a", "position": place, "option": text} for place, text in enumerate(["x", "y", "long text " * 9])
    ]
    made, original = (
        stored_space(trials, effects),
        Factor(name="a", kind="choice", options=("x", "y", "long text " * 9)),
    )
    assert {factor.name: factor.ids for factor in made.factors} == {"a": original.ids, "only": ("0 one",)}
    assert stored_space(trials, []).by_name["a"].ids == ("0 x", "1 not tried", original.ids[2])


def test_runs_make_no_tables_of_optuna_until_they_are_used(fake: InProcessExecutor, storage: str) -> None:
    """The first use of `optuna_study` makes the tables; from then on each run that ends is mirrored, also a longer one
    of the same study, and an earlier study when it is used."""
    fake.answer = truth
    first = study(fake, storage, name="first").run(60)
    before = study(fake, storage, name="before").run(60)
    assert not has_optuna_tables(storage)
    assert len(first.optuna_study.trials) == len(first.trials_df())
    assert names(storage) == ["first"]
    assert first.optuna_study.user_attrs == {**CAUTIONED, "result": first.headline}
    study(fake, storage, name="second").run(60)
    longer = study(fake, storage, name="first").run(120)
    assert names(storage) == ["first", "first@2", "second"]
    mirrored = optuna.load_study(study_name="first@2", storage=storage)
    assert len(mirrored.trials) == len(longer.trials_df()) > len(first.trials_df())
    assert mirrored.user_attrs == {**CAUTIONED, "result": longer.headline}
    assert len(ps.open_result(storage, "before").optuna_study.trials) == len(before.trials_df())
    assert names(storage) == ["before", "first", "first@2", "second"]


def test_mirror_is_the_same_from_the_run_and_from_the_storage(fake: InProcessExecutor, storage: str) -> None:
    """A stored study is mirrored as its own run mirrors it, with all options of each choice."""
    fake.answer = truth
    made = study(fake, storage)
    lazily = made.run(60).optuna_study.trials
    made.run(60)
    at_the_end = optuna.load_study(study_name="study", storage=storage).trials

    def shown(trials: list[optuna.trial.FrozenTrial]) -> list[object]:
        return [(t.state, t.value, t.params, t.distributions, t.user_attrs, t.intermediate_values) for t in trials]

    assert shown(lazily) == shown(at_the_end)


def test_interrupted_mirror_is_written_again(storage: str) -> None:
    """A mirror that was not written to its end is not taken for the study."""
    store = Store(storage)
    finished(store)
    optuna.create_study(study_name="s", storage=storage)
    assert store.optuna_mirror.load("s") is None
    found = store.optuna_study(S, lambda: "the note")
    assert ([t.params for t in found.trials], found.user_attrs) == (
        [{"a": "0 x"}, {"a": "2 z"}],
        {**CAUTIONED, "result": "the note"},
    )


def test_mirror_that_was_deleted_comes_back(storage: str) -> None:
    """Who deletes the Optuna study in a dashboard gets it again by the next use."""
    store = Store(storage)
    finished(store)
    store.optuna_study(S)
    optuna.delete_study(study_name="s", storage=storage)
    assert len(store.optuna_study(S).trials) == 2
    assert names(storage) == ["s"]


def test_mirror_is_not_written_twice(storage: str) -> None:
    """What users add to the Optuna study stays until the study is run again."""
    store = Store(storage)
    finished(store)
    store.optuna_study(S).set_user_attr("mine", 1)
    assert store.optuna_study(S, lambda: "another note").user_attrs == {**CAUTIONED, "mine": 1, "result": ""}


def test_unfinished_study_has_no_optuna_study(storage: str) -> None:
    """Before its end nothing is written for Optuna, and the message says how to get there."""
    store = Store(storage)
    store.open_study("s", {})
    store.open_version("s", {})
    with pytest.raises(StudyError) as caught:
        store.optuna_study(S)
    assert str(caught.value) == ("the study 's' is unfinished and has no Optuna study yet; run it again to resume")
    assert not has_optuna_tables(storage)


def test_trials_appear_while_a_watched_study_runs(fake: InProcessExecutor, storage: str) -> None:
    """Trials are there, with their mean scores and the metric's name, before the study ends; a run that goes on after
    an interruption has each of them once; at the end values are the estimates."""
    fake.answer = truth
    seen: list[list[optuna.trial.FrozenTrial]] = []

    def look(snapshot: ps.Snapshot) -> None:
        if snapshot.trials and snapshot.phase != "done" and snapshot.responses % 20 == 0:
            seen.append(optuna.load_study(study_name="study", storage=storage).trials)
        if snapshot.responses == 40 and len(seen) < 3:
            raise KeyboardInterrupt

    watched = study(fake, storage, mirror="live")
    with pytest.raises(KeyboardInterrupt):
        watched.run(100, progress=look)
    before = datetime.now()
    result = watched.run(100, progress=look)
    assert 0 < len(seen[0]) <= max(len(trials) for trials in seen) <= len(result.trials_df())
    assert any(trial.intermediate_values for trial in seen[-1])
    assert any(trial.state.name == "RUNNING" for trial in seen[0])
    mirrored = optuna.load_study(study_name="study", storage=storage)
    assert mirrored.metric_names == ["exact"]
    assert [trial.number for trial in mirrored.trials] == sorted(result.trials_df()["trial"])
    assert [trial.value for trial in mirrored.trials] == [trial.value for trial in result.optuna_study.trials]
    for each in mirrored.trials:
        assert each.datetime_start is not None
        assert each.datetime_complete is not None
        assert before <= each.datetime_start <= each.datetime_complete <= datetime.now()
    assert names(storage) == ["study"]


def test_stopped_trials_are_ended_at_once(storage: str) -> None:
    """Optuna shows a trial that the race stops as pruned, with its mean score, and keeps it so."""
    live = Store(storage).optuna_mirror.live("s", EMPTY, "accuracy")
    live.update(trial(0, state="running"), 0, None)
    live.update(trial(0, state="running"), 10, 0.5)
    live.update(trial(1, state="pruned", positions={"a": 1}), 10, 0.25)
    live.update(trial(1, state="pruned", positions={"a": 1}), 10, 0.25)
    live.update(trial(2, state="failed"), 0, None)
    live.close()
    found = optuna.load_study(study_name="s", storage=storage)
    assert [(each.state.name, each.value, each.intermediate_values) for each in found.trials] == [
        ("RUNNING", None, {10: 0.5}),
        ("PRUNED", 0.25, {10: 0.25}),
        ("FAIL", None, {}),
    ]
    assert found.metric_names == ["accuracy"]
    notes = found._storage.get_study_system_attrs(found._study_id)
    assert notes["dashboard:note_str:0"] == f"{RUNNING}\n\n{IMPORTANCES}"


def test_options_without_words_have_a_name() -> None:
    """An empty option and one of punctuation are more than a number."""
    factor = Factor(name="a", kind="choice", options=("", "A cue:", " \n", "###"))
    assert option_names(factor) == ("0 (empty)", "1 a cue", "2 ' \\n'", "3 '###'")


def test_study_in_memory_cannot_be_watched(fake: InProcessExecutor) -> None:
    """Nobody else can open it, so that live mirroring is refused; so is another word."""
    with pytest.raises(StudyError, match=r'mirror="live" needs a storage .*; give storage='):
        study(fake, None, mirror="live")
    with pytest.raises(StudyError, match='mirror must be "end" or "live", got \'always\'; give one of them'):
        study(fake, None, mirror="always")


def test_grown_study_opens_with_all_its_options(fake: InProcessExecutor, storage: str) -> None:
    """Options that were proposed are options of the Optuna study, tried or not, in the one that a run writes as in the
    one that is made of the stored study."""
    made = grown_study(fake, storage)
    result = made.run(200)
    lazily = result.optuna_study
    accepted = result.proposals_df().query("accepted")
    (distribution,) = {each.distributions["instruction"] for each in lazily.trials}
    assert isinstance(distribution, CategoricalDistribution)
    choices = distribution.choices
    assert len(choices) == 2 + len(accepted)
    assert isinstance(choices[-1], str)
    assert choices[-1].startswith(f"{len(choices) - 1} classify the text")
    made.run(200)
    at_the_end = optuna.load_study(study_name="study", storage=storage)
    assert [each.params for each in at_the_end.trials] == [each.params for each in lazily.trials]
    longer = made.run(350)
    mirrored = optuna.load_study(study_name="study@2", storage=storage)
    assert len(mirrored.trials) == len(longer.trials_df())
    assert mirrored.best_trial.user_attrs["choices"] == longer.choices(mirrored.best_trial.number)


def test_options_that_nobody_tried_are_named() -> None:
    """An option that was proposed and never tried has its text, also where nothing was scored."""
    proposal = ProposalRecord(
        choice="a", operator="vary", parents=(0,), wave=0, trial=0, rows=(), aside=(), text="new", option=1, reason="",
        key="k",
    )  # fmt: skip
    refused = replace(proposal, option=None, text="bad", reason="is empty")
    space = stored_space([trial(0, choices={"a": "x"}, positions={"a": 0})], [], [proposal, refused])
    assert space.by_name["a"].ids == ("0 x", "1 new")


@pytest.mark.system
def test_growing_study_is_watched(storage: str) -> None:
    """While a study grows, trials with proposed options appear under names that were kept for them, so that Optuna and
    its dashboard can read them; at the end each option has its own name. That holds for a run that was interrupted."""
    seen: list[optuna.Study] = []

    def look(snapshot: ps.Snapshot) -> None:
        if snapshot.phase != "done" and snapshot.trials > 8 and snapshot.responses % 40 == 0:
            seen.append(optuna.load_study(study_name="study", storage=storage))
            seen[-1].get_trials()
            if len(seen) == 2:
                raise KeyboardInterrupt

    with FakeServer() as server:
        watched = grown_study(server, storage, mirror="live")
        with pytest.raises(KeyboardInterrupt):
            watched.run(300, progress=look)
        result = watched.run(300, progress=look)
        longer = watched.run(500)
    running = [each for study in seen for each in study.get_trials(deepcopy=False)]
    grown = [each for each in running if each.params["instruction"].endswith(" proposed")]
    assert grown
    assert all(each.user_attrs["choices"]["instruction"].startswith("Classify the text. ") for each in grown)
    for name, found in (("study", result), ("study@2", longer)):
        ended = optuna.load_study(study_name=name, storage=storage)
        assert len(ended.trials) == len(found.trials_df())
        assert not [each for each in ended.trials if each.params["instruction"].endswith(" proposed")]
        assert optuna.importance.get_param_importances(ended)


def test_more_options_than_were_kept_share_a_name() -> None:
    """However many options are proposed, Optuna's choices stay as they are."""
    names = reserved_names(Factor(name="a", kind="choice", options=("x", "y"), grow="says how"))
    assert names[:4] == ("0 x", "1 y", "2 proposed", "3 proposed")
    assert len(names) == len(set(names)) == 2 + RESERVED_OPTIONS + 1
    assert names[-1] == f"{2 + RESERVED_OPTIONS} or later, proposed"
    assert reserved_names(Factor(name="a", kind="choice", options=("x", "y"))) == ("0 x", "1 y")
