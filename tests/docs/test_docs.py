"""Every Python snippet of the pages in docs/ runs, page by page, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import prompt_search as ps
from tests.conftest import FakeServer, prompt_of

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in sorted((ROOT / "docs").glob("*.md"))
    if "```python" in path.read_text(encoding="utf-8") and path.stem != "many-machines"  # test_executor has the workers
]
INTENTS = ("refund", "login", "delivery")


def snippets(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page: Path, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's snippets run one after the other; a server that answers by the length of the prompt stands in for the
    embedded model."""
    server.answer = lambda body: INTENTS[len(prompt_of(body)) % len(INTENTS)]
    monkeypatch.setattr(ps.Model, "local", staticmethod(lambda gguf=None: server.model()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    names: dict[str, object] = {}
    for number, source in enumerate(snippets(page), start=1):
        exec(compile(source, f"{page.name} snippet {number}", "exec"), names)
    assert server.count or page.stem == "templates"


def test_pages_link_to_pages_that_exist() -> None:
    """Every link of the pages to a file of the repository leads somewhere."""
    for page in (ROOT / "docs").glob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
