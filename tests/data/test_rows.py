"""Rows: how columns are reached, and what rows are equal to."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.data.rows import Row
from prompt_search.errors import InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_columns_are_reached_by_item_and_attribute() -> None:
    """Any column name works as an attribute, also those that mappings use for methods."""
    row = Row({"items": 1, "keys": 2, "index": 3, "label": "x"}, target="label")
    assert (row.items, row.keys, row.index, row["items"], row.target) == (1, 2, 3, 1, "x")
    assert "items" in row
    assert "values" not in row
    assert list(row) == ["items", "keys", "index", "label"]
    assert len(row) == 4


def test_fields_leave_out_the_target() -> None:
    """What a template sees has every column but the target, and no target."""
    fields = Row({"text": "a", "label": "x"}, target="label").fields
    assert fields == Row({"text": "a"})
    assert fields.fields is fields
    with pytest.raises(AttributeError, match="no column 'target'; there are: text"):
        _ = fields.target


def test_columns_named_target_and_fields_are_reached_in_fields() -> None:
    """In the fields of a row, columns called target and fields are columns."""
    fields = Row({"target": 1, "fields": 2, "label": "x"}, target="label").fields
    assert fields.target == 1
    assert getattr(fields, "fields") == 2  # noqa: B009


def test_unknown_columns_are_named_with_those_there_are() -> None:
    """A wrong name is an error that lists the right ones."""
    row = Row({"text": "a"})
    with pytest.raises(AttributeError, match="no column 'txt'; there are: text"):
        _ = row.txt
    with pytest.raises(KeyError, match="no column 'txt'; there are: text"):
        _ = row["txt"]
    with pytest.raises(InputError, match="target 'label' is not a column of the row; there are: text"):
        Row({"text": "a"}, target="label")


def test_is_immutable() -> None:
    """Nothing can be set on or deleted from a row."""
    row = Row({"text": "a"})
    with pytest.raises(AttributeError, match="immutable; cannot set 'text'"):
        row.text = "b"
    with pytest.raises(AttributeError, match="immutable; cannot delete 'text'"):
        del row.text


def test_differs_by_target_and_from_other_types() -> None:
    """Rows are equal only to rows with the same target; a row is always true."""
    assert Row({"a": 1}, target="a") != Row({"a": 1})
    assert Row({"a": 1}) != {"a": 1}
    assert Row({})
    assert repr(Row({"a": 1})) == "Row(a=1)"


@given(st.dictionaries(st.text(), VALUES, min_size=1))
def test_survives_pickle_and_copy(values: dict[str, Any]) -> None:
    """A pickled or copied row is equal and has an equal hash, whatever it holds."""
    row = Row(values, target=next(iter(values)))
    for other in (pickle.loads(pickle.dumps(row)), copy.deepcopy(row)):
        assert other == row
        assert hash(other) == hash(row)
