"""A study on many machines: how much faster eight Dask workers are than one, and what is lost when things die.

    python experiments/benchmarks/cluster.py [--workers 8] [--in-flight 1] [--calls 1000]
        [--latency 1.0] [--cut 20] [--only speed|faults]

Everything runs on this machine: a Dask scheduler, worker processes, and a server that answers every request by its
content, after a fixed time. Each worker has ``--in-flight`` requests in flight at most. The same study is run

- by one worker and by all of them: wall times, in which fresh workers also import what they need, and whether the
  tables are those of a run in this process, sixteen requests at a time;
- by all of them through a TCP proxy, while two workers are killed (-9) after a third of the requests and the
  connection to the scheduler is cut for ``--cut`` seconds after two thirds: whether the tables are the same, and how
  many requests the server saw twice. This study looks at all rows of a small space, so that repeated requests, which
  count against the budget, do not change its course.

Latencies decide, not processors: compare only within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any

import distributed
import numpy as np
import pandas as pd
from aiohttp import web

import prompt_search as ps


class Loop:
    """An event loop in a thread of its own, until the end of the block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Server(Loop):
    """An OpenAI-compatible server on a free port; ``bodies`` counts the requests by what they ask."""

    def __init__(self, latency: float) -> None:
        super().__init__()
        self.latency = latency
        self.bodies: Counter[str] = Counter()
        self.busy = 0
        self.on_request: Callable[[int], None] = lambda count: None
        self._runner: web.AppRunner | None = None
        self.url = f"http://127.0.0.1:{self.do(self._serve())}/v1"

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        self.do(self._runner.cleanup())
        self.close()

    @property
    def count(self) -> int:
        return self.bodies.total()

    @property
    def repeated(self) -> int:
        """Requests that the server had seen before."""
        return self.count - len(self.bodies)

    async def _serve(self) -> int:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.bodies[text] += 1
        self.busy += 1
        self.on_request(self.count)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self.busy -= 1
        prompt = json.loads(text)["messages"][-1]["content"]
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": answer_to(prompt)},
        }
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 20, "completion_tokens": 1}})


def answer_to(prompt: str) -> str:
    """The right label for some rows and wordings: by what the prompt says alone."""
    chance = 0.4 + 0.05 * (sum(map(ord, prompt.split(":")[0])) % 10)
    right = np.random.default_rng(list(prompt.encode())).random() < chance
    row = int(prompt.rsplit(" ", 1)[1])
    return "even" if (row % 2 == 0) == right else "odd"


