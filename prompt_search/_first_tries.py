"""Calls and attributes as people try them first: what does not exist is told with what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from prompt_search.errors import InputError

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def told(call: str, **instead: str) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """A decorator: arguments that do not fit are an `InputError` of one line.

    Args:
        call: how the function is called, such as ``study.run(600)``.
        instead: what to write instead of arguments that people try, by their names.

    >>> @told("area(2, 3)", length="write height=")
    ... def area(width, height):
    ...     return width * height
    >>> area(2, length=3)
    Traceback (most recent call last):
    prompt_search.errors.InputError: area has no argument length=; write height=
    """

    def decorated(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        known = inspect.signature(function)
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
            try:
                known.bind(*args, **kwargs)
            except TypeError as error:
                unknown = next((each for each in kwargs if each not in known.parameters), None)
                if unknown is None:
                    raise InputError(f"{name}: {error}; write {call}") from None
                cure = instead.get(unknown, f"write {call}; help({name}) has all arguments")
                raise InputError(f"{name} has no argument {unknown}=; {cure}") from None
            return function(*args, **kwargs)

        return checked

    return decorated


def told_class(call: str, **instead: str) -> Callable[[type[Returned]], type[Returned]]:
    """`told` for the arguments of a dataclass."""

    def decorated(cls: type[Returned]) -> type[Returned]:
        setattr(cls, "__init__", told(call, **instead)(cls.__init__))  # noqa: B010
        return cls

    return decorated


class _Told(type):
    """The class of classes that tell what to write instead of an attribute that they do not have."""

    if not TYPE_CHECKING:

        def __getattr__(cls, name: str) -> Any:
            raise AttributeError(_missing(cls, name))


class FirstTries(metaclass=_Told):
    """A class that tells what to write instead of an attribute that it does not have.

    Attributes:
        _instead: what to write, by the names that people try.
    """

    __slots__ = ()
    _instead: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in type(self)._instead:
                raise AttributeError(_missing(type(self), name))
            return object.__getattribute__(self, name)  # raises what was raised, also within a property


def _missing(cls: type, name: str) -> str:
    cure = getattr(cls, "_instead", {}).get(name) if not name.startswith("_") else None
    return f"{cls.__name__} has no {name}" + (f"; write {cure}" if cure else "")


def by_names(**names: str) -> dict[str, str]:
    """What to write instead, by each of several names: ``by_names(read="read_csv from_csv")``.

    >>> by_names(**{"Dataset.read(path)": "read_csv from_csv"})
    {'read_csv': 'Dataset.read(path)', 'from_csv': 'Dataset.read(path)'}
    """
    return {each: cure for cure, tried in names.items() for each in tried.split()}


def named(value: Any) -> str:
    """A value in an error: a short text as it is, anything else by its type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    return text if isinstance(value, (str, int, float)) and len(text) <= 60 else f"a {type(value).__name__}"
