"""What ships: the text, the diff, and exports that render the very bytes that were scored."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_search.data.rows import Row
from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.export.outline import decided_by_row
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.prompt import Prompt
from prompt_search.prompts.template import Template
from tests.conftest import executed
from tests.profiles import examples

PIECES = [
    "{{ x }}", "{{", "}}", "{% endchat %}", "{%", "%}", "{#", "#}", "{", "}", "#", "%", "-", "[b]", "[/b]", "<script>",
    "&amp;", "\N{GRINNING FACE}", "\r\n", "\r", "\n", "\n\n", "\t", " ", "\x0b", "\x85", "\u2028", "\u200b", '"', "'",
    '"""', "\\", "\\n", "\\u0041", "a", "row.text", "{% raw %}", "{% endraw %}", "{{- x -}}", "\ue000", "\ue001",
    "#} #}\n", "\x00", "{format}", "%s", "$x",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
written = hostile.filter(str.strip)

CHAT = """{% chat role="system" %}
{{ choice("instruction", instructions) }}
{% if flag("listed") %}
Labels: {{ labels | join(", ") }}.
{% endif %}
{% endchat %}
{% for shot in examples("shots", max=3, pickers=["balanced 1", "nearest"]) %}
{% chat role="user" %}{{ shot.text }}{% endchat %}
{% chat role="assistant" %}{{ shot.label }}{% endchat %}
{% endfor %}
{% chat role="user" %}
{% for part in order("layout", ["text", "question"]) %}
{% if part == "text" %}{{ row.text }}{% else %}{{ choice("question", questions) }}{% endif %}

{% endfor %}
{{ choice("cue", ["Label:", ""]) }}
{% endchat %}
"""
LAYOUTS = [("text", "question"), ("question", "text")]


def as_python(prompt: Prompt, row: Any) -> list[dict[str, str]]:
    """The messages of a `.py` export."""
    space = executed(prompt)
    assert space["MODEL"] == prompt.model
    assert space["PARAMETERS"] == dict(prompt.parameters)
    assert space["CHOICES"] == dict(prompt.choices)
    sent: list[dict[str, str]] = space["messages"](row)
    return sent


def assert_exports_render(prompt: Prompt, rows: list[dict[str, Any]]) -> None:
    """Every export, read again, renders the bytes that the prompt renders, and keeps its settings."""
    expected = [prompt.messages(row) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".j2", ".json"):
            path = prompt.export(Path(folder) / f"best{suffix}")
            back = Prompt.read(path)
            assert [back.messages(row) for row in rows] == expected
            assert back._settings == prompt._settings
            again = back.export(Path(folder) / f"again{suffix}")
            assert Prompt.read(again).messages(rows[0]) == expected[0]
        if not decided_by_row(prompt.source):
            text = prompt.export(Path(folder) / "best.txt").read_bytes().decode("utf-8")
            assert text == prompt.text + "\n"
    assert [as_python(prompt, row) for row in rows] == expected


def pool(*texts: str) -> ExamplePool:
    rows = [{"text": text, "label": f"label {index % 2}"} for index, text in enumerate(texts)]
    return ExamplePool(tuple(rows), "label")


def fixed(template: Template, choices: Mapping[str, Any], examples: ExamplePool | None = None, **more: Any) -> Prompt:
    row = {"text": "some text", "other field": "more"}
    return Prompt(source=template.specialize(choices, row, pool=examples), choices={}, **more)


@settings(max_examples=examples(60))
@given(
    instruction=hostile,
    question=hostile,
    label=hostile,
    text=written,
    shots=st.lists(hostile, min_size=3, max_size=4),
    count=st.integers(0, 3),
    picker=st.sampled_from(["balanced 1", "nearest"]),
    listed=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
)
def test_hostile_text_survives_every_export(
    instruction: str,
    question: str,
    label: str,
    text: str,
    shots: list[str],
    count: int,
    picker: str,
    listed: bool,
    layout: tuple[str, ...],
) -> None:
    """Whatever rows, options, labels and shots hold, the fixed prompt renders what the template renders, and
    every export renders the same again."""
    context = {"instructions": [instruction + "!", "x"], "questions": [question + "?", "x"], "labels": [label, "b"]}
    template = Template(CHAT, context=context)
    choices: dict[str, Any] = {"listed": listed, "shots": count, "layout": layout}
    if count:
        choices["shots.picker"] = picker
    examples = pool(*(f"{shot}{index}" for index, shot in enumerate(shots)))
    row = {"text": text}
    prompt = Prompt(
        source=template.specialize(choices, row, pool=examples),
        choices={"instruction": instruction, "question": question},
        parameters={"stop": [label], "temperature": 0},
        answer={"kind": "label", "labels": [f"x{label}", "b"]},
        model=label,
    )
    assert prompt.messages(row) == template.render(choices, row, pool=examples)
    assert_exports_render(prompt, [row, {"text": "plain"}, {"text": examples.examples[0]["text"]}])


