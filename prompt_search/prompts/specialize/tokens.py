"""A template's source as segments (text and tags), and segments as source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jinja2 import nodes

from prompt_search.prompts.environment import FUNCTIONS, environment
from prompt_search.prompts.static_checks import choice_name

Token = tuple[str, str]
"""The kind and the source of a token, as the lexer gives them."""
CALL = "call"
"""The kind of a token that replaces a whole choice call; its value is ``function:name``."""
BY_ROW = "by row"
"""The kind of a token whose value is an expression that picks examples for the row."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a template's source: text, or one whole tag with its tokens, delimiters included.

    The kind is ``data`` for text, else ``variable`` or ``block``.
    """

    kind: str
    tokens: tuple[Token, ...]
    line: int | None = None

    @property
    def inner(self) -> list[Token]:
        """The tokens between the delimiters, without whitespace."""
        return [token for token in self.tokens[1:-1] if token[0] != "whitespace"]

    @property
    def keyword(self) -> str:
        """The first word of a block tag, such as ``if``; empty for other segments."""
        return self.inner[0][1] if self.kind == "block" and self.inner else ""

    @property
    def names(self) -> Iterator[str]:
        """Every name in a tag that can be the name of a variable."""
        previous = ""
        for kind, value in self.inner if self.kind != "data" else []:
            if kind == "name" and previous != ".":
                yield value
            previous = value

    @property
    def source(self) -> str:
        """The source between the delimiters."""
        return "".join(value for _, value in self.tokens[1:-1])

    @property
    def loop_parts(self) -> tuple[str, str, str]:
        """The parts of a ``for`` tag: its target, its iterable and its condition, which is empty without one.

        The first ``if`` outside all brackets begins the condition.
        """
        parts, depth, previous, words = [""], 0, "", ["for", "in", "if"]
        for kind, value in self.tokens[1:-1]:
            if kind == "operator":
                depth += (value in "([{") - (value in ")]}")
            if [value] == words[:1] and kind == "name" and depth == 0 and previous != ".":
                words.pop(0)
                parts.append("")
            else:
                parts[-1] += value
            previous = previous if kind == "whitespace" else value
        _, target, over, test = [*parts, ""][:4]
        return target, over, test

    def after(self, word: str) -> str:
        """The source of a tag after the first ``word``."""
        start = next((i for i, token in enumerate(self.tokens) if token[1] == word), len(self.tokens))
        return "".join(value for _, value in self.tokens[start + 1 : -1])

    def renamed(self, keyword: str) -> Segment:
        """The same ``if`` or ``elif`` tag with another keyword; as ``else`` it loses its condition."""
        start = next(i for i, token in enumerate(self.tokens) if token[1] == self.keyword)
        rest = self.tokens[start + 1 :] if keyword != "else" else (("whitespace", " "), self.tokens[-1])
        return Segment("block", (("block_begin", "{%"), ("whitespace", " "), ("name", keyword), *rest))


@dataclass(frozen=True, slots=True)
class IfOrFor:
    """An ``if`` or ``for`` block: its branches as pairs (tag, body) in order, and its end tag."""

    branches: tuple[tuple[Segment, Tree], ...]
    end: Segment


Tree = list[Segment | IfOrFor]
"""Segments in order, with the segments of an ``if`` or ``for`` block inside it."""


def segments(source: str) -> Tree:
    """The source as a tree of segments, with one token per choice call and without comments."""
    lexed = list(environment().lexer.tokeniter(source, None))
    tokens = [(kind, value) for _, kind, value in lexed]
    return _tree(iter(list(_grouped(_folded(tokens), [line for line, _, _ in lexed]))))[0]


def _grouped(tokens: Iterable[tuple[int, Token]], lines: Sequence[int]) -> Iterator[Segment]:
    """Tokens grouped to segments, each with the line of its first token."""
    current: list[Token] = []
    line = None
    for index, (kind, value) in tokens:
        line = line if current else lines[index]
        current.append((kind, value))
        opened = current[0][0]
        if opened == "data":
            yield Segment("data", tuple(current), line)
        elif kind == "raw_end":
            yield Segment("data", (("data", "".join(value for token, value in current if token == "data")),), line)
        elif kind.endswith("_end") and opened != "comment_begin":
            yield Segment(opened.removesuffix("_begin"), tuple(current), line)
        elif not kind.endswith("_end"):
            continue
        current = []


def _folded(tokens: list[Token]) -> Iterator[tuple[int, Token]]:
    """The tokens with their positions in the list, and one token in place of each choice call."""
    index = 0
    while index < len(tokens):
        end = _call_end(tokens, index)
        if end is None:
            yield index, tokens[index]
            index += 1
            continue
        yield index, (CALL, f"{tokens[index][1]}:{_name_in(tokens[index:end])}")
        if end < len(tokens) and tokens[end][0] == "name":  # flag("x")and …
            yield index, ("whitespace", " ")
        index = end


def _name_in(call: Sequence[Token]) -> str:
    """The name in the tokens of a choice call."""
    _, _, *inside = (value for kind, value in call if kind != "whitespace")
    name = inside[0][1:-1]
    if inside[0] in (f'"{name}"', f"'{name}'") and inside[1] in (",", ")") and "\\" not in name:  # nearly always
        return name
    parsed = environment().parse("{{ " + "".join(value for _, value in call) + " }}").find(nodes.Call)
    assert parsed is not None
    return choice_name(parsed)


def _call_end(tokens: list[Token], start: int) -> int | None:
    """The position after the choice call that begins at ``start``; None if none begins there."""
    if tokens[start][0] != "name" or tokens[start][1] not in FUNCTIONS:
        return None
    before = next((tokens[at] for at in range(start - 1, -1, -1) if tokens[at][0] != "whitespace"), ("", ""))
    index = start + 1
    while index < len(tokens) and tokens[index][0] == "whitespace":
        index += 1
    if before[1] in (".", "|") or index >= len(tokens) or tokens[index] != ("operator", "("):
        return None
    depth = 0
    for position in range(index, len(tokens)):
        if tokens[position][0] == "operator":
            depth += {"(": 1, ")": -1}.get(tokens[position][1], 0)
            if depth == 0:
                return position + 1
    return None


def _tree(segments: Iterator[Segment]) -> tuple[Tree, Segment | None]:
    """The segments up to the tag that ends or continues the surrounding block, and that tag."""
    found: Tree = []
    for segment in segments:
        if segment.keyword in ("elif", "else", "endif", "endfor"):
            return found, segment
        if segment.keyword not in ("if", "for"):
            found.append(segment)
            continue
        branches, tag = [], segment
        while not tag.keyword.startswith("end"):
            body, following = _tree(segments)
            branches.append((tag, body))
            assert following is not None
            tag = following
        found.append(IfOrFor(tuple(branches), tag))
    return found, None


def flat(tree: Tree) -> Iterator[Segment]:
    """All segments of a tree except end tags, in order."""
    for part in tree:
        if isinstance(part, Segment):
            yield part
        else:
            for tag, body in part.branches:
                yield tag
                yield from flat(body)


def source_of(segments: Iterable[Segment]) -> str:
    """Segments as source that Jinja reads back as the same segments.

    The lexer has already applied whitespace control to the text between tags, so the tags are written such that
    another reading changes nothing.
    """
    data, tags = [""], []
    for segment in segments:
        if segment.kind == "data":
            data[-1] += segment.tokens[0][1]
        else:
            tags.append(segment)
            data.append("")
    data = [re.sub(r"\{(?=[{%#]|\Z)", '{{ "{" }}', text) for text in data]
    data[0] = data[0].lstrip()
    text, at_line_start = data[0], True
    for tag, before, after in zip(tags, data, data[1:], strict=False):
        start = before.rfind("\n") + 1
        stripped = before[start:].isspace() and (start > 0 or at_line_start)
        written = _written_tag(tag, keep_before=stripped, keep_after=after.startswith("\n"))
        text += written + after
        at_line_start = written.endswith("\n")
    return text.rstrip()


def _written_tag(tag: Segment, keep_before: bool, keep_after: bool) -> str:
    """The source of a tag, with ``+`` where the lexer would otherwise strip whitespace that belongs to the text."""
    inside = f" {tag.source}" if tag.source.startswith(("-", "+")) else tag.source
    if tag.kind == "variable":
        return "{{" + inside + "}}"
    end = "%}\n" if "\n" in tag.tokens[-1][1] else "+%}" if keep_after else "%}"
    return ("{%+" if keep_before else "{%") + inside + end
