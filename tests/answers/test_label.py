"""Labels: found in texts and in JSON, and settings that cannot work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Label, Unparsed
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from tests.answers.conftest import listed, reason

WORDS = st.lists(st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8), min_size=2, max_size=5)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("positive", "positive"),
        (" **Positive**.\n", "positive"),
        ("_negative_", "negative"),
        ("Sentiment: NEGATIVE, not positive", "negative"),
        ("It was a card payment!", "card_payment"),
        ("CARD-PAYMENT", "card_payment"),
        ("the card", "card"),
        ("I would say C++.", "C++"),
        ("C", "C"),
        ("情感是正面的", "正面"),
        ("ｐｏｓｉｔｉｖｅ", "positive"),
    ],
)
def test_finds_the_first_label_mentioned(text: str, label: str) -> None:
    """Case, punctuation and what joins words do not matter; at one place the longest label wins."""
    labels = ["C", "positive", "negative", "card", "card_payment", "C++", "正面"]
    assert Label(labels).parse(Response(text=text)) == label


@pytest.mark.parametrize("text", ["positively", "impositive", "card_fee", "unsure", "x1", "-12"])
def test_a_part_of_a_word_is_no_mention(text: str) -> None:
    """A label inside another word is not found, and the reason shows the text."""
    answer = Label(["positive", "card", "1"]).parse(Response(text=text))
    assert reason(answer) == f"no label in {text!r}"


def test_numbers_with_and_without_sign_differ() -> None:
    """A sign is part of a label."""
    label = Label(["1", "-1"])
    assert label.parse(Response(text="-1")) == "-1"
    assert label.parse(Response(text="it is 1")) == "1"


def test_an_empty_response_is_unparsed() -> None:
    """No text is no label; a long one is shortened in the reason."""
    assert reason(Label(["a", "b"]).parse(Response(text=" \n"))) == "the response is empty"
    assert len(reason(Label(["a", "b"]).parse(Response(text="x " * 500)))) < 90


def test_truncation_alone_does_not_matter() -> None:
    """A response cut off after the label is read."""
    assert Label(["yes", "no"]).parse(Response(text="Yes, bec", finish_reason="length")) == "yes"


@given(WORDS, st.sampled_from([" ", "\n", '"', "(", "*", ": "]), st.data())
def test_finds_any_label_it_was_given(words: list[str], around: str, data: st.DataObject) -> None:
    """Each label, between white space or punctuation, is read as itself."""
    try:
        label = Label(words)
    except InputError:
        return
    word = data.draw(st.sampled_from(words))
    assert label.parse(Response(text=around + word + around)) == word


@given(st.text())
def test_any_text_is_read_or_unparsed(text: str) -> None:
    """No text makes parsing raise."""
    assert isinstance(Label(["yes", "no"]).parse(Response(text=text)), (str, Unparsed))


SENTIMENT = Label(["positive", "negative", "neutral"])


@pytest.mark.parametrize(
    "text",
    [
        '{"positive": 0.1, "negative": 0.9}',
        "positive: 0.1\nnegative: 0.8\nneutral: 0.1",
        "Positive - 10%\nNegative - 90%",
        "| positive | 0.1 |\n| negative | 0.9 |",
        "positive = 0.2; negative = 0.8",
        "**Positive:** great cast\n**Negative:** bad plot",
        "Positive: yes\nNegative: yes",
        *("Not quite positive", "not entirely positive", "Not particularly negative", "not necessarily positive"),
        *("It does not seem positive", "It doesn't express a positive sentiment", "I don't see any negative sentiment"),
        *(
            "No positive sentiment",
            "Nothing negative about it.",
            "The opposite of positive",
            "a lack of positive words",
        ),
        *("absence of negative sentiment", "It lacks anything positive", "no positive or negative words"),
    ],
)
def test_what_states_no_label_is_not_read(text: str) -> None:
    """Values of several labels state none of them, and a negated label is no answer."""
    assert isinstance(SENTIMENT.parse(Response(text=text)), Unparsed)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"positive": false, "negative": true}', "negative"),
        ("Positive: no\nNegative: yes", "negative"),
        ("Positive: great cast\nNegative: bad plot\nOverall, I'd say negative.", "negative"),
        ("negative\n\npositive: 0.1\nnegative: 0.9", "negative"),
        ('{"label": "negative", "positive": 0.1, "negative": 0.9}', "negative"),
        ("positive: good\nnegative: bad\n\nFinal answer: negative", "negative"),
        ("negative\n\nText: I love it\nLabel: positive", "negative"),
        ("Answer: negative\n\nInput: I love it\nAnswer: positive", "negative"),
        ("Negative.\n\n### Example 2\nReview: fine\nSentiment: positive", "negative"),
        ("negative\n\nQ: And this one?\nA: positive", "negative"),
        ("Text: I hate it\nLabel: negative", "negative"),
        ("The sentiment is not positive but negative", "negative"),
        ("There is no doubt that this review is negative.", "negative"),
        ("It is negative because the user does not like it.", "negative"),
        ("Negative\n\nExplanation: Something is wrong with the plot; nothing positive.", "negative"),
        ("Label: negative (not positive)", "negative"),
        ("The label is negative, although positive words occur", "negative"),
        ("Answer: negative. However, there are positive words.", "negative"),
        ("The correct label is negative sentiment. Positive words are ironic.", "negative"),
    ],
)
def test_reads_what_is_stated_among_other_labels(text: str, label: str) -> None:
    """Remarks on other labels, values of labels and examples that follow do not change the answer."""
    assert SENTIMENT.parse(Response(text=text)) == label
    assert not SENTIMENT.is_ambiguous(Response(text=text))


@pytest.mark.parametrize(
    "text",
    [
        "The answer: 'positive' is wrong; negative is right",
        "I first thought the answer is positive. On reflection, the correct one is negative.",
        "The answer is: negative? positive!",
        "answer is positive? No: negative",
        "Step 1: category: positive words: 2. Step 2: negative words: 5. So negative",
        "positive\n\nWait, that is wrong. It is negative.",
        "Positive. No, negative.",
        "The answer is positive. The answer is not positive.",
        "I wouldn't go as far as calling it positive",
        "It's hard to call this positive",
        "Text: fine\nLabel: negative\n\nText: good\nLabel: positive",
    ],
)
def test_a_label_that_is_taken_back_is_a_guess(text: str) -> None:
    """A label that another one follows after a correction, or that a distant negation may concern, is ambiguous."""
    assert SENTIMENT.is_ambiguous(Response(text=text))


@pytest.mark.parametrize(("label", "text"), [("naïve", "naive"), ("naive", "Answer: naïve"), ("café", "It's a CAFE.")])
def test_accents_do_not_matter_where_labels_differ_without_them(label: str, text: str) -> None:
    """Accents are ignored where no label is found with them, unless labels differ by their accents alone."""
    assert Label([label, "smart"]).parse(Response(text=text)) == label
    assert Label(["pêché", "péche"]).parse(Response(text="péche")) == "péche"
    assert isinstance(Label(["pêché", "péche"]).parse(Response(text="peche")), Unparsed)


BY_JSON = Label(["positive", "not-sure"], mode="json")


def test_requests_an_enumeration() -> None:
    """The request carries a strict schema with the labels."""
    form = BY_JSON.parameters["response_format"]["json_schema"]
    assert form["strict"] is True
    assert form["schema"]["properties"]["label"]["enum"] == ["positive", "not-sure"]
    assert BY_JSON.parameters["max_tokens"] == 64


@pytest.mark.parametrize(
    "text",
    ['{"label": "not-sure"}', '```json\n{"label": "Not sure"}\n```', ' {"label":"NOT-SURE","x":1} '],
)
def test_reads_the_label(text: str) -> None:
    """Case and a fenced block around the object are tolerated."""
    assert BY_JSON.parse(Response(text=text)) == "not-sure"


@pytest.mark.parametrize(
    ("text", "finish_reason", "why"),
    [
        ("positive", "stop", "not JSON: 'positive'"),
        ('{"label": "posi', "length", "the JSON was cut off at 64 tokens; raise max_tokens"),
        ('{"label": "unknown"}', "stop", "not an object with a known label"),
        ('{"label": 1}', "stop", "not an object with a known label"),
        ('["positive"]', "stop", "not an object with a known label"),
    ],
)
def test_anything_else_is_unparsed(text: str, finish_reason: str, why: str) -> None:
    """The reason says what is wrong with the JSON."""
    assert why in reason(BY_JSON.parse(Response(text=text, finish_reason=finish_reason)))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "label"),
        ({"mode": "logprobs"}, "label_logprobs"),
        ({"mode": "logprobs", "calibrate": "rows"}, "label_logprobs_calibrated"),
        ({"mode": "logprobs", "calibrate": "content-free"}, "label_logprobs_content_free"),
        ({"mode": "json"}, "label_json"),
        ({"name": "mine"}, "mine"),
    ],
)
def test_default_names(options: dict[str, Any], name: str) -> None:
    """Each mode has a name of its own, so that modes can be options of one choice."""
    assert Label(["yes", "no"], **options).name == name


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["yes"], {}, r"at least two labels are needed, not 1 \('yes'\)"),
        ([], {}, r"at least two labels are needed, not 0 \(none\)"),
        (["yes", " "], {}, "a label must not be empty"),
        (["yes", "no", "yes"], {}, "the labels 'yes' and 'yes' cannot be distinguished in a response"),
        (["a b", "A_B"], {}, "the labels 'a b' and 'A_B' cannot be distinguished in a response"),
        ("yes", {}, r"labels must be a list, not the text 'yes'; write \['yes', ...\]"),
        (["yes", "no"], {"mode": "vote"}, "must be one of text, logprobs, json, not 'vote'"),
        (["yes", "no"], {"calibrate": "rows"}, "calibrate needs mode='logprobs', not 'text'"),
        (["yes", "no"], {"mode": "logprobs", "calibrate": True}, "None or one of content-free, rows, not True"),
        (["yes", "no"], {"mode": "logprobs", "weights": [1, 1]}, "and need calibrate='rows'"),
        (["yes", "no"], {"mode": "logprobs", "calibrate": "rows", "weights": [1]}, "each of the 2 labels"),
        (["yes", "no"], {"mode": "logprobs", "calibrate": "rows", "weights": [1, 0]}, "positive number"),
        (["yes", "no"], {"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
    ],
)
def test_wrong_settings(labels: Any, options: dict[str, Any], message: str) -> None:
    """Settings that cannot work are refused at once."""
    with pytest.raises(InputError, match=message):
        Label(labels, **options)


def test_text_mode_has_no_probabilities() -> None:
    """Only log-probabilities give probabilities; numbers are taken as their text."""
    label = Label([0, 1])  # type: ignore[list-item]
    assert label.labels == ("0", "1")
    assert label.probabilities(listed(a=0.5)) is None
    assert not label.needs_baseline
    assert label.parameters == {"max_tokens": 16}
