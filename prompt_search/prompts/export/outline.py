"""The outline of a prompt: its messages with ``{{ row.field }}`` in place of the row's fields."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from jinja2 import nodes

from prompt_search.llm.messages import Message
from prompt_search.prompts.choice_functions import AnyRow
from prompt_search.prompts.environment import compile_source, environment, literal, render_messages

_OPEN, _CLOSE = "\ue000", "\ue001"
"""Marks around an expression over the row: characters of private use, which no prompt should hold."""
_MARKED = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)


def outline(source: str, name: str) -> tuple[Message, ...]:
    """The messages of a prompt with marks around the expressions over the row.

    If the row decides more than the text at such places, the outline is the source as one message.
    """
    marked = _with_marks(source)
    if marked is None:
        return (Message("user", source.strip()),)
    variables = {"row": AnyRow("{{{{ row.{} }}}}"), "nearest": _named_shots}
    return render_messages(compile_source(marked, name), variables)


def for_people(content: str) -> str:
    """An outline's text with ``{{ … }}`` in place of the marks."""
    return _MARKED.sub(r"{{ \1 }}", content)


def as_jinja(content: str) -> str:
    """An outline's text as Jinja source, with anything that Jinja would read as a tag in a literal."""
    return "".join(_jinja_parts(content))


def pieces(content: str) -> list[str]:
    """An outline's text in pieces: text, expression over the row, text, and so on to the last text."""
    return _MARKED.split(content)


def needs_template(source: str) -> bool:
    """Whether the outline, as Jinja source, would render to other messages than the prompt does."""
    if re.search(f"[{_OPEN}{_CLOSE}]", source):
        return True
    ast = environment().parse(source)
    plain = set()
    for output in ast.find_all(nodes.Output):
        for part in output.nodes:
            if isinstance(part, nodes.Getattr) or (
                isinstance(part, nodes.Getitem) and isinstance(part.arg, nodes.Const)
            ):
                plain.add(id(part.node))
    return any(id(name) not in plain for name in ast.find_all(nodes.Name) if name.name == "row")


def decided_by_row(source: str) -> bool:
    """Whether the row decides more than the text of fields: which examples or which parts the prompt has."""
    names = {name.name for name in environment().parse(source).find_all(nodes.Name)}
    return "nearest" in names or _with_marks(source) is None


def _named_shots(pool: Sequence[dict[str, Any]], row: Any, count: int) -> list[dict[str, str]]:
    """Stand-ins for the examples that `nearest` picks for a row."""
    names = pool[0] if pool else {}
    return [{name: f"({name} of nearest example {count - index})" for name in names} for index in range(count)]


def _with_marks(source: str) -> str | None:
    """The source with each ``{{ … }}`` over the row as text between marks.

    None if the row also decides what else the prompt holds, in a condition or a loop.
    """
    parts: list[str] = []
    tag: list[tuple[str, str]] = []
    for _, kind, value in environment().lexer.tokeniter(source, None):
        if not tag and not kind.endswith("_begin"):
            parts.append(value)
            continue
        tag.append((kind, value))
        if not kind.endswith("_end"):
            continue
        text = "".join(part for _, part in tag)
        words = [(token, part) for token, part in tag if token != "whitespace"]
        names = {part for (_, left), (token, part) in pairwise(words) if token == "name" and left != "."}
        if "row" in names and tag[0][0] == "variable_begin":
            expression = "".join(part for _, part in tag[1:-1]).strip()
            text = f"{{{{ {literal(f'{_OPEN}{expression}{_CLOSE}')} }}}}"
        elif "row" in names and tag[0][0] == "block_begin" and "nearest" not in names:
            return None
        parts.append(text)
        tag = []
    return "".join(parts)


def _jinja_parts(content: str) -> Iterator[str]:
    for index, part in enumerate(_MARKED.split(content)):
        if index % 2:
            yield f"{{{{ {part} }}}}"
        elif re.search(r"[{}\r]|#$|^#", part):
            yield f"{{{{ {literal(part)} }}}}"
        else:
            yield part
