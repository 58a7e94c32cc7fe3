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
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.space import Candidate, SearchSpace
from prompt_search.search.acquisition import thompson, unseen
from prompt_search.search.effects import Effects, Interaction, effects, interactions
from prompt_search.search.encoding import Encoding, Levels
from prompt_search.search.optuna_adapter import Propose, Stop, Told
from prompt_search.search.surrogate import MOST_LEARNED, Floats, Geometry, Looks, Prior, Surrogate, row_variances

BLOCK, SMALL_BLOCK, SMALL = 10, 5, 300
"""Rows of one look at a candidate, and fewer for a search of fewer calls."""

PER_ROUND = 4
"""The fewest candidates looked at between two decisions."""

ROUND_GROWTH = 1 / 12
"""Later a round is this part of all looks so far: with more data a single look changes less."""

DESIGNED, MOST_DESIGNED = 9, 16
"""Candidates after the default, spread evenly over all options, before the surrogate has a say; more of them, up
to the second number, where a choice has more options, so that each is raced."""

RELEARN = 7 / 6
HOPELESS, CAUTION = 0.005, 1.5
"""Below which probability of being better than the leader a racer is stopped, and what the posterior's spread is
multiplied by for that: learned variances make it too sure of itself."""

SMOOTHING = 0.7
"""The width of the kernel for margins at ten rows, in standard deviations of the margins."""

TRIALS_WITH_PRUNER = 12
"""With a pruner, a trial that is not stopped takes this part of the calls, but 20 to 100 rows."""

FINALISTS = 10
FINAL_SHARE = 0.25
"""The part of the search budget that is kept for the finalists."""

DEFAULT_TRIAL = 0

SEARCH_VERSION = 8
"""Changes with every change of the search: a study is resumed only by the search that began it."""


@dataclass(eq=False)
class Racer:
    """A candidate in the race, with what is known about it."""

    trial: int
    candidate: Candidate
    positions: Mapping[str, int]
    levels: Levels
    prepared: PreparedPrompt
    rows: Sequence[int]
    outcomes: list[Outcome] = field(default_factory=list)
    state: str = "running"
    reason: str = ""

    @property
    def scored(self) -> list[Outcome]:
        """The outcomes that are no errors."""
        return [outcome for outcome in self.outcomes if outcome.score is not None]

    @property
    def scores(self) -> list[float]:
        return [outcome.score for outcome in self.outcomes if outcome.score is not None]

    @property
    def unseen(self) -> Sequence[int]:
        seen = {outcome.row for outcome in self.outcomes}
        return [row for row in self.rows if row not in seen]

    @property
    def open(self) -> bool:
        """Whether it may be looked at again."""
        return self.state == "running" and bool(self.scores) and len(self.outcomes) < len(self.rows)


@dataclass(frozen=True)
class Look:
    """A racer after a round: how it is read now, and all its outcomes."""

    racer: Racer
    prepared: PreparedPrompt
    outcomes: list[Outcome]


class Scores(Protocol):
    """What a race needs of `prompt_search.evaluation.Evaluator`."""

    def price(self, prepared: PreparedPrompt, rows: Sequence[int]) -> list[int]: ...

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]: ...

    async def reparse(
        self, prepared: PreparedPrompt, outcomes: Sequence[Outcome], split: str
    ) -> tuple[PreparedPrompt, list[Outcome]]: ...


