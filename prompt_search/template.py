"""One Jinja template as the whole search space.

The file reads as the prompt it makes; its named choices are the dimensions. `Template.render` is
define-by-run: the choice functions record what the rendering asked for. `Template.fix` writes the same
template with the choices filled in: plain Jinja, which is what a candidate is scored with and what ships.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prompt_search.completion import Message
from prompt_search.errors import InputError, TemplateError
from prompt_search.examples import ExamplePool, nearest
from prompt_search.space import Factor, Kind, SearchSpace, check_options, discover

FUNCTIONS = ("choice", "flag", "integer", "order", "examples")
ROLES = ("system", "user", "assistant", "developer", "tool")
ORDERS = ("as picked", "reversed")
RESERVED = frozenset(
    {"trial", "state", "score", "score_low", "score_high", "rows", "search_rows", "prompt_tokens", "cost_usd"}
    | {"latency_s", "unparsed", "errors", "reason", "prompt", "row", "split", "answer", "model"}
)
MOST_INTEGERS = 1_000
MOST_ORDERED = 6
_MESSAGES = "_messages"
_DICT_METHODS = frozenset(name for name in dir(dict) if not name.startswith("_"))


class ChatExtension(Extension):
    """``{% chat role="user" %}…{% endchat %}``: one chat message (the tag of the ``banks`` library)."""

    tags = {"chat"}  # noqa: RUF012  # jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        if parser.stream.current.test("name:role"):
            next(parser.stream)
            parser.stream.expect("assign")
            role = parser.parse_expression()
        else:
            parser.fail('a chat block names its role; write {% chat role="user" %}', line)
        body = parser.parse_statements(("name:endchat",), drop_needle=True)
        call = self.call_method("_chat", [role, nodes.ContextReference()], lineno=line)
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _chat(self, role: str, context: Context, caller: Macro) -> str:
        if role not in ROLES:
            raise InputError(f"a chat role is one of {', '.join(ROLES)}, got {role!r}")
        messages: list[Message] = context[_MESSAGES]
        before = len(messages)
        content = caller().strip()
        if len(messages) != before:
            raise InputError("a chat block cannot hold another; close the first one")
        if content:
            messages.append(Message(role, content))
        return ""


def finalize(value: object) -> object:
    """How ``{{ value }}`` reads: a missing value as nothing, a list or dictionary as JSON rather than Python.

    Its source is copied into exported prompts.
    """
    import json

    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else value


@lru_cache(maxsize=1)
def environment() -> ImmutableSandboxedEnvironment:
    """The sandboxed environment that every template and every exported prompt is rendered in."""
    made = ImmutableSandboxedEnvironment(
        extensions=[ChatExtension],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=finalize,
    )
    # The same candidate must be the same prompt every time.
    del made.filters["random"], made.globals["lipsum"]
    return made


def compile_source(source: str, name: str) -> jinja2.Template:
    """Compile for `render_messages`.

    Raises:
        TemplateError: a syntax error, with its line.
    """
    env = environment()
    try:
        code = env.compile(source, name, name)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"template syntax: {error.message}", template=name, line=error.lineno) from None
    return env.template_class.from_code(env, code, env.globals)


def render_messages(
    compiled: jinja2.Template,
    variables: Mapping[str, Any],
    line_outside: Callable[[str], int | None] = lambda text: None,
) -> tuple[Message, ...]:
    """Render to chat messages; without any chat block the whole text is one user message.

    Empty messages are left out and the text of each is stripped, so that an empty option leaves no trace.
    ``line_outside`` finds the line of a text that stands outside the chat blocks.

    Raises:
        TemplateError: with the line, whatever the template's code raised.
    """
    name = compiled.name or "template"
    messages: list[Message] = []
    try:
        outside = compiled.render({**variables, _MESSAGES: messages}).strip()
    except TemplateError:
        raise
    except Exception as error:
        raise TemplateError(_explain(error), template=name, line=_line_of(error, name)) from None
    if not messages:
        if not outside:
            raise TemplateError("the prompt is empty; write at least one message", template=name)
        return (Message("user", outside),)
    if outside:
        raise TemplateError(
            f"all text stands inside chat blocks when there is one, but this is outside: {outside[:60]!r}; "
            f"move it into a message",
            template=name,
            line=line_outside(outside),
        )
    return tuple(messages)


def _explain(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, jinja2.UndefinedError):
        return f"undefined variable: {error.message}; pass it in context= or correct the name"
    return f"{type(error).__name__}: {error}"


def _line_of(error: BaseException, name: str) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class AnyRow:
    """A stand-in for a row when there is no data: every field reads as its own name in braces."""

    def __getitem__(self, name: str) -> str:
        return f"{{{name}}}"

    def __iter__(self) -> Iterator[str]:
        return iter(())


@dataclass
class _Recorder:
    """The choice functions of one rendering, and what it asked for."""

    choices: Mapping[str, Any]
    pool: ExamplePool | None
    row: Any
    lines: Mapping[str, int]
    row_fields: Sequence[str] | None
    factors: dict[str, Factor] = field(default_factory=dict)
    shown: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {name: getattr(self, name) for name in FUNCTIONS}

    def ask(self, name: str, kind: Kind, options: Sequence[Any]) -> Any:
        """Record a factor and return the chosen option."""
        known = self.factors.get(name)
        if known is None:
            line = self.lines.get(name) or self.lines.get(name.split(".")[0])
            known = Factor(name=name, kind=kind, options=tuple(options), line=line)
            self.factors[name] = known
        else:
            check_same(known, kind, tuple(options))
        if name in self.choices:
            return known.options[known.position(self.choices[name])]
        return known.options[0]

    def choice(self, name: str, options: Iterable[Any]) -> Any:
        if isinstance(options, (str, Mapping)) or not isinstance(options, Iterable):
            raise InputError(f"choice {name!r} takes a list of options, got {options!r}")
        listed = list(options)
        check_options(listed, f"choice {name!r}")
        return self.ask(name, "choice", listed)

    def flag(self, name: str) -> bool:
        return bool(self.ask(name, "flag", (False, True)))

    def integer(self, name: str, low: int, high: int) -> int:
        if low > high:
            raise InputError(f"integer {name!r}: low <= high must hold, got low={low}, high={high}")
        if high - low >= MOST_INTEGERS:
            raise InputError(
                f"integer {name!r}: at most {MOST_INTEGERS} values, got {high - low + 1}; offer some of them "
                f"with choice()"
            )
        return int(self.ask(name, "integer", range(low, high + 1)))

    def order(self, name: str, items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        check_options(listed, f"order {name!r}")
        if len(listed) > MOST_ORDERED:
            raise InputError(f"order {name!r}: at most {MOST_ORDERED} items (720 orders), got {len(listed)}")
        return list(self.ask(name, "order", list(itertools.permutations(listed))))

    def examples(
        self,
        name: str,
        max: int,
        min: int = 0,
        pickers: Sequence[str] | None = None,
    ) -> list[Mapping[str, Any]]:
        if not 0 <= min <= max:
            raise InputError(f"examples {name!r}: 0 <= min <= max must hold, got min={min}, max={max}")
        if self.pool is not None and max > len(self.pool):
            raise InputError(
                f"examples {name!r}: max={max} shots, but only {len(self.pool)} rows may serve as examples; lower max"
            )
        if isinstance(pickers, str):
            raise InputError(f"examples {name!r}: pickers is a list of names, got {pickers!r}")
        count = self.ask(name, "examples", range(min, max + 1))
        if not count:
            return []
        offered = (self.pool.pickers() if self.pool else ("random 1",)) if pickers is None else pickers
        check_options(offered, f"examples {name!r}")
        picker = self.ask(f"{name}.picker", "choice", offered)
        order = self.ask(f"{name}.order", "choice", ORDERS) if count > 1 else ORDERS[0]
        if self.pool is None:
            return [AnyExample()] * count
        shots = self._pick(name, self.pool, picker, count)
        shots = shots[::-1] if order == "reversed" else shots
        self.shown[name] = shots
        return shots

    def _pick(self, name: str, pool: ExamplePool, picker: str, count: int) -> list[Mapping[str, Any]]:
        if picker != "nearest":
            try:
                return pool.pick(picker, count)
            except ValueError as error:
                raise InputError(f"examples {name!r}: {error}") from None
        if isinstance(self.row, AnyRow):
            return list(pool.examples[:count])
        # Alike is judged by what the prompt shows of a row: an exported prompt is given nothing else.
        seen = self.row if self.row_fields is None else {field: self.row[field] for field in self.row_fields}
        return list(nearest(pool.examples, seen, count))  # type: ignore[no-untyped-call]


def check_same(known: Factor, kind: Kind, options: tuple[Any, ...]) -> None:
    """Refuse a name that stands for two lists of options.

    Raises:
        InputError: with both lists.
    """
    if known.options != options or known.kind != kind:
        raise InputError(
            f"one name stands for one list of options, but {known.name!r} has two: {known.kind} "
            f"{_shortened(known.options)} and {kind} {_shortened(options)}; rename one"
        )


def _shortened(options: tuple[Any, ...]) -> str:
    text = repr(list(options))
    return text if len(text) <= 100 else text[:99] + "…"


class AnyExample(AnyRow, dict[str, Any]):
    """A stand-in for an example when there is no data."""


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
            if key in ("row", "nearest", _MESSAGES, *FUNCTIONS):
                raise InputError(f"context[{key!r}]: every template has something of that name; rename it")
            literal(value, where=f"context[{key!r}]")
        try:
            self._ast = environment().parse(source, name)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"template syntax: {error.message}", template=name, line=error.lineno) from None
        _refuse_other_files(self._ast, name)
        self.lines = _choice_lines(self._ast, name)
        self.row_fields = _row_fields_only(self._ast)
        self._parents = _Dependence(self._ast, name).parents
        self._compiled = compile_source(source, name)
        self._segments = _segments(source)
        self._stored = _stored_names(self._ast)
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
        allowed = {*offered, *_optional_variables(self._ast), *self._stored}
        missing = meta.find_undeclared_variables(self._ast) - allowed
        for name in sorted(missing):
            raise TemplateError(
                f"undefined variable {name!r}; pass it in context=, or use {', '.join(sorted(offered))}",
                template=self.name,
                line=_first_line(self._ast, name),
            )
        for line, column, by_attribute in _row_fields(self._ast):
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
    ) -> tuple[tuple[Message, ...], _Recorder]:
        row = AnyRow() if row is None else row
        recorder = _Recorder(choices, pool, row, self.lines, self.row_fields)
        variables = {"answer": choices.get("answer", ""), **self.context, "row": row, **recorder.functions()}
        return render_messages(self._compiled, variables, self._line_outside), recorder

    def _line_outside(self, outside: str) -> int | None:
        """The line of a text that a rendering left outside the chat blocks."""
        for data in _outside_chat(self._ast):
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

    def fix(self, choices: Mapping[str, Any], row: Any = None, *, pool: ExamplePool | None = None) -> str:
        """The same template with the choices filled in: Jinja without search functions, self-contained.

        Branches that a choice decides are resolved, option lists disappear, labels and other context that is
        still needed is set at the top, shots are written out (``nearest`` keeps its pool).

        Args:
            choices, row, pool: as for `render`; the result is the same whatever the row.

        Raises:
            TemplateError: as for `render`, and shots without a pool to take them from.
        """
        recorder = self._trace(choices, row, pool)[1]
        return _Fixer(self, recorder, choices.get("answer", "")).source()

    def _pool_text(self, variable: str, pool: ExamplePool) -> str:
        """A pool as source; the last one is kept, because every candidate of a study has the same."""
        kept = self._pool_written
        if kept is None or kept[0] != variable or kept[1] is not pool:
            self._pool_written = kept = (variable, pool, _list_at_top(variable, pool.examples))
        return kept[2]

    def __repr__(self) -> str:
        return f"Template({self.name!r}, choices: {', '.join(self.names) or 'none'})"

    def _repr_html_(self) -> str:
        from html import escape

        text = escape(self.source)
        for function in FUNCTIONS:
            text = re.sub(rf"\b{function}\(", f"<b>{function}</b>(", text)
        return (
            f"<div><b>{escape(self.name)}</b>"
            f"<pre style='white-space:pre-wrap;border-left:3px solid #8884;padding-left:.8em'>{text}</pre>"
            "</div>"
        )


def shipped_templates() -> list[Any]:
    """The template files inside the package, by name."""
    folder = resources.files("prompt_search") / "_templates"
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".j2")), key=lambda e: e.name)


# Static analysis


def _is_search_call(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in FUNCTIONS


def _choice_lines(ast: nodes.Template, template: str) -> dict[str, int]:
    """Choice name to the first line that mentions it."""
    lines: dict[str, int] = {}
    callees = set()
    for call in ast.find_all(nodes.Call):
        if not _is_search_call(call):
            continue
        assert isinstance(call.node, nodes.Name)
        callees.add(id(call.node))
        first = call.args[0] if call.args else next((k.value for k in call.kwargs if k.key == "name"), None)
        if not isinstance(first, nodes.Const) or not isinstance(first.value, str):
            raise TemplateError(
                f'{call.node.name}() takes its name as a literal string first: {call.node.name}("name", …)',
                template=template,
                line=call.lineno,
            )
        name = first.value
        if not re.fullmatch(r"[A-Za-z]\w*", name) or name in RESERVED:
            raise TemplateError(
                f"a choice's name is a word of letters, digits and underscores, and not a column of the "
                f"result tables; got {name!r}",
                template=template,
                line=call.lineno,
            )
        lines.setdefault(name, call.lineno)
    for node in ast.find_all(nodes.Name):
        if node.name in FUNCTIONS and id(node) not in callees:
            raise TemplateError(
                f'{node.name!r} is a choice function; call it: {node.name}("name", …)',
                template=template,
                line=node.lineno,
            )
    return lines


def _refuse_other_files(ast: nodes.Template, template: str) -> None:
    for node in ast.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise TemplateError(
            "a template stands alone, without include, import or extends; copy the text into it",
            template=template,
            line=node.lineno,
        )


def _optional_variables(ast: nodes.Template) -> set[str]:
    """Variables that the template asks about (``is defined``) or gives a default."""
    asking = [
        *(node for node in ast.find_all(nodes.Test) if node.name in ("defined", "undefined")),
        *(node for node in ast.find_all(nodes.Filter) if node.name in ("default", "d")),
    ]
    return {node.node.name for node in asking if isinstance(node.node, nodes.Name)}


def _outside_chat(node: nodes.Node) -> Iterator[nodes.TemplateData]:
    """Text that is not inside a chat block or a macro."""
    if isinstance(node, nodes.TemplateData):
        yield node
    elif not isinstance(node, (nodes.CallBlock, nodes.Macro)):
        for child in node.iter_child_nodes():
            yield from _outside_chat(child)


def _first_line(ast: nodes.Template, name: str) -> int | None:
    return next((node.lineno for node in ast.find_all(nodes.Name) if node.name == name), None)


def _row_fields(ast: nodes.Template) -> Iterator[tuple[int, str, bool]]:
    """(line, field, whether written as an attribute) for every ``row.field`` and ``row["field"]``."""
    for node in ast.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name="row"), attr=name):
                yield node.lineno, name, True
            case nodes.Getitem(node=nodes.Name(name="row"), arg=nodes.Const(value=str(name))):
                yield node.lineno, name, False


def _row_fields_only(ast: nodes.Template) -> tuple[str, ...] | None:
    """The fields that the template reads from the row, or None where it may read any."""
    reads = [node for node in ast.find_all(nodes.Name) if node.name == "row"]
    fields = sorted({name for _, name, _ in _row_fields(ast)})
    return tuple(fields) if fields and len(reads) == sum(1 for _ in _row_fields(ast)) else None


_ROW = "row"
_Sources = frozenset[str]
_NONE: _Sources = frozenset()


class _Dependence:
    """What decides whether a choice is asked for, and with which options: the row, other choices, nothing.

    The space must be the same for every row, so a choice that depends on the row, or on the text of an
    example (which may be picked by the row), is refused. How many examples there are is not their text. The
    analysis follows names through assignments, loops, macros and call blocks until nothing changes; it takes
    every name as one variable and so errs on the side of refusing.

    Attributes:
        parents: the choices, and ``answer``, that decide about others; no other does.
    """

    def __init__(self, ast: nodes.Template, template: str) -> None:
        self.template = template
        self.parents: set[str] = set()
        self.macros = {node.name: node for node in ast.find_all(nodes.Macro)}
        self._carried: dict[tuple[str, str], _Sources] = {("value", "row"): frozenset({_ROW})}
        self._carry("value", "answer", frozenset({"answer"}))
        self._macro = ""
        self._refusing = False
        while self._grew(ast):
            pass
        self._refusing = True
        self._grew(ast)

    def _grew(self, ast: nodes.Template) -> bool:
        before = dict(self._carried)
        self._all(ast.body, _NONE)
        return before != self._carried

    def _carry(self, what: str, name: str, sources: _Sources) -> None:
        """``value``: of a variable; ``list``: of one that holds examples; ``calls``: around a macro's calls;
        ``caller``: around the uses of ``caller`` in a macro."""
        self._carried[what, name] = self._carried.get((what, name), _NONE) | sources

    def _of(self, what: str, name: str) -> _Sources:
        return self._carried.get((what, name), _NONE)

    # What an expression depends on

    def _value(self, node: nodes.Node | None) -> _Sources:
        """All that may show in a value; the text of examples counts as the row."""
        if node is None:
            return _NONE
        shots = self._shots(node)
        if shots is not None:
            return shots | {_ROW}
        match node:
            case nodes.Name():
                return self._of("value", node.name)
            case nodes.Filter(name="length" | "count"):
                return self._truth(node.node)
            case nodes.Not():
                return self._truth(node.node)
            case nodes.And():  # the left side is the value only where it is false
                return self._truth(node.left) | self._value(node.right)
            case nodes.CondExpr():
                return self._truth(node.test) | self._value(node.expr1) | self._value(node.expr2)
        own = frozenset({_choice_name(node)}) if _is_search_call(node) else _NONE
        return own.union(*map(self._value, node.iter_child_nodes()))

    def _truth(self, node: nodes.Node | None) -> _Sources:
        """What decides whether a value counts as true, or how long it is."""
        if node is None:
            return _NONE
        if isinstance(node, (nodes.And, nodes.Or)):
            return self._truth(node.left) | self._truth(node.right)
        shots = self._shots(node)
        return self._value(node) if shots is None else shots

    def _shots(self, node: nodes.Node | None) -> _Sources | None:
        """What a list of examples depends on besides the row; None for any other expression."""
        match node:
            case nodes.Name() if ("list", node.name) in self._carried:
                return self._of("list", node.name) | (self._of("value", node.name) - {_ROW})
            case nodes.Call(node=nodes.Name(name="examples")):
                return frozenset({_choice_name(node)})
            case nodes.Filter(name="list" | "reverse"):
                return self._shots(node.node)
            case nodes.Getitem(arg=nodes.Slice()):
                shots = self._shots(node.node)
                return None if shots is None else shots | self._value(node.arg)
            case nodes.CondExpr():
                branches = [self._shots(b) for b in (node.expr1, node.expr2) if not _is_empty_list(b)]
                if branches and all(branch is not None for branch in branches):
                    return self._truth(node.test).union(*(branch or _NONE for branch in branches))
        return None

    # What surrounds a statement or an expression

    def _all(self, children: Iterable[nodes.Node | None], under: _Sources) -> None:
        for child in children:
            if child is not None:
                self._visit(child, under)

    def _visit(self, node: nodes.Node, under: _Sources) -> None:
        match node:
            case nodes.For():
                self._visit(node.iter, under)
                inside = under | self._truth(node.iter) | self._truth(node.test)
                self._assign(node.target, self._value(node.iter))
                self._all([*node.body, *node.else_, node.test], inside)
            case nodes.If():
                for branch in (node, *node.elif_):
                    self._visit(branch.test, under)
                    under |= self._truth(branch.test)
                    self._all(branch.body, under)
                self._all(node.else_, under)
            case nodes.CondExpr():
                self._visit(node.test, under)
                self._all([node.expr1, node.expr2], under | self._truth(node.test))
            case nodes.And() | nodes.Or():
                self._visit(node.left, under)
                self._visit(node.right, under | self._truth(node.left))
            case nodes.Compare():  # a < b < c stops at the first that is false
                self._visit(node.expr, under)
                self._all(node.ops, under | self._value(node.expr) if len(node.ops) > 1 else under)
            case nodes.Assign():
                self._visit(node.node, under)
                shots = self._shots(node.node)
                if shots is None or not isinstance(node.target, nodes.Name):
                    self._assign(node.target, under | self._value(node.node))
                else:
                    self._carry("list", node.target.name, under | shots)
            case nodes.AssignBlock():
                self._all(node.body, under)
                self._assign(node.target, under.union(*map(self._value, node.body)))
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._visit(value, under)
                    self._assign(target, under | self._value(value))
                self._all(node.body, under)
            case nodes.Macro():
                self._visit_macro(node, under)
            case nodes.CallBlock(call=nodes.Call(node=nodes.Name(name=name))) if name in self.macros:
                self._visit(node.call, under)
                for argument in node.args:
                    self._assign(argument, self._of("value", name))
                self._all(node.body, under | self._of("caller", name))
            case nodes.Call():
                self._visit_call(node, under)
            case nodes.Name() if node.name in self.macros and node.ctx == "load":
                self._pass(node.name, frozenset({_ROW}), frozenset({_ROW}))  # called from anywhere
            case _:
                self._all(node.iter_child_nodes(), under)

    def _assign(self, target: nodes.Node, sources: _Sources) -> None:
        for node in (target, *target.find_all((nodes.Name, nodes.NSRef))):
            if isinstance(node, (nodes.Name, nodes.NSRef)):
                self._carry("value", node.name, sources)

    def _visit_macro(self, node: nodes.Macro, under: _Sources) -> None:
        outer, self._macro = self._macro, node.name
        self._all(node.defaults, under)
        self._all(node.body, under | self._of("calls", node.name))
        self._macro = outer
        self._carry("value", node.name, under.union(*map(self._value, node.body)))

    def _visit_call(self, node: nodes.Call, under: _Sources) -> None:
        arguments = [*node.args, *(keyword.value for keyword in node.kwargs), node.dyn_args, node.dyn_kwargs]
        self._all(arguments, under)
        if _is_search_call(node):
            self._asked(node, under.union(*map(self._value, arguments)))
        elif isinstance(node.node, nodes.Name) and node.node.name in self.macros:
            self._pass(node.node.name, under, _NONE.union(*map(self._value, arguments)))
        elif isinstance(node.node, nodes.Name) and node.node.name == "caller":
            self._carry("caller", self._macro, under)
        else:
            self._visit(node.node, under)

    def _pass(self, macro: str, under: _Sources, arguments: _Sources) -> None:
        self._carry("calls", macro, under)
        for name in [*(argument.name for argument in self.macros[macro].args), "varargs", "kwargs"]:
            self._carry("value", name, arguments)

    def _asked(self, node: nodes.Call, sources: _Sources) -> None:
        if _ROW in sources and self._refusing:
            raise TemplateError(
                "a choice must be the same for every row, but this one depends on the row (or on the text of "
                "an example); move it out of the condition or loop, or give every row the same options",
                template=self.template,
                line=node.lineno,
            )
        self.parents |= sources - {_ROW}
        if isinstance(node.node, nodes.Name) and node.node.name == "examples":
            self.parents.add(_choice_name(node))  # the picker and the order exist only with shots


def _is_empty_list(node: nodes.Node | None) -> bool:
    return node is None or (isinstance(node, nodes.List) and not node.items)


def _choice_name(node: nodes.Node) -> str:
    assert isinstance(node, nodes.Call)
    first = node.args[0] if node.args else next(k.value for k in node.kwargs if k.key == "name")
    assert isinstance(first, nodes.Const)
    return str(first.value)


# Writing a template with its choices filled in


def literal(value: Any, where: str = "value") -> str:
    """A value as a Jinja literal that reads back as the same value (a range as a list).

    Raises:
        InputError: not text, number, boolean, None, list or dictionary with text keys.

    >>> literal({"a": ['say "hi"\\n', 1.5, True, None]})
    '{"a": ["say \\\\"hi\\\\"\\\\n", 1.5, true, none]}'
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _text_literal(value)
    if isinstance(value, int) or (isinstance(value, float) and value - value == 0):
        # repr of the base type, because that of a numpy number is a call
        text = (int if isinstance(value, int) else float).__repr__(value)
        return f"({text})" if text.startswith("-") else text
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        items = (f"{_text_literal(key)}: {literal(item, where)}" for key, item in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{literal(item, where)}, " for item in value).rstrip(" ") + ")"
    if isinstance(value, (list, range)):
        return "[" + ", ".join(literal(item, where) for item in value) + "]"
    raise InputError(
        f"{where}: a prompt can carry text, finite numbers, booleans, lists and dictionaries, got "
        f"{type(value).__name__}; convert it first"
    )


