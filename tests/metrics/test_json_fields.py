"""The metric of JSON answers: which fields are right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search import metrics
from prompt_search.answers import Unparsed
from prompt_search.data.rows import Row
from prompt_search.errors import InputError
from prompt_search.metrics.base import check, score
from tests.profiles import examples

TARGET = {"item": "Desk", "total": 120.5, "to": {"city": "New York", "zip": None}, "tags": ["red", "big"]}


def row(target: Any) -> Row:
    return Row({"text": "?", "fields": target}, target="fields")


ANSWERS: dict[str, tuple[Any, float, str]] = {
    "the target": (TARGET, 1.0, ""),
    "its JSON text": (json.dumps(TARGET), 1.0, ""),
    "another order": (dict(reversed(TARGET.items())), 1.0, ""),
    "case, space, a number as text, a set": (
        {"item": "desk ", "total": "120.50", "to": {"city": "new  york"}, "tags": ["big", "RED"]},
        1.0,
        "",
    ),
    "wrong": ({**TARGET, "total": 121}, 0.8, "wrong: total"),
    "wrong and missing": ({"item": "Chair", "total": 120.5, "tags": []}, 0.4, "wrong: item; missing: to.city, tags"),
    "extra": ({**TARGET, "to": {"city": "New York", "zip": "1"}, "x": 1}, 4 / 6, "extra: to.zip, x"),
    "nested in another way": ({**TARGET, "to": "New York"}, 4 / 6, "missing: to.city; extra: to"),
    "no object": ("Desk", 0.0, "wrong: item, total, to.city, to.zip, tags"),
    "a list": ([TARGET], 0.0, "wrong: item, total, to.city, to.zip, tags"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_score_is_the_share_of_right_fields(case: str) -> None:
    """The explanation names the fields that are not right."""
    answer, value, explanation = ANSWERS[case]
    found = metrics.fields(answer, row(TARGET))
    assert found.value == pytest.approx(value)
    assert found.explanation == explanation
    assert metrics.fields(answer, row(json.dumps(TARGET))) == found


def test_only_some_fields_count() -> None:
    """The path of an object stands for all fields in it."""
    given_answer = {"item": "Chair", "to": {"city": "New York"}}
    assert metrics.Fields(["to"])(given_answer, row(TARGET)).value == 1.0
    assert metrics.Fields(["to.city", "item"])(given_answer, row(TARGET)).value == 0.5


def test_fields_are_compared_as_is_said() -> None:
    """Numbers within a tolerance, lists in their order, numbers as text."""
    answer = {**TARGET, "total": 121, "tags": ["big", "red"]}
    assert metrics.Fields(relative=0.01)(answer, row(TARGET)).value == 1.0
    assert metrics.Fields(tolerance=0.4)(answer, row(TARGET)).explanation == "wrong: total"
    in_order = metrics.Fields(compare={"tags": "list"}, tolerance=1)
    assert in_order(answer, row(TARGET)).explanation == "wrong: tags"
    as_text = metrics.Fields(["total"], compare={"total": "text"})
    assert as_text({"total": "120.50"}, row(TARGET)).value == 0.0


def test_best_of_several_accepted_objects_counts() -> None:
    """A target that is a list holds accepted answers."""
    assert metrics.fields({"a": 2}, row([{"a": 1}, {"a": 2}])).value == 1.0


async def _scored(answer: Any) -> float:
    return float((await score(metrics.fields, answer, row(TARGET))).value)


def test_unreadable_answer_scores_nothing() -> None:
    """Every field of an answer that could not be read is wrong."""
    import asyncio

    assert asyncio.run(_scored(Unparsed("not JSON"))) == 0.0
    assert {field.outcome for field in metrics.fields.compared(Unparsed("not JSON"), TARGET).values()} == {"wrong"}


def test_settings_that_make_no_sense_are_refused() -> None:
    """The message says what to write."""
    with pytest.raises(InputError, match=r"not the text 'to'; write \['to'\]"):
        metrics.Fields("to")
    with pytest.raises(InputError, match="'a' cannot be compared by 'fuzzy'; give one of: auto, text, number"):
        metrics.Fields(compare={"a": "fuzzy"})
    with pytest.raises(InputError, match="a tolerance must be 0 or more, not -1"):
        metrics.Fields(tolerance=-1)
    with pytest.raises(InputError, match="needs the column 'other', which is not in the data"):
        check(metrics.Fields(column="other"), ["text", "fields"])
    with pytest.raises(InputError, match="needs a JSON object to compare with, not 'yes'; correct the target"):
        metrics.fields({}, row("yes"))


def test_text_of_the_metric_is_the_same_in_every_process() -> None:
    """A stored study is resumed only while its metric is the same."""
    one = metrics.Fields(["b", "a"], compare={"b": "set", "a": "text"})
    other = metrics.Fields(("b", "a"), compare={"a": "text", "b": "set"})
    assert (repr(one), hash(one)) == (repr(other), hash(other))


OBJECTS = st.dictionaries(
    st.sampled_from("abc"),
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=3),
)


@settings(max_examples=examples(60), deadline=None)
@given(OBJECTS, OBJECTS)
def test_score_is_a_share_and_the_target_itself_is_right(answer: dict[str, Any], target: dict[str, Any]) -> None:
    """Scores lie between 0 and 1, and equal objects score 1."""
    assert 0.0 <= float(metrics.fields(answer, row(target)).value) <= 1.0
    assert metrics.fields(target, row(target)).value == 1.0
