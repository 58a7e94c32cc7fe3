"""Responses that hold no JSON are unparsed."""

from __future__ import annotations

import json

import pytest

from prompt_search.answers import Json, Unparsed
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


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"n": 1}',
        'Here is the answer: {"n": 1}',
        '{"n": 1}\n\nI hope this helps {smile}!',
        'It\'s [1] so:\n```json\n{"n": 1}\n```\nDone.',
        '```\n{"n": 1}\n```',
        '```json\r\n{"n": 1}\r\n```',
        'First:\n```python\nprint(1)\n```\nthen\n```json\n{"n": 1}\n```',
        '{"n": 1} and again {"n": 1}',
        'Don\'t mind the "quotes": {"n": 1}.',
        '<think>{"n": 2}</think>{"n": 1}',
        '{"n": 1}<|im_end|>',
        '{"n": 1, "n": 1}',
    ],
)
def test_reads_the_one_value_in_a_response(text: str) -> None:
    """Prose, fences and reasoning around one JSON object do not matter."""
    assert Json(SCHEMA).parse(Response(text=text)) == {"n": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"n": 1} or {"n": 2}', "2 different JSON values instead of one"),
        ('{"n": 1, "n": 2}', "the JSON has two values of 'n'"),
        ('{"n": 1e999}', "the number '1e999' in the JSON is too large"),
        ('{"n": 1' + 400 * "0" + "}", "the number '1000000000"),
        ('{"n": Infinity}', "not JSON"),
        ('{"n": ' + "[" * 100 + "]" * 100 + "}", "the JSON is nested more than 100 levels deep"),
        ('The answer is {"n": 1', "not JSON"),
        ('{"n": 1', "not JSON"),
        ("{'n': 1}", "not JSON"),
        ("{" * 10_000, "not JSON"),
        ('{"n": [' * 10_000, "not JSON"),
    ],
)
def test_what_is_not_one_value_is_unparsed(text: str, why: str) -> None:
    """Two answers, two values of one name, numbers beyond the range, and values without an end are no answer."""
    assert reason(Json(SCHEMA).parse(Response(text=text))).startswith(why)


def test_what_stands_in_a_text_is_no_structure() -> None:
    """Braces, fences and tags inside of a JSON text are parts of it."""
    form = Json({"required": ["text"]})
    braces, tags = '{"text": "a } b { \\" ```\\n"}', '{"text": "<think>a</think>"}'
    for text in (braces, f"So: {braces} ok", tags):
        assert form.parse(Response(text=text)) == json.loads(text.removeprefix("So: ").removesuffix(" ok"))


def test_json_that_is_said_to_be_wrong_is_no_answer() -> None:
    """A remark around the value that denies it makes it unreadable."""
    form = Json({"type": "object"})
    assert isinstance(form.parse(Response(text='{"a": 2} is wrong')), Unparsed)
    assert isinstance(form.parse(Response(text='It is not valid: {"a": 2}')), Unparsed)
    assert form.parse(Response(text='{"a": 2} is right')) == {"a": 2}


@pytest.mark.parametrize("piece", ['"\\', '\\"', '"a\\"b'])
def test_quotation_marks_that_are_never_closed_are_passed_once(piece: str) -> None:
    """A hundred thousand of them end soon: where one is not closed, none of those after it is."""
    answer = Json({"type": "object"}).parse(Response(text="{" + piece * 100_000))
    assert reason(answer).startswith("not JSON: ")
    assert Json({"type": "object"}).parse(Response(text='It is not {"x}, but {}')) == {}


def test_no_more_than_a_hundred_values_are_counted() -> None:
    """Values that repeat are read once, and of many different ones only some."""
    assert Json(SCHEMA).parse(Response(text='{"n": 1} ' * 50_000)) == {"n": 1}
    answer = Json(SCHEMA).parse(Response(text=" ".join(f'{{"n": {number}}}' for number in range(50_000))))
    assert reason(answer).startswith("more than 100 different JSON values instead of one: ")
