"""One Jinja template as the whole search space.

The file reads as the prompt it makes; its named choices are the dimensions. `Template.render` is
define-by-run: the choice functions record what the rendering asked for. `Template.fix` writes the same
template with the choices filled in: plain Jinja, which is what a candidate is scored with and what ships.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import meta, nodes

from prompt_search import _html
from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import Message
from prompt_search.prompts.choice_functions import AnyRow, Recorder, check_same
from prompt_search.prompts.environment import FUNCTIONS, MESSAGES, compile_source, environment, literal, render_messages
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.sandbox import refusing
from prompt_search.prompts.space import Factor, SearchSpace, discover
from prompt_search.prompts.specialize import Filler, list_at_top, segments, stored_names
from prompt_search.prompts.static_checks import (
    Dependence,
    choice_lines,
    first_line,
    optional_variables,
    outside_chat,
    refuse_other_files,
    row_fields_only,
    row_fields_used,
)

_TAG = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_CALL = re.compile(rf"\b(?:{'|'.join(FUNCTIONS)})\(\s*(?:\"[^\"]*\"|'[^']*')?")
_DICT_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))


class Template:
    """A Jinja template with named choices.

    Args:
        source: the template's text.
        name: shown in error messages, a file name as a rule.
        context: values for the template's other variables (option lists, labels): text, numbers, booleans,
            lists and dictionaries, so that an exported prompt can carry them.

    Raises:
        TemplateError: a syntax error, a choice whose name is not a literal, a choice that depends on the row.
        InputError: a context value that a prompt cannot carry.

    >>> template = Template('{{ choice("greeting", ["Hello", "Hi"]) }} {{ row.name }}')
    >>> template.render({"greeting": "Hi"}, {"name": "Ada"})
    [{'role': 'user', 'content': 'Hi Ada'}]
    """

    def __init__(self, source: str, *, name: str = "template", context: Mapping[str, Any] | None = None) -> None:
        self.source = source
        self.name = name
        self.context = dict(context or {})
        for key, value in self.context.items():
            if key in ("row", "nearest", MESSAGES, *FUNCTIONS):
                raise InputError(f"context[{key!r}]: every template has something of that name; rename it")
            literal(value, where=f"context[{key!r}]")
        with refusing(name):
            self._ast = environment().parse(source, name)
            refuse_other_files(self._ast, name)
            self.lines = choice_lines(self._ast, name)
            self.row_fields = row_fields_only(self._ast)
            self._parents = Dependence(self._ast, name).parents
            self._compiled = compile_source(source, name)
            self._segments = segments(source)
            self._stored = stored_names(self._ast)
            self._names_used = {node.name for node in self._ast.find_all(nodes.Name)}
        self._pool_written: tuple[str, ExamplePool, str] | None = None

    @classmethod
    def read(cls, path: str | Path, context: Mapping[str, Any] | None = None) -> Template:
        """Read a file; a bare name that is no file here is looked up among the shipped templates.

        Raises:
            TemplateError: no such file, or not UTF-8.
        """
        given = Path(path)
        shipped = {Path(entry.name).stem: entry for entry in shipped_templates()}
        try:
            bare = given.parent == Path(".") and given.suffix in ("", ".j2")
            if bare and not given.exists() and given.stem in shipped:
                source = shipped[given.stem].read_text(encoding="utf-8")
            else:
                source = given.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise TemplateError(
                f"cannot read the template: {reason}; give a file or one of {', '.join(sorted(shipped))}",
                template=str(path),
            ) from None
        return cls(source, name=given.name, context=context)

    def with_context(self, context: Mapping[str, Any]) -> Template:
        """The same template with more context; what it has already stays."""
        return Template(self.source, name=self.name, context={**context, **self.context})

    def check(self, fields: Sequence[str], target: str | None = None, *, known: Iterable[str] = ()) -> None:
        """Static checks against the data: every variable and every field of the row exists.

        Raises:
            TemplateError: with the line and what there is instead.
        """
        offered = {"row", "answer", "nearest", *FUNCTIONS, *self.context, *known}
        # What is set in every branch of an `if` counts as undeclared too; a rendering tells if one is missing.
        allowed = {*offered, *optional_variables(self._ast), *self._stored}
        missing = meta.find_undeclared_variables(self._ast) - allowed
        for name in sorted(missing):
            raise TemplateError(
                f"undefined variable {name!r}; pass it in context=, or use {', '.join(sorted(offered))}",
                template=self.name,
                line=first_line(self._ast, name),
            )
        for line, column, by_attribute in row_fields_used(self._ast):
            if column == target:
                raise TemplateError(
                    f"row.{column} is the target, which a prompt must not see; use another field",
                    template=self.name,
                    line=line,
                )
            if column not in fields:
                raise TemplateError(
                    f"the rows have no field {column!r}; they have {', '.join(fields)}",
                    template=self.name,
                    line=line,
                )
            if by_attribute and column in _DICT_METHODS:
                raise TemplateError(
                    f'.{column} is a method of dictionaries; write row["{column}"]',
                    template=self.name,
                    line=line,
                )

    def render(
        self,
        choices: Mapping[str, Any] | None = None,
        row: Any = None,
        *,
        pool: ExamplePool | None = None,
    ) -> list[dict[str, str]]:
        """The chat messages for one row: ``[{"role": …, "content": …}, …]``.

        Args:
            choices: option (or its text) by choice name; missing ones take their first option.
            row: field values by name, without the target.
            pool: where shots come from.

        Raises:
            TemplateError: an unknown option or choice, an undefined variable.
        """
        messages, recorder = self._trace(choices or {}, row, pool)
        for name in choices or {}:
            if name not in recorder.factors and name.split(".")[0] not in (*self.names, "answer"):
                raise TemplateError(
                    f"there is no choice {name!r}, only {', '.join(self.names) or 'text'}; correct the name",
                    template=self.name,
                )
        return [message.to_dict() for message in messages]

    @property
    def names(self) -> tuple[str, ...]:
        """The choices that the source mentions, in order."""
        return tuple(self.lines)

    def _trace(
        self, choices: Mapping[str, Any], row: Any, pool: ExamplePool | None
    ) -> tuple[tuple[Message, ...], Recorder]:
        row = AnyRow() if row is None else row
        recorder = Recorder(choices, pool, row, self.lines, self.row_fields)
        variables = {"answer": choices.get("answer", ""), **self.context, "row": row, **recorder.functions()}
        return render_messages(self._compiled, variables, self._line_outside), recorder

    def _line_outside(self, outside: str) -> int | None:
        """The line of a text that a rendering left outside the chat blocks."""
        for data in outside_chat(self._ast):
            text = data.data.lstrip()
            if text and outside.startswith(text.strip()[:20]):
                return data.lineno + data.data[: len(data.data) - len(text)].count("\n")
        return None

    def space(self, row: Any = None, *, pool: ExamplePool | None = None, extra: Sequence[Factor] = ()) -> SearchSpace:
        """The dimensions, their options and conditions, found by rendering with one row.

        Args:
            row: any row of the data.
            pool: where shots come from.
            extra: factors outside the template (request parameters, model, answer form).

        Raises:
            TemplateError: a choice that cannot be reached, two lists of options under one name, any error of
                a rendering.
        """
        always = {factor.name: factor for factor in extra}
        for name in always:
            if name in self.lines:
                raise TemplateError(
                    f"{name!r} is a choice here and in the study's settings; rename this one",
                    template=self.name,
                    line=self.lines[name],
                )

        known: dict[str, Factor] = {}

        def consult(values: Mapping[str, Any]) -> dict[str, Factor]:
            texts = dict(values)
            if "answer" in always and "answer" in texts:
                texts["answer"] = always["answer"].texts[always["answer"].position(texts["answer"])]
            elif "answer" in always:
                texts["answer"] = always["answer"].texts[0]
            found = self._trace(texts, row, pool)[1].factors
            for name, factor in found.items():
                try:
                    check_same(known.setdefault(name, factor), factor.kind, factor.options)
                except InputError as error:
                    raise TemplateError(str(error), template=self.name, line=factor.line) from None
            return {**always, **found}

        space, unreached = discover(self.names, consult, self._parents)
        if unreached:
            raise TemplateError(
                f"the choice {unreached[0]!r} is never reached, whatever the other choices are; remove "
                f"it or its condition",
                template=self.name,
                line=self.lines[unreached[0]],
            )
        return space

    def shots(self, choices: Mapping[str, Any], row: Any, pool: ExamplePool | None) -> list[Mapping[str, Any]]:
        """The examples that a rendering shows, of all its lists."""
        return [shot for shown in self._trace(choices, row, pool)[1].shown.values() for shot in shown]

    def specialize(self, choices: Mapping[str, Any], row: Any = None, *, pool: ExamplePool | None = None) -> str:
        """The same template with the choices filled in: Jinja without search functions, self-contained.

        Branches that a choice decides are resolved, option lists disappear, labels and other context that is
        still needed is set at the top, shots are written out (``nearest`` keeps its pool).

        Args:
            choices, row, pool: as for `render`; the result is the same whatever the row.

        Raises:
            TemplateError: as for `render`, and shots without a pool to take them from.
        """
        recorder = self._trace(choices, row, pool)[1]
        with refusing(self.name):
            return Filler(self, recorder, choices.get("answer", "")).source()

    def _pool_text(self, variable: str, pool: ExamplePool) -> str:
        """A pool as source; the last one is kept, because every candidate of a study has the same."""
        kept = self._pool_written
        if kept is None or kept[0] != variable or kept[1] is not pool:
            self._pool_written = kept = (variable, pool, list_at_top(variable, pool.examples))
        return kept[2]

    def __repr__(self) -> str:
        return f"Template({self.name!r}, choices: {', '.join(self.names) or 'none'})"

    def _repr_html_(self) -> str:
        return _html.block(
            _html.fill("<div><b>{}</b> <small>{}</small></div>", self.name, f"{len(self.names)} choices"),
            _html.fill('<pre dir="auto">\n{}</pre>', self._marked),
        )

    @property
    def _marked(self) -> _html.Markup:
        """The source with every choice function and its choice's name marked."""
        parts: list[_html.Markup] = []
        end = 0
        for tag in _TAG.finditer(self.source):
            for call in _CALL.finditer(self.source, *tag.span()):
                parts += [_html.text(self.source[end : call.start()]), _html.fill("<mark>{}</mark>", call[0])]
                end = call.end()
        return _html.join([*parts, self.source[end:]])


def shipped_templates() -> list[Any]:
    """The template files inside the package, by name."""
    folder = resources.files("prompt_search") / "_templates"
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".j2")), key=lambda e: e.name)
