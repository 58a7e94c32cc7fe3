"""What a study gains that starts from an earlier one, on made-up studies and real landscapes whose truth is known.

    python experiments/benchmarks/priors.py [--families main gates ...] [--cells "other data" ...]
        [--calls 100 250 350 500] [--seeds 40] [--skip 0] [--odd] [--processes 2] [--output priors.csv]
    python experiments/benchmarks/priors.py --landscapes DIR [--families gsm8k BBH ...] ...

Every study is run twice with the same seed: without a prior, and with that of an earlier study of 500 search calls. The
table has the true accuracy of the returned prompt and its difference to the study without a prior, paired by seed, each
with its standard error; the weight at the end of the earlier study and of the ease of rows; by how much the reported
estimate of the winner is too high; and after how many calls the mean with a prior reaches the mean that studies without
one have at 500 calls (by interpolation). Settings were tuned on even seeds; ``--odd`` takes odd ones.

Made-up studies are those of ``search_truth.py``, by default "main". The earlier study of a cell:

- other data: the same template; all effects correlate by 0.8 with those of the new one, the rows are others;
- other template: no choice in common; the rows are the same;
- other model: the same template and rows; effects correlate by 0.6, the difficulties of rows by 0.7;
- again: the same template, rows and model, with another seed, whose answers are the same where the prompts are;
- unrelated: the same template and rows by their texts, whose effects and difficulties have nothing to do with the new
  ones;
- reversed: all effects and difficulties have the other sign.

The gates of "gates" are the same ones, except in the last two cells, where they are others.

Of a folder of landscapes (see `search_truth_landscapes.py`), by family:

- gsm8k: an earlier study of the same grid on other rows;
- BBH, LMentry: an earlier study of the same wordings, of the same task, on another model;
- all three: "reversed", an earlier study in which the best candidates are the worst;
- a measured table: an earlier study of the same template on the other half of the rows; and for each other table one of
  that template and those rows, which share what options their texts share.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.result_lines import measure_missing, shown
from experiments.benchmarks.search_truth_landscapes import Landscape, LookedUp, families
from experiments.benchmarks.search_truth_strategies import Counter
from experiments.benchmarks.search_truth_world import LEFT, ROWS, SETTINGS, Floats, Levels, Setting, Truth, World
from prompt_search.search.prior.scores import prior_trials
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings
from prompt_search.search.trial import Trial
from prompt_search.storage.once.prior_studies import PriorStudies, PriorStudy

EARLIER_CALLS, EARLIER_SEED = 500, 10_000
"""Search calls of an earlier study, and what is added to the seed for it."""
REACHED = 500
"""The number of calls whose result without a prior is to be reached."""
NONE, REVERSED = "none", "reversed"
KEY = ["family", "prior", "calls", "seed"]

Job = tuple[str, str, int, int]
"""What `KEY` names."""


@dataclass(frozen=True)
class Cell:
    """How a made-up earlier study is related to the new one.

    Args:
        effects: the correlation between what sets candidates apart in the two.
        rows: the correlation between the difficulties of the rows; None where the rows are others.
        template: whether they have choices in common.
        answers: whether equal prompts have equal answers.
    """

    effects: float
    rows: float | None
    template: bool = True
    answers: bool = False


CELLS = {
    "other data": Cell(effects=0.8, rows=None),
    "other template": Cell(effects=0.0, rows=1.0, template=False),
    "other model": Cell(effects=0.6, rows=0.7),
    "again": Cell(effects=1.0, rows=1.0, answers=True),
    "unrelated": Cell(effects=0.0, rows=0.0),
    REVERSED: Cell(effects=-1.0, rows=-1.0),
}


class EarlierTruth(Truth):
    """A made-up study that is related to the one of the same seed."""

    def __init__(self, setting: Setting, cell: Cell, seed: int) -> None:
        super().__init__(setting, seed)
        self._cell, self._rest = cell, (1 - cell.effects**2) ** 0.5
        generator = np.random.default_rng([seed, 15])

        def related(own: Floats) -> Floats:
            """With the same spread, as other effects are the own ones of other options."""
            other = own
            for axis in range(own.ndim):
                other = other.take(generator.permutation(own.shape[axis]), axis)
            return np.asarray(cell.effects * own + self._rest * other)

        self.effects = [related(effect) for effect in self.effects]
        self.pairs = [(a, b, related(table)) for a, b, table in self.pairs]
        if cell.effects <= 0:
            self.gates = [(index, generator.permutation(ways)) for index, ways in self.gates]
        share = cell.rows or 0.0
        other = generator.normal(0, self.setting.difficulty, ROWS)
        self.difficulty = share * self.difficulty + (1 - share**2) ** 0.5 * other

    def _logits(self, levels: Levels, generator: np.random.Generator) -> tuple[float, float]:
        own = generator.normal()
        other = np.random.default_rng([self.seed, 16, *(level + 1 for level in levels)]).normal()
        spread = self.setting.own**0.5 * self.setting.spread * (1 if self.open(np.array([levels]))[0] else LEFT)
        logit = float(self.structured(np.array([levels]))[0]) + spread * (self._cell.effects * own + self._rest * other)
        return logit, logit

    def margins(self, levels: Levels) -> Floats:
        generator = self._own(levels)
        logit, _ = self._logits(levels, generator)
        answers = generator if self._cell.answers else np.random.default_rng([self.seed, 17, *(n + 1 for n in levels)])
        return np.asarray(logit - self.difficulty + answers.logistic(size=ROWS))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A study, and the earlier one that is its prior.

    Args:
        new: the study.
        earlier: the earlier one.
        has_options: whether options are taken from it.
        rows: the row of the new study by that of the earlier one, where they are the same.
    """

    new: World
    earlier: World
    has_options: bool = True
    rows: Mapping[int, int]


