"""Labels by the first token: probabilities and their calibration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.answers import Label
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response
from tests.answers.conftest import listed, reason

THREE = st.lists(st.floats(0.001, 1.0), min_size=3, max_size=3)


LABEL = Label(["positive", "negative", "neutral"], mode="logprobs")


def test_requests_one_token() -> None:
    """The request is one token with the twenty likeliest; max_tokens cannot change it."""
    expected = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    assert LABEL.parameters == expected
    assert Label(["a", "b"], mode="logprobs", max_tokens=9).parameters == expected


def test_sums_the_tokens_that_begin_one_label() -> None:
    """Spellings of one label add up; ambiguous and foreign tokens are left out."""
    response = listed(The=0.3, _ne=0.25, Pos=0.1, _positive=0.1, neg=0.15, Negative=0.01)
    assert LABEL.parse(response) == "positive"
    assert LABEL.probabilities(response) == pytest.approx(
        {"positive": 0.2 / 0.36, "negative": 0.16 / 0.36, "neutral": 0.0}
    )


def test_a_longer_token_counts_only_if_the_word_ends() -> None:
    """For the label A, the token "A)" counts and "Answer" does not."""
    label = Label(["A", "B"], mode="logprobs")
    position = (("Answer", math.log(0.6)), ("B)", math.log(0.2)), (" A", math.log(0.1)))
    assert label.parse(Response(logprobs=(position,))) == "B"


def test_needs_logprobs_and_a_matching_token() -> None:
    """Without log-probabilities, or without a token that fits, the answer is unparsed."""
    assert "no log-probabilities; use mode='text'" in reason(LABEL.parse(Response(text="positive")))
    answer = LABEL.parse(listed(The=0.6, It=0.2))
    assert reason(answer) == "no label begins with one of the most probable tokens: 'The', 'It'"
    assert LABEL.probabilities(Response(text="positive")) is None
    assert LABEL.probabilities(listed(The=0.6)) is None


def test_calibration_divides_by_the_baseline() -> None:
    """A label that is likely whatever the input needs more evidence (worked by hand)."""
    label = Label(["yes", "no"], mode="logprobs", calibrate="content-free")
    response, baseline = listed(yes=0.6, no=0.3), listed(yes=0.8, no=0.1)
    assert label.needs_baseline
    assert Label(["yes", "no"], mode="logprobs").parse(response, baseline) == "yes"
    assert label.parse(response, baseline) == "no"
    assert label.probabilities(response, baseline) == pytest.approx({"yes": 0.75 / 3.75, "no": 3 / 3.75})


def test_calibration_floors_labels_absent_from_the_baseline() -> None:
    """A label that the baseline does not list counts as its least likely token, -9999 left out."""
    label = Label(["yes", "no"], mode="logprobs", calibrate="content-free")
    baseline = Response(logprobs=((("yes", math.log(0.5)), ("The", math.log(0.25)), ("x", -9999.0)),))
    assert label.probabilities(listed(yes=0.5, no=0.25), baseline) == pytest.approx({"yes": 0.5, "no": 0.5})


def test_calibration_without_baseline_is_unparsed() -> None:
    """A missing or useless baseline is a counted outcome, not a silent lack of calibration."""
    label = Label(["yes", "no"], mode="logprobs", calibrate="content-free")
    for baseline in (None, Response(text="yes"), Response(logprobs=((("yes", -9999.0),),))):
        assert "to calibrate by" in reason(label.parse(listed(yes=0.6), baseline))
        assert label.probabilities(listed(yes=0.6), baseline) is None


def test_rows_calibration_divides_by_the_mean_of_the_rows() -> None:
    """A label that is likely on every row weighs less, one weight per label (worked by hand)."""
    label = Label(["yes", "no"], mode="logprobs", calibrate="rows")
    response = listed(yes=0.65, no=0.35)
    assert label.needs_calibration
    assert label.parse(response) == "yes"
    calibrated = label.calibrated([listed(yes=0.8, no=0.2), listed(yes=0.6, no=0.4)], ["yes", "no"])
    assert isinstance(calibrated, Label)
    assert calibrated.weights == (0.7143, 1.667)  # a half by 0.7, a half by 0.3
    assert not calibrated.needs_calibration
    assert calibrated.parse(response) == "no"
    assert calibrated.calibrated([listed(yes=0.8, no=0.2), listed(yes=0.6, no=0.4)], ["yes", "no"]) == calibrated


def test_rows_calibration_leaves_a_right_model_alone() -> None:
    """Where the model expects the labels as often as they are, rare ones too, next to nothing changes."""
    label = Label(["yes", "no"], mode="logprobs", calibrate="rows")
    calibrated = label.calibrated([listed(yes=0.9, no=0.1)] * 1000, ["yes"] * 900 + ["no"] * 100)
    assert isinstance(calibrated, Label)
    assert calibrated.weights == pytest.approx((1, 1), rel=0.01)


def test_rows_calibration_without_log_probabilities_fits_nothing() -> None:
    """Responses without log-probabilities are left out, and a label that was never listed keeps the weight 1."""
    label = Label(["yes", "no", "maybe"], mode="logprobs", calibrate="rows")
    assert label.calibrated([Response(text="yes"), listed(The=0.5)], ["yes", "no"]) is label
    calibrated = label.calibrated([listed(yes=0.5, no=0.5), Response(text="yes")], ["yes", "no"])
    assert calibrated == Label(label.labels, mode="logprobs", calibrate="rows", weights=(1.0, 0.5, 1.0))


@given(THREE, THREE)
def test_probabilities_sum_to_one_and_contain_the_answer(given: list[float], base: list[float]) -> None:
    """The answer is the likeliest label, calibrated or not; a flat baseline changes nothing."""
    names = ("positive", "negative", "neutral")
    response = listed(**dict(zip(names, given, strict=True)))
    calibrated = Label(names, mode="logprobs", calibrate="content-free")
    for label, baseline in (
        (LABEL, None),
        (calibrated, listed(**dict(zip(names, base, strict=True)))),
    ):
        probabilities = label.probabilities(response, baseline)
        assert probabilities is not None
        assert sum(probabilities.values()) == pytest.approx(1)
        assert probabilities[str(label.parse(response, baseline))] == max(probabilities.values())
    flat = listed(positive=0.2, negative=0.2, neutral=0.2)
    assert calibrated.probabilities(response, flat) == pytest.approx(LABEL.probabilities(response))


@pytest.mark.parametrize("labels", [["pos", "positive"], ["card payment", "card_arrival"], ["1", "10"], ["x", "x-y"]])
def test_labels_that_begin_alike_are_refused(labels: list[str]) -> None:
    """One token cannot tell such labels apart, so the mode is refused with the remedy."""
    with pytest.raises(
        InputError, match=r"cannot distinguish the labels .*, because they begin alike; rename one .* mode='text'"
    ):
        Label(labels, mode="logprobs")
    Label(labels)
