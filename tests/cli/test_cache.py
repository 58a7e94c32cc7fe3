"""Commands on the stored responses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import Ran, on_terminal, stored_responses
from tests.conftest import FakeServer


def test_responses_are_counted_exported_and_cleared(
    command: Callable[..., Ran], project: Path, server: FakeServer
) -> None:
    """What studies need stays unless everything is deleted; each request is exported with its response."""
    command("run", "study.py", "--calls", "30")
    kept = stored_responses(project)
    command("preflight", "study.py", "--calls", "600")
    every = stored_responses(project)
    assert every > kept
    heading, second_heading, row, total = command("cache", "stats").out.splitlines()
    assert heading.split() == ["of", "them", "in"]
    assert second_heading.split() == ["model", "endpoint", "responses", "studies", "size,", "kB"]
    assert re.fullmatch(rf"fake +{re.escape(str(server.model().base_url))} +{every} +{kept} +[\d.]+", row)
    assert re.fullmatch(rf"{every} responses; prompt_search.db has [\d.]+ kB", total)

    assert command("cache", "export", "-o", "all.jsonl").out == f"wrote {every} responses to all.jsonl\n"
    lines = [json.loads(line) for line in (project / "all.jsonl").read_text().splitlines()]
    assert {(line["request"]["model"], line["response"]["error"]) for line in lines} == {("fake", None)}
    assert len({line["key"] for line in lines}) == every

    shown = command("show")
    size = r"prompt_search.db has [\d.]+ kB"
    assert re.fullmatch(rf"deleted {every - kept} responses; {size}\n", command("cache", "clear", "--yes").out)
    assert stored_responses(project) == kept
    assert command("show") == shown
    cleared = command("cache", "clear", "--all", "--yes").out
    assert re.fullmatch(rf"deleted {kept} responses; {size}\n", cleared)
    assert (stored_responses(project), command("list").out) == (0, "")
    assert re.fullmatch(rf"0 responses; {size}\n", command("cache", "stats").out)


@pytest.mark.system
def test_export_overwrites_no_file(command: Callable[..., Ran], stored: Path) -> None:
    """A file that exists, and a folder that does not, are errors."""
    (stored / "all.jsonl").write_text("mine")
    assert command("cache", "export", "-o", "all.jsonl").error_line(2) == (
        "prompt-search: all.jsonl: the file already exists; give another name"
    )
    assert (stored / "all.jsonl").read_text() == "mine"
    assert command("cache", "export", "-o", "no/folder.jsonl").error_line(2) == (
        "prompt-search: no/folder.jsonl: cannot be written: No such file or directory; give another path"
    )


def test_clear_asks_first(command: Callable[..., Ran], stored: Path) -> None:
    """Without an answer, and after no, nothing is deleted."""
    before = stored_responses(stored)
    assert command("cache", "clear").error_line(2) == (
        "prompt-search: cache clear asks for confirmation before it deletes responses that no stored study needs, "
        "but standard input is not a terminal; give --yes"
    )
    asked = on_terminal("n\n", "cache", "clear", "--all")
    assert asked.code == 130
    assert asked.out.startswith("delete all responses and all studies? [y/N]: n")
    assert stored_responses(stored) == before