def _text_literal(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(c, f"\\x{ord(c):02x}" if ord(c) < 32 else c) for c in text) + '"'


_Token = tuple[str, str]
_CALL = "call"
"""The kind of a token that stands for a whole choice call; its value is ``function:name``."""
_BY_ROW = "by row"
"""The kind of a token that picks examples by the row."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of a template's source: data, or one whole tag with its tokens, delimiters included."""

    kind: str
    tokens: tuple[_Token, ...]

    @property
    def inner(self) -> list[_Token]:
        """The tokens between the delimiters, without whitespace."""
        return [token for token in self.tokens[1:-1] if token[0] != "whitespace"]

    @property
    def keyword(self) -> str:
        return self.inner[0][1] if self.kind == "block" and self.inner else ""

    @property
    def names(self) -> Iterator[str]:
        """Every name in a tag that may be a variable's."""
        previous = ""
        for kind, value in self.inner if self.kind != "data" else []:
            if kind == "name" and previous != ".":
                yield value
            previous = value

    @property
    def source(self) -> str:
        """The source between the delimiters."""
        return "".join(value for _, value in self.tokens[1:-1])

    def before(self, word: str) -> list[_Token]:
        """The tokens of a tag between its keyword and the first ``word``."""
        return self.inner[1 : [value for _, value in self.inner].index(word)]

    def after(self, word: str) -> str:
        """The source of a tag behind the first ``word``."""
        start = next((i for i, token in enumerate(self.tokens) if token[1] == word), len(self.tokens))
        return "".join(value for _, value in self.tokens[start + 1 : -1])

    def renamed(self, keyword: str) -> _Segment:
        """The same ``if`` or ``elif`` with the other keyword, or an ``else``."""
        start = next(i for i, token in enumerate(self.tokens) if token[1] == self.keyword)
        rest = self.tokens[start + 1 :] if keyword != "else" else (("whitespace", " "), self.tokens[-1])
        return _Segment("block", (("block_begin", "{%"), ("whitespace", " "), ("name", keyword), *rest))


