"""Regular expressions: the group that is found, and patterns that cannot work."""

from __future__ import annotations

import pytest

from prompt_search.answers import Regex
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from tests.answers.conftest import reason


@pytest.mark.parametrize(
    ("pattern", "group", "found"),
    [
        (r"\d+", None, "12"),
        (r"a(\d)(\d)", None, "1"),
        (r"a(\d)(\d)", 2, "2"),
        (r"a(\d)(\d)", 0, "a12"),
        (r"(?P<all>\d+)", "all", "12"),
    ],
)
def test_regex(pattern: str, group: int | str | None, found: str) -> None:
    """The first group is returned, the whole match if there is none, or the group that was requested."""
    assert Regex(pattern, group=group).parse(Response(text="a12 34")) == found


def test_regex_without_match() -> None:
    """No match, or a group that took no part in it, is unparsed."""
    assert reason(Regex("b").parse(Response(text="a"))) == "no match in 'a'"
    assert reason(Regex("a|(b)").parse(Response(text="a"))) == "no match in 'a'"


@pytest.mark.parametrize(
    ("pattern", "group", "message"),
    [
        ("(", None, r"pattern '\(' does not compile: .*; correct it"),
        ("a", 1, "pattern 'a' has no group 1 \\(groups: 0, named: none\\); correct the group or the pattern"),
        ("(?P<x>a)", "y", "has no group 'y' \\(groups: 1, named: x\\); correct the group or the pattern"),
    ],
)
def test_wrong_patterns(pattern: str, group: int | str | None, message: str) -> None:
    """A pattern or group that cannot work is refused at once."""
    with pytest.raises(InputError, match=message):
        Regex(pattern, group=group)
