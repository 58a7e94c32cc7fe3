"""What the few answers of a preflight show, and how many would be needed to show it; pure functions on numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from prompt_search.results.statistics import POWER

SIGNIFICANCE_LEVEL = 0.02
"""Highest p for which it counts as shown that answers match their own rows, or that another prompt is better than the
default."""

USEFUL_MATCH = 0.25
"""By how much more an answer that a useful model gives is worth with its own row than with another one, at least."""

EXCLUDING_LEVEL = 0.05
"""The probability with which such a model is wrongly called none."""

MIN_ANSWERS = 12
"""Number of answers below which nothing is said about a model: that none is right, or that all are the same."""

ENOUGH_ANSWERS = 30
"""Number of answers that are asked for where a metric of the user's own says nothing about its spread."""

ALIKE_SHARE = 0.15
"""Share of the rows on which scores differ, at its upper bound, up to which prompts count as alike."""

USEFUL_GAIN = 0.2
"""The difference to the default that a test should be able to show, where the default leaves room for more."""

RESAMPLES = 9_999
"""Number of samples of the bootstrap test."""

Match = Literal["shown", "excluded", "open", "not tested"]
"""Whether answers match their own rows better than others. ``excluded``: not by as much as those of a useful model do.
``open``: there are too few answers to tell. ``not tested``: the metric does not tell what answers are worth elsewhere.
"""


def match_of(p: float, tables: Sequence[np.ndarray], chance: float) -> Match:
    """Whether answers match their own rows.

    Args:
        p: of `results.statistics.own_row_test`.
        tables: for each block of rows the scores of its prompts' answers (first axis) to each row by each row's target.
        chance: the share of right answers of a model that only guesses, used where few answers show the spread.
    """
    if not tables:
        return "not tested"
    if p <= SIGNIFICANCE_LEVEL:
        return "shown"
    answers = sum(table.shape[0] * table.shape[1] for table in tables)
    if answers < MIN_ANSWERS:
        return "open"
    excess, spread = _excess(tables)
    guessing, useful = _deviations(chance)
    deviation = useful / math.sqrt(answers)
    # Answers of prompts to the same rows are alike, which the pairings show.
    deviation *= max(1.0, spread / (guessing / math.sqrt(answers)))
    highest = excess + NormalDist().inv_cdf(1 - EXCLUDING_LEVEL) * deviation
    return "excluded" if highest < USEFUL_MATCH else "open"


def _deviations(chance: float) -> tuple[float, float]:
    """The standard deviation of a score where a model guesses, and where it matches rows as a useful one does, which
    is never taken to be smaller."""
    guessing, right = math.sqrt(chance * (1 - chance)), min(chance + USEFUL_MATCH, 1.0)
    return guessing, max(guessing, math.sqrt(right * (1 - right)))


def answers_to_match(chance: float) -> int:
    """The number of answers with which it is mostly known whether they match their rows."""
    guessing, useful = _deviations(chance)
    shown, excluded = (NormalDist().inv_cdf(1 - level) for level in (SIGNIFICANCE_LEVEL, EXCLUDING_LEVEL))
    return max(MIN_ANSWERS, math.ceil(((shown * guessing + excluded * useful) / USEFUL_MATCH) ** 2))


