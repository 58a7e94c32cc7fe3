"""Whether rows that tell most should be asked first, where rows decide most of an outcome and where they do not.

    python experiments/benchmarks/row_choice.py [--studies 60] [--first 0] [--calls 350 900] [--output row_choice.csv]

A study has one choice of 30 prompts and 150 rows. A prompt answers a row rightly by a logistic model: its ability,
minus the row's difficulty, plus noise that is fixed for each cell. Abilities have a standard deviation of 0.6 logits.
In the first world rows decide most: their difficulties have a standard deviation of 4 logits, and the mean score is
0.8. What is reported is the regret: how far the true accuracy of the returned prompt, over all rows that there could
be, is below that of the best one; mean over the studies and its standard error.

- ours: `prompt_search.search.race.Race`, in which all prompts are asked the rows in one order;
- halving: sequential halving of random prompts, in the same order;
- model, common rows: a logistic model of prompt and row (Rasch 1960, with normal priors, by Laplace's approximation),
  blocks of 5 rows for the prompts that its posterior samples put first (Thompson 1933), and the prompt of the highest
  ability; the next rows are those of the common order;
- model, chosen rows: the same; the next rows are those whose outcome is most uncertain, and every sixth prompt begins
  with other rows.

A line that is in the output already is not run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.result_lines import measure_missing, shown
from experiments.benchmarks.search_truth_strategies import STRATEGIES, Counter
from experiments.benchmarks.search_truth_world import Floats, Levels
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.space import SearchSpace

PROMPTS, ROWS, ABILITY = 30, 150, 0.6
WORLDS: Final = MappingProxyType(
    {
        "rows decide most": (0.8, 4.0),
        "strong model": (0.8, 1.0),
        "rows as in other studies": (0.5, 1.0),
        "rows decide little": (0.4, 0.4),
    }
)
"""Mean score, and standard deviation of the rows' difficulties in logits."""

OTHER_ROWS = 20_000
"""Number of rows that stand for all that there could be."""

LOOK_ROWS, PICKS, SAMPLE_SPREAD = 5, 4, 0.5
"""Of the model: rows of a block, prompts between two fits, and the factor on the standard deviation of its samples."""

ABILITIES, DIFFICULTIES = (0.3, 0.8), (0.3, 1.0, 2.0, 4.0)
"""Standard deviations among which the model takes those of the highest evidence."""

KEY = ["world", "strategy", "calls", "seed"]
Booleans = NDArray[np.bool_]


