"""Rendering templates and prompts to chat messages, in a sandboxed Jinja environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context

from prompt_search._names import HALF_CHARACTER, has_half_character
from prompt_search.answers.base import clipped
from prompt_search.data.rows import Row
from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import Message
from prompt_search.prompts.habits import as_field
from prompt_search.prompts.prompt_runtime import ChatBlock, finalize, tojson
from prompt_search.prompts.sandbox.jinja_sandbox import Sandbox
from prompt_search.prompts.sandbox.steps import CountedValues, allowance, refusing

FUNCTIONS = ("choice", "flag", "integer", "order", "examples")
"""Names of the choice functions that a template may call."""

CHAT_ROLES = ("system", "user", "assistant", "developer", "tool")
"""Roles that a chat message may have."""
_MISSING_FIELD = re.compile(r"'[\w.]*(?:Row|dict) object' has no attribute '(?P<name>.*)'")
"""Jinja's words for a field that a row does not have."""

LONGEST_ERROR = 1_000
"""Number of characters of an error of a rendering; Jinja quotes names and values in full."""
MESSAGES = "_messages"
"""Name of the variable with the list that chat blocks append messages to."""


class CheckedChatBlock(ChatBlock):
    """The chat block, which also checks its role and that no chat block is inside it."""

    def _chat(self, role: str, context: Context, caller: Callable[[], str]) -> str:
        if role not in CHAT_ROLES:
            raise InputError(f"a chat role must be one of {', '.join(CHAT_ROLES)}, got {role!r}")
        messages: list[dict[str, str]] = context[MESSAGES]
        before = len(messages)

        def content() -> str:
            text: str = caller()
            if len(messages) != before:
                raise InputError("a chat block cannot contain another; close the first one")
            return text

        return super()._chat(role, context, content)


@lru_cache(maxsize=1)
def environment() -> Sandbox:
    """The sandboxed environment in which every template and every prompt is rendered."""
    return Sandbox(
        extensions=[CheckedChatBlock],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=finalize,
        filters={"tojson": tojson},
    )


def compile_source(source: str, name: str) -> jinja2.Template:
    """Compile source for `render_messages`.

    Raises:
        TemplateError: the source has a syntax error, or is too large or nested too deeply for Python.
    """
    with refusing(name):
        return compile_tree(environment().parse(source, name), name)


def compile_tree(tree: nodes.Template, name: str) -> jinja2.Template:
    """Compile a syntax tree, which this changes, for `render_messages`; within `refusing`."""
    env = environment()
    return env.template_class.from_code(env, env.compile(tree, name, name), env.globals)


def render_messages(
    compiled: jinja2.Template,
    variables: Mapping[str, Any],
    line_outside: Callable[[str], int | None] = lambda text: None,
    counted: CountedValues | None = None,
) -> tuple[Message, ...]:
    """Render to chat messages; without any chat block the whole text is one user message.

    Empty messages are left out and each text is stripped, so that an empty option leaves no trace.

    Args:
        compiled: the result of `compile_source`.
        variables: the variables of the template.
        line_outside: a function that finds the line of a text outside the chat blocks.
        counted: large values that do not change from rendering to rendering; see `allowance`.

    Raises:
        TemplateError: the rendering raised an error; the message has the line.
    """
    name = compiled.name or "template"
    messages: list[dict[str, str]] = []
    try:
        with allowance(counted):
            outside = compiled.render({**variables, MESSAGES: messages}).strip()
    except TemplateError:
        raise
    except Exception as error:
        raise TemplateError(
            clipped(_explain(error, variables), LONGEST_ERROR), template=name, line=_line_of(error, name)
        ) from None
    if not messages:
        if not outside:
            raise TemplateError("the prompt is empty; write at least one message", template=name)
        return (Message("user", outside),)
    if outside:
        raise TemplateError(
            "a template with chat blocks must have all its text inside them, but this is outside: "
            f"{outside[:60]!r}; move it into a message",
            template=name,
            line=line_outside(outside),
        )
    return tuple(Message(message["role"], message["content"]) for message in messages)


def _explain(error: Exception, variables: Mapping[str, Any]) -> str:
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, jinja2.UndefinedError) and error.message == "'labels' is undefined":
        if FUNCTIONS[0] not in variables:
            return "a whole prompt has no labels to show; write them out, as in: Labels: good, bad"
        return (
            "the labels come from the data of a study: study.space(), or template.with_context({'labels': [...]}) "
            "without one"
        )
    if isinstance(error, jinja2.UndefinedError):
        return _explain_undefined(str(error.message), variables)
    if isinstance(error, RecursionError):
        return "the template calls itself too often; let its macros, blocks and loops end"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _explain_undefined(message: str, variables: Mapping[str, Any]) -> str:
    """What to do about a variable or a field that is not there; prompts have no context to pass one in."""
    row = variables.get("row")
    fields = list(row) if isinstance(row, (Row, Mapping)) else []
    missing = _MISSING_FIELD.fullmatch(message)
    if missing and fields and missing["name"] not in fields:
        return f"the rows have no field {missing['name']!r}; they have {', '.join(fields)}"
    name = message.removesuffix(" is undefined").strip("'")
    if variables.keys() <= {"row", "nearest"} and message == f"{name!r} is undefined":
        shown = fields if fields and name not in fields else [name]
        return f"undefined variable {name!r}; a field of the row is written {', '.join(map(as_field, shown[:3]))}"
    return f"undefined variable: {message}; pass it in context= or correct the name"


def _line_of(error: BaseException, name: str) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def literal(value: Any, where: str = "value") -> str:
    """A value as a Jinja literal, which Jinja reads as the same value (a range as a list).

    Raises:
        InputError: the value is no text, number, boolean, None, list or dictionary with text keys.

    >>> literal({"a": ['say "hi"\\n', 1.5, True, None]})
    '{"a": ["say \\\\"hi\\\\"\\\\n", 1.5, true, none]}'
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, str):
        if has_half_character(value):
            raise InputError(f"{where}: the text {value[:60]!r} {HALF_CHARACTER}")
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