class Proxy(Loop):
    """Passes TCP connections on to a port of this machine until it is cut, and again once it is mended."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._target = port
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = free_port()
        self.mend()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def mend(self) -> None:
        self.do(self._listen())

    def cut(self) -> None:
        self.do(self._hang_up())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _hang_up(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, forth}
        await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:  # the other side hung up: so do we
            pass
        finally:
            sink.close()


class Cluster:
    """A Dask scheduler and workers of one thread each, as processes of this machine."""

    def __init__(self, workers: int, **environment: str) -> None:
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.dashboard_port = free_port()
        self.environment = {**os.environ, **environment}
        self._processes: list[subprocess.Popen[bytes]] = []
        dashboard = f"127.0.0.1:{self.dashboard_port}"
        self._run("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", dashboard)
        self.workers = [self.add() for _ in range(workers)]

    def add(self) -> subprocess.Popen[bytes]:
        """One more worker."""
        return self._run("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"distributed.cli.dask_{program}", *arguments],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def __enter__(self) -> Cluster:
        self.wait_for_workers(len(self.workers))
        return self

    def wait_for_workers(self, count: int) -> None:
        with distributed.Client(self.address, timeout=60, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            if count:
                client.wait_for_workers(count, timeout=120)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def make(url: str, executor: str | None, in_flight: int, small: bool = False) -> ps.Study:
    """A study of made-up rows: are they odd or even?"""
    rows = 60 if small else 400
    data = ps.Dataset(
        pd.DataFrame({"text": [f"number {row}" for row in range(rows)], "parity": ["even", "odd"] * (rows // 2)}),
        target="parity",
    )
    words = ["Say", "Tell", "Decide", "Judge", "Write", "Name"][: 4 if small else None]
    template = '{{ choice("verb", words) }} {{ choice("what", words) }} {{ choice("how", words) }}: {{ row.text }}'
    return ps.Study(
        template=ps.Template(template if not small else template.replace(' {{ choice("how", words) }}', "")),
        data=data,
        model=ps.Model("parity", base_url=url, price=ps.Price(prompt=1.0, completion=1.0)),
        context={"words": words},
        name="cluster benchmark",
        max_concurrency=in_flight,
        executor=executor,
    )


def tables(result: ps.Result) -> str:
    """What must be the same: everything but times."""
    frames = [result.trials_df(), result.samples_df(), result.effects_df()]
    kept = [frame.drop(columns="latency_s", errors="ignore") for frame in frames]
    return "\n".join(frame.to_csv(index=False) for frame in kept)


def timed(study: ps.Study, calls: int) -> tuple[float, ps.Result]:
    started = time.perf_counter()
    result = study.run(calls)
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=1.0)
    parser.add_argument("--cut", type=float, default=20.0)
    parser.add_argument("--only", choices=["speed", "faults"])
    options = parser.parse_args()
    if options.only != "faults":
        speed(options.workers, options.in_flight, options.calls, options.latency)
    if options.only != "speed":
        faults(options.workers, options.in_flight, options.latency, options.cut)


def speed(workers: int, in_flight: int, calls: int, latency: float) -> None:
    with Server(latency=0.0) as server:
        expected = tables(make(server.url, None, 16).run(calls))
    print(f"| workers, {in_flight} in flight at each | seconds | times as fast | requests | tables |")
    print("|---|---|---|---|---|")
    alone = 0.0
    for count in (1, workers):
        with Server(latency) as server, Cluster(count) as cluster:
            seconds, result = timed(make(server.url, cluster.address, in_flight), calls)
            alone = alone or seconds
            same = "same" if tables(result) == expected else "DIFFERENT"
            print(f"| {count} | {seconds:.1f} | {alone / seconds:.2f} | {server.count} | {same} |", flush=True)


def faults(workers: int, in_flight: int, latency: float, cut: float) -> None:
    with Server(latency=0.0) as server:
        expected = tables(make(server.url, None, 16, small=True).run(10_000))
        total = server.count
    with Server(latency) as server, Cluster(workers) as cluster:
        proxy = Proxy(cluster.port)
        happened: list[tuple[str, int, int]] = []

        def disturb(count: int) -> None:
            if count == total // 3:
                happened.append((f"2 of {workers} workers killed", server.busy, 2 * in_flight))
                for worker in cluster.workers[:2]:
                    worker.kill()
            if count == total * 2 // 3:
                happened.append((f"scheduler cut for {cut:g} s", server.busy, (workers - 2) * in_flight))
                threading.Thread(target=interrupt).start()

        def interrupt() -> None:
            proxy.cut()
            time.sleep(cut)
            proxy.mend()

        server.on_request = disturb
        seconds, result = timed(make(server.url, proxy.address, in_flight, small=True), 10_000)
        same = "same" if tables(result) == expected else "DIFFERENT"
        paid = int(result.calls_df()["attempts"].sum())
        print("\n| what happened | in flight at the server | in flight at those concerned, at most |")
        print("|---|---|---|")
        for what, busy, most in happened:
            print(f"| {what} | {busy} | {most} |")
        most = sum(each[2] for each in happened)
        print(
            f"\n{total} requests without disturbance, {server.count} with it: {server.repeated} sent again, "
            f"of {most} in flight at most; the ledger counts {paid}; {seconds:.1f} s; tables: {same}"
        )
        proxy.cut()
        proxy.close()


if __name__ == "__main__":
    main()
