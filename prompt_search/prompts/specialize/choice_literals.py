"""Choice calls of a template as the literals that one candidate has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prompt_search.errors import TemplateError
from prompt_search.prompts.choice_functions import ORDERS, Trace
from prompt_search.prompts.environment import literal
from prompt_search.prompts.few_shot import ExamplePool, jinja_list
from prompt_search.prompts.specialize.known_values import KnownValues
from prompt_search.prompts.specialize.parsed_template import ParsedTemplate
from prompt_search.prompts.specialize.tokens import BY_ROW, CALL, Segment, Token

_VALUES_IN_UNUSED_BRANCHES: Mapping[str, Any] = {"flag": False, "order": [], "examples": 0}
"""Values of calls in branches that the candidate does not take, by function; other functions have empty text."""


class ChoiceLiterals:
    """Replaces choice calls by literals, and shots by variables that are set at the top of the source.

    Args:
        template: the parsed template.
        reserved: names that a variable for shots must not have, besides those in the template.
        trace: a rendering of the candidate.
        pool: the examples that shots are taken from.
        known: gets the shots that are the same for every row.
    """

    def __init__(
        self,
        template: ParsedTemplate,
        reserved: Sequence[str],
        trace: Trace,
        pool: ExamplePool | None,
        known: KnownValues,
    ) -> None:
        self._template = template
        self._reserved = frozenset(reserved)
        self._trace = trace
        self._pool = pool
        self._known = known
        self._assignments: dict[str, str] = {}

    def in_segment(self, segment: Segment) -> Segment:
        """The segment with literals in place of choice calls."""
        if not any(kind == CALL for kind, _ in segment.tokens):
            return segment
        return Segment(segment.kind, tuple(map(self._token, segment.tokens)), segment.line)

    def assignments(self, body: str) -> list[str]:
        """The assignments of shots that the source ``body`` uses, each on lines of its own."""
        return [text for name, text in self._assignments.items() if re.search(rf"\b{name}\b", body)]

    def _token(self, token: Token) -> Token:
        kind, call = token
        if kind != CALL:
            return token
        function, name = call.split(":")
        if function == "examples":
            return self._shots(name)
        return "literal", literal(self._value(function, name), where=f"{function} {name!r}")

    def _value(self, function: str, name: str) -> Any:
        if name not in self._trace.factors:
            return _VALUES_IN_UNUSED_BRANCHES.get(function, "")
        value = self._trace.chosen(name)
        return list(value) if function == "order" else value

    def _shots(self, name: str) -> Token:
        """A variable that is set at the top; for ``nearest`` a call with the pool, which is set at the top."""
        count = int(self._value("examples", name))
        if not count:
            return "literal", "[]"
        if self._pool is None:
            raise TemplateError(
                f"{count} examples need rows to choose from; pass pool=",
                template=self._template.name,
                line=self._template.lines[name],
            )
        if self._trace.chosen(f"{name}.picker") != "nearest":
            variable = self._free_name(f"{name}_shown")
            shown = [dict(shot) for shot in self._trace.shown[name]]
            self._known.set(variable, shown)
            self._assignments[variable] = _assignment(variable, jinja_list(shown))
            return "name", variable
        variable = self._free_name(f"{name}_pool")
        self._assignments[variable] = _assignment(variable, self._pool.source)
        return BY_ROW, self._nearest_call(name, variable, count)

    def _nearest_call(self, name: str, variable: str, count: int) -> str:
        fields = self._template.row_fields or ()
        seen = ", ".join(f"{literal(field)}: row[{literal(field)}]" for field in fields)
        seen = f"{{{seen}}}" if fields else "row"
        reverse = self._trace.choices.get(f"{name}.order", ORDERS[0]) == "reversed"
        return f"nearest({variable}, {seen}, {count})" + ("[::-1]" if reverse else "")

    def _free_name(self, name: str) -> str:
        while name in self._template.names_used or name in self._reserved:
            name += "_"
        return name


def _assignment(variable: str, value: str) -> str:
    return f"{{% set {variable} = {value} %}}\n"
