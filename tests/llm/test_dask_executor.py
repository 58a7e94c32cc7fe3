"""Requests sent by the workers of a real Dask cluster: processes of this machine that die, come and go."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed
import pandas as pd
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request as ServerRequest
from werkzeug import Response as ServerResponse

import prompt_search as ps
from experiments.benchmarks.cluster import Cluster, Proxy, free_port, tables
from experiments.benchmarks.leaks import ECHOES, echoing, forms
from prompt_search.errors import InputError, MissingExtra, RunError, ServerUnreachable
from prompt_search.llm.client import Client
from prompt_search.llm.dask_executor import DaskExecutor, DaskTransport, Parcel, attempt, transport
from prompt_search.llm.messages import Message, Request, Response
from tests.conftest import Body, FakeServer, prompt_of

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
KEY = "worker-MARKED-0123456789"
NO_SETTINGS = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "WORKER_KEY": KEY}
"""The environment of workers: the key that this process lacks, and nothing of the person who runs the tests."""

IN_FLIGHT = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two workers, for tests that harm neither."""
    with Cluster(2, **NO_SETTINGS) as made:
        yield made


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """Two workers of the test's own."""
    with Cluster(2, **NO_SETTINGS) as made:
        yield made


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """The way to the scheduler, which can be cut."""
    made = Proxy(cluster.port)
    yield made
    made.cut()
    made.close()


def parity(body: Body) -> str:
    """Mostly right after one wording, always wrong after the other."""
    prompt = prompt_of(body)
    row = int(prompt.rsplit(" ", 1)[1])
    right = prompt.startswith("Say") and row % 7 > 0
    return "even" if (row % 2 == 0) == right else "odd"


def make(server: FakeServer, used: Any = None, **changes: Any) -> ps.Study:
    """A study so small that it looks at all rows: repeated requests do not change its course."""
    server.answer = parity
    data = ps.Dataset(
        pd.DataFrame({"text": [f"number {row}" for row in range(40)], "parity": ["even", "odd"] * 20}), target="parity"
    )
    settings: dict[str, Any] = {
        "template": ps.Template('{{ choice("verb", ["Say", "Tell"]) }}: {{ row.text }}'),
        "data": data,
        "model": server.model(price=ps.Price(prompt=1.0, completion=1.0)),
        "name": "odd-or even",
        "max_concurrency": IN_FLIGHT,
        "executor": used,
    }
    return ps.Study(**{**settings, **changes})


def on_request(server: FakeServer, number: int, act: Callable[[], object]) -> None:
    """Do something in a thread when that many requests have arrived."""

    def latency(body: Body) -> float:
        if server.count == number and not happened.is_set():
            happened.set()
            threading.Thread(target=act).start()
        return 0.1

    happened = threading.Event()
    server.latency = latency


def ask(model: ps.Model, address: str, count: int = 1, **settings: Any) -> list[Response]:
    """Different requests through a cluster; the client does not wait before it tries again."""

    async def no_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async def main() -> list[Response]:
        used = DaskExecutor.of(address, "asked", [model])
        async with Client(model, executor=used, sleep=no_sleep, **settings) as client:
            requests = [
                Request(endpoint=model.endpoint, model=model.name, messages=(Message("user", f"Say: number {row}"),))
                for row in range(count)
            ]
            return await asyncio.gather(*[client.complete(request) for request in requests])

    return asyncio.run(main())


def test_tables_do_not_depend_on_the_executor(server: FakeServer, cluster: Cluster) -> None:
    """A scheduler's address, a synchronous and an asynchronous client give the tables of a run in this process."""
    expected = tables(make(server).run(1000))
    requests = server.count

    async def with_asynchronous_client() -> str:
        client: Any = distributed.Client(cluster.address, asynchronous=True)  # type: ignore[no-untyped-call]
        async with client:
            return tables(make(server, client).run(1000))

    assert tables(make(server, cluster.address).run(1000)) == expected
    with distributed.Client(cluster.address) as client:  # type: ignore[no-untyped-call]
        assert tables(make(server, client).run(1000)) == expected
    assert asyncio.run(with_asynchronous_client()) == expected
    assert server.count == 4 * requests


