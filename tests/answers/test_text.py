"""Texts are answers as they are."""

from __future__ import annotations

from prompt_search.answers import Text
from prompt_search.llm.messages import Response
from tests.answers.conftest import reason


def test_text() -> None:
    """White space around is removed on demand, and the first line that is not blank can be taken."""
    response = Response(text="\n  one \ntwo\n")
    assert Text().parse(response) == "one \ntwo"
    assert Text(strip=False).parse(response) == "\n  one \ntwo\n"
    assert Text(first_line=True).parse(response) == "one"
    assert reason(Text().parse(Response(text=" \n"))) == "the response is empty"
