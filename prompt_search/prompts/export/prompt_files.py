"""The content of prompt files: ``.j2`` with a header, and ``.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import nodes

from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.environment import FUNCTIONS, compile_source, environment, literal

FORMAT = "prompt_search/prompt@1"
"""The value of ``format`` in a prompt's JSON."""

NEEDS_US = "prompt_search.Prompt.read renders this file, jinja2 alone does not, for it has"
JINJA_ALONE = (
    "jinja2 alone renders this file, with Environment(trim_blocks=True, lstrip_blocks=True), to the text of one user "
    "message, whose ends are stripped"
)
ELSEWHERE = "elsewhere use the export to .py (needs only jinja2) or .json (chat messages)"
"""Parts of the note in a ``.j2`` file."""

_HEADER = re.compile(r"\A\{# prompt_search (?P<body>\{.*?\}) #\}\n", re.DOTALL)


def j2_text(source: str, settings: Mapping[str, Any]) -> str:
    """The content of a ``.j2`` file: the settings in a comment, with who can render the file, then the source."""
    body = json.dumps({"note": _note(source), **settings}, ensure_ascii=False).replace("#}", "#\\u007d")
    return f"{{# prompt_search {body} #}}\n{source}"


def _note(source: str) -> str:
    """Whether jinja2 alone renders a source, for people who open the file."""
    ast = environment().parse(source)
    needs = ["chat blocks"] if next(ast.find_all(nodes.ExtensionAttribute), None) is not None else []
    if any(name.name == "nearest" for name in ast.find_all(nodes.Name)):
        needs.append("examples that are picked by the row")
    if needs:
        return f"{NEEDS_US} {' and '.join(needs)}; {ELSEWHERE}"
    return f"{JINJA_ALONE}; {ELSEWHERE}"


def read_file(path: str | Path) -> tuple[str, Mapping[str, Any]]:
    """The source and the settings in a ``.j2`` or ``.json`` file.

    Raises:
        InputError: there is no such file, it has another suffix, or it is not a prompt.
    """
    file = Path(path)
    if file.suffix not in (".j2", ".json"):
        raise InputError(f"{path}: a prompt is read from .j2 or .json, got {file.suffix or 'no suffix'!r}")
    try:
        text = file.read_bytes().decode("utf-8-sig")
        if file.suffix == ".json":
            body = json.loads(text)
            return source_of_json(body, file.name), body
        header = _HEADER.match(text)
        return (text[header.end() :], json.loads(header["body"])) if header else (text, {})
    except OSError as error:
        raise InputError(f"{path}: cannot read the prompt: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"{path}: not a prompt file: nested too deeply") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a prompt file: {error}") from None


def source_of_json(body: Mapping[str, Any], name: str) -> str:
    """The source of a prompt in its JSON form.

    Raises:
        InputError: the JSON is not a prompt.
    """
    if not isinstance(body, Mapping) or body.get("format") != FORMAT:
        raise InputError(f'{name}: a prompt file must have "format": "{FORMAT}"; export it again')
    try:
        source: str = body["template"] if "template" in body else _as_chat(body["messages"])
    except (KeyError, TypeError):
        raise InputError(
            f"{name}: a prompt file must have a template, or messages with role and content; export it again"
        ) from None
    return source


def check(source: Any, settings: Mapping[str, Any], name: str) -> None:
    """Refuse settings of other types, source that does not compile, and source with choice functions.

    Raises:
        InputError: a setting or the source has another type.
        TemplateError: a syntax error, or a choice function.
    """
    for key in ("choices", "parameters", "answer"):
        if not isinstance(settings.get(key) or {}, Mapping):
            raise InputError(f"{name}: {key!r} of a prompt file must be an object, got {settings[key]!r}; correct it")
    if not isinstance(source, str):
        raise InputError(f"{name}: the template of a prompt file must be text, got {source!r}; correct it")
    compile_source(source, name)
    called = {node.name for node in environment().parse(source).find_all(nodes.Name)} & set(FUNCTIONS)
    if called:
        raise TemplateError(
            f"{sorted(called)[0]!r} is a choice function, so this is a template, not a prompt; open it with "
            f"Template.read",
            template=name,
        )


def _as_chat(messages: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(
        f"{{% chat role={literal(message['role'])} %}}{message['content']}{{% endchat %}}" for message in messages
    )
