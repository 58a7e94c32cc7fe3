"""The decision of a round: which trials get the next evaluation batches, which candidates enter, which trials end."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from prompt_search.search import wording
from prompt_search.search.deciding.caps import Caps
from prompt_search.search.encoding import Encoding
from prompt_search.search.estimates import Estimates, difference_spread
from prompt_search.search.optuna_adapter import ObservedTrial, Propose, Stop
from prompt_search.search.order import design, random_generator
from prompt_search.search.settings import BATCH_ROWS, RaceSettings
from prompt_search.search.surrogate.acquisition import thompson, unseen, varied
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.trial import DEFAULT_TRIAL, Trial, Trials

MIN_BATCHES_PER_ROUND = 4
"""The lowest number of evaluation batches in a round."""

ROUND_SHARE = 1 / 12
"""Number of evaluation batches in a later round, as a share of all batches so far: the more data there is, the less a
single batch changes."""

STOP_BELOW_PROBABILITY = 0.005
"""A trial is stopped when the probability that it is better than the leader is below this."""

EXPECTED_CANDIDATES = 3
"""Number of candidates of which earlier studies expect most. They are tried first, in place of the design's last."""

PRUNER_TRIALS = 12
"""Number of trials that the calls of a search with a pruner suffice for, if none is stopped. A trial ends after that
part of the calls, but has at least 20 rows and needs no more than 100."""

RANDOM_ATTEMPTS = 30
"""Number of random candidates that are tried in one round, since some of them are in the race already."""


