"""Whether a search is better off with more sets of shots, and with knowing which sets share shots.

    python experiments/benchmarks/shot_sets.py [--pool 100] [--share 0.2] [--part 0.6] [--calls 150 300 500]
        [--sets 3 8 24] [--seeds 60] [--output shot_sets.csv]

A made-up study as in search_truth.py: four choices of 3 to 6 options, 0 to 4 shots, and a picker: ``diverse``,
``nearest`` and so many random sets of a pool. ``share`` of the variance between candidates is due to the sets; of that,
``part`` is the sum of what their shots are worth, and the rest each set's own. Every number of sets has the same truth
and the same first sets. What is reported is the true accuracy of the prompt that the search returns, with 3 sets, and
for the others the difference from that, paired by seed, with its standard error.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.benchmarks.search_truth_strategies import Counter, race
from experiments.benchmarks.search_truth_world import ROWS, Floats, Setting, Truth
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.space import SearchSpace

OPTIONS = (6, 5, 4, 3)
"""The number of options of each choice besides shots."""
MOST_SHOTS, MOST_SETS = 4, 48
BY_COUNT = np.array([0, 0.05, 0.1, 0.12, 0.14])
"""What so many shots add, whichever they are (logits)."""


class ShotSets(Truth):
    """A made-up study in which sets of shots matter.

    Args:
        share, part, pool: see the module.
        sets: the number of random sets.
        known: whether the search knows which shots each set shows.
        seed: of the truth.
    """

    def __init__(self, share: float, part: float, pool: int, sets: int, known: bool, seed: int) -> None:
        self.setting = Setting(choices=0.65 - share, shots=share, pairs=0.15, own=0.2)
        self.seed, self.known = seed, known
        self.names = ["diverse", "nearest", *(f"random {number}" for number in range(1, sets + 1))]
        self.options = [*OPTIONS, MOST_SHOTS + 1, len(self.names)]
        self.pool = ExamplePool(tuple({"text": f"text {row}", "label": row} for row in range(pool)), "label")
        generator, variance = np.random.default_rng([seed, 77]), self.setting.spread**2
        shares = generator.dirichlet(np.full(len(OPTIONS), 1.5)) * variance * self.setting.choices
        effects = [generator.normal(0, each**0.5, count) for each, count in zip(shares, OPTIONS, strict=True)]
        self.effects = [effect - effect.mean() for effect in effects]
        self.sets = self._worth(part, (variance * share) ** 0.5, generator)
        together = [(a, b) for a in range(len(OPTIONS)) for b in range(a + 1, len(OPTIONS))]
        self.pairs = []
        parts = generator.dirichlet(np.full(len(together), 0.5)) * variance * self.setting.pairs
        for (a, b), each in zip(together, parts, strict=True):
            table = generator.normal(0, each**0.5, (OPTIONS[a], OPTIONS[b]))
            self.pairs.append((a, b, table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()))
        self.difficulty = generator.normal(0, self.setting.difficulty, ROWS)
        self.label, self.leanings, self.gates = np.resize([1.0, -1.0], ROWS), [], []

    def _worth(self, part: float, spread: float, generator: np.random.Generator) -> Floats:
        """What each set adds with so many shots, of shape (shots + 1, sets)."""
        shots, own = generator.normal(0, 1, len(self.pool)), generator.normal(0, 1, MOST_SETS + 2)
        found = np.zeros((MOST_SHOTS + 1, len(self.names)))
        for count, index in product(range(1, MOST_SHOTS + 1), range(len(self.names))):
            found[count, index] = own[index] * count**0.5
            if self.names[index].startswith("random"):
                sum_of_shots = shots[list(self.pool.positions(self.names[index], count))].sum()
                found[count, index] = part**0.5 * sum_of_shots + (1 - part) ** 0.5 * own[index] * count**0.5
        return np.asarray(found * spread / MOST_SHOTS**0.5)

    @property
    def space(self) -> SearchSpace:
        shown = tuple(
            frozenset(self.pool.positions(name, MOST_SHOTS) if name.startswith("random") else ()) for name in self.names
        )
        factors = [
            Factor(name=f"choice {index}", kind="choice", options=tuple(f"{index}.{option}" for option in range(count)))
            for index, count in enumerate(OPTIONS)
        ]
        factors.append(Factor(name="shots", kind="examples", options=tuple(range(MOST_SHOTS + 1))))
        picker = Factor(
            name="shots.picker", kind="choice", options=tuple(self.names), shown=shown if self.known else ()
        )

        def used(values: Mapping[str, Any]) -> list[str]:
            return [each.name for each in factors] + [picker.name] * bool(values.get("shots", 0))

        return SearchSpace([*factors, picker], used, parents=["shots"])

    def structured(self, levels: NDArray[np.int64]) -> Floats:
        count, picked = levels[:, len(OPTIONS)], np.maximum(levels[:, -1], 0)
        total = self.setting.level + BY_COUNT[count] - BY_COUNT.mean() + self.sets[count, picked]
        for index, effect in enumerate(self.effects):
            total += effect[levels[:, index]]
        for a, b, table in self.pairs:
            total += table[levels[:, a], levels[:, b]]
        return np.asarray(total)


def accuracy(job: tuple[float, float, int, int, bool, int, int]) -> float:
    """The true accuracy of the prompt that a search returns: arguments of `ShotSets`, and the number of calls."""
    share, part, pool, sets, known, seed, calls = job
    truth = ShotSets(share, part, pool, sets, known, seed)
    return truth.accuracy(race(Counter(truth, calls), truth.seed).levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--part", type=float, default=0.6)
    parser.add_argument("--calls", type=int, nargs="+", default=[150, 300, 500])
    parser.add_argument("--sets", type=int, nargs="+", default=[3, 8, 24])
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output")
    given = parser.parse_args()
    variants = [(sets, known) for sets in given.sets for known in (False, True)]
    keys = list(product(given.calls, range(given.seeds), variants))
    jobs = [(given.share, given.part, given.pool, *variant, seed, calls) for calls, seed, variant in keys]
    with ProcessPoolExecutor(given.processes) as executor:
        found = list(executor.map(accuracy, jobs, chunksize=2))
    table = pd.DataFrame(
        [(calls, seed, *variant, score) for (calls, seed, variant), score in zip(keys, found, strict=True)],
        columns=["calls", "seed", "sets", "known", "accuracy"],
    )
    if given.output:
        table.to_csv(given.output, index=False)
    wide = table.pivot_table(index=["calls", "seed"], columns=["sets", "known"], values="accuracy")
    more = wide.sub(wide[(given.sets[0], False)], axis=0).groupby("calls").agg(["mean", "sem"])
    print(wide.groupby("calls").mean().round(3).to_string(), more.round(4).T.to_string(), sep="\n\n")


if __name__ == "__main__":
    main()