@dataclass(frozen=True, slots=True)
class _Block:
    """An ``if`` or ``for`` with its branches: (tag, body), in order."""

    branches: tuple[tuple[_Segment, list[_Segment | _Block]], ...]
    end: _Segment


_Tree = list[_Segment | _Block]


def _segments(source: str) -> _Tree:
    """The source as a tree of segments, choice calls folded to one token each, comments left out."""
    tokens = [(kind, value) for _, kind, value in environment().lexer.tokeniter(source, None)]
    return _tree(iter(list(_grouped(_folded(tokens)))))[0]


def _grouped(tokens: Iterable[_Token]) -> Iterator[_Segment]:
    current: list[_Token] = []
    for kind, value in tokens:
        current.append((kind, value))
        opened = current[0][0]
        if opened == "data":
            yield _Segment("data", tuple(current))
        elif kind == "raw_end":
            yield _Segment("data", tuple(token for token in current if token[0] == "data"))
        elif kind.endswith("_end") and opened != "comment_begin":
            yield _Segment(opened.removesuffix("_begin"), tuple(current))
        elif not kind.endswith("_end"):
            continue
        current = []


def _folded(tokens: list[_Token]) -> Iterator[_Token]:
    index = 0
    while index < len(tokens):
        end = _call_end(tokens, index)
        if end is None:
            yield tokens[index]
            index += 1
            continue
        text = "".join(value for _, value in tokens[index:end])
        call = environment().parse(f"{{{{ {text} }}}}").find(nodes.Call)
        assert call is not None
        yield _CALL, f"{tokens[index][1]}:{_choice_name(call)}"
        if end < len(tokens) and tokens[end][0] == "name":  # flag("x")and …
            yield "whitespace", " "
        index = end


