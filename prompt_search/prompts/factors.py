"""The dimensions of a search space: factors with their options, and a candidate as one option of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from prompt_search._names import HALF_CHARACTER, check_name, has_half_character
from prompt_search.errors import InputError

Kind = Literal["choice", "flag", "integer", "order", "examples", "request", "model", "answer", "written"]

ID_LENGTH = 26
"""Largest number of characters in the identifier of an option."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options that are given in Python rather than in the template; the result of `choice`."""

    values: tuple[Any, ...]
    names: tuple[str, ...] | None = None


def choice(options: Sequence[Any] | Mapping[str, Any], *others: Any) -> Options:
    """A choice for a request parameter, the model or the answer form; the first option is the default.

    A mapping gives each option a name, and tables show the names.

    >>> choice([0.0, 0.7]).values
    (0.0, 0.7)
    >>> choice({"cold": 0.0, "warm": 0.7}).names
    ('cold', 'warm')

    Raises:
        InputError: there is no option, an option is given twice, or the options are no list.
    """
    if others or isinstance(options, str) or not isinstance(options, Iterable):
        given = ", ".join(_shown(option) for option in (options, *others))
        raise InputError(f"ps.choice takes a list or dict of options, got {given}; write ps.choice([{given}])")
    values = tuple(options.values()) if isinstance(options, Mapping) else tuple(options)
    for name in options if isinstance(options, Mapping) else ():
        check_name(str(name), "an option")
    check_options(values, "ps.choice")
    return Options(values, tuple(options) if isinstance(options, Mapping) else None)


def _shown(option: Any) -> str:
    text = repr(option)
    return text if len(text) <= 60 else text[:59] + "…"


def check_options(values: Sequence[Any], where: str) -> None:
    """Refuse an empty option list and an option given twice.

    Raises:
        InputError: the options are none, or not distinct; the message begins with ``where``.
    """
    if not values:
        raise InputError(f"{where}: a choice needs at least one option, got none; add one or remove it")
    for value in values:
        if isinstance(value, str) and has_half_character(value):
            raise InputError(f"{where}: the option {value!r} {HALF_CHARACTER}")
    try:
        if len({(type(value), value) for value in values}) == len(values):
            return
    except TypeError:  # lists and dictionaries have no hash; they are compared pair by pair
        pass
    for index, value in enumerate(values):
        for other in values[:index]:
            if type(value) is type(other) and value == other:
                raise InputError(f"{where}: options must differ, but {value!r} is given twice; remove one")


def option_text(value: Any) -> str:
    """The text of one option in tables: a string as it is, an order as ``a > b``.

    >>> option_text(("text", "question"))
    'text > question'
    >>> option_text(True)
    'yes'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " > ".join(option_text(item) for item in value)
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else str(value)


def option_id(index: int, text: str) -> str:
    """A short, stable identifier of an option: its position and its first words, never a whole prompt text.

    >>> option_id(2, "Classify the sentiment of this review.")
    '2 classify the sentiment'
    """
    words = re.sub(r"[^\w]+", " ", text.casefold()).split()
    label = str(index)
    for word in words:
        if len(label) + len(word) + 1 > ID_LENGTH:
            break
        label += f" {word}"
    return label


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition that ``factor`` has one of ``options``, which are positions."""

    factor: str
    options: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One choice of a space: its name, its options with the default first, and the conditions under which it exists.

    ``grow`` says what the options are for where a model may propose more of them; ``grown`` is the number of options,
    at the end, that were proposed. ``shown``, for ways to pick shots, has the positions in the pool that each of them
    shows; one that picks by the row has none.
    """

    name: str
    kind: Kind
    options: tuple[Any, ...]
    names: tuple[str, ...] | None = None
    line: int | None = None
    conditions: tuple[Condition, ...] = ()
    grow: str = ""
    grown: int = 0
    shown: tuple[frozenset[int], ...] = ()

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of each option."""
        return self.names or tuple(option_text(option) for option in self.options)

    @property
    def proposed(self) -> int:
        """The number of options, from the first, that a search may propose. Prompts that somebody wrote as a whole
        enter it by themselves."""
        return 1 if self.kind == "written" else len(self.options)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Short, stable identifiers of the options, as an Optuna study stores them."""
        return tuple(option_id(index, text) for index, text in enumerate(self.texts))

    def position(self, value: Any) -> int:
        """The position of an option, given by its value or its text.

        Raises:
            InputError: the factor has no such option.
        """
        try:
            return self._positions[type(value), value]
        except (KeyError, TypeError):  # given by its text, or without a hash
            pass
        for index, option in enumerate(self.options):
            if type(option) is type(value) and option == value:
                return index
        for index, option in enumerate(self.options):
            if option == value or self.texts[index] == value:
                return index
        proposed = ", as for a text that a model proposed" if self.grow else ""
        raise InputError(
            f"{self.name!r} has no option {value!r}; its options are {', '.join(map(repr, self.texts))}: give one of "
            f"them, or write yours into the choice{proposed}"
        )

    @cached_property
    def _positions(self) -> dict[tuple[type, Any], int]:
        """The position of each option by its type and value; none where an option has no hash."""
        try:
            return {(type(option), option): index for index, option in enumerate(self.options)}
        except TypeError:
            return {}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate: one option for every active choice, as pairs (choice, option position) in the space's order."""

    positions: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, int]:
        """The position of the option of each active choice, by name."""
        return dict(self.positions)
