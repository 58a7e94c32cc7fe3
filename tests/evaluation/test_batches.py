"""Requests in batches: gathered, kept, collected by whoever comes next, sent alone where a batch leaves them out."""

from __future__ import annotations

import _thread
import asyncio
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.errors import RequestRefused, RunError
from prompt_search.evaluation.batches import open_batch
from prompt_search.evaluation.batches.open_batch import OpenBatch
from prompt_search.llm.batches.api import BatchState
from prompt_search.llm.messages import Response
from prompt_search.storage.records import BatchRecord
from prompt_search.storage.store import Store
from prompt_search.testing import Body, FakeBatches, FakeServer, Faults, completion, failure, prompt_of
from tests.study.examples import DATA, MEASURED, study, truth

PRICE = ps.Price(prompt=1_000.0, completion=5_000.0)
PROMPT = ps.Prompt(source="{{ row.text }}")


class Patience:
    """Seconds that batches take, which a test changes while they are open."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, number: int) -> float:
        return self.seconds


@pytest.fixture
def patience() -> Patience:
    return Patience(3600.0)


def evaluated(server: FakeServer, storage: str | None = None, **settings: Any) -> ps.Evaluation:
    model = server.model(price=PRICE)
    return ps.evaluate(PROMPT, DATA, model=model, **{"storage": storage, "batch": True, **settings})


def discounts(server: FakeServer, storage: str) -> list[float | None]:
    """What batches took off the stored responses to a server."""
    with closing(Store(storage)) as store, store.engine.connect() as connection:
        texts = connection.exec_driver_sql("SELECT response FROM prompt_search_responses").scalars().all()
    return [Response.from_json(text).batch_discount for text in texts]


def test_rows_go_in_one_batch_after_one_that_is_tried_alone(storage: str) -> None:
    """The first request shows that the server takes such requests; all others are one batch, at half the price, and a
    run that sends requests alone uses their responses, as does one in batches those that were sent alone."""
    with FakeServer(truth) as server:
        first = evaluated(server, storage)
        alone = evaluated(server, storage, batch=False)
        again = evaluated(server, storage)

        assert [len(batch.rows) for batch in server.batches_made] == [59]
        assert server.count == 60
    assert sorted(discounts(server, storage), key=str) == [0.5] * 59 + [None]
    assert first.score == alone.score == again.score
    assert first.samples_df()["cached"].sum() == 0
    assert alone.samples_df()["cached"].all()


def test_batch_goes_on_where_requests_were_sent_alone(storage: str) -> None:
    """Responses that requests got alone are not asked for again by a batch."""
    with FakeServer(truth) as server:
        ps.evaluate(PROMPT, DATA, rows=range(30), model=server.model(), storage=storage)
        evaluated(server, storage)

        assert (server.count, server.repeated) == (60, [])
        assert [len(batch.rows) for batch in server.batches_made] == [30]


@pytest.mark.parametrize("end", ["expired", "cancelled", "failed"])
def test_what_a_batch_leaves_out_is_sent_alone(storage: str, end: Any) -> None:
    """A batch that ends early leaves out rows, and some of its rows are in no file: these are sent once each, alone and
    at the full price, and the table is that of a run without batches."""
    with FakeServer(truth) as server:
        expected = evaluated(server, batch=False).samples_df().drop(columns=MEASURED)
    with FakeServer(truth, batches=FakeBatches(ends={0: end}, missing=0.1)) as server:
        found = evaluated(server, storage)

        assert (server.count, server.repeated) == (60, [])
        assert found.samples_df().drop(columns=MEASURED).equals(expected)
        (batch,) = server.batches_made
    in_batch = 0 if end == "failed" else batch.answered
    assert discounts(server, storage).count(0.5) == in_batch
    assert (in_batch < 30) == (batch.failed > 20 or end == "failed")


def test_failures_of_rows_have_their_types(storage: str) -> None:
    """A row that the server refuses for good has its type and is not sent again; one that it failed with counts as an
    attempt and is sent alone; all count as they do without batches."""

    def answer(body: Body) -> Any:
        if "number 7" in prompt_of(body):
            return failure(400, "the prompt is too long")
        return truth(body)

    faults = Faults(server_error=0.1, no_choices=0.03)
    with FakeServer(answer, faults=faults) as server:
        expected = evaluated(server, batch=False).samples_df().drop(columns=MEASURED)
        alone = server.count
    with FakeServer(answer, faults=faults) as server:
        found = evaluated(server, storage).samples_df().drop(columns=MEASURED)

        assert server.count == alone > 60
    assert found["error"].dropna().tolist() == [
        f"context_length: {server.url} answered 400 for fake: the prompt is too long"
    ]
    found["error"] = found["error"].str.replace(r":\d+/", "/", regex=True)
    expected["error"] = expected["error"].str.replace(r":\d+/", "/", regex=True)
    assert found.equals(expected)


def test_server_that_refuses_batch_after_batch_ends_the_run(storage: str) -> None:
    """Where the server takes nothing of two batches in a row, the run ends with its words and is not paid in full."""
    with FakeServer(truth, batches=FakeBatches(ends=dict.fromkeys(range(9), "failed"))) as server:
        with pytest.raises(RequestRefused) as raised:
            study(server, storage, batch=True).run(100)

        assert str(raised.value) == (
            f"{server.url} refused 2 batches in a row, the last (batch batch_1 of 20 requests (failed, 0 answered)) "
            "with: Enqueued token limit reached; fix the cause, or leave out batch=True (--batch), which sends "
            "requests one by one at the full price"
        )
        assert len(server.batches_made) == 2


def test_server_without_batches_ends_the_run_before_anything_is_lost(storage: str) -> None:
    """A server without the API is one line; the response of the request that was tried alone is stored."""
    with FakeServer(truth, batches=None) as server:
        with pytest.raises(RequestRefused, match=r"takes no batches of fake \(POST /files answered 404: .*leave out"):
            evaluated(server, storage)
        found = evaluated(server, storage, batch=False)

        assert (server.count, server.repeated) == (60, [])
    assert found.samples_df()["cached"].sum() == 1


def test_interrupted_run_leaves_the_batch_to_the_next_one(
    storage: str, patience: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is interrupted ends at once and says what it leaves; one that sends requests alone collects it."""
    with FakeServer(truth, batches=FakeBatches(latency=patience)) as server:
        seen: list[str] = []
        running = study(server, storage, batch=True)

        def progress(snapshot: Any) -> None:
            seen.append(snapshot.batches)
            if snapshot.batches and "batch_0" in snapshot.batches:
                _thread.interrupt_main()

        with pytest.raises(KeyboardInterrupt, match=r"^batch batch_0 of 4 requests .* is left open at the server, and"):
            running.run(60, progress=progress)
        patience.seconds = 0.0
        result = running.replace(batch=False).run(60)

        assert server.repeated == []
        assert len(server.batches_made) == 1
    assert result.ledger_df()["batched"].tolist() == [4]
    assert "4 of them in batches" in result.headline


