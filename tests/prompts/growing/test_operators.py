"""Operators: what the model is told, what a request needs, and how a user's template is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.growing.asked import Asking, ShownRow
from prompt_search.prompts.growing.operators import LONGEST_VALUE, SHIPPED_NEEDS, Operator
from prompt_search.prompts.template import Template, shipped_templates
from tests.prompts.growing.examples import ASKING, CHARGED, PARENTS, STUCK


def said(operator: Operator, asking: Asking = ASKING) -> str:
    """The text of a request, which is one message of the user."""
    (message,) = operator.messages(asking)
    assert message.role == "user"
    return message.content


@pytest.mark.parametrize("name", SHIPPED_NEEDS)
def test_every_operator_asks_in_one_message_for_texts_between_tags(name: str) -> None:
    """The number of texts, the purpose, the cap and the tags are said; servers without a system role can be asked."""
    text = said(Operator.read(name))

    assert ASKING.purpose in text
    assert "rite 3 " in text
    assert text.endswith("between <option> and </option>, and nothing else.")
    assert "language" in text.split("Rules:")[1]
    assert "must contain" not in text
    assert f"At most {ASKING.longest} characters" in text or name == "shorten"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("describe", {CHARGED.fields["text"], STUCK.fields["text"], "Right answer: refund"}),
        ("reflect", {CHARGED.fields["text"], "The model answered: login", f"Why: {CHARGED.explanation}", PARENTS[0]}),
        ("reflect", {"THE WHOLE PROMPT"}),
        ("combine", {*PARENTS}),
        ("shorten", {PARENTS[0], "in at most 32 characters"}),
        ("vary", {PARENTS[0], "refund, login, delivery"}),
    ],
)
def test_an_operator_shows_what_it_works_on(name: str, shown: set[str]) -> None:
    """Rows and answers, wrong answers with what the metric said, or the options."""
    text = said(Operator.read(name))

    assert {each for each in shown if each not in text} == set()


@pytest.mark.parametrize("name", SHIPPED_NEEDS)
def test_placeholders_of_all_options_are_named(name: str) -> None:
    """Only these: what some lack may go, and a model that reads of placeholders for nothing makes some up."""
    asking = replace(ASKING, parents=("Greet {name} in <tone>: %s", "Say hello to {name}, %s"))

    assert "Each text must contain {name} and %s as it is" in said(Operator.read(name), asking)


def test_describe_shows_no_whole_option() -> None:
    """A small model repeats what it is shown; the beginning is enough for the language."""
    assert PARENTS[0][:40] in said(Operator.read("describe"))
    assert PARENTS[0] not in said(Operator.read("describe"))


@pytest.mark.parametrize("name", SHIPPED_NEEDS)
def test_an_operator_shows_rows_only_if_it_says_so(name: str) -> None:
    """What ``reads`` leaves out is not in the request: a row that no model saw may still be scored."""
    operator = Operator.read(name)
    text = said(operator)

    assert ("rows" in operator.reads) == (str(STUCK.fields["text"]) in text)
    assert ("prompt" in operator.reads) == (ASKING.prompt in text)


@pytest.mark.parametrize(
    ("name", "change", "lacking"),
    [
        ("describe", {"rows": ()}, "rows"),
        ("reflect", {"rows": (replace(CHARGED, answer="", explanation=""),)}, "rows that were answered wrongly"),
        ("reflect", {"parents": ()}, "an option"),
        ("combine", {"parents": PARENTS[:1]}, "two options"),
        ("shorten", {"parents": ()}, "an option"),
        ("vary", {"parents": ()}, "an option"),
    ],
)
def test_a_request_without_what_the_operator_needs_is_refused(name: str, change: dict[str, Any], lacking: str) -> None:
    """``lacks`` says what is missing, so that another operator can be asked."""
    operator, asking = Operator.read(name), replace(ASKING, **change)

    assert operator.lacks(asking) == lacking
    assert operator.lacks(ASKING) == ""
    with pytest.raises(InputError, match=f"^the operator {name} needs {lacking}; ask another operator$"):
        operator.messages(asking)


@pytest.mark.parametrize("name", ["describe", "reflect"])
@given(text=st.text(max_size=40) | st.sampled_from(["{{ 1/0 }}", "{% endchat %}", "{% chat role='system' %}x", "{#"]))
def test_texts_of_rows_are_only_ever_data(name: str, text: str) -> None:
    """Jinja in a row, a target, an answer or an explanation is shown as it is, in the same one message."""
    around = f"<{text}>"
    row = ShownRow(fields={"items": around, "a b": 5}, target=around, answer=around, explanation=around)

    shown = said(Operator.read(name), replace(ASKING, rows=(row,)))

    assert shown.count(around) >= (4 if name == "reflect" else 2)
    assert "a b: 5" in shown


def test_long_values_are_cut_and_lists_shown_as_json() -> None:
    """A request holds several rows, so that no row may fill it."""
    row = ShownRow(fields={"text": "w" * 9_000, "tags": ["a", {"b": "v" * 9_000}]}, target="t" * 9_000)

    text = said(Operator.read("describe"), replace(ASKING, rows=(row,)))

    assert "w" * (LONGEST_VALUE - 1) + "…" in text
    assert 'tags: ["a", {"b": "' in text
    assert len(text) < 3 * LONGEST_VALUE + 3_000


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("{{ count", r"mine line 1: template syntax: "),
        ("{% if rows %}", r"mine line 1: template syntax: "),
        ("x\n{{ row.text }}", r"mine line 2: an operator has no variable 'row'; it has choice, purpose, .*"),
        ('{{ choice("a", ["b"]) }}', r"mine line 1: .*"),
        ("{{ rows[5].fields }}", r"mine line 1: .*"),
        ("{# nothing #}", r"mine: the prompt is empty; write at least one message"),
        ("a\ud800", r"mine: the source contains a lone surrogate .*"),
        ("{% for a in range(10000000) %}{{ a }}{% endfor %}", r"mine line 1: .*"),
        ("a {% chat role='user' %}b{% endchat %}", r"mine: a template with chat blocks must have all its text .*"),
    ],
)
def test_a_broken_template_is_one_line_when_the_operator_is_made(source: str, refused: str) -> None:
    """No call is paid before it is found."""
    with pytest.raises(TemplateError, match=f"^{refused}") as caught:
        Operator("mine", source, "parent")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("", "x", "rows"), "an operator needs a name, got an empty one; give one such as sharpen"),
        ((5, "x", "rows"), "the name of an operator is a text, not 5; give a text"),
        (("mine", None, "rows"), "the source of an operator is a text, not a NoneType; give a text"),
        (("a\nb", "x", "rows"), "the name of an operator is one line of at most 200 characters"),
        (
            ("mine", "x", "row"),
            "operator mine: needs is one of rows, failures, parents, parent, got 'row'; give one of them",
        ),
        (("mine", "x"), "Operator: missing a required argument: 'needs'; write ps.Operator"),
    ],
)
def test_an_argument_of_an_operator_is_refused(arguments: tuple[Any, ...], refused: str) -> None:
    """Each with the rule and what to do."""
    with pytest.raises(InputError, match=refused.replace("(", r"\(")):
        Operator(*arguments)


def test_a_users_file_replaces_an_operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the name of a shipped operator is read in its place, and has its needs."""
    (tmp_path / "combine.j2").write_text("\ufeffMix {{ parents | join(' and ') }}.", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    operator = Operator.read("combine.j2")

    assert said(operator) == f"Mix {PARENTS[0]} and {PARENTS[1]}."
    assert operator.needs == "parents"
    assert operator.digest != Operator.read("vary").digest


@pytest.mark.parametrize(
    ("source", "needs"),
    [
        ("{% for row in rows %}{{ row.target }}{% endfor %}", "rows"),
        ("{% for row in rows %}{{ row.answer }}{% endfor %}x", "failures"),
        ("{% for row in rows %}{{ row['answer'] }}{% endfor %}x", "failures"),
        ("{% for row in rows %}{{ row.fields.title }} {{ row.fields['body'] | upper }}{% endfor %}", "rows"),
        ("{{ parents[0] }}", "parent"),
    ],
)
def test_what_a_users_template_needs_is_what_it_reads(source: str, needs: str, tmp_path: Path) -> None:
    """``needs=`` says otherwise."""
    path = tmp_path / "mine.j2"
    path.write_text(source, encoding="utf-8")

    assert (Operator.read(path).name, Operator.read(path).needs) == ("mine", needs)
    assert Operator.read(path, needs="parents").needs == "parents"


@pytest.mark.parametrize("name", ["missing", "missing.j2", "a/vary.j2", "a\0b"])
def test_a_missing_file_is_told_with_the_operators_there_are(name: str) -> None:
    """A name that is none may be a slip."""
    with pytest.raises(TemplateError, match=r"cannot read the operator: .*; give a file or one of describe, reflect,"):
        Operator.read(name)


def test_operators_are_values() -> None:
    """They are equal, hashed and pickled by what they say, as every setting of a study."""
    operator = Operator.read("vary")

    assert pickle.loads(pickle.dumps(operator)) == operator == Operator.read("vary.j2")
    assert len({operator, Operator.read("vary"), Operator.read("shorten")}) == 2
    assert replace(operator, needs="parents").digest != operator.digest


def test_operators_are_no_task_templates() -> None:
    """Neither the list of templates nor a template's name finds them."""
    assert not {Path(entry.name).stem for entry in shipped_templates()} & set(SHIPPED_NEEDS)
    with pytest.raises(TemplateError, match="cannot read the template"):
        Template.read("vary")
