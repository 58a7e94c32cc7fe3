"""How many tokens an answer took, in every way that servers count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prompt_search.llm.messages import Response, Usage
from prompt_search.llm.replies.usage_reading import read_usage, token_count


def usage(prompt: int | None, completion: int | None, cached: int | None = None, reasoning: int | None = None) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached, reasoning_tokens=reasoning)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        # reasoning outside of the completion, in the total alone
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 1055}, usage(50, 1005)),
        # the same, told in details (xAI)
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 1055,
          "completion_tokens_details": {"reasoning_tokens": 1000}}, usage(50, 1005, None, 1000)),
        # inside (OpenAI): not counted twice
        ({"prompt_tokens": 50, "completion_tokens": 1005, "total_tokens": 1055,
          "completion_tokens_details": {"reasoning_tokens": 1000, "audio_tokens": 0}}, usage(50, 1005, None, 1000)),
        # inside, without a total
        ({"prompt_tokens": 50, "completion_tokens": 1005, "reasoning_tokens": 1000}, usage(50, 1005, None, 1000)),
        # in details alone
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55,
          "completion_tokens_details": {"reasoning_tokens": 1000}}, usage(50, 1005, None, 1000)),
        # floats and texts
        ({"prompt_tokens": 50.0, "completion_tokens": 5.0, "total_tokens": 55.0}, usage(50, 5)),
        ({"prompt_tokens": "50", "completion_tokens": "5", "total_tokens": "1055.0"}, usage(50, 1005)),
        # what is no count
        ({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": None}, usage(None, None)),
        ({"prompt_tokens": 10**400, "completion_tokens": float("nan")}, usage(None, None)),
        ({"prompt_tokens": 50, "total_tokens": 55}, usage(50, 5)),
        ({"completion_tokens": 5, "total_tokens": 55}, usage(50, 5)),
        # a total that is too small says nothing
        ({"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 0}, usage(50, 5)),
        ({"input_tokens": 50, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}},
         usage(50, 5, None, 3)),
        # caches: OpenAI, DeepSeek, Anthropic by its own names and through LiteLLM, Moonshot
        ({"prompt_tokens": 50, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 40}},
         usage(50, 5, 40)),
        ({"prompt_tokens": 50, "completion_tokens": 5, "prompt_cache_hit_tokens": 40, "prompt_cache_miss_tokens": 10},
         usage(50, 5, 40)),
        ({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 7},
         usage(57, 5, 40)),
        ({"prompt_tokens": 50, "completion_tokens": 5, "cache_read_input_tokens": 40}, usage(50, 5, 40)),
        ({"prompt_tokens": 50, "completion_tokens": 5, "cached_tokens": 40}, usage(50, 5, 40)),
        # more in the cache than asked
        ({"prompt_tokens": 50, "completion_tokens": 5, "cached_tokens": 400}, usage(50, 5, 50)),
        ({"prompt_tokens": 50, "completion_tokens": 5, "prompt_tokens_details": None, "completion_tokens_details": []},
         usage(50, 5)),
        ([], usage(None, None)),
        (None, usage(None, None)),
        ("many", usage(None, None)),
    ],
)  # fmt: skip
def test_counts_are_read(given: Any, read: Usage) -> None:
    """What is paid for is in prompt and completion once, wherever the server puts it."""
    assert read_usage({"usage": given}) == read


def test_usage_is_found_where_servers_put_it() -> None:
    """In the body, in the choice, or in a field of Groq's."""
    counts = {"prompt_tokens": 1, "completion_tokens": 2}
    for body in ({"usage": counts}, {"usage": None, "choices": [{"usage": counts}]}, {"x_groq": {"usage": counts}}):
        assert read_usage(body) == usage(1, 2)


@given(
    st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 5000), st.sampled_from(["inside", "outside", "hidden"])
)
def test_all_reasoning_is_counted_once(prompt: int, answer: int, reasoning: int, where: str) -> None:
    """A server that counts reasoning inside, or outside with a total, is read right; one that hides it is read right
    whenever its reasoning is longer than its answer."""
    inside = where == "inside"
    given = {
        "prompt_tokens": prompt,
        "completion_tokens": answer + reasoning * inside,
        "total_tokens": prompt + answer + reasoning * (where != "hidden"),
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    assume(where != "hidden" or reasoning > answer)
    assert read_usage({"usage": given}) == usage(prompt, answer + reasoning, None, reasoning)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_count_is_a_number_or_unknown(value: Any) -> None:
    """Whatever stands in place of a count, it is a number of 0 or more, or unknown."""
    count = token_count(value)
    assert count is None or 0 <= count <= 2**53


def test_stored_usage_of_earlier_versions_is_read() -> None:
    """Responses that were stored before reasoning was counted have none."""
    stored = Response(text="a", usage=usage(1, 2)).to_json().replace(',"reasoning_tokens":null', "")
    assert "reasoning" not in stored
    assert Response.from_json(stored).usage == usage(1, 2)
    kept = Response(text="a", usage=usage(1, 2, 1, 2))
    assert Response.from_json(kept.to_json()).usage == kept.usage


@pytest.mark.parametrize(
    "given",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"input_tokens": 0, "output_tokens": 0},
        {"prompt_tokens": 0, "completion_tokens": 0},
    ],
)
def test_zeros_are_no_counts(given: dict[str, int]) -> None:
    """A prompt has tokens, so that zeros mean that nobody counted: a limit in tokens then goes by what may be used."""
    assert read_usage({"usage": given}) == Usage()
