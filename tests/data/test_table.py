"""Tables become labelled rows of plain values, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import Row
from prompt_search.errors import DataError
from tests.data.conftest import make


def test_values_become_plain_python() -> None:
    """NumPy scalars, arrays, missing values and dates arrive as plain Python."""
    frame = pd.DataFrame(
        {
            "n": np.array([1, 2]),
            "x": [1.5, np.nan],
            "flag": np.array([True, False]),
            "list": [np.array([1, 2]), (3,)],
            "when": [pd.Timestamp("2024-01-02"), pd.NaT],
            "maybe": pd.array([1, None], dtype="Int64"),
            "label": ["a", "b"],
        }
    )
    first, second = Dataset(frame, target="label").rows
    assert first.fields == Row(
        {"n": 1, "x": 1.5, "flag": True, "list": [1, 2], "when": "2024-01-02T00:00:00", "maybe": 1}
    )
    assert second.fields == Row({"n": 2, "x": None, "flag": False, "list": [3], "when": None, "maybe": None})
    assert [type(first[name]) for name in ("n", "x", "flag")] == [int, float, bool]


def test_decimals_become_floats() -> None:
    """A Decimal, as parquet gives them, is a float."""
    from decimal import Decimal

    assert make(["a"], [Decimal("1.5")]).rows[0].target == 1.5


def test_anything_with_to_pandas_is_taken() -> None:
    """A Hugging Face table is taken by its to_pandas."""

    class Table:
        def to_pandas(self) -> pd.DataFrame:
            return pd.DataFrame({"text": ["a"], "label": ["x"]})

    assert Dataset(Table(), target="label").rows[0].text == "a"


class HubTable:
    """A part of a Hugging Face data set."""

    def to_pandas(self) -> pd.DataFrame:
        """The part as a DataFrame."""
        return pd.DataFrame({"text": ["a"], "label": ["x"]})


def test_rows_and_columns_of_plain_python_are_tables() -> None:
    """A list of dicts and a dict of lists give the same rows as a DataFrame; a key that a row lacks is None."""
    columns = {"text": ["a", "b"], "label": ["x", "y"]}
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    wanted = Dataset(pd.DataFrame(columns), target="label").rows
    assert Dataset(columns, target="label").rows == Dataset(rows, target="label").rows == wanted
    assert Dataset([{"text": "a", "label": "x"}, {"label": "y"}], target="label").rows[1].text is None


def test_columns_are_renamed() -> None:
    """columns= maps a field to its source; swapping two names works."""
    frame = pd.DataFrame({"body": ["b"], "text": ["t"], "label": ["x"]})
    data = Dataset(frame, target="intent", columns={"text": "body", "body": "text", "intent": "label"})
    assert data.rows[0] == Row({"text": "b", "body": "t", "intent": "x"}, target="intent")
    assert data.fields == ["text", "body"]


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (
            7,
            {},
            (
                "tickets: a table must be a DataFrame, a list of dicts, a dict of lists, or have to_pandas(), not int; "
                "convert it, choose one split of it, or use Dataset.read for a file"
            ),
        ),
        (
            "tickets.csv",
            {},
            (
                "tickets: a table must be a DataFrame, a list of dicts, a dict of lists, or have to_pandas(), not str; "
                "read a file with Dataset.read"
            ),
        ),
        (
            [("a", "x")],
            {},
            (
                "tickets: a table must be a DataFrame, a list of dicts, a dict of lists, or have to_pandas(), not "
                "list; make each row a dict of its columns, not tuple"
            ),
        ),
        (
            iter([{"text": "a", "label": "x"}]),
            {},
            (
                "tickets: a table must be a DataFrame, a list of dicts, a dict of lists, or have to_pandas(), not "
                "list_iterator; make it a list first: list(...)"
            ),
        ),
        (
            {"train": HubTable(), "test": HubTable()},
            {},
            (
                "tickets: a table must be a DataFrame, a list of dicts, a dict of lists, or have to_pandas(), not "
                "dict; choose one split of it, such as ['train']"
            ),
        ),
        (
            {"text": ["a", "b"], "label": ["x"]},
            {},
            "tickets: the columns of a table have one length, not text 2, label 1; correct them",
        ),
        (pd.DataFrame({"text": [], "label": []}), {}, "tickets: there are no rows; at least one is needed"),
        (
            pd.DataFrame([["a", "x"]], columns=["text", "text"]),
            {},
            "tickets: the column 'text' appears twice; rename one",
        ),
        (
            pd.DataFrame({"text": ["a"], "label": [np.nan]}),
            {},
            "tickets: row 0 (the first is 0): the target 'label' is empty; fill it or drop the row",
        ),
        (
            pd.DataFrame({"text": ["a"], "label": [" "]}),
            {},
            "tickets: row 0 (the first is 0): the target 'label' is empty; fill it or drop the row",
        ),
        (
            pd.DataFrame({"text": ["a"], "label": [[]]}),
            {},
            "tickets: row 0 (the first is 0): the target 'label' is empty; fill it or drop the row",
        ),
        (
            pd.DataFrame({"text": [object()], "label": ["x"]}),
            {},
            (
                "tickets: row 0 (the first is 0): the value of 'text' has the type object; make it text, a "
                "number, a truth value, a list or a dict"
            ),
        ),
        (
            pd.DataFrame({"text": [10**5_000], "label": ["x"]}),
            {},
            (
                "tickets: row 0 (the first is 0): the value of 'text' is a whole number of more than 4,000 digits; "
                "make it text"
            ),
        ),
        (
            pd.DataFrame({"text": ["a"]}),
            {"columns": {"body": "txt"}},
            "tickets: columns= takes the field 'body' from the column 'txt', which is not there; there are: text",
        ),
        (
            pd.DataFrame({"text": ["a"], "b": ["c"]}),
            {"columns": {"text": "b"}},
            "tickets: two columns are called 'text' after renaming; name the other one in columns= too",
        ),
        (
            pd.DataFrame({"text": ["a"], "label": ["x"]}),
            {"split": "side"},
            "tickets: there is no split column 'side'; there are: text, label",
        ),
        (
            pd.DataFrame({"text": ["a"], "label": ["x"]}),
            {"split": "label"},
            "tickets: the column 'label' cannot be both target and split; name two",
        ),
        (
            pd.DataFrame({"text": ["a"], "label": ["x"], "side": ["train"]}),
            {"split": "side"},
            (
                "tickets: row 0 (the first is 0): the split column 'side' must hold 'search' or 'test', not "
                "'train'; correct it"
            ),
        ),
    ],
)
def test_broken_tables(frame: Any, options: dict[str, Any], message: str) -> None:
    """Every broken table is a DataError that says which rule it breaks."""
    with pytest.raises(DataError) as caught:
        Dataset(frame, target="label", name="tickets", **options)
    assert str(caught.value) == message


def test_a_word_nan_in_a_table_is_a_label() -> None:
    """Only a file of text can mean a missing number by the word NaN; a table has a real one."""
    assert make(["a"], ["nan"]).labels == ["nan"]
