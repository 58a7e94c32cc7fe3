"""What one reply comes to: answers in every shape, errors, streams, pages; without a server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import RequestRefused
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.llm.model import Model
from prompt_search.llm.price import Price
from prompt_search.llm.replies.completion_reading import normal_end
from prompt_search.llm.response_parsing import AttemptError, ResponseParser
from prompt_search.llm.transport import HttpReply

MODEL = Model("tiny", base_url="http://models.invalid/v1", price=Price(prompt=1.0, completion=2.0))
REQUEST = Request(endpoint=MODEL.endpoint, model="tiny", messages=(Message("user", "hi"),))
WHERE = "http://models.invalid/v1"
NOW = 1_741_305_600.0


def parsed(body: Any, status: int = 200, **headers: str) -> Response:
    """The response that a reply holds, given as bytes, as text or as JSON."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = HttpReply(status=status, content=content, headers=named, latency_s=0.5)
    return ResponseParser(MODEL, MODEL.endpoint, 60.0, now=lambda: NOW).parse(reply, REQUEST)


def retried(body: Any, status: int = 200, **headers: str) -> AttemptError:
    """The reason to try again that a reply holds."""
    with pytest.raises(AttemptError) as caught:
        parsed(body, status, **headers)
    return caught.value


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": "stop", **fields}]}


def content(value: Any) -> dict[str, Any]:
    return choice(message={"role": "assistant", "content": value})


