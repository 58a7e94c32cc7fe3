"""The label that a response states: all of it, what follows a marker, a line of its own, or the one it mentions."""

from __future__ import annotations

import pytest

from prompt_search.answers import Label
from prompt_search.answers.reading.label_reading import label_of_value, read_label
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from tests.answers.conftest import reason

SENTIMENT = ("positive", "negative")
THREE = ("positive", "negative", "neutral")
LETTERS = ("A", "B", "C")
TEN = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J")
KNOWN = ("Know", "Don't know")
BITS = ("1", "0")
STARS = ("1", "2", "3", "4", "5")
YES_NO = ("yes", "no")


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (SENTIMENT, "The options are positive and negative. Answer: negative", "negative"),
        (LETTERS, "A good look at this: the answer is C.", "C"),
        (LETTERS, "b", "B"),
        (LETTERS, "(B)", "B"),
        (LETTERS, "B) Paris", "B"),
        (LETTERS, "B. Paris", "B"),
        (LETTERS, "**B**: Paris", "B"),
        (LETTERS, "The answer is A because", "A"),
        (TEN, "Answer: I think it is C", "C"),
        (TEN, "The answer is C because I computed the integral.", "C"),
        (LETTERS, "Answer: It is not B, the answer is C", "C"),
        (SENTIMENT, "Label (positive or negative): negative", "negative"),
        (SENTIMENT, "Sentiment: NEGATIVE, not positive", "negative"),
        (SENTIMENT, "It isn't negative, it's positive", "positive"),
        (THREE, "It is neither positive nor negative, so neutral.", "neutral"),
        (SENTIMENT, "\\boxed{negative} is better than positive", "negative"),
        (LETTERS, "$\\boxed{\\text{B}}$", "B"),
        (LETTERS, "The answer is $\\boxed{B}$, since A is wrong", "B"),
        (SENTIMENT, '{"label": "negative"}', "negative"),
        (SENTIMENT, '```json\n{"label": "negative", "reason": "not positive at all"}\n```', "negative"),
        (SENTIMENT, "**Answer:** negative", "negative"),
        (SENTIMENT, "**Answer**: Negative.", "negative"),
        (SENTIMENT, "Answer:\n\nnegative", "negative"),
        (SENTIMENT, "positive and negative words occur.\nnegative", "negative"),
        (SENTIMENT, "negative\n\nAlthough it has positive words.", "negative"),
        (SENTIMENT, "Negative. Although it has positive words.", "negative"),
        (SENTIMENT, "<answer>negative</answer> positive", "negative"),
        (SENTIMENT, "Label: positive\nExplanation: the answer is correct, not negative.", "positive"),
        (KNOWN, "Don’t know", "Don't know"),
        (KNOWN, "I don’t know", "Don't know"),
        (KNOWN, "DON\xb4T KNOW", "Don't know"),
        (("straße", "weg"), "STRASSE", "straße"),
        (("café", "bar"), "cafe\u0301", "café"),
        (("office", "home"), "oﬃce", "office"),
        (YES_NO, "\ufeffye\xads", "yes"),
        (YES_NO, "\u200eyes\u200f", "yes"),
        (("a b", "c"), "a\xa0b", "a b"),
        (("a–b", "c"), "A-B", "a–b"),
        (("1.0", "0.0"), "1", "1.0"),
        (BITS, "1.0", "1"),
        (BITS, '{"label": 1}', "1"),
        (STARS, "Rating: 4", "4"),
        (STARS, "I would rate this a 4.", "4"),
        (("是", "否"), "答案：是", "是"),
        (("True", "False"), "true", "True"),
        (SENTIMENT, "The label is: **positive**", "positive"),
        (SENTIMENT, "- positive", "positive"),
        (SENTIMENT, "1. positive", "positive"),
        (("not_entailment", "entailment"), "not entailment", "not_entailment"),
        (("spam", "not spam"), "This is not spam.", "not spam"),
        (("spam", "not spam"), "spam", "spam"),
        (SENTIMENT, "Category → negative; positive is wrong", "negative"),
        (SENTIMENT, "Question: positive? Answer: Yes, negative.", "negative"),
        (SENTIMENT, "I first thought positive. Final answer: negative", "negative"),
        (LETTERS, "Option B is correct.", "B"),
        (LETTERS, "The correct option is (C).", "C"),
        (LETTERS, "I choose B.", "B"),
        (LETTERS, "B", "B"),
        (LETTERS, " b) ", "B"),
        (LETTERS, "Answer: B, because A is wrong", "B"),
        (LETTERS, "The correct answer is B", "B"),
        (YES_NO, "No.", "no"),
        (YES_NO, "No, it is not.", "no"),
        (SENTIMENT, "The text expresses positive sentiment, not negative sentiment.", "positive"),
        (SENTIMENT, "It is not at all positive; it is negative.", "negative"),
        (SENTIMENT, "This is far from positive, rather negative.", "negative"),
        (LETTERS, "B, because A is a distractor.", "B"),
        (LETTERS, "B is the correct answer because A is a distractor.", "B"),
        (LETTERS, "**Answer: B) Berlin**", "B"),
        (LETTERS, "Answer - B", "B"),
        (LETTERS, "I think B", "B"),
        (LETTERS, "(B) Paris is the capital, so (A) is wrong", "B"),
        (BITS, "label 1", "1"),
        (BITS, "0.0", "0"),
        (YES_NO, "No problem, the answer is yes.", "yes"),
        (("World", "Sci/Tech"), "The topic is Sci/Tech, part of the World.", "Sci/Tech"),
        (("hate", "not hate"), "This is not hate speech", "not hate"),
        (SENTIMENT, "{'sentiment': 'negative', 'note': 'positive words'}", "negative"),
        (SENTIMENT, "Réponse : positive", "positive"),
        (SENTIMENT, "“Positive.”", "positive"),
        (YES_NO, "Yes, because there is no doubt", "yes"),
    ],
)
def test_states_one_label(labels: tuple[str, ...], text: str, label: str) -> None:
    """What a person takes for the answer is the answer, and it is no guess."""
    assert read_label(text, labels) == (label, False)


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (SENTIMENT, "Answer: positive or negative", "positive"),
        (SENTIMENT, "positive, then negative", "positive"),
        (SENTIMENT, "Positive? No. Negative.", "positive"),
        (YES_NO, "yes and no", "yes"),
    ],
)
def test_several_labels_are_a_guess(labels: tuple[str, ...], text: str, label: str) -> None:
    """Of several labels the first is taken, and counted as ambiguous."""
    assert read_label(text, labels) == (label, True)
    assert Label(labels).is_ambiguous(Response(text=text))
    assert not Label(labels, mode="json").is_ambiguous(Response(text=text))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (LETTERS, "A good look"),
        (LETTERS, "Answer: a good one"),
        (LETTERS, "Answer: A or B"),
        (SENTIMENT, "not positive"),
        (SENTIMENT, "I do not think it is positive"),
        (THREE, "Neither positive nor negative"),
        (BITS, "1.5"),
        (BITS, "-1"),
        (STARS, "4/5"),
        (STARS, "4 stars"),
        (("是", "否"), "这是否"),
        (("好", "坏"), "这是好的。"),
        (("toxic", "ok"), "non-toxic"),
        (SENTIMENT, "Answer: I'm not sure.\n"),
        (LETTERS, "ANSWER: None of the above"),
        (("A", "B", "C", "D"), "ANSWER: Don't know"),
    ],
)
def test_states_no_label(labels: tuple[str, ...], text: str) -> None:
    """A negated label, a letter that is a word, and a number that is not the label are no answer."""
    assert read_label(text, labels) == (None, False)
    assert reason(Label(labels).parse(Response(text=text))).startswith("no label in ")
    assert not Label(labels).is_ambiguous(Response(text=text))