def _call_end(tokens: list[_Token], start: int) -> int | None:
    """The position after a choice call that begins at ``start``, or None."""
    if tokens[start][0] != "name" or tokens[start][1] not in FUNCTIONS:
        return None
    before = next((t for t in reversed(tokens[:start]) if t[0] != "whitespace"), ("", ""))
    index = start + 1
    while index < len(tokens) and tokens[index][0] == "whitespace":
        index += 1
    if before[1] in (".", "|") or index >= len(tokens) or tokens[index] != ("operator", "("):
        return None
    depth = 0
    for position in range(index, len(tokens)):
        if tokens[position][0] == "operator":
            depth += {"(": 1, ")": -1}.get(tokens[position][1], 0)
            if depth == 0:
                return position + 1
    return None


def _tree(segments: Iterator[_Segment]) -> tuple[_Tree, _Segment | None]:
    """Segments up to the tag that ends or continues the surrounding block, and that tag."""
    found: _Tree = []
    for segment in segments:
        if segment.keyword in ("elif", "else", "endif", "endfor"):
            return found, segment
        if segment.keyword not in ("if", "for"):
            found.append(segment)
            continue
        branches, tag = [], segment
        while not tag.keyword.startswith("end"):
            body, following = _tree(segments)
            branches.append((tag, body))
            assert following is not None
            tag = following
        found.append(_Block(tuple(branches), tag))
    return found, None


