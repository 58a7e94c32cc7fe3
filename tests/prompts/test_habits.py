"""Habits from other template languages are named before any call, with the cure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import prompt_search as ps
from prompt_search.errors import TemplateError
from prompt_search.prompts.template import shipped_templates
from prompt_search.testing import InProcessExecutor

FRAME = pd.DataFrame({"text": [f"t {i}" for i in range(30)], "full name": ["Ada", "Bo"] * 15, "label": ["a", "b"] * 15})
DATA = ps.Dataset(FRAME, target="label")
NOTHING_SHOWN = (
    "no field of the row is shown, so the model gets the same prompt for every row; write {{ row.text }}, "
    '{{ row["full name"] }}'
)
LITERAL = "is sent as it is written; write {{ row.text }} for the row's value"


def refusal(source: str) -> str:
    """What a study says of a template, after its name and line."""
    with pytest.raises(TemplateError) as caught:
        ps.Study(template=ps.Template(source), data=DATA, model="fake").plan.prompts.space  # noqa: B018
    return str(caught.value).partition(": ")[2].removeprefix("template syntax: ")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Classify {text}", f"{{text}} {LITERAL}"),
        ("Classify { text }", f"{{ text }} {LITERAL}"),
        ("Classify {row.text}", f"{{row.text}} {LITERAL}"),
        ("Classify ${text}", f"${{text}} {LITERAL}"),
        ("Classify $text", f"$text {LITERAL}"),
        ('{{ choice("a", ["Classify {text}", "Sort {text}"]) }}', f"{{text}} {LITERAL}"),
        (
            "Greet {full name} by {{ row.text }}",
            '{full name} is sent as it is written; write {{ row["full name"] }} for the row\'s value',
        ),
        (
            "Classify {text}: {{ row['text'] }}",
            (
                "{text} is sent as it is written; write {{ row.text }} for the row's value, or {{ '{' }}text} for "
                "these characters"
            ),
        ),
        (
            "{{ choice('a', ['Classify: {{ row.text }}', 'y']) }} {{ row.text }}",
            "an option is sent as it is written, {{ row.text }} too; show the field outside of the choice",
        ),
        (
            "{{ choice('a', ['Classify: {{ text }}', 'y']) }} {{ row.text }}",
            "an option is sent as it is written, {{ text }} too; show the field outside of the choice",
        ),
        (
            "{{ choice('a', ['Classify: { text }', 'y']) }} {{ row.text }}",
            (
                "{ text } is sent as it is written; write {{ row.text }} for the row's value, or {{ '{' }} text } for "
                "these characters"
            ),
        ),
        ("Classify: {{ row }}", '{{ row }} is the whole row, not text; write {{ row.text }}, {{ row["full name"] }}'),
        ("{{ $json.text }}", "unexpected char '$' at 3; write {{ row.FIELD }} for a field of the row"),
        (
            "{# of items #}{{ row.text }}",
            (
                "{# of items #} is a comment, which is not sent; put it on a line of its own, or write {{ '{#' }} "
                "where these characters are meant"
            ),
        ),
        ("Classify {{text}}", "undefined variable 'text'; a field of the row is written {{ row.text }}"),
        ("{{text | upper}}", "undefined variable 'text'; a field of the row is written {{ row.text }}"),
        ("Classify %s", NOTHING_SHOWN),
        ("Classify <text>", NOTHING_SHOWN),
        ("Classify [[text]]", NOTHING_SHOWN),
        ('{{ choice("a", ["Classify.", "Sort."]) }}', NOTHING_SHOWN),
        (
            'Reply {{"label": "x"}} for {{ row.text }}',
            "expected token 'end of print statement', got ':'; write JSON with single braces, {{ opens an expression",
        ),
        (
            "{{#if row.text}}a{{/if}}",
            "unexpected char '#' at 2; write {% if … %} … {% endif %} or {% for … %} … {% endfor %}",
        ),
        (
            "{{> header}} {{ row.text }}",
            "unexpected '>'; this is Mustache; a template is Jinja: {{ row.FIELD }}, {% if … %}, {% for … %}",
        ),
        ("Classify {{{text}}}", "expected token ':', got '}'; write {{ row.FIELD }} with two braces"),
        (
            "{{ choice(\u201ca\u201d, [1, 2]) }} {{ row.text }}",
            "unexpected char '\u201c' at 10; use straight quotes in tags: \" or '",
        ),
        (
            '{{ choice("a", "b", "c") }} {{ row.text }}',
            "choice 'a' takes a list of options, got 'b', 'c'; write ['b', 'c']",
        ),
        ('{{ choice("a", "b") }} {{ row.text }}', "choice 'a' takes a list of options, got 'b'; write ['b']"),
        (
            "Say the number {# of items #} in {{ row.text }}",
            (
                "{# of items #} is a comment, which is not sent; put it on a line of its own, or write {{ '{#' }} "
                "where these characters are meant"
            ),
        ),
    ],
)
def test_habit_is_named_with_its_cure(source: str, said: str) -> None:
    """A template in another language, or one that loses text, is refused before any call; the line says what to do."""
    assert refusal(source) == said


def test_field_in_an_option_of_the_context_is_told() -> None:
    """Options that come from the context are plain text as well."""
    template = ps.Template("{{ choice('a', tasks) }} {{ row.text }}")
    with pytest.raises(
        TemplateError, match=r"a text of context= is sent as it is written, \{\{ row\.text \}\} too; show"
    ):
        ps.Study(template=template, data=DATA, model="fake", context={"tasks": ["Sort {{ row.text }}", "y"]})


def test_line_is_that_of_the_habit() -> None:
    """The error has the template's name and the line of the habit."""
    with pytest.raises(TemplateError, match=r"^mine\.j2 line 3: \{text\} is sent as it is written"):
        ps.Study(template=ps.Template("One.\nTwo.\nThree {text}", name="mine.j2"), data=DATA, model="fake")


