"""The report: one file that holds all it needs, says what to ship, and shows hostile texts as they are."""

from __future__ import annotations

import html
import json
import re
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import prompt_search as ps
from experiments.benchmarks.tables import made_up
from prompt_search import _html
from prompt_search.errors import RequestRefused
from prompt_search.report.content import Report
from prompt_search.report.copies import messages_json, python_code
from prompt_search.report.wording import cheaper_prompt, exported_prompt
from prompt_search.results.shown.cheaper import Cheaper
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
    """Options that no trial had, or one alone, have no effect in the table, and the report says so."""
    fake.answer = truth
    options = [f"instruction {number}" for number in range(99)]
    source = '{{ choice("instruction", options) }} {{ row.text }}'
    few = study(fake, template=ps.Template(source, context={"options": options})).run(60)
    effects = few.effects_df()
    assert set(effects["trials"]) == {0, 1}
    assert effects[["effect", "effect_low", "effect_high", "p"]].isna().all(axis=None)
    assert effects["estimate"].notna().all()
    assert few.report(tmp_path / "report.md").read_text("utf-8").count("| unknown | unknown |") == len(effects)


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
    assert blocks[3 * len(turns)] == result.trial_samples(result.best_trial)["response"].tolist()[0]
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
    """What was sent, target, answer and response of the rows that the winner fails on; an error where there is one."""
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
    ("counted", "price", "options", "saved"),
    [
        (True, None, ["a b c d", "supercalifragilistic"], "takes 38% fewer prompt tokens (5.0 instead of 8.0)"),
        (False, None, ["supercalifragilistic", "a b c d"], "takes 37% fewer characters (22 instead of 35)"),
        (
            True,
            ps.Price(prompt=1000.0, completion=0.0),
            ["a b c d", "supercalifragilistic"],
            "costs 38% less ($5.00 instead of $8.00 per 1,000 rows)",
        ),
    ],
)
def test_cheaper_prompt_is_named_in_words(
    fake: InProcessExecutor, tmp_path: Path, counted: bool, price: ps.Price | None, options: list[str], saved: str
) -> None:
    """What it saves is in dollars where there are prices, else in tokens, or in characters where none are counted."""

    def right(body: Any) -> dict[str, Any]:
        prompt = prompt_of(body)
        return completion("positive" if "good thing" in prompt else "negative", prompt, usage=None if counted else {})

    fake.answer = right
    template = ps.Template('{{ choice("instruction", options) }} {{ row.text }}', context={"options": options})
    result = study(fake, template=template, data=data(400), model=fake.model(price=price)).run(800)
    assert (result.best_trial, result.simplest_trial()) == (0, 1)
    lines = result.report(tmp_path / "report.md").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("A cheaper prompt")]
    words = line.replace("\\", "")
    assert words.startswith(
        f"A cheaper prompt will do: trial 1 {saved}, and its score is, with 95% probability, at most 0.0"
    )
    assert words.endswith(" lower.")


def test_default_prompt_can_be_exported_where_it_is_to_be_kept() -> None:
    """Beside the winner's command is the default prompt's, unless the winner is better."""
    kept = exported_prompt(3, "export tickets", "export tickets:0")
    assert kept == (
        "The winner is trial 3. `export tickets` writes its prompt to a file. `export tickets:0` writes the default "
        "prompt, which stays until another one is shown to be better."
    )
    assert (
        exported_prompt(0, "export t", "") == "The default prompt is trial 0. `export t` writes its prompt to a file."
    )


def test_prompt_that_may_be_worse_is_told_as_such() -> None:
    """How much lower its score is expected to be is told, where it may be more than a little."""
    found = Cheaper(trial=7, cost=0.042, winner_cost=0.1, unit="usd", expected=0.034, lower=0.12)
    assert cheaper_prompt(found, 0.02) == (
        "A cheaper prompt may do: trial 7 costs 58% less ($0.0420 instead of $0.1000 per 1,000 rows), and its score is "
        "expected to be 0.03 lower, and with 95% probability at most 0.12 lower."
    )


def test_failing_rows_of_labels_are_grouped(fake: InProcessExecutor, tmp_path: Path) -> None:
    """Rows with the same target and answer stand together, with the row's own text and the default's answer."""
    fake.answer = lambda body: "no idea" if "number 1" in prompt_of(body) else "positive"
    result = study(fake, answer=ps.Label(["negative", "positive"])).run(100)
    page = result.report(tmp_path / "r.html").read_text("utf-8")
    unread = int(result.trial_samples(result.best_trial)["unparsed"].sum())
    assert unread > 0
    assert f"Of these answers {unread} could not be read, and 0 requests failed." in page
    assert "(unparsed) no idea" in page
    assert all(f'<table class="cards {name}">' in page for name in ("slices1", "labels"))  # readable on a phone
    assert "target negative, answered positive <small>" in page
    assert "target positive, the answer could not be read <small>" in page
    cells = Page(page).texts["td"]
    assert any(cell.startswith("bad thing number ") and "what was sent" in cell for cell in cells)
    rows = result.failures_df()
    assert len(rows) == sum(
        int(count) for count in re.findall(r"<small>(\d+) rows?[,<]", page.split('id="failures"')[1])
    )