class Race:
    """One search over a space.

    Args:
        space: the candidates.
        enter: from a candidate to how it is asked, and the rows it may be scored on, in the common order.
        order: all rows in the common order.
        evaluator: sends and scores.
        limit: how many calls the search may spend, by what is known at the moment.
        spent: how many calls are spent at the moment.
        former: how many calls were spent under earlier budgets of the same study; what they asked is free now.
        propose: a sampler in place of ours.
        stop: a pruner in place of ours: trials then go on from block to block until it stops them.
        enqueued: candidates that are raced in any case, after the default.
        most_trials: how many candidates are raced at most; None: as many as pays.
        seed: for what the sampler leaves to chance.
        on_round: told after every round.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        enter: Callable[[Candidate], tuple[PreparedPrompt, Sequence[int]]],
        order: Sequence[int],
        evaluator: Scores,
        limit: Callable[[], float],
        spent: Callable[[], float],
        former: int = 0,
        propose: Propose | None = None,
        stop: Stop | None = None,
        enqueued: Sequence[Candidate] = (),
        most_trials: int | None = None,
        seed: int,
        on_round: Callable[[Race], None],
    ) -> None:
        self._space = space
        self._enter = enter
        self._place = {row: index for index, row in enumerate(order)}
        self._evaluator = evaluator
        self._limit = limit
        self._spent = spent
        self._propose = propose
        self._stop = stop
        self._seed = seed
        self._on_round = on_round
        self._encoding = Encoding(space)
        self._geometry = Geometry(space.factors)
        self._entered: set[object] = set()
        self._fitted: Surrogate | None = None
        self._fitted_size = self._learned_size = 0
        self._written = set(enqueued)
        self._most_trials = math.inf if most_trials is None else most_trials
        self._first = [candidate.to_dict() for candidate in enqueued] + design(space, seed)
        self._block = BLOCK if former + limit() >= SMALL else SMALL_BLOCK
        self._finalists: Sequence[Racer] = ()
        self.racers: list[Racer] = []
        self.leader: Racer | None = None
        """Who was ahead at the last decision."""
        self.phase = "exploring"

    async def run(self) -> Racer:
        """Search until the calls are used up, and return the winner."""
        # The matrices are small: more threads are no faster, and wait for each other when cores are busy.
        with threadpool_limits(1, user_api="blas"):
            return await self._run()

    async def _run(self) -> Racer:
        self._add({})
        batch = list(self.racers)
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
    def winner(self) -> Racer:
        """The first of `ranked`."""
        return self.ranked()[0]

    def ranked(self) -> list[Racer]:
        """Racers by what the surrogate expects, best first, the earlier one of two equals.

        Finalists stand before the rest, and those that were stopped or have no score come last.
        """
        return self._ranked(self.estimates())

    def _ranked(self, estimate: Mapping[int, float]) -> list[Racer]:
        def place(racer: Racer) -> tuple[bool, bool, bool, float, int]:
            out = racer.state in ("pruned", "failed")
            return racer not in self._finalists, out, not racer.scores, -estimate[racer.trial], racer.trial

        return sorted(self.racers, key=place)

    def racer(
        self,
        trial: int,
        candidate: Candidate,
        prepared: PreparedPrompt,
        rows: Sequence[int],
        positions: Mapping[str, int],
    ) -> Racer:
        """A candidate as it enters a race."""
        (levels,) = self._encoding.encode([candidate])
        return Racer(trial=trial, candidate=candidate, positions=positions, levels=levels, prepared=prepared, rows=rows)

    @property
    def hand_written(self) -> Racer | None:
        """Of the default and what was enqueued the one that is expected to be best; None where nothing was enqueued."""
        if not self._written:
            return None
        default, estimate = self.racers[DEFAULT_TRIAL], self.estimates()
        written = [racer for racer in self.racers if racer.candidate in self._written and racer.scores]
        return max([default, *written], key=lambda racer: estimate[racer.trial])

    def estimates(self) -> dict[int, float]:
        """What the surrogate expects of each trial: its own scores and those of its likes."""
        model = self._model()
        if model is None:
            return {racer.trial: 0.0 for racer in self.racers}
        measured = self._measured
        others = [racer for racer in self.racers if not racer.scores]
        means = [*model.expected, *model.mean(self._levels(others))]
        return {racer.trial: float(mean) for racer, mean in zip([*measured, *others], means, strict=True)}

    def uncertainties(self) -> dict[int, float]:
        """Of each trial with a score, the standard deviation of the difference of its true score to the winner's."""
        model, measured = self._model(), self._measured
        if model is None or self.winner not in measured:
            return {}
        _, covariance = model.posterior(self._levels(measured))
        spreads = CAUTION * _difference_spread(covariance, measured.index(self.winner))
        return {racer.trial: float(spread) for racer, spread in zip(measured, spreads, strict=True)}

    def effects(self) -> list[Effects]:
        """What the options of each choice add; nothing where nothing is scored."""
        model = self._model()
        return effects(model) if model else []

    def interactions(self) -> list[Interaction]:
        """The pairs of options that add something together; nothing where nothing is scored."""
        model = self._model()
        return interactions(model) if model else []

    def _levels(self, racers: Sequence[Racer]) -> Levels:
        levels = [racer.levels for racer in racers]
        return np.array(levels, dtype=np.int64).reshape(len(racers), len(self._space.factors))

    @property
    def _measured(self) -> list[Racer]:
        return [racer for racer in self.racers if racer.scores]

    @property
    def _size(self) -> int:
        """How many scores there are."""
        return sum(len(racer.scores) for racer in self.racers)

    def _scores(self, ahead: int = 0) -> Iterator[tuple[int, int, float]]:
        """Of all that is measured the position of its racer, the place of its row in the common order, and the score.

        With NaN, so many rows that the finalists see next.
        """
        measured = self._measured
        width = pooled_width([[o.margin for o in racer.outcomes if o.margin is not None] for racer in measured])
        for index, racer in enumerate(measured):
            for outcome, score in zip(racer.scored, smoothed(racer.scored, width), strict=True):
                yield index, self._place[outcome.row], score
            if ahead and racer in self._finalists:
                yield from ((index, self._place[row], math.nan) for row in racer.unseen[:ahead])

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
            if self._fitted is None or (exploring and size >= self._learned_size * RELEARN):
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
        return _generator(self._seed, purpose)

    def _add(self, positions: Mapping[str, int]) -> Racer | None:
        """Enter a candidate unless an equal prompt is in the race, or there are as many as may be."""
        candidate = self._space.candidate(positions)
        if candidate in self._entered or len(self.racers) >= self._most_trials:
            return None
        prepared, rows = self._enter(candidate)
        self._entered.add(candidate)
        if prepared.identity in self._entered:
            return None
        self._entered.add(prepared.identity)
        flat = {factor.name: positions.get(factor.name, 0) for factor in self._space.factors}
        trial = self.racers[-1].trial + 1 if self.racers else DEFAULT_TRIAL
        self.racers.append(self.racer(trial, candidate, prepared, rows, flat))
        return self.racers[-1]

    def _picks(self, number: int) -> list[Racer]:
        """Who is looked at in this round: new candidates, and open ones that deserve more rows."""
        self.leader = self.winner
        designed: list[Racer] = []
        while self._first and len(designed) < PER_ROUND:
            racer = self._add(self._first.pop(0))
            designed += [racer] if racer else []
        if designed:
            return designed
        if self._stop is not None:
            self._stopped_by_pruner(self._stop)
            going = [racer for racer in self.racers if racer.open][:PER_ROUND]
            return going + self._newcomers(PER_ROUND - len(going), number)
        if self._propose is not None:
            return self._newcomers(PER_ROUND - 1, number) + self._comeback()
        return self._drawn(number)

    def _newcomers(self, count: int, number: int) -> list[Racer]:
        """New racers from the sampler that the user gave, or ours; random ones where it repeats itself."""
        found: list[Racer] = []
        if self._propose is not None and count:
            proposed = [self._add(positions) for positions in self._propose(self._told(), count)]
            found = [racer for racer in proposed if racer is not None]
        elif count:
            found = self._drawn(number, newcomers=count)
        return [*found, *self._random_racers(count - len(found), number)]

    def _drawn(self, number: int, newcomers: int = 0) -> list[Racer]:
        """Thompson sampling over open racers and new candidates, or over so many newcomers alone."""
        model = self._model()
        if model is None:
            return self._random_racers(PER_ROUND, number)
        generator = self._generator(f"round {number}")
        if not newcomers:
            self._stop_hopeless(model)
        open_racers = [] if newcomers else [racer for racer in self.racers if racer.open]
        new = unseen(model, self._encoding, self._levels(self.racers), generator)
        pool = np.vstack([self._levels(open_racers), new])
        if not len(pool):
            return []
        racers: list[Racer | None] = [*open_racers, *[None] * len(new)]
        looks = self._size / self._block
        picks: list[Racer] = []
        for order in thompson(model, pool, newcomers or max(PER_ROUND, int(looks * ROUND_GROWTH)), generator):
            for index in order:
                racer = racers[index] or self._add(self._encoding.positions(pool[index]))
                if racer is not None and racer not in picks:
                    racers[index] = racer
                    picks.append(racer)
                    break
        return picks

    def _stop_hopeless(self, model: Surrogate) -> None:
        """Close racers that are all but surely worse than the leader.

        A posterior probability means the same whenever one looks at it: a racer that is better than the leader is
        closed with probability at most `HOPELESS`, however often this is asked (optional stopping; Ville 1939).
        """
        racers = [racer for racer in self.racers if racer.open]
        if len(racers) < 2:
            return
        mean, covariance = model.posterior(self._levels(racers))
        leader = int(np.argmax(mean))
        better = stats.norm.sf((mean[leader] - mean) / (CAUTION * _difference_spread(covariance, leader)))
        for racer, probability in zip(racers, better, strict=True):
            if probability < HOPELESS and racer.trial != DEFAULT_TRIAL:
                racer.state = "pruned"
                racer.reason = (
                    f"stopped after {len(racer.outcomes)} rows: better than trial {racers[leader].trial} "
                    f"with probability {probability:.1%}"
                )

    def _told(self) -> list[Told]:
        """All trials with a score, for the samplers and pruners of others."""
        estimate = self.estimates()
        return [Told(racer.positions, racer.state, racer.scores, estimate[racer.trial]) for racer in self._measured]

    def _stopped_by_pruner(self, stop: Stop) -> None:
        """End the trials that the pruner that the user gave stops, and those that had rows enough."""
        enough = min(max(2 * BLOCK, int(self._limit() / TRIALS_WITH_PRUNER)), 10 * BLOCK)
        for racer, stopped in zip(self._measured, stop(self._told()), strict=True):
            if stopped and racer.trial != DEFAULT_TRIAL:
                racer.state, racer.reason = "pruned", f"stopped by the pruner after {len(racer.outcomes)} rows"
            elif racer.state == "running" and len(racer.outcomes) >= enough:
                racer.state, racer.reason = "complete", f"{len(racer.outcomes)} rows"

    def _random_racers(self, count: int, number: int) -> list[Racer]:
        generator = random.Random(f"{self._seed} random {number}")
        found: list[Racer] = []
        for _ in range(30):
            if len(found) >= count:
                break
            racer = self._add({factor.name: generator.randrange(len(factor.options)) for factor in self._space.factors})
            found += [racer] if racer else []
        return found

    def _comeback(self) -> list[Racer]:
        """The most promising racer that has rows left: the highest estimate, less certain ones preferred."""
        estimate = self.estimates()
        open_racers = [racer for racer in self.racers if racer.open]
        return sorted(
            open_racers, key=lambda racer: -(estimate[racer.trial] + 0.5 / (len(racer.scores) + BLOCK) ** 0.5)
        )[:1]

    async def _look(self, racers: Sequence[Racer], rows: int, until: float) -> list[Look]:
        """Give each racer its next rows, as far as the calls go."""
        jobs: list[tuple[Racer, int]] = []
        room = until - self._spent()
        for racer in racers:
            wanted = list(racer.unseen[:rows])
            for row, price in zip(wanted, self._evaluator.price(racer.prepared, wanted), strict=True):
                if price > room:
                    break
                room -= price
                jobs.append((racer, row))
        outcomes = await self._evaluator.evaluate([(racer.prepared, row) for racer, row in jobs], "search")
        new: dict[Racer, list[Outcome]] = {}
        for (racer, _), outcome in zip(jobs, outcomes, strict=True):
            if outcome is not None:
                new.setdefault(racer, []).append(outcome)
        return [
            Look(racer, *await self._evaluator.reparse(racer.prepared, [*racer.outcomes, *found], "search"))
            for racer, found in new.items()
        ]

    def _record(self, looks: Sequence[Look]) -> int:
        """Take down what a round measured, and how much that was."""
        before = sum(len(look.racer.outcomes) for look in looks)
        for look in looks:
            look.racer.prepared, look.racer.outcomes = look.prepared, look.outcomes
        self._on_round(self)
        return sum(len(look.outcomes) for look in looks) - before

    async def _finals(self) -> None:
        """Sequential halving (Karnin, Koren and Somekh 2013) over the best, on rows each has not seen yet.

        Who leaves stays out, also when those that went on fall below: the winner has the most rows.
        """
        self.phase = "finalists"
        # A candidate for which no call was left is no trial; the default stays, for it is the baseline.
        self.racers = [racer for racer in self.racers if racer.outcomes or racer.trial == DEFAULT_TRIAL]
        self._keep(FINALISTS)
        while (count := len(self._finalists)) > 1 and any(racer.unseen for racer in self._finalists):
            stages = count.bit_length() - 1
            rows = int((self._limit() - self._spent()) / stages / count)
            if rows:  # else too few calls are left for so many finalists
                looks, _ = await asyncio.gather(
                    self._look(self._finalists, rows, self._limit()), asyncio.to_thread(self._foresee, rows)
                )
                self._record(looks)
            self._keep((count + 1) // 2 if stages > 1 else 1)
            self.leader = self._finalists[0]
        for racer in self.racers:
            if racer.state == "running":
                racer.state, racer.reason = "complete", f"to the end of the finals, {len(racer.outcomes)} rows"

    def _keep(self, count: int) -> None:
        """Let so many of the best go on; all others are closed."""
        estimate = self.estimates()
        able = (racer for racer in self._ranked(estimate) if racer.scores and racer.state in ("running", "complete"))
        finalists = list(islice(able, count))
        closed = [racer for racer in self.racers if racer.state == "running" and racer not in finalists]
        for racer in closed:
            known = f"estimated {estimate[racer.trial]:.3f} after {len(racer.outcomes)} rows"
            if racer in self._finalists:
                racer.state, racer.reason = "complete", f"left the finals: {known}"
            elif racer.outcomes and not racer.scores:
                error = racer.outcomes[0].error
                racer.state, racer.reason = "failed", f"all {len(racer.outcomes)} requests failed: {error}"
            else:
                racer.state, racer.reason = "pruned", f"not among the finalists: {known}"
        self._finalists = finalists


def design(space: SearchSpace, seed: int) -> list[Mapping[str, int]]:
    """The first candidates after the default, as assignments."""
    encoding = Encoding(space)
    most = max((len(factor.options) for factor in space.factors if factor.kind == "choice"), default=0)
    levels = encoding.design(min(max(DESIGNED, most), MOST_DESIGNED), _generator(seed, "design"))
    return [encoding.positions(row) for row in levels]


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(random.Random(f"{seed} {purpose}").randrange(2**32))


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
    own = (margins.var() * len(margins) + width**2 * BLOCK) / (len(margins) + BLOCK)
    bandwidth = SMOOTHING * (BLOCK / len(margins)) ** (1 / 3)
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


def common_order(labels: Sequence[str] | None, rows: Sequence[int], seed: int) -> list[int]:
    """Rows in the order in which every candidate sees them: shuffled, each stretch holding the labels in their
    proportions.

    Args:
        labels: the label of every row of ``rows``, or None when the target is not categorical.
    """
    generator = random.Random(f"{seed} rows")
    shuffled = list(range(len(rows)))
    generator.shuffle(shuffled)
    if labels is None:
        return [rows[index] for index in shuffled]
    by_label: dict[str, list[int]] = {}
    for index in shuffled:
        by_label.setdefault(labels[index], []).append(index)
    placed = [
        ((turn + generator.random()) / len(members), rows[index])
        for members in by_label.values()
        for turn, index in enumerate(members)
    ]
    return [row for _, row in sorted(placed)]
