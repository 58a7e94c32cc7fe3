"""Habits from other template languages, which Jinja refuses in words that do not help, or does not refuse at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from jinja2 import nodes

from prompt_search.errors import TemplateError

_SYNTAX: Final = (
    (r"\{\{\s*[\"'][^\"'{}\n]*[\"']\s*:", "write JSON with single braces, {{ opens an expression"),
    (r"\{\{\{", "write {{ row.FIELD }} with two braces"),
    (r"\{\{\s*#\s*(?:if|unless|each|with)\b", "write {% if … %} … {% endif %} or {% for … %} … {% endfor %}"),
    (r"\{\{\s*/\s*\w+", "write {% endif %} or {% endfor %}"),
    (r"\{\{\s*[>^#&!]", "this is Mustache; a template is Jinja: {{ row.FIELD }}, {% if … %}, {% for … %}"),
    (r"\{[{%][^}%]*[\u201c\u201d\u201e\u2018\u2019]", "use straight quotes in tags: \" or '"),
)
"""Patterns of what Jinja refuses, each with the cure."""

_COMMENT = re.compile(r"^(?P<before>.*)\{#(?![-+])(?P<comment>.*?)#\}(?P<after>.*)$", re.MULTILINE)
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}")
_LETTER = re.compile(r"[^\W\d_]")


def syntax_cure(source: str, line: int) -> str:
    """What to write instead on a line that Jinja refuses, beginning with a separator; "" where no habit is known.

    >>> syntax_cure('Answer {{"label": "x"}}', 1)
    '; write JSON with single braces, {{ opens an expression'
    """
    lines = source.splitlines()
    text = lines[line - 1] if 0 < line <= len(lines) else source
    return next((f"; {cure}" for pattern, cure in _SYNTAX if re.search(pattern, text)), "")


def check_comments(source: str, template: str) -> None:
    """Refuse a comment amid the words of a line: what Jinja leaves out there was probably meant to be sent.

    Raises:
        TemplateError: with the line.
    """
    for found in _COMMENT.finditer(source):
        sides = (_TAGS.sub("", found[side]) for side in ("before", "after"))
        if all(_LETTER.search(side) for side in sides):
            raise TemplateError(
                f"{{#{found['comment']}#}} is a comment, which is not sent; put it on a line of its own, or write "
                "{{ '{#' }} where these characters are meant",
                template=template,
                line=source.count("\n", 0, found.start()) + 1,
            )


def check_literal_fields(ast: nodes.Template, template: str, fields: Collection[str], read: Collection[str]) -> None:
    """Refuse a field of the row that is written as other template languages do, and that nothing else shows.

    Args:
        ast: the template.
        template: its name.
        fields: the fields of the rows.
        read: the fields that the template reads as Jinja does.

    Raises:
        TemplateError: with the line, and how to write the field.
    """
    for line, text in _texts(ast):
        for field in fields:
            name = re.escape(field)
            pattern = (
                rf"\$\{{\s*(?:row\.)?{name}\s*\}}|(?<!\{{)\{{\s*(?:row\.)?{name}\s*\}}(?!\}})|\$(?:row\.)?{name}\b"
            )
            found = None if field in read else re.search(pattern, text)
            if found:
                raise TemplateError(
                    f"{found[0]} is sent as it is written; write {as_field(field)} for the row's value",
                    template=template,
                    line=line + text.count("\n", 0, found.start()),
                )


def check_shows_row(ast: nodes.Template, template: str, fields: Collection[str]) -> None:
    """Refuse a template that shows nothing of the row, so that the model would get the same prompt for every row.

    Raises:
        TemplateError: with how to write a field.
    """
    if not any(node.name in ("row", "nearest") for node in ast.find_all(nodes.Name)):
        shown = ", ".join(as_field(field) for field in list(fields)[:3])
        raise TemplateError(
            f"no field of the row is shown, so the model gets the same prompt for every row; write {shown}",
            template=template,
        )


def as_field(field: str) -> str:
    """A field of the row as a template shows it.

    >>> as_field("text"), as_field("full text")
    ('{{ row.text }}', '{{ row["full text"] }}')
    """
    return f"{{{{ row.{field} }}}}" if field.isidentifier() else f'{{{{ row["{field}"] }}}}'


def _texts(ast: nodes.Template) -> Iterator[tuple[int, str]]:
    """The line and the text of everything that is sent as it is written, options of choices included."""
    for node in ast.find_all((nodes.TemplateData, nodes.Const)):
        if isinstance(node, nodes.TemplateData):
            yield node.lineno, node.data
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            yield node.lineno, node.value