_UNDECIDED = object()
_OPENING = frozenset({"if", "for", "macro", "chat", "call", "filter", "with", "block", "autoescape"})
_SCOPED = frozenset({"set", "macro", "call", "with", "block"})
"""Tags that give names values, or may be met once only: a loop around them stays a loop."""
_MOST_UNROLLED = 64
_ITERABLES = (list, tuple, dict, KeysView, ValuesView, ItemsView)
_PLAIN = (str, int, float, list, tuple, dict, type(None))


def _flat(tree: _Tree) -> Iterator[_Segment]:
    for part in tree:
        if isinstance(part, _Segment):
            yield part
        else:
            for tag, body in part.branches:
                yield tag
                yield from _flat(body)


class _SomeShots:
    """Stands for examples picked by the row: that there are some is all that is known."""

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("only the row decides which")

    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("only the row decides which")


@lru_cache(maxsize=4096)
def _expression(text: str) -> tuple[frozenset[str], Callable[..., Any]] | None:
    """The variables of an expression and the function that computes it; None where it is none."""
    try:
        names = meta.find_undeclared_variables(environment().parse(f"{{{{ {text} }}}}"))
        return frozenset(names), environment().compile_expression(text, undefined_to_none=False)
    except jinja2.TemplateSyntaxError:  # `for … in items recursive`
        return None


