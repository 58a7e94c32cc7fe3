"""What earlier studies know, as a race uses it: effects of options, ease of rows, and how far each of the two holds.

Scores of an earlier study are further observations of the surrogate, of candidates that are alike by their options but
belong to another study. How alike the studies are is learned from the new scores, and so is how far the ease of rows is
the same. What does not fit comes to weigh nothing; the surrogate is then that of a study without a prior.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prompt_search.prompts.factors import Factor
from prompt_search.search.encoding import Levels
from prompt_search.search.settings import RaceSettings
from prompt_search.search.surrogate.covariance import between_candidates
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.likelihood import log_density
from prompt_search.search.surrogate.model import MAX_FITTED, Surrogate
from prompt_search.search.surrogate.observations import Observations, Relation
from prompt_search.storage.once.prior_studies import PriorStudies, PriorTrial

LIKENESSES = {0.0: 0.5, 0.25: 0.125, 0.5: 0.125, 0.75: 0.125, 0.95: 0.125}
"""How alike an earlier study may be, and how probable that is before any score: it is as probable that it is not."""

EASE_WEIGHTS = {0.0: 0.5, 0.5: 0.25, 1.0: 0.25}
"""How far the ease of rows in earlier studies may hold, and how probable that is before any score."""

LEAST_WEIGHT = 0.1
"""A weight below this is 0."""

OPEN_KINDS = ("choice", "flag", "request", "model", "answer")
"""The kinds of choices whose options are alike only where they are equal, so that there can be others besides."""


@dataclass(frozen=True)
class Weights:
    """How far what earlier studies know holds in this one.

    Args:
        likeness: of each earlier study, see `Relation`.
        ease: the part of the ease of rows that holds.
    """

    likeness: tuple[float, ...]
    ease: float

    @classmethod
    def expected(cls, studies: int) -> Weights:
        """The weights before any score."""
        return cls((_expected(LIKENESSES),) * studies, _expected(EASE_WEIGHTS))


class PriorKnowledge:
    """What earlier studies know of the candidates and rows of a space.

    Args:
        factors: the factors of the space.
        prior: what was taken from earlier studies.

    Attributes:
        studies: the number of studies that know candidates.
        factors: those of the space, with options that only earlier studies have after their own, and then factors that
            only earlier studies have.
        levels: the candidates of earlier studies in these, of shape (candidates, factors).
    """

    def __init__(self, factors: Sequence[Factor], prior: PriorStudies) -> None:
        self.studies = len(prior.studies)
        self._own_factors = len(factors)
        self._own_options = [factor.proposed for factor in factors]
        trials = [trial for study in prior.studies for trial in study.trials]
        self.factors = joined_factors(factors, trials)
        self.levels = encoded(self.factors, trials)
        self._study = np.repeat(np.arange(len(prior.studies)) + 1, [len(each.trials) for each in prior.studies])
        self._score = np.array([trial.score for trial in trials])
        self._rows = np.array([trial.rows for trial in trials], dtype=np.float64)
        self.ease = dict(prior.ease)
        """By position of the row."""

    @cached_property
    def geometry(self) -> Geometry:
        """The similarities of all candidates, those of earlier studies included."""
        return Geometry(self.factors)

    @property
    def known_levels(self) -> Levels:
        """The candidates of earlier studies in the factors of the space, best first by their scores; -1 where they have
        none of its options."""
        own = self.levels[:, : self._own_factors]
        return np.where(own >= self._own_options, -1, own)[np.argsort(-self._score, kind="stable")]

    def alone(self) -> Observations:
        """The observations of earlier studies, as alike as they may be, in standard deviations of a single score."""
        weights = Weights((max(LIKENESSES),) * self.studies, 0.0)
        nobody, none = np.zeros(0, dtype=np.int64), np.zeros(0)
        own = Observations(np.zeros((0, self._own_factors), dtype=np.int64), nobody, nobody, none, none, 1.0)
        return self._joined(own, self._score, weights)

    def joined(self, own: Observations, weights: Weights) -> Observations:
        """The observations of this study, corrected for the ease of their rows, and after them those of earlier ones
        that are alike.

        Args:
            own: those of this study, in the levels of the space.
            weights: how far what earlier studies know holds.
        """
        own = own.without_ease(weights.ease)
        return self._joined(own, self._scores_beside(own), weights) if any(weights.likeness) else own

    def _scores_beside(self, own: Observations) -> Floats:
        """The scores of earlier candidates in the units of this study."""
        return np.asarray(own.centre + own.scale**0.5 * self._score)

    def _joined(self, own: Observations, scores: Floats, weights: Weights) -> Observations:
        count, added = len(own.levels), np.arange(len(self.levels))
        widened = np.pad(own.levels, ((0, 0), (0, len(self.factors) - self._own_factors)), constant_values=-1)
        return Observations(
            levels=np.vstack([widened, self.levels]),
            candidate=np.append(own.candidate, added + count),
            block=np.append(own.block, added + 1 + own.block.max(initial=-1)),
            mean=np.append(own.mean, scores),
            rows=np.append(own.rows, self._rows),
            score_variance=own.score_variance,
            relation=Relation(
                study=np.append(np.zeros(count, dtype=np.int64), self._study),
                likeness=np.array([1.0, *weights.likeness]),
            ),
        )

    def learned(self, own: Observations, weights: Weights, fitted: Surrogate) -> Weights:
        """The weights that are expected after the scores of this study, each given the others.

        At most `MAX_FITTED` observations are looked at.

        Args:
            own: the observations of this study.
            weights: those known until now.
            fitted: a surrogate with `geometry`, for its variances.
        """
        likeness, own = list(weights.likeness), own.thinned(MAX_FITTED)
        seen = fitted.geometry.embed(self._joined(own, self._score, weights).levels)
        between = between_candidates(fitted.geometry, seen, seen, fitted.variances)

        def density(likeness: Sequence[float], ease: float) -> float:
            corrected = own.without_ease(ease)
            observations = self._joined(corrected, self._scores_beside(corrected), Weights(tuple(likeness), ease))
            return log_density(between, observations, fitted.variances, fitted.level_variance)

        for study in range(len(likeness)):
            tried = [[*likeness[:study], value, *likeness[study + 1 :]] for value in LIKENESSES]
            likeness[study] = _expected(LIKENESSES, [density(each, weights.ease) for each in tried])
        ease = (
            weights.ease if own.ease is None else _expected(EASE_WEIGHTS, [density(likeness, e) for e in EASE_WEIGHTS])
        )
        return Weights(tuple(likeness), ease)


def knowledge_of(settings: RaceSettings) -> PriorKnowledge | None:
    """What earlier studies know of the space of a race; None where nothing is taken from them."""
    prior = settings.prior
    return PriorKnowledge(settings.space.factors, prior) if prior and (prior.studies or prior.ease) else None


def _expected(probabilities: Mapping[float, float], log_densities: Sequence[float] = (0.0,)) -> float:
    """The mean of values with these prior probabilities, given the densities of the scores under each; 0 where it is
    small."""
    posterior = np.array([*probabilities.values()]) * np.exp(np.array(log_densities) - max(log_densities))
    mean = round(float(posterior @ np.array([*probabilities]) / posterior.sum()), 2)
    return mean if mean >= LEAST_WEIGHT else 0.0


def joined_factors(factors: Sequence[Factor], trials: Sequence[PriorTrial]) -> list[Factor]:
    """Factors, with those options and choices of earlier trials that they lack; choices with one list of options keep
    one."""
    known: dict[str, dict[str, None]] = {}
    for trial in trials:
        for name, text in trial.choices.items():
            known.setdefault(name, {})[text] = None
    lists: dict[tuple[object, ...], dict[str, None]] = {}
    for factor in factors:
        missing = lists.setdefault((factor.kind, factor.texts, factor.shown), {})
        missing.update(dict.fromkeys(text for text in known.get(factor.name, ()) if text not in factor.texts))
    found = [_with_options(factor, lists[factor.kind, factor.texts, factor.shown]) for factor in factors]
    own = {factor.name for factor in factors}
    others = {name: tuple(texts) for name, texts in known.items() if name not in own}
    return found + [Factor(name=name, kind="choice", options=texts) for name, texts in others.items()]


def _with_options(factor: Factor, texts: Iterable[str]) -> Factor:
    """A factor with more options after its own, where its kind can have any."""
    more = tuple(texts)
    if not more or factor.kind not in OPEN_KINDS or factor.grown:
        return factor
    return replace(
        factor,
        options=(*factor.options, *more),
        names=(*factor.texts, *more),
        shown=(*factor.shown, *[frozenset[int]()] * len(more)) if factor.shown else (),
    )


def encoded(factors: Sequence[Factor], trials: Sequence[PriorTrial]) -> Levels:
    """The levels of earlier trials by the texts of their options, of shape (trials, factors)."""
    positions = [{text: place for place, text in enumerate(factor.texts)} for factor in factors]
    levels = [
        [
            places.get(trial.choices.get(factor.name, ""), -1) if factor.name in trial.choices else -1
            for factor, places in zip(factors, positions, strict=True)
        ]
        for trial in trials
    ]
    return np.array(levels, dtype=np.int64).reshape(len(trials), len(factors))
