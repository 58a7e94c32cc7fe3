"""How start-up, time and memory of a study grow with the size of its template and of its data.

    python experiments/benchmarks/sizes.py [--lines "1,000 options" ...] [--calls 60 600] [--limit 120]

Each line is a study of one size, and each number of calls a process of its own: it makes the study, runs it in an
SQLite file against a model inside the process, and opens the tables of the result. Printed are seconds of processor
time, of all threads and without the model's own: until the first request, of the whole study, and of its tables and
report; and the most memory of the process, in which the package alone takes about 200 MB. A process that takes longer
than the limit is stopped.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import prompt_search as ps
from prompt_search.testing import Body, InProcessExecutor, chance, prompt_of

SHOTS = """{% for shot in examples("shots", max=SHOTS) %}{{ shot.text }} is {{ shot.label }}
{% endfor %}"""

PARENT = """{% set chosen = choice("style", style) %}{{ chosen }}
{% if chosen.endswith("7.") %}{{ choice("extra", ["Be brief.", "Be exact."]) }}{% endif %}"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of a study: option counts of its choices, and of one on which another depends; nested flags, rows,
    labels, and shots."""

    choices: Mapping[str, int] = field(default_factory=lambda: {"instruction": 10})
    parent: int = 0
    flags: int = 0
    rows: int = 300
    labels: int = 2
    shots: int = 0

    def source(self) -> str:
        """The template."""
        parts = [f'{{{{ choice("{name}", {name}) }}}}' for name in self.choices]
        parts += [f'{{% if flag("flag_{index}") %}}Rule {index}.' for index in range(self.flags)]
        parts += [PARENT if self.parent else ""]
        parts += ["{% endif %}" * self.flags, SHOTS.replace("SHOTS", str(self.shots)) if self.shots else ""]
        return "\n".join([*filter(None, parts), "Text: {{ row.text }}"])

    def context(self) -> dict[str, list[str]]:
        """The options of every choice."""
        counts = {**self.choices, **({"style": self.parent} if self.parent else {})}
        return {name: [f"{name} number {option}." for option in range(n)] for name, n in counts.items()}

    def data(self) -> ps.Dataset:
        """The rows."""
        rows = range(max(self.rows, 3 * self.labels))
        columns = {"text": [f"message {row}" for row in rows], "label": [f"kind {row % self.labels}" for row in rows]}
        return ps.Dataset(pd.DataFrame(columns), target="label")


def lines() -> dict[str, Size]:
    """The studies, by the name of their line."""
    sizes = {f"{count:,} options": Size(choices={"instruction": count}) for count in (10, 100, 1_000, 10_000)}
    sizes["3 choices of 1,000 options"] = Size(choices={f"part_{index}": 1_000 for index in range(3)})
    for count in (10, 100, 300):
        sizes[f"{count} choices of 3 options"] = Size(choices={f"part_{index}": 3 for index in range(count)})
    sizes |= {f"{count:,} options, of a condition": Size(parent=count) for count in (1_000, 10_000)}
    sizes |= {f"{count} nested flags": Size(flags=count) for count in (10, 60)}
    sizes |= {f"{count:,} rows": Size(rows=count) for count in (100, 10_000, 100_000)}
    sizes |= {f"{count:,} labels": Size(labels=count) for count in (2, 300, 2_000)}
    return sizes | {f"{count} shots": Size(shots=count) for count in (0, 8, 64)}


class TimedModel:
    """A model that is right more often with some lines of a prompt than with others; counts its own seconds."""

    def __init__(self, size: Size) -> None:
        self.labels = size.labels
        self.first: float | None = None
        self.seconds = 0.0

    def __call__(self, body: Body) -> str:
        self.first = self.first or time.process_time()
        started = time.thread_time()
        *written, last = prompt_of(body).splitlines()
        row = int(last.split()[-1])
        rate = 0.4 + 0.5 * sum(chance("line", line) for line in written) / max(1, len(written))
        right = chance("row", last, *written) < rate
        self.seconds += time.thread_time() - started
        return f"kind {(row if right else row + 1) % self.labels}"


def work(name: str, calls: int) -> None:
    """What runs in a process of its own: prints seconds to the first request, of the study, of tables, and MB."""
    size = lines()[name]
    data, model = size.data(), TimedModel(size)
    executor = InProcessExecutor(model)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        study = ps.Study(
            template=ps.Template(size.source()),
            data=data,
            model=executor.model(),
            answer=ps.Label(data.labels),
            context=size.context(),
            storage=Path(folder) / "study.db",
            executor=executor,
        )
        result = study.run(calls)
        ended = time.process_time()
        tables: list[Callable[[], Any]] = [result.trials_df, result.effects_df, result.interactions_df]
        tables += [
            lambda: repr(result),
            lambda: repr(study.space()),
            lambda: result.report(Path(folder) / "report.html"),
        ]
        for table in tables:
            table()
        opened = time.process_time()
    assert model.first is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([model.first - started, ended - started - model.seconds, opened - ended, peak]))


def measured(name: str, calls: int, limit: int) -> list[str]:
    """The cells of one line for one number of calls."""
    command = [sys.executable, __file__, "--work", name, "--calls", str(calls), "--limit", str(limit)]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        if -error.returncode in (signal.SIGXCPU, signal.SIGKILL):
            return ["", f"> {limit}", "", ""]
        return [error.stderr.strip().splitlines()[-1].replace("|", "/")[:100], "", "", ""]
    first, study, tables, peak = json.loads(printed.splitlines()[-1])
    return [f"{first:.1f}", f"{study:.1f}", f"{tables:.1f}", f"{peak:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", nargs="+", choices=lines(), default=list(lines()), metavar="LINE")
    parser.add_argument("--calls", type=int, nargs="+", default=[60, 600])
    parser.add_argument("--limit", type=int, default=120, help="seconds after which a process is stopped")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        resource.setrlimit(resource.RLIMIT_CPU, (given.limit, given.limit))
        work(given.work, given.calls[0])
        return
    heads = [
        f"{head}{'' if index else f' ({calls} calls)'}"
        for calls in given.calls
        for index, head in enumerate(("first request, s", "study, s", "tables, s", "MB"))
    ]
    print(f"| | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    for name in given.lines:
        cells = [cell for calls in given.calls for cell in measured(name, calls, given.limit)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
