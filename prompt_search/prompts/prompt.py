"""What ships: a `Prompt` is a template with all choices made, and everything that was sent along with it.

A candidate is scored with its `Prompt`, so an exported file is what was scored, not a description of it.
"""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes

from prompt_search import _html
from prompt_search._files import write_by_suffix
from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import Message
from prompt_search.prompts.environment import FUNCTIONS, compile_source, environment, literal, render_messages
from prompt_search.prompts.few_shot import nearest
from prompt_search.prompts.python_export import python_source
from prompt_search.prompts.space import Candidate

__all__ = ["Candidate", "Prompt"]

FORMAT = "prompt_search/prompt@1"
_HEADER = re.compile(r"\A\{# prompt_search (?P<body>\{.*?\}) #\}\n", re.DOTALL)
_OPEN, _CLOSE = "\ue000", "\ue001"
_PLACE = re.compile(f"{_OPEN}(.*?){_CLOSE}", re.DOTALL)


class _AnyRow:
    """A row with every field, for renderings whose row expressions are replaced by marks."""

    def __getitem__(self, name: str) -> str:
        return f"{{{{ row.{name} }}}}"


def _shown_nearest(pool: list[dict[str, Any]], row: Any, count: int) -> list[dict[str, str]]:
    names = pool[0] if pool else {}
    return [{name: f"({name} of nearest example {count - index})" for name in names} for index in range(count)]


