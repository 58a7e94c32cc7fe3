"""What a judge does not go with, refused before any request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prompt_search.answers.base import Answer
from prompt_search.errors import InputError
from prompt_search.evaluation.judging.judge import Judge
from prompt_search.metrics.base import Metric
from prompt_search.metrics.corpus import WorstSlice


def check_judge(metric: Metric, answers: Iterable[Answer], fields: Sequence[str]) -> None:
    """Refuse a judge where it cannot be asked.

    Args:
        metric: the metric, a judge or not.
        answers: the answer forms.
        fields: the columns of the data.

    Raises:
        InputError: it is the metric of groups of rows; an answer form reads each response again and again; or a column
            that it reads is missing.
    """
    if isinstance(metric, WorstSlice) and isinstance(metric.metric, Judge):
        raise InputError(
            "worst_slice cannot ask a judge; give the judge itself as the metric, and look at result.slices_df(data, "
            f"by={metric.by!r})"
        )
    if not isinstance(metric, Judge):
        return
    metric.validate(fields)
    calibrated = [answer.name for answer in answers if answer.calibrates_on_rows]
    if calibrated:
        raise InputError(
            f"the answers of {calibrated[0]} change with every further row, so that a judge would be paid again and "
            "again; take another answer form, such as ps.Text()"
        )
