"""JSON of stored records: checked where it is read, and written so that every database takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from prompt_search.errors import PromptSearchError, StorageError

T = TypeVar("T")

_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}

ANEW = "start over with fresh=True (--fresh)"
"""The remedy for a damaged record of a study."""

ELSEWHERE = "use another one (--storage)"
"""The remedy for a damaged response: a study that starts over finds it again."""


@contextmanager
def reading(what: str, remedy: str = ANEW) -> Iterator[None]:
    """Turn whatever is wrong with a record into a `StorageError` that names the record and the remedy."""
    try:
        yield
    except PromptSearchError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StorageError(f"{what} cannot be read: {_reason(error)}; restore the storage, or {remedy}") from None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, msgspec.ValidationError) else f"{type(error).__name__}: {text}"


def read(kind: type[T], text: str) -> T:
    """A record stored as JSON, if it has the fields and types of ``kind``.

    Raises:
        ValueError: it does not have them, or is no JSON.
    """
    decoder = _DECODERS.get(kind) or _DECODERS.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        made: T = decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return checked(kind, json.loads(text))  # json takes half a surrogate pair
    return made


def checked(kind: type[T], fields: Any) -> T:
    """A record of stored fields, if they have the names and types of ``kind``.

    Raises:
        msgspec.ValidationError: they do not.
    """
    return msgspec.convert(fields, kind)


def storable(text: str) -> str:
    """JSON text that every database takes: half a surrogate pair becomes its JSON escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def json_text(value: Any) -> str:
    """A value as JSON text that every database takes; tuples and other sequences become lists."""
    return storable(json.dumps(value, ensure_ascii=False, default=list))
