"""Numbers are read as people write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Number
from prompt_search.answers.number import number_in
from prompt_search.llm.messages import Response
from tests.answers.conftest import reason


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", 18),
        ("so 3 and then 18.", 18),
        ("He pays $1,234.50.", 1234.5),
        ("-$5", -5),
        ("$-5", -5),
        ("−3 degrees", -3),
        ("between 3-4", 4),
        ("(12)", 12),
        ("50% of them", 50),
        ("2e3", 2000),
        ("about .5", 0.5),
        ("wait...18", 18),
        ("the 18th", 18),
        ("CO2: 3 atoms", 3),
        ("1,2", 2),
        ("#### 18\nThat took 3 steps.", 18),
        ("#### 1\n#### 70,000", 70000),
        ("**Answer:** $18 for 2 days", 18),
        ("The answer is 9, after 7 days", 9),
        ("Answer: 16 - 7 = 9", 9),
        ("The answer is:\n18", 18),
        ("\\boxed{12} in 3 steps", 12),
    ],
)
def test_reads(text: str, number: float) -> None:
    """The announced number wins, else the last; signs, currency and separators are understood."""
    assert Number().parse(Response(text=text)) == number


@pytest.mark.parametrize("text", ["", "none", "v1.5.2", "B2B", "1e999"])
def test_no_number(text: str) -> None:
    """Digits inside words and numbers too large are no answer."""
    assert reason(Number().parse(Response(text=text))) == f"no number in {text!r}"


@given(st.decimals(-(10**9), 10**9, places=2))
def test_reads_any_number_as_people_write_it(number: Any) -> None:
    """With or without thousands separators, before a full stop, the number is read exactly."""
    for text in (f"{number}", f"It is {number:,}.", f"#### {number}\n7"):
        assert number_in(text) == float(number)


@given(st.text())
def test_any_text_gives_a_finite_number_or_none(text: str) -> None:
    """No text makes reading raise."""
    number = number_in(text)
    assert number is None or math.isfinite(number)
