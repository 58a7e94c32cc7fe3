"""What the tests of clients send."""

from __future__ import annotations

import asyncio
from typing import Any

from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.llm.model import Model


def request_for(model: Model, **parameters: Any) -> Request:
    return Request(endpoint=model.endpoint, model=model.name, messages=(Message("user", "hi"),), parameters=parameters)


def complete(
    model: Model, waits: list[float] | None = None, parameters: dict[str, Any] | None = None, **settings: Any
) -> Response:
    """One request through a client whose sleep only writes down the seconds."""

    async def sleep(seconds: float) -> None:
        (waits if waits is not None else []).append(seconds)

    async def run() -> Response:
        async with Client(model, sleep=sleep, **settings) as client:
            return await client.complete(request_for(model, **(parameters or {})))

    return asyncio.run(run())
