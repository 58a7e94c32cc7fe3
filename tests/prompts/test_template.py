"""One Jinja template as the search space: rendering, static checks, and writing a candidate out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes

from prompt_search.data.rows import Row
from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.environment import (
    CHAT_ROLES,
    FUNCTIONS,
    compile_source,
    environment,
    literal,
    render_messages,
)
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.prompt_runtime import finalize, nearest
from prompt_search.prompts.template import Template, shipped_templates
from tests.profiles import examples

ROW = {"text": "some text"}


def pool_of(size: int) -> ExamplePool:
    return ExamplePool(
        tuple({"text": f"text {i} {'cats' if i % 3 else 'dogs'}", "label": "ab"[i % 2]} for i in range(size)), "label"
    )


def rendered(source: str, row: Any = ROW) -> list[dict[str, str]]:
    """An exported source as `Prompt` renders it."""
    compiled = compile_source(source, "exported")
    return [message.to_dict() for message in render_messages(compiled, {"row": row, "nearest": nearest})]


def text(messages: list[dict[str, str]]) -> str:
    (message,) = messages
    return message["content"]


# Messages


def test_chat_blocks_are_messages() -> None:
    """Each block is one stripped message; the roles come as written."""
    template = Template(
        """
        {% chat role="system" %}  Be brief. {% endchat %}
        {% chat role=choice("asker", ["user", "developer"]) %}
        {{ row.text }}
        {% endchat %}
        """
    )

    assert template.render({"asker": "developer"}, ROW) == [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "some text"},
    ]


def test_without_chat_blocks_all_is_one_user_message() -> None:
    """A plain template needs no markup."""
    assert Template("  Hi {{ row.text }}\n").render({}, ROW) == [{"role": "user", "content": "Hi some text"}]


def test_an_empty_message_is_left_out() -> None:
    """An empty option leaves no trace."""
    template = Template(
        '{% chat role="system" %}{{ choice("s", ["", "x"]) }}{% endchat %}{% chat role="user" %}u{% endchat %}'
    )

    assert [m["role"] for m in template.render()] == ["user"]
    assert [m["role"] for m in template.render({"s": "x"})] == ["system", "user"]


def test_missing_values_and_collections_read_well() -> None:
    """None is nothing, lists and dictionaries are JSON, and text stays as it is."""
    row = {"a": None, "b": {"née": ["it's", None, 1.5, True]}, "c": ("x",), "d": "{'x'}"}

    assert text(Template("[{{ row.a }}]{{ row.b }}{{ row.c }}{{ row.d }}").render({}, row)) == (
        """[]{"née": ["it's", null, 1.5, true]}["x"]{'x'}"""
    )
    assert finalize(3) == 3


def test_missing_choices_take_their_first_option() -> None:
    """The default candidate needs no choices, and an option may be given by its text."""
    template = Template('{{ choice("a", [1, 2]) }} {{ flag("b") }} {{ order("o", ["x", "y"]) | join("") }}')

    assert text(template.render()) == "1 False xy"
    assert text(template.render({"a": "2", "b": "yes", "o": "y > x"})) == "2 True yx"
    assert text(template.render({"a": 2, "b": True, "o": ("y", "x")})) == "2 True yx"


def test_an_inactive_choice_is_ignored_and_an_unknown_one_refused() -> None:
    """All choices of a candidate may be passed, also the answer form."""
    template = Template('{% if flag("a") %}{{ flag("b") }}{% endif %}{% for s in examples("n", max=1) %}{% endfor %}x')

    assert text(template.render({"b": True, "n.picker": "random 1", "answer": "label"})) == "x"
    with pytest.raises(TemplateError, match=r"template: there is no choice 'c', only a, b, n; correct the name"):
        template.render({"c": 1})
    with pytest.raises(
        TemplateError, match="template line 1: 'a' has no option 'perhaps'; its options are 'no', 'yes'"
    ):
        template.render({"a": "perhaps"})


def test_the_answer_form_is_a_variable() -> None:
    """The prompt may ask for JSON only where the answer is read as JSON."""
    template = Template('{% if "json" in answer %}JSON{% else %}text{% endif %}')

    assert text(template.render()) == "text"
    assert text(template.render({"answer": "label_json"})) == "JSON"


def test_a_row_may_be_a_mapping_or_a_row_of_a_dataset() -> None:
    """Fields are reached as attributes and as items, whatever their names."""
    template = Template('{{ row.text }} {{ row["items"] }} {{ row["a b"] }}')
    values = {"text": "t", "items": "i", "a b": "s"}

    assert text(template.render({}, values)) == text(template.render({}, Row(values))) == "t i s"


def test_without_a_row_fields_read_as_their_names() -> None:
    """A template can be looked at before there is data."""
    template = Template('{{ row.text }}{% for s in examples("n", max=2, min=1) %} {{ s.label }}{% endfor %}')

    assert text(template.render()) == "{text} {label}"


def test_the_same_choice_may_be_used_twice() -> None:
    """One name with one list of options is one dimension."""
    template = Template('{{ choice("a", ["x", "y"]) }}{{ choice("a", ["x", "y"]) }}')

    assert text(template.render({"a": "y"})) == "yy"
    assert template.space().size() == (2, True)


def test_context_stays_when_more_is_given() -> None:
    """A study's context does not replace the template's own."""
    template = Template("{{ a }}{{ b }}", context={"a": 1}).with_context({"a": 2, "b": 3})

    assert text(template.render()) == "13"


def test_reading_a_file_and_a_shipped_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file wins over a shipped template of the same name; a byte order mark is no text."""
    monkeypatch.chdir(tmp_path)
    assert Template.read("classify").names == Template.read("classify.j2").names

    (tmp_path / "classify.j2").write_text("mine", encoding="utf-8-sig")

    assert Template.read("classify.j2").source == "mine"
    assert Template.read(tmp_path / "classify.j2").name == "classify.j2"


