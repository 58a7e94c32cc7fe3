"""What cannot be read is a value."""

from __future__ import annotations

from prompt_search.answers import Unparsed


def test_unparsed_is_falsy_and_equal_to_itself_only() -> None:
    """Two unparsed answers never agree, so that no metric takes them for a match."""
    unparsed = Unparsed("empty")
    assert not unparsed
    assert unparsed == unparsed
    assert unparsed != Unparsed("empty")
    assert len({unparsed, Unparsed("empty")}) == 2
