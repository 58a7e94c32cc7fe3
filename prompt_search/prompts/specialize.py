"""Writing a template with its choices filled in: the prompt that is scored, and that ships."""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import meta, nodes

from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.choice_functions import ORDERS, Recorder
from prompt_search.prompts.environment import FUNCTIONS, environment, finalize, literal
from prompt_search.prompts.sandbox import spend
from prompt_search.prompts.static_checks import choice_name

if TYPE_CHECKING:
    from prompt_search.prompts.template import Template


_Token = tuple[str, str]
_CALL = "call"
"""The kind of a token that stands for a whole choice call; its value is ``function:name``."""
_BY_ROW = "by row"
"""The kind of a token that picks examples by the row."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of a template's source: data, or one whole tag with its tokens, delimiters included."""

    kind: str
    tokens: tuple[_Token, ...]
    line: int | None = None

    @property
    def inner(self) -> list[_Token]:
        """The tokens between the delimiters, without whitespace."""
        return [token for token in self.tokens[1:-1] if token[0] != "whitespace"]

    @property
    def keyword(self) -> str:
        return self.inner[0][1] if self.kind == "block" and self.inner else ""

    @property
    def names(self) -> Iterator[str]:
        """Every name in a tag that may be a variable's."""
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
        """The source of a ``for`` tag in parts: the names that it assigns, what it goes over, and the condition that
        an item has to meet, which is empty without one. An ``if`` outside all brackets begins the condition."""
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
        """The source of a tag behind the first ``word``."""
        start = next((i for i, token in enumerate(self.tokens) if token[1] == word), len(self.tokens))
        return "".join(value for _, value in self.tokens[start + 1 : -1])

    def renamed(self, keyword: str) -> _Segment:
        """The same ``if`` or ``elif`` with the other keyword, or an ``else``."""
        start = next(i for i, token in enumerate(self.tokens) if token[1] == self.keyword)
        rest = self.tokens[start + 1 :] if keyword != "else" else (("whitespace", " "), self.tokens[-1])
        return _Segment("block", (("block_begin", "{%"), ("whitespace", " "), ("name", keyword), *rest))


@dataclass(frozen=True, slots=True)
class _Block:
    """An ``if`` or ``for`` with its branches: (tag, body), in order."""

    branches: tuple[tuple[_Segment, list[_Segment | _Block]], ...]
    end: _Segment


Tree = list[_Segment | _Block]


def segments(source: str) -> Tree:
    """The source as a tree of segments, choice calls folded to one token each, comments left out."""
    lexed = list(environment().lexer.tokeniter(source, None))
    tokens = [(kind, value) for _, kind, value in lexed]
    return _tree(iter(list(_grouped(_folded(tokens), [line for line, _, _ in lexed]))))[0]


def _grouped(tokens: Iterable[tuple[int, _Token]], lines: Sequence[int]) -> Iterator[_Segment]:
    current: list[_Token] = []
    line = None
    for index, (kind, value) in tokens:
        line = line if current else lines[index]
        current.append((kind, value))
        opened = current[0][0]
        if opened == "data":
            yield _Segment("data", tuple(current), line)
        elif kind == "raw_end":
            yield _Segment("data", (("data", "".join(value for token, value in current if token == "data")),), line)
        elif kind.endswith("_end") and opened != "comment_begin":
            yield _Segment(opened.removesuffix("_begin"), tuple(current), line)
        elif not kind.endswith("_end"):
            continue
        current = []


def _folded(tokens: list[_Token]) -> Iterator[tuple[int, _Token]]:
    """The tokens, each with its place in the list, and one token for a whole choice call."""
    index = 0
    while index < len(tokens):
        end = _call_end(tokens, index)
        if end is None:
            yield index, tokens[index]
            index += 1
            continue
        text = "".join(value for _, value in tokens[index:end])
        call = environment().parse(f"{{{{ {text} }}}}").find(nodes.Call)
        assert call is not None
        yield index, (_CALL, f"{tokens[index][1]}:{choice_name(call)}")
        if end < len(tokens) and tokens[end][0] == "name":  # flag("x")and …
            yield index, ("whitespace", " ")
        index = end


