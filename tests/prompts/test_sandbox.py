"""A hostile template ends soon, with one error that names it and the line; it neither reaches out nor runs away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.sandbox.steps import LARGE, MOST_STEPS, allowance, cost, counted_in, list_of, spend
from prompt_search.prompts.template import Template

ROW = {"text": "some text", "long": "word " * 20_000}

REACHING = {
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by item": "{{ ''['__class__'] }}",
    "class by attr": "{{ ('' | attr('__class__')).__mro__ }}",
    "class by map": "{{ [''] | map(attribute='__class__') | list }}",
    "class by format": "{{ '{0.__class__}'.format('') }}",
    "class by format of item": "{{ '{0[__class__]}'.format('') }}",
    "class by format_map": "{{ '{x.__class__}'.format_map({'x': ''}) }}",
    "globals": "{{ joiner.__init__.__globals__ }}",
    "globals of a function": "{{ nearest.__globals__ }}",
    "globals of a choice function": "{{ flag.__func__.__globals__ }}",
    "of self": "{{ self._TemplateReference__context.environment }}",
    "code": "{% macro m() %}{% endmacro %}{{ m._func.__code__ }}",
    "traceback": "{{ (range(3) | map('upper')).gi_frame.f_globals }}",
    "builtins": "{{ cycler.__init__.__globals__['__builtins__']['__import__']('os') }}",
    "context": "{{ caller.__self__ }}",
    "file": "{{ open('/etc/passwd').read() }}",
    "import function": "{{ __import__('os').system('true') }}",
    "import": "{% import '/etc/passwd' as p %}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "row written": "{{ row.update(text='x') }}",
    "list written": "{% set l = [1] %}{{ l.append(2) }}",
    "bytes": "{{ 'a'.encode('utf-8') }}",
}

RUNNING = {
    "long range": "{% for i in range(10**9) %}{% endfor %}",
    "nested ranges": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "ranges in a macro": "{% macro m() %}{% for j in range(9999) %}x{% endfor %}{% endmacro %}"
    "{% for i in range(9999) %}{{ m() }}{% endfor %}",
    "much text in a loop": "{% for i in range(90000) %}" + "text " * 5_000 + "{% endfor %}",
    "map of ranges": "{{ range(99999) | map('center', 900) | list }}",
    "text times": "{{ 'a' * 10**10 }}",
    "times text": "{{ 10**10 * 'a' }}",
    "list times": "{{ [0] * 10**10 }}",
    "text times by steps": "{% set a = 'a' * 9999 %}{% set b = a * 9999 %}{{ b * 9999 }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "power of a power": "{{ (10 ** 3000) ** 3000 }}",
    "product of powers": "{{ (10 ** 3000) * (10 ** 3000) }}",
    "center": "{{ 'x' | center(10**10) }}",
    "center by name": "{{ 'x' | center(width=10**10) }}",
    "indent": "{{ row.long | indent(10**9) }}",
    "batch": "{{ [1] | batch(10**9, 0) | list }}",
    "slice": "{{ [1] | slice(10**9) | list }}",
    "round": "{{ 1 | round(10**9, 'ceil') }}",
    "tojson": "{{ [[1]] | tojson(10**9) }}",
    "ljust": "{{ 'x'.ljust(10**10) }}",
    "zfill": "{{ 'x'.zfill(10**10) }}",
    "method kept in a name": "{% set f = 'x'.center %}{{ f(10**10) }}",
    "expandtabs": "{{ '\\t'.expandtabs(10**10) }}",
    "to_bytes": "{{ (1).to_bytes(10**10, 'big') }}",
    "replace": "{{ row.long.replace('w', row.long) }}",
    "replace filter": "{{ row.long | replace('w', row.long) }}",
    "join": "{{ row.long.join(row.long) }}",
    "join filter": "{{ row.long | list | join(row.long) }}",
    "percent width": "{{ '%9999999999d' % 1 }}",
    "percent width from a value": "{{ '%*d' % (10**9, 1) }}",
    "percent precision": "{{ '%.999999999f' % 1 }}",
    "format filter": "{{ '%9999999999d' | format(1) }}",
    "format width": "{{ '{:9999999999}'.format(1) }}",
    "format width from a value": "{{ '{:{}}'.format(1, 10**10) }}",
    "format many": "{{ ('{0}' * 9999).format(row.long) }}",
    "tilde doubled": "{% set a = 'aaaaaaaaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "plus doubled": "{% set a = 'aaaaaaaaaaaaaaaa' %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "block doubled": "{% set a = 'aaaaaaaaaaaaaaaa' %}"
    + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40 + "{{ a }}",
    "list doubled": "{% set a = ['a'] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
    "dict doubled": "{% set a = 'a' %}" + "{% set a = {'x': a, 'y': a} %}" * 40 + "{{ a == a }}",
    "namespace in itself": "{% set n = namespace() %}{% set n.a = [n, n] %}{{ n.a | tojson }}{{ 1 / 0 }}",
    "macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}"
    "{% endmacro %}{{ m(60) }}",
    "block that shows itself": "{% block a %}{{ self.a() }}{% endblock %}",
    "loop that calls itself": "{% for i in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "long text compared in a loop": "{% for i in range(90000) %}{{ row.long == row.long ~ '' }}{% endfor %}",
    "long text cut in a loop": "{% for i in range(90000) %}{% set x = row.long[1:] %}{% endfor %}",
    "long text tested in a loop": "{% for i in range(90000) if row.long is in(row.long) %}{% endfor %}",
    "long text printed in a loop": "{% for i in range(90000) %}{{ row.long }}{% endfor %}",
    "lists added up": "{{ [row.long | list, row.long | list] | sum(start=[]) }}",
    "many comments": "{{ ('<!---->' * 90000) | striptags }}",
    "filters that pay": "{{ -1000000000000 | _entered }}{{ ('a' * 900000000) | length }}",
    "round to the left": "{{ 5 | round(-1000000000) }}",
    "round by name": "{{ 5 | round(precision=-1000000000) }}",
    "condition of a loop": "{% for a in range(90000) %}{% for b in range(90000) if not b %}{% endfor %}{% endfor %}",
    "methods of a list": "{% set r = range(90000) | list %}{% for a in r %}{{ r.index(89999) }}{% endfor %}",
    "width behind a bracket": "{{ '{0[}]:>{1}}'.format({'}': 'a'}, 1200000000) }}",
    "lists added up by name": "{{ ([[1]] * 60000) | sum(start=[]) }}",
    "attributes of many": "{% for i in range(90) %}{% set x = range(90000) | map('attr', 'real') | list %}{% endfor %}",
    "characters compared in a loop": "{% for i in range(90000) %}{% set x = row.long | max %}{% endfor %}",
    "word cut into lines": "{{ ('a' * 900000) | wordwrap(1) }}",
    "characters stripped": "{% set s = 'abc' * 90000 %}" + "{{ row.long.strip(s ~ 'word ') }}" * 60,
    "groups of one": "{% set r = range(90000) | list %}{{ r | groupby('real') | length }}",
    "powers in a loop": "{% for i in range(90000) %}{{ 7 ** 3000 % 5 }}{% endfor %}",
    "orders in a loop": "{% for i in range(90000) %}{{ order('o', [1, 2, 3, 4, 5, 6]) }}{% endfor %}",
    "lists doubled in a namespace": "{% set n = namespace(a=[1]) %}{% for i in range(90) %}{% set n.a = n.a + n.a %}"
    "{% endfor %}{{ n.a | length }}",
    "options without end": "{{ integer('n', 0, 10**10) }}",
    "shots without end": "{% for s in examples('n', max=10**10) %}{% endfor %}",
}  # fmt: skip

UNREADABLE = {
    "deep brackets": "{{ " + "[" * 5_000 + "]" * 5_000 + " }}",
    "deep minus": "{{ " + "- " * 5_000 + "1 }}",
    "deep not": "{{ " + "not " * 5_000 + "1 }}",
    "deep ifs": "{% if 1 %}" * 2_000 + "{% endif %}" * 2_000,
    "deep loops": "{% for i in [1] %}" * 50 + "{% endfor %}" * 50,
    "long sum": "{{ row.text" + " + row.text" * 5_000 + " }}",
    "many tags": "".join(f"{{% set a{i} = {i} %}}" for i in range(10_001)),
    "many names": "{{ [" + "row.text, " * 60_000 + "] }}",
    "long product": "{{ " + "*".join(["99999999"] * 3_000) + " }}",
    "long attribute": "{{ row" + ".x" * 5_000 + " }}",
    "long tag": "{% " + "x" * 90_000 + " %}",
    "long number": "{{ " + "9" * 5_000 + " }}",
}


def hostile(template: str) -> None:
    """Refused in rendering, in discovery and in a prompt that is read: each time on one line, with the name."""
    for use in (
        lambda: Template(f"\n{template}", name="bad.j2").render({}, ROW),
        lambda: Template(f"\n{template}", name="bad.j2").space(ROW),
        lambda: Prompt._checked(f"\n{template}", {}, "bad.j2").messages(ROW),
        lambda: Prompt(source=f"\n{template}", name="bad.j2").messages(ROW),
    ):
        with pytest.raises(TemplateError, match=r"^bad.j2( line \d+)?: [^\n]{1,1100}$"):
            use()


@pytest.mark.parametrize("case", REACHING)
def test_a_template_cannot_reach_out(case: str) -> None:
    """No file, no module, no private attribute, nothing of what holds the template; and nothing is changed."""
    hostile(REACHING[case])


@pytest.mark.parametrize("case", RUNNING)
def test_a_template_cannot_run_away(case: str) -> None:
    """Neither in time nor in memory, whatever it does it with."""
    hostile(RUNNING[case])


@pytest.mark.parametrize("case", UNREADABLE)
def test_source_that_python_cannot_take_is_refused(case: str) -> None:
    """Too deep, too long or too long a number: the reader's own failures are errors about the template."""
    hostile(UNREADABLE[case])


