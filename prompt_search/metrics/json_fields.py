"""A metric of JSON answers: the share of fields that are right, and which fields are wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple

from prompt_search.answers.reading.number_reading import whole_number
from prompt_search.answers.reading.plain_text import folded
from prompt_search.answers.target_kinds import is_number, json_object
from prompt_search.data.rows import Row, listed, references
from prompt_search.errors import InputError
from prompt_search.metrics.base import BuiltInMetric, Score
from prompt_search.metrics.ranges import SHARE, Range

COMPARISONS: Final = ("auto", "text", "number", "set", "list")
"""How the values of a field can be compared."""

Outcome = Literal["right", "wrong", "missing", "extra"]
"""What became of a field: the answer has its value, another one, none, or one where the target has none."""


class Compared(NamedTuple):
    """A field of an answer beside that of the target.

    Args:
        outcome: what became of it.
        given: the answer's value; None where it has none.
        wanted: the target's.
    """

    outcome: Outcome
    given: Any
    wanted: Any


@dataclass(frozen=True, slots=True)
class Fields(BuiltInMetric):
    """The share of fields of a JSON answer that are right, 0 to 1.

    The fields are those of the target and of the answer. A nested field has a path (``address.city``). A field that is
    null counts as one that is not there: it is right where both have none, ``missing`` where only the answer has none,
    and ``extra`` where only the target has none. The target is an object or its JSON text; of a list of them, the one
    that matches best counts.

    Args:
        only: the paths that count; default: all. The path of an object stands for all fields in it.
        compare: how the values of a path are compared; of other paths ``auto``.

            - ``auto``: numbers as ``number``, lists as ``set``, everything else as ``text``.
            - ``text``: without regard to case, white space and typography.
            - ``number``: by value, also where one is text; ``tolerance`` and ``relative`` allow a difference.
            - ``set``: the members in any order, each as ``auto``.
            - ``list``: the members in their order, each as ``auto``.
        tolerance: the largest difference of two numbers that are the same.
        relative: as ``tolerance``, as a share of the target's number.
        column: the column with the accepted answer; None for the target.

    Raises:
        InputError: an unknown comparison, or a negative tolerance; or, when an answer is scored, its target is no JSON
            object.

    >>> row = Row({"text": "?", "order": {"item": "Desk", "to": {"city": "Rome"}, "count": 2}}, target="order")
    >>> Fields()({"item": "desk", "to": {"city": "Oslo"}, "count": "2", "colour": "red"}, row)
    Score(value=0.5, explanation='wrong: to.city; extra: colour', margin=None)
    """

    name: ClassVar[str] = "fields"
    score_range: ClassVar[Range] = SHARE
    only: Sequence[str] | None = None
    _: KW_ONLY
    compare: Mapping[str, str] | None = None
    tolerance: float = 1e-6
    relative: float = 0.0
    column: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.only, str):
            raise InputError(f"only= takes a list of fields, not the text {self.only!r}; write [{self.only!r}]")
        for path, comparison in (self.compare or {}).items():
            if comparison not in COMPARISONS:
                raise InputError(
                    f"the field {path!r} cannot be compared by {comparison!r}; give one of: {listed(COMPARISONS)}"
                )
        if not (self.tolerance >= 0 and self.relative >= 0):
            raise InputError(
                f"a tolerance must be 0 or more, not {self.tolerance} and relative {self.relative}; correct it"
            )
        # Plain and in order, so that the text of a metric is the same in every process.
        object.__setattr__(self, "only", None if self.only is None else tuple(self.only))
        object.__setattr__(self, "compare", dict(sorted((self.compare or {}).items())) or None)

    def __hash__(self) -> int:
        return hash(repr(self))

    def validate(self, fields: Collection[str]) -> None:
        if self.column is not None and self.column not in fields:
            raise InputError(
                f"the metric {self.name} needs the column {self.column!r}, which is not in the data; "
                f"there are: {listed(sorted(fields))}"
            )

    def check_targets(self, rows: Sequence[Row]) -> None:
        """Check before a run that the targets are JSON objects, and that some of them have each path of ``only`` and
        ``compare``.

        Raises:
            InputError: a target is no object, or a path is in none of them.
        """
        paths: dict[str, None] = {}
        for row in rows:
            expected = row.target if self.column is None else row[self.column]
            for accepted in references(expected):
                paths |= dict.fromkeys(path for path, _ in self._leaves(self._object(accepted)))
        for wanted in (*(self.only or ()), *(self.compare or ())):
            if not any(path == wanted or path.startswith(f"{wanted}.") for path in paths):
                raise InputError(
                    f"the metric {self.name} names the field {wanted!r}, which no target has; there are: "
                    f"{listed(list(paths)[:20])}"
                )

    def __call__(self, answer: Any, row: Row) -> Score:
        found = self.compared(answer, row.target if self.column is None else row[self.column])
        told = (
            (outcome, [path for path, field in found.items() if field.outcome == outcome])
            for outcome in ("wrong", "missing", "extra")
        )
        return Score(_share(found), "; ".join(f"{outcome}: {', '.join(paths)}" for outcome, paths in told if paths))

    def compared(self, answer: Any, target: Any) -> dict[str, Compared]:
        """Each field that counts, by path; ``answer`` is an object, its JSON text, or anything that is unreadable.

        Raises:
            InputError: the target is no JSON object.
        """
        given = json_object(answer)
        return max((self._compared(given, self._object(each)) for each in references(target) or [None]), key=_share)

    def _object(self, target: Any) -> dict[str, Any]:
        found = json_object(target)
        if found is None:
            raise InputError(
                f"the metric {self.name} needs a JSON object to compare with, not {_short(target)}; correct the "
                "target, or use another metric"
            )
        return found

    def _compared(self, answer: Mapping[str, Any] | None, target: Mapping[str, Any]) -> dict[str, Compared]:
        wanted, given = dict(self._leaves(target)), dict(self._leaves(answer or {}))
        paths = dict.fromkeys([*wanted, *(path for path, value in given.items() if value is not None)])
        if self.only is not None:
            paths = dict.fromkeys(path for path in paths if self._counts(path))
        # Nothing is right in an answer that cannot be read, a null of the target included.
        return {
            path: Compared(
                self._outcome(path, given.get(path), wanted.get(path)) if answer is not None else "wrong",
                given.get(path),
                wanted.get(path),
            )
            for path in paths
        }

    def _counts(self, path: str) -> bool:
        return any(path == each or path.startswith(f"{each}.") for each in self.only or ())

    def _leaves(self, value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
        for name, member in value.items():
            path = f"{above}{name}"
            if isinstance(member, Mapping) and member and path not in (self.compare or {}):
                yield from self._leaves(member, f"{path}.")
            else:
                yield path, None if member in ("", [], {}) else member

    def _outcome(self, path: str, given: Any, wanted: Any) -> Outcome:
        if given is None or wanted is None:
            return "right" if given is wanted else "missing" if given is None else "extra"
        return "right" if self._same(given, wanted, (self.compare or {}).get(path, "auto")) else "wrong"

    def _same(self, given: Any, wanted: Any, comparison: str) -> bool:
        if comparison == "auto":
            comparison = "set" if isinstance(wanted, (list, tuple)) else "number" if _plain_number(wanted) else "text"
        if comparison == "number":
            return self._same_number(given, wanted)
        if comparison == "text":
            return _text(given) == _text(wanted)
        members = [list(each) if isinstance(each, (list, tuple)) else [each] for each in (given, wanted)]
        if comparison == "list":
            pairs = zip(members[0], members[1], strict=False)
            return len(members[0]) == len(members[1]) and all(self._same(one, two, "auto") for one, two in pairs)
        return Counter(map(_text, members[0])) == Counter(map(_text, members[1]))

    def _same_number(self, given: Any, wanted: Any) -> bool:
        numbers = [float(each) if _plain_number(each) else whole_number(str(each)) for each in (given, wanted)]
        if numbers[0] is None or numbers[1] is None:
            return _text(given) == _text(wanted)
        return abs(numbers[0] - numbers[1]) <= max(self.tolerance, self.relative * abs(numbers[1]))


fields = Fields()


def _share(found: Mapping[str, Compared]) -> float:
    """The share of fields that are right; an object without fields is right."""
    return sum(field.outcome == "right" for field in found.values()) / len(found) if found else 1.0


def _plain_number(value: Any) -> bool:
    return is_number(value) and not isinstance(value, str)


def _text(value: Any) -> str:
    """A value as text in which case, white space and typography make no difference; 2.0 is 2."""
    if isinstance(value, Mapping):
        members = {_text(name): _text(member) for name, member in value.items() if member is not None}
        return json.dumps(members, sort_keys=True)
    if isinstance(value, (list, tuple)):
        return json.dumps(sorted(map(_text, value)))
    if isinstance(value, bool):
        return str(value).casefold()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(folded(str(value)).split())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
