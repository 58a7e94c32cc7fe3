"""What is learned of a server from what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from prompt_search.llm.dialect.answer_lessons import lesson_of_answer
from prompt_search.llm.dialect.dialect import Dialect
from prompt_search.llm.dialect.refusal_lessons import lesson_of_refusal
from prompt_search.llm.lesson import Lesson
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.llm.replies.server_error import ServerError

SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {}}}
FULL: dict[str, Any] = {
    "max_tokens": 16, "temperature": 0, "logprobs": True, "top_logprobs": 200, "response_format": SCHEMA,
    "reasoning_effort": "none", "seed": 1,
}  # fmt: skip


def asked(parameters: Mapping[str, Any] = FULL, roles: str = "system user") -> Request:
    """A request with these roles."""
    messages = tuple(Message(role, f"{role} text") for role in roles.split())
    return Request(endpoint="e", model="m", messages=messages, parameters=parameters)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
         "max_tokens is sent as max_completion_tokens"),
        (("Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
         "supported."), "temperature is not sent"),
        ("`temperature` must be strictly positive", "temperature is at least 0.01"),
        ("temperature: deprecated for this model", "temperature is not sent"),
        ("Requested sample logprobs of 200, which is greater than max allowed: 20", "top_logprobs is at most 20"),
        ("Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]", "top_logprobs is at most 20"),
        ("Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 200 instead.",
         "top_logprobs is at most 5"),
        ("You are not allowed to request logprobs from this model", "the parameter logprobs is refused"),
        ("property 'logprobs' is unsupported", "the parameter logprobs is refused"),
        (("litellm.UnsupportedParamsError: anthropic does not support parameters: ['logprobs', 'top_logprobs'], for "
         "model=claude. To drop these, set `litellm.drop_params=True`."), "the parameter logprobs is refused"),
        ("Invalid JSON payload received. Unknown name \"logprobs\": Cannot find field.",
         "the parameter logprobs is refused"),
        ("Argument not supported on this model: topLogprobs", "the parameter logprobs is refused"),
        ("This response_format type is unavailable now", 'response_format = "json_schema" is refused'),
        ("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
         'response_format = "json_schema" is refused'),
        ("Unsupported value: 'reasoning_effort' does not support 'none' with this model.",
         'reasoning_effort = "none" is refused'),
        (("litellm.UnsupportedParamsError: O-series models don't support temperature=0. Only temperature=1 is "
         "supported. To drop unsupported openai params from the call, set `litellm.drop_params = True`"),
         "temperature is not sent"),
        (("litellm.UnsupportedParamsError: gpt-5-mini doesn't support temperature=0 while reasoning is active. Only "
         "temperature=1 is supported unless reasoning_effort resolves to 'none'."), "temperature is not sent"),
        (("litellm.UnsupportedParamsError: mistral does not support parameters: ['reasoning_effort'], for "
         "model=mistral-small."), "the parameter reasoning_effort is refused"),
        (("litellm.UnsupportedParamsError: perplexity does not support parameters: ['seed', 'reasoning_effort'], for "
         "model=sonar."), "seed is not sent"),
        ("response_format type must be one of \"text\" or \"json_object\", but got: json_schema",
         'response_format = "json_schema" is refused'),
        ("Unrecognized request argument supplied: reasoning_effort", "the parameter reasoning_effort is refused"),
        (
            "'response_format.type' must be 'text' or 'json_object'",
            'response_format = "json_schema" is refused',
        ),
        ("response_format: Input should be 'text'", 'response_format = "json_schema" is refused'),
        (
            ("litellm.UnsupportedParamsError: openai does not support parameters: ['logprobs', 'top_logprobs'], for "
            "model=gpt-5-mini. To drop these, set `litellm.drop_params=True`. LiteLLM: model group 'gpt-5-mini' failed "
            "with the error above. No fallback was attempted."),
            "the parameter logprobs is refused",
        ),
        ("response_format value as json_schema is enabled only for api versions 2024-08-01-preview and later",
         'response_format = "json_schema" is refused'),
        ("Requested sample logprobs of 200, which is greater than max allowed: 0", "the parameter logprobs is refused"),
        ("Budget 0 is invalid. This model only works in thinking mode.", 'reasoning_effort = "none" is refused'),
        ("`temperature` may only be set to 1 when thinking is enabled", "temperature is not sent"),
        ("`temperature` and `seed` cannot both be specified for this model. Please use only one.", "seed is not sent"),
        ("Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 32, but got 16 instead.",
         "max_tokens is at least 32"),
        ("System role not supported", "the system role is refused"),
        ("Developer instruction is not enabled for models/gemma-3-27b-it", "the system role is refused"),
        ("Conversation roles must alternate user/assistant/user/assistant/...", "the system role is refused"),
        ("unsupported parameter: seed", "seed is not sent"),
    ],
)  # fmt: skip
def test_refusals_are_read_in_the_words_of_servers(said: str, told: str) -> None:
    """A refusal says what the server does not take, in the words that servers use."""
    lesson = lesson_of_refusal(asked(), ServerError(status=400, message=said))
    assert lesson is not None
    assert lesson.told == told


@pytest.mark.parametrize(
    "said",
    [
        "Bad Request",
        "This model's maximum context length is 2048 tokens. However, your messages resulted in 3000 tokens.",
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "messages.0: user messages must have non-empty content",
        "Invalid value: image data is not valid",
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 16. This model's maximum context length is 4096 "
            "tokens and your request has 4090 input tokens (16 > 4096 - 4090)."
        ),
        "input length and `max_tokens` exceed context limit: 199990 + 16 > 200000, decrease input length",
        "Input validation error: `inputs` tokens + `max_tokens` must be <= 4097. Given: 4090 `inputs` tokens",
        "`max_tokens` must be greater than `thinking.budget_tokens`",
        "Your system prompt contains disallowed words: 'system prompt' not allowed by policy",
        "Invalid request: the model did not stop, logs of the user are not available",
        "Rate limit reached: limit 8 requests; max_tokens 16",
    ],
)
def test_refusals_of_a_single_row_say_nothing_about_the_server(said: str) -> None:
    """A refusal that names no parameter and no role says nothing about the server."""
    assert lesson_of_refusal(asked(), ServerError(status=400, message=said)) is None


def test_answer_that_asks_for_more_than_the_model_holds_is_bounded() -> None:
    """A refusal for the length of the context says something about the server where the answer itself is too long."""
    large = asked({"max_tokens": 40_000})
    said = (
        "This model's maximum context length is 8192 tokens. However, you requested 40050 tokens (50 in the messages)."
    )
    lesson = lesson_of_refusal(large, ServerError(status=400, message=said))
    assert lesson is not None
    assert lesson.told == "max_tokens is at most 4,096"
    said = "`max_tokens` must be less than or equal to `8192`, the maximum value is less than the `context_window`"
    lesson = lesson_of_refusal(large, ServerError(status=400, message=said))
    assert lesson is not None
    assert lesson.told == "max_tokens is at most 8,192"


def test_value_outside_of_a_range_is_bounded() -> None:
    """A temperature above the range is sent as the highest one that is taken."""
    said = "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0]."
    lesson = lesson_of_refusal(asked({"temperature": 3}), ServerError(status=400, message=said))
    assert lesson is not None
    assert lesson.told == "temperature is at most 2"


@pytest.mark.parametrize("status", [401, 402, 408, 429])
def test_status_that_concerns_the_account_says_nothing(status: int) -> None:
    """Keys, quotas and rate limits say nothing about parameters, whatever words come with them."""
    assert lesson_of_refusal(asked(), ServerError(status=status, message="logprobs are not supported")) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("You are not allowed to request logprobs from this model", "the parameter logprobs is refused"),
        ("You are not allowed to sample from this model", None),
        ("Project p does not have access to model m", None),
        ("This key may not use the system role: not permitted", None),
    ],
)
def test_forbidden_parameter_is_learned_and_a_forbidden_model_is_not(said: str, told: str | None) -> None:
    """A 403 says something about the server where it names a parameter, and nothing where it is about the key."""
    lesson = lesson_of_refusal(asked(), ServerError(status=403, message=said))
    assert (lesson and lesson.told) == told


def test_quoted_prompt_says_nothing() -> None:
    """What a refusal quotes of the prompt is not taken for the server's words."""
    text = "Is the parameter 'logprobs' unsupported? Tell me about the system role."
    request = Request(endpoint="e", model="m", messages=(Message("user", text),), parameters=FULL)
    assert lesson_of_refusal(request, ServerError(status=400, message=f"cannot process: {text}")) is None


