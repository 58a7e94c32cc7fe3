"""The embedded model: served by llama.cpp's own HTTP server inside this process.

No key and no network are needed once the weights are there (`prompt_search.llm.local_weights`, whose functions are
exported here too). Any other GGUF file, or a Hugging Face repository of such files, is served in the same way.

A server with one slot gives the same bits for the same request whatever else it computes: flash attention is off
and the key-value cache holds 32-bit floats. With llama.cpp's defaults (16 bits, flash attention) the logarithm of a
probability changes by up to 0.5 with the slot, the batch and the cached prefix of a request, and answers change with
it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from prompt_search.errors import InputError, MissingExtra, RunError
from prompt_search.llm.local_weights import (
    BUILT_IN,
    BUILT_IN_SHA256,
    Progress,
    built_in_path,
    cache_directory,
    fetch,
    resolve,
    sha256,
)

__all__ = [
    "BUILT_IN",
    "BUILT_IN_SHA256",
    "LocalServer",
    "Progress",
    "built_in_path",
    "cache_directory",
    "default_threads",
    "fetch",
    "resolve",
    "serve",
    "serve_forever",
    "sha256",
]


def default_threads() -> int:
    """Number of threads with which a server computes: the cores that this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, 8))


class LocalServer:
    """One llama.cpp HTTP server in this process; ``base_url`` ends in ``/v1``.

    ``serve`` makes it. ``close`` cuts open connections and frees the memory; the interpreter calls it at its exit for
    servers that are still open. Also a context manager.
    """

    def __init__(self, native: Any, path: Path, slots: int) -> None:
        self._native = native
        self._process = os.getpid()
        self.path = path
        self.slots = slots
        self.address = str(native.listening_address)
        self.base_url = f"{self.address}/v1"

    def __repr__(self) -> str:
        state = "closed" if self.closed else self.base_url
        return f"<LocalServer {self.path.name} {state}>"

    @property
    def closed(self) -> bool:
        return self._native is None

    def close(self) -> None:
        """Stop the server; requests in flight are cut. Closing twice is allowed."""
        with _lock:
            native, self._native = self._native, None
            for key in [key for key, server in _servers.items() if server is self]:
                del _servers[key]
        if native is None:
            return
        if self._process != os.getpid():
            _abandoned.append(native)
            return
        # llama.cpp waits for requests in flight, which wait for workers that have stopped: cut them first.
        _cut_connections(int(self.address.rsplit(":", 1)[1]))
        del native  # the destructor stops and joins the server's threads

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_lock = threading.RLock()

_servers: dict[tuple[Any, ...], LocalServer] = {}
"""The running servers of this process, by process, file and settings."""

_abandoned: list[Any] = []
"""Servers of a parent process, which a forked child must not destroy."""


def serve(
    path: Path,
    *,
    port: int = 0,
    slots: int = 1,
    context: int = 4096,
    threads: int | None = None,
    batch: int = 2048,
    micro_batch: int = 512,
    alias: str | None = None,
) -> LocalServer:
    """A running server of ``path`` on the loopback interface, shared by all callers with the same settings.

    The defaults are measured by ``experiments/benchmarks/local_server.py``.

    Args:
        path: the GGUF file.
        port: the port; 0 takes a free one.
        slots: number of requests that are computed at once. A slot keeps its last prompt, so that only the part that
            differs is computed for the next one. More slots are no faster on a processor, cost memory, and do not
            always give the same bits.
        context: number of tokens of prompt and answer for each slot.
        threads: number of threads that compute; default `default_threads`.
        batch, micro_batch: numbers of tokens in one step.
        alias: the model's name in answers.

    Raises:
        MissingExtra: the package ``xllamacpp`` is not installed.
        InputError: a setting is out of range, or there is no such file.
        RunError: the server does not start.
    """
    for name, value, low in (
        ("slots", slots, 1),
        ("context", context, 64),
        ("batch", batch, 1),
        ("port", port, 0),
    ):
        if value < low:
            raise InputError(f"{name} must be at least {low}, got {value}")
    path = Path(path).absolute()  # not resolved: the hub's files are links to nameless ones
    if not path.is_file():
        raise InputError(f"no such model file: {path}; give the path of a .gguf file")
    threads = default_threads() if threads is None else max(1, threads)
    settings = (port, slots, context, threads, batch, micro_batch, alias)
    key = (os.getpid(), str(path), path.stat().st_mtime_ns, *settings)
    with _lock:
        server = _servers.get(key)
        if server is None:
            native = _start(path, *settings)
            server = _servers[key] = LocalServer(native, path, slots)
        return server


