"""What a lower room needs of a higher one: the lower one states it as a protocol, and the package says where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Provided(Generic[T]):
    """Something that is imported when it is needed for the first time.

    >>> answer: Provided[int] = Provided()
    >>> answer.provide(lambda: 42)
    >>> answer()
    42
    """

    def __init__(self) -> None:
        self._find: Callable[[], T] | None = None

    def provide(self, find: Callable[[], T]) -> None:
        """Say where it is: ``find`` imports it."""
        self._find = find

    def __call__(self) -> T:
        assert self._find is not None, "the package's __init__ provides it"
        return self._find()
