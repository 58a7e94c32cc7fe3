"""Secrets of many shapes, and servers that send them back in many ways: is one found in anything that is kept or shown?

Each study asks a server that knows the secret with which it is asked, and quotes it: in answers, errors, pages, headers
and encodings. Then every byte of the storage, of tables, reports and notebooks, of what is printed and logged (by all
loggers, at every level) and of exceptions with their causes is searched for the secret, in every encoding.
Prints what was found; the exit code is 1 where something was.

    python experiments/benchmarks/leaks.py [--only SHAPE]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gzip
import html
import io
import json
import logging
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock
from urllib.parse import quote, quote_plus

import pandas as pd

import prompt_search as ps
from prompt_search.results.export import write_frame
from prompt_search.testing import completion


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A secret and the way in which it gets to the server.

    Args:
        secret: what nobody may see.
        environment: variables that hold it.
        settings: the model's.
        before_host: user and password in the URL.
        query: what the URL ends with.
        proxied: whether the environment's proxy holds it.
    """

    secret: str
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    before_host: str = ""
    query: str = ""
    proxied: bool = False


def _key(secret: str) -> Shape:
    return Shape(secret=secret, environment={"OPENAI_API_KEY": secret})


PLAIN: Final = "sk-MARKED-0123456789abcdef"
SHAPES: Final[dict[str, Shape]] = {
    "key": _key(PLAIN),
    "key of 3 characters": _key("q~Z"),
    "key with signs": _key("MARKED/+=&%<>\"\\'{}7"),
    "key of no ASCII": _key("MARKED-schlüssel-\u6f22"),
    "key with a line break": _key("MARKED-first\nMARKED-second"),
    "key without a prefix": _key("MARKED0123456789abcdef0123456789"),
    "value of a header": Shape(secret="MARKED-h34der", settings={"headers": {"X-Team-Key": "MARKED-h34der"}}),
    "bearer in a header": Shape(
        secret="MARKED-b34rer",
        environment={"GATEWAY": "MARKED-b34rer"},
        settings={"headers": {"Authorization": "Bearer ${GATEWAY}"}},
    ),
    "password of the URL": Shape(secret="MARKED+pa55", before_host="someone:MARKED%2Bpa55@"),
    "query of the URL": Shape(secret="MARKED/qu3ry+x=", query="?api-key=MARKED%2Fqu3ry%2Bx%3D"),
    "value of the query": Shape(secret="MARKED qu3ry&x", settings={"query": {"sig": "MARKED qu3ry&x"}}),
    "key of Azure": Shape(
        secret="MARKED0azure0key7",
        environment={"OPENAI_API_KEY": "MARKED0azure0key7"},
        settings={"api_version": "2024-10-21"},
    ),
    "key in a variable": Shape(
        secret="MARKED-v4riable", environment={"MY_KEY": "MARKED-v4riable"}, settings={"api_key_env": "MY_KEY"}
    ),
    "password of the proxy": Shape(secret="MARKED-pr0xy", before_host="proxyuser:MARKED-pr0xy@", proxied=True),
}


