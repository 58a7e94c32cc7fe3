"""Who sends the requests of a study or an evaluation."""

from __future__ import annotations

import _thread
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.errors import InputError
from prompt_search.llm.dask_executor import executor_of
from prompt_search.llm.transport import HttpReply, Transport
from prompt_search.testing import completion, prompt_of
from tests.study.examples import DATA, SOURCE, truth

MODEL = ps.Model("fake", base_url="http://fake.invalid/v1")


class Answering:
    """An executor that answers in this process, without a server."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, Any]] = []

    async def connect(
        self, model: ps.Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        on_capacity(max_concurrency)
        return self

    async def send(self, body: Mapping[str, Any]) -> HttpReply:
        self.bodies.append(body)
        return HttpReply(status=200, content=json.dumps(completion(truth(body), prompt_of(body))).encode())

    async def close(self) -> None: ...


def test_study_and_evaluation_send_through_an_executor_of_the_users_own() -> None:
    """Any object with the method connect takes the place of the server, retries and limits stay those of the client."""
    executor = Answering()
    study = ps.Study(template=ps.Template(SOURCE), data=DATA, model=MODEL, executor=executor)
    result = study.run(60)
    assert result.summary["calls"] == len(executor.bodies) <= 60
    sent = len(executor.bodies)
    evaluation = ps.evaluate(ps.Prompt(source="Decide with care. {{ row.text }}"), DATA, model=MODEL, executor=executor)
    assert evaluation.score == 1.0
    assert len(executor.bodies) == sent + len(DATA)


def test_executor_of_the_users_own_is_used_as_it_is() -> None:
    """The object itself reaches the client, and no executor stays none."""
    executor = Answering()
    assert executor_of(executor, "label", [MODEL]) is executor
    assert executor_of(None, "label", [MODEL]) is None


@pytest.mark.parametrize("given", [8786, object(), ps.Model("m"), []])
def test_anything_else_is_refused(given: Any) -> None:
    """What is no executor is refused when the study is made, with what is one."""
    message = (
        "an executor must be a dask.distributed.Client, a scheduler's address or an object with the method "
        f"connect, got a {type(given).__name__}; give one of them"
    )
    with pytest.raises(InputError) as refused:
        ps.Study(template=ps.Template(SOURCE), data=DATA, model=MODEL, executor=given)
    assert str(refused.value) == message


class WithoutWorkers(Answering):
    """An executor whose workers have not come yet."""

    def __init__(self, on_connect: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_connect = on_connect

    async def connect(
        self, model: ps.Model, *, max_concurrency: int, request_timeout: float, on_capacity: Callable[[int], None]
    ) -> Transport:
        on_capacity(0)
        self._on_connect()
        return self


def test_time_ends_where_no_worker_comes() -> None:
    """A limit in seconds ends a run that waits for its first worker."""
    study = ps.Study(template=ps.Template(SOURCE), data=DATA, model=MODEL, executor=WithoutWorkers())
    result = study.run(ps.Budget(calls=60, seconds=0.5))
    assert result.headline.splitlines()[0] == (
        "study: There is no verdict, because the budget of 0.50 s left too little for the test rows; give more seconds."
    )


def test_interruption_is_heard_where_no_worker_comes() -> None:
    """The first Ctrl-C ends a run that waits for its first worker."""
    executor = WithoutWorkers(lambda: threading.Timer(0.3, _thread.interrupt_main).start())
    study = ps.Study(template=ps.Template(SOURCE), data=DATA, model=MODEL, executor=executor)
    with pytest.raises(KeyboardInterrupt):
        study.run(60)
    assert executor.bodies == []