class Picks:
    """The rules by which a race decides its next round.

    Args:
        settings: the settings of the race.
        encoding: translates candidates to levels.
        trials: the trials of the race; the rules add to them and end them.
        estimates: what is known about the trials.
        limit: gives the number of rows that the search may score.
        batch_rows: number of rows in one evaluation batch.
        caps: the rules about caps.
    """

    def __init__(
        self,
        settings: RaceSettings,
        encoding: Encoding,
        trials: Trials,
        estimates: Estimates,
        limit: Callable[[], float],
        batch_rows: int,
        caps: Caps,
    ) -> None:
        self._settings = settings
        self._encoding = encoding
        self._trials = trials
        self._estimates = estimates
        self._limit = limit
        self._batch_rows = batch_rows
        self._caps = caps
        enqueued = [candidate.to_dict() for candidate in settings.enqueued]
        self._first: list[Mapping[str, int]] = enqueued + design(settings.space, settings.seed)
        self._enqueued = len(enqueued)

    def take_space(self, settings: RaceSettings, encoding: Encoding) -> None:
        """Let candidates come from a space that has grown."""
        self._settings, self._encoding = settings, encoding
        self._caps.take_space(settings)

    def of_round(self, number: int, least: int = MIN_BATCHES_PER_ROUND) -> list[Trial]:
        """The trials that get an evaluation batch in a round: new ones, and open ones that deserve more rows.

        Args:
            number: the number of the round, from 1.
            least: the lowest number of trials that our own sampler gives.
        """
        self._caps.close_over()
        self._trials.leader = self._estimates.ranked()[0]
        if number == 1:
            self._expect()
        if self._caps and number == 1 and not self._trials.score_count:
            return []  # the first responses say what tokens a prompt has, so that none is sent that is clearly over
        designed: list[Trial] = []
        while self._first and len(designed) < least:
            trial = self._trials.add(self._first.pop(0), keep_over=True)
            designed += [trial] if trial else []
        if designed:
            return designed
        propose = self._settings.propose
        if self._settings.stop is not None:
            self._stop_by_pruner(self._settings.stop)
            running = self._trials.open[:MIN_BATCHES_PER_ROUND]
            return running + self._new(propose, MIN_BATCHES_PER_ROUND - len(running), number)
        if propose is not None:
            return self._new(propose, MIN_BATCHES_PER_ROUND - 1, number) + self._most_promising()
        return self._sampled(number, least)

    def _expect(self) -> None:
        """Let candidates of which earlier studies expect much take the place of the last of the design."""
        model, knowledge = self._estimates.expected(), self._estimates.knowledge
        if model is None or knowledge is None or self._settings.propose is not None:
            return
        generator = random_generator(self._settings.seed, "prior")
        known = self._encoding.filled(knowledge.known_levels, generator)
        pool = np.vstack([known, unseen(model, self._encoding, known, generator)])
        best: list[int] = []
        for order in thompson(model, pool, min(EXPECTED_CANDIDATES, len(pool)), generator):
            best.append(next(index for index in order if index not in best))
        found = [self._encoding.positions(pool[index]) for index in best]
        enqueued, designed = self._first[: self._enqueued], self._first[self._enqueued :]
        self._first = [*enqueued, *found, *designed[: len(designed) - len(found)]]

    def varied(self, positions: Mapping[str, int], kept: str) -> Mapping[str, int]:
        """A candidate with a new option in the choice ``kept``, or with it and other options in other choices."""
        model = self._estimates.model()
        if model is None:
            return positions
        generator = random_generator(self._settings.seed, f"new option {kept} {positions[kept]}")
        return varied(model, self._encoding, positions, kept, generator)

    def _new(self, propose: Propose | None, count: int, number: int) -> list[Trial]:
        """New trials from the user's sampler, or from ours; random ones where it repeats itself."""
        found: list[Trial] = []
        if propose is not None and count:
            proposed = [
                self._trials.add(positions) for positions in propose(self._settings.space, self._observed(), count)
            ]
            found = [trial for trial in proposed if trial is not None]
        elif count:
            found = self._sampled(number, count, new=count)
        return [*found, *self._random(count - len(found), number)]

    def _sampled(self, number: int, least: int, new: int = 0) -> list[Trial]:
        """Thompson sampling over open trials and new candidates; with ``new``, over that many new candidates only."""
        model = self._estimates.model()
        if model is None:
            return self._random(least, number)
        generator = random_generator(self._settings.seed, f"round {number}")
        if not new:
            self._stop_unlikely(model)
        open_trials = [] if new else self._trials.open
        seen = self._trials.levels(self._trials.all)
        candidates = unseen(model, self._encoding, seen, generator, self._caps.mask(self._encoding))
        pool = np.vstack([self._trials.levels(open_trials), candidates])
        if not len(pool):
            return []
        trials: list[Trial | None] = [*open_trials, *[None] * len(candidates)]
        batches = self._trials.score_count / self._batch_rows
        picks: list[Trial] = []
        for order in thompson(model, pool, new or max(least, int(batches * ROUND_SHARE)), generator):
            for index in order:
                trial = trials[index] or self._trials.add(self._encoding.positions(pool[index]))
                if trial is not None and trial not in picks:
                    trials[index] = trial
                    picks.append(trial)
                    break
        return picks

    def _random(self, count: int, number: int) -> list[Trial]:
        """New trials of random candidates, as many as are found."""
        generator = random.Random(f"{self._settings.seed} random {number}")
        factors = self._settings.space.factors
        found: list[Trial] = []
        for _ in range(RANDOM_ATTEMPTS):
            if len(found) >= count:
                break
            trial = self._trials.add({factor.name: generator.randrange(factor.proposed) for factor in factors})
            found += [trial] if trial else []
        return found

    def _most_promising(self) -> list[Trial]:
        """The open trial with the highest estimate, in which fewer scores count as a bonus; none if none is open."""
        means = self._estimates.means()
        return sorted(
            self._trials.open,
            key=lambda trial: -(means[trial.number] + 0.5 / (len(trial.scores) + BATCH_ROWS) ** 0.5),
        )[:1]

    def _stop_unlikely(self, model: Surrogate) -> None:
        """Stop the trials that are almost certainly worse than the leader, which can win itself.

        A posterior probability means the same at every stopping time. A trial that is better than the leader is
        therefore stopped with probability at most `STOP_BELOW_PROBABILITY`, however often this is checked (optional
        stopping; Ville 1939).
        """
        trials = self._trials.open
        if len(trials) < 2:
            return
        mean, covariance = model.posterior(self._trials.levels(trials))
        able = self._caps.able_to_win(trials)
        leader = int(np.argmax(np.where(able, mean, -np.inf)))
        better = special.ndtr((mean - mean[leader]) / difference_spread(covariance, leader))
        for trial, probability in zip(trials, better, strict=True):
            if probability < STOP_BELOW_PROBABILITY and trial.number != DEFAULT_TRIAL:
                reason = wording.stopped_early(len(trial.outcomes), trials[leader].number, probability)
                trial.end("pruned", reason)

    def _observed(self) -> list[ObservedTrial]:
        """All trials with a score, as samplers and pruners of Optuna see them."""
        means = self._estimates.means()
        return [
            ObservedTrial(trial.positions, trial.state, trial.values, means[trial.number])
            for trial in self._trials.measured
        ]

    def _stop_by_pruner(self, stop: Stop) -> None:
        """End the trials that the user's pruner stops, and those that have enough rows."""
        enough = min(max(2 * BATCH_ROWS, int(self._limit() / PRUNER_TRIALS)), 10 * BATCH_ROWS)
        for trial, stopped in zip(self._trials.measured, stop(self._settings.space, self._observed()), strict=True):
            rows = len(trial.outcomes)
            if stopped and trial.number != DEFAULT_TRIAL:
                trial.end("pruned", wording.stopped_by_pruner(rows))
            elif trial.state == "running" and rows >= enough:
                trial.end("complete", wording.enough_rows(rows))