def answered(status: int, body: str | bytes | object, **headers: str) -> bytes:
    """A whole HTTP response; headers are named with underscores."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n{named}\r\n".encode() + content


def _answer(**changes: Any) -> bytes:
    body = completion("fine", logprobs={"fine": -0.1})
    body["choices"][0] |= changes
    return answered(200, body)


def _said(content: Any) -> bytes:
    return _answer(message={"role": "assistant", "content": content})


def _fails(status: int) -> Callable[[str], bytes]:
    return lambda secret: answered(
        status, {"error": {"message": f"wrong key {secret}", "code": secret, "param": secret}}
    )


def _escaped(secret: str) -> bytes:
    body = json.dumps(completion("HERE"))
    return answered(200, body.replace("HERE", "".join(f"\\u{ord(each):04x}" for each in secret)))


def _streamed(secret: str) -> bytes:
    middle = len(secret) // 2
    parts = [{"choices": [{"delta": {"content": part}}]} for part in (secret[:middle], secret[middle:])]
    lines = [
        f"data: {json.dumps(part)}\n\n" for part in [*parts, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    ]
    return answered(200, "".join([*lines, "data: [DONE]\n\n"]))


def _chunked(secret: str) -> bytes:
    content = json.dumps(completion(secret), ensure_ascii=False).encode()
    chunks = b"".join(b"1\r\n" + bytes([each]) + b"\r\n" for each in content)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def _basic(secret: str) -> str:
    return base64.b64encode(f"someone:{secret}".encode()).decode()


ECHOES: Final[dict[str, Callable[[str], bytes]]] = {
    "content": lambda secret: _said(f"You sent {secret}."),
    "content as parts": lambda secret: _said([{"type": "text", "text": part} for part in (secret[:2], secret[2:])]),
    "content, streamed": _streamed,
    "content, in chunks": _chunked,
    "content, escaped": _escaped,
    "content, UTF-16": lambda secret: answered(
        200, json.dumps(completion(secret), ensure_ascii=False).encode("utf-16")
    ),
    "content, gzip": lambda secret: answered(
        200, gzip.compress(json.dumps(completion(secret)).encode()), Content_Encoding="gzip"
    ),
    "content, PHP": lambda secret: answered(200, json.dumps(completion(secret)).replace("/", "\\/")),
    "content, base64": lambda secret: _said(base64.b64encode(secret.encode()).decode()),
    "content, Basic": lambda secret: _said(f"Basic {_basic(secret)}"),
    "content, URL": lambda secret: _said(f"{quote(secret, safe='')} {quote_plus(secret)} {quote(secret)}"),
    "content, upper case": lambda secret: _said(secret.upper()),
    "content, HTML": lambda secret: _said(html.escape(secret)),
    "content, repr": lambda secret: _said(f"{ {'key': secret}!r} {secret!a} {secret.encode()!r}"),
    "finish_reason": lambda secret: _answer(finish_reason=secret),
    "log-probability": lambda secret: _answer(
        logprobs={"content": [{"token": secret, "logprob": -1, "top_logprobs": [{"token": secret, "logprob": -1}]}]}
    ),
    "refusal": lambda secret: _answer(message={"role": "assistant", "content": None, "refusal": secret}),
    "reasoning": lambda secret: _answer(message={"content": "fine", "reasoning_content": secret, "role": secret}),
    "tool call": lambda secret: _answer(
        message={"content": None, "tool_calls": [{"id": secret, "function": {"name": secret}}]}
    ),
    "error in an answer": lambda secret: _answer(error={"message": secret, "code": 400}, finish_reason="error"),
    "id, model, usage": lambda secret: answered(
        200, {**completion("fine"), "id": secret, "model": secret, "usage": {"prompt_tokens": secret, secret: 5}}
    ),
    **{f"error {status}": _fails(status) for status in (400, 401, 403, 404, 413, 422, 429, 500)},
    "error as a success": lambda secret: answered(200, {"error": {"message": f"no {secret}"}, "choices": None}),
    "error that teaches": lambda secret: answered(
        400, {"error": {"message": f"Unsupported parameter: 'temperature' {secret}"}}
    ),
    "page": lambda secret: answered(
        404, f"<html><title>Cannot POST /v1?k={quote(secret)}</title>{html.escape(secret)}"
    ),
    "page as a success": lambda secret: answered(200, f"debug: {secret}"),
    "redirect": lambda secret: answered(307, "", Location=f"http://127.0.0.1:1/{quote(secret)}/v1?k={quote(secret)}"),
    "header": lambda secret: answered(
        429, {"error": {"message": "busy"}}, Retry_After=quote(secret), X_Key=quote(secret)
    ),
    "status line": lambda secret: f"HTTP/1.1 {quote(secret)} {quote(secret)}\r\n\r\n".encode(),
    "half a body": lambda secret: answered(200, json.dumps(completion(secret)))[:-30],
}


def forms(secret: str) -> set[bytes]:
    """What is searched for, in lower case."""
    coded = {base64.b64encode(secret.encode()).decode(), _basic(secret)} if len(secret) > 5 else set[str]()
    texts = coded | {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        quote(secret),
        json.dumps(secret)[1:-1],
        ascii(secret)[1:-1],
        html.escape(secret),
        secret.replace("/", "\\/"),
        secret.encode().decode("latin-1"),
        repr(secret.encode())[2:-1],
    }
    return {text.lower().encode() for text in texts} | {text.lower().encode("utf-16-le") for text in (secret,)}


@contextlib.contextmanager
def echoing(reply: bytes) -> Iterator[int]:
    """The port of a server that sends one reply to everything."""
    ready, started = threading.Event(), list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0))
            writer.write(reply.replace(b" X\r\n", b" X\r\nConnection: close\r\n", 1))
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def serve() -> None:
        stop = asyncio.Event()
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            started.append((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait()
    port, loop, stop = started[0]
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def model_of(shape: Shape, port: int) -> tuple[ps.Model, dict[str, str]]:
    """The model of a shape at a server, and the environment in which it is asked."""
    environment = {"OPENAI_API_KEY": "", **shape.environment}
    host = f"http://{'' if shape.proxied else shape.before_host}127.0.0.1:{port}/v1{shape.query}"
    if shape.proxied:
        environment["HTTP_PROXY"] = environment["http_proxy"] = f"http://{shape.before_host}127.0.0.1:{port}"
        environment["NO_PROXY"] = environment["no_proxy"] = ""
        host = "http://model.invalid/v1"
    return ps.Model("echo", base_url=host, **shape.settings), environment


def kept(shape: Shape, reply: bytes, folder: Path) -> dict[str, bytes]:
    """Everything that is left of a study with a server that sends this, by where it was found."""
    logged, printed, told = io.StringIO(), io.StringIO(), ""
    handler = logging.StreamHandler(logged)
    with echoing(reply) as port:
        model, environment = model_of(shape, port)
        rows = ps.Dataset(pd.DataFrame({"text": list("abcdefghij") * 2, "label": ["x", "y"] * 10}), target="label")
        study = ps.Study(
            template=ps.Template("{{ choice('verb', ['Say', 'Tell']) }} {{ row.text }}"),
            data=rows, model=model, answer=ps.Text(), storage=str(folder / "study.db"), max_concurrency=2,
        )  # fmt: skip
        logging.root.addHandler(handler)
        try:
            redirected = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
            with mock.patch.dict(os.environ, environment), redirected[0], redirected[1]:
                told = "".join(_shown(study, folder))
        except Exception as error:
            kind = "" if isinstance(error, ps.PromptSearchError) else "NOT OURS "
            told = kind + "".join(traceback.format_exception(error))
        finally:
            logging.root.removeHandler(handler)
    found = {file.name: file.read_bytes() for file in folder.iterdir()}
    texts = {"logged": logged.getvalue(), "printed": printed.getvalue(), "told": told, "repr": f"{model!r}{study!r}"}
    return {**found, **{name: text.encode("utf-8", "replace") for name, text in texts.items()}}


def _shown(study: ps.Study, folder: Path) -> Iterator[str]:
    result = study.run(12)
    yield f"{result!r}{result._repr_html_()}{study._repr_html_()}{result.evaluation(0)!r}"
    for name in ("samples", "calls", "trials", "failures", "ledger"):
        write_frame(getattr(result, f"{name}_df")(), folder / f"{name}.csv")
    for page in ("report.html", "report.md"):
        result.report(folder / page)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SHAPES, help="one shape alone")
    given = parser.parse_args()
    logging.root.setLevel(logging.DEBUG)
    leaks = others = cells = 0
    for name, shape in SHAPES.items() if given.only is None else [(given.only, SHAPES[given.only])]:
        for way, echo in ECHOES.items():
            with tempfile.TemporaryDirectory() as folder:
                everything = kept(shape, echo(shape.secret), Path(folder))
            cells += 1
            wanted = forms(shape.secret)
            where = [place for place, content in everything.items() if any(each in content.lower() for each in wanted)]
            leaks += bool(where)
            if where:
                print(f"LEAK: {name}, {way}: {', '.join(where)}", flush=True)
            if everything["told"].startswith(b"NOT OURS"):
                others += 1
                print(f"NOT OURS: {name}, {way}: {everything['told'].decode().splitlines()[-1]}", flush=True)
    print(
        f"\n{len(SHAPES)} shapes, {len(ECHOES)} echoes, {cells} studies: {leaks} leaks, {others} errors of another kind"
    )
    return 1 if leaks or others else 0


if __name__ == "__main__":
    # Waits before attempts are what most of the time would be spent on.
    with mock.patch("prompt_search.llm.client.FIRST_WAIT_S", 0.001):
        sys.exit(main())