@pytest.mark.parametrize(
    "source", ["{{ 'a' * 10**10 }}", "{{ ''.__class__ }}", "{% for i in range(10**9) %}{% endfor %}"]
)
def test_a_prompt_file_is_as_safe(tmp_path: Path, source: str) -> None:
    """A hostile export is refused where it is rendered or shown, as template and as messages."""
    (tmp_path / "a.j2").write_text(f"{{# prompt_search {{}} #}}\n{source}")
    said = {"format": "prompt_search/prompt@1", "messages": [{"role": "user", "content": source}]}
    (tmp_path / "a.json").write_text(json.dumps(said))

    for name in ("a.j2", "a.json"):
        prompt = Prompt.read(tmp_path / name)
        with pytest.raises(TemplateError, match=rf"^{name} line \d: "):
            prompt.messages(ROW)
        with pytest.raises(TemplateError, match=rf"^{name} line \d: "):
            _ = prompt.text


def test_loops_within_loops_are_not_written_out_without_end() -> None:
    """What a rendering may do quickly can be long as text."""
    loops = "{% for x in range(60) | list %}" * 4
    template = Template("first line\n" + loops + "{{ x }}" + "{% endfor %}" * 4, name="bad.j2")

    with pytest.raises(TemplateError, match=r"^bad\.j2 line 2: one rendering may take at most 1,000,000 steps"):
        template.specialize({}, ROW)


