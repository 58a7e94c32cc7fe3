"""How many calls a row takes, where only running the task can tell."""

from __future__ import annotations

import math

LEAST = 0.01
"""The lowest number that is planned with: a task may answer most rows without a call."""


class RowCalls:
    """The number of calls that rows took so far.

    What is planned with changes at `update` alone, between two rounds of a search, so that it does not depend on the
    order in which rows end.

    Args:
        expected: the mean until the first row has shown it.
    """

    def __init__(self, expected: float) -> None:
        self.mean = expected
        """The mean number of calls of a row, as planned with."""
        self.spread = 0.0
        """Their standard deviation."""
        self._rows = self._calls = self._squares = 0

    def add(self, calls: int) -> None:
        """Count a row that has ended."""
        self._rows += 1
        self._calls += calls
        self._squares += calls**2

    def update(self) -> None:
        """Plan with what was counted so far."""
        if self._rows:
            mean = self._calls / self._rows
            self.mean = max(mean, LEAST)
            self.spread = math.sqrt(max(0.0, self._squares / self._rows - mean**2))
