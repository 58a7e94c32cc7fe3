"""Files in the format that their suffix names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prompt_search._files import write_by_suffix, write_whole
from prompt_search.errors import InputError


def test_the_suffix_chooses_the_writer(tmp_path: Path) -> None:
    """The file holds what the writer of its suffix made, and no other writer runs."""
    path = tmp_path / "out.md"

    written = write_by_suffix(str(path), {".csv": pytest.fail, ".md": lambda: b"text\r\n"}, "table")

    assert written == path
    assert path.read_bytes() == b"text\r\n"


@pytest.mark.parametrize(
    ("name", "suffixes", "message"),
    [
        (
            "out.doc",
            [".html", ".md"],
            ("out.doc: a report is written as .html or .md, got '.doc'; give one of these suffixes"),
        ),
        (
            "out",
            [".csv", ".md", ".jsonl"],
            ("out: a report is written as .csv, .md, .jsonl, got 'no suffix'; give one of these suffixes"),
        ),
    ],
)
def test_another_suffix_is_refused(name: str, suffixes: list[str], message: str) -> None:
    """The error names the suffixes that there are."""
    with pytest.raises(InputError) as raised:
        write_by_suffix(name, dict.fromkeys(suffixes, lambda: b""), "report")
    assert str(raised.value) == message


def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """The error has the path and the system's reason."""
    path = tmp_path / "missing" / "out.md"
    with pytest.raises(InputError) as raised:
        write_by_suffix(path, {".md": lambda: b""}, "report")
    assert str(raised.value) == f"{path}: cannot write the report: No such file or directory; give another path"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """What fails amid writing changes nothing, and leaves nothing behind."""

    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise OSError(28, "No space left on device")

    path = tmp_path / "best.j2"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, pieces())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["best.j2"]


def test_a_file_that_is_replaced_stays_what_it_was(tmp_path: Path) -> None:
    """The new file has the permissions of the old one, is read through the same link, and a pipe stays a pipe."""
    path, link, pipe = tmp_path / "best.j2", tmp_path / "link", tmp_path / "pipe"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    assert write_whole(link, [b"new", b"er"]) == 2
    assert (path.read_bytes(), path.stat().st_mode & 0o777, link.is_symlink()) == (b"newer", 0o640, True)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, [b"piped"])
    assert os.read(reader, 9) == b"piped"
    os.close(reader)
