"""Habits from other template languages, which Jinja refuses in words that do not help, or does not refuse at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from jinja2 import nodes

from prompt_search.errors import TemplateError

_SYNTAX: Final = (
    (r"\{\{\s*[\"'][^\"'{}\n]*[\"']\s*:", "write JSON with single braces, {{ opens an expression"),
    (r"\{\{\{", "write {{ row.FIELD }} with two braces"),
    (r"\{\{\s*#\s*(?:if|unless|each|with)\b", "write {% if … %} … {% endif %} or {% for … %} … {% endfor %}"),
    (r"\{\{\s*/\s*\w+", "write {% endif %} or {% endfor %}"),
    (r"\{\{\s*[>^#&!]", "this is Mustache; a template is Jinja: {{ row.FIELD }}, {% if … %}, {% for … %}"),
    (r"\{\{\s*\$", "write {{ row.FIELD }} for a field of the row"),
    (r"\{[{%][^}%]*[\u201c\u201d\u201e\u2018\u2019]", "use straight quotes in tags: \" or '"),
)
"""Patterns of what Jinja refuses, each with the cure."""

_COMMENT = re.compile(r"^(?P<before>.*)\{#(?![-+])(?P<comment>.*?)#\}(?P<after>.*)$", re.MULTILINE)
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}")
_SHOWN = re.compile(r"\s*\{\{[-+]?\s*row\b")
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
    """Refuse a comment amid the words of a line, or before a field of the row: what Jinja leaves out there was probably
    meant to be sent.

    Raises:
        TemplateError: with the line.
    """
    for found in _COMMENT.finditer(source):
        before, after = (_TAGS.sub("", found[side]) for side in ("before", "after"))
        leads = not found["before"].strip() and _SHOWN.match(found["after"])
        if leads or (_LETTER.search(before) and _LETTER.search(after)):
            raise TemplateError(
                f"{{#{found['comment']}#}} is a comment, which is not sent; put it on a line of its own, or write "
                "{{ '{#' }} where these characters are meant",
                template=template,
                line=source.count("\n", 0, found.start()) + 1,
            )


def check_literal_fields(
    ast: nodes.Template, template: str, fields: Collection[str], read: Collection[str], *, exported: bool = False
) -> None:
    """Refuse a field of the row that is written as other template languages do, or as Jinja inside of an option, and
    the whole row.

    Args:
        ast: the template.
        template: its name.
        fields: the fields of the rows.
        read: the fields that the template reads as Jinja does.
        exported: whether the prompt may hold texts of rows, so that only fields that it does not read are looked for.

    Raises:
        TemplateError: with the line, and how to write the field.
    """
    for output in ast.find_all(nodes.Output):
        if any(isinstance(part, nodes.Name) and part.name == "row" for part in output.nodes):
            raise TemplateError(
                f"{{{{ row }}}} is the whole row, not text; write {_some(fields)}",
                template=template,
                line=output.lineno,
            )
    for line, text, is_option in _texts(ast):
        found = None if exported or not is_option else _expression_in(text, fields)
        if found:
            raise TemplateError(
                f"an option is sent as it is written, {found[0]} too; show the field outside of the choice",
                template=template,
                line=line + text.count("\n", 0, found.start()),
            )
        for field in fields:
            found = None if exported and field in read else _literal_field(text, field, dollar=field not in read)
            if found:
                escaped = f", or {{{{ '{{' }}}}{found[0][1:]} for these characters" if field in read else ""
                raise TemplateError(
                    f"{found[0]} is sent as it is written; write {as_field(field)} for the row's value{escaped}",
                    template=template,
                    line=line + text.count("\n", 0, found.start()),
                )


def check_option_texts(texts: Iterable[str], template: str, fields: Collection[str]) -> None:
    """Refuse a text of the context that holds a field of the row: options from there are sent as they are written.

    Raises:
        TemplateError: with the field.
    """
    for text in texts:
        found = _expression_in(text, fields)
        if found:
            raise TemplateError(
                f"a text of context= is sent as it is written, {found[0]} too; show the field in the template itself",
                template=template,
            )


def texts_in(value: object) -> Iterator[str]:
    """All texts in a value of lists and dictionaries."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts_in([*value.values()])
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts_in(each)


def _expression_in(text: str, fields: Collection[str]) -> re.Match[str] | None:
    """A field of the row as Jinja, Mustache or n8n show it."""
    names = "|".join(map(re.escape, fields))
    return re.search(
        rf"\{{\{{[^{{}}]*\brow\s*[.\[][^{{}}]*\}}\}}|\{{%[^%]*\brow\b[^%]*%\}}|\{{\{{+\s*(?:\$json\.)?(?:{names})\s*\}}\}}",
        text,
    )


def _literal_field(text: str, field: str, *, dollar: bool) -> re.Match[str] | None:
    """A field as Python's format strings and shells show it."""
    name = re.escape(field)
    pattern = rf"\$\{{\s*(?:row\.)?{name}\s*\}}|(?<!\{{)\{{\s*(?:row\.)?{name}\s*\}}(?!\}})"
    return re.search(rf"{pattern}|\$(?:row\.)?{name}\b" if dollar else pattern, text)


def check_shows_row(ast: nodes.Template, template: str, fields: Collection[str]) -> None:
    """Refuse a template that shows nothing of the row, so that the model would get the same prompt for every row.

    Raises:
        TemplateError: with how to write a field.
    """
    if not any(node.name in ("row", "nearest") for node in ast.find_all(nodes.Name)):
        raise TemplateError(
            f"no field of the row is shown, so the model gets the same prompt for every row; write {_some(fields)}",
            template=template,
        )


def as_field(field: str) -> str:
    """A field of the row as a template shows it.

    >>> as_field("text"), as_field("full text")
    ('{{ row.text }}', '{{ row["full text"] }}')
    """
    return f"{{{{ row.{field} }}}}" if field.isidentifier() else f'{{{{ row["{field}"] }}}}'


def _some(fields: Collection[str]) -> str:
    """The first fields as a template shows them."""
    return ", ".join(as_field(field) for field in list(fields)[:3])


def _texts(ast: nodes.Template) -> Iterator[tuple[int, str, bool]]:
    """The line and the text of everything that is sent as it is written, and whether it is a literal, such as an
    option."""
    for node in ast.find_all((nodes.TemplateData, nodes.Const)):
        if isinstance(node, nodes.TemplateData):
            yield node.lineno, node.data, False
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            yield node.lineno, node.value, True