def _excess(tables: Sequence[np.ndarray]) -> tuple[float, float]:
    """By how much answers score higher with their own rows than with others of their block, and its deviation over all
    pairings of answers with rows (see `results.statistics.own_row_test`)."""
    own = variance = 0.0
    answers = 0
    for table in tables:
        centred = table - table.mean(axis=1, keepdims=True) - table.mean(axis=2, keepdims=True)
        total = (centred + table.mean(axis=(1, 2), keepdims=True)).sum(axis=0)
        answers += table.shape[0] * table.shape[1]
        if len(total) > 1:
            # The mean of the off-diagonal pairs is what an own pair is compared with.
            own += float(np.trace(total)) * len(total) / (len(total) - 1)
            variance += float((total**2).sum()) / (len(total) - 1)
    return own / answers, math.sqrt(variance) / answers


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The scores of a default prompt, and of other prompts of which the best was scored on further rows.

    Attributes:
        default: scores of the default.
        blocks: scores of each other prompt on its block.
        favourite: place of the prompt with the best block.
        further: its scores on further rows.
        shared: number of rows on which both the default and the favourite have a score.
    """

    default: Sequence[float]
    blocks: Sequence[Sequence[float]]
    favourite: int
    further: Sequence[float]
    shared: int

    @property
    def best(self) -> list[float]:
        """All scores of the favourite."""
        return [*self.blocks[self.favourite], *self.further]

    @property
    def gain(self) -> float:
        """By how much the favourite's mean score is above the default's."""
        return float(np.mean(self.best) - np.mean(self.default))

    def p(self) -> float:
        """The one-sided p of the hypothesis that all prompts score the same: how often a favourite, chosen in the same
        way, is ahead by as much where all scores come from one distribution, that of all scores (a bootstrap test;
        Efron and Tibshirani 1993, chapter 16). It allows for the choice. Rows that both have make
        the difference steadier than such draws, so that p errs on the high side. NaN where there are too few scores.
        """
        if len(self.default) < 2 or len(self.best) < 2:
            return math.nan
        random = np.random.default_rng(0)
        scores = np.array([*self.default, *(score for block in self.blocks for score in block), *self.further])

        def means(count: int) -> np.ndarray:
            drawn: np.ndarray = random.choice(scores, (RESAMPLES, count))
            return np.asarray(drawn.mean(axis=1))

        blocks = [(means(len(block)), len(block)) for block in self.blocks if len(block)]
        # Blocks may have different lengths: the mean decides, as it did for the favourite.
        highest = np.argmax([mean for mean, _ in blocks], axis=0)
        block = np.array([mean for mean, _ in blocks])[highest, np.arange(RESAMPLES)]
        length = np.array([count for _, count in blocks])[highest]
        further = means(len(self.further)) * len(self.further) if len(self.further) else np.zeros(RESAMPLES)
        ahead = (block * length + further) / (length + len(self.further)) - means(len(self.default))
        return float((1 + np.count_nonzero(ahead >= self.gain - 1e-12)) / (1 + RESAMPLES))


def are_alike(differences: Sequence[float]) -> bool:
    """Whether prompts score alike: the upper bound (Clopper and Pearson 1934) of the share of rows on which their
    scores differ is small.

    >>> are_alike([0.0] * 24), are_alike([0.0] * 12), are_alike([0.0] * 20 + [1.0] * 4)
    (True, False, False)
    """
    from scipy import special

    differing, count = int(np.count_nonzero(differences)), len(differences)
    if not count or differing == count:
        return False
    return bool(special.betaincinv(differing + 1, count - differing, 0.95) < ALIKE_SHARE)


def rows_to_detect(differences: Sequence[float], wanted: float) -> int | None:
    """The number of test rows that detect a difference with 80% power (`POWER`), by the normal approximation; None
    where the spread is not known.

    Source: Connor (1987), Sample size for testing differences in proportions for the paired-sample design.

    Args:
        differences: as for `results.statistics.detectable_difference`.
        wanted: the difference.
    """
    change = np.asarray(differences, dtype=float)
    if not wanted > 0 or len(change) < 2:
        return None
    if set(np.abs(change)) <= {0.0, 1.0}:
        spread = max((np.abs(change).sum() + 1) / (len(change) + 2), wanted)
    else:
        spread = float(change.std(ddof=1)) ** 2 + wanted**2
    if spread <= wanted**2:
        return None
    test, power = NormalDist().inv_cdf(0.975), NormalDist().inv_cdf(POWER)
    return math.ceil((test * math.sqrt(spread) + power * math.sqrt(spread - wanted**2)) ** 2 / wanted**2)
