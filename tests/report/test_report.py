"""The report: one file that holds all it needs, says what to ship, and shows hostile texts as they are."""

from __future__ import annotations

import json
import re
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pytest

import prompt_search as ps
from experiments.benchmarks.tables import made_up
from prompt_search.errors import RequestRefused
from prompt_search.results.statistics import NON_INFERIORITY_MARGIN
from tests.conftest import InProcessExecutor, completion, failure, prompt_of
from tests.html_examples import HOSTILE, Page
from tests.report.examples import hostile_study
from tests.results.examples import data, study, truth


@pytest.fixture(scope="module")
def answered(finished: tuple[ps.Result, InProcessExecutor]) -> InProcessExecutor:
    return finished[1]


@pytest.fixture(scope="module")
def page(result: ps.Result, tmp_path_factory: pytest.TempPathFactory) -> str:
    return result.report(tmp_path_factory.mktemp("report") / "report.html").read_text("utf-8")


def test_report_says_what_to_ship(result: ps.Result, page: str) -> None:
    """Verdict, numbers, cost and how to get the prompt stand at the top."""
    assert f"Ship the winner, trial {result.best_trial}: it is better than the default prompt." in page
    for number in (result.test_score(result.best_trial)[0], result.test_score(0)[0]):
        assert f"<dd>{number:.3f}" in page
    assert "1,000 rows with the winner" in page
    assert "price unknown" in page
    assert "prompt-search export &#39;&lt;b&gt;my study&lt;/b&gt;&#39;" in page
    assert "The choice that is expected to matter most is instruction" in page
    assert "Options that are shown to affect the score, " in page


def test_effects_that_nothing_tells_are_unknown(fake: InProcessExecutor, tmp_path: Path) -> None:
    """Options that were never tried have no effect in the table, and the report says so; tried ones have one."""
    fake.answer = truth
    options = [f"instruction {number}" for number in range(99)]
    source = '{{ choice("instruction", options) }} {{ row.text }}'
    few = study(fake, template=ps.Template(source, context={"options": options})).run(60)
    effects = few.effects_df()
    untried = effects["trials"] == 0
    assert untried.any()
    assert effects["effect"].isna().equals(untried)
    assert effects["estimate"].notna().all()
    assert few.report(tmp_path / "report.md").read_text("utf-8").count("| unknown | unknown |") == untried.sum()


def test_hostile_texts_are_only_text(result: ps.Result, page: str) -> None:
    """No tag but the page's own, one script, and no attribute that loads or runs anything."""
    found = Page(page)
    assert found.tags.count("script") == 1
    assert found.tags.count("b") == 0
    assert not [name for name, _ in found.attributes if name.startswith("on") or name == "src"]
    links = [value for name, value in found.attributes if name == "href"]
    assert all(value is not None and value.startswith(("#", "data:,")) for value in links)
    assert "http://" not in re.sub(r"<code>.*?</code>|<td.*?</td>", "", page, flags=re.DOTALL)
    assert "default-src 'none'" in page


def test_prompt_in_the_report_is_what_was_sent(result: ps.Result, page: str, answered: InProcessExecutor) -> None:
    """The winner's messages, and those of a row as the server got them, character for character."""
    blocks = Page(page).blocks
    turns = [content for _, content in result.best.turns]
    assert blocks[: len(turns)] == turns
    sent = [[message["content"] for message in body["messages"]] for body in answered.bodies]
    row = result.trial_samples(result.best_trial)["row"].tolist()[0]
    shown = blocks[2 * len(turns) : 3 * len(turns)]
    assert shown in sent
    assert shown == [m["content"] for m in result.best.messages(hostile_study(answered).data.rows[row].fields)]


def test_every_trial_is_in_the_table(result: ps.Result, page: str) -> None:
    """One line a trial, the winner's marked and first."""
    (table,) = re.findall(r'<table class="cards sortable".*?</table>', page, flags=re.DOTALL)
    lines = table.split("<tbody>")[1].count("<tr")
    assert lines == len(result.trials_df())
    assert table.index('<tr class="winner">') < table.index("<tr>", table.index("<tbody>"))


@pytest.mark.parametrize(("most", "failing"), [(1.0, 80), (10.0, 80), (0.5, 160)])
def test_notebook_and_report_list_the_same_failing_rows(
    fake: InProcessExecutor, tmp_path: Path, most: float, failing: int
) -> None:
    """Full score is 1, or the highest where a metric gives more; half of it is no full score in either place."""
    made = study(fake, data=data(160), metric=lambda answer, row: most if row["text"].startswith("good") else most / 2)
    found = made.run(100)
    text = found.report(tmp_path / "report.md").read_text("utf-8")
    rows = found.trial_samples(found.best_trial)
    below = int((rows["score"] < max(most, 1)).sum())
    assert below > 0
    assert f"{below} of {len(rows)} rows have less than full score." in text
    whole = ps.evaluate(found.best, data(160), model=fake.model(), executor=fake, metric=made.metric)
    assert f"the worst 5 of {failing} rows with less than full score" in whole._repr_html_()