def _call_end(tokens: list[_Token], start: int) -> int | None:
    """The position after a choice call that begins at ``start``, or None."""
    if tokens[start][0] != "name" or tokens[start][1] not in FUNCTIONS:
        return None
    before = next((t for t in reversed(tokens[:start]) if t[0] != "whitespace"), ("", ""))
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


def _tree(segments: Iterator[_Segment]) -> tuple[Tree, _Segment | None]:
    """Segments up to the tag that ends or continues the surrounding block, and that tag."""
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
        found.append(_Block(tuple(branches), tag))
    return found, None


_UNDECIDED = object()
_OPENING = frozenset({"if", "for", "macro", "chat", "call", "filter", "with", "block", "autoescape"})
_SCOPED = frozenset({"set", "macro", "call", "with", "block"})
"""Tags that give names values, or may be met once only: a loop around them stays a loop."""
_MOST_UNROLLED = 64
_PLACES = frozenset({"index", "index0", "length", "first", "last"})
"""What is known of ``loop`` in a loop that is written out."""
_ITERABLES = (list, tuple, dict, KeysView, ValuesView, ItemsView)
_PLAIN = (str, int, float, list, tuple, dict, type(None))


def _flat(tree: Tree) -> Iterator[_Segment]:
    for part in tree:
        if isinstance(part, _Segment):
            yield part
        else:
            for tag, body in part.branches:
                yield tag
                yield from _flat(body)


class _SomeShots:
    """Stands for examples picked by the row: that there are some is all that is known."""

    def __bool__(self) -> bool:
        return True

    def _unknown(self, *_: Any) -> Any:
        raise RuntimeError("only the row decides which")

    __iter__ = __getitem__ = __len__ = __eq__ = __str__ = __repr__ = _unknown
    __hash__ = None  # type: ignore[assignment]


@lru_cache(maxsize=4096)
def _expression(text: str) -> tuple[frozenset[str], Callable[..., Any]] | None:
    """The variables of an expression and the function that computes it; None where it is none."""
    try:
        names = meta.find_undeclared_variables(environment().parse(f"{{{{ {text} }}}}"))
        return frozenset(names), environment().compile_expression(text, undefined_to_none=False)
    except jinja2.TemplateSyntaxError:  # `for … in items recursive`
        return None


@lru_cache(maxsize=4096)
def _target(text: str) -> nodes.Node:
    """What a loop assigns its items to: a name, or several of them in a tuple."""
    loop = environment().parse(f"{{% for {text} in [] %}}{{% endfor %}}").find(nodes.For)
    assert loop is not None
    return loop.target


def _assigned(target: nodes.Node, item: Any) -> dict[str, Any] | None:
    """The names of a target with their values from an item; None where it cannot be taken apart so."""
    if isinstance(target, nodes.Name):
        return {target.name: item}
    parts = list(item) if isinstance(item, (str, *_ITERABLES)) else []
    if not isinstance(target, nodes.Tuple) or len(parts) != len(target.items):
        return None
    found: dict[str, Any] = {}
    for inner, part in zip(target.items, parts, strict=True):
        values = _assigned(inner, part)
        if values is None:
            return None
        found |= values
    return found


def _only_places(body: Tree) -> bool:
    """Whether a loop's body asks its ``loop`` for nothing but what `Filler._unroll` knows of it."""
    for segment in _flat(body):
        inner = [] if segment.kind == "data" else segment.inner
        for index, (kind, value) in enumerate(inner):
            if (kind, value) != ("name", "loop") or (index and inner[index - 1][1] == "."):
                continue
            after = [value for _, value in inner[index + 1 : index + 3]]
            if len(after) < 2 or after[0] != "." or after[1] not in _PLACES:
                return False
    return True