@pytest.mark.parametrize(
    ("value", "labels", "label"),
    [
        (1, BITS, "1"),
        (1.0, BITS, "1"),
        ("1.0", BITS, "1"),
        (1, ("1.0", "0.0"), "1.0"),
        (True, ("False", "True"), "True"),
        ("TRUE", ("False", "True"), "True"),
        ("don’t know", KNOWN, "Don't know"),
        (1.5, BITS, None),
        (None, ("None", "Some"), None),
        (["1"], BITS, None),
        (float("inf"), BITS, None),
    ],
)
def test_json_values_are_labels_by_value(value: object, labels: tuple[str, ...], label: str | None) -> None:
    """A number or a truth value is the label that is written so; a list and null are none."""
    assert label_of_value(value, labels) == label


@pytest.mark.parametrize(
    "labels",
    [
        ["Don't know", "Don’t know"],
        ["a-b", "a–b"],
        ["café", "cafe\u0301"],
        ["yes", "y\u00ades"],
        ["Straße", "strasse"],
        ["1", "1.0"],
        ["Ａ", "a"],
        ["a b", "a\u00a0b"],
    ],
)
def test_labels_that_nobody_can_tell_apart_are_refused(labels: list[str]) -> None:
    """Labels that differ by typography, width or invisible characters alone are refused at once."""
    with pytest.raises(InputError, match="cannot be distinguished in a response; rename or drop one"):
        Label(labels)


def test_an_invisible_label_is_refused() -> None:
    """A label of invisible characters is empty."""
    with pytest.raises(InputError, match="a label must not be empty"):
        Label(["yes", "\u200b"])


def test_a_first_line_counts_more_than_an_example_after_it() -> None:
    """A model that goes on with another example has answered in its first line."""
    text = "negative\n\nText: lovely\nLabel: positive"
    assert read_label(text, SENTIMENT) == ("negative", False)
    assert read_label("negative\n\nLabel: negative", SENTIMENT) == ("negative", False)
    assert read_label("Negative?\nNo. Label: positive", SENTIMENT) == ("positive", False)


@pytest.mark.parametrize(
    ("text", "label"), [("Don`t know", "Don't know"), ("`Know`", "Know"), ("I don`t know", "Don't know")]
)
def test_backtick_in_a_word_is_an_apostrophe(text: str, label: str) -> None:
    """A backtick between letters is an apostrophe, and one around a word is markdown."""
    assert Label(["Know", "Don't know"]).parse(Response(text=text)) == label