def _marked(source: str) -> str | None:
    """The source with each ``{{ … }}`` over the row as text between marks that no prompt holds; None where the
    row also decides what else is there (a condition, a loop)."""
    parts: list[str] = []
    tag: list[tuple[str, str]] = []
    for _, kind, value in environment().lexer.tokeniter(source, None):
        if not tag and not kind.endswith("_begin"):
            parts.append(value)
            continue
        tag.append((kind, value))
        if not kind.endswith("_end"):
            continue
        text = "".join(part for _, part in tag)
        words = [(token, part) for token, part in tag if token != "whitespace"]
        names = {part for (_, left), (token, part) in pairwise(words) if token == "name" and left != "."}
        if "row" in names and tag[0][0] == "variable_begin":
            expression = "".join(part for _, part in tag[1:-1]).strip()
            text = f"{{{{ {literal(f'{_OPEN}{expression}{_CLOSE}')} }}}}"
        elif "row" in names and tag[0][0] == "block_begin" and "nearest" not in names:
            return None
        parts.append(text)
        tag = []
    return "".join(parts)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as it is sent.

    Args:
        source: a Jinja template over ``row`` alone, with chat blocks.
        choices: option text by choice name: how the search found it.
        parameters: what is sent besides the messages (temperature, max_tokens, …).
        answer: the answer form, as `prompt_search.answers` writes it, or None.
        model: the model it was scored on, or None.
        name: shown in error messages.

    >>> Prompt(source="Translate: {{ row.word }}").messages({"word": "cat"})
    [{'role': 'user', 'content': 'Translate: cat'}]
    """

    source: str
    choices: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    model: str | None = None
    name: str = "prompt"

    @cached_property
    def _compiled(self) -> jinja2.Template:
        return compile_source(self.source, self.name)

    def render(self, row: Any) -> tuple[Message, ...]:
        """The messages for one row (a mapping of its fields, without the target)."""
        return render_messages(self._compiled, {"row": row, "nearest": nearest})

    def messages(self, row: Any) -> list[dict[str, str]]:
        """The messages for one row, as the openai client takes them.

        Raises:
            TemplateError: the row lacks a field that the prompt uses.
        """
        return [message.to_dict() for message in self.render(row)]

    @cached_property
    def _outline(self) -> tuple[Message, ...]:
        """The messages with marks around what is filled in from the row; where the row decides about more than
        that, the source."""
        marked = _marked(self.source)
        if marked is None:
            return (Message("user", self.source.strip()),)
        variables = {"row": _AnyRow(), "nearest": _shown_nearest}
        return render_messages(compile_source(marked, self.name), variables)

    @property
    def text(self) -> str:
        """The whole prompt for people, fields as ``{{ row.field }}``; several messages are headed by role."""
        parts = self.turns
        if [role for role, _ in parts] == ["user"]:
            return parts[0][1]
        return "\n\n".join(f"{role}:\n{content}" for role, content in parts)

    def diff(self, other: Prompt) -> str:
        """A unified diff from this prompt's text to the other's."""
        lines = difflib.unified_diff(self.text.splitlines(), other.text.splitlines(), "this", "other", lineterm="", n=2)
        return "\n".join(lines)

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "choices": dict(self.choices),
            "parameters": dict(self.parameters),
            "answer": dict(self.answer) if self.answer else None,
            "model": self.model,
        }

    @cached_property
    def _needs_template(self) -> bool:
        """Whether the messages cannot be written as plain text with ``{{ row.field }}`` in it."""
        ast = environment().parse(self.source)
        plain = set()
        for output in ast.find_all(nodes.Output):
            for part in output.nodes:
                if isinstance(part, nodes.Getattr) or (
                    isinstance(part, nodes.Getitem) and isinstance(part.arg, nodes.Const)
                ):
                    plain.add(id(part.node))
        return any(id(name) not in plain for name in ast.find_all(nodes.Name) if name.name == "row")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form: ``messages`` with ``{{ row.field }}`` in them where the prompt allows that, else
        the ``template``."""
        if self._needs_template or re.search(f"[{_OPEN}{_CLOSE}]", self.source):
            body: dict[str, Any] = {"template": self.source}
        else:
            body = {
                "messages": [
                    {"role": message.role, "content": "".join(_as_jinja(message.content))} for message in self._outline
                ]
            }
        return {"format": FORMAT, **body, **self._settings}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], name: str = "prompt") -> Prompt:
        """The inverse of `to_dict`.

        Raises:
            InputError: not such a dictionary.
        """
        if not isinstance(body, Mapping) or body.get("format") != FORMAT:
            raise InputError(f'{name}: a prompt file says "format": "{FORMAT}"; export it again')
        try:
            source = body["template"] if "template" in body else _as_chat(body["messages"])
        except (KeyError, TypeError):
            raise InputError(
                f"{name}: a prompt file has a template, or messages with role and content; export it again"
            ) from None
        return cls._checked(source, body, name)

    @classmethod
    def _checked(cls, source: str, settings: Mapping[str, Any], name: str) -> Prompt:
        for key in ("choices", "parameters", "answer"):
            if not isinstance(settings.get(key) or {}, Mapping):
                raise InputError(f"{name}: {key!r} of a prompt file is an object, got {settings[key]!r}; correct it")
        if not isinstance(source, str):
            raise InputError(f"{name}: the template of a prompt file is text, got {source!r}; correct it")
        prompt = cls(
            source=source,
            choices=settings.get("choices") or {},
            parameters=settings.get("parameters") or {},
            answer=settings.get("answer"),
            model=settings.get("model"),
            name=name,
        )
        compile_source(source, name)  # a syntax error is told here, not at the first row
        called = {node.name for node in environment().parse(source).find_all(nodes.Name)} & set(FUNCTIONS)
        if called:
            raise TemplateError(
                f"{sorted(called)[0]!r} is a choice function, so this is a template, not a prompt; open it with "
                f"Template.read",
                template=name,
            )
        return prompt

    @classmethod
    def read(cls, path: str | Path) -> Prompt:
        """Read a prompt exported as ``.j2`` or ``.json``; rendering gives the bytes that were scored.

        Raises:
            InputError: no such file, another suffix, or not a prompt.
        """
        file = Path(path)
        if file.suffix not in (".j2", ".json"):
            raise InputError(f"{path}: a prompt is read from .j2 or .json, got {file.suffix or 'no suffix'!r}")
        try:
            text = file.read_bytes().decode("utf-8")
            if file.suffix == ".json":
                return cls.from_dict(json.loads(text), name=file.name)
            header = _HEADER.match(text)
            settings = json.loads(header["body"]) if header else {}
        except OSError as error:
            raise InputError(f"{path}: cannot read the prompt: {error.strerror}") from None
        except RecursionError:
            raise InputError(f"{path}: not a prompt file: nested too deeply") from None
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not a prompt file: {error}") from None
        return cls._checked(text[header.end() :] if header else text, settings, file.name)

    def export(self, path: str | Path) -> Path:
        """Write the prompt: ``.j2`` (Jinja), ``.json`` (chat messages), ``.txt`` (for people), ``.py`` (functions
        that need only jinja2: the messages to send and, for labels, how to read what comes back).

        Raises:
            InputError: another suffix, or the file cannot be written.
        """

        def encoded(text: Callable[[], str]) -> bytes:
            try:
                return text().encode("utf-8")
            except UnicodeEncodeError:
                raise InputError(f"{path}: the prompt holds half a character (a lone surrogate); remove it") from None

        texts = {".j2": self._as_j2, ".json": self._as_json, ".txt": self._as_txt, ".py": self._as_python}
        return write_by_suffix(path, {suffix: partial(encoded, text) for suffix, text in texts.items()}, "prompt")

    def _as_j2(self) -> str:
        body = json.dumps(self._settings, ensure_ascii=False).replace("#}", "#\\u007d")
        return f"{{# prompt_search {body} #}}\n{self.source}"

    def _as_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    def _as_txt(self) -> str:
        return self.text + "\n"

    def _as_python(self) -> str:
        return python_source(self.source, **self._settings)

    def __repr__(self) -> str:
        return f"Prompt({self.name!r}, {len(self.text):,} characters)\n{textwrap.indent(self.text, '  ')}"

    @property
    def turns(self) -> list[tuple[str, str]]:
        """(role, content) of every message, fields as ``{{ row.field }}``."""
        return [(message.role, _with_fields(message.content)) for message in self._outline]

    def _repr_html_(self) -> str:
        settings = {"model": self.model, **self.parameters}
        sent = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
        chosen = _html.table("", ("choice", "option"), self.choices.items())
        return _html.block(
            _html.fill("<div><b>{}</b> <small>{}</small></div>", self.name, sent),
            _html.messages(self.turns),
            _html.details("choices", chosen) if self.choices else "",
        )


def _as_chat(messages: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(
        f"{{% chat role={literal(message['role'])} %}}{message['content']}{{% endchat %}}" for message in messages
    )


def _with_fields(content: str) -> str:
    """Marks as people read them."""
    return _PLACE.sub(r"{{ \1 }}", content)


def _as_jinja(content: str) -> Iterator[str]:
    """Message text as Jinja source: fields as expressions, anything that Jinja would read as a literal."""
    for index, part in enumerate(_PLACE.split(content)):
        if index % 2:
            yield f"{{{{ {part} }}}}"
        elif re.search(r"[{}\r]|#$|^#", part):
            yield f"{{{{ {literal(part)} }}}}"
        else:
            yield part
