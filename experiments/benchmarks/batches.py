"""A study in batches, killed with SIGKILL and run again, beside one that sends each request alone: the same tables?

Both run against a fake provider on a socket, in which some requests fail at their first attempt. Batches take a while,
and one of them expires when half of it is answered. The study in batches runs in a process of its own, which is killed
while a batch is open, or with ``--at`` at one step: ``record`` (the batch is written down), ``upload`` (its file is
there), ``create`` (it is made, and not written down), ``sent`` (it is written down), ``collect`` (it has ended). Prints
one line: what was answered twice, what both cost, and whether their tables are equal.

    python experiments/benchmarks/batches.py [--calls 600] [--kills 2] [--at STEP] [--failing 0.03] [--latency 0.5]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.budgets import SOURCE
from experiments.benchmarks.kills import finished, lost, started
from prompt_search.evaluation.batches import open_batch
from prompt_search.llm.batches.api import BatchApi
from prompt_search.storage.calls.batches import Batches
from prompt_search.testing import Body, FakeBatches, FakeServer, Faults, prompt_of

PRICE: Final = ps.Price(prompt=1_000.0, completion=5_000.0)

EXPIRES: Final = 3
"""Number of the batch that expires."""

STEPS: Final = {
    "record": (Batches, "begin"),
    "upload": (BatchApi, "upload"),
    "create": (BatchApi, "create"),
    "sent": (Batches, "sent"),
    "collect": (BatchApi, "rows"),
}
"""The step after which a process is killed: a method, by its class and name."""


def answer(body: Body) -> str:
    """Right with the careful instruction, else for six prompts in ten."""
    prompt = prompt_of(body)
    right, wrong = ("positive", "negative") if "good" in prompt else ("negative", "positive")
    return right if "care" in prompt or zlib.crc32(prompt.encode()) % 10 < 6 else wrong


def data() -> ps.Dataset:
    """As many rows as a search of 600 calls has use for."""
    texts = [f"{('bad', 'good')[row % 2]} thing {row} {'né ' * (row % 7)}" for row in range(160)]
    labels = [("negative", "positive")[row % 2] for row in range(160)]
    return ps.Dataset(pd.DataFrame({"text": texts, "label": labels}), target="label")


def study(url: str, storage: str, batch: bool) -> ps.Study:
    model = ps.Model("provider", base_url=url, price=PRICE)
    return ps.Study(template=ps.Template(SOURCE), data=data(), model=model, storage=storage, batch=batch)


def work(url: str, storage: str, calls: int, batch: bool, step: str | None) -> None:
    """What the program that is killed does; ``step``: the step at which it kills itself."""
    open_batch.FIRST_LOOK_S, open_batch.LONGEST_LOOK_S = 0.05, 0.2  # type: ignore[misc]
    if step is not None:
        _kill_after(step)
    study(url, storage, batch).run(calls)


def _kill_after(step: str) -> None:
    """Have this process kill itself after a step, the second time that it comes to it."""
    owner, name = STEPS[step]
    method: Callable[..., Any] = getattr(owner, name)
    times = 0

    def killed() -> None:
        nonlocal times
        times += 1
        if times == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    if owner is BatchApi:

        async def awaited(*arguments: Any, **named: Any) -> Any:
            value = await method(*arguments, **named)
            killed()
            return value

        setattr(owner, name, awaited)
    else:

        def called(*arguments: Any, **named: Any) -> Any:
            value = method(*arguments, **named)
            killed()
            return value

        setattr(owner, name, called)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the two studies came to.

    Attributes:
        requests: requests of the study that sends them alone, as its server counted them.
        batched, alone: requests of the study in batches that a batch answered, and that were sent alone in the end.
        batches: number of batches.
        twice: requests that the server answered more often than the study has answers.
        lost: requests that the study counts as lost.
        usd, usd_in_batches: what the two cost.
    """

    requests: int
    batched: int
    alone: int
    batches: int
    twice: int
    lost: int
    usd: float
    usd_in_batches: float


def killed(server: FakeServer, storage: str, calls: int, kills: int, latency: float, generator: random.Random) -> None:
    """Run the study in batches to its end, and kill it so many times while a batch is open."""
    for _ in range(kills):
        until = len(server.batches_made) + generator.randint(1, 5)
        process = started(work, server.url, storage, calls, True, None)
        while process.is_alive() and len(server.batches_made) < until:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.8 * latency))
        process.kill()
        process.join()
    finished(started(work, server.url, storage, calls, True, None))


def killed_at(server: FakeServer, storage: str, calls: int, step: str) -> None:
    """Have the study in batches kill itself at a step, and run it to its end."""
    process = started(work, server.url, storage, calls, True, step)
    process.join()
    assert process.exitcode == -signal.SIGKILL, process.exitcode
    finished(started(work, server.url, storage, calls, True, None))


def tables(result: ps.Result) -> list[pd.DataFrame]:
    measured = ["latency_s", "cached"]
    return [
        getattr(result, name)().drop(columns=measured, errors="ignore")
        for name in ("trials_df", "samples_df", "effects_df")
    ]


def measure(calls: int, kills: int, failing: float, latency: float, seed: int, at: str | None = None) -> Measured:
    """Run both studies.

    Raises:
        AssertionError: the final tables or the attempts differ, or something was answered twice.
    """
    faults = Faults(server_error=failing)
    script = FakeBatches(latency=latency, ends={EXPIRES: "expired"})
    with tempfile.TemporaryDirectory() as folder:
        storages = [f"sqlite:///{folder}/{name}.db" for name in ("alone", "batches")]
        with FakeServer(answer, faults=faults) as server:
            finished(started(work, server.url, storages[0], calls, False, None))
            requests = server.count
        with FakeServer(answer, faults=faults, batches=script) as server:
            if at is None:
                killed(server, storages[1], calls, kills, latency, random.Random(seed))
            else:
                killed_at(server, storages[1], calls, at)
        results = [ps.open_result(storage, "study") for storage in storages]
        for one, other in zip(*map(tables, results), strict=True):
            pd.testing.assert_frame_equal(one, other)
        found, sent = (result.calls_df() for result in results)
        assert sorted(found["attempts"]) == sorted(sent["attempts"])
        in_batches = int(sent["batch_discount"].notna().sum())
        measured = Measured(
            requests=requests,
            batched=in_batches,
            alone=len(sent) - in_batches,
            batches=len(server.batches_made),
            twice=server.answered - int(sent["error"].isna().sum()),
            lost=lost(storages[1]),
            usd=float(found["cost_usd"].sum()),
            usd_in_batches=float(sent["cost_usd"].sum()),
        )
    assert measured.twice == measured.lost == 0
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description="A study in batches beside one that sends each request alone.")
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--at", choices=[*STEPS])
    parser.add_argument("--failing", type=float, default=0.03)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    found = measure(**vars(parser.parse_args()))
    print("| requests alone | in batches: batches | answered by them | sent alone | answered twice | cost | tables |")
    print("|---|---|---|---|---|---|---|")
    share = found.usd_in_batches / found.usd
    print(
        f"| {found.requests} | {found.batches} | {found.batched} | {found.alone} | {found.twice} "
        f"| {share:.1%} | equal |"
    )


if __name__ == "__main__":
    main()
