"""Caps in a race: what is expected of a candidate by its size, and who wins the finals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from prompt_search.metrics.objective import Objective, RowCost
from prompt_search.search.deciding.caps import Caps
from prompt_search.search.deciding.finals import Finals
from prompt_search.search.trial import Trial
from tests.search.growth.test_waves import trial


def race(sizes: dict[int, float], tokens: dict[int, list[float]], cap: float) -> tuple[Caps, list[Trial]]:
    """The caps of a race in which trials of these sizes had responses with these prompt tokens, row by row."""
    trials = [trial(number, 0, dict.fromkeys(range(len(tokens[number])), 1.0)) for number in sizes]
    for each in trials:
        costs = zip(each.outcomes, tokens[each.number], strict=True)
        each.outcomes = [
            cast(Any, SimpleNamespace(row=outcome.row, score=1.0, error=None, cost=RowCost(prompt_tokens=cost)))
            for outcome, cost in costs
        ]
        each.prepared = cast(Any, SimpleNamespace(model="m", endpoint="e", size=sizes[each.number]))
    goal = SimpleNamespace(objective=Objective(max_prompt_tokens=cap), size=lambda prepared: prepared.size)
    found = cast(Any, SimpleNamespace(all=trials, finalists=[], leader=None, expected_over=None))
    return Caps(cast(Any, SimpleNamespace(goal=goal)), found), trials


def expected(caps: Caps, size: float) -> str | None:
    return caps._trials.expected_over(cast(Any, SimpleNamespace(model="m", endpoint="e", size=size)))


def test_without_a_response_only_very_long_prompts_are_out() -> None:
    """A token has eight bytes at most; nothing more is known before the first response."""
    caps, _ = race({}, {}, 100)
    assert [expected(caps, size) is None for size in (800, 801)] == [True, False]


def test_few_responses_leave_a_margin() -> None:
    """Where the first prompt has a token for four bytes, another may have a quarter fewer."""
    caps, _ = race({0: 400}, {0: [100.0] * 10}, 150)
    assert [expected(caps, size) is None for size in (799, 801)] == [True, False]
    assert (
        expected(caps, 900)
        == "over the cap: about 225 prompt tokens a row, at most 150, by its length; it was not sent"
    )


def test_many_responses_give_a_line() -> None:
    """With five trials a line is fitted, so that what all prompts have in common is no part of what a byte costs."""
    sizes = {number: 100.0 * (number + 1) for number in range(6)}
    caps, _ = race(sizes, {number: [50 + size / 4] * 10 for number, size in sizes.items()}, 250)
    assert [expected(caps, size) is None for size in (820, 840)] == [True, False]


def test_likely_over_ends_and_the_last_place_is_for_one_that_is_known() -> None:
    """A trial that is likely over the cap ends; of the others the best that is shown to be under it wins, although
    another one has a higher mean."""
    generator = np.random.default_rng(0)
    noise = {number: [float(each) for each in generator.normal(0, 10, 20)] for number in range(4)}
    means = {0: 60.0, 1: 99.0, 2: 140.0, 3: 70.0}
    tokens = {number: [mean + off for off in noise[number]] for number, mean in means.items()}
    caps, trials = race(dict.fromkeys(means, 100.0), tokens, 100)
    scores = {0: 0.6, 1: 0.8, 2: 0.9, 3: 0.7}
    estimates = SimpleNamespace(
        means=lambda: scores,
        ranked=lambda known: sorted(trials, key=lambda each: (each.over_cap, -known[each.number])),
        keep_variances=lambda: None,
    )
    finals = Finals(caps._trials, cast(Any, estimates), lambda each: False, caps)
    assert {each.number for each in finals.begin()} == {0, 1, 3}
    assert trials[2].state == "pruned"
    assert trials[2].reason.startswith("over the cap after 20 rows: ")
    assert caps.standing(trials[1]) == "not known"
    assert [each.number for each in finals.end_stage()] == [3]
    assert trials[1].reason == "left the finals: estimated score 0.800 after 20 rows, not shown to be under the cap"


@pytest.mark.parametrize("most", [30.0, 500.0])
def test_all_over_or_all_under(most: float) -> None:
    """Where no trial is shown to be under a cap, any may lead; where all are, too."""
    caps, trials = race({0: 400, 1: 500}, {0: [100.0] * 10, 1: [120.0] * 10}, most)
    assert caps.able_to_win(trials) == [True, True]
