"""Which rows the search may see and which are kept for the test.

Rows whose fields are equal but for case and white space are repetitions of each other and stay together, so that no
test row was seen in the search. The functions depend on the rows' content and the seed alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prompt_search.data.origin import Origin
from prompt_search.data.rows import Row
from prompt_search.errors import InputError

MINIMUM_ROWS = 4
"""The smallest number of rows that can be split into search and test rows."""

MAXIMUM_CLASSES = 50
"""The largest number of distinct targets that are treated as classes in a split."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The rows of a data set in two disjoint parts, as row numbers from 0 in ascending order.

    Attributes:
        search: the rows that the search uses.
        test: the rows that only the test of the winner uses.
    """

    search: tuple[int, ...]
    test: tuple[int, ...]


def random_split(rows: Sequence[Row], test: int | float, seed: int, origin: Origin) -> Splits:
    """Draw the test rows at random, with classes in proportion where the targets are categorical.

    Args:
        rows: all rows.
        test: the number of test rows, or their share of the rows if it is a float. Repetitions stay together, so
            that the test can come out smaller, never larger.
        seed: the seed of the draw.
        origin: the source of the rows, for error messages.

    Raises:
        InputError: ``test`` is out of range, or leaves fewer than two rows to search on.
        DataError: the rows repeat each other so much that no test row can be drawn.
    """
    size = _test_size(test, len(rows))
    groups = _repetitions(rows)
    strata = _strata(rows, groups, seed)
    sizes = {stratum: sum(map(len, members)) for stratum, members in sorted(strata.items())}
    chosen: set[int] = set()
    for stratum, quota in _quotas(sizes, size).items():
        chosen |= _fitting(strata[stratum], quota)
    # Repetitions may not have fitted into the quota of their class: rows of other classes then fill the place.
    rest = [members for stratum in strata.values() for members in stratum if members[0] not in chosen]
    chosen |= _fitting(rest, size - len(chosen))
    if len(groups) == 1:
        raise origin.error(
            f"all {len(rows)} rows have the same fields, so that no prompt tells them apart; check which columns they "
            "come from"
        )
    if not chosen:
        raise origin.error(
            f"no set of at most {size} of the {len(rows)} rows can be the test rows, because rows that repeat each "
            f"other stay on one side ({len(groups)} distinct rows); add rows or allow more test rows"
        )
    return _splits(len(rows), chosen)


def listed_split(rows: Sequence[Row], test: Sequence[int], origin: Origin) -> Splits:
    """Take the rows with these numbers as the test; an empty list is allowed.

    Raises:
        InputError: a number is out of range, or fewer than two rows are left to search on.
        DataError: a test row and a search row repeat each other.
    """
    chosen = set(test)
    if not chosen <= set(range(len(rows))) or len(rows) - len(chosen) < 2:
        raise InputError(
            f"test rows must be row numbers from 0 to {len(rows) - 1} and leave at least 2 search rows; got "
            f"{len(chosen)} from {min(chosen)} to {max(chosen)}; correct the list"
        )
    for members in _repetitions(rows).values():
        if len({index in chosen for index in members}) > 1:
            places = " and ".join(origin.place(index) for index in members[:2])
            raise origin.row_error(
                members[0], f"{places} repeat each other, so both or none can be test rows; correct the list"
            )
    return _splits(len(rows), chosen)


def given_split(rows: Sequence[Row], sides: Sequence[str], column: str, origin: Origin) -> Splits:
    """Follow the split column of the user: ``"search"`` or ``"test"`` for each row.

    Raises:
        DataError: a side has no rows, or rows on different sides repeat each other.
    """
    for members in _repetitions(rows).values():
        for index in members[1:]:
            if sides[index] != sides[members[0]]:
                raise origin.row_error(
                    index,
                    f"this row repeats {origin.place(members[0])} but they are on different sides of the split; "
                    "put both on one side or drop one",
                )
    chosen = {index for index, side in enumerate(sides) if side == "test"}
    if not 0 < len(chosen) < len(rows):
        raise origin.error(
            f"the split column {column!r} must put rows on both sides, not {len(rows) - len(chosen)} on search and "
            f"{len(chosen)} on test; change some"
        )
    return _splits(len(rows), chosen)


def equal_folds(rows: Sequence[Row], count: int, seed: int, origin: Origin) -> list[tuple[int, ...]]:
    """All row numbers in ``count`` parts of nearly equal size, each with its share of every class.

    Raises:
        DataError: fewer than 4 distinct rows, or fewer than ``count``.
    """
    groups = _repetitions(rows)
    if len(groups) < max(count, MINIMUM_ROWS):
        raise origin.error(
            f"{count} folds need at least {max(count, MINIMUM_ROWS)} distinct rows, not {len(groups)}; add rows"
        )
    folds: list[list[int]] = [[] for _ in range(count)]
    for stratum in _strata(rows, groups, seed).values():
        held = [0] * count
        for members in stratum:
            fold = min(range(count), key=lambda index: (held[index], len(folds[index]), index))
            folds[fold] += members
            held[fold] += len(members)
    return [tuple(sorted(fold)) for fold in folds]


def is_categorical(rows: Sequence[Row]) -> bool:
    """Whether the targets are classes: plain values of which there are at most 50, and at most one row in twenty has a
    target that no other row has."""
    if any(isinstance(row.target, (list, dict)) for row in rows):
        return False
    counts: Counter[str] = Counter()
    for (_, target), count in Counter((type(row.target), row.target) for row in rows).items():
        counts[_normalised_text(target)] += count
    alone = sum(count == 1 for count in counts.values())
    return len(counts) <= MAXIMUM_CLASSES and 20 * alone <= len(rows)


def _splits(count: int, test: set[int]) -> Splits:
    return Splits(tuple(index for index in range(count) if index not in test), tuple(sorted(test)))


def _test_size(test: int | float, rows: int) -> int:
    most = rows - 2
    if isinstance(test, float):
        if not 0 < test < 1:
            raise InputError(f"a test fraction must lie between 0 and 1, not {test}; give one such as 0.3")
        return max(1, min(most, round(test * rows)))
    if not 1 <= test <= most:
        raise InputError(
            f"the number of test rows must be between 1 and {most} of the {rows} rows, not {test}; give another "
            "number or a fraction such as 0.3"
        )
    return test


def _repetitions(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Normalised content of the fields to the numbers of the rows that have it."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        content = {name: row[name] for name in row.fields}
        groups.setdefault(_normalised_text(content), []).append(index)
    return groups


def _strata(rows: Sequence[Row], groups: Mapping[str, list[int]], seed: int) -> dict[str, list[list[int]]]:
    """Groups of repetitions in random order, by class where the targets are categorical."""
    # Sorting by a hash of the content is a shuffle that is the same on every version of Python.
    shuffled = sorted(groups, key=lambda content: hashlib.sha256(f"{seed}\n{content}".encode()).digest())
    categorical = is_categorical(rows)
    strata: dict[str, list[list[int]]] = {}
    for content in shuffled:
        stratum = _normalised_text(rows[groups[content][0]].target) if categorical else ""
        strata.setdefault(stratum, []).append(groups[content])
    return strata


def _quotas(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Shares of ``total`` in proportion to ``sizes``, by largest remainder; the first name wins a tie.

    >>> _quotas({"a": 60, "b": 30, "c": 10}, 15)
    {'a': 9, 'b': 5, 'c': 1}
    """
    everything = sum(sizes.values())
    quotas = {name: size * total // everything for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: -(sizes[name] * total % everything))
    for name in by_remainder[: total - sum(quotas.values())]:
        quotas[name] += 1
    return quotas


def _fitting(groups: Sequence[Sequence[int]], room: int) -> set[int]:
    """Row numbers of those groups, taken in order, that fit whole into the room that is left."""
    chosen: set[int] = set()
    for group in groups:
        if len(chosen) + len(group) <= room:
            chosen.update(group)
    return chosen


def _normalised(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    if isinstance(value, list):
        return [_normalised(member) for member in value]
    if isinstance(value, dict):
        return {name: _normalised(member) for name, member in value.items()}
    return value


def _normalised_text(value: Any) -> str:
    """A value as JSON text in which case and white space make no difference."""
    return json.dumps(_normalised(value), sort_keys=True)
