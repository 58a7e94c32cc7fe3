"""The strategies of `search_truth.py`, and the rows that they are given to spend calls on."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy import stats

from experiments.benchmarks.made_up_evaluator import MadeUpEvaluator, scored
from experiments.benchmarks.search_truth_world import Floats, Levels, World
from prompt_search.answers import Text
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.prompt import Prompt
from prompt_search.search.optuna_adapter import proposals
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings


class Counter(MadeUpEvaluator):
    """A study's rows, with a count of the calls: an evaluator for `Race`, and scores for simple strategies."""

    def __init__(self, truth: World, calls: int, soft: bool = False) -> None:
        self.truth = truth
        self.calls = calls
        self.spent = 0
        self.soft = soft
        self.space = truth.space
        self.names = [factor.name for factor in self.space.factors]
        self.answers = cache(truth.scores)
        self.margins = cache(truth.margins)

    def levels(self, candidate: Candidate) -> Levels:
        positions = candidate.to_dict()
        return tuple(positions.get(name, -1) for name in self.names)

    def scores(self, levels: Levels, start: int, stop: int) -> Floats:
        """The scores on some rows, as far as the calls suffice."""
        stop = min(stop, start + self.calls - self.spent, self.truth.rows)
        self.spent += max(0, stop - start)
        return self.answers(levels)[start:stop]

    def enter(self, candidate: Candidate) -> tuple[PreparedPrompt, range]:
        prompt = Prompt(source=repr(self.levels(candidate)))
        return PreparedPrompt(prompt=prompt, answer=Text(), model="truth", endpoint="truth"), range(self.truth.rows)

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]:
        self.spent += len(jobs)
        return [self._outcome(prepared, row) for prepared, row in jobs]

    def _outcome(self, prepared: PreparedPrompt, row: int) -> Outcome:
        levels = tuple(int(level) for level in prepared.prompt.source.strip("(,)").split(","))
        margin = float(self.margins(levels)[row]) if self.soft else math.nan
        return scored(row, float(self.answers(levels)[row]), None if math.isnan(margin) else margin)


@dataclass(frozen=True)
class Found:
    """What a strategy returned, and the seconds that it thought."""

    levels: Levels
    seconds: float = 0.0
    candidates: int = 0


def race(counter: Counter, seed: int, sampler: optuna.samplers.BaseSampler | None = None) -> Found:
    started = time.perf_counter()
    settings = RaceSettings(
        space=counter.space,
        prepare=counter.enter,
        row_order=range(counter.truth.rows),
        seed=seed,
        propose=None if sampler is None else proposals(sampler),
    )
    budget = CallBudget(limit=lambda: counter.calls, spent=lambda: counter.spent)
    search = Race(settings, evaluator=counter, budget=budget, on_round=lambda race: None)
    winner = asyncio.run(search.run())
    return Found(counter.levels(winner.candidate), time.perf_counter() - started, len(search.trials))


def sampled(counter: Counter, sampler: optuna.samplers.BaseSampler, rows: int, final: float = 0.0) -> Found:
    """Ask an Optuna sampler, score on the same first rows, take the best mean; or let the best 8 go on."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    seen: dict[Levels, Floats] = {}
    seconds, rows = 0.0, min(rows, counter.truth.rows)
    while counter.calls * (1 - final) - counter.spent >= rows:
        started = time.perf_counter()
        trial = study.ask()
        levels = counter.levels(counter.space.suggest(trial))
        seconds += time.perf_counter() - started
        if levels not in seen:
            seen[levels] = counter.scores(levels, 0, rows)
        elif trial.number >= counter.calls:  # a small space has nothing left to ask
            break
        started = time.perf_counter()
        study.tell(trial, seen[levels].mean())
        seconds += time.perf_counter() - started
    ranked = sorted(seen, key=lambda levels: -seen[levels].mean())
    return Found(halved(counter, seen, ranked[: 8 if final else 1]), seconds, len(seen))


def halved(counter: Counter, seen: dict[Levels, Floats], finalists: list[Levels]) -> Levels:
    """The best of some candidates: the calls that are left go to them in equal stages, after each of which the worse
    half is dropped."""
    while len(finalists) > 1:
        stages = len(finalists).bit_length() - 1
        more = (counter.calls - counter.spent) // stages // len(finalists)
        if not more or all(len(seen[levels]) == counter.truth.rows for levels in finalists):
            break
        for levels in finalists:
            done = len(seen[levels])
            seen[levels] = np.append(seen[levels], counter.scores(levels, done, done + more))
        finalists = sorted(finalists, key=lambda levels: -seen[levels].mean())[: len(finalists) // 2]
    return finalists[0]


def halving(counter: Counter, seed: int) -> Found:
    """Sequential halving of random candidates, as many as get 10 rows each in the first stage."""
    generator = random.Random(seed)
    count = 2
    while (count + 1) * 10 * ((count + 1).bit_length() - 1) <= counter.calls:  # `halved` has as many stages
        count += 1
    tries = (counter.levels(counter.space.sample(generator)) for _ in range(20 * count))
    rivals = list(islice(dict.fromkeys(tries), count))
    return Found(halved(counter, {levels: np.array([]) for levels in rivals}, rivals), candidates=len(rivals))


def tpe_halving(counter: Counter, seed: int) -> Found:
    """Optuna's sampler and its successive halving."""
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=10, reduction_factor=2),
    )
    seen: dict[Levels, Floats] = {}
    for _ in range(counter.calls):
        if counter.spent >= counter.calls:
            break
        trial = study.ask()
        levels = counter.levels(counter.space.suggest(trial))
        scores = seen.get(levels, np.array([]))
        for rows in range(10, 170, 10):
            if len(scores) < rows:
                scores = np.append(scores, counter.scores(levels, len(scores), rows))
            if not len(scores):
                break
            trial.report(scores[:rows].mean(), rows)
            if trial.should_prune():
                break
        if len(scores):
            seen[levels] = scores
            study.tell(trial, scores.mean())
    return Found(max(seen, key=lambda levels: (len(seen[levels]), seen[levels].mean())), candidates=len(seen))


