"""Labels in texts and tokens that begin them."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Label
from prompt_search.answers.reading.label_matching import Mention, label_masses, mentions_of, spaced, whole_words
from prompt_search.answers.reading.label_reading import read_label
from prompt_search.llm.messages import Response

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


LABEL_SETS = st.lists(
    st.text("ab1 -_(:是", min_size=1, max_size=6).filter(spaced), min_size=1, max_size=8, unique_by=spaced
)


@given(
    LABEL_SETS, st.lists(st.sampled_from("ab1.- _(:是\n") | LABEL_SETS.map("-".join), max_size=12), st.integers(0, 3)
)
def test_mentions_are_what_one_pattern_of_all_labels_finds(labels: list[str], parts: list[str], start: int) -> None:
    """Looking labels up by their text finds what an alternation finds in which the longest label stands first."""
    text = "".join(parts)
    by_length = sorted(labels, key=lambda label: -len(spaced(label)))
    pattern = re.compile("|".join(f"(?P<g{i}>{whole_words(label)})" for i, label in enumerate(by_length)))

    def mention(found: re.Match[str]) -> Mention:
        return Mention(by_length[int((found.lastgroup or "")[1:])], found.start(), found.end())

    mentions = mentions_of(tuple(labels))
    assert list(mentions.find(text, start)) == [mention(found) for found in pattern.finditer(text, start)]
    begins = pattern.match(text, start)
    assert mentions.at(text, start) == (begins and mention(begins))


@pytest.mark.parametrize("mode", ["text", "json", "logprobs"])
def test_thousands_of_labels_are_read_in_a_moment(mode: str) -> None:
    """The time for a response hardly depends on the number of labels."""
    form = Label([f"kind{number} of label" for number in range(5_000)], mode)
    tokens = tuple((f"kind{number}", -1.0) for number in range(100, 120))
    response = Response(text="kind7 of lab " * 60, logprobs=(tokens,))
    form.parse(response)  # what is kept for these labels is made once

    start = time.perf_counter()
    for _ in range(5):
        form.parse(response)

    assert time.perf_counter() - start < 5
