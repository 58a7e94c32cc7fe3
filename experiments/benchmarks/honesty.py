"""Whether what a result says is true, on made-up studies whose truth is known.

    python experiments/benchmarks/honesty.py [--studies 1000] [--settings main weak ...] [--calls 500]
        [--prior "other data" ...] [--output honesty.csv]

The first table is of the intervals alone: how often the 95% interval of the mean of some scores holds the true mean,
over 20,000 draws. The second runs whole studies, those of ``search_truth.py``: a search, then winner and default on
test rows that are drawn afresh, as many as a study of so many calls has (15% for each). Its columns:

- winner, difference: how often their 95% intervals hold the truth (asked: 94 to 96%);
- better, predicted: how often the verdict is "better", and how often `statistics.mcnemar_power` says it should be,
  given the true difference; for ``equal``, where all prompts are equally good, at most 5% may be;
- headline, corrected, winner's, highest: by how many points the winner's score on the test rows, its estimate in the
  search, its score in the search and the highest score seen are above the truth, on average, with standard errors;
- effects: how often the 95% interval of an option's effect holds the truth (asked: 93 to 97%), over all options of the
  choices that are no slots for shots, and of the slots; by means: the same for the interval of the mean over the trials
  that had the option, minus the mean of all;
- simplest: how often it is another prompt than the winner, and how often that one is truly within the margin.

With ``--prior`` the lines are those of "main" for cells of ``priors.py``: each study starts from an earlier one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from prompt_search.metrics import UNBOUNDED
from prompt_search.metrics.ranges import SHARE
from prompt_search.results.breakdowns import SHOWN_P
from prompt_search.results.statistics import mcnemar_power, mean_interval, mean_intervals, not_worse, paired_difference
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings
from prompt_search.search.trial import DEFAULT_TRIAL
from prompt_search.study.plan import TEST_SHARE

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.priors import CELLS, prior_of
from experiments.benchmarks.search_truth_strategies import Counter
from experiments.benchmarks.search_truth_world import QUADRATURE, ROWS, SETTINGS, Levels, Setting, Truth

Floats = NDArray[np.float64]

CHOSEN = {
    **{name: SETTINGS[name] for name in ("main", "additive", "interactions", "no shots", "weak")},
    "equal": replace(Setting(), spread=1e-9),
}
GRADED = {"like chrF": (1.2, 3.0), "like F1": (0.4, 0.4), "mean 0.9": (9.0, 1.0), "mean 0.9, wide": (4.0, 0.4)}
"""Parameters of the beta distributions of scores between 0 and 1."""

DRAWS = 20_000
COMPLETIONS = 1_500
"""Random prompts over which true effects are averaged."""

MARGIN = 0.05


def intervals() -> pd.DataFrame:
    """Coverage of `mean_interval`, by kind of score and number of rows."""
    generator = np.random.default_rng(0)
    lines = []
    for rows in (15, 30, 75, 150, 300):
        line: dict[str, Any] = {"rows": rows}
        for share in (0.5, 0.75, 0.95):
            scores = generator.random((DRAWS, rows)) < share
            found = {count: mean_interval([1.0] * count + [0.0] * (rows - count)) for count in range(rows + 1)}
            held = [found[count][0] <= share <= found[count][1] for count in scores.sum(axis=1).tolist()]
            line[f"{share:.0%} right"] = np.mean(held)
        for name, (a, b) in GRADED.items():
            graded = generator.beta(a, b, (DRAWS, rows))
            for kind, bounds in {"": SHARE, ", no range": UNBOUNDED}.items():
                counts, binary = np.full(DRAWS, rows), np.full(DRAWS, False)
                low, high = mean_intervals(
                    counts, graded.mean(axis=1), graded.std(axis=1, ddof=1), binary, bounds=bounds
                )
                line[f"{name}{kind}"] = np.mean((low <= a / (a + b)) & (a / (a + b) <= high))
        lines.append(line)
    return pd.DataFrame(lines).set_index("rows")


class Sealed:
    """Rows that the search never saw, drawn from the same population."""

    def __init__(self, truth: Truth, rows: int) -> None:
        self.truth = truth
        self.generator = np.random.default_rng([truth.seed, 11])
        self.difficulty = self.generator.normal(0, truth.setting.difficulty, rows)

    def logit(self, levels: Levels) -> float:
        return float(self.truth._logits(levels, self.truth._own(levels))[0])

    def scores(self, levels: Levels) -> list[float]:
        noise = self.generator.logistic(size=len(self.difficulty))
        return list((self.logit(levels) - self.difficulty + noise > 0).astype(float))

    def discordant(self, first: Levels, second: Levels) -> float:
        """The probability that a row is right with one of them only."""
        nodes, weights = QUADRATURE
        one, two = (
            expit(self.logit(each) - self.truth.setting.difficulty * 2**0.5 * nodes) for each in (first, second)
        )
        return float((one * (1 - two) + two * (1 - one)) @ weights / np.pi**0.5)


def true_effects(truth: Truth) -> list[Floats]:
    """What each option adds to the accuracy, averaged over random prompts, from the mean of the choice's options."""
    generator = np.random.default_rng([truth.seed, 12])
    base = generator.integers(0, truth.options, (COMPLETIONS, len(truth.options)))
    own = truth.setting.own**0.5 * truth.setting.spread * generator.normal(size=COMPLETIONS)
    found = []
    for choice, count in enumerate(truth.options):
        means = []
        for option in range(count):
            levels = base.copy()
            levels[:, choice] = option
            means.append(truth._accuracy(truth.structured(levels) + own).mean())
        found.append(np.array(means) - np.mean(means))
    return found