def test_json_answers_are_told_by_field(fake: InProcessExecutor, tmp_path: Path) -> None:
    """Each field has a line by the rule of the metric `Fields`, there is no matrix of objects, and failing rows are
    grouped by what is not right."""
    same: dict[str, Any] = {"tags": ["a", "b"], "count": 2, "note": None}
    targets = [{"name": f"N{number}", "size": {"cm": number % 3}, **same} for number in range(60)]
    records = [{"text": f"thing number {number}", "out": target} for number, target in enumerate(targets)]

    def answer(body: Any) -> str:
        number = int(prompt_of(body).split()[-1])
        size = {"cm": "many" if number % 3 else 0}
        return json.dumps(
            {"name": f" n{number} ", "size": size, "tags": ["B", "a"], "count": "2.0", "note": "", "x": 1}
        )

    fake.answer = answer
    made = ps.Study(
        template=ps.Template('{{ choice("instruction", ["Read", "Copy"]) }} {{ row.text }}'),
        data=ps.Dataset(pd.DataFrame(records), target="out"),
        model=fake.model(),
        executor=fake,
        answer=ps.Json({"type": "object"}),
        metric=lambda answer, row: answer["size"] == row.target["size"],
    )
    result = made.run(80)
    view = Report(result).fields
    assert view is not None
    counted = result.fields_df(result.best_trial)
    assert [line[0] for line in view.texts] == counted["field"].tolist()
    assert [line[2] for line in view.texts] == [f"{share:.0%}" for share in counted["share"]]
    right = [line[0] for line in view.texts if line[2] == "100%"]
    assert right == ["name", "tags", "count", "note"]
    examples = {line[0]: line[-1] for line in view.texts if line[-1]}
    assert examples.pop("size.cm") in ('"many" instead of 1', '"many" instead of 2')
    assert examples == {"x": "1 instead of nothing"}
    page = result.report(tmp_path / "r.html").read_text("utf-8")
    assert "not right: size.cm, x <small>" in page
    assert 'class="scroll narrow confusion"' not in page
    assert "| size.cm |" in result.report(tmp_path / "r.md").read_text("utf-8")


@pytest.mark.parametrize("rows", [40, 400])
def test_texts_are_told_by_examples(fake: InProcessExecutor, tmp_path: Path, rows: int) -> None:
    """A study of free texts, small or large, has examples of answers and no matrix of them."""
    fake.answer = lambda body: prompt_of(body).upper()
    records = [{"text": f"thing number {number}", "out": f"THING NUMBER {number}"} for number in range(rows)]
    made = ps.Study(
        template=ps.Template('{{ choice("instruction", ["Read", "Copy"]) }} {{ row.text }}'),
        data=ps.Dataset(pd.DataFrame(records), target="out"),
        model=fake.model(),
        executor=fake,
        answer=ps.Text(),
        metric=lambda answer, row: float(len(row["text"]) % 2),
    )
    page = made.run(60).report(tmp_path / "r.html").read_text("utf-8")
    assert "Examples of the winner&#39;s answers" in page
    assert 'class="scroll narrow confusion"' not in page


TWO_MESSAGES = (
    "{% chat role='system' %}\"x\" \\ {% raw %}{{ y }}{% endraw %}\n\nz{% endchat %}"
    "{% chat role='user' %}{{ row.text }}\n{% endchat %}"
)


@pytest.mark.parametrize(
    "source",
    [
        "Say {{ row.text }}{{ row['a b'] }} now",
        TWO_MESSAGES,
        "{% if row.text %}{{ row.text | upper }}{% endif %} it",
    ],
)
@pytest.mark.parametrize("value", ["a 'b' \"c\"\\n", " \N{GRINNING FACE}\n", None, 1.5, ["x", {"y": 1}]])
def test_copied_python_makes_the_messages_that_were_sent(source: str, value: Any) -> None:
    """Whatever the prompt and the row hold."""
    prompt = ps.Prompt(source=source, model="m", parameters={"temperature": 0})
    row = {"text": "some text", "a b": value}
    names: dict[str, Any] = {"__name__": "copied"}
    exec(python_code(prompt), names)
    assert names["messages"](row) == prompt.messages(row)
    assert [(turn["role"], turn["content"]) for turn in json.loads(messages_json(prompt))] == prompt.turns


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


def test_line_that_repeats_the_study_names_its_model(fake: InProcessExecutor, tmp_path: Path) -> None:
    """The line that runs the study again says which model a command line has to name, as a comment of the shell."""
    fake.answer = truth
    page = study(fake).run(60).report(tmp_path / "r.md").read_text("utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("prompt-search run STUDY.py")]
    assert re.sub(r"--storage \S+", "--storage X", line) == (
        "prompt-search run STUDY.py --calls 60 --seed 0 --name '<b>my study</b>' --storage X  # and -m fake where it "
        "was run so"
    )


def test_hidden_characters_are_seen_and_copied() -> None:
    """A prompt that turns the direction of a text shows it on the page, and what is copied there is the prompt."""
    prompt = ps.Prompt(source="say \u202eabc\u2066 \x9b {{ row.text }}")
    shown = str(_html.messages(prompt.turns))
    copied = str(_html.text(messages_json(prompt)))
    for page in (shown, copied):
        assert not set("\u202e\u2066\x9b") & set(page)
        assert r"\u202eabc\u2066" in page
    assert json.loads(html.unescape(copied)) == [{"role": "user", "content": prompt.turns[0][1]}]
    names: dict[str, Any] = {"__name__": "copied"}
    exec(html.unescape(str(_html.text(python_code(prompt)))), names)
    assert names["messages"]({"text": "x"}) == prompt.messages({"text": "x"})
