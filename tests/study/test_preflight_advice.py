"""The advice of preflights of made-up studies: right, or that there are too few answers to tell."""

from __future__ import annotations

import pytest

from experiments.benchmarks.preflight_advice import WORLDS, judged, made_up


@pytest.mark.parametrize("calls", [100, 300, 1200])
@pytest.mark.parametrize("world", WORLDS)
def test_no_advice_has_a_wrong_reason(world: str, calls: int) -> None:
    """Whether a search pays, prompts are alike, labels are shuffled or the model cannot do the task: no advice says
    what is not so, and with enough calls it says what a model that cannot answer comes to."""
    judgements = [judged(world, made_up(world, seed).preflight(calls).advice[0]) for seed in (1, 2)]
    assert "wrong" not in judgements
    if calls == 1200 and world in ("labels shuffled", "model cannot"):
        assert judgements == ["right", "right"]
