"""The static check that no choice of a template depends on the row."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import nodes

from prompt_search.errors import TemplateError
from prompt_search.prompts.sandbox.syntax_tree import find_all
from prompt_search.prompts.static_checks import choice_name, is_search_call

_ROW = "row"
_Sources = frozenset[str]
"""The names of choices, ``answer``, and ``row`` for the row."""
_NONE: _Sources = frozenset()


class RowDependence:
    """What decides whether a choice exists, and with which options: the row, other choices, or nothing.

    The space must be the same for every row. Therefore a choice is refused that depends on the row, or on the text of
    an example, which the row may pick. (The number of examples is not part of their text.) The analysis follows names
    through assignments, loops, macros and call blocks until nothing changes. It treats every name as one variable, so
    it may refuse a choice that does not depend on the row, but accepts none that does.

    Attributes:
        parents: the choices, and ``answer``, that may decide whether other choices exist.

    Raises:
        TemplateError: a choice depends on the row; the message has its line.
    """

    def __init__(self, ast: nodes.Template, template: str) -> None:
        self._template = template
        self.parents: set[str] = set()
        self._macros = {node.name: node for node in find_all(ast, nodes.Macro)}
        self._known: dict[tuple[str, str], _Sources] = {("value", "row"): frozenset({_ROW})}
        self._add("value", "answer", frozenset({"answer"}))
        self._macro = ""
        self._refusing = False  # The first visits only collect sources.
        while self._grows_by_visit(ast):
            pass
        self._refusing = True
        self._grows_by_visit(ast)

    def _grows_by_visit(self, ast: nodes.Template) -> bool:
        """Visit the whole template once; whether the visit found sources that were not known."""
        before = dict(self._known)
        self._visit_all(ast.body, _NONE)
        return before != self._known

    def _add(self, what: str, name: str, sources: _Sources) -> None:
        """Add sources of a name.

        ``what`` is ``value`` for the value of a variable, ``list`` for a variable that holds examples, ``calls`` for
        the conditions around the calls of a macro, ``caller`` for those around the uses of ``caller`` in a macro.
        """
        self._known[what, name] = self._known.get((what, name), _NONE) | sources

    def _of(self, what: str, name: str) -> _Sources:
        return self._known.get((what, name), _NONE)

    def _value(self, node: nodes.Node | None) -> _Sources:
        """The sources of everything that may show in a value; the text of examples counts as the row."""
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
            case nodes.And():  # the left side is the value only if it is false
                return self._truth(node.left) | self._value(node.right)
            case nodes.CondExpr():
                return self._truth(node.test) | self._value(node.expr1) | self._value(node.expr2)
        own = frozenset({choice_name(node)}) if is_search_call(node) else _NONE
        return own.union(*map(self._value, node.iter_child_nodes()))

    def _truth(self, node: nodes.Node | None) -> _Sources:
        """The sources that decide whether a value counts as true, or how long it is."""
        if node is None:
            return _NONE
        if isinstance(node, (nodes.And, nodes.Or)):
            return self._truth(node.left) | self._truth(node.right)
        shots = self._shots(node)
        return self._value(node) if shots is None else shots

    def _shots(self, node: nodes.Node | None) -> _Sources | None:
        """The sources, besides the row, of a list of examples; None for any other expression."""
        match node:
            case nodes.Name() if ("list", node.name) in self._known:
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

    def _visit_all(self, children: Iterable[nodes.Node | None], under: _Sources) -> None:
        for child in children:
            if child is not None:
                self._visit(child, under)

    def _visit(self, node: nodes.Node, under: _Sources) -> None:
        """Visit a node that is reached only under conditions that depend on ``under``."""
        match node:
            case nodes.For():
                self._visit(node.iter, under)
                inside = under | self._truth(node.iter) | self._truth(node.test)
                self._assign(node.target, self._value(node.iter))
                self._visit_all([*node.body, *node.else_, node.test], inside)
            case nodes.If():
                for branch in (node, *node.elif_):
                    self._visit(branch.test, under)
                    under |= self._truth(branch.test)
                    self._visit_all(branch.body, under)
                self._visit_all(node.else_, under)
            case nodes.Assign():
                self._visit(node.node, under)
                shots = self._shots(node.node)
                if shots is None or not isinstance(node.target, nodes.Name):
                    self._assign(node.target, under | self._value(node.node))
                else:
                    self._add("list", node.target.name, under | shots)
            case nodes.AssignBlock():
                self._visit_all(node.body, under)
                self._assign(node.target, under.union(*map(self._value, node.body)))
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._visit(value, under)
                    self._assign(target, under | self._value(value))
                self._visit_all(node.body, under)
            case nodes.Macro():
                self._visit_macro(node, under)
            case nodes.CallBlock(call=nodes.Call(node=nodes.Name(name=name))) if name in self._macros:
                self._visit(node.call, under)
                for argument in node.args:
                    self._assign(argument, self._of("value", name))
                self._visit_all(node.body, under | self._of("caller", name))
            case _:
                self._visit_expression(node, under)

    def _visit_expression(self, node: nodes.Node, under: _Sources) -> None:
        match node:
            case nodes.CondExpr():
                self._visit(node.test, under)
                self._visit_all([node.expr1, node.expr2], under | self._truth(node.test))
            case nodes.And() | nodes.Or():
                self._visit(node.left, under)
                self._visit(node.right, under | self._truth(node.left))
            case nodes.Compare():  # a < b < c stops at the first comparison that is false
                self._visit(node.expr, under)
                self._visit_all(node.ops, under | self._value(node.expr) if len(node.ops) > 1 else under)
            case nodes.Call():
                self._visit_call(node, under)
            case nodes.Name() if node.name in self._macros and node.ctx == "load":
                self._pass(node.name, frozenset({_ROW}), frozenset({_ROW}))  # it may be called from anywhere
            case _:
                self._visit_all(node.iter_child_nodes(), under)

    def _assign(self, target: nodes.Node, sources: _Sources) -> None:
        for node in (target, *find_all(target, (nodes.Name, nodes.NSRef))):
            if isinstance(node, (nodes.Name, nodes.NSRef)):
                self._add("value", node.name, sources)

    def _visit_macro(self, node: nodes.Macro, under: _Sources) -> None:
        outer, self._macro = self._macro, node.name
        self._visit_all(node.defaults, under)
        self._visit_all(node.body, under | self._of("calls", node.name))
        self._macro = outer
        self._add("value", node.name, under.union(*map(self._value, node.body)))

    def _visit_call(self, node: nodes.Call, under: _Sources) -> None:
        arguments = [*node.args, *(keyword.value for keyword in node.kwargs), node.dyn_args, node.dyn_kwargs]
        self._visit_all(arguments, under)
        if is_search_call(node):
            self._visit_choice(node, under.union(*map(self._value, arguments)))
        elif isinstance(node.node, nodes.Name) and node.node.name in self._macros:
            self._pass(node.node.name, under, _NONE.union(*map(self._value, arguments)))
        elif isinstance(node.node, nodes.Name) and node.node.name == "caller":
            self._add("caller", self._macro, under)
        else:
            self._visit(node.node, under)

    def _pass(self, macro: str, under: _Sources, arguments: _Sources) -> None:
        self._add("calls", macro, under)
        for name in [*(argument.name for argument in self._macros[macro].args), "varargs", "kwargs"]:
            self._add("value", name, arguments)

    def _visit_choice(self, node: nodes.Call, sources: _Sources) -> None:
        if _ROW in sources and self._refusing:
            raise TemplateError(
                "a choice must be the same for every row, but this one depends on the row (or on the text of "
                "an example); move it out of the condition or loop, or give every row the same options",
                template=self._template,
                line=node.lineno,
            )
        self.parents |= sources - {_ROW}
        if isinstance(node.node, nodes.Name) and node.node.name == "examples":
            self.parents.add(choice_name(node))  # the picker and the order exist only with shots


def _is_empty_list(node: nodes.Node | None) -> bool:
    return node is None or (isinstance(node, nodes.List) and not node.items)
