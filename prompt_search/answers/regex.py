"""Answers that a regular expression finds."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from prompt_search._first_tries import told_class
from prompt_search.answers.base import Answer, Unparsed, check_max_tokens, final_text, quoted
from prompt_search.answers.patterns.steps import compiled_pattern, ends_soon, took_too_long
from prompt_search.answers.reading.plain_text import first_match
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response


@told_class("ps.Regex(pattern), as in ps.Regex(r'<a>(.*?)</a>')")
@dataclass(frozen=True, slots=True)
class Regex(Answer):
    """The first match of a regular expression in the text that follows the reasoning, if there is any.

    An expression may take half a million steps on a response; one that takes more can take years, and the response is
    ``Unparsed``. Such an expression repeats what is repeated already, as ``(\\w+\\s?)*`` does.

    Args:
        pattern: the expression, as in Python's ``re``.
        group: number or name of the group that is the answer. The default is group 1, or the whole match (0) if the
            pattern has no groups.
        max_tokens: limit of a response's length.
        name: name of the form among others.

    Raises:
        InputError: the pattern is no text, does not compile or is too large, there is no such group, or
            ``max_tokens`` is below 1.

    >>> Regex(r"<a>(.*?)</a>").parse(Response(text="so <a>42</a>"))
    '42'
    """

    kind: ClassVar[str] = "regex"
    pattern: str
    group: int | str | None = None
    _: KW_ONLY
    max_tokens: int = 64
    name: str = "regex"

    def __post_init__(self) -> None:
        check_max_tokens(self.max_tokens)
        compiled = compiled_pattern(self.pattern)
        group = min(1, compiled.groups) if self.group is None else self.group
        numbers = range(compiled.groups + 1)
        if not isinstance(group, (int, str)) or (group not in numbers and group not in compiled.groupindex):
            raise InputError(
                f"the pattern {self.pattern!r} has no group {group!r} (groups: {compiled.groups}, named: "
                f"{', '.join(compiled.groupindex) or 'none'}); correct the group or the pattern"
            )
        object.__setattr__(self, "group", group)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def parse(self, response: Response, baseline: Response | None = None) -> str | Unparsed:
        text = final_text(response, quotes_tags=True)
        if isinstance(text, Unparsed):
            return text
        if not ends_soon(self.pattern, text):
            return Unparsed(took_too_long(self.pattern, text))
        try:
            found = first_match(text, self.pattern, self.group)
        except SystemError as error:  # some repeated groups meet an error of `re`
            return Unparsed(f"Python cannot apply the pattern to {quoted(text)}: {error}")
        return Unparsed(f"no match in {quoted(text)}") if found is None else found