def made_up(family: str, name: str, seed: int) -> Pair:
    """The studies of a cell."""
    cell = CELLS[name]
    same = {} if cell.rows is None else {row: row for row in range(ROWS)}
    new, earlier = Truth(SETTINGS[family], seed), EarlierTruth(SETTINGS[family], cell, seed)
    return Pair(new=new, earlier=earlier, has_options=cell.template, rows=same)


class Half(LookedUp):
    """Every second row of a measured table in its order for a seed."""

    def __init__(self, landscape: Landscape, seed: int, first: int) -> None:
        super().__init__(landscape, seed)
        self._order = self._order[first::2]
        self.rows = len(self._order)


@cache
def landscapes_of(folder: Path) -> dict[str, list[Landscape]]:
    """What `families` reads, once in each process."""
    return families(folder)


def on_landscape(folder: Path, family: str, prior: str, seed: int) -> Pair:
    """The studies of a family of landscapes."""
    every = landscapes_of(folder)
    landscape = every[family][seed % len(every[family])]
    if landscape.cells:
        new: World = Half(landscape, seed, 0)
        earlier: World = Half(landscape, seed, 1) if prior == "other data" else every[prior][0].world(seed)
        return Pair(new=new, earlier=earlier, rows={})
    task = landscape.name.rpartition(" ")[0]
    others = [each for each in every[family] if task and each.name.rpartition(" ")[0] == task and each is not landscape]
    before = others[seed % len(others)] if others else landscape
    if prior == REVERSED:
        ends = min(landscape.accuracies.values()) + max(landscape.accuracies.values())
        before = replace(landscape, accuracies={each: ends - value for each, value in landscape.accuracies.items()})
    return Pair(new=landscape.world(seed), earlier=before.world(seed + EARLIER_SEED), rows={})


def priors_of(folder: Path, family: str) -> list[str]:
    """The names of the priors that a family of landscapes has."""
    every = landscapes_of(folder)
    if not every[family][0].cells:
        return ["other data" if len(every[family]) == 1 else "other model", REVERSED]
    return ["other data", *(name for name in every if name != family and every[name][0].cells)]


def raced(world: World, calls: int, seed: int, prior: PriorStudies | None = None) -> tuple[Race, Trial]:
    """A race as a study runs it, and its winner."""
    counter = Counter(world, calls)
    settings = RaceSettings(
        space=counter.space, prepare=counter.enter, row_order=range(world.rows), seed=seed, prior=prior
    )
    budget = CallBudget(limit=lambda: counter.calls, spent=lambda: counter.spent)
    race = Race(settings, evaluator=counter, budget=budget, on_round=lambda race: None)
    return race, asyncio.run(race.run())


def taken(pair: Pair, seed: int) -> PriorStudies:
    """What a study takes from the earlier one."""
    race, _ = raced(pair.earlier, EARLIER_CALLS, seed + EARLIER_SEED)
    trials = [trial for trial in race.trials if trial.scores]
    scores = np.full((len(trials), pair.earlier.rows), np.nan)
    for index, trial in enumerate(trials):
        for outcome in trial.scored:
            scores[index, outcome.row] = outcome.score
    found, ease = prior_trials([race.space.texts(trial.candidate) for trial in trials], scores)
    known = [(own, round(float(ease[row]), 4)) for row, own in pair.rows.items() if not np.isnan(ease[row])]
    studies = [PriorStudy(study="earlier", options=1, trials=found)] if pair.has_options else []
    return PriorStudies(studies=studies, ease=known)


