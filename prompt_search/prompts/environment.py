"""How templates and prompts become chat messages: the sandboxed Jinja environment and the chat block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro

from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import Message
from prompt_search.prompts.sandbox import Sandbox, allowance, refusing

FUNCTIONS = ("choice", "flag", "integer", "order", "examples")
"""The choice functions of a template."""

ROLES = ("system", "user", "assistant", "developer", "tool")
MESSAGES = "_messages"
"""Under which name a rendering finds the list that chat blocks fill."""


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
        messages: list[Message] = context[MESSAGES]
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
def environment() -> Sandbox:
    """The sandboxed environment that every template and every exported prompt is rendered in."""
    return Sandbox(
        extensions=[ChatExtension],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=finalize,
    )


def compile_source(source: str, name: str) -> jinja2.Template:
    """Compile for `render_messages`.

    Raises:
        TemplateError: a syntax error, with its line, or source too large or too deep for Python.
    """
    env = environment()
    with refusing(name):
        code = env.compile(source, name, name)
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
        with allowance():
            outside = compiled.render({**variables, MESSAGES: messages}).strip()
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
    if isinstance(error, RecursionError):
        return "the template calls itself too often; let its macros, blocks and loops end"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _line_of(error: BaseException, name: str) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


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
