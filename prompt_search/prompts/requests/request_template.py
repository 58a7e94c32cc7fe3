"""Templates of requests that are no prompt with a row: they read a fixed set of variables, in the sandbox that prompts
are rendered in. What the variables hold is never read as Jinja."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import jinja2
from jinja2 import meta, nodes

from prompt_search._names import HALF_CHARACTER, has_half_character
from prompt_search.errors import TemplateError
from prompt_search.prompts.environment import compile_source, environment
from prompt_search.prompts.sandbox.steps import refusing
from prompt_search.prompts.sandbox.syntax_tree import find_all


def check_variables(source: str, name: str, variables: Collection[str], what: str) -> None:
    """Refuse a template that cannot be compiled, or that reads what no request has.

    Args:
        source: the template.
        name: its name, for errors.
        variables: what it may read.
        what: what it is the template of, such as ``an operator``.

    Raises:
        TemplateError: with the line where it is known.
    """
    if has_half_character(source):
        raise TemplateError(f"the source {HALF_CHARACTER}", template=name)
    compiled(source, name)
    with refusing(name):
        read = [*find_all(environment().parse(source, name), nodes.Name)]
    lines = {each.name: each.lineno for each in reversed(read)}
    for unknown in sorted(variables_of(source, name) - {*variables}, key=lambda each: lines.get(each, 0)):
        raise TemplateError(
            f"{what} has no variable {unknown!r}; it has {', '.join(variables)}",
            template=name,
            line=lines.get(unknown),
        )


@lru_cache(maxsize=64)
def compiled(source: str, name: str) -> jinja2.Template:
    """The template, for `prompt_search.prompts.environment.render_messages`.

    Raises:
        TemplateError: it has a syntax error.
    """
    return compile_source(source, name)


@lru_cache(maxsize=64)
def variables_of(source: str, name: str) -> frozenset[str]:
    """The variables that a template reads and does not set."""
    with refusing(name):
        undeclared = meta.find_undeclared_variables(environment().parse(source, name))
    return frozenset(undeclared - environment().globals.keys())


def members_read(source: str, name: str) -> frozenset[str]:
    """The names of attributes and members that a template reads of whatever value: ``row.text``, ``row["text"]``."""
    with refusing(name):
        tree = environment().parse(source, name)
        attributes = {node.attr for node in find_all(tree, nodes.Getattr)}
        items = {node.arg.value for node in find_all(tree, nodes.Getitem) if isinstance(node.arg, nodes.Const)}
    return frozenset(each for each in attributes | items if isinstance(each, str))
