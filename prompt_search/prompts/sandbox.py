"""A Jinja environment in which a template can neither reach out nor run away.

Jinja's own sandbox keeps files, modules and private attributes away and limits ``range``; its documentation leaves
time and memory to whoever calls it. Here every rendering has an allowance of steps. What a template makes is paid
for before it is made, so that ``'a' * 10**10`` takes no memory; loops, macros and blocks pay each time that they are
entered, for all that is written in them. Nothing is timed: the same template fails at the same place everywhere.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, Sequence, Sized, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from prompt_search.errors import InputError, TemplateError

MOST_STEPS = 1_000_000
"""What one rendering may use: an operation or an item of a list is one step, so are 20 characters of text."""
CHARACTERS_A_STEP = 20
MOST_BITS = 10_000
"""Size of a whole number that is calculated with."""
MOST_WIDTH = 1_000
"""Largest number given to a filter that makes text or lists of that width."""

_WITHOUT = ("encode", "expandtabs", "from_bytes", "maketrans", "to_bytes", "translate")
"""Methods that no prompt needs and that make much of little."""
_FILTERS_WITHOUT = ("random", "urlize", "xmlattr")
"""The same candidate must be the same prompt every time; links and attributes are for pages."""
_WIDE = ("batch", "center", "indent", "round", "slice", "tojson", "wordwrap")
_PADDING = ("center", "ljust", "rjust", "zfill")
_DIGITS = re.compile(r"\d+")

_HOLDERS = (list, tuple, dict, set, frozenset, KeysView, ValuesView, ItemsView)

_left: ContextVar[list[int] | None] = ContextVar("steps left", default=None)


@contextmanager
def allowance() -> Iterator[None]:
    """What is compiled or rendered inside may use `MOST_STEPS` in all."""
    before = _left.set([MOST_STEPS])
    try:
        yield
    finally:
        _left.reset(before)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Source that neither Jinja nor Python can take is a `TemplateError` about the template ``name``."""
    try:
        with allowance():
            yield
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"template syntax: {error.message}", template=name, line=error.lineno) from None
    except RecursionError:
        raise TemplateError("template syntax: nested too deeply; take it apart", template=name) from None
    except (SyntaxError, MemoryError, OverflowError) as error:  # of the Python that Jinja makes of it
        raise TemplateError(f"template syntax: too much for Python: {error}", template=name) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise TemplateError(f"template syntax: {error}", template=name) from None


def spend(steps: float) -> None:
    """Pay for what comes next.

    Raises:
        InputError: the allowance is used up.
    """
    left = _left.get()
    if left is None:
        left = [MOST_STEPS]
    left[0] -= int(steps)
    if left[0] < 0:
        raise InputError(
            f"one rendering takes at most {MOST_STEPS:,} steps (operations, items, {CHARACTERS_A_STEP} characters "
            f"each), and this passes them; shorten its loops and texts"
        )


def cost(value: Any) -> int:
    """Steps for reading a value once; an item counts as often as its depth, because it may be indented so far.

    >>> cost("x" * 100), cost(["a", ["b"]]), cost({"a": 1})
    (6, 6, 3)
    """
    if isinstance(value, (str, bytes)):
        return 1 + len(value) // CHARACTERS_A_STEP
    if not isinstance(value, _HOLDERS):
        return 1 + len(value) if isinstance(value, range) else 1
    steps, stack = 1, [(value, 1)]
    while stack and steps <= MOST_STEPS:
        holder, depth = stack.pop()
        parts: Any = [*holder, *holder.values()] if isinstance(holder, dict) else holder
        for part in parts:
            if isinstance(part, str):
                steps += depth + len(part) // CHARACTERS_A_STEP
            else:
                steps += depth
                if isinstance(part, _HOLDERS):
                    steps += depth
                    stack.append((part, depth + 1))
    return steps


def _pay(*values: Any) -> None:
    spend(sum(map(cost, values)))


def _formatted(pattern: Any, arguments: Sequence[Any]) -> None:
    """Pay for ``pattern % arguments`` or ``pattern.format(*arguments)``: each place may show all of them, with the
    width that stands in the pattern."""
    if re.search(r"%[^%]*\*" if "%" in pattern else r"\{[^{}]*\{[^{]", str(pattern).replace("{{", "")):
        raise InputError(f"a format writes its widths out, but {pattern[:60]!r} takes one from a value; write it out")
    places = pattern.count("%") + pattern.count("{")
    widest = max((float(number) for number in _DIGITS.findall(pattern)), default=0.0)
    spend(min(places * (sum(map(cost, arguments)) + widest / CHARACTERS_A_STEP), MOST_STEPS + 1))


def _number(value: Any) -> None:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise InputError(f"a template calculates with numbers up to 2**{MOST_BITS}; make them smaller")


def _times(left: Any, right: Any) -> None:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(sequence, Sized):
            spend(cost(sequence) * max(times, 0))
            return
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MOST_BITS:
        _number(1 << MOST_BITS)


