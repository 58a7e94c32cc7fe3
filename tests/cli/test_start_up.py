"""Commands start quickly: they load no package that they do not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import ENVIRONMENT

NEVER = {"scipy", "optuna", "openai", "plotly", "distributed"}
"""Packages that take long to load, and that only runs, figures and clusters need."""

LOADED = """
import sys
from prompt_search.cli import main
try:
    main()
except SystemExit as ended:
    code = ended.code or 0
print()
print(code, *sorted({name.split(".")[0] for name in sys.modules}))
"""


def loaded(folder: Path, *arguments: str) -> tuple[int, set[str]]:
    """The exit code of a command in a process of its own, and the packages that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
        check=True,
    )
    code, *packages = done.stdout.splitlines()[-1].split()
    return int(code), set(packages)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["show"],
        ["show", "reviews:0"],
        ["export", "-o", "best.json"],
    ],
)
def test_commands_on_stored_studies_load_no_scipy(stored: Path, arguments: list[str]) -> None:
    """What reads the verdict on right and wrong answers loads neither scipy nor what only a run needs."""
    code, packages = loaded(stored, *arguments)
    assert (code, packages & NEVER) == (0, set())


@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        (["show", "--help"], 0),
        (["space", "template.j2"], 0),
        (["space", "study.py"], 0),
        (["cache", "stats"], 0),
        (["space", "missing.py"], 2),
        (["run", "missing.py", "--calls", "5"], 2),
        (["run", "study.py"], 2),
        (["show", "missing"], 2),
        (["list", "missing.db"], 2),
        (["export", "missing"], 2),
        (["show", "--table", "missing"], 2),
    ],
)
def test_other_commands_and_errors_load_no_pandas_either(stored: Path, arguments: list[str], ends: int) -> None:
    """Help, spaces, the cache and what is refused are there before a table could be made."""
    code, packages = loaded(stored, *arguments)
    assert (code, packages & {*NEVER, "pandas"}) == (ends, set())
