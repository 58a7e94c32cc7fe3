"""Studies interrupted on one kind of processor and resumed on another: do they take the same course?

OpenBLAS chooses its kernel by the processor, and the last bits of its sums differ; ``OPENBLAS_CORETYPE`` chooses the
kernel of another one. Every study runs as a whole, and is interrupted at three places and resumed under each kernel.
Requests, winner, tables (to nine digits) and verdict have to be those of the study that ran as a whole. With
``--fresh`` whole studies of different kernels are compared as well. Prints a line for each kernel; the exit code is 1
where anything differs. With ``--simulated``, so many searches in each made-up world of `search_truth.py` are compared
instead, also without numpy's instructions for newer processors.

    python experiments/benchmarks/processors.py [--studies 12] [--calls 420] [--fresh] [--simulated 12]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import prompt_search as ps
from prompt_search.errors import RequestRefused
from prompt_search.evaluation.outcome import Outcome, PreparedPrompt
from prompt_search.llm.transport import Executor
from prompt_search.testing import Body, FakeServer, chance, truth_model

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.search_truth_strategies import Counter as Rows
from experiments.benchmarks.search_truth_strategies import race
from experiments.benchmarks.search_truth_world import SETTINGS, Truth

FIRST = "SkylakeX"
KERNELS = (FIRST, "Haswell", "Zen", "Sandybridge", "Nehalem")
TABLES = ("trials_df", "samples_df", "effects_df", "interactions_df", "ranking", "ledger_df")
OLD_NUMPY = "Nehalem, old instructions alone"
PLACES = (0.3, 0.6, 0.9)
"""Shares of the requests after which a study is interrupted."""

SOURCE = """{{ choice("instruction", instructions) }}
{{ choice("tone", ["", "Be brief.", "Be exact.", "Think first.", "Be careful.", "Do not guess."]) }}
{% if flag("listed") %}Labels: {{ labels | join(", ") }}{% endif %}
{{ choice("rule", ["", "One label.", "The main topic counts.", "The last sentence counts.", "If unsure, decide."]) }}
{{ choice("format", ["", "Answer with the label alone.", "Write only the label.", "No explanation."]) }}
{% for shot in examples("shots", max=4) %}{{ shot.text }} is {{ shot.label }}
{% endfor %}
{{ choice("name", ["Text", "Message", "Input", "Document", "Ticket"]) }}: {{ row.text }}
{{ choice("cue", ["Label:", "Answer:", "Category:", "Topic:", ""]) }}"""
VERBS = ("Classify", "Sort", "Label", "Read", "Tag", "File")
ROWS = pd.DataFrame(
    {"text": [f"message number {row}" for row in range(200)], "label": [f"kind {row % 4}" for row in range(200)]}
)


def accuracy(seed: int, prompt: str) -> float:
    """How good a prompt truly is: each of its lines adds its own part, whatever the row is."""
    lines = {line.split(": ")[0] if "message number" in line else line for line in prompt.split("\n")}
    return min(0.95, 0.4 + sum(0.2 * (chance("line", seed, line) - 0.5) for line in lines) + 0.02 * len(lines))


def study(model: ps.Model, storage: str, seed: int, executor: Executor | None = None) -> ps.Study:
    """One of the studies, by its seed."""
    return ps.Study(
        template=ps.Template(SOURCE),
        data=ps.Dataset(ROWS, target="label"),
        model=model,
        context={"instructions": [f"{verb} the message{end}" for verb in VERBS for end in (".", ", please.")]},
        storage=storage,
        seed=seed,
        name="study",
        executor=executor,
    )


def work(url: str, storage: str, seed: int, calls: int) -> None:
    """What runs under one kernel: a study, whose result it prints as JSON; nothing where it was interrupted."""
    try:
        result = study(ps.Model("fake", base_url=url), storage, seed).run(calls)
    except RequestRefused:
        return
    tables = "".join(table_text(getattr(result, name)()) for name in TABLES)
    print(json.dumps({"winner": result.best_trial, "verdict": repr(result.verdict), "tables": tables}))


def table_text(table: pd.DataFrame) -> str:
    """A table as text, without what is measured in seconds; numbers to nine digits."""
    timed = [name for name in table if str(name).endswith("_s") or name in ("cached", "seconds")]
    return table.drop(columns=timed).to_csv(float_format="%.9g")


def under(kernel: str, server: FakeServer, storage: Path, seed: int, calls: int) -> dict[str, Any] | None:
    """The result of a study in a process with this kernel; None where the server ended it."""
    line = [sys.executable, __file__, "--work", server.url, "--storage", f"sqlite:///{storage}"]
    line += ["--seed", str(seed), "--calls", str(calls)]
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENAI_API_KEY": "none"}
    printed = subprocess.run(line, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(printed) if printed.strip() else None


def asked(bodies: Sequence[Body]) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


def serving(seed: int) -> FakeServer:
    return FakeServer(
        truth_model(dict(zip(ROWS["text"], ROWS["label"], strict=True)), lambda prompt: accuracy(seed, prompt))
    )


def whole(kernel: str, seed: int, calls: int, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The result and the requests of a study that nobody interrupts."""
    with serving(seed) as server:
        result = under(kernel, server, folder / f"{seed} {kernel} whole.db", seed, calls)
        assert result is not None
        return result, asked(server.bodies)


