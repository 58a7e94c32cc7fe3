"""Requests that tests send to a fake server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp

from prompt_search.testing import FakeServer


def ask(
    server: FakeServer, bodies: Sequence[dict[str, Any]], timeout_s: float = 5.0, path: str | None = None
) -> list[tuple[int, str]]:
    """Status and text of every answer, all asked at once; (0, name of the error) where there was none."""

    async def one(session: aiohttp.ClientSession, body: dict[str, Any]) -> tuple[int, str]:
        try:
            async with session.post(path or f"{server.url}/chat/completions", json=body) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, type(error).__name__

    async def run() -> list[tuple[int, str]]:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await asyncio.gather(*(one(session, body) for body in bodies))

    return asyncio.run(run())