@pytest.mark.parametrize(
    "source",
    [
        'Use \\frac{a}{b} and {"label": "x"} for {{ row.text }}',
        "Replace {{ '{' }}text} in the pattern by {{ row.text }}",
        'Reply {"text": 1} for {{ row.text }}',
        """{{ 'Reply {"text": 1} with {{ braces }} and {other}' }} {{ row.text }}""",
        "{% raw %}{{ text }}{% endraw %} {{ row.text }}",
        "{# a note on the template #}\n{{ row.text }}",
        "Classify. {# better wording? #}\n{{ row.text }}",
        "{{ row.text }} {# a note #}",
        "Classify. {#- a note -#} Sort: {{ row.text }}",
        "It costs $5 or $other: {{ row.text }}",
        "<text>{{ row.text }}</text>",
        "{% for name in row %}{{ row[name] }}{% endfor %}",
        "{{ '{#' }} of items #} {{ row.text }}",
    ],
)
def test_what_may_be_meant_is_left(source: str) -> None:
    """Braces, dollars, comments and tags that may be meant as they are written are no habit."""
    assert ps.Study(template=ps.Template(source), data=DATA, model="fake").plan.prompts.space.size() == (1, True)


def test_templates_of_the_package_have_no_habit() -> None:
    """No template of the package or its experiments is refused for its comments."""
    files = [*shipped_templates(), *Path(__file__).parents[2].glob("experiments/**/*.j2")]
    for file in files:
        ps.Template(file.read_text(encoding="utf-8"), name=file.name)
    assert len(files) >= 6


def test_prompt_that_shows_nothing_is_not_evaluated(fake: InProcessExecutor) -> None:
    """One prompt without a field of the row is refused, too, before any call."""
    with pytest.raises(TemplateError, match="no field of the row is shown, so the model gets the same prompt for"):
        ps.evaluate(ps.Prompt(source="Classify."), DATA, model=fake.model(), executor=fake)
    assert fake.count == 0
