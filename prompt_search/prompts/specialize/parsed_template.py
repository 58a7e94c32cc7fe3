"""A template as far as it is known before anything is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jinja2
from jinja2 import nodes

from prompt_search.prompts.environment import compile_tree, environment
from prompt_search.prompts.row_dependence import RowDependence
from prompt_search.prompts.sandbox.steps import refusing
from prompt_search.prompts.sandbox.syntax_tree import copied, find_all
from prompt_search.prompts.specialize.tokens import Tree, segments
from prompt_search.prompts.static_checks import choice_lines, refuse_other_files, row_fields_only, stored_names


@dataclass(frozen=True, kw_only=True)
class ParsedTemplate:
    """A template's source in the forms that rendering, checking and specializing need.

    Attributes:
        name: shown in error messages.
        ast: Jinja's syntax tree.
        compiled: the template that renders.
        tree: the source as segments.
        lines: the line of each choice, by name, in the order of the source.
        row_fields: the fields of the row that the source reads, or None if it may read any.
        parents: the choices, and ``answer``, that decide whether other choices exist.
        stored_names: every name that the source assigns, once per assignment.
        names_used: every name in the source.
    """

    name: str
    ast: nodes.Template
    compiled: jinja2.Template
    tree: Tree
    lines: Mapping[str, int]
    row_fields: tuple[str, ...] | None
    parents: frozenset[str]
    stored_names: tuple[str, ...]
    names_used: frozenset[str]

    @classmethod
    def parse(cls, source: str, name: str) -> ParsedTemplate:
        """Parse and check a template.

        Raises:
            TemplateError: a syntax error, a choice whose name is not a literal, or a choice that depends on the row.
        """
        with refusing(name):
            ast = environment().parse(source, name)
            refuse_other_files(ast, name)
            return cls(
                name=name,
                ast=ast,
                compiled=compile_tree(copied(ast), name),  # first, as it refuses what is too large
                lines=choice_lines(ast, name),
                row_fields=row_fields_only(ast),
                parents=frozenset(RowDependence(ast, name).parents),
                tree=segments(source),
                stored_names=stored_names(ast),
                names_used=frozenset(node.name for node in find_all(ast, nodes.Name)),
            )
