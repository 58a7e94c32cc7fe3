"""An owner of a study that is stopped (SIGSTOP), taken over, and comes back: does anything of the study change?

A process runs a study and is stopped at a random moment. When its lease is over, a second process takes it over.
The first one goes on at another random moment, while the second one runs or after it has ended. Leases last seconds
here instead of a minute. For each moment:

- the second process ends well, or says in one line that the database stays locked, as the first one was stopped amid a
  write, and then the first one ends well;
- what is stored then is what is stored at the end: no late owner changes it;
- the first one says in one line that it was taken over, and its exit code is not 0;
- the server sees no more requests than the budget allows, which the study uses up;
- every answer that either of the two paid for is stored.

Prints a line for each backend; the exit code is 1 where a moment is not as it should be.

    python experiments/benchmarks/takeovers.py [--moments 20] [--backend sqlite|postgresql] [--calls 150]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.budgets import SOURCE, data
from experiments.benchmarks.kills import counts, served, started, tables
from experiments.benchmarks.postgresql import Postgres
from prompt_search.errors import PromptSearchError
from prompt_search.storage import faults
from prompt_search.storage.ownership import lease

LEASE_S, RENEWED_S = 2.0, 0.4
TOO_LONG_S = 120.0


def work(url: str, storage: str, calls: int, in_flight: int, said: str) -> None:
    """What both processes do; an error's line goes to a file."""
    lease.LEASE_S, lease.RENEWED_S, faults.IDLE_S = LEASE_S, RENEWED_S, LEASE_S / 2
    study = ps.Study(
        template=ps.Template(SOURCE),
        data=data(),
        model=ps.Model("counted", base_url=url),
        max_concurrency=in_flight,
        storage=storage,
        name="study",
    )
    try:
        study.run(calls)
    except PromptSearchError as error:
        Path(said).write_text(f"{error}\n", encoding="utf-8")
        sys.exit(1)


@dataclass
class Moment:
    """One pause and return."""

    late: bool
    locked: bool = False
    requests: int = 0
    wrong: list[str] = field(default_factory=list)

    def check(self, right: bool, what: str) -> None:
        if not right:
            self.wrong.append(what)


def paused(url: str, storage: str, folder: Path, given: argparse.Namespace, generator: random.Random) -> Moment:
    """Stop an owner at a random moment, let another one take over, and let the first one go on."""
    moment = Moment(late=generator.random() < 0.5)
    lines = [folder / "first", folder / "second"]
    arguments = url, storage, given.calls, given.in_flight
    first = started(work, *arguments, str(lines[0]))
    until = generator.uniform(1, 0.9 * given.calls)
    while first.is_alive() and counts(url)["requests"] < until:
        time.sleep(0.005)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    time.sleep(LEASE_S + 0.3)
    second = started(work, *arguments, str(lines[1]))
    if not moment.late:
        went_on = counts(url)["requests"] + generator.uniform(1, 0.5 * (given.calls - until))
        while second.is_alive() and counts(url)["requests"] < went_on:
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGCONT)
    second.join(TOO_LONG_S)
    if any(words in said(lines[1]) for words in ("database is locked", "due to lock timeout")):
        # The first process was stopped amid a write, whose lock it holds.
        moment.locked = True
        os.kill(first.pid, signal.SIGCONT)
        first.join(TOO_LONG_S)
        moment.check(first.exitcode == 0, f"the process that held the file's lock ended with {first.exitcode}")
        return moment
    moment.check(second.exitcode == 0, f"the second process ended with {second.exitcode}: {said(lines[1])}")
    then = content(storage) if second.exitcode == 0 else []
    if moment.late:
        os.kill(first.pid, signal.SIGCONT)
    first.join(TOO_LONG_S)
    moment.check(
        first.exitcode == 1 and "was taken over" in said(lines[0]), f"first: {first.exitcode} {said(lines[0])}"
    )
    if moment.late:
        moment.check(content(storage) == then, "the first process changed what was stored")
    else:
        moment.check(
            second.exitcode != 0 or "unfinished" not in ps.open_result(storage, "study").headline, "unfinished"
        )
    seen = counts(url)
    moment.requests = seen["requests"]
    moment.check(seen["requests"] <= given.calls, f"{seen['requests']} requests of {given.calls}")
    stored = len(ps.open_result(storage, "study").calls_df())
    moment.check(stored == seen["different"], f"{stored} answers stored of {seen['different']}")
    for process in (first, second):
        process.kill()
        process.join()
    return moment


def said(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else "nothing"


def content(storage: str) -> list[str]:
    """What the study's tables say."""
    return [*(table.to_csv() for table in tables(storage)), ps.open_result(storage, "study").headline]


@contextmanager
def databases(backend: str, folder: Path) -> Iterator[Iterator[str]]:
    """As many empty storages as are asked for."""
    if backend == "sqlite":
        yield (f"sqlite:///{folder}/{number}.db" for number in range(1_000))
        return
    place = Path(tempfile.mkdtemp(dir="/tmp", prefix="takeovers"))
    server = Postgres(place)
    server.start()
    try:
        yield (made(server, f"d{number}") for number in range(1_000))
    finally:
        server.stop()


def made(server: Postgres, name: str) -> str:
    server.execute(f"CREATE DATABASE {name}")
    return server.url(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--backend", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| backend | moments | returned amid | returned after | locked | requests, at most | budget | wrong |")
    print("|---|---|---|---|---|---|---|---|")
    wrong: list[str] = []
    for backend in given.backend or ["sqlite", "postgresql"]:
        generator, moments = random.Random(f"{given.seed} {backend}"), []
        with tempfile.TemporaryDirectory() as folder, databases(backend, Path(folder)) as storages:
            for number in range(given.moments):
                place = Path(folder) / str(number)
                place.mkdir()
                with served(0.03, strict=False) as url:
                    moments.append(paused(url, next(storages), place, given, generator))
                print(f"{backend} {number}: {moments[-1]}", file=sys.stderr, flush=True)
        locked = sum(moment.locked for moment in moments)
        late = sum(moment.late and not moment.locked for moment in moments)
        most = max(moment.requests for moment in moments)
        found = [line for moment in moments for line in moment.wrong]
        counted = len(moments), len(moments) - late - locked, late, locked, most, given.calls, len(found)
        print("| ".join([f"| {backend} ", *(f"{count} " for count in counted)]) + "|", flush=True)
        wrong += found
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
