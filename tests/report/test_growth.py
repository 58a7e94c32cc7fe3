"""What a result says of proposed options: headline, notebook, report and tables, with hostile texts in them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.results.lines.growth import IN_WINNER, NOTHING_PROPOSED, proposer_sentence
from prompt_search.results.shown.growth import lineage_view, proposals_view
from prompt_search.results.wording import hand_written_sentence
from tests.conftest import Body, InProcessExecutor
from tests.growing import DATA, PROPOSER, grown_study, proposed, truth
from tests.html_examples import HOSTILE, Page

DECORATION = " <img src=x onerror=alert(1)> [x](http://y) 5$ & 6$ | \"'\tשלום"


def hostile(body: Body) -> Any:
    """A proposer whose texts are hostile; every second one is refused for its Jinja syntax, too."""
    if body["model"] != PROPOSER:
        return truth(body)
    first, second = proposed(body, DECORATION).split("\n<option>")
    return f"{first}\n<option>{second.replace('</option>', HOSTILE + '</option>')}"


@pytest.fixture(scope="module")
def result() -> ps.Result:
    """A finished study whose winner has a proposed text."""
    fake = InProcessExecutor(hostile)
    made = grown_study(fake, name="<b>grown</b>").run(300)
    assert made._growth is not None
    assert made._growth.in_winner == ["instruction"]
    return made


def test_headline_says_what_growth_added(result: ps.Result) -> None:
    """It names the choice whose text was proposed, compares winner and best hand-written prompt on the test rows, and
    says what the proposer cost."""
    first, _, used = result.headline.splitlines()
    written = result.hand_written_trial
    assert written
    verdict = result.against(written)
    assert (
        f"Its text for instruction was proposed. {hand_written_sentence(verdict, result.test_score(written), None)}"
        in first
    )
    assert result._growth is not None
    assert used.endswith(f"candidates were tried. {proposer_sentence(result._growth)}")
    calls = result.ledger_df().set_index("role")["calls"][PROPOSER]
    accepted = result.proposals_df()["accepted"]
    assert f" {calls} calls of the proposer (" in used
    assert f" gave {len(accepted)} texts, of which {accepted.sum()} became options and " in used
    assert not ({"instruction": result.choices(written)["instruction"]}.items() & _proposed(result))


def _proposed(result: ps.Result) -> set[tuple[str, str]]:
    found = result.proposals_df()
    return {*zip(found["choice"], found["text"], strict=True)}


ONE_OPTION = """{{ choice("instruction", ["Classify the text."], grow="says how") }}
Labels: {{ labels | join(", ") }}

Text: {{ row.text }}"""


def test_default_may_be_the_best_by_hand(fake: InProcessExecutor) -> None:
    """Where the template has one prompt alone, the comparison with the default says what proposals added."""
    result = grown_study(fake, template=ps.Template(ONE_OPTION)).run(300)
    assert result.best_trial
    assert result.hand_written_trial == 0
    assert list(result.tested.values()) == [0, result.best_trial]
    assert (
        "Its text for instruction was proposed. The default prompt is the best prompt written by hand, so this is what "
        "proposals added."
    ) in result.headline


def worse(body: Body) -> Any:
    """A proposer whose texts make the model answer at random, or nothing that is an option."""
    if body["model"] == PROPOSER:
        return re.sub(r"Mind [a-z ]+\.", f"Sing aloud {len(str(body))}.", proposed(body))
    return "positive" if "Sing" in str(body) else truth({**body, "messages": [{"content": f"{body} Mind the mood."}]})


@pytest.mark.parametrize(("template", "by_default"), [(None, False), (ps.Template(ONE_OPTION), True)])
def test_hand_written_winner_is_said_to_be_one(
    fake: InProcessExecutor, template: ps.Template | None, by_default: bool
) -> None:
    """Where no proposed text won, the headline says so, whether the winner is the default or another one."""
    fake.answer = worse
    settings: dict[str, Any] = {} if template is None else {"template": template}
    result = grown_study(fake, **settings).run(300)
    assert result._growth is not None
    assert not result._growth.in_winner
    accepted = result.proposals_df()["accepted"].sum()
    assert accepted > 1
    none_won = f"none of the {accepted} proposed texts won"
    if by_default or result.best_trial == 0:
        assert f" test rows, and {none_won}." in result.headline
    else:
        assert f". The winner was written by hand: {none_won}." in result.headline
    assert lineage_view(result).rows == () or {row[4] for row in lineage_view(result).rows} == {"by hand"}


@pytest.mark.parametrize("wins", [True, False])
def test_proposed_texts_are_named_without_a_test(fake: InProcessExecutor, wins: bool) -> None:
    """A study that tests nothing says, too, which of its winner's texts were proposed, or that none won."""
    study = grown_study(fake)
    if not wins:
        fake.answer = lambda body: proposed(body) if body["model"] == PROPOSER else "positive"
    result = study.run(300, test=False)
    accepted = result.proposals_df()["accepted"].sum()
    told = (
        "The winner's text for instruction was proposed"
        if wins
        else f"The winner was written by hand: none of the {accepted} proposed texts won"
    )
    assert accepted > 1
    first = result.headline.splitlines()[0]
    assert first.endswith(f"There is no verdict, because the study ran without a test (test=False). {told}.")


