"""How well a judge agrees with people, and what else its ratings depend on, as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from prompt_search.results.frames import mean_of
from prompt_search.results.judged.judge_tables import noise_of
from prompt_search.results.statistics import mean_interval
from prompt_search.storage.records import Judgement

RESAMPLES: Final = 2_000
"""Number of samples of the bootstrap."""

LEAST_ANSWERS: Final = 3
"""Number of answers with both ratings below which nothing is said."""

ScaleKind = Literal["numbers", "labels", "pair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswer:
    """An answer that a judge was asked about.

    Attributes:
        row: position of the row.
        score: the judge's score; None where it gave no rating.
        level: its rating in its own words: the most probable level.
        reason: why, in its words.
        error: why there is no score.
        judgements: its answers.
        human: the score that people gave; NaN where they gave none.
        human_level: their rating as a level; for two answers ``A``, ``B`` or ``tie``.
        length: the logarithm (base 2) of the answer's number of characters; for two answers the difference to that of
            the other one.
    """

    row: int
    score: float | None
    level: str
    reason: str
    error: str | None
    judgements: Sequence[Judgement]
    human: float = math.nan
    human_level: str = ""
    length: float = math.nan


def scores_frame(answers: Sequence[JudgedAnswer]) -> pd.DataFrame:
    """One row per answer that was judged, in the order of the data.

    Columns: ``row`` int; ``score`` float, NaN where the judge gave no rating; ``level``, the rating in the judge's
    words, the most probable one where the score is weighted; ``reason``, why; ``judgements`` int, the number of its
    requests; ``error`` text or None.
    """
    lines = [(each.row, each.score, each.level, each.reason, len(each.judgements), each.error) for each in answers]
    frame = pd.DataFrame(lines, columns=["row", "score", "level", "reason", "judgements", "error"], dtype=object)
    return frame.astype({"row": "int64", "score": "float64", "level": "str", "reason": "str", "judgements": "int64"})


def agreement_frame(answers: Sequence[JudgedAnswer], kind: ScaleKind) -> pd.DataFrame:
    """How a judge's scores go with those of people, a measure a row, with its 95% interval.

    Columns: ``measure``; ``value``; ``low`` and ``high``, from 2,000 bootstrap samples of the answers (Efron and
    Tibshirani 1993; the share of answers without a rating by Wilson's interval); ``rows`` int, the number of answers
    that it rests on. The measures:

    - ``correlation`` and ``rank_correlation`` (Pearson's and Spearman's), for a scale of numbers;
    - ``kappa`` (Cohen 1960) and ``agreement``, the share of equal ratings, for labels and for two answers;
    - ``mean_difference`` and ``absolute_difference``: judge minus people, in scores, and its size;
    - ``length_bias``: by how much the difference to people grows when an answer is twice as long (for two answers:
      relative to the other);
    - ``position_bias``, for two answers: by how much the one that is shown first gets more than half;
      ``consistent``: the share of answers for which both orders have the same winner;
    - ``order_effect`` and ``noise``, with several judgements of an answer: see `judge_tables.noise_frame`;
    - ``unrated``: the share of answers without a rating, which the other measures leave out.

    Args:
        answers: the answers.
        kind: what the judge's scale has: numbers, labels, or the better of two answers.
    """
    compared = [each for each in answers if each.score is not None and not math.isnan(each.human)]
    rated = [each for each in answers if each.score is not None]
    lines = [_line(name, measure, compared) for name, measure in _of_people(kind).items()]
    lines += [_line(name, measure, rated) for name, measure in _of_judgements(kind, rated).items()]
    missing = [float(each.score is None) for each in answers]
    low, high = mean_interval(missing)
    lines.append(("unrated", mean_of(missing), low, high, len(missing)))
    frame = pd.DataFrame(lines, columns=["measure", "value", "low", "high", "rows"])
    return frame.astype({"measure": "str", "value": "float64", "low": "float64", "high": "float64", "rows": "int64"})


Measure = Callable[[Sequence[JudgedAnswer]], float]
"""A number about some answers; NaN where they do not tell it."""


def _of_people(kind: ScaleKind) -> Mapping[str, Measure]:
    """The measures that need people's ratings, by their names."""
    first: dict[str, Measure] = {"correlation": _correlation, "rank_correlation": _rank_correlation}
    if kind != "numbers":
        first = {"kappa": _kappa, "agreement": _agreement}
    return {
        **first,
        "mean_difference": lambda answers: mean_of(_differences(answers)),
        "absolute_difference": lambda answers: mean_of([abs(each) for each in _differences(answers)]),
        "length_bias": _length_bias,
    }


def _of_judgements(kind: ScaleKind, rated: Sequence[JudgedAnswer]) -> Mapping[str, Measure]:
    """The measures of the judge alone, by their names."""
    found: dict[str, Measure] = {}
    if kind == "pair":
        found |= {"position_bias": _position_bias, "consistent": _consistent}
    elif any(each.swapped for answer in rated for each in answer.judgements):
        found["order_effect"] = lambda answers: noise_of([each.judgements for each in answers])["order_effect"]
    if kind != "pair" and any(len(each.judgements) > 1 for each in rated):
        found["noise"] = lambda answers: noise_of([each.judgements for each in answers])["noise"]
    return found


def _line(name: str, measure: Measure, answers: Sequence[JudgedAnswer]) -> tuple[str, float, float, float, int]:
    """A measure with its bootstrap interval."""
    count = len(answers)
    if count < LEAST_ANSWERS:
        return name, math.nan, math.nan, math.nan, count
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLES, count)).tolist()
    values = np.array([measure([answers[place] for place in draw]) for draw in draws])
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (math.nan, math.nan)
    return name, measure(answers), float(low), float(high), count


