"""Studies in batches, killed with SIGKILL: the tables of one that sends each request alone, and nothing paid twice."""

from __future__ import annotations

import sys

import pytest

from experiments.benchmarks.batches import STEPS, measure

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor a fork server"),
]


def test_study_in_batches_is_killed_twice() -> None:
    """A study of 600 calls in batches, of which some requests fail, one batch expires and two kills come while another
    is open: it ends in the tables of the study that sends each request alone, has paid for nothing twice, and costs
    half, but for what its batches left out."""
    found = measure(calls=600, kills=2, failing=0.03, latency=0.3, seed=0)

    full = found.alone / (found.alone + found.batched)
    assert found.batched > 500
    assert found.usd_in_batches / found.usd == pytest.approx(0.5 + 0.5 * full, abs=0.01)
    assert found.usd_in_batches < 0.56 * found.usd


@pytest.mark.parametrize("step", STEPS)
def test_study_in_batches_is_killed_at_each_step(step: str) -> None:
    """Killed when a batch is written down, uploaded, made and not yet written down, written down, or ended, a study
    sends none of its requests again."""
    measure(calls=90, kills=1, failing=0.03, latency=0.2, seed=0, at=step)
