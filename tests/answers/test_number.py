"""Numbers are read as people write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Number
from prompt_search.answers.reading.number_reading import number_in
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
        ("(12)", 12),
        ("50% of them", 50),
        ("2e3", 2000),
        ("about .5", 0.5),
        ("wait...18", 18),
        ("the 18th", 18),
        ("CO2: 3 atoms", 3),
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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("\\boxed{1{,}000}", 1000),
        ("Answer: 3/4", 0.75),
        ("1.234,56", 1234.56),
        ("1 1/2", 1.5),
        ("-1 1/2", -1.5),
        ("\\frac{3}{4}", 0.75),
        ("-\\frac{3}{4}", -0.75),
        ("2\\frac{1}{2}", 2.5),
        ("\\boxed{18\\text{ cm}}", 18),
        ("\\boxed{\\text{18}}", 18),
        ("1\u2009000", 1000),
        ("1\xa0000\xa0000", 1000000.0),
        ("1\u202f234,5", 1234.5),
        ("1'000'000", 1000000.0),
        ("1\u2019000", 1000),
        ("1_000", 1000),
        ("1.234", 1.234),
        ("1,234", 1234),
        ("1.234.567", 1234567),
        ("1.234.567,89", 1234567.89),
        ("12,34,567", 1234567),
        ("12,5", 12.5),
        ("0,75", 0.75),
        ("１２", 12),
        ("١٢٣", 123),
        ("१२", 12),
        ("\u22123", -3),
        ("\u20133", -3),
        ("2×10^3", 2000),
        ("2 x 10^3", 2000),
        ("2 \\times 10^{3}", 2000),
        ("2×10³", 2000),
        ("10^3", 1000),
        ("5·10⁻²", 0.05),
        ("1e3", 1000),
        ("50%", 50),
        ("50 %", 50),
        ("€5", 5),
        ("5€", 5),
        ("5 kg", 5),
        ("5kg", 5),
        ("18 cm²", 18),
        ("½", 0.5),
        ("1½", 1.5),
        ("3 million", 3000000.0),
        ("1.1 million", 1100000.0),
        ("$5k", 5000),
        ("$2M", 2000000.0),
        ("5m", 5),
        ("2 dozen", 24),
        ("$5B", 5000000000.0),
        ("3 x 4 = 12", 12),
        ("Answer: 1 000", 1000),
        ("1 000 000", 1000000.0),
        ("The answer is **18**.", 18),
        ("Answer:\n18\n\nThat took 3 steps.", 18),
        ("The answer is about 3.14", 3.14),
        ('{"answer": 18, "steps": 3}', 18),
        ("He pays $1,234.50.", 1234.5),
        ("<answer>18</answer> in 3 steps", 18),
        ("the 18th", 18),
        ("wait...18", 18),
        ("about .5", 0.5),
        ("-$5", -5),
        ("$-5", -5),
        ("(12)", 12),
        ("Answer: 16 - 7 = 9", 9),
        ("#### 1\n#### 70,000", 70000),
        ("答案是18", 18),
        ("答案：１８", 18),
        ("\\(18\\)", 18),
        ("$18$", 18),
        ("The total is $\\$18$.", 18),
        ("12,345.", 12345),
        ("5!", 5),
        ("It's 5!", 5),
        ("7 3/4", 7.75),
        ("3.", 3),
        ("+5", 5),
        ("18 °C", 18),
        ("18^\\circ", 18),
        ("24 hours", 24),
        ("Step 1: 18 apples", 18),
        ("Question 3", 3),
        ("total—18", 18),
        ("5 GB", 5),
        ("10k", 10000),
        ("Answer: 3 apples and 4 pears", 3),
        ("x = \\frac{3}{4}", 0.75),
        ("\\dfrac{1}{2}", 0.5),
        ("\\boxed{-\\dfrac{1}{2}}", -0.5),
        ("\\boxed{x = 5}", 5),
        ("\\boxed{12} in 3 steps", 12),
        ("1\\,000", 1000),
        ("12 345,67", 12345.67),
    ],
)
def test_reads_what_people_and_models_write(text: str, number: float) -> None:
    """Fractions, groups of digits of many countries, LaTeX, powers, scales, currencies, units and other digits."""
    assert number_in(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "3-4",
        "3\u20134",
        "3 - 4",
        "3 to 4",
        "between 3 and 4",
        "10:30",
        "10:30 am",
        "5pm",
        "2024-05-12",
        "12.05.2024",
        "3/4/2024",
        "May 12, 2024",
        "12 May 2024",
        "2^10",
        "√2",
        "\\sqrt{2}",
        "2\\sqrt{3}",
        "3\\pi",
        "5B",
        "5 ± 2",
        "1,2,3",
        "1.5.2",
        "10.0.0.1",
        "v1.5.2",
        "B2B",
        "1e999",
        "COVID-19",
        "0x1F",
        "1920x1080",
        "3 × 4",
        "Answer: 3 × 4",
        "The scores are 10 200 and 300",
        "Answer: In 2 days he earns $18",
        "x + 1",
        "1,234,5",
        "1/0",
        "3:1",
        "\\frac{x}{4}",
        "10%-20%",
        "$3-$4",
        "3kg-4kg",
        "Answer: 5 or 6",
        "3 4",
        "+49 30 123456",
        "12/05",
        "Q3 2024",
        "2 hours 30 minutes",
        "2h 30min",
        "6 feet, 2 inches",
        "Answer: 5 dollars and 30 cents",
        "5'10",
    ],
)
def test_reads_nothing_wrong(text: str) -> None:
    """What is no single number, such as ranges, dates, versions, expressions, lists, telephone numbers and amounts in
    two units, is not read as a wrong one."""
    assert number_in(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("Answer: minus 5", -5), ("Answer: negative 5", -5), ("It is minus $5", -5), ("Answer: - 5", -5)),
        *(
            ("Answer:\n- 5", 5),
            ("Answer: 3万", 30000),
            ("答案：1億", 1e8),
            ("18億円", 18e8),
            ("5千", 5000),
            ("100万", 1e6),
        ),
        *(("5 tn", 5e12), ("5 hundred thousand", 500000), ("2.5 hundred million", 2.5e8), ("5 thousand million", 5e9)),
        *(("3½ dozen", 42), ("3/4 million", 750000), ("1 1/2 million", 1500000), ("2 dozen", 24)),
        *(("It's 5, not 6.", 5), ("not 5 but 6", 6), ("5 rather than 6", 5), ("The answer is not 5. It is 6.", 6)),
        *(("18\n\nQuestion: next? 5+5=10", 18), ("#### 18\n\nQuestion: 2?\n#### 20", 18), ("18\nConfidence: 95%", 18)),
        *(
            ("Answer: 18\n\nInput: b\nAnswer: 20", 18),
            ("Question: he has 3.\nAnswer: 18", 18),
            ("18 left. (Step 4)", 18),
        ),
        *(("12\n\n1. First step\n2. Second step", 12), ("<b>5</b>", 5), ("so x -> 5", 5), ("The total (5)", 5)),
        *(("five hundred dollars ($500).", 500), ("Answer: 18 - a dozen and a half", 18), ("\\boxed{1,234}", 1234)),
        *(
            ("He is taller by 5 cm", 5),
            ("Answer: 5 m/s", 5),
            ("No. 5", 5),
            ("Answer: 12,5", 12.5),
            ("half of 8 is 4", 4),
        ),
    ],
)
def test_reads_signs_scales_and_what_is_not_denied(text: str, number: float) -> None:
    """Words for signs and scales count; denied numbers, names of steps and other problems do not."""
    assert number_in(text) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "($500)",
            "The loss is ($500)",
            "Answer: $(500)",
            "3 million five hundred",
            "5 and a half",
            "Answer: --5",
            "5 mil",
        ),
        *(
            "\\boxed{(3,4)}",
            "\\boxed{3, 4}",
            "C(5,2)",
            "\\boxed{\\{1,2\\}}",
            "12, 13",
            "x=3, y=4",
            "Answer: x=3, y=4",
            "(3, 4)",
        ),
        *(
            "sqrt(5)",
            "log 5",
            "ln 2",
            "log_2 8",
            "sin(30)",
            "sin 30",
            "f(3)",
            "5x",
            "5a",
            "5 + x",
            "5(x+1)",
            "|-5|",
            "gcd(4, 6)",
        ),
        *(
            "half of 8",
            "twice 4",
            "double 4",
            "5 squared",
            "10 to the power of 6",
            "10 to the 6th",
            "5 mod 3",
            "5 cubed",
        ),
        *(
            "22 remainder 3",
            "22 R 3",
            "3 choose 2",
            "0.(3)",
            "0.\\overline{3}",
            "square root of 16",
            "\\log 5",
            "\\sin 30",
        ),
        *(
            "Answer: at least 5",
            "Answer: more than 5",
            "less than 5",
            "up to 5",
            "Answer: >5",
            "≥ 5",
            "± 5",
            "Answer: x > 5",
        ),
        *("Answer: no more than $5", "Answer: \\geq 5", "over 5", "\\pm 5", "\\boxed{\\pm 5}"),
        *(
            "Answer isn't 5",
            "Answer: not 5",
            "Answer: no solution (0 options)",
            "Answer: unknown, 3 are missing",
            "Answer: 5? Wait, 6",
        ),
        *(
            "She makes $18.\nMore.\nNote: rounded to 2 decimals",
            "The answer is – 5",
            "Answer: 12 or 13",
            "Answer: (5) or 6",
        ),
    ],
)
def test_reads_nothing_of_what_is_not_one_number(text: str) -> None:
    """Pairs, functions, expressions, bounds, denied numbers and accounts are not read as a wrong number."""
    assert number_in(text) is None


@pytest.mark.parametrize("text", ["none", "v1.5.2", "B2B", "1e999"])
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


@given(st.integers(0, 10**9), st.integers(1, 999), st.sampled_from(["_", "'", "\u00a0", "\u2009", "\u202f", ".", ","]))
def test_reads_groups_of_any_country(whole: int, cents: int, group: str) -> None:
    """Digits in groups, with the decimal sign of the country, are read exactly."""
    point = "," if group == "." else "."
    text = f"{whole:,}".replace(",", group) + f"{point}{cents:03}5"
    assert number_in(text) == number_in(f"The answer is {text}.") == float(f"{whole}.{cents:03}5")


@given(st.integers(-9999, 9999), st.integers(1, 999))
def test_reads_fractions(above: int, below: int) -> None:
    """A fraction is read alike in plain text and in LaTeX."""
    sign = "-" if above < 0 else ""
    for text in (f"{above}/{below}", rf"\boxed{{{sign}\frac{{{abs(above)}}}{{{below}}}}}", f"Answer: {above}/{below}."):
        assert number_in(text) == pytest.approx(above / below)


def test_powers_without_end_are_no_numbers() -> None:
    """Python converts no whole number of more than 4,300 digits, and an exponent may have more."""
    assert reason(Number().parse(Response(text="1e" + "9" * 5_000))).startswith("no number in '1e999")


def test_texts_without_end_are_not_read() -> None:
    """A response of a hundred thousand characters can hold up a study for two seconds, and a longer one not at all."""
    assert Number().parse(Response(text=" " * 99_998 + "5.")) == 5
    assert (
        reason(Number().parse(Response(text="5 " * 50_001)))
        == "100,002 characters, and a number is looked for in at most 100,000"
    )
