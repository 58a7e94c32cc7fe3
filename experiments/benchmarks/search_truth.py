"""How good a prompt each search returns, on made-up studies and real landscapes whose truth is known.

    python experiments/benchmarks/search_truth.py [--studies main weak ...] [--strategies ours tpe ...]
        [--calls 250 500 1500 5000] [--seeds 40] [--output search_truth.csv]
    python experiments/benchmarks/search_truth.py --landscapes DIR [--studies gsm8k BBH ...] [--strategies ours tpe ...]
        [--calls 250 500 1500] [--seeds 40] [--output search_truth_landscapes.csv]

A study has 8 choices of 3 to 8 options and 4 slots for shots that draw from one pool of 40. Whether a candidate
answers a row rightly is decided by a logistic model: effects of options, of shots (half of it the shot's own, half
the slot's), of pairs of choices, of the single prompt, minus the row's difficulty, plus noise that is fixed for each
cell. There are 200 rows to search on. What is reported is the true accuracy of the prompt that a strategy returns,
over the whole population of rows: mean over the seeds and its standard error. A call is one row for one candidate.
``best`` is the best prompt that hill climbing on the truth finds.

With ``--landscapes`` the candidates and their accuracies are those of a folder; see `search_truth_landscapes.py`. A
seed takes the next landscape of a family, and has its own answers to rows. ``best`` and ``average`` are those of all
candidates, and the second column of each number of calls is the difference to ours, paired by seed. A line that is in
the output already is not run again.

Strategies:

- ours: `prompt_search.search.race.Race` as a study runs it;
- ours-soft: the same with a margin for every score (by how much the answer is right), as label log-probabilities give;
- random: 20 rows each, the best mean;
- tpe: Optuna's default sampler, 20 rows each, the best mean; tpe-100: 100 rows each;
- tpe-final: the same with 20 rows, and the last 30% of the calls for the best 8, halved in stages;
- gp: the same with Optuna's sampler with a Gaussian process; it needs torch, and is skipped without;
- tpe-race: Optuna's sampler in our race (`Study(sampler=TPESampler())`);
- halving: sequential halving of random candidates, 10 rows each in the first stage;
- tpe-halving: Optuna's sampler with its successive halving, 10 rows at first, up to 160;
- evolution: crossover and mutation, blocks of 10 rows, a rival is dropped when three others are better by a paired
  t-test (after CAPO, Zehle et al. 2025).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one study a process

import optuna
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.result_lines import measure_missing, shown
from experiments.benchmarks.search_truth_landscapes import Landscape, families
from experiments.benchmarks.search_truth_strategies import STRATEGIES, Counter, without_missing
from experiments.benchmarks.search_truth_world import SETTINGS, Truth
from prompt_search._numbers import counted
from prompt_search.errors import InputError

OURS = "ours"
KEY = ["family", "strategy", "calls", "seed"]

Replay = tuple[str, str, int, int]
"""What `KEY` names."""


def measure(job: tuple[str, str, int, int]) -> dict[str, Any]:
    """One strategy on one study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, strategy, calls, seed = job
    truth = Truth(SETTINGS[study], seed)
    if strategy == "best":
        return {"study": study, "strategy": strategy, "calls": calls, "seed": seed, "accuracy": truth.best()}
    found = STRATEGIES[strategy](Counter(truth, calls), seed)
    return {
        "study": study,
        "strategy": strategy,
        "calls": calls,
        "seed": seed,
        "accuracy": truth.accuracy(found.levels),
        "candidates": found.candidates,
        "seconds": found.seconds,
    }


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy and standard error, a line per study and strategy, a column per number of calls."""
    groups = frame.groupby(["study", "strategy", "calls"], sort=False).accuracy
    text = groups.mean().map("{:.3f}".format) + groups.sem().map(" ({:.3f})".format)
    return text.unstack("calls").fillna("")


@cache
def landscapes_of(folder: Path) -> dict[str, list[Landscape]]:
    """What `families` reads, once in each process."""
    return families(folder)


def replay(folder: Path, job: Replay) -> dict[str, Any]:
    """One strategy on one landscape of a folder."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    family, strategy, calls, seed = job
    of_family = landscapes_of(folder)[family]
    landscape = of_family[seed % len(of_family)]
    accuracies = list(landscape.accuracies.values())
    found = STRATEGIES[strategy](Counter(landscape.world(seed), calls), seed)
    return {
        **dict(zip(KEY, job, strict=True)),
        "landscape": landscape.name,
        "accuracy": landscape.accuracies[found.levels],
        "best": max(accuracies),
        "average": sum(accuracies) / len(accuracies),
        "candidates": found.candidates,
        "seconds": round(found.seconds, 3),
    }


