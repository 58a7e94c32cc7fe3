"""What growth adds where hand-written wording lacks rules that decide the labels, on studies whose truth is known.

    python experiments/benchmarks/hidden_rules.py [--proposer good noise copies drops language fails none]
        [--studies 40] [--first 0] [--calls 500] [--transport process] [--output hidden_rules.csv]

The task is that of `hidden_rules_world.py`: six rules decide the labels, and the hand-written instructions state two of
them at most. Whole studies run, with the calls of the proposer and of the test within the limit. A proposer is good,
which states rules that the rows it was shown need; or it returns random words, copies of rows, nothing or one word,
another language, or errors; ``slow`` is good and takes two seconds; with ``none`` nothing grows. Columns:

- winner, hand-written, possible: expected accuracy over all rows of the winner's prompt, of the best prompt of the
  template as it was written, and of the best prompt that states all rules;
- way: the share of the way from hand-written to possible that the winner has gone, mean over the studies;
- minus none: the difference between the winners' accuracies with this proposer and with none, by study;
- rules: how many of the six rules the winner states;
- calls: those of the role "proposer"; accepted, rejected: the texts that were proposed.

A second table has, for winners with a proposed text and for those without, the mean of their score in the search,
of their estimate, and of their score in the test, each minus their expected accuracy.

Numbers in brackets are standard errors. A study whose line is in the output already is not run again.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.budgets import brief
from experiments.benchmarks.hidden_rules_world import KINDS, PROPOSER, SOURCE, World, answering, latency, stated
from experiments.benchmarks.result_lines import measure_missing, shown
from prompt_search.evaluation import session
from prompt_search.llm.client import Client
from prompt_search.testing import FakeServer, InProcessExecutor

NONE = "none"
SHOWN = ("good", "noise", "copies", "drops", "language", "fails", NONE)
KEY = ["proposer", "calls", "seed"]


def study(world: World, kind: str, models: InProcessExecutor | FakeServer) -> ps.Study:
    """A study of the world, whose instruction grows unless the kind of proposer is none."""
    more: dict[str, Any] = {} if kind == NONE else {"proposer": models.model(PROPOSER)}
    return ps.Study(
        template=ps.Template(SOURCE),
        data=ps.Dataset(world.frame, target="label"),
        model=models.model("task"),
        context=world.context,
        seed=world.seed,
        executor=models if isinstance(models, InProcessExecutor) else None,
        **more,
    )


def line(transport: str, job: tuple[str, int, int]) -> dict[str, Any]:
    """What one study came to, which `KEY` names."""
    kind, calls, seed = job
    world = World(seed)
    with ExitStack() as stack:
        answer = answering(world, kind)
        models: InProcessExecutor | FakeServer = InProcessExecutor(answer, latency=latency(kind))
        if transport == "socket":
            models = stack.enter_context(FakeServer(answer, latency=latency(kind)))
        started = time.perf_counter()
        result: Any = study(world, kind, models).run(calls)
        seconds = time.perf_counter() - started
    prompt = result.best.text
    ledger = result.ledger_df()
    accepted = [] if kind == NONE else result.proposals_df()["accepted"].astype(bool).tolist()
    winner = result.trials_df().set_index("trial").loc[result.best_trial]
    return {
        "proposer": kind,
        "calls": calls,
        "seed": seed,
        "winner": world.truth(prompt),
        "hand_written": world.best_hand_written,
        "possible": world.best_possible,
        "proposed": winner["instruction"] not in world.instructions,
        "score": winner["score"],
        "estimate": winner["estimate"],
        "test": result.test_score(result.best_trial).mean,
        "rules": len(stated(prompt)),
        "used": int(ledger["calls"].sum()),
        "proposer_calls": int(ledger.loc[ledger["role"] == PROPOSER, "calls"].sum()),
        "accepted": sum(accepted),
        "rejected": len(accepted) - sum(accepted),
        "verdict": result.verdict,
        "seconds": round(seconds, 2),
    }


def table(lines: pd.DataFrame, kinds: Sequence[str]) -> str:
    """The lines of each proposer as a row of a table in Markdown."""
    titles = "proposer studies winner hand-written possible way minus_none rules calls accepted rejected seconds"
    columns = [title.replace("_", " ") for title in titles.split()]
    written = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    none = lines[lines["proposer"] == NONE].set_index("seed")["winner"]
    for kind in kinds:
        own = lines[lines["proposer"] == kind].set_index("seed")
        if own.empty:
            continue
        way = (own["winner"] - own["hand_written"]) / (own["possible"] - own["hand_written"])
        paired = (own["winner"] - none).dropna()
        cells = [kind, str(len(own)), *(shown(own[name]) for name in ("winner", "hand_written", "possible"))]
        cells += [shown(way), "" if kind == NONE or paired.empty else shown(paired)]
        cells += [f"{own[name].mean():.1f}" for name in ("rules", "proposer_calls", "accepted", "rejected", "seconds")]
        written.append(f"| {' | '.join(cells)} |")
    return "\n".join(written)


def optimism(lines: pd.DataFrame) -> str:
    """By how much scores and estimates of winners are too high, as a table in Markdown."""
    written = ["| winner's instruction | studies | score | estimate | test |", "|---|---:|---:|---:|---:|"]
    for proposed, name in ((True, "proposed"), (False, "written by hand")):
        own = lines[lines["proposed"].astype(bool) == proposed]
        cells = [shown(own[column] - own["winner"]) for column in ("score", "estimate", "test")] if len(own) else []
        written.append(f"| {' | '.join([name, str(len(own)), *cells])} |")
    return "\n".join(written)


def main() -> None:
    parser = argparse.ArgumentParser(description="What growth adds, on studies whose truth is known.")
    parser.add_argument("--proposer", nargs="+", choices=[*KINDS, NONE], default=SHOWN)
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first study")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--transport", choices=("process", "socket"), default="process")
    parser.add_argument("--output", type=Path, default=Path("hidden_rules.csv"))
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    vars(session)["Client"] = functools.partial(Client, sleep=brief)
    seeds = range(given.first, given.first + given.studies)
    for kind in given.proposer:
        jobs = [(kind, given.calls, seed) for seed in seeds]
        measure_missing(jobs, functools.partial(line, given.transport), KEY, given.output)
        print(f"{kind} done", file=sys.stderr, flush=True)
    lines = pd.read_csv(given.output)  # of proposers that were measured before, too
    lines = lines[(lines["calls"] == given.calls) & lines["seed"].isin(seeds)]
    print(table(lines, given.proposer))
    print()
    print(optimism(lines[lines["proposer"].isin(given.proposer)]))


if __name__ == "__main__":
    main()
