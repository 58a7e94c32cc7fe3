"""A real PostgreSQL server, started on loopback, holds a storage that studies share at the same time."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from sqlalchemy.engine import make_url

import prompt_search as ps
from experiments.benchmarks.postgresql import Postgres, programs
from prompt_search.errors import RunError, StorageError, StudyError
from prompt_search.llm.messages import Response
from prompt_search.storage import faults, schema
from prompt_search.storage.faults import StorageFault
from prompt_search.storage.ownership.lease import Owner
from prompt_search.storage.records import BatchRecord
from prompt_search.storage.store import Store
from tests.conftest import FakeServer, InProcessExecutor
from tests.storage.examples import ELSEWHERE, LONE, S, keep, request, sample, trial
from tests.study.examples import assert_equal_results, study, truth

pytest.importorskip("psycopg", reason="needs the extra `postgres`")

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that is gone after the tests; it does not run as root, so it gets a user of its own then."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    if os.geteuid() == 0 and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root, and there is no runuser to start it as another user")
    place = Path(tempfile.mkdtemp(prefix="prompt_search_pg"))
    try:
        started = Postgres(place)
        started.start()
        try:
            yield started.url("postgres")
        finally:
            started.stop()
    finally:
        shutil.rmtree(place)


@pytest.fixture
def storage(server: str, request: pytest.FixtureRequest) -> str:
    """A database of its own for each test."""
    name = f"d{abs(hash(request.node.name))}"
    engine = sql.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def test_two_studies_at_once_pay_once(fake: InProcessExecutor, storage: str) -> None:
    """Two studies that share most of their requests run at the same time: none is sent twice, and each comes out as it
    does alone."""
    fake.answer = truth
    fake.latency = lambda body: 0.01
    settings: dict[str, dict[str, Any]] = {"one": {"seed": 0}, "two": {"seed": 0, "request": {"temperature": 0}}}
    alone = {name: study(fake, name=name, **of).run(90) for name, of in settings.items()}
    fake.bodies.clear()
    found: dict[str, ps.Result] = {}

    def run(name: str) -> None:
        found[name] = study(fake, storage, name=name, **settings[name]).run(90)

    threads = [threading.Thread(target=run, args=(name,)) for name in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = [json.dumps(body, sort_keys=True) for body in fake.bodies]
    assert len(set(sent)) == len(sent) < sum(result.summary["calls"] for result in alone.values())
    assert sum(int(result.calls_df()["attempts"].sum()) for result in found.values()) == len(sent)
    for name in settings:
        assert found[name].best == alone[name].best
        assert found[name].verdict == alone[name].verdict
        assert found[name].summary["calls"] == alone[name].summary["calls"]
        scores = [result.samples_df()[["trial", "row", "split", "score"]] for result in (found[name], alone[name])]
        assert scores[0].equals(scores[1])
    with closing(Store(storage)) as store, store.engine.connect() as connection:
        assert connection.execute(schema.claims.select()).all() == []
        assert connection.execute(schema.leases.select()).all() == []


def test_study_resumes_and_is_mirrored(fake: InProcessExecutor, storage: str) -> None:
    """The same line sends nothing again, and Optuna reads the study from the same database."""
    fake.answer = truth
    first = study(fake, storage).run(60)
    sent = fake.count
    assert_equal_results(study(fake, storage).run(60), first)
    assert fake.count == sent
    assert len(first.optuna_study.trials) == len(first.trials_df())
    mirrored = optuna.storages.RDBStorage(storage)
    assert len(optuna.load_study(study_name="study", storage=mirrored).trials) == len(first.trials_df())
    mirrored.remove_session()
    mirrored.engine.dispose()
    assert study(fake, storage).run(90).summary["calls"] == fake.count <= 90


def test_any_text_survives(storage: str) -> None:
    """NUL and half surrogate pairs, which PostgreSQL does not take as they are, come back."""
    store = Store(storage)
    text = f"{LONE} \x00 \N{GRINNING FACE}"
    key = keep(store, Response(text=text, latency_s=0, cost_usd=0), request(text))
    found = store.response(key)
    assert found is not None
    assert found.text == text
    store.open_study("s", {"text": text})
    store.save_trials(S, [trial(text=text)], [sample(answer=text)])
    assert (store.trials(S)[0].text, store.samples(S)[0].answer) == (text, text)
    store.close()


def test_longest_names_and_any_option_are_kept(fake: InProcessExecutor, storage: str, tmp_path: Path) -> None:
    """Names of 200 characters of several bytes, and options with NUL, give the same study as on SQLite."""
    name, options = "\N{GRINNING FACE}" * 200, ["a\0b", "x" * 5000, "\N{GRINNING FACE}" * 3000]
    template = ps.Template(f"{{{{ choice('{'c' * 200}', options) }}}} {{{{ row.text }}}}", context={"options": options})
    found = [
        study(fake, url, template=template, name=name, model=fake.model("m" * 200), mirror="live").run(60)
        for url in (storage, f"sqlite:///{tmp_path / 'same.db'}")
    ]
    assert_equal_results(*found)
    assert ps.open_result(storage, name).name == name
    for broken in ("a\0b", LONE):
        with pytest.raises(StudyError, match=r"^there is no study "):
            ps.open_result(storage, broken)


def test_storage_that_is_opened_by_many_at_once_is_made_once(storage: str) -> None:
    """The tables are made by one of them while the others wait."""
    start = threading.Barrier(6)
    failures: list[BaseException] = []

    def make() -> None:
        start.wait()
        try:
            Store(storage).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_overlapping_claims_and_answers_at_once(storage: str) -> None:
    """Owners that claim the same requests in any order, and answer them, neither wait for each other for ever nor hold
    one request twice."""
    keys = [request(str(number)).key for number in range(60)]
    held: list[str] = []

    def work(name: str, order: int) -> None:
        with closing(Store(storage)) as store:
            store.take_lease(name, name, Owner.here(), 60)
            for start in range(0, 60, 10):
                mine = store.claim(name, keys[start : start + 30][::order])
                held.extend(mine)
                for number in range(60):
                    if keys[number] in mine:
                        keep(store, Response(text="yes"), request(str(number)), study=name)

    Store(storage).close()
    threads = [threading.Thread(target=work, args=(f"w{n}", 1 if n % 2 else -1)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(Store(storage)) as store:
        assert len(store.find("none", keys).responses) == 60
        asyncio.run(store.in_thread(store.end_lease, "w0"))


def test_locked_tables_and_cut_connections_are_waited_for(
    storage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A lock on the tables delays a response and is told; connections that were cut are made again without a word."""
    monkeypatch.setattr(faults, "TOLD_AFTER_S", 0.05)
    others = sql.create_engine(storage)
    with closing(Store(storage)) as store:
        holder = others.connect()
        holder.exec_driver_sql("LOCK TABLE prompt_search_calls IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(0.5, holder.close)
        release.start()
        keep(store, Response(text="yes"), request("locked"))
        release.join()
        assert [message.split(": ")[-1] for message in caplog.messages] == [
            "canceling statement due to lock timeout; waiting for it, up to 30 s",
            f"storage {storage!r} is there again",
        ]
        with others.connect() as connection:
            ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            connection.exec_driver_sql(f"{ends} AND datname = current_database()")
        keep(store, Response(text="yes"), request("cut"))
        assert len(store.calls("s")) == 2
    others.dispose()


def test_dropped_table_and_database_are_named(storage: str) -> None:
    """What is gone is neither waited for nor made again."""
    with closing(Store(storage)) as store:
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE prompt_search_calls")
        with pytest.raises(
            StorageFault, match=r'cannot be read: relation "prompt_search_calls" does not exist; restore'
        ):
            store.calls("s")
    with pytest.raises(StorageError, match=r'cannot be opened: relation "prompt_search_calls" does not exist; restore'):
        Store(storage)
    missing = make_url(storage).set(database="missing").render_as_string(hide_password=False)
    with pytest.raises(StorageError, match=r'database "missing" does not exist; restore the storage from a copy'):
        Store(missing)


def test_owner_on_another_machine_holds_its_lease(storage: str) -> None:
    """Who runs a study is told to others on the same server, until the lease ends."""
    with closing(Store(storage)) as store:
        store.take_lease("s", "far", ELSEWHERE, 60)
        with pytest.raises(StudyError, match=r"being run by process 1 on far, at least until"):
            store.take_lease("s", "b", Owner.here(), 60)
        store.end_lease("far")
        store.take_lease("s", "b", Owner.here(), 60)


def test_batch_that_is_open_is_found_by_the_next_process(storage: str) -> None:
    """A batch is written down for its study's owner alone, is found by its model until it ends, and its names are kept;
    a study in batches comes out as one that sends each request alone."""
    record = BatchRecord(name="n", study="s", endpoint="e", model="m", created=1.0, keys=("a", "b"))
    with closing(Store(storage)) as store:
        with pytest.raises(RunError, match="another process"):
            store.batches.begin(record, "nobody")
        store.batches.begin(record, None)
        store.batches.sent("n", file="file-1")
        store.batches.sent("n", batch="batch_1")
        assert store.batches.open("e", "m") == [replace(record, file="file-1", batch="batch_1")]
        assert store.batches.open("e", "other") == []
        store.batches.end("n")
        assert store.batches.open("e", "m") == []
    with FakeServer(truth) as server:
        alone = study(server, name="alone").run(60)
    with FakeServer(truth) as server:
        found = study(server, storage, name="alone", batch=True).run(60)
        assert server.repeated == []
    assert found.trials_df().drop(columns="latency_s").equals(alone.trials_df().drop(columns="latency_s"))
