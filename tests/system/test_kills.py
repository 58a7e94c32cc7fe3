"""Studies killed with SIGKILL at random moments: nothing answered is paid again, and the end is the same."""

from __future__ import annotations

import sys

import pytest

from experiments.benchmarks.kills import measure

pytestmark = pytest.mark.system


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor a fork server")
@pytest.mark.parametrize("strict", [False, True])
def test_killed_study_goes_on(strict: bool) -> None:
    """Killed three times and run again at once each time, a study sends again what was on its way at most, and ends in
    the tables of the undisturbed one and with the number of these requests, also where a strict server refuses
    parameters and an option."""
    in_flight = 4
    again, undisturbed, killed, told = measure(
        kills=3, calls=80, in_flight=in_flight, latency=0.02, seed=0, strict=strict
    )
    assert killed - undisturbed == again[-1] <= told <= 3 * in_flight


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor a fork server")
def test_killed_study_that_grows_goes_on() -> None:
    """The same where a model proposes options meanwhile: none is asked for twice but what was on its way, and the
    tables of proposals and lineage are those of the undisturbed study."""
    in_flight = 4
    again, undisturbed, killed, told = measure(kills=5, calls=200, in_flight=in_flight, latency=0.01, seed=1, grow=True)
    assert killed - undisturbed == again[-1] <= told <= 5 * in_flight


@pytest.mark.skipif(sys.platform == "win32", reason="there is neither SIGKILL nor a fork server")
def test_killed_study_that_asks_about_its_shots_goes_on() -> None:
    """The same where shots are picked by what the model itself answers: no row of the pool is asked for twice but what
    was on its way, and the shots are those of the undisturbed study."""
    in_flight = 4
    again, undisturbed, killed, told = measure(
        kills=6, calls=120, in_flight=in_flight, latency=0.02, seed=2, own_shots=True
    )
    assert killed - undisturbed == again[-1] <= told <= 6 * in_flight