def test_report_of_a_package_that_is_not_installed(
    result: ps.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a source tree on the path the version is not known; the report is the same otherwise."""
    installed = result.report(tmp_path / "report.md").read_text("utf-8")

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    lines = [line for line in installed.splitlines() if not line.startswith("| prompt_search |")]
    assert len(lines) == len(installed.splitlines()) - 1
    assert result.report(tmp_path / "report.md").read_text("utf-8").splitlines() == lines


def test_failing_rows_are_shown_with_their_responses(fake: InProcessExecutor, tmp_path: Path) -> None:
    """What was sent, target, answer and response of the winner's worst rows; an error where there is one."""
    fake.answer = lambda body: (
        failure(400, "5 < 6 & [x]") if "number 1" in str(body) else HOSTILE if "number" in str(body) else ""
    )
    made = hostile_study(fake, answer=ps.Label(["negative", "positive"])).run(200)
    text = made.report(tmp_path / "r.html").read_text("utf-8")
    assert "bad_request: http://fake.invalid/v1 answered 400 for fake: 5 &lt; 6 &amp; [x]" in text
    assert "(unparsed)" in text
    assert "rows have less than full score" in text


def test_markdown_holds_hostile_texts(result: ps.Result, tmp_path: Path) -> None:
    """Prompts stand in fences that they cannot close; elsewhere nothing is a tag."""
    text = result.report(tmp_path / "report.md").read_text("utf-8")
    outside = re.sub(r"^(`{3,})\w*\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert "<script" in text
    assert "Ship the winner" in text
    assert "&lt;b&gt;my study&lt;/b&gt;" in outside


def test_fence_is_longer_than_what_it_holds(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A prompt with a fence in it stays inside its own."""
    fake.answer = truth
    made = study(fake, template=ps.Template('care ````{{ choice("a", ["x", "y"]) }} {{ row.text }}')).run(60)
    assert "`````text\ncare ````" in made.report(tmp_path / "report.md").read_text("utf-8")


def test_slices_are_shown(result: ps.Result, fake: InProcessExecutor, tmp_path: Path) -> None:
    """Scores by the groups that are given, besides those by target."""
    by_length = result.slices_df(hostile_study(fake).data, lambda row: "long" if len(row.text) > 90 else "<short>")
    path = result.report(tmp_path / "r.html", slices=[by_length])
    text = path.read_text("utf-8")
    assert "Scores by group" in text
    assert "&lt;short&gt;" in text
    assert "Scores by target" in text


def test_known_price_is_told_per_thousand_rows(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A tenth of a cent a request is a dollar for 1,000 rows."""
    fake.answer = lambda body: completion(truth(body), usage={"prompt_tokens": 1000, "completion_tokens": 0})
    priced = fake.model(price=ps.Price(prompt=1.0, completion=1.0))
    text = study(fake, model=priced).run(100).report(tmp_path / "r.html").read_text("utf-8")
    assert "<dd>$1.00<small>" in text


@pytest.mark.parametrize("suffix", ["html", "md"])
def test_unfinished_study_has_a_report(fake: InProcessExecutor, storage: str, tmp_path: Path, suffix: str) -> None:
    """Stopped at once, or in the middle, it says so and shows what is known."""
    for name, fail_after in (("at once", 0), ("halfway", 70)):
        fake.answer, fake.fail_after = truth, fail_after
        fake.bodies.clear()
        with pytest.raises(RequestRefused):
            study(fake, storage, name=name).run(150)
        text = ps.open_result(storage, name).report(tmp_path / f"r.{suffix}").read_text("utf-8")
        assert "The study is unfinished: run it again to resume." in text


def test_other_outcomes_are_said(fake: InProcessExecutor, tmp_path: Path) -> None:
    """A default that stays, and a test that was left out."""
    stays = study(fake, metric=lambda answer, row: True).run(100).report(tmp_path / "r.html").read_text("utf-8")
    assert "Ship the default prompt: no candidate was found" in stays
    fake.answer = truth
    untested = study(fake).run(100, test=False).report(tmp_path / "r.html").read_text("utf-8")
    assert "it was not compared with the default prompt on test rows" in untested


@pytest.mark.parametrize(
    ("counted", "options", "sizes"),
    [
        (True, ["a b c d", "supercalifragilistic"], "5.0 prompt tokens instead of 8.0"),
        (False, ["supercalifragilistic", "a b c d"], "22 characters instead of 35"),
    ],
)
def test_shorter_prompt_is_measured_as_it_was_found(
    fake: InProcessExecutor, tmp_path: Path, counted: bool, options: list[str], sizes: str
) -> None:
    """Both sizes are in tokens where the server counts them, else in characters, and the smaller one is the first."""

    def right(body: Any) -> dict[str, Any]:
        prompt = prompt_of(body)
        return completion("positive" if "good thing" in prompt else "negative", prompt, usage=None if counted else {})

    fake.answer = right
    template = ps.Template('{{ choice("instruction", options) }} {{ row.text }}', context={"options": options})
    result = study(fake, template=template, data=data(400)).run(800)
    assert (result.best_trial, result.simplest_trial()) == (0, 1)
    assert (
        f"A shorter prompt will do: trial 1 has {sizes}, and is, with 95% probability, at most "
        f"{NON_INFERIORITY_MARGIN} worse."
    ) in result.report(tmp_path / "report.md").read_text("utf-8").splitlines()


def test_metric_on_another_scale_is_shown(fake: InProcessExecutor, tmp_path: Path) -> None:
    """Scores below 0 and above 1 have their bars."""
    fake.answer = truth
    made = study(fake, metric=lambda answer, row: 10.0 * (answer == row.target) - 5 + len(row.text) / 100).run(60)
    assert 'class="bar"' in made.report(tmp_path / "r.html").read_text("utf-8")


def test_only_the_given_path_is_written(result: ps.Result, tmp_path: Path) -> None:
    """Another suffix and a folder that is not there are told; nothing else appears."""
    before = set(tmp_path.iterdir())
    with pytest.raises(ps.InputError, match=r"a report is written as .html or .md, got '.pdf'"):
        result.report(tmp_path / "report.pdf")
    with pytest.raises(ps.InputError, match="cannot write the report: No such file or directory; give another path"):
        result.report(tmp_path / "no" / "report.html")
    assert result.report(tmp_path / "x.html") == tmp_path / "x.html"
    assert set(tmp_path.iterdir()) - before == {tmp_path / "x.html"}


def test_large_study_stays_small(tmp_path: Path) -> None:
    """2,000 prompts are listed in under 6 MB; samples are summed up."""
    made_up(tmp_path / "large.db", trials=2000, rows=4, sealed=20)
    path = ps.open_result(f"sqlite:///{tmp_path / 'large.db'}", "large").report(tmp_path / "large.html")
    assert path.stat().st_size < 6_000_000
    assert path.read_text("utf-8").count("<tr") > 2000


def test_same_study_gives_the_same_file(result: ps.Result, tmp_path: Path) -> None:
    """Nothing depends on when or where it is written."""
    first, second = (result.report(tmp_path / f"{name}.html").read_bytes() for name in "ab")
    assert first == second


def test_every_prompt_is_what_was_sent(result: ps.Result, answered: InProcessExecutor, tmp_path: Path) -> None:
    """For every sample, the trial's prompt, and every exported form of it, renders the stored request."""
    rows = hostile_study(answered).data.rows
    samples = result.samples_df().drop_duplicates(["trial", "split"])
    sent = {tuple(map(tuple, map(dict.items, body["messages"]))) for body in answered.bodies}
    for trial, row in zip(samples["trial"].tolist(), samples["row"].tolist(), strict=True):
        prompt = result.prompt(trial)
        messages = prompt.messages(rows[row].fields)
        assert tuple(map(tuple, map(dict.items, messages))) in sent
        for suffix in ("j2", "json"):
            again = ps.Prompt.read(prompt.export(tmp_path / f"best.{suffix}"))
            assert again.messages(rows[row].fields) == messages
            assert (again.text, again._repr_html_().split("</b>")[1]) == (
                prompt.text,
                prompt._repr_html_().split("</b>")[1],
            )
    scored = result._scored.head(30)
    kept = result.sent(scored["key"].tolist())
    for trial, row, key in zip(scored["trial"], scored["row"], scored["key"], strict=True):
        assert [{"role": role, "content": content} for role, content in kept[key]] == result.prompt(trial).messages(
            rows[row].fields
        )
    assert json.loads(next(iter(result._store.requests(result.name).values())))["messages"]


def test_page_has_no_sentence_of_its_own() -> None:
    """All texts of the page's template, those for screen readers too, come from values and the wording modules."""
    source = (resources.files("prompt_search.report") / "report.html.j2").read_text("utf-8")
    _, _, page = source.partition("<!DOCTYPE html>")
    page = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<style>.*?</style>", "", page, flags=re.DOTALL)

    assert re.findall(r"\w+", re.sub(r"<[^>]*>", "", page)) == []
    assert re.findall(r'(?:aria-label|placeholder|title)="([^"]+)"', page) == []
