"""Answers that are free text."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from prompt_search.answers.base import Answer, Unparsed, check_max_tokens, final_text
from prompt_search.answers.reading.plain_text import stated_text
from prompt_search.llm.messages import Response


@dataclass(frozen=True, slots=True)
class Text(Answer):
    """The text of the response after its reasoning, if there is any.

    Args:
        max_tokens: limit of a response's length.
        strip: whether white space around the text is removed.
        first_line: whether only the first line that is not blank counts.
        name: name of the form among others.

    Raises:
        InputError: ``max_tokens`` is below 1.
    """

    kind: ClassVar[str] = "text"
    max_tokens: int = 64
    _: KW_ONLY
    strip: bool = True
    first_line: bool = False
    name: str = "text"

    def __post_init__(self) -> None:
        check_max_tokens(self.max_tokens)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def parse(self, response: Response, baseline: Response | None = None) -> str | Unparsed:
        text = final_text(response, quotes_tags=True)
        if isinstance(text, Unparsed):
            return text
        return stated_text(text, strip=self.strip, first_line=self.first_line)
