"""A verdict that people correct: their scores of some test rows beside a judge's of all."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from prompt_search import _numbers
from prompt_search.errors import StudyError
from prompt_search.metrics.ranges import UNBOUNDED, Range
from prompt_search.metrics.scale import Scale
from prompt_search.results.statistics import VerdictWord
from prompt_search.results.verdict import Verdict


class JudgedStudy(Protocol):
    """What is asked of a stored study (`prompt_search.results.stored.stored_study.StoredStudy`)."""

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> Mapping[str, Any]: ...
    @property
    def best_trial(self) -> int: ...
    @property
    def verdict(self) -> Verdict: ...
    def trial_samples(self, trial: int) -> pd.DataFrame: ...
    def test_scores_by_row(self, trial: int) -> dict[int, float]: ...
    def row_texts(self, trial: int, rows: Collection[int]) -> dict[int, str]: ...


LEAST_ROWS = 10
"""Number of rows that people have to score at least: the interval rests on how much they differ from the judge."""

ROWS = 30
"""Number of test rows that people are asked about where nothing else is said."""

HUMAN = "human"
"""The column of a sheet in which people write their ratings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleVerdict:
    """Whether people would find the winner better than the default prompt, by their scores of some test rows and the
    judge's of all.

    Attributes:
        verdict: ``better``, ``not shown`` or ``worse``, at the 5% level.
        difference: the difference of the means that people's scores of all rows are expected to have, winner minus
            default; ``low`` and ``high`` are the ends of its 95% confidence interval, ``p`` belongs to it.
        rows: the number of test rows that the judge has scored for both prompts.
        people_rows: the number of these that people have scored for both.
        judge: the difference by the judge alone.
        people: the difference by people's scores alone.
        weight: how much the judge's scores of the other rows count, from 0 (not at all) to 1.
    """

    verdict: VerdictWord
    difference: float
    low: float
    high: float
    p: float
    rows: int
    people_rows: int
    judge: float
    people: float
    weight: float

    def __str__(self) -> str:
        words = {"better": "is better than", "worse": "is worse than", "not shown": "is not shown to be better than"}
        difference = _numbers.estimate(self.difference, self.low, self.high, "+.3f")
        return (
            f"By people's scores of {self.people_rows} of {self.rows} test rows, and the judge's of all, the winner "
            f"{words[self.verdict]} the default prompt: difference {difference}, p = {self.p:.2g}; by the judge alone "
            f"{self.judge:+.3f}, by people alone {self.people:+.3f}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A mean with its 95% interval, its p, and the weight of the judge; see `corrected_mean`."""

    mean: float
    low: float
    high: float
    p: float
    weight: float


def corrected_mean(
    judged: Sequence[float], judged_too: Sequence[float], human: Sequence[float], bounds: Range = UNBOUNDED
) -> Corrected:
    """The mean that people's scores of all rows would have, from their scores of some and a judge's of all.

    It is the mean of people's scores, plus ``weight`` times what the judge's mean over all rows is above its mean over
    those that people scored (prediction-powered inference, Angelopoulos et al. 2023, Science 382; the weight by
    Angelopoulos, Duchi and Zrnic 2023, PPI++, which is the regression estimator of Cochran 1977, section 7.1). A judge
    that agrees with people in nothing gets the weight 0, and does no harm. The rows that people scored must be a random
    sample of all. The interval is Student's t; its variance is that of people's scores over all rows, plus that of what
    the judge leaves unexplained over the sample.

    Args:
        judged: the judge's scores of all rows.
        judged_too: its scores of the rows that people scored, too.
        human: people's scores of these.
        bounds: the range of the scores, which mean and interval keep to.

    >>> found = corrected_mean([0.2, 0.4, 0.6, 0.8] * 5, [0.2, 0.4, 0.6, 0.8], [0.1, 0.3, 0.5, 0.7])
    >>> round(found.mean, 3), round(found.weight, 3)
    (0.4, 1.0)
    """
    from scipy import special

    every, some, people = (np.asarray(each, dtype=float) for each in (judged, judged_too, human))
    count, total = len(people), len(every)
    spread = float(some.var(ddof=1))
    covariance = float(np.cov(some, people)[0, 1])
    weight = min(1.0, max(0.0, covariance / spread)) if spread > 0 else 0.0
    mean = float(people.mean() + weight * (every.mean() - some.mean()))
    freedom = count - (2 if weight > 0 else 1)
    left = people - weight * some
    unexplained = float(((left - left.mean()) ** 2).sum()) / freedom
    variance = float(people.var(ddof=1)) / total + unexplained * (1 / count - 1 / total)
    error = math.sqrt(variance)
    half = float(special.stdtrit(freedom, 0.975)) * error
    p = float(2 * special.stdtr(freedom, -abs(mean) / error)) if error > 0 else float(mean == 0)
    ends = [bounds.clipped(value) for value in (mean, mean - half, mean + half)]
    return Corrected(mean=ends[0], low=ends[1], high=ends[2], p=p, weight=weight)


def people_sheet(study: JudgedStudy, rows: int | None, seed: int) -> pd.DataFrame:
    """One row per answer that people are to score, in random order: those of default and winner to some test rows that
    are drawn at random.

    Columns: ``trial`` int; ``row`` int, position in the data; ``text``, what the prompt shows of the row; ``answer``;
    ``human``, for the rating, empty except where there is no answer that could be read, which is rated worst.

    Args:
        study: the study.
        rows: number of test rows; default: `ROWS`, or all where there are fewer.
        seed: of the random choice.

    Raises:
        StudyError: the study has no judge, or no comparison on test rows.
    """
    worst = _scale_of(study).levels[0]
    frames = {trial: study.trial_samples(trial) for trial in _compared(study)}
    shared = _scored_rows(study)
    rows = min(ROWS, len(shared)) if rows is None else rows
    if not LEAST_ROWS <= rows <= len(shared):
        raise StudyError(
            f"rows= must be from {LEAST_ROWS} to the {len(shared)} test rows that both prompts have a score on, got "
            f"{rows}; give one such as {min(ROWS, len(shared))}, or test on more rows"
        )
    generator = np.random.default_rng(seed)
    chosen = generator.choice(shared, size=rows, replace=False).tolist()
    texts = study.row_texts(study.best_trial, chosen)
    lines = []
    for trial, frame in frames.items():
        answers = dict(zip(frame["row"].tolist(), frame["answer"].tolist(), strict=True))
        lines += [(trial, row, texts.get(row), answers[row], worst if answers[row] is None else None) for row in chosen]
    order = generator.permutation(len(lines))
    return pd.DataFrame([lines[place] for place in order], columns=["trial", "row", "text", "answer", HUMAN])


def people_verdict(study: JudgedStudy, sheet: pd.DataFrame) -> PeopleVerdict:
    """The verdict that a sheet with people's ratings gives.

    Raises:
        StudyError: the sheet lacks a column, has too few ratings, or rates what was not tested.
        InputError: a rating is not on the judge's scale.
    """
    scale, (default, winner) = _scale_of(study), _compared(study)
    ratings = _ratings(sheet, scale)
    shared = _scored_rows(study)
    by_trial = [study.test_scores_by_row(trial) for trial in (default, winner)]
    judged = {row: by_trial[1][row] - by_trial[0][row] for row in shared}
    unknown = sorted({(trial, row) for trial, row in ratings if trial not in (default, winner) or row not in judged})
    if unknown:
        trial, row = unknown[0]
        raise StudyError(
            f"the sheet rates trial {trial} on row {row}, which has no test score; take the rows of "
            "result.people_sheet()"
        )
    human = {
        row: ratings[winner, row] - ratings[default, row]
        for row in judged
        if (winner, row) in ratings and (default, row) in ratings
    }
    if len(human) < LEAST_ROWS:
        raise StudyError(
            f"people have to rate the answers of both prompts to at least {LEAST_ROWS} rows, got {len(human)}; rate "
            "more"
        )
    found = corrected_mean(
        list(judged.values()), [judged[row] for row in human], list(human.values()), scale.range.differences
    )
    shown = found.p < 0.05
    return PeopleVerdict(
        verdict="not shown" if not shown or not found.mean else "better" if found.mean > 0 else "worse",
        difference=found.mean,
        low=found.low,
        high=found.high,
        p=found.p,
        rows=len(judged),
        people_rows=len(human),
        judge=float(np.mean(list(judged.values()))),
        people=float(np.mean(list(human.values()))),
        weight=found.weight,
    )


def _ratings(sheet: pd.DataFrame, scale: Scale) -> dict[tuple[int, int], float]:
    """People's scores, by trial and row; the mean where several people rated."""
    missing = [name for name in ("trial", "row", HUMAN) if name not in sheet.columns]
    if missing:
        raise StudyError(f"the sheet has no column {missing[0]!r}; take that of result.people_sheet()")
    found: dict[tuple[int, int], list[float]] = {}
    for line in sheet.dropna(subset=[HUMAN]).to_dict("records"):
        found.setdefault((int(line["trial"]), int(line["row"])), []).append(scale.score(line[HUMAN]))
    return {key: sum(scores) / len(scores) for key, scores in found.items()}


def _scale_of(study: JudgedStudy) -> Scale:
    """The scale of the study's judge.

    Raises:
        StudyError: it has none, or one that compares two answers.
    """
    judge: Mapping[str, Any] | None = study.identity.get("judge")
    if judge is None or judge["pairwise"]:
        raise StudyError(
            f"the study {study.name!r} has no judge that rates answers on a scale, so people cannot rate them the "
            "same; run it with metric=ps.Judge(...)"
        )
    return Scale(scores=dict(judge["scale"]), numbers=bool(judge["numbers"]))


def _compared(study: JudgedStudy) -> tuple[int, int]:
    """The trials of the default prompt and of the winner.

    Raises:
        StudyError: they are the same, or were not compared.
    """
    if study.best_trial == 0 or study.verdict.rows < 2:
        raise StudyError(
            f"the study {study.name!r} has no winner beside the default that was tested; there is nothing to compare"
        )
    return 0, study.best_trial


def _scored_rows(study: JudgedStudy) -> list[int]:
    """The test rows that both prompts have a score on."""
    default, winner = (
        {row for row, score in study.test_scores_by_row(trial).items() if not math.isnan(score)}
        for trial in _compared(study)
    )
    return sorted(default & winner)
