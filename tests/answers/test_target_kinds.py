"""What targets are taken for, and the schema that JSON targets have in common."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.answers import Json
from prompt_search.answers.inferred_schema import schema_of
from prompt_search.answers.json_schema import is_strict, violation
from prompt_search.answers.target_kinds import target_kind
from tests.profiles import examples

TARGETS: dict[str, tuple[list[Any], str]] = {
    "six labels in 500 rows": ([f"label {i % 6}" for i in range(500)], "labels"),
    "few rows, one label alone": (["a", "a", "b", "b", "c", "a"], "labels"),
    "77 labels": ([f"label {i % 77}" for i in range(770)], "labels"),
    "truth values": ([True, False] * 5, "labels"),
    "ratings": ([1, 2, 3, 4, 5] * 4, "labels"),
    "many numbers, each often": ([i % 40 for i in range(500)], "numbers"),
    "numbers as text": ([f"{i},{i:03}.50" for i in range(1, 30)], "numbers"),
    "JSON as text": ([json.dumps({"a": i}) for i in range(9)], "JSON objects"),
    "objects": ([{"a": i} for i in range(9)], "JSON objects"),
    "two accepted objects": ([[{"a": i}, {"a": -i}] for i in range(9)], "JSON objects"),
    "text that begins with a brace": ([f"{{braces}} {i}" for i in range(9)], "free text"),
    "lists of accepted answers": ([[f"this {i}", f"that {i}"] for i in range(9)], "free text"),
    "sentences": ([f"This is sentence {i}." for i in range(9)], "free text"),
    "long texts that come twice": ([f"{'word ' * 50}{i % 9}" for i in range(18)], "free text"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_targets_are_seen_for_what_they_are(case: str) -> None:
    """Labels, numbers, JSON objects and free text are told apart."""
    targets, kind = TARGETS[case]
    assert target_kind(targets) == kind


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES), min_size=1, max_size=6))
def test_every_object_keeps_the_schema_of_all(objects: list[dict[str, Any]]) -> None:
    """The schema is one that an answer form takes, and no target breaks it."""
    schema = Json(schema_of(objects)).json_schema
    assert [violation(each, schema) for each in objects] == [None] * len(objects)


def test_schema_is_strict_where_every_row_has_every_key() -> None:
    """Servers keep it strictly then; a key that some rows lack is allowed to lack."""
    whole = schema_of([{"to": {"city": "Rome"}, "tags": []}, {"to": {"city": None}, "tags": ["a"]}])
    assert is_strict(whole)
    assert not is_strict(schema_of([{"a": 1}, {"a": 1, "b": 2}]))


def test_object_whose_keys_are_values_has_no_fields() -> None:
    """More than 50 different keys are no fields that a prompt could list."""
    assert schema_of([{f"key {i}": i} for i in range(51)]) == {"type": "object"}
