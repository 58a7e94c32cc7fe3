"""Fixtures of the command line's tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prompt_search.cli import main
from tests.cli.helpers import CALLS, Prepared, Ran, finished, sentiment, started, write_study
from tests.conftest import FakeServer


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command in this process."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "argv", ["prompt-search", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code is None or isinstance(ended.value.code, int)
        out, err = capsys.readouterr()
        return Ran(ended.value.code or 0, out, err)

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Path:
    """The working directory: a folder with a study, its template and its data, whose model a fake server answers."""
    write_study(tmp_path, str(server.model().base_url))
    server.answer = sentiment
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The folder of a study that has run; to be copied, not changed. Its server does not answer any more."""
    folder = tmp_path_factory.mktemp("prepared")
    with FakeServer() as server:
        write_study(folder, str(server.model().base_url))
        server.answer = sentiment
        ran = finished(started("run", "study.py", "--calls", str(CALLS), cwd=folder))
        assert ran.code == 0, ran.err
        return Prepared(folder, ran, server.count, server.repeated)


@pytest.fixture
def stored(prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of the folder of a study that has run. A request that is sent fails."""
    shutil.copytree(prepared.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