class World:
    """The prompts and rows of one seed; see `search_truth_world.World`."""

    def __init__(self, mean: float, difficulty: float, seed: int) -> None:
        generator = np.random.default_rng([seed, 99])
        abilities = generator.normal(0, ABILITY, PROMPTS)
        self.difficulties = generator.normal(0, difficulty, ROWS)
        others = generator.normal(0, difficulty, OTHER_ROWS)
        levels = np.linspace(-15, 15, 601)
        means = [expit(level + abilities[:, None] - others[None, :500]).mean() for level in levels]
        self.abilities = abilities + levels[np.abs(np.array(means) - mean).argmin()]
        self.accuracies = [float(expit(ability - others).mean()) for ability in self.abilities]
        self.noise = generator.logistic(size=(PROMPTS, ROWS))
        self.options, self.rows = [PROMPTS], ROWS
        texts = tuple(f"prompt {number}" for number in range(PROMPTS))
        self.space = SearchSpace([Factor(name="prompt", kind="choice", options=texts)], lambda values: ["prompt"], ())

    def canonical(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        return levels

    def accuracy(self, levels: Levels) -> float:
        return self.accuracies[levels[0]]

    def margins(self, levels: Levels) -> Floats:
        return np.asarray(self.abilities[levels[0]] - self.difficulties + self.noise[levels[0]])

    def scores(self, levels: Levels) -> Floats:
        return (self.margins(levels) > 0).astype(float)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The posterior of abilities and difficulties: their modes, the covariance of abilities, the precision of each
    difficulty, and the logarithm of the evidence."""

    abilities: Floats
    difficulties: Floats
    covariance: Floats
    precision: Floats
    evidence: float

    @classmethod
    def of(cls, scores: Floats, asked: Booleans, ability: float, difficulty: float) -> Fit:
        """The fit to the scores that were asked, for standard deviations of abilities and difficulties."""
        mean = np.clip(scores[asked].mean(), 0.02, 0.98)
        level = float(logit(mean) * np.sqrt(1 + difficulty**2 / 2.9))  # a probit's width, as a logit's
        abilities, difficulties = np.full(len(scores), level), np.zeros(scores.shape[1])
        for _ in range(8):
            likely = expit(abilities[:, None] - difficulties)
            weights, error = (np.where(asked, each, 0) for each in (likely * (1 - likely), scores - likely))
            slope = error.sum(1) - (abilities - level) / ability**2
            slope_of_rows = -error.sum(0) - difficulties / difficulty**2
            precision = weights.sum(0) + difficulty**-2
            inner = np.diag(weights.sum(1) + ability**-2) - (weights / precision) @ weights.T
            step = np.linalg.solve(inner, slope + (weights / precision) @ slope_of_rows)
            abilities = abilities + np.clip(step, -2, 2)
            difficulties = difficulties + np.clip((slope_of_rows + weights.T @ step) / precision, -3, 3)
        covariance = np.linalg.inv(inner)
        likely = np.clip(expit(abilities[:, None] - difficulties), 1e-9, 1 - 1e-9)
        evidence = np.where(asked, scores * np.log(likely) + (1 - scores) * np.log(1 - likely), 0).sum()
        for value, spread in ((abilities - level, ability), (difficulties, difficulty)):
            evidence -= (value**2).sum() / 2 / spread**2 + len(value) * np.log(spread)
        evidence += np.linalg.slogdet(covariance)[1] / 2 - np.log(precision).sum() / 2
        return cls(
            abilities=abilities,
            difficulties=difficulties,
            covariance=covariance,
            precision=precision,
            evidence=float(evidence),
        )

    @classmethod
    def best(cls, scores: Floats, asked: Booleans) -> Fit:
        """The fit of the highest evidence."""
        fits = (cls.of(scores, asked, ability, difficulty) for ability in ABILITIES for difficulty in DIFFICULTIES)
        return max(fits, key=lambda fit: fit.evidence)

    def uncertainty(self, prompt: int, rows: NDArray[np.int64]) -> Floats:
        """The expected variance of a prompt's score on some rows."""
        lead = self.abilities[prompt] - self.difficulties[rows]
        spread = self.precision[rows] ** -0.5
        likely = expit(lead + np.linspace(-1.5, 1.5, 5)[:, None] * spread)
        return np.asarray((likely * (1 - likely)).mean(axis=0))


def by_model(world: World, calls: int, seed: int, *, chosen: bool) -> int:
    """The prompt that the logistic model returns; ``chosen``: whether it chooses rows."""
    generator = np.random.default_rng(seed)
    scores = np.array([world.scores((prompt,)) for prompt in range(PROMPTS)])
    asked = np.zeros(scores.shape, dtype=bool)
    order = generator.permutation(ROWS)
    for prompt in range(PROMPTS):
        start = prompt % 6 * LOOK_ROWS if chosen else 0
        asked[prompt, order[start : start + LOOK_ROWS]] = True
    while asked.sum() < calls and not asked.all():
        fit = Fit.best(scores, asked)
        root = np.linalg.cholesky(fit.covariance + 1e-9 * np.eye(PROMPTS))
        for _ in range(PICKS):
            sample = fit.abilities + SAMPLE_SPREAD * root @ generator.standard_normal(PROMPTS)
            prompt = int(np.argmax(np.where(asked.all(1), -np.inf, sample)))
            rows = order[~asked[prompt, order]]
            if chosen:
                rows = rows[np.argsort(-fit.uncertainty(prompt, rows), kind="stable")]
            asked[prompt, rows[: min(LOOK_ROWS, calls - int(asked.sum()))]] = True
    return int(np.argmax(Fit.best(scores, asked).abilities))


def regret(job: tuple[str, str, int, int]) -> Mapping[str, Any]:
    """The regret of one strategy in one study, which `KEY` names."""
    name, strategy, calls, seed = job
    world = World(*WORLDS[name], seed)
    if strategy in STRATEGIES:
        (found,) = STRATEGIES[strategy](Counter(world, calls), seed).levels
    else:
        found = by_model(world, calls, seed, chosen=strategy == "model, chosen rows")
    return {**dict(zip(KEY, job, strict=True)), "regret": max(world.accuracies) - world.accuracies[found]}


SHOWN: Final = ("ours", "halving", "model, common rows", "model, chosen rows")


def table(lines: pd.DataFrame) -> str:
    """Mean regret by world, calls and strategy, as a table in Markdown."""
    written = [f"| world | calls | {' | '.join(SHOWN)} |", f"|---|---:|{'---:|' * len(SHOWN)}"]
    for (world, calls), of_cell in lines.groupby(["world", "calls"], sort=False):
        cells = [shown(of_cell.loc[of_cell["strategy"] == each, "regret"], digits=4) for each in SHOWN]
        written.append(f"| {world} | {calls} | {' | '.join(cells)} |")
    return "\n".join(written)


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Whether rows that tell most should be asked first.")
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first study")
    parser.add_argument("--calls", nargs="+", type=int, default=[350, 900])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("row_choice.csv"))
    given = parser.parse_args(None if arguments is None else list(arguments))
    seeds = range(given.first, given.first + given.studies)
    jobs = [
        (world, strategy, calls, seed)
        for world in WORLDS
        for calls in given.calls
        for seed in seeds
        for strategy in SHOWN
    ]
    print(table(measure_missing(jobs, regret, KEY, given.output, given.processes)))


if __name__ == "__main__":
    main()
