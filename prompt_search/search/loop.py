"""Ask, evaluate, tell: the race for the best candidate within a number of calls.

Calls go where they tell most: every candidate is first looked at on one short block of rows, promising ones
come back for more, and the last part of the budget is kept for the finalists. All candidates see the rows in
one common order, so that comparisons are paired. Each round is decided from the complete results of the round
before, so that the same responses give the same search in whatever order they arrive.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from prompt_search.evaluation import Contender, Evaluator, Outcome
from prompt_search.search.surrogate import Levels, Surrogate
from prompt_search.space import Candidate, SearchSpace

if TYPE_CHECKING:
    import optuna

BLOCK = 10
"""Rows of one look at a candidate."""

PER_ROUND = 4
"""Candidates looked at between two decisions."""

RANDOM_FIRST = 9
"""Candidates, the default among them, before the surrogate has a say."""

RANDOM_POOL, CHILDREN_POOL, PARENTS = 150, 350, 12
"""Among how many random candidates, and how many children of how many of the best, a draw is maximised."""

DRAW_SCALE = 0.5
RELEARN = 7 / 6
FINALISTS = 6
FINALISTS_SHARE = 0.25
"""The part of the search budget that is kept for the finalists."""

DEFAULT_TRIAL = 0

SEARCH_VERSION = 1
"""Changes with every change of the search: a study is resumed only by the search that began it."""


@dataclass(eq=False)
class Racer:
    """A candidate in the race, with what is known about it."""

    trial: int
    candidate: Candidate
    positions: Mapping[str, int]
    contender: Contender
    rows: Sequence[int]
    outcomes: list[Outcome] = field(default_factory=list)
    state: str = "running"
    reason: str = ""

    @property
    def scores(self) -> list[float]:
        return [outcome.score for outcome in self.outcomes if outcome.score is not None]

    @property
    def unseen(self) -> Sequence[int]:
        seen = {outcome.row for outcome in self.outcomes}
        return [row for row in self.rows if row not in seen]


class ProposeCandidates(Protocol):
    """Proposes assignments from what was told so far."""

    def __call__(
        self, told: Sequence[tuple[Mapping[str, int], float]], count: int, number: int
    ) -> list[Mapping[str, int]]: ...


class Race:
    """One search over a space.

    Args:
        space: the candidates.
        enter: from a candidate to how it is asked, and the rows it may be scored on, in the common order.
        evaluator: sends and scores.
        limit: how many calls the search may spend, by what is known at the moment.
        spent: how many calls are spent at the moment.
        propose: a sampler in place of ours.
        seed: for what the sampler leaves to chance.
        on_round: told after every round.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        enter: Callable[[Candidate], tuple[Contender, Sequence[int]]],
        evaluator: Evaluator,
        limit: Callable[[], float],
        spent: Callable[[], float],
        propose: ProposeCandidates | None,
        seed: int,
        on_round: Callable[[Race], None],
    ) -> None:
        self._space = space
        self._enter = enter
        self._evaluator = evaluator
        self._limit = limit
        self._spent = spent
        self._propose = propose
        self._seed = seed
        self._on_round = on_round
        self._entered: set[object] = set()
        self._fitted: Surrogate | None = None
        self._fitted_size = self._learned_size = 0
        self.racers: list[Racer] = []
        self.phase = "exploring"

    async def run(self) -> Racer:
        """Search until the calls are used up, and return the winner."""
        self._add({})
        await self._look(self.racers, BLOCK, self._limit())
        number = 0
        while self._spent() < (until := self._limit() * (1 - FINALISTS_SHARE)):
            number += 1
            if not await self._look(self._picks(number), BLOCK, until):
                break
        await self._finals()
        return self.winner

    @property
    def winner(self) -> Racer:
        """The first of `ranked`."""
        return self.ranked()[0]

    def ranked(self) -> list[Racer]:
        """Racers by what the surrogate expects, best first, the earlier one of two equals.

        Those without any score come last, and in the end the finalists stand before the rest.
        """
        estimate = self.estimates()
        out = ("pruned", "failed")
        return sorted(
            self.racers,
            key=lambda racer: (racer.state in out, not racer.scores, -estimate[racer.trial], racer.trial),
        )

    def estimates(self) -> dict[int, float]:
        """What the surrogate expects of each trial: its own scores and those of its likes."""
        model = self._model()
        if model is None:
            return {racer.trial: 0.0 for racer in self.racers}
        mean, _ = model.posterior(self._levels([racer.candidate for racer in self.racers]))
        return {racer.trial: float(value) for racer, value in zip(self.racers, mean, strict=True)}

    def _levels(self, candidates: Sequence[Candidate]) -> Levels:
        """The surrogate's view of candidates."""
        names = [factor.name for factor in self._space.factors]
        chosen = [candidate.to_dict() for candidate in candidates]
        return np.array([[positions.get(name, -1) for name in names] for positions in chosen], dtype=np.int64)

    def _model(self) -> Surrogate | None:
        """The surrogate of all that is measured; its weights are learned anew when there is a sixth more."""
        measured = [racer for racer in self.racers if racer.scores]
        size = sum(len(racer.scores) for racer in measured)
        if not measured:
            return None
        if self._fitted is None or self._fitted_size != size:
            kept = self._fitted.weights if self._fitted and size < self._learned_size * RELEARN else None
            if kept is None:
                self._learned_size = size
            factors = self._space.factors
            self._fitted = Surrogate.fit(
                [factor.kind in ("integer", "examples") for factor in factors],
                [len(factor.options) for factor in factors],
                self._levels([racer.candidate for racer in measured]),
                np.array([np.mean(racer.scores) for racer in measured]),
                np.array([len(racer.scores) for racer in measured], dtype=float),
                float(np.concatenate([racer.scores for racer in measured]).var()),
                kept,
            )
            self._fitted_size = size
        return self._fitted

    def _add(self, positions: Mapping[str, int]) -> Racer | None:
        """Enter a candidate unless an equal prompt is in the race."""
        candidate = self._space.candidate(positions)
        if candidate in self._entered:
            return None
        contender, rows = self._enter(candidate)
        asked = (
            contender.prompt.source,
            tuple(sorted((name, repr(value)) for name, value in contender.prompt.parameters.items())),
            repr(contender.answer),
            contender.model,
            contender.endpoint,
        )
        self._entered.add(candidate)
        if asked in self._entered:
            return None
        self._entered.add(asked)
        flat = {factor.name: positions.get(factor.name, 0) for factor in self._space.factors}
        trial = self.racers[-1].trial + 1 if self.racers else DEFAULT_TRIAL
        racer = Racer(trial=trial, candidate=candidate, positions=flat, contender=contender, rows=rows)
        self.racers.append(racer)
        return racer

    def _picks(self, number: int) -> list[Racer]:
        """Who is looked at in this round: new candidates, and open ones that deserve more rows."""
        if self._propose is not None:
            return [*self._proposed(number), *self._comeback()]
        missing = RANDOM_FIRST - len(self.racers)
        found = self._random_racers(min(missing, PER_ROUND), number)
        return found or self._drawn(number)  # a small space may have no more candidates to offer

    def _drawn(self, number: int) -> list[Racer]:
        """Thompson sampling: each pick is the best candidate of one draw from the surrogate.

        Drawn over the open racers, random candidates, and mutants and crossovers of the best; a draw's spread is
        halved, because a full one explores more than a budget of a thousand calls can pay for.
        """
        model = self._model()
        if model is None:
            return self._random_racers(PER_ROUND, number)
        generator = random.Random(f"{self._seed} round {number}")
        open_racers = {racer.candidate: racer for racer in self.racers if racer.unseen}
        best = [racer.candidate for racer in self.ranked()[:PARENTS] if racer.scores]
        fresh = [self._space.sample(generator) for _ in range(RANDOM_POOL)]
        fresh += [self._child(best, generator) for _ in range(CHILDREN_POOL)]
        pool = [*open_racers, *(candidate for candidate in dict.fromkeys(fresh) if candidate not in self._entered)]
        if not pool:
            return []
        draws = model.draw(self._levels(pool), PER_ROUND, DRAW_SCALE, np.random.default_rng(generator.randrange(2**32)))
        picks: list[Racer] = []
        for draw in draws:
            for index in np.argsort(-draw, kind="stable"):
                racer = open_racers.get(pool[index]) or self._add(pool[index].to_dict())
                if racer is not None and racer not in picks:
                    picks.append(racer)
                    break
        return picks

    def _child(self, parents: Sequence[Candidate], generator: random.Random) -> Candidate:
        """A crossover of two parents with one or two options changed."""
        first, second = (generator.choice(parents).to_dict() for _ in range(2))
        positions = {**second, **first}
        for name in second:
            if generator.random() < 0.5:
                positions[name] = second[name]
        for factor in generator.sample(self._space.factors, min(len(self._space.factors), generator.choice((1, 1, 2)))):
            positions[factor.name] = generator.randrange(len(factor.options))
        return self._space.candidate(positions)

    def _proposed(self, number: int) -> list[Racer]:
        """New racers from the sampler that the user gave; random ones where it repeats itself."""
        assert self._propose is not None
        estimate = self.estimates()
        told = [(racer.positions, estimate[racer.trial]) for racer in self.racers if racer.scores]
        added = [self._add(positions) for positions in self._propose(told, PER_ROUND - 1, number)]
        found = [racer for racer in added if racer is not None]
        return [*found, *self._random_racers(PER_ROUND - 1 - len(found), number)]

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
        open_racers = [racer for racer in self.racers if racer.scores and racer.unseen]
        return sorted(
            open_racers, key=lambda racer: -(estimate[racer.trial] + 0.5 / (len(racer.scores) + BLOCK) ** 0.5)
        )[:1]

    async def _look(self, racers: Sequence[Racer], rows: int, until: float) -> int:
        """Give each racer its next rows, as far as the calls go; returns how many were measured."""
        jobs: list[tuple[Racer, int]] = []
        room = until - self._spent()
        for racer in racers:
            wanted = list(racer.unseen[:rows])
            for row, price in zip(wanted, self._evaluator.price(racer.contender, wanted), strict=True):
                if price > room:
                    break
                room -= price
                jobs.append((racer, row))
        outcomes = await self._evaluator.evaluate([(racer.contender, row) for racer, row in jobs], "search")
        measured = 0
        for (racer, _), outcome in zip(jobs, outcomes, strict=True):
            if outcome is not None:
                racer.outcomes.append(outcome)
                measured += 1
        # A candidate for which no call was left is no trial; the default stays, for it is the baseline.
        self.racers = [racer for racer in self.racers if racer.outcomes or racer.trial == DEFAULT_TRIAL]
        self._on_round(self)
        return measured

    async def _finals(self) -> None:
        """Sequential halving (Karnin, Koren and Somekh 2013) over the best, on rows each has not seen yet."""
        self.phase = "finalists"
        finalists = [racer for racer in self.ranked() if racer.scores][:FINALISTS]
        self._prune(finalists, "not among the finalists")
        while len(finalists) > 1:
            stages = len(finalists).bit_length() - 1
            rows = int((self._limit() - self._spent()) / stages / len(finalists))
            if rows < 1 or not any(racer.unseen for racer in finalists):
                break
            await self._look(finalists, rows, self._limit())
            finalists = [racer for racer in self.ranked() if racer in finalists][: (len(finalists) + 1) // 2]
        for racer in self.racers:
            if racer.state == "running":
                racer.state, racer.reason = "complete", f"finalist, {len(racer.outcomes)} rows"
        self._on_round(self)

    def _prune(self, kept: Sequence[Racer], why: str) -> None:
        estimate = self.estimates()
        for racer in self.racers:
            if racer in kept:
                continue
            failed = racer.outcomes and not racer.scores
            racer.state = "failed" if failed else "pruned"
            racer.reason = (
                f"all {len(racer.outcomes)} requests failed: {racer.outcomes[0].error}"
                if failed
                else f"{why}: estimated {estimate[racer.trial]:.3f} after {len(racer.outcomes)} rows"
            )


def optuna_proposer(space: SearchSpace, sampler: optuna.samplers.BaseSampler) -> ProposeCandidates:
    """Proposals from an Optuna sampler.

    The study is rebuilt in memory for every round, because a finished Optuna trial cannot be told a better
    estimate.
    """
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    given = copy.deepcopy(sampler)  # a second run of the same study starts where the first one did
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    factors = [factor for factor in space.factors if len(factor.options) > 1]
    distributions: dict[str, BaseDistribution] = {
        factor.name: CategoricalDistribution(factor.ids) for factor in factors
    }

    def propose(told: Sequence[tuple[Mapping[str, int], float]], count: int, number: int) -> list[Mapping[str, int]]:
        if not factors:
            return []
        study = optuna.create_study(direction="maximize", sampler=given)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={factor.name: factor.ids[positions[factor.name]] for factor in factors},
                    distributions=distributions,
                    value=value,
                )
                for positions, value in told
            ]
        )
        return [space.suggest(study.ask(distributions)).to_dict() for _ in range(count)]

    return propose


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
