"""All orders of three runs of one study: is what has ended still what it was?

The runs are those of ``RUNS``: other budgets and settings, no key, a server that is down, an interruption. After every
run each finished version has to be byte for byte as it was before, in the storage and in its tables; and the lines that
have a result have to give it again without a request. All orders share their first runs, so that 8 runs make 400 a
study. Attempts are not waited for. Prints a line for each run; the exit code is 1 where anything changed.

    python experiments/benchmarks/versions.py [--studies 10] [--first 0]
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import prompt_search as ps
from prompt_search.errors import PromptSearchError
from prompt_search.evaluation import session
from prompt_search.llm.client import Client, InProcess
from prompt_search.llm.transport import Transport
from prompt_search.testing import Body, FakeAnswer, FakeServer

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.budgets import brief
from experiments.benchmarks.processors import serving, study

KEY = "VERSIONS_KEY"
TABLES = ("trials_df", "samples_df", "effects_df", "interactions_df", "calls_df", "ledger_df", "ranking")
STORED = ("versions", "trials", "samples", "decisions")
"""The tables of the storage that hold what a version is."""


class Switched(InProcess):
    """Asks the model's server, or while ``down`` an address where nobody listens."""

    down = False

    async def connect(
        self, model: ps.Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        asked = ps.Model(model.name, base_url="http://127.0.0.1:9/v1") if self.down else model
        return await super().connect(
            asked, max_concurrency=max_concurrency, request_timeout=request_timeout, on_capacity=on_capacity
        )


@dataclass
class World:
    """One study, and the server that it asks."""

    server: FakeServer
    seed: int
    executor: Switched = field(default_factory=Switched)

    def study(self, storage: Path) -> ps.Study:
        model = self.server.model(api_key_env=KEY)
        return study(model, f"sqlite:///{storage}", self.seed, self.executor)

    def without_key(self, storage: Path) -> None:
        key = os.environ.pop(KEY)
        try:
            self.study(storage).run(400)
        finally:
            os.environ[KEY] = key

    def down(self, storage: Path) -> None:
        self.executor.down = True
        try:
            self.study(storage).run(410)
        finally:
            self.executor.down = False

    def interrupted(self, storage: Path) -> None:
        """Ctrl-C after some answers; where all are stored already, the run ends before."""
        answer, until = self.server.answer, self.server.count + 25
        assert callable(answer)

        def interrupting(body: Body) -> FakeAnswer:
            if self.server.count == until:
                os.kill(os.getpid(), signal.SIGINT)
            return answer(body)

        self.server.answer = interrupting
        try:
            with suppress(KeyboardInterrupt):
                self.study(storage).run(450)
        finally:
            self.server.answer = answer


RUNS: dict[str, Callable[[World, Path], object]] = {
    "300 calls": lambda world, storage: world.study(storage).run(300),
    "400 calls": lambda world, storage: world.study(storage).run(400),
    "40 calls": lambda world, storage: world.study(storage).run(40),
    "three trials": lambda world, storage: world.study(storage).run(300, n_trials=3),
    "no test": lambda world, storage: world.study(storage).run(300, test=False),
    "no key": World.without_key,
    "server down": World.down,
    "interrupted": World.interrupted,
}


def finished(storage: Path) -> dict[int, str]:
    """A digest of everything that is stored and shown of each finished version, by its number."""
    with closing(sqlite3.connect(storage)) as connection:
        numbers = connection.execute("SELECT version FROM prompt_search_versions WHERE summary IS NOT NULL").fetchall()
        stored = {
            number: [
                sorted(
                    map(repr, connection.execute(f"SELECT * FROM prompt_search_{table} WHERE version = ?", (number,)))
                )
                for table in STORED
            ]
            for (number,) in numbers
        }
    found = {}
    for number, rows in stored.items():
        result = ps.open_result(f"sqlite:///{storage}", f"study@{number}")
        shown = [getattr(result, table)().to_csv() for table in TABLES]
        texts = [repr(rows), *shown, result.headline, repr(result.verdict), result.best.text]
        found[number] = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return found


@dataclass
class Found:
    """What was seen of each run: how often it was made, how it ended, and whether it changed anything."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: list[str] = field(default_factory=list)


def orders(world: World, before: Path, folder: Path, done: tuple[str, ...], found: Found) -> None:
    """Make every run that is not among those done on a copy of a storage; then those that follow."""
    known = finished(before) if before.exists() else {}
    for name, run in RUNS.items():
        if name in done:
            continue
        storage = folder / f"{'-'.join([*done, name])}.db".replace(" ", "_")
        if before.exists():
            shutil.copy(before, storage)
        found.counts[name, ended(functools.partial(run, world, storage))] += 1
        now = finished(storage) if storage.exists() else {}
        if {number: now.get(number) for number in known} != known:
            found.changed.append(" > ".join([*done, name]))
        if len(done) < 2:
            orders(world, storage, folder, (*done, name), found)
        else:
            repeated(world, storage, (*done, name), found)
        for file in folder.glob(f"{storage.name}*"):
            file.unlink()


def ended(run: Callable[[], object]) -> str:
    """How a run ended; any other exception is a fault of the product."""
    try:
        result = run()
    except PromptSearchError as error:
        return type(error).__name__
    return "ended" if result is not None else "stopped"


def repeated(world: World, storage: Path, done: tuple[str, ...], found: Found) -> None:
    """The lines that have a result give it again without a request."""
    before, sent = finished(storage), world.server.count
    for name in done:
        if name in list(RUNS)[:5] and ended(functools.partial(RUNS[name], world, storage)) == "ended":
            found.counts[name, "repeated"] += 1
            break
    if world.server.count != sent or {number: finished(storage).get(number) for number in before} != before:
        found.changed.append(" > ".join([*done, "repeated"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the seed of the first study")
    given = parser.parse_args()
    os.environ[KEY] = "none"
    vars(session)["Client"] = functools.partial(Client, sleep=brief)
    found, started = Found(), time.monotonic()
    for seed in range(given.first, given.first + given.studies):
        with tempfile.TemporaryDirectory() as folder, serving(seed) as server:
            orders(World(server, seed), Path(folder) / "none.db", Path(folder), (), found)
        print(
            f"study {seed}: {time.monotonic() - started:.0f} s, changed: {found.changed}", file=sys.stderr, flush=True
        )
    print("\n".join(table(found)))
    return int(bool(found.changed))


def table(found: Found) -> Iterator[str]:
    yield "| run | made | ended with a result | stopped | refused | repeated |\n|---|---|---|---|---|---|"
    for name in RUNS:
        ends = {end: count for (run, end), count in found.counts.items() if run == name}
        again, good, stopped = (ends.pop(end, 0) for end in ("repeated", "ended", "stopped"))
        refused = ", ".join(f"{count} {error}" for error, count in sorted(ends.items())) or "0"
        yield f"| {name} | {good + stopped + sum(ends.values())} | {good} | {stopped} | {refused} | {again} |"
    yield f"\nfinished versions that changed: {len(found.changed)}"


if __name__ == "__main__":
    sys.exit(main())
