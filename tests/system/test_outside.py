"""Exports and reports write the one path that they are given, whatever the study is called and holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.cli import cache
from prompt_search.errors import InputError, TemplateError
from tests.conftest import InProcessExecutor
from tests.results.examples import study, truth

EVIL = "../../evil"


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> ps.Result:
    """A finished study, template included, whose names are paths out of the folder."""
    fake = InProcessExecutor()
    fake.answer = truth
    template = ps.Template('{{ choice("c", ["care", "plain"]) }} {{ row.text }}', name=EVIL)
    storage = f"sqlite:///{tmp_path_factory.mktemp('evil')}/study.db"
    return study(fake, storage, template=template, name=EVIL).run(120)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    """Room for two steps out."""
    (tmp_path / "deep" / "deeper").mkdir(parents=True)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.name.startswith("study.db")}


@contextmanager
def only(path: Path, folder: Path) -> Iterator[None]:
    """Only this path may be new, and it is."""
    before = files(folder)
    yield
    assert files(folder) - before == {path}


WRITERS: dict[str, tuple[str, Callable[[ps.Result, Any], Any]]] = {
    "j2": ("a.j2", lambda result, path: result.best.export(path)),
    "json": ("a.json", lambda result, path: result.best.export(path)),
    "txt": ("a.txt", lambda result, path: result.best.export(path)),
    "py": ("a.py", lambda result, path: result.best.export(path)),
    "html": ("a.html", lambda result, path: result.report(path)),
    "md": ("a.md", lambda result, path: result.report(path)),
    "cache": ("a.jsonl", lambda result, path: cache.export(Path(path), result.storage)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_names_of_a_study_are_no_paths(
    evil: ps.Result, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study and a template called like a path out of the folder change nothing about where is written."""
    name, write = WRITERS[kind]
    monkeypatch.chdir(tmp_path / "deep" / "deeper")
    with only(tmp_path / "deep" / name, tmp_path):
        write(evil, tmp_path / "deep" / name)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_path_is_taken_as_it_is(evil: ps.Result, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``..`` leads where it says; a link leads to its file, which stays a file with a link to it."""
    name, write = WRITERS[kind]
    monkeypatch.chdir(tmp_path / "deep" / "deeper")
    with only(tmp_path / "deep" / name, tmp_path):
        write(evil, f"../{name}")

    link, target = tmp_path / f"link-{name}", tmp_path / f"target-{name}"
    target.write_text("before")
    link.symlink_to(target)
    before = files(tmp_path)
    if kind == "cache":
        with pytest.raises(InputError, match="the file already exists; give another name"):
            write(evil, link)
        assert target.read_text() == "before"
    else:
        write(evil, link)
        assert target.read_text() != "before"
    assert link.is_symlink()
    assert files(tmp_path) == before


@pytest.mark.parametrize("kind", WRITERS)
def test_what_cannot_be_written_leaves_nothing(evil: ps.Result, tmp_path: Path, kind: str) -> None:
    """A folder under that name, or no folder above it: one line, and nothing new."""
    name, write = WRITERS[kind]
    (tmp_path / name).mkdir()
    before = files(tmp_path)

    with pytest.raises(InputError, match=rf"{name}: .*(cannot|can not|already)[^\n]*$"):
        write(evil, tmp_path / name)
    with pytest.raises(InputError, match=r"No such file or directory"):
        write(evil, tmp_path / "nowhere" / name)

    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "error"), [("{{ 'a' * 10**10 }}{{ row.x }}", TemplateError), ("\ud800", InputError)]
)
def test_an_export_that_fails_leaves_the_file_as_it_was(tmp_path: Path, source: str, error: type[Exception]) -> None:
    """A prompt is made before its file is opened: one that cannot be made costs no earlier export."""
    file = tmp_path / "a.txt"
    file.write_text("before")

    with pytest.raises(error, match=r"^[^\n]+$"):
        ps.Prompt(source=source).export(file)

    assert file.read_text() == "before"


def test_a_prompt_file_that_is_nested_too_deeply_is_told(tmp_path: Path) -> None:
    """JSON that Python does not read."""
    (tmp_path / "a.json").write_text("[" * 100_000)

    with pytest.raises(InputError, match=r"a.json: not a prompt file: its JSON is nested more than 100 levels deep"):
        ps.Prompt.read(tmp_path / "a.json")
