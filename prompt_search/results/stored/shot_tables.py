"""What the model of a study itself answers to its pool of shots, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from prompt_search.storage.records import PoolAnswer, TrialRecord


def shots_frame(answers: Sequence[PoolAnswer], trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per row of the pool of shots that the model was asked about, in the order of the pool.

    Columns: ``position`` int, its place in the pool; ``row`` int, its position in the data; ``right`` bool, whether
    the model answered it rightly by itself, so that ``solved`` picks it (true) or ``hard`` does (false); missing where
    the request failed, the budget left no room for it, or the score is neither high nor low; ``reasoning``, what the
    model wrote before the right answer; ``trials`` int, the number of trials whose prompt shows the row.

    Args:
        answers: what the model answered.
        trials: the trials of the study.
    """
    shown = Counter(row for trial in trials for row in trial.shown)
    frame = pd.DataFrame(
        [(each.position, each.row, each.right, each.reasoning, shown[each.row]) for each in answers],
        columns=list(SHOT_COLUMNS),
    )
    return frame.astype(SHOT_COLUMNS)


SHOT_COLUMNS = {"position": "int64", "row": "int64", "right": "boolean", "reasoning": "str", "trials": "int64"}
"""The columns of `shots_frame` with their types."""
