"""Labels in texts and tokens that begin them."""

from __future__ import annotations

import math

import pytest

from prompt_search.answers.reading.label_matching import label_masses
from prompt_search.answers.reading.label_reading import read_label

LABELS = ("card", "card payment", "C++", "情感", "_this_")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("It is about a CARD_payment, not a card.", "card payment"),
        ("cards or a card", "card"),
        ("C++20 or c++", "C++"),
        ("这是情感分析", "情感"),
        ("Ｃａｒｄ", "card"),
        ("nothing", None),
        ("", None),
    ],
)
def test_the_first_label_as_whole_words(text: str, label: str | None) -> None:
    """The label that stands first is found, whatever its case; of two at one place the longer one."""
    assert read_label(text, LABELS)[0] == label


def test_a_token_counts_for_the_one_label_that_it_begins() -> None:
    """Probabilities are summed per label, and a token that begins two labels or none counts for neither."""
    tokens = [("yes", math.log(0.5)), (" Ye", math.log(0.25)), ("maybe", math.log(0.125)), ("n", math.log(0.0625))]
    masses = label_masses(tokens, ("yes", "no", "none"))
    assert masses == pytest.approx({"yes": 0.75, "no": 0.0, "none": 0.0})
