"""The content of prompt files: ``.j2`` with a header, and ``.json``; also as people write them by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import nodes

from prompt_search.answers.json_response import DEEPEST
from prompt_search.errors import InputError, TemplateError
from prompt_search.prompts.environment import CHAT_ROLES, FUNCTIONS, compile_source, environment, literal

FORMAT = "prompt_search/prompt@1"
"""The value of ``format`` in a prompt's JSON."""

NEEDS_US = "prompt_search.Prompt.read renders this file, jinja2 alone does not, for it has"
JINJA_ALONE = (
    "jinja2 alone renders this file, with Environment(trim_blocks=True, lstrip_blocks=True), to the text of one user "
    "message, whose ends are stripped"
)
ELSEWHERE = "elsewhere use the export to .py (needs only jinja2) or .json (chat messages)"
"""Parts of the note in a ``.j2`` file."""
WRITTEN_KEYS = ("messages", "template", "choices", "parameters", "answer", "model", "metric")
"""The keys that the JSON of a prompt written by hand may have."""

_FILE_NAME = re.compile(r"[^\n{}]{1,200}\.(?:j2|jinja2?|json|txt|md|prompt)")

_HEADER = re.compile(r"\A\{# prompt_search (?P<body>\{.*?\}) #\}\n", re.DOTALL)


def j2_text(source: str, settings: Mapping[str, Any]) -> str:
    """The content of a ``.j2`` file: the settings in a comment, with who can render the file, then the source."""
    note = "; ".join([_note(source), *([] if settings.get("task") is None else [needs_task(settings["task"])])])
    body = json.dumps({"note": note, **settings}, ensure_ascii=False).replace("#}", "#\\u007d")
    return f"{{# prompt_search {body} #}}\n{source}"


def needs_task(task: str) -> str:
    """That a prompt needs a program, for people who open its file."""
    return f"chosen for the task {task}, the function that makes the calls with this prompt, and that it needs"


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
        raise InputError(
            f"{path}: a prompt is read from .j2 or .json, got {file.suffix or 'no suffix'!r}; rename a text with "
            "{{ row.FIELD }} to .j2, and export a prompt that is to be read again as .j2 or .json"
        )
    try:
        text = file.read_bytes().decode("utf-8-sig")
        if file.suffix == ".json":
            body = _loaded(text)
            return source_of_json(body, file.name), body if isinstance(body, Mapping) else {}
        header = _HEADER.match(text)
        return (text[header.end() :], _loaded(header["body"])) if header else (text, {})
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the prompt: {error.strerror}; give the path of a .j2 or .json file"
        ) from None
    except RecursionError:
        raise InputError(
            f"{path}: not a prompt file: its JSON is nested more than {DEEPEST} levels deep; remove some"
        ) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a prompt file: {error}") from None


def _loaded(text: str) -> Any:
    """The JSON value of a text, if all that read, store or show it can.

    Raises:
        ValueError: the text is not JSON; Python reads NaN as well.
        RecursionError: it is nested too deeply.
    """

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no number of JSON; write a finite one")

    value = json.loads(text, parse_constant=refuse)
    waiting = [(value, DEEPEST)]
    while waiting:
        part, levels = waiting.pop()
        if not levels:
            raise RecursionError
        parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        waiting += [(inner, levels - 1) for inner in parts if isinstance(inner, (dict, list))]
    return value


def source_of_json(body: Any, name: str) -> str:
    """The source of a prompt in its JSON form, as it was exported or as people write it: a list of messages, or an
    object with ``messages``.

    Raises:
        InputError: the JSON is not a prompt.
    """
    if isinstance(body, Sequence) and not isinstance(body, (str, bytes)):
        return _as_chat(body, name)
    if not isinstance(body, Mapping):
        raise InputError(
            f"{name}: a prompt file must hold a list of messages, or an object with messages, got {body!r}"
        )
    if body.get("format", FORMAT) != FORMAT:
        raise InputError(f'{name}: a prompt file must have "format": "{FORMAT}" or no format; export it again')
    unknown = [key for key in body if key not in ("format", *WRITTEN_KEYS)] if "format" not in body else []
    if unknown:
        raise InputError(
            f"{name}: {unknown[0]!r} is no key of a prompt, which has {', '.join(WRITTEN_KEYS)}; request parameters "
            'stand inside of "parameters"'
        )
    if "template" not in body and "messages" not in body:
        raise InputError(f"{name}: a prompt file must have a template, or messages with role and content; add them")
    return body["template"] if "template" in body else _as_chat(body["messages"], name)


def is_read(text: str) -> bool:
    """Whether a text is the name of a file that `read_file` reads, not a prompt."""
    return _FILE_NAME.fullmatch(text) is not None and text.endswith((".j2", ".json"))


def check_is_text(text: object) -> None:
    """Refuse a name of a file in place of a prompt's text.

    Raises:
        InputError: it is one, or no text at all.
    """
    if not isinstance(text, str):
        raise InputError(f"a prompt is text with {{{{ row.FIELD }}}}, got {text!r}; give the text")
    if _FILE_NAME.fullmatch(text.strip()):
        raise InputError(f"{text.strip()!r} is a file name, not a prompt; use Prompt.read({text.strip()!r})")


def check(source: Any, settings: Mapping[str, Any], name: str) -> None:
    """Refuse settings of other types, source that does not compile, and source with choice functions.

    Raises:
        InputError: a setting or the source has another type.
        TemplateError: a syntax error, or a choice function.
    """
    for key in ("choices", "parameters", "answer"):
        if not isinstance(settings.get(key) or {}, Mapping):
            raise InputError(f"{name}: {key!r} of a prompt file must be an object, got {settings[key]!r}; correct it")
    if not isinstance(settings.get("metric") or "", (Mapping, str)):
        raise InputError(
            f"{name}: 'metric' of a prompt file must be a name or an object, got {settings['metric']!r}; correct it"
        )
    for key in ("model", "task"):
        if not isinstance(settings.get(key) or "", str):
            raise InputError(f"{name}: {key!r} of a prompt file must be a name, got {settings[key]!r}; correct it")
    if not isinstance(source, str):
        raise InputError(f"{name}: the template of a prompt file must be text, got {source!r}; correct it")
    compile_source(source, name)
    called = {node.name for node in environment().parse(source).find_all(nodes.Name)} & set(FUNCTIONS)
    if called:
        raise TemplateError(
            f"{sorted(called)[0]!r} is a choice function, so this is a template, not a prompt; open it with "
            "Template.read, as the template= of a study",
            template=name,
        )


def _as_chat(messages: Any, name: str) -> str:
    """The messages as chat blocks.

    Raises:
        InputError: they are no messages, each with a role and a text.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)) or not messages:
        raise InputError(f"{name}: messages must be a list with at least one message, got {repr(messages)[:80]}")
    for message in messages:
        fits = isinstance(message, Mapping) and message.keys() >= {"role", "content"}
        if not fits or not isinstance(message["content"], str) or message["role"] not in CHAT_ROLES:
            raise InputError(
                f"{name}: a message must have a role ({', '.join(CHAT_ROLES)}) and content that is text, got "
                f"{repr(message)[:80]}; correct it"
            )
    return "\n".join(
        f"{{% chat role={literal(message['role'])} %}}{message['content']}{{% endchat %}}" for message in messages
    )
