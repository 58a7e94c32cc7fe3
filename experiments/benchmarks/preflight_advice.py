"""Whether a preflight gives the right advice: on labelled sets, with their labels shuffled, and on made-up studies.

    python experiments/benchmarks/preflight_advice.py --data-dir DIR [--sets agnews sst2] [--seeds 20] [--calls 0]
        [--model local] [--base-url URL] [--output preflight_advice.csv]
    python experiments/benchmarks/preflight_advice.py --made-up [--seeds 10] [--first-seed 0]
        [--calls 100 150 200 300 600 1200] [--follow]

DIR holds the sets of ``experiments/public_sets``. A seed changes the split, the rows, and the labels' order. With the
labels shuffled no prompt can help, and the right advice is against a search. ``--calls`` is the budget of the planned
study, of which a preflight takes at most 5%; 0 leaves it at 60 calls.

A made-up study has 500 rows of six labels and a fake model that is right with a probability which depends on the prompt
(`WORLDS`). The second table counts how often the advice is right, how often it is that there are too few answers to
tell, and how often it is wrong, reasons included. The third follows the advice "give N calls": to the preflight of a
study with N calls, which should not say the same again, or to a run with N calls, which should find out.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import prompt_search as ps
from prompt_search.testing import InProcessExecutor, truth_model

sys.path.insert(0, str(Path(__file__).parents[2]))

LABELS = ("account", "billing", "delivery", "other", "praise", "refund")
ROWS = 500

SOURCE = """{{ choice("instruction", ["Sort the message.", "Which kind is it?", "Read it with care, then sort it.",
"Think about what the writer wants."]) }} {{ choice("cue", ["", "Kind:", "Answer:"]) }}
{{ row.text }}"""

GAINS = {"Which": 0.05, "care": 0.25, "wants": 0.15, "Kind:": 0.1, "Answer:": 0.03}
"""By how much words of a prompt raise its accuracy where prompts differ: from 0.45 to 0.80."""

WORLDS: dict[str, Callable[[str], float]] = {
    "pays": lambda wording: 0.45 + sum(gain for word, gain in GAINS.items() if word in wording),
    "prompts alike": lambda wording: 0.6,
    "labels shuffled": lambda wording: 0.45 + sum(gain for word, gain in GAINS.items() if word in wording),
    "model cannot": lambda wording: 1 / len(LABELS),
}
"""The accuracy of the fake model by the wording of the prompt."""

_ALIKE = r"the \d+ other prompts? that were tried score as the default does"
_NOTHING = r"(?:answers match their own rows hardly better|none of \d+ answers .* is correct)"
RIGHT = {
    "pays": "Go: ",
    "prompts alike": f"Don't search yet: {_ALIKE}",
    "labels shuffled": f"Don't search yet: {_NOTHING}",
    "model cannot": f"Don't search yet: {_NOTHING}",
}
"""The right advice, by how it begins."""

TOO_FEW = "Too few answers to tell"
_CALLS = re.compile(r"ive (?P<search>the search )?(?P<calls>[\d,]+) calls")


def shuffled(data: ps.Dataset, seed: int) -> ps.Dataset:
    frame = data.frame()
    labels = frame[data.target].tolist()
    random.Random(seed).shuffle(labels)
    return ps.Dataset(frame.assign(**{data.target: labels}), target=data.target, name=f"{data.name} shuffled")


def made_up(world: str, seed: int) -> ps.Study:
    """A study in a world of its own."""
    numbers = random.Random(seed)
    texts = [f"message {row} of {numbers.randrange(10**9)}" for row in range(ROWS)]
    frame = pd.DataFrame({"text": texts, "kind": [LABELS[row % len(LABELS)] for row in range(ROWS)]})
    truth = truth_model(dict(zip(frame["text"], frame["kind"], strict=True)), WORLDS[world], seed=seed)
    data = ps.Dataset(frame, target="kind", name=world)
    executor = InProcessExecutor(truth)
    return ps.Study(
        template=ps.Template(SOURCE),
        data=shuffled(data, seed) if world == "labels shuffled" else data,
        model=executor.model(),
        executor=executor,
        seed=seed,
    )


def judged(world: str, advice: str) -> str:
    """Whether advice is right, wrong, or that there are too few answers."""
    if advice.startswith(TOO_FEW):
        return "too few"
    return "right" if re.match(RIGHT[world], advice) else "wrong"


def followed(world: str, seed: int, advice: str) -> str | None:
    """What becomes of the advice to give more calls; None where it is another advice."""
    found = _CALLS.search(advice)
    if not advice.startswith(TOO_FEW) or found is None:
        return None
    calls = int(found["calls"].replace(",", ""))
    if found["search"]:
        better = made_up(world, seed).run(calls, progress=lambda snapshot: None).verdict == "better"
        return f"run: {'better' if better else 'not shown'}"
    again = made_up(world, seed).preflight(calls).advice[0]
    return (
        "preflight: the same again" if again.startswith(f"{TOO_FEW} whether a search") else "preflight: more is known"
    )


def made_up_table(seeds: range, budgets: list[int], *, follow: bool) -> pd.DataFrame:
    """One line for each study and budget."""
    lines: list[dict[str, Any]] = []
    for world in WORLDS:
        for calls in budgets:
            for seed in seeds:
                advice = made_up(world, seed).preflight(calls).advice[0]
                line = {"world": world, "calls": calls, "seed": seed, "advice": advice, "it is": judged(world, advice)}
                lines.append(line | {"followed": followed(world, seed, advice) if follow else None})
    return pd.DataFrame(lines)


def print_made_up(table: pd.DataFrame) -> None:
    """The second and the third table."""
    counts = pd.crosstab([table["world"], table["calls"]], table["it is"])
    print(counts.reindex(list(WORLDS), level=0).to_string())
    if table["followed"].notna().any():
        print(pd.crosstab(table["world"], table["followed"]).reindex(list(WORLDS)).to_string())


def on_sets(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One line for each labelled set, seed and order of the labels."""
    from experiments.public_sets.run import make

    model = ps.Model.parse(arguments.model, base_url=arguments.base_url)
    for name in arguments.sets:
        for seed in range(arguments.seeds):
            study = make(name, arguments.data_dir, model=model, seed=seed, storage=arguments.storage)
            for labels, data in (("as they are", study.data), ("shuffled", shuffled(study.data, seed))):
                found = study.replace(data=data).preflight(arguments.calls[0] or None)
                print(f"{name} {labels} seed {seed}: p = {found.p:.3f}, {found.advice[0]}", flush=True)
                line = {"set": name, "labels": labels, "seed": seed, "decision": found.decision, "p": found.p}
                yield line | {"calls": found.calls, "score": found.score, "advice": " ".join(found.advice)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether a preflight gives the right advice.")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--made-up", action="store_true")
    parser.add_argument("--follow", action="store_true", help="do what the advice says, and see what comes of it")
    parser.add_argument("--sets", nargs="+", default=["agnews", "sst2"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--calls", type=int, nargs="+")
    parser.add_argument("--model", default="local")
    parser.add_argument("--base-url")
    parser.add_argument("--storage", default="sqlite:///preflight_advice.db")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    if arguments.made_up:
        budgets = arguments.calls or [100, 150, 200, 300, 600, 1200]
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
        table = made_up_table(seeds, budgets, follow=arguments.follow)
        print_made_up(table)
    elif arguments.data_dir is None:
        parser.error("give --data-dir or --made-up")
    else:
        arguments.calls = arguments.calls or [0]
        table = pd.DataFrame(on_sets(arguments))
        print(table.groupby(["set", "labels"], sort=False)["decision"].value_counts().unstack(fill_value=0).to_string())
    if arguments.output:
        table.to_csv(arguments.output, index=False)


if __name__ == "__main__":
    main()
