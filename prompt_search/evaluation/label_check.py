"""What does not fit the targets, refused before any request: labels that none is, and a prompt that shows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

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
MOST_COMPARISONS = 20_000
"""Number of comparisons of labels with targets after which no more are looked for than the error names."""


class Unfit(NamedTuple):
    """Texts that fit nothing, and whether they are every such text."""

    texts: list[str]
    every: bool


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
        if isinstance(answer, Label):
            _check_labels(answer.labels, metric, rows)


def _check_labels(labels: Sequence[str], metric: ReferenceMetric, rows: Mapping[str, Row]) -> None:
    """Refuse labels where one of the targets, each with a row that has it, fits none."""
    label_of = {label.casefold(): [label] for label in labels}
    missed = _unfit(
        rows,
        labels,
        alike=lambda target: chain(*(label_of.get(text, []) for text in _written(rows[target]))),
        fits=lambda target, label: metric(label, rows[target]),
    )
    if not missed.texts:
        return
    target_of = {text: [target] for target, row in rows.items() for text in _written(row)}
    unused = _unfit(
        labels,
        rows,
        alike=lambda label: target_of.get(label.casefold(), []),
        fits=lambda label, target: metric(label, rows[target]),
    )
    others = f"the labels {_named(*unused)} are no target" if unused.texts else f"the labels are {_named(labels)}"
    raise InputError(
        f"the targets {_named(*missed)} are no label of the answer form, so that their rows can never be right, and "
        f"{others}; write labels as the targets are, or correct the targets"
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


def _written(row: Row) -> list[str]:
    """The accepted answers of a row as text without case."""
    return [str(each).casefold() for each in references(row.target)]


def _unfit(
    texts: Collection[str],
    others: Collection[str],
    *,
    alike: Callable[[str], Iterable[str]],
    fits: Callable[[str, str], float],
) -> Unfit:
    """The texts that fit none of the others; some of them where it would take too many comparisons to find all.

    Args:
        texts: what is looked at.
        others: what it is compared with.
        alike: those of the others that are written as a text, which are compared first.
        fits: whether a text and one of the others fit.
    """
    found: list[str] = []
    left = MOST_COMPARISONS + (SHOWN + 1) * (len(texts) + len(others))
    for text in texts:
        for other in chain(alike(text), others):
            left -= 1
            if fits(text, other):
                break
        else:
            found.append(text)
        if left < 0:
            return Unfit(found, every=False)
    return Unfit(found, every=True)


def _named(texts: Sequence[str], every: bool = True) -> str:
    """Some of the texts, and how many more there are; without the number where these are not ``every`` one."""
    shown = ", ".join(map(quoted, texts[:SHOWN]))
    left = len(texts) - SHOWN
    if every:
        return f"{shown} and {left} more" if left > 0 else shown
    return f"{shown} and more" if left > 0 else f"{shown} and perhaps more"
