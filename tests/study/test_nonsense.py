"""Studies that cannot tell anything: the headline, or an error before the first call, says what is the matter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import prompt_search as ps
from prompt_search.testing import InProcessExecutor
from tests.conftest import prompt_of

ROWS = [{"text": f"film {i} was {'good' if i % 2 else 'bad'}", "label": "pos" if i % 2 else "neg"} for i in range(40)]
CHOICE = "{{ choice('a', ['Judge', 'Say']) }} {{ row.text }}"


def one_label_or_none(body: Any) -> str:
    """The first row, and every other of its kind, gets an answer that nobody can read."""
    return "pos" if "good" in prompt_of(body) and "Judge" in prompt_of(body) else "I am not sure."


def right(body: Any) -> str:
    return "pos" if "good" in prompt_of(body) else "neg"


HEADLINES: dict[str, tuple[Any, str, str]] = {
    "no label": (
        "I am not sure.",
        CHOICE,
        (
            "study: None of 50 answers could be read, such as “I am not sure.”: state the form in the prompt, or use "
            "another answer form. "
        ),
    ),
    "the prompt": (
        prompt_of,
        CHOICE,
        ("study: None of 50 answers could be read, such as “Judge film 1 was good”: this server echoes; use another. "),
    ),
    "one label": ("pos", CHOICE, "study: All 59 answers are “pos”, whatever prompt and row are: read a whole prompt. "),
    "one label or none": (
        one_label_or_none,
        CHOICE,
        "study: All 16 answers that could be read are “pos”, whatever prompt and row are: read a whole prompt. ",
    ),
    "the same": (
        right,
        CHOICE,
        "study: All prompts (2) gave the same answers on the 16 rows that they share, so no choice matters here. ",
    ),
    "no choice": (
        right,
        "Judge {{ row.text }}",
        (
            "study: There was nothing to search, because the template has no choice: add choice(...) or flag(...), or "
            "score one prompt with evaluate. "
        ),
    ),
}


@pytest.mark.parametrize("kind", HEADLINES)
def test_headline_begins_with_what_happened(fake: InProcessExecutor, kind: str) -> None:
    """Before any score, one sentence says what the answers were, with one of them."""
    fake.answer, template, told = HEADLINES[kind]
    result = ps.Study(template=template, data=ROWS, target="label", model=fake.model(), executor=fake).run(60)
    assert result.headline.startswith(told)


def test_prompts_that_differ_are_not_remarked(fake: InProcessExecutor) -> None:
    """A choice that changes answers is not said to make no difference."""
    fake.answer = lambda body: right(body) if "Judge" in prompt_of(body) else "pos"
    result = ps.Study(template=CHOICE, data=ROWS, target="label", model=fake.model(), executor=fake).run(60)
    assert result.headline.startswith("study: No candidate was found that is expected to beat the default prompt, ")


def twin(fake: InProcessExecutor) -> object:
    rows = [{**row, "verdict": row["label"].upper()} for row in ROWS]
    return ps.Study(template=CHOICE + " {{ row.verdict }}", data=rows, target="label", model=fake.model())


def twin_evaluated(fake: InProcessExecutor) -> object:
    rows = [{**row, "verdict": row["label"]} for row in ROWS]
    return ps.evaluate("{{ row.text }} {{ row.verdict }}", rows, target="label", model=fake.model(), executor=fake)


def alike(fake: InProcessExecutor) -> object:
    return ps.Study(template=CHOICE, data=[{**row, "text": "film"} for row in ROWS], target="label", model=fake.model())


REFUSED: dict[str, tuple[Callable[[InProcessExecutor], object], str]] = {
    "target in the prompt": (
        twin,
        (
            "the prompt shows the column 'verdict', which is the target 'label' in every row, so that the model reads "
            "the answer; leave the column out"
        ),
    ),
    "target in an evaluated prompt": (
        twin_evaluated,
        (
            "the prompt shows the column 'verdict', which is the target 'label' in every row, so that the model reads "
            "the answer; leave the column out"
        ),
    ),
    "one text": (
        alike,
        (
            "data: all 40 rows have the same fields, so that no prompt tells them apart; check which columns they come "
            "from"
        ),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_rows_that_tell_nothing_are_refused(fake: InProcessExecutor, kind: str) -> None:
    """One line before the first call names the column."""
    call, told = REFUSED[kind]
    with pytest.raises(ps.InputError) as raised:
        call(fake)
    assert (str(raised.value), fake.count) == (told, 0)