@settings(max_examples=examples(40))
@given(hostile, written)
def test_prompt_without_chat_block_survives_every_export(option: str, text: str) -> None:
    """A prompt that is one text is one user message in every form."""
    template = Template(
        '{{ choice("cue", cues) }}{{ row.text }}{{ row["other field"] }}', context={"cues": [option, option + "-"]}
    )
    prompt = fixed(template, {})
    assert_exports_render(prompt, [{"text": text, "other field": option}, {"text": "a", "other field": "b"}])


@pytest.mark.parametrize(
    ("source", "form"),
    [
        ("Say {{ row.text }}.", "messages"),
        ('Say {{ row["text"] }} and {{ row["items"] }}, {{ row["two words"] }}.', "messages"),
        ("Say {{- row.text -}} !", "messages"),
        ("Say {{ row.text | upper }}.", "template"),
        ("{% if row.number > 2 %}Many{% else %}Few{% endif %}: {{ row.text }}", "template"),
        ("{% for item in row.list %}- {{ item }}\n{% endfor %}", "template"),
        ("{% set x = row.text %}{{ x }}", "template"),
        ("Add {{ row.number + 1 }} to {{ row.text[:2] }}", "template"),
        ("{% raw %}{{ row.text }}{% endraw %} {{ row.text }}", "messages"),
        ("{# a comment on row #}Text {{ row.text }}", "messages"),
        ("{{ row.none }}List {{ row.list }} {{ row.object }} {{ row.none }}.", "messages"),
    ],
)
def test_any_use_of_the_row_survives_every_export(source: str, form: str) -> None:
    """Chat messages where the row is only filled in, the template where it decides more; same bytes always."""
    row = {
        "text": "a  b", "number": 3, "list": ["x", "é"], "object": {"k": 1}, "none": None, "items": "i",
        "two words": "w",
    }  # fmt: skip
    prompt = Prompt(source=source)
    assert form in prompt.to_dict()
    assert_exports_render(prompt, [row, {**row, "number": 1, "list": ["y"]}])


def test_text_shows_expressions_as_they_are_written() -> None:
    """The text for people has fields in braces and heads several messages by role."""
    template = Template(CHAT, context={"instructions": ["Sort."], "questions": ["Which?"], "labels": ["a", "b"]})
    prompt = fixed(template, {"shots": 1, "shots.picker": "balanced 1"}, pool("one", "two", "three"))
    assert prompt.text.startswith("system:\nSort.\n\nuser:\n")
    assert prompt.text.endswith("user:\n{{ row.text }}\nWhich?\nLabel:")
    assert Prompt(source="Say {{ row.text | upper }} {{ row['items'] }}").text == (
        "Say {{ row.text | upper }} {{ row['items'] }}"
    )


def test_text_of_a_prompt_whose_row_decides_is_its_source() -> None:
    """A prompt with a condition on the row has its source as its text, because no single text is right for all rows."""
    source = "{% if row.number > 2 %}Many{% endif %} {{ row.text }}"
    assert Prompt(source=source).text == source
    assert repr(Prompt(source=source)).startswith("Prompt('prompt', 53 characters)")


def test_text_names_the_nearest_examples() -> None:
    """Examples picked by the row are shown as what they will be."""
    template = Template(CHAT, context={"instructions": ["Sort."], "questions": ["Which?"], "labels": ["a", "b"]})
    prompt = fixed(template, {"shots": 2, "shots.picker": "nearest"}, pool("one", "two", "three"))
    assert "(text of nearest example 1)" in prompt.text
    assert "(label of nearest example 2)" in prompt.text


def test_a_column_called_row_is_no_row() -> None:
    """`shot.row` is a column of an example, which a prompt holds as text."""
    source = '{% for shot in [{"row": "a"}] %}{{ shot.row }}{% endfor %} {{ row.text }}'
    prompt = Prompt(source=source)
    assert prompt.text == "a {{ row.text }}"
    assert_exports_render(prompt, [{"text": "b"}])


def test_rows_of_a_dataset_render_like_dictionaries() -> None:
    """A `Row` and a dictionary of the same fields make the same messages."""
    prompt = Prompt(source="{{ row.text }} {{ row.n }}")
    assert prompt.messages(Row({"text": "a", "n": 1})) == prompt.messages({"text": "a", "n": 1})


def test_missing_field_is_told() -> None:
    """A row that lacks a field is a `TemplateError` with the line."""
    with pytest.raises(
        TemplateError, match=r"line 2: the row has no field 'text', which the prompt shows; it has: word"
    ):
        Prompt(source="Say\n{{ row.text }}").messages({"word": "cat"})


