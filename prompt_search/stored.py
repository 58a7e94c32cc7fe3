"""Reading what is stored: a record that is not what this package writes is told as such, before anything uses it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pydantic

from prompt_search.errors import PromptSearchError, StorageError

T = TypeVar("T")

_READERS: dict[Any, pydantic.TypeAdapter[Any]] = {}


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
    candidates: list[int]
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
    if isinstance(error, pydantic.ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{f'{place}: ' if place else ''}{first['msg']}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def checked(kind: type[T], fields: Any) -> T:
    """A dataclass of what was stored, if it has the fields and types of ``kind``.

    Raises:
        pydantic.ValidationError: it has not.
    """
    if kind not in _READERS:
        _READERS[kind] = pydantic.TypeAdapter(kind)
    made: T = _READERS[kind].validate_python(fields)
    return made


def check_columns(columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Collection[type]]) -> None:
    """Refuse columns that hold a value of another type; a few set operations, because there may be millions.

    Raises:
        TypeError: with the column and the type.
    """
    for name, allowed in kinds.items():
        if strange := set(map(type, columns[name])) - set(allowed):
            names = ", ".join(sorted(kind.__name__ for kind in allowed))
            raise TypeError(f"{name} is {names}, got {min(kind.__name__ for kind in strange)}")
