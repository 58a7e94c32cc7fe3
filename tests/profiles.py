"""How many examples hypothesis tries: few while one works, more in CI, many at night.

``HYPOTHESIS_PROFILE`` is ``dev`` (the default), ``ci`` or ``nightly``. Tests whose examples are expensive or cheap give
the number for CI themselves, with `examples`.
"""

from __future__ import annotations

import os

from hypothesis import settings

EXAMPLES = {"dev": 15, "ci": 100, "nightly": 1_000}
"""Number of examples of a test that does not give one, by profile."""

LEAST = 3
"""The smallest number of examples of any test."""

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")


def examples(in_ci: int) -> int:
    """The number of examples in this profile of a test that has ``in_ci`` of them in CI.

    >>> examples(EXAMPLES["ci"]) == EXAMPLES[PROFILE]
    True
    """
    return max(min(in_ci, LEAST), in_ci * EXAMPLES[PROFILE] // EXAMPLES["ci"])


def load() -> None:
    """Register the profiles with hypothesis, and load the one that the environment names."""
    for name, count in EXAMPLES.items():
        settings.register_profile(name, max_examples=count, deadline=None)  # two shared cores say nothing about time
    settings.load_profile(PROFILE)
