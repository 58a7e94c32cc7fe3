"""Whether answers can be counted by label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from prompt_search.answers.target_kinds import json_object
from prompt_search.errors import StudyError
from prompt_search.results.frames import answer_text

if TYPE_CHECKING:
    from prompt_search.results.stored.stored_study import StoredStudy

MOST_TARGETS = 20
"""Number of different targets up to which answers are counted by target."""

LONGEST_LABEL = 60
"""Number of characters up to which a target may be a label."""


def labelled(rows: pd.DataFrame, form: str) -> bool:
    """Whether the targets are labels, few enough to count answers by target: not objects, and not texts that are all
    different.

    Args:
        rows: the scored rows.
        form: the kind of the answer form.
    """
    targets = list(map(answer_text, rows["target"]))
    few = 1 < len(set(targets)) <= MOST_TARGETS
    if form == "label" or not few:
        return few
    single = all(len(target) <= LONGEST_LABEL and "\n" not in target for target in targets)
    objects = any(json_object(value) is not None for value in (*rows["target"], *rows["answer"]))
    return single and not objects and 2 * len(set(targets)) <= len(targets)


def check_labels(study: StoredStudy, trial: int | None = None) -> None:
    """Check that a trial's answers can be counted by label; default: the winner's.

    Raises:
        StudyError: the targets are no labels, or there is no such trial.
    """
    form = str((study.best.answer or {}).get("kind"))
    if form != "label" and not labelled(study.trial_samples(study.best_trial if trial is None else trial), form):
        raise StudyError(
            f"the targets of study {study.name!r} are no labels, by which answers could be counted; see the table "
            "failures, or fields for JSON objects"
        )
