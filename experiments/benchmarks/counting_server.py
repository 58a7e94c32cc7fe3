"""An OpenAI-compatible server on a loopback socket that counts for itself what it is asked: requests, tokens, dollars.

What it answers, how many tokens that takes, how long, and whether it fails depends on the request alone, by a hash, so
that runs can be compared. Started by `serving` in a thread, or as a program that prints its port.

``/hold?at=N`` keeps all answers from the Nth request on, and whoever asks for ``/wait``, until ``/release``: something
can happen meanwhile to whoever asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from prompt_search.llm.messages import Usage
from prompt_search.llm.price import Price

PRICE = Price(prompt=1_000.0, completion=5_000.0)
"""US dollars for a million tokens: a thousandth and five for each, so that small studies cost something."""


@dataclass
class Server:
    """What it saw. ``failing`` is the share of first attempts that get no answer: half of these are refused (429 or
    500), the other half are worked on, and the connection is cut. A ``strict`` one refuses what is in `refusal_of`."""

    latency_s: float = 0.0
    failing: float = 0.0
    strict: bool = False
    requests: int = 0
    tokens: int = 0
    usd: float = 0.0
    failed: int = 0
    refused: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    port: int = 0
    hold_at: float = math.inf
    held: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = "\n".join(message["content"] for message in body["messages"])
        self.requests += 1
        asked = json.dumps(body, sort_keys=True)
        self.asked[asked] += 1
        refused = refusal_of(body) if self.strict else None
        if refused is not None:
            self.refused += 1
            return web.json_response({"error": {"message": refused}}, status=400)
        drawn = zlib.crc32(prompt.encode())
        size = len(prompt.encode())
        usage = {
            "prompt_tokens": 1 + int(size * (0.2 + 0.8 * (drawn % 101) / 100)),
            "completion_tokens": 1 + drawn % body.get("max_tokens", body.get("max_completion_tokens")),
        }
        await asyncio.sleep(self.latency_s * (0.5 + (drawn >> 8) % 100 / 100))
        if self.requests >= self.hold_at:
            await self.wait(request)
        fails = self.asked[asked] == 1 and (drawn >> 4) % 1000 < 1000 * self.failing
        if fails and drawn % 2:
            self.failed += 1
            return web.json_response({"error": {"message": "busy"}}, status=429 if drawn % 4 == 1 else 500)
        self.tokens += sum(usage.values())
        self.usd += PRICE.cost(Usage(**usage))
        if fails:
            self.failed += 1
            assert request.transport is not None
            request.transport.close()
        good = "positive" if "good" in prompt else "negative"
        bad = "negative" if "good" in prompt else "positive"
        text = options_for(drawn) if "<option>" in prompt else good if "care" in prompt or drawn % 10 < 6 else bad
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return web.json_response({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})

    async def counts(self, request: web.Request) -> web.Response:
        """For whoever runs it as a program."""
        most = max(self.asked.values(), default=0)
        return web.json_response(
            {
                "requests": self.requests,
                "most": most,
                "different": len(self.asked),
                "refused": self.refused,
                "held": self.held,
            }
        )

    async def reset(self, request: web.Request) -> web.Response:
        """Count from nothing."""
        self.requests = 0
        self.asked.clear()
        return web.Response()

    async def hold(self, request: web.Request) -> web.Response:
        """Keep answers from a number of requests on."""
        self.hold_at = float(request.query["at"])
        self.released.clear()
        return web.Response()

    async def wait(self, request: web.Request) -> web.Response:
        """Return when it is released."""
        self.held += 1
        await self.released.wait()
        self.held -= 1
        return web.Response()

    async def release(self, request: web.Request) -> web.Response:
        """Answer whatever is kept, and keep nothing more."""
        self.hold_at = math.inf
        self.released.set()
        return web.Response()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self.chat)
        for each in (self.counts, self.reset, self.hold, self.wait, self.release):
            app.router.add_get(f"/{each.__name__}", each)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (address,) = runner.addresses
        self.port = address[1]


def options_for(drawn: int) -> str:
    """What a proposer says to a request, which is given by a hash: one text of two, of 7 and 11 kinds, is good."""
    tone, order = ("mood", "tense", "names", "end", "start", "tone", "irony")[drawn % 7], drawn % 11
    return f"<option>Decide with care for the {tone}.</option>\n<option>Sort it by rule {order}.</option>"


def refusal_of(body: Mapping[str, Any]) -> str | None:
    """What a strict server says to a request with ``max_tokens``, with a temperature, or with a penalty above 0; None
    where it takes it."""
    if "max_tokens" in body:
        return "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    if "temperature" in body:
        return "Unsupported parameter: 'temperature' is not supported with this model."
    if body.get("presence_penalty"):
        return f"Unsupported value: 'presence_penalty' does not support {body['presence_penalty']} with this model."
    return None


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, answering in a thread of its own."""
    started, loop = threading.Event(), asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.start())
        started.set()
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve until killed; prints the port.")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--strict", action="store_true")
    arguments = parser.parse_args()
    server = Server(latency_s=arguments.latency, strict=arguments.strict)

    async def serve() -> None:
        await server.start()
        print(json.dumps(server.port), flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
