"""Which column of a file is the target: what each column holds, and the one to propose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from prompt_search.answers.target_kinds import target_kind

_TARGET_NAMES: Final = (
    "target", "label", "labels", "intent", "category", "class", "gold", "expected", "truth", "sentiment", "answer",
    "answers", "output", "completion", "response", "reference", "translation", "summary", "rating", "score", "result",
    "y",
)  # fmt: skip
"""Words in the names of columns that hold correct answers, the surest first."""

_ROW_NAMES: Final = frozenset(("id", "_id", "idx", "index", "row", "rowid", "row_id", "uuid", "guid", "hash"))
"""Names of columns that only tell rows apart."""


def described(values: Sequence[Any]) -> str:
    """What a column holds, in a few words.

    >>> described(["yes", "no"] * 6), described([None, None]), described(["one", "two", None])
    ('2 labels', 'empty', 'free text, empty in 1 row')
    """
    known = [value for value in values if _is_filled(value)]
    if not known:
        return "empty"
    kind = target_kind(known)
    what = f"{_distinct(known)} labels" if kind == "labels" else str(kind)
    if _distinct(known) == 1:
        what = "the same in every row"
    missing = len(values) - len(known)
    return f"{what}, empty in {missing} row{'s' if missing > 1 else ''}" if missing else what


def proposed_target(columns: Mapping[str, Sequence[Any]]) -> str | None:
    """The column that is most likely the target, or None where no column can be.

    >>> proposed_target({"id": [1, 2, 3, 4], "intent": ["a", "b"] * 2, "text": ["w", "x", "y", "z"]})
    'intent'
    """
    possible = [
        name
        for name, values in columns.items()
        if values and all(map(_is_filled, values)) and _distinct(values) > 1 and not tells_rows_apart(name, values)
    ]
    for word in _TARGET_NAMES:
        for name in possible:
            if word in re.split(r"[\W_]+", name.casefold()):
                return name
    for wanted in ("JSON objects", "labels"):
        of_kind = [name for name in possible if target_kind(columns[name]) == wanted]
        if of_kind:
            return of_kind[-1]
    return possible[-1] if possible else None


def tells_rows_apart(name: str, values: Sequence[Any]) -> bool:
    """Whether a column only tells rows apart, as a number or a key of each row does.

    >>> tells_rows_apart("id", [7, 8, 9]), tells_rows_apart("id", ["see the text", "or this"])
    (True, False)
    """
    named = name.casefold() in _ROW_NAMES or name.casefold().startswith("unnamed:") or name.casefold().endswith("_id")
    keys = all(isinstance(value, int) or (isinstance(value, str) and " " not in value) for value in values)
    return named and keys and _distinct(values) == len(values)


def _is_filled(value: Any) -> bool:
    return value is not None and value != [] and value != {}


def _distinct(values: Sequence[Any]) -> int:
    return len({str(value) for value in values})
