"""Reading what is stored: a record that is not what this package writes is told as such, before anything uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from prompt_search.errors import PromptSearchError, StorageError

T = TypeVar("T")

_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a finished study wrote down, as far as results are made of it."""

    winner: int
    order: list[int]
    budget: dict[str, float]
    calls: int
    tokens: int
    usd: float | None
    seconds: float
    model: str
    candidates: tuple[int, bool]
    search_rows: int
    held_out_rows: int
    tested: bool
    sealed: str
    template: str = ""
    metric: str = ""
    reused: int = 0
    hand_written: int | None = None
    rescored: dict[str, str] = field(default_factory=dict)
    effects: list[dict[str, Any]] = field(default_factory=list)
    interactions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes a study that study, as far as results show it."""

    data: str = ""
    metric: str = ""
    models: list[tuple[str, str]] = field(default_factory=list)


ANEW = "run the study anew with fresh=True (--fresh)"
ELSEWHERE = "use another one (--storage)"
"""What helps against a broken response: a study that is run anew finds it again."""


@contextmanager
def reading(what: str, remedy: str = ANEW) -> Iterator[None]:
    """Whatever is wrong with a record is a `StorageError` that names it, and what to do."""
    try:
        yield
    except PromptSearchError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StorageError(f"{what} cannot be read: {_reason(error)}; restore the storage, or {remedy}") from None


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, msgspec.ValidationError) else f"{type(error).__name__}: {said}"


def read(kind: type[T], text: str) -> T:
    """A record stored as JSON, if it has the fields and types of ``kind``.

    Raises:
        ValueError: it has not, or is no JSON.
    """
    decoder = _DECODERS.get(kind) or _DECODERS.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        made: T = decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return checked(kind, json.loads(text))  # json takes half a surrogate pair
    return made


def checked(kind: type[T], fields: Any) -> T:
    """A record of fields that were stored, if they are those of ``kind`` and of its types.

    Raises:
        msgspec.ValidationError: they are not.
    """
    return msgspec.convert(fields, kind)