def refused(lesson: Lesson) -> Response:
    """The response to a request that was refused."""
    return Response(error="bad_request: no", lesson=lesson)


def test_lessons_change_later_requests_and_are_told() -> None:
    """A dialect renames, drops and bounds the parameters of later requests, and says so."""
    dialect = Dialect()
    for lesson in (
        Lesson(action="rename", name="max_tokens", value="max_completion_tokens"),
        Lesson(action="drop", name="temperature"),
        Lesson(action="cap", name="top_logprobs", value=5),
    ):
        assert dialect.observe(dialect.applied(asked()), refused(lesson))
    assert dialect.applied(asked()).parameters == {
        "max_completion_tokens": 16, "logprobs": True, "top_logprobs": 5, "response_format": SCHEMA,
        "reasoning_effort": "none", "seed": 1,
    }  # fmt: skip
    assert dialect.told == (
        "max_tokens is sent as max_completion_tokens; temperature is not sent; top_logprobs is at most 5"
    )
    assert dialect.applied(asked()) is not asked()
    unchanged = asked({"seed": 2})
    assert dialect.applied(unchanged) is unchanged


def test_accepted_requests_stay_as_they_are() -> None:
    """No lesson changes or closes what the server has accepted: only the refused value of it is closed."""
    dialect = Dialect()
    cold, warm = asked({"temperature": 0}), asked({"temperature": 0.7})
    assert not dialect.observe(cold, Response(text="yes"))
    assert dialect.observe(warm, refused(Lesson(action="drop", name="temperature", reason="no")))
    assert dialect.applied(cold) is cold
    assert dialect.refusal(cold) is None
    assert str(dialect.refusal(warm)) == "the server refuses temperature = 0.7 (no)"
    assert not dialect.observe(cold, refused(Lesson(action="drop", name="temperature")))


