"""Define-by-run: the choice functions of a rendering, and the trace of the choices that it made."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from prompt_search.errors import InputError
from prompt_search.prompts.environment import FUNCTIONS
from prompt_search.prompts.factors import Factor, Kind, check_options
from prompt_search.prompts.few_shot import ExamplePool
from prompt_search.prompts.prompt_runtime import nearest
from prompt_search.prompts.sandbox.steps import spend

ORDERS = ("as picked", "reversed")
"""The orders in which shots are shown."""
MOST_INTEGERS = 1_000
"""Largest number of options of ``integer``, and of shots."""
MOST_ORDERED = 6
"""Largest number of items of ``order``."""


class AnyRow:
    """A stand-in for a row: every field has its own name as its value.

    Args:
        pattern: a format string for the name; in braces by default.
    """

    def __init__(self, pattern: str = "{{{}}}") -> None:
        self._pattern = pattern

    def __getitem__(self, name: str) -> str:
        return self._pattern.format(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())


class AnyExample(AnyRow, dict[str, Any]):
    """A stand-in for an example, for renderings without a pool."""


@dataclass(frozen=True)
class Trace:
    """The choices that a rendering made.

    Attributes:
        choices: the choices that were given, by name; the others have their first option.
        factors: the factors that the rendering used, by name, in the order of use.
        shown: the examples that it showed, by the name of their choice.
    """

    choices: Mapping[str, Any]
    factors: Mapping[str, Factor]
    shown: Mapping[str, Sequence[Mapping[str, Any]]]

    def chosen(self, name: str) -> Any:
        """The option of a factor that the rendering used.

        Raises:
            InputError: the given choice is no option of the factor.
        """
        factor = self.factors[name]
        return factor.options[factor.position(self.choices[name]) if name in self.choices else 0]


class Offered(NamedTuple):
    """The factor that a choice function made, and the very options that it was given."""

    options: Sequence[Any]
    factor: Factor


class ChoiceFunctions:
    """The choice functions that a template calls during one rendering; they record the trace.

    Args:
        choices: option (or its text) by choice name; missing ones take their first option.
        pool: the examples that shots are taken from; without it shots are stand-ins.
        row: the row, for examples that it picks.
        lines: the line of each choice in the template.
        row_fields: the fields of the row that the template reads, or None if it may read any.
        earlier: what earlier renderings of the template offered, by name; a list of options is checked once.
        grown: by choice the options that a model has proposed, which follow those of the template.
    """

    def __init__(
        self,
        choices: Mapping[str, Any],
        pool: ExamplePool | None,
        row: Any,
        lines: Mapping[str, int],
        row_fields: Sequence[str] | None,
        earlier: dict[str, Offered],
        grown: Mapping[str, Sequence[str]],
    ) -> None:
        self._pool = pool
        self._row = row
        self._lines = lines
        self._row_fields = row_fields
        self._earlier = earlier
        self._grown = grown
        self._factors: dict[str, Factor] = {}
        self._shown: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.trace = Trace(choices, self._factors, self._shown)

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """The functions as variables of a rendering."""
        return {name: getattr(self, name) for name in FUNCTIONS}

    def _option(
        self,
        name: str,
        kind: Kind,
        options: Sequence[Any],
        grow: str = "",
        shown: tuple[frozenset[int], ...] = (),
    ) -> Any:
        """Record a factor and return its chosen option."""
        known = self._factors.get(name)
        if known is None:
            self._factors[name] = self._factor(name, kind, options, grow, shown)
        elif known.kind != kind or self._earlier[name].options is not options or known.grow != grow:
            check_same(known, self._made(name, kind, options, grow))
        return self.trace.chosen(name)

    def _factor(
        self, name: str, kind: Kind, options: Sequence[Any], grow: str, shown: tuple[frozenset[int], ...]
    ) -> Factor:
        """That of an earlier rendering, where its options are the very same and show the same shots."""
        earlier = self._earlier.get(name)
        same = earlier and earlier.factor.kind == kind and earlier.factor.shown == shown
        if earlier and same and _same_items(earlier.options, options):
            return earlier.factor
        if kind == "choice":
            check_options(options, f"choice {name!r}")
        if grow and not all(isinstance(option, str) for option in options):
            raise InputError(
                f"choice {name!r}: grow= is for options that are text, got {_shortened(tuple(options))}; remove it, or "
                "write the options as texts"
            )
        factor = replace(self._made(name, kind, options, grow), shown=shown)
        self._earlier[name] = Offered(options, factor)
        return factor

    def _made(self, name: str, kind: Kind, options: Sequence[Any], grow: str) -> Factor:
        """A factor with the options of the template, and after them those that were proposed."""
        line = self._lines.get(name) or self._lines.get(name.split(".")[0])
        grown = tuple(self._grown.get(name, ())) if grow else ()
        return Factor(name=name, kind=kind, options=(*options, *grown), line=line, grow=grow, grown=len(grown))

    def choice(self, name: str, options: Iterable[Any], *others: Any, grow: str = "") -> Any:
        if not isinstance(grow, str):
            raise InputError(
                f'choice {name!r}: grow= says in a text what the options are for, got {grow!r}; write grow="tells the '
                'model what to do"'
            )
        if others or isinstance(options, (str, Mapping)) or not isinstance(options, Iterable):
            given = ", ".join(map(repr, (options, *others)))
            raise InputError(f"choice {name!r} takes a list of options, got {given}; write [{given}]")
        # A template cannot change a list; one that it gives again has the same options.
        listed = options if isinstance(options, (list, tuple)) else list(options)
        return self._option(name, "choice", listed, " ".join(grow.split()))

    def flag(self, name: str) -> bool:
        return bool(self._option(name, "flag", (False, True)))

    def integer(self, name: str, low: int, high: int) -> int:
        if low > high:
            raise InputError(f"integer {name!r}: low <= high must hold, got low={low}, high={high}")
        if high - low >= MOST_INTEGERS:
            raise InputError(
                f"integer {name!r}: at most {MOST_INTEGERS} values, got {high - low + 1}; offer some of them "
                f"with choice()"
            )
        return int(self._option(name, "integer", range(low, high + 1)))

    def order(self, name: str, items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        check_options(listed, f"order {name!r}")
        if len(listed) > MOST_ORDERED:
            raise InputError(f"order {name!r}: at most {MOST_ORDERED} items (720 orders), got {len(listed)}")
        spend(math.factorial(len(listed)))
        return list(self._option(name, "order", list(itertools.permutations(listed))))

    def examples(
        self,
        name: str,
        max: int,
        min: int = 0,
        pickers: Sequence[str] | None = None,
    ) -> list[Mapping[str, Any]]:
        if not 0 <= min <= max:
            raise InputError(f"examples {name!r}: 0 <= min <= max must hold, got min={min}, max={max}")
        if max > MOST_INTEGERS:
            raise InputError(f"examples {name!r}: at most {MOST_INTEGERS} shots, got max={max}")
        if self._pool is not None and max > len(self._pool):
            raise InputError(
                f"examples {name!r}: max={max} shots, but only {len(self._pool)} rows may serve as examples; lower max"
            )
        if isinstance(pickers, str):
            raise InputError(f"examples {name!r}: pickers must be a list of names, got {pickers!r}")
        count = self._option(name, "examples", range(min, max + 1))
        if not count:
            return []
        offered = (self._pool.pickers() if self._pool else ("random 1",)) if pickers is None else pickers
        check_options(offered, f"examples {name!r}")
        # The few sets of the default list share next to nothing.
        shown = self._sets(name, self._pool, offered, max) if self._pool and pickers is not None else ()
        picker = self._option(f"{name}.picker", "choice", offered, shown=shown)
        order = self._option(f"{name}.order", "choice", ORDERS) if count > 1 else ORDERS[0]
        if self._pool is None:
            return [AnyExample()] * count
        shots = self._pick(name, self._pool, picker, count)
        shots = shots[::-1] if order == "reversed" else shots
        self._shown[name] = shots
        return shots

    def _sets(self, name: str, pool: ExamplePool, pickers: Sequence[str], count: int) -> tuple[frozenset[int], ...]:
        try:
            return pool.sets(pickers, count)
        except ValueError as error:
            raise InputError(f"examples {name!r}: {error}") from None

    def _pick(self, name: str, pool: ExamplePool, picker: str, count: int) -> list[Mapping[str, Any]]:
        if picker != "nearest":
            return pool.pick(picker, count)
        if isinstance(self._row, AnyRow):
            return list(pool.shots[:count])
        # Similarity counts only the fields that the prompt shows, because an exported prompt is given no others.
        seen = self._row if self._row_fields is None else {field: self._row[field] for field in self._row_fields}
        return nearest(pool.shots, seen, count)


def _same_items(earlier: Sequence[Any], options: Sequence[Any]) -> bool:
    """Whether two lists have the very same items."""
    return earlier is options or (len(earlier) == len(options) and all(map(operator.is_, earlier, options)))


def check_same(known: Factor, other: Factor) -> None:
    """Refuse a factor that has other options than before, or grows for another purpose.

    Raises:
        InputError: the options, the kinds or the purposes differ; the message has both.
    """
    if known.options != other.options or known.kind != other.kind:
        raise InputError(
            f"each name must have one list of options, but {known.name!r} has two: {known.kind} "
            f"{_shortened(known.options)} and {other.kind} {_shortened(other.options)}; rename one"
        )
    if known.grow != other.grow:
        raise InputError(
            f"each name must have one grow=, but {known.name!r} has two: {known.grow!r} and {other.grow!r}; write the "
            "same, or rename one"
        )


def _shortened(options: tuple[Any, ...]) -> str:
    text = repr(list(options))
    return text if len(text) <= 100 else text[:99] + "…"
