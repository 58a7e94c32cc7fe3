"""Every Python snippet of the pages in docs/ runs, page by page, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import prompt_search as ps
from tests.conftest import Body, FakeServer, prompt_of

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in sorted((ROOT / "docs").glob("*.md"))
    if "```python" in path.read_text(encoding="utf-8")
    and path.stem not in ("many-machines", "endpoints")  # test_executor has the workers, test_endpoints the providers
]
INTENTS = ("refund", "login", "delivery")


def snippets(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def answered(body: Body) -> str:
    prompt = prompt_of(body)
    if "(best)" in prompt or "Rating (1" in prompt:
        return f"{1 + len(prompt) % 5}: so it seems"
    if "one of these labels" in prompt:
        return "yes"
    if "A or B" in prompt:
        return "A"
    if "</option>" in prompt:
        return f"<option>Name the team that should answer message {len(prompt)}.</option>"
    return INTENTS[len(prompt) % len(INTENTS)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page: Path, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's snippets run one after the other; a server that answers by the prompt's length, and proposes options
    where it is asked for some, stands in for the embedded model."""
    server.answer = answered
    monkeypatch.setattr(ps.Model, "local", staticmethod(lambda gguf=None: server.model()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    names: dict[str, object] = {}
    for number, source in enumerate(snippets(page), start=1):
        exec(compile(source, f"{page.name} snippet {number}", "exec"), names)
    assert server.count or page.stem in ("templates", "testing")


def written_pages() -> list[Path]:
    """Every Markdown page of the repository that people read."""
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "experiments").rglob("*.md")]


@pytest.mark.parametrize(
    "page", [ROOT / "DESIGN.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "design").glob("*.md")]
)
def test_named_files_exist(page: Path) -> None:
    """Every Python file and every folder of the package that a page on the code names is there."""
    tops = [ROOT / name for name in ("prompt_search", "tests", "experiments")]
    there = [path for top in tops for path in (top, *top.rglob("*")) if path.is_dir() or path.suffix == ".py"]
    places = {f"/{path.relative_to(ROOT).as_posix()}{'/' if path.is_dir() else ''}" for path in there}
    named = re.findall(r"`([\w./]+(?:\.py|/))`", page.read_text(encoding="utf-8"))

    assert [name for name in named if not any(place.endswith(f"/{name}") for place in places)] == []


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(name for name in (slug, *(f"{slug}-{n}" for n in range(1, 99))) if name not in found))
    return found


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link of a page to a file of the repository leads to a file, and one with an anchor to a heading."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}#{anchor}"
