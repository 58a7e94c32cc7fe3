"""What an operator is told: the choice that grows, its good options, and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prompt_search._json import json_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """A row as an operator shows it.

    Attributes:
        fields: the values of the row by their names, without the target.
        target: the right answer.
        answer: what a prompt with the option answered; "" where none was asked.
        explanation: what the metric said about that answer; "" where it said nothing.
        earlier: whether a prompt answered it that the option comes from, and not one with the option.
    """

    fields: Mapping[str, Any]
    target: str
    answer: str = ""
    explanation: str = ""
    earlier: bool = False


def target_text(target: Any) -> str:
    """A target as an operator shows it and as the guards read it: lists and dictionaries as JSON.

    >>> target_text({"city": "Oslo", "rain": None}), target_text(12)
    ('{"city": "Oslo", "rain": null}', '12')
    """
    return json_text(target) if isinstance(target, (Mapping, list, tuple)) else str(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What one request for new options is about.

    Attributes:
        choice: the name of the choice.
        purpose: what its options are for, as ``grow=`` of the choice says.
        parents: option texts of the choice, best first.
        rows: the rows to show; those that were answered wrongly for an operator that needs failures.
        labels: the possible answers; empty where every text may be one.
        count: the number of texts to ask for.
        prompt: the whole prompt that has the first parent, or "". With a row or an example filled in, that row counts
            as shown.
        longest: the number of characters that an option may have.
    """

    choice: str
    purpose: str
    parents: tuple[str, ...]
    rows: tuple[ShownRow, ...] = ()
    labels: tuple[str, ...] = ()
    count: int = 1
    prompt: str = ""
    longest: int = 600
