"""The values of names and expressions that are known before a row is."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta, nodes

from prompt_search.prompts.environment import environment

UNKNOWN = object()
"""The value of an expression that only the row decides."""
ITERABLES = (list, tuple, dict, KeysView, ValuesView, ItemsView)
"""Types of constants that a loop may go over."""


class NearestShots:
    """A stand-in for examples that the row picks: nothing is known of them except that there are some."""

    def __bool__(self) -> bool:
        return True

    def _refuse(self, *_: Any) -> Any:
        raise RuntimeError("only the row decides which examples these are")

    __iter__ = __getitem__ = __len__ = __eq__ = __str__ = __repr__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class KnownValues:
    """Names with the values that they have for every row."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def set(self, name: str, value: Any) -> None:
        self._values[name] = value

    @contextmanager
    def within(self, values: Mapping[str, Any]) -> Iterator[None]:
        """A context in which the given names have other values, or are ``UNKNOWN``; names set inside are forgotten."""
        before = self._values
        self._values = {name: value for name, value in {**before, **values}.items() if value is not UNKNOWN}
        yield
        self._values = before

    def value(self, expression: str) -> Any:
        """The value of an expression, or ``UNKNOWN``."""
        parsed = parsed_expression(expression)
        if parsed is None or not parsed[0] <= self._values.keys():
            return UNKNOWN
        try:
            value = parsed[1](**{name: self._values[name] for name in parsed[0]})
        except Exception:  # The expression stays in the source, and a rendering that reaches it raises the error.
            return UNKNOWN
        return UNKNOWN if isinstance(value, jinja2.Undefined) else value


@lru_cache(maxsize=4096)
def parsed_expression(text: str) -> tuple[frozenset[str], Callable[..., Any]] | None:
    """The variables of an expression and the function that computes it; None for text that is no expression."""
    try:
        names = meta.find_undeclared_variables(environment().parse(f"{{{{ {text} }}}}"))
        return frozenset(names), environment().compile_expression(text, undefined_to_none=False)
    except jinja2.TemplateSyntaxError:  # `for … in items recursive`
        return None


@lru_cache(maxsize=4096)
def loop_target(text: str) -> nodes.Node:
    """The target of a loop, to which it assigns its items: a name or a tuple of targets."""
    loop = environment().parse(f"{{% for {text} in [] %}}{{% endfor %}}").find(nodes.For)
    assert loop is not None
    return loop.target


def target_names(target: nodes.Node) -> list[str]:
    """The names to which a loop target assigns."""
    return [name.name for name in (target, *target.find_all(nodes.Name)) if isinstance(name, nodes.Name)]


def assigned(target: nodes.Node, item: Any) -> dict[str, Any] | None:
    """The values that a loop target gets from an item, by name; None if the item cannot be unpacked."""
    if isinstance(target, nodes.Name):
        return {target.name: item}
    parts = list(item) if isinstance(item, (str, *ITERABLES)) else []
    if not isinstance(target, nodes.Tuple) or len(parts) != len(target.items):
        return None
    found: dict[str, Any] = {}
    for inner, part in zip(target.items, parts, strict=True):
        values = assigned(inner, part)
        if values is None:
            return None
        found |= values
    return found
