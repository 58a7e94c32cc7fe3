"""Requests, their keys, and responses as stored text."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.llm.messages import Message, Request, Response, ToolCall, Usage

texts = st.text(st.characters(exclude_categories=[]), max_size=20)  # half surrogate pairs too
numbers = st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
requests = st.builds(
    Request,
    endpoint=st.text(max_size=10),
    model=st.text(max_size=10),
    messages=st.lists(st.builds(Message, st.sampled_from(["system", "user"]), texts), max_size=3).map(tuple),
    parameters=st.dictionaries(st.text(max_size=8), values, max_size=4),
    sample=st.integers(0, 3),
)
counts = st.none() | st.integers(0, 10**6)
finite = st.floats(allow_nan=False, allow_infinity=False)
positions = st.lists(st.tuples(texts, finite), max_size=3).map(tuple)
responses = st.builds(
    Response,
    text=texts,
    finish_reason=st.sampled_from(["stop", "length", ""]),
    logprobs=st.lists(positions, max_size=2).map(tuple),
    usage=st.builds(Usage, prompt_tokens=counts, completion_tokens=counts, cached_tokens=counts),
    latency_s=finite | st.just(math.nan),
    cost_usd=finite | st.just(math.nan),
    attempts=st.integers(0, 6),
    error=st.none() | texts,
)


@given(requests, st.randoms())
def test_key_ignores_the_order_of_parameters(request: Request, generator: random.Random) -> None:
    """Parameters in another order make the same key: 64 hex digits."""
    items = list(request.parameters.items())
    generator.shuffle(items)
    shuffled = Request(
        endpoint=request.endpoint,
        model=request.model,
        messages=request.messages,
        parameters=dict(items),
        sample=request.sample,
    )
    assert shuffled.key == request.key
    assert len(request.key) == 64
    assert set(request.key) <= set("0123456789abcdef")


@given(requests, requests)
def test_different_requests_have_different_keys(first: Request, second: Request) -> None:
    """Two keys are equal only where the canonical texts are."""
    assert (first.key == second.key) == (first.to_json() == second.to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "other"},
        {"model": "other"},
        {"messages": (Message("system", "hi"),)},
        {"messages": (Message("user", "hi "),)},
        {"messages": (Message("user", "h"), Message("user", "i"))},
        {"parameters": {"temperature": 0.5}},
        {"parameters": {}},
        {"sample": 1},
    ],
)
def test_key_depends_on_everything_that_is_asked(change: dict[str, object]) -> None:
    """Endpoint, model, every message, every parameter and the sample number change the key."""
    asked: dict[str, object] = {
        "endpoint": "e",
        "model": "m",
        "messages": (Message("user", "hi"),),
        "parameters": {"temperature": 0},
    }
    assert Request(**asked).key != Request(**{**asked, **change}).key  # type: ignore[arg-type]


def test_key_is_stable() -> None:
    """The key of a request never changes between releases: stored responses are found by it."""
    request = Request(
        endpoint="e", model="m", messages=(Message("user", "Grüße {{ x }}"),), parameters={"a": [1, None]}
    )
    assert request.to_json() == (
        '{"endpoint":"e","messages":[{"content":"Grüße {{ x }}","role":"user"}],"model":"m",'
        '"parameters":{"a":[1,null]},"sample":0}'
    )
    assert request.key == "fd858bbedc320d9d740a1e4e69b33c6300ab15bba0838cd52d9ae4903d6737cd"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_parameter_that_is_no_json_is_refused(value: float) -> None:
    """NaN and infinity have no canonical text."""
    request = Request(endpoint="e", model="m", messages=(), parameters={"temperature": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = request.key


@given(responses)
def test_response_survives_storage(response: Response) -> None:
    """A stored response reads back as the same, NaN included, from text that any JSON reader takes."""
    text = response.to_json()
    json.loads(text, parse_constant=pytest.fail)
    back = Response.from_json(text)
    assert repr(back) == repr(response)  # repr, because NaN does not equal itself


def test_calls_of_tools_are_stored_and_sent_back() -> None:
    """A response keeps the calls of tools that it asks for, through the storage and as a message; one without any is
    stored as before."""
    asked = Response(tool_calls=(ToolCall(name="add", arguments='{"a": 1}', id="c1"),), finish_reason="tool_calls")
    assert Response.from_json(asked.to_json()) == asked
    function = {"name": "add", "arguments": '{"a": 1}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    assert asked.message == {"role": "assistant", "content": None, "tool_calls": calls}
    assert asked.tool_calls[0].values == {"a": 1}
    assert "tool_calls" not in Response(text="4").to_json()
    with pytest.raises(ValueError, match="the arguments of the tool add are no JSON object: '\\[1\\]'"):
        _ = ToolCall(name="add", arguments="[1]").values


def test_further_fields_of_a_message_are_a_part_of_its_key() -> None:
    """A message is sent with its further fields; without any the key is that of role and content alone."""
    plain, tool = Message("tool", "4"), Message("tool", "4", {"tool_call_id": "c1"})
    one, other = (Request(endpoint="e", model="m", messages=(each,)) for each in (plain, tool))
    assert one.key != other.key
    assert '"messages":[{"content":"4","role":"tool"}]' in one.to_json()
    assert tool.to_dict() == {"role": "tool", "content": "4", "tool_call_id": "c1"}
    assert len({plain, tool}) == 2
