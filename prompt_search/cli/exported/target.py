"""The target column of labelled rows, where the command line does not name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_search.cli.terminal import say
from prompt_search.errors import InputError

if TYPE_CHECKING:
    from prompt_search.data.dataset import Dataset
    from prompt_search.prompts.prompt import Prompt


def labelled(prompt: Prompt, file: Path, target: str | None, limit: int | None = None) -> Dataset:
    """The rows with their target column, which is told where it was found."""
    from prompt_search.data.dataset import Dataset
    from prompt_search.data.unlabelled import rows_of

    if target is None:
        target = found_target(prompt, rows_of(file).columns, str(file))
        say(f"target column: {target}", err=True)
    rows = Dataset.read(file, target=target)
    return rows if limit is None else rows.head(limit)


def found_target(prompt: Prompt, columns: Mapping[str, Sequence[Any]], file: str) -> str:
    """The target, a column that the prompt does not show: the one whose values are labels of its answer form, or the
    only one where the form has no labels.

    Raises:
        InputError: there is none, or there are several.
    """
    shown = fields_of(prompt)
    others = [name for name in columns if name not in shown]
    labels = set(map(str, (prompt.answer or {}).get("labels", ())))
    labelled = [name for name in others if labels and all(str(value) in labels for value in columns[name])]
    candidates = labelled if labels else others
    if len(candidates) == 1:
        return candidates[0]
    reason = (
        "no column has only labels of the prompt" if labels and not labelled else "several columns may be the target"
    )
    reason = reason if others else "the prompt shows every column, so none is the target"
    raise InputError(f"{file}: {reason}; give --target with one of {', '.join(columns)}")


def fields_of(prompt: Prompt) -> set[str]:
    """The fields of the row that a prompt names."""
    from prompt_search.prompts.environment import environment
    from prompt_search.prompts.static_checks import row_field_names

    return set(row_field_names(environment().parse(prompt.source)))
