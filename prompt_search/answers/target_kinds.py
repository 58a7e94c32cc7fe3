"""What the targets of a data set are: labels, numbers, JSON objects or free text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from prompt_search.answers.reading.number_reading import whole_number
from prompt_search.data.rows import Row, references
from prompt_search.data.splits import is_categorical

TargetKind = Literal["labels", "numbers", "JSON objects", "free text"]

MOST_NUMBERS_AS_LABELS = 11
"""Number of different numbers at most that count as labels: a scale from 0 to 10."""

MOST_LABELS = 300
"""Number of different texts at most that count as labels."""

LONGEST_LABEL = 60
"""Number of characters of a label at most, where a text with few values could be free text, too."""

LONGEST_TEXT = 200
"""Number of characters from which a text is no label, however often it comes."""


def target_kind(targets: Sequence[Any]) -> TargetKind:
    """What the targets are. Targets that are lists hold accepted answers; JSON may be written as text.

    >>> target_kind(["yes", "no"] * 6), target_kind([1.5 * n for n in range(30)])
    ('labels', 'numbers')
    >>> target_kind(['{"city": "Rome"}', '{"city": null}']), target_kind(["It is late.", "Go on, please."])
    ('JSON objects', 'free text')
    """
    values = [value for target in targets for value in references(target)]
    if values and all(json_object(value) is not None for value in values):
        return "JSON objects"
    if any(isinstance(value, (dict, list)) for value in values):
        return "free text"
    numbers = all(is_number(value) for value in values)
    if numbers and len({str(value) for value in values}) > MOST_NUMBERS_AS_LABELS:
        return "numbers"
    if _are_labels(values):
        return "labels"
    return "numbers" if numbers else "free text"


def json_object(value: Any) -> dict[str, Any] | None:
    """The JSON object that a value is, or is written as; None for anything else.

    >>> json_object('{"a": 1}'), json_object({"a": 1}), json_object("[1]")
    ({'a': 1}, {'a': 1}, None)
    """
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def is_number(value: Any) -> bool:
    """Whether a value is a number, or a text that is one number."""
    if isinstance(value, str):
        return whole_number(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_labels(values: Sequence[Any]) -> bool:
    texts = [str(value) for value in values]
    if any(len(text) > LONGEST_TEXT for text in texts):
        return False
    if is_categorical([Row({"target": text}, target="target") for text in texts]):
        return True
    if any(len(text) > LONGEST_LABEL or "\n" in text for text in texts):
        return False
    counts = Counter(texts)
    few = 2 * len(counts) <= len(texts) and len(counts) <= 20
    # Many labels, with some rows of nearly each of them.
    alone = sum(count == 1 for count in counts.values())
    return few or (5 * len(counts) <= len(texts) and len(counts) <= MOST_LABELS and 20 * alone <= len(texts))