def _power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1 and left.bit_length() * right > MOST_BITS:
        _number(1 << MOST_BITS)


def _before_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    """Pay for what a method of text is about to make."""
    if name in _PADDING and args and isinstance(args[0], int):
        spend(args[0] / CHARACTERS_A_STEP)
    elif name == "replace" and len(args) > 1 and isinstance(args[0], str):
        spend(cost(args[1]) * text.count(args[0]))
    spend(cost(text))


def _filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test that pays for what it is given and for what it gives."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        value, given = args[first], (*args[first + 1 :], *kwargs.values())
        _pay(value, *given)
        if name in _WIDE:
            width = max((number for number in given if isinstance(number, int)), default=1)
            if width > MOST_WIDTH:
                raise InputError(f"the filter {name!r} takes numbers up to {MOST_WIDTH:,}, got {width:,}; lower it")
            spend(cost(value) * max(width, *map(cost, given), 1))
        elif name == "join":
            listed = list(value)
            spend(cost(listed) + len(listed) * cost(given[0] if given else ""))
            args = (*args[:first], listed, *args[first + 1 :])
        elif name == "replace" and len(given) > 1:
            spend(cost(str(given[1])) * str(value).count(str(given[0])))
        elif name == "format":
            _formatted(str(value), given)
        elif name == "striptags":  # it copies the text at every comment
            spend(cost(str(value)) * str(value).count("<") / 1000)
        elif name == "sum" and any(
            isinstance(start, Sized) for start in given[1 if "attribute" not in kwargs else 0 :]
        ):
            raise InputError("the filter 'sum' adds numbers; join texts with 'join'")
        made = function(*args, **kwargs)
        _pay(made)
        return made

    return paid


@jinja2.pass_context  # so that it is not computed when the template is compiled
def _entered(context: Context, steps: int) -> str:
    spend(steps)
    return ""


def _read(value: Any) -> Any:
    _pay(value)
    return value


def _joined(parts: Sequence[Any]) -> str:
    _pay(parts)
    return "".join(map(str, parts))


class _Paying(NodeTransformer):
    """Adds the paying to a syntax tree: in all that may be entered more than once, around what is read or made."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            steps = sum(len(part.data) // CHARACTERS_A_STEP for part in node.find_all(nodes.TemplateData))
            steps += sum(1 for _ in node.find_all(nodes.Node))
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            node.body.insert(0, _at(nodes.ExprStmt(_call("_entered", nodes.Const(steps))), node))
        elif isinstance(node, nodes.Concat):
            node = _at(_call("_joined", nodes.List(node.nodes)), node)
        elif isinstance(node, (nodes.List, nodes.Dict)) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
            if node.find(nodes.Name):
                node = _at(_call("_read", node), node)
        elif isinstance(node, nodes.Compare):
            node.expr = _at(_call("_read", node.expr), node)
            for operand in node.ops:
                operand.expr = _at(_call("_read", operand.expr), node)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            node.node = _at(_call("_read", node.node), node)
        return node


def _call(name: str, value: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(value, name, [], [], None, None)


def _at(made: nodes.Node, node: nodes.Node) -> Any:
    return made.set_lineno(node.lineno)


class _Notes(Namespace):
    """A namespace whose text is not all that it holds, which may be itself."""

    def __repr__(self) -> str:
        return "<namespace>"


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment; ``finalize`` makes text of a value that is printed."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, *, finalize: Callable[[Any], Any], **options: Any) -> None:
        def paid(value: Any) -> Any:
            _pay(value)
            return finalize(value)

        super().__init__(finalize=paid, **options)
        for name in _FILTERS_WITHOUT:
            del self.filters[name]
        del self.globals["lipsum"]
        self.globals["namespace"] = _Notes
        tables: tuple[dict[str, Any], dict[str, Any]] = (self.filters, self.tests)
        for table in tables:
            table.update({name: _filter(name, function) for name, function in table.items()})
        self.filters |= {"_entered": _entered, "_read": _read, "_joined": _joined}

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        _Paying().visit(source)
        source.set_environment(self)
        return super()._generate(source, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _WITHOUT and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _number(left)
        _number(right)
        if operator == "*":
            _times(left, right)
        elif operator == "**":
            _power(left, right)
        elif operator == "%" and isinstance(left, str):
            _formatted(left, right if isinstance(right, tuple) else (right,))
        else:
            _pay(left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        _pay(*args, *kwargs.values())
        method = getattr(__obj, "__wrapped__", __obj)  # Jinja wraps str.format
        name, owner = getattr(method, "__name__", ""), getattr(method, "__self__", None)
        if isinstance(owner, str):
            if name == "join" and args:
                parts = list(args[0])
                spend(cost(parts) + len(parts) * cost(owner))
                args = (parts,)
            elif name in ("format", "format_map"):
                _formatted(owner, (*args, *kwargs.values()))
            else:
                _before_method(owner, name, args)
        made = super().call(__context, __obj, *args, **kwargs)
        _pay(made)
        return made
