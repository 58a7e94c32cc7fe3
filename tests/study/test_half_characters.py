"""Half an emoji in an answer, and other texts that files do not take."""

from __future__ import annotations

from pathlib import Path

import pytest

import prompt_search as ps
from tests.conftest import FakeServer, InProcessExecutor
from tests.study.examples import study

HALF = "a \ud83d half"
TABLES = ("samples_df", "calls_df", "trials_df")


@pytest.fixture(params=["memory", "file"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return str(tmp_path / "half.db") if request.param == "file" else None


def test_half_an_emoji_breaks_no_table_and_no_report(
    fake: InProcessExecutor, where: str | None, tmp_path: Path
) -> None:
    """Every table of answers that end amid a character can be written in every format, and so can the report."""
    fake.answer = HALF
    result = study(fake, where, answer=ps.Text()).run(30)
    for name in TABLES:
        frame = getattr(result, name)()
        frame.to_csv(tmp_path / f"{name}.csv")
        frame.to_json(tmp_path / f"{name}.json")
        frame.to_parquet(tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.html").write_text(frame.to_html(), encoding="utf-8")
    for page in ("report.html", "report.md"):
        assert "a \ufffd half" in result.report(tmp_path / page).read_text(encoding="utf-8")
    assert result.samples_df()["response"].unique().tolist() == ["a \ufffd half"]


def test_whole_characters_stay(server: FakeServer) -> None:
    """A character that a server writes as two halves is one character."""
    server.answer = "a \U0001f600 b"
    scored = ps.evaluate(ps.Prompt(source="{{ row.text }}"), study(server).data, model=server.model(), answer=ps.Text())
    assert set(scored.samples_df()["response"]) == {"a \U0001f600 b"}
