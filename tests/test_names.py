"""The rule for names, and for half characters in texts: one line of error where they enter, whatever the storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import prompt_search as ps
from prompt_search._names import check_name, is_name
from tests.conftest import InProcessExecutor
from tests.study.examples import study

HALF = "a\ud83d"
RULE = (
    "is one line of at most 200 characters without NUL and half characters (lone surrogates), got {count} that begin "
    "with {shown}; give another one"
)
LOST = "contains a lone surrogate (half of a character), which no request can carry; correct the text"


@pytest.mark.parametrize("name", ["a", "x" * 200, "\N{GRINNING FACE}" * 200, "a b\tc", "<b>[x]{{ }}"])
def test_a_line_of_up_to_200_characters_is_a_name(name: str) -> None:
    """Characters are counted, not bytes, and all but NUL and half ones are allowed."""
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0", HALF, "a\nb", "a\n", "a\u2028b"])
def test_what_a_storage_cannot_hold_is_no_name(name: str) -> None:
    """The error has the rule, the length, and how the name begins."""
    rule = RULE.format(count=len(name), shown=repr(name[:40]))
    with pytest.raises(ps.InputError, match=f"^{re.escape(f'the name of a thing {rule}')}$"):
        check_name(name, "a thing")


@pytest.mark.parametrize("name", ["x" * 201, "a\0b", HALF])
@pytest.mark.parametrize(
    ("what", "given"),
    [
        ("a study", lambda fake, name: study(fake, name=name)),
        ("a model", lambda fake, name: ps.Model(name)),
        ("an option", lambda fake, name: ps.choice({"first": 1, name: 2})),
        ("a request parameter", lambda fake, name: study(fake, request={name: 1})),
        ("a prompt", lambda fake, name: study(fake).enqueue(prompt=ps.Prompt(source="{{ row.text }}", name=name))),
    ],
)
def test_names_are_checked_where_they_enter(
    fake: InProcessExecutor, what: str, given: Callable[[InProcessExecutor, str], Any], name: str
) -> None:
    """Studies, models, options, request parameters and prompts have one rule, and nothing is sent."""
    rule = RULE.format(count=len(name), shown=repr(name[:40]))
    with pytest.raises(ps.InputError, match=f"{re.escape(f'the name of {what} {rule}')}$"):
        given(fake, name)
    assert fake.count == 0


def test_name_of_a_choice_is_a_word_of_up_to_200_characters() -> None:
    """The error has the line of the template."""
    assert ps.Template(f"{{{{ flag('{'x' * 200}') }}}} {{{{ row.text }}}}").names == ("x" * 200,)
    rule = (
        r"^template line 2: a choice's name must be a word of at most 200 letters, digits and underscores, and not a "
        r"column of the result tables; got 'x{201}'$"
    )
    with pytest.raises(ps.TemplateError, match=rule):
        ps.Template(f"\n{{{{ flag('{'x' * 201}') }}}}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: ps.choice([HALF, "b"]), f"ps.choice: the option {HALF!r} {LOST}"),
        (lambda: ps.Template("{{ x }}", context={"x": [{"y": HALF}]}), f"context['x']: the text {HALF!r} {LOST}"),
        (lambda: ps.Template(f"{{{{ row.text }}}} {HALF}", name="t"), f"t: the source {LOST}"),
        (
            lambda: ps.Template("{{ choice('c', ['a\\ud83d', 'b']) }}", name="t").space(),
            f"choice 'c': the option {HALF!r} {LOST}",
        ),
    ],
)
def test_options_with_half_a_character_are_refused(given: Callable[[], Any], message: str) -> None:
    """Options, context and templates are checked before anything is sent."""
    with pytest.raises(ps.InputError, match=f"{re.escape(message)}$"):
        given()