def survivors(counter: Counter, seen: dict[Levels, Floats], rivals: list[Levels], count: int) -> list[Levels]:
    """The best of some candidates after racing against each other on blocks of 10 rows."""
    for block in range(10):
        for levels in rivals:
            done = len(seen.setdefault(levels, np.array([])))
            seen[levels] = np.append(seen[levels], counter.scores(levels, done, max(done, 10 * (block + 1))))
        shared = min(len(seen[levels]) for levels in rivals)
        if len(rivals) <= count or not shared:
            break

        def beaten(levels: Levels, rivals: list[Levels] = rivals, shared: int = shared) -> int:
            others = [seen[rival][:shared] - seen[levels][:shared] for rival in rivals if rival != levels]
            return sum(bool(d.mean() > 0 and stats.ttest_1samp(d, 0).pvalue < 0.2) for d in others if d.std() > 0)

        losers = sorted((rival for rival in rivals if beaten(rival) >= 3), key=lambda rival: seen[rival].mean())
        dropped = losers[: len(rivals) - count]
        rivals = [rival for rival in rivals if rival not in dropped]
        if counter.spent >= counter.calls:
            break
    return sorted(rivals, key=lambda rival: -(seen[rival].mean() if len(seen[rival]) else 0.0))[:count]


def evolution(counter: Counter, seed: int) -> Found:
    """A population of 10; see `survivors`."""
    generator = np.random.default_rng(seed)
    options = np.array(counter.truth.options)
    seen: dict[Levels, Floats] = {}

    def canonical(levels: NDArray[np.int64]) -> Levels:
        return tuple(counter.truth.canonical(levels[None])[0].tolist())

    population = [canonical(generator.integers(0, options)) for _ in range(10)]
    population = survivors(counter, seen, list(dict.fromkeys(population)), 10)
    idle = 0
    while counter.spent < counter.calls and idle < 100:
        children = []
        for _ in range(4):
            first, second = (np.array(population[generator.integers(len(population))]) for _ in range(2))
            child = np.where(generator.random(len(options)) < 0.5, first, second)
            child = np.where(child < 0, generator.integers(0, options), child)
            changed = generator.integers(len(options))
            child[changed] = generator.integers(options[changed])
            children.append(canonical(child))
        before = counter.spent
        population = survivors(counter, seen, list(dict.fromkeys([*population, *children])), 10)
        idle = idle + 1 if counter.spent == before else 0  # a small space has nothing left to ask
        if all(len(seen[levels]) >= 100 for levels in population) and len(seen) > counter.calls:
            break
    best = max((levels for levels in population if len(seen[levels])), key=lambda levels: seen[levels].mean())
    return Found(best, candidates=len(seen))


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


STRATEGIES: dict[str, Callable[[Counter, int], Found]] = {
    "ours": race,
    "ours-soft": lambda counter, seed: race(Counter(counter.truth, counter.calls, soft=True), seed),
    "random": lambda counter, seed: sampled(counter, optuna.samplers.RandomSampler(seed=seed), 20),
    "tpe": lambda counter, seed: sampled(counter, tpe(seed), 20),
    "tpe-100": lambda counter, seed: sampled(counter, tpe(seed), 100),
    "tpe-final": lambda counter, seed: sampled(counter, tpe(seed), 20, final=0.3),
    "gp": lambda counter, seed: sampled(counter, optuna.samplers.GPSampler(seed=seed), 20, final=0.3),
    "tpe-race": lambda counter, seed: race(counter, seed, tpe(seed)),
    "halving": halving,
    "tpe-halving": tpe_halving,
    "evolution": evolution,
}


def without_missing(names: Sequence[str]) -> list[str]:
    """The strategies that can run here: Optuna's Gaussian process needs torch, which nothing else here does."""
    if "gp" not in names or importlib.util.find_spec("torch") is not None:
        return list(names)
    print("gp is skipped, as torch is not installed", file=sys.stderr)
    return [name for name in names if name != "gp"]
