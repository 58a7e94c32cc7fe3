"""Static checks of a template: its choices, its variables and the fields of the row that it reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from jinja2 import meta, nodes

from prompt_search._names import LONGEST_NAME
from prompt_search.errors import TemplateError
from prompt_search.prompts.environment import FUNCTIONS
from prompt_search.prompts.habits import as_field, check_literal_fields, check_shows_row
from prompt_search.prompts.sandbox.syntax_tree import find_all

_COLUMNS = (
    "trial state score score_low score_high estimate rows search_rows prompt_tokens cost_usd latency_s unparsed "
    "errors ambiguous reason prompt row split answer model"
)
RESERVED = frozenset(_COLUMNS.split())
"""Column names of the result tables (those of `results.tables.TRIAL_COLUMNS` and more), which no choice may have."""

_DICT_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))


def is_search_call(node: nodes.Node) -> bool:
    """Whether a node is a call of a choice function."""
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in FUNCTIONS


def choice_lines(ast: nodes.Template, template: str) -> dict[str, int]:
    """The first line of each choice, by name, in the order of the source.

    Raises:
        TemplateError: a name is not a literal or not allowed, a choice function is not called, or one has ``grow=``
            whose options are no texts.
    """
    lines: dict[str, int] = {}
    callees = set()
    for call in find_all(ast, nodes.Call):
        if not is_search_call(call):
            continue
        assert isinstance(call.node, nodes.Name)
        callees.add(id(call.node))
        _check_grows(call, call.node.name, template)
        first = call.args[0] if call.args else next((k.value for k in call.kwargs if k.key == "name"), None)
        if not isinstance(first, nodes.Const) or not isinstance(first.value, str):
            raise TemplateError(
                f'{call.node.name}() takes its name as a literal string first: {call.node.name}("name", …)',
                template=template,
                line=call.lineno,
            )
        name = first.value
        if not re.fullmatch(r"[A-Za-z]\w*", name) or len(name) > LONGEST_NAME or name in RESERVED:
            raise TemplateError(
                f"a choice's name must be a word of at most {LONGEST_NAME} letters, digits and underscores, and not a "
                f"column of the result tables; got {name[:210]!r}",
                template=template,
                line=call.lineno,
            )
        lines.setdefault(name, call.lineno)
    for node in find_all(ast, nodes.Name):
        if node.name in FUNCTIONS and id(node) not in callees:
            raise TemplateError(
                f'{node.name!r} is a choice function; call it: {node.name}("name", …)',
                template=template,
                line=node.lineno,
            )
    return lines


def _check_grows(call: nodes.Call, function: str, template: str) -> None:
    """Refuse ``grow=`` of a function whose options nobody writes as texts.

    Raises:
        TemplateError: with the cure.
    """
    if function != "choice" and any(keyword.key == "grow" for keyword in call.kwargs):
        raise TemplateError(
            f'{function}() takes no grow=, only choice() does; remove it, or write choice("name", ["…"], grow="…")',
            template=template,
            line=call.lineno,
        )


def refuse_other_files(ast: nodes.Template, template: str) -> None:
    """Refuse a template that reads other templates."""
    for node in find_all(ast, (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateError(
            "a template cannot use include, import or extends; copy the text into it",
            template=template,
            line=node.lineno,
        )


def optional_variables(ast: nodes.Template) -> set[str]:
    """The variables that the template tests (``is defined``) or gives a default."""
    asking = [
        *(node for node in find_all(ast, nodes.Test) if node.name in ("defined", "undefined")),
        *(node for node in find_all(ast, nodes.Filter) if node.name in ("default", "d")),
    ]
    return {node.node.name for node in asking if isinstance(node.node, nodes.Name)}


def outside_chat(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    """The text that is outside chat blocks and macros."""
    if isinstance(node, nodes.TemplateData):
        yield node
    elif not isinstance(node, (nodes.CallBlock, nodes.Macro)):
        for child in node.iter_child_nodes():
            yield from outside_chat(child)


def _first_line(ast: nodes.Template, name: str) -> int | None:
    """The line where a name is used first."""
    return next((node.lineno for node in find_all(ast, nodes.Name) if node.name == name), None)


def row_fields_used(ast: nodes.Template) -> Iterator[tuple[int, str, bool]]:
    """The line and the field of every ``row.field`` and ``row["field"]``, and whether it is written as an attribute."""
    for node in find_all(ast, (nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name="row"), attr=name):
                yield node.lineno, name, True
            case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str(name))):
                yield node.lineno, name, False


def row_field_names(ast: nodes.Template) -> list[str]:
    """The fields of the row that a template names, each once, in the order in which they are first found."""
    return list(dict.fromkeys(name for _, name, _ in row_fields_used(ast)))


def row_fields_only(ast: nodes.Template) -> tuple[str, ...] | None:
    """The fields that the template reads from the row, or None if it may read any."""
    reads = [node for node in find_all(ast, nodes.Name) if node.name == "row"]
    fields = sorted(row_field_names(ast))
    return tuple(fields) if fields and len(reads) == sum(1 for _ in row_fields_used(ast)) else None


def choice_name(node: nodes.Node) -> str:
    """The name in a call of a choice function."""
    assert isinstance(node, nodes.Call)
    first = node.args[0] if node.args else next(k.value for k in node.kwargs if k.key == "name")
    assert isinstance(first, nodes.Const)
    return str(first.value)


def stored_names(ast: nodes.Template) -> tuple[str, ...]:
    """Every name that the template assigns, once per assignment."""
    variables = [node.name for node in find_all(ast, nodes.Name) if node.ctx != "load"]
    return (*variables, *(macro.name for macro in find_all(ast, nodes.Macro)))


def check_prompt(ast: nodes.Template, name: str, fields: Sequence[str], target: str | None) -> None:
    """Refuse a prompt that does not fit the rows: it reads what is not there, or shows nothing of the row.

    Raises:
        TemplateError: with the line, and what to write.
    """
    shown = [field for field in fields if field != target]
    check_literal_fields(ast, name, shown, row_field_names(ast), exported=True)
    check_variables(ast, name, ("row", "nearest"), shown, context=False)
    check_row_fields(ast, name, fields, target)
    check_shows_row(ast, name, shown)


def check_variables(
    ast: nodes.Template, template: str, offered: Iterable[str], fields: Sequence[str] = (), *, context: bool = True
) -> None:
    """Refuse a template with a variable that is neither offered nor set; one of the row's ``fields`` is explained.
    ``context`` says whether further variables can be given.

    Raises:
        TemplateError: with the line of the variable, and the variables that exist.
    """
    # A name that every branch of an `if` sets counts as undeclared too; a rendering reports it if it is missing.
    allowed = {*offered, *optional_variables(ast), *stored_names(ast)}
    for name in sorted(meta.find_undeclared_variables(ast) - allowed):
        cure = f"pass it in context=, or use {', '.join(sorted(offered))}"
        if name in fields or not context:
            named = [name] if name in fields else fields[:3]
            cure = f"a field of the row is written {', '.join(map(as_field, named))}"
        raise TemplateError(
            f"undefined variable {name!r}; {cure}",
            template=template,
            line=_first_line(ast, name),
        )


def check_row_fields(ast: nodes.Template, template: str, fields: Sequence[str], target: str | None) -> None:
    """Refuse a template that reads the target, or a field that the rows do not have.

    Raises:
        TemplateError: with the line of the field.
    """
    for line, column, by_attribute in row_fields_used(ast):
        if column == target:
            raise TemplateError(
                f"row.{column} is the target, which a prompt must not contain; use another field",
                template=template,
                line=line,
            )
        if column not in fields:
            raise TemplateError(
                f"the rows have no field {column!r}; they have {', '.join(fields)}",
                template=template,
                line=line,
            )
        if by_attribute and column in _DICT_METHODS:
            raise TemplateError(
                f'.{column} is a method of dictionaries; write row["{column}"]',
                template=template,
                line=line,
            )