class Filler:
    """Writes a template with its choices filled in.

    Conditions and loops that hold only constants are resolved, assignments that nothing uses any more
    dropped. The lexer has already applied whitespace control to the data, so all is written such that reading
    it again changes nothing.
    """

    def __init__(self, template: Template, recorder: Recorder, answer: str) -> None:
        self.template = template
        self.recorder = recorder
        self.context = {"answer": answer, **template.context}
        stored = template._stored
        self.once = {name for name in stored if stored.count(name) == 1}
        self.known = {name: value for name, value in self.context.items() if name not in stored}
        self.pools: dict[str, str] = {}
        self.kept: list[_Segment] = []
        self.constants: dict[int, str] = {}
        self.depth = 0
        self.line: int | None = None

    def source(self) -> str:
        try:
            self._walk(self.template._segments)
        except TemplateError:
            raise
        except InputError as error:
            raise TemplateError(str(error), template=self.template.name, line=self.line) from None
        self._drop_unused()
        body = self._written()
        used = {name for segment in self.kept for name in segment.names}
        header = [f"{{% set {name} = {literal(value)} %}}\n" for name, value in self.context.items() if name in used]
        pools = [text for name, text in self.pools.items() if re.search(rf"\b{name}\b", body)]
        return "".join([*header, *pools, body])

    # Which segments stay

    def _walk(self, tree: Tree) -> None:
        for part in tree:
            if isinstance(part, _Segment):
                self._keep(self._filled(part))
            elif part.branches[0][0].keyword == "if":
                self._walk_if(part)
            else:
                self._walk_for(part)

    def _walk_if(self, block: _Block) -> None:
        opened = False
        for tag, body in block.branches:
            filled = self._filled(tag)
            holds = True if tag.keyword == "else" else self._constant(filled.after(tag.keyword))
            certain = holds is not _UNDECIDED
            if certain and not holds:
                continue
            if not certain:
                self._keep(filled.renamed("elif" if opened else "if"))
                opened = True
            elif opened:
                self._keep(filled.renamed("else"))
            self._walk(body)
            if certain:
                break
        if opened:
            self._keep(block.end)

    def _walk_for(self, block: _Block) -> None:
        (opening, body), *otherwise = block.branches
        loop = self._filled(opening)
        target = _target(loop.loop_parts[0])
        targets = [name.name for name in (target, *target.find_all(nodes.Name)) if isinstance(name, nodes.Name)]
        items = self._items(loop, targets)
        if items == []:
            self._walk(otherwise[0][1] if otherwise else [])
        elif not (items and len(items) <= _MOST_UNROLLED and self._unroll(target, targets, items, body)):
            self._keep(loop)
            with self._knowing(dict.fromkeys([*targets, "loop"], _UNDECIDED)):
                self._walk(body)
            for tag, instead in otherwise:
                self._keep(tag)
                self._walk(instead)
            self._keep(block.end)

    def _items(self, loop: _Segment, targets: list[str]) -> list[Any] | None:
        """What a loop goes over; None where that is not constant, or the loop has a condition that is not met always.

        A condition that names an item is about the item, also where something outside has the same name.
        """
        _, over, test = loop.loop_parts
        if test:
            parsed = _expression(test)
            holds = None if parsed is None or parsed[0] & {*targets, "loop"} else self._constant(test)
            if holds is _UNDECIDED or not holds:
                return None
        items = self._constant(over)
        return list(items) if isinstance(items, _ITERABLES) else None

    def _unroll(self, target: nodes.Node, targets: list[str], items: list[Any], body: Tree) -> bool:
        """Write a loop over constants out; False, and nothing written, where the body needs the loop."""
        if any(segment.keyword in _SCOPED for segment in _flat(body)) or not _only_places(body):
            return False
        assigned = [_assigned(target, item) for item in items]
        if None in assigned:  # the loop stays in the source, so that a rendering that gets there tells
            return False
        start = len(self.kept)
        for index, values in enumerate(assigned):
            place = {"index": index + 1, "index0": index, "length": len(items)}
            ends = {"first": index == 0, "last": index == len(items) - 1}
            with self._knowing({**(values or {}), "loop": {**place, **ends}}):
                self._walk(body)
        if any(name in (*targets, "loop") for segment in self.kept[start:] for name in segment.names):
            del self.kept[start:]
            return False
        return True

    @contextmanager
    def _knowing(self, values: Mapping[str, Any]) -> Iterator[None]:
        """For a while, some names have these values; ``_UNDECIDED`` for none."""
        before = self.known
        self.known = {k: v for k, v in {**before, **values}.items() if v is not _UNDECIDED}
        yield
        self.known = before

    def _keep(self, segment: _Segment) -> None:
        self.kept.append(segment)
        if segment.keyword.startswith("end"):
            self.depth -= 1
            if segment.keyword == "endset" and self.depth == 0:
                self._fold_block()
        elif segment.keyword in _OPENING:
            self.depth += 1
        elif segment.keyword == "set":
            self._learn(segment)

    def _learn(self, segment: _Segment) -> None:
        """Remember the constant that a ``set`` outside all blocks gives to a name, if it is the only one."""
        _, (_, name), *rest = segment.inner
        if not rest or rest[0][1] == "|":
            self.depth += 1  # the form with endset
        elif self.depth == 0 and name in self.once and rest[0][1] == "=":
            by_row = rest[1][0] == _BY_ROW and len(rest) == 2
            value = _SomeShots() if by_row else self._constant(segment.after("="))
            if isinstance(value, (*_PLAIN, _SomeShots)):  # a namespace can change
                self.known[name] = value
                self.constants[id(segment)] = name

    def _fold_block(self) -> None:
        """Write ``{% set name %}text{% endset %}`` as an assignment, if it holds nothing but text."""
        start = max(index for index, segment in enumerate(self.kept) if segment.keyword == "set")
        opening, inside = self.kept[start], self.kept[start + 1 : -1]
        name = opening.inner[1][1]
        if name not in self.once or any(segment.kind != "data" for segment in inside):
            return
        text = self._constant(literal("".join(segment.tokens[0][1] for segment in inside)) + opening.after(name))
        if not isinstance(text, str):
            return
        value = (("whitespace", " "), ("operator", "="), ("whitespace", " "), ("literal", literal(text)))
        end = (("whitespace", " "), self.kept[-1].tokens[-1])
        start_tokens = (opening.tokens[0], ("whitespace", " "), *opening.inner[:1], ("whitespace", " "))
        folded = _Segment("block", (*start_tokens, ("name", name), *value, *end))
        self.known[name] = text
        self.constants[id(folded)] = name
        self.kept[start:] = [folded]

    def _drop_unused(self) -> None:
        """Leave out the assignments of constants that nothing names."""
        while True:
            used = {name for s in self.kept for name in s.names if self.constants.get(id(s)) != name}
            kept = [s for s in self.kept if id(s) not in self.constants or self.constants[id(s)] in used]
            if len(kept) == len(self.kept):
                return
            self.kept = kept

    def _constant(self, expression: str) -> Any:
        """The value of an expression over known values, or ``_UNDECIDED``."""
        parsed = _expression(expression)
        if parsed is None or not parsed[0] <= self.known.keys():
            return _UNDECIDED
        try:
            value = parsed[1](**{name: self.known[name] for name in parsed[0]})
        except Exception:  # stays in the source, so that a rendering that gets there tells
            return _UNDECIDED
        return _UNDECIDED if isinstance(value, jinja2.Undefined) else value

    # Choice calls as literals

    def _filled(self, segment: _Segment) -> _Segment:
        """A segment with literals for choice calls, and as text where it is constant."""
        self.line = segment.line
        spend(10)  # loops within loops are written out
        if any(kind == _CALL for kind, _ in segment.tokens):
            segment = _Segment(segment.kind, tuple(map(self._token, segment.tokens)), segment.line)
        if segment.kind != "variable":
            return segment
        value = self._constant(segment.source)
        if value is _UNDECIDED or not isinstance(value, _PLAIN):
            return segment
        try:
            text = str(finalize(value))
        except Exception:  # stays in the source, so that a rendering that gets there tells
            return segment
        if not re.search(r"[\x00-\x08\x0b-\x1f]|\{[{%#]|\{\Z", text):
            return _Segment("data", (("data", text),))
        return _Segment(
            "variable", (("variable_begin", "{{"), ("literal", f" {literal(text)} "), ("variable_end", "}}"))
        )

    def _token(self, token: _Token) -> _Token:
        kind, call = token
        if kind != _CALL:
            return token
        return self._shots(call) if call.startswith("examples:") else ("literal", self._literal(call))

    def _literal(self, call: str) -> str:
        function, name = call.split(":")
        return literal(self._value(call), where=f"{function} {name!r}")

    def _value(self, call: str) -> Any:
        function, name = call.split(":")
        factor = self.recorder.factors.get(name)
        if factor is None:  # inside a branch that this candidate never takes
            return {"flag": False, "order": [], "examples": 0}.get(function, "")
        value = factor.options[factor.position(self.recorder.choices.get(name, factor.options[0]))]
        return list(value) if function == "order" else value

    def _shots(self, call: str) -> _Token:
        """The shots as a variable set at the top; for ``nearest`` the call on the pool."""
        name, count, pool = call.split(":")[1], int(self._value(call)), self.recorder.pool
        if not count:
            return "literal", "[]"
        if pool is None:
            raise TemplateError(
                f"{count} examples need rows to be taken from; pass pool=",
                template=self.template.name,
                line=self.template.lines[name],
            )
        factor = self.recorder.factors[f"{name}.picker"]
        if self.recorder.choices.get(factor.name, factor.options[0]) != "nearest":
            variable = self._free_name(f"{name}_shown")
            shown = [dict(shot) for shot in self.recorder.shown[name]]
            self.known[variable] = shown
            self.pools[variable] = list_at_top(variable, shown)
            return "name", variable
        variable = self._free_name(f"{name}_pool")
        self.pools[variable] = self.template._pool_text(variable, pool)
        fields = self.template.row_fields or ()
        seen = ", ".join(f"{literal(field)}: row[{literal(field)}]" for field in fields)
        seen = f"{{{seen}}}" if fields else "row"
        reverse = self.recorder.choices.get(f"{name}.order", ORDERS[0]) == "reversed"
        return _BY_ROW, f"nearest({variable}, {seen}, {count})" + ("[::-1]" if reverse else "")

    def _free_name(self, name: str) -> str:
        while name in self.template._names_used or name in self.context:
            name += "_"
        return name

    # Source text

    def _written(self) -> str:
        data, tags = [""], []
        for segment in self.kept:
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


def _written_tag(tag: _Segment, keep_before: bool, keep_after: bool) -> str:
    """A tag, with ``+`` where the lexer would otherwise take whitespace that belongs to the text."""
    inside = f" {tag.source}" if tag.source.startswith(("-", "+")) else tag.source
    if tag.kind == "variable":
        return "{{" + inside + "}}"
    end = "%}\n" if "\n" in tag.tokens[-1][1] else "+%}" if keep_after else "%}"
    return ("{%+" if keep_before else "{%") + inside + end


def list_at_top(variable: str, items: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(f"  {literal(dict(item))},\n" for item in items)
    return f"{{% set {variable} = [\n{lines}] %}}\n"


def stored_names(ast: nodes.Template) -> list[str]:
    """Every name that the template gives a value, as often as it does."""
    variables = [node.name for node in ast.find_all(nodes.Name) if node.ctx != "load"]
    return variables + [macro.name for macro in ast.find_all(nodes.Macro)]
