"""Files in the format that their suffix names."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompt_search._files import write_by_suffix
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
