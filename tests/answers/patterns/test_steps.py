"""The steps of a regular expression are counted, so that none takes a response without end."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Answer, Json, Regex
from prompt_search.answers.patterns.program import program_of
from prompt_search.answers.patterns.steps import ends_soon, search
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from tests.answers.conftest import reason

SLOW = r"^(?:\w+\s?)*$"
WORDS = "word " * 20 + "!"
TOO_LONG = (
    r"the pattern '^(?:\\w+\\s?)*$' takes more than 500,000 steps on "
    r"'word word word word word word word word word word word word…'; let it match a text in one way only"
)

PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", r"\w", r"\s", "[ab]", "[^a]", "^", "$", r"\b", "é", "(a|b)\\1", "(a)?(?(1)b|a)"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "{2}", "{1,3}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        st.tuples(st.sampled_from(["(?=", "(?!", "(?i:", "(?>"]), inner).map(lambda pair: f"{pair[0]}{pair[1]})"),
        st.tuples(st.sampled_from("ab."), st.sampled_from(["*", "+", "*?", "*+"])).map("".join),
    ),
    max_leaves=6,
).filter(lambda pattern: pattern.count("\\1") + pattern.count("(?(1)") < 2)


@given(PATTERNS, st.text("abAé \n", max_size=12))
def test_the_steps_that_are_counted_are_those_of_re(pattern: str, text: str) -> None:
    """The machine that counts finds the match that ``re`` finds, or needs more steps than it may."""
    found = re.search(pattern, text)
    assert search(program_of(pattern), text) in (found and found.span(), "too long")


@pytest.mark.parametrize(
    ("form", "text", "answer"),
    [
        (Regex(SLOW), WORDS, TOO_LONG),
        (Regex(r"(a+)+$"), "a" * 40 + "b", "takes more than 500,000 steps"),
        (Regex(r"(?:a|a)*?b"), "a" * 60, "takes more than 500,000 steps"),
        (Regex(r"(.*)*x"), "a" * 60, "takes more than 500,000 steps"),
        (Regex(r"(?=(?:a+)+b)"), "a" * 60, "takes more than 500,000 steps"),
        (Regex(r"(a)(?:\1|a)*$"), "a" * 60 + "e", "takes more than 500,000 steps"),
        (Regex(r".*.*.*.*x"), "a" * 3_000, "takes more than 500,000 steps"),
        (Json({"properties": {"a": {"pattern": SLOW}}}), json.dumps({"a": WORDS}), TOO_LONG),
        (Json({"patternProperties": {SLOW: True}, "additionalProperties": False}), json.dumps({WORDS: 1}), TOO_LONG),
        (Json({"propertyNames": {"pattern": SLOW}}), json.dumps({WORDS: 1}), TOO_LONG),
        (Json({"$ref": "#/definitions/a", "definitions": {"a": {"pattern": SLOW}}}), json.dumps(WORDS), TOO_LONG),
        (Json({"items": {"anyOf": [{"type": "string"}] * 100}}), json.dumps([1] * 9_999), "more than 50,000 checks"),
    ],
)
def test_a_response_that_takes_too_long_is_unparsed(form: Answer, text: str, answer: str) -> None:
    """Reading ends within seconds, the first time and again, and the reason names the pattern and the text."""
    start = time.perf_counter()
    assert answer in reason(form.parse(Response(text=text)))
    assert answer in reason(form.parse(Response(text=text)))
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"<a>(.*?)</a>", "x " * 50_000 + "<a>42</a>"),
        (r"(?m)^Answer: (.+)$", "a line of text\n" * 10_000 + "Answer: 4"),
        (r"(?s)```(?:json)?\s*(.*?)```", "text\n" * 20_000 + "```json\n{}```"),
        (r"^(.*),(.*),(.*)$", "," * 3_000),
        (r"(\w+)$", "word " * 20_000),
        (r"(\d+(?:,\d{3})*)\s*$", "1,000 " * 5_000),
        (r"""(?P<q>["'])(.*?)(?P=q)""", "it's so " * 5_000),
        (SLOW, "word " * 20),
    ],
)
def test_long_responses_are_read_by_ordinary_patterns(pattern: str, text: str) -> None:
    """A hundred thousand characters are no reason to give up."""
    assert ends_soon(pattern, text)


def test_unique_items_are_compared_once() -> None:
    """Twenty thousand items are no reason to give up; numbers are equal by value, and true is not 1."""
    form = Json({"uniqueItems": True})
    items = [1, True, "1", [1], [True], {"a": 1}, {"a": True}, *range(2, 20_000)]
    assert form.parse(Response(text=json.dumps(items))) == items
    for twice in ([1, 1.0], [{"a": [1]}, {"a": [1.0]}]):
        assert reason(form.parse(Response(text=json.dumps(twice)))).endswith("has non-unique elements")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (3, r"a pattern must be a text, not 3; write it in quotes"),
        ("(" * 5_000 + ")" * 5_000, r"the pattern '\({59}…' is nested too deeply; simplify it"),
        ("a{99999999999}", r"the pattern 'a\{9+\}' does not compile: the repetition number is too large; correct it"),
        ("(?:ab?){20000}", r"the pattern needs more than 10,000 steps with its repeats written out; repeat less"),
    ],
)
def test_patterns_that_cannot_be_counted_are_refused(pattern: str, message: str) -> None:
    """A pattern that is no text, too deep or too large is one line when the form is made."""
    with pytest.raises(InputError, match=f"^{message}$"):
        Regex(pattern)
    if isinstance(pattern, str):
        with pytest.raises(InputError, match=r"^the (JSON schema|pattern) [^\n]+; [a-z ]+$"):
            Json({"patternProperties": {pattern: True}})


def test_a_schema_whose_references_double_is_refused() -> None:
    """Forty definitions that each refer twice to the next one are a trillion checks."""
    doubled = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    with pytest.raises(
        InputError,
        match=r"^the JSON schema cannot be used: it takes more than 50,000 checks against the schema; remove some",
    ):
        Json({"$defs": doubled | {"d40": {}}, "$ref": "#/$defs/d0"})