def test_evaluate_sends_by_workers(server: FakeServer, cluster: Cluster) -> None:
    """`evaluate` gives the same samples with an executor."""
    study = make(server)

    def scores(used: str | None) -> Any:
        found = ps.evaluate(study.prompt(), study.data, model=server.model(), executor=used)
        return found.samples_df().drop(columns="latency_s")

    pd.testing.assert_frame_equal(scores(None), scores(cluster.address))


def test_each_worker_has_its_own_limit(server: FakeServer, cluster: Cluster) -> None:
    """With two workers twice as many requests are in flight as ``max_concurrency`` says, and no more."""
    server.latency = lambda body: 0.1

    ask(server.model(), cluster.address, 40, max_concurrency=IN_FLIGHT)

    assert server.most_in_flight == 2 * IN_FLIGHT


def test_dashboard_groups_tasks_by_study(server: FakeServer, cluster: Cluster) -> None:
    """The scheduler knows every request as a task of the study's name, and keeps none of them."""
    make(server, cluster.address, name="tickets-2 / winter").run(60)

    def counts(dask_scheduler: Any) -> dict[str, dict[str, int]]:
        return {name: dict(prefix.state_counts) for name, prefix in dask_scheduler.task_prefixes.items()}

    with distributed.Client(cluster.address) as client:  # type: ignore[no-untyped-call]
        found = client.run_on_scheduler(counts)
        left = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
    assert found["tickets_2_winter"]["forgotten"] == server.count
    assert left == 0


def test_key_is_the_workers(httpserver: HTTPServer, cluster: Cluster) -> None:
    """The key comes from the worker's environment; what a server says about it does not reach this process."""
    seen: list[str] = []

    def handle(request: ServerRequest) -> ServerResponse:
        seen.append(request.headers["Authorization"])
        message = {"error": {"message": f"{KEY} may not ask this"}}
        return ServerResponse(json.dumps(message), 400, mimetype="application/json")

    httpserver.expect_request("/v1/chat/completions").respond_with_handler(handle)

    (response,) = ask(ps.Model("m", base_url=httpserver.url_for("/v1"), api_key_env="WORKER_KEY"), cluster.address)

    assert seen == [f"Bearer {KEY}"]
    assert response.error is not None
    assert response.error.endswith("answered 400 for m: [key] may not ask this")


@pytest.mark.parametrize(
    "way",
    ["content", "content as parts", "content, streamed", "content, escaped", "refusal", "log-probability",
     "finish_reason", "error in an answer", "error as a success", "page"],
)  # fmt: skip
def test_no_key_travels(way: str, cluster: Cluster) -> None:
    """However a server quotes the key that only the worker has, neither the reply nor a log of Dask has it."""
    with echoing(ECHOES[way](KEY)) as port:
        model = ps.Model("m", base_url=f"http://127.0.0.1:{port}/v1", api_key_env="WORKER_KEY")
        try:
            (response,) = ask(model, cluster.address, max_attempts=1)
            told = response.to_json()
        except RunError as error:
            told = str(error)
    with distributed.Client(cluster.address) as dask:  # type: ignore[no-untyped-call]
        logs = f"{dask.get_worker_logs()}{dask.get_scheduler_logs()}{dask.get_events()}"
    assert "[key]" in told
    assert not {each for each in forms(KEY) if each in f"{told}{logs}".lower().encode()}


def test_headers_have_the_workers_variables(httpserver: HTTPServer, cluster: Cluster) -> None:
    """A variable that a header names is read by the worker; this process need not have it, and does not see it."""
    said = {"error": {"message": f"{KEY} may not ask this"}}
    httpserver.expect_request("/v1/chat/completions", headers={"X-Key": f"Token {KEY}"}).respond_with_json(said, 400)

    model = ps.Model("m", base_url=httpserver.url_for("/v1"), headers={"X-Key": "Token ${WORKER_KEY}"})
    (response,) = ask(model, cluster.address)

    assert (response.error or "").endswith("answered 400 for m: [key] may not ask this")


