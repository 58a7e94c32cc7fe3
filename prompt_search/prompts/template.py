"""One Jinja template as the whole search space.

The file reads as the prompt that it makes, and its named choices are the dimensions of the space. `Template.render` is
define-by-run: the choice functions record the choices that the rendering uses. `Template.specialize` writes the same
template with the choices filled in. The result is plain Jinja: a candidate is scored with it, and it ships.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from prompt_search import _html
from prompt_search._first_tries import named
from prompt_search._names import HALF_CHARACTER, has_half_character
from prompt_search._template_files import read_template_file
from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import Message
from prompt_search.prompts.choice_functions import AnyRow, ChoiceFunctions, Offered, Trace, check_same
from prompt_search.prompts.discovery import Render, discover
from prompt_search.prompts.environment import FUNCTIONS, MESSAGES, literal, render_messages
from prompt_search.prompts.factors import Factor
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.habits import (
    check_comments,
    check_literal_fields,
    check_option_texts,
    check_shows_row,
    texts_in,
)
from prompt_search.prompts.sandbox.steps import counted_in, refusing
from prompt_search.prompts.space import SearchSpace
from prompt_search.prompts.specialize.parsed_template import ParsedTemplate
from prompt_search.prompts.specialize.specializer import Specializer
from prompt_search.prompts.static_checks import check_row_fields, check_variables, outside_chat, row_field_names

_TAG = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_CALL = re.compile(rf"\b(?:{'|'.join(FUNCTIONS)})\(\s*(?:\"[^\"]*\"|'[^']*')?")


class Template:
    """A Jinja template with named choices.

    Args:
        source: the template's text.
        name: shown in error messages; usually a file name.
        context: values for the template's other variables, such as option lists and labels. They are text, numbers,
            booleans, lists or dictionaries, so that an exported prompt can carry them.

    Raises:
        TemplateError: a path in place of a text, a syntax error, a comment amid a line, a choice whose name is not a
            literal, or a choice that depends on the row.
        InputError: a context value that a prompt cannot carry.

    >>> template = Template('{{ choice("greeting", ["Hello", "Hi"]) }} {{ row.name }}')
    >>> template.render({"greeting": "Hi"}, {"name": "Ada"})
    [{'role': 'user', 'content': 'Hi Ada'}]
    """

    def __init__(self, source: str, *, name: str = "template", context: Mapping[str, Any] | None = None) -> None:
        if not isinstance(source, str):
            raise InputError(
                f"a template is a text, not {named(source)}; give one with {{{{ row.FIELD }}}} and choices"
            )
        if has_half_character(source):
            raise TemplateError(f"the source {HALF_CHARACTER}", template=name)
        if source.strip() in _shipped() or re.fullmatch(r"[^\n{}]+\.(j2|jinja2?)", source.strip()):
            raise TemplateError(
                f"{source!r} names a file, and Template takes a text; write Template.read({source!r})", template=name
            )
        self.source = source
        self.name = name
        self.context: dict[str, Any] = _copied(dict(context or {}))
        for key, value in self.context.items():
            if key in ("row", "nearest", MESSAGES, *FUNCTIONS):
                raise InputError(f"context[{key!r}]: the name is reserved in templates; rename it")
            literal(value, where=f"context[{key!r}]")
        check_comments(source, name)
        self._parsed = ParsedTemplate.parse(source, name)
        self._counted = counted_in(self.context)
        self._offered: dict[str, Offered] = {}
        self.grown: Mapping[str, Sequence[str]] = {}

    @classmethod
    def read(cls, path: str | Path, context: Mapping[str, Any] | None = None) -> Template:
        """Read a template file, or a shipped template if the path is a bare name and no such file exists.

        Raises:
            TemplateError: there is no such file, or it is not UTF-8.
        """
        source = read_template_file(path, _shipped(), "template")
        return cls(source, name=Path(path).name, context=context)

    def with_context(self, context: Mapping[str, Any]) -> Template:
        """The same template with more context; the values that it already has stay."""
        return Template(self.source, name=self.name, context={**context, **self.context})

    def with_grown(self, grown: Mapping[str, Sequence[str]]) -> Template:
        """The same template with further options, by choice: those that were proposed to a choice that may grow
        (``grow=``). They follow the options that are written in it."""
        found = copy(self)
        found.grown, found._offered = dict(grown), {}
        return found

    def check(
        self,
        fields: Sequence[str],
        target: str | None = None,
        *,
        known: Iterable[str] = (),
        exported: bool = False,
    ) -> None:
        """Check statically that every variable and every field of the row exists.

        Args:
            fields: the fields of the rows, the target among them.
            target: the field that a prompt must not read.
            known: names of further variables.
            exported: whether it is a prompt that was exported, which may hold texts of rows.

        Raises:
            TemplateError: a variable or a field does not exist; the message has the line and those that exist.
        """
        ast, shown = self._parsed.ast, [field for field in fields if field != target]
        offered = {"row", "answer", "nearest", *FUNCTIONS, *self.context, *known}
        # Before the check of variables: that of Jinja folds the lists of the tree.
        read = row_field_names(ast)
        check_literal_fields(ast, self.name, shown, read, exported=exported)
        check_option_texts(texts_in(self.context), self.name, shown)
        check_variables(ast, self.name, offered, shown)
        check_row_fields(ast, self.name, fields, target)
        check_shows_row(ast, self.name, shown)

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
            pool: the examples that shots are taken from.

        Raises:
            TemplateError: an option or a choice is unknown, or a variable is undefined.
        """
        messages, trace = self._trace(choices or {}, row, pool)
        for name in choices or {}:
            if name not in trace.factors and name.split(".")[0] not in (*self.names, "answer"):
                raise TemplateError(
                    f"there is no choice {name!r}, only {', '.join(self.names) or 'text'}; correct the name",
                    template=self.name,
                )
        return [message.to_dict() for message in messages]

    @property
    def lines(self) -> Mapping[str, int]:
        """The line of each choice, by name, in the order of the source."""
        return self._parsed.lines

    @property
    def row_fields(self) -> tuple[str, ...] | None:
        """The fields of the row that the template reads, or None if it may read any."""
        return self._parsed.row_fields

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the choices in the order of the source."""
        return tuple(self.lines)

    def _trace(
        self, choices: Mapping[str, Any], row: Any, pool: ExamplePool | None
    ) -> tuple[tuple[Message, ...], Trace]:
        row = AnyRow() if row is None else row
        functions = ChoiceFunctions(choices, pool, row, self.lines, self.row_fields, self._offered, self.grown)
        variables = {"answer": choices.get("answer", ""), **self.context, "row": row, **functions.by_name()}
        return render_messages(self._parsed.compiled, variables, self._line_outside, self._counted), functions.trace

    def _line_outside(self, outside: str) -> int | None:
        """The line of a text that a rendering has outside the chat blocks."""
        for data in outside_chat(self._parsed.ast):
            text = data.data.lstrip()
            if text and outside.startswith(text.strip()[:20]):
                return data.lineno + data.data[: len(data.data) - len(text)].count("\n")
        return None

    def space(self, row: Any = None, *, pool: ExamplePool | None = None, extra: Sequence[Factor] = ()) -> SearchSpace:
        """The search space of the template, found by rendering it with one row.

        Args:
            row: any row of the data.
            pool: the examples that shots are taken from.
            extra: factors outside the template (request parameters, model, answer form).

        Raises:
            TemplateError: a choice cannot be reached, one name has two lists of options, or a rendering fails.
        """
        always = {factor.name: factor for factor in extra}
        for name in always:
            if name in self.lines:
                raise TemplateError(
                    f"{name!r} is a choice here and in the study's settings; rename this one",
                    template=self.name,
                    line=self.lines[name],
                )

        render = self._factors_by_rendering(row, pool, always)
        space, unreached = discover(self.names, render, self._parsed.parents)
        if unreached:
            raise TemplateError(
                f"the choice {unreached[0]!r} is never reached, whatever the other choices are; remove "
                f"it or its condition",
                template=self.name,
                line=self.lines[unreached[0]],
            )
        return space

    def _factors_by_rendering(self, row: Any, pool: ExamplePool | None, always: Mapping[str, Factor]) -> Render:
        """The function that renders for `discover`; the factors in ``always`` are part of every rendering."""
        known: dict[str, Factor] = {}

        def render(values: Mapping[str, Any]) -> dict[str, Factor]:
            choices = dict(values)
            if "answer" in always:
                answer = always["answer"]
                choices["answer"] = answer.texts[answer.position(choices["answer"]) if "answer" in choices else 0]
            found = self._trace(choices, row, pool)[1].factors
            for name, factor in found.items():
                if known.setdefault(name, factor) is factor:
                    continue
                try:
                    check_same(known[name], factor)
                except InputError as error:
                    raise TemplateError(str(error), template=self.name, line=factor.line) from None
            return {**always, **found}

        return render

    def shots(self, choices: Mapping[str, Any], row: Any, pool: ExamplePool | None) -> list[Mapping[str, Any]]:
        """All examples that a rendering shows."""
        return [shot for shown in self._trace(choices, row, pool)[1].shown.values() for shot in shown]

    def specialize(self, choices: Mapping[str, Any], row: Any = None, *, pool: ExamplePool | None = None) -> str:
        """The same template with the choices filled in: self-contained Jinja without choice functions.

        Branches that a choice decides are resolved and option lists disappear. Labels and other context that is still
        needed are set at the top, and shots are written out (``nearest`` keeps its pool).

        Args:
            choices: as for `render`.
            row: as for `render`; the result is the same for every row.
            pool: as for `render`.

        Raises:
            TemplateError: as for `render`, and if there are shots but no pool.
        """
        trace = self._trace(choices, row, pool)[1]
        context = {"answer": choices.get("answer", ""), **self.context}
        with refusing(self.name):
            return Specializer(self._parsed, context, trace, pool).source()

    def __repr__(self) -> str:
        return f"Template({self.name!r}, choices: {', '.join(self.names) or 'none'})"

    def _repr_html_(self) -> str:
        return _html.block(
            _html.fill("<div><b>{}</b> <small>{}</small></div>", self.name, f"{len(self.names)} choices"),
            _html.fill('<pre dir="auto">\n{}</pre>', self._marked),
        )

    @property
    def _marked(self) -> _html.Markup:
        """The source in HTML, with every choice function and its choice's name marked."""
        parts: list[_html.Markup] = []
        end = 0
        for tag in _TAG.finditer(self.source):
            for call in _CALL.finditer(self.source, *tag.span()):
                parts += [_html.text(self.source[end : call.start()]), _html.fill("<mark>{}</mark>", call[0])]
                end = call.end()
        return _html.join([*parts, self.source[end:]])


def _copied(value: Any) -> Any:
    """The value with lists and dictionaries of its own, which nobody else can change."""
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if type(value) in (list, tuple) else value


def shipped_templates() -> list[Any]:
    """The template files inside the package, sorted by name."""
    folder = resources.files("prompt_search") / "_templates"
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".j2")), key=lambda e: e.name)


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Any]:
    """The template files inside the package, by their names without suffix, in the order of these."""
    return {Path(entry.name).stem: entry for entry in shipped_templates()}
