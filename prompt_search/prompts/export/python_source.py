"""A prompt as a Python file that needs only jinja2: the messages to send, and how to read the answer in a response.

The file consists of the prompt's data and of functions that are pasted from `RUNTIME_FILES`.
"""

from __future__ import annotations

import ast
import pprint
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import nodes

from prompt_search.answers.base import Answer
from prompt_search.answers.forms import from_dict
from prompt_search.answers.label import Label
from prompt_search.answers.number import Number
from prompt_search.answers.regex import Regex
from prompt_search.answers.text import Text
from prompt_search.prompts.environment import environment
from prompt_search.prompts.export.prompt_files import needs_task

RUNTIME_FILES = (
    "answers/final_part.py",
    "answers/reading/plain_text.py",
    "answers/reading/label_matching.py",
    "answers/reading/label_places.py",
    "answers/reading/label_reading.py",
    "answers/reading/number_text.py",
    "answers/reading/number_context.py",
    "answers/reading/number_reading.py",
    "llm/replies/bodies.py",
    "llm/replies/completion_reading.py",
    "prompts/prompt_runtime.py",
)
"""The files of the package whose functions, classes and constants are pasted; no name is in two of them."""

_OWN_MODULES = ("__future__", "prompt_search")


def python_source(
    source: str,
    *,
    choices: Mapping[str, Any],
    parameters: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
    model: str | None,
    metric: Mapping[str, Any] | str | None = None,
    task: str | None = None,
) -> str:
    """The text of the file. It has ``read`` for every answer that can be read from one response without a schema."""
    read = _read(from_dict(answer)) if answer else None
    picks = any(name.name == "nearest" for name in environment().parse(source).find_all(nodes.Name))
    wanted = ["compiled", "chat_messages"] + ["nearest"] * picks + (read.functions if read else [])
    constants = {"MODEL": model, "PARAMETERS": parameters, "CHOICES": choices}
    constants |= ({} if metric is None else {"METRIC": metric}) | (read.constants if read else {})
    constants |= {} if task is None else {"TASK": needs_task(task)}
    imports, functions = pasted(wanted)
    return _FILE.format(
        imports=imports,
        constants="\n".join(f"{name} = {_literal(value)}" for name, value in constants.items()),
        source=_literal(source),
        functions=functions,
        imported="read, " if read else "",
        used="\n    answer = read(completion)" if read else "",
        picker="nearest" if picks else "None",
        read=read.source if read else "",
    )


@dataclass(frozen=True)
class _Read:
    """The function ``read`` of a file, and what it needs: functions of the runtime, and constants."""

    source: str
    functions: list[str]
    constants: dict[str, Any] = field(default_factory=dict)


def _read(form: Answer) -> _Read | None:
    """How the file reads a completion; None where that needs a schema or a second response."""
    match form:
        case Label(mode="text", labels=labels):
            return _Read(_READ_LABEL, ["answer_text", "read_label"], {"LABELS": tuple(labels)})
        case Label(mode="logprobs", needs_baseline=False, labels=labels, weights=weights):
            by_label = dict(zip(labels, weights or [1.0] * len(labels), strict=True))
            return _Read(_READ_FIRST_TOKEN, ["read_first_token"], {"WEIGHTS": by_label})
        case Number():
            return _Read(_READ_NUMBER, ["answer_text", "number_in"])
        case Text(strip=strip, first_line=first_line):
            return _Read(_READ_TEXT.format(strip=strip, first_line=first_line), ["answer_text", "stated_text"])
        case Regex(pattern=pattern, group=group):
            return _Read(_READ_MATCH, ["answer_text", "first_match"], {"PATTERN": pattern, "GROUP": group})
    return None


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=100, sort_dicts=False)


@dataclass(frozen=True)
class _Definition:
    """A function, class or constant of the runtime, and the names in it."""

    source: str
    names: frozenset[str]


