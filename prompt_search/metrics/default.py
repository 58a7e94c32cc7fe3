"""The metric of those who name none."""

from __future__ import annotations

from collections.abc import Iterable

from prompt_search.answers.base import Answer
from prompt_search.answers.json_form import Json
from prompt_search.answers.target_kinds import target_kind
from prompt_search.data.dataset import Dataset
from prompt_search.metrics.base import Metric
from prompt_search.metrics.json_fields import fields
from prompt_search.metrics.row import exact


def default_metric(forms: Iterable[Answer | None], data: Dataset) -> Metric:
    """`exact`; but `fields` where a JSON answer meets targets that are JSON objects written as text."""
    targets = [row.target for row in data.rows]
    as_text = any(isinstance(target, str) for target in targets) and any(isinstance(form, Json) for form in forms)
    return fields if as_text and target_kind(targets) == "JSON objects" else exact
