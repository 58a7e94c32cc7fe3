"""What a model answers to the pool of shots is written once in a study."""

from __future__ import annotations

import pytest

from prompt_search.errors import StorageError
from prompt_search.storage import schema
from prompt_search.storage.records import PoolAnswer, PoolAnswers
from prompt_search.storage.store import Store

FIRST = PoolAnswers(
    budget=0,
    answers=[
        PoolAnswer(position=0, row=7, right=True, reasoning="So\ud83d"),
        PoolAnswer(position=2, row=9, right=None),
    ],
)
OTHER = PoolAnswers(budget=1, answers=[PoolAnswer(position=0, row=7, right=False)])


@pytest.fixture
def store(storage: str) -> Store:
    made = Store(storage)
    made.open_study("study", {})
    return made


def test_first_answers_stay(store: Store) -> None:
    """Whoever comes later gets the answers that were written first, whatever characters they have."""
    answers = store.pool_answers
    assert answers.of_study("study") is None
    assert answers.settle("study", FIRST) == FIRST
    assert answers.settle("study", OTHER) == answers.of_study("study") == FIRST


def test_answers_go_with_their_study(store: Store) -> None:
    """A study that starts over has none, and those of other studies stay; a copy takes the place of what was there."""
    answers = store.pool_answers
    answers.settle("study", FIRST)
    answers.settle("other", OTHER)
    answers.copy("study", "other")
    store.delete_study("study")
    assert (answers.of_study("study"), answers.of_study("other")) == (None, FIRST)
    answers.copy("study", "other")
    assert answers.of_study("other") is None


def test_damaged_answers_are_named(store: Store) -> None:
    """A record that cannot be read is an error that says whose it is."""
    with store.database.writing() as connection:
        connection.execute(schema.pool_answers.insert().values(study="study", record='{"budget": "x"}'))
    with pytest.raises(StorageError, match="the answers to the pool of study 'study' cannot be read"):
        store.pool_answers.of_study("study")