def pasted(wanted: Iterable[str]) -> tuple[str, str]:
    """The runtime's functions and classes with the given names, and all that they use.

    Returns:
        The import lines, and the definitions in the order of the files.
    """
    definitions, imports = _runtime()
    needed: set[str] = set()
    used: set[str] = set()
    stack = list(wanted)
    while stack:
        name = stack.pop()
        if name in needed:
            continue
        needed.add(name)
        used |= definitions[name].names
        stack += [other for other in definitions[name].names if other in definitions]
    functions = "\n\n\n".join(definition.source for name, definition in definitions.items() if name in needed)
    return _import_lines([imports[name] for name in imports if name in used]), functions


@cache
def _runtime() -> tuple[dict[str, _Definition], dict[str, tuple[str, str | None]]]:
    """The definitions of the runtime's files by name, and their imports: name to (module, name in the module)."""
    definitions: dict[str, _Definition] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    for path in RUNTIME_FILES:
        text = (resources.files("prompt_search") / path).read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    definitions[name] = _definition(node, text, start)
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    definitions[name] = _definition(node, text, node.lineno)
                case ast.Import(names=aliases):
                    imports |= {alias.name: (alias.name, None) for alias in aliases}
                case ast.ImportFrom(module=str(module), names=aliases) if module.split(".")[0] not in _OWN_MODULES:
                    imports |= {alias.name: (module, alias.name) for alias in aliases}
    return definitions, imports


def _definition(node: ast.stmt, text: str, start: int) -> _Definition:
    # Not splitlines: a constant may hold other separators of lines.
    source = "\n".join(text.split("\n")[start - 1 : node.end_lineno])
    return _Definition(source, frozenset(name.id for name in ast.walk(node) if isinstance(name, ast.Name)))


def _import_lines(imports: Iterable[tuple[str, str | None]]) -> str:
    """Import statements: the standard library, then jinja2."""
    modules: dict[str, list[str]] = {}
    for module, name in imports:
        modules.setdefault(module, []).extend([name] if name else [])
    lines = {
        module: f"from {module} import {', '.join(sorted(names))}" if names else f"import {module}"
        for module, names in sorted(modules.items(), key=lambda item: (bool(item[1]), item[0]))
    }
    standard = [line for module, line in lines.items() if module.split(".")[0] != "jinja2"]
    jinja = [line for module, line in lines.items() if module.split(".")[0] == "jinja2"]
    return "\n\n".join("\n".join(block) for block in (standard, jinja) if block)


_READ_LABEL = '''

def read(completion: Any) -> str | None:
    """The label in a completion of the openai client; None where there is none."""
    text = answer_text(completion)
    return None if text is None else read_label(text, LABELS)[0]
'''

_READ_NUMBER = '''

def read(completion: Any) -> float | None:
    """The number in a completion of the openai client; None where there is none."""
    text = answer_text(completion)
    return None if text is None else number_in(text)
'''

_READ_TEXT = '''

def read(completion: Any) -> str | None:
    """The text of a completion of the openai client; None where there is none."""
    text = answer_text(completion, quotes_tags=True)
    return None if text is None else stated_text(text, strip={strip}, first_line={first_line})
'''

_READ_MATCH = '''

def read(completion: Any) -> str | None:
    """What the pattern finds in a completion of the openai client; None where there is no match.

    The search also read nothing where the pattern takes more than 500,000 steps; this function has no limit.
    """
    text = answer_text(completion, quotes_tags=True)
    return None if text is None else first_match(text, PATTERN, GROUP)
'''

_READ_FIRST_TOKEN = '''

def read(completion: Any) -> str | None:
    """The likeliest label in a completion of the openai client, by its first token; None where there is none."""
    return read_first_token(completion, WEIGHTS)
'''

_FILE = '''"""A prompt exported by prompt_search. It needs only jinja2.

    from this_file import messages, {imported}MODEL, PARAMETERS
    completion = client.chat.completions.create(model=MODEL, messages=messages(row), **PARAMETERS){used}
"""

from __future__ import annotations

{imports}

{constants}
SOURCE = {source}


{functions}


TEMPLATE = compiled(SOURCE)


def messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The chat messages for one row, a dictionary of its fields."""
    return chat_messages(TEMPLATE, row, {picker})
{read}'''
