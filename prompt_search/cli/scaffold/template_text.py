"""The template that ``prompt-search init`` writes, for each kind of target.

The first option of every choice is the best that a careful person would write: it makes the default prompt, which a
winner is compared with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from prompt_search.answers.target_kinds import TargetKind
from prompt_search.data.dataset import Dataset
from prompt_search.prompts.environment import literal

MOST_SHOTS = 4
"""Number of examples that a prompt shows at most."""

_PLAIN_TARGETS: Final = frozenset(
    ["answer", "answers", "expected", "gold", "label", "output", "reference", "response", "result", "target", "y"]
)
"""Names of targets that say nothing about what the answer is."""

_LANGUAGES: Final = (
    "arabic", "chinese", "czech", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hebrew",
    "hindi", "hungarian", "italian", "japanese", "korean", "norwegian", "polish", "portuguese", "romanian", "russian",
    "spanish", "swedish", "turkish", "ukrainian", "vietnamese",
)  # fmt: skip
"""Columns of these names hold texts in these languages."""

_NOUNS: Final = (
    "abstract", "code", "comment", "correction", "description", "email", "explanation", "headline", "keywords",
    "message", "paraphrase", "query", "question", "reply", "rewrite", "sql", "summary", "title", "translation",
)  # fmt: skip
"""Names of targets that say what the answer is."""


def template_text(data: Dataset, kind: TargetKind, shown: Sequence[str], schema: Mapping[str, Any] | None) -> str:
    """A template for these rows.

    Args:
        data: the rows.
        kind: what their targets are.
        shown: the fields that the prompt shows.
        schema: the JSON schema of targets that are JSON objects.
    """
    if kind == "labels":
        cue, task, shot_cue = _of_labels(data)
    elif kind == "numbers":
        cue, task, shot_cue = _of_numbers()
    elif kind == "JSON objects":
        cue, task, shot_cue = _of_json(schema or {})
    else:
        cue, task, shot_cue = _of_text(data, shown)
    headings = {name: " ".join(name.replace("_", " ").split()).capitalize() or name for name in shown}
    row = "".join(f"{_text(heading)}: {{{{ {_field(name)} }}}}\n" for name, heading in headings.items())
    shot = "".join(f"{_text(heading)}: {{{{ {_field(name, 'shot')} }}}}\n" for name, heading in headings.items())
    fields = ", ".join(" ".join(name.split()) for name in shown).replace("#}", "# }")
    return f"""{{# Fields: {fields}. Every choice(), flag() and examples() is a dimension of the search.
   The first option of each is the baseline: together they are the default prompt, which the winner is compared with.
   Put first what you would ship without a search. A choice with grow= gets more options where a model proposes them:
   run study.py --propose. #}}
{cue}{{% chat role="user" %}}
{task}
{{% for shot in examples("shots", max={min(MOST_SHOTS, len(data) // 2)}) %}}
{shot}{{{{ {shot_cue} }}}} {{{{ {_field(data.target, "shot")} }}}}

{{% endfor %}}
{row}{{{{ cue }}}}
{{% endchat %}}
"""


def _of_labels(data: Dataset) -> tuple[str, str, str]:
    instructions = (
        "Choose the label that fits. Answer with the label only, without explanation.",
        "Classify the text.",
        "Which label describes this best?",
    )
    listed = 'Labels: {{ labels | join(", ") }}'
    if any("," in label or "\n" in label for label in data.labels):
        listed = 'Labels:\n- {{ labels | join("\\n- ") }}'
    grow = "tells the model what to do and how the labels are told apart"
    task = f'{_choice("instruction", instructions, grow)}\n{{% if choice("list_labels", [true, false]) %}}\n{listed}\n'
    return _cue("Label:", "Answer:", "Category:"), f"{task}{{% endif %}}\n", "cue"


def _of_numbers() -> tuple[str, str, str]:
    setup = """{% set reasoning = choice("reasoning", ["steps", "check", "none"]) %}
{% set final = choice("final", ["Answer:", "####", "The answer is"]) %}
{% set cue = final if reasoning == "none" else "" %}
"""
    instructions = (
        "Work out the number that is asked for.",
        "Read everything carefully and find the number.",
        "Answer with a number.",
    )
    task = f"""{_choice("instruction", instructions, "tells the model how to find the right number")}
{{% if reasoning == "steps" %}}
Reason step by step. End with the line: {{{{ final }}}} <number>
{{% elif reasoning == "check" %}}
Reason step by step and check the result. End with the line: {{{{ final }}}} <number>
{{% else %}}
Give only the number, without explanation.
{{% endif %}}
"""
    return setup, task, "final"


def _of_json(schema: Mapping[str, Any]) -> tuple[str, str, str]:
    instructions = (
        "Extract the fields from the text. Answer with one JSON object and nothing else.",
        "Read the text and fill in the fields. Give JSON only, without explanation.",
        "Find this information in the text and return it as JSON.",
    )
    listed = "\n".join(f"- {_text(line)}" for line in _field_lines(schema))
    form = _text(json.dumps(_form(schema), ensure_ascii=False))
    grow = "tells the model what to find in the text and what to do where the text is unclear"
    task = f"""{_choice("instruction", instructions, grow)}
{{% set fields = choice("fields", ["list", "form", "no"]) %}}
{{% if fields == "list" %}}
Fields:
{listed}
{{% elif fields == "form" %}}
Form: {form}
{{% endif %}}
"""
    return _cue("JSON:", "Answer:", "Output:"), task, "cue"


def _of_text(data: Dataset, shown: Sequence[str]) -> tuple[str, str, str]:
    named = " ".join(data.target.replace("_", " ").casefold().split())
    source = next((name.casefold() for name in shown if name.casefold() in _LANGUAGES), None)
    if source is not None and named in _LANGUAGES:
        source, named = source.capitalize(), named.capitalize()
        instructions = (
            f"Translate from {source} into {named}. Answer with the translation only.",
            f"You are a professional translator. Write this in {named}.",
            f"Give the {named} translation that a native speaker would use.",
        )
        grow = "tells the model what to translate and how, with meaning, tone and form in mind"
        return _cue(f"{named}:", "Translation:", "Output:"), f"{_choice('instruction', instructions, grow)}\n", "cue"
    if named in _NOUNS or named in _PLAIN_TARGETS or not re.fullmatch(r"\w[\w ]*", named):
        what = named if named in _NOUNS else "answer"
        instructions = (
            f"Write the {what}. Answer with nothing else, without explanation.",
            f"Give the {what}.",
            f"You are an experienced editor. Write the {what}, brief and exact.",
        )
        cues = dict.fromkeys((f"{what.capitalize()}:", "Answer:", "Output:"))
    else:
        instructions = (
            f"Rewrite the text: write its {named} version. Answer with the new text only, without explanation.",
            f"Write the {named} version of the text.",
            f"You are an experienced editor. Give the {named} version of the text and add nothing.",
        )
        cues = dict.fromkeys((f"{named.capitalize()}:", "Rewritten:", "Output:"))
    note = "{# Say in the first instruction what a right answer is: its content, its length, its tone. #}\n"
    grow = "tells the model what to write: its content, its length and its tone"
    return note + _cue(*cues), f"{_choice('instruction', instructions, grow)}\n", "cue"


def _cue(*options: str) -> str:
    return f"{{% set cue = choice({literal('cue')}, {literal(list(options))}) %}}\n"


def _choice(name: str, options: Sequence[str], grow: str) -> str:
    """A choice of texts, with what they are for where a proposer writes more of them."""
    lines = "".join(f"  {literal(option)},\n" for option in options)
    return f"{{{{ choice({literal(name)}, [\n{lines}], grow={literal(grow)}) }}}}"


def _field_lines(schema: Mapping[str, Any], above: str = "") -> list[str]:
    """A line for each field of a schema: its path and what it holds."""
    lines: list[str] = []
    for name, part in schema.get("properties", {}).items():
        types = part["type"] if isinstance(part["type"], list) else [part["type"]]
        needed = "null" not in types and name in schema.get("required", ())
        if types[0] == "object" and part.get("properties"):
            lines += _field_lines(part, f"{above}{name}.")
            continue
        words = " or ".join(_type_words(kind, part) for kind in types if kind != "null")
        unknown = "null" if "null" in types else "left out"
        lines.append(f"{above}{name}: {words}" + ("" if needed else f"; {unknown} where the text does not say it"))
    return lines


def _type_words(kind: str, part: Mapping[str, Any]) -> str:
    words = {"string": "text", "boolean": "true or false", "integer": "whole number", "object": "JSON object"}
    if kind == "array":
        members = part["items"]["type"]
        inner = [members] if isinstance(members, str) else [each for each in members if each != "null"]
        named = ", ".join(part["items"].get("properties", ()))
        return f"list of {' or '.join(words.get(each, each) for each in inner)}s" + (f" with {named}" if named else "")
    return words.get(kind, kind)


def _form(schema: Mapping[str, Any]) -> Any:
    """A value of a schema with its types in place of values."""
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "object":
        return {name: _form(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_form(schema["items"])]
    return _type_words(kind, schema)


def _field(name: str, row: str = "row") -> str:
    # Jinja finds the methods of a dictionary before its keys, and nothing that starts with an underscore.
    taken = hasattr(dict, name) or name.startswith("_") or name in ("fields", "target")
    return f"{row}.{name}" if name.isidentifier() and not taken else f"{row}[{literal(name)}]"


def _text(text: str) -> str:
    """Text as a template writes it; with braces as a literal, because Jinja would interpret them."""
    return f"{{{{ {literal(text)} }}}}" if re.search("[{}]", text) else text
