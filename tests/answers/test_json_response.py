"""Responses that hold no JSON are unparsed."""

from __future__ import annotations

import pytest

from prompt_search.answers import Json
from prompt_search.llm.messages import Response
from tests.answers.conftest import SCHEMA, reason


@pytest.mark.parametrize(
    ("text", "finish_reason", "why"),
    [
        ('{"n": 1}', "length", "the JSON was cut off at 256 tokens; raise max_tokens"),
        ("n = 1", "stop", "not JSON: 'n = 1'"),
        ('{"n": NaN}', "stop", "not JSON"),
        ("[" * 100_000, "stop", "not JSON"),
    ],
)
def test_no_json_is_unparsed(text: str, finish_reason: str, why: str) -> None:
    """Text, numbers that JSON does not know, and anything cut off."""
    assert reason(Json(SCHEMA).parse(Response(text=text, finish_reason=finish_reason))).startswith(why)
