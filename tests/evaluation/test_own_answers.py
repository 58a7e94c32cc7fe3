"""Which rows a model answers rightly by itself, and with what reasoning."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from prompt_search.evaluation.outcome import Outcome
from prompt_search.evaluation.own_answers import own_answers
from prompt_search.llm.messages import Response
from prompt_search.metrics.ranges import SHARE, UNBOUNDED, Range
from prompt_search.prompts.few_shot import OwnAnswers


def outcome(position: int, score: float | None, error: str | None = None) -> Outcome:
    return Outcome(
        row=100 + position,
        key=f"key {position}",
        answer=None,
        score=score,
        explanation="",
        unparsed=False,
        error=error,
        cached=False,
    )


def answers_of(scores: list[float], range_: Range = SHARE) -> OwnAnswers:
    outcomes = {position: outcome(position, score) for position, score in enumerate(scores)}
    responses = {
        each.key: Response(text=f"Because {position}. Answer: x") for position, each in enumerate(outcomes.values())
    }
    return own_answers(outcomes, responses, range_)


@given(st.lists(st.sampled_from([0.0, 1.0]), max_size=20))
def test_right_and_wrong_are_those_of_the_metric(scores: list[float]) -> None:
    """With a metric of right and wrong, each row is solved or hard, whatever their shares."""
    found = answers_of(scores)
    assert found.right == {position: f"Because {position}." for position, score in enumerate(scores) if score == 1}
    assert found.wrong == {position for position, score in enumerate(scores) if score == 0}


def test_graded_scores_are_split_in_thirds() -> None:
    """The best third is solved and the worst third hard; those between are neither."""
    found = answers_of([0.1, 0.9, 0.5, 0.2, 0.8, 0.6])
    assert set(found.right) == {1, 4}
    assert found.wrong == {0, 3}


def test_nothing_is_hard_where_all_is_right() -> None:
    """A row with the best score is never hard, and one with the score of an unread answer never solved."""
    assert answers_of([1.0, 1.0]) == OwnAnswers(right={0: "Because 0.", 1: "Because 1."})
    assert answers_of([5.0, 5.0], Range(1, 5)).wrong == frozenset()
    assert answers_of([1.0, 1.0], Range(1, 5)) == OwnAnswers(wrong=frozenset({0, 1}))
    assert answers_of([-2.0, -1.0, -3.0], UNBOUNDED).right == {}


def test_a_failed_request_says_nothing_about_its_row() -> None:
    """Rows whose request failed, or that the budget left no room for, are neither solved nor hard."""
    failed = outcome(0, 0.0, "server: 500")
    lost = replace(failed, score=None)
    assert own_answers({0: failed, 1: lost, 2: None}, {}, SHARE) == OwnAnswers()
