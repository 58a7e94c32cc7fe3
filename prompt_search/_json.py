"""Reading what is stored: a record that is not what this package writes is told as such, before anything uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from prompt_search.errors import PromptSearchError, StorageError

T = TypeVar("T")

_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Whatever is wrong with a record is a `StorageError` that names it."""
    try:
        yield
    except PromptSearchError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise StorageError(
            f"{what} cannot be read: {_reason(error)}; restore the storage, or run the study anew with fresh=True "
            f"(--fresh)"
        ) from None


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
