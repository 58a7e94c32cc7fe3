"""What a judge answered about the answers of a study, and how much its ratings vary, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from prompt_search.results.frames import mean_of
from prompt_search.storage.records import Judgement, SampleRecord


def judgements_frame(samples: Iterable[SampleRecord], calls: pd.DataFrame) -> pd.DataFrame:
    """One row per request to a judge about an answer, by trial, split and row; equal answers have the same requests.

    Columns: ``trial`` int; ``row`` int; ``split`` ``search`` or ``test``; ``judgement`` int, its place among those of
    the answer; ``swapped`` bool, whether the scale, or the two answers, were shown in the other order; ``level``, the
    rating in the judge's words, empty without one; ``score`` float, NaN without a rating, and where only one of two
    orders has one; ``weighted`` bool, whether it is the expected score by the probabilities of the levels; ``error``
    text or None; ``key`` of the request; ``response``, what the judge wrote.

    Args:
        samples: the stored rows.
        calls: the study's requests, see `tables.calls_frame`.
    """
    texts = dict(zip(calls["key"], calls["response"], strict=True))
    ordered = sorted(samples, key=lambda sample: (sample.trial, sample.split, sample.row))
    lines = [
        (sample.trial, sample.row, sample.split, place, *_values(each), texts.get(each.key))
        for sample in ordered
        for place, each in enumerate(sample.judgements)
    ]
    frame = pd.DataFrame(lines, columns=list(JUDGEMENT_COLUMNS), dtype=object)
    return frame.astype({name: kind for name, kind in JUDGEMENT_COLUMNS.items() if kind})


def _values(judgement: Judgement) -> tuple[Any, ...]:
    found = judgement
    return found.swapped, found.level, found.score, found.weighted, found.error, found.key


JUDGEMENT_COLUMNS: Mapping[str, str] = {
    "trial": "int64",
    "row": "int64",
    "split": "str",
    "judgement": "int64",
    "swapped": "bool",
    "level": "str",
    "score": "float64",
    "weighted": "bool",
    "error": "",
    "key": "str",
    "response": "",
}
"""The columns of `judgements_frame` with their types."""


def noise_frame(samples: Iterable[SampleRecord]) -> pd.DataFrame:
    """One row per split: how much the ratings of one answer vary.

    Columns: ``split``; ``answers`` int, the number of different answers that were judged; ``unrated`` int, those
    without a score; ``judgements`` int, of all answers; ``noise`` float, the standard deviation of one judgement of an
    answer around the mean of its judgements, pooled over the answers with several, NaN without any; ``order_effect``
    float, by how much scores are higher in the first order than in the other one: with the worst level first, or with
    the judged answer first; ``spread`` float, the standard deviation of the answers' scores; ``reliability`` float, the
    part of the variance of the scores that is no noise, from 0 to 1.

    Args:
        samples: the stored rows.
    """
    judged = [sample for sample in samples if sample.judgements]
    judged.sort(key=lambda sample: sample.split)
    lines = []
    for split, of_split in groupby(judged, key=lambda sample: sample.split):
        answers = {tuple(each.key for each in sample.judgements): sample.judgements for sample in of_split}
        lines.append({"split": split, **noise_of(list(answers.values()))})
    kinds = {"split": "str", **dict.fromkeys(NOISE_COUNTS, "int64"), **dict.fromkeys(NOISE_NUMBERS, "float64")}
    return pd.DataFrame(lines, columns=list(kinds)).astype(kinds)


NOISE_COUNTS = ("answers", "unrated", "judgements")
NOISE_NUMBERS = ("noise", "order_effect", "spread", "reliability")
"""The columns of `noise_frame` besides the split."""


def noise_of(answers: Sequence[Sequence[Judgement]]) -> dict[str, float]:
    """The numbers of a line of `noise_frame`, of the judgements of each answer."""
    scores = [[each.score for each in judgements if each.score is not None] for judgements in answers]
    rated = [of_answer for of_answer in scores if of_answer]
    repeated = [of_answer for of_answer in rated if len(of_answer) > 1]
    variance = sum(float(np.var(each)) * len(each) for each in repeated)
    freedom = sum(len(each) - 1 for each in repeated)
    noise = math.sqrt(variance / freedom) if freedom else math.nan
    means = [mean_of(each) for each in rated]
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
    of_means = noise**2 * mean_of([1 / len(each) for each in rated]) if rated else math.nan
    return {
        "answers": len(answers),
        "unrated": len(answers) - len(rated),
        "judgements": sum(map(len, answers)),
        "noise": noise,
        "order_effect": _order_effect(answers),
        "spread": spread,
        "reliability": max(0.0, 1 - of_means / spread**2) if spread > 0 and not math.isnan(of_means) else math.nan,
    }


def _order_effect(answers: Sequence[Sequence[Judgement]]) -> float:
    """By how much an answer's scores are higher in the first order, on average over those with scores in both."""
    effects = []
    for judgements in answers:
        orders = [
            [each.score for each in judgements if each.score is not None and each.swapped is swapped]
            for swapped in (False, True)
        ]
        if all(orders):
            effects.append(mean_of(orders[0]) - mean_of(orders[1]))
    return mean_of(effects)
