"""How fast requests are sent, answered, stored and found again: ratios from one run, on a server that answers at once.

    python experiments/benchmarks/throughput.py loops [--peers-python peers/bin/python]
    python experiments/benchmarks/throughput.py replay
    python experiments/benchmarks/throughput.py memory
    python experiments/benchmarks/throughput.py million

The server is a process of its own on the loopback interface. `loops` takes turns: ours (`ps.evaluate` with a SQLite
file: rendered, sent, stored, read, scored) and others that only ask, several times; ratios are of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import sqlalchemy as sql

import prompt_search as ps
from prompt_search._iteration import batched
from prompt_search.llm.messages import Message, Request, Response, Usage
from prompt_search.results.result import Evaluation
from prompt_search.storage import schema
from prompt_search.storage.store import Store
from prompt_search.testing import FakeServer, prompt_of

LABELS = ("positive", "negative")
SOURCE = "Is this review positive or negative? Answer with one word.\n\n{{ row.text }}\n\nSentiment:"
PARAMETERS: dict[str, Any] = {"temperature": 0, "max_tokens": 8}
IN_DSPY_FORMAT = "[[ ## label ## ]]\npositive\n\n[[ ## completed ## ]]"
GOALS = {"bare": 0.9, "plain": 2.0, "dspy": 2.0, "promptolution": 2.0}


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server in a process of its own, that answers at once."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def serve() -> None:
    """Until standard input ends; DSPy is answered in its own format."""
    with FakeServer(lambda body: IN_DSPY_FORMAT if "[[ ## label ## ]]" in prompt_of(body) else "positive") as server:
        print(server.url, flush=True)
        sys.stdin.read()


def data(rows: int, salt: str = "") -> ps.Dataset:
    """Reviews of about 45 words; another salt makes other requests."""
    text = "the film was long and the seats were hard but the ending made up for all of it " * 2
    frame = pd.DataFrame({"text": [f"{salt} review {row}: {text}" for row in range(rows)]})
    frame["label"] = [LABELS[row % 2] for row in range(rows)]
    return ps.Dataset(frame, target="label")


def evaluate(rows: ps.Dataset, url: str, storage: str, concurrency: int) -> Evaluation:
    model = ps.Model("fake", base_url=url, price=ps.Price(prompt=1.0, completion=1.0))
    return ps.evaluate(
        ps.Prompt(source=SOURCE, parameters=PARAMETERS),
        rows,
        model=model,
        answer=ps.Label(LABELS),
        storage=storage,
        max_concurrency=concurrency,
    )


def ours(rows: ps.Dataset, url: str, concurrency: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = evaluate(rows, url, f"sqlite:///{Path(folder) / 'store.db'}", concurrency)
    assert len(found.scores) == len(rows), found


def loop_of(client: Callable[[str], openai.AsyncOpenAI]) -> Callable[[ps.Dataset, str, int], None]:
    """As one would write it by hand: a semaphore and a gather, nothing stored."""

    async def main(rows: ps.Dataset, url: str, concurrency: int) -> int:
        slots = asyncio.Semaphore(concurrency)
        async with client(url) as api:

            async def one(text: str) -> bool:
                prompt = SOURCE.replace("{{ row.text }}", text)
                async with slots:
                    response = await api.chat.completions.create(
                        model="fake", messages=[{"role": "user", "content": prompt}], **PARAMETERS
                    )
                return response.choices[0].message.content in LABELS

            return sum(await asyncio.gather(*(one(str(row["text"])) for row in rows.rows)))

    def run(rows: ps.Dataset, url: str, concurrency: int) -> None:
        assert asyncio.run(main(rows, url, concurrency)) == len(rows)

    return run


def plain_client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="unused")


def aiohttp_client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="unused", http_client=openai.DefaultAioHttpClient())


class Peers:
    """Other packages, in a process of their own environment that is asked for one round after the other."""

    def __init__(self, python: str) -> None:
        script = Path(__file__).with_name("throughput_peers.py")
        self._process = subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def seconds(self, method: str, rows: ps.Dataset, url: str, concurrency: int) -> tuple[float, float]:
        """By the clock, and of processor time."""
        texts = [str(row["text"]) for row in rows.rows]
        job = {"method": method, "texts": texts, "url": url, "concurrency": concurrency}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        elapsed, busy = json.loads(self._process.stdout.readline())
        return float(elapsed), float(busy)


def loops(given: argparse.Namespace) -> None:
    own: dict[str, Callable[[ps.Dataset, str, int], None]] = {
        "ours": ours,
        "bare": loop_of(aiohttp_client),
        "plain": loop_of(plain_client),
    }
    peers = Peers(given.peers_python) if given.peers_python else None
    methods = [*own, *(("dspy", "promptolution") if peers else ())]
    rates: dict[str, list[float]] = {method: [] for method in methods}
    busy: dict[str, list[float]] = {method: [] for method in methods}
    with serving() as url:
        for repeat in range(given.repeats + 1):
            for method in methods:
                rows = data(given.requests if repeat else 50, f"{method} {repeat}")  # the first round imports
                if method in own:
                    started, before = time.perf_counter(), time.process_time()
                    own[method](rows, url, given.concurrency)
                    elapsed, used = time.perf_counter() - started, time.process_time() - before
                else:
                    assert peers is not None
                    elapsed, used = peers.seconds(method, rows, url, given.concurrency)
                if repeat:
                    rates[method].append(len(rows) / elapsed)
                    busy[method].append(1e3 * used / len(rows))
    names = {
        "ours": "**ours**: `ps.evaluate`, every response stored in SQLite",
        "bare": "loop over `AsyncOpenAI` with aiohttp, nothing stored",
        "plain": "loop over `AsyncOpenAI`, nothing stored",
        "dspy": "DSPy `Evaluate`",
        "promptolution": "promptolution `FirstOccurrencePredictor`",
    }
    rate = {method: statistics.median(found) for method, found in rates.items()}
    work = {method: statistics.median(found) for method, found in busy.items()}
    print(f"{given.requests} requests, {given.concurrency} in flight, {given.repeats} rounds in turn, medians\n")
    print("| | requests/s (lowest, highest) | ms of processor time each | ours: times the requests/s | ", end="")
    print("times as little processor time | goal |\n|---|---|---|---|---|---|")
    for method in methods:
        found = f"{rate[method]:.0f} ({min(rates[method]):.0f}, {max(rates[method]):.0f}) | {work[method]:.2f}"
        ratios = f"{rate['ours'] / rate[method]:.2f} | {work[method] / work['ours']:.2f}"
        print(f"| {names[method]} | {found} | {' | ' if method == 'ours' else ratios} | {GOALS.get(method, '')} |")


def replay(given: argparse.Namespace) -> None:
    rows = data(given.requests)
    print("| | responses/s | responses for a second of processor time |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'store.db'}"
        with serving() as url:
            keys = evaluate(rows, url, storage, given.concurrency).scored["key"].tolist()
        store = Store(storage)
        with store.engine.connect() as connection:
            (study,) = connection.execute(sql.select(schema.calls.c.study).distinct()).scalars()

        def stored() -> None:
            assert len(store.calls(study)) == len(keys)

        def found() -> None:
            for some in batched(keys, 500):
                assert len(store.find(study, some).calls) == len(some)

        def evaluated() -> None:
            assert evaluate(rows, url, storage, given.concurrency).errors == 0

        for name, work in {
            "all responses of a study: `Store.calls`": stored,
            "by key, 500 at a time, as an evaluation looks for them: `Store.find`": found,
            "a whole evaluation again: rendered, looked up, read, scored": evaluated,
        }.items():
            rates, busy = [], []
            for _ in range(given.repeats):
                started, before = time.perf_counter(), time.process_time()
                work()
                rates.append(len(rows) / (time.perf_counter() - started))
                busy.append(len(rows) / (time.process_time() - before))
            print(f"| {name} | {statistics.median(rates):,.0f} | {statistics.median(busy):,.0f} |")
        store.close()


def resident_mb(field: str) -> float:
    """The process's memory: ``VmRSS`` now, ``VmHWM`` at most since `forget_peak` (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def memory_of(rows: int, concurrency: int) -> None:
    """Print the most memory before and after an evaluation."""
    made = data(rows)
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'store.db'}"
        evaluate(data(50), url, storage, concurrency)
        gc.collect()
        forget_peak()
        before = resident_mb("VmRSS")
        evaluate(made, url, storage, concurrency)
        print(json.dumps([before, resident_mb("VmHWM")]))