def test_diff_is_unified() -> None:
    """The diff runs from this prompt's text to the other's."""
    difference = Prompt(source="One\nTwo {{ row.x }}").diff(Prompt(source="One\nThree {{ row.x }}"))
    assert difference.splitlines() == [
        "--- this", "+++ other", "@@ -1,2 +1,2 @@", " One", "-Two {{ row.x }}", "+Three {{ row.x }}"
    ]  # fmt: skip


@given(hostile)
def test_notebook_form_is_escaped(option: str) -> None:
    """No tag of a prompt reaches the notebook's HTML."""
    prompt = fixed(
        Template('<b>{{ choice("x", options) }} {{ row.text }}', context={"options": [option, option + "-"]}), {}
    )
    assert "<script" not in prompt._repr_html_()
    assert "&lt;b&gt;" in prompt._repr_html_()


@pytest.mark.parametrize("suffix", [".csv", ""])
def test_unknown_suffix_is_refused(tmp_path: Path, suffix: str) -> None:
    """Only some formats are written and only two are read."""
    with pytest.raises(InputError, match=r"a prompt is written as \.j2, \.json, \.py, \.txt, \.yaml, \.yml, got"):
        Prompt(source="x").export(tmp_path / f"best{suffix}")
    with pytest.raises(InputError, match=r"a prompt is read from \.j2 or \.json, got"):
        Prompt.read(tmp_path / f"best{suffix}")


