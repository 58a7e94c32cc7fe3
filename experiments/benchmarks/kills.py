"""A study killed with SIGKILL at random moments and run again, until it ends: what is paid twice?

The study runs in a process of its own against a server, in another process, that counts what it is asked. Every request
that the server saw more than once was on its way when a kill came; the final tables have to be those of the study that
nobody disturbed. What the result says was lost has to cover what was sent twice. With ``--strict`` the server refuses
two parameters and, later, an option; none of these requests may be sent twice either. With ``--grow`` a proposer adds
options to a choice, with ``--own-shots`` shots are picked by what the model itself answers. Prints one line.

    python experiments/benchmarks/kills.py [--kills 50] [--calls 400] [--in-flight 8] [--strict] [--grow]
        [--own-shots]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd

import prompt_search as ps

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.budgets import GROWS, OWN_SHOTS, SOURCE, data
from prompt_search.storage.store import Store

ROOT = Path(__file__).parents[2]
SERVER = [sys.executable, "-m", "experiments.benchmarks.counting_server"]


def work(url: str, storage: str, calls: int, in_flight: int, source: str, grow: bool) -> None:
    """What the program that is killed does."""
    model = ps.Model("counted", base_url=url)
    study = ps.Study(
        template=ps.Template(source),
        data=data(),
        model=model,
        proposer=model if grow else None,
        max_concurrency=in_flight,
        storage=storage,
        request={"presence_penalty": ps.choice([0, 0.5])},
    )
    study.run(calls)


@contextmanager
def served(latency: float, *, strict: bool) -> Iterator[str]:
    """The base URL of a counting server in a process of its own."""
    settings = ["--latency", str(latency), *["--strict"] * strict]
    process = subprocess.Popen([*SERVER, *settings], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.communicate()


def counts(url: str) -> Mapping[str, int]:
    """What the server saw: all requests, how many different ones, and how often the most frequent one."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/counts") as answer:
        found: Mapping[str, int] = json.load(answer)
        return found


def started(work: Callable[..., None], *arguments: object) -> BaseProcess:
    """A study in a process of its own, forked from one that has imported everything: a kill should hit the study.

    Args:
        work: what the process does, a function of a module.
        arguments: those of the function.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([work.__module__, "prompt_search.study.study", "optuna", "openai", "aiohttp"])
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def tables(storage: str) -> list[pd.DataFrame]:
    result = ps.open_result(storage, "study")
    return [
        getattr(result, name)().drop(columns=["latency_s", "cached"], errors="ignore")
        for name in ("trials_df", "samples_df", "effects_df", "proposals_df", "lineage", "shots_df")
    ]


def lost(storage: str) -> int:
    """How many requests a study says were sent by processes that ended before the answers were stored, at most."""
    with closing(Store(storage)) as store:
        return store.responses.lost("study").calls


def killed(
    url: str,
    storage: str,
    calls: int,
    in_flight: int,
    kills: int,
    generator: random.Random,
    *,
    source: str,
    grow: bool,
) -> list[int]:
    """Run a study to its end and kill it so many times before.

    A kill comes when the server has seen some more requests than at the last one, so that each round gets somewhere.

    Returns:
        how many requests the server had seen more often than once before each kill, and in the end.
    """
    again = []
    for left in range(kills, 0, -1):
        before = counts(url)
        again.append(before["requests"] - before["different"])
        until = before["different"] + generator.uniform(0, 1.5 * (calls - before["different"]) / (left + 1))
        process = started(work, url, storage, calls, in_flight, source, grow)
        while process.is_alive() and counts(url)["different"] < until:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.05))
        process.kill()
        process.join()
    finished(started(work, url, storage, calls, in_flight, source, grow))
    return [*again, counts(url)["requests"] - counts(url)["different"]]


def finished(process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        raise SystemExit(f"the study ended with {process.exitcode}")


def measure(
    kills: int,
    calls: int,
    in_flight: int,
    latency: float,
    seed: int,
    *,
    strict: bool = False,
    grow: bool = False,
    own_shots: bool = False,
) -> tuple[list[int], int, int, int]:
    """
    Returns:
        see `killed`; then the requests of the undisturbed study, and of the killed one; and how many of these the
        result counts as lost.

    Raises:
        AssertionError: the final tables differ, or more was sent twice than was on its way at a kill.
    """
    source = GROWS if grow else SOURCE + OWN_SHOTS if own_shots else SOURCE
    with tempfile.TemporaryDirectory() as folder:
        storages = [f"sqlite:///{folder}/{name}.db" for name in ("whole", "killed")]
        with served(latency, strict=strict) as url:
            finished(started(work, url, storages[0], calls, in_flight, source, grow))
            whole = counts(url)
        with served(latency, strict=strict) as url:
            again = killed(url, storages[1], calls, in_flight, kills, random.Random(seed), source=source, grow=grow)
            seen = counts(url)
        for one, other in zip(*map(tables, storages), strict=True):
            pd.testing.assert_frame_equal(one, other)
        assert ps.open_result(storages[1], "study").proposals_df().empty != grow
        assert ps.open_result(storages[1], "study").shots_df().empty != own_shots
        most = lost(storages[1])
    assert whole["most"] == 1
    assert seen["different"] == whole["requests"]
    assert bool(whole["refused"]) == strict
    assert all(twice <= in_flight * kill for kill, twice in enumerate(again))
    assert again[-1] <= most <= in_flight * kills
    return again, whole["requests"], seen["requests"], most


def main() -> None:
    parser = argparse.ArgumentParser(description="What is paid twice when a study is killed.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("--own-shots", action="store_true")
    arguments = parser.parse_args()
    again, whole, seen, lost = measure(**vars(arguments))
    allowed = arguments.kills * arguments.in_flight
    print(
        "| kills | in flight | requests without kills | with kills | sent twice | counted as lost "
        "| in flight at the kills, at most | tables |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {arguments.kills} | {arguments.in_flight} | {whole} | {seen} | {again[-1]} | {lost} | {allowed} | equal |"
    )


if __name__ == "__main__":
    main()