def test_an_error_of_progress_ends_the_run_and_leaves_the_batch(storage: str) -> None:
    """Whenever the user's function raises while a batch is open, the run ends with its error, and the next one collects
    the batch."""
    with FakeServer(truth) as server:
        running = study(server, storage, batch=True)
        for moment in ("opened", "closed"):
            seen: list[bool] = []

            def progress(snapshot: Any, moment: str = moment, seen: list[bool] = seen) -> None:
                seen.append(bool(snapshot.batches))
                if any(seen) and seen[-1] == (moment == "opened"):
                    raise ValueError(moment)

            with pytest.raises(ValueError, match=moment):
                running.run(60, progress=progress)
        assert len(server.batches_made) == 1
        running.run(60)
        assert server.repeated == []


def test_rows_of_a_task_are_in_batches_together(storage: str) -> None:
    """Their calls are in batches however few requests may be in flight alone, and none is sent twice."""

    async def asking(prompt: ps.Prompt, row: ps.Row, call: ps.TaskCall) -> ps.Response:
        first = await call(prompt.render(row))
        return await call([*prompt.render(row), first, {"role": "user", "content": "Sure?"}])

    with FakeServer("positive") as server:
        evaluated(server, storage, task=asking, max_concurrency=2)
        assert min(len(batch.rows) for batch in server.batches_made) >= 58
        assert server.repeated == []
        assert server.count == 120


