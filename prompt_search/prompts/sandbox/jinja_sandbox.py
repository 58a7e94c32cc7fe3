"""A Jinja environment in which a template has no access to its surroundings and ends after a limited amount of work.

Jinja's own sandbox keeps files, modules and private attributes away and limits ``range``; its documentation leaves
time and memory to the caller. Here every rendering has an allowance of steps (`steps.py`). The steps for a value are
paid before the value is made, so that ``'a' * 10**10`` takes no memory. Loops, macros and blocks pay each time they
are entered, for everything that is written in them. Nothing is timed: the same template fails at the same place on
every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Namespace
from jinja2.visitor import NodeTransformer

from prompt_search.errors import InputError
from prompt_search.prompts.sandbox.operations import (
    check_number,
    check_power,
    check_product,
    pay_format,
    pay_method,
    paying,
)
from prompt_search.prompts.sandbox.steps import CHARACTERS_A_STEP, LARGE, cost, list_of, pay, spend
from prompt_search.prompts.sandbox.syntax_tree import find_all

STEPS_A_TOKEN = 25
"""Number of steps for reading one token of a template: a prompt with 1,000 examples in chat blocks has 24,000."""
STEPS_A_BLOCK = 200
"""Number of steps for compiling one ``block``, of which Jinja makes a function and Python a code object."""
STEPS_A_NODE = 20
"""Number of steps for compiling one node of its syntax tree."""
_LITERALS = (nodes.Literal, nodes.Pair)
"""Nodes that are compiled at no cost: a prompt may hold thousands of examples."""
STEPS_A_CALL = 3
"""Number of steps that each call costs, whatever it does."""
_METHODS_WITHOUT = ("encode", "expandtabs", "from_bytes", "maketrans", "to_bytes", "translate")
"""Methods that a template may not call: no prompt needs them, and they make large values of small ones."""
_FILTERS_WITHOUT = ("random", "urlize", "xmlattr")
"""Filters that a template may not use: ``random`` gives another prompt each time, the others write HTML."""


_ENTERED, _TESTED, _READ, _JOINED, _LISTED = "(entered)", "(tested)", "(read)", "(joined)", "(listed)"
"""Names of the filters that pay or save work, which no template can write."""


@jinja2.pass_context  # so that Jinja does not compute it when it compiles the template
def _entered(context: Context, steps: int) -> str:
    """Pay for one pass through a loop, macro or block."""
    spend(steps)
    return ""


@jinja2.pass_context
def _tested(context: Context, value: Any, steps: int) -> Any:
    """The value of a loop's condition for one item, paid for."""
    spend(steps)
    return value


def _read(value: Any) -> Any:
    """The value itself, paid for."""
    pay(value)
    return value


@jinja2.pass_context
def _listed(context: Context, items: tuple[Any, ...]) -> list[Any]:
    """A long list that the source writes out; Python keeps a tuple of constants, and makes a new list each time."""
    return list_of(items)


def _joined(parts: Sequence[Any]) -> str:
    """The text of ``a ~ b ~ …``, paid for."""
    pay(parts)
    return "".join(map(str, parts))


