"""The rows that a prompt fails on: the row's own text, and the answers of winner and default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompt_search as ps
from prompt_search.prompts.export.row_parts import row_parts
from prompt_search.results.export import write_frame
from prompt_search.results.shown.failures import FAILURE_COLUMNS, failures_view, row_texts
from prompt_search.results.view import to_html, to_markdown, to_text
from tests.conftest import Body, InProcessExecutor, failure, prompt_of
from tests.html_examples import HOSTILE
from tests.results.examples import data, study, truth


def hard(body: Body) -> Any:
    """As `truth`, but rows with a 7 are answered wrongly, those with an 8 unreadably, and for row 19 there is no
    answer."""
    prompt = prompt_of(body)
    if "number 19" in prompt:
        return failure(400, "no")
    return truth(body) if "7" not in prompt and "8" not in prompt else "negative" if "7" in prompt else "[neither] <b>"


def answers_shown(result: ps.Result) -> list[str]:
    """The answers of winner and default as people read them."""
    view = failures_view(result, None)
    places = [place for place, column in enumerate(view.columns) if "answer" in column.title]
    return [str(row[place]) for row in view.rows for place in places]


@pytest.fixture(scope="module")
def failing() -> ps.Result:
    fake = InProcessExecutor()
    fake.answer = hard
    return study(fake, answer=ps.Label(["negative", "positive"])).run(200)


def test_failing_rows_have_their_text_and_both_answers(failing: ps.Result, tmp_path: Path) -> None:
    """The text is the row's alone, not the prompt around it, in the table, its file and its view."""
    frame = failing.failures_df()
    assert tuple(frame.columns) == FAILURE_COLUMNS
    rows = data().rows
    answered = frame[frame["error"].isna()]
    assert len(answered)
    assert answered["text"].tolist() == [rows[row].text for row in answered["row"]]
    assert set(answered["answer"]) <= {"negative", "positive", "(unparsed)"}
    assert frame["default_answer"].notna().all()
    written = pd.read_csv(write_frame(frame, tmp_path / "failures.csv"))
    assert written["default_answer"].tolist() == frame["default_answer"].tolist()
    assert written["text"].dropna().tolist() == frame["text"].dropna().tolist()
    for rendered in (to_text(failures_view(failing, None), 80), to_markdown(failures_view(failing, None))):
        assert "default's answer" in rendered
    unread = [answer for answer in answers_shown(failing) if answer.startswith("(unparsed)")]
    assert unread
    assert set(unread) == {"(unparsed) [neither] <b>"}
    assert "<b>" not in to_html(failures_view(failing, None))


def test_failed_request_has_the_text_that_another_prompt_was_sent(failing: ps.Result) -> None:
    """A row that no request reached has none, and the answer says that it failed."""
    failed = failing.failures_df(0)
    failed = failed[failed["error"].notna()]
    assert set(failed["answer"]) <= {"(failed)"}
    assert all(text is None or text.endswith("19") for text in failed["text"])


@given(st.text(), st.text(), st.text(alphabet="ab {}#%\n"))
def test_row_is_found_in_what_was_sent(first: str, second: str, between: str) -> None:
    """Whatever stands around them, two fields are found unless the text between them occurs in the first."""
    literal = f"|{between}|"
    source = "{% raw %}Read{% endraw %} {{ row.first }}{% raw %}" + literal + "{% endraw %}{{ row['a b'] }} end"
    prompt = ps.Prompt(source=source)
    row = {"first": first, "a b": second}
    (content,) = [message["content"] for message in prompt.messages(row)]
    if literal not in first + literal[:-1] and "\r" not in content:
        assert row_parts(source, [content]) == row


def test_row_of_an_unknown_prompt_is_not_told() -> None:
    """A request of another prompt, and a prompt whose structure the row decides, tell nothing."""
    assert row_parts("Translate: {{ row.word }}", ["Summarize: cat"]) == {}
    assert row_parts("Translate: {{ row.word }}", ["Translate: cat", "more"]) == {}
    assert row_parts("{% if row.word %}Translate{% endif %} cat", ["Translate cat"]) == {}


def test_row_is_found_beside_examples_that_it_picks(fake: InProcessExecutor) -> None:
    """The examples of a prompt that picks them by the row are not taken for the row."""
    fake.answer = truth
    source = (
        '{{ choice("instruction", ["care", "plain"]) }}{% for e in examples("shots", 1, 1, ["nearest"]) %}'
        "\nText: {{ e.text }} is {{ e.label }}{% endfor %}\nText: {{ row.text }}\nLabel:"
    )
    result = study(fake, template=ps.Template(source)).run(80)
    rows = result.trial_samples(result.best_trial)["row"].tolist()
    assert row_texts(result, rows, result.best_trial) == {row: data().rows[row].text for row in rows}


def test_row_that_decides_the_prompt_is_what_differs(fake: InProcessExecutor) -> None:
    """Where the prompt does not tell the row's part, it is the lines in which requests differ."""
    fake.answer = truth
    source = (
        '{{ choice("instruction", ["care", "plain"]) }}\n{% if "good" in row.text %}{{ row.text }}{% else %}'
        "{{ row.text }}{% endif %}\n\nLabel:"
    )
    result = study(fake, template=ps.Template(source)).run(80)
    rows = result.trial_samples(result.best_trial)["row"].tolist()
    assert row_texts(result, rows, result.best_trial) == {row: data().rows[row].text for row in rows}


def test_hostile_rows_are_shown_as_text(fake: InProcessExecutor) -> None:
    """Tags, markup and control characters of a row are only text."""
    fake.answer = lambda body: HOSTILE
    records = [{"text": f"{HOSTILE} {number}", "label": "ab"[number % 2]} for number in range(40)]
    result = study(fake, data=ps.Dataset(pd.DataFrame(records), target="label"), answer=ps.Text()).run(60)
    view = failures_view(result)
    assert view.rows
    assert "<script" not in to_html(view)
    assert "\r" not in to_text(view, 80)
