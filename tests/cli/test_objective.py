"""The options --objective and --max-…: what they change in a study, and what is told where they are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import prompt_search as ps
from prompt_search.cli.loading import load_study
from prompt_search.cli.options import Overrides
from tests.cli.helpers import Ran, edit, sentiment
from tests.conftest import FakeServer


def test_a_run_with_a_cap(command: Callable[..., Ran], project: Path, server: FakeServer) -> None:
    """Weights and caps of the command line are those of the stored study, and the printed headline has the costs."""
    server.answer = sentiment
    given = ["--max-prompt-tokens", "500", "--objective", "tokens=0.01"]
    ran = command("run", "study.py", "--calls", "60", *given)
    assert ran.code == 0, ran.err
    result = ps.open_result("sqlite:///prompt_search.db", "reviews")
    assert result.objective == ps.Objective(tokens=0.01, max_prompt_tokens=500)
    assert "Prompt tokens a row: " in ran.out
    assert "(under the cap of 500)" in ran.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--objective", "cost"], "--objective must be NAME=WEIGHT such as cost=0.1, got 'cost'"),
        (["--objective", "speed=1"], "an objective has no 'speed'; it has score, cost"),
        (["--objective", "cost=-1"], "a weight of an objective must be a number, 0 or more, got cost=-1.0"),
        (["--max-prompt-tokens", "0"], "a cap of an objective must be a number, above 0, got max_prompt_tokens=0.0"),
        (["--max-usd-per-1000", "0.5"], "an objective in US dollars needs prices, but the price of fake is unknown"),
    ],
)
def test_wrong_objectives(command: Callable[..., Ran], project: Path, given: list[str], said: str) -> None:
    """A wrong weight or cap is one line and exit code 2."""
    ran = command("run", "study.py", "--calls", "60", *given)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert said in ran.err.splitlines()[-1]


def test_the_study_file_has_one_too(project: Path) -> None:
    """Options of the command line replace single weights and caps of the study file's objective."""
    edit(project / "study.py", "data=data,", "data=data, objective=ps.Objective(tokens=0.1, max_latency_s=2),")
    found = load_study("study.py", Overrides(objective={"max_latency_s": 1.0})).objective
    assert found == ps.Objective(tokens=0.1, max_latency_s=1)