def test_refused_format_can_be_evaded_and_a_role_cannot() -> None:
    """A refused response format is replaced by a simpler one, then left out; a refused role belongs to the prompt."""
    dialect = Dialect()
    request = asked({"response_format": SCHEMA})
    assert dialect.observe(request, refused(Lesson(action="close", name='response_format = "json_schema"')))
    assert dialect.evade(request)
    simpler = dialect.applied(request)
    assert simpler.parameters == {"response_format": {"type": "json_object"}}
    assert dialect.observe(simpler, refused(Lesson(action="close", name='response_format = "json_object"')))
    assert dialect.evade(simpler)
    assert dialect.applied(request).parameters == {}
    assert dialect.observe(request, refused(Lesson(action="close", name="the system role")))
    assert not dialect.evade(request)


def test_two_refusals_alike_close_what_is_new() -> None:
    """Where the words say nothing, two refusals alike close the feature that no accepted request had."""
    dialect = Dialect()
    plain, new = asked({"seed": 1}, "user"), asked({"seed": 1}, "system user")
    dialect.observe(plain, Response(text="yes"))
    assert not dialect.observe(new, Response(error="bad_request: e answered 400 for m: nope (request 8f3a1)"))
    assert dialect.observe(new, Response(error="bad_request: e answered 400 for m: nope (request 77b2c)"))
    refusal = dialect.refusal(new)
    assert refusal is not None
    assert refusal.feature == "the system role"


def test_refusals_of_known_features_close_nothing() -> None:
    """Rows that a server refuses, of prompts of a kind that it accepts, close nothing."""
    dialect = Dialect()
    request = asked({"seed": 1}, "user")
    dialect.observe(request, Response(text="yes"))
    for _ in range(5):
        assert not dialect.observe(request, Response(error="bad_request: e answered 400 for m: nope"))
    assert dialect.refusal(request) is None


@pytest.mark.parametrize(
    ("response", "room"),
    [
        (Response(finish_reason="length"), 1024),
        (Response(text="<think>hm", finish_reason="length"), 1024),
        (Response(finish_reason="length", usage=Usage(reasoning_tokens=400)), 4096),
        (Response(text="yes", finish_reason="stop", usage=Usage(reasoning_tokens=300)), None),
        (Response(text="yes", finish_reason="stop", usage=Usage(reasoning_tokens=15)), 1024),
        (Response(text="yes", finish_reason="stop", usage=Usage(reasoning_tokens=2)), None),
        (Response(text="yes and", finish_reason="length"), None),
        (Response(text="", finish_reason="stop"), None),
        (Response(error="timeout: no"), None),
    ],
)
def test_answers_that_end_in_thought_need_room(response: Response, room: int | None) -> None:
    """An answer that ended while the model was thinking, or nearly so, says how much room answers need; one that is
    whole after more thought than the limit shows that the limit does not bound thoughts."""
    lesson = lesson_of_answer(asked({"max_tokens": 16}), response)
    assert (None if lesson is None else lesson.value) == room


def test_first_token_needs_no_room() -> None:
    """An answer form that reads the first token alone is left as it is."""
    response = Response(text="yes", finish_reason="length", logprobs=((("yes", -0.1),),))
    assert lesson_of_answer(asked({"max_tokens": 1, "logprobs": True}), response) is None


def test_answers_without_log_probabilities_close_their_form() -> None:
    """A server that leaves out log-probabilities in silence is not asked for more, and is said to ignore them."""
    lesson = lesson_of_answer(asked({"max_tokens": 1, "logprobs": True}), Response(text="yes"))
    assert lesson is not None
    assert lesson.told == "the parameter logprobs is ignored"


def test_an_empty_answer_says_nothing_of_log_probabilities() -> None:
    """Where nothing was said there is no token to tell of, so that one odd answer closes no form."""
    assert (
        lesson_of_answer(asked({"max_tokens": 1, "logprobs": True}), Response(text=" ", finish_reason="stop")) is None
    )


def test_numbers_that_no_bound_has_are_none() -> None:
    """A number of hundreds of digits in a refusal bounds nothing: it could be neither stored nor sent."""
    said = f"Invalid 'max_tokens': integer below minimum value. Expected a value >= {'9' * 400}."
    lesson = lesson_of_refusal(asked({"max_tokens": 16}), ServerError(status=400, message=said))
    assert lesson is None or lesson.action != "floor"


def test_stored_responses_keep_their_lesson() -> None:
    """A lesson is stored with its response, and read back equal."""
    response = refused(Lesson(action="cap", name="top_logprobs", value=5, reason="too many"))
    assert Response.from_json(response.to_json()) == response
    assert "lesson" not in Response(text="yes").to_json()