class _Paying(NodeTransformer):
    """Adds payments to a syntax tree, at the head of loops, macros and blocks and around values that are used."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            steps = sum(
                1 + (len(part.data) // CHARACTERS_A_STEP if isinstance(part, nodes.TemplateData) else 0)
                for part in find_all(node, nodes.Node)
            )
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            node.body.insert(0, _at(nodes.ExprStmt(_call(_ENTERED, nodes.Const(steps))), node))
            if isinstance(node, nodes.For) and node.test is not None:
                test: Any = node.test
                size = 1 + sum(1 for _ in find_all(test, nodes.Node))
                node.test = _at(_call(_TESTED, test, nodes.Const(size)), node)
        elif isinstance(node, nodes.Concat):
            node = _at(_call(_JOINED, nodes.List(node.nodes)), node)
        elif isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
            if node.find(nodes.Name):
                node = _at(_call(_READ, node), node)
            elif isinstance(node, nodes.List) and len(node.items) >= LARGE and _constant(node.items):
                node = _at(_call(_LISTED, nodes.Tuple(node.items, "load")), node)
        elif isinstance(node, nodes.Compare):
            node.expr = _at(_call(_READ, node.expr), node)
            for operand in node.ops:
                operand.expr = _at(_call(_READ, operand.expr), node)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            node.node = _at(_call(_READ, node.node), node)
        return node


def _constant(items: Sequence[nodes.Expr]) -> bool:
    return all(isinstance(item, nodes.Const) for item in items)


def _call(name: str, value: nodes.Expr, *arguments: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(value, name, list(arguments), [], None, None)


def _at(made: nodes.Node, node: nodes.Node) -> Any:
    return made.set_lineno(node.lineno)


class _QuietNamespace(Namespace):
    """A namespace whose text omits its contents, because a namespace may contain itself."""

    def __repr__(self) -> str:
        return "<namespace>"


class _QuietCycler(Cycler):
    """A cycler whose text is the same in each run."""

    def __repr__(self) -> str:
        return "<cycler>"


def _paid(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens of a source, each paid for when it is read."""
    for token in tokens:
        spend(STEPS_A_TOKEN)
        yield token


def _items(value: Any) -> Iterable[Any]:
    """What a list, a tuple or a dictionary shows when it is printed."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()


class Sandbox(ImmutableSandboxedEnvironment):
    """The Jinja environment; ``finalize`` converts the value of ``{{ … }}`` before it is printed, and ``filters``
    replace those of Jinja."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(
        self, *, finalize: Callable[[Any], Any], filters: Mapping[str, Callable[..., Any]], **options: Any
    ) -> None:
        def paid(value: Any) -> Any:
            pay(value)
            for each in (value, *_items(value)):
                if (callable(each) or isinstance(each, Iterator)) and not isinstance(each, jinja2.Undefined):
                    raise InputError(
                        f"{{{{ … }}}} has a {type(each).__name__}, whose text differs in each run; call it, or add "
                        "| list or | join"
                    )
            return finalize(value)

        super().__init__(finalize=paid, **options)
        self.filters |= filters
        for name in _FILTERS_WITHOUT:
            del self.filters[name]
        del self.globals["lipsum"]
        self.globals |= {"namespace": _QuietNamespace, "cycler": _QuietCycler}
        tables: tuple[dict[str, Any], dict[str, Any]] = (self.filters, self.tests)
        for table in tables:
            table.update({name: paying(name, function) for name, function in table.items()})
        self.filters |= {_ENTERED: _entered, _TESTED: _tested, _READ: _read, _JOINED: _joined, _LISTED: _listed}

    def _tokenize(self, *args: Any, **kwargs: Any) -> TokenStream:
        stream = super()._tokenize(*args, **kwargs)
        return TokenStream(_paid(stream), stream.name, stream.filename)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        spend(STEPS_A_NODE * sum(not isinstance(node, _LITERALS) for node in find_all(source, nodes.Node)))
        spend(STEPS_A_BLOCK * sum(1 for _ in find_all(source, nodes.Block)))
        _Paying().visit(source)
        source.set_environment(self)
        return super()._generate(source, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _METHODS_WITHOUT and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_number(left)
        check_number(right)
        if operator == "*":
            check_product(left, right)
        elif operator == "**":
            check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            pay_format(left, right if isinstance(right, tuple) else (right,))
        else:
            pay(left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        spend(STEPS_A_CALL)
        pay(*args, *kwargs.values())
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja wraps str.format
        name, owner = getattr(method, "__name__", ""), getattr(method, "__self__", None)
        if isinstance(owner, str):
            if name == "join" and args:
                parts = list(args[0])
                spend(cost(parts) + len(parts) * cost(owner))
                args = (parts,)
            elif name in ("format", "format_map"):
                pay_format(owner, (*args, *kwargs.values()))
            else:
                pay_method(owner, name, args)
        elif isinstance(owner, (list, tuple, dict, set)):  # whose methods look at each item
            pay(owner)
        made = super().call(__context, __obj, *args, **kwargs)
        pay(made)
        return made
