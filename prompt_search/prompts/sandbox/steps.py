"""The allowance of steps for one rendering, and the cost of a value in steps."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jinja2

from prompt_search.answers.base import clipped
from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.habits import syntax_cure

MOST_STEPS = 1_000_000
"""Number of steps that one rendering may use. An operation or an item of a list is one step, so are 20 characters."""
CHARACTERS_A_STEP = 20
"""Number of characters that cost one step."""

_CONTAINERS = (list, tuple, dict, set, frozenset, KeysView, ValuesView, ItemsView)

LARGE = 50
"""Number of items from which on a list or dictionary that does not change is counted once."""


class Counted(NamedTuple):
    """A value that does not change, its cost, and the list in whose place the source has it as a tuple."""

    value: Any
    cost: int
    made: list[Any] | None = None


CountedValues = dict[int, Counted]
"""Values that were counted, by their address."""

_left: ContextVar[list[int] | None] = ContextVar("steps left", default=None)
_counted: ContextVar[CountedValues | None] = ContextVar("counted values", default=None)


@contextmanager
def allowance(counted: CountedValues | None = None) -> Iterator[None]:
    """A context in which compiling and rendering may use `MOST_STEPS` together.

    Args:
        counted: values whose items are not counted again; gets the large lists that the source writes out.
    """
    before, counted_before = _left.set([MOST_STEPS]), _counted.set({} if counted is None else counted)
    try:
        yield
    finally:
        _left.reset(before)
        _counted.reset(counted_before)


def counted_in(value: Any) -> CountedValues:
    """The large lists and dictionaries in a value that does not change."""
    found: CountedValues = {}
    stack = [value]
    while stack:
        holder = stack.pop()
        if type(holder) in (dict, list, tuple):
            if len(holder) >= LARGE:
                found[id(holder)] = Counted(holder, cost(holder))
            stack += holder.values() if isinstance(holder, dict) else holder
    return found


def list_of(items: tuple[Any, ...]) -> list[Any]:
    """A tuple in the compiled source as a list; the same list each time in renderings that share counted values."""
    counted = _counted.get()
    known = None if counted is None else counted.get(id(items))
    if known is not None and known.made is not None:
        return known.made
    made = list(items)
    if counted is not None:
        steps = cost(items)
        counted |= {id(items): Counted(items, steps, made), id(made): Counted(made, steps)}
    return made


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """A context in which source that Jinja or Python cannot compile raises a `TemplateError` about ``name``."""
    try:
        with allowance():
            yield
    except jinja2.TemplateSyntaxError as error:
        cure = syntax_cure(error.source or "", error.lineno)
        message = clipped(error.message or "", 300)
        raise TemplateError(f"template syntax: {message}{cure}", template=name, line=error.lineno) from None
    except RecursionError:
        raise TemplateError("template syntax: nested too deeply; simplify it", template=name) from None
    except (SyntaxError, MemoryError, OverflowError) as error:  # in the Python code that Jinja generates
        raise TemplateError(f"template syntax: too much for Python: {error}", template=name) from None
    except ValueError as error:
        if isinstance(error, TemplateError):
            raise
        if isinstance(error, InputError):
            raise TemplateError(str(error), template=name) from None
        raise TemplateError(f"template syntax: {error}", template=name) from None


def spend(steps: float) -> None:
    """Pay for the next operation.

    Raises:
        InputError: the allowance is used up.
    """
    left = _left.get()
    if left is None:
        left = [MOST_STEPS]
    left[0] -= int(steps)
    if left[0] < 0:
        raise InputError(
            f"one rendering may take at most {MOST_STEPS:,} steps (operations, items, {CHARACTERS_A_STEP} "
            "characters each), and this template takes more; shorten its loops and texts"
        )


def cost(value: Any) -> int:
    """The number of steps for reading a value once.

    An item counts as many times as it is nested, because printing may indent it that far.

    >>> cost("x" * 100), cost(["a", ["b"]]), cost({"a": 1})
    (6, 6, 3)
    """
    if isinstance(value, (str, bytes)):
        return 1 + len(value) // CHARACTERS_A_STEP
    if not isinstance(value, _CONTAINERS):
        return 1 + len(value) if isinstance(value, range) else 1
    known = (_counted.get() or {}).get(id(value))
    if known is not None:
        return known.cost
    steps, stack = 1, [(value, 1)]
    while stack and steps <= MOST_STEPS:
        holder, depth = stack.pop()
        parts: Any = [*holder, *holder.values()] if isinstance(holder, dict) else holder
        for part in parts:
            if isinstance(part, str):
                steps += depth + len(part) // CHARACTERS_A_STEP
            else:
                steps += depth
                if isinstance(part, _CONTAINERS):
                    steps += depth
                    stack.append((part, depth + 1))
    return steps


def pay(*values: Any) -> None:
    """Pay for reading each of the values once."""
    spend(sum(map(cost, values)))
