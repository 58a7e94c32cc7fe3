"""The option --prior: a run that starts from earlier studies in its storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import prompt_search as ps
from tests.cli.helpers import Ran

CALLS = "80"


def test_run_starts_from_an_earlier_study(command: Callable[..., Ran], project: Path) -> None:
    """The headline says what the prior knew; the same line reads the same result; a line without it, or with a study
    that is not there, is refused in one line."""
    assert command("run", "study.py", "--calls", CALLS).code == 0
    second = ["run", "study.py", "--calls", CALLS, "--name", "second", "--seed", "1"]
    ran = command(*second, "--prior", "reviews")
    assert ran.code == 0, ran.err
    result = ps.open_result("prompt_search.db", "second")
    assert result.identity["prior"] == "reviews"
    assert str(result.summary["prior"]) in ran.out
    assert str(result.summary["prior"]).startswith("The prior knew 7 options from reviews (weight at the end ")
    again = command(*second, "--prior", "reviews")
    assert again.out == ran.out
    assert "prior was reviews, is none: give it again (on the command line --prior reviews)" in command(
        *second
    ).error_line(2)
    missing = command("run", "study.py", "--calls", CALLS, "--name", "third", "--prior", "nobody")
    assert missing.code == 2
    assert "there is no study 'nobody' in sqlite:///prompt_search.db; stored: 'reviews', 'second'" in missing.err
