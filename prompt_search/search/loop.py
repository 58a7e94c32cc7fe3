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
from prompt_search.space import Candidate, SearchSpace
from prompt_search.statistics import shrunken_mean

if TYPE_CHECKING:
    import optuna

BLOCK = 12
"""Rows of one look at a candidate."""

NEW_PER_ROUND = 3
FINALISTS = 6
FINALISTS_SHARE = 0.4
"""The part of the search budget that is kept for the finalists."""

DEFAULT_TRIAL = 0


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
        propose: the sampler.
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
        propose: ProposeCandidates,
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
        self.racers: list[Racer] = []
        self.phase = "exploring"

    async def run(self) -> Racer:
        """Search until the calls are used up, and return the winner."""
        self._add({})
        await self._look(self.racers, BLOCK, self._limit())
        number = 0
        while self._spent() < (until := self._limit() * (1 - FINALISTS_SHARE)):
            number += 1
            new = self._new_racers(number)
            if not await self._look([*new, *self._comeback()], BLOCK, until):
                break
        await self._finals()
        return self.winner

    @property
    def winner(self) -> Racer:
        """The first of `ranked`."""
        return self.ranked()[0]

    def ranked(self) -> list[Racer]:
        """Racers by shrunken mean, best first, the earlier one of two equals; before those without any score,
        and in the end the finalists before the rest."""
        estimate = self.estimates()
        out = ("pruned", "failed")
        return sorted(
            self.racers,
            key=lambda racer: (racer.state in out, not racer.scores, -estimate[racer.trial], racer.trial),
        )

    def estimates(self) -> dict[int, float]:
        """Mean score by trial, shrunken to the mean of all by as much as their spread is noise."""
        measured = [racer for racer in self.racers if racer.scores]
        if not measured:
            return {racer.trial: 0.0 for racer in self.racers}
        everything = np.concatenate([racer.scores for racer in measured])
        prior = float(everything.mean())
        means = np.array([np.mean(racer.scores) for racer in measured])
        counts = np.array([len(racer.scores) for racer in measured])
        within = float(everything.var())
        between = max(float(np.var(means)) - float(np.mean(within / counts)), within / 40, 1e-9)
        weight = min(within / between, 40.0)
        return {
            racer.trial: shrunken_mean(sum(racer.scores), len(racer.scores), prior, max(weight, 1e-9))
            for racer in self.racers
        }

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

    def _new_racers(self, number: int) -> list[Racer]:
        estimate = self.estimates()
        told = [(racer.positions, estimate[racer.trial]) for racer in self.racers if racer.scores]
        new = [self._add(positions) for positions in self._propose(told, NEW_PER_ROUND, number)]
        found = [racer for racer in new if racer is not None]
        generator = random.Random(f"{self._seed} round {number}")
        for _ in range(30):
            if len(found) >= NEW_PER_ROUND:
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


def optuna_proposer(space: SearchSpace, seed: int, sampler: optuna.samplers.BaseSampler | None) -> ProposeCandidates:
    """Proposals from an Optuna sampler; None: multivariate TPE.

    The study is rebuilt in memory for every round, because a finished Optuna trial cannot be told a better
    estimate; ours derives its generator from (seed, round), so that a resumed search proposes the same.
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
        used = given or optuna.samplers.TPESampler(
            seed=random.Random(f"{seed} sampler {number}").randrange(2**31), n_startup_trials=10
        )
        study = optuna.create_study(direction="maximize", sampler=used)
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
