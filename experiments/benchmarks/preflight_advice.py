"""Whether a preflight gives the right advice: on a labelled set, and on the same set with its labels shuffled.

    python experiments/benchmarks/preflight_advice.py --data-dir DIR [--sets agnews sst2] [--seeds 20] [--calls 0]
        [--model local] [--base-url URL] [--output preflight_advice.csv]

DIR holds the sets of ``experiments/public_sets``. A seed changes the split, the rows, and the labels' order. With the
labels shuffled no prompt can help, and the right advice is against a search. ``--calls`` is the budget of the planned
study, of which a preflight takes at most 5%; 0 leaves it at 60 calls.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.public_sets.run import make


def shuffled(data: ps.Dataset, seed: int) -> ps.Dataset:
    frame = data.frame()
    labels = frame[data.target].tolist()
    random.Random(seed).shuffle(labels)
    return ps.Dataset(frame.assign(**{data.target: labels}), target=data.target, name=f"{data.name} shuffled")


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether a preflight gives the right advice.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["agnews", "sst2"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--model", default="local")
    parser.add_argument("--base-url")
    parser.add_argument("--storage", default="sqlite:///preflight_advice.db")
    parser.add_argument("--output", default="preflight_advice.csv")
    arguments = parser.parse_args()
    model = ps.Model.parse(arguments.model, base_url=arguments.base_url)
    lines = []
    for name in arguments.sets:
        for seed in range(arguments.seeds):
            study = make(name, arguments.data_dir, model=model, seed=seed, storage=arguments.storage)
            for labels, data in (("as they are", study.data), ("shuffled", shuffled(study.data, seed))):
                found = study.replace(data=data).preflight(arguments.calls or None)
                line = {"set": name, "labels": labels, "seed": seed, "go": found.worthwhile, "p": found.p}
                line |= {"calls": found.calls, "score": found.score, "advice": " ".join(found.advice)}
                lines.append(line)
                print(f"{name} {labels} seed {seed}: p = {found.p:.3f}, {found.advice[0]}", flush=True)
                pd.DataFrame(lines).to_csv(arguments.output, index=False)
    table = pd.DataFrame(lines).groupby(["set", "labels"], sort=False)
    print(table.agg(seeds=("seed", "count"), go=("go", "sum"), calls=("calls", "max")).to_string())


if __name__ == "__main__":
    main()
