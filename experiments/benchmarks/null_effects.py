"""How often a study shows that an option affects the score where none does, but rows and candidates differ.

    python experiments/benchmarks/null_effects.py [--studies 200] [--candidates 12 20 40] [--block-rows 10]

A made-up study has four choices of two to five options, none of which has an effect. Rows are easy or hard, and each
candidate is scored on blocks of rows of its own: three in five on one block, the others on two or three. Kinds:

- rows: easy and hard rows (0.9 and 0.1 right) are in every block;
- blocks: whole blocks are easy or hard (0.85 and 0.15), as where rows come in an order that tells;
- prompts: as rows, and each candidate deviates from all others by its own 0.15 (a standard deviation).

The table has the share of studies that show an option (at most 5% should), the same for options of a single candidate,
and how often the 95% intervals hold 0.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from prompt_search.prompts.factors import Factor
from prompt_search.results.breakdowns import SHOWN_P
from prompt_search.search.scores import PlacedScore, observations_of, score_table
from prompt_search.search.surrogate.effects import effects
from prompt_search.search.surrogate.geometry import Floats, Geometry
from prompt_search.search.surrogate.model import Surrogate
from prompt_search.search.surrogate.observations import row_variances
from prompt_search.search.surrogate.priors import Prior

FACTORS = [Factor(name=f"choice {count}", kind="choice", options=tuple(range(count))) for count in (4, 3, 2, 5)]
BLOCKS = 15
KINDS = {"rows": 0.0, "blocks": 0.0, "prompts": 0.15}
"""The standard deviation of what is a candidate's own, by kind of study."""


def difficulty(kind: str, block_rows: int, generator: np.random.Generator) -> Floats:
    """The share of right answers on each row."""
    if kind == "blocks":
        return np.repeat(np.where(generator.random(BLOCKS) < 0.5, 0.15, 0.85), block_rows)
    return np.where(generator.random(BLOCKS * block_rows) < 0.5, 0.1, 0.9)


def surrogate(kind: str, candidates: int, block_rows: int, seed: int) -> Surrogate:
    """What a finished study knows where no option has an effect."""
    generator = np.random.default_rng(seed)
    rows = difficulty(kind, block_rows, generator)
    levels = np.unique(
        np.column_stack([generator.integers(0, len(factor.options), candidates) for factor in FACTORS]), axis=0
    )
    scores: list[PlacedScore] = []
    for candidate in range(len(levels)):
        own = KINDS[kind] * generator.standard_normal()
        count = 1 if generator.random() < 0.6 else int(generator.integers(2, 4))
        for block in generator.choice(BLOCKS, count, replace=False):
            for place in range(block * block_rows, (block + 1) * block_rows):
                right = generator.random() < np.clip(rows[place] + own, 0.01, 0.99)
                scores.append((candidate, place, float(right)))
    geometry, observations = Geometry(FACTORS), observations_of(scores, levels, block_rows)
    assert observations is not None
    variances = row_variances(score_table(scores, len(levels), len(rows)))
    return Surrogate.fit(geometry, observations, Prior.for_reporting(geometry, observations, *variances))


def study(kind: str, candidates: int, block_rows: int, seed: int) -> dict[str, float]:
    """Whether a study shows an effect, and the share of its intervals that hold 0."""
    model = surrogate(kind, candidates, block_rows, seed)
    found = effects(model)
    single = [np.bincount(model.observations.levels[:, each.choice], minlength=len(each.p)) == 1 for each in found]
    shown = np.concatenate([each.p < SHOWN_P for each in found])
    held = np.concatenate([((each.low <= 0) & (each.high >= 0))[~np.isnan(each.mean)] for each in found])
    return {
        "shown": float(shown.any()),
        "by one candidate": float((shown & np.concatenate(single)).any()),
        "held": float(held.mean()) if len(held) else np.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How often an effect is shown where none is.")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--candidates", type=int, nargs="+", default=[12, 20, 40])
    parser.add_argument("--block-rows", type=int, default=10)
    arguments = parser.parse_args()
    lines = [
        {"kind": kind, "candidates": count, **study(kind, count, arguments.block_rows, seed)}
        for kind in KINDS
        for count in arguments.candidates
        for seed in range(arguments.studies)
    ]
    print((100 * pd.DataFrame(lines).groupby(["kind", "candidates"], sort=False).mean()).round(1).to_string())


if __name__ == "__main__":
    main()