def test_worker_without_a_header_s_variable(server: FakeServer, cluster: Cluster) -> None:
    """Before anything is sent it is said which worker lacks the variable of a header."""
    with pytest.raises(
        InputError,
        match=r"worker tcp://\S+ cannot send requests: headers or query name the environment variable NOT_THERE, which",
    ):
        ask(server.model(headers={"X-Key": "${NOT_THERE}"}), cluster.address)

    assert server.count == 0


def test_worker_without_key(server: FakeServer, cluster: Cluster) -> None:
    """Before anything is sent it is said which worker lacks which variable."""
    model = server.model(api_key_env="NOT_THERE")

    with pytest.raises(
        InputError, match=r"Dask's worker tcp://\S+ cannot send requests: the environment variable NOT_THERE is"
    ):
        ask(model, cluster.address)

    assert server.count == 0


def test_worker_without_key_that_comes_later(server: FakeServer) -> None:
    """A run whose first worker cannot send requests ends, instead of waiting for ever."""
    model = server.model(api_key_env="NOT_THERE")
    with Cluster(0) as cluster:
        adding = threading.Timer(1.0, cluster.add)
        adding.start()
        with pytest.raises(RunError, match="the environment variable NOT_THERE is not set"):
            ask(model, cluster.address, 3)
        adding.join()


@pytest.mark.parametrize("who", ["scheduler", "worker"])
def test_other_version_installed(who: str, server: FakeServer, tmp_path: Path) -> None:
    """A scheduler or worker that cannot read what it is sent is told of, with the remedy."""
    (tmp_path / "prompt_search.py").write_text("raise ImportError('an old version')")
    broken = {"PYTHONPATH": str(tmp_path)}

    with Cluster(0, **(broken if who == "scheduler" else {})) as cluster:
        if who == "worker":
            cluster.environment |= broken
            cluster.add()
            cluster.wait_for_workers(1)
        with pytest.raises(InputError, match=rf"Dask's {who}.* cannot import this version of prompt_search \(.*an old"):
            ask(server.model(), cluster.address)


