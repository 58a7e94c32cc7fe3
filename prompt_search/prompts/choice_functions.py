"""Define-by-run: the choice functions, and what one rendering asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prompt_search.errors import InputError
from prompt_search.prompts.environment import FUNCTIONS
from prompt_search.prompts.few_shot import ExamplePool, nearest
from prompt_search.prompts.space import Factor, Kind, check_options

ORDERS = ("as picked", "reversed")
MOST_INTEGERS = 1_000
MOST_ORDERED = 6


class AnyRow:
    """A stand-in for a row when there is no data: every field reads as its own name in braces."""

    def __getitem__(self, name: str) -> str:
        return f"{{{name}}}"

    def __iter__(self) -> Iterator[str]:
        return iter(())


@dataclass
class Recorder:
    """The choice functions of one rendering, and what it asked for."""

    choices: Mapping[str, Any]
    pool: ExamplePool | None
    row: Any
    lines: Mapping[str, int]
    row_fields: Sequence[str] | None
    factors: dict[str, Factor] = field(default_factory=dict)
    shown: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {name: getattr(self, name) for name in FUNCTIONS}

    def ask(self, name: str, kind: Kind, options: Sequence[Any]) -> Any:
        """Record a factor and return the chosen option."""
        known = self.factors.get(name)
        if known is None:
            line = self.lines.get(name) or self.lines.get(name.split(".")[0])
            known = Factor(name=name, kind=kind, options=tuple(options), line=line)
            self.factors[name] = known
        else:
            check_same(known, kind, tuple(options))
        if name in self.choices:
            return known.options[known.position(self.choices[name])]
        return known.options[0]

    def choice(self, name: str, options: Iterable[Any]) -> Any:
        if isinstance(options, (str, Mapping)) or not isinstance(options, Iterable):
            raise InputError(f"choice {name!r} takes a list of options, got {options!r}")
        listed = list(options)
        check_options(listed, f"choice {name!r}")
        return self.ask(name, "choice", listed)

    def flag(self, name: str) -> bool:
        return bool(self.ask(name, "flag", (False, True)))

    def integer(self, name: str, low: int, high: int) -> int:
        if low > high:
            raise InputError(f"integer {name!r}: low <= high must hold, got low={low}, high={high}")
        if high - low >= MOST_INTEGERS:
            raise InputError(
                f"integer {name!r}: at most {MOST_INTEGERS} values, got {high - low + 1}; offer some of them "
                f"with choice()"
            )
        return int(self.ask(name, "integer", range(low, high + 1)))

    def order(self, name: str, items: Iterable[Any]) -> list[Any]:
        listed = list(items)
        check_options(listed, f"order {name!r}")
        if len(listed) > MOST_ORDERED:
            raise InputError(f"order {name!r}: at most {MOST_ORDERED} items (720 orders), got {len(listed)}")
        return list(self.ask(name, "order", list(itertools.permutations(listed))))

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
        if self.pool is not None and max > len(self.pool):
            raise InputError(
                f"examples {name!r}: max={max} shots, but only {len(self.pool)} rows may serve as examples; lower max"
            )
        if isinstance(pickers, str):
            raise InputError(f"examples {name!r}: pickers is a list of names, got {pickers!r}")
        count = self.ask(name, "examples", range(min, max + 1))
        if not count:
            return []
        offered = (self.pool.pickers() if self.pool else ("random 1",)) if pickers is None else pickers
        check_options(offered, f"examples {name!r}")
        picker = self.ask(f"{name}.picker", "choice", offered)
        order = self.ask(f"{name}.order", "choice", ORDERS) if count > 1 else ORDERS[0]
        if self.pool is None:
            return [AnyExample()] * count
        shots = self._pick(name, self.pool, picker, count)
        shots = shots[::-1] if order == "reversed" else shots
        self.shown[name] = shots
        return shots

    def _pick(self, name: str, pool: ExamplePool, picker: str, count: int) -> list[Mapping[str, Any]]:
        if picker != "nearest":
            try:
                return pool.pick(picker, count)
            except ValueError as error:
                raise InputError(f"examples {name!r}: {error}") from None
        if isinstance(self.row, AnyRow):
            return list(pool.examples[:count])
        # Alike is judged by what the prompt shows of a row: an exported prompt is given nothing else.
        seen = self.row if self.row_fields is None else {field: self.row[field] for field in self.row_fields}
        return list(nearest(pool.examples, seen, count))  # type: ignore[no-untyped-call]


def check_same(known: Factor, kind: Kind, options: tuple[Any, ...]) -> None:
    """Refuse a name that stands for two lists of options.

    Raises:
        InputError: with both lists.
    """
    if known.options != options or known.kind != kind:
        raise InputError(
            f"one name stands for one list of options, but {known.name!r} has two: {known.kind} "
            f"{shortened(known.options)} and {kind} {shortened(options)}; rename one"
        )


def shortened(options: tuple[Any, ...]) -> str:
    text = repr(list(options))
    return text if len(text) <= 100 else text[:99] + "…"


class AnyExample(AnyRow, dict[str, Any]):
    """A stand-in for an example when there is no data."""
