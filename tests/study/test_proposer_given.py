"""A study with a proposer: what it may be given as, what is refused, and what a study says of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

import prompt_search as ps
from tests.conftest import InProcessExecutor, prompt_of
from tests.study.test_arguments import DATA, ROWS, TEXT

GROWING = """{{ choice("instruction", ["Judge it.", "Which mood?"], grow="tells the model what to do") }}
{{ row.text }} {{ choice("cue", ["Mood:", ""]) }}"""


def study(**given: Any) -> ps.Study:
    """A study whose instruction grows, and whose models are not asked."""
    return ps.Study(**{"template": GROWING, "data": DATA, "model": "fake", "proposer": "gpt-4.1", **given})


def test_a_study_says_who_proposes() -> None:
    """In one line, in a notebook, and as an attribute; without a proposer nothing is said."""
    line = "Study('study': template, 14 search rows, 6 test rows, model fake, metric exact{})"

    assert study().proposer == ps.Proposer("gpt-4.1")
    assert repr(study()) == line.format(", proposer gpt-4.1")
    assert "<td>proposer</td><td>gpt-4.1</td>" in re.sub(r"<(td|th)[^>]*>", r"<\1>", study()._repr_html_())
    assert study(proposer=None).proposer is None
    assert repr(study(proposer=None)) == line.format("")
    assert "proposer" not in study(proposer=None)._repr_html_()


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (
            "gpt 4",
            (
                "a model's name has no spaces, got 'gpt 4'; write it as its server does, such as gpt-4.1 (ps.Model "
                "takes any name)"
            ),
        ),
        (
            "http://127.0.0.1:8080/v1",
            (
                "a proposer is a model, got the address 'http://127.0.0.1:8080/v1'; write "
                "ps.Proposer(ps.Model('NAME', base_url='http://127.0.0.1:8080/v1'))"
            ),
        ),
        ("", "a model needs a name, got an empty one; give one such as gpt-4o-mini, or local"),
        (
            True,
            "proposer= takes a model, its name, a ps.Proposer or None, not True; write ps.Proposer('gpt-4.1')",
        ),
    ],
)
def test_what_is_no_proposer_is_told_with_the_cure(given: Any, refused: str) -> None:
    """In one line, before anything is sent."""
    with pytest.raises(ps.InputError) as caught:
        study(proposer=given)
    assert str(caught.value) == refused


def test_a_model_may_have_a_name_with_spaces() -> None:
    """Where the server's name has some, and in paths of weights."""
    assert study(proposer=ps.Model("my model", base_url="http://there.invalid/v1")).proposer is not None
    assert ps.Proposer("local:my models/tiny.gguf").model.gguf == "my models/tiny.gguf"


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        (TEXT, "instruction"),
        ("{{ row.text }} {{ choice('n', [1, 2]) }} {{ choice('cue', ['Mood:', '']) }}", "cue"),
        ("{{ row.text }}", "instruction"),
        ("{{ row.text }} {{ choice('cue', ['Mood:'], grow=' ') }}", "cue"),
    ],
)
def test_a_proposer_that_would_never_be_asked_is_refused(template: str, shown: str) -> None:
    """The line shows how the choice with the longest texts of this very template would grow."""
    with pytest.raises(ps.StudyError) as caught:
        study(template=template)
    assert str(caught.value) == (
        f'no choice of the template may grow, so that gpt-4.1 would propose nothing; write choice("{shown}", [...], '
        'grow="...") with what its texts are for, such as grow="tells the model what to do", or leave out the proposer'
    )


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        (
            'choice("a", ["x"], grow=True)',
            (
                "choice 'a': grow= says in a text what the options are for, got True; write grow=\"tells the "
                'model what to do"'
            ),
        ),
        (
            'choice("a", [1, 2], grow="is a number")',
            "choice 'a': grow= is for options that are text, got [1, 2]; remove it, or write the options as texts",
        ),
        *(
            (
                call,
                (
                    f"{call.partition('(')[0]}() takes no grow=, only choice() does; remove it, or write choice("
                    '"name", ["…"], grow="…")'
                ),
            )
            for call in (
                'flag("a", grow="x")',
                'integer("a", 1, 3, grow="x")',
                'order("a", ["x", "y"], grow="x")',
                'examples("a", max=2, grow="x")',
            )
        ),
    ],
)
def test_a_choice_that_cannot_grow_is_told_with_its_line(call: str, refused: str) -> None:
    """With a proposer or without one."""
    for proposer in ("gpt-4.1", None):
        with pytest.raises(ps.TemplateError) as caught:
            study(template="{{ row.text }}\n{{ " + call + " }}", proposer=proposer).space()
        assert str(caught.value) == f"template line 2: {refused}"


def test_a_space_says_which_choices_may_grow() -> None:
    """In text and in notebooks, with a proposer or without one; the columns of its description stay."""
    space = study(proposer=None).space()

    assert repr(space).splitlines() == [
        "SearchSpace: 2 choices, 4 candidates",
        "  instruction: Judge it. | Which mood?",
        "  cue: Mood: | (empty)",
        "  instruction may grow: a text that tells the model what to do",
    ]
    assert "<div>instruction may grow: a text that tells the model what to do</div>" in space._repr_html_()
    assert list(space.describe()[0]) == ["factor", "kind", "options", "exists_when", "line"]
    assert "grow" not in study(template=TEXT, proposer=None).space()._repr_html_()


def test_purposes_are_text_in_notebooks() -> None:
    """Markup in them is shown as it is."""
    space = ps.Template("{{ choice('a', ['x'], grow='has <b>bold</b> words') }} {{ row.text }}").space()
    assert "a may grow: a text that has &lt;b&gt;bold&lt;/b&gt; words" in space._repr_html_()


def test_growth_without_a_proposer_changes_nothing(fake: InProcessExecutor) -> None:
    """A study of a template that ships sends the same requests, and has the same result, as one that cannot grow."""
    fake.answer = lambda body: "good" if "number 1" in prompt_of(body) else "bad"
    source = ps.Template.read("classify").source
    data = ps.Dataset(ROWS, target="mood")
    sent, found = [], []
    for template in (source, re.sub(r', grow="[^"]*"', "", source)):
        fake.bodies.clear()
        made = ps.Study(template=template, data=data, model=fake.model(), executor=fake, max_concurrency=1)
        result = made.run(60)
        sent.append(list(fake.bodies))
        headline = re.sub(r"\d+ s\)", "s)", result.headline)
        found.append((result.best.source, headline, result.trials_df()["score"].tolist()))
    assert sent[0] == sent[1]
    assert str(found[0]) == str(found[1])
    assert len(sent[0]) > 30