# Answers


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (content("positive"), "positive"),
        (content(None), ""),
        (content([]), ""),
        (content([{"type": "text", "text": "posi"}, {"type": "text", "text": "tive"}]), "positive"),
        (content([{"type": "output_text", "text": "positive", "annotations": []}]), "positive"),
        (content([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]),
         "yes"),
        (content([{"type": "reasoning", "text": "no"}, "yes"]), "yes"),
        (content([{"type": "reasoning_content", "text": "no"}, {"type": "redacted_thinking", "data": "x"}]), ""),
        (content([{"text": "a thought", "thought": True}, {"text": "yes"}]), "yes"),
        (content([{"type": "text", "text": {"value": "yes", "annotations": []}}]), "yes"),
        (content([{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "yes"}]), "yes"),
        (content([{"type": "tool_use", "input": {}}]), ""),
        (content({"type": "text", "text": "yes"}), "yes"),
        (content({"parts": [{"text": "y"}, {"text": "es"}], "role": "model"}), "yes"),
        (content({"label": "é", "text": 1}), '{"label": "é", "text": 1}'),
        (choice(message={"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}), ""),
        (choice(message={"content": "", "reasoning_content": "positive?"}), ""),
        (choice(message={"content": None, "reasoning": "positive?", "reasoning_details": []}), ""),
        (choice(message={}), ""),
        (choice(message="yes"), "yes"),
        (choice(text=" yes"), " yes"),
        (choice(text=""), ""),
        (choice(delta={"content": "yes"}), "yes"),
        (choice(), ""),
        ([content("yes")], "yes"),
        (json.dumps(json.dumps(content("yes"))), "yes"),
        (b"\xef\xbb\xbf" + json.dumps(content("yes")).encode(), "yes"),
        (json.dumps(content("yes")).encode("utf-16"), "yes"),
        (json.dumps(content("caf\xe9"), ensure_ascii=False).encode("latin-1"), "caf\ufffd"),
        (json.dumps(content("two\nlines")).replace("\\n", "\n"), "two\nlines"),
        (json.dumps({**content("yes"), "created": 7}).replace("7", "7" * 5000), "yes"),
        ("\n\n  " + json.dumps({**content("yes"), "error": None}), "yes"),
    ],
)  # fmt: skip
def test_text_is_read(body: Any, text: str) -> None:
    """The answer is what the model said, in any shape, without its thoughts and calls of tools."""
    response = parsed(body)
    assert (response.text, response.error) == (text, None)
    assert Response.from_json(response.to_json()).text == text


STREAM = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"reasoning_content": "hm"}}]},
    {"choices": [{"delta": {"content": "posi"}, "logprobs": {"content": [{"token": "posi", "logprob": -0.5}]}}]},
    {"choices": [{"delta": {"content": "tive"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]


def stream(*events: Any, end: str = "data: [DONE]\n\n") -> str:
    return ": OPENROUTER PROCESSING\n\n" + "".join(f"data: {json.dumps(event)}\r\n\r\n" for event in events) + end


@pytest.mark.parametrize(
    "body",
    [stream(*STREAM), stream(*STREAM, end=""), stream(*STREAM)[25:], "\n".join(map(json.dumps, STREAM)),
     "event: message\n" + stream(*STREAM)],
)  # fmt: skip
def test_stream_is_joined(body: str) -> None:
    """A server that streams although nobody asked for it has answered."""
    response = parsed(body)
    assert (response.text, response.finish_reason, response.error) == ("positive", "stop", None)
    assert response.usage == Usage(prompt_tokens=3, completion_tokens=2)
    assert response.logprobs == ((("posi", -0.5),),)


def test_stream_that_breaks_is_retried() -> None:
    """A stream without an end was cut off; one with an error in it has failed."""
    assert retried(stream(*STREAM[:3], end="")).kind == "malformed"
    assert retried(stream(*STREAM[:3])[:-20]).kind == "malformed"
    failed = retried(stream(*STREAM[:3], {"error": {"code": 502, "message": "gone"}}))
    assert str(failed) == f"{WHERE} answered 502 for tiny: gone"


@pytest.mark.parametrize(
    ("reason", "normal"),
    [
        ("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("MAX_TOKENS", "length"),
        ("FinishReason.MAX_TOKENS", "length"), ("model_length", "length"), ("model_context_window_exceeded", "length"),
        ("content_filter", "content_filter"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
        ("sensitive", "content_filter"), ("refusal", "content_filter"), ("error", "error"), ("network_error", "error"),
        ("insufficient_system_resource", "error"), ("tool_calls", "tool_calls"), ("eos", "eos"),
        ("end_turn", "end_turn"),
        ("stop_sequence", "stop_sequence"), ("STOP", "STOP"), ("", ""), (None, ""), (2, "2"), (["stop"], "['stop']"),
    ],
)  # fmt: skip
def test_ends_are_normal(reason: Any, normal: str) -> None:
    """The ends that code depends on have one word; the others are as the server wrote them."""
    assert normal_end(reason) == normal


def test_reason_of_the_end_is_normal_in_the_response() -> None:
    """An answer that a server of another dialect cut off is known as cut off."""
    assert parsed(choice(message={"content": "posit"}, finish_reason="MAX_TOKENS")).finish_reason == "length"


OLDER = {"tokens": ["a", "!"], "token_logprobs": [-0.1, -2.0], "top_logprobs": [{"b": -1.5, "a": -0.1}, {"!": -2.0}]}
TOPS = [{"token": "b", "logprob": -1.5}, {"token": "a", "logprob": -0.1}]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"content": [{"token": "a", "logprob": -0.1, "top_logprobs": TOPS}]}, ((("a", -0.1), ("b", -1.5)),)),
        ([{"token": "a", "logprob": -0.1, "top_logprobs": TOPS}], ((("a", -0.1), ("b", -1.5)),)),
        ({"content": [{"token": "a", "logprob": -0.1}]}, ((("a", -0.1),),)),
        ({"content": [{"token": "a", "logprob": -0.1, "top_logprobs": {"a": -0.1}}]}, ((("a", -0.1),),)),
        (OLDER, ((("a", -0.1), ("b", -1.5)), (("!", -2.0),))),
        ({**OLDER, "top_logprobs": None}, ((("a", -0.1),), (("!", -2.0),))),
        ({**OLDER, "top_logprobs": [None, {"!": -2.0}]}, ((), (("!", -2.0),))),
        ({"content": [{"token": 5, "logprob": "x"}, None]}, ((), ())),
        ([{"top_logprobs": {"a": 800, "b": -1.0, "c": 1e-7, "d": float("-inf")}}], ((("c", 0.0), ("b", -1.0)),)),
        ({"content": None}, ()), (None, ()), ({}, ()), ("no", ()), ({"content": {}}, ()),
    ],
)  # fmt: skip
def test_log_probabilities_are_read(given: Any, read: Any) -> None:
    """In OpenAI's shape, in the older one, or as a bare list; what cannot be read loses no answer."""
    assert parsed(choice(message={"content": "a"}, logprobs=given)).logprobs == read


# Withheld, empty, not understood


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (choice(message={"content": None, "refusal": "I cannot."}), "content_filter: the model refused: I cannot."),
        (content([{"type": "refusal", "refusal": "I cannot."}]), "content_filter: the model refused: I cannot."),
        (choice(finish_reason="content_filter"), "content_filter: the server withheld the answer"),
        (choice(finish_reason="SAFETY", message=None), "content_filter: the server withheld the answer"),
        ({"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True}}}]},
         "content_filter: the server blocked the prompt"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter: the server blocked the prompt"),
        ({"choices": None, "prompt_feedback": {"block_reason": 1}}, "content_filter: the server blocked the prompt"),
        ({"hello": 1}, 'malformed: the response is not a chat completion: {"hello": 1}'),
        ({"choices": [{"message": {"content": 5}}]},
         'malformed: the response is not a chat completion: {"choices": [{"message": {"content": 5}}]}'),
        ({"choices": {"message": {}}},
         'malformed: the response is not a chat completion: {"choices": {"message": {}}}'),
    ],
)  # fmt: skip
def test_other_bodies_are_errors_at_once(body: Any, error: str) -> None:
    """What is well formed is understood, or reported, with the first attempt."""
    assert parsed(body).error == error


def test_what_the_server_counted_is_kept() -> None:
    """A body that is not understood has its usage; without one it counts as lost."""
    counted = parsed({"hello": 1, "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    assert (counted.usage.prompt_tokens, counted.lost) == (10, 0)
    assert counted.cost_usd == pytest.approx(20e-6)
    assert parsed({"hello": 1}).lost == 1


@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_deep_nesting_is_not_understood(depth: int) -> None:
    """Neither is a value that is nested too deeply."""
    error = parsed("[" * depth + "]" * depth).error or ""
    assert error.startswith("malformed: the response is not a chat completion: ")


def test_empty_body_is_retried() -> None:
    """Nothing at all is an answer that was cut off."""
    assert (retried("").kind, retried({"choices": []}).kind) == ("malformed", "empty")


# Errors


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (choice(finish_reason="error", message={"content": "posi"}, error={"code": 502, "message": "upstream died"}),
         "answered 502 for tiny: upstream died"),
        (choice(finish_reason="stop", message={"content": "posi"}, error={"code": 503, "message": "upstream died"}),
         "answered 503 for tiny: upstream died"),
        (choice(finish_reason="error", message={"content": "posi"}),
         "answered 500 for tiny: the answer ended with finish_reason 'error'"),
        (choice(finish_reason="error", native_finish_reason="MALFORMED", message={"content": ""}),
         "answered 500 for tiny: the answer ended with finish_reason 'MALFORMED'"),
        (choice(finish_reason="network_error", message={"content": "posi"}),
         "answered 500 for tiny: the answer ended with finish_reason 'network_error'"),
    ],
)  # fmt: skip
def test_error_inside_a_choice_is_retried(body: Any, message: str) -> None:
    """An answer that the server did not finish is a failure of the server, whatever came of it; it was worked on."""
    error = retried(body)
    assert (error.kind, str(error), error.lost) == ("server", f"{WHERE} {message}", True)


def test_refusal_inside_a_choice_is_not_retried() -> None:
    """A provider that refuses while it answers may have worked: what it used counts as lost."""
    response = parsed(
        choice(finish_reason="error", message={"content": ""}, error={"code": 400, "message": "odd seed"})
    )
    assert (response.error, response.lost) == (f"bad_request: {WHERE} answered 400 for tiny: odd seed", 1)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("429", "server"), (429, "server"), ("rate_limit_exceeded", "server"), (500, "server"), (None, "server"),
        ("context_length_exceeded", "context_length"), ("content_filter", "content_filter"),
        ("400", "bad_request"), ("invalid_request_error", "bad_request"), ("insufficient_quota", "ends"),
        ("401", "ends"), ("model_not_found", "ends"),
    ],
)  # fmt: skip
def test_codes_inside_a_success(code: Any, outcome: str) -> None:
    """An error that was sent as a success is read by its code, a number or a word."""
    try:
        found = (parsed({"error": {"message": "no", "code": code}}).error or "").partition(":")[0]
    except AttemptError as error:
        found = error.kind
    except RequestRefused:
        found = "ends"
    assert found == outcome