def test_killed_worker(server: FakeServer, own_cluster: Cluster) -> None:
    """What a killed worker had in flight is sent again and counted, nothing else; the tables are the same."""
    expected = tables(make(server).run(1000))
    before = server.count
    server.bodies.clear()
    on_request(server, before // 2, own_cluster.workers[0].kill)

    result = make(server, own_cluster.address).run(1000)

    assert tables(result) == expected
    again = server.count - before
    assert len(server.repeated) == again
    assert again <= IN_FLIGHT
    assert again <= result.calls_df()["attempts"].sum() - before <= IN_FLIGHT


def test_scheduler_cut_off(server: FakeServer, cluster: Cluster, proxy: Proxy) -> None:
    """A run goes on once the scheduler can be reached again; only what was in flight is sent again."""
    expected = tables(make(server).run(1000))
    before = server.count
    server.bodies.clear()

    def interrupt() -> None:
        proxy.cut()
        time.sleep(2)
        proxy.mend()

    on_request(server, before // 2, interrupt)

    result = make(server, proxy.address).run(1000)

    assert tables(result) == expected
    again = server.count - before
    assert len(server.repeated) == again
    assert 0 < again <= 2 * IN_FLIGHT
    assert result.calls_df()["attempts"].sum() == server.count


def test_scheduler_stays_away(
    server: FakeServer, cluster: Cluster, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose scheduler does not come back ends with a line that says so; what was answered is kept."""
    monkeypatch.setattr(transport, "SCHEDULER_PATIENCE_S", 3.0)
    monkeypatch.setattr(transport, "SCHEDULER_TIMEOUT_S", 1.0)
    on_request(server, 20, proxy.cut)

    with pytest.raises(RunError, match=r"Dask's scheduler at tcp://127.0.0.1:\d+ has not answered for 0.05 minutes"):
        make(server, proxy.address).run(1000)


def test_worker_that_joins(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """A run waits for its first worker, and gives work to whoever comes later."""
    with Cluster(0, **NO_SETTINGS) as cluster:
        adding = threading.Timer(1.0, cluster.add)
        adding.start()
        on_request(server, 10, cluster.add)
        until_then = server.latency
        assert callable(until_then)
        server.latency = lambda body: until_then(body) if server.most_in_flight > IN_FLIGHT else 10 * until_then(body)

        ask(server.model(), cluster.address, 150, max_concurrency=IN_FLIGHT)

        adding.join()
    assert server.count == 150
    assert server.most_in_flight == 2 * IN_FLIGHT
    assert f"no worker has joined Dask's scheduler at {cluster.address} yet" in caplog.text


def test_worker_that_hangs(server: FakeServer, own_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker does not answer in time is sent by another one; it gets nothing more until it answers."""
    monkeypatch.setattr(transport, "GRACE_S", 1.0)
    stopped = own_cluster.workers[0]
    on_request(server, 10, lambda: stopped.send_signal(signal.SIGSTOP))

    responses = ask(server.model(), own_cluster.address, 60, max_concurrency=IN_FLIGHT, request_timeout=1.0)

    assert [response.error for response in responses] == [None] * 60
    assert 60 <= sum(response.attempts for response in responses) <= 60 + IN_FLIGHT


def test_attempt_for_a_worker_that_was_restarted() -> None:
    """A task that outlived its worker is not sent by the one that has its address now."""
    parcel = Parcel(key="k", sender="unknown to it", body={"messages": "secret prompt"})

    reply = asyncio.run(attempt(parcel))

    assert (reply.failure, reply.why) == ("lost", "its worker was restarted")
    assert "secret prompt" not in repr(parcel)


def test_failures_are_typed_alike(cluster: Cluster) -> None:
    """A server that cannot be reached from a worker is told of as from here."""
    model = ps.Model("m", base_url=f"http://127.0.0.1:{free_port()}/v1")

    with pytest.raises(ServerUnreachable, match=r"cannot connect to http://127.0.0.1:\d+/v1: .*\(3 attempts\)"):
        ask(model, cluster.address)


def test_command_line(server: FakeServer, cluster: Cluster, tmp_path: Path) -> None:
    """`prompt-search run --scheduler` sends by workers and prints what a run in this process prints."""
    server.answer = parity
    file = tmp_path / "study.py"
    file.write_text(f"""
import pandas as pd
import prompt_search as ps
rows = pd.DataFrame({{"text": [f"number {{row}}" for row in range(40)], "parity": ["even", "odd"] * 20}})
study = ps.Study(
    template=ps.Template('{{{{ choice("verb", ["Say", "Tell"]) }}}}: {{{{ row.text }}}}'),
    data=ps.Dataset(rows, target="parity"),
    model=ps.Model("fake", base_url="{server.model().base_url}"),
    name="command",
)
""")

    def printed(*options: str) -> str:
        command = [sys.executable, "-m", "prompt_search.cli", "run", "study.py", "--calls", "100", "--fresh"]
        storage = f"sqlite:///{len(options)}.db"
        ran = subprocess.run(
            [*command, "--storage", storage, "--display", "none", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Traceback" not in ran.stderr
        return re.sub(r"\d+ s\b", "", ran.stdout.replace(storage, ""))

    assert printed("--scheduler", cluster.address) == printed()


def test_embedded_model_is_refused() -> None:
    """Workers cannot reach a model that this process serves; that is said when the study is made."""
    with pytest.raises(InputError, match="SmolLM2-135M-Instruct is served in this process, which workers do not"):
        DaskExecutor.of("tcp://127.0.0.1:1", "s", [ps.Model.local()])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "127.0.0.1:8786",
            ("a scheduler's address must be one such as tcp://10.0.0.1:8786, got 127.0.0.1:8786; correct it"),
        ),
        (
            8786,
            (
                "an executor must be a dask.distributed.Client, a scheduler's address or an object with the method "
                "connect"
            ),
        ),
    ],
)
def test_no_executor(given: Any, told: str, server: FakeServer) -> None:
    """What is no executor is refused when the study is made."""
    with pytest.raises(InputError, match=told):
        make(server, given)


def test_closed_client(server: FakeServer, cluster: Cluster) -> None:
    """A client that is closed is refused when the study is made."""
    with distributed.Client(cluster.address) as client:  # type: ignore[no-untyped-call]
        pass
    with pytest.raises(InputError, match="the executor is a Dask client that is closed; give one that is connected"):
        make(server, client)


def test_scheduler_is_not_there(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address ends the run in one line, before any request."""
    monkeypatch.setattr(transport, "SCHEDULER_TIMEOUT_S", 0.5)

    with pytest.raises(ServerUnreachable, match=r"no answer from Dask's scheduler at tcp://127.0.0.1:\d+: .*; check"):
        make(server, f"tcp://127.0.0.1:{free_port()}").run(100)


def test_dask_is_optional(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra an executor is refused with the line that installs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(MissingExtra, match=re.escape("pip install 'prompt_search[dask]'")):
        make(server, "tcp://127.0.0.1:8786")


def test_documented_snippets_run(server: FakeServer, tmp_path: Path) -> None:
    """Each Python snippet of the page is a program that runs as it stands."""
    server.answer = lambda body: "refund"
    page = (ROOT / "docs" / "many-machines.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")

    for snippet in snippets:
        (tmp_path / "snippet.py").write_text(snippet)
        ran = subprocess.run(
            [sys.executable, "snippet.py"],
            cwd=tmp_path,
            env={**os.environ, "OPENAI_BASE_URL": str(server.model().base_url), "OPENAI_API_KEY": "x"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stderr
        assert "Traceback" not in ran.stderr
        assert "on 15 test rows that the search never saw" in ran.stdout
        assert "Unclosed" not in ran.stderr
    assert server.count == 100 * len(snippets) > 0


def test_unexpected_failure_of_a_worker(cluster: Cluster) -> None:
    """What goes wrong on a worker without being foreseen ends the run in one line that names it."""
    model = ps.Model("m", base_url="http://127.0.0.1:1/v1")

    async def main() -> None:
        async with Client(model, executor=DaskExecutor.of(cluster.address, "asked", [model])) as client:
            request = Request(
                endpoint=model.endpoint,
                model="m",
                messages=(Message("user", "hi"),),
                parameters={"stop": {"not", "JSON"}},
            )
            await client.complete(request)

    with pytest.raises(RunError, match=r"Dask's worker tcp://\S+ failed with TypeError: "):
        asyncio.run(main())


def test_unexpected_failure_here(server: FakeServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in the background is raised where a reply is waited for, instead of being waited for ever."""

    async def broken(self: DaskTransport, address: str) -> None:
        raise ValueError("not foreseen")

    monkeypatch.setattr(DaskTransport, "_add_worker", broken)

    with pytest.raises(InputError, match="sending through Dask failed with ValueError: not foreseen"):
        ask(server.model(), cluster.address)


def test_batches_are_sent_by_the_process_that_runs_the_study(
    server: FakeServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cluster the study's own process sends the batches, and workers what is sent alone; the tables are those of
    a run that sends each request alone."""
    expected = tables(make(server).run(1000))
    requests = server.count
    monkeypatch.setenv("WORKER_KEY", KEY)
    result = make(server, cluster.address, batch=True).run(1000)
    assert tables(result) == expected
    assert server.count == 2 * requests
    assert len(server.batches_made) > 1
    assert result.ledger_df()["batched"].sum() > requests / 2
