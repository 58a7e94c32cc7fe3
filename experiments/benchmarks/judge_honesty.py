"""Whether verdicts by a noisy, biased judge are true, on made-up studies whose truth is known.

    python experiments/benchmarks/judge_honesty.py [--studies 500] [--calls 400] [--output judge_honesty.csv]

Each study is a search of the made-up space of ``search_truth.py``. The answer of a prompt to a row has a quality from 0
to 1; the judge's score of it is drawn around the quality with the standard deviation ``noise`` (as far as scores from 0
to 1 have room for it), so that its mean over many judgements is the quality. A row takes two calls, one of them the
judge's. Winner and default are then judged on test rows that are drawn afresh. The table has for each noise, in percent
of the studies whose winner is not the default:

- verdict: how often the interval of the verdict holds the true difference of the qualities (asked: 94 to 96);
- noise ignored: the same for an interval of the same width as if the judge had no noise, around the same difference;
- repeats as rows: the same where each answer is judged three times and each judgement counts as a row of its own.

A second table has a judge that also likes some prompts for their style: what it gives the answers of a prompt more or
less than people do is drawn once for each prompt, with the standard deviation ``bias``. People's scores are the
qualities, and people have scored a random part of the test rows:

- judge alone: how often the interval of the verdict holds the difference by people's scores;
- corrected: the same for `prompt_search.results.judged.people.corrected_mean`, with its width beside that of the
  interval of people's scores alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from prompt_search.metrics.ranges import SHARE
from prompt_search.results.judged.people import corrected_mean
from prompt_search.results.statistics import mean_interval, paired_difference
from prompt_search.search.race import Race
from prompt_search.search.settings import CallBudget, RaceSettings
from prompt_search.study.plan import TEST_SHARE

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.search_truth_strategies import Counter
from experiments.benchmarks.search_truth_world import ROWS, SETTINGS, Levels, Truth

Floats = NDArray[np.float64]

NOISES = (0.0, 0.1, 0.3)
BIASES = (0.0, 0.1, 0.2)
PEOPLE = (15, 30)
"""Numbers of test rows that people score."""

CALLS_PER_ROW = 2
REPEATS = 3
STEEPNESS = 1.5
"""How fast quality grows with what an answer is better than its row is hard."""

DRAWS = 200_000


class Qualities(Truth):
    """A made-up study whose answers have a quality instead of being right or wrong, judged with noise."""

    def __init__(self, seed: int, noise: float) -> None:
        super().__init__(SETTINGS["main"], seed)
        self.noise = noise

    def quality(self, levels: Levels, difficulty: Floats, generator: np.random.Generator) -> Floats:
        """The quality of a prompt's answers to rows of this difficulty."""
        logit = self._logits(levels, self._own(levels))[0]
        luck = generator.logistic(size=len(difficulty))
        return np.asarray(special.expit(STEEPNESS * (logit - difficulty + luck)))

    def mean_quality(self, levels: Levels) -> float:
        """Over all rows there could be."""
        generator = np.random.default_rng(99)
        difficulty = generator.normal(0, self.setting.difficulty, DRAWS)
        return float(self.quality(levels, difficulty, generator).mean())

    def judged(self, quality: Floats, generator: np.random.Generator) -> Floats:
        """Scores from 0 to 1 around qualities."""
        room = quality * (1 - quality)
        variance = np.minimum(self.noise**2, 0.9 * room)
        if not self.noise:
            return quality
        size = room / np.maximum(variance, 1e-12) - 1
        return np.asarray(generator.beta(np.maximum(quality * size, 1e-9), np.maximum((1 - quality) * size, 1e-9)))

    def scores(self, levels: Levels) -> Floats:
        generator = np.random.default_rng([self.seed, 21, *(level + 1 for level in levels)])
        return self.judged(self.quality(levels, self.difficulty, generator), generator)

    def margins(self, levels: Levels) -> Floats:
        return np.full(ROWS, np.nan)