def test_nothing_proposed_is_said(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A study with a proposer that was never asked says so; one without a proposer says nothing about it."""
    asked = grown_study(fake).run(60)
    assert NOTHING_PROPOSED in asked.headline
    assert NOTHING_PROPOSED in asked.report(tmp_path / "a.md").read_text("utf-8")
    without = grown_study(fake, name="without", proposer=None).run(60)
    assert "propos" not in without.headline
    assert "propos" not in without._repr_html_()
    page = without.report(tmp_path / "b.html").read_text("utf-8")
    assert "What a model proposed" not in page
    assert 'id="growth"' not in page
    assert without._growth is None


@pytest.mark.parametrize(
    ("unmet", "sentence"),
    [
        (None, "Nothing was proposed so far."),
        ({}, "Nothing was proposed; that takes a larger budget."),
        ({"reflect": "failures"}, "Nothing was proposed: reflect needs wrong answers that it may show."),
        (
            {"reflect": "failures", "vary": "parent"},
            "Nothing was proposed: the search ended before it had a score of a prompt whose text may be reworded.",
        ),
    ],
)
def test_reason_why_nothing_was_proposed(result: ps.Result, unmet: dict[str, str] | None, sentence: str) -> None:
    """An unfinished study proposed nothing yet; of one that has ended the budget, the operators or the search are
    why."""
    assert result._growth is not None
    assert proposer_sentence(replace(result._growth, requests=0, unmet=unmet)) == sentence


def test_page_shows_hostile_proposals_as_text(result: ps.Result, tmp_path: Path) -> None:
    """Every proposed text is in the page as it came, and no tag, link or script comes of it; accepted ones have the
    rows that they come from, refused ones the reason."""
    page = result.report(tmp_path / "r.html").read_text("utf-8")
    found = Page(page)
    assert found.tags.count("script") == 1
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "src"]
    assert [value for name, value in found.attributes if name == "href" and value == "#growth"]
    cells = {" ".join(cell.split()) for cell in found.texts["td"]}
    proposals = result.proposals_df()
    assert {True, False} == set(proposals["accepted"])
    for line in proposals.to_dict("records"):
        assert any(" ".join(line["text"].split())[:100] in cell for cell in cells)
        assert line["accepted"] or line["reason"] in cells
    assert any(cell.startswith(f"{row}: ") for cell in cells for rows in proposals["rows"] for row in rows)
    lineage = re.search(r'<table class="cards lineage">.*?</table>', page, flags=re.DOTALL)
    assert lineage is not None
    assert lineage[0].count("<tr>") - 1 == len(result.lineage())


def test_markdown_shows_hostile_proposals_as_text(result: ps.Result, tmp_path: Path) -> None:
    """No cell of the tables is a tag, a link or a formula, and each table has its lines."""
    text = result.report(tmp_path / "r.md").read_text("utf-8")
    section = text.split("## What a model proposed")[1].split("\n## ")[0]
    assert "<script" not in section
    assert "[x](" not in section
    lines = [line for line in section.splitlines() if line.startswith("| instruction ")]
    assert len(lines) == len(result.proposals_df()) + len(result.lineage())
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (7, 10) for line in lines)


def test_notebook_shows_hostile_proposals_as_text(result: ps.Result) -> None:
    """Proposals and lineage are there on demand, as text."""
    shown = result._repr_html_()
    found = Page(shown)
    assert found.tags.count("script") == 0
    cells = set(found.texts["td"])
    for text in result.proposals_df()["text"]:
        assert any(" ".join(text.split())[:60] in " ".join(cell.split()) for cell in cells)
    assert "texts that a model proposed" in shown


def test_view_names_the_winners_text(result: ps.Result) -> None:
    """The winner's text stands out, refused texts have no option, and shown rows have the beginning of their text."""
    view = proposals_view(result)
    (place,) = view.highlighted
    titles = [column.title for column in view.columns]
    assert view.rows[place][titles.index("outcome")] == IN_WINNER
    assert view.rows[place][titles.index("text")] == result.choices(result.best_trial)["instruction"]
    refused = [row for row in view.rows if row[titles.index("option")] == ""]
    assert len(refused) == (~result.proposals_df()["accepted"]).sum()
    assert any(DATA.rows[row]["text"][:20] in str(line) for line in view.rows for row in range(len(DATA)))
    assert len(proposals_view(result, limit=1)) == 1