class _Fixer:
    """Writes a template with its choices filled in.

    Conditions and loops that hold only constants are resolved, assignments that nothing uses any more
    dropped. The lexer has already applied whitespace control to the data, so all is written such that reading
    it again changes nothing.
    """

    def __init__(self, template: Template, recorder: _Recorder, answer: str) -> None:
        self.template = template
        self.recorder = recorder
        self.context = {"answer": answer, **template.context}
        stored = template._stored
        self.once = {name for name in stored if stored.count(name) == 1}
        self.known = {name: value for name, value in self.context.items() if name not in stored}
        self.pools: dict[str, str] = {}
        self.kept: list[_Segment] = []
        self.constants: dict[int, str] = {}
        self.depth = 0

    def source(self) -> str:
        self._walk(self.template._segments)
        self._drop_unused()
        body = self._written()
        used = {name for segment in self.kept for name in segment.names}
        header = [f"{{% set {name} = {literal(value)} %}}\n" for name, value in self.context.items() if name in used]
        pools = [text for name, text in self.pools.items() if re.search(rf"\b{name}\b", body)]
        return "".join([*header, *pools, body])

    # Which segments stay

    def _walk(self, tree: _Tree) -> None:
        for part in tree:
            if isinstance(part, _Segment):
                self._keep(self._filled(part))
            elif part.branches[0][0].keyword == "if":
                self._walk_if(part)
            else:
                self._walk_for(part)

    def _walk_if(self, block: _Block) -> None:
        opened = False
        for tag, body in block.branches:
            filled = self._filled(tag)
            holds = True if tag.keyword == "else" else self._constant(filled.after(tag.keyword))
            certain = holds is not _UNDECIDED
            if certain and not holds:
                continue
            if not certain:
                self._keep(filled.renamed("elif" if opened else "if"))
                opened = True
            elif opened:
                self._keep(filled.renamed("else"))
            self._walk(body)
            if certain:
                break
        if opened:
            self._keep(block.end)

    def _walk_for(self, block: _Block) -> None:
        (opening, body), *otherwise = block.branches
        loop = self._filled(opening)
        targets = [name for kind, name in loop.before("in") if kind == "name"]
        items = self._constant(loop.after("in"))
        items = list(items) if isinstance(items, _ITERABLES) else None
        if items == []:
            self._walk(otherwise[0][1] if otherwise else [])
        elif not (items and len(items) <= _MOST_UNROLLED and self._unroll(targets, items, body)):
            self._keep(loop)
            with self._knowing(dict.fromkeys([*targets, "loop"], _UNDECIDED)):
                self._walk(body)
            for tag, instead in otherwise:
                self._keep(tag)
                self._walk(instead)
            self._keep(block.end)

    def _unroll(self, targets: list[str], items: list[Any], body: _Tree) -> bool:
        """Write a loop over constants out; False, and nothing written, where the body needs the loop."""
        if any(segment.keyword in _SCOPED for segment in _flat(body)):
            return False
        start = len(self.kept)
        for index, item in enumerate(items):
            values = [item] if len(targets) == 1 else list(item)
            place = {"index": index + 1, "index0": index, "length": len(items)}
            ends = {"first": index == 0, "last": index == len(items) - 1}
            with self._knowing({**dict(zip(targets, values, strict=False)), "loop": {**place, **ends}}):
                self._walk(body)
        if any(name in (*targets, "loop") for segment in self.kept[start:] for name in segment.names):
            del self.kept[start:]
            return False
        return True

    @contextmanager
    def _knowing(self, values: Mapping[str, Any]) -> Iterator[None]:
        """For a while, some names have these values; ``_UNDECIDED`` for none."""
        before = self.known
        self.known = {k: v for k, v in {**before, **values}.items() if v is not _UNDECIDED}
        yield
        self.known = before

    def _keep(self, segment: _Segment) -> None:
        self.kept.append(segment)
        if segment.keyword.startswith("end"):
            self.depth -= 1
            if segment.keyword == "endset" and self.depth == 0:
                self._fold_block()
        elif segment.keyword in _OPENING:
            self.depth += 1
        elif segment.keyword == "set":
            self._learn(segment)

    def _learn(self, segment: _Segment) -> None:
        """Remember the constant that a ``set`` outside all blocks gives to a name, if it is the only one."""
        _, (_, name), *rest = segment.inner
        if not rest or rest[0][1] == "|":
            self.depth += 1  # the form with endset
        elif self.depth == 0 and name in self.once and rest[0][1] == "=":
            by_row = rest[1][0] == _BY_ROW and len(rest) == 2
            value = _SomeShots() if by_row else self._constant(segment.after("="))
            if isinstance(value, (*_PLAIN, _SomeShots)):  # a namespace can change
                self.known[name] = value
                self.constants[id(segment)] = name

    def _fold_block(self) -> None:
        """Write ``{% set name %}text{% endset %}`` as an assignment, if it holds nothing but text."""
        start = max(index for index, segment in enumerate(self.kept) if segment.keyword == "set")
        opening, inside = self.kept[start], self.kept[start + 1 : -1]
        name = opening.inner[1][1]
        if name not in self.once or any(segment.kind != "data" for segment in inside):
            return
        text = self._constant(literal("".join(segment.tokens[0][1] for segment in inside)) + opening.after(name))
        if not isinstance(text, str):
            return
        value = (("whitespace", " "), ("operator", "="), ("whitespace", " "), ("literal", literal(text)))
        end = (("whitespace", " "), self.kept[-1].tokens[-1])
        start_tokens = (opening.tokens[0], ("whitespace", " "), *opening.inner[:1], ("whitespace", " "))
        folded = _Segment("block", (*start_tokens, ("name", name), *value, *end))
        self.known[name] = text
        self.constants[id(folded)] = name
        self.kept[start:] = [folded]

    def _drop_unused(self) -> None:
        """Leave out the assignments of constants that nothing names."""
        while True:
            used = {name for s in self.kept for name in s.names if self.constants.get(id(s)) != name}
            kept = [s for s in self.kept if id(s) not in self.constants or self.constants[id(s)] in used]
            if len(kept) == len(self.kept):
                return
            self.kept = kept

    def _constant(self, expression: str) -> Any:
        """The value of an expression over known values, or ``_UNDECIDED``."""
        parsed = _expression(expression)
        if parsed is None or not parsed[0] <= self.known.keys():
            return _UNDECIDED
        try:
            value = parsed[1](**{name: self.known[name] for name in parsed[0]})
        except Exception:  # stays in the source, so that a rendering that gets there tells
            return _UNDECIDED
        return _UNDECIDED if isinstance(value, jinja2.Undefined) else value

    # Choice calls as literals

    def _filled(self, segment: _Segment) -> _Segment:
        """A segment with literals for choice calls, and as text where it is constant."""
        if any(kind == _CALL for kind, _ in segment.tokens):
            segment = _Segment(segment.kind, tuple(map(self._token, segment.tokens)))
        if segment.kind != "variable":
            return segment
        value = self._constant(segment.source)
        if value is _UNDECIDED or not isinstance(value, _PLAIN):
            return segment
        text = str(finalize(value))
        if not re.search(r"[\x00-\x08\x0b-\x1f]|\{[{%#]|\{\Z", text):
            return _Segment("data", (("data", text),))
        return _Segment(
            "variable", (("variable_begin", "{{"), ("literal", f" {literal(text)} "), ("variable_end", "}}"))
        )

    def _token(self, token: _Token) -> _Token:
        kind, call = token
        if kind != _CALL:
            return token
        return self._shots(call) if call.startswith("examples:") else ("literal", literal(self._value(call)))

    def _value(self, call: str) -> Any:
        function, name = call.split(":")
        factor = self.recorder.factors.get(name)
        if factor is None:  # inside a branch that this candidate never takes
            return {"flag": False, "order": [], "examples": 0}.get(function, "")
        value = factor.options[factor.position(self.recorder.choices.get(name, factor.options[0]))]
        return list(value) if function == "order" else value

    def _shots(self, call: str) -> _Token:
        """The shots as a variable set at the top; for ``nearest`` the call on the pool."""
        name, count, pool = call.split(":")[1], int(self._value(call)), self.recorder.pool
        if not count:
            return "literal", "[]"
        if pool is None:
            raise TemplateError(
                f"{count} examples need rows to be taken from; pass pool=",
                template=self.template.name,
                line=self.template.lines[name],
            )
        factor = self.recorder.factors[f"{name}.picker"]
        if self.recorder.choices.get(factor.name, factor.options[0]) != "nearest":
            variable = self._free_name(f"{name}_shown")
            shown = [dict(shot) for shot in self.recorder.shown[name]]
            self.known[variable] = shown
            self.pools[variable] = _list_at_top(variable, shown)
            return "name", variable
        variable = self._free_name(f"{name}_pool")
        self.pools[variable] = self.template._pool_text(variable, pool)
        fields = self.template.row_fields or ()
        seen = ", ".join(f"{literal(field)}: row[{literal(field)}]" for field in fields)
        seen = f"{{{seen}}}" if fields else "row"
        reverse = self.recorder.choices.get(f"{name}.order", ORDERS[0]) == "reversed"
        return _BY_ROW, f"nearest({variable}, {seen}, {count})" + ("[::-1]" if reverse else "")

    def _free_name(self, name: str) -> str:
        while name in self.template._names_used or name in self.context:
            name += "_"
        return name

    # Source text

    def _written(self) -> str:
        data, tags = [""], []
        for segment in self.kept:
            if segment.kind == "data":
                data[-1] += segment.tokens[0][1]
            else:
                tags.append(segment)
                data.append("")
        data = [re.sub(r"\{(?=[{%#]|\Z)", '{{ "{" }}', text) for text in data]
        data[0] = data[0].lstrip()
        text, at_line_start = data[0], True
        for tag, before, after in zip(tags, data, data[1:], strict=False):
            start = before.rfind("\n") + 1
            stripped = before[start:].isspace() and (start > 0 or at_line_start)
            written = _written_tag(tag, keep_before=stripped, keep_after=after.startswith("\n"))
            text += written + after
            at_line_start = written.endswith("\n")
        return text.rstrip()


def _written_tag(tag: _Segment, keep_before: bool, keep_after: bool) -> str:
    """A tag, with ``+`` where the lexer would otherwise take whitespace that belongs to the text."""
    inside = f" {tag.source}" if tag.source.startswith(("-", "+")) else tag.source
    if tag.kind == "variable":
        return "{{" + inside + "}}"
    end = "%}\n" if "\n" in tag.tokens[-1][1] else "+%}" if keep_after else "%}"
    return ("{%+" if keep_before else "{%") + inside + end


def _list_at_top(variable: str, items: Sequence[Mapping[str, Any]]) -> str:
    lines = "".join(f"  {literal(dict(item))},\n" for item in items)
    return f"{{% set {variable} = [\n{lines}] %}}\n"


def _stored_names(ast: nodes.Template) -> list[str]:
    """Every name that the template gives a value, as often as it does."""
    variables = [node.name for node in ast.find_all(nodes.Name) if node.ctx != "load"]
    return variables + [macro.name for macro in ast.find_all(nodes.Macro)]
