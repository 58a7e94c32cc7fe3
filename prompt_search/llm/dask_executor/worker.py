"""Functions that run on the workers and on the scheduler of a Dask cluster; the coordinator submits them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prompt_search.llm.client import import_http_packages, open_connections
from prompt_search.llm.model import Model, address_of
from prompt_search.llm.transport import HttpReply, HttpTransport


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Parcel:
    """One attempt on its way to a worker. It has no representation of its content: Dask shows and logs the arguments of
    tasks, and prompts must not appear there."""

    key: str
    sender: str
    body: Mapping[str, Any]


_transports: dict[str, HttpTransport] = {}
"""The open connections of this worker, by sender."""


def check_import() -> None:
    """Run on the scheduler: succeeds if it can import what tasks are made of."""


async def open_transport(sender: str, model: Model, request_timeout: float) -> None:
    """Run on a worker: open its connections to a model's server, with its own key.

    Raises:
        InputError: the worker lacks the key, or a variable that headers or query name.
    """
    await asyncio.to_thread(import_http_packages)
    if sender not in _transports:
        _transports[sender] = await open_connections(address_of(model), request_timeout)


async def attempt(parcel: Parcel) -> HttpReply:
    """Run on a worker: make one attempt."""
    transport = _transports.get(parcel.sender)
    if transport is None:  # the task outlived the worker that it was meant for, which may have sent it
        return HttpReply(failure="lost", why="its worker was restarted")
    _leave_thread(parcel.key)
    return await transport.send(parcel.body)


async def close_transport(sender: str) -> None:
    """Run on a worker: close its connections."""
    transport = _transports.pop(sender, None)
    if transport is not None:
        await transport.close()


def _leave_thread(key: str) -> None:
    """Let the worker begin its next task while this one waits for a server. ``distributed.secede`` does the same for
    tasks in threads, but not for coroutines."""
    from distributed.worker import get_worker
    from distributed.worker_state_machine import SecedeEvent

    get_worker().handle_stimulus(SecedeEvent(key=key, compute_duration=0.0, stimulus_id=f"secede-{key}"))
