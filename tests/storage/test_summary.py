"""The summary of a finished study: the stored JSON, and what an earlier release wrote."""

from __future__ import annotations

import json

import pytest

from prompt_search.errors import StorageError
from prompt_search.storage.store import Store
from tests.storage.examples import STORED, S, summary


def stored_text(store: Store) -> str:
    with store.engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT summary FROM prompt_search_versions").scalar_one())


def write(store: Store, text: str) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE prompt_search_versions SET summary = ?", (text,))


@pytest.fixture
def store() -> Store:
    store = Store("sqlite://")
    store.open_study("s", {})
    store.open_version("s", {})
    return store


def test_summary_comes_back_and_keeps_its_stored_form(store: Store) -> None:
    """The stored JSON has the fields in one order, and is the same object again when it is read."""
    store.save_trials(S, [], [], at_end=summary())
    assert stored_text(store) == json.dumps(STORED)
    found = store.study("s").summary
    assert found == summary()
    assert isinstance(found.budget["calls"], int)


def test_rescored_study_says_of_what(store: Store) -> None:
    """Only the summary of a rescored study has the field for it."""
    rescored = summary(rescored={"of": "t", "metric": "f1"})
    store.save_trials(S, [], [], at_end=rescored)
    assert json.loads(stored_text(store)) == {**STORED, "rescored": {"of": "t", "metric": "f1"}}
    assert store.study("s").summary == rescored


def test_summary_of_another_release_is_read(store: Store) -> None:
    """Fields that came later have their defaults, and fields that are not known are ignored."""
    later = ("baseline", "hand_written", "reused", "metric", "template", "effects", "interactions")
    write(store, json.dumps({**{name: value for name, value in STORED.items() if name not in later}, "new": 1}))
    assert store.study("s").summary == summary(metric="", template="", effects=[])


def test_unfinished_study_has_no_summary(store: Store) -> None:
    """A study has one from its first end on."""
    assert store.study("s").summary is None
    store.save_trials(S, [], [], at_end=summary())
    store.open_version("s", {})
    assert store.study("s").summary == summary()
    assert store.study("s", 2).summary is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[1]", "Expected `object`, got `array`"),
        (json.dumps({**STORED, "order": "3"}), "Expected `array`, got `str` - at `$.order`"),
    ],
)
def test_damaged_summary_is_named(store: Store, text: str, why: str) -> None:
    """One line says whose summary cannot be read, why, and what to do."""
    write(store, text)
    with pytest.raises(StorageError) as caught:
        store.study("s")
    assert str(caught.value) == (
        f"the summary of study 's' cannot be read: {why}; restore the storage, or start over with fresh=True (--fresh)"
    )