@pytest.mark.parametrize(
    ("body", "status", "headers", "seconds"),
    [
        ({"error": {"message": "Please try again in 1.242s."}}, 429, {}, 1.242),
        ([{"error": {"code": 429, "message": "no", "details": [{"retryDelay": "18s"}]}}], 429, {}, 18.0),
        ({"error": {"message": "no"}}, 429,
         {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "6m0s"}, 360.0),
        ("slow down", 429, {"x_ratelimit_reset": "1741305642000"}, 42.0),
        ({"error": {"code": 429, "message": "no", "retry_after": 3}}, 200, {}, 3.0),
        ("busy", 503, {}, None),
    ],
)  # fmt: skip
def test_wait_is_read(body: Any, status: int, headers: dict[str, str], seconds: float | None) -> None:
    """When to ask again is in headers or in the body."""
    assert retried(body, status, **headers).retry_after_s == pytest.approx(seconds)


# Laws

scraps = st.sampled_from(["stop", "", "error", "429", "content_filter", "try again in 2s", "{'a': 1}", "data: {}"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400) | scraps | st.text(max_size=9)
names = st.sampled_from(
    ["choices", "message", "content", "text", "delta", "error", "code", "type", "usage", "finish_reason", "logprobs",
     "detail", "total_tokens", "prompt_tokens", "completion_tokens", "refusal", "parts", "metadata", "raw", "status"]
)  # fmt: skip
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5), max_leaves=20
)
answers = st.builds(lambda fields: choice(**fields), st.dictionaries(names, values, max_size=5))