@pytest.mark.parametrize("name", ["nowhere.j2", "classify.txt", "sub/classify"])
def test_a_missing_file_is_told_with_the_shipped_names(name: str) -> None:
    """The error says which names need no file."""
    with pytest.raises(TemplateError, match=r"cannot read the template: No such file.*give a file or one of classify"):
        Template.read(name)


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    """Undecodable bytes are an error about the file."""
    (tmp_path / "a.j2").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(TemplateError, match="not UTF-8 text"):
        Template.read(tmp_path / "a.j2")


def test_reprs_name_the_choices_and_escape() -> None:
    """A notebook shows the source as text."""
    template = Template('<b>{{ choice("a", ["x"]) }}</b> {{ row.text }}', name="t.j2")

    assert repr(template) == "Template('t.j2', choices: a)"
    assert repr(Template("x")) == "Template('template', choices: none)"
    assert (
        "&lt;b&gt;{{ <mark>choice(&#34;a&#34;</mark>, [&#34;x&#34;]) }}&lt;/b&gt; {{ row.text }}"
        in template._repr_html_()
    )


# Static checks, each with its line


def on_line_3(line: str) -> str:
    return f"first line\n\n{line}\n{{{{ row.text }}}}"


BROKEN = {
    "syntax": ("{% if %}", "template syntax: Expected an expression"),
    "not closed": ("{% if row.text %}", "template syntax: Unexpected end of template"),
    "chat without role": ("{% chat %}x{% endchat %}", 'a chat block names its role; write {% chat role="user" %}'),
    "no such filter": ("{{ row.text | random }}", "template syntax: No filter named 'random'"),
    "name not literal": ("{{ choice(row.text, ['a']) }}", r"choice\(\) takes its name as a literal string first"),
    "no name": ("{{ flag() }}", r'flag\(\) takes its name as a literal string first: flag\("name", …\)'),
    "reserved name": ("{{ flag('score') }}", "not a column of the result tables; got 'score'"),
    "name with a space": ("{{ flag('a b') }}", "a word of at most 200 letters, digits and underscores.*got 'a b'"),
    "not called": ("{{ choice }}", r"'choice' is a choice function; call it: choice\(\"name\", …\)"),
    "include": ("{% include 'other.j2' %}", "a template cannot use include, import or extends; copy the text into it"),
    "import": ("{% import 'other.j2' as o %}", "a template cannot use include, import or extends"),
    "from import": ("{% from 'other.j2' import m %}", "a template cannot use include, import or extends"),
    "extends": ("{% extends 'other.j2' %}", "a template cannot use include, import or extends"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_template_is_refused_when_made(case: str) -> None:
    """The error names the template and the line before anything is rendered."""
    line, message = BROKEN[case]

    with pytest.raises(TemplateError, match=rf"bad\.j2 line \d+: .*{message}") as caught:
        Template(on_line_3(line), name="bad.j2")

    assert caught.value.line in ((3,) if case != "not closed" else (3, 4))


FAILING = {
    "no options": ("{{ choice('c', []) }}", "choice 'c': a choice needs at least one option, got none"),
    "options are text": ("{{ choice('c', 'ab') }}", "choice 'c' takes a list of options, got 'ab'"),
    "options are a number": ("{{ choice('c', 3) }}", "choice 'c' takes a list of options, got 3"),
    "option given twice": ("{{ choice('c', ['a', 'b', 'a']) }}", "'a' is given twice; remove one"),
    "two lists": (
        "{{ choice('c', ['a']) }}{{ choice('c', ['b']) }}",
        r"'c' has two: choice \['a'\] and choice \['b'\]",
    ),
    "two kinds": ("{{ flag('c') }}{{ choice('c', [false, true]) }}", "'c' has two: flag .* and choice"),
    "low above high": ("{{ integer('i', 3, 1) }}", "integer 'i': low <= high must hold, got low=3, high=1"),
    "too many integers": ("{{ integer('i', 0, 5000) }}", "integer 'i': at most 1000 values, got 5001"),
    "nothing to order": ("{{ order('o', []) }}", "order 'o': a choice needs at least one option"),
    "ordered twice": ("{{ order('o', ['a', 'a']) }}", "order 'o': options must differ, but 'a' is given twice"),
    "too many to order": ("{{ order('o', range(7)) }}", r"order 'o': at most 6 items \(720 orders\), got 7"),
    "too many shots": ("{{ examples('s', max=9) }}", "examples 's': max=9 shots, but only 8 rows may serve"),
    "min above max": ("{{ examples('s', max=1, min=2) }}", "0 <= min <= max must hold, got min=2, max=1"),
    "unknown picker": (
        "{{ examples('s', max=1, min=1, pickers=['best']) }}",
        ("examples 's': a picker must be 'random 1'"),
    ),
    "same set of shots twice": (
        "{{ examples('s', max=1, min=1, pickers=['random 1', 'random 01']) }}",
        "examples 's': a picker must be .*, got 'random 01'; write 'random 1'",
    ),
    "picker is no text": (
        "{{ examples('s', max=1, min=1, pickers=[1]) }}",
        "examples 's': a picker must be .*, got 1; write one of them",
    ),
    "pickers are text": (
        "{{ examples('s', max=1, pickers='random') }}",
        "pickers must be a list of names, got 'random'",
    ),
    "no pickers": ("{{ examples('s', max=1, min=1, pickers=[]) }}", "examples 's': a choice needs at least one"),
    "bad role": (
        "{% chat role='boss' %}x{% endchat %}",
        f"a chat role must be one of {', '.join(CHAT_ROLES)}, got 'boss'",
    ),
    "nested chat": (
        "{% chat role='user' %}{% chat role='user' %}x{% endchat %}{% endchat %}",
        "a chat block cannot contain another; close the first one",
    ),
    "undefined variable": ("{{ nothing }}", "undefined variable: 'nothing' is undefined; pass it in context="),
    "unknown field": ("{{ row.txt }}", "the rows have no field 'txt'; they have text"),
    "private attribute": ("{{ ''.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
    "class tree": ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
    "private through format": ("{{ '{0.__class__}'.format(row) }}", "access to attribute '__class__'"),
    "private through attr": ("{{ (row | attr('__init__')) }}", "__init__"),
    "changing the row": ("{{ row.update({'text': 'x'}) }}", "SecurityError: access to attribute 'update' of 'dict'"),
    "division": ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_rendering_that_fails_names_the_line(case: str) -> None:
    """Whatever the template's code raises becomes one error with template and line."""
    line, message = FAILING[case]
    template = Template(on_line_3(line), name="bad.j2")

    with pytest.raises(TemplateError, match=f"bad.j2 line 3: .*{message}"):
        template.space(ROW, pool=pool_of(8))


def test_text_outside_chat_blocks_is_refused_with_its_line() -> None:
    """With chat blocks every word belongs to a message."""
    template = Template('{% chat role="user" %}x{% endchat %}\n\n  Classify this.\n{{ row.text }}', name="bad.j2")

    with pytest.raises(TemplateError, match=r"bad.j2 line 3: a template with chat blocks.*'Classify this."):
        template.render({}, ROW)
    with pytest.raises(TemplateError, match=r"bad.j2: a template with chat blocks must have all its text inside them"):
        Template('{{ row.text }}{% chat role="user" %}x{% endchat %}', name="bad.j2").render({}, ROW)


def test_a_chat_template_may_be_plain_under_another_choice() -> None:
    """One message or several can be a choice."""
    template = Template('{% if flag("chat") %}{% chat role="system" %}x{% endchat %}{% else %}y{% endif %}')

    assert template.render({"chat": True}) == [{"role": "system", "content": "x"}]
    assert template.render() == [{"role": "user", "content": "y"}]


def test_an_empty_prompt_is_refused() -> None:
    """There is nothing to send."""
    with pytest.raises(TemplateError, match="the prompt is empty; write at least one message"):
        Template('{{ choice("a", ["", "x"]) }}').render()


def test_two_lists_of_options_in_different_branches_are_found() -> None:
    """One name means one list in the whole space, not only in one rendering."""
    source = '{% if flag("a") %}\n{{ choice("c", ["1"]) }}\n{% else %}\n{{ choice("c", ["2"]) }}\n{% endif %}x'

    with pytest.raises(TemplateError, match="line 2: each name must have one list of options, but 'c' has two"):
        Template(source).space(ROW)


def test_options_that_depend_on_another_choice_are_two_lists() -> None:
    """Give the second list a name of its own."""
    source = '{% set few = flag("few") %}{{ choice("c", ["1", "2"] if few else ["1", "2", "3"]) }}'

    with pytest.raises(TemplateError, match=r"'c' has two: choice .* and choice .*; rename one"):
        Template(source).space(ROW)


@pytest.mark.parametrize(
    "source",
    [
        '{% if false %}{{ flag("c") }}{% endif %}x',
        '{% if flag("a") and not flag("a") %}{{ flag("c") }}{% endif %}x',
        '{% macro m() %}{{ flag("c") }}{% endmacro %}x',
        '{% for i in [] %}{{ flag("c") }}{% endfor %}x',
    ],
)
def test_a_choice_that_nothing_reaches_is_refused(source: str) -> None:
    """A dimension that changes no prompt is a mistake."""
    with pytest.raises(TemplateError, match=r"line 1: the choice 'c' is never reached.*remove it or its condition"):
        Template(source).space(ROW)


def test_check_finds_undefined_variables() -> None:
    """Variables come from the context; what the template sets itself or has a default for is fine."""
    source = """{% set a = labels %}{% if a %}{% set b = 1 %}{% else %}{% set b = 2 %}{% endif %}{{ b }}
    {{ extra | default("x") }}{% if other is defined %}{{ other }}{% endif %}
    {{ lables }} {{ row.text }}"""
    template = Template(source, name="t.j2", context={"labels": ["x"]})

    with pytest.raises(TemplateError, match=r"t.j2 line 3: undefined variable 'lables'; pass it in context=.*labels"):
        template.check(["text"])
    template.check(["text"], known=["lables"])


def test_check_finds_unknown_fields_and_the_target() -> None:
    """A prompt sees the fields of the data, never the target."""
    with pytest.raises(TemplateError, match="line 2: the rows have no field 'txt'; they have text, id"):
        Template("x\n{{ row.txt }}").check(["text", "id"], "label")
    with pytest.raises(TemplateError, match=r"line 2: row.label is the target, which a prompt must not contain"):
        Template('x\n{{ row["label"] }}').check(["text"], "label")
    with pytest.raises(TemplateError, match=r'.items is a method of dictionaries; write row\["items"\]'):
        Template("{{ row.items }}").check(["items"])
    Template('{{ row["items"] }}{{ row.text }}').check(["items", "text"], "label")


@pytest.mark.parametrize("name", ["row", "choice", "nearest"])
def test_context_may_not_take_the_names_of_every_template(name: str) -> None:
    """Such a value would never be seen."""
    with pytest.raises(InputError, match=rf"context\['{name}'\]: the name is reserved in templates"):
        Template("x", context={name: "x"})


def test_context_must_be_what_a_prompt_can_carry() -> None:
    """A function cannot be exported."""
    with pytest.raises(InputError, match=r"context\['f'\]: a prompt can carry text.*got builtin_function"):
        Template("x", context={"f": len})


# A choice is the same for every row


CHOICE = '{{ choice("c", ["a", "b"]) }}'
DEPENDENT = {
    "if": f"{{% if row.text %}}{CHOICE}{{% endif %}}",
    "elif": f"{{% if false %}}{{% elif row.text %}}{CHOICE}{{% endif %}}",
    "later elif": f"{{% if false %}}{{% elif row.text %}}{{% elif true %}}{CHOICE}{{% endif %}}",
    "test of a later elif": '{% if row.text %}{% elif flag("c") %}{% endif %}',
    "else": f"{{% if row.text %}}{{% else %}}{CHOICE}{{% endif %}}",
    "for": f"{{% for word in row.text.split() %}}{CHOICE}{{% endfor %}}",
    "for with a filter": f"{{% for i in [1, 2] if row.text %}}{CHOICE}{{% endfor %}}",
    "set": f"{{% set long = row.text | length > 9 %}}{{% if long %}}{CHOICE}{{% endif %}}",
    "set under if": f"{{% if row.text %}}{{% set x = 1 %}}{{% endif %}}{{% if x is defined %}}{CHOICE}{{% endif %}}",
    "block set": f"{{% set x %}}{{{{ row.text }}}}{{% endset %}}{{% if x %}}{CHOICE}{{% endif %}}",
    "namespace": f"{{% set ns = namespace(x=0) %}}{{% set ns.x = row.text %}}{{% if ns.x %}}{CHOICE}{{% endif %}}",
    "set later in a loop": (
        "{% set ns = namespace(x=0) %}{% for i in [1, 2] %}{% if ns.x %}" + CHOICE + "{% endif %}"
        "{% set ns.x = row.text %}{% endfor %}"
    ),
    "with": f"{{% with x = row.text %}}{{% if x %}}{CHOICE}{{% endif %}}{{% endwith %}}",
    "and": "{{ row.text and " + CHOICE[3:-3] + " }}",
    "or": "{{ row.text or " + CHOICE[3:-3] + " }}",
    "inline if": "{{ " + CHOICE[3:-3] + " if row.text else '' }}",
    "inline else": "{{ '' if row.text else " + CHOICE[3:-3] + " }}",
    "options": '{{ choice("c", [row.text, "b"]) }}',
    "options through set": '{% set all = row.text.split() %}{{ choice("c", all) }}',
    "macro argument": f"{{% macro m(x) %}}{{% if x %}}{CHOICE}{{% endif %}}{{% endmacro %}}{{{{ m(row.text) }}}}",
    "macro keyword": f"{{% macro m(x=1) %}}{{% if x %}}{CHOICE}{{% endif %}}{{% endmacro %}}{{{{ m(x=row.text) }}}}",
    "macro varargs": f"{{% macro m() %}}{{% if varargs %}}{CHOICE}{{% endif %}}{{% endmacro %}}{{{{ m(row.text) }}}}",
    "macro called under if": f"{{% macro m() %}}{CHOICE}{{% endmacro %}}{{% if row.text %}}{{{{ m() }}}}{{% endif %}}",
    "macro before its definition": (
        f"{{% macro n() %}}{{% if row.text %}}{{{{ m() }}}}{{% endif %}}{{% endmacro %}}"
        f"{{% macro m() %}}{CHOICE}{{% endmacro %}}{{{{ n() }}}}"
    ),
    "macro result": f"{{% macro m() %}}{{{{ row.text }}}}{{% endmacro %}}{{% if m() %}}{CHOICE}{{% endif %}}",
    "macro by another name": (
        f"{{% macro m() %}}{CHOICE}{{% endmacro %}}{{% set f = m %}}{{% if row.text %}}{{{{ f() }}}}{{% endif %}}"
    ),
    "call block": (
        "{% macro m() %}{% if row.text %}{{ caller() }}{% endif %}{% endmacro %}{% call m() %}"
        + CHOICE
        + "{% endcall %}"
    ),
    "call block argument": (
        "{% macro m() %}{{ caller(row.text) }}{% endmacro %}{% call(x) m() %}{% if x %}"
        + CHOICE
        + "{% endif %}{% endcall %}"
    ),
    "text of a shot": f'{{% for s in examples("n", max=2) %}}{{% if s.text %}}{CHOICE}{{% endif %}}{{% endfor %}}',
    "text of the first shot": f'{{% set n = examples("n", max=2) %}}{{% if n[0].text %}}{CHOICE}{{% endif %}}',
    "first shot by filter": f'{{% set n = examples("n", max=2) %}}{{% if (n | first).text %}}{CHOICE}{{% endif %}}',
    "shots through or": f'{{% set n = examples("n", max=2) or [] %}}{{% for s in n %}}{CHOICE}{{% endfor %}}',
    "shots joined": f'{{% if examples("n", max=2) | join("") %}}{CHOICE}{{% endif %}}',
}


@pytest.mark.parametrize("case", DEPENDENT)
def test_a_choice_that_depends_on_the_row_is_refused(case: str) -> None:
    """The space must be the same for every row; the error has the line of the choice."""
    with pytest.raises(TemplateError, match=r"t.j2 line 2: a choice must be the same for every row.*move it out"):
        Template("x\n" + DEPENDENT[case], name="t.j2")


INDEPENDENT = {
    "under a flag": f'{{% if flag("f") %}}{CHOICE}{{% endif %}}',
    "beside the row": f"{{{{ row.text }}}}{CHOICE}{{% if row.text %}}x{{% endif %}}",
    "under labels": f"{{% if labels | length > 1 %}}{CHOICE}{{% endif %}}",
    "in a loop over labels": f"{{% for label in labels %}}{CHOICE}{{% endfor %}}",
    "where there are shots": f'{{% set n = examples("n", max=2) %}}{{% if n %}}{CHOICE}{{% endif %}}',
    "as many as shots": f'{{% set n = examples("n", max=2) %}}{{% if n | length > 1 %}}{CHOICE}{{% endif %}}',
    "in a loop over shots": f'{{% for s in examples("n", max=2)[:1] %}}{{{{ s.text }}}}{CHOICE}{{% endfor %}}',
    "shots and a flag": f'{{% set t = examples("n", max=2) and flag("f") %}}{{% if t %}}{CHOICE}{{% endif %}}',
    "shots if a flag": (
        '{% set n = examples("n", max=2) if flag("f") else [] %}{% for s in n | reverse %}' + CHOICE + "{% endfor %}"
    ),
    "no shots": f'{{% if not examples("n", max=2) %}}{CHOICE}{{% endif %}}',
    "macro with a constant": (
        f"{{% macro m(x) %}}{{% if x %}}{CHOICE}{{% endif %}}{{% endmacro %}}{{{{ m(1) }}}}{{{{ row.text }}}}"
    ),
    "call block": "{% macro m() %}{{ row.text }}{{ caller() }}{% endmacro %}{% call m() %}" + CHOICE + "{% endcall %}",
    "in an order": f'{{% for p in order("o", ["x", "y"]) %}}{{% if p == "x" %}}{CHOICE}{{% endif %}}{{% endfor %}}',
}


@pytest.mark.parametrize("case", INDEPENDENT)
def test_a_choice_may_depend_on_other_choices_and_context(case: str) -> None:
    """What is the same for every row may decide; the space is found, counted and written out."""
    template = Template(INDEPENDENT[case] + "{{ row.text }}", context={"labels": ["x", "y"]})
    pool = pool_of(6)
    space = template.space(ROW, pool=pool)
    candidates = list(space.candidates())

    assert "c" in space.by_name
    assert len(candidates) == len(set(candidates)) == space.size()[0]
    for candidate in candidates:
        values = space.values(candidate)
        assert rendered(template.specialize(values, ROW, pool=pool)) == template.render(values, ROW, pool=pool)


# Examples in a template


SHOTS = '{% for shot in examples("shots", max=4) %}{{ shot.text }}={{ shot.label }}\n{% endfor %}{{ row.text }}'


def test_shots_are_shown_in_the_chosen_order() -> None:
    """Count, picker and order are three choices."""
    template, pool = Template(SHOTS), pool_of(8)
    choices = {"shots": 3, "shots.picker": "random 2", "shots.order": "reversed"}
    expected = [f"{shot['text']}={shot['label']}" for shot in pool.pick("random 2", 3)][::-1]

    assert text(template.render(choices, ROW, pool=pool)).splitlines() == [*expected, "some text"]
    assert template.shots(choices, ROW, pool) == pool.pick("random 2", 3)[::-1]
    assert template.shots({}, ROW, pool) == []


def test_nearest_looks_only_at_the_fields_the_template_reads() -> None:
    """Another field of the row (a worked solution, an id) must not help to pick: it is not there later."""
    pool = ExamplePool(
        tuple(
            {"text": f"text {i}", "secret": secret, "label": "a"} for i, secret in enumerate(["x", "cats", "y", "z"])
        ),
        "label",
    )
    template = Template(SHOTS)
    choices = {"shots": 2, "shots.picker": "nearest"}

    with_secret = template.render(choices, {"text": "text 0", "secret": "cats"}, pool=pool)

    assert with_secret == template.render(choices, {"text": "text 0", "secret": "x"}, pool=pool)
    assert rendered(template.specialize(choices, ROW, pool=pool), {"text": "text 0"}) == with_secret
    assert Template(SHOTS).row_fields == ("text",)
    assert Template("{{ row }}{{ row.text }}").row_fields is None


@pytest.mark.parametrize("picker", ["balanced 1", "random 3", "diverse", "nearest"])
@pytest.mark.parametrize("order", ["as picked", "reversed"])
def test_shots_are_written_out(picker: str, order: str) -> None:
    """Fixed shots become text, nearest keeps its pool; every row gives the bytes that were scored."""
    template, pool = Template(SHOTS), pool_of(8)
    choices = {"shots": 3, "shots.picker": picker, "shots.order": order}
    source = template.specialize(choices, {"text": "text 1 cats"}, pool=pool)

    for row in ({"text": "dogs"}, {"text": "text 1 cats"}, {"text": "text 7 cats"}):
        assert rendered(source, row) == template.render(choices, row, pool=pool)
    assert ("nearest(shots_pool" in source) == (picker == "nearest")
    assert "examples" not in source


def test_without_a_row_nearest_still_has_a_space() -> None:
    """A template with data can be looked at without choosing a row."""
    template, pool = Template(SHOTS), pool_of(8)

    assert template.space(pool=pool).size()[1]
    assert len(template.shots({"shots": 2, "shots.picker": "nearest"}, None, pool)) == 2


def test_shots_cannot_be_written_out_without_a_pool() -> None:
    """There is nothing to show."""
    with pytest.raises(TemplateError, match="line 1: 2 examples need rows to choose from; pass pool="):
        Template(SHOTS).specialize({"shots": 2})


# Writing a candidate out


def fixed(source: str, choices: dict[str, Any] | None = None, **context: Any) -> str:
    return Template(source, context=context).specialize(choices or {}, ROW)


def test_a_fixed_prompt_reads_as_the_prompt_it_makes() -> None:
    """Branches and loops over constants are resolved, helpers disappear, fields stay."""
    source = """{# A comment. #}
{% set cue = choice("cue", ["Label:", ""]) %}
{% set task | trim %}
{{ choice("task", ["Classify {x}.", "Decide."]) }}
{% if flag("listed") %}
Options:
{% for label in labels %}
{{ loop.index }}. {{ label }}{{ "," if not loop.last }}
{% endfor %}
{% endif %}
{% endset %}
{% chat role="user" %}
{{ task }}
{% for part in order("layout", ["text", "hint"]) %}
{% if part == "text" %}
Text: {{ row.text }}
{% else %}
{% if row.text %}
There is a text.
{% endif %}
{% endif %}
{% endfor %}
{{ cue }}
{% endchat %}
"""
    source = source.replace('{{ "," if not loop.last }}', "{% if not loop.last %},{% endif %}")
    choices = {"listed": True, "layout": "hint > text"}

    assert (
        fixed(source, choices, labels=["a", "b"])
        == """{% chat role="user" %}
Classify {x}.
Options:
1. a,2. b
{% if row.text %}
There is a text.
{% endif %}
Text: {{ row.text }}
Label:
{% endchat %}"""
    )


def test_conditions_on_the_row_stay_and_the_rest_of_the_if_is_simplified() -> None:
    """Branches that can never be taken go, those that the row decides stay."""
    source = """{% set b = flag("b") %}
{% if flag("a") %}A{% elif row.text %}B{% elif b %}C{% elif row.more %}D{% else %}E{% endif %}"""

    assert fixed(source, {"a": True}) == "A"
    assert fixed(source) == "{% if row.text %}B{% elif row.more %}D{% else %}E{% endif %}"
    assert fixed(source, {"b": True}) == "{% if row.text %}B{% else %}C{% endif %}"


def test_context_that_is_still_needed_is_set_at_the_top() -> None:
    """An exported prompt needs nothing from outside but the row."""
    source = (
        "{% if row.text in labels %}known{% endif %}{{ answer }}{{ unused }}{{ row.text | replace(unused, answer) }}"
    )

    written = Template(source, context={"labels": ["a"], "unused": "u", "never": 1}).specialize(
        {"answer": "label"}, ROW
    )

    assert written.splitlines()[:3] == [
        '{% set answer = "label" %}',
        '{% set labels = ["a"] %}',
        '{% set unused = "u" %}',
    ]
    assert "never" not in written
    assert text(rendered(written, {"text": "a"})) == "knownlabelua"


@pytest.mark.parametrize(
    "source",
    [
        '{{integer("n", -3, 3)}} {{ integer("n", -3, 3) ** 2 }} {{ 1 -integer("n", -3, 3) }}',
        '{{ "yes" if flag("a")and not flag("a")else "no" }}',
        "{{ choice('d', [{'a': 1}, {'a': {}}]) }}{{choice('d', [{'a': 1}, {'a': {}}])}}",
        '{{ [choice ("a", ["x)", "(y"]), "choice(1)"] }} {{ row.text }}',
        '{{ flag(name="a") }} {{ choice(options=["x"], name="b") }}',
        '{% raw %}{{ choice("a", ["x"]) }}{% endraw %} {{ row.text }}',
        '{{ choice("brace", ["{", "{{ row.text }}", "{% endif %}", "#}", "a {", "{#", "%}"]) }}{{ row.text }}',
        '{{ choice("brace", ["{", "x {"]) }}{% if row.text %}y{% endif %}{{ choice("more", ["% if", "{ z", "# c"]) }}',
        '{ {%- if flag("a") %} x {% endif -%} } {{ row.text }}',
        '{{ choice("c", ["a\\nb", "\\n\\nc\\n", "\\r\\n", "\\t", "  ", "\\x0b\\x00", "\\x85"]) }}| {{ row.text }}',
        '{% if flag("a") %}  {% if row.text %}  y{% endif %}  {% endif %}\n  {% if row.no is defined %}z{% endif %}',
        'a\n  {%+ if flag("a") +%}\n b {% endif %}  \n  {% if row.text %}\n\n c {% endif %}',
        '{% set x = choice("a", ["1", "2"]) %}{% set x = x ~ row.text %}{{ x }}{% if x == "1" %}no{% endif %}',
        '{% set ns = namespace(n=0) %}{% for w in [1, 2] %}{% set ns.n = ns.n + w %}{% endfor %}{{ ns.n }}{{ flag("a") }}',  # noqa: E501
        '{% for a, b in [[1, 2], [3, 4]] if flag("f") %}{{ a }}{{ b }}{{ loop.cycle("x") }}{% else %}e{% endfor %}!',
        '{% for a in [1, 2] %}{% for b in row.text %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}{{ flag("f") }}',  # noqa: E501
        '{% macro m(x) %}<{{ x }}{{ choice("c", ["p", "q"]) }}>{% endmacro %}{% for x in [1, 2] %}{{ m(x) }}{% endfor %}',  # noqa: E501
        '{% macro m() %}{{ flag("f") }}{{ caller() }}{% endmacro %}{% call m() %}{{ row.text }}{% endcall %}',
        '{% set a %}{{ choice("c", ["x ", "y"]) }}{% if row.text %}z{% endif %}{% endset %}[{{ a }}]',
        '{% set a | upper %}{{ choice("c", ["x ", "y"]) }}{% endset %}[{{ a }}]{{ row.text }}',
        '{% with a = choice("c", ["x", "y"]) %}{% set b = a %}{{ b }}{% endwith %}{{ b is defined }}',
        '{% filter upper %}{{ choice("c", ["x", "y"]) }}{{ row.text }}{% endfilter %}',
        '{% if not flag("a") %}y{% elif labels[9] is defined %}z{% endif %}{{ labels }}{{ row.text }}',
        '{{ choice("c", [1.5, none, true, ["a", 1], "t"]) }}{{ row.text }}',
        '{{ order("o", [1, "b", [2]]) }}{{ order("o", [1, "b", [2]])[0] }}',
        '{% for i in range(integer("n", 0, 2)) %}{{ i }}{{ row.text }}{% endfor %}.',
        "\n\n  lead {{ flag('a') }} trail \n\n",
        '{% for x in ["a", "b"] %}{% for x in ["c", "d"] if x != "c" %}{{ x }}{% endfor %}|{% endfor %}',
        '{% for x in [1, 2] %}{% for y in [3, 4] if y > x + 1 %}{{ x }}{{ y }}{% endfor %}{% endfor %}{{ flag("f") }}',
        '{% for x in [1, 2] if true if flag("f") else false %}{{ x }}{% endfor %}.',
        '{% for (a, b), c in [[[1, 2], 3]] %}{{ a }}{% endfor %}{{ flag("f") }}',
        '{% for a in ["x", "y"] %}{{ a }}{% if loop.nextitem is defined %}, {% endif %}{% endfor %}{{ flag("f") }}',
        '{% for a in [1, 2] %}{{ loop.previtem | default("-") }}{{ loop | length }}{% endfor %}',
        '{% for a in {"if": [1, 2], "in": 3}.if %}{{ a }}{{ flag("f") }}{% endfor %}',
        "{% if row.no %}{{ {1: 2} }}{{ [1e999] }}{% endif %}{{ flag('f') }}".replace("row.no", "row.no is defined"),
    ],
)
def test_a_candidate_written_out_renders_to_the_same_bytes(source: str) -> None:
    """Whatever the template does, the fixed source is the same prompt for every row, without choices."""
    template = Template(source + "\n.", context={"labels": ["x", "y"]})
    space = template.space(ROW)
    for candidate in space.candidates():
        values = space.values(candidate)
        written = template.specialize(values, ROW)
        for row in (ROW, {"text": ""}, {"text": "{{ x }} {% if %}", "no": 1}):
            assert rendered(written, row) == template.render(values, row), (values, written)
        names = {node.name for node in environment().parse(written).find_all(nodes.Name)}
        assert not names & set(FUNCTIONS)


WHITESPACE = ["", " ", "\n", "\n  ", "  \n", "\n\n"]
PIECES = [
    "word",
    "{ ",
    "{{ row.text }}",
    '{{ choice("c", ["x", "", "\\n y", "z {"]) }}',
    "{{- row.text -}}",
    "{# a\nnote #}",  # one within a line of words is refused
    "{#- note -#}",
    "{% raw %} {{ raw }} {% endraw %}",
    '{% set v = choice("v", ["1", "2"]) %}',
    "{{ v }}",
    "{% set b %}\n{{ v }} b\n{% endset %}",
]
BLOCKS = [
    ('{% if flag("f") %}', "{% endif %}"),
    ('{%- if flag("f") -%}', "{%- endif -%}"),
    ('{%+ if choice("c", ["x", "", "\\n y", "z {"]) +%}', "{%+ endif +%}"),
    ("{% if row.text %}", "{% endif %}"),
    ("{% if row.text %}a{% else -%}", "{% endif %}"),
    ('{% if v == "1" %}', "{% elif row.text %} r {% else %} e {% endif %}"),
    ("{% for i in [1, 2] %}", "{% endfor %}"),
    ("{% for i in row.text %}", "{% else %}none{% endfor %}"),
]


def sources() -> st.SearchStrategy[str]:
    spaced = st.tuples(st.sampled_from(PIECES), st.sampled_from(WHITESPACE)).map("".join)

    def wrap(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        block = st.builds(
            lambda tags, before, body, after: tags[0] + before + body + tags[1] + after,
            st.sampled_from(BLOCKS),
            st.sampled_from(WHITESPACE),
            inner,
            st.sampled_from(WHITESPACE),
        )
        return st.lists(block | inner, min_size=1, max_size=3).map("".join)

    return st.recursive(spaced, wrap, max_leaves=8)


@settings(max_examples=examples(150), deadline=None)
@given(sources(), st.booleans(), st.integers(0, 3), st.integers(0, 1))
def test_any_template_written_out_renders_to_the_same_bytes(source: str, flag: bool, c: int, v: int) -> None:
    """The law behind every export: whitespace control, branches and loops make no difference."""
    try:
        template = Template('start {% set v = "0" %}' + source + " end")
    except TemplateError as error:
        if "must be the same for every row" not in str(error):
            raise
        return
    choices = {"f": flag, "c": ["x", "", "\n y", "z {"][c], "v": "12"[v]}
    known = {name: value for name, value in choices.items() if name in template.names}
    written = template.specialize(known, {"text": "ab"})

    for row in ({"text": "ab"}, {"text": ""}, {"text": " \n{{ x"}):
        assert rendered(written, row) == template.render(known, row)
    assert Template(written).names == ()
    assert Template(written).specialize({}, ROW) == written or rendered(
        Template(written).specialize({}, ROW)
    ) == rendered(written)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{% for a, b in [1, 2] %}{{ a }}{% endfor %}", "TypeError: cannot unpack non-iterable int object"),
        ("{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}", r"ValueError: too many values to unpack \(expected 2"),
        ("{{ [labels[9]] }}", "undefined variable: list object has no element 9; pass it in context= or correct"),
        ("{{ {(1, 2): 3} }}", "TypeError: keys must be str, int, float, bool or None, not tuple"),
    ],
)
def test_a_fault_that_the_first_row_does_not_reach_is_told_by_a_row_that_does(line: str, message: str) -> None:
    """A prompt is written out around the fault, and the row that gets there has the same error from both."""
    template = Template(f'{{% if row.text == "q" %}}\n{line}\n{{% endif %}}.', name="bad.j2", context={"labels": []})
    written = template.specialize({}, {"text": "p"})
    assert text(rendered(written, {"text": "p"})) == text(template.render({}, {"text": "p"})) == "."
    with pytest.raises(TemplateError, match=rf"^bad\.j2 line 2: {message}"):
        template.render({}, {"text": "q"})
    with pytest.raises(TemplateError, match=rf"^exported line \d: {message}"):
        rendered(written, {"text": "q"})


@pytest.mark.parametrize("option", ["namespace()", "'a'.upper"])
def test_an_option_that_a_prompt_cannot_carry_is_refused_with_its_line(option: str) -> None:
    """What has no literal cannot be written out, and the error names the choice's line."""
    with pytest.raises(
        TemplateError, match=r"^bad\.j2 line 3: (choice 'c': a prompt can carry text, finite|{{ … }} has a builtin_fun)"
    ):
        Template(on_line_3(f"{{{{ choice('c', [{option}]) }}}}"), name="bad.j2").specialize({}, ROW)


@pytest.mark.parametrize("shown", ["[shown]", "shown ~ ''", "shown | string", '{"a": shown}', "shown == []"])
def test_examples_that_the_row_picks_are_never_printed_before(shown: str) -> None:
    """A list of nearest examples is no constant, whatever holds it."""
    template = Template(f'{{% set shown = examples("s", max=2) %}}{{{{ {shown} }}}}{{{{ row.text }}}}')
    choices = {"s": 2, "s.picker": "nearest"}
    written = template.specialize(choices, ROW, pool=pool_of(4))
    for row in (ROW, {"text": "text 1 cats"}):
        assert rendered(written, row) == template.render(choices, row, pool=pool_of(4))


LOOP_TARGETS = ["x", "y", "x, y", "(x, y), z", "x, (y, z)"]
LOOP_ITEMS = [
    *("[1, 2]", '["a", "b"]', "[[1, 2], [3, 4]]", "[[[1, 2], 3]]", "[[1, [2, 3]], 4]", '["ab", [1, 2]]', "[]"),
    *("x", "[x, y]", "[[x, 1], [2, y]]", '{"ab": 1, "cd": 2}', '{"a": 1}.items()', "row.text", "[row.text]", "3"),
    *("([1, 2] if f else [3])", "nothing", "shown", "[shown, 1]", '[{"if": [1], "in": 2}]'),
]
LOOP_TESTS = [
    *("", "if x", "if x != 1", 'if y == "b"', "if z is defined", "if row.text", "if f", "if true if x else y"),
    *("if loop.first", "if 1 in [x]", "recursive"),
]
LOOP_BODIES = [
    *("{{ x }};", "{{ y }}", "{{ z }}", "{{ [x, y] }}", "{{ x is defined }}", "{{ row.text }}", "w"),
    *(
        "{{ loop.index }}",
        "{{ loop.last }}",
        "{{ loop.nextitem is defined }}",
        "{{ loop | length }}",
        "{{ loop.depth }}",
    ),
    *("{{ loop.changed(x) }}", '{{ loop.cycle("p", "q") }}', "{{ loop.previtem }}", "{% set x = 7 %}", "{{ x / y }}"),
    *("{{ x.in }}{{ x.if }}", "{{ [shown] }}", "{{ shown | length }}", '{{ x ~ "" }}'),
]


def loops() -> st.SearchStrategy[str]:
    """Loops within loops and conditions, with names that hide each other, conditions, and items of any shape."""

    def wrap(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        parts = st.lists(inner, min_size=1, max_size=3).map("".join)
        loop = st.builds(
            "{{% for {} in {} {} %}}{}{}{{% endfor %}}|".format,
            st.sampled_from(LOOP_TARGETS),
            st.sampled_from(LOOP_ITEMS),
            st.sampled_from(LOOP_TESTS),
            parts,
            st.just("") | inner.map("{{% else %}}e{}".format),
        )
        return loop | parts.map('{{% if row.text == "q" %}}{}{{% endif %}}'.format)

    return st.recursive(st.sampled_from(LOOP_BODIES), wrap, max_leaves=8)


@settings(max_examples=examples(300), deadline=None)
@given(loops(), st.booleans(), st.sampled_from(["random 1", "nearest"]))
def test_any_loop_written_out_renders_to_the_same_bytes(source: str, flag: bool, picker: str) -> None:
    """For every row a loop of the template and the loop that ships give the same text, or both are an error that names
    template and line."""
    template = Template('{% set f = flag("f") %}{% set shown = examples("s", max=1) %}.' + source, name="any.j2")
    choices = {"f": flag, "s": 1, "s.picker": picker}

    rows = [{"text": "p"}, {"text": "q"}, {"text": ""}]
    written = _outcome(lambda: template.specialize(choices, rows[0], pool=pool_of(3)))
    for row in rows[:1] if written == FAULT else rows:
        expected = _outcome(lambda row=row: template.render(choices, row, pool=pool_of(3)))  # type: ignore[misc]
        shipped = _outcome(lambda row=row: rendered(written, row))  # type: ignore[misc]
        assert expected == (FAULT if written == FAULT else shipped), written


FAULT = "an error with its line"


def _outcome(function: Callable[[], Any]) -> Any:
    """What a function gives, or `FAULT` where that is an error with template and line."""
    try:
        return function()
    except TemplateError as error:
        return re.sub(r"^\S+ line \d+: .*", FAULT, str(error))


@settings(max_examples=examples(60), deadline=None)
@given(st.text(), st.lists(st.text(), min_size=1, max_size=3, unique=True), st.text())
def test_hostile_text_stays_text(row_text: str, options: list[str], label: str) -> None:
    """Rows, options and context are values, never template source."""
    template = Template(
        '{% chat role="user" %}> {{ choice("c", options) }}{{ label }}{% for o in options %}{{ o }}{% endfor %} '
        "{{ row.text }} <{% endchat %}",
        context={"options": options, "label": label},
    )
    for option in options:
        messages = template.render({"c": option}, {"text": row_text})

        assert text(messages) == f"> {option}{label}{''.join(options)} {row_text} <"
        assert rendered(template.specialize({"c": option}, ROW), {"text": row_text}) == messages


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_a_literal_reads_back_as_the_same_value(value: Any) -> None:
    """What a prompt carries comes back equal, and of the same types."""
    back = environment().compile_expression(literal(value), undefined_to_none=False)()

    assert back == value
    assert repr(back) == repr(value)


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    """Their repr is a call, which no template could read."""
    import numpy as np

    assert literal([np.float64(1.5), -2]) == "[1.5, (-2)]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: "a"}, {"a", "b"}, object()])
def test_what_a_prompt_cannot_carry_has_no_literal(value: Any) -> None:
    """The error names the place and the type."""
    with pytest.raises(InputError, match=r"here: a prompt can carry text, finite numbers.*got .*; convert it first"):
        literal([value], where="here")


def test_the_answer_form_decides_branches_of_a_fixed_prompt() -> None:
    """A prompt for text answers holds nothing about JSON."""
    source = '{% set as_json = "json" in answer %}{% if as_json %}As JSON.{% else %}As text.{% endif %} {{ row.text }}'
    template = Template(source)

    assert template.specialize({"answer": "label"}, ROW) == "As text. {{ row.text }}"
    assert template.specialize({"answer": "label_json"}, ROW) == "As JSON. {{ row.text }}"


def test_the_answer_form_is_read_by_its_name() -> None:
    """In the space an answer form is an object; a template sees its name."""

    class Form:
        name = "label_json"

    answer = Factor(name="answer", kind="answer", options=("label", Form()), names=("label", "label_json"))
    template = Template('{% if "json" in answer %}{{ flag("hint") }}{% endif %}{{ row.text }}')

    assert template.space(ROW, extra=[answer]).size() == (1 + 2, True)


def test_every_shipped_template_is_found_in_the_package() -> None:
    """The package carries them whatever the working directory."""
    assert [entry.name for entry in shipped_templates()] == [
        "classify.j2",
        "extract.j2",
        "rewrite.j2",
        "route.j2",
        "solve.j2",
        "translate.j2",
    ]