def memory(given: argparse.Namespace) -> None:
    print("| rows | MB before | MB at most | kB a row |\n|---|---|---|---|")
    for rows in given.rows:
        command = [sys.executable, __file__, f"--concurrency={given.concurrency}", "memory-of", f"--rows={rows}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        before, after = json.loads(done.stdout)
        print(f"| {rows:,} | {before:.0f} | {after:.0f} | {1024 * (after - before) / rows:.2f} |", flush=True)


def million(given: argparse.Namespace) -> None:
    """Fill a store as a study does, but without asking, and look into it."""
    text = str(data(1).rows[0]["text"])

    def request(number: int) -> Request:
        return Request(
            endpoint="http://127.0.0.1:1/v1",
            model="fake",
            messages=(Message("user", SOURCE.replace("{{ row.text }}", f"{number} {text}")),),
            parameters=PARAMETERS,
        )

    response = Response(
        text="positive",
        finish_reason="stop",
        usage=Usage(prompt_tokens=48, completion_tokens=1),
        latency_s=0.123456,
        cost_usd=1e-5,
    ).to_json()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        file = Path(folder) / "store.db"
        store = Store(f"sqlite:///{file}")
        started = time.perf_counter()
        for numbers in batched(range(given.responses), 10_000):
            made = [request(number) for number in numbers]
            with store.engine.begin() as connection:
                connection.execute(
                    schema.responses.insert(),
                    [{"key": each.key, "request": each.to_json(), "response": response} for each in made],
                )
        filled = time.perf_counter() - started
        some = [request(number).key for number in random.Random(0).sample(range(given.responses), 2_000)]
        times = []
        for key in some:
            started = time.perf_counter()
            assert store.response(key) is not None
            times.append(time.perf_counter() - started)
        started = time.perf_counter()
        for keys in batched(some, 500):
            assert len(store.find("none", keys).responses) == len(keys)
        together = (time.perf_counter() - started) / len(some)
        store.close()
        size = sum(part.stat().st_size for part in Path(folder).iterdir())
    print("| stored responses | file | bytes each | one lookup, median | 99th percentile | 500 at a time, each |")
    print("|---|---|---|---|---|---|")
    median, high = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(
        f"| {given.responses:,} | {size / 1e9:.2f} GB | {size / given.responses:.0f} | {1e6 * median:.0f} µs "
        f"| {1e6 * high:.0f} µs | {1e6 * together:.0f} µs |"
    )
    print(f"\nfilled in {filled:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=32)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve")
    command = commands.add_parser("loops")
    command.add_argument("--requests", type=int, default=2_000)
    command.add_argument("--repeats", type=int, default=5)
    command.add_argument("--peers-python", help="of an environment with dspy and promptolution: see the README")
    command = commands.add_parser("replay")
    command.add_argument("--requests", type=int, default=10_000)
    command.add_argument("--repeats", type=int, default=3)
    command = commands.add_parser("memory")
    command.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    command = commands.add_parser("memory-of")
    command.add_argument("--rows", type=int, required=True)
    command = commands.add_parser("million")
    command.add_argument("--responses", type=int, default=1_000_000)
    command.add_argument("--folder", help="where the file is made")
    given = parser.parse_args()
    if given.command == "serve":
        serve()
    elif given.command == "memory-of":
        memory_of(given.rows, given.concurrency)
    else:
        {"loops": loops, "replay": replay, "memory": memory, "million": million}[given.command](given)


if __name__ == "__main__":
    main()
