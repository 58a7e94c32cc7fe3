"""Binomial probabilities for the exact McNemar test: numbers of rows that one prompt wins of those that differ.

They are computed here, as sums and recursions in plain numpy, because they stand in every headline: scipy takes longer
to load than the rest of a command that prints one.
"""

from __future__ import annotations

import numpy as np


def two_sided_p(won: int, lost: int) -> float:
    """The p of the exact two-sided test that a row that differs is won with probability 1/2.

    >>> two_sided_p(8, 0), two_sided_p(3, 3)
    (0.0078125, 1.0)
    """
    rows, fewer = won + lost, min(won, lost)
    ways = total = 1  # ways to lose so many rows
    for lost_rows in range(1, fewer + 1):
        ways = ways * (rows - lost_rows + 1) // lost_rows
        total += ways
    # Integers are divided exactly, and may be far too large for floats.
    return min(1.0, 2 * total / (1 << rows))


def probabilities(hits: np.ndarray, trials: np.ndarray, chance: float) -> np.ndarray:
    """The probability of so many hits in so many trials with one chance; 0 for a number of hits below 0."""
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials.max(initial=0) + 1)))])  # their logarithms
    known = np.maximum(hits, 0)
    ways = factorials[trials] - factorials[known] - factorials[trials - known]
    with np.errstate(divide="ignore", invalid="ignore"):
        of_hits = np.where(known == 0, 0.0, known * np.log(chance))
        of_misses = np.where(trials == known, 0.0, (trials - known) * np.log1p(-chance))
    return np.where(hits < 0, 0.0, np.exp(ways + of_hits + of_misses))


def largest_losses(rows: int, tail: float) -> np.ndarray:
    """For 1 to ``rows`` rows that differ, the largest number of lost ones whose probability of so few or fewer is below
    ``tail`` where each is lost with probability 1/2; -1 where there is none.

    >>> largest_losses(8, 0.025).tolist()
    [-1, -1, -1, -1, -1, 0, 0, 0]
    """
    found = np.empty(rows, dtype=int)
    most, below, at = -1, 0.0, 0.0  # the number, and the probabilities of it or fewer, and of exactly it
    following = 1.0  # of one more
    for count in range(1, rows + 1):
        below -= at / 2
        # P(k; n) = P(k; n - 1) / 2 + P(k - 1; n - 1) / 2
        at, following = (at + _before(at, most, count - 1)) / 2, (following + at) / 2
        if below + following < tail:
            most, below, at = most + 1, below + following, following
            following = at * (count - most) / (most + 1)
        found[count - 1] = most
    return found


def _before(at: float, hits: int, trials: int) -> float:
    """The probability of one hit less, where that of ``hits`` is ``at``."""
    return at * hits / (trials - hits + 1) if hits > 0 else 0.0


def cumulated(hits: np.ndarray, chance: float) -> np.ndarray:
    """The probability of at most ``hits[n - 1]`` hits in n trials, for n from 1 on.

    Args:
        hits: they rise by at most 1 from one number of trials to the next, as those of `largest_losses` do.
        chance: of each hit.
    """
    trials = np.arange(1, len(hits) + 1)
    former = np.concatenate([[-1], hits[:-1]])
    # One more trial takes away the cases with the most hits in which it is a hit; one more hit adds its own cases.
    lost = chance * probabilities(former, trials - 1, chance)
    gained = np.where(hits > former, probabilities(hits, trials, chance), 0.0)
    return np.clip(np.cumsum(gained - lost), 0.0, 1.0)