def test_honest_work_is_far_below_the_allowance() -> None:
    """A document of a million characters, a thousand labels and fifty shots are no bomb."""
    row = {"text": "word " * 200_000, "labels": [f"label {i}" for i in range(1_000)]}
    source = """{% macro line(x) %}- {{ x | upper }}{% endmacro %}
    {% for label in row.labels %}{{ line(label) }} {{ '%03d' | format(loop.index) }} {{ '{:>12}'.format(label) }}
    {% endfor %}{{ row.text | replace("\\n", " ") | trim }} {{ row.labels | join(", ") }} {{ 2 ** 64 }} {{ "=" * 80 }}
    {{ "Report for 2024: %s %%" % row.labels[0] }} {{ row.labels | batch(10) | list | length }}"""

    (message,) = Template(source).render({}, row)

    assert message["content"].startswith("- LABEL 0 001      label 0")
    assert message["content"].endswith("Report for 2024: label 0 % 100")


def test_each_rendering_has_its_own_allowance() -> None:
    """What one row used is not missing for the next, and an inner allowance does not touch the outer."""
    template = Template("{% for i in range(20000) %}{{ i }}{% endfor %}")
    for _ in range(8):
        template.render({}, ROW)

    with allowance():
        spend(MOST_STEPS)
        with allowance():
            spend(MOST_STEPS)
        with pytest.raises(InputError, match=r"one rendering may take at most 1,000,000 steps .* shorten its loops"):
            spend(1)


def test_the_cost_of_a_value_is_found_without_reading_all_of_it() -> None:
    """A list that holds itself many times over ends the count."""
    nested: list[object] = ["x"]
    for _ in range(60):
        nested = [nested, nested]

    assert MOST_STEPS < cost(nested) < 2 * MOST_STEPS


def test_a_large_value_that_does_not_change_is_counted_once() -> None:
    """It costs what it did when it was counted, in a list of the context and in one that the source writes out."""
    listed, others = ["x" * 100] * LARGE, ["x"] * (LARGE - 1)
    counted = counted_in({"labels": {"all": listed, "some": others}})
    steps = cost(listed)
    listed += listed
    written = ("x",) * LARGE

    with allowance(counted):
        made = list_of(written)
        others += others
        assert cost(listed) == steps == 6 * LARGE + 1
        assert cost(others) == 2 * (LARGE - 1) + 1
        assert made == list(written)
        assert cost(made) == cost(written) == LARGE + 1
    with allowance(counted):
        assert list_of(written) is made
    assert list_of(written) is not made
    assert cost(listed) == 2 * steps - 1


def test_a_list_of_the_context_that_changes_afterwards_changes_no_rendering() -> None:
    """A template has its own copy of the lists in its context."""
    styles = ["short", "long"]
    template = Template(
        "{{ choice('style', styles) }} {{ styles | length }} {{ row.text }}", context={"styles": styles}
    )
    styles[0] = "other"
    styles.append("third")

    assert template.render({}, {"text": "?"}) == [{"role": "user", "content": "short 2 ?"}]
