"""Coverage-guided fuzzing of templates: whatever the source, an error of ours or messages that ship unchanged.

Run:
    python experiments/fuzz/templates.py -runs=100000 -timeout=20
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["prompt_search", "jinja2"]):
    from prompt_search.errors import PromptSearchError
    from prompt_search.prompts.few_shot import ExamplePool
    from prompt_search.prompts.prompt import Prompt
    from prompt_search.prompts.template import Template

ROW = {"text": "some text", "n": 3}
POOL = ExamplePool(tuple({"text": f"text {i}", "n": i, "label": "ab"[i % 2]} for i in range(6)), "label")
FRAGMENTS = [
    *('{% chat role="user" %}', "{% endchat %}", '{{ choice("c", ["a", "b"]) }}', '{{ flag("f") }}', "{{ row.text }}"),
    *('{% for s in examples("t", max=2) %}', "{{ s.text }}", "{% for i in range(9) %}", "{% endfor %}", "{{ row.n }}"),
    *('{% if flag("g") %}', "{% if row.n %}", "{% else %}", "{% endif %}", "{% set a = 1 %}", "{% set a %}", "{{ a }}"),
    *("{% endset %}", "{% macro m(x) %}", "{% endmacro %}", "{{ m(1) }}", "{% raw %}", "{% endraw %}", "{{ a ~ a }}"),
    *('{{ order("o", labels) }}', '{{ integer("i", 1, 3) }}', "{{ labels | join }}", "{{ 'x' | center(99) }}"),
    *("{#", "#}"),
    *("{{ 'a' * 99 }}", "{{ row.text[1:] }}", "{{ '%s' % 1 }}", "{{ '{}'.format(1) }}"),
    *("{% block b %}", "{% endblock %}"),
]  # fmt: skip


def source_of(data: bytes) -> str:
    """Fragments of our syntax by number, and raw text between them."""
    given = atheris.FuzzedDataProvider(data)
    parts: list[str] = []
    while given.remaining_bytes():
        which = given.ConsumeIntInRange(0, len(FRAGMENTS) + 4)
        parts.append(FRAGMENTS[which] if which < len(FRAGMENTS) else given.ConsumeUnicode(which - len(FRAGMENTS) + 1))
    return "".join(parts)


def try_template(data: bytes) -> None:
    try:
        template = Template(source_of(data), context={"labels": ["a", "b"]})
        template.space(ROW, pool=POOL)
        messages = template.render({}, ROW, pool=POOL)
        prompt = Prompt(source=template.specialize({}, ROW, pool=POOL))
        shipped = prompt.messages(ROW)
        _ = prompt.text, prompt.to_dict()
    except PromptSearchError as error:
        if "\n" in str(error):
            raise AssertionError(f"the message has more than one line: {error}") from error
        return
    if shipped != messages:
        raise AssertionError(f"{shipped} is not what was scored: {messages}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_template)
    atheris.Fuzz()