def _start(
    path: Path,
    port: int,
    slots: int,
    context: int,
    threads: int,
    batch: int,
    micro_batch: int,
    alias: str | None,
) -> Any:
    xllamacpp = _import_xllamacpp()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {alias or path.stem}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.ui = False
    parameters.endpoint_metrics = True
    parameters.verbosity = -1
    parameters.warmup = False
    parameters.n_gpu_layers = 0
    # Bit-identical answers, see the top of this file.
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.n_parallel = slots
    parameters.n_ctx = slots * context
    parameters.n_batch = batch
    parameters.n_ubatch = micro_batch
    parameters.cache_ram_mib = 0  # copying prompts out of the slots costs more than it saves: 2.8 against 4 requests/s
    parameters.n_threads_http = 64  # a kept-alive connection holds a thread
    for pool in (parameters.cpuparams, parameters.cpuparams_batch):
        pool.n_threads = threads
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise RunError(
            f"llama.cpp cannot serve {path.name} on port {port or 'any'}: {error}; check that the file is a whole "
            "GGUF model, that the port is free, and that there is enough memory"
        ) from error


def _import_xllamacpp() -> Any:
    """The package ``xllamacpp``, loaded with a short spin time of OpenMP's threads.

    libgomp's threads wait for each other by spinning about a millisecond, at every one of some 300 steps a
    token. As soon as another process wants a core, the awaited thread is not running and the answer takes
    2 to 10 times longer. With a short spin they sleep instead, at no cost on an idle machine. libgomp reads
    the variable when it is loaded; a setting of the user is kept.
    """
    short = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if short:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtra("the embedded model", package="xllamacpp", extra="local") from error
    finally:
        if short:
            del os.environ["GOMP_SPINCOUNT"]
    return xllamacpp


def _cut_connections(port: int) -> None:
    """Shut down this process's server-side connections of a listening port.

    The server is in this process, so its sockets are among our file descriptors.
    """
    for descriptor in _descriptors():
        with contextlib.suppress(OSError):  # not a socket, not connected, or closed meanwhile
            connection = socket.socket(fileno=descriptor)
            try:
                if connection.family == socket.AF_INET and connection.getsockname()[1] == port:
                    connection.getpeername()  # raises for the listening socket
                    connection.shutdown(socket.SHUT_RDWR)
            finally:
                connection.detach()


def _descriptors() -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from (int(name) for name in os.listdir("/dev/fd"))


def _close_all() -> None:
    for server in list(_servers.values()):
        server.close()


def _abandon_after_fork() -> None:
    """In a forked child the servers' threads are gone: joining them would hang, so never destroy them.

    A child ends cleanly by ``os._exit``, as multiprocessing's do; llama.cpp itself hangs in an ordinary exit.
    """
    import ctypes

    global _lock
    _lock = threading.RLock()
    for server in _servers.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(server._native))
    _servers.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_after_fork)


def serve_forever(path: Path, port: int = 0, *, alias: str | None = None, echo: Callable[[str], None] = print) -> None:
    """Serve ``path`` until Ctrl-C, then return; ``echo`` is called with the base URL."""
    with serve(path, port=port, alias=alias) as server, contextlib.suppress(KeyboardInterrupt):
        echo(server.base_url)
        while True:
            time.sleep(3600)
