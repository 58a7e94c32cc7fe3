"""Operators: the templates of the requests that ask a model for new options of a choice.

A template is Jinja in the sandbox that prompts are rendered in, and reads the variables of `VARIABLES`. Texts of rows
are values of these variables: nothing in them is read as Jinja.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, get_args

from prompt_search._first_tries import named, told_class
from prompt_search._names import check_name
from prompt_search._template_files import read_template_file
from prompt_search.answers.base import clipped
from prompt_search.errors import InputError
from prompt_search.llm.messages import Message
from prompt_search.prompts.environment import render_messages
from prompt_search.prompts.growing.asked import Asking, ShownRow
from prompt_search.prompts.growing.placeholders import shared_placeholders
from prompt_search.prompts.requests.request_template import check_variables, compiled, members_read, variables_of

Needs = Literal["rows", "failures", "parents", "parent"]

SHIPPED_NEEDS: Final[Mapping[str, Needs]] = {
    "describe": "rows",
    "reflect": "failures",
    "combine": "parents",
    "shorten": "parent",
    "vary": "parent",
}
"""The operators of the package, and what each needs."""

VARIABLES: Final = ("choice", "purpose", "parents", "placeholders", "rows", "labels", "count", "prompt", "longest")
"""What a template of an operator may read: an `Asking`, and the placeholders that all its parents have. A row has
``fields``, ``target``, ``answer``, ``explanation`` and ``earlier``."""

LONGEST_VALUE: Final = 1_500
"""Number of characters of a row's value that are shown: an operator shows several rows in one request."""

LONGEST_PROMPT: Final = 6_000
"""Number of characters of the whole prompt that are shown."""


class _AnyField(dict[str, Any]):
    """The fields of a row that has each field that a template names."""

    def __missing__(self, name: str) -> str:
        return "a text"

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


_SAMPLES: Final = (
    Asking(
        choice="instruction",
        purpose="says what to do",
        parents=("Classify the text.", "Which label fits?"),
        rows=(ShownRow(fields=_AnyField(text="a text"), target="good", answer="bad", explanation="another label"),),
        labels=("good", "bad"),
        count=2,
        prompt="Classify the text. a text",
    ),
    Asking(choice="instruction", purpose="says what to do", parents=("Classify the text.",)),
)
"""What a template is rendered with when an operator is made, so that a broken one costs no call. Which fields the rows
will have is not known then."""


@told_class("ps.Operator('NAME', SOURCE, needs='rows'), or ps.Operator.read('FILE.j2')")
@dataclass(frozen=True, slots=True)
class Operator:
    """One way to ask a model for new options of a choice.

    Args:
        name: how tables call it.
        source: its template, which reads `VARIABLES`. Without chat blocks the whole text is one user message.
        needs: ``rows`` with their targets, ``failures`` (rows that prompts with the option got wrong), two or more
            good options (``parents``), or one (``parent``).

    Raises:
        InputError: the name or ``needs`` is wrong.
        TemplateError: the template cannot be compiled or rendered.

    >>> operator = Operator("sharpen", "Write {{ count }} sharper texts: {{ parents[0] }}", needs="parent")
    >>> operator.messages(Asking(choice="a", purpose="", parents=("Sort it.",), count=2))
    (Message(role='user', content='Write 2 sharper texts: Sort it.'),)
    """

    name: str
    source: str
    needs: Needs

    def __post_init__(self) -> None:
        for what in ("name", "source"):
            if not isinstance(getattr(self, what), str):
                raise InputError(f"the {what} of an operator is a text, not {named(getattr(self, what))}; give a text")
        if not self.name.strip():
            raise InputError("an operator needs a name, got an empty one; give one such as sharpen")
        check_name(self.name, "an operator")
        if self.needs not in get_args(Needs):
            raise InputError(
                f"operator {self.name}: needs is one of {', '.join(get_args(Needs))}, got {self.needs!r}; give one of "
                "them"
            )
        check_variables(self.source, self.name, VARIABLES, "an operator")
        for sample in _SAMPLES:
            if not self.lacks(sample):
                self.messages(sample)

    @classmethod
    def read(cls, path: str | Path, *, needs: Needs | None = None) -> Operator:
        """The operator of a file, or one of the package if the path is a bare name and no such file exists.

        Args:
            path: the file; its name without the suffix is that of the operator.
            needs: as for an operator. By default that of the package's operator of this name, else what the template
                reads: ``failures`` if it shows answers, ``rows`` if it shows rows, ``parent`` otherwise.

        Raises:
            TemplateError: there is no such file, it is not UTF-8, or the template is broken.
        """
        folder = resources.files("prompt_search") / "_templates" / "propose"
        source = read_template_file(path, {name: folder / f"{name}.j2" for name in SHIPPED_NEEDS}, "operator")
        name = Path(path).stem
        return cls(name, source, needs or SHIPPED_NEEDS.get(name) or _needs_of(source, name))

    @property
    def digest(self) -> str:
        """SHA-256 of the template and of what it needs, 64 hex digits."""
        return hashlib.sha256(f"{self.needs}\n{self.source}".encode()).hexdigest()

    @property
    def reads(self) -> frozenset[str]:
        """The variables that the template reads: rows are seen by the model only if ``rows`` or ``prompt`` is here."""
        return variables_of(self.source, self.name) & set(VARIABLES)

    def lacks(self, asking: Asking) -> str:
        """What is missing for a request, or "".

        >>> Operator.read("combine").lacks(Asking(choice="a", purpose="", parents=("one",)))
        'two options'
        """
        if self.needs == "rows":
            return "" if asking.rows else "rows"
        if self.needs == "parents":
            return "" if len(asking.parents) >= 2 else "two options"
        if self.needs == "failures" and not any(row.answer or row.explanation for row in asking.rows):
            return "rows that were answered wrongly"
        return "" if asking.parents else "an option"

    def messages(self, asking: Asking) -> tuple[Message, ...]:
        """The messages of a request. Long values of rows are cut.

        Raises:
            InputError: what the operator needs is missing.
            TemplateError: the template raised an error.
        """
        lacking = self.lacks(asking)
        if lacking:
            raise InputError(f"the operator {self.name} needs {lacking}; ask another operator")
        variables = {
            "choice": asking.choice,
            "purpose": asking.purpose,
            "parents": list(asking.parents),
            "placeholders": list(shared_placeholders(asking.parents)),
            "rows": [_shown(row) for row in asking.rows],
            "labels": list(asking.labels),
            "count": asking.count,
            "prompt": clipped(asking.prompt, LONGEST_PROMPT),
            "longest": asking.longest,
        }
        return render_messages(compiled(self.source, self.name), variables)


def _shown(row: ShownRow) -> dict[str, Any]:
    """A row as the values that a template may read, with long texts cut."""
    return {
        "fields": _fields(row.fields),
        "target": clipped(row.target, LONGEST_VALUE),
        "answer": clipped(row.answer, LONGEST_VALUE),
        "explanation": clipped(row.explanation, LONGEST_VALUE),
        "earlier": row.earlier,
    }


def _fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields if isinstance(fields, _AnyField) else {name: _cut(value) for name, value in fields.items()}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return clipped(value, LONGEST_VALUE)
    if isinstance(value, Mapping):
        return {name: _cut(member) for name, member in value.items()}
    return [_cut(member) for member in value] if isinstance(value, (list, tuple)) else value


def _needs_of(source: str, name: str) -> Needs:
    """What a template of a user needs, by what it reads."""
    if "rows" not in variables_of(source, name):
        return "parent"
    return "failures" if members_read(source, name) & {"answer", "explanation", "earlier"} else "rows"
