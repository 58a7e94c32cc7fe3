"""The base of answer forms, which request an answer of the model and parse the response.

A response that cannot be parsed is a value, ``Unparsed``: it is counted, never raised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from prompt_search.answers.final_part import LONGEST_RESPONSE, final_part
from prompt_search.errors import InputError
from prompt_search.llm.messages import Response

CUT_WHILE_THINKING = "cut off while thinking"
"""The beginning of the reason for a response whose reasoning does not end."""


@dataclass(frozen=True, slots=True, eq=False)
class Unparsed:
    """The answer of a response that cannot be parsed, with the reason. It is falsy, and equal only to itself.

    >>> bool(Unparsed("empty")), Unparsed("empty") == Unparsed("empty")
    (False, False)
    """

    reason: str

    def __bool__(self) -> bool:
        return False


class Answer(ABC):
    """An answer form: what is requested of the model, and how a response is parsed into an answer.

    Subclasses are frozen dataclasses with a ``kind`` of their own and a ``name``."""

    __slots__ = ()
    kind: ClassVar[str]
    name: str

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The request parameters that this form needs, such as ``{"max_tokens": 16}``; a new dict each time."""

    @property
    def needs_baseline(self) -> bool:
        """Whether ``parse`` needs a baseline: the response to a row in which every text field is ``"N/A"``."""
        return False

    @abstractmethod
    def parse(self, response: Response, baseline: Response | None = None) -> Any:
        """The answer in a response without error, or ``Unparsed``."""

    def is_ambiguous(self, response: Response) -> bool:
        """Whether the answer that ``parse`` gives is a guess, as the response can be read as another one, too."""
        return False

    def probabilities(self, response: Response, baseline: Response | None = None) -> dict[str, float] | None:
        """The probability of each possible answer, summing to 1; None where the response has none."""
        return None

    @property
    def has_probabilities(self) -> bool:
        """Whether ``probabilities`` returns a dict when the server returns log-probabilities."""
        return False

    @property
    def calibrates_on_rows(self) -> bool:
        """Whether ``calibrated`` can return another form than this one."""
        return False

    @property
    def needs_calibration(self) -> bool:
        """Whether ``calibrated`` must be called before ``parse`` can follow the settings."""
        return False

    def calibrated(self, responses: Sequence[Response], targets: Sequence[Any]) -> Answer:
        """The form calibrated on responses to rows with these targets; itself where there is nothing to fit."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """A JSON description, from which ``from_dict`` makes an equal answer form."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        return {"kind": self.kind, **lists}


def read_answer(form: Answer, response: Response, baseline: Response | None = None) -> Any:
    """The answer in a response without error, or ``Unparsed``, whatever the form does: a response that its reading
    cannot take is one that cannot be read, and the run goes on.

    The code that reads may be the user's own, such as a validator of a pydantic model.
    """
    try:
        return form.parse(response, baseline)
    except Exception as error:
        return Unparsed(f"reading it raised {type(error).__name__}: {clipped(' '.join(str(error).split()), 200)}")


def check_max_tokens(max_tokens: int) -> None:
    """Refuse a limit that leaves no token for the answer.

    Raises:
        InputError: the limit is no whole number, or below 1.
    """
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise InputError(f"max_tokens must be a whole number, not {max_tokens!r}; give the number of tokens")
    if max_tokens < 1:
        raise InputError(
            f"max_tokens must be at least 1, not {max_tokens}; give the number of tokens that an answer may have"
        )


def final_text(response: Response, *, quotes_tags: bool = False) -> str | Unparsed:
    """The final part of a response, or ``Unparsed`` where it ends before an answer begins or is too long; see
    `final_part`."""
    if len(response.text) > LONGEST_RESPONSE:
        return too_long(response.text, "an answer", LONGEST_RESPONSE)
    text = final_part(response.text, quotes_tags=quotes_tags)
    cut = response.finish_reason == "length"
    if text is None:
        return Unparsed(f"{CUT_WHILE_THINKING}{'; raise max_tokens' if cut else ': the reasoning does not end'}")
    if not text.strip():
        if cut:
            return Unparsed("the response is empty, as its tokens ended before the answer; raise max_tokens")
        return Unparsed("nothing follows the reasoning" if response.text.strip() else "the response is empty")
    return text


def too_long(text: str, what: str, most: int) -> Unparsed:
    """The outcome for a text in which nothing is looked for."""
    return Unparsed(f"{len(text):,} characters, and {what} is looked for in at most {most:,}")


def quoted(text: str) -> str:
    """A text in quotes and on one line, cut off after 60 characters, for a reason.

    >>> quoted("two  lines\\n" * 9)
    "'two lines two lines two lines two lines two lines two lines…'"
    """
    return repr(clipped(" ".join(text.split())))


def clipped(text: str, length: int = 60) -> str:
    """A text cut off after ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