def study(job: tuple[str, int, int]) -> dict[str, Any]:
    """One study, and what is true of what it says."""
    setting, calls, seed = job
    truth = Truth(CHOSEN["main" if setting in CELLS else setting], seed)
    rows = int(calls * TEST_SHARE / 2)
    counter = Counter(truth, calls - 2 * rows)
    settings = RaceSettings(
        space=counter.space,
        prepare=counter.enter,
        row_order=range(ROWS),
        seed=seed,
        prior=prior_of(None, "main", setting, seed) if setting in CELLS else None,
    )
    budget = CallBudget(limit=lambda: counter.calls, spent=lambda: counter.spent)
    race = Race(settings, evaluator=counter, budget=budget, on_round=lambda race: None)
    best = asyncio.run(race.run())
    estimates, uncertainties = race.estimates(), race.uncertainties()
    levels = {trial.number: counter.levels(trial.candidate) for trial in race.trials if trial.scores}
    winner, default = levels[best.number], levels[DEFAULT_TRIAL]
    accuracy, before = truth.accuracy(winner), truth.accuracy(default)
    found: dict[str, Any] = {"setting": setting, "seed": seed, "accuracy": accuracy}

    sealed = Sealed(truth, rows)
    first, second = sealed.scores(default), sealed.scores(winner)
    if winner == default:
        second = first
    compared = paired_difference(first, second)
    low, high = mean_interval(second)
    found["winner"] = low <= accuracy <= high
    found["difference"] = compared.low <= accuracy - before <= compared.high
    found["better"] = compared.verdict == "better"
    if accuracy > before:
        found["predicted"] = mcnemar_power(rows, sealed.discordant(default, winner), accuracy - before)
    else:
        found["predicted"] = 0.0

    means = {trial.number: float(np.mean(trial.scores)) for trial in race.trials if trial.scores}
    highest = max(means, key=lambda trial: means[trial])
    found["headline"] = np.mean(second) - accuracy
    found["corrected"] = estimates[best.number] - accuracy
    found["winner's"] = means[best.number] - accuracy
    found["highest"] = means[highest] - truth.accuracy(levels[highest])

    held: dict[str, list[bool]] = {"effects": [], "slots": [], "by means": []}
    truly = true_effects(truth)
    shown = wrong = 0
    for effect in race.effects():
        right = truly[effect.choice]
        known = ~np.isnan(effect.mean)
        inside = (effect.low <= right) & (right <= effect.high)
        plain = effect.choice < len(truth.options) - truth.setting.slots
        held["effects" if plain else "slots"] += inside[known].tolist()
        if plain:
            listed = effect.p < SHOWN_P
            shown += int(listed.sum())
            wrong += int((right[listed] * effect.mean[listed] < 0).sum())
        for option, value in enumerate(right if plain else []):
            had = [means[trial] for trial in levels if levels[trial][effect.choice] == option]
            if len(had) > 1:
                low, high = mean_interval(had)
                held["by means"].append(bool(low <= value + np.mean(list(means.values())) <= high))
    found |= {name: np.mean(inside) if inside else np.nan for name, inside in held.items()}
    found |= {"shown": shown, "wrong": wrong / shown if shown else np.nan}

    sizes = np.random.default_rng([seed, 13])
    length = [sizes.integers(0, 30, count) for count in truth.options]
    near = [
        trial
        for trial in levels
        if not_worse(estimates[trial] - estimates[best.number], uncertainties[trial], MARGIN) or trial == best.number
    ]
    simplest = min(near, key=lambda trial: sum(size[level] for size, level in zip(length, levels[trial], strict=True)))
    found["simplest"] = simplest != best.number
    found["within"] = truth.accuracy(levels[simplest]) >= accuracy - MARGIN if simplest != best.number else np.nan
    return found


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """A line for each setting; shares in percent, biases in points with their standard errors."""
    groups = frame.drop(columns="seed").astype({"within": float}).groupby("setting", sort=False)
    mean, error = 100 * groups.mean(), 100 * groups.sem()
    shown = mean.map("{:.1f}".format)
    shown["shown"] = (mean["shown"] / 100).map("{:.2f}".format)
    for name in ("headline", "corrected", "winner's", "highest"):
        shown[name] = mean[name].map("{:+.1f}".format) + error[name].map(" ({:.1f})".format)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether what a result says is true, with the truth known.")
    parser.add_argument("--studies", type=int, default=1_000)
    parser.add_argument("--settings", nargs="+", choices=list(CHOSEN), default=list(CHOSEN))
    parser.add_argument("--prior", nargs="+", choices=list(CELLS), default=[])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", default="honesty.csv")
    arguments = parser.parse_args()
    print("how often the 95% interval of a mean holds the truth:")
    print(intervals().map("{:.3f}".format).to_string())
    print()
    jobs = [
        (name, arguments.calls, seed)
        for name in arguments.prior or arguments.settings
        for seed in range(arguments.studies)
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        frame = pd.DataFrame(pool.map(study, jobs, chunksize=10))
    frame.to_csv(arguments.output, index=False)
    print(f"{arguments.studies} studies of {arguments.calls} calls a line, in percent and points:")
    print(table(frame).to_string())


if __name__ == "__main__":
    main()
