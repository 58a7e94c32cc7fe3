"""What a template's syntax tree tells before anything is rendered: its choices, its fields, and that no choice
depends on the row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jinja2 import nodes

from prompt_search.errors import TemplateError
from prompt_search.prompts.environment import FUNCTIONS

RESERVED = frozenset(
    {
        "trial",
        "state",
        "score",
        "score_low",
        "score_high",
        "estimate",
        "rows",
        "search_rows",
        "prompt_tokens",
        "cost_usd",
    }
    | {"latency_s", "unparsed", "errors", "reason", "prompt", "row", "split", "answer", "model"}
)
"""Columns of the result tables: no choice is called so."""


def is_search_call(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in FUNCTIONS


def choice_lines(ast: nodes.Template, template: str) -> dict[str, int]:
    """Choice name to the first line that mentions it."""
    lines: dict[str, int] = {}
    callees = set()
    for call in ast.find_all(nodes.Call):
        if not is_search_call(call):
            continue
        assert isinstance(call.node, nodes.Name)
        callees.add(id(call.node))
        first = call.args[0] if call.args else next((k.value for k in call.kwargs if k.key == "name"), None)
        if not isinstance(first, nodes.Const) or not isinstance(first.value, str):
            raise TemplateError(
                f'{call.node.name}() takes its name as a literal string first: {call.node.name}("name", …)',
                template=template,
                line=call.lineno,
            )
        name = first.value
        if not re.fullmatch(r"[A-Za-z]\w*", name) or name in RESERVED:
            raise TemplateError(
                f"a choice's name is a word of letters, digits and underscores, and not a column of the "
                f"result tables; got {name!r}",
                template=template,
                line=call.lineno,
            )
        lines.setdefault(name, call.lineno)
    for node in ast.find_all(nodes.Name):
        if node.name in FUNCTIONS and id(node) not in callees:
            raise TemplateError(
                f'{node.name!r} is a choice function; call it: {node.name}("name", …)',
                template=template,
                line=node.lineno,
            )
    return lines


def refuse_other_files(ast: nodes.Template, template: str) -> None:
    for node in ast.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateError(
            "a template stands alone, without include, import or extends; copy the text into it",
            template=template,
            line=node.lineno,
        )


def optional_variables(ast: nodes.Template) -> set[str]:
    """Variables that the template asks about (``is defined``) or gives a default."""
    asking = [
        *(node for node in ast.find_all(nodes.Test) if node.name in ("defined", "undefined")),
        *(node for node in ast.find_all(nodes.Filter) if node.name in ("default", "d")),
    ]
    return {node.node.name for node in asking if isinstance(node.node, nodes.Name)}


def outside_chat(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    """Text that is not inside a chat block or a macro."""
    if isinstance(node, nodes.TemplateData):
        yield node
    elif not isinstance(node, (nodes.CallBlock, nodes.Macro)):
        for child in node.iter_child_nodes():
            yield from outside_chat(child)


def first_line(ast: nodes.Template, name: str) -> int | None:
    return next((node.lineno for node in ast.find_all(nodes.Name) if node.name == name), None)


def row_fields_used(ast: nodes.Template) -> Iterator[tuple[int, str, bool]]:
    """(line, field, whether written as an attribute) for every ``row.field`` and ``row["field"]``."""
    for node in ast.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name="row"), attr=name):
                yield node.lineno, name, True
            case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str(name))):
                yield node.lineno, name, False


def row_fields_only(ast: nodes.Template) -> tuple[str, ...] | None:
    """The fields that the template reads from the row, or None where it may read any."""
    reads = [node for node in ast.find_all(nodes.Name) if node.name == "row"]
    fields = sorted({name for _, name, _ in row_fields_used(ast)})
    return tuple(fields) if fields and len(reads) == sum(1 for _ in row_fields_used(ast)) else None


_ROW = "row"
_Sources = frozenset[str]
_NONE: _Sources = frozenset()


class Dependence:
    """What decides whether a choice is asked for, and with which options: the row, other choices, nothing.

    The space must be the same for every row, so a choice that depends on the row, or on the text of an
    example (which may be picked by the row), is refused. How many examples there are is not their text. The
    analysis follows names through assignments, loops, macros and call blocks until nothing changes; it takes
    every name as one variable and so errs on the side of refusing.

    Attributes:
        parents: the choices, and ``answer``, that decide about others; no other does.
    """

    def __init__(self, ast: nodes.Template, template: str) -> None:
        self.template = template
        self.parents: set[str] = set()
        self.macros = {node.name: node for node in ast.find_all(nodes.Macro)}
        self._carried: dict[tuple[str, str], _Sources] = {("value", "row"): frozenset({_ROW})}
        self._carry("value", "answer", frozenset({"answer"}))
        self._macro = ""
        self._refusing = False
        while self._grew(ast):
            pass
        self._refusing = True
        self._grew(ast)

    def _grew(self, ast: nodes.Template) -> bool:
        before = dict(self._carried)
        self._all(ast.body, _NONE)
        return before != self._carried

    def _carry(self, what: str, name: str, sources: _Sources) -> None:
        """``value``: of a variable; ``list``: of one that holds examples; ``calls``: around a macro's calls;
        ``caller``: around the uses of ``caller`` in a macro."""
        self._carried[what, name] = self._carried.get((what, name), _NONE) | sources

    def _of(self, what: str, name: str) -> _Sources:
        return self._carried.get((what, name), _NONE)

    # What an expression depends on

    def _value(self, node: nodes.Node | None) -> _Sources:
        """All that may show in a value; the text of examples counts as the row."""
        if node is None:
            return _NONE
        shots = self._shots(node)
        if shots is not None:
            return shots | {_ROW}
        match node:
            case nodes.Name():
                return self._of("value", node.name)
            case nodes.Filter(name="length" | "count"):
                return self._truth(node.node)
            case nodes.Not():
                return self._truth(node.node)
            case nodes.And():  # the left side is the value only where it is false
                return self._truth(node.left) | self._value(node.right)
            case nodes.CondExpr():
                return self._truth(node.test) | self._value(node.expr1) | self._value(node.expr2)
        own = frozenset({choice_name(node)}) if is_search_call(node) else _NONE
        return own.union(*map(self._value, node.iter_child_nodes()))

    def _truth(self, node: nodes.Node | None) -> _Sources:
        """What decides whether a value counts as true, or how long it is."""
        if node is None:
            return _NONE
        if isinstance(node, (nodes.And, nodes.Or)):
            return self._truth(node.left) | self._truth(node.right)
        shots = self._shots(node)
        return self._value(node) if shots is None else shots

    def _shots(self, node: nodes.Node | None) -> _Sources | None:
        """What a list of examples depends on besides the row; None for any other expression."""
        match node:
            case nodes.Name() if ("list", node.name) in self._carried:
                return self._of("list", node.name) | (self._of("value", node.name) - {_ROW})
            case nodes.Call(node=nodes.Name(name="examples")):
                return frozenset({choice_name(node)})
            case nodes.Filter(name="list" | "reverse"):
                return self._shots(node.node)
            case nodes.Getitem(arg=nodes.Slice()):
                shots = self._shots(node.node)
                return None if shots is None else shots | self._value(node.arg)
            case nodes.CondExpr():
                branches = [self._shots(b) for b in (node.expr1, node.expr2) if not _is_empty_list(b)]
                if branches and all(branch is not None for branch in branches):
                    return self._truth(node.test).union(*(branch or _NONE for branch in branches))
        return None

    # What surrounds a statement or an expression

    def _all(self, children: Iterable[nodes.Node | None], under: _Sources) -> None:
        for child in children:
            if child is not None:
                self._visit(child, under)

    def _visit(self, node: nodes.Node, under: _Sources) -> None:
        match node:
            case nodes.For():
                self._visit(node.iter, under)
                inside = under | self._truth(node.iter) | self._truth(node.test)
                self._assign(node.target, self._value(node.iter))
                self._all([*node.body, *node.else_, node.test], inside)
            case nodes.If():
                for branch in (node, *node.elif_):
                    self._visit(branch.test, under)
                    under |= self._truth(branch.test)
                    self._all(branch.body, under)
                self._all(node.else_, under)
            case nodes.CondExpr():
                self._visit(node.test, under)
                self._all([node.expr1, node.expr2], under | self._truth(node.test))
            case nodes.And() | nodes.Or():
                self._visit(node.left, under)
                self._visit(node.right, under | self._truth(node.left))
            case nodes.Compare():  # a < b < c stops at the first that is false
                self._visit(node.expr, under)
                self._all(node.ops, under | self._value(node.expr) if len(node.ops) > 1 else under)
            case nodes.Assign():
                self._visit(node.node, under)
                shots = self._shots(node.node)
                if shots is None or not isinstance(node.target, nodes.Name):
                    self._assign(node.target, under | self._value(node.node))
                else:
                    self._carry("list", node.target.name, under | shots)
            case nodes.AssignBlock():
                self._all(node.body, under)
                self._assign(node.target, under.union(*map(self._value, node.body)))
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._visit(value, under)
                    self._assign(target, under | self._value(value))
                self._all(node.body, under)
            case nodes.Macro():
                self._visit_macro(node, under)
            case nodes.CallBlock(call=nodes.Call(node=nodes.Name(name=name))) if name in self.macros:
                self._visit(node.call, under)
                for argument in node.args:
                    self._assign(argument, self._of("value", name))
                self._all(node.body, under | self._of("caller", name))
            case nodes.Call():
                self._visit_call(node, under)
            case nodes.Name() if node.name in self.macros and node.ctx == "load":
                self._pass(node.name, frozenset({_ROW}), frozenset({_ROW}))  # called from anywhere
            case _:
                self._all(node.iter_child_nodes(), under)

    def _assign(self, target: nodes.Node, sources: _Sources) -> None:
        for node in (target, *target.find_all((nodes.Name, nodes.NSRef))):
            if isinstance(node, (nodes.Name, nodes.NSRef)):
                self._carry("value", node.name, sources)

    def _visit_macro(self, node: nodes.Macro, under: _Sources) -> None:
        outer, self._macro = self._macro, node.name
        self._all(node.defaults, under)
        self._all(node.body, under | self._of("calls", node.name))
        self._macro = outer
        self._carry("value", node.name, under.union(*map(self._value, node.body)))

    def _visit_call(self, node: nodes.Call, under: _Sources) -> None:
        arguments = [*node.args, *(keyword.value for keyword in node.kwargs), node.dyn_args, node.dyn_kwargs]
        self._all(arguments, under)
        if is_search_call(node):
            self._asked(node, under.union(*map(self._value, arguments)))
        elif isinstance(node.node, nodes.Name) and node.node.name in self.macros:
            self._pass(node.node.name, under, _NONE.union(*map(self._value, arguments)))
        elif isinstance(node.node, nodes.Name) and node.node.name == "caller":
            self._carry("caller", self._macro, under)
        else:
            self._visit(node.node, under)

    def _pass(self, macro: str, under: _Sources, arguments: _Sources) -> None:
        self._carry("calls", macro, under)
        for name in [*(argument.name for argument in self.macros[macro].args), "varargs", "kwargs"]:
            self._carry("value", name, arguments)

    def _asked(self, node: nodes.Call, sources: _Sources) -> None:
        if _ROW in sources and self._refusing:
            raise TemplateError(
                "a choice must be the same for every row, but this one depends on the row (or on the text of "
                "an example); move it out of the condition or loop, or give every row the same options",
                template=self.template,
                line=node.lineno,
            )
        self.parents |= sources - {_ROW}
        if isinstance(node.node, nodes.Name) and node.node.name == "examples":
            self.parents.add(choice_name(node))  # the picker and the order exist only with shots


def _is_empty_list(node: nodes.Node | None) -> bool:
    return node is None or (isinstance(node, nodes.List) and not node.items)


def choice_name(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Call)
    first = node.args[0] if node.args else next(k.value for k in node.kwargs if k.key == "name")
    assert isinstance(first, nodes.Const)
    return str(first.value)
