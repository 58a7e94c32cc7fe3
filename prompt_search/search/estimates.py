"""What a race knows about its trials: the fitted surrogate, and estimates and rankings from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prompt_search.search.prior.knowledge import PriorKnowledge, Weights
from prompt_search.search.scores import observations_of, placed_scores, score_table
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.model import MAX_FITTED, Surrogate
from prompt_search.search.surrogate.observations import Observations, row_variances
from prompt_search.search.surrogate.priors import Prior
from prompt_search.search.trial import Trial, Trials

REFIT_GROWTH = 7 / 6
"""The variances are refitted when the number of scores has grown by this factor."""

SPREAD_INFLATION = 1.5
"""Factor on the posterior standard deviation of differences between trials, because estimated variances make the
surrogate overconfident."""


class Estimates:
    """The surrogate of all scores of a race, refitted only as often as necessary.

    Args:
        trials: the trials of the race.
        geometry: the similarities of the space.
        row_order: all rows in the common order.
        block_rows: number of rows in a block of the common order.
        knowledge: what earlier studies know; None: nothing.
    """

    def __init__(
        self,
        trials: Trials,
        geometry: Geometry,
        row_order: Sequence[int],
        block_rows: int,
        knowledge: PriorKnowledge | None = None,
    ) -> None:
        self._trials = trials
        self._geometry = geometry
        self.knowledge = knowledge
        self.weights = Weights.expected(0 if knowledge is None else knowledge.studies)
        """How far what earlier studies know holds, as it is known now."""
        self._joint: Surrogate | None = None
        """The surrogate of this study among all candidates that it or an earlier one has, as it was fitted last."""
        self._places = {row: index for index, row in enumerate(row_order)}
        ease = knowledge.ease if knowledge else {}
        self._ease = {self._places[row]: value for row, value in ease.items() if row in self._places}
        self._block_rows = block_rows
        self._fitted: Surrogate | None = None
        self._score_count = self._refitted_at = 0
        self._refits = True

    def take_space(self, geometry: Geometry, knowledge: PriorKnowledge | None) -> None:
        """Rest on the similarities of a space that has grown, and on what earlier studies know of it."""
        self._geometry, self._fitted = geometry, None
        self.knowledge, self._joint = (None if self.knowledge is None else knowledge), None

    def expected(self) -> Surrogate | None:
        """What is expected before any score if earlier studies are like this one; None where they know no candidate."""
        if self.knowledge is None or not len(self.knowledge.levels):
            return None
        return Surrogate.fit(self.knowledge.geometry, self.knowledge.alone())

    def model(self) -> Surrogate | None:
        """The surrogate of all scores; None where there is no score."""
        count = self._trials.score_count
        if self._fitted is None or self._score_count != count:
            observations = self._observations()
            if observations is None:
                return None
            if self._fitted is None or (self._refits and count >= self._refitted_at * REFIT_GROWTH):
                self._refitted_at = count
                self._fit(observations)
            else:
                self._score_count = count
                self._fitted = self._fitted.updated(self._joined(observations))
        return self._fitted

    def keep_variances(self) -> None:
        """Refit no more: in the finals, requests would wait for it. The last fit expects more of grown choices."""
        observations = self._observations()
        if observations is not None and self._geometry.grown:
            self._fitted = None
            self._fit(observations, in_finals=True)
        self._refits = False

    def prepare_for(self, rows: int) -> None:
        """Compute in advance what does not depend on the scores of the finalists' next rows."""
        model, expected = self.model(), self._observations(expected_rows=rows)
        if model is not None and expected is not None:
            self._fitted, self._score_count = model.prepared_for(self._joined(expected)), -1

    def refit_for_reporting(self) -> None:
        """Refit the variances to all scores by the prior for reported estimates; all later estimates rest on them, and
        on scores of this study alone."""
        self.knowledge = None
        observations = self._observations()
        if observations is not None:
            variances = self._row_variances(observations)
            prior = Prior.for_reporting(self._geometry, observations, *variances)
            self._fitted = Surrogate.fit(self._geometry, observations, prior)
            self._score_count = self._trials.score_count

    def means(self) -> dict[int, float]:
        """The posterior mean of every trial's true score, by trial number; 0 where no trial has a score."""
        model = self.model()
        if model is None:
            return {trial.number: 0.0 for trial in self._trials.all}
        measured = self._trials.measured
        others = [trial for trial in self._trials.all if not trial.scores]
        means = [*model.mean_of_observed, *model.mean(self._trials.levels(others))]
        return {trial.number: float(mean) for trial, mean in zip([*measured, *others], means, strict=True)}

    def spreads(self, reference: Trial) -> dict[int, float]:
        """The standard deviation of the difference between every measured trial's true score and the reference's."""
        model, measured = self.model(), self._trials.measured
        if model is None or reference not in measured:
            return {}
        _, covariance = model.posterior(self._trials.levels(measured))
        spreads = difference_spread(covariance, measured.index(reference))
        return {trial.number: float(spread) for trial, spread in zip(measured, spreads, strict=True)}

    def ranked(self, means: Mapping[int, float] | None = None) -> list[Trial]:
        """All trials by posterior mean, best first, and of two equal ones the earlier first.

        Finalists come before all others. Trials that were stopped, failed, or have no score come last, and after them
        those that are over a cap.

        Args:
            means: the posterior means, where they are known already.
        """
        known = self.means() if means is None else means

        def key(trial: Trial) -> tuple[bool, bool, bool, bool, float, int]:
            ended = trial.state in ("pruned", "failed")
            left = trial.over_cap, trial not in self._trials.finalists, ended, not trial.scores
            return *left, -known[trial.number], trial.number

        return sorted(self._trials.all, key=key)

    def _fit(self, own: Observations, *, in_finals: bool = False) -> None:
        """Fit the variances to all scores of this study, and learn how far those of earlier ones hold."""
        self._score_count = self._trials.score_count
        if self.knowledge is not None:
            self._learn_weights(own, self.knowledge, in_finals=in_finals)
        observations = self._joined(own)
        if self._joint is not None and observations.relation is not None:
            self._fitted = self._joint.updated(observations)
            return
        start = self._fitted.log_variances if self._fitted and self._fitted.geometry is self._geometry else None
        prior = self._prior(self._geometry, own, in_finals=in_finals)
        self._fitted = Surrogate.fit(self._geometry, observations, prior, start)

    def _joined(self, own: Observations) -> Observations:
        """The observations of this study, and those of earlier ones as far as they hold."""
        return own if self.knowledge is None else self.knowledge.joined(own, self.weights)

    def _learn_weights(self, own: Observations, knowledge: PriorKnowledge, *, in_finals: bool) -> None:
        """Learn from the scores of this study how far what earlier ones know holds.

        The variances are those of this study alone: an earlier one may differ in how far its candidates are apart, and
        where the two contradict each other, that must not be taken for deviations of single candidates.
        """
        prior = self._prior(knowledge.geometry, own, in_finals=in_finals)
        start = self._joint.log_variances if self._joint else None
        corrected = own.without_ease(self.weights.ease)
        self._joint = Surrogate.fit(knowledge.geometry, corrected, prior, start)
        self.weights = knowledge.learned(own, self.weights, self._joint)

    def _prior(self, geometry: Geometry, own: Observations, *, in_finals: bool) -> Prior:
        """The prior of the variances during the search."""
        if not geometry.grown:
            return Prior.for_search(geometry, own)
        return Prior.for_grown(geometry, own, *self._row_variances(own), in_finals=in_finals)

    def _row_variances(self, observations: Observations) -> tuple[float, float]:
        """What single scores say of the variances of rows and of all else, see `row_variances`."""
        scores = placed_scores(self._trials.measured, self._places)
        return row_variances(score_table(scores, min(len(observations.levels), MAX_FITTED), len(self._places)))

    def _observations(self, expected_rows: int = 0) -> Observations | None:
        """All scores by trial and block; with ``expected_rows``, NaN for so many next rows of the finalists."""
        measured = self._trials.measured
        scores = placed_scores(measured, self._places, self._trials.finalists, expected_rows)
        return observations_of(scores, self._trials.levels(measured), self._block_rows, self._ease)


def difference_spread(covariance: Floats, reference: int) -> Floats:
    """The inflated standard deviations of the differences between trials and one of them."""
    variance = covariance.diagonal() + covariance[reference, reference] - 2 * covariance[reference]
    return np.asarray(SPREAD_INFLATION * np.sqrt(np.maximum(variance, 1e-12)))