@cache
def pair_of(folder: Path | None, family: str, prior: str, seed: int) -> Pair:
    """The two studies; without a prior those of the first one that the family has."""
    if folder is None:
        return made_up(family, next(iter(CELLS)) if prior == NONE else prior, seed)
    return on_landscape(folder, family, priors_of(folder, family)[0] if prior == NONE else prior, seed)


@cache
def prior_of(folder: Path | None, family: str, prior: str, seed: int) -> PriorStudies:
    """What `taken` gives, once in each process."""
    return taken(pair_of(folder, family, prior, seed), seed)


def measure(folder: Path | None, job: Job) -> dict[str, Any]:
    """One study with or without a prior."""
    family, prior, calls, seed = job
    world = pair_of(folder, family, prior, seed).new
    known = None if prior == NONE else prior_of(folder, family, prior, seed)
    race, winner = raced(world, calls, seed, known)
    accuracy = world.accuracy(Counter(world, calls).levels(winner.candidate))
    weights = race.prior_weights
    return {
        **dict(zip(KEY, job, strict=True)),
        "accuracy": accuracy,
        "optimism": race.estimates()[winner.number] - accuracy,
        "options": weights.likeness[0] if weights.likeness else np.nan,
        "rows": weights.ease if known is not None and known.ease else np.nan,
    }


def calls_to_reach(means: pd.Series[float], wanted: float) -> str:
    """The number of calls at which means, by number of calls, first reach a value; interpolated between them."""
    before: tuple[int, float] | None = None
    for calls, mean in means.items():
        count = int(str(calls))
        if mean >= wanted:
            if before is None:
                return f"at most {count}"
            return f"{before[0] + (count - before[0]) * (wanted - before[1]) / (mean - before[1]):.0f}"
        before = count, mean
    return f"above {means.index[-1]}"


def table(lines: pd.DataFrame, family: str) -> str:
    """A table in Markdown: a line without a prior, and one for each prior."""
    lines = lines[lines["family"] == family]
    budgets = sorted(lines["calls"].unique())
    means = lines.groupby(["prior", "calls"])["accuracy"].mean()
    wide = lines.pivot(index=["calls", "seed"], columns="prior", values="accuracy")
    heads = " | ".join(f"{calls:,} | minus none" for calls in budgets)
    written = [
        f"| {family} ({lines['seed'].nunique()} seeds) | {heads} | as none at {REACHED} | weights | optimism |",
        f"|---|{'---:|' * (2 * len(budgets) + 3)}",
    ]
    for prior in lines["prior"].unique():
        own = lines[lines["prior"] == prior]
        cells = [prior]
        for calls in budgets:
            gain = wide.loc[calls][prior] - wide.loc[calls][NONE]
            cells += [f"{means[prior, calls]:.3f}", "" if prior == NONE else shown(gain.dropna(), "+")]
        reached = calls_to_reach(means[prior], means[NONE, REACHED]) if REACHED in budgets else ""
        weights = [f"{own[name].mean():.2f}" for name in ("options", "rows") if own[name].notna().any()]
        written.append(f"| {' | '.join([*cells, reached, ', '.join(weights), shown(own['optimism'], '+')])} |")
    return "\n".join(written)


def main(arguments: Iterable[str] | None = None) -> int:
    """Measure what is missing, and print a table for each family."""
    parser = argparse.ArgumentParser(description="What a study gains that starts from an earlier one.")
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--calls", nargs="+", type=int, default=[100, 250, 350, REACHED])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--odd", action="store_true", help="odd seeds instead of even ones")
    parser.add_argument("--skip", type=int, default=0, help="number of seeds that are left out before the first")
    parser.add_argument("--landscapes", type=Path, help="a folder of real landscapes, instead of made-up studies")
    parser.add_argument("--families", nargs="+", help=f"{', '.join(SETTINGS)}; with --landscapes, families of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("priors.csv"))
    given = parser.parse_args(None if arguments is None else list(arguments))
    folder: Path | None = given.landscapes
    chosen = given.families or (["main"] if folder is None else list(landscapes_of(folder)))
    jobs = [
        (family, prior, calls, 2 * (given.skip + seed) + given.odd)
        for family in chosen
        for seed in range(given.seeds)
        for prior in [NONE, *(given.cells if folder is None else priors_of(folder, family))]
        for calls in given.calls
    ]
    lines = measure_missing(jobs, partial(measure, folder), KEY, given.output, given.processes)
    print("\n\n".join(table(lines, family) for family in chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
