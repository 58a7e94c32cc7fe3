"""A row of a data set: the fields that a template sees, and the target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from prompt_search.errors import InputError


class Row:
    """A row: column names to plain Python values (str, int, float, bool, None, list, dict). It is immutable.

    A value is read as ``row["text"]`` or ``row.text``. Any column name works as an attribute, ``items`` and ``keys``
    too, because a row has no methods. Two attributes take precedence over columns of these names: ``target``, the
    label, and ``fields``, the row without its target. A template sees ``row.fields``, in which ``target`` and
    ``fields`` are columns like any other.

    Raises:
        InputError: the target is not among the columns.

    >>> row = Row({"text": "fine", "label": "positive"}, target="label")
    >>> row.text, row.target, row["label"], list(row)
    ('fine', 'positive', 'positive', ['text', 'label'])
    >>> row.fields
    Row(text='fine')
    """

    __slots__ = ("_target", "_values")
    _values: dict[str, Any]
    _target: str | None

    def __init__(self, values: Mapping[str, Any], *, target: str | None = None) -> None:
        if target is not None and target not in values:
            raise InputError(f"the target {target!r} is not a column of the row; there are: {listed(values)}")
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "_target", target)

    @property
    def target(self) -> Any:
        """The label.

        Raises:
            AttributeError: the row has no target.
        """
        if self._target is None:
            raise AttributeError("this row has no target")
        return self._values[self._target]

    @property
    def fields(self) -> Row:
        """A row of all columns but the target, without a target of its own."""
        if self._target is not None:
            return Row({name: value for name, value in self._values.items() if name != self._target})
        if "fields" in self._values:
            # Python then calls __getattr__, which finds the column.
            raise AttributeError("fields")
        return self

    def __getattr__(self, name: str) -> Any:
        # Python looks for the slots here only while copy or pickle has half built an instance.
        if name not in Row.__slots__ and name in self._values:
            return self._values[name]
        known = "" if name in Row.__slots__ else f"; there are: {listed(self._values)}"
        raise AttributeError(f"the row has no column {name!r}{known}")

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(f"the row has no column {name!r}; there are: {listed(self._values)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        return self._values == other._values and self._target == other._target

    def __hash__(self) -> int:
        return hash((_frozen(self._values), self._target))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a row is immutable; cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a row is immutable; cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _row, (self._values, self._target)

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"


def references(target: Any) -> list[Any]:
    """The accepted answers of a target: its members if it is a list, else the target alone.

    >>> references("a"), references(["a", "b"])
    (['a'], ['a', 'b'])
    """
    return list(target) if isinstance(target, (list, tuple)) else [target]


def listed(names: Iterable[object]) -> str:
    """Names in one line for an error message: ``a, b``, or ``none``."""
    return ", ".join(map(str, names)) or "none"


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, _frozen(member)) for name, member in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _row(values: dict[str, Any], target: str | None) -> Row:
    return Row(values, target=target)
