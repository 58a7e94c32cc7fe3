"""Stored studies: resumed or refused, damaged ones kept apart; trials and scored rows come back."""

from __future__ import annotations

from typing import Any

import pytest

from prompt_search.errors import StorageError, StudyError
from prompt_search.llm.messages import Response
from prompt_search.storage.store import Store
from tests.storage.examples import LONE, S, damage, keep, sample, summary, trial


def test_study_is_opened_again(store: Store) -> None:
    """The same settings go on with the stored study; what was stored stays."""
    store.open_study("s", {"seed": 0, "labels": ("a", "b"), "range": range(2)})
    key = keep(store, Response(text="yes"))
    store.open_study("s", {"seed": 0, "labels": ["a", "b"], "range": [0, 1]})
    assert list(store.calls("s")) == [key]
    assert [record.study for record in store.studies()] == ["s"]


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({"seed": 0}, {"seed": 1}, "seed was 0, is 1"),
        ({"seed": 0}, {"seed": 0, "metric": "exact"}, 'metric was absent, is "exact"'),
        ({"seed": 0, "metric": "exact"}, {"seed": 0}, 'metric was "exact", is absent'),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, "a was 1, is 2; b was 1, is 2"),
        ({"t": "x" * 500 + "old/path/end"}, {"t": "x" * 500 + "new/path/end"}, 'x{30}old/path/end", is …x{30}new'),
        ({"models": [["m", "u"]]}, {"models": [["n", "v"]]}, "models was m at u, is n at v"),
        (
            {"proposer": {"model": "m", "endpoint": "u"}},
            {},
            r"proposer was m, is none: give it again \(on the command line --propose m\)",
        ),
        ({}, {"proposer": {"model": "m", "endpoint": "u"}}, "proposer was none, is m: leave it out"),
        (
            {"proposer": {"model": "m", "endpoint": "u", "share": 0.1}},
            {"proposer": {"model": "m", "endpoint": "v", "share": 0.1}},
            "proposer was m at u, is m at v",
        ),
        (
            {"proposer": {"model": "m", "endpoint": "u", "share": 0.1}},
            {"proposer": {"model": "m", "endpoint": "u", "share": 0.2}},
            'proposer was ….*"share": 0.1}, is ….*"share": 0.2}',
        ),
        ({"rows": [6, 4, "a"]}, {"rows": [7, 3, "b"]}, "rows was 6 to search and 4 to test, is 7 to search and 3 to"),
        ({"rows": [6, 4, "a"]}, {"rows": [6, 4, "b"]}, "rows was another choice of 4 test rows, is this one"),
        ({"template": "a\nb\nc"}, {"template": "a\nB\nc"}, 'template line 2 was "b", is "B"'),
        ({"template": "a"}, {"template": "a\nb"}, 'template line 2 was absent, is "b"'),
        ({"template": "a"}, {"template": "a\n"}, r'template was "a", is "a\\n"'),
        ({"data": "abc"}, {"data": "def"}, "data was other rows, fields or targets, is these"),
        (
            {"enqueued": [{"written": "mine.j2", "prompt": {}}]},
            {"enqueued": []},
            r"enqueued was also the prompt 'mine\.j2': enqueue it again \(a prompt also by --prompt FILE\)",
        ),
        ({"enqueued": []}, {"enqueued": [{"cue": "x"}]}, 'enqueued is now cue="x", too: leave it out'),
        ({"enqueued": 3}, {"enqueued": 4}, "enqueued was 3, is 4"),
        ({"t": "/a/b"}, {"t": "/a/c"}, '"/a/b", is "/a/c"'),
    ],
)
def test_changed_study_is_refused(store: Store, before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    """Other settings under one name are refused, with every difference named and shown where it begins."""
    store.open_study("s", before)
    keep(store, Response(text="yes", latency_s=0, cost_usd=0))  # a start without an answer is replaced
    with pytest.raises(StudyError, match=f"was started with other settings: .*{message}.*fresh=True"):
        store.open_study("s", now)


def test_fresh_study_forgets_all_but_the_responses(store: Store) -> None:
    """`fresh` starts anew under the same name; the responses stay."""
    store.open_study("s", {"seed": 0})
    key = keep(store, Response(text="yes", latency_s=0, cost_usd=0))
    store.open_version("s", {})
    store.save_trials(S, [trial()], [sample()], at_end=summary())
    store.open_study("s", {"seed": 1}, fresh=True)
    assert (store.calls("s"), store.trials(S), store.samples(S)) == ({}, [], [])
    assert (store.study("s").identity, store.study("s").summary) == ({"seed": 1}, None)
    assert store.response(key) is not None


def test_test_uses_are_counted_by_winner_and_outlive_their_study(store: Store) -> None:
    """Each winner tested on the same test rows counts once, whichever study tests it, and none is forgotten."""
    store.open_study("first", {})
    assert store.test_uses("rows") == 0
    for study, prompt in [("first", "a"), ("first", "a"), ("second", "a"), ("second", "b")]:
        store.record_test_use("rows", prompt, study)
    store.record_test_use("other rows", "c", "first")
    store.delete_study("first")
    assert store.test_uses("rows") == 2


def test_unknown_study_lists_those_there_are(store: Store) -> None:
    """The message names the stored studies."""
    with pytest.raises(StudyError, match=r"there is no study 'x' in .*; stored: none"):
        store.study("x")
    store.open_study("one", {})
    store.open_study("two", {})
    with pytest.raises(StudyError, match=r"there is no study 'x' in .*; stored: 'one', 'two'"):
        store.study("x")


def test_studies_are_listed_oldest_first(storage: str) -> None:
    """The clock that is passed in orders the studies."""
    times = iter([30.0, 10.0, 20.0])
    store = Store(storage, clock=lambda: next(times))
    for name in ("c", "a", "b"):
        store.open_study(name, {})
    assert [record.study for record in store.studies()] == ["a", "b", "c"]


def test_trials_and_samples_come_back(store: Store) -> None:
    """Records of any JSON values come back equal, trials sorted, and writing them again replaces them."""
    trials = [trial(1, choices={"a": LONE}), trial(0, text="{{ x }} \r\n \N{GRINNING FACE}")]
    samples = [
        sample(1, 5, answer={"a": [1, None]}, target=["x", "y"]),
        sample(1, 2, split="test", score=None, error="timeout: 1 s"),
        sample(0, 9, answer=None, unparsed=True, score=0.0),
        sample(1, 1),
    ]
    store.save_trials(S, trials, samples)
    assert store.trials(S) == [trials[1], trials[0]]
    assert sorted(store.samples(S), key=repr) == sorted(samples, key=repr)
    store.save_trials(S, [trial(1, state="complete")], [sample(1, 5, score=0.5)])
    assert [record.state for record in store.trials(S)] == ["running", "complete"]
    assert [record.score for record in store.samples(S) if record.row == 5] == [0.5]


@pytest.mark.parametrize(
    ("column", "text", "why"),
    [
        (
            "summary",
            "{",
            (
                "the summary of study 'half' cannot be read: JSONDecodeError: Expecting property name enclosed in "
                "double quotes: line 1 column 2 (char 1)"
            ),
        ),
        ("summary", "[1]", "the summary of study 'half' cannot be read: Expected `object`, got `array`"),
        (
            "identity",
            "",
            "study 'half' cannot be read: JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        ),
    ],
)
def test_damaged_study_leaves_the_others_alone(store: Store, column: str, text: str, why: str) -> None:
    """A study that cannot be read is an error only where it is opened itself, and starts anew with `fresh`."""
    damage(store, column, text)
    store.open_study("good", {"seed": 0})
    store.open_study("good", {"seed": 0})
    assert store.study("good").identity == {"seed": 0}
    assert store.study_names() == ["half", "good"]
    with pytest.raises(StudyError, match=r"there is no study 'x' in .*; stored: 'half', 'good'$"):
        store.study("x")
    for use in (lambda: store.study("half"), lambda: store.open_study("half", {"seed": 0})):
        with pytest.raises(StorageError) as caught:
            use()
        assert str(caught.value) == f"{why}; restore the storage, or start over with fresh=True (--fresh)"
    store.open_study("half", {"seed": 1}, fresh=True)
    assert (store.study("half").identity, store.study("half").summary) == ({"seed": 1}, None)