def _pairs(answers: Sequence[JudgedAnswer]) -> tuple[np.ndarray, np.ndarray]:
    """The judge's scores and people's."""
    return np.array([each.score for each in answers], dtype=float), np.array([each.human for each in answers])


def _differences(answers: Sequence[JudgedAnswer]) -> list[float]:
    judge, people = _pairs(answers)
    return [float(each) for each in judge - people]


def _correlation(answers: Sequence[JudgedAnswer]) -> float:
    return _pearson(*_pairs(answers))


def _rank_correlation(answers: Sequence[JudgedAnswer]) -> float:
    judge, people = _pairs(answers)
    return _pearson(_ranks(judge), _ranks(people))


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, with their mean for values that are equal."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    after = np.cumsum(counts)
    ranks: np.ndarray = (after - (counts - 1) / 2)[places]
    return ranks


def _agreement(answers: Sequence[JudgedAnswer]) -> float:
    return mean_of([float(each.level == each.human_level) for each in answers])


def _kappa(answers: Sequence[JudgedAnswer]) -> float:
    judge, people = Counter(each.level for each in answers), Counter(each.human_level for each in answers)
    by_chance = sum(judge[level] * people[level] for level in judge) / len(answers) ** 2
    return (_agreement(answers) - by_chance) / (1 - by_chance) if by_chance < 1 else math.nan


def _length_bias(answers: Sequence[JudgedAnswer]) -> float:
    lengths, differences = np.array([each.length for each in answers]), np.array(_differences(answers))
    known = np.isfinite(lengths)
    lengths, differences = lengths[known], differences[known]
    if len(lengths) < LEAST_ANSWERS or not np.ptp(lengths) > 0:
        return math.nan
    centred = lengths - lengths.mean()
    return float(centred @ differences / (centred @ centred))


def _for_first(judgement: Judgement) -> float:
    """How much a judgement of two answers gives the one that is shown first; NaN without a rating."""
    if judgement.score is None:
        return math.nan
    return 1 - judgement.score if judgement.swapped else judgement.score


def _position_bias(answers: Sequence[JudgedAnswer]) -> float:
    given = [_for_first(each) for answer in answers for each in answer.judgements if each.score is not None]
    return mean_of(given) - 0.5


def _consistent(answers: Sequence[JudgedAnswer]) -> float:
    """The share of pairs of judgements that have the same winner in both orders."""
    same = []
    for answer in answers:
        for first, second in zip(answer.judgements[::2], answer.judgements[1::2], strict=True):
            if first.score is not None and second.score is not None:
                same.append(float(np.sign(first.score - 0.5) == np.sign(second.score - 0.5)))
    return mean_of(same)
