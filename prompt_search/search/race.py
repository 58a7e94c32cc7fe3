"""Ask, evaluate, tell: the race for the best candidate within a number of calls.

Calls go where they tell most: every candidate is first looked at on one short block of rows, promising ones
come back for more, hopeless ones are stopped, and the last part of the budget is kept for the finalists. All
candidates see the rows in one common order, so that comparisons are paired. While one round's requests are out the
next round is decided, in a thread, from the complete results of the rounds before: the same responses give the same
search in whatever order they arrive, and requests do not wait for the sampler.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.space import Candidate
from prompt_search.search.acquisition import thompson, unseen
from prompt_search.search.effects import Effects, Interaction, effects, interactions
from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.optuna_adapter import ObservedTrial, Stop
from prompt_search.search.order import design, random_generator
from prompt_search.search.settings import (
    BATCH_ROWS,
    SMALL_SEARCH_BATCH_ROWS,
    SMALL_SEARCH_CALLS,
    BatchEvaluator,
    CallBudget,
    RaceSettings,
)
from prompt_search.search.surrogate import MOST_LEARNED, Floats, Geometry, Looks, Prior, Surrogate, row_variances
from prompt_search.search.trial import DEFAULT_TRIAL, BatchResult, Trial

MIN_BATCHES_PER_ROUND = 4
"""The fewest candidates looked at between two decisions."""

ROUND_GROWTH = 1 / 12
"""Later a round is this part of all looks so far: with more data a single look changes less."""

REFIT_GROWTH = 7 / 6
STOP_BELOW_PROBABILITY, SPREAD_INFLATION = 0.005, 1.5
"""Below which probability of being better than the leader a trial is stopped, and what the posterior's spread is
multiplied by for that: learned variances make it too sure of itself."""

KERNEL_WIDTH = 0.7
"""The width of the kernel for margins at ten rows, in standard deviations of the margins."""

TRIALS_WITH_PRUNER = 12
"""With a pruner, a trial that is not stopped takes this part of the calls, but 20 to 100 rows."""

FINALIST_COUNT = 10
FINAL_SHARE = 0.25
"""The part of the search budget that is kept for the finalists."""


class Race:
    """One search over a space.

    Args:
        settings: the space, its rows, and how the search goes about it.
        evaluator: sends requests and scores the answers.
        budget: how many calls the search may spend, and has spent.
        on_round: is called after every round.
    """

    def __init__(
        self,
        settings: RaceSettings,
        evaluator: BatchEvaluator,
        budget: CallBudget,
        on_round: Callable[[Race], None],
    ) -> None:
        self._space = space = settings.space
        self._prepare = settings.prepare
        self._place = {row: index for index, row in enumerate(settings.row_order)}
        self._evaluator = evaluator
        self._limit = budget.limit
        self._spent = budget.spent
        self._propose = settings.propose
        self._stop = settings.stop
        self._seed = seed = settings.seed
        self._on_round = on_round
        self._encoding = Encoding(space)
        self._geometry = Geometry(space.factors)
        self._entered: set[object] = set()
        self._fitted: Surrogate | None = None
        self._fitted_size = self._learned_size = 0
        self._written = set(settings.enqueued)
        self._most_trials = math.inf if settings.max_trials is None else settings.max_trials
        self._first = [candidate.to_dict() for candidate in settings.enqueued] + design(space, seed)
        self._block = BATCH_ROWS if budget.previous + budget.limit() >= SMALL_SEARCH_CALLS else SMALL_SEARCH_BATCH_ROWS
        self._finalists: Sequence[Trial] = ()
        self.trials: list[Trial] = []
        self.leader: Trial | None = None
        """Who was ahead at the last decision."""
        self.phase = "exploring"

    async def run(self) -> Trial:
        """Search until the calls are used up, and return the winner."""
        # The matrices are small: more threads are no faster, and wait for each other when cores are busy.
        with threadpool_limits(1, user_api="blas"):
            return await self._run()

    async def _run(self) -> Trial:
        self._add({})
        batch = list(self.trials)
        number = idle = 0
        # A round may find that what it was to look at was used up by the one before; two such rounds are the end.
        while idle < 2 and self._spent() < (until := self._limit() * (1 - FINAL_SHARE)):
            number += 1
            looked = asyncio.ensure_future(self._look(batch, self._block, until))
            try:
                batch = await asyncio.to_thread(self._picks, number)
            finally:
                looks = await looked
            idle = 0 if self._record(looks) else idle + 1
        await self._finals()
        self.conclude()
        self._on_round(self)
        return self.winner

    def conclude(self) -> None:
        """Learn the surrogate's variances from all that was measured: what is told afterwards rests on that."""
        looks = self._looks()
        if looks is not None:
            scores = np.full((min(len(looks.levels), MOST_LEARNED), len(self._place)), np.nan)
            for index, place, score in self._scores():
                if index < MOST_LEARNED:
                    scores[index, place] = score
            self._fitted = Surrogate.learn(
                self._geometry, looks, Prior.told(self._geometry, looks, *row_variances(scores))
            )
            self._fitted_size = self._size

    @property
    def winner(self) -> Trial:
        """The first of `ranked`."""
        return self.ranked()[0]

    def ranked(self) -> list[Trial]:
        """Trials by what the surrogate expects, best first, the earlier one of two equals.

        Finalists stand before the rest, and those that were stopped or have no score come last.
        """
        return self._ranked(self.estimates())

    def _ranked(self, estimate: Mapping[int, float]) -> list[Trial]:
        def place(trial: Trial) -> tuple[bool, bool, bool, float, int]:
            out = trial.state in ("pruned", "failed")
            return trial not in self._finalists, out, not trial.scores, -estimate[trial.number], trial.number

        return sorted(self.trials, key=place)

    def restore(
        self,
        number: int,
        candidate: Candidate,
        prepared: PreparedPrompt,
        outcomes: list[Outcome],
        state: str,
        reason: str,
    ) -> None:
        """Add a trial of an earlier search, with what was measured of it."""
        trial = self._new_trial(number, candidate, prepared, [], candidate.to_dict())
        trial.outcomes, trial.state, trial.reason = outcomes, state, reason
        self.trials.append(trial)

    def _new_trial(
        self,
        number: int,
        candidate: Candidate,
        prepared: PreparedPrompt,
        rows: Sequence[int],
        positions: Mapping[str, int],
    ) -> Trial:
        (levels,) = self._encoding.encode([candidate])
        return Trial(
            number=number, candidate=candidate, positions=positions, levels=levels, prepared=prepared, rows=rows
        )

    @property
    def hand_written(self) -> Trial | None:
        """Of the default and what was enqueued the one that is expected to be best; None where nothing was enqueued."""
        if not self._written:
            return None
        default, estimate = self.trials[DEFAULT_TRIAL], self.estimates()
        written = [trial for trial in self.trials if trial.candidate in self._written and trial.scores]
        return max([default, *written], key=lambda trial: estimate[trial.number])

    def estimates(self) -> dict[int, float]:
        """What the surrogate expects of each trial: its own scores and those of its likes."""
        model = self._model()
        if model is None:
            return {trial.number: 0.0 for trial in self.trials}
        measured = self._measured
        others = [trial for trial in self.trials if not trial.scores]
        means = [*model.expected, *model.mean(self._levels(others))]
        return {trial.number: float(mean) for trial, mean in zip([*measured, *others], means, strict=True)}

    def uncertainties(self) -> dict[int, float]:
        """Of each trial with a score, the standard deviation of the difference of its true score to the winner's."""
        model, measured = self._model(), self._measured
        if model is None or self.winner not in measured:
            return {}
        _, covariance = model.posterior(self._levels(measured))
        spreads = SPREAD_INFLATION * _difference_spread(covariance, measured.index(self.winner))
        return {trial.number: float(spread) for trial, spread in zip(measured, spreads, strict=True)}

    def effects(self) -> list[Effects]:
        """What the options of each choice add; nothing where nothing is scored."""
        model = self._model()
        return effects(model) if model else []

    def interactions(self) -> list[Interaction]:
        """The pairs of options that add something together; nothing where nothing is scored."""
        model = self._model()
        return interactions(model) if model else []

    def _levels(self, trials: Sequence[Trial]) -> Levels:
        levels = [trial.levels for trial in trials]
        return np.array(levels, dtype=np.int64).reshape(len(trials), len(self._space.factors))

    @property
    def _measured(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.scores]

    @property
    def _size(self) -> int:
        """How many scores there are."""
        return sum(len(trial.scores) for trial in self.trials)

    def _scores(self, ahead: int = 0) -> Iterator[tuple[int, int, float]]:
        """Of all that is measured the position of its trial, the place of its row in the common order, and the score.

        With NaN, so many rows that the finalists see next.
        """
        measured = self._measured
        width = pooled_width([[o.margin for o in trial.outcomes if o.margin is not None] for trial in measured])
        for index, trial in enumerate(measured):
            for outcome, score in zip(trial.scored, smoothed(trial.scored, width), strict=True):
                yield index, self._place[outcome.row], score
            if ahead and trial in self._finalists:
                yield from ((index, self._place[row], math.nan) for row in trial.unseen[:ahead])

    def _looks(self, ahead: int = 0) -> Looks | None:
        """All that is measured, by candidate and block of the common order."""
        cells: dict[tuple[int, int], list[float]] = {}
        for index, place, score in self._scores(ahead):
            cells.setdefault((index, place // self._block), []).append(score)
        if not cells:
            return None
        return Looks(
            levels=self._levels(self._measured),
            candidate=np.array([index for index, _ in cells]),
            block=np.array([block for _, block in cells]),
            mean=np.array([sum(scores) / len(scores) for scores in cells.values()]),
            rows=np.array([len(scores) for scores in cells.values()], dtype=float),
            spread=float(np.concatenate(list(cells.values())).var()),
        )

    def _model(self) -> Surrogate | None:
        """The surrogate of all that is measured.

        Its variances are learned anew when there is a sixth more, but not in the finals, where requests would wait.
        """
        size = self._size
        if self._fitted is None or self._fitted_size != size:
            looks = self._looks()
            if looks is None:
                return None
            self._fitted_size = size
            exploring = self.phase == "exploring"
            if self._fitted is None or (exploring and size >= self._learned_size * REFIT_GROWTH):
                self._learned_size = size
                start = self._fitted.logs if self._fitted else None
                self._fitted = Surrogate.learn(self._geometry, looks, start=start)
            else:
                self._fitted = self._fitted.after(looks)
        return self._fitted

    def _foresee(self, rows: int) -> None:
        """Prepare the next decision of the finals, as far as the answers that are awaited do not matter."""
        model, looks = self._model(), self._looks(ahead=rows)
        if model is not None and looks is not None:
            self._fitted, self._fitted_size = model.foreseeing(looks), -1

    def _generator(self, purpose: str) -> np.random.Generator:
        return random_generator(self._seed, purpose)

    def _add(self, positions: Mapping[str, int]) -> Trial | None:
        """Enter a candidate unless an equal prompt is in the race, or there are as many as may be."""
        candidate = self._space.candidate(positions)
        if candidate in self._entered or len(self.trials) >= self._most_trials:
            return None
        prepared, rows = self._prepare(candidate)
        self._entered.add(candidate)
        if prepared.identity in self._entered:
            return None
        self._entered.add(prepared.identity)
        flat = {factor.name: positions.get(factor.name, 0) for factor in self._space.factors}
        number = self.trials[-1].number + 1 if self.trials else DEFAULT_TRIAL
        self.trials.append(self._new_trial(number, candidate, prepared, rows, flat))
        return self.trials[-1]

    def _picks(self, number: int) -> list[Trial]:
        """Who is looked at in this round: new candidates, and open ones that deserve more rows."""
        self.leader = self.winner
        designed: list[Trial] = []
        while self._first and len(designed) < MIN_BATCHES_PER_ROUND:
            trial = self._add(self._first.pop(0))
            designed += [trial] if trial else []
        if designed:
            return designed
        if self._stop is not None:
            self._stopped_by_pruner(self._stop)
            going = [trial for trial in self.trials if trial.open][:MIN_BATCHES_PER_ROUND]
            return going + self._newcomers(MIN_BATCHES_PER_ROUND - len(going), number)
        if self._propose is not None:
            return self._newcomers(MIN_BATCHES_PER_ROUND - 1, number) + self._comeback()
        return self._drawn(number)

    def _newcomers(self, count: int, number: int) -> list[Trial]:
        """New trials from the sampler that the user gave, or ours; random ones where it repeats itself."""
        found: list[Trial] = []
        if self._propose is not None and count:
            proposed = [self._add(positions) for positions in self._propose(self._observed(), count)]
            found = [trial for trial in proposed if trial is not None]
        elif count:
            found = self._drawn(number, newcomers=count)
        return [*found, *self._random_trials(count - len(found), number)]

    def _drawn(self, number: int, newcomers: int = 0) -> list[Trial]:
        """Thompson sampling over open trials and new candidates, or over so many newcomers alone."""
        model = self._model()
        if model is None:
            return self._random_trials(MIN_BATCHES_PER_ROUND, number)
        generator = self._generator(f"round {number}")
        if not newcomers:
            self._stop_hopeless(model)
        open_trials = [] if newcomers else [trial for trial in self.trials if trial.open]
        new = unseen(model, self._encoding, self._levels(self.trials), generator)
        pool = np.vstack([self._levels(open_trials), new])
        if not len(pool):
            return []
        trials: list[Trial | None] = [*open_trials, *[None] * len(new)]
        looks = self._size / self._block
        picks: list[Trial] = []
        for order in thompson(
            model, pool, newcomers or max(MIN_BATCHES_PER_ROUND, int(looks * ROUND_GROWTH)), generator
        ):
            for index in order:
                trial = trials[index] or self._add(self._encoding.positions(pool[index]))
                if trial is not None and trial not in picks:
                    trials[index] = trial
                    picks.append(trial)
                    break
        return picks

    def _stop_hopeless(self, model: Surrogate) -> None:
        """Close trials that are all but surely worse than the leader.

        A posterior probability means the same whenever one looks at it: a trial that is better than the leader is
        closed with probability at most `STOP_BELOW_PROBABILITY`, however often this is asked (optional stopping;
        Ville 1939).
        """
        trials = [trial for trial in self.trials if trial.open]
        if len(trials) < 2:
            return
        mean, covariance = model.posterior(self._levels(trials))
        leader = int(np.argmax(mean))
        better = stats.norm.sf((mean[leader] - mean) / (SPREAD_INFLATION * _difference_spread(covariance, leader)))
        for trial, probability in zip(trials, better, strict=True):
            if probability < STOP_BELOW_PROBABILITY and trial.number != DEFAULT_TRIAL:
                trial.state = "pruned"
                trial.reason = (
                    f"stopped after {len(trial.outcomes)} rows: better than trial {trials[leader].number} "
                    f"with probability {probability:.1%}"
                )

    def _observed(self) -> list[ObservedTrial]:
        """All trials with a score, for the samplers and pruners of others."""
        estimate = self.estimates()
        return [
            ObservedTrial(trial.positions, trial.state, trial.scores, estimate[trial.number])
            for trial in self._measured
        ]

    def _stopped_by_pruner(self, stop: Stop) -> None:
        """End the trials that the pruner that the user gave stops, and those that had rows enough."""
        enough = min(max(2 * BATCH_ROWS, int(self._limit() / TRIALS_WITH_PRUNER)), 10 * BATCH_ROWS)
        for trial, stopped in zip(self._measured, stop(self._observed()), strict=True):
            if stopped and trial.number != DEFAULT_TRIAL:
                trial.state, trial.reason = "pruned", f"stopped by the pruner after {len(trial.outcomes)} rows"
            elif trial.state == "running" and len(trial.outcomes) >= enough:
                trial.state, trial.reason = "complete", f"{len(trial.outcomes)} rows"

    def _random_trials(self, count: int, number: int) -> list[Trial]:
        generator = random.Random(f"{self._seed} random {number}")
        found: list[Trial] = []
        for _ in range(30):
            if len(found) >= count:
                break
            trial = self._add({factor.name: generator.randrange(len(factor.options)) for factor in self._space.factors})
            found += [trial] if trial else []
        return found

    def _comeback(self) -> list[Trial]:
        """The most promising trial that has rows left: the highest estimate, less certain ones preferred."""
        estimate = self.estimates()
        open_trials = [trial for trial in self.trials if trial.open]
        return sorted(
            open_trials, key=lambda trial: -(estimate[trial.number] + 0.5 / (len(trial.scores) + BATCH_ROWS) ** 0.5)
        )[:1]

    async def _look(self, trials: Sequence[Trial], rows: int, until: float) -> list[BatchResult]:
        """Give each trial its next rows, as far as the calls go."""
        jobs: list[tuple[Trial, int]] = []
        room = until - self._spent()
        for trial in trials:
            wanted = list(trial.unseen[:rows])
            for row, price in zip(wanted, self._evaluator.price(trial.prepared, wanted), strict=True):
                if price > room:
                    break
                room -= price
                jobs.append((trial, row))
        outcomes = await self._evaluator.evaluate([(trial.prepared, row) for trial, row in jobs], "search")
        new: dict[Trial, list[Outcome]] = {}
        for (trial, _), outcome in zip(jobs, outcomes, strict=True):
            if outcome is not None:
                new.setdefault(trial, []).append(outcome)
        return [
            BatchResult(trial, *await self._evaluator.reparse(trial.prepared, [*trial.outcomes, *found], "search"))
            for trial, found in new.items()
        ]

    def _record(self, looks: Sequence[BatchResult]) -> int:
        """Take down what a round measured, and how much that was."""
        before = sum(len(look.trial.outcomes) for look in looks)
        for look in looks:
            look.trial.prepared, look.trial.outcomes = look.prepared, look.outcomes
        self._on_round(self)
        return sum(len(look.outcomes) for look in looks) - before

    async def _finals(self) -> None:
        """Sequential halving (Karnin, Koren and Somekh 2013) over the best, on rows each has not seen yet.

        Who leaves stays out, also when those that went on fall below: the winner has the most rows.
        """
        self.phase = "finalists"
        # A candidate for which no call was left is no trial; the default stays, for it is the baseline.
        self.trials = [trial for trial in self.trials if trial.outcomes or trial.number == DEFAULT_TRIAL]
        self._keep(FINALIST_COUNT)
        while (count := len(self._finalists)) > 1 and any(trial.unseen for trial in self._finalists):
            stages = count.bit_length() - 1
            rows = int((self._limit() - self._spent()) / stages / count)
            if rows:  # else too few calls are left for so many finalists
                looks, _ = await asyncio.gather(
                    self._look(self._finalists, rows, self._limit()), asyncio.to_thread(self._foresee, rows)
                )
                self._record(looks)
            self._keep((count + 1) // 2 if stages > 1 else 1)
            self.leader = self._finalists[0]
        for trial in self.trials:
            if trial.state == "running":
                trial.state, trial.reason = "complete", f"to the end of the finals, {len(trial.outcomes)} rows"

    def _keep(self, count: int) -> None:
        """Let so many of the best go on; all others are closed."""
        estimate = self.estimates()
        able = (trial for trial in self._ranked(estimate) if trial.scores and trial.state in ("running", "complete"))
        finalists = list(islice(able, count))
        closed = [trial for trial in self.trials if trial.state == "running" and trial not in finalists]
        for trial in closed:
            known = f"estimated {estimate[trial.number]:.3f} after {len(trial.outcomes)} rows"
            if trial in self._finalists:
                trial.state, trial.reason = "complete", f"left the finals: {known}"
            elif trial.outcomes and not trial.scores:
                error = trial.outcomes[0].error
                trial.state, trial.reason = "failed", f"all {len(trial.outcomes)} requests failed: {error}"
            else:
                trial.state, trial.reason = "pruned", f"not among the finalists: {known}"
        self._finalists = finalists


def _difference_spread(covariance: Floats, leader: int) -> Floats:
    """Standard deviations of the differences to one of them."""
    variance = covariance.diagonal() + covariance[leader, leader] - 2 * covariance[leader]
    return np.asarray(np.sqrt(np.maximum(variance, 1e-12)))


def pooled_width(margins: Sequence[Sequence[float]]) -> float:
    """The standard deviation of margins around the mean of their candidate; 0 where there are too few."""
    known = [np.var(values) * len(values) for values in margins if values]
    freedom = sum(len(values) - 1 for values in margins if values)
    return float((sum(known) / freedom) ** 0.5) if freedom > 0 else 0.0


def smoothed(outcomes: Sequence[Outcome], width: float) -> list[float]:
    """Scores of right or wrong answers, those that were nearly wrong or nearly right drawn towards the middle.

    A count of right answers throws away how right they were. The share of margins above 0 is estimated by a
    smoothed distribution function instead (Nadaraya 1964), with a Gaussian kernel that narrows as rows come in, and
    stretched so that for normal margins it is not drawn towards one half. Ten such rows tell as much as fourteen.

    Args:
        outcomes: of one candidate, without errors. Those without margin keep their score.
        width: see `pooled_width`.
    """
    scores = [outcome.score or 0.0 for outcome in outcomes]
    margins = np.array([outcome.margin for outcome in outcomes if outcome.margin is not None])
    if len(margins) < 2 or width == 0:
        return scores
    own = (margins.var() * len(margins) + width**2 * BATCH_ROWS) / (len(margins) + BATCH_ROWS)
    bandwidth = KERNEL_WIDTH * (BATCH_ROWS / len(margins)) ** (1 / 3)
    near = stats.norm.cdf(margins / (bandwidth * own**0.5))
    mean = float(np.clip(near.mean(), 0.01, 0.99))
    wide = (1 + bandwidth**2) ** 0.5
    stretch = wide
    if abs(mean - 0.5) > 1e-3:
        stretch = float((stats.norm.cdf(wide * stats.norm.ppf(mean)) - 0.5) / (mean - 0.5))
    stretched = iter(0.5 + (near - 0.5) * stretch)
    return [
        score if outcome.margin is None else float(next(stretched))
        for outcome, score in zip(outcomes, scores, strict=True)
    ]
