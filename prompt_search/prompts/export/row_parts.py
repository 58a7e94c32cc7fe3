"""What of a request comes from its row: the texts that stand where the prompt has expressions over the row."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prompt_search.prompts.export.outline import outline, pieces

_NEAREST = re.compile(r"\(\w+ of nearest example \d+\)")
"""What an outline has in place of an example that is picked by the row."""

_FIELD = re.compile(r"row(?:\.(\w+)|\[(['\"])(.*?)\2\])")


def row_parts(source: str, contents: Sequence[str]) -> dict[str, str]:
    """The row's values in a request, by the name of their field or else by their expression.

    It is empty where they cannot be told: the row decides what else the prompt holds, or the request is of another
    prompt.

    Args:
        source: the prompt's template.
        contents: the contents of the messages that were sent.

    >>> row_parts("Translate: {{ row.word }}!", ["Translate: cat!"])
    {'word': 'cat'}
    """
    messages = outline(source, "prompt")
    if len(messages) != len(contents):
        return {}
    found: dict[str, str] = {}
    for message, content in zip(messages, contents, strict=True):
        for expression, text in _matched(pieces(message.content), content):
            field = _FIELD.fullmatch(expression)
            found.setdefault(field[1] or field[3] if field else expression, text)
    return found


def _matched(parts: Sequence[str], content: str) -> list[tuple[str, str]]:
    """The texts of a content that stand for the expressions; nothing where its other texts differ."""
    texts, expressions = [parts[0]], []
    for expression, text in zip(parts[1::2], parts[2::2], strict=True):
        expressions.append(expression)
        texts.append(text)
    start, *rest = [(piece, place) for place, text in enumerate(texts) for piece in _NEAREST.split(text)]
    if not content.startswith(start[0]):
        return []
    at, found, before = len(start[0]), [], 0
    for number, (piece, place) in enumerate(rest, start=1):
        end = len(content) - len(piece) if number == len(rest) else content.find(piece, at)
        if end < at or not content.startswith(piece, end):
            return []
        if place != before:  # else it is an example
            found.append((expressions[place - 1], content[at:end]))
        at, before = end + len(piece), place
    return found
