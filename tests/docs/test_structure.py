"""The sizes that docs/design/structure.md promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_sizes_are_within_their_limits() -> None:
    """No function, class, module or folder is over its limit without a reason in docs/design/structure.md."""
    done = subprocess.run([sys.executable, ROOT / "experiments" / "structure.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_shows_its_sentences() -> None:
    """The sentences that users read are listed with file and line, the messages of errors among them."""
    done = subprocess.run(
        [sys.executable, ROOT / "experiments" / "sentences.py", "budget"], capture_output=True, text=True, check=True
    )
    assert [line for line in done.stdout.splitlines() if line.endswith(".py")] == [
        "budget/ledger.py",
        "budget/limits.py",
    ]
    assert any(
        line.endswith("a budget needs at least one limit; give calls=, tokens=, usd= or seconds=")
        for line in done.stdout.splitlines()
    )