def searched(truth: Qualities, calls: int) -> Levels:
    """The winner of a search with what the test leaves of so many calls."""
    rows = int(calls * TEST_SHARE / 2 / CALLS_PER_ROW)
    counter = Counter(truth, calls // CALLS_PER_ROW - 2 * rows)
    settings = RaceSettings(space=counter.space, prepare=counter.enter, row_order=range(ROWS), seed=truth.seed)
    budget = CallBudget(limit=lambda: counter.calls, spent=lambda: counter.spent)
    race = Race(settings, evaluator=counter, budget=budget, on_round=lambda race: None)
    return counter.levels(asyncio.run(race.run()).candidate)


def study(job: tuple[float, int, int]) -> list[dict[str, Any]]:
    """One study, and what is true of what it says, with each bias of the judge and each number of rows of people."""
    noise, calls, seed = job
    truth = Qualities(seed, noise)
    default = (0,) * len(truth.options)
    winner = searched(truth, calls)
    if winner == default:
        return []
    rows = int(calls * TEST_SHARE / 2 / CALLS_PER_ROW)
    true = cache(truth.mean_quality)
    difference = true(winner) - true(default)
    generator = np.random.default_rng([seed, 31])
    difficulty = generator.normal(0, truth.setting.difficulty, rows)
    people = [truth.quality(levels, difficulty, generator) for levels in (default, winner)]
    repeated = [[truth.judged(quality, generator) for quality in people] for _ in range(REPEATS)]
    first, second = repeated[0]
    found = paired_difference(list(first), list(second), bounds=SHARE)
    spread = float(np.std(people[1] - people[0], ddof=1)) / rows**0.5
    half = float(special.stdtrit(rows - 1, 0.975)) * spread
    changes = np.concatenate([second - first for first, second in repeated])
    low, high = mean_interval(changes.tolist(), bounds=SHARE.differences)
    line = {
        "noise": noise,
        "seed": seed,
        "verdict": found.low <= difference <= found.high,
        "noise ignored": abs(found.difference - difference) <= half,
        "repeats as rows": low <= difference <= high,
    }
    human = people[1] - people[0]
    lines = []
    for bias in BIASES:
        liked = generator.normal(0, bias) - generator.normal(0, bias)
        judged = second - first + liked
        alone = mean_interval(judged.tolist())
        for count in PEOPLE:
            some = generator.choice(rows, size=count, replace=False)
            corrected = corrected_mean(list(judged), list(judged[some]), list(human[some]), SHARE.differences)
            people_low, people_high = mean_interval(human[some].tolist())
            lines.append(
                {
                    **line,
                    "bias": bias,
                    "people": count,
                    "judge alone": alone[0] <= difference <= alone[1],
                    "corrected": corrected.low <= difference <= corrected.high,
                    "width": corrected.high - corrected.low,
                    "width of people alone": people_high - people_low,
                }
            )
    return lines


def table(frame: pd.DataFrame) -> str:
    """Both tables, shares in percent."""
    shares = ["verdict", "noise ignored", "repeats as rows"]
    once = frame.drop_duplicates(["noise", "seed"]).groupby("noise")
    first = (100 * once[shares].mean()).map("{:.1f}".format).assign(studies=once.size())
    groups = frame.groupby(["noise", "bias", "people"])
    second = (100 * groups[["judge alone", "corrected"]].mean()).map("{:.1f}".format)
    widths = groups[["width", "width of people alone"]].mean().map("{:.3f}".format)
    return f"{first.to_string()}\n\n{second.join(widths).to_string()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether verdicts by a noisy judge are true.")
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", default="judge_honesty.csv")
    arguments = parser.parse_args()
    jobs = [(noise, arguments.calls, seed) for noise in NOISES for seed in range(arguments.studies)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        lines = [line for found in pool.map(study, jobs, chunksize=5) for line in found]
    frame = pd.DataFrame(lines)
    frame.to_csv(arguments.output, index=False)
    print(table(frame))


if __name__ == "__main__":
    main()
