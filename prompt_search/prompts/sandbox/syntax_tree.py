"""Walks through Jinja's syntax trees and copies of them; templates of many thousand nodes are read in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from jinja2 import nodes

Kind = TypeVar("Kind", bound=nodes.Node)


def find_all(tree: nodes.Node, kind: type[Kind] | tuple[type[Kind], ...]) -> Iterator[Kind]:
    """The nodes of a kind below a node, in the order of the source.

    Jinja's own ``find_all`` passes each node through one generator for each level above it.
    """
    waiting = _children(tree)[::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, kind):
            yield node
        waiting += _children(node)[::-1]


def _children(node: nodes.Node) -> list[nodes.Node]:
    found: list[nodes.Node] = []
    for field in node.fields:
        value = getattr(node, field, None)
        if type(value) is list:
            found += [each for each in value if isinstance(each, nodes.Node)]
        elif isinstance(value, nodes.Node):
            found.append(value)
    return found


def copied(value: Any) -> Any:
    """A copy of a syntax tree, which compiling may change; much cheaper than parsing the source again."""
    if isinstance(value, nodes.Node):
        made = object.__new__(type(value))
        vars(made).update({name: copied(part) for name, part in vars(value).items()})
        return made
    return [*map(copied, value)] if type(value) is list else value