def test_file_that_cannot_be_written_or_read_is_told(tmp_path: Path) -> None:
    """A missing folder and a missing file are one-line errors."""
    with pytest.raises(
        InputError, match=(r"best\.j2: cannot write the prompt: No such file or directory; give another path")
    ):
        Prompt(source="x").export(tmp_path / "no" / "best.j2")
    with pytest.raises(InputError, match=r"best\.j2: cannot read the prompt: No such file or directory"):
        Prompt.read(tmp_path / "best.j2")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", r"a\.json: not a prompt file: Expecting property name"),
        ("a.json", b"\xff\xfe", r"a\.json: not a prompt file: 'utf-8' codec"),
        ("a.json", b"[]", r"a\.json: messages must be a list with at least one message"),
        ("a.json", b'{"format": "other", "template": "x"}', r'a\.json: a prompt file must have "format"'),
        (
            "a.json",
            b'{"format": "prompt_search/prompt@1"}',
            r"a\.json: a prompt file must have a template, or messages",
        ),
        (
            "a.json",
            b'{"format": "prompt_search/prompt@1", "messages": [{"role": "user"}]}',
            "a message must have a role",
        ),
        ("a.json", b'{"format": "prompt_search/prompt@1", "messages": 3}', "messages must be a list with at"),
        ("a.json", b'{"messages": [{"role": "user", "content": "x"}], "n": 1}', r"a\.json: 'n' is no key of a prompt"),
        (
            "a.json",
            b'"text"',
            r"a\.json: a prompt file must hold a list of messages, or an object with messages, got",
        ),
        ("a.txt", b"{{ row.text }}", r"a\.txt: a prompt is read from .j2 or .json, .*; rename a text with .* to \.j2"),
        (
            "a.json",
            b'{"format": "prompt_search/prompt@1", "template": 3}',
            "template of a prompt file must be text, got 3",
        ),
        (
            "a.json",
            b'{"messages": [{"role": "user", "content": "x"}], "model": ["x"]}',
            r"^a\.json: 'model' of a prompt file must be a name, got \['x'\]; correct it$",
        ),
        (
            "a.json",
            b'{"format": "prompt_search/prompt@1", "template": "x", "choices": [1]}',
            r"'choices' of a prompt file must be an object, got \[1\]",
        ),
        (
            "a.j2",
            b'{# prompt_search {"parameters": {"temperature": NaN}} #}\n{{ row.text }}',
            r"a\.j2: not a prompt file: NaN is no number of JSON; write a finite one$",
        ),
        (
            "a.j2",
            b'{# prompt_search {"parameters": {"x": ' + b"[" * 500 + b"]" * 500 + b"}} #}\n{{ row.text }}",
            r"a\.j2: not a prompt file: its JSON is nested more than 100 levels deep; remove some$",
        ),
        ("a.j2", b"\xff", r"a\.j2: not a prompt file: 'utf-8' codec"),
        ("a.j2", b"{{ row.text", r"a\.j2 line 1: template syntax"),
        ("a.j2", b'{{ choice("a", ["b"]) }}', r"a\.j2: 'choice' is a choice function, .* open it with Template\.read"),
    ],
)
def test_file_that_is_no_prompt_is_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """Whatever is wrong with a prompt file is one line that names the file."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        Prompt.read(tmp_path / name)


def test_plain_jinja_file_is_a_prompt(tmp_path: Path) -> None:
    """A `.j2` without our header reads as a prompt without settings."""
    (tmp_path / "mine.j2").write_text("Hello {{ row.name }}", encoding="utf-8")
    prompt = Prompt.read(tmp_path / "mine.j2")
    assert prompt.messages({"name": "Ada"}) == [{"role": "user", "content": "Hello Ada"}]
    assert (dict(prompt.choices), dict(prompt.parameters), prompt.answer, prompt.model) == ({}, {}, None, None)


@pytest.mark.parametrize("wrapped", [False, True])
def test_chat_messages_in_json_are_a_prompt(tmp_path: Path, wrapped: bool) -> None:
    """A list of messages, or an object with them, is read as it is written by hand."""
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello {{ row.name }}"}]
    (tmp_path / "mine.json").write_text(json.dumps({"messages": messages} if wrapped else messages))
    said = Prompt.read(tmp_path / "mine.json").messages({"name": "Ada"})
    assert said == [messages[0], {"role": "user", "content": "Hello Ada"}]


def test_missing_prompt_file_says_what_to_give(tmp_path: Path) -> None:
    """A path that leads nowhere is told with the kinds of files that a prompt is read from."""
    with pytest.raises(
        InputError, match=r"nope\.j2: cannot read the prompt: No such file.*; give the path of a \.j2 or"
    ):
        Prompt.read(tmp_path / "nope.j2")


def test_json_export_is_chat_messages(tmp_path: Path) -> None:
    """The `.json` export reads as the messages with fields in braces."""
    body = json.loads(
        Prompt(source="Say {{ row.text }} {% raw %}{{{% endraw %}").export(tmp_path / "a.json").read_text()
    )
    assert body["messages"] == [{"role": "user", "content": 'Say {{ row.text }}{{ " {{" }}'}]


PER_ROW = [
    "{% if row.long %}{{ row.text }}{% else %}short{% endif %}",
    "{% for item in row.items %}{{ item }}{% endfor %}",
    '{% for shot in nearest([{"text": "a"}], row, 1) %}{{ shot.text }}{% endfor %}{{ row.text }}',
]


@pytest.mark.parametrize("source", PER_ROW)
def test_no_text_is_written_of_a_prompt_that_the_row_decides(tmp_path: Path, source: str) -> None:
    """A text for people is refused where there is none, with the formats that hold the prompt."""
    with pytest.raises(
        InputError, match=r"because the row decides which parts or examples it has; export \.j2, \.json"
    ):
        Prompt(source=source).export(tmp_path / "best.txt")
    assert not (tmp_path / "best.txt").exists()


@pytest.mark.parametrize(
    ("source", "alone"),
    [
        ("Text: {{ row.text }}\n{% if true %}\nDone.\n{% endif %}\n", True),
        ("{% chat role='user' %}{{ row.text }}{% endchat %}", False),
        (PER_ROW[2], False),
    ],
)
def test_first_line_says_who_renders_a_j2_file(tmp_path: Path, source: str, alone: bool) -> None:
    """Where the note says that jinja2 alone renders the file it does so, to the same text; else it cannot."""
    file = Prompt(source=source).export(tmp_path / "best.j2")
    text = file.read_text(encoding="utf-8")
    assert ("jinja2 alone renders this file" in text.split("\n")[0]) == alone
    assert "(needs only jinja2) or .json (chat messages)" in text.split("\n")[0]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    row = {"text": "hello"}
    if alone:
        rendered = environment.from_string(text).render(row=row).strip()
        assert [{"role": "user", "content": rendered}] == Prompt.read(file).messages(row)
    else:
        with pytest.raises(jinja2.TemplateError):
            environment.from_string(text).render(row=row)


@pytest.mark.parametrize(
    ("shown", "kind"),
    [
        ("['a'] | map('upper')", "generator"),
        ("row.text.format", "function"),
        ("[row.text.format]", "function"),
        ("{'a': joiner()}", "Joiner"),
    ],
)
def test_value_whose_text_has_an_address_is_refused(shown: str, kind: str) -> None:
    """A prompt that differs in each process would be paid for again and again."""
    with pytest.raises(InputError) as caught:
        Prompt(source=f"{{{{ {shown} }}}} {{{{ row.text }}}}").messages({"text": "a"})
    assert str(caught.value).endswith(
        f"{{{{ … }}}} has a {kind}, whose text differs in each run; call it, or add | list or | join"
    )


def test_cycler_has_the_same_text_in_each_run() -> None:
    """What is shown of a cycler or a namespace has no address."""
    prompt = Prompt(source="{{ [cycler(1)] }} {{ namespace(a=1) }} {{ row.text }}")
    assert prompt.messages({"text": "a"}) == [{"role": "user", "content": '["<cycler>"] <namespace> a'}]
