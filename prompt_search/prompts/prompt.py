"""The prompt that ships: a template with all choices made, and the settings that are sent along with it.

A candidate is scored with its `Prompt`, so an exported file is the prompt that was scored, not a description of it.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import jinja2

from prompt_search import _html
from prompt_search._files import write_by_suffix
from prompt_search._first_tries import FirstTries, by_names, named, told
from prompt_search._names import PROMPT_SUFFIXES
from prompt_search.answers.base import Answer, clipped
from prompt_search.data.rows import listed
from prompt_search.errors import InputError, TemplateError
from prompt_search.llm.messages import Message
from prompt_search.prompts.asking import Askable
from prompt_search.prompts.environment import compile_source, environment, render_messages
from prompt_search.prompts.export import prompt_files
from prompt_search.prompts.export.outline import as_jinja, decided_by_row, for_people, needs_template, outline
from prompt_search.prompts.export.prompt_files import needs_task
from prompt_search.prompts.export.promptfoo import promptfoo_text
from prompt_search.prompts.export.python_source import python_source
from prompt_search.prompts.factors import Candidate
from prompt_search.prompts.prompt_runtime import nearest
from prompt_search.prompts.sandbox.steps import refusing
from prompt_search.prompts.static_checks import row_fields_used

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset

__all__ = ["Candidate", "Prompt"]


@dataclass(frozen=True, kw_only=True)
class Prompt(Askable, FirstTries):
    """A prompt: a template without choices, with its request parameters, answer form and model.

    Args:
        source: a Jinja template over ``row`` alone, with chat blocks.
        choices: the option text of each choice that the search made, by name.
        parameters: the request parameters besides the messages (temperature, max_tokens, …).
        answer: the answer form, or its dictionary (`Answer.to_dict`), as which it is kept; or None.
        model: the model that the prompt was scored on, or None.
        metric: the metric that it was chosen by, for `evaluate`: a name, or its ``kind`` with parameters; or None.
        task: the module and name of the function that it was chosen for, as ``task=`` of a study, which makes the calls
            with it; None: it is one request.
        name: shown in error messages.

    >>> Prompt(source="Translate: {{ row.word }}").messages({"word": "cat"})
    [{'role': 'user', 'content': 'Translate: cat'}]
    """

    _instead: ClassVar[Mapping[str, str]] = by_names(
        **{
            "prompt.export('best.json')": "save write to_file to_json",
            "ps.Prompt.read('best.json')": "load from_file open",
            "prompt.messages({'FIELD': ...})": "format fill invoke",
        }
    )

    source: str = field(kw_only=False)
    choices: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] | None = None
    model: str | None = None
    metric: Mapping[str, Any] | str | None = None
    task: str | None = None
    name: str = "prompt"

    def __post_init__(self) -> None:
        object.__setattr__(self, "answer", _described(self.answer))

    @cached_property
    def _compiled(self) -> jinja2.Template:
        return compile_source(self.source, self.name)

    @told("prompt.render({'FIELD': ...})")
    def render(self, row: Any) -> tuple[Message, ...]:
        """The messages for one row (a mapping of its fields, without the target)."""
        try:
            return render_messages(self._compiled, {"row": row, "nearest": nearest})
        except TemplateError:
            self._check_row(row)
            raise

    def _check_row(self, row: Any) -> None:
        """Say what is wrong with a row that the prompt cannot be rendered for.

        Raises:
            InputError: it is no row, or lacks a field that the prompt shows.
        """
        with refusing(self.name):
            used = row_fields_used(environment().parse(self.source))
            shown = {field: line for line, field, _ in reversed(list(used))}
        if isinstance(row, str) or not hasattr(row, "__contains__"):
            written = ", ".join(f"{field!r}: ..." for field in shown)
            raise InputError(f"a row is a dict of its fields, not {clipped(repr(row))}; write {{{written}}}")
        missing = [field for field in shown if field not in row]
        if missing:
            lacking = clipped(", ".join(map(repr, missing)), 300)
            raise TemplateError(
                f"the row has no field {lacking}, which the prompt shows; it has: {listed(row)}",
                template=self.name,
                line=shown[missing[0]],
            )

    def messages(self, row: Any = None, **fields: Any) -> list[dict[str, str]]:
        """The messages for one row, as the openai client takes them.

        Args:
            row: a dictionary of the row's fields.
            fields: the fields, in place of a row.

        Raises:
            TemplateError: the row lacks a field that the prompt uses.
        """
        if row is not None and fields:
            raise InputError(
                f"messages takes a row or its fields, got both (a row and {listed(fields)}); give one of them"
            )
        return [message.to_dict() for message in self.render(fields if row is None else row)]

    @cached_property
    def _outline(self) -> tuple[Message, ...]:
        return outline(self.source, self.name)

    @property
    def text(self) -> str:
        """The whole prompt as text, with fields as ``{{ row.field }}``; several messages are headed by roles."""
        parts = self.turns
        if [role for role, _ in parts] == ["user"]:
            return parts[0][1]
        return "\n\n".join(f"{role}:\n{content}" for role, content in parts)

    def diff(self, other: Prompt) -> str:
        """A unified diff from the text of this prompt to that of the other."""
        lines = difflib.unified_diff(self.text.splitlines(), other.text.splitlines(), "this", "other", lineterm="", n=2)
        return "\n".join(lines)

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "choices": dict(self.choices),
            "parameters": dict(self.parameters),
            "answer": _described(self.answer),
            "model": self.model,
            **({} if self.metric is None else {"metric": self.metric}),
            **({} if self.task is None else {"task": self.task}),
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form: the ``messages`` with ``{{ row.field }}`` in them if possible, else the ``template``."""
        if needs_template(self.source):
            body: dict[str, Any] = {"template": self.source}
        else:
            body = {
                "messages": [{"role": message.role, "content": as_jinja(message.content)} for message in self._outline]
            }
        return {"format": prompt_files.FORMAT, **body, **self._settings}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], name: str = "prompt") -> Prompt:
        """The inverse of `to_dict`.

        Raises:
            InputError: the dictionary is not a prompt.
        """
        return cls._checked(prompt_files.source_of_json(body, name), body, name)

    @classmethod
    def of(cls, given: object, name: str = "prompt") -> Prompt:
        """The prompt that people give: a `Prompt`, a text as for `from_text`, a path or the name of a ``.j2`` or
        ``.json`` file as for `read`, or chat messages (``[{"role": …, "content": …}]``) with ``{{ row.field }}``.

        Raises:
            InputError: it is something else, or not a prompt.
        """
        if isinstance(given, Prompt):
            return given
        if isinstance(given, Path) or (isinstance(given, str) and prompt_files.is_read(given)):
            return cls.read(given)
        if isinstance(given, Mapping):
            return cls.from_dict(given, name)
        if isinstance(given, (list, tuple)):
            return cls.from_dict({"messages": given}, name)
        if isinstance(given, str):
            return cls.from_text(given, name)
        raise InputError(
            f"a prompt is text with {{{{ row.FIELD }}}}, a list of messages or a Prompt, not {named(given)}; give one "
            "of them, such as result.best"
        )

    @classmethod
    def from_text(cls, text: str, name: str = "prompt") -> Prompt:
        """A prompt written by hand: text with ``{{ row.field }}``, and with chat blocks where it has several messages.

        Raises:
            InputError: it is the name of a file.
            TemplateError: a syntax error, or a choice function.

        >>> Prompt.from_text("Translate: {{ row.word }}").messages({"word": "cat"})
        [{'role': 'user', 'content': 'Translate: cat'}]
        """
        prompt_files.check_is_text(text)
        return cls._checked(text, {}, name)

    @classmethod
    def read(cls, path: str | Path) -> Prompt:
        """Read a prompt exported as ``.j2`` or ``.json``; it renders to the bytes that were scored. Files that were
        written by hand are read, too: ``.j2`` with text, ``.json`` with a list of messages or ``{"messages": [...]}``.

        Raises:
            InputError: there is no such file, it has another suffix, or it is not a prompt.
        """
        source, settings = prompt_files.read_file(path)
        return cls._checked(source, settings, Path(path).name)

    @classmethod
    def _checked(cls, source: str, settings: Mapping[str, Any], name: str) -> Prompt:
        prompt_files.check(source, settings, name)
        return cls(
            source=source,
            choices=settings.get("choices") or {},
            parameters=settings.get("parameters") or {},
            answer=settings.get("answer"),
            model=settings.get("model"),
            metric=settings.get("metric"),
            task=settings.get("task"),
            name=name,
        )

    def export(self, path: str | Path, *, data: Dataset | None = None) -> Path:
        """Write the prompt to a file, in the format that the suffix names.

        - ``.j2`` (Jinja) and ``.json`` (chat messages), which `read` reads. Jinja2 alone renders a ``.j2`` file only
          where it has no chat blocks and picks no examples by the row; the file's first line says so.
        - ``.py``: functions that need only jinja2, for the messages to send and for parsing the response.
        - ``.yaml``: a configuration of promptfoo (``promptfooconfig.yaml``), with the rows of ``data`` as its tests.
        - ``.txt``: text for people. It is refused where the row decides more than the text of fields.

        Args:
            path: the file.
            data: labelled rows for the tests of a ``.yaml`` file.

        Raises:
            InputError: the suffix is unknown, the format cannot hold the prompt, or the file cannot be written.
        """
        if data is not None and Path(path).suffix not in (".yaml", ".yml"):
            raise InputError(
                f"{path}: only a .yaml file has tests of data=; leave it out, or export promptfooconfig.yaml"
            )

        def encoded(text: Callable[[], str]) -> bytes:
            try:
                return text().encode("utf-8")
            except UnicodeEncodeError:
                raise InputError(
                    f"{path}: the prompt contains a lone surrogate (half of a character); remove it"
                ) from None

        promptfoo = partial(self._as_promptfoo, data)
        texts: list[Callable[[], str]] = [
            self._as_j2,
            self._as_json,
            self._as_python,
            self._as_txt,
            promptfoo,
            promptfoo,
        ]
        return write_by_suffix(
            path,
            {suffix: partial(encoded, text) for suffix, text in zip(PROMPT_SUFFIXES, texts, strict=True)},
            "prompt",
        )

    def _as_j2(self) -> str:
        return prompt_files.j2_text(self.source, self._settings)

    def _as_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    def _as_txt(self) -> str:
        if decided_by_row(self.source):
            raise InputError(
                f"{self.name}: no one text is this prompt, because the row decides which parts or examples it has; "
                "export .j2, .json or .py, or print(prompt.text) for its outline"
            )
        return self.text + "\n"

    def _as_python(self) -> str:
        return python_source(self.source, **self._settings)

    def _as_promptfoo(self, data: Dataset | None) -> str:
        if self.task is not None:
            raise InputError(
                f"{self.name}: promptfoo sends one request, and this prompt is {needs_task(self.task)}; export .json"
            )
        messages = [{"role": message.role, "content": as_jinja(message.content)} for message in self._outline]
        return promptfoo_text(self.source, messages, self._settings, self.name, data)

    def __repr__(self) -> str:
        return f"Prompt({self.name!r}, {len(self.text):,} characters)\n{textwrap.indent(self.text, '  ')}"

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Pairs (role, content) of the messages, with fields as ``{{ row.field }}``."""
        return [(message.role, for_people(message.content)) for message in self._outline]

    def _repr_html_(self) -> str:
        settings = {"model": self.model, **self.parameters}
        sent = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
        chosen = _html.table("", ("choice", "option"), self.choices.items())
        return _html.block(
            _html.fill("<div><b>{}</b> <small>{}</small></div>", self.name, sent),
            _html.messages(self.turns),
            _html.details("choices", chosen) if self.choices else "",
        )


def _described(answer: object) -> dict[str, Any] | None:
    """The dictionary of an answer form.

    Raises:
        InputError: it is neither a form nor a dictionary.
    """
    if isinstance(answer, Answer):
        return answer.to_dict()
    if answer is not None and not isinstance(answer, Mapping):
        raise InputError(
            f"the answer of a prompt must be an answer form or its dictionary, not {answer!r}; give one, as in "
            "answer=Number()"
        )
    return dict(answer) if answer else None