def replay_table(lines: pd.DataFrame, family: str) -> str:
    """A table in Markdown: a line for each strategy, and for each number of calls the mean accuracy and the
    difference to ours, paired by seed, each with its standard error."""
    lines = lines[lines["family"] == family]
    budgets = sorted(lines["calls"].unique())
    seeds = f"{counted(lines['seed'].nunique(), 'seed')}, {counted(lines['landscape'].nunique(), 'landscape')}"
    written = [
        f"| {family} ({seeds}) | {' | '.join(f'{calls:,} | minus {OURS}' for calls in budgets)} |",
        f"|---|{'---:|---:|' * len(budgets)}",
    ]
    wide = lines.pivot(index=["calls", "seed"], columns="strategy", values="accuracy")
    for strategy in lines["strategy"].unique():
        cells = [strategy]
        for calls in budgets:
            own = wide.loc[calls]
            ours = own[OURS] if OURS in own and strategy != OURS else pd.Series(index=own.index, dtype=float)
            cells += [shown(own[strategy].dropna()), shown((own[strategy] - ours).dropna(), "+")]
        written.append(f"| {' | '.join(cells)} |")
    firsts, rest = lines.drop_duplicates("seed"), " |" * (2 * len(budgets) - 1)
    written += [f"| {name} of all candidates | {shown(firsts[name])} |{rest}" for name in ("best", "average")]
    return "\n".join(written)


def on_landscapes(given: argparse.Namespace) -> None:
    """The tables of all families.

    Raises:
        InputError: the folder has none, or not those of ``--studies``.
    """
    known = landscapes_of(given.landscapes)
    unknown = [name for name in given.studies or () if name not in known]
    if unknown:
        raise InputError(f"there are no landscapes {unknown[0]!r}; there are {', '.join(known)}")
    jobs = [
        (family, strategy, calls, seed)
        for seed in range(given.seeds)
        for family in given.studies or known
        for calls in given.calls or [250, 500, 1500]
        for strategy in given.strategies
    ]
    output = given.output or Path("search_truth_landscapes.csv")
    lines = measure_missing(jobs, partial(replay, given.landscapes), KEY, output, given.processes)
    print("\n\n".join(replay_table(lines, family) for family in given.studies or known))


def on_made_up_studies(given: argparse.Namespace) -> None:
    """The table of all kinds of studies, and how long the strategies thought."""
    jobs = [
        (study, strategy, calls, seed)
        for study in given.studies or SETTINGS
        for strategy in ["best", *given.strategies]
        for calls in ((given.calls or [250, 500, 1500, 5000]) if strategy != "best" else [0])
        for seed in range(given.seeds)
    ]
    with ProcessPoolExecutor(given.processes) as pool:
        frame = pd.DataFrame(pool.map(measure, jobs, chunksize=5))
    frame.to_csv(given.output or "search_truth.csv", index=False)
    print(table(frame).to_string())
    print()
    print("seconds in the search itself, a study:")
    print(frame.groupby(["strategy", "calls"], sort=False).seconds.mean().unstack("calls").round(2).to_string())


def main(arguments: Iterable[str] | None = None) -> int:
    """Print the tables; 2 where the landscapes cannot be read."""
    parser = argparse.ArgumentParser(description="How good a prompt each search returns, with the truth known.")
    parser.add_argument("--landscapes", type=Path, help="a folder of real landscapes, instead of made-up studies")
    parser.add_argument("--studies", nargs="+", help=f"{', '.join(SETTINGS)}; with --landscapes, families of them")
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--calls", nargs="+", type=int)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(None if arguments is None else list(arguments))
    given.strategies = without_missing(given.strategies)
    if given.landscapes is None:
        unknown = [name for name in given.studies or () if name not in SETTINGS]
        if unknown:
            parser.error(f"there is no study {unknown[0]!r}; there are {', '.join(SETTINGS)}")
        on_made_up_studies(given)
        return 0
    try:
        on_landscapes(given)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
