"""Data sets: labels, fingerprint, first rows, and how they are shown."""

from __future__ import annotations

import pandas as pd
import pytest

from prompt_search._html import STYLE
from prompt_search.data.dataset import Dataset
from prompt_search.errors import InputError
from tests.data.conftest import make


def test_frame_returns_a_copy_of_everything() -> None:
    """The table that comes back makes an equal data set, split included."""
    frame = pd.DataFrame({"text": ["a", "b"], "label": [1, 2], "side": ["search", "test"]})
    data = Dataset(frame, target="label", split="side")
    again = Dataset(data.frame(), target="label", split="side")
    assert again.fingerprint == data.fingerprint
    assert data.fields == ["text"]


def test_labels_of_lists_are_their_members() -> None:
    """A target that lists several accepted answers gives each of them as a label."""
    assert make(["a", "b"], [["x", "y"], ["y", "z"]]).labels == ["x", "y", "z"]


def test_fingerprint_follows_the_content_only() -> None:
    """Names and column order do not change the fingerprint; a value, row order, target and split do."""
    frame = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})
    base = Dataset(frame, target="label").fingerprint
    assert Dataset(frame[["label", "text"]], target="label", name="other").fingerprint == base
    others = [
        Dataset(frame.replace("a", "A"), target="label"),
        Dataset(frame[::-1], target="label"),
        Dataset(frame, target="text"),
        Dataset(frame.assign(side=["search", "test"]), target="label", split="side"),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 5


def test_head_takes_the_first_rows() -> None:
    """head gives the first rows and leaves the data set as it was."""
    data = make(["a", "b", "c"], ["x", "y", "x"])
    assert [row.text for row in data.head(2).rows] == ["a", "b"]
    assert len(data.head(9)) == len(data) == 3
    with pytest.raises(InputError, match="must be at least 1, not 0"):
        data.head(0)


def test_html_is_escaped() -> None:
    """Markup in the data is shown, not executed, and long text is shortened."""
    shown = make(["<script>" + "x" * 500], ["y"])._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert len(shown) < 600 + len(STYLE)
