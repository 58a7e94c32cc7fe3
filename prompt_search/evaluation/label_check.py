"""What does not fit the targets, refused before any request: labels that none is, and a prompt that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from jinja2 import nodes

from prompt_search.answers.base import Answer, quoted
from prompt_search.answers.label import Label
from prompt_search.data.dataset import Dataset
from prompt_search.data.rows import Row, references
from prompt_search.errors import InputError
from prompt_search.metrics.base import Metric
from prompt_search.metrics.row import ReferenceMetric
from prompt_search.prompts.static_checks import row_field_names

SHOWN = 5
"""Number of labels, and of targets, that the error names."""


def check_labels(answers: Iterable[Answer], metric: Metric, data: Dataset) -> None:
    """Refuse labels by which some target can never be answered: its rows would be wrong with every prompt.

    A label that no row has is fine. Only the package's own metrics that compare with the target are asked: another one
    may count a label as right that is written otherwise.

    Raises:
        InputError: with the labels and the targets that do not fit.
    """
    if not isinstance(metric, ReferenceMetric) or metric.column is not None:
        return
    rows = {str(row.target): row for row in data.rows}
    for answer in answers:
        if not isinstance(answer, Label):
            continue
        alike = {label.casefold(): label for label in answer.labels}
        missed = [target for target, row in rows.items() if not _can_be_right(answer.labels, alike, metric, row)]
        if missed:
            unused = [label for label in answer.labels if not any(metric(label, row) for row in rows.values())]
            labels = (
                f"the labels {_named(unused)} are no target" if unused else f"the labels are {_named(answer.labels)}"
            )
            raise InputError(
                f"the targets {_named(missed)} are no label of the answer form, so that their rows can never be right, "
                f"and {labels}; write labels as the targets are, or correct the targets"
            )


def check_target_hidden(source: nodes.Template, data: Dataset) -> None:
    """Refuse a prompt that shows a column which is the target in every row: the model would read the answer.

    Raises:
        InputError: with the column.
    """
    targets = [str(row.target).strip() for row in data.rows]
    are_labels = 2 * len({*targets}) <= len(targets)  # a text in other letters may be what the model is to write
    plain = str.casefold if are_labels else str
    for name in row_field_names(source):
        same = name in data.fields and all(
            plain(str(row[name]).strip()) == plain(target) for row, target in zip(data.rows, targets, strict=True)
        )
        if same and len({*targets}) > 1:
            raise InputError(
                f"the prompt shows the column {name!r}, which is the target {data.target!r} in every row, so that the "
                "model reads the answer; leave the column out"
            )


def _can_be_right(labels: Sequence[str], alike: Mapping[str, str], metric: Metric, row: Row) -> bool:
    """Whether some label is right in a row; the one that is written as the target is asked first, of ``alike``."""
    own = [alike[text] for text in (str(each).casefold() for each in references(row.target)) if text in alike]
    return any(metric(label, row) for label in chain(own, labels))


def _named(texts: Sequence[str]) -> str:
    """Some of the texts."""
    return ", ".join(map(quoted, texts[:SHOWN])) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")
