"""The finals where options were proposed: the best prompt written by hand is compared with them to the end."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from prompt_search.search.deciding.caps import Caps
from prompt_search.search.deciding.finals import FINALIST_COUNT, LEAST_LEAD, Finals
from prompt_search.search.trial import Trial
from tests.search.growth.test_waves import trial

SPREAD = 0.1


def finals(means: Mapping[int, float], grown: set[int]) -> tuple[Finals, Any]:
    """The finals of trials, by number, with these expected scores, of which some have a proposed option."""
    trials = SimpleNamespace(all=[trial(number, 0, {0: 1.0}) for number in means], finalists=[], leader=None)
    estimates = SimpleNamespace(
        means=lambda: means,
        spreads=lambda reference: dict.fromkeys(means, SPREAD),
        ranked=lambda found: sorted(
            trials.all, key=lambda each: (bool(trials.finalists) and each not in trials.finalists, -found[each.number])
        ),
        keep_variances=lambda: None,
    )
    caps = Caps(cast(Any, SimpleNamespace(goal=None)), cast(Any, trials))
    return Finals(cast(Any, trials), cast(Any, estimates), lambda each: each.number in grown, caps), trials


def numbers(found: list[Trial]) -> list[int]:
    return [each.number for each in found]


def test_the_best_prompt_written_by_hand_is_a_finalist() -> None:
    """Where all better trials have a proposed option, the best one without takes the last place of the finals."""
    count = FINALIST_COUNT + 5
    means = {number: 0.9 - number / 100 for number in range(count)}
    of, _ = finals(means, set(range(count - 2)))
    assert numbers(of.begin()) == [*range(FINALIST_COUNT - 1), count - 2]


def test_without_proposed_options_the_best_are_the_finalists() -> None:
    """A space that did not grow has the finals that it had."""
    of, _ = finals({number: 0.9 - number / 100 for number in range(15)}, set())
    assert numbers(of.begin()) == list(range(FINALIST_COUNT))


def test_the_best_prompt_written_by_hand_stays_to_the_last_stage() -> None:
    """From stage to stage the better half is kept, and the best trial without a proposed option."""
    of, trials = finals({number: 0.9 - number / 100 for number in range(FINALIST_COUNT)}, set(range(8)))
    of.begin()
    assert numbers(of.end_stage()) == [0, 1, 2, 3, 8]
    assert numbers(of.end_stage()) == [0, 1, 8]
    assert trials.leader.number == 0


@pytest.mark.parametrize(("lead", "winner"), [(0.0, 1), (0.9, 1), (1.1, 0)])
def test_a_proposed_option_wins_by_a_lead_only(lead: float, winner: int) -> None:
    """A prompt with a proposed option has to be better than the best one without by half a standard deviation."""
    of, trials = finals({0: 0.6 + lead * LEAST_LEAD * SPREAD, 1: 0.6}, {0})
    of.begin()
    assert numbers(of.end_stage()) == [winner]
    assert trials.leader.number == winner


def test_a_lead_that_is_not_clear_is_the_reason() -> None:
    """The trial that was expected to be better, and did not win, says why."""
    of, trials = finals({0: 0.61, 1: 0.6}, {0})
    of.begin()
    of.end_stage()
    assert trials.all[0].reason == (
        "left the finals: estimated score 0.610 after 1 rows, no clear lead over trial 1, the best one without a "
        "proposed option"
    )