@pytest.mark.system
def test_time_that_ends_leaves_the_batch_to_the_next_run(storage: str, patience: Patience) -> None:
    """When the seconds of a budget end, the batch stays open and the error says so; any run in the same storage that
    needs its requests collects it, pays for nothing twice, and forgets it."""
    with FakeServer(truth, batches=FakeBatches(latency=patience)) as server:
        with pytest.raises(RunError) as raised:
            evaluated(server, storage, budget=ps.Budget(calls=100, seconds=4))
        assert str(raised.value) == (
            "the budget of 4 seconds is used up, and batch batch_0 of 59 requests (validating, 0 answered) is open; "
            "the next run collects its answers"
        )
        patience.seconds = 0.0
        evaluated(server, storage)

        assert (server.count, server.repeated) == (60, [])
        assert len(server.batches_made) == 1
    with closing(Store(storage)) as store:
        assert store.batches.open(server.url, "fake") == []


@pytest.mark.system
@pytest.mark.parametrize("limits", [{"calls": 40}, {"tokens": 4_000}, {"usd": 2.0}, {"usd": 4.0, "calls": 50}])
def test_limits_hold_in_batches(limits: dict[str, Any], storage: str) -> None:
    """No limit is passed by a search in batches, as the server counts; requests that do not fit wait for others, also
    for a further attempt, of which there are many here."""

    def answer(body: Body) -> dict[str, Any]:
        prompt = prompt_of(body)
        return completion(truth(body), prompt, usage={"prompt_tokens": len(prompt), "completion_tokens": 2})

    with FakeServer(answer, faults=Faults(server_error=0.3)) as server:
        result = study(server, storage, batch=True, model=server.model(price=PRICE)).run(ps.Budget(**limits))

        calls = result.calls_df()
        assert server.count <= limits.get("calls", 10**9)
        assert server.tokens <= limits.get("tokens", 10**9)
        assert server.tokens == calls["prompt_tokens"].sum() + calls["completion_tokens"].sum()
    assert calls["cost_usd"].sum() <= limits.get("usd", 10**9)
    assert calls["batch_discount"].notna().any()


class Scripted:
    """A server whose batch goes through these states."""

    def __init__(self, states: Sequence[BatchState]) -> None:
        self.states = list(states)

    async def state(self, batch: str) -> BatchState | None:
        return self.states.pop(0)

    async def rows(self, state: BatchState) -> dict[str, Any]:
        return {}


def test_looks_are_further_and_further_apart() -> None:
    """A batch is looked at after growing waits of at most a minute, and as late as its server wants."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    open_state = BatchState(id="b", status="in_progress")
    late = BatchState(id="b", status="in_progress", retry_after_s=300.0)
    states = [*[open_state] * 3, late, *[open_state] * 10, BatchState(id="b", status="completed")]
    record = BatchRecord(name="n", study="s", endpoint="e", model="m", created=0.0, keys=("k",), batch="b")
    with closing(Store("sqlite://")) as store:
        batch = OpenBatch(record, Scripted(states), store, lambda: None, sleep)  # type: ignore[arg-type]
        ended = asyncio.run(batch.ended())

    assert ended.state is not None
    assert waits[:5] == [1.0, 1.5, 2.25, 300.0, 1.5**4]
    assert waits[-1] == open_batch.LONGEST_LOOK_S
    assert batch.told == "batch b of 1 request (completed, 0 answered)"
