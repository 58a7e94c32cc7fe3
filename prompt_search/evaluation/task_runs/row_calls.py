"""How many calls a row takes, where only running the task can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

LEAST = 0.01
"""The lowest number that is planned with: a task may answer most rows without a call."""


class RowCalls:
    """The number of calls that rows took so far.

    What is planned with changes at `update` alone, between two rounds of a search, so that it does not depend on the
    order in which rows end.

    Args:
        expected: the mean until the first row has shown it.

    >>> calls = RowCalls(expected=1)
    >>> calls.add(3, prompt="a")
    >>> calls.add(1, prompt="b")
    >>> calls.mean
    1
    >>> calls.update()
    >>> calls.mean, calls.of("a"), calls.of("never run")
    (2.0, 3.0, 2.0)
    """

    def __init__(self, expected: float) -> None:
        self.mean = expected
        """The mean number of calls of a row, as planned with."""
        self._means: Mapping[str, float] = {}
        self._rows: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()

    def add(self, calls: int, *, prompt: str = "") -> None:
        """Count a row that has ended, of a prompt given by what it is known by."""
        self._rows[prompt] += 1
        self._calls[prompt] += calls

    def of(self, prompt: str) -> float:
        """The mean number of calls of a row of one prompt; that of all, where it has none."""
        return self._means.get(prompt, self.mean)

    def update(self) -> None:
        """Plan with what was counted so far."""
        if self._rows:
            self.mean = max(self._calls.total() / self._rows.total(), LEAST)
            self._means = {prompt: max(self._calls[prompt] / rows, LEAST) for prompt, rows in self._rows.items()}
