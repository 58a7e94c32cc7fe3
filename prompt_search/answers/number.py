"""Answers that are numbers."""

from __future__ import annotations

import math
import re
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from prompt_search.answers.base import Answer, Unparsed, check_max_tokens, final_text, quoted
from prompt_search.llm.messages import Response


@dataclass(frozen=True, slots=True)
class Number(Answer):
    """A number, as float: the last one in the text, or the one that a marker announces.

    Markers are ``####``, ``answer:``, ``answer is`` and ``\\boxed{``. The last marker counts, and in
    ``answer: 16 - 7 = 9`` what follows the equals sign. ``1,234.5``, ``$18``, ``50%`` (as 50), ``-3`` and ``2e3`` are
    read as numbers.

    Args:
        max_tokens: limit of a response's length.
        name: name of the form among others.

    Raises:
        InputError: ``max_tokens`` is below 1.

    >>> Number().parse(Response(text="5 + 13 makes $18.00. Answer: $18.00, in 2 days"))
    18.0
    """

    kind: ClassVar[str] = "number"
    max_tokens: int = 256
    _: KW_ONLY
    name: str = "number"

    def __post_init__(self) -> None:
        check_max_tokens(self.max_tokens)

    @property
    def parameters(self) -> dict[str, Any]:
        return {"max_tokens": self.max_tokens}

    def parse(self, response: Response, baseline: Response | None = None) -> float | Unparsed:
        text = final_text(response)
        if isinstance(text, Unparsed):
            return text
        number = number_in(text)
        return Unparsed(f"no number in {quoted(text)}") if number is None else number


def number_in(text: str) -> float | None:
    """The number that a text gives as its answer, as ``Number`` reads it; None where there is none.

    >>> number_in("16 - 7 is 9"), number_in("#### 1,234.5"), number_in("none")
    (9.0, 1234.5, None)
    """
    text = text.replace("−", "-")
    for marker in reversed(list(_MARKER.finditer(text))):
        line = text[marker.end() :].split("\n", 1)[0]
        numbers = _numbers(line.rpartition("=")[2]) or _numbers(line)
        if numbers:
            return numbers[0]
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


_MARKER = re.compile(r"####|\\boxed\{|\banswer\b[*_\s]*(?:is\b|:|=)", re.IGNORECASE)

# A sign counts only where no word or number stands before it (3-4 is not -4) and nothing but a currency sign stands
# between it and the digits. Digits inside a word (B2B) are no number. A dot may open a number after a space.
_NUMBER = re.compile(
    r"((?<![\w)])[-+])?[$€£¥]?"
    r"((?<!\w)(?<!\d\.)(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[-+]?\d+)?|(?<![^\s$€£¥+\-(])\.\d+)",
    re.IGNORECASE,
)


def _numbers(text: str) -> list[float]:
    """The finite numbers in a text, in order."""
    numbers = [float((sign or "") + digits.replace(",", "")) for sign, digits in _NUMBER.findall(text)]
    return [number for number in numbers if math.isfinite(number)]
