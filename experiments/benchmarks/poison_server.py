"""A server on a loopback socket whose every answer is poison: wrong values, types, depths, sizes and encodings.

What it sends depends on the request's body, on how often that came before, and on a seed, so that a run repeats.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final, TypeAlias

from prompt_search.llm.response_parsing import ResponseParser
from prompt_search.llm.transport import HttpReply
from prompt_search.testing import completion

sys.path.insert(0, str(Path(__file__).parents[2]))
from experiments.benchmarks.reply_fuzz import MODEL, Replies, outcome

Sent: TypeAlias = "Synchronized[int]"
"""The number of requests that a server got, in the memory of both processes."""

LABELS: Final = ("positive", "negative", "mixed")
POISON: Final = (
    "", " ", "\x00", "a\x00b", "\x1b]52;c;cHduZWQ=\x07", "\x1b[2J\x1b[31mred", "\x9b31m", "\u202eevil\u202c", "\u2066x",
    "\ud83d", "\ude00 half", "\ud800\udc00", "\ufeffx", "\u2028\u2029", "\r\n\r\n", "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "{% raw %}", "[bold]x[/]", "=HYPERLINK(\"http://x\"&A1)",
    "@SUM(1)", "-1+1", "1e400", "-1e400", "NaN", "Infinity", "9" * 5000, "9" * 4000, "0." + "1" * 5000, "1/0", "1e-400",
    "[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 99 + "]" * 99, '{"label": "positive", "label": 3}',
    '{"\\ud800": 1}', '{"label": "\\ud83d", "score": 1e400}', '{"label": null}', '{"label": ["a"], "score": true}',
    '{"label": "positive", "score": ' + "9" * 4000 + "}", '{"label": "positive", "score": -0.0}', "```json\n{}\n```",
    "<think>", "</think>positive", "<think>a</think>\x1b[0mpositive", "positive " * 3000, "answer is " * 3000,
    "é" * 3000, "\u0301" * 3000, "a|b|c\n|---|", "`" * 99, "$x^2$", "% &", "١٢٣", "½", "\\boxed{" * 99, "true", "null",
    "positive and negative", "not positive", "Answer: negative", "#### 12", "score: 3.5", "positiv\u0435",
)  # fmt: skip
NUMBERS: Final[tuple[Any, ...]] = (
    0, 1, -1, True, False, None, 800.0, -800.0, 1e308, -1e308, float("nan"), float("inf"), float("-inf"), 10**400,
    -(10**400), int("9" * 4000), "12", "nan", [], {}, [1], 2**63, -(2**63) - 1, 0.1, 1e-320,
)  # fmt: skip
ENDS: Final[tuple[Any, ...]] = (
    *["stop"] * 12, "length", None, "", "content_filter", "error", 5, [], {}, True, "\x1b[31m", "\ud800", "x" * 5000,
    "tool_calls",
)  # fmt: skip
LARGE: Final = 10_000_000
HUGE: Final = 0.004
"""Share of replies that are millions of bytes long, or never end."""
ENDING: Final = 0.02
"""Share of the replies that end a run (a refused key, a model that does not exist) which are sent."""


class Poison(Replies):
    """Random replies to one kind of study: half of them can be read, most others look like answers."""

    def __init__(self, seed: int, kind: str) -> None:
        super().__init__(seed)
        self._kind = kind
        self._parser = ResponseParser(MODEL, MODEL.endpoint, 60.0)

    def drawn(self) -> bytes:
        """A whole HTTP response."""
        drawn = self._random.random()
        if drawn < HUGE:
            return self._huge()
        if drawn < 0.45:
            tops = {label: -1.0 - self._random.random() for label in LABELS}
            return self._http(200, json.dumps(completion(self._right(), logprobs=tops)).encode())
        if drawn < 0.85:
            share = 0.03 if self._random.random() < 0.3 else 0.0
            return self._http(200, self._encoded(self._mutated(self._poisoned(), share)), self._more_headers())
        while True:
            reply = self.reply()
            if self._random.random() < ENDING or not self._ends_a_run(reply):
                return self._http(reply.status, reply.content, self._more_headers())

    def _ends_a_run(self, reply: HttpReply) -> bool:
        return outcome(self._parser, reply).startswith("the run ends")

    def _right(self) -> str:
        generator = self._random
        label, number = generator.choice(LABELS), generator.randrange(9)
        made = {"number": f"{number}", "regex": f"<a>{label}</a>", "label": label, "logprobs": label}
        return made.get(self._kind, json.dumps({"label": label, "score": number}))

    def _word(self) -> str:
        return self._random.choice(POISON) if self._random.random() < 0.6 else super()._word()

    def _count(self) -> Any:
        return self._random.choice(NUMBERS) if self._random.random() < 0.6 else super()._count()

    def _text(self) -> str:
        generator = self._random
        word = self._word()
        joined = (word, f"{self._right()}{word}", f"{word}\n{self._right()}", json.dumps({"label": word, word: word}))
        return generator.choice(joined) if len(word) < 4000 else word

    def _content(self) -> Any:
        drawn = self._random.random()
        text = self._text()
        parts = [{"type": self._random.choice(["text", "output_text", "refusal", "thinking"]), "text": text}]
        return text if drawn < 0.7 else parts if drawn < 0.8 else super()._content()

    def _poisoned(self) -> dict[str, Any]:
        """A chat completion with poison in some of its values."""
        generator = self._random
        body = completion(self._text())
        choice = body["choices"][0]
        choice["message"] = {"role": self._word(), "content": self._content(), "reasoning_content": self._word()}
        choice["finish_reason"] = generator.choice(ENDS)
        if generator.random() < 0.1:
            choice["message"]["refusal"] = self._word()
        if generator.random() < 0.1:
            called = {"name": self._word(), "arguments": self._word()}
            choice["message"]["tool_calls"] = [{"id": self._word(), "function": called}]
        if generator.random() < (0.8 if self._kind == "logprobs" else 0.2):
            choice["logprobs"] = {"content": [self._position() for _ in range(generator.randrange(4))]}
        usage = self._usage() if generator.random() < 0.5 else body["usage"]
        return {**body, "id": self._word(), "model": self._word(), "usage": usage}

    def _position(self) -> dict[str, Any]:
        generator = self._random
        tops = [
            {
                "token": generator.choice([*LABELS, *LABELS, self._word(), " positive", "p", 5, None]),
                "logprob": self._count() if generator.random() < 0.4 else -3.0 * generator.random(),
            }
            for _ in range(generator.randrange(6))
        ]
        return {"token": self._word(), "logprob": self._count(), "top_logprobs": tops}

    def _more_headers(self) -> dict[str, str]:
        generator = self._random
        if generator.random() < 0.9:
            return {}
        return generator.choice(
            [
                {"Content-Type": "text/html; charset=x-none"}, {"Content-Type": "application/json; charset=utf-16"},
                {"X-Long": "x" * 7000}, {"X-Odd": "\x1b[31m"}, {"Content-Encoding": "gzip"}, {"Set-Cookie": "a=b"},
                {"Content-Encoding": "none"}, {"Content-Type": ""}, {"X": "\xe9"}, {"Content-Encoding": "zstd"},
            ]
        )  # fmt: skip

    def _huge(self) -> bytes:
        generator = self._random
        kind = generator.randrange(6)
        if kind == 0:
            return self._http(200, json.dumps(completion(self._right() + "\n" + "x" * LARGE)).encode())
        if kind == 1:
            return self._http(200, json.dumps(completion("é\x1b" * 1_000_000)).encode())
        if kind == 2:
            return self._http(400, b'{"error": {"message": "' + b"x" * LARGE + b'"}}')
        if kind == 3:
            return self._http(200, BOMB, {"Content-Encoding": "gzip"})
        if kind == 4:
            return self._http(200, b"", {"X-Huge": "x" * 1_000_000})
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 20 * (b"100000\r\n" + 2**20 * b" " + b"\r\n")

    def _http(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> bytes:
        lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {status} {self._random.choice(['OK', '', 'é'])}\r\n{head}\r\n".encode("latin-1") + content


def _bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()


BOMB: Final = _bomb()
"""200 MB of zeros in 0.2 MB."""


async def _serve(port: Connection, count: Sent, seed: int) -> None:
    asked: Counter[bytes] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                count.value += 1
                asked[body] += 1
                kind = json.loads(body)["model"].partition("-")[0]
                writer.write(Poison(zlib.crc32(body, seed + 7919 * asked[body]), kind).drawn())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def _run(port: Connection, count: Sent, seed: int) -> None:
    asyncio.run(_serve(port, count, seed))


@contextmanager
def poisoning(seed: int) -> Iterator[tuple[str, Sent]]:
    """The base URL of a server in a process of its own, and the number of requests that it got."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    count: Sent = context.Value("q", 0)
    process = context.Process(target=_run, args=(there, count, seed), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/v1", count
    finally:
        process.terminate()
        process.join()
