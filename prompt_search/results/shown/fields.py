"""JSON answers by field: which fields of the target an answer has right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from prompt_search.answers.target_kinds import json_object
from prompt_search.results.frames import answer_text, frame_of

FIELD_COLUMNS = ("field", "rows", "right", "share", "wrong_answer", "wrong_target")


def by_field(target: Any, answer: Any) -> dict[str, tuple[Any, Any]]:
    """Target and answer of each field that one of them has, by path; a field without a value is None.

    >>> by_field({"name": "Ann", "to": {"city": "Rome"}}, '{"name": "Ann"}')
    {'name': ('Ann', 'Ann'), 'to.city': ('Rome', None)}
    """
    wanted, given = (dict(_leaves(json_object(value) or {})) for value in (target, answer))
    return {path: (wanted.get(path), given.get(path)) for path in (*wanted, *(given.keys() - wanted.keys()))}


def _leaves(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, member in value.items():
        if isinstance(member, Mapping) and member:
            yield from _leaves(member, f"{above}{name}.")
        else:
            yield f"{above}{name}", member


def same(target: Any, answer: Any) -> bool:
    """Whether two values of a field are the same but for case, white space and the type of a number.

    >>> same("Ann  Lee", "ann lee"), same(2, 2.0), same(2, "2"), same(True, 1), same(None, "")
    (True, True, False, False, False)
    """
    if isinstance(target, str) and isinstance(answer, str):
        return target.casefold().split() == answer.casefold().split()
    return bool(target == answer) and isinstance(target, bool) == isinstance(answer, bool)


def wrong_fields(target: Any, answer: Any) -> list[str]:
    """The paths of the fields that an answer does not have right, those that only it has included."""
    return [path for path, pair in by_field(target, answer).items() if not same(*pair)]


def fields_frame(scored: pd.DataFrame) -> pd.DataFrame:
    """One row per field of the targets, in their order.

    Columns: ``field``, its path; ``rows`` number of rows whose target has it; ``right`` number of these whose answer
    has it right, but for case, white space and the type of a number; ``share``, the one by the other;
    ``wrong_answer``, the first answer that is not right, as text, empty where the field is not there; ``wrong_target``,
    what it should be. An answer that could not be read has no field.

    Args:
        scored: the scored rows of a trial, see `tables.scored_frame`; rows without a score are left out.
    """
    found: dict[str, list[tuple[Any, Any]]] = {}
    known = scored[scored["score"].notna()]
    for target, answer in zip(known["target"], known["answer"], strict=True):
        for path, pair in by_field(target, answer).items():
            if path in dict(_leaves(json_object(target) or {})):
                found.setdefault(path, []).append(pair)
    records = []
    for path, pairs in found.items():
        wrong = [pair for pair in pairs if not same(*pair)]
        shown = next((pair for pair in wrong if pair[1] is not None), wrong[0] if wrong else None)
        records.append(
            {
                "field": path,
                "rows": len(pairs),
                "right": len(pairs) - len(wrong),
                "share": 1 - len(wrong) / len(pairs),
                "wrong_answer": None if shown is None else "" if shown[1] is None else answer_text(shown[1]),
                "wrong_target": None if shown is None else answer_text(shown[0]),
            }
        )
    return frame_of(records, FIELD_COLUMNS).astype({"rows": "int64", "right": "int64", "share": "float64"})
