"""x"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.result_lines import measure_missing, shown
from experiments.benchmarks.search_truth_strategies import Counter
from experiments.benchmarks.search_truth_world import ROWS, SETTINGS, Floats, Levels, Setting, Truth
from prompt_search.search.prior.scores import prior_trials
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings
from prompt_search.search.trial import Trial
from prompt_search.storage.prior_studies import PriorStudies, PriorStudy

EARLIER_CALLS = 500
EARLIER_SEED = 10_000


@dataclass(frozen=True)
class Cell:
    """How an earlier study differs from the one that has it as its prior.

    Args:
        effects: the correlation between what sets candidates apart in the two.
        rows: the correlation between the difficulties of the rows; None: the rows are others.
        template: whether the templates are the same.
    """

    effects: float
    rows: float | None
    template: bool = True


CELLS = {
    "other data": Cell(effects=0.8, rows=None),
    "other template": Cell(effects=0.0, rows=1.0, template=False),
    "other model": Cell(effects=0.6, rows=0.7),
    "unrelated": Cell(effects=0.0, rows=0.0),
    "reversed": Cell(effects=-1.0, rows=-1.0),
}
FITS = ("other data", "other template", "other model")


class Earlier(Truth):
    """The made-up study before another one, to which it is alike."""

    def __init__(self, setting: Setting, seed: int, cell: Cell) -> None:
        super().__init__(setting, seed)
        other = Truth(setting, seed + EARLIER_SEED)
        generator = np.random.default_rng([seed, 15])
        self.alike = cell.effects
        rest = (1 - cell.effects**2) ** 0.5
        self._others = np.random.default_rng([seed, 16]).integers(1, 2**31)

        def mixed(own: Floats) -> Floats:
            fresh = (
                generator.permutation(own.ravel()).reshape(own.shape)
                if own.ndim == 1
                else generator.permuted(generator.permuted(own, axis=0), axis=1)
            )
            return np.asarray(cell.effects * own + rest * fresh)

        self.effects = [mixed(effect) for effect in self.effects]
        self.pairs = [(a, b, mixed(table)) for a, b, table in self.pairs]
        share = cell.rows or 0.0
        self.difficulty = share * self.difficulty + (1 - share**2) ** 0.5 * other.difficulty
        self.rest = rest

    def _logits(self, levels: Levels, generator: np.random.Generator) -> tuple[float, float]:
        own = super()._logits(levels, generator)[0] - float(self.structured(np.array([levels]))[0])
        fresh = np.random.default_rng([self.seed, self._others, *(level + 1 for level in levels)])
        spread = self.setting.own**0.5 * self.setting.spread
        logit = float(self.structured(np.array([levels]))[0]) + self.alike * own + self.rest * spread * fresh.normal()
        return logit, logit

    def margins(self, levels: Levels) -> Floats:
        first, _ = self._logits(levels, self._own(levels))
        noise = np.random.default_rng([self.seed, self._others, 3, *(level + 1 for level in levels)])
        return np.asarray(first - self.difficulty + noise.logistic(size=ROWS))


def raced(counter: Counter, seed: int, prior: PriorStudies | None = None) -> tuple[Race, Trial]:
    settings = RaceSettings(
        space=counter.space, prepare=counter.enter, row_order=range(counter.truth.rows), seed=seed, prior=prior
    )
    budget = CallBudget(limit=lambda: counter.calls, spent=lambda: counter.spent)
    race = Race(settings, evaluator=counter, budget=budget, on_round=lambda race: None)
    return race, asyncio.run(race.run())


def taken(race: Race, rows: int, cell: Cell) -> PriorStudies:
    trials = [trial for trial in race.trials if trial.scores]
    scores = np.full((len(trials), rows), np.nan)
    for index, trial in enumerate(trials):
        for outcome in trial.scored:
            scores[index, outcome.row] = outcome.score
    choices = [race.space.texts(trial.candidate) for trial in trials]
    found, ease = prior_trials(choices, scores)
    known = [
        (row, round(float(value), 4)) for row, value in enumerate(ease) if cell.rows is not None and not np.isnan(value)
    ]
    return PriorStudies(
        studies=[PriorStudy(study="earlier", options=1, trials=found)] if cell.template else [], ease=known
    )


@cache
def prior_of(setting: str, name: str, seed: int, earlier: int) -> PriorStudies:
    cell = CELLS[name]
    world = Earlier(SETTINGS[setting], seed, cell)
    race, _ = raced(Counter(world, earlier), seed + EARLIER_SEED)
    return taken(race, ROWS, cell)


KEY = ["setting", "cell", "calls", "seed"]


def measure(job: tuple[str, str, int, int]) -> dict[str, Any]:
    setting, cell, calls, seed = job
    truth = Truth(SETTINGS[setting], seed)
    prior = None if cell == "none" else prior_of(setting, cell, seed, EARLIER_CALLS)
    started = time.perf_counter()
    race, winner = raced(Counter(truth, calls), seed, prior)
    counter = Counter(truth, calls)
    weights = race._estimates.weights
    accuracy = truth.accuracy(counter.levels(winner.candidate))
    return {
        **dict(zip(KEY, job, strict=True)),
        "accuracy": accuracy,
        "seconds": time.perf_counter() - started,
        "likeness": weights.likeness[0] if weights.likeness else np.nan,
        "ease": weights.ease,
        "bias": race.estimates()[winner.number] - accuracy,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", nargs="+", default=["main"])
    parser.add_argument("--cells", nargs="+", default=list(CELLS))
    parser.add_argument("--calls", nargs="+", type=int, default=[100, 175, 250, 350, 500])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--odd", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("priors.csv"))
    given = parser.parse_args()
    jobs = [
        (setting, cell, calls, 2 * seed + given.odd)
        for seed in range(given.seeds)
        for setting in given.settings
        for cell in ["none", *given.cells]
        for calls in given.calls
    ]
    lines = measure_missing(jobs, measure, KEY, given.output)
    wide = lines.pivot(index=["setting", "calls", "seed"], columns="cell", values="accuracy")
    for setting in given.settings:
        print(setting)
        own = wide.loc[setting]
        for cell in ["none", *given.cells]:
            line = f"{cell:16}"
            for calls in given.calls:
                part = own.loc[calls]
                line += (
                    f"  {part[cell].mean():.3f} {shown(part[cell] - part['none'], '+') if cell != 'none' else '':15}"
                )
            sel = lines[(lines.setting == setting) & (lines.cell == cell)]
            print(line)


if __name__ == "__main__":
    main()
