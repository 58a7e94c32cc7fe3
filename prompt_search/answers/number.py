"""Answers that are numbers."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from prompt_search.answers.base import Answer, Unparsed, check_max_tokens, final_text, quoted, too_long
from prompt_search.answers.final_part import LONGEST_TEXT
from prompt_search.answers.reading.number_reading import number_in
from prompt_search.llm.messages import Response


@dataclass(frozen=True, slots=True)
class Number(Answer):
    """A number, as float: the last one in the text, or the one that a marker announces.

    Markers are ``####``, ``answer:``, ``answer is``, ``<answer>`` and ``\\boxed{``. The last marker counts, and in
    ``answer: 16 - 7 = 9`` what follows the equals sign. These are read as numbers: ``1,234.5``, ``1.234,5``,
    ``1'234``, ``12,5`` (as 12.5; ``1,234`` is 1234 and ``1.234`` is 1.234), ``$18``, ``50%`` (as 50), ``-3``, ``2e3``,
    ``2×10^3``, ``3/4``, ``1 1/2``, ``\\frac{3}{4}``, ``3 million``, and digits of any script. Ranges, times, dates,
    versions, roots and expressions without a result are no numbers, so that such an answer is ``Unparsed``.

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
        if len(text) > LONGEST_TEXT:
            return too_long(text, "a number", LONGEST_TEXT)
        number = number_in(text)
        return Unparsed(f"no number in {quoted(text)}") if number is None else number
