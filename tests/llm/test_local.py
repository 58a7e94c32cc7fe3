"""The embedded model: served, with the same bits whatever else the server does."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from prompt_search.errors import InputError, MissingExtra, RunError
from prompt_search.llm import local
from prompt_search.llm.client import Client
from prompt_search.llm.messages import Message, Request, Response
from prompt_search.llm.model import Model

needs_llama = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None,
    reason="xllamacpp is not installed: pip install 'prompt_search[local]'",
)


@pytest.mark.parametrize("setting", [{"slots": 0}, {"context": 1}, {"batch": 0}, {"port": -1}])
def test_senseless_settings(tmp_path: Path, setting: dict[str, int]) -> None:
    """Settings out of range are refused before anything is loaded."""
    ((name, value),) = setting.items()
    with pytest.raises(InputError, match=f"{name} must be at least .*, got {value}"):
        local.serve(tmp_path, **setting)  # type: ignore[arg-type]


def test_serve_nothing(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(InputError, match=r"no such model file: .*missing.gguf"):
        local.serve(tmp_path / "missing.gguf")


def test_serve_without_llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the extra is named, and the environment is as before."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(MissingExtra, match=r"prompt_search\[local\]"):
        local.serve(tmp_path / "m.gguf")
    assert "GOMP_SPINCOUNT" not in os.environ


def test_threads_are_bounded() -> None:
    """At least one thread and at most eight."""
    assert 1 <= local.default_threads() <= 8


@needs_llama
@pytest.mark.system
def test_serve_a_broken_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file that is no model is an error on one line, with nothing printed by llama.cpp."""
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(RunError, match=r"llama.cpp cannot serve broken.gguf on port any"):
        local.serve(path)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="session")
def weights() -> Path:
    """The built-in model."""
    try:
        return local.fetch()
    except RunError as error:
        pytest.skip(f"the embedded model cannot be fetched: {error}")


def prompts() -> list[tuple[Message, ...]]:
    """A few prompts of different length: some with a long common start, some with nothing in common."""
    texts = ["A joy.", "Two hours I will never get back, and the popcorn was stale too.", "It is what it is.", "Great!"]
    shots = []
    for number in range(3):
        shots += [Message("user", f"Film {number} was fine."), Message("assistant", "positive")]
    plain = [(Message("user", f"Is this review positive or negative? {text}"),) for text in texts]
    return plain + [(Message("system", "Classify the review."), *shots, Message("user", text)) for text in texts]


def ask(model: Model, order: Sequence[int], in_flight: int, max_tokens: int) -> dict[int, Response]:
    """The answers to ``prompts()`` asked in an order, by their number."""
    parameters: dict[str, Any] = {"max_tokens": max_tokens, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    messages = prompts()

    async def run() -> list[Response]:
        async with Client(model, max_concurrency=in_flight) as client:
            return await asyncio.gather(
                *(
                    client.complete(
                        Request(
                            endpoint=model.endpoint, model=model.name, messages=messages[number], parameters=parameters
                        )
                    )
                    for number in order
                )
            )

    return dict(zip(order, asyncio.run(run()), strict=True))


@needs_llama
@pytest.mark.system
def test_same_bits_in_any_order(weights: Path) -> None:
    """One by one, all at once, shuffled, and from a warm cache: one slot gives identical logprobs."""
    numbers = list(range(len(prompts())))
    shuffled = random.Random(3).sample(numbers, len(numbers))
    with local.serve(weights, slots=1, context=1024) as server:
        model = Model("m", base_url=server.base_url)
        first = ask(model, numbers, 1, 4)
        assert all(response.error is None and response.logprobs for response in first.values())
        for order, in_flight in ((shuffled, 8), (shuffled[::-1], 2), (numbers, 1)):
            again = ask(model, order, in_flight, 4)
            for number in numbers:
                assert again[number].logprobs == first[number].logprobs
                assert again[number].text == first[number].text


@needs_llama
@pytest.mark.system
def test_embedded_model_answers(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`Model.local()` needs no key, costs nothing, shares one server and prints nothing."""
    model = Model.local()
    response = ask(model, [0], 16, 1)[0]
    assert (response.error, response.cost_usd, response.usage.completion_tokens) == (None, 0.0, 1)
    assert len(response.logprobs[0]) == 20
    server = local.serve(weights, alias=model.name)
    assert server is local.serve(weights, alias=model.name)
    assert ask(model, [0], 16, 1)[0].logprobs == response.logprobs
    server.close()
    assert capfd.readouterr() == ("", "")


@needs_llama
@pytest.mark.system
def test_shared_start_is_not_paid_again(weights: Path) -> None:
    """From the second row on, only what differs is processed."""
    with local.serve(weights, context=1024) as server:
        answers = ask(Model("m", base_url=server.base_url), [4, 5, 6, 7], 1, 1)
    for number in (5, 6, 7):
        usage = answers[number].usage
        assert usage.prompt_tokens is not None
        assert usage.cached_tokens is not None
        assert usage.prompt_tokens - usage.cached_tokens < 30 < usage.cached_tokens


@needs_llama
@pytest.mark.system
def test_close_with_a_request_in_flight(weights: Path) -> None:
    """Closing cuts a long answer short instead of waiting for it, frees the port, and may be repeated."""
    server = local.serve(weights, context=2048)
    host, port = server.address.removeprefix("http://").split(":")
    body = b'{"messages": [{"role": "user", "content": "Tell a story."}], "max_tokens": 1900, "ignore_eos": true}'
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length:"
        connection.sendall(f"{head} {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.5)
        assert not server.closed
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 10
    server.close()
    assert server.closed
    assert repr(server) == f"<LocalServer {weights.name} closed>"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


@needs_llama
@pytest.mark.system
def test_taken_port(weights: Path) -> None:
    """A port that somebody else has is named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"cannot serve {weights.name} on port {port}"):
            local.serve(weights, port=port)


@needs_llama
@pytest.mark.system
def test_exit_is_clean(weights: Path) -> None:
    """A program that leaves its server open, made in a thread, a forked child beside it, ends well and silently."""
    code = f"""
import os, threading
from pathlib import Path
from prompt_search.llm import local
thread = threading.Thread(target=lambda: local.serve(Path({str(weights)!r}), context=256))
thread.start(); thread.join()
child = os.fork()
if child == 0:
    os._exit(7 if not local._servers else 8)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


@needs_llama
@pytest.mark.system
def test_serve_forever_ends_with_ctrl_c(weights: Path) -> None:
    """It prints the base URL alone, answers there, and ends with status 0 at Ctrl-C."""
    code = f"from pathlib import Path; from prompt_search.llm import local; local.serve_forever(Path({str(weights)!r}))"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/models") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (process.returncode, rest, errors) == (0, "", "")