def outcome_of(content: bytes, status: int) -> Response | AttemptError | RequestRefused:
    try:
        return parsed(content, status)
    except (AttemptError, RequestRefused) as error:
        return error


@given(
    values | answers, st.sampled_from([200, 200, 400, 404, 429, 500]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
def test_whole_json_is_never_asked_for_again_because_it_was_not_understood(
    body: Any, status: int, encoding: str
) -> None:
    """Every well formed body has a typed outcome that can be stored; a retry is for what the server calls a failure."""
    found = outcome_of(json.dumps(body, ensure_ascii=False).encode(encoding, "surrogatepass"), status)
    if isinstance(found, AttemptError):
        assert found.kind in ("server", "empty")
    elif isinstance(found, Response):
        assert repr(Response.from_json(found.to_json())) == repr(found)
        assert (found.usage.reasoning_tokens or 0) <= (found.usage.completion_tokens or 2**53)


@given(st.binary(max_size=80) | values.map(lambda value: json.dumps(value).encode()[:-1]), st.sampled_from([200, 500]))
def test_any_bytes_have_a_typed_outcome(content: bytes, status: int) -> None:
    """So does everything else."""
    found = outcome_of(content, status)
    assert "\n" not in (str(found) if isinstance(found, Exception) else found.error or "")


def test_endless_text_is_no_answer() -> None:
    """A text that is longer than any model writes is an error of its request, with what the server counted."""
    found = parsed({**content("x" * 1_000_001), "usage": {"prompt_tokens": 2, "completion_tokens": 3}})
    assert found.error == (f"malformed: the answer of {WHERE} has 1,000,001 characters, which is more than 1,000,000")
    assert (found.text, found.usage.prompt_tokens, found.lost) == ("", 2, 0)
    assert parsed(content("x" * 1_000_000)).error is None


def test_words_beside_an_answer_are_short() -> None:
    """Why an answer ended is cut off, and a token as long as a text is no token."""
    tops = [{"token": "x" * 101, "logprob": -0.1}, {"token": "x" * 100, "logprob": -0.2}]
    found = parsed(choice(message={"content": "a"}, logprobs={"content": [{"token": "a", "top_logprobs": tops}]}))
    assert found.logprobs == ((("x" * 100, -0.2),),)
    assert parsed({"choices": [{"text": "a", "finish_reason": "y" * 999}]}).finish_reason == "y" * 100


def test_errors_hold_nothing_that_a_terminal_obeys() -> None:
    """Escapes of a server's message are visible in the error, wherever that is printed."""
    found = parsed({"error": {"message": "no \x1b]52;c;eA==\x07 \u202e"}}, 422)
    assert (found.error or "").endswith(r"answered 422 for tiny: no \x1b]52;c;eA==\x07 \u202e")


@pytest.mark.parametrize("levels", range(100, 1100, 100))
def test_any_depth_is_a_typed_outcome(levels: int) -> None:
    """Lists in lists and errors in errors raise nothing, however deep they are."""
    for begin, end in (("[", "]"), ('{"error":', "}"), ('[{"error":', "}]")):
        for inside in ('{"error": "no"}', '{"choices": [{"message": {"content": "a"}}]}'):
            for status in (200, 422):
                try:
                    error = parsed(levels * begin + inside + levels * end, status).error or ""
                except AttemptError as again:
                    error = f"{again.kind}: "
                assert error.startswith(("malformed: ", "bad_request: ", "server: "))


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": ""}}]}, [("add", "", "c1")]),
        ({"tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]}, [("add", '{"a": 1}', "")]),
        ({"tool_calls": [{"id": 7, "function": {"name": "now"}}]}, [("now", "{}", "7")]),
        ({"function_call": {"name": "add", "arguments": "{}"}}, [("add", "{}", "")]),
        ({"tool_calls": None}, []),
        ({"tool_calls": [None, {"id": "c1"}, {"function": "add"}]}, []),
    ],
)  # fmt: skip
def test_calls_of_tools_are_read(message: dict[str, Any], calls: list[tuple[str, str, str]]) -> None:
    """A response has the calls of tools in the shapes that servers send; what names no tool is none."""
    choice = {"finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, **message}}
    response = parsed({"choices": [choice]})
    assert [(each.name, each.arguments, each.id) for each in response.tool_calls] == calls
    assert (response.text, response.error) == ("", None)
