"""The winner's prompt as texts to copy out of the report: chat messages as JSON, and a function in Python."""

from __future__ import annotations

import json
import re

from prompt_search._names import has_half_character
from prompt_search._printable import named
from prompt_search.prompts.export.outline import needs_template, outline, pieces
from prompt_search.prompts.export.python_source import python_source
from prompt_search.prompts.prompt import Prompt

_HIDDEN = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FIELD = re.compile(r"row(?:\.(\w+)|\[(['\"])([^'\"\\]*)\2\])")


def messages_json(prompt: Prompt) -> str:
    """The messages of a prompt as a JSON list, with ``{{ row.field }}`` for what the row holds."""
    turns = [{"role": role, "content": content} for role, content in prompt.turns]
    text = json.dumps(turns, ensure_ascii=False, indent=2)
    return _HIDDEN.sub(lambda found: named(found[0]), text)  # what a page would show in another form


def python_code(prompt: Prompt) -> str:
    """Python code that makes the messages for a row: a plain function, or where the row decides more than the text at
    its places, what ``export`` writes as ``.py``."""
    settings = {"model": prompt.model, **prompt.parameters}
    parts = [pieces(message.content) for message in outline(prompt.source, prompt.name)]
    if needs_template(prompt.source) or not all(_FIELD.fullmatch(each) for part in parts for each in part[1::2]):
        return python_source(
            prompt.source,
            choices=dict(prompt.choices),
            parameters=dict(prompt.parameters),
            answer=dict(prompt.answer) if prompt.answer else None,
            model=prompt.model,
        )
    roles = [message.role for message in outline(prompt.source, prompt.name)]
    lines = [
        f'        {{"role": {role!r}, "content": {_expression(part)}}},'
        for role, part in zip(roles, parts, strict=True)
    ]
    sent = "".join(f", {name}={value!r}" for name, value in settings.items() if value is not None)
    return "\n".join(
        [
            "import json",
            "",
            "",
            "def text(value):",
            "    if isinstance(value, (dict, list, tuple)):",
            "        return json.dumps(value, ensure_ascii=False, default=str)",
            '    return "" if value is None else str(value)',
            "",
            "",
            "def messages(row):",
            '    """The messages for one row, a dictionary of its fields."""',
            "    return [",
            *lines,
            "    ]",
            "",
            "",
            f"# client.chat.completions.create(messages=messages(row){sent})",
            "",
        ]
    )


def _expression(parts: list[str]) -> str:
    """The content of a message as a Python expression."""
    terms = []
    for place, part in enumerate(parts):
        field = _FIELD.fullmatch(part) if place % 2 else None
        if field is not None:
            terms.append(f"text(row[{field[1] or field[3]!r}])")
        elif part:
            terms.append(ascii(part) if has_half_character(part) else repr(part))
    joined = " + ".join(terms) or '""'
    # As the prompt is rendered: without white space at its ends, which a row may have.
    return f"({joined}).strip()" if len(parts) > 1 else joined