def resumed(kernel: str, seed: int, calls: int, after: int, folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The result and the answered requests of a study that is interrupted and goes on under a kernel."""
    storage = folder / f"{seed} {kernel} {after}.db"
    with serving(seed) as server:
        server.fail_after = after
        under(FIRST, server, storage, seed, calls)
        del server.bodies[after:]
        server.fail_after = None
        return under(kernel, server, storage, seed, calls), asked(server.bodies)


class Recorded(Rows):
    """Rows that note in which order they are asked for."""

    def __init__(self, truth: Truth, calls: int) -> None:
        super().__init__(truth, calls)
        self.asked: list[list[tuple[str, int]]] = []

    async def evaluate(self, jobs: Sequence[tuple[PreparedPrompt, int]], split: str) -> list[Outcome | None]:
        self.asked.append(sorted((prepared.prompt.source, row) for prepared, row in jobs))
        return await super().evaluate(jobs, split)


def simulate(studies: int, calls: int) -> None:
    """What runs under one kernel: a search for each world and seed, of which it prints a digest of all requests."""
    for world, setting in SETTINGS.items():
        for seed in range(studies):
            counter = Recorded(Truth(setting, seed), calls)
            winner = race(counter, seed).levels
            print(world, seed, hashlib.sha256(repr((winner, counter.asked)).encode()).hexdigest())


def simulated(studies: int, calls: int) -> int:
    """Print a line for each kernel; give the number of searches that differ from those of the first."""
    digests: dict[str, list[str]] = {}
    for kernel in (*KERNELS, OLD_NUMPY):
        variables = {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"}
        environment = {**os.environ, **(variables if kernel == OLD_NUMPY else {"OPENBLAS_CORETYPE": kernel})}
        line = [sys.executable, __file__, "--simulate", str(studies), "--calls", str(calls)]
        digests[kernel] = subprocess.check_output(line, env=environment, text=True).splitlines()
        print(f"{kernel} done", file=sys.stderr, flush=True)
    print("| kernel | simulated searches | other requests or winner |\n|---|---|---|")
    others = {
        kernel: sum(one != first for one, first in zip(lines, digests[FIRST], strict=True))
        for kernel, lines in digests.items()
    }
    for kernel, other in others.items():
        print(f"| {kernel} | {len(digests[kernel])} | {other} |")
    return sum(others.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--calls", type=int, default=420)
    parser.add_argument("--seed", type=int, default=0, help="the first study's")
    parser.add_argument("--fresh", action="store_true", help="compare whole studies as well")
    parser.add_argument("--simulated", type=int, metavar="STUDIES", help="compare so many searches in each world")
    parser.add_argument("--simulate", type=int, help=argparse.SUPPRESS)
    for hidden in ("--work", "--storage"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.storage, given.seed, given.calls)
        return 0
    if given.simulate:
        simulate(given.simulate, given.calls)
        return 0
    if given.simulated:
        return int(bool(simulated(given.simulated, given.calls)))
    return end_to_end(given)


def end_to_end(given: argparse.Namespace) -> int:
    """Compare whole studies; the exit code."""
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seed, given.seed + given.studies):
            expected, requests = whole(FIRST, seed, given.calls, Path(folder))
            for kernel in KERNELS:
                runs = [
                    ("resumed", *resumed(kernel, seed, given.calls, int(place * len(requests)), Path(folder)))
                    for place in PLACES
                ]
                if given.fresh and kernel != FIRST:
                    runs.append(("fresh", *whole(kernel, seed, given.calls, Path(folder))))
                for how, result, sent in runs:
                    counts[kernel, how] += 1
                    counts[kernel, f"{how}: other requests"] += sent != requests
                    for name, value in expected.items():
                        counts[kernel, f"{how}: other {name}"] += result is None or result[name] != value
            print(f"study {seed} done", file=sys.stderr, flush=True)
    columns = [f"{how}{other}" for how in ("resumed", "fresh") for other in OTHERS if given.fresh or how == "resumed"]
    print(f"| kernel | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for kernel in KERNELS:
        print(f"| {kernel} | {' | '.join(str(counts[kernel, column]) for column in columns)} |")
    return int(any(count for (_, column), count in counts.items() if "resumed: other" in column))


OTHERS = ("", ": other requests", ": other winner", ": other verdict", ": other tables")
"""What is counted."""

if __name__ == "__main__":
    sys.exit(main())
