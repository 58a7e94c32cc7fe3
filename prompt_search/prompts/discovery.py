"""Finding the factors of a template and the conditions between them, by rendering it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prompt_search.prompts.factors import Condition, Factor
from prompt_search.prompts.space import EXACT_COUNT_LIMIT, SearchSpace

Render = Callable[[Mapping[str, Any]], Mapping[str, Factor]]
"""A rendering with option values (missing ones have their default): the factors that it uses, in the order of use."""

RANDOM_ASSIGNMENTS = 500
"""Number of random assignments that are tried where the parents have too many combinations."""


def discover(
    names: Sequence[str], render: Render, parents: Iterable[str] | None = None
) -> tuple[SearchSpace, list[str]]:
    """Find all factors of a define-by-run template and the conditions between them.

    If the parents have no more than a few thousand combinations, all of them are rendered, and every factor is found.
    Otherwise every option of every factor is rendered in the context in which the factor first appeared, and random
    assignments are searched for factors that need a combination of several options.

    Args:
        names: the factors that the source mentions.
        render: a rendering of the template.
        parents: the factors that may decide whether others exist, as the source shows; all if it is None.

    Returns:
        The space, and the names in the source that no rendering used.
    """
    suspects = frozenset(names if parents is None else parents)
    render = _Remembered(render, suspects)
    exploration = _Exploration(render, suspects)
    if not exploration.try_all_combinations():
        exploration = _Exploration(render, suspects)
        exploration.try_each_option()
        exploration.try_random_assignments(names)
    factors = exploration.factors
    position = {name: index for index, name in enumerate(names)}
    ordered = sorted(factors, key=lambda name: position.get(name.split(".")[0], len(names)))
    space = SearchSpace(
        [replace(factors[name], conditions=exploration.conditions(name)) for name in ordered],
        lambda values: list(render(values)),
        exploration.parents & factors.keys(),
    )
    return space, [name for name in names if name not in factors]


@dataclass(eq=False)
class _Node:
    """What renderings have come to: the next parent, with a node for each of its options, or the names of all factors
    that they used."""

    parent: str = ""
    branches: dict[int, _Node] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    rendered: bool = False


class _Remembered:
    """A rendering that is done once for all assignments that give the same options to the parents that it uses.

    A rendering comes to its factors one after the other, and only the options of parents decide which one is next. What
    was rendered is therefore a tree: a node is a parent, a branch is one of its options, and a leaf has the factors.
    """

    def __init__(self, render: Render, parents: frozenset[str]) -> None:
        self._render = render
        self._parents = parents
        self._factors: dict[str, Factor] = {}
        self._root = _Node()

    def __call__(self, values: Mapping[str, Any]) -> Mapping[str, Factor]:
        node, depth = self._root, 0
        while node.parent:
            node, depth = self._branch(node, values), depth + 1
        if not node.rendered:
            used = self._render(values)
            self._factors = {**used, **self._factors}
            for node.parent in [name for name in used if name in self._parents][depth:]:
                node = self._branch(node, values)
            node.names, node.rendered = tuple(used), True
        return {name: self._factors[name] for name in node.names}

    def _branch(self, node: _Node, values: Mapping[str, Any]) -> _Node:
        """The node under the option that an assignment gives to the parent of a node."""
        position = self._factors[node.parent].position(values[node.parent]) if node.parent in values else 0
        return node.branches.setdefault(position, _Node())


class _Exploration:
    """The factors found so far, and the assignment (context) under which each was found."""

    def __init__(self, render: Render, parents: frozenset[str]) -> None:
        self.render = render
        self.parents = parents
        self.factors: dict[str, Factor] = {}
        self.contexts: dict[str, dict[str, Any]] = {}

    def record(self, context: dict[str, Any]) -> Mapping[str, Factor]:
        """Render with an assignment, record factors that are new, and return all that the rendering used."""
        used = self.render(context)
        for name, factor in used.items():
            if name not in self.factors:
                self.factors[name] = factor
                self.contexts[name] = context
        return used

    def try_all_combinations(self) -> bool:
        """Render all combinations of the parents' options; False if there are too many."""
        rendered = 0
        stack: list[dict[str, Any]] = [{}]
        while stack:
            context = stack.pop()
            used = self.record(context)
            rendered += 1
            for name, factor in used.items():
                if name in self.parents and name not in context:
                    context = {**context, name: factor.options[0]}
                    stack += [{**context, name: option} for option in reversed(factor.options[1:])]
            if rendered + len(stack) > EXACT_COUNT_LIMIT:
                return False
        return True

    def try_each_option(self) -> None:
        """Render each option of each factor once, with the other factors as they were when it was found."""
        self.record({})
        explored: set[str] = set()
        while new := [name for name in self.factors if name not in explored]:
            for name in new:
                explored.add(name)
                for option in self.factors[name].options[1:]:
                    self.record({**self.contexts[name], name: option})

    def try_random_assignments(self, names: Sequence[str]) -> None:
        """Render random assignments until all names are found, at most `RANDOM_ASSIGNMENTS`."""
        generator = random.Random(0)
        for _ in range(RANDOM_ASSIGNMENTS):
            if all(name in self.factors for name in names):
                return
            context = {name: generator.choice(factor.options) for name, factor in self.factors.items()}
            known = set(self.factors)
            for name in [name for name in self.record(context) if name not in known]:
                self.contexts[name] = self._smallest_context(name, context)

    def _smallest_context(self, name: str, context: dict[str, Any]) -> dict[str, Any]:
        """The part of an assignment without which a rendering does not use a factor."""
        needed = dict(context)
        for other in context:
            without = {key: value for key, value in needed.items() if key != other}
            if name in self.render(without):
                needed = without
        return needed

    def conditions(self, name: str) -> tuple[Condition, ...]:
        """For each parent that matters, the options with which a factor stays active in its context."""
        conditions = []
        for parent in [factor for factor in self.factors if factor in self.parents and factor != name]:
            options = self.factors[parent].options
            active = tuple(
                index
                for index, value in enumerate(options)
                if name in self.render({**self.contexts[name], parent: value})
            )
            if len(active) < len(options):
                conditions.append(Condition(parent, active))
        return tuple(conditions)
