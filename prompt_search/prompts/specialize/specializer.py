"""Partial evaluation of a template: what a candidate's choices decide is decided, the rest stays Jinja."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jinja2 import nodes

from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.choice_functions import Trace
from prompt_search.prompts.environment import literal
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.prompt_runtime import finalize
from prompt_search.prompts.sandbox.steps import spend
from prompt_search.prompts.specialize.choice_literals import ChoiceLiterals
from prompt_search.prompts.specialize.known_values import (
    ITERABLES,
    UNKNOWN,
    KnownValues,
    NearestShots,
    assigned,
    loop_target,
    parsed_expression,
    target_names,
)
from prompt_search.prompts.specialize.parsed_template import ParsedTemplate
from prompt_search.prompts.specialize.tokens import BY_ROW, IfOrFor, Segment, Tree, flat, source_of

MOST_UNROLLED = 64
"""Largest number of items of a loop that is written out."""
STEPS_A_SEGMENT = 10
"""Number of steps that each segment costs, because loops within loops are written out."""

_BLOCK_TAGS = frozenset({"if", "for", "macro", "chat", "call", "filter", "with", "block", "autoescape"})
"""Tags with an end tag, except ``set``, which may have none."""
_SCOPED = frozenset({"set", "macro", "call", "with", "block"})
"""Tags that assign names, or may occur only once: a loop around them stays a loop."""
_LOOP_VALUES = frozenset({"index", "index0", "length", "first", "last"})
"""Attributes of ``loop`` that are known in a loop that is written out."""
_CONSTANTS = (str, int, float, list, tuple, dict, type(None))
"""Types of values that stay as they are; a namespace can change."""


class Specializer:
    """Writes a template with the choices of one candidate filled in.

    Conditions and loops over known values are resolved, and assignments that nothing uses any more are dropped.

    Args:
        template: the parsed template.
        context: the values of the template's other variables, ``answer`` among them.
        trace: a rendering of the candidate.
        pool: the examples that shots are taken from.
    """

    def __init__(
        self, template: ParsedTemplate, context: Mapping[str, Any], trace: Trace, pool: ExamplePool | None
    ) -> None:
        self._template = template
        self._context = context
        stored = Counter(template.stored_names)
        self._assigned_once = {name for name, times in stored.items() if times == 1}
        self._known = KnownValues({name: value for name, value in context.items() if name not in stored})
        self._literals = ChoiceLiterals(template, tuple(context), trace, pool, self._known)
        self._kept: list[Segment] = []
        self._assignments: dict[int, str] = {}
        self._depth = 0
        self._line: int | None = None

    def source(self) -> str:
        """The specialized source, with the shots and the context that it uses set at the top.

        Raises:
            TemplateError: an option cannot be written, shots have no pool, or the source becomes too long.
        """
        try:
            self._walk(self._template.tree)
        except TemplateError:
            raise
        except InputError as error:
            raise TemplateError(str(error), template=self._template.name, line=self._line) from None
        self._drop_unused_assignments()
        body = source_of(self._kept)
        used = {name for segment in self._kept for name in segment.names}
        header = [f"{{% set {name} = {literal(value)} %}}\n" for name, value in self._context.items() if name in used]
        return "".join([*header, *self._literals.assignments(body), body])

    def _walk(self, tree: Tree) -> None:
        """Keep what the candidate needs of a tree."""
        for part in tree:
            if isinstance(part, Segment):
                self._keep(self._specialized(part))
            elif part.branches[0][0].keyword == "if":
                self._walk_if(part)
            else:
                self._walk_for(part)

    def _walk_if(self, block: IfOrFor) -> None:
        opened = False
        for tag, body in block.branches:
            specialized = self._specialized(tag)
            holds = True if tag.keyword == "else" else self._known.value(specialized.after(tag.keyword))
            certain = holds is not UNKNOWN
            if certain and not holds:
                continue
            if not certain:
                self._keep(specialized.renamed("elif" if opened else "if"))
                opened = True
            elif opened:
                self._keep(specialized.renamed("else"))
            self._walk(body)
            if certain:
                break
        if opened:
            self._keep(block.end)

    def _walk_for(self, block: IfOrFor) -> None:
        (opening, body), *otherwise = block.branches
        loop = self._specialized(opening)
        target = loop_target(loop.loop_parts[0])
        names = target_names(target)
        items = self._items(loop, names)
        if items == []:
            self._walk(otherwise[0][1] if otherwise else [])
        elif not (items and len(items) <= MOST_UNROLLED and self._unroll(target, items, body)):
            self._keep(loop)
            with self._known.within(dict.fromkeys([*names, "loop"], UNKNOWN)):
                self._walk(body)
            for tag, instead in otherwise:
                self._keep(tag)
                self._walk(instead)
            self._keep(block.end)

    def _items(self, loop: Segment, names: list[str]) -> list[Any] | None:
        """The items of a loop; None if they are unknown, or the loop has a condition that may not hold for all.

        A condition with a name of the loop's target is about the item, also if a known value has the same name.
        """
        _, over, test = loop.loop_parts
        if test:
            parsed = parsed_expression(test)
            holds = None if parsed is None or parsed[0] & {*names, "loop"} else self._known.value(test)
            if holds is UNKNOWN or not holds:
                return None
        items = self._known.value(over)
        return list(items) if isinstance(items, ITERABLES) else None

    def _unroll(self, target: nodes.Node, items: list[Any], body: Tree) -> bool:
        """Keep the body once per item; False, and nothing kept, if the body needs the loop."""
        if any(segment.keyword in _SCOPED for segment in flat(body)) or not _uses_known_loop_values(body):
            return False
        item_values = [assigned(target, item) for item in items]
        if None in item_values:  # The loop stays in the source, and a rendering that reaches it raises the error.
            return False
        start = len(self._kept)
        for index, values in enumerate(item_values):
            place = {"index": index + 1, "index0": index, "length": len(items)}
            ends = {"first": index == 0, "last": index == len(items) - 1}
            with self._known.within({**(values or {}), "loop": {**place, **ends}}):
                self._walk(body)
        if any(name in (*target_names(target), "loop") for segment in self._kept[start:] for name in segment.names):
            del self._kept[start:]
            return False
        return True

    def _keep(self, segment: Segment) -> None:
        self._kept.append(segment)
        if segment.keyword.startswith("end"):
            self._depth -= 1
            if segment.keyword == "endset" and self._depth == 0:
                self._join_set_block()
        elif segment.keyword in _BLOCK_TAGS:
            self._depth += 1
        elif segment.keyword == "set":
            self._record_assignment(segment)

    def _record_assignment(self, segment: Segment) -> None:
        """Record the value of a ``set`` outside all blocks, if it is known and the only value that the name gets."""
        _, (_, name), *rest = segment.inner
        if not rest or rest[0][1] == "|":
            self._depth += 1  # the form with endset
        elif self._depth == 0 and name in self._assigned_once and rest[0][1] == "=":
            by_row = rest[1][0] == BY_ROW and len(rest) == 2
            value = NearestShots() if by_row else self._known.value(segment.after("="))
            if isinstance(value, (*_CONSTANTS, NearestShots)):
                self._known.set(name, value)
                self._assignments[id(segment)] = name

    def _join_set_block(self) -> None:
        """Replace a kept ``{% set name %}text{% endset %}`` by an assignment, if it holds nothing but text."""
        start = max(index for index, segment in enumerate(self._kept) if segment.keyword == "set")
        opening, inside = self._kept[start], self._kept[start + 1 : -1]
        name = opening.inner[1][1]
        if name not in self._assigned_once or any(segment.kind != "data" for segment in inside):
            return
        text = self._known.value(literal("".join(segment.tokens[0][1] for segment in inside)) + opening.after(name))
        if not isinstance(text, str):
            return
        value = (("whitespace", " "), ("operator", "="), ("whitespace", " "), ("literal", literal(text)))
        end = (("whitespace", " "), self._kept[-1].tokens[-1])
        start_tokens = (opening.tokens[0], ("whitespace", " "), *opening.inner[:1], ("whitespace", " "))
        joined = Segment("block", (*start_tokens, ("name", name), *value, *end))
        self._known.set(name, text)
        self._assignments[id(joined)] = name
        self._kept[start:] = [joined]

    def _drop_unused_assignments(self) -> None:
        """Drop the assignments of known values to names that no other segment uses."""
        while True:
            used = {name for s in self._kept for name in s.names if self._assignments.get(id(s)) != name}
            kept = [s for s in self._kept if id(s) not in self._assignments or self._assignments[id(s)] in used]
            if len(kept) == len(self._kept):
                return
            self._kept = kept

    def _specialized(self, segment: Segment) -> Segment:
        """The segment with literals in place of choice calls, and as text if its value is known."""
        self._line = segment.line
        spend(STEPS_A_SEGMENT)
        segment = self._literals.in_segment(segment)
        if segment.kind != "variable":
            return segment
        value = self._known.value(segment.source)
        if value is UNKNOWN or not isinstance(value, _CONSTANTS):
            return segment
        try:
            text = str(finalize(value))
        except Exception:  # The expression stays in the source, and a rendering that reaches it raises the error.
            return segment
        if not re.search(r"[\x00-\x08\x0b-\x1f]|\{[{%#]|\{\Z", text):
            return Segment("data", (("data", text),))
        return Segment(
            "variable", (("variable_begin", "{{"), ("literal", f" {literal(text)} "), ("variable_end", "}}"))
        )


def _uses_known_loop_values(body: Tree) -> bool:
    """Whether a loop's body uses no other attribute of ``loop`` than `_LOOP_VALUES`, and not ``loop`` itself."""
    for segment in flat(body):
        inner = [] if segment.kind == "data" else segment.inner
        for index, (kind, value) in enumerate(inner):
            if (kind, value) != ("name", "loop") or (index and inner[index - 1][1] == "."):
                continue
            after = [value for _, value in inner[index + 1 : index + 3]]
            if len(after) < 2 or after[0] != "." or after[1] not in _LOOP_VALUES:
                return False
    return True
