"""Agreement of a judge with people, its noise, and verdicts that people correct: numbers whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.results.judged.agreement import JudgedAnswer, agreement_frame, scores_frame
from prompt_search.results.judged.judge_tables import noise_of
from prompt_search.results.judged.people import corrected_mean
from prompt_search.storage.records import Judgement


def judgement(score: float | None, *, swapped: bool = False) -> Judgement:
    return Judgement(key=f"{score} {swapped}", swapped=swapped, score=score, error=None if score is not None else "x")


def answer(
    row: int, score: float | None, human: float, *, length: float = 0.0, second: float | None = None
) -> JudgedAnswer:
    judgements = [judgement(score), *([] if second is None else [judgement(second, swapped=True)])]
    return JudgedAnswer(
        row=row,
        score=score,
        level="" if score is None else f"{score:g}",
        reason="",
        error="judge_scale: 9" if score is None else None,
        judgements=judgements,
        human=human,
        human_level=f"{human:g}",
        length=length,
    )


def test_agreement_of_a_scale() -> None:
    """A judge that is 0.1 above people, and 0.05 more for each doubling of the length, is told as that."""
    generator = np.random.default_rng(1)
    answers = []
    for row in range(80):
        human, length = float(generator.uniform(0.2, 0.6)), float(generator.integers(0, 5))
        answers.append(answer(row, human + 0.1 + 0.05 * (length - 2), human, length=length))
    answers.append(answer(80, None, 0.5))
    found = agreement_frame(answers, "numbers").set_index("measure")
    assert list(found.index) == [
        "correlation",
        "rank_correlation",
        "mean_difference",
        "absolute_difference",
        "length_bias",
        "unrated",
    ]
    assert math.isclose(found["value"]["length_bias"], 0.05)
    assert found["low"]["mean_difference"] < 0.1 < found["high"]["mean_difference"]
    assert 0.7 < found["value"]["correlation"] < 1
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert found["value"]["unrated"] == 1 / 81
    assert found["rows"].tolist() == [80] * 5 + [81]


def test_agreement_of_labels() -> None:
    """Cohen's kappa of a table that is known: 20 and 15 of 50 alike gives 0.4."""
    table = {(1.0, 1.0): 20, (1.0, 0.0): 5, (0.0, 1.0): 10, (0.0, 0.0): 15}
    answers = [answer(0, judge, human) for (judge, human), count in table.items() for _ in range(count)]
    found = agreement_frame(answers, "labels").set_index("measure")["value"]
    assert math.isclose(found["agreement"], 0.7)
    assert math.isclose(found["kappa"], 0.4)


def test_bias_of_places() -> None:
    """A judge of two answers that takes the first one in a half of the rows is told as that."""
    answers = [answer(row, 1.0, 1.0, second=0.0 if row % 2 else 1.0) for row in range(40)]
    found = agreement_frame(answers, "pair").set_index("measure")["value"]
    assert found["position_bias"] == 0.25
    assert found["consistent"] == 0.5


def test_scores_say_what_is_missing() -> None:
    """An answer without a rating has no score and an error."""
    found = scores_frame([answer(0, 0.5, 1.0), answer(1, None, 1.0)])
    assert found["score"].tolist()[0] == 0.5
    assert math.isnan(found["score"].tolist()[1])
    assert found["error"].tolist() == [None, "judge_scale: 9"]


def test_noise_is_that_of_one_judgement() -> None:
    """The noise that was put into repeats comes out, and its part of the variance."""
    generator = np.random.default_rng(2)
    answers = []
    for _ in range(2_000):
        quality = generator.normal(0.5, 0.2)
        scores = quality + generator.normal(0, 0.1, 2)
        answers.append([judgement(float(scores[0])), judgement(float(scores[1]) - 0.04, swapped=True)])
    found = noise_of(answers)
    assert math.isclose(found["noise"], (0.1**2 + 0.04**2 / 2) ** 0.5, rel_tol=0.05)
    assert math.isclose(found["order_effect"], 0.04, abs_tol=0.01)
    assert math.isclose(found["reliability"], 0.04 / 0.045, rel_tol=0.05)
    assert math.isnan(noise_of([[judgement(0.5)]])["noise"])


@given(st.floats(-0.3, 0.3), st.integers(0, 2**32 - 1))
def test_a_judge_that_is_wrong_by_a_constant_is_corrected(shift: float, seed: int) -> None:
    """What the judge gives all answers more than people do has no influence."""
    generator = np.random.default_rng(seed)
    human = generator.normal(0.1, 0.3, 60)
    judged = human + generator.normal(0, 0.1, 60)
    some = generator.choice(60, 20, replace=False)
    plain, shifted = (
        corrected_mean(list(scores), list(scores[some]), list(human[some])) for scores in (judged, judged + shift)
    )
    assert math.isclose(plain.mean, shifted.mean, abs_tol=1e-9)
    assert math.isclose(plain.high, shifted.high, abs_tol=1e-9)


@pytest.mark.parametrize("agreement", [0.0, 0.6, 0.95])
def test_corrected_intervals_hold(agreement: float) -> None:
    """The interval covers what people would find on all rows there could be in 95% of samples, however good the judge
    is; a good one makes it shorter."""
    generator = np.random.default_rng(3)
    held, widths = [], []
    for _ in range(600):
        human = generator.normal(0.1, 0.3, 60)
        judged = agreement * human + (1 - agreement**2) ** 0.5 * generator.normal(0, 0.3, 60) + 0.2
        some = generator.choice(60, 20, replace=False)
        found = corrected_mean(list(judged), list(judged[some]), list(human[some]))
        held.append(found.low <= 0.1 <= found.high)
        widths.append(found.high - found.low)
    assert 0.92 < np.mean(held) < 0.98
    assert (np.mean(widths) < 0.2) == (agreement == 0.95)
